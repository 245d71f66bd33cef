"""Dirt of named kinds at known rates (nation.toml): what senders do wrong, and the finding each must lead to.

A row is spoiled in one way. `code` is the finding that refuses it; null = the row must be accepted as it is, `note` says why.
"""

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

import polars as pl

from pipelines.intake.layout import Layout
from pipelines.simulate.people import Generator, make_iins

TRUTH = {"file": pl.String, "row_no": pl.Int64, "kind": pl.String, "code": pl.String}
_FUTURE, _BEFORE, _LONG = date(2099, 12, 31), date(2001, 1, 2), "Ы" * 201
_MAIN_DAYS = ("examined_on", "decided_on", "confirmed_on")


class Kind(NamedTuple):
    """One way to spoil a row: the column it is seen in, the finding (None = harmless), and what is written there."""

    name: str
    column: str
    code: str | None
    write: pl.Expr


class Spoiled(NamedTuple):
    """`text`: the rows as they are written; `wide`: row numbers that get one field too many; `dirty`: row_no, kind, code."""

    text: pl.DataFrame
    wide: list[int]
    dirty: pl.DataFrame


def list_kinds(layout: Layout) -> list[Kind]:
    """The ways in which rows of a layout can go wrong: column = header of the file."""
    headers = {ours: header for header, ours in layout.columns.items()}
    form, free = layout.dates[0], make_iins(1, 83)[0]
    kinds = []

    def add(name: str, ours: str, code: str | None, write: pl.Expr) -> None:
        if ours in headers:
            kinds.append(Kind(name, headers[ours], code, write))

    mother = pl.col(headers.get("mother_iin", ""))
    last = (mother.str.slice(-1).cast(pl.Int64, strict=False) + 1) % 10
    add("check_digit", "mother_iin", "mother_iin_checksum", mother.str.head(11) + last.cast(pl.String))
    add("day_unreadable", "birth_on", "birth_on_unreadable", pl.lit("31.02.2026"))
    add("sex_unknown", "sex_code", "sex_code_unknown", pl.lit("Х"))
    add("required_blank", "source_id", "source_id_missing", pl.lit(None, pl.String))
    days = [day for day in _MAIN_DAYS if day in headers] or ["birth_on"]
    add("day_in_future", days[0], f"{days[0]}_in_future", pl.lit(f"{_FUTURE:{form}}"))
    if days[0] in ("examined_on", "decided_on"):
        add("day_before_birth", days[0], f"{days[0]}_before_birth", pl.lit(f"{_BEFORE:{form}}"))
    add("name_placeholder", "given_name", None, pl.lit("BABY"))
    add("text_too_long", "given_name", "given_name_malformed", pl.lit(_LONG))
    if layout.decimal == ".":
        add("decimal_comma", "value", "value_unreadable", pl.col(headers.get("value", "")).str.replace(".", ",", literal=True))
    add("unit_wrong", "unit", "unit_unknown", pl.lit("%"))
    add("unit_missing", "unit", "unit_missing", pl.lit(None, pl.String))
    if layout.record == "screening":
        add("child_unknown", "mother_iin", None, pl.lit(str(free)))
    first = next(iter(layout.columns))
    kinds += [Kind("row_too_wide", first, "row_width_differs", pl.col(first)), Kind("row_repeated", first, None, pl.col(first))]
    if layout.decimal == "," and layout.components and layout.components[0].into == "value":
        header = layout.components[0].header
        kinds.append(Kind("decimal_point", header, None, pl.col(header).str.replace(",", ".", literal=True)))
    return kinds


def spoil_rows(text: pl.DataFrame, layout: Layout, rng: Generator, rates: Mapping[str, float]) -> Spoiled:
    """Spoil rows at the rates of their kinds; a kind changes only rows where its column is filled."""
    kinds = [kind for kind in list_kinds(layout) if kind.column in text.columns]
    draw = pl.Series("draw", rng.random(len(text)))
    edges, below = [], 0.0
    for kind in kinds:
        edges.append((below, below + rates[kind.name]))
        below += rates[kind.name]
    marked = text.with_columns(draw).with_row_index("row_no", 2).with_columns(pl.col("row_no").cast(pl.Int64))
    few = marked.filter(pl.col("draw") < below)
    parts, dirty = [], []
    for kind, (low, high) in zip(kinds, edges, strict=True):
        chosen = few.filter((pl.col("draw") >= low) & (pl.col("draw") < high) & pl.col(kind.column).is_not_null())
        if kind.name == "child_unknown":
            chosen = chosen.with_columns(pl.lit(None, pl.String).alias(h) for h, ours in layout.columns.items()
                                         if ours in ("child_iin", "history_no"))  # fmt: skip
        if kind.name == "decimal_comma":
            chosen = chosen.filter(pl.col(kind.column).str.contains(".", literal=True))
        if len(chosen):
            parts.append(chosen.with_columns(kind.write.alias(kind.column)))
            dirty.append(chosen.select("row_no", pl.lit(kind.name).alias("kind"), pl.lit(kind.code, pl.String).alias("code")))
    schema = {name: dtype for name, dtype in TRUTH.items() if name != "file"}
    told = pl.concat(dirty) if dirty else pl.DataFrame(schema=schema)
    clean = marked.join(told, on="row_no", how="anti") if dirty else marked
    whole = pl.concat([clean, *parts]).sort("row_no") if parts else marked
    again = whole.join(told.filter(pl.col("kind") == "row_repeated"), on="row_no", how="semi")
    wide = told.filter(pl.col("kind") == "row_too_wide")["row_no"].to_list()
    return Spoiled(pl.concat([whole, again]).select(text.columns), wide, told)


def widen_lines(written: bytes, wide: list[int], separator: str) -> bytes:
    """The file with one field too many in the lines given (header = 1)."""
    if not wide:
        return written
    lines = written.split(b"\n")
    for number in wide:
        line = lines[number - 1]
        lines[number - 1] = line.removesuffix(b"\r") + separator.encode() + b"x" + (b"\r" if line.endswith(b"\r") else b"")
    return b"\n".join(lines)
