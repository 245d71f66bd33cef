"""FHIR R4: Bundles, single resources and Bulk-Data NDJSON; several kinds of record come out of one file.

Two passes: the first keeps what records refer to (patients, mothers, organisations, what is told of all results of a child),
the second reads the records, a bounded part at a time. `row_no` is the line of NDJSON or the ordinal of an entry. An entry
that is a record is accepted or refused by itself, whatever the others are; one that is none is counted by its type. The first
pass goes over all files of an export, where the file is one of them.
"""

import gc
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pipelines.intake.fhir.asked import KINDS, guess_name, read_asked
from pipelines.intake.fhir.consents import take_consent
from pipelines.intake.fhir.decode import UnreadableError, decode_line, has_repeated_key, is_too_deep, measure_depth
from pipelines.intake.fhir.export import PEOPLE, has_records
from pipelines.intake.fhir.first_pass import index_document, index_export
from pipelines.intake.fhir.frames import NO_ROWS, build_chunks
from pipelines.intake.fhir.index import MIXED
from pipelines.intake.fhir.modified import is_any_modified
from pipelines.intake.fhir.people import read_tables
from pipelines.intake.fhir.plain import may_be_plain, take_plain
from pipelines.intake.fhir.records import take_patient, take_task
from pipelines.intake.fhir.results import Results
from pipelines.intake.fhir.rows import Finding
from pipelines.intake.fhir.shape import Consent, DiagnosticReport, Observation, Patient, Resource, Specimen, Task
from pipelines.intake.fhir.source import Item, read_batches, read_document
from pipelines.intake.fhir.specimens import is_unlisted
from pipelines.intake.layout import speak_ours
from pipelines.intake.reading import Chunk, Limits, Opened
from pipelines.intake.refusal import FileRefusedError, list_findings

_HOLDS = re.compile(rb'"resource"\s*:\s*\{')
"""A resource within another, whose records would be lost."""
_VALUE = r':\s*(?:"(?:[^"\\]|\\.)*"|-?[0-9][-+.eE0-9]*)'
"""A text or a number that is the value of a key."""


class Shapes(NamedTuple):
    """Places of lines where a key may stand twice, and where objects may lie too deep: to be looked at closely; and of plain ones."""

    repeated: set[int]
    deep: set[int]
    plain: set[int]


class Batch(NamedTuple):
    """Lines, their texts, the places of those that are not UTF-8, and what they are like."""

    items: list[Item]
    texts: pl.Series
    broken: set[int]
    shapes: Shapes


def open_file(path: Path, limits: Limits, export: tuple[Path, ...] = ()) -> Opened:
    """A file of FHIR resources. `export`: the files of the export it is one of, itself among them. Raises FileRefusedError."""
    chunks = read_chunks(path, limits, export)
    return Opened(speak_ours("fhir-r4", "screening"), list_findings([]), chunks, may_be_empty=bool(export))


def read_chunks(path: Path, limits: Limits, export: tuple[Path, ...] = ()) -> Iterator[Chunk]:
    """Records of a file, each chunk of one kind; a file of an export may have none. Raises FileRefusedError."""
    document = read_document(path, limits)
    if document is not None and document.is_line and export:
        document = None
    export = () if document else export
    index = index_document(document.items, limits) if document else index_export(path, limits, export)
    counted: Counter[str] = Counter()
    is_any = False
    for batch in _look_ahead([document.items] if document else read_batches(path, limits), limits):
        rows = Results(index, document.timestamp if document else None, counted)
        _read_batch(rows, batch, limits)
        for chunk in build_chunks(rows, batch.texts):
            is_any = is_any or len(chunk.rows) > 0
            yield chunk
    if not is_any and not (export and counted):
        raise FileRefusedError("file_without_records", tuple(sorted(counted)))
    told: list[Finding] = [(None, f"{name}: {count}", "resource_context", "info") for name, count in sorted(counted.items())]
    if is_any and index.absent == MIXED:
        told.append((None, None, MIXED, "warning"))
    elif not is_any and counted.keys() <= PEOPLE and not has_records(export):
        told.append((None, None, "people_unused", "warning"))
    yield Chunk(NO_ROWS, list_findings(told))


def _look_ahead(batches: Iterable[list[Item]], limits: Limits) -> Iterator[Batch]:
    """Batches with the shapes of their lines, which polars finds on another core while the batch before is read and judged."""
    with ThreadPoolExecutor(1) as pool:
        before: Future[Batch] | None = None
        for items in batches:
            following = pool.submit(_sort_batch, items, limits)
            if before:
                yield before.result()
            before = following
        if before:
            yield before.result()


def _sort_batch(items: list[Item], limits: Limits) -> Batch:
    texts, broken = _read_texts([raw for _, _, raw in items])
    return Batch(items, texts, broken, sort_shapes(texts, limits.depth))


def _read_batch(rows: Results, batch: Batch, limits: Limits) -> None:
    """Gather the rows of a batch."""
    broken, shapes = batch.broken, batch.shapes
    was_on = gc.isenabled()
    gc.disable()  # what is gathered here lives until the end of the batch and has no cycles: looking for them costs a half
    try:
        taken = take_plain(rows, batch.items, sorted(shapes.plain - broken))
        for place, (number, url, raw) in enumerate(batch.items):
            if place in taken:
                continue
            if place in broken:
                _refuse_broken(rows, number, place, raw)
            elif place in shapes.deep and is_too_deep(raw, limits.depth):
                rows.refuse(number, place, "message_too_deep")
            elif place in shapes.repeated and has_repeated_key(raw):
                rows.refuse(number, place, "message_keys_repeated")
            else:
                _read_item(rows, place, number, url, raw)
    finally:
        if was_on:
            gc.enable()


