"""Screenings out of Observations: one of the value, one of each component; a panel is no result, its members are."""

from collections import Counter
from typing import NamedTuple

from pipelines.intake.fhir.answers import find_opinion, read_answer, read_reason
from pipelines.intake.fhir.contained import Inside
from pipelines.intake.fhir.context import (
    CONTRADICTORY,
    UNSATISFACTORY,
    join_told,
    list_standing,
    name_day,
    read_context,
)
from pipelines.intake.fhir.elements import NONE, Concept, Reference
from pipelines.intake.fhir.people import list_codes
from pipelines.intake.fhir.reports import Report, describe_report
from pipelines.intake.fhir.rows import Rows
from pipelines.intake.fhir.shape import DiagnosticReport, Measured, Observation
from pipelines.intake.fhir.specimens import NO_SAMPLE, Sample
from pipelines.intake.fhir.values import (
    Meaning,
    Value,
    has_other_value,
    has_two_values,
    is_valued,
    name_meaning,
    read_day,
    read_measure,
    read_moment,
)
from pipelines.intake.hl7.fields import clean_number

_NO_RESULT = ("skip", "context")
_SPOILED = [(Meaning("spoiled", "blood_spot", analyte), Measured()) for analyte in ("tsh", "phe")]
"""What an unusable specimen says of the mandatory analytes."""
_NOTHING: dict[str, str] = {}
_NO_STATUS = ("", "report")
_ABOUT = {"component_unknown": "component", "units_disagree": "unit", "result_code_contradictory": "result_code"}
"""Problem of a value -> the column it is about, where that is not `value`."""


class Around(NamedTuple):
    """What stands around an Observation: the report that lists it, and what stands inside it or beside it in its report.

    `is_own`: its id is one by which its server knows it, so that the same id again is the same record.
    """

    report: Report | None
    inside: Inside
    is_own: bool


