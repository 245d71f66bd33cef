"""How a line becomes a resource without ever stopping the reader.

Nearly every line fits the types and is decoded in one pass. One that does not is taken apart and fitted part by part: what
fits is kept, what does not is told by its name. Both ways give the same resource for a line that fits (tests hold it).
"""

import json
import re
import types
import typing
from functools import cache
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from pipelines.intake.fhir.shape import READ, Resource

_DECODER: msgspec.json.Decoder[Resource] = msgspec.json.Decoder(Resource)
_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"|([{\[])|([}\]])')


class Decoded(NamedTuple):
    """A line: its resource (None where it is not of a type we read), its type, and the names of parts that did not fit."""

    resource: Resource | None
    type: str | None
    dropped: tuple[str, ...] = ()


class UnreadableError(Exception):
    """A line is no resource; `code` is the finding code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def decode_line(raw: bytes) -> Decoded:
    """A resource; raises UnreadableError (message_not_json, message_not_resource)."""
    try:
        resource = _DECODER.decode(raw)
    except msgspec.ValidationError:
        return decode_loosely(raw)
    except (ValueError, RecursionError):
        raise UnreadableError("message_not_json") from None
    return Decoded(resource, None)


def decode_loosely(raw: bytes) -> Decoded:
    """A resource of which some part does not fit, with all the others; raises UnreadableError."""
    try:
        plain = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        raise UnreadableError("message_not_json") from None
    name = plain.get("resourceType") if isinstance(plain, dict) else None
    if not isinstance(name, str):
        raise UnreadableError("message_not_resource")
    if name not in READ:
        return Decoded(None, name)
    dropped: list[str] = []
    resource = fit(plain, READ[name], dropped)
    return Decoded(resource, name, tuple(dict.fromkeys(dropped)))


def fit(plain: dict[str, Any], kind: type[Any], dropped: list[str]) -> Any:
    """An element of a kind from plain JSON; the names of parts that do not fit are added to `dropped`."""
    given: dict[str, Any] = {}
    for attribute, name, form in _plan(typing.cast("Any", kind)):
        value = plain.get(name)
        if value is None:
            if name in plain:
                dropped.append(name)
        elif form.is_list:
            items = value if isinstance(value, list) else [value]  # a single one where a list belongs
            fitting = [_fit_one(item, form, dropped) for item in items]
            given[attribute] = [item for item in fitting if item is not None]
            if not isinstance(value, list) or len(given[attribute]) != len(items):
                dropped.append(name)
        else:
            found = _fit_one(value, form, dropped)
            if found is None:
                dropped.append(name)
            else:
                given[attribute] = found
    return kind(**given)


def is_too_deep(raw: bytes, depth: int) -> bool:
    """True where objects and arrays lie deeper in each other than is read."""
    return raw.count(b"{") + raw.count(b"[") > depth and measure_depth(raw) > depth


def measure_depth(raw: bytes) -> int:
    """How deep objects and arrays lie in each other."""
    deepest = here = 0
    for found in _BRACKET.finditer(raw):
        if found[1]:
            here += 1
            deepest = max(deepest, here)
        elif found[2]:
            here -= 1
    return deepest


def count_open(raw: bytes) -> int:
    """How many objects and arrays are open at the end of the beginning of a JSON text."""
    return sum(1 if found[1] else -1 for found in _BRACKET.finditer(raw) if found[1] or found[2])


def has_repeated_key(raw: bytes) -> bool:
    """True when an object of a JSON text has a key twice."""
    repeated = False

    def pair(pairs: list[tuple[str, Any]]) -> None:
        nonlocal repeated
        repeated = repeated or len({key for key, _ in pairs}) != len(pairs)

    try:
        json.loads(raw, object_pairs_hook=pair, parse_int=len, parse_float=len)
    except (ValueError, RecursionError):
        return False
    return repeated


class _Form(NamedTuple):
    """How a part is written: text, flag, number, raw, part, or a list of one of them."""

    name: str
    kind: Any
    is_list: bool


def _fit_one(value: Any, form: _Form, dropped: list[str]) -> Any:
    match form.name:
        case "text":
            if isinstance(value, str):
                return value
            return str(value) if isinstance(value, int) and not isinstance(value, bool) else None
        case "flag":
            return value if isinstance(value, bool) else None
        case "number":
            return value if isinstance(value, int) and not isinstance(value, bool) else None
        case "raw":
            return Raw(msgspec.json.encode(value))
        case _:
            return fit(value, form.kind, dropped) if isinstance(value, dict) else None


@cache
def _plan(kind: Any) -> tuple[tuple[str, str, _Form], ...]:
    hints = typing.get_type_hints(kind)
    return tuple((f.name, f.encode_name, _form(hints[f.name])) for f in msgspec.structs.fields(kind))


def _form(hint: Any) -> _Form:
    if isinstance(hint, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    if typing.get_origin(hint) is list:
        return _form(typing.get_args(hint)[0])._replace(is_list=True)
    return _Form({str: "text", bool: "flag", int: "number", Raw: "raw"}.get(hint, "part"), hint, False)
