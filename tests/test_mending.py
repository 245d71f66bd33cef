"""The file to fix, in every format: mended as a person would and sent again it closes what was found, whichever cell was mended."""

import csv
import io
import json
import shutil
from datetime import timedelta
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
from pipelines.night.verify import verify_store
from tests.nation import BORN, FIRST, ask, bear, copy_home, name_iin, run, send, settle, write_file
from tests.test_annex import DAY, LIST_12, TITLES, child, judge, listed, write

SECOND, THIRD = FIRST + timedelta(days=1), FIRST + timedelta(days=2)
WRONG = "250314500011"
HELD = "select count(*) from lake.clinical.screening where known_to is null"


@pytest.fixture(scope="module")
def born(tmp_path_factory):
    """A home in which six children are born."""
    folder = tmp_path_factory.mktemp("born")
    home = settle(folder / "home")
    send(home, folder, [{"birth": bear(n, child_iin=name_iin(n), mother_iin=name_iin(900 + n))} for n in range(2, 8)])
    run(home, FIRST)
    return home


@pytest.fixture
def home(born, tmp_path):
    return copy_home(born, tmp_path / "home")


def night(home, path: Path, on) -> str:
    """The submission of a file that was sent and judged."""
    (submission,) = flow.receive(home, [path])
    run(home, on)
    return submission


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


def counts(home, submission: str) -> tuple[int, int, int]:
    """(open, mended, refused again) of a submission."""
    told = tell_submission(home, submission)
    return told["open_count"], told["mended_count"], told["refused_again_count"]


def is_whole(home) -> bool:
    return not [check for check in verify_store(home) if check.broken]


# ------------------------------------------------------------------------------------------------ delimited text


@pytest.fixture
def refused(home, tmp_path):
    """A birth whose own number was left out: nothing but its name in the file to fix says which row it is."""
    rows = [bear(20, child_iin=name_iin(20)), bear(22, child_iin=name_iin(22), source_id="")]
    return night(home, write_file(tmp_path / "births.csv", rows), SECOND)


def test_a_row_without_the_number_by_which_it_is_known_is_closed_when_it_is_filled_in(home, refused, tmp_path):
    path = fix(home, refused, "to-fix.csv")
    (row,) = read_csv(path)
    assert list(row)[-2:] == [MENDS, REASONS]
    assert row[MENDS] == f"erte-{refused[:12]}-3"
    mended = night(home, mend_csv(path, tmp_path / "mended.csv", source_id="B22"), THIRD)
    assert counts(home, refused) == (0, 1, 0)
    assert tell_submission(home, mended)["state"] == "accepted"
    assert {f["code"] for f in tell_submission(home, mended)["findings"]} <= {"column_absent"}
    assert is_whole(home)


def test_a_row_sent_unmended_is_told_as_refused_again_and_mended_later_closes_every_round(home, refused, tmp_path):
    shutil.copy(fix(home, refused, "to-fix.csv"), tmp_path / "again.csv")
    again = night(home, tmp_path / "again.csv", THIRD)
    assert (counts(home, refused), counts(home, again)) == ((0, 0, 1), (1, 0, 0))
    (row,) = read_csv(fix(home, again, "to-fix.csv"))
    assert row[MENDS] == f"erte-{again[:12]}-2 erte-{refused[:12]}-3"
    assert row[REASONS].count("source_id_missing") == 1
    night(home, mend_csv(fix(home, again, "to-fix.csv"), tmp_path / "mended.csv", source_id="B22"), THIRD + timedelta(days=1))
    assert (counts(home, refused), counts(home, again)) == ((0, 1, 0), (0, 1, 0))


@pytest.mark.parametrize("name", ["erte-{0}-3", "erte-{0}-4", "erte-000000000000-3", "erte-{0}-99999999999999999999", "3", ""])
def test_a_name_of_another_senders_row_or_of_no_row_closes_nothing_and_refuses_nothing(home, refused, tmp_path, name):
    other = bear(5, child_iin=name_iin(5)) | {MENDS: name.format(refused[:12]), REASONS: "x"}
    assert other["sender_id"] == "M2"
    accepted = night(home, write_file(tmp_path / "other.csv", [other]), THIRD)
    bad = other | {"sex_code": "blue"}
    again = night(home, write_file(tmp_path / "bad.csv", [bad]), THIRD)
    assert counts(home, refused) == (1, 0, 0)
    assert (tell_submission(home, accepted)["state"], counts(home, again)) == ("accepted", (1, 0, 0))


