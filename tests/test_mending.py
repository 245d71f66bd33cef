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
from pipelines.night.receipt import read_receipts
from pipelines.night.verify import verify_store
from pipelines.store.lake import open_lake
from tests.nation import BORN, FIRST, ask, bear, copy_home, name_iin, send, settle, take_in, write_file
from tests.test_annex import DAY, LIST_12, TITLES, child, judge, listed, write

SECOND, THIRD, FOURTH = (FIRST + timedelta(days=n) for n in (1, 2, 3))
WRONG = "250314500011"
HELD = "select count(*) from lake.clinical.screening where known_to is null"


@pytest.fixture(scope="module")
def born(tmp_path_factory):
    """A home in which twelve children are born."""
    folder = tmp_path_factory.mktemp("born")
    home = settle(folder / "home")
    send(home, folder, [{"birth": bear(n, child_iin=name_iin(n), mother_iin=name_iin(900 + n))} for n in range(2, 14)])
    take_in(home, FIRST)
    return home


@pytest.fixture
def home(born, tmp_path):
    return copy_home(born, tmp_path / "home")


def night(home, path: Path, on) -> str:
    """The submission of a file that was sent and judged."""
    (submission,) = flow.receive(home, [path])
    take_in(home, on)
    return submission


def one_night(home, paths: dict[str, Path], on) -> dict[str, str]:
    """The submissions of files that have nothing to do with one another, sent and judged in the same night; by their names."""
    ids = {name: submission for name, path in paths.items() for submission in flow.receive(home, [path])}
    take_in(home, on)
    return ids


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
    with open_lake(home) as connection:
        (told,) = read_receipts(connection, [submission]).to_dicts()
    return told["open_count"], told["mended_count"], told["refused_again_count"]


def is_whole(home) -> bool:
    """Whether every promise is kept when the feeds of the last night have been composed."""
    flow.refer(home, FOURTH)
    return not [check for check in verify_store(home) if check.broken]


# ------------------------------------------------------------------------------------------------ delimited text


@pytest.fixture(scope="module")
def left_out(born, tmp_path_factory):
    """A birth whose own number was left out: nothing but its name in the file to fix says which row it is."""
    folder = tmp_path_factory.mktemp("refused")
    home = copy_home(born, folder / "home")
    rows = [bear(20, child_iin=name_iin(20)), bear(22, child_iin=name_iin(22), source_id="")]
    return home, night(home, write_file(folder / "births.csv", rows), SECOND)


@pytest.fixture
def refused(left_out, tmp_path):
    home, submission = left_out
    return copy_home(home, tmp_path / "home"), submission


def test_a_row_without_the_number_by_which_it_is_known_is_closed_when_it_is_filled_in(refused, tmp_path):
    home, refused = refused
    path = fix(home, refused, "to-fix.csv")
    (row,) = read_csv(path)
    assert list(row)[-2:] == [MENDS, REASONS]
    assert row[MENDS] == f"erte-{refused[:12]}-3"
    mended = night(home, mend_csv(path, tmp_path / "mended.csv", source_id="B22"), THIRD)
    assert counts(home, refused) == (0, 1, 0)
    assert tell_submission(home, mended)["state"] == "accepted"
    assert {f["code"] for f in tell_submission(home, mended)["findings"]} <= {"column_absent"}
    assert is_whole(home)


def test_a_row_sent_unmended_is_told_as_refused_again_and_mended_later_closes_every_round(refused, tmp_path):
    home, refused = refused
    shutil.copy(fix(home, refused, "to-fix.csv"), tmp_path / "again.csv")
    again = night(home, tmp_path / "again.csv", THIRD)
    assert (counts(home, refused), counts(home, again)) == ((0, 0, 1), (1, 0, 0))
    (row,) = read_csv(fix(home, again, "to-fix.csv"))
    assert row[MENDS] == f"erte-{again[:12]}-2 erte-{refused[:12]}-3"
    assert row[REASONS].count("source_id_missing") == 1
    night(home, mend_csv(fix(home, again, "to-fix.csv"), tmp_path / "mended.csv", source_id="B22"), FOURTH)
    assert (counts(home, refused), counts(home, again)) == ((0, 1, 0), (0, 1, 0))


