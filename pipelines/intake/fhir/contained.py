"""Resources that stand inside another and are referred to as `#id`: each is read once, however many refer to it."""

from collections.abc import Sequence
from typing import Any, TypeVar

from msgspec import Raw

from pipelines.intake.fhir.decode import UnreadableError, decode_line
from pipelines.intake.fhir.elements import Reference
from pipelines.intake.fhir.shape import Observation

Kind = TypeVar("Kind")


class Inside:
    """What stands inside one resource, read when it is first asked for.

    `people`: numbers of its patients as they become rows; `malformed`: names of parts that were not read.
    """

    def __init__(self, contained: Sequence[Raw]) -> None:
        self.people: dict[str, int] = {}
        self.malformed: list[str] = []
        self._contained = contained
        self._all: list[Any] | None = None
        self._named: dict[str, Any] = {}

    def find(self, reference: str | None, kind: type[Kind]) -> Kind | None:
        """The resource of a kind that `#id` points at; None where two unlike ones have that id."""
        if not reference or not self._contained:
            return None
        said = reference.strip()
        if not said.startswith("#"):
            return None
        self._read()
        found = self._named.get(said)
        return found if isinstance(found, kind) else None

    def list_all(self, kind: type[Kind]) -> list[Kind]:
        """All resources of a kind, in the order they stand in."""
        return [resource for resource in self._read() if isinstance(resource, kind)]

    def _read(self) -> list[Any]:
        if self._all is None:
            self._all = [resource for raw in self._contained if (resource := self._decode(raw)) is not None]
            for resource in self._all:
                if self._named.setdefault(f"#{resource.id}", resource) != resource:
                    self._named[f"#{resource.id}"] = None
        return self._all

    def _decode(self, raw: Raw) -> Any:
        try:
            decoded = decode_line(bytes(raw))
        except UnreadableError:
            self.malformed.append("contained")
            return None
        self.malformed += decoded.dropped
        return decoded.resource


    def list_results(self, subject: Reference | None) -> list[Observation]:
        """The Observations; they have no id of their own outside, and are of `subject` where they do not say of whom."""
        listed = self.list_all(Observation)
        for seen in listed:
            seen.id, seen.subject = None, seen.subject or subject
        return listed


NOTHING_INSIDE = Inside(())