def test_a_row_that_a_person_emptied_but_for_our_columns_is_no_row(home, refused, tmp_path):
    path = fix(home, refused, "to-fix.csv")
    empty = dict.fromkeys(read_csv(path)[0], "")
    lines = mend_csv(path, tmp_path / "a.csv", source_id="B22").read_text().splitlines()
    (tmp_path / "a.csv").write_text("\n".join([*lines, ",".join({**empty, MENDS: "erte-1", REASONS: "x"}.values())]) + "\n")
    assert tell_submission(home, night(home, tmp_path / "a.csv", THIRD))["received_count"] == 1


def test_reasons_are_told_in_three_languages(home, refused):
    (row,) = read_csv(fix(home, refused, "to-fix.csv"))
    code, *lines = row[REASONS].split(" | ")
    assert (code, [line[:4] for line in lines]) == ("source_id_missing", ["kk: ", "ru: ", "en: "])
    assert all("source_id" in line for line in lines)


# ------------------------------------------------------------------------------------------------ wide text


HEARING = "Номер записи;Организация;Действие;Выдано;ИИН матери;Дата рождения;Порядок рождения;Пол;Роддом;Номер истории;\
Дата обследования;Место обследования;ВОАЭ левое;ВОАЭ правое;КСВП левое;КСВП правое"


def hear(number: int, left: str, right: str, abr: str = "прошел") -> str:
    return f"S{number};M1;новая;12.02.2026 08:00;{name_iin(900 + number)};10.02.2026;1;м;M1;H{number};12.02.2026;M1;{left};{right};{abr};{abr}"


def test_a_finding_of_a_wide_row_names_the_very_cell_and_its_row_is_accepted_whole_when_that_is_mended(home, tmp_path):
    path = tmp_path / "hearing.csv"
    path.write_text("\n".join([HEARING, hear(2, "прошел", "прошел"), hear(4, "прошел", "может быть")]) + "\n")
    first = night(home, path, SECOND)
    told = [f["column"] for f in json.loads(fix(home, first, "feedback.json").read_text())["findings"] if f["row_no"]]
    assert told == ["ВОАЭ правое"]
    assert "<td data-label=\"Столбец\">ВОАЭ правое</td>" in fix(home, first, "feedback.html").read_text()
    night(home, mend_csv(fix(home, first, "to-fix.csv"), tmp_path / "mended.csv", ";", **{"ВОАЭ правое": "не прошел"}), THIRD)
    assert counts(home, first) == (0, 1, 0)
    assert (ask(home, HELD), is_whole(home)) == ([(8,)], True)


# ------------------------------------------------------------------------------------------------ lists as workbooks


LIST_17 = ["ФИО", "Возраст", "Домашний адрес", "Диагноз", "Дата направления", "Дата осмотра в ПМПК", "ИИН", "Дата скрининга"]
LIST_19 = ["ФИО", "Дата рождения", "ИИН", "Адрес, телефон", "Срок гестации, недель", "Масса тела при рождении, г", "Результат",
           "Дата обследования"]  # fmt: skip
LISTS = {
    "12": lambda path, iin: listed(path, child(2), child(3, iin=iin)),
    "17": lambda path, iin: write(path, [*TITLES, LIST_17, *(
        ["A", "2 года", "x", "F80.1", "20.02.2026", "", said, DAY] for said in (name_iin(2), iin))]),
    "19": lambda path, iin: write(path, [*TITLES, LIST_19, *(
        ["A", BORN, said, "x", 30, 1400, "РН нет", DAY] for said in (name_iin(2), iin))]),
}  # fmt: skip