def _read_texts(raws: list[bytes]) -> tuple[pl.Series, set[int]]:
    """Lines as text, and the places of those that are not UTF-8 and were read with losses."""
    try:
        return pl.Series("sent", raws, pl.Binary).cast(pl.String), set()
    except pl.exceptions.ComputeError:
        texts = [raw.decode("utf-8", "replace") for raw in raws]
        return pl.Series("sent", texts, pl.String), {n for n, raw in enumerate(raws) if texts[n].encode() != raw}


def _read_item(rows: Results, place: int, number: int, url: str | None, raw: bytes) -> None:
    if not raw:
        rows.counted["entry without resource"] += 1
        return
    try:
        resource, name, dropped = decode_line(raw)
    except UnreadableError as error:
        if error.code == "message_not_json":
            _refuse_broken(rows, number, place, raw)
        elif not _refuse_asked(rows, number, place, raw):
            rows.refuse(number, place, error.code)
        return
    if name == "Bundle" and _refuse_asked(rows, number, place, raw):
        return
    if is_any_modified(resource):
        _refuse_modified(rows, number, place, resource)
        return
    if name == "Parameters" and _HOLDS.search(raw):
        rows.refuse(number, place, "message_not_resource")
        return
    if dropped:
        rows.findings += [(number, part, "part_malformed", "warning") for part in dropped]
    if type(resource) is Observation:  # nearly always
        rows.take_observation(number, place, resource, url)
    else:
        take_resource(rows, place, number, url, resource, name)


def _refuse_modified(rows: Results, number: int, place: int, resource: Any) -> None:
    name = type(resource).__name__
    if name in KINDS:
        source = rows.name_source(resource.identifier, resource.id, None)
        rows.refuse(number, place, "message_modifier_unread", source, rows.sender, kind=KINDS[name])
    else:
        rows.findings.append((number, None, "message_modifier_unread", "warning"))
        rows.counted[name] += 1


def _refuse_broken(rows: Results, number: int, place: int, raw: bytes) -> None:
    kind, source = guess_name(raw)
    rows.refuse(number, place, "message_not_json", source, kind=kind)


def _refuse_asked(rows: Results, number: int, place: int, raw: bytes) -> bool:
    """Refuse an entry that asks for something to be done with a record, or count it where it is of none; whether it is such an entry."""
    asked = read_asked(raw)
    if asked is None:
        return False
    if asked.type in KINDS or asked.type not in _list_types():
        rows.refuse(number, place, asked.code, asked.id, rows.sender, kind=KINDS.get(asked.type or "", "screening"))
    else:
        rows.counted[f"{asked.type} ({asked.method})"] += 1
    return True


def take_resource(rows: Results, place: int, number: int, url: str | None, resource: Resource | None, name: str | None) -> None:
    """The rows of a resource, or a count of it by its type; a Bundle within is refused, as its records would be lost."""
    match resource:
        case Patient():
            take_patient(rows, number, place, resource, url)
        case Consent():
            take_consent(rows, number, place, resource)
        case Task():
            take_task(rows, number, place, resource)
        case DiagnosticReport() if rows.take_contained(number, place, resource):
            pass
        case DiagnosticReport() if rows.index.is_of_unsent(resource):
            rows.refuse(number, place, "message_withdraws_unsent", rows.name_source(resource.identifier, resource.id, None), rows.sender)
        case Specimen() if is_unlisted(resource):
            rows.findings.append((number, None, "specimen_quality_unlisted", "warning"))
            rows.counted["Specimen"] += 1
        case None if name == "Bundle" or name not in _list_types():
            rows.refuse(number, place, "message_not_resource")
        case _:
            rows.counted[name or type(resource).__name__] += 1


def sort_shapes(texts: pl.Series, depth: int) -> Shapes:
    """Lines by what they are like when values are left out.

    Lines of a shape are looked at once: an export has millions of lines and a few dozen shapes.
    """
    shapes = Shapes(set(), set(), set())
    if texts.is_empty():
        return shapes
    part = -(-len(texts) // pl.thread_pool_size())
    lazy = [some.lazy().select(pl.col("sent").str.replace_all(_VALUE, ":0")) for some in texts.to_frame().iter_slices(part)]
    for said, places in pl.concat(pl.collect_all(lazy)).with_row_index("place").group_by("sent").agg("place").iter_rows():
        is_twice, is_deep = _is_twice(said), measure_depth(said.encode()) > depth
        if is_twice:
            shapes.repeated.update(places)
        if is_deep:
            shapes.deep.update(places)
        if not (is_twice or is_deep) and may_be_plain(said):
            shapes.plain.update(places)
    return shapes


def _is_twice(shape: str) -> bool:
    """True where a key stands twice, or where that cannot be told from the shape."""
    try:
        json.loads(shape)
    except (ValueError, RecursionError):
        return True
    return has_repeated_key(shape.encode())


def _list_types() -> frozenset[str]:
    return frozenset(read_tables()["types"]["names"].split())
