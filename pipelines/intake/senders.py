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

from pipelines.intake.refusal import list_findings

_LOOK_ALIKES = Path(__file__).parent / "look_alikes.toml"
_MOST_TOLD = 50
"""Unregistered ids that are told of one file: where more differ, its column of senders holds something else."""


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
    """row_no and sender_id of refused records, a row once: whom the register knows by what they name, or by what is meant; null for any other.

    Nobody vouches for what stands in a refused row: it may be a name that slipped into the column.
    """
    known: dict[str, str] = {}
    if register is not None:
        said = refused["sender_id"].drop_nulls().unique()
        known = {one: found for one in said if (found := one if one in register.ids else register.alike.get(fold_id(one))) in register.ids}
    named = pl.col("sender_id").replace_strict(known, default=None, return_dtype=pl.String)
    return refused.select("row_no", named).unique("row_no", keep="first", maintain_order=True)


class Tally:
    """The senders of a file: the first row of each that has accepted ones (`first_rows`), and the rows of each."""

    def __init__(self) -> None:
        self.first_rows: dict[str, int] = {}
        self.accepted, self.refused = Counter[str](), Counter[str]()

    def add(self, accepted: pl.DataFrame, quarantine: pl.DataFrame) -> None:
        """Count a chunk: its accepted records, and its refused rows with their senders by name_refused."""
        counted = _count_rows(accepted)
        for one in counted.keys() - self.first_rows.keys():
            self.first_rows[one] = accepted.filter(pl.col("sender_id") == one)["row_no"].min()  # type: ignore[assignment]
        self.accepted.update(counted)
        self.refused.update(_count_rows(quarantine))

    def tell_strangers(self, register: Register | None) -> pl.DataFrame:
        """A finding for each sender of accepted rows that the register does not know; of the whole file where it has no other."""
        unknown = sorted(row for one, row in self.first_rows.items() if register and one not in register.ids)
        is_whole = len(self.first_rows) == 1
        return list_findings([(None if is_whole else row, "sender_id", "sender_id_unregistered", "warning") for row in unknown[:_MOST_TOLD]])

    def name_senders(self, register: Register | None, *, is_refused: bool) -> dict[str, object]:
        """`sender_id`: whose the file is; `senders`: where its rows name several, each with its rows: received, refused.

        It is of the one whose rows are accepted, else of the one that its refused rows name. Of a file refused whole no row
        was judged to its end: it is of those that the register knows, and no row counts.
        """
        every = sorted(self.accepted | self.refused)
        known = [one for one in every if not is_refused or (register and one in register.ids)]
        rows = {one: [0, 0] if is_refused else [self.accepted[one] + self.refused[one], self.refused[one]] for one in known}
        taken = [one for one in known if self.accepted[one]] or known
        return {"sender_id": taken[0] if len(taken) == 1 else None, "senders": rows if len(rows) > 1 else {}}


def _count_rows(records: pl.DataFrame) -> dict[str, int]:
    """Sender -> the rows that name it; a row may be several records."""
    is_plain = records["row_no"].n_unique() == len(records)
    rows = records if is_plain else records.select("row_no", "sender_id").unique("row_no")
    return dict(rows["sender_id"].drop_nulls().value_counts().rows())
