"""A layout proposed for an unknown file, and a file tried without being stored."""

import gzip
import json
import tomllib
from datetime import datetime

import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from pipelines.cli.commands import app
from pipelines.intake.guess import describe_shape, guess_layout, name_encoding, read_sample
from pipelines.intake.layout import FOLDER, OURS_ADDED, list_layouts, read_layout
from pipelines.intake.proposal import find_forms
from pipelines.intake.refusal import FileRefusedError
from pipelines.intake.wide import read_words
from tests.nation import bear, name_iin, write_file
from tests.samples import find_samples

HEARING = (
    "№ записи;Код МО;ИИН матери;Дата рожд.;Дата обследованя;Пол;ВОАЭ левое;ВОАЭ правое;Примечание\r\n"
    + "".join(
        f"{n};M1;{name_iin(n)};10.02.2026;12.02.2026;{'Ж' if n % 2 else 'М'};{'прошел' if n % 3 else 'сомнительно'};прошел;text {n} of {n}\r\n"
        for n in range(1, 13)
    )
)  # fmt: skip


def guess(text, name="unknown", encoding="utf-8"):
    return guess_layout(read_sample(text.encode(encoding)), list_layouts(), name)


@pytest.mark.parametrize("end", ["\r", "\n"])
def test_a_table_is_guessed_whatever_ends_its_lines_and_also_when_it_is_packed(tmp_path, end):
    path = tmp_path / "table.csv.gz"
    path.write_bytes(gzip.compress(HEARING.replace("\r\n", end).encode()))
    found = CliRunner().invoke(app, ["layout", "guess", str(path), "--json"])
    assert (found.exit_code, json.loads(found.output)["placed"]) == (0, [dict(p._asdict()) for p in guess(HEARING).placed])


REFUSED = {
    "file_encoding_unknown": [HEARING.encode() + "Примечание".encode("cp1251") + b"\x98\xff"],
    "layout_unknown": [("Номер;" + "x" * 200_000 + ";y").encode()],
    "layout_not_needed": [b"MSH|^~\\&|LIS|L1\rPID|1\r", b'\n{"resourceType": "Patient"}', "\ufeffMSH|^~\\&|LIS".encode()],
    "format_not_supported": [b"%PDF-1.4", b"<html><table></table></html>"],
}


@pytest.mark.parametrize("code", REFUSED)
def test_what_is_no_table_is_guessed_at_by_nobody_and_says_why(tmp_path, code):
    for number, content in enumerate(REFUSED[code]):
        path = tmp_path / f"{number}.txt"
        path.write_bytes(content)
        found = CliRunner().invoke(app, ["layout", "guess", str(path)])
        assert (found.exit_code, found.output.split(":")[0]) == (2, code)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1251"])
def test_headers_are_placed_by_known_names_by_words_and_by_likeness(encoding):
    found = guess(HEARING, encoding=encoding)
    assert found.record == "screening"
    assert {p.header: p.column for p in found.placed} == {
        "№ записи": "source_id", "Код МО": "sender_id", "ИИН матери": "mother_iin", "Дата рожд.": "birth_on",
        "Дата обследованя": "examined_on", "Пол": "sex_code",
    }  # fmt: skip
    assert [p.why.split()[0] for p in found.placed if p.header == "Дата обследованя"] == ["alike"]
    assert [(c.header, c.constants["component"]) for c in found.components] == [
        ("ВОАЭ левое", "oae_left"), ("ВОАЭ правое", "oae_right"),
    ]  # fmt: skip
    assert list(found.unplaced) == ["Примечание"]
    assert found.lacking == ("action_code", "status_code")


def test_the_proposal_reads_as_a_layout_and_says_its_doubts_in_comments(tmp_path):
    found = guess(HEARING)
    path = tmp_path / "unknown.toml"
    path.write_text(found.toml, "utf-8")
    layout = read_layout(path)
    assert (layout.separator, layout.dates, layout.encodings) == (";", ("%d.%m.%Y",), ("utf-8",))
    assert layout.values["sex_code"] == {"ж": "female", "м": "male"}
    assert '# "сомнительно" = "?"  # not placed' in found.toml
    assert '# "Примечание" = "?"  # not placed' in found.toml
    assert "# lacking, every record needs it: status_code" in found.toml


