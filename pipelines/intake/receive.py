"""Open a file of any format and hand out judged chunks: the front door for every sender."""

from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import NamedTuple

import polars as pl

from pipelines.contracts import RECORDS, WHO
from pipelines.intake import csv, fhir, hl7, unpack, xlsx
from pipelines.intake.conform import conform_rows
from pipelines.intake.judge import judge_records, list_rivals
from pipelines.intake.layout import REASONS, Layout, speak_ours
from pipelines.intake.mends import list_mends
from pipelines.intake.reading import Chunk, Limits, Opened, Reader
from pipelines.intake.refusal import FileRefusedError
from pipelines.intake.senders import Register, find_misspelt, name_refused
from pipelines.intake.source_id import name_records
from pipelines.intake.totals import check_totals

WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""First bytes of a workbook, new and old."""
_READERS: tuple[tuple[tuple[bytes, ...], Reader], ...] = (
    ((b"MSH", b"FHS", b"BHS"), hl7),
    ((b"{", b"["), fhir),
    (WORKBOOKS, xlsx),
)  # fmt: skip
"""First bytes (after a byte order mark, framing bytes and blanks) -> the reader of that format; anything else is delimited text."""
QUARANTINE = ("row_no", "source_id", "sender_id", "record_kind", "row_text")
_WIDE = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_UNSUPPORTED = (b"%PDF", b"<")
_BEFORE = b"\xef\xbb\xbf\x0b\r\n\t "
"""What may stand before the first bytes: a byte order mark, framing bytes and blanks."""


UNCLEAR = ("row_no", "sender_id", "source_id", "decision", *WHO)
"""Of a refused consent: which record it would have been, of whom, and what it decides, so far as that can be read."""


class JudgedChunk(NamedTuple):
    """One chunk's outcome: `quarantine` has row_no, source_id, sender_id, record_kind, row_text; counts are of rows of the file.

    `noted`: row_no and source_id of accepted rows that have a finding. `detail`: row_no, code, and what explains the finding further.
    `mends`: what came of rows that name refused ones (intake.mends). `unclear`: of refused consents, UNCLEAR.
    """

    kind: str
    accepted: pl.DataFrame
    quarantine: pl.DataFrame
    finding: pl.DataFrame
    noted: pl.DataFrame
    mends: pl.DataFrame
    received_count: int
    detail: pl.DataFrame
    unclear: pl.DataFrame


def open_submission(path: Path, limits: Limits = Limits(), export: tuple[Path, ...] = ()) -> Opened:  # noqa: B008  # immutable
    """A file by its content, never by its name; `export`: the files of the FHIR export it is one of (fhir.export).

    Raises FileRefusedError with the reason.
    """
    if path.stat().st_size > limits.file_mb << 20:
        raise FileRefusedError("file_too_large")
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(unpack.MAGIC):
        return _open_packed(path, limits, partial(open_submission, export=export))
    if wide := next((name for mark, name in _WIDE.items() if head.startswith(mark)), None):
        _refuse_wide(head.decode(wide, "ignore").lstrip("\ufeff\x0b\r\n\t ").encode())
    head = head.lstrip(_BEFORE)
    for starts, reader in _READERS:
        if head.startswith(starts):
            return _check(fhir.open_file(path, limits, export) if reader is fhir else reader.open_file(path, limits))
    if head.startswith(_UNSUPPORTED):
        raise FileRefusedError("format_not_supported")
    return _check(csv.open_file(path, limits))


def _refuse_wide(head: bytes) -> None:
    """Raises FileRefusedError with what to do about a message or resource in UTF-16; delimited text in it is read."""
    for starts, reader in _READERS:
        if reader in (hl7, fhir) and head.startswith(starts):
            raise FileRefusedError("message_encoding_unknown" if reader is hl7 else "file_encoding_unknown")


def needs_layout(head: bytes) -> bool:
    """Whether a file of these first bytes is a table; False for HL7 and FHIR. Raises FileRefusedError for what no reader takes."""
    start = head.lstrip(_BEFORE)
    if start.startswith(_UNSUPPORTED):
        raise FileRefusedError("format_not_supported")
    return not any(start.startswith(starts) for starts, reader in _READERS if reader in (hl7, fhir))


def open_by_layout(path: Path, limits: Limits, layout: Layout) -> Opened:
    """A table, packed or not, by one layout of a sender's own, as `open_submission` does it by the known ones."""
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(unpack.MAGIC):
        return _open_packed(path, limits, partial(open_by_layout, layout=layout))
    return _check((xlsx if head.startswith(WORKBOOKS) else csv).open_file(path, limits, (layout,)))


