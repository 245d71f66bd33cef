"""What a PID says of a child and an NK1 of its mother, and whether two of them speak of the same person."""

import re
from typing import NamedTuple

from pipelines.intake.hl7.fields import pick
from pipelines.intake.hl7.sheet import Found
from pipelines.intake.hl7.terms import Terms

Told = dict[str, str | None]
_IIN_DIGITS = 12
_TWELVE_DIGITS = re.compile(r"\d{12}$", re.ASCII)
_LONGEST_ID = 40
PID_FIELDS, NK1_FIELDS = 31, 34


def name_child(fields: list[str]) -> tuple[str, str]:
    """What tells the children of a message apart: identifiers (PID-3) and birth order (PID-25)."""
    return fields[3], fields[25]


def read_child(terms: Terms, fields: list[str], number: int, findings: list[Found]) -> Told:
    """The columns of a PID (padded to PID_FIELDS); what cannot be read of it is added to the findings."""
    marks = terms.marks
    who = _read_identifiers(terms, fields, number, findings)
    who["mother_iin"] = _read_iin(terms, fields[21], "mother_iin", number, findings)
    who["family_name"], who["given_name"] = pick(marks, fields[5], 0), pick(marks, fields[5], 1)
    who["mother_family_name"] = pick(marks, fields[6], 0)
    who["birth_on"] = terms.read_day(fields[7])
    if fields[7] and not who["birth_on"]:
        findings.append((number, "birth_on", "birth_on_unreadable", "warning"))
    sex = pick(marks, fields[8], 0)
    who["sex_code"] = terms.tables["sexes"].get(sex.casefold()) if sex else None
    if sex and not who["sex_code"]:
        who["sex_code"] = "unknown"
        findings.append((number, "sex_code", "sex_code_unlisted", "warning"))
    who["birth_order"] = pick(marks, fields[25], 0)
    return who


class _Identifier(NamedTuple):
    """A repetition of a field of numbers (CX); `kind`: national, history or local, None for a type that is none of them."""

    digits: str
    kind: str | None
    is_typed: bool
    authority: str | None


def _list_identifiers(terms: Terms, *fields: str) -> list[_Identifier]:
    marks, kinds, found = terms.marks, terms.tables["identifiers"], []
    for field in fields:
        for one in field.split(marks.repeat) if field else ():
            if digits := pick(marks, one, 0):
                said = pick(marks, one, 4)
                found.append(_Identifier(digits, kinds.get(said.casefold()) if said else "local", said is not None, pick(marks, one, 3)))
    return found


def _read_identifiers(terms: Terms, fields: list[str], number: int, findings: list[Found]) -> Told:
    """Of PID-3, a history before another number and that before one of no type; of PID-2 and PID-4, of versions before 2.5, the national one."""
    who, own = Told(), _list_identifiers(terms, fields[3])
    earlier = _list_identifiers(terms, fields[2], fields[4]) if fields[2] or fields[4] else []
    for digits in _list_national([*own, *(one for one in earlier if one.kind == "national")], "child_iin", number, findings):
        if len(digits) == _IIN_DIGITS:
            who["child_iin"] = digits
        else:
            findings.append((number, "child_iin", "child_iin_malformed", "warning"))
    ranked = sorted(own, key=lambda one: (one.kind != "history", not one.is_typed))
    if known := next((one for one in ranked if one.kind in ("history", "local")), None):
        who["history_no"], who["maternity_id"] = known.digits, shorten(known.authority)
    return who


def _list_national(identifiers: list[_Identifier], column: str, number: int, findings: list[Found]) -> list[str]:
    """The numbers that are IINs by their type; twelve digits of no known type may be one: that is told, and they are not taken."""
    for one in identifiers:
        if one.kind != "national" and (one.kind is None or not one.is_typed) and _TWELVE_DIGITS.match(one.digits):
            findings.append((number, column, f"{column}_untyped", "warning"))
    return [one.digits for one in identifiers if one.kind == "national"]


def _read_iin(terms: Terms, field: str, column: str, number: int, findings: list[Found]) -> str | None:
    return next(iter(_list_national(_list_identifiers(terms, field), column, number, findings)), None) if field else None


def list_facts(terms: Terms, fields: list[str]) -> dict[str, str]:
    """What a PID says of the person beside its identifiers, each told one way."""
    marks = terms.marks
    day, moment = terms.read_time(fields[7])
    facts = {
        "family": pick(marks, fields[5], 0), "given": pick(marks, fields[5], 1), "mother": pick(marks, fields[6], 0),
        "birth": moment or day, "sex": pick(marks, fields[8], 0), "mother_no": pick(marks, fields[21], 0),
    }  # fmt: skip
    return {name: said.casefold() for name, said in facts.items() if said}


def is_same_child(before: dict[str, str], after: dict[str, str]) -> bool:
    """True where nothing that is told twice differs; a day of birth agrees with a moment of it."""
    return all(_agree(said, after[name]) for name, said in before.items() if name in after)


def _agree(one: str, other: str) -> bool:
    return one.startswith(f"{other}t") or other.startswith(f"{one}t") or one == other


def read_mother(terms: Terms, fields: list[str], number: int, findings: list[Found]) -> Told | None:
    """The columns of an NK1 (padded to NK1_FIELDS) that speaks of the mother; None for another relative, and for one of no known kinship."""
    relation = terms.read_relation(fields[3])
    if relation is None and (fields[2] or fields[33]):
        findings.append((number, "mother_iin", "relation_unlisted", "warning"))
    if relation != "mother":
        return None
    family, given = pick(terms.marks, fields[2], 0), pick(terms.marks, fields[2], 1)
    iin = _read_iin(terms, fields[33], "mother_iin", number, findings)
    return {"mother_family_name": family, "mother_given_name": given, "mother_iin": iin}


def is_same_mother(before: Told, after: Told) -> bool:
    """True where the numbers agree, or, where one of the two has none, nothing of the name that is told twice differs."""
    numbers = before.get("mother_iin"), after.get("mother_iin")
    if all(numbers):
        return numbers[0] == numbers[1]
    names = [(before.get(name), after.get(name)) for name in ("mother_family_name", "mother_given_name")]
    return all(one.casefold() == other.casefold() for one, other in names if one and other)


def shorten(text: str | None) -> str | None:
    """An id of the register; nothing where a text is too long to be one."""
    return text if text and len(text) <= _LONGEST_ID else None
