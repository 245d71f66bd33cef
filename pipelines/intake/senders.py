"""Who sends, held against the ministry's registers.

A facility that a register lacks keeps its children's rows: they are taken, and its sender and the steward are told. An id that
only looks like a registered one (a Cyrillic letter, a blank, small letters) is a slip of the hand: its rows would be a sender of
their own whom no correction ever meets, so they are refused, and the id that is meant is named (ids of facilities are not personal).
"""

import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import polars as pl

from pipelines.contracts import EVENT_ON
from pipelines.intake.refusal import FINDING_SCHEMA, list_findings

_LOOK_ALIKES = Path(__file__).parent / "look_alikes.toml"
_MOST_TOLD = 50
"""Unregistered ids that are told of one file: where more differ, its column of senders holds something else."""
_MOST_DAYS = 1 << 17
"""More than any number of days between an event of our calendar and its record (the years of intake.conform)."""
_FRAMES = 8
"""Chunks whose delays are counted apart before they are summed."""
_CARERS = ("phc_id", "maternity_id")
"""Of a birth: who has the child in care, and gets the lists of it where a register knows them."""


class Register(NamedTuple):
    """`ids`: who may send; `alike`: the folded form of an id -> the ids of that form, joined by a stroke."""

    ids: frozenset[str]
    alike: Mapping[str, str]


def open_register(ids: Iterable[str]) -> Register:
    """The register of these ids."""
    forms: dict[str, list[str]] = {}
    for one in sorted(set(ids)):
        forms.setdefault(fold_id(one), []).append(one)
    return Register(frozenset(ids), {form: " / ".join(same) for form, same in forms.items()})


def fold_id(text: str) -> str:
    """An id as the eye reads it: without blanks, in capitals, every letter in the alphabet of its likeness."""
    plain = unicodedata.normalize("NFKC", text)
    seen = "".join(c for c in plain if unicodedata.category(c)[0] not in "ZC")
    return seen.upper().translate(_read_look_alikes())


@cache
def _read_look_alikes(path: Path = _LOOK_ALIKES) -> dict[int, str]:
    letters = tomllib.loads(path.read_text("utf-8"))["letters"]
    return {ord(other): letter for letter, others in letters.items() for other in others}


def find_misspelt(record: pl.DataFrame, register: Register | None) -> pl.DataFrame:
    """A finding for each row whose sender id only looks like a registered one; its `detail` is the id that is meant."""
    meant = {} if register is None else {
        one: register.alike[form]
        for one in record["sender_id"].drop_nulls().unique().sort() if one not in register.ids and (form := fold_id(one)) in register.alike
    }  # fmt: skip
    rows = record.filter(pl.col("sender_id").is_in(list(meant))) if meant else record.clear()
    return rows.select(
        "row_no", pl.lit("sender_id").alias("column"), pl.lit("sender_id_misspelt").alias("code"), pl.lit("error").alias("severity"),
        pl.col("sender_id").replace_strict(meant, default=None, return_dtype=pl.String).alias("detail"),
    ).unique("row_no", keep="first", maintain_order=True)  # fmt: skip


def name_refused(refused: pl.DataFrame, register: Register | None) -> pl.DataFrame:
    """row_no and sender_id of refused records, a row once: by what the row names, or the id that is meant where that only looks like one.

    Nobody vouches for what stands in a refused row: one that no register knows may be a name that slipped into the column.
    """
    known: dict[str, str | None] = {}
    if register is not None:
        for one in refused["sender_id"].drop_nulls().unique():
            meant = one if one in register.ids else register.alike.get(fold_id(one))
            if meant is not None:
                known[one] = meant if meant in register.ids else None  # that of two is neither
    named = pl.col("sender_id").replace(known) if known else pl.col("sender_id")
    return refused.group_by("row_no", maintain_order=True).agg(named.drop_nulls().first())


