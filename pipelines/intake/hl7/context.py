"""Answers that tell something of all results of a child: the specimen's quality, the reason of the test, factors, gestation, card."""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

from pipelines.intake.conform import name_unit
from pipelines.intake.hl7.fields import Marks, pick
from pipelines.intake.hl7.terms import PLACES, Terms

_LONGEST_CARD = 60
_TRANSFUSED = "transfused"
UNSATISFACTORY = "unsatisfactory"


class Context(NamedTuple):
    """What an answer says (`text`, None where that is nothing), and the column and code of what is left unread of it."""

    text: str | None
    problem: tuple[str | None, str] | None = None


def read_context(terms: Terms, told: str, field: str, unit: str = "") -> Context:
    """What an OBX-5, all its repetitions (`unit`: OBX-6), says of quality, reason, factors, gestation or card; an unlisted answer decides nothing."""
    match told:
        case "quality":
            known, is_unlisted = _look_up(terms, "quality", field)
            text = UNSATISFACTORY if UNSATISFACTORY in known else next(iter(known), None)
            return Context(text, (None, "specimen_quality_unlisted") if is_unlisted else None)
        case "factors":
            known, is_unlisted = _look_up(terms, "factor", field)
            return Context("true" if _TRANSFUSED in known else None, (None, "infant_factor_unlisted") if is_unlisted else None)
        case "reason":
            return _read_reason(*_look_up(terms, "stages", field))
        case "gestation":
            return _read_gestation(terms, field, unit)
        case "card":
            return Context((pick(terms.marks, field, 0) or "")[:_LONGEST_CARD] or None)
    return Context(None)


def _read_reason(known: set[str], is_unlisted: bool) -> Context:
    if len(known) > 1:
        return Context(None, ("stage_code", "stage_code_contradictory"))
    return Context(next(iter(known), None), ("stage_code", "stage_code_unlisted") if is_unlisted else None)


def _read_gestation(terms: Terms, field: str, unit: str) -> Context:
    """Whole weeks; of another unit than those listed weeks are meant."""
    if not any(list_texts(terms.marks, field)):
        return Context(None)
    told, per_week = terms.read_answer(field).value, terms.tables["gestation_units"].get(name_unit(terms.read_unit(unit) or ""), 1)
    return Context(str(int(Fraction(told) / per_week))) if told else Context(None, ("gestation_wk", "gestation_wk_unreadable"))


def _look_up(terms: Terms, table: str, field: str) -> tuple[set[str], bool]:
    """(what a table knows of the repetitions of a field, is there one that it does not know)."""
    known: set[str] = set()
    is_unlisted = False
    for texts in list_texts(terms.marks, field):
        said = _find(terms.tables[table], texts)
        known |= {said} if said else set()
        is_unlisted = is_unlisted or not (said or is_nothing(terms, texts))
    return known, is_unlisted


def _find(table: Mapping[str, str], texts: list[str]) -> str | None:
    return next((table[text.casefold()] for text in texts if text.casefold() in table), None)


def list_texts(marks: Marks, field: str) -> Iterator[list[str]]:
    """For each repetition of a coded field that says something its codes and texts, both triplets."""
    for one in field.split(marks.repeat):
        texts = [text for place in PLACES if (text := pick(marks, one, place))]
        if texts:
            yield texts


def is_nothing(terms: Terms, texts: list[str]) -> bool:
    """True where a repetition says that there is nothing to say."""
    nothing = terms.tables["nothing"]
    return any(text in nothing["codes"] or text.casefold() in nothing["words"] for text in texts)
