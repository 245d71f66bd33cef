"""Rows and findings gathered from a part of a file, and who each of them is about."""

from collections import Counter
from collections.abc import Iterable
from datetime import date
from typing import Any

import polars as pl
from msgspec import Raw

from pipelines.intake.fhir.contained import NOTHING_INSIDE, Inside
from pipelines.intake.fhir.elements import Identifier, Reference
from pipelines.intake.fhir.index import Index
from pipelines.intake.fhir.people import Person, name_identifier, read_condition, read_person, read_tables
from pipelines.intake.fhir.shape import Patient
from pipelines.intake.fhir.values import read_moment

SCREENING = (
    "row_no", "source_id", "programme", "component", "value", "comparator", "unit", "result_code", "place", "person", "sender_id",
    "action_code", "issued_at", "facility_id", "stage_code", "examined_on", "examined_at", "reported_on", "status_code",
    "gestation_wk", "is_transfused", "card_of_sample",
)  # fmt: skip
"""What stands at each place of a row of a screening."""
_NOTHING: dict[str, str] = {}
_CHANGED = ("corrected", "cancelled")
"""Status codes of a version that comes after another: the server may keep the day of the first in `issued`."""

Finding = tuple[int | None, str | None, str, str]


class Rows:
    """Rows and findings of a part of a file; `counted` = resources that are no record, by type.

    `screening`: rows as SCREENING; `plain`: those of plain lines, as a frame; `told`: as that of the index, of children of `local`.
    """

    def __init__(self, index: Index, issued: str | None, counted: Counter[str]) -> None:
        self.index, self.issued, self.counted = index, issued, counted
        self.tables = read_tables()
        self.statuses: dict[str, tuple[str, str]] = {said: (code, act) for said, (code, act) in self.tables["observation_status"].items()}
        self.changed = frozenset(said for said, (code, _) in self.statuses.items() if code in _CHANGED)
        self._facilities: dict[str, str | None] = {}
        self.sender = index.find_organization(index.sender)
        self.screening: list[tuple[Any, ...]] = []
        self.plain: pl.DataFrame | None = None
        self.other: dict[str, list[dict[str, Any]]] = {"consent": [], "pmpc_report": [], "birth": []}
        self.local: list[Person] = []
        self.told: dict[tuple[int | str | None, str], dict[str, str]] = {}
        self.findings: list[Finding] = []
        self.seen: Counter[tuple[str | None, str, int]] = Counter()
        self.named: dict[tuple[str, str, int, tuple[str | None, int]], int] = {}
        self._known: dict[str, int] = {}

    def refuse(
        self, number: int, place: int, code: str, source_id: str | None = None, sender_id: str | None = None, kind: str = "screening"
    ) -> None:
        """A line that gives no record though it should: one refused row of its kind that says why."""
        if kind == "screening":
            self.screening.append((number, source_id, *[None] * 6, place, None, sender_id, *[None] * (len(SCREENING) - 11)))
        else:
            self.other[kind].append({"row_no": number, "place": place, "source_id": source_id, "sender_id": sender_id})
        self.findings.append((number, None, code, "error"))

    def open_inside(self, contained: list[Raw]) -> Inside:
        """What stands inside a resource."""
        return Inside(contained) if contained else NOTHING_INSIDE

    def tell_malformed(self, number: int, inside: Inside) -> None:
        """Tell the parts inside a resource that do not fit the standard and were not read."""
        self.findings += [(number, part, "part_malformed", "warning") for part in dict.fromkeys(inside.malformed)]

    def find_person(self, subject: Reference | None, inside: Inside) -> tuple[int | None, str | None]:
        """(number of the patient, finding code): in the file, inside the record, or named by an identifier alone."""
        if subject is None:
            return None, None
        subject = read_condition(subject)
        said = (subject.reference or "").strip()
        number = self.index.find_place(said) if said else None
        if number is not None:
            return (number, None) if number >= 0 else (None, "message_patient_repeated")
        if (number := self._find_inside(said, inside)) is not None:
            return number, None
        if subject.identifier and subject.identifier.value:
            key = name_identifier(subject.identifier)
            place = self.index.place.get(key)
            if place is not None:
                return (place, None) if place >= 0 else (None, "message_patient_repeated")
            if key not in self._known:
                self._known[key] = self._add_local(Patient(identifier=[subject.identifier]), inside)
            return self._known[key], None
        return None, "message_servers_mixed" if self.index.is_of_two_servers(said) else self.index.absent

    def _find_inside(self, said: str, inside: Inside) -> int | None:
        """The number of a patient inside a record: one, however many results of the record are of it."""
        patient = inside.find(said, Patient)
        if patient and said not in inside.people:
            inside.people[said] = self._add_local(patient, inside)
        return inside.people.get(said)

    def _add_local(self, patient: Patient, inside: Inside) -> int:
        row = list(read_person(patient))
        row[4] = row[4] or self.index.find_organization(Reference(reference=row[5]), inside)
        self.local.append(tuple(row))
        return len(self.index.frame) + len(self.local) - 1

    def list_told(self, subject: Reference | None, person: int | None, day: str | None) -> dict[str, str]:
        """What is told of all results of a child: of that day, or of every day; CONTRADICTORY (empty) where that is not one thing."""
        names: list[int | str | None] = [person]
        if subject and subject.identifier:
            names.append(name_identifier(subject.identifier))
        said = [held.get((name, when), _NOTHING) for held in (self.index.told, self.told) for when in ("", day or "") for name in names]
        return {column: text for part in said for column, text in part.items()}

    def read_issued(self, number: int, text: str | None) -> tuple[str | None, str | None]:
        """(day, moment) a version was issued; one that cannot be read is told and refuses nothing."""
        if not text:
            return None, None
        issued = read_issued(text)
        if issued is None:
            self.findings.append((number, "issued_at", "issued_at_unreadable", "warning"))
        return issued or (None, None)

    def read_version(self, number: int, text: str | None, others: Iterable[str | None]) -> tuple[str | None, str | None]:
        """(day, moment) a version was issued; the moment is the latest of that and the others (that can be read)."""
        day, moment = self.read_issued(number, text)
        later = [said[1] for other in others if other and (said := read_issued(other))]
        return day, max([*later, *([moment] if moment else [])], default=None)

    def name_source(self, identifiers: list[Identifier], number: str | None, other: str | None) -> str | None:
        """The sender's id of a record: its own identifier, else that of its order, else the id of the resource."""
        own = next((i.value.strip() for i in identifiers if i.value and i.value.strip()), None) if identifiers else None
        return own or other or number

    def find_facility(self, performers: list[Reference], inside: Inside = NOTHING_INSIDE) -> str | None:
        """The id of the first performer that is a facility, or acts for one."""
        for performer in performers:
            if performer.identifier or (performer.reference or "").strip().startswith("#"):
                found = self.index.find_organization(performer, inside)
            else:
                key = performer.reference or ""
                if key not in self._facilities:
                    self._facilities[key] = self.index.find_organization(performer)
                found = self._facilities[key]
            if found:
                return found
        return None


def read_issued(text: str) -> tuple[str, str] | None:
    """(day, moment) of a version; None for a text that is neither."""
    day, moment = read_moment(text)
    return (day, moment or f"{day}T00:00:00") if moment or _is_day(day) else None


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == 10