def test_an_unknown_code_is_only_commented_and_never_falls_into_a_default():
    assert "сомнительно" not in tomllib.loads(guess(HEARING).toml)["values"]["result_code"]


def test_sexes_and_places_are_known_by_their_values_and_an_iin_is_only_suggested():
    text = "a1,a2,a3,Дата рождения\n" + "".join(f"{name_iin(n)},{'Ж' if n % 2 else 'М'},751010000,2026-02-10\n" for n in range(1, 9))
    found = guess(text)
    assert {p.header: p.column for p in found.placed} == {"a2": "sex_code", "a3": "residence_kato", "Дата рождения": "birth_on"} or (
        {p.header: p.column for p in found.placed} == {"a2": "sex_code", "Дата рождения": "birth_on"}
    )
    assert found.unplaced["a1"].startswith("iin")


def test_no_value_of_a_column_that_is_no_code_stands_in_the_proposal():
    toml = guess(HEARING).toml
    assert not [n for n in range(1, 13) if name_iin(n) in toml or f"text {n} of {n}" in toml]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [("utf-8", "Жынысы;Тегі"), ("cp1251", "Пол;Фамилия;Объём"), ("kz1048", "Жынысы;Тегі;Әкесінің аты;Қала;Өңір;Ұйым")],
)
def test_the_encoding_is_told_by_the_letters_it_reads(encoding, text):
    assert name_encoding((text + "\n" + text).encode(encoding)) == encoding


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        ([name_iin(1), name_iin(2)], "iin (12 digits, check digit right)"), (["250314500011"] * 2, "whole number"),
        (["751010000"], "kato (9 digits)"), (["3,5", "4"], "number"), (["10.02.2026"], "date %d.%m.%Y"), ([], "empty"),
        (["a", "b"] * 4, "code (2 values)"), (["a", "b", "c"], "text"),
    ],
)  # fmt: skip
def test_shapes_are_told_without_a_value(values, shape):
    assert describe_shape(values) == shape


@pytest.mark.parametrize(
    ("values", "forms"),
    [
        (["13.02.2026"] * 2 + ["?"], ["%d.%m.%Y"]), (["13.02.2026"] * 5 + ["2026-02-13"] * 5, []), ([], []),
        (["02/13/2026", "02/03/2026"], ["%m/%d/%Y"]), (["13/02/2026", "02/03/2026", "02/04/2026"], ["%d/%m/%Y", "%m/%d/%Y"]),
        (["02/13/2026", "02/03/2026", "02/04/2026"], ["%m/%d/%Y", "%d/%m/%Y"]), (["13.02.26", "14.02.26"], ["%d.%m.%y"]),
        (["13/02/26", "14/02/26"], []),  # of a year in two digits no form with four is proposed
    ],
)  # fmt: skip
def test_a_form_fits_when_most_dates_read_by_it_and_a_day_above_12_decides_between_day_and_month(values, forms):
    assert find_forms(values, "dates") == forms


def write_dates(*days: str) -> str:
    """A proposal for a table of births and tests on these days."""
    lines = [f"{n};{name_iin(n)};{day};{day};Pass" for n, day in enumerate(days, 1)]
    return guess("\n".join(["Record;Mother IIN;DOB;Test date;OAE left", *lines])).toml


def test_one_bad_date_does_not_leave_a_column_without_a_form_and_is_counted():
    toml = write_dates(*["13.02.2026"] * 4, "in spring")
    assert 'dates = ["%d.%m.%Y"]  # 2 of 10 values fit none of these forms\n' in toml
    assert 'dates = ["%Y-%m-%d"]  # no form fits\n' in write_dates("spring", "summer")


def test_days_written_the_american_way_are_known_by_a_day_above_12_and_else_it_is_said_that_they_are_open():
    assert 'dates = ["%m/%d/%Y"]\n' in write_dates("02/03/2026", "02/13/2026")
    assert 'dates = ["%d/%m/%Y"]  # no day is above 12: day and month may be exchanged\n' in write_dates("02/03/2026", "02/04/2026")
    assert '"Test date" = "examined_on"\n' in write_dates("02/13/2026")


