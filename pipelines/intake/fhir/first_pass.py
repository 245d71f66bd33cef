"""The first pass: what the records of a file, or of all files of an export, may refer to."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import msgspec

from pipelines.intake import unpack
from pipelines.intake.fhir.contained import Inside
from pipelines.intake.fhir.context import list_standing
from pipelines.intake.fhir.decode import UnreadableError, decode_line, is_too_deep
from pipelines.intake.fhir.elements import Part
from pipelines.intake.fhir.export import Stamp, stamp_files
from pipelines.intake.fhir.index import ABSENT, MIXED, UNSENT, Index
from pipelines.intake.fhir.modified import is_any_modified
from pipelines.intake.fhir.shape import (
    Composition,
    DiagnosticReport,
    MessageHeader,
    Observation,
    Organization,
    Patient,
    PractitionerRole,
    RelatedPerson,
    ServiceRequest,
    Specimen,
)
from pipelines.intake.fhir.source import Item, note_servers, read_batches, read_context_lines, read_document
from pipelines.intake.reading import Limits
from pipelines.intake.refusal import FileRefusedError


class _Named(Part):
    """Of a line its type and its id."""

    resource_type: str | None = None
    id: str | None = None


_NAMED = msgspec.json.Decoder(_Named)


def index_export(path: Path, limits: Limits, export: tuple[Path, ...]) -> Index:
    """What the lines of a file may refer to: what its own lines hold, or all files of its export.

    Where two unlike resources of the export go by one id, it is two: a file of it may then refer to its own lines only.
    """
    if len(export) > 1:
        shared = gather_people(stamp_files(export), limits)
        if not shared.is_mixed:
            return shared
    index = Index(limits.people, is_bundle=False, absent=MIXED if len(export) > 1 else UNSENT if export else ABSENT)
    _take_lines(index, path, limits)
    _note_wanted(index, path, limits)
    index.freeze()
    return index


def index_document(items: Iterable[Item], limits: Limits) -> Index:
    """What the entries of a Bundle may refer to."""
    index = Index(limits.people, is_bundle=True)
    _take_items(index, _note_all(items, index.servers), limits)
    index.freeze()
    return index


@lru_cache(maxsize=1)
def gather_people(files: tuple[Stamp, ...], limits: Limits) -> Index:
    """The index of an export, made once for all its files (they are judged one after another).

    A file that cannot be read gives what stands before the place: it is refused when it is read itself. Raises
    FileRefusedError("file_too_many_people").
    """
    index = Index(limits.people, is_bundle=False, absent=UNSENT)
    for take in (_take_lines, _note_wanted):
        for name, *_ in files:
            try:
                with unpack.open_plain(Path(name), limits) as path:
                    if _is_lines(path, limits):
                        take(index, path, limits)
            except FileRefusedError as refused:
                if refused.code == "file_too_many_people":
                    raise
    index.freeze()
    return index


def _take_lines(index: Index, path: Path, limits: Limits) -> None:
    _take_items(index, read_context_lines(path, limits, index.servers), limits)


def _note_wanted(index: Index, path: Path, limits: Limits) -> None:
    """Which of the results that withdrawn reports list are lines of a file: looked for only where there are such reports."""
    for items in read_batches(path, limits) if index.wanted else ():
        named = {f"Observation/{found}" for _, _, raw in items if b"Observation" in raw and (found := _name_observation(raw))}
        index.observations |= dict.fromkeys(named & index.wanted, True)


def _name_observation(raw: bytes) -> str | None:
    try:
        line = _NAMED.decode(raw)
    except (ValueError, RecursionError):  # told in the second pass
        return None
    return line.id if line.resource_type == "Observation" else None


def index_item(index: Index, url: str | None, raw: bytes, depth: int) -> None:
    """Keep what records may refer to; a line that cannot be read, or whose meaning is modified, is told in the second pass."""
    if not raw or is_too_deep(raw, depth):
        return
    try:
        resource = decode_line(raw).resource
    except UnreadableError:
        return
    if not isinstance(resource, Observation) and is_any_modified(resource):
        return
    match resource:
        case Patient():
            index.add_patient(resource, url)
        case RelatedPerson():
            index.add_related(resource, url)
        case Organization():
            index.add_organization(resource, url)
        case PractitionerRole():
            index.add_role(resource, url)
        case Observation():
            index.add_observation(resource, url, list_standing(resource))
            _add_inside(index, resource)
        case DiagnosticReport():
            index.add_report(resource)
            _add_inside(index, resource)
        case ServiceRequest():
            index.add_request(resource, url)
        case Specimen():
            index.add_specimen(resource, url)
        case MessageHeader() | Composition() if index.is_bundle:
            index.sender = index.sender or (resource.sender if isinstance(resource, MessageHeader) else resource.custodian)


def _add_inside(index: Index, holder: Observation | DiagnosticReport) -> None:
    """What the Observations inside a resource tell."""
    for seen in Inside(holder.contained).list_results(holder.subject) if holder.contained else ():
        index.add_context(seen, list_standing(seen))


def _note_all(items: Iterable[Item], servers: set[bytes]) -> Iterator[Item]:
    for item in items:
        note_servers(item[2], servers)
        yield item


def _take_items(index: Index, items: Iterable[Item], limits: Limits) -> None:
    for _, url, raw in items:
        index_item(index, url, raw, limits.depth)


def _is_lines(path: Path, limits: Limits) -> bool:
    document = read_document(path, limits)
    return document is None or document.is_line