def _check(opened: Opened) -> Opened:
    """What the layout says the file declares is held against its rows while they are read."""
    return opened._replace(chunks=check_totals(opened.chunks, opened.layout))


def _open_packed(path: Path, limits: Limits, open_unpacked: Callable[[Path, Limits], Opened]) -> Opened:
    """What is inside gzip, of any format but another gzip."""
    unpacked = unpack.unpack_file(path, limits)
    try:
        with Path(unpacked.name).open("rb") as file:
            if file.read(2) == unpack.MAGIC:
                raise FileRefusedError("format_not_supported")
        opened = open_unpacked(Path(unpacked.name), limits)
    except FileRefusedError:
        unpacked.close()
        raise
    return opened._replace(chunks=unpack.read_held(opened.chunks, unpacked))


def judge_chunk(
    chunk: Chunk, layout: Layout, submission_id: str, received_on: date, rivals: pl.Series | None = None, register: Register | None = None
) -> JudgedChunk:
    """Conform and judge one chunk; every row is accepted or in the quarantine, none is in both or in neither.

    `rivals`: numbers of rows that give a record another content than another row of the file does. `register`: who may send
    (intake.senders); without one nobody's id is doubted.
    """
    layout = chunk.layout or layout
    if chunk.kind not in (None, layout.record):
        layout = speak_ours(layout.name, str(chunk.kind))
    conformed = conform_rows(chunk.rows, layout, has_blanks=chunk.has_blanks)
    record = name_records(conformed.record, layout).with_columns(
        pl.lit(submission_id).alias("submission_id"), pl.lit(received_on).alias("received_on")
    ).select(RECORDS[layout.record].column_names())
    misspelt = find_misspelt(record, register)
    noticed = [chunk.findings, conformed.finding, misspelt.drop("detail"), *([] if rivals is None else [list_rivals(record, rivals)])]
    judged = judge_records(record, pl.concat(noticed), layout)
    sent = chunk.rows.filter(pl.col("row_no").is_in(judged.refused.implode()))
    sent = sent.unique("row_no", keep="first", maintain_order=True)  # a row of several records is refused once
    text = "sent" if "sent" in sent.columns else pl.struct(pl.exclude("row_no", REASONS)).struct.json_encode()
    refused = record.filter(pl.col("row_no").is_in(judged.refused.implode()))
    named = refused.group_by("row_no").agg(pl.col("source_id").first()).join(name_refused(refused, register), on="row_no", validate="1:1")
    quarantine = sent.select("row_no", pl.Expr.alias(pl.col(text) if isinstance(text, str) else text, "row_text"))
    quarantine = quarantine.join(named, on="row_no", how="left").with_columns(record_kind=pl.lit(layout.record)).select(QUARANTINE)
    received = chunk.rows["row_no"].n_unique()
    assert received == judged.accepted["row_no"].n_unique() + len(quarantine)  # noqa: S101  # law 1
    mends = list_mends(chunk.rows, record, judged.refused)
    noted = _note_rows(judged.accepted, judged.finding)
    detail = misspelt.select("row_no", "code", "detail")
    is_consent = layout.record == "consent"
    unclear = refused.drop("sender_id").join(named.drop("source_id"), on="row_no").select(UNCLEAR) if is_consent else pl.DataFrame()
    return JudgedChunk(layout.record, judged.accepted, quarantine, judged.finding, noted, mends, received, detail, unclear)


def _note_rows(accepted: pl.DataFrame, finding: pl.DataFrame) -> pl.DataFrame:
    """row_no, source_id: by which name the sender knows accepted rows that have a finding; a row of several records has its first."""
    found = finding["row_no"].drop_nulls().unique()
    named = accepted.filter(pl.col("row_no").is_in(found.implode())) if len(found) else accepted.clear()
    return named.select("row_no", "source_id").unique("row_no", keep="first", maintain_order=True)