NAMES = ["erte-{0}-3", "erte-{0}-4", "erte-000000000000-3", "erte-{0}-99999999999999999999", "3", ""]


@pytest.fixture(scope="module")
def named(left_out, tmp_path_factory):
    """Each name on a good row of another sender, and the night after on a bad one: the home, what was refused first, both by name."""
    home, refused = left_out
    folder = tmp_path_factory.mktemp("named")
    home = copy_home(home, folder / "home")
    others = {
        name: bear(n, child_iin=name_iin(n)) | {MENDS: name.format(refused[:12]), REASONS: "x"}
        for name, n in zip(NAMES, (3, 5, 7, 9, 11, 13), strict=True)
    }
    assert {other["sender_id"] for other in others.values()} == {"M2"}
    good = {name: write_file(folder / f"{n}-other.csv", [other]) for n, (name, other) in enumerate(others.items())}
    bad = {name: write_file(folder / f"{n}-bad.csv", [other | {"sex_code": "blue"}]) for n, (name, other) in enumerate(others.items())}
    return home, refused, one_night(home, good, THIRD), one_night(home, bad, THIRD)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_another_senders_row_or_of_no_row_closes_nothing_and_refuses_nothing(named, name):
    home, refused, accepted, again = named
    assert counts(home, refused) == (1, 0, 0)
    assert (tell_submission(home, accepted[name])["state"], counts(home, again[name])) == ("accepted", (1, 0, 0))


def test_a_row_that_a_person_emptied_but_for_our_columns_is_no_row(refused, tmp_path):
    home, refused = refused
    path = fix(home, refused, "to-fix.csv")
    empty = dict.fromkeys(read_csv(path)[0], "")
    lines = mend_csv(path, tmp_path / "a.csv", source_id="B22").read_text().splitlines()
    (tmp_path / "a.csv").write_text("\n".join([*lines, ",".join({**empty, MENDS: "erte-1", REASONS: "x"}.values())]) + "\n")
    assert tell_submission(home, night(home, tmp_path / "a.csv", THIRD))["received_count"] == 1


def test_reasons_are_told_in_three_languages(left_out):
    home, refused = left_out
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
        ["A", "2 года", "x", "F80.1", "20.02.2026", "", said, DAY] for said in (name_iin(4), iin))]),
    "19": lambda path, iin: write(path, [*TITLES, LIST_19, *(
        ["A", BORN, said, "x", 30, 1400, "РН нет", DAY] for said in (name_iin(6), iin))]),
}  # fmt: skip
MISSPELT = {"12": WRONG, "17": "250314500012", "19": "250314500013"}
MEANT = {"12": name_iin(3), "17": name_iin(5), "19": name_iin(7)}
HELD_OF = """
    select count(*) from lake.clinical.screening s join lake.identified.birth b using (child_key)
    where s.known_to is null and b.known_to is null and b.child_iin in (?, ?)"""
CHILDREN = {"12": (2, 3), "17": (4, 5), "19": (6, 7)}


@pytest.fixture(scope="module")
def lists(born, tmp_path_factory):
    """Each list sent with a wrong IIN, sent again as it came back, and sent mended: the home, and after each of the three nights
    the counts of all that was sent of the list and how many results of its children are held."""
    folder = tmp_path_factory.mktemp("lists")
    home, sent, told = copy_home(born, folder / "home"), {annex: [] for annex in LISTS}, {annex: [] for annex in LISTS}

    def live(on, paths):
        for annex, submission in one_night(home, paths, on).items():
            sent[annex].append(submission)
            held = ask(home, HELD_OF, *map(name_iin, CHILDREN[annex]))[0][0]
            told[annex].append(([counts(home, s) for s in sent[annex]], held))

    live(SECOND, {annex: make(folder / f"{annex}.xlsx", MISSPELT[annex]) for annex, make in LISTS.items()})
    for annex, (first,) in sent.items():
        shutil.copy(fix(home, first, "to-fix.xlsx"), folder / f"again-{annex}.xlsx")
    live(SECOND, {annex: folder / f"again-{annex}.xlsx" for annex in LISTS})
    live(THIRD, {
        annex: mend_workbook(fix(home, again, "to-fix.xlsx"), folder / f"mended-{annex}.xlsx", ИИН=MEANT[annex])
        for annex, (_, again) in sent.items()
    })  # fmt: skip
    return home, {annex: submissions[-1] for annex, submissions in sent.items()}, told, is_whole(home)


