"""One ORU message: who, which orders, and its results as rows of a sheet."""

from collections.abc import Sequence

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
from pipelines.intake.hl7.context import UNSATISFACTORY, is_nothing, list_texts
from pipelines.intake.hl7.fields import Marks, pick, unescape
from pipelines.intake.hl7.groups import NO_SUB_ID
from pipelines.intake.hl7.result import Results
from pipelines.intake.hl7.samples import (
    COLLECTED_AT,
    COLLECTED_ON,
    QUALITY,
    SPECIMEN,
    SPECIMEN_CARD,
    UNSAID,
    Sample,
    Samples,
)
from pipelines.intake.hl7.sheet import ROW, Sheet
from pipelines.intake.hl7.terms import Terms

_PAD = [""] * 40
_COMPONENT, _RESULT_CODE, _VALUE = (ROW.index(name) for name in ("component", "result_code", "value"))


class Message(Results):
    """Reads the segments of one message into a sheet."""

    def __init__(self, terms: Terms, head: list[str], sheet: Sheet) -> None:
        super().__init__(terms, sheet)
        self.is_result = pick(self.marks, head[8], 0) in self.tables["types"]
        self.sender = name_sender(self.marks, head)
        self.control_id, self.issued_at = unescape(self.marks, head[9]).strip(), self.terms.read_issued(head[6])[1]
        self.facility: str | None = None
        self.parents: dict[str, dict[str, str | None]] = {}
        self.child_key: tuple[str, str] | None = None
        self.child_line = 1
        self.problem: str | None = None
        self.withdrawn: list[tuple[int, list[str]]] = []
        self._begin_child({})

    def read(self, segments: list[str], numbers: Sequence[int]) -> bool:
        """Read all segments; those that tell nothing about a result stay in the archive only. True when there were results.

        `problem` then says why a message must be refused whole, whatever it holds.
        """
        field = self.marks.field
        for place, (number, text) in enumerate(zip(numbers, segments, strict=True)):
            match text[:3]:
                case "OBX":
                    self.take_result(number, text)
                case "OBR":
                    self._take_order(number, fields := text.split(field, 30))
                    if self.order_status == "cancelled":
                        self.withdrawn.append((place, [self.source, *(name for at in (2, 3) if (name := pick(self.marks, fields[at], 0)))]))
                case "PID":
                    self._take_child(number, text.split(field, 31))
                case "NK1":
                    self._take_mother(number, text.split(field, 34))
                case "ORC":
                    self._take_organisation(text.split(field, 22))
                case "SPM":
                    self._take_specimen(number, text, text.split(field, 25))
        if self.late_mother:
            self._join_mother(self.late_mother)
        self._finish_child()
        self.name_rows()
        self._refuse_withdrawn(segments, numbers)
        return self.problem is None and len(self.sheet.rows) > self.begun

    def _refuse_withdrawn(self, segments: list[str], numbers: Sequence[int]) -> None:
        """A cancelled order that neither has a result nor is the parent of one says nothing of those it had: they stand, and that is told."""
        if not self.withdrawn:
            return
        orders = [[*text.split(self.marks.field, 30), *_PAD] for text in segments if text.startswith("OBR")]
        named = {claim.source for claim in self.claims} | {pick(self.marks, fields[29], part) for fields in orders for part in (0, 1)}
        for place, names in self.withdrawn:
            if named.isdisjoint(names):
                self.sheet.refuse(numbers[place], segments[place], "message_withdraws_nothing", names[0], self.sender)

    def _begin_child(self, mother: Told) -> None:
        """Nothing is known yet of the child whose results follow, but perhaps its mother."""
        self.who: Told = {"sender_id": self.sender}
        self.facts: dict[str, str] | None = None
        self.mother, self.late_mother, self.is_repeated = mother, Told(), False
        self.first_remark = len(self.remarks)
        self.first_row, self.child_no = len(self.sheet.rows), len(self.sheet.children)
        self.told_row = self.first_row
        self.sheet.children.append(self.who)
        self.begin_order(self.control_id, {"issued_at": self.issued_at, "sent_at": self.issued_at}, "")

    def _finish_child(self) -> None:
        """A mother or facility told late is told of all results, and what is told of a sample of its results."""
        who = self.who
        who["facility_id"] = shorten(self.facility)
        who["maternity_id"] = who.get("maternity_id") or who["facility_id"] or self.sender
        if len({who.get("mother_iin"), self.mother.get("mother_iin")} - {None}) > 1:  # PID-21 and NK1-33
            self.sheet.findings.append((self.child_line, "mother_iin", "mother_iin_contradictory", "warning"))
            self.mother = {**self.mother, "mother_iin": None}
            who["mother_iin"] = None
        who.update({name: said for name, said in self.mother.items() if said})
        if any(one.column != QUALITY or one.text == UNSATISFACTORY for one in self.remarks[self.first_remark :]):
            self._settle_samples()

    def _settle_samples(self) -> None:
        """An unusable specimen spoils its results, and both mandatory analytes where the child has none of them."""
        rows, claims, base = self.sheet.rows, self.claims[self.first_row - self.begun :], self.who.copy()
        samples = Samples(claims, self.remarks[self.first_remark :])
        keys = [samples.find_key(claim) for claim in claims]
        told = {key: samples.describe(key) for key in dict.fromkeys(keys or [UNSAID])}
        child_nos = {key: self._tell_sample(base | one.told, is_own=place == 0) for place, (key, one) in enumerate(told.items())}
        for place, key in enumerate(keys, self.first_row):
            row, is_spoiled = rows[place], told[key].spoiled_by is not None
            if child_nos[key] != self.child_no or (is_spoiled and row[_VALUE]):
                said = "unsatisfactory" if is_spoiled and row[_VALUE] else row[_RESULT_CODE]
                rows[place] = (row[0], child_nos[key], *row[2:_RESULT_CODE], said, *row[_RESULT_CODE + 1 :])
        contradictions = sorted({found for one in told.values() for found in one.contradictions})
        self.sheet.findings += [(number, column, f"{column}_contradictory", "warning") for number, column in contradictions]
        self._spoil_absent(samples.describe_spoiled(told), base)

    def _spoil_absent(self, sample: Sample | None, base: Told) -> None:
        """Both mandatory analytes of an unusable specimen that has neither a result nor an answer for them."""
        absent = {"phe", "tsh"} - {row[_COMPONENT] for row in self.sheet.rows[self.first_row :]}
        if sample is None or sample.spoiled_by is None or not absent:
            return
        self.child_no, by = self._tell_sample(base | sample.told, is_own=len(self.sheet.rows) == self.first_row), sample.spoiled_by
        for component in sorted(absent):
            self.add(by.number, by.sent, ("blood_spot", component), NO_SUB_ID, "final", ("unsatisfactory", None, None, None))

    def _tell_sample(self, told: Told, is_own: bool) -> int:
        """The number of the child as told with a sample; that of the first sample is the child's own."""
        if is_own:
            self.who.update(told)
            return self.child_no
        self.sheet.children.append(told)
        return len(self.sheet.children) - 1

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
        self.child_key, self.child_fields, self.child_line = key, fields, number
        self.who |= read_child(self.terms, fields, number, self.sheet.findings)

    def _repeat_child(self, number: int, fields: list[str]) -> None:
        """Some repeat PID before every order; one that says anything else may speak of another child: nothing is guessed then."""
        if fields[2:] != self.child_fields[2:]:
            before, after = self.facts if self.facts is not None else list_facts(self.terms, self.child_fields), list_facts(self.terms, fields)
            if not is_same_child(before, after):
                self.problem = "message_patient_repeated"
            self.facts, self.child_fields = before | after, fields
            said = read_child(self.terms, fields, number, self.sheet.findings)
            self.who |= {name: text for name, text in said.items() if text and not self.who.get(name)}
        self._join_mother(self.late_mother)
        self.late_mother, self.told_row, self.is_repeated = {}, len(self.sheet.rows), True

    def _take_mother(self, number: int, fields: list[str]) -> None:
        mother = read_mother(self.terms, fields + _PAD[len(fields) : NK1_FIELDS], number, self.sheet.findings)
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
        day, moment = self.terms.read_time(fields[17])
        self.remark(SPECIMEN, fields[2] or fields[17], number, text)
        self.remark(SPECIMEN_CARD, pick(self.marks, fields[2], 0), number, text)
        self.remark(COLLECTED_ON, day, number, text)
        self.remark(COLLECTED_AT, moment, number, text)
        if any(not is_nothing(self.terms, said) for said in list_texts(self.marks, fields[21])):  # a reason for rejecting it, table 0490
            self.remark(QUALITY, UNSATISFACTORY, number, text)

    def _take_order(self, number: int, fields: list[str]) -> None:
        """An order without a time of its own has that of its parent; of one that names none, that of the order before it."""
        fields += _PAD[len(fields) : 31]
        placer, filler = pick(self.marks, fields[2], 0), pick(self.marks, fields[3], 0)
        day, moment = self.terms.read_time(fields[7])
        if fields[7] and not day:
            self.sheet.findings.append((number, "examined_on", "examined_on_unreadable", "warning"))
        reported_on, issued_at = self.terms.read_issued(fields[22], self.issued_at)
        is_child = bool(pick(self.marks, fields[26], 0) or pick(self.marks, fields[29], 0) or pick(self.marks, fields[29], 1))
        parent = (self._find_parent(fields[29]) or self.find_order(fields[26]) or {}) if is_child else self.order
        told = {
            "issued_at": issued_at or parent.get("issued_at", self.issued_at), "sent_at": self.issued_at, "reported_on": reported_on,
            "ordered_on": day or parent.get("ordered_on"), "ordered_at": moment if day else parent.get("ordered_at"),
        }  # fmt: skip
        self.begin_order(filler or placer or self.source, told, fields[25])
        self.parents.update({name: told for name in (placer, filler) if name})

    def _find_parent(self, field: str) -> dict[str, str | None] | None:
        """OBR-29: the parent's placer number, then its filler number."""
        named = (pick(self.marks, field, place) for place in (1, 0)) if field else ()
        return next((self.parents[name] for name in named if name and name in self.parents), None)


def name_sender(marks: Marks, head: list[str]) -> str | None:
    """The facility that sends a message (MSH-4), else its application (MSH-3)."""
    name, universal = pick(marks, head[3], 0), pick(marks, head[3], 1)
    return shorten(name) or universal or pick(marks, head[2], 0)
