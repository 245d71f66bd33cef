"""From a file's bytes to its messages: line ends, framing bytes, batches, character sets; memory is bounded by the block.

Lines are counted as an editor shows them: CR, LF and CRLF each end one. MLLP's framing bytes (0x0b before a message, 0x1c after
it) and byte order marks between messages are no part of any. What a message's bytes mean is asked of each message by itself.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

_BLOCK_BYTES = 8 << 20
ENVELOPE = (b"FHS", b"BHS", b"BTS", b"FTS")
_SHOWN_BYTES = 64 << 10
_CYRILLIC = re.compile("[\u0400-\u04ff]")
_SWITCH = re.compile(rb"\\C(2D4C|2842)\\([^\\|^~&\r]*)")
_BEGINNINGS = (b"\rMSH", b"\nMSH", b"\x0bMSH")
_NAMES = ("MSH", "SFT", "UAC", "PID", "PD1", "NK1", "NTE", "PV1", "PV2", "ORC", "OBR", "OBX", "SPM", "TQ1", "TQ2", "CTI", "DSC")
_GLUED = re.compile(r"MSH([^\w\s])[^\w\s]{3,5}\1")
_BOM = b"\xef\xbb\xbf"


class Part(NamedTuple):
    """A message (`name` MSH), an envelope segment (FHS, BHS, BTS, FTS), or segments that belong to no message (`name` empty).

    `content` has one CR between segments and none at the end. `is_cut`: the file ends within it; `is_too_large`: only its
    beginning is here.
    """

    name: str
    line_no: int
    content: bytes
    is_cut: bool = False
    is_too_large: bool = False


class Decoded(NamedTuple):
    """A message as text, by which character set, and whether that was guessed."""

    text: str
    charset: str
    is_guessed: bool


def split_file(path: Path, longest: int) -> Iterator[list[Part]]:
    """The parts of a file in order, a list a block; a message of more than `longest` bytes is not kept in memory."""
    line_no = 1
    for block, is_last, skipped in _read_blocks(path, longest):
        plain = block.replace(b"\r\n", b"\r").replace(b"\n", b"\r") if b"\n" in block else block
        if b"\x0b" in plain or b"\x1c" in plain:
            plain = plain.replace(b"\x1c\x0b", b"\r").replace(b"\x0b", b"").replace(b"\x1c", b"")
        if _BOM in plain:
            plain = plain.replace(b"\r" + _BOM, b"\r")
        if line_no == 1:
            plain = plain.removeprefix(_BOM).lstrip(b" ")
        parts = list(_split_block(plain, line_no, is_last and not block.endswith(b"\x1c")))
        if skipped:
            parts[-1] = parts[-1]._replace(is_too_large=True, is_cut=False)
        yield [p._replace(content=p.content[:_SHOWN_BYTES], is_too_large=True, is_cut=False)
               if p.is_too_large or len(p.content) > longest else p for p in parts]  # fmt: skip
        line_no += plain.count(b"\r") + skipped


def split_segments(text: str, line_no: int, field: str) -> tuple[list[str], list[int] | range]:
    """Segments of a message and their line numbers; a line that starts no segment goes on with the one before."""
    lines = text.split("\r")
    if _starts(field).issuperset([line[:4] for line in lines]):
        return lines, range(line_no, line_no + len(lines))
    is_start = re.compile(rf"[A-Z][A-Z0-9]{{2}}(?:{re.escape(field)}|\s*$)|\s*(?i:{'|'.join(_NAMES)}){re.escape(field)}").match
    starts = [place for place, line in enumerate(lines) if is_start(line)]
    for place in starts:  # some write a blank before the name, or small letters
        lines[place] = lines[place].lstrip()
        lines[place] = lines[place][:3].upper() + lines[place][3:]
    spans = zip(starts, [*starts[1:], len(lines)], strict=False)  # none where no line starts a segment
    segments = [" ".join([lines[begin], *filter(str.strip, lines[begin + 1 : end])]) for begin, end in spans]
    return segments, [line_no + place for place in starts]


def is_glued(text: str) -> bool:
    """True where the header of a next message stands within a message: nothing parted the two."""
    return text.find("MSH", 3) > 0 and _GLUED.search(text, 3) is not None


def decode_message(content: bytes, charsets: Mapping[str, str]) -> Decoded | None:
    """A message's text; None where its bytes are of no known character set.

    ASCII is itself. A Cyrillic code page that MSH-18 declares is believed, unless the bytes are UTF-8 that spells Cyrillic (a
    common lie); else strict UTF-8 is; what else was declared; and at last the fallback, which is a guess.
    """
    if b"\x00" in content:
        return None
    declared = next((charsets[name] for name in _declare(content) if name in charsets), "")
    if content.isascii():
        return Decoded(content.decode("ascii"), declared or "utf-8", False)
    if _SWITCH.search(content):
        return Decoded(_read_switched(content, declared or "utf-8"), declared or "utf-8", False)
    utf8, said = _try(content, "utf-8"), _try(content, declared) if declared else None
    if utf8 is not None and (said is None or declared == "latin-1" or _CYRILLIC.search(utf8)):
        return Decoded(utf8, "utf-8", False)
    if said is not None:
        return Decoded(said, declared, False)
    guess = _try(content, charsets["FALLBACK"])
    return None if guess is None else Decoded(guess, charsets["FALLBACK"], True)


@lru_cache(maxsize=64)
def name_charset(said: str) -> str:
    """MSH-18 as senders write it (`8859/5`, `ISO-8859-5`, `Windows-1251`), without what they differ in."""
    return re.sub(r"[^A-Z0-9]", "", said.upper()).removeprefix("ISO")


def _read_blocks(path: Path, longest: int) -> Iterator[tuple[bytes, bool, int]]:
    """(bytes of whole messages, is it the last, lines of a message too large that were passed over after them)."""
    rest = b""
    with path.open("rb") as file:
        while data := file.read(_BLOCK_BYTES):
            rest += data
            cut = max(rest.rfind(mark) for mark in _BEGINNINGS) + 1
            if cut > 0 and rest[:cut].strip(b"\x0b"):
                yield rest[:cut], False, 0
                rest = rest[cut:]
            elif len(rest) > longest:
                head, lines, rest = _skip_message(file, rest)
                yield head, False, lines
    yield rest, True, 0


def _skip_message(file: BinaryIO, start: bytes) -> tuple[bytes, int, bytes]:
    """Read on to the next message: (beginning of this one, lines in what was passed over, beginning of the next)."""
    shown = _SHOWN_BYTES + (start[_SHOWN_BYTES : _SHOWN_BYTES + 1] == b"\n")
    rest, lines = start[shown:], 0
    while True:
        if found := [at for mark in _BEGINNINGS if (at := rest.find(mark)) >= 0]:
            begin = min(found) + 1
            return start[:shown], lines + _count_lines(rest[:begin]), rest[begin:]
        data = file.read(_BLOCK_BYTES)
        if not data:
            return start[:shown], lines + _count_lines(rest), b""
        lines += _count_lines(rest[:-4]) - (rest[-5:-3] == b"\r\n")
        rest = rest[-4:] + data


def _count_lines(content: bytes) -> int:
    return content.count(b"\r") + content.count(b"\n") - content.count(b"\r\n")


def _split_block(block: bytes, line_no: int, is_last: bool) -> Iterator[Part]:
    is_batch = any(b"\r" + name in block for name in ENVELOPE)
    pieces = (b"\r" + block).split(b"\rMSH")
    last = len(pieces) - 1
    for place, piece in enumerate(pieces):
        content = b"MSH" + piece if place else piece[1:]
        lines = content.count(b"\r") + 1 if place or piece else 0
        is_cut = is_last and place == last and not content.endswith(b"\r")
        content = content.rstrip(b"\r")
        if place and not (is_batch and any(b"\r" + name in content for name in ENVELOPE)):
            yield Part("MSH", line_no, content, is_cut)
        else:
            yield from _split_envelope(content, line_no, is_cut)
        line_no += lines


def _split_envelope(content: bytes, line_no: int, is_cut: bool) -> Iterator[Part]:
    """Batch and file segments part what stands around them."""
    lines: list[bytes] = []
    for number, line in enumerate(content.split(b"\r"), line_no):
        if line[:3] in ENVELOPE and not line[3:4].isalnum():
            yield from _join_part(lines, number - len(lines), False)
            yield Part(line[:3].decode(), number, line)
            lines = []
        elif lines or line.strip():
            lines.append(line)
    yield from _join_part(lines, line_no + content.count(b"\r") + 1 - len(lines), is_cut)


def _join_part(lines: list[bytes], line_no: int, is_cut: bool) -> Iterator[Part]:
    if lines:
        yield Part("MSH" if lines[0].startswith(b"MSH") else "", line_no, b"\r".join(lines).rstrip(b"\r"), is_cut)


@lru_cache(maxsize=16)
def _starts(field: str) -> frozenset[str]:
    """How the lines of a usual message begin."""
    return frozenset(name + field for name in _NAMES)


@lru_cache(maxsize=4096)
def _name_declared(field: bytes) -> str:
    return name_charset(field.decode("latin-1"))


def _declare(content: bytes) -> list[str]:
    """The names of the character sets in MSH-18: the first may be ASCII, or empty and so the default, where others are used beside it."""
    end = content.find(b"\r")
    fields = (content if end < 0 else content[:end]).split(content[3:4] or b"|", 18)
    return [_name_declared(one) for one in fields[17].split(content[5:6] or b"~")] if len(fields) > 17 else []


def _try(content: bytes, charset: str) -> str | None:
    try:
        return content.decode(charset)
    except UnicodeDecodeError:
        return None


def _read_switched(content: bytes, charset: str) -> str:
    r"""Text whose `\C2D4C\` switches to the Cyrillic of ISO 8859/5 until a delimiter or the next escape (HL7 v2 2.7.2)."""
    out, place = list[str](), 0
    for found in _SWITCH.finditer(content):
        out.append(content[place : found.start()].decode(charset, "replace"))
        out.append(found[2].decode("iso8859_5" if found[1] == b"2D4C" else charset, "replace"))
        place = found.end()
    return "".join([*out, content[place:].decode(charset, "replace")])
