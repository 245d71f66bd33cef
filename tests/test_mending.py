"""The file to fix, in every format: mended as a person would and sent again it closes what was found, whichever cell was mended."""

import csv
import io
import json
import shutil
from pathlib import Path

import openpyxl
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pipelines import flow
from pipelines.intake.fhir.fix import write_resources
from pipelines.intake.hl7.fix import write_messages
from pipelines.intake.layout import MENDS, REASONS
from pipelines.intake.mends import Refused, name_row
from pipelines.intake.reading import Limits
from pipelines.intake.refusal import FileRefusedError
from pipelines.night.ask import tell_submission
from pipelines.night.receipt import read_receipts
from tests.nation import BORN, FIRST, ask, bear, name_iin, open_to_ask, send, settle, take_in, write_file
from tests.test_annex import DAY, LIST_12, TITLES, child, judge, listed, write
from tests.together import Together

VALUES = """
    select value, component from lake.clinical.screening s join lake.identified.birth b using (child_key)
    where s.known_to is null and b.known_to is null and b.child_iin in (from (select unnest(?::varchar[]))) order by all"""
together = Together()


@pytest.fixture(scope="module")
def born(tmp_path_factory):
    """A home in which children are born."""
    folder = tmp_path_factory.mktemp("born")
    home = settle(folder / "home")
    send(home, folder, [{"birth": bear(n, child_iin=name_iin(n), mother_iin=name_iin(900 + n))} for n in range(2, 80)])
    take_in(home, FIRST)
    return home


@pytest.fixture(scope="module")
def lived(born, tmp_path_factory):
    return together.live(born, tmp_path_factory.mktemp("lived"))


def receive(home, path: Path) -> str:
    """The submission of a file that the next night judges."""
    (submission,) = flow.receive(home, [path])
    return submission


def receive_all(home, paths: dict[str, Path]) -> dict[str, str]:
    """The submissions of files, by their names."""
    return {name: receive(home, path) for name, path in paths.items()}


def values(home, *children: int) -> list[tuple]:
    """(value, component) of the results that are held of some children."""
    return ask(home, VALUES, list(map(name_iin, children)))


def misspell(iin: str) -> str:
    """A number that is none."""
    return iin[:-1] + str((int(iin[-1]) + 1) % 10)


def fix(home, submission: str, name: str) -> Path:
    return home.reports / "feedback" / submission / name


def read_csv(path: Path, separator: str = ",") -> list[dict]:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig")), delimiter=separator))


def mend_csv(path: Path, mended: Path, separator: str = ",", **cells) -> Path:
    """A file to fix in which a person changed some cells of every row."""
    rows = [row | cells for row in read_csv(path, separator)]
    with mended.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=separator)
        writer.writeheader()
        writer.writerows(rows)
    return mended


def mend_workbook(path: Path, mended: Path, **cells) -> Path:
    """A workbook to fix in which a person changed some cells of every row."""
    book = openpyxl.load_workbook(path)
    header = {cell.value: cell.column for cell in book.active[1]}
    for row in range(2, book.active.max_row + 1):
        for name, value in cells.items():
            book.active.cell(row, header[name]).value = value
    book.save(mended)
    return mended


def counts(home, *submissions: str) -> list[tuple[int, int, int]]:
    """(open, mended, refused again) of each submission."""
    told = {row["submission_id"]: row for row in read_receipts(open_to_ask(home), submissions).to_dicts()}
    return [tuple(told[s][f"{name}_count"] for name in ("open", "mended", "refused_again")) for s in submissions]


# ------------------------------------------------------------------------------------------------ delimited text


def leave_out(home, folder: Path, number: int) -> str:
    """A birth whose own number was left out, beside one as it should be: nothing but its name in the file to fix says which row it is."""
    rows = [bear(n, child_iin=name_iin(n), mother_iin=name_iin(900 + n), **other) for n, other in ((number, {}), (number + 2, {"source_id": ""}))]
    return receive(home, write_file(folder / "births.csv", rows))


