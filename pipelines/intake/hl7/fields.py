"""The parts of an HL7 v2 field: separators, escapes, times, numbers, check digits; nothing here knows what they mean."""

import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from pipelines.intake.clock import tell_local
from pipelines.intake.number import tighten_text

_TIME = re.compile(r"(\d{4})(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\d{2})?(?:\.\d+)?(?:([+-])(\d{2})(\d{2}))?$", re.ASCII)
_NUMBER = re.compile(r"(<=|>=|<|>|=)?([+-]?\d*\.?\d+|\d+\.)$", re.ASCII)
_COMPARATORS = ("<", ">", "<=", ">=", "=")
_LONGEST_NUMBER = 64
_LARGEST_OFFSET = timedelta(hours=14)
_FALLBACK = "cp1251"  # layouts/hl7-oru.toml [charsets]: what undeclared bytes are read by


class Marks(NamedTuple):
    r"""The separators a message declares in MSH-1 and MSH-2, and the character set its `\X..\` escapes are of."""

    field: str
    component: str
    repeat: str
    escape: str
    sub: str
    charset: str = "utf-8"


def read_marks(line: str, charset: str = "utf-8") -> Marks | None:
    r"""The separators of a header segment (MSH, BHS, FHS); None where it declares none that can be used.

    A fifth character is the truncation mark of 2.7 (`^~\&#`), or the ampersand where the escape was doubled (`^~\\&`).
    """
    field = line[3:4]
    said = line[4:].split(field, 1)[0] if field.strip() and not field.isalnum() else ""
    if not 2 <= len(said) <= 5 or any(mark.isalnum() or mark.isspace() for mark in said):
        return None
    said = said[:2] + said[3:] if len(said) == 5 and said[2] == said[3] else said
    if len(set(said)) < len(said):
        return None
    return Marks(field, said[0], said[1], said[2:3] or "\\", said[3:4] or "&", charset)


def pick(marks: Marks, field: str, place: int) -> str | None:
    """A component of the first repetition of a field, unescaped and trimmed; None when it is not there or empty."""
    if not field:
        return None
    if marks.repeat in field:
        field = field.split(marks.repeat, 1)[0]
    if marks.component in field:
        parts = field.split(marks.component, place + 1)
        if place >= len(parts):
            return None
        field = parts[place]
    elif place:
        return None
    if marks.sub in field:
        field = field.split(marks.sub, 1)[0]
    text = field.strip()
    if "\u00a0" in text:
        text = text.replace("\u00a0", " ")
    if marks.escape in text:
        text = unescape(marks, text)
    return None if text in ("", '""') else text


def unescape(marks: Marks, text: str) -> str:
    r"""Text with its escape sequences resolved; an unknown one stays as it is (HL7 v2.8 2.7).

    `\X..\` holds bytes of the message's character set, and a letter may be spread over several of them; marks that switch
    the set (`\C..\`, `\M..\`) or highlight (`\H\`, `\N\`) say nothing of their own.
    """
    if marks.escape not in text:
        return text
    plain = {
        "F": marks.field, "S": marks.component, "T": marks.sub, "R": marks.repeat, "E": marks.escape, "P": "#",
        ".br": "\n", ".sp": "\n", "H": "", "N": "",
    }  # fmt: skip

    def resolve(found: re.Match[str]) -> str:
        said = found[0]
        if found[1]:
            return _read_bytes(bytes.fromhex(re.sub(f"{re.escape(marks.escape)}|X", "", said)), marks.charset)
        return plain.get(said[1:-1], "")

    return _escapes(marks.escape).sub(resolve, text)


@lru_cache(maxsize=64)
def _escapes(mark: str) -> re.Pattern[str]:
    mark = re.escape(mark)
    return re.compile(rf"((?:{mark}X(?:[0-9A-Fa-f]{{2}})+{mark})+)|{mark}(?:\.br|\.sp|[FSTREPHN]|[CM][0-9A-Fa-f]{{4,6}}){mark}")


def _read_bytes(content: bytes, charset: str) -> str:
    try:
        return content.decode(charset)
    except UnicodeDecodeError:
        return content.decode(_FALLBACK, "replace")


@lru_cache(maxsize=65_536)
def read_time(text: str) -> tuple[str | None, str | None]:
    """(ISO day, ISO moment) of an HL7 time in local time (intake.clock); None for what it does not tell or cannot be.

    A time without an offset is local; one with an offset that no place has tells its day only.
    """
    found = _TIME.match(text.strip())
    if found is None:
        longer = re.match(r"(\d{8})\d{7,}$", text.strip())  # a digit too many: the day can still be read
        return (read_time(longer[1])[0], None) if longer else (None, None)
    year, month, day, hour, minute, second, sign, *offset = found.groups()
    if not day:
        return None, None
    try:
        moment = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))
        if hour and sign:
            ahead = timedelta(hours=int(offset[0]), minutes=int(offset[1]))
            if ahead > _LARGEST_OFFSET:
                return moment.date().isoformat(), None
            moment = tell_local(moment, ahead if sign == "+" else -ahead)
    except (ValueError, OverflowError):
        return (read_time(text.strip()[:8])[0], None) if len(text.strip()) > 8 else (None, None)
    return moment.date().isoformat(), moment.isoformat() if hour else None


def clean_number(text: str, component: str) -> tuple[str | None, str | None, bool]:
    """(comparator, number, was it cleaned) of NM, SN or text: `<2.22`, `>^100`, `0 .07`, `0065.88`; number None if none.

    Of components only a comparator and one number are a number: `5^10` is none.
    """
    joined = text.replace(component, "") if component in text else text
    tight = tighten_text(joined).replace(",", ".").replace("≤", "<=").replace("≥", ">=")
    found = _NUMBER.match(tight) if len(tight) <= _LONGEST_NUMBER and _is_one_number(text, component) else None
    if found is None:
        return None, None, False
    sign, number = found[1], found[2]
    plain = re.sub(r"^([+-]?)0+(?=\d)", r"\1", number).removeprefix("+")
    return (None if sign == "=" else sign), plain, plain != joined.strip().lstrip("<>=")


def _is_one_number(text: str, component: str) -> bool:
    if component not in text:
        return True
    said = [part.strip() for part in text.split(component) if part.strip()]
    return len(said) == 1 or (len(said) == 2 and said[0] in _COMPARATORS)


@lru_cache(maxsize=4_096)
def is_loinc_whole(code: str) -> bool:
    """True when a LOINC code passes its check digit (mod 10)."""
    digits, check = code.split("-")
    doubled = "".join(str(int(d) * 2) if place % 2 == 0 else d for place, d in enumerate(reversed(digits)))
    return (10 - sum(map(int, doubled)) % 10) % 10 == int(check)
