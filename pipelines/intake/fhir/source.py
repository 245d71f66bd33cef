"""The resources of a file one by one: lines of NDJSON, entries of a Bundle, items of an array, or one resource alone."""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec
import polars as pl
from msgspec import Raw

from pipelines.intake.fhir.asked import METHODS, read_asked
from pipelines.intake.fhir.decode import fit, measure_depth
from pipelines.intake.fhir.envelope import Bundle
from pipelines.intake.reading import Limits
from pipelines.intake.refusal import FileRefusedError

_BOM = b"\xef\xbb\xbf"
_BLOCK, _BATCH, _LINES = 4 << 20, 16 << 20, 20_000
"""Bytes read at a time; bytes and lines of a batch (a little more, as a batch is of whole blocks): what memory is bounded by."""
_LOOKED_AT = 100
_TOLD = (b"577", b"8339-4", b"\\u00", b'"entered-in-error"')
_WHO = (b'"Patient"', b'"RelatedPerson"', b'"Organization"', b'"PractitionerRole"', b'"DiagnosticReport"', b'"Specimen"',
        b"urn:erte:referral")  # fmt: skip
"""What stands in a line that others may refer to: its type, or the LOINC code of something told of all results of a child, or that
it withdraws others, or a letter of one of these that is written as an escape."""
_IS_TOLD = re.compile(rb'577\d\d-\d|8339-4|\\u00[2-7]|"entered-in-error"')
_ANY = (
    r'577[0-9][0-9]-[0-9]|8339-4|\\u00[2-7]|urn:erte:referral|"(?:entered-in-error|Patient|RelatedPerson|Organization|PractitionerRole|DiagnosticReport|Specimen)"'
)
"""All of them, for one look at a block: polars is three times as fast as a search for each."""
_ANY_OR_ADDRESS = _ANY + "|/Patient"
_SERVER = re.compile(rb'"reference"\s*:\s*"\s*(https?:[^"\s]*?)\\?/Patient\\?/')
_IS_OBSERVATION = re.compile(rb'\s*\{\s*"resourceType"\s*:\s*"Observation"')

Item = tuple[int, str | None, bytes]
"""A resource as written: its line or the ordinal of its entry, its fullUrl, its bytes (empty where there are none).

Of an entry that asks for a deletion or a change of a part the whole entry stands for the resource.
"""


class Document(NamedTuple):
    """A Bundle, an array or a single resource, read whole; `timestamp` is the Bundle's.

    `is_line`: a single resource in one line, which is also NDJSON of one.
    """

    items: list[Item]
    timestamp: str | None
    is_line: bool = False


def read_document(path: Path, limits: Limits) -> Document | None:
    """The resources of a file that is one JSON text; None where it is NDJSON.

    Raises FileRefusedError: json_too_large (a Bundle is read whole), json_too_deep, file_not_fhir, file_unreadable.
    """
    if _starts_with_resource(path, limits) and _has_more_lines(path, limits):
        return None
    if path.stat().st_size > limits.line_mb << 20:
        if _has_resource_line(path, limits):
            return None
        raise FileRefusedError("json_too_large")
    data = path.read_bytes().removeprefix(_BOM).strip()
    if measure_depth(data) > limits.depth:
        raise FileRefusedError("json_too_deep")
    try:
        if data.startswith(b"["):
            raws = msgspec.json.decode(data, type=list[Raw])
            return Document([(n, None, bytes(raw)) for n, raw in enumerate(raws, 1)], None)
        plain = msgspec.json.decode(data, type=dict[str, Raw])
        kind = msgspec.json.decode(bytes(plain.get("resourceType", Raw(b"null"))))
    except (ValueError, RecursionError):
        if _has_resource_line(path, limits):
            return None
        raise FileRefusedError("file_unreadable") from None
    if not isinstance(kind, str):
        raise FileRefusedError("file_not_fhir")
    if kind != "Bundle":
        return Document([(1, None, data)], None, b"\n" not in data)
    try:
        return _open_bundle(data)
    except (ValueError, RecursionError):  # what is said of the whole Bundle is not UTF-8
        raise FileRefusedError("file_unreadable") from None