def test_a_moment_that_is_only_a_day_needs_no_form_of_moments():
    text = "Организация;Выдано;Дата рождения;Пол\n" + "M1;13.02.2026;13.02.2026;м\n" * 3
    assert 'datetimes = ["%Y-%m-%dT%H:%M:%S"]\n' in guess(text).toml
    assert 'datetimes = ["%Y-%m-%dT%H:%M:%S"]  # no form fits\n' in guess(text.replace(";13.02.2026;", ";noon;", 3)).toml


def test_a_month_in_words_needs_no_form():
    text = "Организация;Отчетный период;Всего новорожденных\n" + "M1;февраль 2026;10\nM2;февраль 2026;12\n"
    assert 'dates = ["%Y-%m-%d"]\n' in guess(text).toml


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_excels_own_line_and_its_unicode_text_are_no_hindrance(encoding):
    found = guess("sep=;\r\n" + HEARING, encoding=encoding)
    assert (found.record, found.toml) == ("screening", guess(HEARING).toml)


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "file_empty"), (b"\x00\x01", "file_binary"), (b"one\ntwo\n", "layout_unknown"), (b"a,a\n1,2\n", "header_repeated")],
)
def test_what_is_no_table_is_refused_with_its_code(content, code):
    with pytest.raises(FileRefusedError) as refused:
        read_sample(content)
    assert refused.value.code == code


def test_every_word_is_of_a_column_of_a_contract():
    from pipelines.contracts import RECORDS

    known = {c for contract in RECORDS.values() for c in contract.column_names()}
    assert set(read_words()["column"]) <= known


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.text(st.sampled_from('aж1.,;-"= \t\u00a0#]['), max_size=6), min_size=2, max_size=5), min_size=1, max_size=6))
def test_whatever_is_sent_the_proposal_reads_or_the_file_is_refused(tmp_path_factory, rows):
    text = "\n".join(";".join(row) for row in rows)
    try:
        found = guess(text, "any")
    except FileRefusedError:
        return
    path = tmp_path_factory.mktemp("any") / "any.toml"
    path.write_text(found.toml, "utf-8")
    assert read_layout(path).name == "any"


BLOOD = "Код МО;№ записи;ИИН матери;Дата рождения;Дата забора;{};{};Прим\n" + "".join(
    f"M1;R{n};{name_iin(n)};10.02.2026;12.02.2026;{n},5;<{n * 10};x {n}\n" for n in range(1, 9)
)  # fmt: skip


@pytest.mark.parametrize(
    ("tsh", "phe", "units"),
    [
        ("ТТГ", "Phe", (None, None)), ("TSH, мЕд/л", "Фенилаланин (ФА)", ("мЕд/л", None)),
        ("Результат ТТГ (мкМЕ/мл)", "ФА (мкмоль/л)", ("мкМЕ/мл", "umol/L")), ("ТТГ, мкмоль/л", "ФА [mg/dL]", (None, "mg/dL")),
        ("ТТГ, m[IU]/L", "phenylalanine", ("m[IU]/L", None)),
    ],
)  # fmt: skip
def test_an_analyte_in_a_column_of_its_own_is_known_and_its_unit_only_by_what_the_header_says(tsh, phe, units):
    found = guess(BLOOD.format(tsh, phe))
    assert [(c.header, c.into, c.constants["component"], c.constants.get("unit")) for c in found.components] == [
        (tsh, "value", "tsh", units[0]), (phe, "value", "phe", units[1]),
    ]  # fmt: skip
    assert found.toml.count("the header names none that is known") == units.count(None)
    assert list(found.unplaced) == ["Прим"]


def test_what_only_resembles_an_analyte_is_not_placed_but_said():
    found = guess(BLOOD.format("ТТГ матери", "Фенилаланин и тирозин"))
    assert (found.components, {"ТТГ матери", "Фенилаланин и тирозин"} <= set(found.unplaced)) == ((), True)
    twice = guess(BLOOD.format("ТТГ", "TSH"))
    assert ([c.header for c in twice.components], "TSH" in twice.unplaced) == (["ТТГ"], True)


