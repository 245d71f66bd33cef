"""A person of a resource as columns of text: identifiers by their type, names, the organisation whose number it is."""

import re
import tomllib
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote

import polars as pl

from pipelines.intake.fhir.contained import Inside
from pipelines.intake.fhir.elements import Address, Concept, HumanName, Identifier, Reference
from pipelines.intake.fhir.shape import Organization, Patient, RelatedPerson
from pipelines.intake.hl7 import read_tables as read_hl7_tables

_TABLES = Path(__file__).parents[1] / "layouts" / "fhir-r4.toml"
_SHARED = ("components", "context", "positive", "conditions", "nothing", "stages", "factor", "quality",
           "interpretation_word")  # fmt: skip
LONGEST_ID = 40
_CONDITION = re.compile(r"(?:\S*/)?[A-Za-z]+\?identifier=([^&\s]+)")
_PERSON = (
    "child_iin", "birth_on", "birth_order", "sex_code", "assigner_id", "assigner_ref", "assigner_system", "history_no",
    "card_no", "family_name", "given_name", "mother_family_name", "mother_given_name",
)  # fmt: skip
WHO = (
    "child_iin", "mother_iin", "birth_on", "birth_order", "sex_code", "maternity_id", "history_no", "card_no", "family_name",
    "given_name", "mother_family_name", "mother_given_name",
)  # fmt: skip
Person = tuple[str | None, ...]
Dated = TypeVar("Dated", HumanName, Address)


@cache
def read_tables() -> dict[str, Any]:
    """The code tables of FHIR (layouts/fhir-r4.toml) and those it shares with HL7 v2; answers by lower case."""
    ours = tomllib.loads(_TABLES.read_text("utf-8"))
    shared = read_hl7_tables()
    answers = shared["answers"] | {code.casefold(): answer for code, answer in ours["answers"].items()}
    return ours | {name: shared[name] for name in _SHARED} | {"answers": answers}


def read_person(patient: Patient) -> Person:
    """The columns of _PERSON of a patient."""
    said: dict[str, tuple[str, Identifier]] = {}
    for kind, number, identifier in _list_numbers(patient.identifier):
        said.setdefault(kind, (number, identifier))
    history = said.get("history")
    assigner_id, assigner_ref, system = None, None, None
    for keeper in (history[1].assigner if history else None, patient.managing_organization):
        if keeper and not assigner_id and not assigner_ref:
            assigner_id = short_id(keeper.identifier.value) if keeper.identifier and keeper.identifier.value else None
            own = Inside(patient.contained).find(keeper.reference, Organization) if patient.contained and not assigner_id else None
            assigner_id = name_organization(own) if own else assigner_id
            assigner_ref = keeper.reference if not assigner_id else None
    if history:
        system = short_id(history[1].system)
    order = patient.multiple_birth_integer
    if order is None and patient.multiple_birth_boolean is False:
        order = 1
    name = choose_name(patient.name)
    mother = next((c.name for c in patient.contact if c.name and read_authority(c.relationship) == "mother"), HumanName())
    return (
        said["iin"][0] if "iin" in said else None, tidy(patient.birth_date), None if order is None else str(order),
        {"other": "unknown"}.get(patient.gender or "", tidy(patient.gender)), assigner_id, assigner_ref, system,
        history[0] if history else None, said["card"][0] if "card" in said else None, tidy(name.family), first_of(name.given),
        tidy(mother.family), first_of(mother.given),
    )  # fmt: skip


def frame_local(rows: list[Person]) -> pl.DataFrame:
    """Patients that stand inside a record (contained, or named by an identifier only), with WHO."""
    return frame_people(rows).with_columns(
        mother_iin=pl.lit(None, pl.String), maternity_id=pl.coalesce("assigner_id", "assigner_system")
    ).select(WHO)  # fmt: skip


def frame_people(rows: list[Person]) -> pl.DataFrame:
    """Rows of read_person as a frame of text."""
    columns = list(zip(*rows, strict=True)) or [()] * len(_PERSON)
    return pl.DataFrame(
        [pl.Series(name, column, pl.String) for name, column in zip(_PERSON, columns, strict=True)]
    )


