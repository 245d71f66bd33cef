"""Who and what the records of a file refer to: patients, mothers, organisations, and what is told of all results of a child.

Made in a first pass over the file, compact (a row of text a person) and bounded: an index larger than the limit refuses the
file, so that memory does not grow with what a sender sends.
"""

from collections.abc import Iterable

import polars as pl

from pipelines.intake.fhir.contained import NOTHING_INSIDE, Inside
from pipelines.intake.fhir.context import Told, join_told, name_day
from pipelines.intake.fhir.elements import Identifier, Reference
from pipelines.intake.fhir.people import (
    WHO,
    Kin,
    Person,
    choose_name,
    describe_kin,
    first_of,
    frame_people,
    name_identifier,
    name_organization,
    name_subject,
    read_condition,
    read_person,
    read_tables,
    short_id,
    tidy,
)
from pipelines.intake.fhir.references import Found, References, name_tail, strip_version
from pipelines.intake.fhir.reports import Report, choose_report, describe_report
from pipelines.intake.fhir.shape import (
    DiagnosticReport,
    Observation,
    Organization,
    Patient,
    PractitionerRole,
    RelatedPerson,
    ServiceRequest,
    Specimen,
)
from pipelines.intake.fhir.specimens import Sample, describe_specimen
from pipelines.intake.refusal import FileRefusedError

ABSENT = "message_without_patient"
UNSENT = "message_patient_not_sent"
MIXED = "message_delivery_mixed"
"""Why a child is not found: not in the file, not in the export as it was sent, or its export is two."""
_PART = 50_000
_ANYWHERE = "~"
"""Before the `Type/id` of a result that a report names, whatever its server."""