@together.story
def test_a_row_without_the_number_by_which_it_is_known_is_closed_when_it_is_filled_in(home, folder):
    refused = leave_out(home, folder, 100)
    yield
    path = fix(home, refused, "to-fix.csv")
    (row,) = read_csv(path)
    assert list(row)[-2:] == [MENDS, REASONS]
    assert row[MENDS] == f"erte-{refused[:12]}-3"
    mended = receive(home, mend_csv(path, folder / "mended.csv", source_id="B102"))
    yield
    assert counts(home, refused) == [(0, 1, 0)]
    told = tell_submission(home, mended)
    assert told["state"] == "accepted"
    assert {f["code"] for f in told["findings"]} <= {"column_absent"}


@together.story
def test_a_row_sent_unmended_is_told_as_refused_again_and_mended_later_closes_every_round(home, folder):
    refused = leave_out(home, folder, 110)
    yield
    shutil.copy(fix(home, refused, "to-fix.csv"), folder / "again.csv")
    again = receive(home, folder / "again.csv")
    yield
    assert counts(home, refused, again) == [(0, 0, 1), (1, 0, 0)]
    (row,) = read_csv(fix(home, again, "to-fix.csv"))
    assert row[MENDS] == f"erte-{again[:12]}-2 erte-{refused[:12]}-3"
    assert row[REASONS].count("source_id_missing") == 1
    receive(home, mend_csv(fix(home, again, "to-fix.csv"), folder / "mended.csv", source_id="B112"))
    yield
    assert counts(home, refused, again) == [(0, 1, 0), (0, 1, 0)]


NAMES = ["erte-{0}-3", "erte-{0}-4", "erte-000000000000-3", "erte-{0}-99999999999999999999", "3", ""]


@together.story
def test_a_name_of_another_senders_row_or_of_no_row_closes_nothing_and_refuses_nothing(home, folder):
    refused = leave_out(home, folder, 120)
    yield
    others = {
        name: bear(n, child_iin=name_iin(n), mother_iin=name_iin(900 + n)) | {MENDS: name.format(refused[:12]), REASONS: "x"}
        for name, n in zip(NAMES, (3, 5, 7, 9, 11, 13), strict=True)
    }
    assert {other["sender_id"] for other in others.values()} == {"M2"}
    good = receive_all(home, {name: write_file(folder / f"{n}-other.csv", [other]) for n, (name, other) in enumerate(others.items())})
    yield
    bad = receive_all(home, {
        name: write_file(folder / f"{n}-bad.csv", [other | {"sex_code": "blue"}]) for n, (name, other) in enumerate(others.items())})  # fmt: skip
    yield
    assert counts(home, refused) == [(1, 0, 0)]
    assert {name: tell_submission(home, submission)["state"] for name, submission in good.items()} == dict.fromkeys(NAMES, "accepted")
    assert dict(zip(NAMES, counts(home, *bad.values()), strict=True)) == dict.fromkeys(NAMES, (1, 0, 0))


@together.story
def test_a_row_that_a_person_emptied_but_for_our_columns_is_no_row(home, folder):
    refused = leave_out(home, folder, 130)
    yield
    path = fix(home, refused, "to-fix.csv")
    empty = dict.fromkeys(read_csv(path)[0], "")
    lines = mend_csv(path, folder / "a.csv", source_id="B132").read_text().splitlines()
    (folder / "a.csv").write_text("\n".join([*lines, ",".join({**empty, MENDS: "erte-1", REASONS: "x"}.values())]) + "\n")
    mended = receive(home, folder / "a.csv")
    yield
    assert tell_submission(home, mended)["received_count"] == 1


@together.story
def test_reasons_are_told_in_three_languages(home, folder):
    refused = leave_out(home, folder, 140)
    yield
    (row,) = read_csv(fix(home, refused, "to-fix.csv"))
    code, *lines = row[REASONS].split(" | ")
    assert (code, [line[:4] for line in lines]) == ("source_id_missing", ["kk: ", "ru: ", "en: "])
    assert all("source_id" in line for line in lines)


# ------------------------------------------------------------------------------------------------ wide text


HEARING = "Номер записи;Организация;Действие;Выдано;ИИН матери;Дата рождения;Порядок рождения;Пол;Роддом;Номер истории;\
Дата обследования;Место обследования;ВОАЭ левое;ВОАЭ правое;КСВП левое;КСВП правое"


def hear(number: int, left: str, right: str, abr: str = "прошел") -> str:
    return f"S{number};M1;новая;12.02.2026 08:00;{name_iin(900 + number)};10.02.2026;1;м;M1;H{number};12.02.2026;M1;{left};{right};{abr};{abr}"


