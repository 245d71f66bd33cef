"""What an OBX says: a row of a sheet, something of all results of its child, or something that is left unread and told so."""

from pipelines.intake.hl7.child import Told
from pipelines.intake.hl7.context import is_nothing, list_texts, read_context
from pipelines.intake.hl7.fields import pick
from pipelines.intake.hl7.groups import NO_SUB_ID, Claim, SubId, head_list, name_answers
from pipelines.intake.hl7.samples import CARD, GESTATION, QUALITY, STAGE, TRANSFUSED, Remark
from pipelines.intake.hl7.sheet import ROW, Sheet
from pipelines.intake.hl7.terms import Answer, Term, Terms

Said = tuple[str | None, str | None, str | None, str | None]
"""result_code, value, comparator, unit."""
_NOTHING: Said = (None, None, None, None)
_EMPTY = ("", '""')
_LONGEST_COMPONENT, _MOST_CONDITIONS = 80, 500
_PAD = [""] * 15
_SOURCE, _ORDER = ROW.index("source_id"), ROW.index("order_no")
_COLUMNS = {"quality": QUALITY, "reason": STAGE, "factors": TRANSFUSED, "gestation": GESTATION, "card": CARD}


class Results:
    """Reads the results of one message into a sheet; whose they are and of which order is told by the segments between them."""

    def __init__(self, terms: Terms, sheet: Sheet) -> None:
        self.terms, self.marks, self.tables, self.sheet = terms, terms.marks, terms.tables, sheet
        self.begun = len(sheet.rows)
        self.claims: list[Claim] = []
        self.remarks: list[Remark] = []
        self.held: dict[tuple[str, str | None], set[int]] = {}
        self.held_count = 0
        self.left: set[str] = set()
        self.who: Told = {}
        self.child_no = 0

    def begin_order(self, source: str, told: Told, status: str) -> None:
        """The results that follow are of this order."""
        status = pick(self.marks, status, 0) or ""
        self.source, self.order, self.order_status = source, told, self.tables["order_statuses"].get(status, status) or "final"
        self.order_no = len(self.sheet.orders)
        self.sheet.orders.append(told)

    def find_order(self, field: str) -> Told | None:
        """What is told of the one order that holds a result as OBR-26 names it: its code in subcomponents, its sub-id."""
        marks = self.marks
        code, sub_id, *_ = [*field.split(marks.repeat, 1)[0].split(marks.component), ""]
        if not code:
            return None
        for claim in self.claims[self.held_count :]:
            for name in (claim.sub_id.alone, None):
                self.held.setdefault((claim.component, name), set()).add(claim.order_no)
        self.held_count = len(self.claims)
        component = self.terms.read_term(code.replace(marks.sub, marks.component)).what[1]
        name = self.terms.read_sub_id(sub_id.replace(marks.sub, marks.component)).alone if sub_id else None
        found = self.held.get((component, name), set())
        return self.sheet.orders[next(iter(found))] if len(found) == 1 else None

    def take_result(self, number: int, text: str) -> None:
        """An OBX of the current order."""
        fields = text.split(self.marks.field, 15)
        if len(fields) < 15:
            fields += _PAD[len(fields) : 15]
        terms = self.terms
        plan = terms.plan_number(fields[2], fields[3], fields[6], fields[11])
        if plan is not None and self.order_status != "cancelled":
            read = terms.read_answer(fields[5])
            if read.value is not None and not read.is_cleaned:
                said = ("unsatisfactory" if self._is_unusable(fields) else None, read.value, read.comparator, plan[2])
                self.add(number, text, plan[0], self._read_sub_id(fields), plan[1], said, self._read_when(number, fields))
                return
        self._take_other(number, text, fields)

    def _take_other(self, number: int, text: str, fields: list[str]) -> None:
        """A result that is not simply a number, or no result to us."""
        term = self.terms.read_term(fields[3])
        if term.is_loinc_broken:
            self.sheet.findings.append((number, "component", "component_checksum", "warning"))
        if term.context:
            self._take_context(term.context, number, text, fields)
            return
        status = self._read_status(number, fields[11], term)
        if status is None:
            return
        if term.positive:
            self._take_positive(number, text, fields, term, status)
            return
        said = self._read_observation(number, fields, term, status)
        if said is not None:
            if self._is_unusable(fields) and status != "cancelled" and said != _NOTHING:
                said = ("unsatisfactory", *said[1:])
            self.add(number, text, term.what, self._read_sub_id(fields), status, said, self._read_when(number, fields))

    def _take_positive(self, number: int, text: str, fields: list[str], term: Term, status: str) -> None:
        """A list of conditions: each is a disorder of its own."""
        listed = [texts for texts in list_texts(self.marks, fields[5]) if not is_nothing(self.terms, texts)]
        if status in ("corrected", "cancelled"):
            self.sheet.findings.append((number, "result_code", "condition_list_corrected", "warning"))
        when, said, of = self._read_when(number, fields), (term.positive, None, None, None), head_list(self._read_sub_id(fields))
        if len(listed) > _MOST_CONDITIONS:
            self.sheet.findings.append((number, "result_code", "message_too_large", "error"))
            self.add(number, text, term.what, of, status, _NOTHING, when)
            return
        for condition in dict.fromkeys(texts[0] for texts in listed):
            component = self.tables["conditions"].get(condition, f"{term.code}:{condition}"[:_LONGEST_COMPONENT])
            self.add(number, text, (term.what[0], component), of, status, said, when, term.code)

    def _read_status(self, number: int, said: str, term: Term) -> str | None:
        """OBX-11, else what the order says; None for a question asked with the order, which is no result."""
        said = pick(self.marks, said, 0) or ""
        if not said:
            return self.order_status
        if said in self.tables["asked"] and not term.is_known:
            return None
        status = str(self.tables["statuses"].get(said, said))  # an unknown one is refused by the contract
        if self.order_status == "cancelled" and status != "cancelled":
            self.sheet.findings.append((number, "status_code", "status_disagrees", "warning"))
        return status

    def _read_observation(self, number: int, fields: list[str], term: Term, status: str) -> Said | None:
        """A coded answer, else a number, else what is told of a number that is none; None for what is no result to us.

        OBX-2 is often wrong: what can be read is, whatever kind it says.
        """
        if term.is_of_two:
            return self._refuse(number, "component", "component_unknown")
        flags, is_text = self.terms.list_flags(fields[8]), self._is_text(fields[2])
        is_abnormal = not flags.isdisjoint(self.tables["flags"]["abnormal"])
        if fields[5] in _EMPTY:
            return self._read_empty(number, fields, term, status, is_abnormal)
        if is_text and term.is_comment:
            if is_abnormal:
                self._leave(number, fields)
            return None
        read, is_result = self.terms.read_answer(fields[5]), term.is_known or term.is_interpretation or is_abnormal
        if read.result_code:
            self._check_flag(number, read.result_code, flags)
            return read.result_code, None, None, None
        if status == "cancelled" and (term.is_known or not is_text):
            return _NOTHING
        return self._read_uncoded(number, fields, term, read, is_result)

    def _read_uncoded(self, number: int, fields: list[str], term: Term, read: Answer, is_result: bool) -> Said | None:
        """A number; or why there is none, of what is a result by its code, its label or its flag; or nothing, and that is told."""
        is_document = fields[2] in self.tables["documents"]
        if read.is_contradictory and (is_result or not self._is_text(fields[2])):
            return self._refuse(number, "result_code", "result_code_contradictory")
        if read.value is not None and not is_document:
            return self._read_number(number, fields, read)
        if term.is_number or fields[2] in ("NM", "SN"):
            return self._refuse(number, "value", "value_not_numeric")
        if is_result and not is_document:
            return (read.first or "?")[:_LONGEST_COMPONENT], None, None, None  # the contract refuses it
        self._leave(number, fields)
        return None

    def _read_empty(self, number: int, fields: list[str], term: Term, status: str, is_abnormal: bool) -> Said | None:
        """What an OBX without an answer says of a result that is due, or of one that is taken back."""
        if term.is_known or (status == "cancelled" and not self._is_text(fields[2])):
            return (None if status == "cancelled" else "pending"), None, None, None
        if is_abnormal:
            self._leave(number, fields)
        return None

    def _read_number(self, number: int, fields: list[str], read: Answer) -> Said:
        if read.is_cleaned:
            self.sheet.findings.append((number, "value", "value_cleaned", "info"))
        return None, read.value, read.comparator, self.terms.read_unit(fields[6])

    def _refuse(self, number: int, column: str, code: str) -> Said:
        self.sheet.findings.append((number, column, code, "error"))
        return _NOTHING

    def _leave(self, number: int, fields: list[str]) -> None:
        """An answer that nothing is known of is told at its OBX; of a text that goes on over several OBX, at the first."""
        is_text = fields[2] in self.tables["texts"]
        if not is_text or fields[3] not in self.left:
            self.sheet.findings.append((number, None, "answer_unread", "warning"))
        if is_text:
            self.left.add(fields[3])

    def _take_context(self, told: str, number: int, text: str, fields: list[str]) -> None:
        status = pick(self.marks, fields[11], 0)
        if told not in _COLUMNS or status in self.tables["withdrawn"]:
            return
        read, status = read_context(self.terms, told, fields[5], fields[6]), str(self.tables["statuses"].get(status, "final"))
        if read.problem:
            self.sheet.findings.append((number, *read.problem, "warning"))
        self.remark(_COLUMNS[told], read.text or "", number, text, self._read_sub_id(fields), status)

    def remark(
        self, column: str, said: str | None, number: int, text: str, sub_id: SubId = NO_SUB_ID, status: str = "final"
    ) -> None:  # fmt: skip
        """Keep what is told of a sample of the current order; a correction also where it says nothing."""
        if said or status == "corrected":
            self.remarks.append(Remark(column, said or "", number, text, Claim(self.order_no, self.source, column, column, sub_id, status)))

    def _is_unusable(self, fields: list[str]) -> bool:
        """True for a result whose flag (OBX-8) says that it cannot be used."""
        return bool(fields[8]) and not self.terms.list_flags(fields[8]).isdisjoint(self.tables["flags"]["unusable"])

    def _read_when(self, number: int, fields: list[str]) -> tuple[str | None, str | None]:
        """(day, moment) of OBX-14; where it cannot be read the result has that of its order, and that is told."""
        said = fields[14]
        day, moment = self.terms.read_time(said)
        if day is None and said not in _EMPTY:
            self.sheet.findings.append((number, "observed_on", "observed_on_unreadable", "warning"))
        return day, moment

    def _read_sub_id(self, fields: list[str]) -> SubId:
        return self.terms.read_sub_id(fields[4]) if fields[4] not in _EMPTY else NO_SUB_ID

    def _is_text(self, kind: str) -> bool:
        """True for the kinds of comments and reports, whose code tells whether they are a result."""
        return kind in self.tables["texts"] or kind in self.tables["documents"]

    def _check_flag(self, number: int, result: str, said: frozenset[str | None]) -> None:
        flags = self.tables["flags"]
        is_normal, is_abnormal = result in ("in_range", "pass"), result in ("out_of_range", "refer")
        if (is_normal and not said.isdisjoint(flags["abnormal"])) or (is_abnormal and not said.isdisjoint(flags["normal"])):
            self.sheet.findings.append((number, "result_code", "flag_disagrees", "warning"))

    def add(
        self, number: int, text: str, what: tuple[str, str], sub_id: SubId, status: str, said: Said,
        when: tuple[str | None, str | None] = (None, None), code: str | None = None,
    ) -> None:  # fmt: skip
        """A row of ROW; which of several answers to its code it is, is told when all are known (name_rows)."""
        self.claims.append(Claim(self.order_no, self.source, what[1], code or what[1], sub_id, status))
        self.sheet.rows.append((number, self.child_no, self.order_no, self.source, *what, status, *said, *when, text))

    def name_rows(self) -> None:
        """Give each row of the message the name of its record."""
        rows, named = self.sheet.rows, name_answers(self.claims, [one.claim for one in self.remarks])
        for place, name in named.names.items():
            row = rows[self.begun + place]
            rows[self.begun + place] = (*row[:_SOURCE], f"{row[_SOURCE]}#{name}", *row[_SOURCE + 1 :])
        for place in named.renewed:  # as a correction, it is issued when it is sent
            row = rows[self.begun + place]
            order = self.sheet.orders[row[_ORDER]]
            self.sheet.orders.append(order | {"issued_at": max(filter(None, (order["issued_at"], order["sent_at"])), default=None)})
            rows[self.begun + place] = (*row[:_ORDER], len(self.sheet.orders) - 1, *row[_ORDER + 1 :])
