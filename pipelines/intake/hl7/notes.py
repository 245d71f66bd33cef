"""The notes (NTE) that a file to fix has: what they name is read, what they tell is for people."""

from pipelines.intake.hl7.split import Part, split_segments
from pipelines.intake.mends import find_names

MARK = b"erte-"
"""What stands in every message that has such a note."""

MOST_NAMES = 100
"""Of a whole message: more names than it can have been refused are nobody's, and would stand on each of its rows."""


def is_note(segment: str) -> bool:
    """True for an NTE that names a refused row."""
    return segment.startswith("NTE") and bool(find_names(segment))


def list_lines(part: Part) -> list[tuple[int, str]]:
    """The segments of a message, or the lines of what is no message, with their line numbers: as sent, each byte a letter."""
    text = part.content.decode("latin-1")
    lines = text.split("\r")
    _, numbers = split_segments(text, part.line_no, text[3:4].strip() or "|")
    starts = [number - part.line_no for number in numbers]
    if part.name != "MSH" or starts[:1] != [0]:
        starts = list(range(len(lines)))
    notes = {place for place, line in enumerate(lines) if is_note(line)}  # wherever they stand, also where segments cannot be told
    starts = sorted({*starts, *notes, *(place + 1 for place in notes if place + 1 < len(lines))})
    ends = [*starts[1:], len(lines)]
    return [(part.line_no + start, "\r".join(lines[start:end])) for start, end in zip(starts, ends, strict=True)]


def read_names(part: Part) -> dict[int, list[str]]:
    """The line of a segment -> the names in the notes behind it."""
    named: dict[int, list[str]] = {}
    above = part.line_no
    for number, segment in list_lines(part):
        if is_note(segment):
            named.setdefault(above, []).extend(find_names(segment))
        else:
            above = number
    return named
