"""What a value and a code of an Observation mean: numbers as written, answers, programmes; times in local time (intake.clock)."""

import re
from calendar import monthrange
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import NamedTuple

import msgspec

from pipelines.intake.clock import tell_local
from pipelines.intake.conform import name_unit
from pipelines.intake.fhir.elements import Concept
from pipelines.intake.fhir.people import read_tables
from pipelines.intake.fhir.shape import Measured, Observation
from pipelines.intake.hl7.fields import clean_number, is_loinc_whole

_LOINC = re.compile(r"\d{1,7}-\d$")
_IS_LOCAL = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?\+05:00$")
_OTHER_VALUES = ("value_range", "value_ratio", "value_sampled_data", "value_time", "value_date_time", "value_period")


class Meaning(NamedTuple):
    """What a code says of an Observation: `kind` result, positive, context, skip or unknown; `is_known`: by a table."""

    kind: str
    programme: str | None
    component: str
    is_number: bool = False
    is_known: bool = True


class Value(NamedTuple):
    """One value[x] in our columns, and the code of what is wrong with it."""

    value: str | None = None
    comparator: str | None = None
    unit: str | None = None
    result_code: str | None = None
    problem: str | None = None


def name_meaning(code: Concept | None, categories: list[Concept], is_newborn: bool) -> Meaning:
    """What a code means; `is_newborn`: a report of newborn blood-spot screening lists the result."""
    said = tuple([(c.system, c.code, c.display) for c in code.coding if c.code]) if code else ()
    kinds = tuple([c.code for concept in categories for c in concept.coding if c.code])
    return _look_up(said, code.text if code else None, kinds, is_newborn)


@lru_cache(maxsize=8_192)
def _look_up(
    said: tuple[tuple[str | None, str, str | None], ...], text: str | None, categories: tuple[str, ...], is_newborn: bool
) -> Meaning:
    tables = read_tables()
    said = tuple((system, code.strip(), display) for system, code, display in said if code.strip())
    codes = [code for _, code, _ in said]
    listed = [found for coded in said if (found := _look_up_code(*coded[:2]))]
    if len({(one.programme, one.component) for one in listed if one.kind == "result"}) > 1:
        return Meaning("unknown", None, "", is_known=False)  # of two analytes in one code neither is surely meant
    if listed:
        return listed[0]
    first = next((code for code in codes if _LOINC.match(code)), codes[0] if codes else "")
    component = first if _LOINC.match(first) else f"L:{first}"[:80] if first else ""
    if any(code in tables["skip"]["codes"] for code in codes):
        return Meaning("skip", None, component)
    label = " ".join(t for t in (text, *(display for _, _, display in said)) if t).casefold()
    if is_newborn or any(word in label for word in tables["newborn"]["words"]):
        return Meaning("result", "blood_spot", component, is_known=tables["interpretation_word"] in label)
    is_other = any(kind in tables["skip"]["categories"] for kind in categories)
    return Meaning("skip" if is_other else "unknown", None, component, is_known=False)


def _look_up_code(system: str | None, code: str) -> Meaning | None:
    tables = read_tables()
    if code in tables["context"]:
        return Meaning("skip" if tables["context"][code] == "skip" else "context", None, code)
    if code in tables["positive"]:
        return Meaning("positive", "blood_spot", code)
    known = tables["components"].get(code) or tables["components"].get(code.upper())
    if known:
        return Meaning("result", known["programme"], known["component"], bool(known.get("is_number")))
    if code in tables["own"] and system in (None, tables["systems"]["component"]):
        return Meaning("result", tables["own"][code], code, code in ("tsh", "phe"))
    return None


@lru_cache(maxsize=65_536)
def read_moment(text: str) -> tuple[str, str | None]:
    """(day, moment) in local time of a FHIR date, dateTime or instant; a text that is none comes back as the day."""
    said = text.strip()
    if len(said) <= 10:
        return said, None
    try:
        moment = datetime.fromisoformat(said)
        if is_local := _IS_LOCAL.match(said):  # nearly all, and three times as fast
            return said[:10], is_local[1]
        ahead = moment.utcoffset()
        local = moment.replace(tzinfo=None) if ahead is None else tell_local(moment.replace(tzinfo=None), ahead)
    except (ValueError, OverflowError):
        return said, None
    told = local.isoformat(timespec="seconds")
    return told[:10], told


