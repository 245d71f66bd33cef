"""Verdicts and flags of children of the lake, from their whole sequence of results: read by many, assessed by some at a time.

A night assesses the children whom it touches. When what judges them has changed since, a redaction that came late or a new release
of Erte, it assesses all of them: else two children of the same results would be told differently (law 11).
"""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import date
from functools import cache

import polars as pl

from pipelines.contracts import LAKE
from pipelines.night.arrived import count_rows
from pipelines.night.audit import record_event
from pipelines.risk.assess import Assessed, assess_risk
from pipelines.risk.protocol import load_protocols
from pipelines.risk.shape import Protocol
from pipelines.settings import PACKAGE, Settings
from pipelines.store.lake import Connection, put_frame, read_rows, replace_state

_READ_AT_ONCE, _AT_ONCE = 400_000, 50_000
"""Children whose results are read, and are assessed, at a time: a night's memory does not grow with how many it touches."""
_BIRTH = """
    select child_key, birth_on, birth_at, sex_code, birth_weight_g, gestation_wk, is_complicated, died_on
    from lake.clinical.birth {} where known_to is null and not is_cancelled order by birth_on, child_key"""
_EVER_ASSESSED = "select count(*) from (from lake.clinical.verdict limit 1)"


def assess_night(connection: Connection, settings: Settings, on: date) -> dict[str, int]:
    """Keep the verdicts and flags of the children in temp table `touched`, or of all when they are judged by other rules; counts."""
    protocols, rules = load_protocols(PACKAGE / "risk" / settings.protocol), hash_rules(settings.protocol)
    last = connection.execute("select subject from lake.ledger.event where kind = 'rules' order by event_no desc limit 1").fetchone()
    if last == (rules,):
        return assess_touched(connection, protocols, on)
    living = "from lake.clinical.birth where known_to is null and not is_cancelled"
    years = connection.execute(f"select distinct year(birth_on) {living} order by 1").fetchall() if count_rows(connection, _EVER_ASSESSED) else []
    counts = [assess_touched(connection, protocols, on)]
    for (year,) in years:  # one by one: memory is that of a year
        connection.execute(f"create or replace temp table touched as select child_key {living} and year(birth_on) = {year}")
        counts.append(assess_touched(connection, protocols, on))
    told = {name: sum(one[name] for one in counts) for name in counts[0]}
    record_event(connection, "rules", rules, {"protocol": settings.protocol, "years": len(years), **told})
    return told


@cache
def hash_rules(protocol: str) -> str:
    """sha256 of all that verdicts and flags are made by, but the results themselves."""
    told = hashlib.sha256(protocol.encode())
    folders = [(PACKAGE / "risk" / protocol, "*.toml"), (PACKAGE / "risk", "*.py"), (PACKAGE / "contracts", "age.py")]
    for path in sorted(path for folder, names in folders for path in folder.glob(names)):
        told.update(path.name.encode() + b"\0" + path.read_bytes())
    return told.hexdigest()


def assess_touched(connection: Connection, protocols: tuple[Protocol, ...], on: date) -> dict[str, int]:
    """Keep the verdicts and flags of the children in temp table `touched`; counts."""
    connection.execute("create or replace temp table touched as select distinct child_key from touched")
    if not count_rows(connection, "select count(*) from touched"):
        return {"children": 0, "verdicts": 0, "flags": 0}
    birth = read_rows(connection, _BIRTH.format("semi join touched using (child_key)"))
    verdict, flag = _join(assess_children(connection, birth, protocols))
    scope = "child_key in (select child_key from touched)"
    born = "birth_on between date '{}' and date '{}' and ".format(*read_span(connection, "touched"))
    verdicts = replace_state(connection, "clinical.verdict", verdict, ["child_key", "programme"], born + scope, on)
    flags = replace_state(connection, "clinical.flag", flag, ["flag_id"], scope, on)
    return {"children": len(birth), "verdicts": verdicts["opened"], "flags": flags["opened"]}


def assess_children(connection: Connection, birth: pl.DataFrame, protocols: tuple[Protocol, ...]) -> Iterator[Assessed]:
    """What is to be said of some children after others, in order of `birth` (columns of clinical.birth); one answer at least.

    Each answer is of the children in temp table `assessed`. Results are read by many children, as each reading looks through
    the lake, and assessed by fewer, as memory that is used again need not be cleared again.
    """
    for many in _slice(birth, _READ_AT_ONCE):
        put_frame(connection, "assessed", many.select("child_key", (pl.int_range(pl.len()) // _AT_ONCE).alias("part_no")))
        first, last = read_span(connection, "assessed")
        results = read_rows(connection, f"""
            select part_no, child_key, programme, component, stage_code, examined_on, examined_at, value, comparator, unit,
                   result_code, status_code, is_transfused, gestation_wk, record_key
            from lake.clinical.screening join assessed using (child_key)
            where known_to is null and not is_cancelled and birth_on between date '{first}' and date '{last}'""")  # fmt: skip
        yield _join(
            assess_risk(results.filter(pl.col("part_no") == number), some, protocols) for number, some in enumerate(_slice(many, _AT_ONCE))
        )


def compare_state(connection: Connection, protocols: tuple[Protocol, ...]) -> tuple[int, int]:
    """(verdicts and flags of all children told anew, how many differ from what nights built up)."""
    tables = ("clinical.verdict", "clinical.flag")
    birth = read_rows(connection, _BIRTH.format(""))
    put_frame(connection, "living", birth.select("child_key"))
    held = "lake.{} {} join {} using (child_key) where known_to is null"
    told, broken = 0, sum(count_rows(connection, f"select count(*) from {held.format(table, 'anti', 'living')}") for table in tables)
    for assessed in assess_children(connection, birth, protocols):
        for table, state in zip(tables, assessed, strict=True):
            columns = [name for name in LAKE[table].column_names() if not name.startswith("known_")]
            before = read_rows(connection, f"select {', '.join(columns)} from {held.format(table, 'semi', 'assessed')}")
            again = state.select(pl.col(c).cast(before.schema[c]) for c in columns)
            told += len(again)
            broken += sum(len(a.join(b, on=columns, how="anti", nulls_equal=True)) for a, b in ((again, before), (before, again)))
    return told, broken


def _join(parts: Iterable[Assessed]) -> Assessed:
    verdicts, flags = zip(*parts, strict=True)
    return Assessed(pl.concat(verdicts), pl.concat(flags))


def _slice(frame: pl.DataFrame, count: int) -> Iterator[pl.DataFrame]:
    """The frame in slices of so many rows; one at least."""
    return (frame.slice(first, count) for first in range(0, max(len(frame), 1), count))


def read_span(connection: Connection, children: str) -> tuple[date, date]:
    """First and last day of birth, of every version: a result or verdict keeps the date of birth it came with."""
    found = read_rows(connection, f"select min(birth_on), max(birth_on) from lake.clinical.birth semi join {children} using (child_key)")
    first, last = found.row(0)
    return first or date.min, last or date.min
