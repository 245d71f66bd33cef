"""Which cell of a wide row a finding is about: a row of several results is several records, and each came from a cell of its own."""

import polars as pl

from pipelines.intake.layout import Layout

_TOLD_BY = ("component", "measure")
"""Our columns, one a kind of record, that tell apart the records of one row."""


def list_cells(layout: Layout) -> dict[str, dict[str, str]]:
    """Our column -> the component or measure of a record -> the header that its value stands under; empty for plain layouts."""
    cells: dict[str, dict[str, str]] = {}
    for part in layout.components:
        told = next((part.constants[name] for name in _TOLD_BY if name in part.constants), None)
        for ours, header in ((part.into, part.header), *((ours, header) for header, ours in part.beside.items())):
            if told is not None:
                cells.setdefault(ours, {})[told] = header
    return cells


def name_cell(column: str | None, layout: Layout) -> pl.Expr:
    """The column of a finding, over the records it is about: ours, or of a wide layout the very header of the cell."""
    cells = list_cells(layout).get(column or "")
    if not cells:
        return pl.lit(column, pl.String)
    by = next(name for name in _TOLD_BY if any(name in part.constants for part in layout.components))
    return pl.col(by).replace_strict(cells, default=column, return_dtype=pl.String)
