"""What a PID says of a child and an NK1 of its mother, and whether two of them speak of the same person."""

import re

from pipelines.intake.hl7.context import list_texts
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
    who = _read_identifiers(terms, marks.repeat.join([fields[3], *_list_earlier(terms, fields)]), number, findings)
    who["mother_iin"] = next(iter(list_national(terms, fields[21], "mother_iin", number, findings)), None)
    who["family_name"], who["given_name"] = pick(marks, fields[5], 0), pick(marks, fields[5], 1)
    who["mother_family_name"] = pick(marks, fields[6], 0)
    who["birth_on"] = terms.read_time(fields[7])[0]
    if fields[7] and not who["birth_on"]:
        findings.append((number, "birth_on", "birth_on_unreadable", "warning"))
    sex = pick(marks, fields[8], 0)
    who["sex_code"] = terms.tables["sexes"].get(sex.casefold()) if sex else None
    if sex and not who["sex_code"]:
        who["sex_code"] = "unknown"
        findings.append((number, "sex_code", "sex_code_unlisted", "warning"))
    who["birth_order"] = pick(marks, fields[25], 0)
    return who


def _read_identifiers(terms: Terms, field: str, number: int, findings: list[Found]) -> Told:
    marks, who = terms.marks, Told()
    for digits in list_national(terms, field, "child_iin", number, findings):
        if len(digits) == _IIN_DIGITS:
            who["child_iin"] = digits
        else:
            findings.append((number, "child_iin", "child_iin_malformed", "warning"))
    for identifier in field.split(marks.repeat):
        digits = pick(marks, identifier, 0) or ""
        if digits and _name_kind(terms, identifier) == "local" and "history_no" not in who:
            who["history_no"], who["maternity_id"] = digits, shorten(pick(marks, identifier, 3))
    return who


def _list_earlier(terms: Terms, fields: list[str]) -> list[str]:
    """The national numbers of PID-2 and PID-4, where versions before 2.5 have them."""
    said = [one for field in (fields[2], fields[4]) if field for one in field.split(terms.marks.repeat)]
    return [one for one in said if _name_kind(terms, one) == "national"]


def list_national(terms: Terms, field: str, column: str, number: int, findings: list[Found]) -> list[str]:
    """The numbers that are IINs by their type (CX.5); twelve digits of no known type may be one: that is told, and they are not taken."""
    found = []
    for identifier in field.split(terms.marks.repeat) if field else ():
        digits, kind = pick(terms.marks, identifier, 0), _name_kind(terms, identifier)
        if digits and kind == "national":
            found.append(digits)
        elif digits and _TWELVE_DIGITS.match(digits) and (kind is None or not pick(terms.marks, identifier, 4)):
            findings.append((number, column, f"{column}_untyped", "warning"))
    return found


def _name_kind(terms: Terms, identifier: str) -> str | None:
    """National or local; None for a type that is neither."""
    said = pick(terms.marks, identifier, 4)
    return terms.tables["identifiers"].get(said.casefold()) if said else "local"


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
    marks, relations = terms.marks, terms.tables["relations"]
    said = (relations.get(text.casefold()) for texts in list_texts(marks, fields[3]) for text in texts)
    relation = next((one for one in said if one), None)
    if relation is None and (fields[2] or fields[33]):
        findings.append((number, "mother_iin", "relation_unlisted", "warning"))
    if relation != "mother":
        return None
    iin = next(iter(list_national(terms, fields[33], "mother_iin", number, findings)), None)
    return {"mother_family_name": pick(marks, fields[2], 0), "mother_given_name": pick(marks, fields[2], 1), "mother_iin": iin}


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
