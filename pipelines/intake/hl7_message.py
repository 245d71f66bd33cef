"""One ORU message: who, which orders, and its results as rows of a sheet."""

from collections.abc import Iterable
from typing import Any

from pipelines.intake.hl7_fields import pick, read_time
from pipelines.intake.hl7_terms import Terms

CHILD = (
    "sender_id", "child_iin", "mother_iin", "birth_on", "birth_order", "sex_code", "maternity_id", "history_no", "card_no",
    "family_name", "given_name", "mother_family_name", "mother_given_name", "facility_id", "stage_code", "gestation_wk",
    "is_transfused", "collected_on", "collected_at",
)  # fmt: skip
"""What is told of a child and its specimen: on every result of its group."""
ORDER = ("issued_at", "reported_on", "ordered_on", "ordered_at")
ROW = (
    "row_no", "child_no", "order_no", "source_id", "programme", "component", "action_code", "status_code", "result_code",
    "value", "comparator", "unit", "said_on", "said_at", "sent",
)  # fmt: skip
"""What a result says itself; child_no and order_no are places in the sheet's lists."""

Found = tuple[int | None, str | None, str, str]
_LONGEST_ID, _LONGEST_CARD, _LONGEST_COMPONENT = 40, 60, 80
_IIN_DIGITS = 12
_NATIONAL, _LOCAL = ("NI", "NNKAZ"), ("MR", "MRN", "PI", None)
_SEXES = {"M": "male", "F": "female"}
_PAD = [""] * 40
_COMPONENT, _RESULT_CODE, _VALUE = ROW.index("component"), ROW.index("result_code"), ROW.index("value")


