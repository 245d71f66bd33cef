"""The FHIR R4 resources that are read, typed; what is not named here is not read."""

import typing
from typing import Any

import msgspec
from msgspec import Raw

from pipelines.intake.fhir.elements import (
    NONE,
    Address,
    Coding,
    Concept,
    Contact,
    ContactPoint,
    Extended,
    Extension,
    HumanName,
    Identifier,
    Meta,
    Part,
    Period,
    Quantity,
    Reference,
)


class Measured(Part):
    """What an Observation and each of its components share: a code and one value[x], or why there is none."""

    code: Concept | None = None
    value_quantity: Quantity | None = None
    value_codeable_concept: Concept | None = None
    value_string: str | None = None
    value_integer: Raw = NONE
    value_boolean: bool | None = None
    value_range: Raw = NONE
    value_ratio: Raw = NONE
    value_sampled_data: Raw = NONE
    value_time: Raw = NONE
    value_date_time: Raw = NONE
    value_period: Raw = NONE
    data_absent_reason: Concept | None = None
    interpretation: list[Concept] = []
    modifier_extension: Raw = NONE


class Observation(Measured, tag_field="resourceType", tag="Observation"):
    """One measurement, or a panel of them."""

    id: str | None = None
    meta: Meta | None = None
    identifier: list[Identifier] = []
    status: str | None = None
    category: list[Concept] = []
    subject: Reference | None = None
    effective_date_time: str | None = None
    effective_instant: str | None = None
    effective_period: Period | None = None
    issued: str | None = None
    performer: list[Reference] = []
    specimen: Reference | None = None
    has_member: list[Reference] = []
    component: list[Measured] = []
    contained: list[Raw] = []


class PlainObservation(Part, tag_field="resourceType", tag="Observation"):
    """An Observation of which the parts that repeat from line to line are kept as written."""

    id: str | None = None
    meta: Meta | None = None
    identifier: list[Identifier] = []
    status: Raw = NONE
    category: Raw = NONE
    code: Raw = NONE
    subject: Reference | None = None
    effective_date_time: str | None = None
    issued: str | None = None
    performer: Raw = NONE
    specimen: Reference | None = None
    value_quantity: Raw = NONE
    interpretation: Raw = NONE


class Patient(Part, tag_field="resourceType", tag="Patient"):
    """Who a resource is about."""

    id: str | None = None
    meta: Meta | None = None
    identifier: list[Identifier] = []
    name: list[HumanName] = []
    gender: str | None = None
    birth_date: str | None = None
    birth_date_more: Extended | None = msgspec.field(default=None, name="_birthDate")
    multiple_birth_integer: int | None = None
    multiple_birth_boolean: bool | None = None
    deceased_date_time: str | None = None
    deceased_boolean: bool | None = None
    telecom: list[ContactPoint] = []
    address: list[Address] = []
    contact: list[Contact] = []
    managing_organization: Reference | None = None
    general_practitioner: list[Reference] = []
    extension: list[Extension] = []
    modifier_extension: Raw = NONE
    contained: list[Raw] = []


class RelatedPerson(Part, tag_field="resourceType", tag="RelatedPerson"):
    """A mother, a father, a guardian."""

    id: str | None = None
    active: bool | None = None
    identifier: list[Identifier] = []
    patient: Reference | None = None
    relationship: list[Concept] = []
    name: list[HumanName] = []
    modifier_extension: Raw = NONE


class Organization(Part, tag_field="resourceType", tag="Organization"):
    """A facility."""

    id: str | None = None
    identifier: list[Identifier] = []
    name: str | None = None
    modifier_extension: Raw = NONE


class PractitionerRole(Part, tag_field="resourceType", tag="PractitionerRole"):
    """Who performs, and for which organisation."""

    id: str | None = None
    organization: Reference | None = None
    modifier_extension: Raw = NONE
    contained: list[Raw] = []


