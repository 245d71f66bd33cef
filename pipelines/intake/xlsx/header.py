"""Where a sheet's table begins: its header among titles, in one to three rows, and what the titles say for every row."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pipelines.intake.layout import REASONS, Layout, fold_header, match_layout
from pipelines.intake.reading import OURS, name_place
from pipelines.intake.refusal import FileRefusedError
from pipelines.intake.xlsx.book import Cells
from pipelines.intake.xlsx.cells import Merged

DEPTH = 60
"""Rows of a sheet among which its header is looked for."""
_SPANS = (1, 2, 3)
Row = Sequence[str | None]


class Table(NamedTuple):
    """A table of a sheet: `headers` column -> header in the layout's spelling; rows count from 0 within the head.

    `titles`: header -> the cell above the table that says it for every row.
    """

    layout: Layout
    headers: Mapping[int, str]
    first_row: int
    titles: Mapping[str, str]


def list_head(cells: Cells) -> list[list[str | None]]:
    """The first rows of a sheet, from its column A on."""
    height = len(next(iter(cells.values())))
    width = max(cells) + 1
    return [[cells[c][row] if c in cells else None for c in range(width)] for row in range(min(height, DEPTH))]


def find_table(head: Sequence[Row], merged: Merged, layouts: Sequence[Layout]) -> Table:
    """The table of a sheet's first rows (from its row 1 on), by the header that knows most of any layout's columns.

    Raises FileRefusedError: layout_unknown, layout_header_changed, header_repeated.
    """
    spelled = {fold_header(header): header for layout in layouts for header in sorted(layout.headers)}
    filled = fill_merged(head, merged)
    best: tuple[int, int, int, dict[int, str]] | None = None
    for row in range(min(len(filled), DEPTH)):
        for span in _SPANS:
            joined = join_rows(filled[row : row + span])
            known = len({fold_header(text) for text in joined.values()} & spelled.keys())
            if known and (best is None or known > best[0]):
                best = (known, row, span, joined)
    if best is None:
        raise FileRefusedError("layout_unknown")
    _, row, span, joined = best
    headers = {column: spelled.get(fold_header(text), text) for column, text in joined.items()}
    names = [h for h in headers.values() if h in spelled.values()]
    if doubled := sorted({h for h in names if names.count(h) > 1}):
        raise FileRefusedError("header_repeated", tuple(doubled))
    titles = {h: cell for h, cell in _read_titles(head[:row], spelled) if h not in headers.values()}
    layout = match_layout([*headers.values(), *titles], layouts)
    kept = {h: cell for h, cell in titles.items() if h in layout.headers}
    return Table(layout, _tell_apart(headers, head, row + span), row + span, kept)


def _tell_apart(headers: Mapping[int, str], head: Sequence[Row], first: int) -> dict[int, str]:
    """Headers by column without our own reasons; a column without a header is kept if it holds something."""
    width = max(len(row) for row in head)
    told: dict[int, str] = {}
    for column in range(width):
        text = headers.get(column, "")
        if text == REASONS or (not text and not any(_said(row, column) for row in head[first:])):
            continue
        name = text or f"[{name_place(column)}]"
        told[column] = f"{name} [{name_place(column)}]" if name in told.values() or name in OURS else name
    return told


def fill_merged(head: Sequence[Row], merged: Merged) -> list[list[str | None]]:
    """The head with every merged cell saying what its first cell says."""
    filled = [list(row) for row in head]
    room = sum(map(len, filled))  # more than this only areas fill that overlap, as none may
    for top, left, bottom, right in merged:
        if top < 0 or top >= len(filled) or left >= len(filled[top]):
            continue
        room -= max(min(bottom, len(filled) - 1) - top + 1, 0) * max(min(right, len(filled[top]) - 1) - left + 1, 0)
        if room < 0:
            break
        for row in filled[top : bottom + 1]:
            for column in range(left, min(right + 1, len(row))):
                row[column] = filled[top][left]
    return filled


def join_rows(rows: Sequence[Row]) -> dict[int, str]:
    """Column -> its header, joined downwards; a group's name goes on to the right over the columns it has none of."""
    width = max((len(row) for row in rows), default=0)
    joined: dict[int, list[str]] = {column: [] for column in range(width)}
    for place, row in enumerate(rows):
        above = ""
        for column in range(width):
            text = _said(row, column)
            is_led = any(_said(lower, column) for lower in rows[place + 1 :])
            above = text or (above if is_led else "")
            said = text or above
            if said and (not joined[column] or joined[column][-1] != said):
                joined[column].append(said)
    return {column: " ".join(parts) for column, parts in joined.items() if parts}


def _read_titles(rows: Sequence[Row], spelled: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """What stands above a table as `label: value`, in one cell or in two, for the labels that a layout knows."""
    for row in rows:
        cells = [cell for cell in row if cell and cell.strip()]
        for place, cell in enumerate(cells):
            label, colon, value = cell.partition(":")
            if header := spelled.get(fold_header(label)):
                if colon and value.strip():
                    yield header, value.strip()
                elif place + 1 < len(cells):
                    yield header, cells[place + 1]


def _said(row: Row, column: int) -> str:
    return " ".join((row[column] or "").split()) if column < len(row) else ""
