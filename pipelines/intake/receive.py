"""Open a file of any format and hand out judged chunks: the front door for every sender."""

import io
from datetime import date
from pathlib import Path
from typing import NamedTuple

import polars as pl

from pipelines.contracts import RECORDS
from pipelines.intake import csv, hl7
from pipelines.intake.conform import conform_rows
from pipelines.intake.judge import judge_records
from pipelines.intake.layout import Layout, speak_ours
from pipelines.intake.reading import Chunk, FileRefusedError, Limits, Opened, Reader

_READERS: tuple[tuple[tuple[bytes, ...], Reader], ...] = (
    ((b"MSH", b"FHS", b"BHS"), hl7),
)  # fmt: skip
"""First bytes (after a byte order mark, framing bytes and blanks) -> the reader of that format; anything else is delimited text."""
_UNSUPPORTED = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"\x1f\x8b", b"%PDF", b"{", b"[", b"<")


class JudgedChunk(NamedTuple):
    """One chunk's outcome: `quarantine` has row_no, source_id, row_text; counts are of rows of the file.

    `sender_ids`: the first two senders that its rows name, those of refused rows included (as sent, checked by nobody).
    """

    kind: str
    accepted: pl.DataFrame
    quarantine: pl.DataFrame
    finding: pl.DataFrame
    received_count: int
    sender_ids: tuple[str, ...]


def open_submission(path: Path, limits: Limits = Limits()) -> Opened:  # noqa: B008  # immutable
    """A file by its content, never by its name. Raises FileRefusedError with the reason."""
    if path.stat().st_size > limits.file_mb << 20:
        raise FileRefusedError("file_too_large")
    with path.open("rb") as file:
        head = file.read(64).lstrip(b"\xef\xbb\xbf\x0b\r\n ")
    for starts, reader in _READERS:
        if head.startswith(starts):
            return reader.open_file(path, limits)
    if head.startswith(_UNSUPPORTED):
        raise FileRefusedError("format_not_supported")
    return csv.open_file(path, limits)


def judge_chunk(chunk: Chunk, layout: Layout, submission_id: str, received_on: date) -> JudgedChunk:
    """Conform and judge one chunk; every row is accepted or in the quarantine, none is in both or in neither."""
    if chunk.kind not in (None, layout.record):
        layout = speak_ours(layout.name, str(chunk.kind))
    conformed = conform_rows(chunk.rows, layout)
    record = conformed.record.with_columns(
        pl.lit(submission_id).alias("submission_id"), pl.lit(received_on).alias("received_on")
    ).select(RECORDS[layout.record].column_names())
    judged = judge_records(record, pl.concat([chunk.findings, conformed.finding]), layout.record)
    sent = chunk.rows.filter(pl.col("row_no").is_in(judged.refused.implode()))
    text = "sent" if "sent" in sent.columns else pl.struct(pl.exclude("row_no")).struct.json_encode()
    source = record.group_by("row_no").agg(pl.col("source_id").first())
    quarantine = sent.select("row_no", pl.Expr.alias(pl.col(text) if isinstance(text, str) else text, "row_text"))
    quarantine = quarantine.join(source, on="row_no", how="left").select("row_no", "source_id", "row_text")
    received = chunk.rows["row_no"].n_unique()
    assert received == judged.accepted["row_no"].n_unique() + len(quarantine)  # noqa: S101  # law 1
    senders = tuple(record["sender_id"].drop_nulls().unique(maintain_order=True).head(2))
    return JudgedChunk(layout.record, judged.accepted, quarantine, judged.finding, received, senders)


def write_repair(row_text: list[str], reasons: list[str], layout: Layout) -> bytes:
    """A ready-to-fix CSV: refused rows as sent, in the sender's own headers, with a last column of reasons.

    Values that a spreadsheet would run as a formula are neutralised with an apostrophe.
    """
    import csv as text_csv
    import json

    rows = [json.loads(text) for text in row_text]
    headers = list(rows[0]) if rows else []
    out = io.StringIO()
    writer = text_csv.writer(out, delimiter=layout.separator, lineterminator="\r\n")
    writer.writerow([*headers, "erte_reasons"])
    for row, reason in zip(rows, reasons, strict=True):
        writer.writerow([*(_neutralise(row[h]) for h in headers), reason])
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def _neutralise(text: str | None) -> str:
    value = text or ""
    return "'" + value if value[:1] in ("=", "+", "-", "@") and not value[1:2].isdigit() else value