class MessageHeader(Part, tag_field="resourceType", tag="MessageHeader"):
    """Who sends a message."""

    id: str | None = None
    sender: Reference | None = None
    responsible: Reference | None = None


class Composition(Part, tag_field="resourceType", tag="Composition"):
    """Who keeps a document."""

    id: str | None = None
    custodian: Reference | None = None


class DiagnosticReport(Part, tag_field="resourceType", tag="DiagnosticReport"):
    """What lists the results of one order; some may stand inside it."""

    id: str | None = None
    meta: Meta | None = None
    identifier: list[Identifier] = []
    status: str | None = None
    code: Concept | None = None
    subject: Reference | None = None
    issued: str | None = None
    specimen: list[Reference] = []
    result: list[Reference] = []
    modifier_extension: Raw = NONE
    contained: list[Raw] = []


class ServiceRequest(Part, tag_field="resourceType", tag="ServiceRequest"):
    """An order or a referral: never a result."""

    id: str | None = None
    identifier: list[Identifier] = []


class Collection(Part):
    """When a specimen was taken."""

    collected_date_time: str | None = None
    collected_period: Period | None = None


class Specimen(Part, tag_field="resourceType", tag="Specimen"):
    """What results were found in."""

    id: str | None = None
    meta: Meta | None = None
    status: str | None = None
    condition: list[Concept] = []
    collection: Collection | None = None
    modifier_extension: Raw = NONE


class Provision(Part):
    """What a consent permits or denies, how long, and for what; those within are exceptions. What else limits it is kept as written."""

    type: str | None = None
    period: Period | None = None
    purpose: list[Coding] = []
    provision: list["Provision"] = []
    actor: Raw = NONE
    action: Raw = NONE
    security_label: Raw = NONE
    class_: Raw = msgspec.field(default=NONE, name="class")
    code: Raw = NONE
    data: Raw = NONE
    data_period: Raw = NONE
    modifier_extension: Raw = NONE


class Policy(Part):
    """The policy (form) that was signed."""

    uri: str | None = None
    modifier_extension: Raw = NONE


class Consent(Part, tag_field="resourceType", tag="Consent"):
    """A decision of a representative."""

    id: str | None = None
    meta: Meta | None = None
    identifier: list[Identifier] = []
    status: str | None = None
    category: list[Concept] = []
    patient: Reference | None = None
    date_time: str | None = None
    performer: list[Reference] = []
    organization: list[Reference] = []
    source_reference: Reference | None = None
    policy: list[Policy] = []
    modifier_extension: Raw = NONE
    policy_rule: Concept | None = None
    provision: Provision | None = None
    contained: list[Raw] = []


class Output(Part):
    """One thing a task gave."""

    type: Concept | None = None
    value_codeable_concept: Concept | None = None
    value_coding: Coding | None = None
    value_boolean: bool | None = None
    modifier_extension: Raw = NONE

    def list_codings(self) -> list[Coding]:
        """The codes it gives."""
        said = [self.value_coding] if self.value_coding else self.value_codeable_concept.coding if self.value_codeable_concept else []
        return [coding for coding in said if coding.code]


class Task(Part, tag_field="resourceType", tag="Task"):
    """What became of a referral."""

    id: str | None = None
    meta: Meta | None = None
    identifier: list[Identifier] = []
    based_on: list[Reference] = []
    status: str | None = None
    business_status: Concept | None = None
    focus: Reference | None = None
    last_modified: str | None = None
    execution_period: Period | None = None
    authored_on: str | None = None
    owner: Reference | None = None
    modifier_extension: Raw = NONE
    output: list[Output] = []


Resource = (
    Observation | Patient | RelatedPerson | Organization | PractitionerRole | MessageHeader | Composition | DiagnosticReport
    | ServiceRequest | Specimen | Consent | Task
)  # fmt: skip
READ: dict[str, type[Any]] = {str(kind.__struct_config__.tag): kind for kind in typing.get_args(Resource)}