@pytest.mark.parametrize("annex", LISTS)
def test_a_row_of_a_list_whose_iin_names_it_is_closed_when_the_iin_is_mended(home, tmp_path, annex):
    first = night(home, LISTS[annex](tmp_path / "a.xlsx", WRONG), SECOND)
    assert counts(home, first) == (1, 0, 0)
    before = ask(home, HELD)
    shutil.copy(fix(home, first, "to-fix.xlsx"), tmp_path / "again.xlsx")
    again = night(home, tmp_path / "again.xlsx", SECOND)
    assert (counts(home, first), counts(home, again), ask(home, HELD)) == ((0, 0, 1), (1, 0, 0), before)
    mended = night(home, mend_workbook(fix(home, again, "to-fix.xlsx"), tmp_path / "mended.xlsx", ИИН=name_iin(3)), THIRD)
    assert (counts(home, first), counts(home, again)) == ((0, 1, 0), (0, 1, 0))
    assert tell_submission(home, mended)["state"] == "accepted"
    assert (ask(home, HELD), is_whole(home)) == ([(2 * before[0][0],)], True)


def test_a_note_stands_on_the_very_cell_in_three_languages(home, tmp_path):
    first = night(home, listed(tmp_path / "a.xlsx", child(2, right="может быть")), SECOND)
    sheet = openpyxl.load_workbook(fix(home, first, "to-fix.xlsx")).active
    notes = {sheet.cell(1, cell.column).value: cell.comment.text for cell in sheet[2] if cell.comment}
    assert list(notes) == ["Правое ухо"]
    assert len(notes["Правое ухо"].splitlines()) == 3
    assert notes["Правое ухо"].count("Правое ухо") == 3


@pytest.mark.parametrize(("content", "name"), [("csv", "march.xls"), ("xlsx", "march.csv")])
def test_the_file_to_fix_is_of_the_format_that_was_sent_whatever_the_file_was_called(home, tmp_path, content, name):
    path = tmp_path / name
    if content == "csv":
        header = ["Организация", *LIST_12, "Дата обследования"]
        path.write_text("\n".join(";".join(map(str, r)) for r in (header, ["M1", *child(2, iin=WRONG), DAY])), "utf-8")
    else:
        listed(tmp_path / "a.xlsx", child(2, iin=WRONG)).rename(path)
    first = night(home, path, SECOND)
    assert fix(home, first, f"to-fix.{content}").exists()


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


def test_refused_messages_of_a_batch_are_mended_in_their_own_form_and_close_row_by_row(home, tmp_path):
    path = batch(tmp_path / "a.hl7", message(2, "3.5", "1.0"), message(3, "high", "low"), message(4, "4.5"), end="\r\n")
    first = night(home, path, SECOND)
    assert counts(home, first) == (2, 0, 0)
    text = fix(home, first, "to-fix.hl7").read_bytes().decode()
    lines = text.split("\r\n")
    assert [line[:3] for line in lines] == ["FHS", "BHS", "MSH", "PID", "OBR", "OBX", "NTE", "OBX", "NTE", "BTS", "FTS", ""]
    assert (lines[9], lines[6].split("|")[3].split("~")[:2]) == ("BTS|1", [f"erte-{first[:12]}-11", "result_missing, value_not_numeric"])
    assert [line[:4] for line in lines[6].split("~")[2:]] == ["kk: ", "ru: ", "en: "]
    (tmp_path / "b.hl7").write_bytes(text.replace("|high|", "|5.5|").encode())
    second = night(home, tmp_path / "b.hl7", THIRD)
    assert (counts(home, first), counts(home, second)) == ((0, 1, 1), (1, 0, 0))
    assert {f["code"] for f in tell_submission(home, second)["findings"]} == {"value_not_numeric", "result_missing"}
    again = fix(home, second, "to-fix.hl7").read_bytes().decode()
    assert again.count("NTE|") == 1
    assert f"erte-{second[:12]}-8 erte-{first[:12]}-12" in again
    (tmp_path / "c.hl7").write_bytes(again.replace("|low|", "|1.5|").encode())
    third = night(home, tmp_path / "c.hl7", THIRD + timedelta(days=1))
    assert (counts(home, first), counts(home, second), counts(home, third)) == ((0, 2, 0), (0, 1, 0), (0, 0, 0))
    held = "select component, value from lake.clinical.screening where known_to is null order by all"
    assert ask(home, held) == [("phe", 1.0), ("phe", 1.5), ("tsh", 3.5), ("tsh", 4.5), ("tsh", 5.5)]
    assert is_whole(home)


MENDED = message(3, "5.5")
WHOLE = {
    "message_header_malformed": (["MSH|^~\\&|LIS|L1|ERTE|MOH|20260213100000|||M3|P|2.5.1", *MENDED[1:]], MENDED),
    "message_without_results": (MENDED[:-1], MENDED),
    "message_not_result": (message(3, "5.5", kind="ADT^A01"), MENDED),
}


