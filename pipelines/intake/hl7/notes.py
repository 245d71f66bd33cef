"""The notes (NTE) that a file to fix has: what they name is read, what they tell is for people."""

from collections.abc import Iterator

from pipelines.intake.hl7.split import Part, split_segments
from pipelines.intake.mends import find_names

MARK = b"erte-"
"""What stands in every message that has such a note."""


def is_note(segment: str) -> bool:
    """True for an NTE that names a refused row."""
    return segment.startswith("NTE") and bool(find_names(segment))


def list_lines(part: Part) -> Iterator[tuple[int, str]]:
    """The segments of a message with their line numbers, each byte a letter; the lines of what is no message."""
    text = part.content.decode("latin-1")
    if part.name != "MSH":
        return enumerate(text.split("\r"), part.line_no)
    segments, numbers = split_segments(text, part.line_no, text[3:4].strip() or "|")
    return zip(numbers, segments, strict=True)


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
