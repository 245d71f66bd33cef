"""A Bundle whose entries are not yet read."""

from msgspec import Raw

from pipelines.intake.fhir.elements import NONE, Part


class Request(Part):
    """What a transaction asks to be done with an entry, and with which resource."""

    method: str | None = None
    url: str | None = None


class Entry(Part):
    """An entry of a Bundle; the resource as written."""

    full_url: str | None = None
    resource: Raw = NONE
    request: Request | None = None


class Bundle(Part, tag_field="resourceType", tag="Bundle"):
    """A Bundle with its entries not yet read."""

    type: str | None = None
    timestamp: str | None = None
    entry: list[Entry] = []
