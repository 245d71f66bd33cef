"""Results of many messages before they are a frame: tuples that point to what is told of their child and their order."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from pipelines.contracts import ScreeningRecord
from pipelines.intake.hl7.notes import MOST_NAMES
from pipelines.intake.layout import MENDS

_COLUMNS = [c for c in ScreeningRecord.column_names() if c not in {"submission_id", "row_no", "received_on"}]
CHILD = (
    "sender_id", "child_iin", "mother_iin", "birth_on", "birth_order", "sex_code", "maternity_id", "history_no", "card_no",
    "family_name", "given_name", "mother_family_name", "mother_given_name", "facility_id", "stage_code", "gestation_wk",
    "is_transfused", "collected_on", "collected_at",
)  # fmt: skip
"""What is told of a child and its specimen: on every result of its group."""
ORDER = ("issued_at", "reported_on", "ordered_on", "ordered_at")
ROW = (
    "row_no", "child_no", "order_no", "source_id", "programme", "component", "status_code", "result_code", "value",
    "comparator", "unit", "said_on", "said_at", "sent",
)  # fmt: skip
"""What a result says itself; child_no and order_no are places in the sheet's lists."""
_LATER = ("corrected", "cancelled")

Found = tuple[int | None, str | None, str, str]


class Sheet:
    """Rows (tuples of ROW), what they point to, and findings, of many messages."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self.children: list[dict[str, str | None]] = []
        self.orders: list[dict[str, str | None]] = []
        self.findings: list[Found] = []
        self.names: dict[int, list[str]] = {}

    def refuse(self, line_no: int, text: str, code: str, source_id: str | None = None, sender_id: str | None = None) -> None:
        """A message that gives no result is one row, refused: it is counted, kept and told like any other."""
        self.children.append({"sender_id": sender_id})
        self.orders.append({})
        empty = [None] * (len(ROW) - 5)
        sent = text.replace("\r", "\n")
        self.rows.append((line_no, len(self.children) - 1, len(self.orders) - 1, source_id, *empty, sent))
        self.findings.append((line_no, None, code, "error"))

    def name_rows(self, first: int, names: Mapping[int, list[str]]) -> None:
        """Keep which refused rows the rows from `first` on mend: a name is of the rows of its line, else of all of them."""
        numbers = {row[0] for row in self.rows[first:]}
        of_all = [name for line, found in names.items() if line not in numbers for name in found][:MOST_NAMES]
        for number in numbers:
            if said := [*names.get(number, ()), *of_all]:
                self.names.setdefault(number, []).extend(said)


def frame_rows(sheet: Sheet) -> pl.DataFrame:
    """The rows of a sheet in our columns, all text but `row_no`; what is told of a child or an order, on each of its results."""
    columns: list[Any] = list(zip(*sheet.rows, strict=True)) or [() for _ in ROW]
    kinds = {"row_no": pl.Int64, "child_no": pl.UInt32, "order_no": pl.UInt32}
    rows = pl.DataFrame([pl.Series(name, list(c), kinds.get(name, pl.String)) for name, c in zip(ROW, columns, strict=True)])
    child = _frame_told(sheet.children, CHILD)[rows["child_no"]]
    order = _frame_told(sheet.orders, ORDER)[rows["order_no"]]
    return (
        pl.concat([rows, child, order], how="horizontal")
        .with_columns(pl.coalesce("said_on", "ordered_on", "collected_on").alias("examined_on"))
        .with_columns(
            pl.coalesce(
                pl.when(pl.col(moment).str.starts_with(pl.col("examined_on"))).then(pl.col(moment))
                for moment in ("said_at", "ordered_at", "collected_at")
            ).alias("examined_at")  # a moment of another day is none of this result
        )
        .pipe(_date_corrections, sheet.orders)
        .with_columns(
            pl.when(pl.col("status_code") == "corrected").then(pl.lit("correct"))
            .when(pl.col("status_code").is_not_null()).then(pl.lit("report")).alias("action_code")
        )
        .pipe(_add_unsaid)
        .pipe(_add_names, sheet.names)
        .select("row_no", *_COLUMNS, *([MENDS] if sheet.names else []), "sent")
    )  # fmt: skip


def _date_corrections(rows: pl.DataFrame, orders: list[dict[str, str | None]]) -> pl.DataFrame:
    """A correction may tell the time of the report it corrects: it was issued when it was sent, unless its report is later."""
    is_later = rows["status_code"].is_in(_LATER)
    if not is_later.any():
        return rows
    sent_at = _frame_told(orders, ("sent_at",))[rows["order_no"]]["sent_at"]
    return rows.with_columns(pl.when(is_later).then(pl.max_horizontal("issued_at", sent_at)).otherwise("issued_at").alias("issued_at"))


def _add_unsaid(rows: pl.DataFrame) -> pl.DataFrame:
    """The columns of the contract of which HL7 says nothing."""
    return rows.with_columns(pl.lit(None, pl.String).alias(name) for name in _COLUMNS if name not in rows.columns)


def _add_names(rows: pl.DataFrame, names: Mapping[int, list[str]]) -> pl.DataFrame:
    if not names:
        return rows
    said = {number: " ".join(found) for number, found in names.items()}
    return rows.with_columns(pl.col("row_no").replace_strict(said, default=None, return_dtype=pl.String).alias(MENDS))


def _frame_told(told: list[dict[str, str | None]], names: tuple[str, ...]) -> pl.DataFrame:
    return pl.DataFrame([pl.Series(name, [one.get(name) for one in told], pl.String) for name in names])