@pytest.mark.parametrize("code", WHOLE)
def test_a_message_that_gave_nothing_is_closed_when_it_gives_its_results(home, tmp_path, code):
    bad, good = WHOLE[code]
    first = night(home, batch(tmp_path / "a.hl7", message(2, "3.5"), bad), SECOND)
    assert (counts(home, first), code in fix(home, first, "findings.csv").read_text()) == ((1, 0, 0), True)
    text = fix(home, first, "to-fix.hl7").read_text()
    note = next(line for line in text.splitlines() if line.startswith("NTE"))
    (tmp_path / "b.hl7").write_text("\n".join([good[0], good[1], note, *good[2:], ""]))
    night(home, tmp_path / "b.hl7", THIRD)
    assert counts(home, first) == (0, 1, 0)


def test_a_message_that_was_cut_off_is_cut_off_in_the_file_to_fix_and_is_not_taken_for_whole(home, tmp_path):
    path = tmp_path / "a.hl7"
    path.write_bytes("\r".join([*message(2, "3.5"), *message(3, "4.5", "12.5")]).encode()[:-40])
    first = night(home, path, SECOND)
    text = fix(home, first, "to-fix.hl7").read_bytes()
    assert text.endswith(b"|12.5|m") or b"\r" not in text[-10:]
    (tmp_path / "again.hl7").write_bytes(text)
    assert counts(home, night(home, tmp_path / "again.hl7", SECOND)) == (1, 0, 0)
    (tmp_path / "b.hl7").write_bytes(text[: text.rindex(b"\r") + 1] + message(3, "4.5", "12.5")[-1].encode() + b"\r")
    night(home, tmp_path / "b.hl7", THIRD)
    assert counts(home, first) == (0, 1, 0)


def test_a_note_says_what_its_messages_character_set_can_write(home, tmp_path):
    path = batch(tmp_path / "a.hl7", message(2, "high", charset=""), message(3, "high", charset="8859/5"))
    notes = [line for line in fix(home, night(home, path, SECOND), "to-fix.hl7").read_bytes().split(b"\r") if line.startswith(b"NTE")]
    assert [(b"en: " in note, "ru: Не число".encode("iso8859_5")[:4] in note) for note in notes] == [(True, False), (True, True)]


def test_a_note_that_names_another_senders_message_closes_nothing(home, tmp_path):
    first = night(home, batch(tmp_path / "a.hl7", message(2, "3.5"), message(3, "high")), SECOND)
    text = fix(home, first, "to-fix.hl7").read_text().replace("|high|", "|5.5|").replace("|LIS|L1|", "|LIS|L2|")
    (tmp_path / "b.hl7").write_text(text)
    assert tell_submission(home, night(home, tmp_path / "b.hl7", THIRD))["accepted_count"] == 1
    assert counts(home, first) == (1, 0, 0)


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
    told = {(f"erte-{i}-{n}", outcome) for j in again for i, n, _, outcome in j.mends.rows()}
    return {name_row("a" * 64, no) for no in texts}, told