@together.story
def test_a_finding_of_a_wide_row_names_the_very_cell_and_its_row_is_accepted_whole_when_that_is_mended(home, folder):
    path = folder / "hearing.csv"
    path.write_text("\n".join([HEARING, hear(2, "прошел", "прошел"), hear(4, "прошел", "может быть")]) + "\n")
    first = receive(home, path)
    yield
    told = [f["column"] for f in json.loads(fix(home, first, "feedback.json").read_text())["findings"] if f["row_no"]]
    assert told == ["ВОАЭ правое"]
    assert "<td data-label=\"Столбец\">ВОАЭ правое</td>" in fix(home, first, "feedback.html").read_text()
    receive(home, mend_csv(fix(home, first, "to-fix.csv"), folder / "mended.csv", ";", **{"ВОАЭ правое": "не прошел"}))
    yield
    assert counts(home, first) == [(0, 1, 0)]
    assert [len(values(home, number)) for number in (2, 4)] == [4, 4]


# ------------------------------------------------------------------------------------------------ lists as workbooks


LIST_17 = ["ФИО", "Возраст", "Домашний адрес", "Диагноз", "Дата направления", "Дата осмотра в ПМПК", "ИИН", "Дата скрининга"]
LIST_19 = ["ФИО", "Дата рождения", "ИИН", "Адрес, телефон", "Срок гестации, недель", "Масса тела при рождении, г", "Результат",
           "Дата обследования"]  # fmt: skip
LISTS = {
    "12": lambda path, iin: listed(path, child(10), child(11, iin=iin)),
    "17": lambda path, iin: write(path, [*TITLES, LIST_17, *(
        ["A", "2 года", "x", "F80.1", "20.02.2026", "", said, DAY] for said in (name_iin(12), iin))]),
    "19": lambda path, iin: write(path, [*TITLES, LIST_19, *(
        ["A", BORN, said, "x", 30, 1400, "РН нет", DAY] for said in (name_iin(14), iin))]),
}  # fmt: skip
CHILDREN = {"12": (10, 11), "17": (12, 13), "19": (14, 15)}


@together.story
def test_a_row_of_a_list_whose_iin_names_it_is_closed_when_the_iin_is_mended(home, folder):
    meant = {annex: name_iin(children[1]) for annex, children in CHILDREN.items()}
    first = receive_all(home, {annex: make(folder / f"{annex}.xlsx", misspell(meant[annex])) for annex, make in LISTS.items()})
    yield
    held = {annex: len(values(home, *children)) for annex, children in CHILDREN.items()}
    assert min(held.values()) > 0
    assert counts(home, *first.values()) == [(1, 0, 0)] * len(LISTS)
    for annex, submission in first.items():
        shutil.copy(fix(home, submission, "to-fix.xlsx"), folder / f"again-{annex}.xlsx")
    again = receive_all(home, {annex: folder / f"again-{annex}.xlsx" for annex in LISTS})
    yield
    assert counts(home, *first.values()) == [(0, 0, 1)] * len(LISTS)
    assert counts(home, *again.values()) == [(1, 0, 0)] * len(LISTS)
    assert {annex: len(values(home, *children)) for annex, children in CHILDREN.items()} == held
    mended = receive_all(home, {
        annex: mend_workbook(fix(home, submission, "to-fix.xlsx"), folder / f"mended-{annex}.xlsx", ИИН=meant[annex])
        for annex, submission in again.items()
    })  # fmt: skip
    yield
    assert counts(home, *first.values(), *again.values()) == [(0, 1, 0)] * 2 * len(LISTS)
    assert counts(home, *mended.values()) == [(0, 0, 0)] * len(LISTS)
    for annex, children in CHILDREN.items():
        assert len(values(home, *children)) == 2 * held[annex], annex
        assert len(values(home, children[1])) == held[annex], annex
        assert tell_submission(home, mended[annex])["state"] == "accepted", annex


def receive_sheets(home, folder: Path) -> dict[str, str]:
    """Lists whose names say another format than they are of."""
    header = ["Организация", *LIST_12, "Дата обследования"]
    text, book = folder / "march.xls", folder / "march.csv"
    text.write_text("\n".join(";".join(map(str, r)) for r in (header, ["M1", *child(16, iin=misspell(name_iin(16))), DAY])), "utf-8")
    listed(folder / "book.xlsx", child(17, iin=misspell(name_iin(17)))).rename(book)
    return receive_all(home, {"csv": text, "xlsx": book})


