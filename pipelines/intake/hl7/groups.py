"""Which answer is which: records of one code told apart by their sub-ids (OBX-4).

Nothing here depends on the order of the segments, but for answers that one sub-id, or none, gives to one code: the first of them keeps
the name and the others have the next free numbers. Under one sub-id that is said a preliminary, a final and a corrected answer are
versions of one record, and one that is taken back beside them is no record of theirs.

A sub-id is plain (`2`, `b`), dotted (`2.1`: group 2) or an OG (HL7 v2.8.2: `^group^sequence`). Real laboratories number the codes
of a report as groups, and a code more or less moves the numbers of those that follow: such a group names no record. Groups are samples
where one code occurs in several of them, or one of them holds several codes.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

_FIRST, _SECOND = "1", 2
Place = tuple[int, str]
"""An order (its number in the sheet) and a group of it."""


class SubId(NamedTuple):
    """What an OBX-4 says; `said`: as sent; `alone`, `grouped`: the name of a record where groups are none, and where they are samples.

    `group`: empty where there is none; `is_group`: it is a group by its form (dotted or OG).
    """

    said: str
    alone: str
    grouped: str
    group: str
    is_group: bool


NO_SUB_ID = SubId("", "", "", "", False)


class Claim(NamedTuple):
    """A row: of which order, and by which code and sub-id it asks for its name; `code`: of a list what lists it."""

    order_no: int
    source: str
    component: str
    code: str
    sub_id: SubId
    status: str = ""


class Named(NamedTuple):
    """Place of a row -> its name among the answers to its code, of those that are not the first.

    `renewed`: rows that take the place of a result which is taken back under the same sub-id.
    """

    names: dict[int, str]
    renewed: list[int]


_UNNAMED = Named({}, [])


def read_sub_id(said: str, component: str) -> SubId:
    """`2`, `02`, `b`, `1.2` and `^1^2` are "2"; `2.1` is "2.1"; `^3^2` is "2", or "3.2" where its group is a sample.

    A sub-id has the same name whatever else is in the message, so that a correction finds the record it corrects.
    """
    first, *rest = said.split(component)
    parts = [_name_part(part.strip()) for part in first.split(".") if part.strip()]
    group, sequence = ([_name_part(part.strip()) if part.strip() else "" for part in rest] + ["", ""])[:2]
    own = [*parts, *([sequence] if sequence else [])]
    if group:
        return SubId(said, _join(own), _join([*parts, group, *([sequence] if sequence else [])]), group, is_group=True)
    return SubId(said, _join(own), _join(own), own[0] if own else "", is_group=len(own) > 1)


def head_list(sub_id: SubId) -> SubId:
    """The sub-id of each condition of a list: only the sample tells one such list from another."""
    return sub_id._replace(alone="", grouped=_join([sub_id.group]) if sub_id.is_group else "")


def name_answers(claims: Sequence[Claim], remarks: Iterable[Claim]) -> Named:
    """Which record each row is; `remarks` are no rows."""
    if not any(claim.sub_id.grouped for claim in claims) and len({(claim.source, claim.component) for claim in claims}) == len(claims):
        return _UNNAMED
    samples = _list_samples([*claims, *remarks])
    wanted: dict[tuple[str, str, str], list[int]] = {}
    for place, claim in enumerate(claims):
        name = claim.sub_id.grouped if claim.order_no in samples else claim.sub_id.alone
        wanted.setdefault((claim.source, claim.component, name), []).append(place)
    left: dict[tuple[str, str], list[tuple[str, str, int]]] = {}
    named, renewed = {}, list[int]()
    for (source, component, name), places in wanted.items():
        if len(places) == 1:
            named[places[0]] = name
        elif versions := _list_versions(claims, places):
            withdrawn = [place for place in places if place not in versions]
            named |= dict.fromkeys(versions, name) | {place: f"{name or _FIRST}x{n or ''}" for n, place in enumerate(withdrawn)}
            renewed += versions if withdrawn else []
        else:
            first, *others = sorted(places, key=lambda place: (claims[place].sub_id.said, place))
            named[first] = name
            left.setdefault((source, component), []).extend((name, claims[place].sub_id.said, place) for place in others)
    for (source, component), repeats in left.items():
        number = _SECOND
        for _, _, place in sorted(repeats):
            while (source, component, str(number)) in wanted:
                number += 1
            named[place] = str(number)
            number += 1
    return Named({place: name for place, name in named.items() if name}, renewed)


def _list_versions(claims: Sequence[Claim], places: Sequence[int]) -> list[int]:
    """Which answers are one record: of one order and sub-id that is said, each of another status, without those taken back."""
    live = [place for place in places if claims[place].status != "cancelled"]
    is_one = len({(claims[place].order_no, claims[place].sub_id.said) for place in places}) == 1 and claims[places[0]].sub_id.said
    return live if is_one and len({claims[place].status for place in live}) == len(live) else []


def _list_samples(claims: Iterable[Claim]) -> set[int]:
    """Orders whose groups are samples."""
    groups: dict[tuple[int, str], set[str]] = {}
    held: dict[Place, set[str]] = {}
    for claim in claims:
        if claim.sub_id.is_group:
            groups.setdefault((claim.order_no, claim.code), set()).add(claim.sub_id.group)
            held.setdefault((claim.order_no, claim.sub_id.group), set()).add(claim.code)
    return {order_no for found in (groups, held) for (order_no, _), said in found.items() if len(said) > 1}


def find_parallel(claims: Iterable[Claim]) -> set[Place]:
    """Groups that hold an answer to a code which other groups of the order answer too."""
    groups: dict[tuple[int, str], set[str]] = {}
    for claim in claims:
        if claim.sub_id.group:
            groups.setdefault((claim.order_no, claim.code), set()).add(claim.sub_id.group)
    return {(order_no, group) for (order_no, _), found in groups.items() if len(found) > 1 for group in found}


def _join(parts: Sequence[str]) -> str:
    """The parts of a name without the leading ones that say no more than that it is the first."""
    begin = next((at for at, part in enumerate(parts) if part != _FIRST), len(parts))
    return ".".join(parts[begin:])


def _name_part(part: str) -> str:
    """A number without leading zeros; a letter as its number."""
    if len(part) == 1 and "a" <= part.lower() <= "z":
        return str(ord(part.lower()) - ord("a") + 1)
    return part.lstrip("0") or "0" if part.isdecimal() else part
