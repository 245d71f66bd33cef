"""Where in a text file its rows begin: a quoted value may hold line breaks, and a quote nobody closed takes in the lines below it."""

from collections.abc import Mapping
from typing import NamedTuple

import polars as pl
import pyarrow as pa

from pipelines.intake.refusal import list_findings

_BREAK = r"\r\n|\n|\r"


class Placed(NamedTuple):
    """Lines of the rows that parsed, number -> line of those that did not, and findings of rows that took in others."""

    lines: pl.Series
    broken: dict[int, int]
    finding: pl.DataFrame


class LineCount:
    """From the number of a row to the line where it begins, over the batches of a file in order."""

    def __init__(self, separator: str) -> None:
        self._separator = separator
        self._shift = 0

    def place(self, sent: pl.DataFrame, numbers: pl.Series, broken: Mapping[int, str], *, has_breaks: bool) -> Placed:
        """Rows that parsed, by number, and the text of those that did not; `has_breaks`: some value holds a line break."""
        if not has_breaks and not any(map(_count_breaks, broken.values())):
            return Placed(numbers + self._shift, {no: no + self._shift for no in broken}, list_findings([]))
        breaks = pl.sum_horizontal(pl.col(c).str.count_matches(_BREAK).fill_null(0) for c in sent.columns)
        parsed = sent.select(numbers.alias("no"), breaks.cast(pl.Int64).alias("breaks"), self._is_swallowing(sent).alias("is_swallowing"))
        told = [(no, _count_breaks(text), _count_breaks(text) > 0) for no, text in broken.items()]
        every = pl.concat([parsed, pl.DataFrame(told, schema=parsed.schema, orient="row")]).sort("no")
        every = every.with_columns((pl.col("no") + self._shift + pl.col("breaks").cum_sum() - pl.col("breaks")).alias("line"))
        self._shift += int(every["breaks"].sum())
        line_of = dict(every.select("no", "line").iter_rows())
        lines = parsed.join(every.select("no", "line"), on="no", how="left", maintain_order="left")["line"]
        return Placed(lines.alias("row_no"), {no: line_of[no] for no in broken}, _tell_swallowed(every))

    def _is_swallowing(self, sent: pl.DataFrame) -> pl.Expr:
        """A value of several lines with as many separators as a row has: a row, or what is left of two."""
        most = len(sent.columns) - 1
        return pl.any_horizontal(
            (pl.col(c).str.count_matches(self._separator, literal=True) >= most).fill_null(value=False) & pl.col(c).str.contains(_BREAK)
            for c in sent.columns
        )


def holds_breaks(batch: pa.RecordBatch) -> bool:
    """Whether any value of a batch of texts holds a line break: its buffers are looked through, not its values."""
    buffers = [buffer.to_pybytes() for column in batch.columns if (buffer := column.buffers()[2]) is not None]
    return any(b"\n" in text or b"\r" in text for text in buffers)


def _tell_swallowed(every: pl.DataFrame) -> pl.DataFrame:
    rows = every.filter("is_swallowing").select("line", "breaks").iter_rows()
    return list_findings([(line, _name_lines(line + 1, line + breaks), "quote_unclosed", "error") for line, breaks in rows])


def _name_lines(first: int, last: int) -> str:
    return f"{first}-{last}" if last > first else str(first)


def _count_breaks(text: str) -> int:
    text = text.rstrip("\r\n").replace("\r\n", "\n")
    return text.count("\n") + text.count("\r")