@given(st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


@pytest.mark.parametrize("name", FORMS)
def test_refused_resources_come_back_with_what_they_need_and_close_when_mended(home, tmp_path, name):
    resources = [LABORATORY, *(born_as(n) for n in (2, 3, 4)), measure(2, 3.5), measure(3, 5.5, None), measure(4, 4.5, "furlong")]
    resources[-1]["meta"] = {"lastUpdated": "2026-02-13T09:00:00Z", "tag": [{"system": "urn:x", "code": "y"}]}
    first = night(home, FORMS[name](tmp_path / "a.json", *resources), SECOND)
    assert counts(home, first) == (2, 0, 0)
    text = fix(home, first, name).read_text()
    assert "Patient/p2" not in text and text.count('"Patient"') == 2 and text.count('"Organization"') == 1
    assert all(part in text for part in (f'"erte-{first[:12]}-6"', f'"erte-{first[:12]}-7"', "kk: ", "ru: ", "en: ", '"urn:x"'))
    (tmp_path / "b.json").write_text(text.replace('"value": 5.5', '"value": 5.5, "code": "m[IU]/L"'))
    second = night(home, tmp_path / "b.json", THIRD)
    assert (counts(home, first), counts(home, second)) == ((0, 1, 1), (1, 0, 0))
    again = fix(home, second, name).read_text()
    assert (again.count("urn:erte:row"), again.count("kk: ")) == (2, 1)
    (tmp_path / "c.json").write_text(again.replace("furlong", "m[IU]/L"))
    third = night(home, tmp_path / "c.json", THIRD + timedelta(days=1))
    assert [counts(home, s) for s in (first, second, third)] == [(0, 2, 0), (0, 1, 0), (0, 0, 0)]
    assert ask(home, "select value from lake.clinical.screening where known_to is null order by 1") == [(3.5,), (4.5,), (5.5,)]
    assert is_whole(home)


def test_a_line_that_refers_to_no_child_or_is_no_json_is_closed_by_its_name(home, tmp_path):
    lost, cut = measure(3, 5.5, subject={"reference": "Patient/p9"}, id=None), json.dumps(measure(4, 4.5))[:-2]
    first = night(home, write_ndjson(tmp_path / "a.ndjson", LABORATORY, born_as(2), born_as(3), born_as(4), measure(2, 3.5), lost, cut), SECOND)
    assert counts(home, first) == (2, 0, 0)
    text = fix(home, first, "to-fix.ndjson").read_text()
    (tmp_path / "again.ndjson").write_text(text)
    assert counts(home, night(home, tmp_path / "again.ndjson", SECOND))[0] == 2
    text = text.replace("Patient/p9", "Patient/p3").replace('"id":null', '"id":"o3"')
    mended = [line + "}}" if line.endswith('m[IU]/L"') else line for line in text.splitlines()]
    write_ndjson(tmp_path / "b.ndjson", born_as(3), *mended)
    assert counts(home, night(home, tmp_path / "b.ndjson", THIRD)) == (0, 0, 0)
    assert (counts(home, first)[0], ask(home, HELD)) == (0, [(3,)])


def test_a_result_of_a_bundle_keeps_its_place_among_those_of_the_same_number(home, tmp_path):
    """Two results of one order and kind: the refused second one must not take the place of the first when it comes alone."""
    order = {"identifier": [{"value": "F77"}]}
    resources = [LABORATORY, born_as(2), measure(2, 3.5, **order), measure(2, 9.5, None, **order, id="o9")]
    first = night(home, write_bundle(tmp_path / "a.json", *resources), SECOND)
    text = fix(home, first, "to-fix.json").read_text()
    (tmp_path / "b.json").write_text(text.replace('"value": 9.5', '"value": 9.5, "code": "m[IU]/L"'))
    night(home, tmp_path / "b.json", THIRD)
    assert counts(home, first) == (0, 1, 0)
    assert ask(home, "select value from lake.clinical.screening where known_to is null order by 1") == [(3.5,), (9.5,)]


def test_a_resource_of_another_sender_that_names_a_refused_one_closes_nothing(home, tmp_path):
    first = night(home, write_ndjson(tmp_path / "a.ndjson", LABORATORY, born_as(2), born_as(3), measure(2, 3.5), measure(3, 5.5, None)), SECOND)
    text = fix(home, first, "to-fix.ndjson").read_text().replace('"value": 5.5', '"value": 5.5, "code": "m[IU]/L"')
    (tmp_path / "b.ndjson").write_text(text.replace('"L1"', '"L2"'))
    assert tell_submission(home, night(home, tmp_path / "b.ndjson", THIRD))["state"] == "accepted"
    assert counts(home, first) == (1, 0, 0)


@given(st.data(), st.sampled_from(list(FORMS)))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_resources_damaged_in_any_way_are_never_taken_for_mended_when_nothing_was(tmp_path, data, name):
    resources = [LABORATORY, born_as(2), born_as(3), measure(2, 3.5), measure(2, 4.5, None, id="o9"), measure(3, 5.5, None)]
    damaged = data.draw(damage(FORMS[name](tmp_path / "sent", *resources).read_bytes()))
    assume(damaged.startswith(b"{"))
    try:
        names, told = judge_again(tmp_path, damaged, lambda *given: write_resources(*given)[1])
    except FileRefusedError:
        return
    assert told <= {(name, "refused_again") for name in names}