@together.story
def test_a_note_stands_on_the_very_cell_in_three_languages(home, folder):
    submission = receive(home, listed(folder / "a.xlsx", child(18, right="может быть")))
    yield
    sheet = openpyxl.load_workbook(fix(home, submission, "to-fix.xlsx")).active
    notes = {sheet.cell(1, cell.column).value: cell.comment.text for cell in sheet[2] if cell.comment}
    assert list(notes) == ["Правое ухо"]
    assert len(notes["Правое ухо"].splitlines()) == 3
    assert notes["Правое ухо"].count("Правое ухо") == 3


@together.story
def test_the_file_to_fix_is_of_the_format_that_was_sent_whatever_the_file_was_called(home, folder):
    ids = receive_sheets(home, folder)
    yield
    assert [fix(home, submission, f"to-fix.{content}").exists() for content, submission in ids.items()] == [True, True]


# ------------------------------------------------------------------------------------------------ HL7 v2


def message(number: int, *answers: str, head: str = "MSH", charset: str = "UNICODE UTF-8", kind: str = "ORU^R01^ORU_R01") -> list[str]:
    """A message of a child with a numeric result of TSH, and one of Phe where there is a second answer."""
    said = (("29575-8^TSH^LN", "m[IU]/L"), ("29573-3^Phe^LN", "mg/dL"))
    return [
        f"{head}|^~\\&|LIS|L1|ERTE|MOH|20260213100000||{kind}|M{number}|P|2.5.1||||||{charset}",
        f"PID|1||H{number}^^^M1^MR~{name_iin(number)}^^^KZ^NI||FAMILY^GIVEN||20260210|F||||||||||||||||N|1",
        f"OBR|1||F{number}^LAB|54089-8^Panel^LN|||20260212090000|||||||||||||||20260213090000|||F",
        *(f"OBX|{n}|NM|{code}|1|{answer}|{unit}|||||F|||20260212090000"
          for n, (answer, (code, unit)) in enumerate(zip(answers, said, strict=False), 1)),
    ]  # fmt: skip


def batch(path: Path, *messages: list[str], end: str = "\r") -> Path:
    lines = ["FHS|^~\\&|LIS|L1", "BHS|^~\\&|LIS|L1", *(line for one in messages for line in one), f"BTS|{len(messages)}", "FTS|1", ""]
    path.write_bytes(end.join(lines).encode())
    return path


@together.story
def test_refused_messages_of_a_batch_are_mended_in_their_own_form_and_close_row_by_row(home, folder):
    path = batch(folder / "a.hl7", message(20, "3.5", "1.0"), message(21, "high", "low"), message(22, "4.5"), end="\r\n")
    first = receive(home, path)
    yield
    assert counts(home, first) == [(2, 0, 0)]
    text = fix(home, first, "to-fix.hl7").read_bytes().decode()
    lines = text.split("\r\n")
    assert [line[:3] for line in lines] == ["FHS", "BHS", "MSH", "PID", "OBR", "OBX", "NTE", "OBX", "NTE", "BTS", "FTS", ""]
    assert (lines[9], lines[6].split("|")[3].split("~")[:2]) == ("BTS|1", [f"erte-{first[:12]}-11", "result_missing, value_not_numeric"])
    assert [line[:4] for line in lines[6].split("~")[2:]] == ["kk: ", "ru: ", "en: "]
    (folder / "b.hl7").write_bytes(text.replace("|high|", "|5.5|").encode())
    second = receive(home, folder / "b.hl7")
    yield
    assert counts(home, first, second) == [(0, 1, 1), (1, 0, 0)]
    assert {f["code"] for f in tell_submission(home, second)["findings"]} == {"value_not_numeric", "result_missing"}
    again = fix(home, second, "to-fix.hl7").read_bytes().decode()
    assert again.count("NTE|") == 1
    assert f"erte-{second[:12]}-8 erte-{first[:12]}-12" in again
    (folder / "c.hl7").write_bytes(again.replace("|low|", "|1.5|").encode())
    third = receive(home, folder / "c.hl7")
    yield
    assert counts(home, first, second, third) == [(0, 2, 0), (0, 1, 0), (0, 0, 0)]
    assert values(home, 20, 21, 22) == [(1.0, "phe"), (1.5, "phe"), (3.5, "tsh"), (4.5, "tsh"), (5.5, "tsh")]


