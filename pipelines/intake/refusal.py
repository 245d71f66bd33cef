"""What is wrong with what was sent: a finding on a row, or a file that is refused whole. Codes and counts, never a value."""

from typing import NamedTuple

import polars as pl

FINDING_SCHEMA: dict[str, pl.DataType] = {
    "row_no": pl.Int64(), "column": pl.String(), "code": pl.String(), "severity": pl.String(),
}  # fmt: skip


class Difference(NamedTuple):
    """What a sender declared against what its own rows give: counts only, never another value of a row.

    `declared` is None where what was declared is no number, `column` where it is the number of rows.
    """

    row_no: int
    column: str | None
    code: str
    declared: float | None
    computed: float

    @property
    def detail(self) -> str:
        """The counts as text: `declared=120 computed=118 difference=2`."""
        if self.declared is None:
            return f"computed={round(self.computed, 4):.12g}"
        told = (self.declared, self.computed, self.declared - self.computed)
        return "declared={} computed={} difference={}".format(*(f"{round(x, 4):.12g}" for x in told))


class Remark(NamedTuple):
    """What is told beside the reason why a file is refused: a code of its own, about a layout, a sheet or a separator (`column`)."""

    column: str
    code: str
    row_no: int | None = None
    detail: str | None = None


class FileRefusedError(Exception):
    """A whole file is refused; `code` is the finding code, `columns` the headers it is about (never a value).

    `differences`: the declared counts that do not hold, where they are the reason, and remarks. `known`: how many of its headers are
    those of a layout: of several reasons the one that comes nearest to a layout is told.
    """

    def __init__(
        self, code: str, columns: tuple[str, ...] = (), differences: tuple[Difference | Remark, ...] = (), known: int = 0
    ) -> None:
        super().__init__(code)
        self.code, self.columns, self.differences, self.known = code, columns, differences, known

    def remark(self, column: str, code: str) -> "FileRefusedError":
        """The same with a remark."""
        self.differences = (*self.differences, Remark(column, code))
        return self


class HeaderChangedError(FileRefusedError):
    """layout_header_changed: the layout that is meant lacks some of its headers; `is_near`: more than half of what it requires is there."""

    def __init__(self, layout: str, separator: str, lacking: tuple[str, ...], known: int, *, is_near: bool) -> None:
        super().__init__("layout_header_changed", lacking, (Remark(layout, "layout_meant"),), known)
        self.separator, self.is_near = separator, is_near


def list_findings(rows: list[tuple[int | None, str | None, str, str]]) -> pl.DataFrame:
    """A findings frame from (row_no, column, code, severity)."""
    return pl.DataFrame(rows, schema=FINDING_SCHEMA, orient="row")
