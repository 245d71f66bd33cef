"""HL7 v2 acknowledgements: an ACK for each message of a file, made of the message's own header and of what was found.

MSA-1 says AA (taken), AE (taken but for some results) or AR (nothing of it was taken). Each finding is an ERR segment (HL7 v2.8
2.15.5): where (ERR-2), what by HL7 table 0357 (ERR-3), how grave (ERR-4), our code (ERR-5, ERR-7) and a text the sender can act on
(ERR-8). No value of the message is repeated but its addresses and its control id.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from pipelines.intake.feedback import tell_finding
from pipelines.intake.hl7 import read_part
from pipelines.intake.hl7.fields import Marks, read_marks
from pipelines.intake.hl7.sheet import Sheet
from pipelines.intake.hl7.split import Part, decode_message, name_charset, split_file, split_segments
from pipelines.intake.hl7.terms import read_tables
from pipelines.intake.reading import Limits

_STARTS = (b"MSH", b"FHS", b"BHS")
_DEFAULT = Marks("|", "^", "~", "\\", "&")
_SEVERITIES = {"error": "E", "warning": "W", "info": "I"}


class Told(NamedTuple):
    """A finding of a message, by its line in the file."""

    line_no: int
    column: str | None
    code: str
    severity: str
    detail: str | None = None


class Sent(NamedTuple):
    """What an answer needs of a message: its marks, its MSH by field (MSH-n is `head[n - 1]`), and how to write to its sender."""

    marks: Marks
    head: list[str]
    segments: list[str]
    numbers: Sequence[int]
    encoding: str


class Places:
    """Where the segments of a message stand: looked up once for all that was found in it."""

    def __init__(self, sent: Sent) -> None:
        self.sent, self.own = sent, {number: at for at, number in enumerate(sent.numbers)}
        self.named: dict[str, list[int]] = {}
        for at, segment in enumerate(sent.segments):
            self.named.setdefault(segment[:3], []).append(at)
        self.filled: dict[int, list[bool]] = {}

    def find_nearest(self, name: str, at: int) -> tuple[int, int] | None:
        """(place, which of its name) of the last segment of a name up to a place, else of the first."""
        where = self.named.get(name)
        if not where:
            return None
        nth = max(1, bisect_right(where, at))
        return where[nth - 1], nth

    def is_filled(self, at: int, field: int) -> bool:
        """True where a field of a segment says something; each segment is looked at once."""
        if at not in self.filled:
            self.filled[at] = [bool(said) for said in self.sent.segments[at].split(self.sent.marks.field)]
        place = field - self.sent.segments[at].startswith("MSH")
        return place < len(self.filled[at]) and self.filled[at][place]


def is_hl7(path: Path) -> bool:
    """True for a file that starts as HL7 v2 does."""
    with path.open("rb") as file:
        return file.read(64).lstrip(b"\xef\xbb\xbf\x0b\r\n ").startswith(_STARTS)


def answer_file(
    path: Path, limits: Limits, told: Mapping[int, Sequence[Told]], refusal: str | None, submission_id: str, at: date
) -> Iterator[bytes]:
    """The acknowledgements of a file's messages in order, in the batch form that was sent; one CR after each segment.

    `told`: findings by line; `refusal`: the code by which the whole file was refused; `at`: when it was answered.
    """
    number = messages = batches = 0
    is_file = is_batch = False
    for part in (part for parts in split_file(path, limits.line_mb << 20) for part in parts):
        if is_batch and part.name in ("BHS", "BTS", "FTS"):
            yield b"BTS|%d\r" % messages
            is_batch = False
        if part.name == "MSH":
            number, messages = number + 1, messages + 1
            yield answer_message(part, told, refusal, f"{submission_id[:12]}.{number}", at)
        elif part.name in ("FHS", "BHS"):
            is_file, is_batch = is_file or part.name == "FHS", is_batch or part.name == "BHS"
            batches, messages = batches + (part.name == "BHS"), 0
            yield _answer_envelope(part, f"{submission_id[:12]}.{part.name[0]}{batches}", at)
    if is_batch:
        yield b"BTS|%d\r" % messages
    if is_file:
        yield b"FTS|%d\r" % batches


def answer_message(
    part: Part, told: Mapping[int, Sequence[Told]], refusal: str | None, control_id: str, at: date
) -> bytes:
    """The ACK of one message, in its own version, separators and character set."""
    sent = read_sent(part)
    lines = range(part.line_no, part.line_no + part.content.count(b"\r") + 1)
    found = [one for line in lines for one in told.get(line, ())]
    found += [Told(part.line_no, None, refusal, "error")] if refusal else []
    code = "AR" if refusal else judge_message(part, found)
    marks, head = sent.marks, sent.head
    language = _choose_language(sent, found)
    version = head[11] or "2.5.1"
    trigger = [*head[8].split(marks.component), ""][1]
    kind = ["ACK", trigger, "ACK"] if trigger and version not in ("2.1", "2.2", "2.3") else ["ACK", trigger]
    header = [
        "MSH", head[1], head[4], head[5], head[2], head[3], _write_time(at), "", marks.component.join(kind).rstrip(marks.component),
        control_id, head[10] or "P", version, "", "", "", "", "", head[17], language if head[18] else "",
    ]  # fmt: skip
    segments = [header, ["MSA", code, head[9]]]
    places = Places(sent) if found else None
    segments += [_write_error(one, places, language, is_old=version < "2.5") for one in found if places]
    text = "".join(marks.field.join(fields).rstrip(marks.field) + "\r" for fields in segments)
    return text.encode(sent.encoding, "replace")


def judge_message(part: Part, found: Sequence[Told]) -> str:
    """AA where no result was refused, AR where none was taken, else AE."""
    refused = {one.line_no for one in found if one.severity == "error"}
    if not refused:
        return "AA"
    if part.line_no in refused:  # its header: nothing was read of it
        return "AR"
    sheet = Sheet()
    read_part(part, sheet)
    return "AR" if {row[0] for row in sheet.rows} <= refused else "AE"


def read_sent(part: Part) -> Sent:
    """What can be known of a message for its answer, however broken it is."""
    charsets = read_tables()["charsets"]
    decoded = None if part.is_too_large else decode_message(part.content, charsets)
    text = decoded.text if decoded else part.content.decode("latin-1")
    line = text.split("\r", 1)[0]
    own = read_marks(text)
    marks = own or _DEFAULT
    field = own.field if own else line[3:4] if line[3:4].strip() and not line[3:4].isalnum() else marks.field
    head = [*line.split(field, 19), *[""] * 19][:19]
    if own is None:
        head[1] = "".join(marks[1:5])
    declared = next((charsets[name] for said in head[17].split(marks.repeat) if (name := name_charset(said)) in charsets), None)
    used = "ascii" if text.isascii() else decoded.charset if decoded else "latin-1"
    segments, numbers = split_segments(text, part.line_no, field)
    return Sent(marks, head, segments, numbers, declared or used)


def _write_error(one: Told, places: Places, language: str, is_old: bool) -> list[str]:
    marks = places.sent.marks
    place = _find_place(one, places)
    meaning = _choose_error(one.code)
    usual = next(iter(read_tables()["places"].get(one.column or "", ())), one.column or "")  # a segment that the message lacks
    name = "-".join((place[0], place[2])) if len(place) == 3 else usual
    listed = marks.component.join([*meaning, "HL70357"])
    first = marks.component.join([*place, *[""] * (3 - len(place)), marks.sub.join([*meaning, "HL70357"])]) if is_old else ""
    return [
        "ERR", first, marks.component.join(place), listed, _SEVERITIES[one.severity], f"{one.code}{marks.component * 2}L", "",
        one.code, _write_text(marks, one.code, one.column, name, language, one.detail),
    ]  # fmt: skip


@lru_cache(maxsize=4_096)
def _write_text(marks: Marks, code: str, column: str | None, name: str, language: str, detail: str | None) -> str:
    """What a finding says, in the separators of its message; a few texts serve thousands of findings."""
    return escape(marks, tell_finding(code, column, {column: name} if column else {}, detail)[language])


def _choose_error(code: str) -> tuple[str, str]:
    """(code, text) of HL7 table 0357 for one of our codes: by its whole name, else by its problem, else 207."""
    tables = read_tables()
    problem = next((p for p in tables["errors"] if code == p or code.endswith("_" + p)), "other")
    number = tables["errors"][problem]
    return number, tables["table_0357"][number]


def _find_place(one: Told, places: Places) -> list[str]:
    """ERL: segment, which of that name in the message, and field; nothing where a message has no such place."""
    own = places.own.get(one.line_no)
    if own is None:
        return []
    if one.code == "message_header_malformed":
        missing = next((n for n in (9, 10) if not places.sent.head[n - 1]), 2)
        return ["MSH", "1", str(missing)]
    wanted = read_tables()["places"].get(one.code) or read_tables()["places"].get(one.column or "", [])
    found = []
    for place in wanted:
        name, field = place.split("-")
        nearest = places.find_nearest(name, own)
        if nearest:
            found.append((places.is_filled(nearest[0], int(field)), [name, str(nearest[1]), field]))
    if not found:
        name = places.sent.segments[own][:3]
        nearest = places.find_nearest(name, own)
        return [name, str(nearest[1])] if nearest else []
    return next((place for is_said, place in found if is_said), found[0][1])


def _choose_language(sent: Sent, found: Sequence[Told]) -> str:
    """The language the sender names (MSH-19), else Russian; English where its character set cannot write that."""
    said = {(one.code, one.column) for one in found}
    asked = sent.head[18].split(sent.marks.component)[0].strip().lower()[:2]
    for language in (asked, "ru"):
        if language in ("kk", "ru", "en"):
            try:
                for code, column in said:
                    tell_finding(code, column, {})[language].encode(sent.encoding)
            except UnicodeEncodeError:
                continue
            return language
    return "en"


def _answer_envelope(part: Part, control_id: str, at: date) -> bytes:
    """FHS or BHS with the addresses turned round, referring to the control id that was sent."""
    text = part.content.decode("latin-1")
    marks = read_marks(text) or _DEFAULT
    sent = [*text.split(marks.field), *[""] * 12]
    fields = [part.name, "".join(marks[1:5]), sent[4], sent[5], sent[2], sent[3], _write_time(at), "", "", "", control_id, sent[10]]
    return (marks.field.join(fields).rstrip(marks.field) + "\r").encode("latin-1")


def escape(marks: Marks, text: str) -> str:
    """A text in which the separators of a message stand for nothing but themselves."""
    letters = {marks.escape: "E", marks.field: "F", marks.component: "S", marks.sub: "T", marks.repeat: "R"}
    return "".join(f"{marks.escape}{letters[c]}{marks.escape}" if c in letters else c for c in text)


def _write_time(at: date) -> str:
    return f"{at:%Y%m%d%H%M%S}" if isinstance(at, datetime) else f"{at:%Y%m%d}"