def sort_identifiers(identifiers: list[Identifier]) -> list[tuple[str, str]]:
    """(iin, history or card, number) of the identifiers we know, the one a person is known by first."""
    return [(kind, number) for kind, number, _ in _list_numbers(identifiers)]


def _list_numbers(identifiers: list[Identifier]) -> list[tuple[str, str, Identifier]]:
    """(iin, history or card, number, identifier), ranked by type (none last), then by use; an old one is none."""
    uses = read_tables()["uses"]
    known = [(rank, uses.get(i.use, uses["usual"]), kind, i.value.strip(), i) for i in identifiers
             if i.use != "old" and i.value and i.value.strip() for rank, kind in _rank_type(i)[:1]]  # fmt: skip
    return [(kind, number, identifier) for _, _, kind, number, identifier in sorted(known, key=lambda one: one[:2])]


def _rank_type(identifier: Identifier) -> list[tuple[int, str]]:
    """(rank, iin, history or card) of each type of an identifier that we know."""
    kinds: dict[str, str] = read_tables()["identifiers"]
    if identifier.system == read_tables()["systems"]["iin"]:
        return [(0, "iin")]
    if identifier.type is None:
        return [(len(kinds), "history")]
    ranks = list(kinds)
    return [(ranks.index(code), kinds[code]) for code in list_codes(identifier.type) if code in kinds]


def list_codes(concept: Concept | None) -> list[str]:
    """Codes of a concept without the blanks around them."""
    return [c.code.strip() for c in concept.coding if c.code and c.code.strip()] if concept else []


def read_authority(relationships: list[Concept]) -> str | None:
    """authority_code of a relationship; None where it gives no right to decide."""
    authority = read_tables()["authority"]
    return next((authority[code] for said in relationships for code in list_codes(said) if code in authority), None)


class Kin(NamedTuple):
    """A representative: by what right, the IIN and the name."""

    authority: str | None
    iin: str | None
    name: str | None


def describe_kin(person: RelatedPerson) -> Kin:
    """Who a representative is, and by what right."""
    name = choose_name(person.name)
    iin = next((number for kind, number in sort_identifiers(person.identifier) if kind == "iin"), None)
    return Kin(read_authority(person.relationship), iin, " ".join(part for part in (name.family, *name.given) if part) or name.text)


def name_organization(organization: Organization) -> str | None:
    """The first of a facility's numbers or names that can be an id."""
    said = [*(i.value for i in organization.identifier), organization.name, organization.id]
    return next((number for text in said if (number := short_id(text))), None)


def name_subject(subject: Reference) -> str:
    """How a subject is called: its reference, else the key of its identifier."""
    subject = read_condition(subject)
    if subject.reference:
        return subject.reference.strip()
    return name_identifier(subject.identifier) if subject.identifier else ""


def read_condition(reference: Reference) -> Reference:
    """A reference by an identifier in place of a conditional one (`Patient?identifier=system|value`); any other as it is."""
    found = _CONDITION.fullmatch(reference.reference.strip()) if reference.reference and "?" in reference.reference else None
    if found is None:
        return reference
    system, _, value = unquote(found[1]).rpartition("|")
    return Reference(identifier=Identifier(system=system or None, value=value))


def name_identifier(identifier: Identifier) -> str:
    """The key of a business identifier."""
    return f"{identifier.system or ''}|{(identifier.value or '').strip()}"


def choose_name(names: list[HumanName]) -> HumanName:
    """The official name, else the first that is not an old one."""
    return next((n for n in names if n.use == "official"), choose_present(names) or HumanName())


def choose_present(said: Sequence[Dated]) -> Dated | None:
    """The first of several names or addresses that is not an old one."""
    return next((one for one in said if one.use != "old"), None)


def first_of(given: list[str]) -> str | None:
    """The first given name."""
    return tidy(given[0]) if given else None


def tidy(text: str | None) -> str | None:
    """Text without blanks around it; None when nothing is left."""
    return (text or "").replace("\u00a0", " ").strip() or None


@lru_cache(maxsize=4_096)
def short_id(text: str | None) -> str | None:
    """A text that can be the id of a facility."""
    said = (text or "").strip()
    return said if 0 < len(said) <= LONGEST_ID else None
