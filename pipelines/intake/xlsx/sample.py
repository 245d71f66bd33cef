"""The table of an unknown workbook as a sample for a proposal: the sheet with most rows, its header wherever it stands."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from pipelines.intake.heading import join_rows
from pipelines.intake.proposal import Sample
from pipelines.intake.reading import Limits
from pipelines.intake.refusal import FileRefusedError
from pipelines.intake.xlsx.book import Cells, open_book
from pipelines.intake.xlsx.header import fill_merged, list_head

_SPANS = 3
_BROAD = 0.6
"""A header fills at least this share of the broadest row near it: a title fills less."""
_SAMPLED = 1_000
_NO_TIME = r"^([0-9]{4}-[0-9]{2}-[0-9]{2}) 00:00:00$"
_LETTER = r"\p{L}"
_SEPARATOR = ";"


def sample_workbook(path: Path, limits: Limits) -> Sample:
    """Headers and the first values of a workbook's greatest table, as `guess.read_sample` gives those of text.

    Raises FileRefusedError: what `open_book` refuses; layout_unknown where no sheet has a header; header_repeated.
    """
    best: tuple[int, dict[int, str], int, Cells] | None = None
    book = open_book(path, limits)
    for _, name, cells, *_ in book.list_sheets():
        if len(cells) > limits.columns:
            raise FileRefusedError("file_too_wide")
        found = find_header(fill_merged(list_head(cells), book.package.merged.get(name, ())))
        if found is not None:
            headers, first_row = found
            count = len(next(iter(cells.values()))) - first_row
            if best is None or count > best[0]:
                best = (count, headers, first_row, cells)
    if best is None:
        raise FileRefusedError("layout_unknown")
    _, headers, first_row, cells = best
    names = list(headers.values())
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise FileRefusedError("header_repeated", tuple(doubled))
    return Sample("utf-8", _SEPARATOR, tuple(names), {
        name: _read_values(cells[place], first_row) if place in cells else () for place, name in headers.items()
    })  # fmt: skip


def find_header(head: Sequence[Sequence[str | None]]) -> tuple[dict[int, str], int] | None:
    """Column -> header and the row below it: the first broad row of words, joined with the next while groups share a name."""
    broadest = max((sum(1 for cell in row if cell) for row in head), default=0)
    for row, cells in enumerate(head):
        filled = pl.Series([cell for cell in cells if cell and cell.strip()], dtype=pl.String)
        if len(filled) < max(2, _BROAD * broadest) or filled.n_unique() < 2 or not filled.str.contains(_LETTER).all():
            continue
        for span in range(1, _SPANS + 1):
            headers = join_rows(head[row : row + span])
            if len(set(headers.values())) == len(headers):
                break
        return headers, row + span
    return None


def _read_values(cells: pl.Series, first_row: int) -> tuple[str, ...]:
    """The first filled cells below a header; a date cell without a time of day as its day."""
    text = cells[first_row : first_row + _SAMPLED].drop_nulls().str.strip_chars().str.replace(_NO_TIME, "$1")
    return tuple(text.filter(text != ""))
