"""Entries that ask for something to be done with what a server holds, and bring no record: a deletion, or a change of a part.

They name a resource by its server's id alone. A record is ours by its sender and its sender's number, and is of a child; of neither
says such an entry a word. So it is refused by name, and its place in the file to fix is made ready for the record itself, which is sent
whole: as it is now, or as entered in error. What no record comes from is counted.
"""

import re
from typing import NamedTuple

import msgspec

from pipelines.intake.fhir.envelope import Bundle, Entry
from pipelines.intake.fhir.people import read_tables

KINDS = {"Observation": "screening", "DiagnosticReport": "screening", "Consent": "consent", "Task": "pmpc_report", "Patient": "birth"}
"""Resource types of which records come, and the kinds of these."""
METHODS = (b'"DELETE"', b'"PATCH"')
_ID = r"[A-Za-z0-9\-.]{1,64}"
_URL = re.compile(rf"(?:.*/)?([A-Z][A-Za-z]+)(?:/({_ID}))?(?:/_history/{_ID})?(?:\?.*)?")
_HEAD = re.compile(rf'\s*\{{\s*"resourceType"\s*:\s*"([A-Za-z]+)"\s*,\s*"id"\s*:\s*"({_ID})"'.encode())


class Asked(NamedTuple):
    """What is asked: the method and its finding code, of a resource of which type and id, where these are said."""

    method: str
    code: str
    type: str | None
    id: str | None


def read_asked(raw: bytes) -> Asked | None:
    """What an entry asks for, or a Bundle of nothing but deletions; None for anything else."""
    try:
        if b'"Bundle"' in raw:
            entries = msgspec.json.decode(raw, type=Bundle).entry
            only = {entry.request.method if entry.request else None for entry in entries} == {"DELETE"}
            return Asked("DELETE", _name_code("DELETE"), None, None) if only else None
        entry = msgspec.json.decode(raw, type=Entry)
    except (ValueError, RecursionError):
        return None
    method = entry.request.method if entry.request else None
    if method not in ("DELETE", "PATCH"):
        return None
    url = (entry.request.url if entry.request else None) or entry.full_url or ""
    found = _URL.fullmatch(url.strip())
    return Asked(method, _name_code(method), *(found.groups() if found else (None, None)))


def guess_name(raw: bytes) -> tuple[str, str | None]:
    """(kind of record, the sender's number) of a line that is no JSON: by how it begins, and only where no other number may be its."""
    found = _HEAD.match(raw)
    if found is None:
        return "screening", None
    kind = KINDS.get(found[1].decode(), "screening")
    return kind, None if b'"identifier"' in raw else found[2].decode()


def _name_code(method: str) -> str:
    return str(read_tables()["asked"][method])
