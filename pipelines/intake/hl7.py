"""HL7 v2 ORU^R01, read as text: one row a result, the message around it as context; a plain splitter, fast enough for history.

What real messages are like is in INPUTS ("HL7 v2 newborn screening"): separators from MSH, codes in the alternate triplet,
flags that lie, impossible times. A bad value is a finding on its row; a message that gives nothing is one refused row.
"""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pipelines.contracts import ScreeningRecord
from pipelines.intake.csv import is_encoded
from pipelines.intake.hl7_fields import Marks, clean_number, is_loinc_whole, pick, read_marks, read_time, unescape
from pipelines.intake.layout import speak_ours
from pipelines.intake.reading import Chunk, FileRefusedError, Limits, Opened, list_findings

_TABLES = Path(__file__).parent / "layouts" / "hl7-oru.toml"
_MESSAGES_A_CHUNK = 5_000
_COLUMNS = [c for c in ScreeningRecord.column_names() if c not in {"submission_id", "row_no", "received_on"}]
_SCHEMA: dict[str, Any] = {"row_no": pl.Int64, **dict.fromkeys([*_COLUMNS, "sent"], pl.String)}
_SEGMENT = re.compile(r"[A-Z][A-Z0-9]{2}(?=\W|$)")
_LOINC = re.compile(r"\d{1,5}-\d$")
_ENVELOPE = ("FHS", "BHS", "BTS", "FTS")
_LONGEST_ID = 40

Line = tuple[int, str]
Found = tuple[int | None, str | None, str, str]


class Outcome(NamedTuple):
    """Rows (a dict a record) and findings of one message."""

    rows: list[dict[str, Any]]
    findings: list[Found]


@cache
def read_tables(path: Path = _TABLES) -> dict[str, Any]:
    """The code tables (layouts/hl7-oru.toml); answers by lower case."""
    tables = tomllib.loads(path.read_text("utf-8"))
    tables["answers"] = {code.casefold(): ours for code, ours in tables["answers"].items()}
    tables["stages"] = {code.casefold(): ours for code, ours in tables["stages"].items()}
    return tables


def open_file(path: Path, limits: Limits) -> Opened:
    """A file of messages. Raises FileRefusedError."""
    return Opened(speak_ours("hl7-oru", "screening"), list_findings([]), read_chunks(path))


def read_chunks(path: Path) -> Iterator[Chunk]:
    """Results of a file in bounded chunks; `row_no` is the line of the segment. Raises FileRefusedError."""
    encoding, findings = _choose_encoding(path)
    with path.open(encoding=encoding, newline=None) as file:
        messages = _split_messages(file, findings)
        is_any = False
        while batch := list(islice(messages, _MESSAGES_A_CHUNK)):
            is_any = True
            outcomes = [read_message(lines) for lines in batch]
            rows = [row for outcome in outcomes for row in outcome.rows]
            told = [*findings, *(f for outcome in outcomes for f in outcome.findings)]
            findings.clear()
            columns = {name: [row.get(name) for row in rows] for name in _SCHEMA}
            yield Chunk(pl.DataFrame(columns, schema=_SCHEMA), list_findings(told))
    if not is_any:
        raise FileRefusedError("file_not_hl7")


def read_message(lines: list[Line]) -> Outcome:
    """One message: its results, or one refused row that says why there are none."""
    marks = read_marks(lines[0][1])
    head = lines[0][1].split(marks.field) if marks else []
    if marks is None or len(head) < 10 or not head[8] or not head[9]:
        return _refuse(lines, "message_header_malformed")
    if pick(marks, head[8], 0) not in read_tables()["types"]:
        return _refuse(lines, "message_not_result")
    last = lines[-1][1].split(marks.field)
    if not lines[-1][1].endswith("\n") and last[0] == "OBX" and len(last) < 12:
        return _refuse(lines, "message_cut_off")
    message = _Message(marks, head)
    for number, text in lines[1:]:
        message.take(number, text)
    message.finish()
    return Outcome(message.rows, message.findings) if message.rows else _refuse(lines, "message_without_results")


