"""The data types of FHIR R4 that resources are made of, typed; what is not named here is not read."""


import msgspec
from msgspec import Raw

NONE = Raw(b"")


class Part(msgspec.Struct, rename="camel", gc=False):
    """An element: what is not named in it is not read."""


class Coding(Part):
    """A code of a system."""

    system: str | None = None
    code: str | None = None
    display: str | None = None


class Concept(Part):
    """CodeableConcept."""

    coding: list[Coding] = []
    text: str | None = None


class Reference(Part):
    """A literal reference, an identifier, or both."""

    reference: str | None = None
    identifier: "Identifier | None" = None
    display: str | None = None


class Identifier(Part):
    """A business identifier; `assigner` is the organisation whose number it is."""

    use: str | None = None
    system: str | None = None
    value: str | None = None
    type: Concept | None = None
    assigner: Reference | None = None


class Quantity(Part):
    """A measured amount; `value` as written, for its precision."""

    value: Raw = NONE
    comparator: str | None = None
    unit: str | None = None
    system: str | None = None
    code: str | None = None


class Period(Part):
    """Start and end."""

    start: str | None = None
    end: str | None = None


class Meta(Part):
    """When the server held this version."""

    last_updated: str | None = None


class Extension(Part):
    """An extension of a kind we read."""

    url: str | None = None
    value_string: str | None = None
    value_code: str | None = None
    value_date_time: str | None = None


class Extended(Part):
    """The extensions of a primitive element (`_birthDate`)."""

    extension: list[Extension] = []


class Address(Part):
    """A postal address."""

    use: str | None = None
    text: str | None = None
    line: list[str] = []
    city: str | None = None
    district: str | None = None
    state: str | None = None
    extension: list[Extension] = []


class HumanName(Part):
    """A name of a person."""

    use: str | None = None
    text: str | None = None
    family: str | None = None
    given: list[str] = []


class ContactPoint(Part):
    """A telephone or the like."""

    system: str | None = None
    value: str | None = None


class Contact(Part):
    """A contact of a patient."""

    relationship: list[Concept] = []
    name: HumanName | None = None
    modifier_extension: Raw = NONE