def read_batches(path: Path, limits: Limits) -> Iterator[list[Item]]:
    """Lines of NDJSON that are not blank, in bounded parts. Raises FileRefusedError("line_too_long")."""
    batch: list[Item] = []
    number = size = 0
    for block in _read_blocks(path, limits):
        raws = block.split(b"\n")
        if len(block) > limits.line_mb << 20 and max(map(len, raws)) > limits.line_mb << 20:
            raise FileRefusedError("line_too_long")
        batch += [(n, None, raw) for n, raw in enumerate(raws, number + 1) if raw and not raw.isspace()]
        number += len(raws)
        size += len(block)
        if len(batch) >= _LINES or size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def read_context_lines(path: Path, limits: Limits, servers: set[bytes] | None = None) -> Iterator[Item]:
    """Lines that other lines may refer to, found a block at a time: most blocks hold none. Line numbers are not told.

    `servers`: where the servers are put whose patients any line refers to.
    """
    for block in _read_blocks(path, limits):
        if not _has_any(block, _ANY_OR_ADDRESS):
            continue
        if servers is not None:
            note_servers(block, servers)
        if not _has_any(block, _ANY):
            continue
        lines = {line for mark in _TOLD for line in _find_lines(block, mark, _IS_TOLD)}
        named = {line for mark in _WHO for line in _find_lines(block, mark)}
        lines |= {line for line in named if not _IS_OBSERVATION.match(block, *line)}
        yield from ((0, None, block[start:end]) for start, end in sorted(lines))


def note_servers(text: bytes, servers: set[bytes]) -> None:
    """Add the servers whose patients are referred to by a full address; no more than two, which are too many."""
    if b"/Patient" in text and len(servers) < 2:
        servers.update(found.replace(b"\\/", b"/") for found in islice(dict.fromkeys(_SERVER.findall(text)), 3))


def _has_any(block: bytes, marks: str) -> bool:
    """True where a mark may stand in a block."""
    try:
        return bool(pl.Series([block], dtype=pl.Binary).cast(pl.String).str.contains(marks)[0])
    except pl.exceptions.ComputeError:  # not UTF-8
        return True


def _find_lines(block: bytes, mark: bytes, form: re.Pattern[bytes] | None = None) -> Iterator[tuple[int, int]]:
    """Start and end of each line with a mark where the form begins."""
    at = block.find(mark)
    while at >= 0:
        if form and not form.match(block, at):
            at = block.find(mark, at + 1)
            continue
        end = block.find(b"\n", at) + 1 or len(block) + 1
        yield block.rfind(b"\n", 0, at) + 1, end - 1
        at = block.find(mark, end)


def _read_blocks(path: Path, limits: Limits) -> Iterator[bytes]:
    """Whole lines, about 4 MB of them, without the last line end. Raises FileRefusedError("line_too_long")."""
    longest = limits.line_mb << 20
    is_first = True
    with path.open("rb") as file:
        while block := file.read(min(_BLOCK, longest)):
            if not block.endswith(b"\n"):
                rest = file.readline(longest + 1)
                if len(rest) > longest:
                    raise FileRefusedError("line_too_long")
                block += rest
            yield (block.removeprefix(_BOM) if is_first else block).removesuffix(b"\n")
            is_first = False


def _open_bundle(data: bytes) -> Document:
    try:
        bundle = msgspec.json.decode(data, type=Bundle)
    except msgspec.ValidationError:
        bundle = fit(msgspec.json.decode(data), Bundle, [])
    items: list[Item] = [(n, entry.full_url, bytes(entry.resource)) for n, entry in enumerate(bundle.entry, 1)]
    if any(method in data for method in METHODS):
        entries = list_entries(msgspec.json.decode(data, type=dict[str, Raw]))
        items = [(n, url, bytes(whole) if read_asked(bytes(whole)) else raw) for (n, url, raw), whole in zip(items, entries, strict=True)]
    return Document(items, bundle.timestamp)


def list_entries(top: Mapping[str, Raw]) -> list[Raw]:
    """The entries of a Bundle that are objects, as they are numbered when they are read."""
    said = top.get("entry", Raw(b"[]"))
    if bytes(said).startswith(b"{"):  # a single one where a list belongs
        return [said]
    entries = msgspec.json.decode(said, type=list[Raw]) if bytes(said).startswith(b"[") else []
    return [raw for raw in entries if bytes(raw).startswith(b"{")]


def _starts_with_resource(path: Path, limits: Limits) -> bool:
    return next((_is_resource(line) for line in _first_lines(path, limits)), False)


def _has_more_lines(path: Path, limits: Limits) -> bool:
    return sum(1 for _ in _first_lines(path, limits)) > 1


def _has_resource_line(path: Path, limits: Limits) -> bool:
    return any(_is_resource(line) for line in _first_lines(path, limits))


def _first_lines(path: Path, limits: Limits) -> Iterator[bytes]:
    """The first lines that are not blank; one that is too long ends them."""
    longest = limits.line_mb << 20
    with path.open("rb") as file:
        for _ in range(_LOOKED_AT):
            line = file.readline(longest + 1)
            if not line or len(line) > longest:
                return
            if raw := line.strip().removeprefix(_BOM).strip():
                yield raw


def _is_resource(raw: bytes) -> bool:
    if not (raw.startswith(b"{") and raw.endswith(b"}") and b'"resourceType"' in raw):
        return False
    try:
        return isinstance(msgspec.json.decode(raw, type=dict[str, Raw]).get("resourceType"), Raw)
    except (ValueError, RecursionError):
        return False
