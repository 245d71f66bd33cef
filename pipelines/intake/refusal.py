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


class FileRefusedError(Exception):
    """A whole file is refused; `code` is the finding code, `columns` the headers it is about (never a value).

    `differences`: the declared counts that do not hold, where they are the reason.
    """

    def __init__(
        self, code: str, columns: tuple[str, ...] = (), differences: tuple[Difference, ...] = ()
    ) -> None:
        super().__init__(code)
        self.code, self.columns, self.differences = code, columns, differences


def list_findings(rows: list[tuple[int | None, str | None, str, str]]) -> pl.DataFrame:
    """A findings frame from (row_no, column, code, severity)."""
    return pl.DataFrame(rows, schema=FINDING_SCHEMA, orient="row")