def read_bound(text: str, *, is_end: bool) -> str:
    """The day a period begins or ends, in local time; a year or a month counts whole. A text that is none comes back."""
    said = text.strip()
    if re.fullmatch(r"[0-9]{4}", said):
        return f"{said}-12-31" if is_end else f"{said}-01-01"
    if month := re.fullmatch(r"([0-9]{4})-(0[1-9]|1[0-2])", said):
        return f"{said}-{monthrange(int(month[1]), int(month[2]))[1] if is_end else 1:02}"
    return read_moment(said)[0]


def read_day(seen: Observation) -> tuple[str | None, str | None]:
    """(day, moment) of an Observation, in local time."""
    said = seen.effective_date_time or seen.effective_instant or (seen.effective_period and seen.effective_period.start)
    return read_moment(said) if said else (None, None)


def read_measure(part: Measured) -> Value:
    """The number of a Quantity, an integer or a text, with its sign and unit; `problem` where it was cleaned or is none."""
    quantity = part.value_quantity
    if quantity is not None:
        return _read_quantity(bytes(quantity.value), quantity.comparator, quantity.code, quantity.unit)
    return _read_quantity(bytes(part.value_integer), None, None, None, part.value_string)


@lru_cache(maxsize=65_536)
def _read_quantity(raw: bytes, comparator: str | None, code: str | None, unit: str | None, text: str | None = None) -> Value:
    if not raw or raw == b"null":
        sign, value, _ = clean_number(text, "^") if text else (comparator, None, False)
        return Value(value, sign)
    value, is_cleaned = _read_number(raw)
    said = next((u.strip() for u in (code, unit) if u and u.strip() not in ("", "1")), None)
    problem = "value_unreadable" if value is None else "value_cleaned" if is_cleaned else None
    return Value(value, comparator, said, None, "units_disagree" if _name_two_units(code, unit) else problem)


def _name_two_units(code: str | None, unit: str | None) -> bool:
    """True where the code and the text of a quantity are two units we know."""
    one, other = name_unit(code or ""), name_unit(unit or "")
    return one is not None and other is not None and one != other


def _read_number(raw: bytes) -> tuple[str | None, bool]:
    """(plain decimal, was it cleaned) of a JSON number, or of a text where a number belongs."""
    text = raw.decode("utf-8", "replace")
    if raw[:1] == b'"':
        return clean_number(str(msgspec.json.decode(raw)), "^")[1], True
    if "e" not in text.lower():
        return (text, False) if text[:1] in "-0123456789" else (None, False)
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None, False
    return (f"{number:f}", False) if abs(number.adjusted()) < 30 else (None, False)


def is_valued(part: Measured) -> bool:
    """True where a value[x] or the reason of its absence is given."""
    given = (part.value_quantity, part.value_codeable_concept, part.value_string, part.value_boolean, part.data_absent_reason)
    return any(value is not None for value in given) or len(bytes(part.value_integer)) > 0 or has_other_value(part)


def has_two_values(part: Measured) -> bool:
    """True where two values are given, or a value and the reason of its absence (obs-6): which of them holds nobody can know."""
    given = (part.value_quantity, part.value_codeable_concept, part.value_string, part.value_boolean, part.data_absent_reason)
    raw = (part.value_integer, *(getattr(part, name) for name in _OTHER_VALUES))
    return sum(value is not None for value in given) + sum(len(bytes(value)) > 0 for value in raw) > 1


def has_other_value(part: Measured) -> bool:
    """True where the value is of a kind that is not read."""
    return any(len(bytes(getattr(part, name))) for name in _OTHER_VALUES)


def is_loinc_broken(component: str) -> bool:
    """True for a component kept under a LOINC code whose check digit is wrong."""
    return bool(_LOINC.match(component)) and not is_loinc_whole(component)