class Results(Rows):
    """Rows of Observations, and all that Rows gathers."""

    def take_observation(self, number: int, place: int, seen: Observation, url: str | None) -> None:
        """A screening of an Observation and of each of its components; or a count of what it is instead.

        In an export an id is an id. In a Bundle it is one where the entry's fullUrl is an address of a server; else it may be made
        anew with every message.
        """
        report = self.index.find_report(url, seen.id) if self.index.reports else None
        inside = self.open_inside(seen.contained)
        is_own = bool(seen.id) and (not self.index.is_bundle or (url or "").startswith("http"))
        if seen.contained:
            self._note_context(seen, inside)
            self._take_inside(number, place, inside, seen.subject, self._describe_panel(seen))
        self._take(number, place, seen, Around(report, inside, is_own))
        if inside.malformed:
            self.tell_malformed(number, inside)

    def take_contained(self, number: int, place: int, report: DiagnosticReport) -> bool:
        """The screenings of the Observations that stand inside a report; whether there are any."""
        described = describe_report(report)
        inside = self.open_inside(report.contained)
        is_any = self._take_inside(number, place, inside, report.subject, described._replace(source_id=described.source_id or report.id))
        if is_any:
            self.tell_malformed(number, inside)
        return is_any

    def _take_inside(self, number: int, place: int, inside: Inside, subject: Reference | None, holder: Report) -> bool:
        """The screenings of the Observations inside a resource; their record is that of the resource."""
        listed = inside.list_results(subject)
        for seen in listed:
            self._note_context(seen, inside)
        for seen in listed:
            self._take(number, place, seen, Around(holder, inside, is_own=False))
        return bool(listed)

    def _describe_panel(self, seen: Observation) -> Report:
        """What a panel says of the results inside it."""
        newborn, updated = self.tables["newborn"], seen.meta.last_updated if seen.meta else None
        is_newborn = any(code in newborn["reports"] for code in list_codes(seen.code))
        source = self.name_source(seen.identifier, seen.id, None)
        return Report(source, seen.issued, updated, is_newborn, seen.status in newborn["withdrawn"])

    def _note_context(self, seen: Observation, inside: Inside) -> None:
        """What an Observation tells of a child who stands inside the same resource."""
        context = list_standing(seen) if seen.subject and (seen.subject.reference or "").strip().startswith("#") else []
        person = self.find_person(seen.subject, inside)[0] if context else None
        for told in context if person is not None else ():
            if told.text:
                join_told(self.told.setdefault((person, name_day(told.column, seen)), {}), told.column, told.text)

    def _take(self, number: int, place: int, seen: Observation, around: Around) -> None:
        is_newborn = around.report is not None and around.report.is_newborn
        if self._is_of_unsent(seen, around.inside):
            self.refuse(number, place, "message_withdraws_unsent", self.name_source(seen.identifier, seen.id, None), self.sender)
            return
        meaning = name_meaning(seen.code, seen.category, is_newborn)
        is_result = meaning.kind not in _NO_RESULT
        parts: list[tuple[Meaning, Measured]] = []
        if is_result and (is_valued(seen) or not (seen.component or seen.has_member)):
            parts.append((meaning, seen))
        for part in seen.component:
            said = name_meaning(part.code, seen.category, is_newborn)
            if said.kind not in _NO_RESULT and (is_result or said.is_known):
                parts.append((said, part))
        if (seen.component or not is_result) and self._tell_context(number, seen, around.inside):
            parts += [(spoiled, part) for spoiled, part in _SPOILED if spoiled.component not in {said.component for said, _ in parts}]
        if len(parts) == 1 and seen.value_string is not None and self._is_comment(*parts[0]):
            self.counted["Observation (comment)"] += 1
        elif parts:
            self._add_results(number, place, seen, parts, around)
        elif is_result:
            self._take_panel(number, seen, around.inside)
        else:
            self.counted[f"Observation ({'context' if meaning.kind == 'context' else 'other'})"] += 1

    def _is_of_unsent(self, seen: Observation, inside: Inside) -> bool:
        """True for a panel that was entered in error and whose results are not here to say so themselves."""
        if self.statuses.get(seen.status or "", _NO_STATUS)[1] != "cancel" or seen.component or is_valued(seen):
            return False
        newborn, members = self.tables["newborn"], [m.reference for m in seen.has_member if m.reference]
        is_panel = any(code in newborn[name] for code in list_codes(seen.code) for name in ("panels", "reports"))
        if not members:
            return is_panel and not inside.list_all(Observation)
        return not all(self._is_here(m, inside) for m in members)

    def _is_here(self, member: str, inside: Inside) -> bool:
        """Whether the result that a panel names came with it."""
        return bool(inside.find(member, Observation) or self.index.find(self.index.observations, member))

    def _add_results(self, number: int, place: int, seen: Observation, parts: list[tuple[Meaning, Measured]], around: Around) -> None:
        report, inside, is_own = around
        person, refused = self.find_person(seen.subject, inside)
        facility = self.find_facility(seen.performer, inside) if seen.performer else None
        if refused:
            self.refuse(number, place, refused, self.name_source(seen.identifier, seen.id, None), self.sender or facility)
            return
        said = "entered-in-error" if report is not None and report.is_withdrawn else seen.status
        status, action = self.statuses.get(said or "", (said, "report"))
        sample = self._find_sample(seen, around)
        day, moment = read_day(seen)
        if day is None and sample is not None and sample.collected:
            day, moment = read_moment(sample.collected)
        issued = seen.issued or (report.issued if report else None)
        updated = seen.meta.last_updated if seen.meta else None
        others = [updated, *(report[1:3] if report is not None and report.is_withdrawn else ())] if said in self.changed else ()
        reported_on, issued_at = self.read_version(number, issued or updated or self.issued, others)
        reported_on = reported_on if issued else None
        told = self.list_told(seen.subject, person, day) if self.index.told or self.told else _NOTHING
        source = self.name_source(seen.identifier, seen.id, report.source_id if report and not is_own else None)
        entry = number if is_own and source == seen.id else 0
        common = (place, person, self.sender or facility, action, issued_at, facility, told.get("stage_code") or None, day, moment,
                  reported_on, status, told.get("gestation_wk") or None, told.get("is_transfused"), told.get("card_no") or None)  # fmt: skip
        first, within = len(self.screening), Counter[str]()
        is_unusable = "quality" in told or (sample is not None and sample.is_unusable)
        for meaning, part in parts:
            value = self._read_value(number, part, meaning, status)
            results = (
                ((meaning.component, value.result_code),) if meaning.kind != "positive" else self._list_positive(meaning, part)
            )
            is_spoiled = is_unusable and value.value is not None and meaning.programme == "blood_spot"
            for component, result in results:
                within[component] += 1
                own = self._repeat(source, component, entry, (seen.id, within[component])) if self.index.is_bundle else source
                self.screening.append((
                    number, own, meaning.programme, component, value.value, value.comparator, value.unit,
                    "unsatisfactory" if is_spoiled else result, *common,
                ))  # fmt: skip
            if value.problem:
                self._tell_problem(number, value.problem)
        if len(self.screening) == first:
            self.counted["Observation (nothing listed)"] += 1

    def _find_sample(self, seen: Observation, around: Around) -> Sample | None:
        """What is said of its specimen, or of those of its report, which spoil it only if all of them are unusable."""
        if seen.specimen:
            return self.index.find_specimen(seen.specimen, around.inside)
        listed = around.report.specimens if around.report else ()
        samples = [self.index.find_specimen(Reference(reference=name), around.inside) for name in listed]
        return min((s or NO_SAMPLE for s in samples), key=lambda s: (s.is_unusable, s), default=None)

    def _tell_problem(self, number: int, problem: str) -> None:
        column = _ABOUT.get(problem, "value")
        self.findings.append((number, column, problem, "info" if problem == "value_cleaned" else "error"))

    def _list_positive(self, meaning: Meaning, part: Measured) -> list[tuple[str, str | None]]:
        """(component, result) of the condition that a list of positive conditions names."""
        condition = next(iter(list_codes(part.value_codeable_concept)), None)
        if not condition or condition in self.tables["nothing"]["codes"]:
            return []
        component = self.tables["conditions"].get(condition, f"{meaning.component}:{condition}"[:80])
        return [(component, self.tables["positive"][meaning.component])]

    def _read_value(self, number: int, part: Measured, meaning: Meaning, status: str | None) -> Value:
        """A number is judged by the protocol, an answer decides; the sender's interpretation of a number is kept beside it."""
        if meaning.kind == "unknown" or (meaning.kind == "result" and has_two_values(part)):
            return read_measure(part)._replace(problem="component_unknown" if meaning.kind == "unknown" else "values_contradict")
        if meaning.kind != "result":
            return Value(result_code="unsatisfactory" if meaning.kind == "spoiled" else None)
        opinion = find_opinion(part.interpretation)
        if opinion == CONTRADICTORY:
            self.findings.append((number, "result_code", "result_code_contradictory", "warning"))
            opinion = None
        if part.value_quantity is not None or part.value_integer is not NONE:
            value = read_measure(part)
            return value._replace(result_code=opinion) if opinion else value
        answer = read_answer(part)
        if answer == "?" and part.value_string is not None:
            comparator, text, is_cleaned = clean_number(part.value_string, "^")
            if text is not None:
                return Value(text, comparator, None, opinion, "value_cleaned" if is_cleaned else None)
            answer = None if meaning.is_number else answer
        if answer is not None:
            self._check_flag(number, answer, part.interpretation)
            return Value(result_code=answer or None, problem="result_code_contradictory" if answer == CONTRADICTORY else None)
        return self._read_absence(part, opinion, status)

    def _read_absence(self, part: Measured, opinion: str | None, status: str | None) -> Value:
        """Why there is no value that can be read."""
        if part.value_string:
            return Value(problem="value_not_numeric")
        if has_other_value(part):
            return Value(problem="value_kind_unsupported")
        if opinion or status == "cancelled":
            return Value(result_code=opinion)
        absent = read_reason(part.data_absent_reason)
        if absent is None or absent == "none":
            if status == "preliminary":
                return Value(result_code="pending")
            return Value(problem="result_absent" if absent else None)
        return Value(result_code=absent)

    def _check_flag(self, number: int, answer: str, interpretation: list[Concept]) -> None:
        if interpretation and answer in ("in_range", "pass", "out_of_range", "refer"):
            flags = self.tables["normal"]
            against = flags["abnormal"] if answer in ("in_range", "pass") else flags["codes"]
            if any(code in against for said in interpretation for code in list_codes(said)):
                self.findings.append((number, "result_code", "flag_disagrees", "warning"))

    def _is_comment(self, meaning: Meaning, part: Measured) -> bool:
        """A text beside the results of a report that is neither a number nor an answer."""
        text = part.value_string
        if text is None or meaning.kind != "result" or meaning.is_known:
            return False
        return text.strip().casefold() not in self.tables["answers"] and clean_number(text, "^")[1] is None

    def _tell_context(self, number: int, seen: Observation, inside: Inside) -> bool:
        """Tell what of a context is on no list, or contradicts another; whether it says that the specimen is unusable.

        That is a result of both mandatory analytes; all else was told in the first pass.
        """
        context = read_context(seen)
        self.findings += [(number, told.about, told.problem, "warning") for told in context if told.problem]
        if any(told.text for told in context):
            person, _ = self.find_person(seen.subject, inside)
            known = self.list_told(seen.subject, person, read_day(seen)[0])
            self.findings += [(number, told.column, f"{told.column}_contradictory", "warning") for told in context
                              if told.text and known.get(told.column) == CONTRADICTORY]  # fmt: skip
        return any(told.text == UNSATISFACTORY for told in context)

    def _take_panel(self, number: int, seen: Observation, inside: Inside) -> None:
        """A panel is no result: its members are, each for itself."""
        self.counted["Observation (panel)"] += 1
        members = [m.reference for m in seen.has_member if m.reference] if self.index.is_bundle else []
        if not all(self._is_here(m, inside) for m in members):
            self.findings.append((number, None, "member_absent", "warning"))

    def _repeat(self, source: str | None, component: str, entry: int, named: tuple[str | None, int]) -> str | None:
        """In one message a second result of a kind is a record of its own; one told twice is the same.

        `entry`: where its id is its own, the number of the entry: there only a second one of the same entry is; else 0.
        `named`: the id of its resource, and which result of its kind in it this is.
        """
        if source is None:
            return source
        told = (source, component, entry, named)
        if named[0] is None or told not in self.named:
            self.seen[source, component, entry] += 1
            self.named[told] = self.seen[source, component, entry]
        again = self.named[told]
        return source if again == 1 else f"{source}#{again}"
