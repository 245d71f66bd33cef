"""The risk stage: verdicts of children in programmes, and flags, from their whole sequence of results.

Sources: O704 (redaction in the protocol), LAW343 Art. 1(3); DOMAIN decisions 1-8 and 16. A result is judged by the protocol
in force on the day of its examination (one before the first protocol, by the first), and how the results of a child
are combined is that of its last examination: a later protocol never changes an earlier verdict.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import dataframely as dy
import polars as pl

from pipelines.contracts import PROGRAMMES, Flag, Verdict
from pipelines.risk.combine import stand_latest, stand_staged, weigh_repeats
from pipelines.risk.conclude import conclude_verdicts
from pipelines.risk.flags import raise_flags
from pipelines.risk.reading import read_results, supersede
from pipelines.risk.shape import Protocol, Rule

SCREENING = (
    "child_key", "programme", "component", "stage_code", "examined_on", "examined_at", "value", "comparator", "unit",
    "result_code", "status_code", "is_transfused", "gestation_wk", "record_key",
)  # fmt: skip
BIRTH = ("child_key", "birth_on", "birth_at", "gestation_wk")
_UNJUDGED = {
    "is_usable": pl.Boolean, "disorder": pl.String, "is_settling": pl.Boolean, "is_second": pl.Boolean,
    "rule_no": pl.Int16, "level": pl.Int8, "needs_repeat": pl.Boolean, "cleared_by": pl.String,
}  # fmt: skip


_SIDE_BY_SIDE = 2


class Assessed(NamedTuple):
    """verdict: one row a child and programme with results; flag: one row a child, programme and disorder at risk.

    The columns of clinical.verdict and clinical.flag but known_from and known_to.
    """

    verdict: pl.DataFrame
    flag: pl.DataFrame


class NumberedRule(NamedTuple):
    """A rule of one of the protocols; its place in the list is its number."""

    protocol: Protocol
    rule: Rule


def assess_risk(screening: pl.DataFrame, birth: pl.DataFrame, protocols: tuple[Protocol, ...]) -> Assessed:
    """Verdicts and flags of the children in `screening`: all their current results, cancelled ones left out.

    Takes the columns SCREENING of clinical.screening and BIRTH of clinical.birth (one row a child). Raises when a
    result is of a child without a birth, or a child is born twice.
    """
    child = birth.select(BIRTH)
    results = screening.select(SCREENING).filter(pl.col("status_code") != "cancelled").pipe(supersede)
    number_of = child.select("child_key").with_row_index("child_no")
    rows = results.join(number_of, on="child_key", how="left", validate="m:1")
    if rows.height != results.height or rows["child_no"].null_count():
        raise AssertionError(f"{rows['child_no'].null_count()} results of children without a birth")
    born = child.select("birth_on", born_wk="gestation_wk")
    rows = rows.with_columns(born[name].gather(rows["child_no"]) for name in born.columns)
    rows = rows.with_columns(gestation_wk=pl.coalesce("born_wk", "gestation_wk")).drop("born_wk")  # the birth record first
    number = pl.sum_horizontal([pl.col("examined_on") >= p.valid_from for p in protocols[1:]] or [pl.lit(0)])
    rows = rows.with_columns(protocol_no=number.cast(pl.Int16))
    rules = tuple(NumberedRule(p, rule) for p in protocols for rule in p.rules)

    def assess(programme: str) -> Assessed | None:
        mine = rows.filter(pl.col("programme") == programme)
        if mine.is_empty():
            return None
        read = _read(mine, programme, protocols, rules)
        weighed = weigh_repeats(read)
        standing = _stand(weighed, programme, protocols, child.height)
        return Assessed(
            conclude_verdicts(read, weighed, standing, programme, child, protocols, rules), raise_flags(read, weighed, programme, rules)
        )

    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:  # much of each is one thread of polars
        found = [one for one in pool.map(assess, PROGRAMMES) if one]
    verdicts, flags = [one.verdict for one in found], [one.flag for one in found]
    return Assessed(_shape(verdicts, Verdict, ["child_key", "programme"]), _shape(flags, Flag, ["flag_id"]))


def _read(
    rows: pl.DataFrame, programme: str, protocols: tuple[Protocol, ...], rules: tuple[NumberedRule, ...]
) -> pl.DataFrame:
    """The rows of one programme, each read by its protocol; one that does not know the programme says nothing."""
    parts = []
    for number, protocol in enumerate(protocols):
        mine = rows if len(protocols) == 1 else rows.filter(pl.col("protocol_no") == number)
        if mine.is_empty():
            continue
        described = protocol.programmes.get(programme)
        if described is None or not described.rules:
            mute = [pl.lit(None, dtype).alias(name) for name, dtype in _UNJUDGED.items()]
            parts.append(
                mine.with_columns(mute).with_columns(disorder="component", needs_repeat=pl.lit(False), is_usable=False)
            )
            continue
        first_no = rules.index(NumberedRule(protocol, described.rules[0]))
        parts.append(read_results(mine, described, protocol.age, first_no))
    read = pl.concat([part.select(*rows.columns, *_UNJUDGED) for part in parts])
    if read.height != rows.height:
        raise AssertionError(f"{rows.height} results of {programme}, {read.height} read")
    return read


def _stand(rows: pl.DataFrame, programme: str, protocols: tuple[Protocol, ...], count: int) -> pl.DataFrame:
    """child_no, disorder, level, decided_on, protocol_no of each child and disorder."""
    if len(protocols) > 1:
        rows = rows.with_columns(protocol_no=pl.col("protocol_no").max().over("child_no"))
    parts = []
    for number, protocol in enumerate(protocols):
        described = protocol.programmes.get(programme)
        mine = rows if len(protocols) == 1 else rows.filter(pl.col("protocol_no") == number)
        if described is None or mine.is_empty():
            continue
        staged = described.combine == "staged"
        standing = stand_staged(mine, count, described.full_pass) if staged else stand_latest(mine, count, described.whole)
        parts.append(standing.with_columns(protocol_no=pl.lit(number, pl.Int16)))
    empty = {
        "child_no": pl.UInt32,
        "disorder": pl.String,
        "level": pl.Int8,
        "decided_on": pl.Date,
        "protocol_no": pl.Int16,
    }
    return pl.concat(parts) if parts else pl.DataFrame(schema=empty)


def _shape(frames: list[pl.DataFrame], contract: type[dy.Schema], key: list[str]) -> pl.DataFrame:
    """The frames in the columns and types of a contract, one row a key."""
    dtypes = {name: column.dtype for name, column in contract.columns().items() if not name.startswith("known_")}
    if not frames:
        return pl.DataFrame(schema=dtypes)
    shaped = pl.concat([frame.select(pl.col(c).cast(t) for c, t in dtypes.items()) for frame in frames])
    if not shaped.select(key).is_unique().all():
        raise AssertionError(f"{contract.__name__}: two rows for one {', '.join(key)}")
    return shaped
