"""The resources of a file one by one: lines of NDJSON, entries of a Bundle, items of an array, or one resource alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from pipelines.intake.fhir.decode import fit, measure_depth
from pipelines.intake.fhir.shape import Bundle, Raw
from pipelines.intake.reading import FileRefusedError, Limits

_BOM = b"\xef\xbb\xbf"
_BLOCK = 4 << 20
_LOOKED_AT = 100
_TYPE, _OBSERVATION = b'"resourceType"', b'"resourceType":"Observation"'
_TOLD = (b"577", b"8339-4")
_WHO = (b'"Patient"', b'"RelatedPerson"', b'"Organization"', b'"PractitionerRole"', b"urn:erte:referral")
"""What stands in a line that others may refer to: its type, or the LOINC code of something told of all results of a child."""


Item = tuple[int, str | None, bytes]
"""A resource as written: its line or the ordinal of its entry, its fullUrl, its bytes (empty where there are none)."""


class Document(NamedTuple):
    """A Bundle, an array or a single resource, read whole; `timestamp` is the Bundle's."""

    items: list[Item]
    timestamp: str | None


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
    return _open_bundle(data) if kind == "Bundle" else Document([(1, None, data)], None)


def read_batches(path: Path, limits: Limits, lines: int = 20_000) -> Iterator[list[Item]]:
    """Lines of NDJSON that are not blank, in bounded parts. Raises FileRefusedError("line_too_long")."""
    batch: list[Item] = []
    number = 0
    for block in _read_blocks(path, limits):
        raws = block.split(b"\n")
        if max(map(len, raws)) > limits.line_mb << 20:
            raise FileRefusedError("line_too_long")
        batch += [(n, None, raw) for n, raw in enumerate(raws, number + 1) if raw and not raw.isspace()]
        number += len(raws)
        if len(batch) >= lines or len(block) > _BLOCK:
            yield batch
            batch = []
    if batch:
        yield batch


def read_context_lines(path: Path, limits: Limits) -> Iterator[Item]:
    """Lines that other lines may refer to, found a block at a time: most blocks hold none. Line numbers are not told."""
    for block in _read_blocks(path, limits):
        is_plain = block.count(_TYPE) == block.count(_OBSERVATION)
        marks = [mark for mark in (_TOLD if is_plain else (*_TOLD, *_WHO)) if mark in block]
        if marks:
            for line in block.split(b"\n"):
                if any(mark in line for mark in marks):
                    yield (0, None, line)


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
    return Document(items, bundle.timestamp)


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
