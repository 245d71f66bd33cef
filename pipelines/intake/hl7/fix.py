"""The file to fix of HL7 v2: the refused messages as sent, in the batches they came in, each refusal told in an NTE segment.

An NTE holds the name of a refused row (intake.mends), and as repetitions the codes and what is to be done in the languages that
the message's character set can write. It stands behind the OBX or SPM that it is about; what is told of a whole message stands
behind its PID. A reader takes the names and nothing else of it. Of a message too large to be read the segments before its results
are here, for its results to be put behind them: as it stands it gives none.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines.intake.hl7.ack import Sent, escape, read_sent
from pipelines.intake.hl7.counts import read_count
from pipelines.intake.hl7.notes import MOST_NAMES, is_note, list_lines, read_names
from pipelines.intake.hl7.split import ENVELOPE, Part, split_file
from pipelines.intake.mends import Refused
from pipelines.intake.reading import Limits

_LOOKED_AT = 64 << 10


def write_messages(path: Path, limits: Limits, refused: Sequence[Refused]) -> bytes:
    """The messages of a file that hold refused rows; nothing where none of them can be mended."""
    end, by_line = _find_line_end(path), {one.row_no: one for one in refused}
    written, count, is_any, is_batched = [], 0, False, False
    for part in (part for parts in split_file(path, limits.line_mb << 20) for part in parts):
        if part.name.encode() in ENVELOPE:
            is_batched = part.name != "FHS" and (is_batched or part.name == "BHS")
            is_counted = part.name == "BTS" or (part.name == "FTS" and not is_batched and read_count(part) not in (None, 1))
            written.append((_recount(part, count) if is_counted else part.content) + end)
            count = count if part.name == "FTS" and not is_batched else 0
            continue
        lines = range(part.line_no, part.line_no + part.content.count(b"\r") + 1)
        found = [by_line[line] for line in lines if line in by_line]
        kept = _head_message(part) if part.is_too_large else part
        if found and kept.content:
            is_any, count = True, count + (kept.name == "MSH")
            written.append(b"\r".join(_note_message(kept, found)).replace(b"\r", end) + (b"" if kept.is_cut else end))
    return b"".join(written) if is_any else b""


def _head_message(part: Part) -> Part:
    """The whole segments of a message that stand before its first result; nothing where its header alone is too large."""
    segments = part.content.split(b"\r")[:-1]
    results = [place for place, segment in enumerate(segments) if segment.startswith(b"OBX")]
    return part._replace(content=b"\r".join(segments[: results[0]] if results else segments), is_too_large=False)


def _note_message(part: Part, found: Sequence[Refused]) -> Iterator[bytes]:
    """The segments of a message, with a note behind each that is refused, and no note of an earlier round."""
    lines = list_lines(part)
    of_results = {number for number, segment in lines if segment.startswith(("OBX", "SPM"))}
    whole, named = _place_whole(lines), read_names(part)
    before = [name for line, names in named.items() if line not in of_results for name in names][:MOST_NAMES]
    sent = read_sent(part)
    about: dict[int, list[Refused]] = {}
    for one in found:
        about.setdefault(one.row_no if one.row_no in of_results else whole, []).append(one)
    for number, segment in lines:
        if is_note(segment):
            continue
        yield segment.encode("latin-1")
        for place, one in enumerate(about.get(number, ()), 1):
            yield _write_note(sent, place, one, [*named.get(one.row_no, ()), *before])


def _place_whole(lines: Sequence[tuple[int, str]]) -> int:
    """The line behind which stands what is told of a whole message: its PID (and PD1), else its first."""
    names = [segment[:3] for _, segment in lines]
    place = names.index("PID") if "PID" in names else 0
    return lines[place + (names[place + 1 : place + 2] == ["PD1"])][0]


def _write_note(sent: Sent, place: int, one: Refused, names: Sequence[str]) -> bytes:
    told = [" ".join(dict.fromkeys([one.name, *names])), *one.reasons.split("\n")]
    said = [escape(sent.marks, text) for text in told if _can_write(text, sent.encoding)]
    return sent.marks.field.join(["NTE", str(place), "L", sent.marks.repeat.join(said)]).encode(sent.encoding)


def _can_write(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _recount(part: Part, count: int) -> bytes:
    """A trailer that counts messages, where it counts those that are here."""
    field = part.content[3:4] or b"|"
    fields = part.content.split(field)
    if len(fields) > 1 and fields[1].strip().isdigit():
        fields[1] = str(count).encode()
    return field.join(fields)


def _find_line_end(path: Path) -> bytes:
    with path.open("rb") as file:
        head = file.read(_LOOKED_AT)
    return next((end for end in (b"\r\n", b"\r", b"\n") if end in head), b"\r")
