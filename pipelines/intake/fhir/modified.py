"""What an extension that we do not know changes the meaning of (FHIR R4 2.4.1.1): it is refused, not read as though it were not there."""

from typing import Any

from pipelines.intake.fhir.contained import Inside
from pipelines.intake.fhir.elements import NONE, Part

_BACKBONE = ("component", "contact", "output", "policy", "provision")
"""The parts of a resource that are read and may be modified by themselves."""
_MODIFIER = b"modifierExtension"


def is_any_modified(resource: Any) -> bool:
    """True where an extension that we do not know changes what a resource means, or one inside it."""
    contained = [raw for raw in getattr(resource, "contained", ()) if _MODIFIER in bytes(raw)]
    return is_modified(resource) or any(map(is_modified, Inside(contained).list_all(Part)))


def is_modified(part: Part | None) -> bool:
    """True where an extension that we do not know changes what a resource means, or a part of it that is read."""
    if bytes(getattr(part, "modifier_extension", NONE)) not in (b"", b"[]", b"null"):
        return True
    inner = [said for name in _BACKBONE if (said := getattr(part, name, None))]
    return any(is_modified(one) for said in inner for one in (said if isinstance(said, list) else [said]))
