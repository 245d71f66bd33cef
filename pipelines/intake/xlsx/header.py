"""The first rows of a sheet, among which its table's header is looked for."""

from collections.abc import Sequence

from pipelines.intake.heading import DEPTH, Row
from pipelines.intake.xlsx.book import Cells
from pipelines.intake.xlsx.cells import Merged


def list_head(cells: Cells) -> list[list[str | None]]:
    """The first rows of a sheet, from its column A on."""
    height = len(next(iter(cells.values())))
    width = max(cells) + 1
    return [[cells[c][row] if c in cells else None for c in range(width)] for row in range(min(height, DEPTH))]


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