@pytest.mark.parametrize("annex", LISTS)
def test_a_row_of_a_list_whose_iin_names_it_is_closed_when_the_iin_is_mended(lists, annex):
    home, mended, told, is_kept = lists
    (first, held), again, last = told[annex]
    assert first == [(1, 0, 0)]
    assert again == ([(0, 0, 1), (1, 0, 0)], held)
    assert last == ([(0, 1, 0), (0, 1, 0), (0, 0, 0)], 2 * held)
    assert tell_submission(home, mended[annex])["state"] == "accepted"
    assert ask(home, HELD) == [(sum(nights[-1][1] for nights in told.values()),)]
    assert (held > 0, is_kept) == (True, True)


@pytest.fixture(scope="module")
def sheets(born, tmp_path_factory):
    """A list with an answer that is none, and lists whose names say another format than they are of: the home and the submissions."""
    folder = tmp_path_factory.mktemp("sheets")
    home = copy_home(born, folder / "home")
    header = ["Организация", *LIST_12, "Дата обследования"]
    text, book = folder / "march.xls", folder / "march.csv"
    text.write_text("\n".join(";".join(map(str, r)) for r in (header, ["M1", *child(3, iin=WRONG), DAY])), "utf-8")
    listed(folder / "book.xlsx", child(4, iin="250314500012")).rename(book)
    noted = listed(folder / "a.xlsx", child(2, right="может быть"))
    return home, one_night(home, {"noted": noted, "csv": text, "xlsx": book}, SECOND)


def test_a_note_stands_on_the_very_cell_in_three_languages(sheets):
    home, ids = sheets
    sheet = openpyxl.load_workbook(fix(home, ids["noted"], "to-fix.xlsx")).active
    notes = {sheet.cell(1, cell.column).value: cell.comment.text for cell in sheet[2] if cell.comment}
    assert list(notes) == ["Правое ухо"]
    assert len(notes["Правое ухо"].splitlines()) == 3
    assert notes["Правое ухо"].count("Правое ухо") == 3


@pytest.mark.parametrize("content", ["csv", "xlsx"])
def test_the_file_to_fix_is_of_the_format_that_was_sent_whatever_the_file_was_called(sheets, content):
    home, ids = sheets
    assert fix(home, ids[content], f"to-fix.{content}").exists()


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
    third = night(home, tmp_path / "c.hl7", FOURTH)
    assert (counts(home, first), counts(home, second), counts(home, third)) == ((0, 2, 0), (0, 1, 0), (0, 0, 0))
    held = "select component, value from lake.clinical.screening where known_to is null order by all"
    assert ask(home, held) == [("phe", 1.0), ("phe", 1.5), ("tsh", 3.5), ("tsh", 4.5), ("tsh", 5.5)]
    assert is_whole(home)


WHOLE = {
    "message_header_malformed": (["MSH|^~\\&|LIS|L1|ERTE|MOH|20260213100000|||M3|P|2.5.1", *message(3, "5.5")[1:]], message(3, "5.5")),
    "message_without_results": (message(5, "5.5")[:-1], message(5, "5.5")),
    "message_not_result": (message(7, "5.5", kind="ADT^A01"), message(7, "5.5")),
}


