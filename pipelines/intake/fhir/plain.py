"""The quick way for what nearly every line of an export is: one number of a child of the file, of whom nothing else is told.

The shape of a line (its keys without values) says whether it may be one. What lines share - code, place, amount, moment - is read
once in a batch, and a row is the numbers of what it shares. A line that turns out to be anything else is left to the whole way,
which would give the same row (a test holds it).
"""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import polars as pl

from pipelines.intake.fhir.answers import find_opinion
from pipelines.intake.fhir.context import CONTRADICTORY
from pipelines.intake.fhir.elements import Concept, Quantity, Reference
from pipelines.intake.fhir.index import Index
from pipelines.intake.fhir.people import name_subject
from pipelines.intake.fhir.results import Results
from pipelines.intake.fhir.rows import read_issued
from pipelines.intake.fhir.shape import Observation, PlainObservation
from pipelines.intake.fhir.source import Item
from pipelines.intake.fhir.values import name_meaning, read_measure, read_moment

Text = str | None

_READ = msgspec.json.Decoder(PlainObservation)
_CONCEPT, _CONCEPTS = msgspec.json.Decoder(Concept | None), msgspec.json.Decoder(list[Concept])
_REFERENCES, _QUANTITY = msgspec.json.Decoder(list[Reference]), msgspec.json.Decoder(Quantity | None)
_TEXT = msgspec.json.Decoder(Text)
_NUL = b"\0"  # stands in no JSON text
_NEEDED = frozenset({"resourceType", "code", "subject", "valueQuantity"})
_OTHER = frozenset(field.encode_name for field in msgspec.structs.fields(Observation)) - {
    field.encode_name for field in msgspec.structs.fields(PlainObservation)
}
_OWN = {"row_no": pl.Int64(), "place": pl.Int64(), "person": pl.Int64(), "source_id": pl.String()}
_KIND = ("programme", "component", "result_code", "status_code", "action_code")
_AMOUNT = ("value", "comparator", "unit")
_SEEN, _ISSUED = ("examined_on", "examined_at"), ("reported_on", "issued_at")


class Shared(dict[Any, int]):
    """What many lines share: the number of its row in `rows`, read when it is first met; -1 where the whole way is needed."""

    def __init__(self, names: tuple[str, ...], read: Callable[[Any], tuple[Text, ...] | None]) -> None:
        super().__init__()
        self.names, self.read = names, read
        self.rows: list[tuple[Text, ...]] = []

    def __missing__(self, key: Any) -> int:
        try:
            row = self.read(key)
        except (ValueError, RecursionError):  # a part that breaks the standard
            row = None
        number = self[key] = -1 if row is None else len(self.rows)
        if row is not None:
            self.rows.append(row)
        return number

    def gather(self, numbers: Sequence[int]) -> list[pl.Series]:
        """The columns of `names` at each of the numbers."""
        place = pl.Series(numbers, dtype=pl.UInt32)
        columns = zip(*self.rows, strict=True)
        return [pl.Series(name, said, pl.String).gather(place) for name, said in zip(self.names, columns, strict=True)]


def may_be_plain(shape: str) -> bool:
    """True for the shape of lines of which nearly all can be read the quick way; the shape is a JSON text."""
    if '"valueQuantity"' not in shape:
        return False
    parts = json.loads(shape)
    if not isinstance(parts, dict) or not parts.keys() >= _NEEDED or not parts.keys().isdisjoint(_OTHER):
        return False
    subject = parts["subject"]
    return isinstance(subject, dict) and "reference" in subject and "identifier" not in subject


