"""FHIR R4: Bundles, single resources and Bulk-Data NDJSON; several kinds of record come out of one file.

Two passes: the first keeps what records refer to (patients, mothers, organisations, what is told of all results of a child),
the second reads the records, a bounded part at a time. `row_no` is the line of NDJSON or the ordinal of an entry. An entry
that is a record is accepted or refused by itself, whatever the others are; one that is none is counted by its type.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl

from pipelines.intake.fhir.decode import UnreadableError, decode_line, has_repeated_key
from pipelines.intake.fhir.frames import build_chunks
from pipelines.intake.fhir.index import Index
from pipelines.intake.fhir.people import read_tables
from pipelines.intake.fhir.records import take_consent, take_patient, take_task
from pipelines.intake.fhir.results import Results
from pipelines.intake.fhir.shape import (
    Composition,
    Consent,
    DiagnosticReport,
    MessageHeader,
    Observation,
    Organization,
    Patient,
    PractitionerRole,
    RelatedPerson,
    Resource,
    ServiceRequest,
    Task,
)
from pipelines.intake.fhir.source import Item, read_document, read_lines, read_marked
from pipelines.intake.fhir.values import read_context
from pipelines.intake.layout import speak_ours
from pipelines.intake.reading import Chunk, FileRefusedError, Limits, Opened, list_findings

_LINES, _BYTES = 20_000, 64 << 20
_MARKS = (b'"Patient"', b'"RelatedPerson"', b'"Organization"', b'"PractitionerRole"', b"urn:erte:referral", b"577", b'"8339-4"')
_ONCE = (
    "subject", "status", "effectiveDateTime", "issued", "valueQuantity", "valueCodeableConcept", "valueString", "identifier",
    "patient", "dateTime", "businessStatus", "birthDate", "dataAbsentReason",
)  # fmt: skip
_FLAT = r'(?:[^{}\[\]"]|"(?:[^"\\]|\\.)*")*'
_TWICE = "|".join(rf'"{key}"\s*:{_FLAT}"{key}"\s*:' for key in ("value", "code", "system", "unit", "comparator", "reference"))
_CODE_TWICE = r'"code"\s*:\s*\{'


def open_file(path: Path, limits: Limits) -> Opened:
    """A file of FHIR resources. Raises FileRefusedError."""
    return Opened(speak_ours("fhir-r4", "screening"), list_findings([]), read_chunks(path, limits))


def read_chunks(path: Path, limits: Limits) -> Iterator[Chunk]:
    """Records of a file, each chunk of one kind. Raises FileRefusedError."""
    document = read_document(path, limits)
    index = Index(limits.people, is_bundle=document is not None)
    for item in read_marked(path, limits, _MARKS) if document is None else document.items:
        _index_item(index, item, limits)
    index.freeze()
    counted: Counter[str] = Counter()
    is_any = False
    for batch in [document.items] if document else _batch_lines(read_lines(path, limits)):
        rows = Results(index, document.timestamp if document else None, counted)
        _read_batch(rows, batch, limits)
        for chunk in build_chunks(rows):
            is_any = True
            yield chunk
    if not is_any:
        raise FileRefusedError("file_without_records", tuple(sorted(counted)))
    told = [(None, f"{name}: {count}", "resource_context", "info") for name, count in sorted(counted.items())]
    yield Chunk(pl.DataFrame(schema={"sent": pl.String, "row_no": pl.Int64}), list_findings(list(told)))


def _index_item(index: Index, item: Item, limits: Limits) -> None:
    """Keep what records may refer to; a line that cannot be read is told in the second pass."""
    try:
        resource = decode_line(item.raw, limits.depth).resource if item.raw else None
    except UnreadableError:
        return
    match resource:
        case Patient():
            index.add_patient(resource, item.url)
        case RelatedPerson():
            index.add_related(resource, item.url)
        case Organization():
            index.add_organization(resource, item.url)
        case PractitionerRole() if resource.organization:
            index.roles |= dict.fromkeys(index.name_keys(item.url, "PractitionerRole", resource.id), resource.organization)
            index.grow()
        case Observation():
            index.add_observation(resource, item.url, read_context(resource))
        case DiagnosticReport() if index.is_bundle:
            index.add_report(resource)
        case ServiceRequest():
            index.add_request(resource, item.url)
        case MessageHeader() | Composition() if index.is_bundle:
            index.sender = index.sender or (resource.sender if isinstance(resource, MessageHeader) else resource.custodian)


def _batch_lines(items: Iterable[Item]) -> Iterator[list[Item]]:
    batch: list[Item] = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(item.raw)
        if len(batch) == _LINES or size > _BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _read_batch(rows: Results, batch: list[Item], limits: Limits) -> None:
    texts = [item.raw.decode("utf-8", "replace") for item in batch]
    suspect = find_suspects(texts)
    depth = limits.depth
    for place, (item, sent) in enumerate(zip(batch, texts, strict=True)):
        if not item.raw:
            rows.counted["entry without resource"] += 1
            continue
        if "\ufffd" in sent and not _is_utf8(item.raw):
            rows.refuse(item.number, sent, "message_not_json")
            continue
        if place in suspect and has_repeated_key(item.raw):
            rows.refuse(item.number, sent, "message_keys_repeated")
            continue
        try:
            resource, name, dropped = decode_line(item.raw, depth)
        except UnreadableError as error:
            rows.refuse(item.number, sent, error.code)
            continue
        if dropped:
            rows.findings += [(item.number, part, "part_malformed", "warning") for part in dropped]
        take_resource(rows, item, sent, resource, name)


def take_resource(rows: Results, item: Item, sent: str, resource: Resource | None, name: str | None) -> None:
    """The rows of a resource, or a count of it by its type; a Bundle within is refused, as its records would be lost."""
    match resource:
        case Observation():
            rows.take_observation(item.number, sent, resource, item.url)
        case Patient():
            take_patient(rows, item.number, sent, resource, item.url)
        case Consent():
            take_consent(rows, item.number, sent, resource)
        case Task():
            take_task(rows, item.number, sent, resource)
        case None if name == "Bundle" or name not in _list_types():
            rows.refuse(item.number, sent, "message_not_resource")
        case _:
            rows.counted[name or type(resource).__name__] += 1


def find_suspects(texts: list[str]) -> set[int]:
    """Places of lines where a key may stand twice in an object: to be looked at closely."""
    said = pl.Series("sent", texts, pl.String)
    many = said.str.contains(_TWICE) | (said.str.count_matches(_CODE_TWICE) > 1)
    for key in _ONCE:
        many |= said.str.count_matches(f'"{key}":', literal=True) > 1
    return set(many.arg_true().to_list())


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _list_types() -> frozenset[str]:
    return frozenset(read_tables()["types"]["names"].split())