def test_answers_in_words_under_an_analyte_are_answers():
    text = "".join(f"M1;{name_iin(n)};10.02.2026;12.02.2026;{'норма' if n % 2 else 'выше нормы'};x{n}\n" for n in range(1, 9))
    found = guess("Код МО;ИИН матери;Дата рождения;Дата забора;ТТГ;ФА\n" + text)
    assert [(c.header, c.into) for c in found.components] == [("ТТГ", "result_code")]
    assert "ФА" in found.unplaced


RETURN = """МО;№;Отчетный месяц;Возраст;Подлежало, чел;Осмотрено, абс;Осмотрено, %;Выявлено с риском (абс.);Кариес;Направлено в ПМПК, абс
M1;1;01.02.2026;Новорожденные;100;90;90,0;3;1;2
M1;2;01.02.2026;до года;50;40;80,0;1;0;1
M1;3;01.02.2026;подростки;50;40;80,0;1;0;1
Всего;;;;200;170;85,0;5;1;4
"""


def test_a_return_is_known_by_its_counts_with_its_groups_and_what_must_agree():
    found = tomllib.loads(guess(RETURN).toml)
    assert (found["record"], found["constants"], found["identity"]) == (
        "aggregate", {"action_code": "report", "annex": "16"}, ["sender_id", "annex", "facility_id", "period_month"],
    )  # fmt: skip
    assert {h: c["measure"] for h, c in found["components"].items()} == {
        "Подлежало, чел": "target", "Осмотрено, абс": "screened", "Выявлено с риском (абс.)": "at_risk", "Направлено в ПМПК, абс": "sent_to_pmpc",
    }  # fmt: skip
    assert (found["values"]["row_group"], list(found["ignored"])) == ({"до года": "under_1", "новорожденные": "newborn"}, ["№", "Осмотрено, %"])
    assert found["totals"] == {
        "group": "Возраст",
        "at_most": [["Осмотрено, абс", "Подлежало, чел"], ["Выявлено с риском (абс.)", "Осмотрено, абс"],
                    ["Направлено в ПМПК, абс", "Выявлено с риском (абс.)"]],
        "percent": [["Осмотрено, %", "Осмотрено, абс", "Подлежало, чел"]],
    }  # fmt: skip
    assert '# "Кариес" = "?"  # not placed' in guess(RETURN).toml
    assert '# "подростки" = "?"  # not placed' in guess(RETURN).toml


def test_a_return_is_judged_by_its_proposal_and_one_whose_counts_do_not_agree_is_refused(tmp_path):
    for name, text, told in (("good", RETURN, (None, 3, 2)), ("bad", RETURN.replace("200", "201"), ("totals_differ", 0, 0))):
        sent, out = tmp_path / f"{name}.csv", tmp_path / f"our-{name}.toml"
        sent.write_text(text, "utf-8")
        assert invoke("guess", sent, "--out", out)[0] == 0
        trial = json.loads(invoke("check", sent, "--layout", out, "--on", "2026-03-01", "--home", tmp_path / "home", "--json")[1])
        assert (trial["refusal_code"], trial["received_count"], trial["accepted_count"]) == told


def test_a_list_that_says_how_many_children_it_has_is_held_to_it():
    text = "ИИН;Дата рождения;Правое ухо;Левое ухо\n" + f"{name_iin(1)};10.02.2026;Прошел;Прошел\n" + "Итого детей: 1;;;\n"
    assert tomllib.loads(guess(text).toml)["totals"] == {"counts_rows": True}


@pytest.mark.parametrize("layout", list_layouts(), ids=lambda x: x.name)
def test_the_columns_of_every_known_layout_are_found_again_and_what_is_proposed_can_be_tried(layout, tmp_path):
    headers = [*layout.columns, *(c.header for c in layout.components), *layout.ignored]
    values = {"birth_on": "10.02.2026", "examined_on": "12.02.2026", "period_month": "01.02.2026"}
    row = [values.get(layout.columns.get(h, ""), "1") for h in headers]
    sent, out = tmp_path / "sent.csv", tmp_path / "ours.toml"
    sent.write_text("\n".join(";".join(f'"{cell}"' for cell in cells) for cells in (headers, row, row)), "utf-8")
    assert invoke("guess", sent, "--out", out)[0] == 0
    proposed = read_layout(out)
    assert proposed.record == layout.record
    vague = {"Результат", "Заключение"}
    kinds = {tuple(sorted(c.constants.items())) for c in layout.components if c.header not in vague}
    assert {tuple(sorted(c.constants.items())) for c in proposed.components} >= kinds
    code, told = invoke("check", sent, "--layout", out, "--on", "2026-03-01", "--home", tmp_path / "home", "--json")
    assert (code in (0, 1), json.loads(told)["layout"] in ("ours", None)) == (True, True)


