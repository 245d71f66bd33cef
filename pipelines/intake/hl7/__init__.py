"""HL7 v2 ORU^R01, read as text: one row a result, the message around it as context.

What real messages are like is in INPUTS ("HL7 v2 newborn screening"): separators from MSH, codes in the alternate triplet,
flags that lie, impossible times. A bad value is a finding on its row; a message that gives nothing is one refused row.
Results are kept as plain tuples that point to their child and order, so that what is told once is written once.
"""

from collections.abc import Iterator
from pathlib import Path

from pipelines.intake.hl7.counts import Counts
from pipelines.intake.hl7.fields import pick, read_marks, unescape
from pipelines.intake.hl7.message import Message, name_sender
from pipelines.intake.hl7.notes import MARK, read_names
from pipelines.intake.hl7.sheet import Sheet, frame_rows
from pipelines.intake.hl7.split import Part, decode_message, is_glued, split_file, split_segments
from pipelines.intake.hl7.terms import read_tables, speak_terms
from pipelines.intake.layout import speak_ours
from pipelines.intake.reading import Chunk, Limits, Opened
from pipelines.intake.refusal import FileRefusedError, list_findings

_PRODUCTION = "P"
"""MSH-11 (HL7 table 0103) of a message about patients who are; D and T are debugging and training."""


def open_file(path: Path, limits: Limits) -> Opened:
    """A file of messages. Raises FileRefusedError."""
    return Opened(speak_ours("hl7-oru", "screening"), list_findings([]), read_chunks(path, limits))


def read_chunks(path: Path, limits: Limits = Limits()) -> Iterator[Chunk]:  # noqa: B008  # immutable
    """Results of a file in bounded chunks; `row_no` is the line of the segment. Raises FileRefusedError."""
    if not _has_text(path):
        raise FileRefusedError("file_empty")
    is_any = is_guess_told = False
    counts = Counts()
    for parts in split_file(path, limits.line_mb << 20):
        sheet = Sheet()
        for part in parts:
            if part.name in ("MSH", ""):
                is_any = is_any or part.name == "MSH"
                is_guessed = read_part(part, sheet, limits.refused_processing)
                if is_guessed and not is_guess_told:
                    is_guess_told = True
                    sheet.findings.append((None, None, "encoding_guessed", "warning"))
            if code := counts.take(part):
                sheet.findings.append((None, None, code, "warning"))
        if sheet.rows or sheet.findings:
            yield Chunk(frame_rows(sheet), list_findings(sheet.findings))
    if not is_any:
        raise FileRefusedError("file_not_hl7")


def read_part(part: Part, sheet: Sheet, refused_processing: str = "") -> bool:
    """Add a message's results to a sheet, or one refused row that says why there are none; was its character set guessed.

    `refused_processing`: the processing ids (MSH-11) whose messages are refused.
    """
    first = len(sheet.rows)
    is_guessed = _read_message(part, sheet, refused_processing)
    if MARK in part.content:
        sheet.name_rows(first, read_names(part))
    return is_guessed


def _read_message(part: Part, sheet: Sheet, refused_processing: str) -> bool:
    decoded = decode_message(part.content, read_tables()["charsets"])
    if decoded is None or part.is_too_large:
        text = part.content.decode("ascii", "backslashreplace").replace("\x00", "\\x00")
        code = "message_too_large" if part.is_too_large else "message_encoding_unknown"
        sheet.refuse(part.line_no, text, code, _find_source(text), _find_sender(text))
        return False
    text = decoded.text
    marks = read_marks(text, decoded.charset) if part.name == "MSH" else None
    head = text.split("\r", 1)[0].split(marks.field, 12) if marks else []
    if marks is None or len(head) < 10 or not head[8] or not head[9]:
        sheet.refuse(part.line_no, text, "message_header_malformed", _find_source(text), _find_sender(text))
        return decoded.is_guessed
    terms = speak_terms(marks)
    segments, numbers = split_segments(text, part.line_no, marks.field)
    message, begun, told = Message(terms, head, sheet), len(sheet.rows), len(sheet.findings)
    code = "message_without_results"
    processing = (pick(marks, head[10], 0) or "").upper() if len(head) > 10 else ""
    if processing and processing in refused_processing.upper().replace(",", " ").split():
        code = "message_not_production"
    elif not message.is_result:
        code = "message_not_result"
    elif part.is_cut and segments[-1].startswith("OBX") and segments[-1].count(marks.field) < 11:
        code = "message_cut_off"
    elif is_glued(text):
        code = "message_not_separated"
    elif message.read(segments, numbers):
        if processing not in ("", _PRODUCTION):
            sheet.findings.append((part.line_no, "processing", "processing_not_production", "warning"))
        return decoded.is_guessed
    del sheet.rows[begun:], sheet.findings[told:]  # of a message that gives nothing only that is told
    source = _find_source(text) if message.is_result else head[9]
    sheet.refuse(part.line_no, text, message.problem or code, source, message.sender)
    return decoded.is_guessed


def _find_sender(text: str) -> str | None:
    """Who sends a message that cannot be read, as far as its header says so."""
    marks = read_marks(text)
    head = text.split("\r", 1)[0].split(marks.field, 12) if marks else []
    return name_sender(marks, head) if marks and len(head) > 3 and head[0] == "MSH" else None


def _find_source(text: str) -> str | None:
    """What a message of which nothing is read is known by: the number of its order, as its results will be; of several orders its own.

    A laboratory that mends a message often sends it under a new number, and keeps no note of the file to fix.
    """
    marks = read_marks(text)
    if marks is None or not text.startswith("MSH"):
        return None
    segments = [segment.split(marks.field, 10) for segment in text.split("\r")]
    orders = {pick(marks, said[3], 0) or pick(marks, said[2], 0) for said in segments if said[0] == "OBR" and len(said) > 3}
    own = unescape(marks, segments[0][9]).strip() if len(segments[0]) > 9 else None
    return (orders.pop() if len(orders) == 1 else None) or own or None


def _has_text(path: Path) -> bool:
    with path.open("rb") as file:
        return any(block.strip() for block in iter(lambda: file.read(1 << 16), b""))
