"""What an Observation, or a component of one, tells of all results of its child: quality, reason, factors, card, and what its birth was like.

An answer that is on no list decides nothing and is told, as in HL7 v2 and by the same tables.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from pipelines.intake.conform import name_unit
from pipelines.intake.fhir.modified import is_modified
from pipelines.intake.fhir.people import list_codes, read_tables
from pipelines.intake.fhir.shape import Measured, Observation
from pipelines.intake.fhir.values import Value, is_valued, read_day, read_measure

_LONGEST_CARD = 60
UNSATISFACTORY = "unsatisfactory"
CONTRADICTORY = ""
"""In place of a text where two different ones are told: neither is taken."""


class Told(NamedTuple):
    """A column and its text (None where nothing is said); the code of what is left unread, and the column that is about."""

    column: str
    text: str | None
    problem: str | None = None
    about: str | None = None


def read_context(seen: Observation) -> list[Told]:
    """All that an Observation and its components tell, withdrawn or not; `quality` is the column of an unusable specimen."""
    return [told for part in (seen, *seen.component) if (told := _read_part(part))]


def list_standing(seen: Observation) -> list[Told]:
    """What it tells (read_context), but of one that was taken back, or whose meaning we do not know."""
    return [] if is_modified(seen) or read_tables()["observation_status"].get(seen.status or "", [None])[0] == "cancelled" else read_context(seen)


def name_day(column: str, seen: Observation) -> str:
    """The day of whose results something is true; empty where it is true of all."""
    return "" if column in read_tables()["birth"].values() else read_day(seen)[0] or ""


def join_told(said: dict[str, str], column: str, text: str) -> None:
    """Add what is told to what was told before."""
    said[column] = text if said.get(column, text) == text else CONTRADICTORY


def _read_part(part: Measured) -> Told | None:
    tables, codes = read_tables(), list_codes(part.code)
    match next((tables["context"][code] for code in codes if code in tables["context"]), None):
        case "quality":
            said, is_unlisted = _look_up(tables["quality"], part)
            return Told("quality", UNSATISFACTORY if said == UNSATISFACTORY else None, "specimen_quality_unlisted" if is_unlisted else None)
        case "factors":
            said, is_unlisted = _look_up(tables["factor"], part)
            return Told("is_transfused", "true" if said == "transfused" else None, "infant_factor_unlisted" if is_unlisted else None)
        case "reason":
            said, is_unlisted = _look_up(tables["stages"], part)
            return Told("stage_code", said, "stage_code_unlisted" if is_unlisted else None, "stage_code")
        case "card":
            texts = _list_texts(part)
            return Told("card_no", texts[0][:_LONGEST_CARD] if texts else None)
    column = next((tables["birth"][code] for code in codes if code in tables["birth"]), None)
    return _read_birth(column, part) if column else None


def _read_birth(column: str, part: Measured) -> Told:
    """A whole number of a birth in our unit; without a unit ours is meant."""
    texts = _list_texts(part)
    listed = read_tables()["birth_answers"].get(column, {})
    if known := next((listed[text.casefold()] for text in texts if text.casefold() in listed), None):
        return Told(column, str(known))
    number = None if part.value_codeable_concept else _convert(column, read_measure(part))
    is_silent = not texts or any(_is_nothing(text) for text in texts)
    return Told(column, number, None if number or is_silent else f"{column}_unreadable", column)


def _convert(column: str, measured: Value) -> str | None:
    units: Mapping[str, str] = read_tables()["birth_units"].get(column, {})
    factor = units.get(name_unit(measured.unit) or "") if measured.unit else "1"
    return str(int(Fraction(measured.value) * Fraction(factor))) if measured.value and factor else None


def _look_up(table: Mapping[str, str], part: Measured) -> tuple[str | None, bool]:
    """(what a table knows of an answer, is there one that it does not know)."""
    texts = _list_texts(part)
    said = next((table[text.casefold()] for text in texts if text.casefold() in table), None)
    return said, bool(texts) and said is None and not any(_is_nothing(text) for text in texts)


def _list_texts(part: Measured) -> Sequence[str]:
    """Codes and texts of a concept, a text, a number; "?" for an answer of another kind; none where there is no answer."""
    concept = part.value_codeable_concept
    if concept is not None:
        said = [*list_codes(concept), *(coding.display for coding in concept.coding), concept.text]
    else:
        said = [part.value_string, read_measure(part).value]
    texts = [text.strip() for text in said if text and text.strip()]
    return texts or (["?"] if is_valued(part) and part.data_absent_reason is None else [])


def _is_nothing(text: str) -> bool:
    """True for an answer which says that there is nothing to say."""
    nothing = read_tables()["nothing"]
    return text in nothing["codes"] or text.casefold() in nothing["words"]