WHOLE = {
    "message_header_malformed": (["MSH|^~\\&|LIS|L1|ERTE|MOH|20260213100000|||M25|P|2.5.1", *message(25, "5.5")[1:]], message(25, "5.5")),
    "message_without_results": (message(27, "5.5")[:-1], message(27, "5.5")),
    "message_not_result": (message(29, "5.5", kind="ADT^A01"), message(29, "5.5")),
}


@together.story
def test_a_message_that_gave_nothing_is_closed_when_it_gives_its_results(home, folder):
    """Each beside a message that gives what it should, and mended under the note it came back with."""
    paths = {code: batch(folder / f"{code}.hl7", message(n, "3.5"), bad) for n, (code, (bad, _)) in zip((24, 26, 28), WHOLE.items(), strict=True)}
    first, mended = receive_all(home, paths), {}
    yield
    assert dict(zip(WHOLE, counts(home, *first.values()), strict=True)) == dict.fromkeys(WHOLE, (1, 0, 0))
    for code, (_, good) in WHOLE.items():
        assert code in fix(home, first[code], "findings.csv").read_text()
        text = fix(home, first[code], "to-fix.hl7").read_text()
        note = next(line for line in text.splitlines() if line.startswith("NTE"))
        mended[code] = folder / f"{code}-mended.hl7"
        mended[code].write_text("\n".join([good[0], good[1], note, *good[2:], ""]))
    receive_all(home, mended)
    yield
    assert dict(zip(WHOLE, counts(home, *first.values()), strict=True)) == dict.fromkeys(WHOLE, (0, 1, 0))


@together.story
def test_a_message_that_was_cut_off_is_cut_off_in_the_file_to_fix_and_is_not_taken_for_whole(home, folder):
    path = folder / "a.hl7"
    path.write_bytes("\r".join([*message(30, "3.5"), *message(31, "4.5", "12.5")]).encode()[:-40])
    first = receive(home, path)
    yield
    text = fix(home, first, "to-fix.hl7").read_bytes()
    assert text.endswith(b"|12.5|m") or b"\r" not in text[-10:]
    (folder / "again.hl7").write_bytes(text)
    again = receive(home, folder / "again.hl7")
    yield
    assert counts(home, again) == [(1, 0, 0)]
    (folder / "b.hl7").write_bytes(text[: text.rindex(b"\r") + 1] + message(31, "4.5", "12.5")[-1].encode() + b"\r")
    receive(home, folder / "b.hl7")
    yield
    assert counts(home, first) == [(0, 1, 0)]


@together.story
def test_a_note_says_what_its_messages_character_set_can_write(home, folder):
    first = receive(home, batch(folder / "a.hl7", message(32, "high", charset=""), message(33, "high", charset="8859/5")))
    yield
    notes = [line for line in fix(home, first, "to-fix.hl7").read_bytes().split(b"\r") if line.startswith(b"NTE")]
    assert [(b"en: " in note, "ru: Не число".encode("iso8859_5")[:4] in note) for note in notes] == [(True, False), (True, True)]


@together.story
def test_a_note_that_names_another_senders_message_closes_nothing(home, folder):
    first = receive(home, batch(folder / "a.hl7", message(34, "3.5"), message(35, "high")))
    yield
    text = fix(home, first, "to-fix.hl7").read_text().replace("|high|", "|5.5|").replace("|LIS|L1|", "|LIS|L2|")
    (folder / "b.hl7").write_text(text)
    other = receive(home, folder / "b.hl7")
    yield
    assert tell_submission(home, other)["accepted_count"] == 1
    assert counts(home, first) == [(1, 0, 0)]


@st.composite
def damage(draw, content: bytes) -> bytes:
    """What was sent, with a few pieces cut out, doubled or written over."""
    for _ in range(draw(st.integers(1, 4))):
        at, size = draw(st.integers(0, len(content))), draw(st.integers(0, 40))
        put = draw(st.sampled_from([b"", b"\r", b"|", b"{", b'"', b"x", b"\xff", content[at : at + size] * 2]))
        content = content[:at] + put + content[at + size :]
    return content


