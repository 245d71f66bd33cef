"""What every reader gives: chunks of rows as text, and what it noticed while reading; a module a format."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import polars as pl

FINDING_SCHEMA: dict[str, pl.DataType] = {
    "row_no": pl.Int64(), "column": pl.String(), "code": pl.String(), "severity": pl.String(),
}  # fmt: skip


class FileRefusedError(Exception):
    """A whole file is refused; `code` is the finding code, `columns` the headers it is about (never a value)."""

    def __init__(self, code: str, columns: tuple[str, ...] = ()) -> None:
        super().__init__(code)
        self.code, self.columns = code, columns


class Chunk(NamedTuple):
    """Rows of one file: `rows` is all text but `row_no` (Int64); `findings` has FINDING_SCHEMA."""

    rows: pl.DataFrame
    findings: pl.DataFrame


class Reader(Protocol):
    """A module of this folder that reads one format."""

    def read_chunks(self, path: Path) -> Iterator[Chunk]:
        """Chunks in file order; memory is bounded by the chunk, not by the file."""


def list_findings(rows: list[tuple[int | None, str | None, str, str]]) -> pl.DataFrame:
    """A findings frame from (row_no, column, code, severity)."""
    return pl.DataFrame(rows, schema=FINDING_SCHEMA, orient="row")