class Sheet:
    """Rows (tuples of ROW), what they point to, and findings, of many messages."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self.children: list[dict[str, str | None]] = []
        self.orders: list[dict[str, str | None]] = []
        self.findings: list[Found] = []

    def refuse(self, line_no: int, text: str, code: str, source_id: str | None = None) -> None:
        """A message that gives no result is one row, refused: it is counted, kept and told like any other."""
        self.children.append({})
        self.orders.append({})
        empty = [None] * (len(ROW) - 5)
        sent = text.replace("\r", "\n")
        self.rows.append((line_no, len(self.children) - 1, len(self.orders) - 1, source_id, *empty, sent))
        self.findings.append((line_no, None, code, "error"))


class Message:
    """Reads the segments of one message into a sheet."""

    def __init__(self, terms: Terms, head: list[str], sheet: Sheet) -> None:
        self.terms, self.marks, self.tables, self.sheet = terms, terms.marks, terms.tables, sheet
        self.is_result = pick(self.marks, head[8], 0) in self.tables["types"]
        name, universal = pick(self.marks, head[3], 0), pick(self.marks, head[3], 1)
        self.sender = name if name and len(name) <= _LONGEST_ID else universal or pick(self.marks, head[2], 0)
        self.control_id, self.issued_at = head[9], read_time(head[6])[1]
        self.facility: str | None = None
        self.seen: dict[str, set[tuple[str, int]]] = {}
        self.parents: dict[str, dict[str, str | None]] = {}
        self.child_key: tuple[str, str] | None = None
        self._begin_child({})

    def read(self, segments: list[str], numbers: Iterable[int]) -> bool:
        """Read all segments; those that tell nothing about a result stay in the archive only. True when there were results."""
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
        self._finish_child()
        return len(self.sheet.rows) > begun

    def _begin_child(self, mother: dict[str, str | None]) -> None:
        """Nothing is known yet of the child whose results follow, but perhaps its mother."""
        self.who: dict[str, str | None] = {"sender_id": self.sender}
        self.mother, self.late_mother = mother, dict[str, str | None]()
        self.quality: tuple[int, str] | None = None
        self.first_row, self.child_no = len(self.sheet.rows), len(self.sheet.children)
        self.sheet.children.append(self.who)
        self._begin_order(self.control_id, {"issued_at": self.issued_at}, "")

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
                    self._add(*self.quality, "blood_spot", component, 1, "final", "unsatisfactory")
        who["facility_id"] = _short(self.facility)
        who["maternity_id"] = who.get("maternity_id") or who["facility_id"] or self.sender
        who.update({name: said for name, said in (self.mother or self.late_mother).items() if said})

    def _take_child(self, number: int, fields: list[str]) -> None:
        fields += _PAD[len(fields) : 31]
        key = fields[3], fields[25]
        if self.child_key == key:  # some repeat PID before every order
            return
        if self.child_key is not None:  # a second child in one message has results of its own
            next_mother, self.late_mother = self.late_mother, {}
            self._finish_child()
            self._begin_child(next_mother)
        self.child_key = key
        marks, who = self.marks, self.who
        for identifier in fields[3].split(marks.repeat):
            digits, kind = pick(marks, identifier, 0), pick(marks, identifier, 4)
            if digits and kind in _NATIONAL:
                if len(digits) == _IIN_DIGITS:
                    who["child_iin"] = digits
                else:
                    self.sheet.findings.append((number, "child_iin", "child_iin_malformed", "warning"))
            elif digits and kind in _LOCAL and "history_no" not in who:
                who["history_no"], who["maternity_id"] = digits, _short(pick(marks, identifier, 3))
        who["family_name"], who["given_name"] = pick(marks, fields[5], 0), pick(marks, fields[5], 1)
        who["mother_family_name"] = pick(marks, fields[6], 0)
        who["birth_on"] = read_time(fields[7])[0]
        if fields[7] and not who["birth_on"]:
            self.sheet.findings.append((number, "birth_on", "birth_on_unreadable", "warning"))
        sex = pick(marks, fields[8], 0)
        who["sex_code"] = _SEXES.get(sex.upper(), "unknown") if sex else None
        who["birth_order"] = fields[25] or None

    def _take_mother(self, fields: list[str]) -> None:
        fields += _PAD[len(fields) : 34]
        marks = self.marks
        if pick(marks, fields[3], 0) != "MTH":
            return
        mother = {"mother_family_name": pick(marks, fields[2], 0), "mother_given_name": pick(marks, fields[2], 1)}
        for identifier in fields[33].split(marks.repeat) if fields[33] else ():
            digits = pick(marks, identifier, 0)
            if digits and pick(marks, identifier, 4) in _NATIONAL:
                mother["mother_iin"] = digits
        if len(self.sheet.rows) > self.first_row:  # after results she may be the mother of the next child
            self.late_mother = mother
        else:
            self.mother = mother

    def _take_organisation(self, fields: list[str]) -> None:
        if len(fields) > 21 and fields[21]:
            self.facility = pick(self.marks, fields[21], 9) or pick(self.marks, fields[21], 0) or self.facility

    def _take_specimen(self, number: int, text: str, fields: list[str]) -> None:
        fields += _PAD[len(fields) : 25]
        self.who.setdefault("card_no", pick(self.marks, fields[2], 0))
        day, moment = read_time(pick(self.marks, fields[17], 0) or "")
        self.who.setdefault("collected_on", day)
        self.who.setdefault("collected_at", moment)
        if pick(self.marks, fields[21], 0):  # a reason for rejecting it, HL7 table 0490
            self.quality = number, text

    def _begin_order(self, source: str, told: dict[str, str | None], status: str) -> None:
        self.source, self.order, self.status = source, told, status
        self.used = self.seen.setdefault(source, set())
        self.order_no = len(self.sheet.orders)
        self.sheet.orders.append(told)

    def _take_order(self, number: int, fields: list[str]) -> None:
        """An order without a time of its own has that of its parent (OBR-29), else of the order before it."""
        fields += _PAD[len(fields) : 31]
        placer, filler = pick(self.marks, fields[2], 0), pick(self.marks, fields[3], 0)
        day, moment = read_time(fields[7])
        if fields[7] and not day:
            self.sheet.findings.append((number, "examined_on", "examined_on_unreadable", "warning"))
        reported_on, issued_at = read_time(fields[22])
        parent = self._find_parent(fields[29]) or self.order
        told = {
            "issued_at": issued_at or parent["issued_at"], "reported_on": reported_on,
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
        kind, answer, sub_id = fields[2], fields[5], fields[4]
        term = self.terms.read_term(fields[3])
        if term.is_loinc_broken:
            self.sheet.findings.append((number, "component", "component_checksum", "warning"))
        if term.context:
            self._take_context(term.context, number, text, answer)
            return
        said_status = fields[11] or self.status or "F"
        if said_status in self.tables["asked"] and not term.is_known:
            return
        status = self.tables["statuses"].get(said_status, said_status)  # an unknown one is refused by the contract
        when = read_time(fields[14])
        if term.positive:
            condition = pick(self.marks, answer, 0)
            if condition and condition not in self.tables["nothing"]["codes"]:
                component = self.tables["conditions"].get(condition, f"{term.code}:{condition}"[:_LONGEST_COMPONENT])
                self._add(number, text, term.programme, component, 1, status, term.positive, when=when)
            return
        if kind in self.tables["texts"] and not term.is_number:
            return
        instance = 1 if sub_id in ("", "1", fields[1]) else self.terms.number_instance(sub_id)
        if not answer or answer == '""':
            if term.is_known or status == "cancelled":
                result = None if status == "cancelled" else "pending"
                self._add(number, text, term.programme, term.component, instance, status, result, when=when)
            return
        read = self.terms.read_answer(answer)
        if read.result_code:
            self._check_flag(number, read.result_code, fields[8])
            self._add(number, text, term.programme, term.component, instance, status, read.result_code, when=when)
        elif status == "cancelled":
            self._add(number, text, term.programme, term.component, instance, status, None, when=when)
        elif read.value is not None:
            number_said = read.value, read.comparator, self.terms.read_unit(fields[6])
            self._add(number, text, term.programme, term.component, instance, status, None, number_said, when)
            if read.is_cleaned:
                self.sheet.findings.append((number, "value", "value_cleaned", "info"))
        elif term.is_number or kind in ("NM", "SN"):
            self._add(number, text, term.programme, term.component, instance, status, None, when=when)
            self.sheet.findings.append((number, "value", "value_not_numeric", "error"))
        elif term.is_known or term.is_interpretation:
            self._add(number, text, term.programme, term.component, instance, status, read.first or "?", when=when)

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
        self, number: int, text: str, programme: str, component: str, instance: int, status: str, result: str | None,
        said: tuple[str | None, str | None, str | None] = (None, None, None),
        when: tuple[str | None, str | None] = (None, None),
    ) -> None:  # fmt: skip
        """A row of ROW; of several answers to one code under one order, the second is `#2`."""
        while (component, instance) in self.used:
            instance += 1
        self.used.add((component, instance))
        source = self.source if instance == 1 else f"{self.source}#{instance}"
        action = "correct" if status == "corrected" else "report"
        self.sheet.rows.append(
            (number, self.child_no, self.order_no, source, programme, component, action, status, result, *said, *when, text)
        )


def _short(text: str | None) -> str | None:
    return text if text and len(text) <= _LONGEST_ID else None