class Tally:
    """The senders of a file: the rows of each, how late its records came, and the first row of each that no register knows.

    Also the carers of its births whom no register knows: the first row and the number of rows of each.
    """

    def __init__(self, register: Register | None) -> None:
        self.register = register
        self.begin()

    def begin(self) -> None:
        """Count from nothing."""
        self.accepted, self.refused = Counter[str](), Counter[str]()
        self.delays: list[pl.DataFrame] = []
        self.numbers: dict[str, int] = {}
        self.strangers: dict[str, int] = {}
        self.carers: dict[tuple[str, str], tuple[int, int]] = {}

    def add(self, kind: str, accepted: pl.DataFrame, quarantine: pl.DataFrame) -> None:
        """Count a chunk: its accepted records of a kind, and its refused rows by those whom a register knows."""
        counted = _count_rows(accepted)
        if strange := [one for one in counted if not self._knows(one)]:
            first = accepted.filter(pl.col("sender_id").is_in(strange)).group_by("sender_id").agg(pl.col("row_no").min())
            self.strangers = dict(first.iter_rows()) | self.strangers
        self.accepted.update(counted)
        self.refused.update({one: rows for one, rows in _count_rows(quarantine).items() if self.register and self._knows(one)})
        if kind == "birth" and self.register is not None:
            self._add_carers(accepted)
        if kind in EVENT_ON and len(accepted):
            self.delays.append(self._count_delays(accepted, EVENT_ON[kind]))
            if len(self.delays) == _FRAMES:  # what is counted does not grow with the file
                self.delays = [_sum_delays(self.delays)]

    def tell_strangers(self) -> pl.DataFrame:
        """A finding for each sender of accepted rows that no register knows: on its first row, or of the whole file where it has no other."""
        rows = [None] if len(self.accepted) == 1 and self.strangers else sorted(self.strangers.values())[:_MOST_TOLD]
        return list_findings([(row, "sender_id", "sender_id_unregistered", "warning") for row in rows])

    def tell_carers(self) -> pl.DataFrame:
        """A finding (with `detail`) for each carer of accepted births that no register knows, on its first row: how many rows name it.

        Where its id only looks like a registered one, that is the detail.
        """
        told = []
        for (column, one), (row, rows) in sorted(self.carers.items(), key=lambda carer: carer[1])[:_MOST_TOLD]:
            meant = self.register.alike.get(fold_id(one)) if self.register else None
            code = f"{column}_misspelt" if meant else f"{column}_unregistered"
            told.append((row, column, code, "warning", meant or str(rows)))
        return pl.DataFrame(told, schema={**FINDING_SCHEMA, "detail": pl.String()}, orient="row")

    def name_senders(self, *, is_refused: bool) -> dict[str, object]:
        """`sender_id`: whose the file is; `senders`: where its rows name several, each with its rows received and refused, and its delay.

        It is of the one whose rows are accepted, else of the one that its refused rows name. Of a file refused whole no row
        was judged to its end: it is of those that a register knows, and no row counts.
        """
        known = [one for one in sorted(self.accepted | self.refused) if not is_refused or (self.register and self._knows(one))]
        taken = [one for one in known if self.accepted[one]] or known
        several = known if len(known) > 1 else []
        late = find_medians(self._name_delays(_sum_delays(self.delays))) if several and self.delays else {}
        rows = {
            one: (0, 0, None) if is_refused else (self.accepted[one] + self.refused[one], self.refused[one], late.get(one)) for one in several
        }
        return {"sender_id": taken[0] if len(taken) == 1 else None, "senders": rows}

    def _count_delays(self, accepted: pl.DataFrame, event_on: str) -> pl.DataFrame:
        """`packed`: sender and days in one number, and how many `records` came so late: numbers are sorted faster than names are grouped."""
        for one in accepted["sender_id"].unique().drop_nulls():
            self.numbers.setdefault(one, len(self.numbers))
        days = (pl.col("received_on") - pl.col(event_on)).dt.total_days().clip(0, _MOST_DAYS - 1)  # an event is not of the future
        sender = pl.col("sender_id").replace_strict(self.numbers, return_dtype=pl.Int64)
        packed = accepted.select(packed=sender * _MOST_DAYS + days)["packed"].drop_nulls().sort()
        return packed.rle().struct.unnest().select(packed="value", records=pl.col("len").cast(pl.Int64))

    def _name_delays(self, delay: pl.DataFrame) -> pl.DataFrame:
        """sender_id, days, records of what _count_delays packed."""
        names = pl.Series(list(self.numbers), dtype=pl.String)
        return delay.select(
            sender_id=pl.lit(names).gather(pl.col("packed") // _MOST_DAYS), days=pl.col("packed") % _MOST_DAYS, records="records"
        )

    def _add_carers(self, births: pl.DataFrame) -> None:
        for column in _CARERS:
            counted = births.drop_nulls(column).group_by(column).agg(pl.col("row_no").min(), pl.len())
            for one, row, rows in counted.iter_rows():
                if not self._knows(one):
                    first, before = self.carers.get((column, one), (row, 0))
                    self.carers[column, one] = (min(first, row), before + rows)

    def _knows(self, sender: str) -> bool:
        return self.register is None or sender in self.register.ids


def find_medians(delay: pl.DataFrame) -> dict[str, float]:
    """Sender -> the median of its days, the lower of the middle two; `delay`: sender_id, days and how many `records` came so late."""
    is_reached = pl.col("records").cum_sum() >= pl.col("records").sum() / 2
    middle = delay.sort("sender_id", "days").group_by("sender_id").agg(pl.col("days").filter(is_reached).first().cast(pl.Float64))
    return dict(middle.iter_rows())


def _sum_delays(delays: list[pl.DataFrame]) -> pl.DataFrame:
    return delays[0] if len(delays) == 1 else pl.concat(delays).group_by("packed").agg(pl.col("records").sum())


def _count_rows(records: pl.DataFrame) -> dict[str, int]:
    """Sender -> the rows that name it; a row may be several records."""
    is_plain = records["row_no"].n_unique() == len(records)
    rows = records if is_plain else records.select("row_no", "sender_id").unique("row_no")
    return dict(rows["sender_id"].drop_nulls().value_counts().rows())
