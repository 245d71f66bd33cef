"""One look at all bytes of a text file: its encoding, and what need not be looked for in its rows."""

import codecs
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.intake.reading import Limits
from pipelines.intake.refusal import FileRefusedError

UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SURVEYED_BYTES = 1 << 20
_IS_INNER = np.array([chr(byte).isalnum() or chr(byte) in ".:-/" for byte in range(128)] + [False] * 128)


class Survey(NamedTuple):
    """What all bytes of a file say: is it UTF-8, does it quote, has any value blanks around it, is there an apostrophe."""

    is_utf8: bool
    has_quotes: bool
    has_blanks: bool
    has_apostrophes: bool = False


def survey_bytes(path: Path, limits: Limits) -> Survey:
    """One look at all bytes. Raises FileRefusedError for a NUL byte or a line longer than the limit."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="strict")
    is_utf8, has_quotes, has_blanks, has_apostrophes, unbroken = True, False, False, False, 0
    with path.open("rb") as file:
        while block := file.read(_SURVEYED_BYTES):
            if b"\x00" in block:
                raise FileRefusedError("file_binary")
            unbroken = len(block) - 1 - newline if (newline := block.rfind(b"\n")) >= 0 else unbroken + len(block)
            if unbroken > limits.line_mb << 20:
                raise FileRefusedError("line_too_long")
            if is_utf8 and not (block.isascii() and not decoder.getstate()[0]):
                is_utf8, has_blanks = _continues(decoder, block), True  # beyond ASCII there are blanks of many kinds
            has_quotes = has_quotes or b'"' in block
            has_blanks = has_blanks or _is_padded(block)
            has_apostrophes = has_apostrophes or b"'" in block
    return Survey(is_utf8 and _continues(decoder, b"", is_final=True), has_quotes, has_blanks, has_apostrophes)


def _continues(decoder: codecs.IncrementalDecoder, block: bytes, *, is_final: bool = False) -> bool:
    try:
        decoder.decode(block, is_final)
    except UnicodeDecodeError:
        return False
    return True


def _is_padded(block: bytes) -> bool:
    """True where a blank of an ASCII block stands beside anything but a letter or digit (or at the edge of the block)."""
    byte = np.frombuffer(block, np.uint8)
    low = np.flatnonzero(byte <= ord(" "))
    kind = byte[low]
    blank = low[(kind != ord("\n")) & (kind != ord("\r"))]
    if not len(blank):
        return False
    if blank[0] == 0 or blank[-1] == len(byte) - 1:
        return True
    inner = _IS_INNER[byte[blank - 1]] & _IS_INNER[byte[blank + 1]]
    return not inner.all()


def is_encoded(path: Path, encoding: str) -> bool:
    """True when all bytes of a file are of an encoding."""
    decoder = codecs.getincrementaldecoder(encoding)(errors="strict")
    with path.open("rb") as file:
        return all(_continues(decoder, block) for block in iter(lambda: file.read(_SURVEYED_BYTES), b"")) and _continues(
            decoder, b"", is_final=True
        )


def survey_utf16(path: Path, limits: Limits) -> Survey:
    """The same of a file that its byte order mark tells to be UTF-16; what is none, or cut off within a letter, is no known encoding."""
    decoder = codecs.getincrementaldecoder("utf-16")(errors="strict")
    unbroken = 0
    with path.open("rb") as file:
        for block in iter(lambda: file.read(_SURVEYED_BYTES), b""):
            try:
                text = decoder.decode(block)
            except UnicodeDecodeError:
                raise FileRefusedError("file_encoding_unknown") from None
            if "\x00" in text:
                raise FileRefusedError("file_binary")
            unbroken = len(text) - 1 - newline if (newline := text.rfind("\n")) >= 0 else unbroken + len(text)
            if unbroken > limits.line_mb << 20:
                raise FileRefusedError("line_too_long")
    if not _continues(decoder, b"", is_final=True):
        raise FileRefusedError("file_encoding_unknown")
    return Survey(is_utf8=False, has_quotes=True, has_blanks=True, has_apostrophes=True)
