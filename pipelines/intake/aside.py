"""Rows of a table that are no records: totals, the numbers of the columns, the header once more. They are set aside and told.

The header of another table, one whose columns stand elsewhere, is none of these: what is below it would be read by the wrong header,
so that the file is refused. What a reader of text and a reader of workbooks set aside is one and the same, and a row that could be a
record is never among it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from pipelines.intake.layout import Layout
from pipelines.intake.refusal import FileRefusedError, Remark, list_findings

TOTAL = (
    r"^\s*(?:итого|итог|всего|жиыны|барлығы|барлыгы|қорытынды|total|grand total)"
    r"(?:\s+(?:(?:по|for|бойынша)\b.*|дет(?:ей|и)|осмотрено|бала(?:лар)?|children))?"
    r"\s*:?\s*(?:[0-9][0-9\s]*)?(?:детей|чел\.?|человек|бала|children)?\s*$"
)
"""What the first filled cell of a total row says, in lower case."""
_LETTERS = ("", "а|", "а|б|", "а|б|в|", "a|", "a|b|", "a|b|c|")
"""Forms of the order number their columns 1, 2, 3, or А, Б, 1, 2: the letters are of columns that name a row."""
_FIRST_NUMBERS = ("1", "(1)", "1.", "А", "а", "A", "a")
_FEWEST = 3
"""Columns that are numbered at least: fewer numbers in order may be a record."""
_AROUND = "(). \u00a0\t"
_MARK = "\ufeff"
"""A byte order mark, which stands in the midst of files that were joined."""
_MOST_TOLD = 5


class SetAside(NamedTuple):
    """Rows of a chunk that are records, those that are none, and a finding for each of the latter."""

    rows: pl.DataFrame
    other: pl.DataFrame
    finding: pl.DataFrame


def set_aside(rows: pl.DataFrame, said: dict[str, frozenset[str]], layout: Layout) -> SetAside:
    """What is no record apart from the records; `said`: own column of the table -> what stands in its header rows.

    Totals stay where the layout checks them (intake.totals). Raises FileRefusedError: header_differs_below.
    """
    found = [_find_headings(rows, said, layout)]
    if layout.totals is None:
        found.append(_find_totals(rows, list(said), layout))
    told = pl.concat(found).unique("row_no", keep="first", maintain_order=True)
    if told.is_empty():
        return SetAside(rows, rows.clear(), list_findings([]))
    is_other = pl.col("row_no").is_in(told["row_no"].implode())
    finding = list_findings([(no, None, code, "info") for no, code in told.iter_rows()])
    return SetAside(rows.filter(~is_other), rows.filter(is_other), finding)


def says_total(cells: Sequence[str], group: str | None = None) -> pl.Expr:
    """Whether the first filled of these cells says total, or that of the column `group`."""
    said = [pl.coalesce(pl.col(cells)), *([pl.col(group)] if group and group in cells else [])]
    return pl.any_horizontal(cell.str.to_lowercase().str.contains(TOTAL).fill_null(False) for cell in said)


def _find_totals(rows: pl.DataFrame, own: list[str], layout: Layout) -> pl.DataFrame:
    """Rows that say total and lack what every record has: only those are looked at, and of most files there are none."""
    needed = [name for name in own if name in layout.required] or own
    lacking = rows.filter(pl.any_horizontal(pl.col(needed).is_null())) if any(rows[name].null_count() for name in needed) else rows.clear()
    return _name(lacking.filter(says_total(own)) if len(lacking) else lacking, "total_row_set_aside")


def _find_headings(rows: pl.DataFrame, said: dict[str, frozenset[str]], layout: Layout) -> pl.DataFrame:
    """Rows of the numbers of the columns, and rows of the header: by what their first filled cell says few rows are looked at."""
    own = list(said)
    first = pl.col(own[0]) if not rows[own[0]].null_count() else pl.coalesce(pl.col(own))
    known = layout.headers.union(*said.values())
    near = rows.filter(first.is_in([*_FIRST_NUMBERS, *known, *(_MARK + text for text in known)]))
    if near.is_empty():
        return _name(near, "")
    plain = [pl.col(name).str.strip_chars(_AROUND).str.to_lowercase() for name in own]
    joined = pl.concat_str(plain, separator="|", ignore_nulls=True) + "|"
    numbers = "".join(f"{number}|" for number in range(1, len(own) + 1))
    filled = pl.sum_horizontal(pl.col(own).is_not_null())
    is_numbers = (filled >= _FEWEST) & pl.any_horizontal(pl.lit(letters + numbers).str.starts_with(joined) for letters in _LETTERS)
    text = {name: pl.col(name).str.replace_all(r"\s+", " ").str.strip_chars(f" {_MARK}") for name in own}
    is_own = {name: text[name].is_null() | text[name].is_in(list(texts)) for name, texts in said.items()}
    is_header = (filled > 1) & pl.all_horizontal(is_own.values())
    named = pl.sum_horizontal(text[name].is_in(list(known)) for name in own)
    other = near.filter(~is_header & (named >= _FEWEST) & (2 * named > filled))
    if len(other):
        _refuse_other(other.head(1), is_own)
    return pl.concat([_name(near.filter(is_numbers), "number_row_set_aside"), _name(near.filter(is_header), "header_row_set_aside")])


def _refuse_other(header: pl.DataFrame, is_own: dict[str, pl.Expr]) -> None:
    """Raises FileRefusedError with the columns in which the header of another table differs from that above."""
    (moved,) = header.select(**is_own).rows(named=True)
    about = [Remark(name, "header_out_of_place", header["row_no"][0]) for name, is_so in moved.items() if not is_so]
    raise FileRefusedError("header_differs_below", differences=tuple(about[:_MOST_TOLD]))


def _name(rows: pl.DataFrame, code: str) -> pl.DataFrame:
    return rows.select("row_no", pl.lit(code).alias("code"))


def pad_line(cells: Sequence[str], width: int) -> list[str | None] | None:
    """A line of fewer cells than a row has as that row; None for one of more, blanks at its end not counted."""
    filled = max((place + 1 for place, cell in enumerate(cells) if cell.strip()), default=0)
    return [*(cell or None for cell in cells[:filled]), *[None] * (width - filled)] if filled <= width else None
