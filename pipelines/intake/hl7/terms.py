"""What the fields of an OBX say: its code, answer, unit and instance by the tables, each text read once and remembered.

A laboratory's million results are made of a few hundred codes and units and some thousands of numbers, so remembering what
a text means costs little and saves nearly all of the work.
"""

import re
import tomllib
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.intake.conform import name_unit
from pipelines.intake.hl7.fields import Marks, clean_number, is_loinc_whole, pick, read_time, unescape
from pipelines.intake.hl7.groups import SubId, read_sub_id
from pipelines.intake.hl7.split import name_charset

_TABLES = Path(__file__).parents[1] / "layouts" / "hl7-oru.toml"
_LOINC = re.compile(r"\d{1,5}-\d$", re.ASCII)
_PLAIN_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?$", re.ASCII)
_LONGEST_REMEMBERED = 200
PLACES = (0, 3, 1, 4)
"""Where a coded field says what it means: its code, its alternate code, and their texts."""
_LONGEST_COMPONENT = 80


class Term(NamedTuple):
    """What an OBX-3 names; `what`: programme and component.

    `context`: what it tells of all results; `positive`: the result of each condition that it lists; `is_of_two`: it names two analytes, of
    which neither is surely meant.
    """

    code: str
    what: tuple[str, str]
    context: str | None
    positive: str | None
    is_known: bool
    is_number: bool
    is_interpretation: bool
    is_comment: bool
    is_loinc_broken: bool
    is_of_two: bool = False


class Answer(NamedTuple):
    """What an OBX-5 says: a coded result, or a number; `first` is its first component as sent.

    `is_contradictory`: its codes, texts or repetitions do not say one thing.
    """

    result_code: str | None
    first: str | None
    comparator: str | None
    value: str | None
    is_cleaned: bool
    is_contradictory: bool = False


@cache
def read_tables(path: Path = _TABLES) -> dict[str, Any]:
    """The code tables (layouts/hl7-oru.toml); what answers say by lower case, character sets by their plain names."""
    tables = tomllib.loads(path.read_text("utf-8"))
    tables["answers"] = {code.casefold(): ours for code, ours in tables["answers"].items()}
    for name in ("stages", "sexes", "quality", "factor", "identifiers", "relations"):
        tables[name] = {said.casefold(): ours for said, ours in tables[name].items()}
    tables["charsets"] = {name_charset(name): ours for name, ours in tables["charsets"].items()}
    return tables


def is_one_answer(results: Sequence[str]) -> bool:
    """True where result codes that are told together come to one thing: `pass` and `in_range` do, `pass` and `refer` do not."""
    sides = read_tables()["sides"]
    return len({sides.get(one) for one in results}) <= 1