def take_plain(results: Results, batch: list[Item], places: Iterable[int]) -> set[int]:
    """Set `results.plain` to the rows of the lines at `places` (ascending) that are plain; the places that are taken."""
    index = results.index
    if index.is_bundle:
        return set()
    told = {subject for subject, _ in index.told}
    kinds, facilities = Shared(_KIND, _read_kind(results)), Shared(("facility_id",), _read_facility(results))
    amounts, seen_at, issued_at = Shared(_AMOUNT, _read_amount), Shared(_SEEN, _read_seen), Shared(_ISSUED, _read_issued)
    people: dict[str, int | None] = {}
    rows: list[tuple[int, int, int, Text, int, int, int, int, int]] = []
    for place in places:
        number, _, raw = batch[place]
        try:
            seen = _READ.decode(raw)
        except (ValueError, RecursionError):
            continue
        subject = seen.subject
        if subject is None or not subject.reference:
            continue
        if subject.reference in people:
            person = people[subject.reference]
        else:
            person = people[subject.reference] = index.find_place(name_subject(subject))
        if person is None or person < 0 or (told and person in told) or (index.reports and index.find_report(None, seen.id)):
            continue
        if seen.specimen is not None and (not seen.effective_date_time or _is_unusable(index, seen.specimen)):
            continue
        kind = kinds[_NUL.join((seen.code, seen.category, seen.interpretation, seen.status))]
        facility, amount = facilities[bytes(seen.performer)], amounts[bytes(seen.value_quantity)]
        examined = seen_at[seen.effective_date_time]
        issued = issued_at[seen.issued or (None, seen.meta and seen.meta.last_updated)]
        if kind < 0 or facility < 0 or amount < 0 or examined < 0 or issued < 0:
            continue
        source = results.name_source(seen.identifier, seen.id, None) if seen.identifier else seen.id
        rows.append((number, place, person, source, kind, facility, amount, examined, issued))
    if not rows:
        return set()
    columns = list(zip(*rows, strict=True))
    own = [pl.Series(name, said, kind) for (name, kind), said in zip(_OWN.items(), columns[: len(_OWN)], strict=True)]
    shared = zip((kinds, facilities, amounts, seen_at, issued_at), columns[len(_OWN) :], strict=True)
    read = [column for table, numbers in shared for column in table.gather(numbers)]
    results.plain = pl.DataFrame([*own, *read]).with_columns(sender_id="facility_id")
    return set(columns[1])


def _is_unusable(index: Index, specimen: Reference) -> bool:
    sample = index.find_specimen(specimen) if index.specimens else None
    return sample is not None and sample.is_unusable


def _read_kind(results: Results) -> Callable[[bytes], tuple[Text, ...] | None]:
    def read(key: bytes) -> tuple[Text, ...] | None:
        code, categories, interpretation, said = key.split(_NUL)
        status = _TEXT.decode(said) if said else None
        if status in results.changed:  # when it was issued depends on more than one moment
            return None
        meaning = name_meaning(_CONCEPT.decode(code), _CONCEPTS.decode(categories) if categories else [], False)
        if meaning.kind != "result":
            return None
        opinion = find_opinion(_CONCEPTS.decode(interpretation)) if interpretation else None
        if opinion == CONTRADICTORY:
            return None
        return (meaning.programme, meaning.component, opinion, *results.statuses.get(status or "", (status, "report")))

    return read


def _read_facility(results: Results) -> Callable[[bytes], tuple[Text] | None]:
    return lambda performers: (results.find_facility(_REFERENCES.decode(performers)) if performers else None,)


def _read_amount(raw: bytes) -> tuple[Text, ...] | None:
    quantity = _QUANTITY.decode(raw)
    if quantity is None:
        return None
    value = read_measure(Observation(value_quantity=quantity))
    return None if value.problem else (value.value, value.comparator, value.unit)


def _read_seen(text: Text) -> tuple[Text, Text]:
    return read_moment(text) if text else (None, None)


def _read_issued(said: str | tuple[None, Text]) -> tuple[Text, Text] | None:
    if isinstance(said, str):
        return read_issued(said)
    told = read_issued(said[1]) if said[1] else (None, None)
    return told and (None, told[1])