def judge_again(folder: Path, content: bytes, write_fix) -> tuple[set[str], set[tuple]]:
    """The names of the refused rows of a file, and what is told of them when its file to fix is sent as it is."""
    path, limits = folder / "a", Limits()
    path.write_bytes(content)
    _, judged = judge(path)
    texts = {no: text for j in judged for no, text in j.quarantine.select("row_no", "row_text").iter_rows()}
    path.with_name("b").write_bytes(write_fix(path, limits, [Refused(no, text, name_row("a" * 64, no), "why\nkk: x") for no, text in texts.items()]))
    _, again = judge(path.with_name("b"))
    told = {(f"erte-{i}-{n}", outcome) for j in again for i, n, _, _, outcome in j.mends.rows()}
    return {name_row("a" * 64, no) for no in texts}, told


@given(st.data())
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_messages_damaged_in_any_way_are_refused_again_under_their_names_when_nothing_is_mended(tmp_path, data):
    sent = batch(tmp_path / "sent", message(2, "high", "1.0"), message(3, "3.5"), message(4, "low", "x")).read_bytes()
    damaged = data.draw(damage(sent))
    assume(damaged.startswith((b"FHS", b"BHS", b"MSH")))
    try:
        names, told = judge_again(tmp_path, damaged, write_messages)
    except FileRefusedError:
        return
    assert told == {(name, "refused_again") for name in names}


# ------------------------------------------------------------------------------------------------ FHIR


def born_as(number: int) -> dict:
    return {"resourceType": "Patient", "id": f"p{number}", "identifier": [{"system": "urn:erte:iin", "value": name_iin(number)}],
            "birthDate": str(BORN)}  # fmt: skip


LABORATORY = {"resourceType": "Organization", "id": "lab", "identifier": [{"value": "L1"}]}


def measure(number: int, value: float, unit: str | None = "m[IU]/L", **other) -> dict:
    return {
        "resourceType": "Observation", "id": f"o{number}", "status": "final", "subject": {"reference": f"Patient/p{number}"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "29575-8"}]}, "effectiveDateTime": "2026-02-12T09:00:00+05:00",
        "issued": "2026-02-13T09:00:00+05:00", "performer": [{"reference": "Organization/lab"}],
        "valueQuantity": {"value": value, "code": unit} if unit else {"value": value},
    } | other  # fmt: skip


def write_ndjson(path: Path, *resources: dict | str) -> Path:
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in resources))
    return path


def write_bundle(path: Path, *resources: dict, **other) -> Path:
    entries = [{"fullUrl": f"urn:uuid:{n}", "resource": r} for n, r in enumerate(resources)]
    path.write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "timestamp": "2026-02-14T09:00:00Z", "entry": entries} | other))
    return path


FORMS = {"to-fix.ndjson": write_ndjson, "to-fix.json": write_bundle}
OF_FORM = {"to-fix.ndjson": (40, 41, 42), "to-fix.json": (43, 44, 45)}


def write_refused(path: Path, name: str) -> Path:
    """A good result, one without a unit and one with a unit that is none."""
    good, bare, odd = OF_FORM[name]
    tagged = {"lastUpdated": "2026-02-13T09:00:00Z", "tag": [{"system": "urn:x", "code": "y"}]}
    return FORMS[name](path, LABORATORY, *map(born_as, OF_FORM[name]), measure(good, 3.5), measure(bare, 5.5, None),
                       measure(odd, 4.5, "furlong", meta=tagged))  # fmt: skip


@together.story
def test_refused_resources_come_back_with_what_they_need_and_close_when_mended(home, folder):
    """In each form two resources of three are refused; one of them is mended, then the other."""

    def mend(sent, number, old, new):
        paths = {name: folder / f"{number}-{name}" for name in FORMS}
        for name, path in paths.items():
            path.write_text(fix(home, sent[name], name).read_text().replace(old, new))
        return receive_all(home, paths)

    def count(sent):
        return dict(zip(FORMS, counts(home, *sent.values()), strict=True))

    first = receive_all(home, {name: write_refused(folder / f"a-{name}", name) for name in FORMS})
    yield
    assert count(first) == dict.fromkeys(FORMS, (2, 0, 0))
    second = mend(first, "b", '"value": 5.5', '"value": 5.5, "code": "m[IU]/L"')
    yield
    assert (count(first), count(second)) == (dict.fromkeys(FORMS, (0, 1, 1)), dict.fromkeys(FORMS, (1, 0, 0)))
    third = mend(second, "c", "furlong", "m[IU]/L")
    yield
    assert [count(sent) for sent in (first, second, third)] == [dict.fromkeys(FORMS, told) for told in ((0, 2, 0), (0, 1, 0), (0, 0, 0))]
    for name, children in OF_FORM.items():
        text = fix(home, first[name], name).read_text()
        assert f"Patient/p{children[0]}" not in text and text.count('"Patient"') == 2 and text.count('"Organization"') == 1
        assert all(part in text for part in (f'"erte-{first[name][:12]}-6"', f'"erte-{first[name][:12]}-7"', "kk: ", "ru: ", "en: ", '"urn:x"'))
        again = fix(home, second[name], name).read_text()
        assert (again.count("urn:erte:row"), again.count("kk: ")) == (2, 1)
        assert [value for value, _ in values(home, *children)] == [3.5, 4.5, 5.5]


