"""One ORU message: who, which orders, and its results as rows of a sheet."""

from collections.abc import Iterable

from pipelines.intake.hl7.child import (
    NK1_FIELDS,
    PID_FIELDS,
    Told,
    is_same_child,
    is_same_mother,
    list_facts,
    name_child,
    read_child,
    read_mother,
    shorten,
)
from pipelines.intake.hl7.fields import Marks, pick, unescape
from pipelines.intake.hl7.sheet import ROW, Sheet
from pipelines.intake.hl7.terms import Term, Terms

Said = tuple[str | None, str | None, str | None, str | None]
"""result_code, value, comparator, unit."""
_NOTHING: Said = (None, None, None, None)
_LONGEST_CARD, _LONGEST_COMPONENT = 60, 80
_PAD = [""] * 40
_SOURCE, _COMPONENT, _RESULT_CODE, _VALUE = (ROW.index(name) for name in ("source_id", "component", "result_code", "value"))
_BY_SUB_ID, _SECOND = -1, 2


class Message:
    """Reads the segments of one message into a sheet."""

    def __init__(self, terms: Terms, head: list[str], sheet: Sheet) -> None:
        self.terms, self.marks, self.tables, self.sheet = terms, terms.marks, terms.tables, sheet
        self.is_result = pick(self.marks, head[8], 0) in self.tables["types"]
        self.sender = name_sender(self.marks, head)
        self.control_id, self.issued_at = unescape(self.marks, head[9]).strip(), self.terms.read_time(head[6])[1]
        self.facility: str | None = None
        self.seen: dict[str, dict[tuple[str, str], int]] = {}
        self.next_no: dict[tuple[str, str], int] = {}
        self.parents: dict[str, dict[str, str | None]] = {}
        self.child_key: tuple[str, str] | None = None
        self.problem: str | None = None
        self._begin_child({})

    def read(self, segments: list[str], numbers: Iterable[int]) -> bool:
        """Read all segments; those that tell nothing about a result stay in the archive only. True when there were results.

        `problem` then says why a message must be refused whole, whatever it holds.
        """
        field, begun = self.marks.field, len(self.sheet.rows)
        for number, text in zip(numbers, segments, strict=True):
            match text[:3]:
                case "OBX":
                    self._take_result(number, text)
                case "OBR":
                    self._take_order(number, text.split(field, 30))
                case "PID":
                    self._take_child(number, text.split(field, 31))
                case "NK1":
                    self._take_mother(text.split(field, 34))
                case "ORC":
                    self._take_organisation(text.split(field, 22))
                case "SPM":
                    self._take_specimen(number, text, text.split(field, 25))
        self._join_mother(self.late_mother)
        self._finish_child()
        return self.problem is None and len(self.sheet.rows) > begun

    def _begin_child(self, mother: Told) -> None:
        """Nothing is known yet of the child whose results follow, but perhaps its mother."""
        self.who: Told = {"sender_id": self.sender}
        self.facts: dict[str, str] = {}
        self.mother, self.late_mother, self.is_repeated = mother, Told(), False
        self.quality: tuple[int, str] | None = None
        self.first_row, self.child_no = len(self.sheet.rows), len(self.sheet.children)
        self.told_row = self.first_row
        self.sheet.children.append(self.who)
        self._begin_order(self.control_id, {"issued_at": self.issued_at, "sent_at": self.issued_at}, "")

    def _finish_child(self) -> None:
        """An unusable specimen spoils both mandatory analytes; a mother or facility told late is told of all results."""
        rows, who = self.sheet.rows, self.who
        if self.quality:
            for place in range(self.first_row, len(rows)):
                if rows[place][_VALUE]:
                    rows[place] = (*rows[place][:_RESULT_CODE], "unsatisfactory", *rows[place][_RESULT_CODE + 1 :])
            present = {row[_COMPONENT] for row in rows[self.first_row :]}
            for component in ("phe", "tsh"):
                if component not in present:
                    self._add(*self.quality, ("blood_spot", component), "", "final", ("unsatisfactory", None, None, None))
        who["facility_id"] = shorten(self.facility)
        who["maternity_id"] = who.get("maternity_id") or who["facility_id"] or self.sender
        who.update({name: said for name, said in self.mother.items() if said})

    def _take_child(self, number: int, fields: list[str]) -> None:
        fields += _PAD[len(fields) : PID_FIELDS]
        key = name_child(fields)
        if self.child_key == key:
            self._repeat_child(number, fields)
            return
        if self.child_key is not None:  # a second child in one message has results of its own
            next_mother, self.late_mother = self.late_mother, {}
            self._finish_child()
            self._begin_child(next_mother)
        self.child_key, self.child_fields = key, fields
        self.who |= read_child(self.terms, fields, number, self.sheet.findings)

    def _repeat_child(self, number: int, fields: list[str]) -> None:
        """Some repeat PID before every order; one that says anything else may speak of another child: nothing is guessed then."""
        if fields[2:] != self.child_fields[2:]:
            before, after = self.facts or list_facts(self.terms, self.child_fields), list_facts(self.terms, fields)
            if not is_same_child(before, after):
                self.problem = "message_patient_repeated"
            self.facts, self.child_fields = before | after, fields
            said = read_child(self.terms, fields, number, self.sheet.findings)
            self.who |= {name: text for name, text in said.items() if text and not self.who.get(name)}
        self._join_mother(self.late_mother)
        self.late_mother, self.told_row, self.is_repeated = {}, len(self.sheet.rows), True

    def _take_mother(self, fields: list[str]) -> None:
        mother = read_mother(self.terms, fields + _PAD[len(fields) : NK1_FIELDS])
        if mother is None:
            return
        if len(self.sheet.rows) > self.told_row:  # after results she may be the mother of the next child
            self.late_mother = mother
        elif self.is_repeated:
            self._join_mother(mother)
        else:
            self.mother = mother

    def _join_mother(self, mother: Told) -> None:
        """What is told once more of the mother of a child; another mother is another child's."""
        if not is_same_mother(self.mother, mother):
            self.problem = "message_patient_repeated"
        self.mother = self.mother | {name: said for name, said in mother.items() if said}

    def _take_organisation(self, fields: list[str]) -> None:
        if len(fields) > 21 and fields[21]:
            self.facility = pick(self.marks, fields[21], 9) or pick(self.marks, fields[21], 0) or self.facility

    def _take_specimen(self, number: int, text: str, fields: list[str]) -> None:
        fields += _PAD[len(fields) : 25]
        self.who.setdefault("card_no", pick(self.marks, fields[2], 0))
        day, moment = self.terms.read_time(fields[17])
        self.who.setdefault("collected_on", day)
        self.who.setdefault("collected_at", moment)
        if pick(self.marks, fields[21], 0):  # a reason for rejecting it, HL7 table 0490
            self.quality = number, text

    def _begin_order(self, source: str, told: dict[str, str | None], status: str) -> None:
        self.source, self.order, self.order_status = source, told, self.tables["order_statuses"].get(status, status) or "final"
        self.used = self.seen.setdefault(source, {})
        self.order_no = len(self.sheet.orders)
        self.sheet.orders.append(told)

    def _take_order(self, number: int, fields: list[str]) -> None:
        """An order without a time of its own has that of its parent (OBR-29), else of the order before it."""
        fields += _PAD[len(fields) : 31]
        placer, filler = pick(self.marks, fields[2], 0), pick(self.marks, fields[3], 0)
        day, moment = self.terms.read_time(fields[7])
        if fields[7] and not day:
            self.sheet.findings.append((number, "examined_on", "examined_on_unreadable", "warning"))
        reported_on, issued_at = self.terms.read_time(fields[22])
        parent = self._find_parent(fields[29]) or self.order
        told = {
            "issued_at": issued_at or parent["issued_at"], "sent_at": self.issued_at, "reported_on": reported_on,
            "ordered_on": day or parent.get("ordered_on"), "ordered_at": moment if day else parent.get("ordered_at"),
        }  # fmt: skip
        self._begin_order(filler or placer or self.source, told, fields[25])
        self.parents.update({name: told for name in (placer, filler) if name})

    def _find_parent(self, field: str) -> dict[str, str | None] | None:
        """OBR-29: the parent's placer number, then its filler number."""
        named = (pick(self.marks, field, place) for place in (1, 0)) if field else ()
        return next((self.parents[name] for name in named if name and name in self.parents), None)

    def _take_result(self, number: int, text: str) -> None:
        fields = text.split(self.marks.field, 15)
        if len(fields) < 15:
            fields += _PAD[len(fields) : 15]
        plan = self.terms.plan_number(fields[2], fields[3], fields[6], fields[11])
        if plan is not None and self.order_status != "cancelled":
            read = self.terms.read_answer(fields[5])
            if read.value is not None and not read.is_cleaned:
                said = (None, read.value, read.comparator, plan[3])
                self._add(number, text, plan[:2], self.terms.name_instance(fields[4]), plan[2], said, self.terms.read_time(fields[14]))
                return
        self._take_other(number, text, fields)

    def _take_other(self, number: int, text: str, fields: list[str]) -> None:
        """A result that is not simply a number, or no result to us."""
        term = self.terms.read_term(fields[3])
        if term.is_loinc_broken:
            self.sheet.findings.append((number, "component", "component_checksum", "warning"))
        if term.context:
            self._take_context(term.context, number, text, fields[5])
            return
        status = self._read_status(number, fields[11], term)
        when = self.terms.read_time(fields[14])
        if status is None or (fields[2] in self.tables["texts"] and not term.is_number and not term.positive):
            return
        if term.positive:
            condition = pick(self.marks, fields[5], 0)
            if condition and condition not in self.tables["nothing"]["codes"]:
                component = self.tables["conditions"].get(condition, f"{term.code}:{condition}"[:_LONGEST_COMPONENT])
                said = (term.positive, None, None, None)
                self._add(number, text, (term.what[0], component), "", status, said, when)
            return
        said_here = self._read_observation(number, fields, term, status)
        if said_here is not None:
            self._add(number, text, term.what, self.terms.name_instance(fields[4]), status, said_here, when)

    def _read_status(self, number: int, said: str, term: Term) -> str | None:
        """OBX-11, else what the order says; None for a question asked with the order, which is no result."""
        if not said:
            return self.order_status
        if said in self.tables["asked"] and not term.is_known:
            return None
        status = str(self.tables["statuses"].get(said, said))  # an unknown one is refused by the contract
        if self.order_status == "cancelled" and status != "cancelled":
            self.sheet.findings.append((number, "status_code", "status_disagrees", "warning"))
        return status

    def _read_observation(self, number: int, fields: list[str], term: Term, status: str) -> Said | None:
        """A coded answer, else a number, else what is told of a number that is none; None for what is no result to us."""
        answer = fields[5]
        if answer in ("", '""'):
            is_due = term.is_known or status == "cancelled"
            return ("pending" if status != "cancelled" else None, None, None, None) if is_due else None
        read = self.terms.read_answer(answer)
        if read.result_code:
            self._check_flag(number, read.result_code, fields[8])
            return read.result_code, None, None, None
        if status == "cancelled":
            return _NOTHING
        if read.value is not None:
            if read.is_cleaned:
                self.sheet.findings.append((number, "value", "value_cleaned", "info"))
            return None, read.value, read.comparator, self.terms.read_unit(fields[6])
        if term.is_number or fields[2] in ("NM", "SN"):
            self.sheet.findings.append((number, "value", "value_not_numeric", "error"))
            return _NOTHING
        return (read.first or "?", None, None, None) if term.is_known or term.is_interpretation else None

    def _take_context(self, told: str, number: int, text: str, answer: str) -> None:
        code = pick(self.marks, answer, 0) or ""
        match told:
            case "quality" if code and code not in self.tables["nothing"]["codes"]:
                self.quality = number, text
            case "reason":
                self.who["stage_code"] = self.tables["stages"].get(code.casefold())
            case "factors" if code in self.tables["factors"]["transfused"]:
                self.who["is_transfused"] = "true"
            case "gestation":
                weeks = self.terms.read_answer(code).value
                self.who["gestation_wk"] = weeks.split(".")[0] if weeks else None
            case "card":
                self.who["card_no"] = code[:_LONGEST_CARD] or None

    def _check_flag(self, number: int, result: str, flag: str) -> None:
        flags = self.tables["flags"]
        is_normal, is_abnormal = result in ("in_range", "pass"), result in ("out_of_range", "refer")
        if (is_normal and flag in flags["abnormal"]) or (is_abnormal and flag in flags["normal"]):
            self.sheet.findings.append((number, "result_code", "flag_disagrees", "warning"))

    def _add(
        self, number: int, text: str, what: tuple[str, str], instance: str, status: str, said: Said,
        when: tuple[str | None, str | None] = (None, None),
    ) -> None:  # fmt: skip
        """A row of ROW; of several answers to one code under one order, that of sub-id 2 is `#2`, whatever else was sent."""
        key = what[1], instance
        if key in self.used:
            instance = self._name_again(*key)
        else:
            self.used[key] = _BY_SUB_ID
        source = f"{self.source}#{instance}" if instance else self.source
        self.sheet.rows.append((number, self.child_no, self.order_no, source, *what, status, *said, *when, text))

    def _name_again(self, component: str, instance: str) -> str:
        """The name of an answer whose own one is taken: the next free number, unless who took it had no right to it by sub-id."""
        holder = self.used[component, instance]
        if holder == _BY_SUB_ID:
            return self._take_number(component, len(self.sheet.rows))
        row = self.sheet.rows[holder]
        self.sheet.rows[holder] = (*row[:_SOURCE], f"{self.source}#{self._take_number(component, holder)}", *row[_SOURCE + 1 :])
        self.used[component, instance] = _BY_SUB_ID
        return instance

    def _take_number(self, component: str, row: int) -> str:
        """The next free number of a component, for a row; a number is looked at once."""
        number = self.next_no.get((self.source, component), _SECOND)
        while (component, str(number)) in self.used:
            number += 1
        self.next_no[self.source, component] = number + 1
        self.used[component, str(number)] = row
        return str(number)


def name_sender(marks: Marks, head: list[str]) -> str | None:
    """The facility that sends a message (MSH-4), else its application (MSH-3)."""
    name, universal = pick(marks, head[3], 0), pick(marks, head[3], 1)
    return shorten(name) or universal or pick(marks, head[2], 0)