class _Message:
    """The state of reading one message: who, which order, and what is told of all its results."""

    def __init__(self, marks: Marks, head: list[str]) -> None:
        self.marks, self.tables = marks, read_tables()
        self.rows: list[dict[str, Any]] = []
        self.findings: list[Found] = []
        name, universal = pick(marks, head[3], 0), pick(marks, head[3], 1)
        sender = name if name and len(name) <= _LONGEST_ID else universal or pick(marks, head[2], 0)
        self.who: dict[str, Any] = {"sender_id": sender}
        self.has_child = False
        self.facility: str | None = None
        self.order: dict[str, Any] = {"source_id": head[9], "issued_at": read_time(head[6])[1]}
        self.shared: dict[str, Any] = {}
        self.quality: tuple[int, str] | None = None
        self.seen: dict[tuple[str, str], int] = {}
        self.finished = 0

    def take(self, number: int, text: str) -> None:
        """One segment; those that tell nothing about a result are kept in the archive only."""
        fields = text.rstrip("\n").split(self.marks.field)
        match fields[0]:
            case "PID":
                if self.has_child:  # a second child in one message has results of its own
                    self.finish()
                    self.who = {"sender_id": self.who["sender_id"]}
                self.has_child = True
                self._take_child(number, fields)
            case "NK1":
                self._take_mother(fields)
            case "ORC":
                organisation = self._field(fields, 21)
                self.facility = pick(self.marks, organisation, 9) or pick(self.marks, organisation, 0) or self.facility
            case "OBR":
                self._take_order(number, fields)
            case "SPM":
                self.shared.setdefault("card_no", pick(self.marks, self._field(fields, 2), 0))
            case "OBX":
                self._take_result(number, text.rstrip("\n"), fields)

    def finish(self) -> None:
        """What was told of all results of a child, on all of them; an unusable specimen spoils both mandatory analytes."""
        done, self.rows = self.rows[: self.finished], self.rows[self.finished :]
        self._tell_rows()
        self.rows = done + self.rows
        self.finished = len(self.rows)
        self.quality, self.shared = None, {}

    def _tell_rows(self) -> None:
        if self.quality:
            present = {row["component"] for row in self.rows}
            for row in self.rows:
                row["result_code"] = "unsatisfactory" if row.get("value") else row.get("result_code")
            for component in {"tsh", "phe"} - present:
                self._add(self.quality[0], self.quality[1], "blood_spot", component, result_code="unsatisfactory",
                          status_code="final", **self.shared_time)  # fmt: skip
        who = {**self.who, "facility_id": _short(self.facility), "is_transfused": None, "stage_code": None, **self.shared}
        if not who.get("maternity_id"):
            who["maternity_id"] = _short(self.facility) or self.who["sender_id"]
        for row in self.rows:
            for name, value in who.items():
                row.setdefault(name, value)

    @property
    def shared_time(self) -> dict[str, Any]:
        return {k: self.order[k] for k in ("examined_on", "examined_at") if self.order.get(k)}

    def _field(self, fields: list[str], number: int) -> str:
        return fields[number] if number < len(fields) else ""

    def _take_child(self, number: int, fields: list[str]) -> None:
        marks = self.marks
        for identifier in self._field(fields, 3).split(marks.repeat):
            digits, kind = pick(marks, identifier, 0), pick(marks, identifier, 4)
            if digits and kind in ("NI", "NNKAZ") and len(digits) == 12:
                self.who["child_iin"] = digits
            elif digits and kind in ("MR", "MRN", "", None, "PI") and "history_no" not in self.who:
                self.who["history_no"] = digits
                self.who["maternity_id"] = _short(pick(marks, identifier, 3))
        name = self._field(fields, 5)
        self.who["family_name"], self.who["given_name"] = pick(marks, name, 0), pick(marks, name, 1)
        born = self._field(fields, 7)
        self.who["birth_on"] = read_time(born)[0]
        if born and not self.who["birth_on"]:
            self.findings.append((number, "birth_on", "birth_on_unreadable", "warning"))
        sex = pick(marks, self._field(fields, 8), 0)
        self.who["sex_code"] = {"M": "male", "F": "female"}.get(str(sex).upper(), "unknown" if sex else None)
        order = self._field(fields, 25)
        if self._field(fields, 24) == "Y" or order:
            self.who["birth_order"] = order or None
        self.who.setdefault("mother_family_name", pick(marks, self._field(fields, 6), 0))

    def _take_mother(self, fields: list[str]) -> None:
        if pick(self.marks, self._field(fields, 3), 0) != "MTH":
            return
        name = self._field(fields, 2)
        self.who["mother_family_name"], self.who["mother_given_name"] = pick(self.marks, name, 0), pick(self.marks, name, 1)
        for identifier in self._field(fields, 33).split(self.marks.repeat):
            digits, kind = pick(self.marks, identifier, 0), pick(self.marks, identifier, 4)
            if digits and kind in ("NI", "NNKAZ"):
                self.who["mother_iin"] = digits

    def _take_order(self, number: int, fields: list[str]) -> None:
        placer, filler = pick(self.marks, self._field(fields, 2), 0), pick(self.marks, self._field(fields, 3), 0)
        taken, issued = self._field(fields, 7), self._field(fields, 22)
        day, moment = read_time(taken)
        if taken and not day:
            self.findings.append((number, "examined_on", "examined_on_unreadable", "warning"))
        issued_on, issued_at = read_time(issued)
        self.order = {
            "source_id": filler or placer or self.order["source_id"],
            "issued_at": issued_at or self.order["issued_at"],
            "reported_on": issued_on,
            "examined_on": day or self.order.get("examined_on"),
            "examined_at": moment or self.order.get("examined_at"),
            "status": self._field(fields, 25),
        }

    def _take_result(self, number: int, text: str, fields: list[str]) -> None:
        tables, marks = self.tables, self.marks
        code, label = self._name_code(number, self._field(fields, 3))
        kind, answer = self._field(fields, 2), self._field(fields, 5)
        told = tables["context"].get(code)
        if told:
            self._take_context(told, number, text, answer)
            return
        known = tables["components"].get(code) or tables["components"].get(code.upper(), {})
        said_status = self._field(fields, 11) or self.order.get("status") or "F"
        status = tables["statuses"].get(said_status, said_status)  # an unknown one is refused by the contract
        day, moment = read_time(self._field(fields, 14))
        when = {k: v for k, v in (("examined_on", day), ("examined_at", moment)) if v}
        programme = known.get("programme", "blood_spot")
        component = known.get("component") or (code if _LOINC.match(code) else f"L:{code}"[:80])
        said = {**when, "status_code": status, "action_code": "correct" if status == "corrected" else "report"}
        if code in tables["positive"]:
            condition = pick(marks, answer, 0)
            if condition and condition not in tables["nothing"]["codes"]:
                component = tables["conditions"].get(condition, f"{code}:{condition}"[:80])
                self._add(number, text, programme, component, result_code=tables["positive"][code], **said)
            return
        if kind in tables["texts"] and not known.get("is_number"):
            return
        result = self._read_answer(answer)
        if result:
            self._check_flag(number, result, self._field(fields, 8))
            self._add(number, text, programme, component, result_code=result, **said)
            return
        if not answer or status == "cancelled":
            if known or status == "cancelled":
                result = None if status == "cancelled" else "pending"
                self._add(number, text, programme, component, result_code=result, **said)
            return
        comparator, value, is_cleaned = clean_number(unescape(marks, answer), marks.component)
        if value is not None:
            unit = pick(marks, self._field(fields, 6), 0) or pick(marks, self._field(fields, 6), 1)
            self._add(number, text, programme, component, value=value, comparator=comparator, unit=unit, **said)
            if is_cleaned:
                self.findings.append((number, "value", "value_cleaned", "info"))
        elif known.get("is_number") or kind in ("NM", "SN"):
            self._add(number, text, programme, component, **said)
            self.findings.append((number, "value", "value_not_numeric", "error"))
        elif known or tables["interpretation_word"] in label.casefold():
            self._add(number, text, programme, component, result_code=pick(marks, answer, 0) or "?", **said)

    def _name_code(self, number: int, field: str) -> tuple[str, str]:
        """The LOINC code wherever it stands, else the local code; and its text."""
        marks = self.marks
        first, label, other = pick(marks, field, 0) or "", pick(marks, field, 1) or "", pick(marks, field, 3) or ""
        code = first if _LOINC.match(first) or not _LOINC.match(other) else other
        code = code or other or label or pick(marks, field, 4) or "?"
        if _LOINC.match(code) and not is_loinc_whole(code):
            self.findings.append((number, "component", "component_checksum", "warning"))
        return code, label

    def _take_context(self, told: str, number: int, text: str, answer: str) -> None:
        code = pick(self.marks, answer, 0) or ""
        match told:
            case "quality" if code and code not in self.tables["nothing"]["codes"]:
                self.quality = (number, text)
            case "reason":
                self.shared["stage_code"] = self.tables["stages"].get(code.casefold())
            case "factors" if code in self.tables["factors"]["transfused"]:
                self.shared["is_transfused"] = "true"
            case "gestation":
                _, weeks, _ = clean_number(code, self.marks.component)
                self.shared["gestation_wk"] = weeks.split(".")[0] if weeks else None
            case "card":
                self.shared["card_no"] = code[:60] or None

    def _read_answer(self, answer: str) -> str | None:
        answers = self.tables["answers"]
        for place in (0, 3, 1, 4):
            found = answers.get((pick(self.marks, answer, place) or "").casefold().strip())
            if found:
                return str(found)
        return None

    def _check_flag(self, number: int, result: str, flag: str) -> None:
        flags = self.tables["flags"]
        is_normal, is_abnormal = result in ("in_range", "pass"), result in ("out_of_range", "refer")
        if (is_normal and flag in flags["abnormal"]) or (is_abnormal and flag in flags["normal"]):
            self.findings.append((number, "result_code", "flag_disagrees", "warning"))

    def _add(self, number: int, text: str, programme: str, component: str, **said: Any) -> None:
        source = str(self.order["source_id"])
        again = self.seen[source, component] = self.seen.get((source, component), 0) + 1
        order = {k: v for k, v in self.order.items() if k != "status"}
        self.rows.append({**order, "action_code": "report", **said, "row_no": number, "sent": text, "programme": programme,
                          "component": component, "source_id": source if again == 1 else f"{source}#{again}"})  # fmt: skip