@pytest.mark.parametrize("path", sorted((find_samples() / "tabular").glob("*.*")) or [None], ids=lambda p: p.name if p else "none")
def test_a_public_sample_is_tried_with_what_is_proposed_for_it_or_refused(path, tmp_path):
    if path is None:
        pytest.skip("the public samples are not at hand")
    out = tmp_path / "ours.toml"
    code, told = invoke("guess", path, "--out", out, "--json")
    if code == 2:
        assert json.loads(told)["error"]
        return
    found = json.loads(told)
    listed = [entry["header"] for name in ("placed", "components", "ignored", "unplaced") for entry in found[name]]
    assert len(listed) == len(set(listed)) == len(read_layout(out).headers - set(OURS_ADDED)) + len(found["unplaced"])
    code, told = invoke("check", path, "--layout", out, "--on", "2026-03-01", "--home", tmp_path / "home", "--json")
    assert (code in (0, 1), "findings" in json.loads(told)) == (True, True)


def test_every_named_result_and_count_is_one_of_ours_and_no_word_names_two():
    from pipelines.contracts import PROGRAMMES
    from pipelines.contracts.codes import MEASURES

    words = read_words()
    assert {entry["programme"] for entry in words["result"].values()} <= set(PROGRAMMES)
    assert set(words["measure"]) <= set(MEASURES)
    for table in ("result", "measure"):
        said = [word for entry in words[table].values() for word in entry["words"]]
        assert len(said) == len(set(said))


def invoke(*args):
    done = CliRunner().invoke(app, ["layout", *map(str, args)])
    return done.exit_code, done.stdout


def test_guess_writes_a_layout_and_check_tries_the_file_with_it_and_stores_nothing(tmp_path):
    sent, out, home = tmp_path / "sent.csv", tmp_path / "our-system.toml", tmp_path / "home"
    sent.write_text(HEARING, "utf-8")
    assert invoke("guess", sent, "--out", out)[0] == 0
    assert invoke("guess", sent, "--out", out)[0] == 2
    code, told = invoke("check", sent, "--layout", out, "--on", "2026-03-01", "--home", home, "--json")
    trial = json.loads(told)
    assert (code, trial["received_count"], trial["quarantined_count"]) == (1, 12, 12)
    out.write_text(
        out.read_text("utf-8").replace("[columns]", "[constants]\nstatus_code = \"final\"\naction_code = \"report\"\n[columns]", 1), "utf-8"
    )
    code, told = invoke("check", sent, "--layout", out, "--on", "2026-03-01", "--home", home, "--json")
    trial = json.loads(told)
    assert (code, trial["accepted_count"]) == (1, 8)
    found = [(f["code"], f["column"], f["rows"], f["lines"]) for f in trial["findings"]]
    assert ("result_code_unknown", "ВОАЭ левое", 4, [4, 7, 10, 13]) in found
    assert ("column_unknown", "Примечание") in [f[:2] for f in found]
    assert not home.exists()


def draw_hearing(path):
    """A workbook as a maternity draws it: a sheet of words, a title, a header of two rows with a group, days as date cells."""
    top = ["№ записи", "Код МО", "ИИН матери", "Дата рожд.", "Дата обследования", "Пол", "ВОАЭ", None, "Примечание"]
    with xlsxwriter.Workbook(path, {"default_date_format": "dd.mm.yyyy"}) as book:
        words = book.add_worksheet("Слова")
        words.write_row(0, 0, ["код", "значение"])
        words.write_row(1, 0, ["1", "прошел"])
        sheet = book.add_worksheet("Слух")
        sheet.merge_range("A1:I1", "Аудиологический скрининг за месяц")
        sheet.write_row(2, 0, top)
        sheet.merge_range("G3:H3", "ВОАЭ")
        sheet.write_row(3, 6, ["левое", "правое"])
        for n in range(1, 13):
            sheet.write_row(3 + n, 0, [f"S{n}", "M1", name_iin(n)])
            sheet.write_datetime(3 + n, 3, datetime(2026, 2, 10))
            sheet.write_datetime(3 + n, 4, datetime(2026, 2, 12))
            sheet.write_row(3 + n, 5, ["Ж" if n % 2 else "М", "прошел", "не прошел", f"text {n}"])
    return path