class Terms:
    """Reads fields that are written with one set of separators."""

    def __init__(self, marks: Marks) -> None:
        self.marks, self.tables = marks, read_tables()
        self.read_term = lru_cache(maxsize=8_192)(self._read_term)
        self.read_unit = lru_cache(maxsize=1_024)(self._read_unit)
        self.read_sub_id = lru_cache(maxsize=1_024)(self._read_sub_id)
        self._remember_answer = lru_cache(maxsize=65_536)(self._read_answer)
        self.read_time = lru_cache(maxsize=65_536)(self._read_time)
        self.plan_number = lru_cache(maxsize=8_192)(self._plan_number)
        self.read_relation = lru_cache(maxsize=1_024)(self._read_relation)
        self.list_flags = lru_cache(maxsize=1_024)(self._list_flags)

    def read_answer(self, field: str) -> Answer:
        """What an OBX-5 says."""
        return self._read_answer(field) if len(field) > _LONGEST_REMEMBERED else self._remember_answer(field)

    def _plan_number(self, kind: str, code: str, unit: str, status: str) -> tuple[tuple[str, str], str, str | None] | None:
        """((programme, component), status, unit) of an OBX that needs no second look if its answer is a number; else None."""
        term, known = self.read_term(code), self.tables["statuses"].get(status)
        is_usual = not (term.context or term.positive or term.is_loinc_broken or term.is_of_two) and known not in (None, "cancelled")
        return (term.what, known, self.read_unit(unit)) if is_usual and kind in ("NM", "SN") else None

    def _read_term(self, field: str) -> Term:
        """The LOINC code wherever it stands, else the local code; and what the tables know of it."""
        marks, tables = self.marks, self.tables
        first, label, other = pick(marks, field, 0) or "", pick(marks, field, 1) or "", pick(marks, field, 3) or ""
        said = [code for code in (first, other) if code] or [label or pick(marks, field, 4) or "?"]
        loinc = [code for code in said if _LOINC.match(code)]
        if len(loinc) > 1 and pick(marks, field, 2) not in tables["loinc"] and pick(marks, field, 5) in tables["loinc"]:
            loinc.reverse()
        code = next((code for code in said if self._is_listed(code)), (loinc or said)[0])
        is_loinc = code in loinc
        named = [found for one in said if (found := self._find_component(one))]
        known = self._find_component(code)
        component = known.get("component") or (code if is_loinc else f"L:{code}"[:_LONGEST_COMPONENT])
        return Term(
            code,
            (known.get("programme", "blood_spot"), component),
            tables["context"].get(code),
            tables["positive"].get(code),
            bool(known),
            bool(known.get("is_number")),
            tables["interpretation_word"] in label.casefold(),
            not known and any(word in label.casefold() for word in tables["comment_words"]),
            is_loinc and not is_loinc_whole(code),
            any((one["programme"], one["component"]) != (named[0]["programme"], named[0]["component"]) for one in named),
        )

    def _find_component(self, code: str) -> dict[str, Any]:
        """What the table of components says of a code; nothing of one that is not in it."""
        components: dict[str, dict[str, Any]] = self.tables["components"]
        return components.get(code) or components.get(code.upper(), {})

    def _is_listed(self, code: str) -> bool:
        """True for a code of the tables."""
        return any(said in self.tables[name] for name in ("components", "context", "positive") for said in (code, code.upper()))

    def _read_relation(self, field: str) -> str | None:
        """What an NK1-3 says, by its codes and texts: mother, other, or None for what is not on the list."""
        said = (self.tables["relations"].get((pick(self.marks, field, place) or "").casefold()) for place in PLACES)
        return next((one for one in said if one), None)

    def _list_flags(self, field: str) -> frozenset[str | None]:
        """The codes of an OBX-8, which may be several."""
        return frozenset(pick(self.marks, one, 0) for one in field.split(self.marks.repeat))

    def _read_answer(self, field: str) -> Answer:
        marks, answers = self.marks, self.tables["answers"]
        if marks.repeat in field:
            return self._join_answers([self._read_answer(one) for one in field.split(marks.repeat) if one.strip()])
        if _PLAIN_NUMBER.match(field) and field not in answers:
            return Answer(None, field, None, field, False)
        first = pick(marks, field, 0)
        known = (answers.get((pick(marks, field, place) or "").casefold().strip()) for place in PLACES)
        if found := [str(one) for one in known if one]:
            is_one = is_one_answer(found)
            return Answer(found[0] if is_one else None, first, None, None, False, is_contradictory=not is_one)
        comparator, value, is_cleaned = clean_number(unescape(marks, field), marks.component)
        return Answer(None, first, comparator, value, is_cleaned)

    def _join_answers(self, answers: list[Answer]) -> Answer:
        """What repetitions that say the same say."""
        first = answers[0] if answers else Answer(None, None, None, None, False)
        is_one = len({(a.result_code, a.comparator, a.value) for a in answers}) <= 1
        return first if is_one else Answer(None, first.first, None, None, False, is_contradictory=True)

    def _read_unit(self, field: str) -> str | None:
        """The unit of an OBX-6; repetitions that spell several units are none that we know, and are told all."""
        repeated = field.split(self.marks.repeat) if self.marks.repeat in field else (field,)
        said = (pick(self.marks, one, 0) or pick(self.marks, one, 1) or pick(self.marks, one, 3) for one in repeated)
        units = {name_unit(unit) or unit: unit for unit in said if unit}
        return ", ".join(units.values()) or None

    def _read_time(self, field: str) -> tuple[str | None, str | None]:
        """(ISO day, ISO moment) of a field; 2.3 adds a component of precision."""
        return read_time(pick(self.marks, field, 0) or "")

    def read_day(self, field: str) -> str | None:
        """The ISO day on the clock of the place: as written with an offset that is or was kept in Kazakhstan, whatever the year."""
        return read_time((pick(self.marks, field, 0) or "").removesuffix("+0600").removesuffix("+0500"))[0]

    def read_issued(self, field: str, sent_at: str | None = None) -> tuple[str | None, str | None]:
        """(ISO day, ISO moment) of a version; a day alone begins at midnight, or is the moment of that day at which it was sent."""
        day, moment = self.read_time(field)
        if day and not moment:
            moment = sent_at if sent_at and sent_at.startswith(day) else f"{day}T00:00:00"
        return day, moment

    def _read_sub_id(self, field: str) -> SubId:
        return read_sub_id(field, self.marks.component)


@lru_cache(maxsize=64)
def speak_terms(marks: Marks) -> Terms:
    """The reader of fields for a set of separators."""
    return Terms(marks)