def _short(text: str | None) -> str | None:
    return text if text and len(text) <= _LONGEST_ID else None


def _refuse(lines: list[Line], code: str) -> Outcome:
    """A message that gives no result is one row, refused: it is counted, kept and told like any other."""
    number = lines[0][0]
    return Outcome([{"row_no": number, "sent": "".join(text for _, text in lines)}], [(number, None, code, "error")])


def _split_messages(file: Iterator[str] | Any, findings: list[Found]) -> Iterator[list[Line]]:
    """Lines of each message; a line that starts no segment goes on with the one before."""
    lines: list[Line] = []
    count = 0
    for number, text in enumerate(file, 1):
        start = text.lstrip("\ufeff\x0b\x1c ") if number == 1 or text[:1] in "\x0b\x1c" else text
        name = start[:3]
        if name == "MSH":
            if lines:
                count += 1
                yield lines
            lines = [(number, start)]
        elif name in _ENVELOPE and _SEGMENT.match(start):
            if lines:
                count += 1
                yield lines
            lines = []
            declared = start.rstrip("\n").split("|")[1:2] if name == "BTS" else []
            if declared and declared[0].isdigit() and int(declared[0]) != count:
                findings.append((None, None, "batch_count_differs", "warning"))
            count = 0 if name in ("BHS", "BTS") else count
        elif lines and _SEGMENT.match(start):
            lines.append((number, start))
        elif lines and start.strip():
            lines[-1] = (lines[-1][0], lines[-1][1].rstrip("\n") + " " + start)
    if lines:
        yield lines


def _choose_encoding(path: Path) -> tuple[str, list[Found]]:
    """Byte order mark or strict UTF-8, then what MSH-18 declares, then the fallback, which is told."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    if not head.strip():
        raise FileRefusedError("file_empty")
    if b"\x00" in head:
        raise FileRefusedError("file_binary")
    if is_encoded(path, "utf-8"):
        return "utf-8", []
    charsets = read_tables()["charsets"]
    line = next((part for part in re.split(rb"[\r\n]", head) if part.startswith(b"MSH")), b"").decode("latin-1")
    declared = (line.split(line[3:4] or "|") + [""] * 18)[17].split("~")[0].strip()
    encoding = charsets.get(declared.upper())
    if encoding and encoding != "utf-8" and is_encoded(path, encoding):
        return encoding, []
    if is_encoded(path, charsets["fallback"]):
        return charsets["fallback"], [(None, None, "encoding_guessed", "warning")]
    raise FileRefusedError("file_encoding_unknown")