@together.story
def test_a_line_that_refers_to_no_child_or_is_no_json_is_closed_by_its_name(home, folder):
    lost, cut = measure(51, 5.5, subject={"reference": "Patient/p9"}, id=None), json.dumps(measure(52, 4.5))[:-2]
    first = receive(home, write_ndjson(folder / "a.ndjson", LABORATORY, *map(born_as, (50, 51, 52)), measure(50, 3.5), lost, cut))
    yield
    assert counts(home, first) == [(2, 0, 0)]
    text = fix(home, first, "to-fix.ndjson").read_text()
    (folder / "again.ndjson").write_text(text)
    again = receive(home, folder / "again.ndjson")
    yield
    assert counts(home, again)[0][0] == 2
    text = text.replace("Patient/p9", "Patient/p51").replace('"id":null', '"id":"o51"')
    mended = [line + "}}" if line.endswith('m[IU]/L"') else line for line in text.splitlines()]
    last = receive(home, write_ndjson(folder / "b.ndjson", born_as(51), *mended))
    yield
    assert counts(home, last) == [(0, 0, 0)]
    assert (counts(home, first)[0][0], [value for value, _ in values(home, 50, 51, 52)]) == (0, [3.5, 4.5, 5.5])


@together.story
def test_a_result_of_a_bundle_keeps_its_place_among_those_of_the_same_number(home, folder):
    """Two results of one order and kind: the refused second one must not take the place of the first when it comes alone."""
    order = {"identifier": [{"value": "F77"}]}
    resources = [LABORATORY, born_as(54), measure(54, 3.5, **order), measure(54, 9.5, None, **order, id="another 54")]
    first = receive(home, write_bundle(folder / "a.json", *resources))
    yield
    text = fix(home, first, "to-fix.json").read_text()
    (folder / "b.json").write_text(text.replace('"value": 9.5', '"value": 9.5, "code": "m[IU]/L"'))
    receive(home, folder / "b.json")
    yield
    assert counts(home, first) == [(0, 1, 0)]
    assert [value for value, _ in values(home, 54)] == [3.5, 9.5]


@together.story
def test_a_resource_of_another_sender_that_names_a_refused_one_closes_nothing(home, folder):
    first = receive(home, write_ndjson(folder / "a.ndjson", LABORATORY, born_as(56), born_as(57), measure(56, 3.5), measure(57, 5.5, None)))
    yield
    text = fix(home, first, "to-fix.ndjson").read_text().replace('"value": 5.5', '"value": 5.5, "code": "m[IU]/L"')
    (folder / "b.ndjson").write_text(text.replace('"L1"', '"L2"'))
    other = receive(home, folder / "b.ndjson")
    yield
    assert tell_submission(home, other)["state"] == "accepted"
    assert counts(home, first) == [(1, 0, 0)]


@given(st.data(), st.sampled_from(list(FORMS)))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_resources_damaged_in_any_way_are_never_taken_for_mended_when_nothing_was(tmp_path, data, name):
    resources = [LABORATORY, born_as(2), born_as(3), measure(2, 3.5), measure(2, 4.5, None, id="o9"), measure(3, 5.5, None)]
    damaged = data.draw(damage(FORMS[name](tmp_path / "sent", *resources).read_bytes()))
    assume(damaged.startswith(b"{"))
    try:
        names, told = judge_again(tmp_path, damaged, lambda *given: write_resources(*given)[1])
    except FileRefusedError:
        return
    assert told <= {(name, "refused_again") for name in names}
