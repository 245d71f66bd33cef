"""The parts of an HL7 v2 field: separators, escapes, times, numbers, check digits; nothing here knows what they mean."""

import re
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

_TIME = re.compile(r"(\d{4})(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\d{2})?(?:\.\d+)?(?:[+-]\d{4})?$")
_NUMBER = re.compile(r"(<=|>=|<|>|=)?([+-]?\d*\.?\d+|\d+\.)$")
_ESCAPE = re.compile(r"(X(?:[0-9A-Fa-f]{2})+|\.br|[FSTRE])$")


class Marks(NamedTuple):
    """The separators a message declares in MSH-1 and MSH-2."""

    field: str
    component: str
    repeat: str
    escape: str
    sub: str


def read_marks(line: str) -> Marks | None:
    """The separators of an MSH segment; None where it declares none that can be used."""
    field = line[3:4]
    said = line[4:].split(field, 1)[0] if field.strip() and not field.isalnum() else ""
    if not 2 <= len(said) <= 5 or any(mark.isalnum() or mark.isspace() for mark in said):
        return None
    return Marks(field, said[0], said[1], said[2:3] or "\\", said[-1] if len(said) > 3 else "&")


def pick(marks: Marks, field: str, place: int) -> str | None:
    """A component of the first repetition of a field, unescaped and trimmed; None when it is not there or empty."""
    if not field:
        return None
    parts = field.split(marks.repeat, 1)[0].split(marks.component)
    if place >= len(parts):
        return None
    text = parts[place].split(marks.sub, 1)[0].strip().replace("\u00a0", " ")
    text = unescape(marks, text) if marks.escape in text else text
    return None if text in ("", '""') else text


def unescape(marks: Marks, text: str) -> str:
    """Text with its escape sequences resolved; an unknown one stays as it is."""
    if marks.escape not in text:
        return text
    plain = {"F": marks.field, "S": marks.component, "T": marks.sub, "R": marks.repeat, "E": marks.escape, ".br": "\n"}
    parts = text.split(marks.escape)
    out = [parts[0]]
    place = 1
    while place < len(parts):
        said = parts[place]
        if place + 1 < len(parts) and _ESCAPE.match(said):
            if said[0] == "X":
                out.append(bytes.fromhex(said[1:]).decode("utf-8", "replace"))
            else:
                out.append(plain[said])
            out.append(parts[place + 1])
            place += 2
        else:
            out.append(marks.escape + said)
            place += 1
    return "".join(out)


@lru_cache(maxsize=65_536)
def read_time(text: str) -> tuple[str | None, str | None]:
    """(ISO day, ISO moment) of an HL7 time in local time; None for what it does not tell or cannot be."""
    found = _TIME.match(text.strip())
    if found is None:
        longer = re.match(r"(\d{8})\d{7,}$", text.strip())  # a digit too many: the day can still be read
        return (read_time(longer[1])[0], None) if longer else (None, None)
    year, month, day, hour, minute, second = found.groups()
    if not day:
        return None, None
    try:
        moment = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))
    except ValueError:
        return (read_time(text[:8])[0], None) if len(text) > 8 else (None, None)
    return moment.date().isoformat(), moment.isoformat() if hour else None


@lru_cache(maxsize=65_536)
def clean_number(text: str, component: str) -> tuple[str | None, str | None, bool]:
    """(comparator, number, was it cleaned) of NM, SN or text: `<2.22`, `>^100`, `0 .07`, `0065.88`; number None if none."""
    joined = text.replace(component, "") if component in text else text
    tight = re.sub(r"[\s\u00a0]", "", joined).replace(",", ".")
    found = _NUMBER.match(tight)
    if found is None:
        return None, None, False
    sign, number = found[1], found[2]
    plain = re.sub(r"^([+-]?)0+(?=\d)", r"\1", number).removeprefix("+")
    return (None if sign == "=" else sign), plain, plain != joined.strip().lstrip("<>=")


@lru_cache(maxsize=4_096)
def is_loinc_whole(code: str) -> bool:
    """True when a LOINC code passes its check digit (mod 10)."""
    digits, check = code.split("-")
    doubled = "".join(str(int(d) * 2) if place % 2 == 0 else d for place, d in enumerate(reversed(digits)))
    return (10 - sum(map(int, doubled)) % 10) % 10 == int(check)
