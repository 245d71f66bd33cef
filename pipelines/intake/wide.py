"""Columns of an unknown wide table that are results or counts, and the form of the order that its counts are of.

A column is known by the header of a known layout or by the words of guess.toml; a unit only by what the header says of it.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.intake.aside import TOTAL
from pipelines.intake.conform import read_units
from pipelines.intake.layout import Component, Layout

_WORDS = Path(__file__).parent / "guess.toml"
_MOST_VALUES, _LONGEST_VALUE = 12, 24
MOSTLY = 0.9
_NUMBER = re.compile(r"[<>]?=?\s*[+-]?\d+(?:[.,]\d+)?")
_PERCENT = re.compile(r"%|\bпроцент\w*|\bпайыз\w*", re.IGNORECASE)
COMPUTED = "computed from the counts, checked under [totals] where the form says of what"


class Form(NamedTuple):
    """What a known return says of counts like these, in the headers of the sender.

    `percents`: columns of percents; `at_most`, `percent`: as layout.Totals has them.
    """

    name: str
    constants: Mapping[str, str]
    identity: tuple[str, ...]
    percents: tuple[str, ...]
    at_most: tuple[tuple[str, str], ...]
    percent: tuple[tuple[str, ...], ...]


@cache
def read_words(path: Path = _WORDS) -> dict[str, dict[str, Any]]:
    """The synonyms and shapes (guess.toml)."""
    return tomllib.loads(path.read_text("utf-8"))


def plain(header: str) -> str:
    """A header without case, punctuation and the letters that are written in two ways."""
    return " ".join(re.sub(r"[^\w]+", " ", header.casefold().replace("ё", "е").replace("_", " ").replace("№", "номер ")).split())


def is_code(values: Sequence[str]) -> bool:
    """True for values of a short list."""
    distinct = set(values)
    return len(distinct) <= _MOST_VALUES and all(len(v) <= _LONGEST_VALUE for v in distinct) and len(values) >= 2 * len(distinct)


def is_total(value: str) -> bool:
    """True for what stands in a row that declares a total."""
    return re.search(TOTAL, value.lower()) is not None


def place_components(values: Mapping[str, Sequence[str]], layouts: Sequence[Layout], record: str) -> tuple[Component, ...]:
    """Columns (header -> values) that are results or counts: each kind once, a known header before a word."""
    vague = {word for words in read_words()["column"].values() for word in words}  # "result" alone does not say of what
    told = {_name(c.header): c for layout in layouts if layout.record == record for c in layout.components}
    known = {header: c for header, c in told.items() if header[0] not in vague}
    offers = [known[_name(h)]._replace(header=h) for h in values if _name(h) in known]
    read = {"screening": _read_result, "aggregate": _read_count}.get(record)
    if read:
        offers += [c for h, said in values.items() if _name(h) not in known and (c := read(h, said))]
    placed: dict[str, Component] = {}
    for offer in offers:
        if all(_name_kind(c) != _name_kind(offer) for c in placed.values()):
            placed[offer.header] = offer
    return tuple(placed[header] for header in values if header in placed)


def list_ignored(headers: Sequence[str], layouts: Sequence[Layout], record: str) -> dict[str, str]:
    """Headers that known layouts of a kind leave out, with their reasons: the place in a list is not the number of a record."""
    known = {_name(h): why for layout in layouts if layout.record == record for h, why in layout.ignored.items()}
    return {h: known[_name(h)] for h in headers if _name(h) in known}


def lacks_unit(component: Component) -> bool:
    """True for numbers of a component that is kept in a unit, where the header names none."""
    return component.into == "value" and component.constants.get("component") in read_units().kept and "unit" not in component.constants


def find_form(headers: Sequence[str], layouts: Sequence[Layout], components: Sequence[Component]) -> Form | None:
    """The return of the order that most of the counts are of; None where there are no counts."""
    counts = {c.constants["measure"]: c.header for c in components if "measure" in c.constants}
    forms = [layout for layout in layouts if layout.record == "aggregate" and "annex" in layout.constants]
    if not counts or not forms:
        return None
    form = max(forms, key=lambda f: (sum(c.constants["measure"] in counts for c in f.components), -len(f.components)))
    ours = {c.header: counts[c.constants["measure"]] for c in form.components if c.constants["measure"] in counts}
    shares = {_stem(h): h for h in headers if _PERCENT.search(h)}
    totals = form.totals
    at_most = tuple((ours[part], ours[whole]) for part, whole in totals.at_most if {part, whole} <= set(ours)) if totals else ()
    percent = tuple(
        (shares[_stem(ours[part])], ours[part], *(ours[whole] for whole in wholes if whole in ours))
        for _, part, *wholes in (totals.percent if totals else ())
        if part in ours and not set(wholes).isdisjoint(ours) and _stem(ours[part]) in shares
    )  # fmt: skip
    return Form(form.name, form.constants, form.identity, tuple(shares.values()), at_most, percent)


def _name(header: str) -> tuple[str, bool]:
    """How a header is known again: a count and its percent are two."""
    return plain(header), _PERCENT.search(header) is not None


def _name_kind(component: Component) -> dict[str, str]:
    return {name: said for name, said in component.constants.items() if name != "unit"}


def _read_result(header: str, values: Sequence[str]) -> Component | None:
    """A header that names a result, with or without its unit, over values that are numbers or a short list of answers."""
    words, unit = _split_unit(header)
    name = _find_named("result", words)
    if name is None:
        return None
    entry = read_words()["result"][name]
    into = str(entry["into"])
    if into == "value" and not _are_numbers(values):
        if not is_code(values):
            return None
        into, unit = "result_code", None
    constants = {"programme": str(entry["programme"]), "component": name}
    told = unit and (name, read_units().spellings[_fold(unit)]) in read_units().factors
    return Component(header, into, constants | ({"unit": unit} if unit and told else {}))


def _read_count(header: str, values: Sequence[str]) -> Component | None:
    name = None if _PERCENT.search(header) or not _are_numbers(values) else _find_named("measure", header)
    return Component(header, "child_count", {"measure": name}) if name else None


def _find_named(table: str, header: str) -> str | None:
    """The one entry of a table of which the header, or each of its parts, is a word."""
    parts = [said for part in re.split(r"[,;:()\[\]/]", header) if (said := _drop_noise(part))]
    named = [name for name, words in _list_named(table).items() if parts and (" ".join(parts) in words or words.issuperset(parts))]
    return named[0] if len(named) == 1 else None


@cache
def _list_named(table: str) -> dict[str, frozenset[str]]:
    return {name: frozenset(map(_drop_noise, entry["words"])) for name, entry in read_words()[table].items()}


def _drop_noise(text: str) -> str:
    return " ".join(word for word in plain(text).split() if word not in read_words()["noise"]["words"])


def _split_unit(header: str) -> tuple[str, str | None]:
    """What stands before a unit that ends a header, and the unit as it is written."""
    spellings = read_units().spellings
    for found in re.finditer(r"[\s,;:(\[]+", header):
        tail = header[found.end() :].strip()
        for unit in (tail, tail.rstrip(")] ")):
            if found.start() and _fold(unit) in spellings:
                return header[: found.start()], unit
    return header, None


def _fold(unit: str) -> str:
    return re.sub(r"\s", "", unit).replace("\u00b5", "u").replace("\u03bc", "u").lower()


def _are_numbers(values: Sequence[str]) -> bool:
    return sum(_NUMBER.fullmatch(v) is not None for v in values) >= MOSTLY * len(values)


def _stem(header: str) -> str:
    """A header of a count, or of its percent, without what tells the two apart."""
    return " ".join(word for word in plain(_PERCENT.sub(" ", header)).split() if word not in read_words()["noise"]["counts"])