@pytest.fixture(scope="module")
def empty_messages(born, tmp_path_factory):
    """Each message that gives nothing, beside one that does, and the night after mended under the note it came back with: the home,
    what was sent first, and its counts before it was mended."""
    folder = tmp_path_factory.mktemp("messages")
    home = copy_home(born, folder / "home")
    paths = {code: batch(folder / f"{code}.hl7", message(n, "3.5"), bad) for n, (code, (bad, _)) in zip((2, 4, 6), WHOLE.items(), strict=True)}
    first, mended = one_night(home, paths, SECOND), {}
    told = {code: counts(home, submission) for code, submission in first.items()}
    for code, (_, good) in WHOLE.items():
        text = fix(home, first[code], "to-fix.hl7").read_text()
        note = next(line for line in text.splitlines() if line.startswith("NTE"))
        mended[code] = folder / f"{code}-mended.hl7"
        mended[code].write_text("\n".join([good[0], good[1], note, *good[2:], ""]))
    one_night(home, mended, THIRD)
    return home, first, told


@pytest.mark.parametrize("code", WHOLE)
def test_a_message_that_gave_nothing_is_closed_when_it_gives_its_results(empty_messages, code):
    home, first, told = empty_messages
    assert (told[code], code in fix(home, first[code], "findings.csv").read_text()) == ((1, 0, 0), True)
    assert counts(home, first[code]) == (0, 1, 0)


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


OF_FORM = {"to-fix.ndjson": (2, 3, 4), "to-fix.json": (5, 6, 7)}
VALUES = """
    select value from lake.clinical.screening s join lake.identified.birth b using (child_key)
    where s.known_to is null and b.known_to is null and b.child_iin in (?, ?, ?) order by 1"""


@pytest.fixture(scope="module")
def resources(born, tmp_path_factory):
    """In each form two resources of three are refused; one of them is mended, then the other: the home, and for each form what was
    sent and the counts of all of it after each night."""
    folder = tmp_path_factory.mktemp("resources")
    home, sent, told = copy_home(born, folder / "home"), {name: [] for name in FORMS}, {name: [] for name in FORMS}

    def live(on, paths):
        for name, submission in one_night(home, paths, on).items():
            sent[name].append(submission)
            told[name].append([counts(home, s) for s in sent[name]])

    def mend(number, old, new):
        paths = {name: folder / f"{number}-{name}" for name in FORMS}
        for name, path in paths.items():
            path.write_text(fix(home, sent[name][-1], name).read_text().replace(old, new))
        return paths

    live(SECOND, {name: write_refused(folder / f"a-{name}", name) for name in FORMS})
    live(THIRD, mend("b", '"value": 5.5', '"value": 5.5, "code": "m[IU]/L"'))
    live(FOURTH, mend("c", "furlong", "m[IU]/L"))
    return home, sent, told, is_whole(home)


def write_refused(path: Path, name: str) -> Path:
    """A good result, one without a unit and one with a unit that is none."""
    good, bare, odd = OF_FORM[name]
    tagged = {"lastUpdated": "2026-02-13T09:00:00Z", "tag": [{"system": "urn:x", "code": "y"}]}
    return FORMS[name](path, LABORATORY, *map(born_as, OF_FORM[name]), measure(good, 3.5), measure(bare, 5.5, None),
                       measure(odd, 4.5, "furlong", meta=tagged))  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_refused_resources_come_back_with_what_they_need_and_close_when_mended(resources, name):
    home, sent, told, is_kept = resources
    first, second, _ = sent[name]
    assert told[name] == [[(2, 0, 0)], [(0, 1, 1), (1, 0, 0)], [(0, 2, 0), (0, 1, 0), (0, 0, 0)]]
    text = fix(home, first, name).read_text()
    assert f"Patient/p{OF_FORM[name][0]}" not in text and text.count('"Patient"') == 2 and text.count('"Organization"') == 1
    assert all(part in text for part in (f'"erte-{first[:12]}-6"', f'"erte-{first[:12]}-7"', "kk: ", "ru: ", "en: ", '"urn:x"'))
    again = fix(home, second, name).read_text()
    assert (again.count("urn:erte:row"), again.count("kk: ")) == (2, 1)
    assert ask(home, VALUES, *map(name_iin, OF_FORM[name])) == [(3.5,), (4.5,), (5.5,)]
    assert (ask(home, HELD), is_kept) == ([(6,)], True)


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