class Index(References):
    """What the first pass found; `freeze` ends it. Keys are fullUrl, `Type/id` and `system|value` of an identifier.

    `frame` and `torn`: WHO of every patient, and the numbers of those of whom two mothers are told: neither is taken.

    `absent`: the finding code of a child who is not found; `is_mixed`: two unlike resources went by one id;
    `servers`: those whose patients are referred to by a full address; `observations`: names of Observations that are here: of a Bundle all,
    else those `wanted`: results that a withdrawn report or panel lists.
    """

    def __init__(self, limit: int, *, is_bundle: bool, absent: str = ABSENT) -> None:
        super().__init__()
        self.limit, self.is_bundle, self.absent = limit, is_bundle, absent
        self.servers: set[bytes] = set()
        self.size = 0
        self.is_mixed = False
        self.place: dict[str, int] = {}
        self.organizations: dict[str, str] = {}
        self.roles: dict[str, Reference] = {}
        self.kin: dict[str, Kin] = {}
        self.reports: dict[str, Report] = {}
        self.referrals: dict[str, str] = {}
        self.specimens: dict[str, Sample] = {}
        self.observations: dict[str, bool] = {}
        self.wanted: set[str] = set()
        self.sender: Reference | None = None
        self.told: dict[tuple[int | str | None, str], dict[str, str]] = {}
        self.frame = pl.DataFrame(schema=dict.fromkeys(WHO, pl.String))
        self.torn = pl.Series("number", [], pl.Int64)
        self._rows: list[Person] = []
        self._parts: list[pl.DataFrame] = []
        self._mothers: list[tuple[str, str | None, str | None, str | None]] = []

    def grow(self, count: int = 1) -> None:
        """Count what is held; raises FileRefusedError("file_too_many_people")."""
        self.size += count
        if self.size > self.limit:
            raise FileRefusedError("file_too_many_people")

    def add_patient(self, patient: Patient, url: str | None) -> None:
        """A patient under all its names; one name of two unlike patients names neither."""
        row = read_person(patient)
        number = len(self._parts) * _PART + len(self._rows)
        keys = self.name_keys(url, "Patient", patient.id)
        keys += {name_identifier(i): True for i in patient.identifier if i.system and i.value}
        for key in keys:
            other = self.place.get(key)
            if other is not None and other >= 0 and self._row(other) != row:
                self.place[key] = -1
                self.is_mixed = self.is_mixed or "|" not in key
            else:
                self.place.setdefault(key, number)
        self.grow(len(keys) + 1)
        self._rows.append(row)
        if len(self._rows) == _PART:
            self._parts.append(frame_people(self._rows))
            self._rows = []

    def add_related(self, person: RelatedPerson, url: str | None) -> None:
        """A representative; the mother is told of her child, but by a record that is in use no more."""
        kin, name = describe_kin(person), choose_name(person.name)
        self._keep(self.kin, self.name_keys(url, "RelatedPerson", person.id), kin)
        if kin.authority == "mother" and person.patient and person.active is not False:
            self._mothers.append((name_subject(person.patient), kin.iin, tidy(name.family), first_of(name.given)))
        self.grow(2)

    def add_organization(self, organization: Organization, url: str | None) -> None:
        """A facility by the first of its numbers or names that can be an id."""
        if number := name_organization(organization):
            self._keep(self.organizations, self.name_keys(url, "Organization", organization.id), number)
            self.grow()

    def add_role(self, role: PractitionerRole, url: str | None) -> None:
        """The organisation that a person acts for."""
        if role.organization:
            own = Inside(role.contained).find(role.organization.reference, Organization)
            named = Reference(identifier=Identifier(value=name_organization(own))) if own else role.organization
            self._keep(self.roles, self.name_keys(url, "PractitionerRole", role.id), named)
            self.grow()

    def add_report(self, report: DiagnosticReport) -> None:
        """What a report tells of each result it lists; of two that list it, one that stands goes before one that was withdrawn."""
        described = describe_report(report)
        for result in report.result:
            text = strip_version(result.reference or "")
            if text and not text.startswith("#"):
                tail = name_tail(text)
                self.wanted |= {tail} if described.is_withdrawn else set()
                for key in (text, _ANYWHERE + tail):
                    self.reports[key] = choose_report(self.reports.get(key, described), described)
        self.grow(len(report.result))

    def find_report(self, url: str | None, number: str | None) -> Report | None:
        """The report that lists an Observation; by `Type/id` on any server where the Observation does not say on which it is."""
        keys = self.name_keys(url, "Observation", number)
        if not (url or "").startswith("http"):
            keys += [_ANYWHERE + key for key in keys]
        return next((report for key in keys if (report := self.reports.get(key))), None)

    def is_of_unsent(self, report: DiagnosticReport) -> bool:
        """True for a withdrawn report that lists nothing, or a result that no other report upholds and that is not here to be withdrawn."""
        listed = [strip_version(r.reference) for r in report.result if r.reference]
        withdrawn = [text for text in listed if (held := self.reports.get(text)) and held.is_withdrawn]
        described = describe_report(report)
        if not listed:
            return described.is_withdrawn and described.is_newborn
        return described.is_withdrawn and not all(self.find(self.observations, text) for text in withdrawn)

    def add_request(self, request: ServiceRequest, url: str | None) -> None:
        """A referral of ours that a task may point at."""
        system = read_tables()["systems"]["referral"]
        own = next((i.value for i in request.identifier if i.system == system and i.value), None)
        if own:
            self._keep(self.referrals, self.name_keys(url, "ServiceRequest", request.id), own)
            self.grow()

    def add_specimen(self, specimen: Specimen, url: str | None) -> None:
        """What a specimen says of its results; one that says nothing is not held."""
        told = describe_specimen(specimen)
        for key in () if told.is_silent and not told.updated else self.name_keys(url, "Specimen", specimen.id):
            self.specimens[key] = max(self.specimens.get(key, told), told)
            self.grow()

    def find_specimen(self, reference: Reference | None, inside: Inside = NOTHING_INSIDE) -> Sample | None:
        """What is said of the specimen of a result, which may stand inside it."""
        if reference is None or not reference.reference:
            return None
        own = inside.find(reference.reference, Specimen)
        return describe_specimen(own) if own else self.find(self.specimens, reference.reference)

    def add_observation(self, seen: Observation, url: str | None, context: Iterable[Told]) -> None:
        """An Observation that others may name, and what it tells (`context`)."""
        self.add_context(seen, context)
        if self.is_bundle:
            self.observations |= dict.fromkeys(self.name_keys(url, "Observation", seen.id), True)
        elif seen.status in read_tables()["newborn"]["withdrawn"]:
            members = {name_tail(m.reference) for m in seen.has_member if m.reference}
            self.wanted |= members
            self.grow(len(members))

    def add_context(self, seen: Observation, context: Iterable[Told]) -> None:
        """What is true of all results of a child on that day, or of all where no day is given; not of one who stands inside a resource."""
        subject = name_subject(seen.subject) if seen.subject else ""
        for told in context if subject and not subject.startswith("#") else ():
            if told.text:
                join_told(self.told.setdefault((subject, name_day(told.column, seen)), {}), told.column, told.text)
                self.grow()

    def freeze(self) -> None:
        """End the first pass: `frame` has WHO of every patient, in the order of `place`."""
        parts = [*self._parts, frame_people(self._rows)]
        refs = {ref for part in parts for ref in part["assigner_ref"].drop_nulls().unique()}
        named = {ref: self.find_organization(Reference(reference=ref)) for ref in refs}
        found = [(self.find_place(key), iin, family, given) for key, iin, family, given in self._mothers]
        mother = pl.DataFrame(
            [row for row in found if row[0] is not None and row[0] >= 0],
            schema={"number": pl.Int64, "mother_iin": pl.String, "mother_family": pl.String, "mother_given": pl.String},
            orient="row",
        ).sort(pl.all(), nulls_last=True)
        is_torn = pl.col("mother_iin").drop_nulls().n_unique().over("number") > 1
        self.torn = mother.filter(is_torn)["number"].unique()
        mother = mother.filter(~is_torn).unique("number", keep="first", maintain_order=True)
        frame = pl.concat(parts).with_row_index("number").with_columns(pl.col("number").cast(pl.Int64))
        joined = frame.join(mother, on="number", how="left", maintain_order="left")
        assert len(joined) == len(frame)  # noqa: S101
        self.frame = joined.with_columns(
            mother_family_name=pl.coalesce("mother_family", "mother_family_name"),
            mother_given_name=pl.coalesce("mother_given", "mother_given_name"),
            maternity_id=pl.coalesce(
                "assigner_id",
                pl.col("assigner_ref").replace_strict(named, default=None, return_dtype=pl.String),
                "assigner_system",
            ),
        ).select(WHO)
        told: dict[tuple[int | str | None, str], dict[str, str]] = {}
        for (subject, day), said in self.told.items():
            number = self.find_place(str(subject))
            everything = told.setdefault((subject if number is None else number, day), {})
            for column, text in said.items():
                join_told(everything, column, text)
        self.told, self._rows, self._parts, self._mothers = told, [], [], []

    def find_place(self, key: str) -> int | None:
        """The number of a patient by a reference or `system|value`; -1 where two unlike ones have that name."""
        if "|" in key:
            return self.place.get(key)
        return None if self.is_of_two_servers(key) else self.find(self.place, key)

    def is_of_two_servers(self, key: str) -> bool:
        """True for a full address that no patient stands under, where patients of two servers are referred to: `Patient/1` is two."""
        return len(self.servers) > 1 and "://" in key and strip_version(key) not in self.place

    def find_organization(self, reference: Reference | None, inside: Inside = NOTHING_INSIDE) -> str | None:
        """The id of the facility a reference names, through a role where one stands between; None where it is not known.

        `inside`: what stands inside the resource that refers to it.
        """
        if reference is None:
            return None
        reference = read_condition(reference)
        if reference.identifier and reference.identifier.value:
            return short_id(reference.identifier.value)
        role = inside.find(reference.reference, PractitionerRole)
        reference = (role.organization if role else self.find(self.roles, reference.reference)) or reference
        if reference.identifier and reference.identifier.value:
            return short_id(reference.identifier.value)
        if own := inside.find(reference.reference, Organization):
            return name_organization(own)
        known = self.find(self.organizations, reference.reference)
        kind, _, number = (reference.reference or "").strip().rpartition("/")
        is_own_name = kind.endswith("Organization") and not self.is_bundle and self.absent != MIXED
        return known or (short_id(number) if is_own_name else None)

    def _keep(self, held: dict[str, Found], keys: list[str], found: Found) -> None:
        """Put what was found under its names; the last one of a name stands."""
        self.is_mixed = self.is_mixed or any(held.get(key, found) != found for key in keys)
        held |= dict.fromkeys(keys, found)

    def _row(self, number: int) -> Person:
        part, place = divmod(number, _PART)
        return self._parts[part].row(place) if part < len(self._parts) else self._rows[place]