def test_a_workbook_is_guessed_by_its_greatest_table_and_tried_with_the_proposal(tmp_path):
    sent, out, home = draw_hearing(tmp_path / "sent.xlsx"), tmp_path / "our-workbook.toml", tmp_path / "home"
    code, told = invoke("guess", sent, "--out", out, "--json")
    found = json.loads(told)
    assert (code, found["record"]) == (0, "screening")
    assert {p["header"]: p["column"] for p in found["placed"]} == {
        "№ записи": "source_id", "Код МО": "sender_id", "ИИН матери": "mother_iin", "Дата рожд.": "birth_on",
        "Дата обследования": "examined_on", "Пол": "sex_code",
    }  # fmt: skip
    assert [c["component"] for c in found["components"]] == ["oae_left", "oae_right"]
    assert [u["header"] for u in found["unplaced"]] == ["Примечание"]
    assert name_iin(1) not in told
    out.write_text(
        out.read_text("utf-8").replace("[columns]", "[constants]\nstatus_code = \"final\"\naction_code = \"report\"\n[columns]", 1), "utf-8"
    )
    code, told = invoke("check", sent, "--layout", out, "--on", "2026-03-01", "--home", home, "--json")
    trial = json.loads(told)
    assert (code, trial["received_count"], trial["accepted_count"]) == (0, 12, 12)
    assert not home.exists()


@pytest.mark.parametrize(
    ("rows", "code"),
    [([["Итого", "12"]], "layout_unknown"), ([["Пол", "Дата рождения", "Пол"], ["Ж", "10.02.2026", "Ж"]], "header_repeated")],
)
def test_a_workbook_without_a_header_that_can_be_told_is_refused_with_its_code(tmp_path, rows, code):
    with xlsxwriter.Workbook(tmp_path / "a.xlsx") as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)
    exit_code, told = invoke("guess", tmp_path / "a.xlsx", "--json")
    assert (exit_code, json.loads(told)["error"]) == (2, code)


def test_check_holds_a_declared_total_against_its_rows_by_a_layout_of_ones_own_too_and_reads_what_is_packed(tmp_path):
    own = tmp_path / "mine.toml"
    own.write_text(next(FOLDER.glob("annex-7-return.toml")).read_text("utf-8").replace('name = "annex-7-return"', 'name = "mine"'), "utf-8")
    for total, code in ((150, None), (151, "totals_differ")):
        rows = ["Организация;Отчетный период;Всего новорожденных", "M1;01.02.2026;100", "M2;01.02.2026;50", f"Итого;;{total}"]
        sent = tmp_path / f"{total}.csv.gz"
        sent.write_bytes(gzip.compress("\n".join(rows).encode()))
        told = json.loads(invoke("check", sent, "--layout", own, "--on", "2026-03-01", "--home", tmp_path / "home", "--json")[1])
        assert (told["refusal_code"], told["received_count"]) == (code, 0 if code else 2)


def test_check_is_0_only_when_nothing_is_refused(tmp_path):
    good = write_file(tmp_path / "good.csv", [bear(2), bear(4)])
    bad = tmp_path / "bad.csv"
    bad.write_text("colour,taste\nred,sweet\n")
    home = ("--home", tmp_path / "home", "--json", "--on", "2026-03-01")
    assert invoke("check", good, *home)[0] == 0
    code, told = invoke("check", bad, *home)
    assert (code, json.loads(told)["refusal_code"]) == (1, "layout_unknown")
    assert invoke("check", tmp_path / "absent.csv", *home)[0] == 2
    assert invoke("guess", tmp_path / "absent.csv")[0] == 2
    assert all(invoke(name, "--help")[0] == 0 for name in ("guess", "check"))
