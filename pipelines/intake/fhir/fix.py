"""The file to fix of FHIR: the refused resources, and the others that they need to be read alone, in the form that was sent.

A Bundle comes back as a Bundle, NDJSON as NDJSON, an array as an array, a resource as a resource. Each refused one carries a
`meta.tag` of the system `urn:erte:row`, whose code is its name (intake.mends) and whose display says what is to be done in three
languages; all else in it stays as it was written. Its name cannot be set into what does not begin as a JSON object. In place of an
entry that asks for a deletion or a change of a part stands the beginning of the record itself. With a refused result come its patient,
organisation, report, mother, what is told of all results of the child, and in a Bundle the other results of the child: there a result
without a number of its own is told apart by those before it.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import polars as pl
from msgspec import Raw

from pipelines.intake.fhir.asked import KINDS, Asked, read_asked
from pipelines.intake.fhir.decode import count_open, has_repeated_key
from pipelines.intake.fhir.people import read_tables
from pipelines.intake.fhir.source import Item, list_entries, read_batches, read_context_lines, read_document
from pipelines.intake.mends import NAME, Refused, find_names
from pipelines.intake.reading import Limits

_SHARED = frozenset({"Organization", "Practitioner", "PractitionerRole", "Location", "Device", "Endpoint"})
"""What many children have in common: whom else it is of is not followed."""
_HEADS = {"MessageHeader": "sender", "Composition": "custodian"}
"""They stand for the whole Bundle: always kept, and only who sends it is followed."""
_REFERENCE = re.compile(rb'"reference"\s*:\s*"([^"]+)"')
_LOOKED_AT = 16
"""Places of a broken line where its `meta` and its tags are looked for."""
_META = re.compile(rb'"meta"\s*:\s*\{\s*')
_TAG = re.compile(rb'"tag"\s*:\s*\[\s*')
_NO_MORE_TRUE = ("total", "link", "signature", "entry")


class Links(NamedTuple):
    """The type of a resource, the names by which others refer to it, and those it refers to."""

    kind: str
    names: frozenset[str]
    mentions: frozenset[str]


def list_names(texts: pl.Series) -> pl.Series | None:
    """The names of refused rows that resources carry, by place; None where none carries any."""
    if not texts.str.contains(read_tables()["systems"]["row"], literal=True).any():
        return None
    return texts.str.extract_all(NAME).list.join(" ")


def write_resources(path: Path, limits: Limits, refused: Sequence[Refused]) -> tuple[str, bytes]:
    """The name and content of the file to fix."""
    by_number = {one.row_no: one for one in refused}
    document = read_document(path, limits)
    if document is None:
        wrong = [item for items in read_batches(path, limits) for item in items if item[0] in by_number]
        context = gather_needed(wrong, lambda: read_context_lines(path, limits))
        lines = [*(raw for _, _, raw in context), *(tag_resource(raw, by_number[n]) for n, _, raw in wrong)]
        return "to-fix.ndjson", b"".join(line.strip() + b"\n" for line in lines)
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf").strip()
    wrong = [item for item in document.items if item[0] in by_number]
    needed = {item[0] for item in [*wrong, *gather_needed(wrong, lambda: document.items)]}
    if data.startswith(b"["):
        items = [tag_resource(raw, by_number.get(n)) for n, _, raw in document.items if n in needed]
        return "to-fix.json", b"[\n" + b",\n".join(items) + b"\n]\n"
    top = msgspec.json.decode(data, type=dict[str, Raw])
    if msgspec.json.decode(top["resourceType"]) != "Bundle":
        return "to-fix.json", tag_resource(data, refused[0]) + b"\n"
    entries = [_tag_entry(raw, by_number.get(n)) for n, raw in enumerate(list_entries(top), 1) if n in needed]
    head = msgspec.json.encode({name: part for name, part in top.items() if name not in _NO_MORE_TRUE})
    return "to-fix.json", head[:-1] + b',"entry":[\n' + b",\n".join(entries) + b"\n]}\n"


def gather_needed(wrong: Iterable[Item], read: Callable[[], Iterable[Item]]) -> list[Item]:
    """The resources, of those that `read` gives again and again, that the wrong ones need to be read as they were."""
    kept: dict[tuple[str | None, bytes], Item] = {}
    wanted, told = set[str](), set[str]()

    def keep(item: Item, links: Links) -> None:
        kept[item[1:]] = item
        wanted.update(links.mentions)
        if links.kind not in _SHARED and links.kind not in _HEADS:
            told.update(links.names)

    for item in wrong:
        keep(item, read_links(item))
    refused, before = set(kept), -1
    while len(kept) > before:
        before = len(kept)
        for item in read():
            if item[1:] not in kept:
                links = read_links(item)
                if links.kind in _HEADS or links.names & wanted or links.mentions & told:
                    keep(item, links)
    return [item for key, item in kept.items() if key not in refused]


def read_links(item: Item) -> Links:
    """What a resource is called and what it refers to; of what cannot be read only the references that can be seen in it."""
    _, url, raw = item
    try:
        plain = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        plain = None
    if not isinstance(plain, dict):
        seen = [found[1].decode("utf-8", "replace") for found in _REFERENCE.finditer(raw)]
        return Links("", frozenset(), frozenset([*seen, *map(_shorten, seen)]))
    kind = str(plain.get("resourceType"))
    own = set(_list_identifiers(plain.get("identifier")))
    names = {f"{kind}/{plain['id']}"} if "id" in plain else set()
    names |= {url, _shorten(url)} if url else set()
    followed = plain.get(_HEADS[kind]) if kind in _HEADS else plain
    return Links(kind, frozenset(names | own), frozenset(_list_mentions(followed)))


def tag_resource(raw: bytes, one: Refused | None) -> bytes:
    """A resource as written, with the name and reasons of its refusal as the first of its tags."""
    if one is None:
        return raw
    tags = _list_tags(raw, one)
    try:
        plain = msgspec.json.decode(raw, type=dict[str, Raw])
        meta = msgspec.json.decode(plain.get("meta", Raw(b"{}")), type=dict[str, Any])
        others = [tag for tag in meta.get("tag", ()) if tag.get("system") != read_tables()["systems"]["row"]]
    except (ValueError, RecursionError, AttributeError, TypeError):
        return _insert_tags(raw, tags)
    if has_repeated_key(raw):
        return _insert_tags(raw, tags)
    return msgspec.json.encode(plain | {"meta": Raw(msgspec.json.encode(meta | {"tag": tags + others}))})


def _list_tags(raw: bytes, one: Refused) -> list[dict[str, Any]]:
    system = read_tables()["systems"]["row"]
    earlier = [name for name in find_names(raw.decode("utf-8", "replace")) if name != one.name] if system.encode() in raw else []
    tags: list[dict[str, Any]] = [{"system": system, "code": one.name, "display": one.reasons.replace("\n", " | ")}]
    return tags + [{"system": system, "code": name} for name in earlier]


def _insert_tags(raw: bytes, tags: list[dict[str, Any]]) -> bytes:
    """What cannot be taken apart keeps every byte; the tags go into its `meta`, in front where it has none."""
    text = raw.lstrip()
    said = json.dumps(tags, ensure_ascii=False).encode()
    if not text.startswith(b"{"):
        return raw
    meta = next((found.end() for found in islice(_META.finditer(text), _LOOKED_AT) if count_open(text[: found.start()]) == 1), None)
    if meta is None:
        return b'{"meta":{"tag":' + said + b"}," + text[1:]
    depths = ((found, count_open(text[meta : found.start()])) for found in islice(_TAG.finditer(text, meta), _LOOKED_AT))
    of_meta = takewhile(lambda told: told[1] >= 0, depths)
    tag = next((found.end() for found, depth in of_meta if depth == 0), None)
    return _put_before(text, meta, b'"tag":' + said) if tag is None else _put_before(text, tag, said[1:-1])


def _put_before(text: bytes, at: int, part: bytes) -> bytes:
    """A text with a part more at the beginning of an object or an array."""
    rest = text[at:]
    return text[:at] + part + (b"," if rest and not rest.startswith((b"}", b"]")) else b"") + rest


def _tag_entry(raw: Raw, one: Refused | None) -> bytes:
    entry = msgspec.json.decode(raw, type=dict[str, Raw])
    if one is None:
        return bytes(raw)
    if asked := read_asked(bytes(raw)):
        return _make_place(entry, asked, one)
    if "resource" not in entry:
        return bytes(raw)
    return msgspec.json.encode(entry | {"resource": Raw(tag_resource(bytes(entry["resource"]), one))})


def _make_place(entry: dict[str, Raw], asked: Asked, one: Refused) -> bytes:
    """An entry that asked for something, as the place of the record itself: its sender has to fill in the rest of it."""
    if asked.type not in KINDS:
        return msgspec.json.encode(entry)
    is_over = asked.method == "DELETE" and asked.type != "Patient"
    known = {"resourceType": asked.type, "id": asked.id, "status": "entered-in-error" if is_over else None, "meta": {"tag": _list_tags(b"", one)}}
    request = {"method": "PUT", "url": f"{asked.type}/{asked.id}"} if asked.id else {"method": "POST", "url": asked.type}
    resource = {name: part for name, part in known.items() if part}
    return msgspec.json.encode({name: part for name, part in entry.items() if name == "fullUrl"} | {"request": request, "resource": resource})


def _list_mentions(part: object) -> Iterator[str]:
    """References and business identifiers anywhere in a resource."""
    if isinstance(part, list):
        for item in part:
            yield from _list_mentions(item)
    elif isinstance(part, dict):
        for key, value in part.items():
            if key == "reference" and isinstance(value, str):
                yield from (value, _shorten(value))
            elif key == "identifier":
                yield from _list_identifiers(value)
            yield from _list_mentions(value)


def _list_identifiers(said: object) -> Iterator[str]:
    for one in said if isinstance(said, list) else [said]:
        if isinstance(one, dict) and one.get("value"):
            yield f"{one.get('system') or ''}|{str(one['value']).strip()}"


def _shorten(reference: str) -> str:
    """`Type/id` of a reference."""
    return "/".join(reference.strip().split("/_history/", 1)[0].rsplit("/", 2)[-2:])
