"""What a coded answer, an interpretation and the reason of an absence mean: all their codes and texts are looked at, not the first."""

from pipelines.intake.fhir.context import CONTRADICTORY
from pipelines.intake.fhir.elements import Concept
from pipelines.intake.fhir.people import list_codes, read_tables
from pipelines.intake.fhir.shape import Measured
from pipelines.intake.hl7.terms import is_one_answer


def read_answer(part: Measured) -> str | None:
    """The answer of a concept, a text or a boolean; one we do not know as it is written, so that the contract refuses it.

    CONTRADICTORY where the codes and texts of a concept do not say one thing.
    """
    if part.value_codeable_concept is not None:
        concept = part.value_codeable_concept
        known = _join_answers(_list_answers(concept))
        return known if known is not None else next(iter(list_codes(concept)), None) or concept.text or "?"
    if part.value_string is not None and part.value_string.strip():
        return str(read_tables()["answers"].get(part.value_string.strip().casefold(), "?"))
    return None if part.value_boolean is None else str(part.value_boolean).lower()


def find_opinion(interpretation: list[Concept]) -> str | None:
    """The result that the sender's interpretation of a number names; CONTRADICTORY where it names two."""
    return _join_answers([one for said in interpretation for one in _list_answers(said)])


def read_reason(reason: Concept | None) -> str | None:
    """What the reason of an absence is to us, "none" where it is no result; None where no reason is given."""
    if reason is None:
        return None
    by_code, by_word = read_tables()["absent"], read_tables()["absent_words"]
    words = [t.strip().casefold() for t in (*(c.display for c in reason.coding), reason.text) if t]
    told = [*(by_code.get(code) for code in list_codes(reason)), *_list_answers(reason), *map(by_word.get, words)]
    outcomes = {*by_code.values(), *by_word.values()} - {"none"}  # an absence is never a pass, whatever its words are
    return next((str(said) for said in told if said in outcomes), "none")


def _list_answers(concept: Concept) -> list[str]:
    """The results that its codes and texts name, those of our own system as they are written."""
    answers, own = read_tables()["answers"], read_tables()["systems"]["result"]
    ours = [coding.code.strip() for coding in concept.coding if coding.system == own and coding.code]
    said = [text for coding in concept.coding for text in (coding.system != own and coding.code, coding.display) if text]
    known = (answers.get(text.strip().casefold()) for text in (*said, concept.text or ""))
    return [one for one in (*ours, *known) if one]


def _join_answers(results: list[str]) -> str | None:
    """What results that are told together come to; CONTRADICTORY where that is not one thing, None where there are none."""
    if not results:
        return None
    return results[0] if is_one_answer(results) else CONTRADICTORY
