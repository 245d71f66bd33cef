"""The front door: files as senders write them, judged row by row, every reason told, nothing lost."""

import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import contracts
from pipelines.contracts import NOTICES, RECORDS
from pipelines.intake import csv
from pipelines.intake.conform import conform_rows
from pipelines.intake.feedback import tell_finding
from pipelines.intake.hl7.fields import clean_number
from pipelines.intake.judge import name_rule
from pipelines.intake.layout import Layout, list_layouts, read_layout
from pipelines.intake.mends import Refused
from pipelines.intake.receive import judge_chunk, open_submission
from pipelines.intake.refusal import FileRefusedError
from pipelines.intake.repair import write_repair
from tests.nation import bear, write_file

ON = date(2026, 2, 1)
LAYOUT = """
name = "{name}"
record = "screening"
source = "the tests"
encodings = ["utf-8", "cp1251"]
separator = ";"
decimal = ","
dates = ["%d.%m.%Y"]
[columns]
"Номер" = "source_id"
"ИИН матери" = "mother_iin"
"Дата рождения" = "birth_on"
"Дата" = "examined_on"
"Отправитель" = "sender_id"
"Ед" = "unit"
"Слух" = "result_code"
[ignored]
"Примечание" = "free text is not kept"
[values.result_code]
"прошел" = "pass"
[constants]
action_code = "report"
status_code = "final"
[components."ТТГ"]
programme = "blood_spot"
component = "tsh"
into = "value"
[components."ФА"]
programme = "blood_spot"
component = "phe"
into = "value"
unit = "мг/дл"
"""
HEADER = "Номер;ИИН матери;Дата рождения;Дата;Отправитель;Ед;ТТГ;ФА"
GOOD = "1;250314500010;05.01.2026;07.01.2026;LAB;мМЕ/л;3,5;1,2"


@pytest.fixture(scope="module")
def layouts(tmp_path_factory) -> tuple[Layout, ...]:
    path = tmp_path_factory.mktemp("layouts") / "test-spot.toml"
    path.write_text(LAYOUT.format(name="test-spot"), "utf-8")
    return (read_layout(path),)


def judge(path: Path, layouts: tuple[Layout, ...]):
    opened = csv.read_header(path, layouts=layouts)
    return [judge_chunk(chunk, opened.layout, "a" * 64, ON) for chunk in csv.read_chunks(path, opened)]


def write(folder: Path, *lines: str, encoding: str = "utf-8", end: str = "\r\n") -> Path:
    path = folder / "sent.csv"
    path.write_bytes((end.join(lines) + end).encode(encoding))
    return path


def refusal(path: Path, layouts: tuple[Layout, ...]) -> str:
    with pytest.raises(FileRefusedError) as refused:
        judge(path, layouts)
    return refused.value.code


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1251"])
@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_a_row_reads_the_same_in_every_encoding_and_line_end(tmp_path, layouts, encoding, end):
    (judged,) = judge(write(tmp_path, HEADER, GOOD, encoding=encoding, end=end), layouts)
    rows = judged.accepted.sort("component").select("row_no", "component", "value", "unit", "examined_on").rows()
    assert rows == [(2, "phe", 1.2, "mg/dL", date(2026, 1, 7)), (2, "tsh", 3.5, "m[IU]/L", date(2026, 1, 7))]


def test_a_layout_that_allows_the_russian_code_page_tries_the_kazakh_one_before_it():
    """Whatever is Russian reads the same in both, and no Kazakh letter is in cp1251: names would come out as other letters."""
    russian = {layout.name: layout.encodings for layout in list_layouts() if "cp1251" in layout.encodings}
    assert russian
    assert [name for name, tried in russian.items() if "kz1048" not in tried[: tried.index("cp1251")]] == []


def test_every_reason_of_a_row_is_kept_at_once(tmp_path, layouts):
    (judged,) = judge(write(tmp_path, HEADER, "2;250314500011;05.01.2026;04.01.2026;LAB;мМЕ/л;x3;"), layouts)
    assert judged.accepted.is_empty()
    assert sorted(judged.finding["code"]) == ["examined_on_before_birth", "mother_iin_checksum", "value_unreadable"]


def test_a_row_of_several_results_is_accepted_or_refused_whole(tmp_path, layouts):
    (judged,) = judge(write(tmp_path, HEADER, "1;250314500010;05.01.2026;07.01.2026;LAB;мМЕ/л;3,5;many"), layouts)
    assert (judged.received_count, len(judged.accepted), len(judged.quarantine)) == (1, 0, 1)


@pytest.mark.parametrize("blank", ["", "   ", "\u00a0", '"  "'])
def test_a_cell_of_blanks_is_empty_and_the_result_beside_it_is_taken(tmp_path, layouts, blank):
    (judged,) = judge(write(tmp_path, HEADER, f"1;250314500010;05.01.2026;07.01.2026;LAB;мМЕ/л;{blank};1,2"), layouts)
    assert judged.accepted.select("component", "value").rows() == [("phe", 1.2)]
    assert judged.finding.is_empty()


def test_lines_of_the_wrong_width_go_back_with_their_line_number(tmp_path, layouts):
    (judged,) = judge(write(tmp_path, HEADER, GOOD, "short;row", GOOD.replace("1;", "9;", 1)), layouts)
    assert sorted(judged.accepted["row_no"].unique()) == [2, 4]
    assert judged.finding.rows() == [(3, None, "row_width_differs", "error")]
    assert json.loads(judged.quarantine["row_text"][0])["Номер"] == "short;row"


def test_an_unknown_unit_is_a_finding_and_never_a_guess(tmp_path, layouts):
    (judged,) = judge(write(tmp_path, HEADER, GOOD.replace("мМЕ/л", "furlong")), layouts)
    assert judged.finding["code"].to_list() == ["unit_unknown"]


def test_phenylalanine_in_micromoles_is_converted_by_its_molar_mass(tmp_path):
    path = tmp_path / "test-umol.toml"
    path.write_text(LAYOUT.format(name="test-umol").replace('unit = "мг/дл"', 'unit = "μmol/L"'), "utf-8")
    sent = write(tmp_path, HEADER, GOOD.replace(";1,2", ";121,08"))
    (judged,) = judge(sent, (read_layout(path),))
    assert judged.accepted.filter(pl.col("component") == "phe").select("value", "unit").rows() == [(2.0, "mg/dL")]


@pytest.mark.parametrize(
    ("unit", "sent", "kept"),
    [("m[IU]/mL", "0,009", 9.0), ("[IU]/L", "0,009", 9.0), ("МЕ/л", "0,009", 9.0), ("mU/L", "9", 9.0)],
)
def test_thyrotropin_in_units_of_another_size_is_converted_exactly(tmp_path, layouts, unit, sent, kept):
    (judged,) = judge(write(tmp_path, HEADER, GOOD.replace("мМЕ/л;3,5", f"{unit};{sent}")), layouts)
    assert judged.accepted.filter(pl.col("component") == "tsh").select("value", "unit").rows() == [(kept, "m[IU]/L")]


@pytest.mark.parametrize(("unit", "kept"), [("mg/L", 12.108), ("нмоль/мл", 2.0), ("umol/L", 2.0), ("mmol/L", 2000.0)])
def test_phenylalanine_in_units_of_another_size_is_converted_exactly(tmp_path, unit, kept):
    path = tmp_path / "test-phe.toml"
    path.write_text(LAYOUT.format(name="test-phe").replace('unit = "мг/дл"', f'unit = "{unit}"'), "utf-8")
    (judged,) = judge(write(tmp_path, HEADER, GOOD.replace(";1,2", ";121,08")), (read_layout(path),))
    assert judged.accepted.filter(pl.col("component") == "phe")["value"].to_list() == [pytest.approx(kept)]


def test_a_unit_that_the_order_prints_by_mistake_is_refused_and_not_read_a_thousand_times_larger(tmp_path, layouts):
    (judged,) = judge(write(tmp_path, HEADER, GOOD.replace("мМЕ/л", "mU/ml")), layouts)
    assert judged.finding["code"].to_list() == ["unit_unknown"]


@pytest.mark.parametrize(
    ("sent", "value", "comparator"),
    [("<0,5", 0.5, "<"), ("> 50", 50.0, ">"), ("<=0,5", 0.5, "<="), (">=1 250", 1250.0, ">="), ("≤0,5", 0.5, "<="), ("≥\u00a050", 50.0, ">=")],
)
def test_a_bound_is_read_as_a_comparator_and_a_number(tmp_path, layouts, sent, value, comparator):
    (judged,) = judge(write(tmp_path, HEADER, GOOD.replace("3,5", sent)), layouts)
    read = judged.accepted.sort("component").select("component", "value", "comparator").rows()
    assert read == [("phe", 1.2, None), ("tsh", value, comparator)]


@pytest.mark.parametrize("said", ["07.01.26", "7.1.26", "07.01.0026", "07.01.20266", "07.01.202"])
def test_a_year_of_other_than_four_digits_is_no_date_of_antiquity_but_unreadable(tmp_path, layouts, said):
    (judged,) = judge(write(tmp_path, HEADER, GOOD.replace("07.01.2026", said)), layouts)
    assert judged.accepted.is_empty()
    assert judged.finding.select("column", "code").rows() == [("examined_on", "examined_on_unreadable")]


@pytest.mark.parametrize("sent", ["<", "<<5", "=5", "5<", "<x"])
def test_what_is_no_bound_stays_unreadable(tmp_path, layouts, sent):
    (judged,) = judge(write(tmp_path, HEADER, GOOD.replace("3,5", sent)), layouts)
    assert judged.finding.select("row_no", "code").rows() == [(2, "value_unreadable")]


def test_a_laboratory_s_kazakh_header_is_read_in_the_kazakh_code_page(tmp_path):
    header = "Жазба нөмірі;Ұйым;Әрекет;Анасының ЖСН;Туған күні;Алынған күні;ТТГ, мкМЕ/мл"
    path = write(tmp_path, header, "1;LAB;жаңа;250314500010;05.01.2026;07.01.2026;3,5", encoding="kz1048")
    opened = csv.read_header(path)
    (judged,) = judge(path, list_layouts())
    assert (opened.layout.name, opened.encoding, len(judged.accepted)) == ("laboratory-blood-spot", "kz1048", 1)


def test_an_unknown_code_is_refused_by_name_and_never_falls_into_a_default(tmp_path, layouts):
    sent = write(tmp_path, HEADER + ";Слух", GOOD + ";Прошел", GOOD + ";может быть")
    (judged,) = judge(sent, layouts)
    assert judged.accepted["result_code"].unique().to_list() == ["pass"]
    assert judged.finding.select("row_no", "code").rows() == [(3, "result_code_unknown")]


def test_an_unknown_column_announces_itself_and_an_ignored_one_does_not(tmp_path, layouts):
    opened = csv.read_header(write(tmp_path, HEADER + ";Новое;Примечание", GOOD + ";x;y"), layouts=layouts)
    assert csv.list_file_findings(opened)["code"].to_list() == ["column_unknown", "column_absent"]


def test_columns_without_a_name_and_those_named_as_ours_are_told_by_their_letters_and_go_back_whole(tmp_path, layouts):
    sent = write(tmp_path, HEADER + ";;sent;row_no;", GOOD + ";x;said;7;", GOOD.replace("3,5", "x3") + ";x;said;7;", ";".join([""] * 12))
    opened = csv.read_header(sent, layouts=layouts)
    assert opened.headers[-4:] == ("[I]", "sent [J]", "row_no [K]", "[L]")
    assert [c for c, code in csv.list_file_findings(opened).select("column", "code").rows() if code == "column_unknown"] == [
        "[I]", "sent [J]", "row_no [K]", "[L]",
    ]  # fmt: skip
    (judged,) = judge(sent, layouts)
    assert judged.accepted["row_no"].unique().to_list() == [2]
    told = json.loads(judged.quarantine["row_text"][0])
    assert (told["[I]"], told["sent [J]"], told["row_no [K]"], told["Номер"]) == ("x", "said", "7", "1")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("Номер;Дата".encode("utf-16")[:-1], "file_encoding_unknown"),
        ("Номер;Да\x00та".encode("utf-16"), "file_binary"),
        ("\r\n ".encode("utf-16"), "file_empty"),
        (b"", "file_empty"),
        (b"\r\n  \r\n", "file_empty"),
        (b"\x00\x01\x02" * 50, "file_binary"),
        ("ﾟ;foo;bar\r\n1;2;3\r\n".encode(), "layout_unknown"),
        ("Вкус;цвет\r\nкислый;синий\r\n".encode("cp1251"), "layout_unknown"),
        (HEADER.replace("Дата;", "День;").encode() + b"\r\n", "layout_header_changed"),
        ((HEADER + ";ФА\r\n").encode(), "header_repeated"),
        ((";".join(["Номер"] + [f"c{i}" for i in range(10_000)]) + "\r\n").encode(), "file_too_wide"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_whole_with_its_reason(tmp_path, layouts, content, code):
    path = tmp_path / "sent.csv"
    path.write_bytes(content)
    assert refusal(path, layouts) == code


def test_a_changed_header_names_the_columns_it_lacks(tmp_path, layouts):
    with pytest.raises(FileRefusedError) as refused:
        judge(write(tmp_path, HEADER.replace("Дата;", "День;"), GOOD), layouts)
    assert refused.value.columns == ("Дата",)


def test_the_layout_that_is_meant_is_the_one_that_knows_most_of_the_header(tmp_path):
    header = "Жазба нөмірі;Ұйым;Әрекет;Алынған;Баланың ЖСН;ТТГ, мкМЕ/мл;Номер записи;Пол;Роддом"
    with pytest.raises(FileRefusedError) as refused:
        csv.read_header(write(tmp_path, header, ";" * 8))
    assert refused.value.columns == ("Алынған күні",)


def test_numbers_keep_blanks_and_commas_as_the_sender_writes_them(layouts):
    sent = pl.DataFrame({"Номер": ["1"], "ТТГ": ["1 234,5"], "row_no": [2]})
    assert conform_rows(sent, layouts[0]).record["value"].to_list() == [1234.5]


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("1 234,5", 1234.5), ("1\u00a0234", 1234.0), ("12\u202f345,25", 12345.25), ("12\u2009345", 12345.0), ("0 ,07", 0.07), ("0, 07", 0.07),
        (" 3,5 ", 3.5), ("<1 250", 1250.0), ("< 0 ,5", 0.5),
    ],
)  # fmt: skip
def test_a_number_may_be_written_in_groups_of_three_and_with_a_blank_beside_its_decimal_sign(tmp_path, layouts, said, value):
    (judged,) = judge(write(tmp_path, HEADER, GOOD.replace("3,5", said)), layouts)
    assert judged.accepted.filter(pl.col("component") == "tsh")["value"].to_list() == [value]


@pytest.mark.parametrize("said", ["12 5", "4 5", "1250 000", "1 25", "1  250", "12 5,0", "1 2345", "< 5 10", "5 1 0", "1 234 5"])
def test_two_numbers_in_one_cell_are_not_read_as_one(tmp_path, layouts, said):
    (judged,) = judge(write(tmp_path, HEADER, GOOD.replace("3,5", said)), layouts)
    assert judged.accepted.is_empty()
    assert judged.finding.select("row_no", "column", "code").rows() == [(2, "ТТГ", "value_unreadable")]
    assert clean_number(said.replace(",", "."), "^")[1] is None


def test_the_file_to_fix_runs_no_formula(layouts):
    fixed = write_repair([Refused(2, json.dumps({"Номер": "=cmd()", "ТТГ": "-3"}), "erte-1", "why")], layouts[0]).decode("utf-8-sig")
    assert fixed == "Номер;ТТГ;erte_row;erte_reasons\r\n'=cmd();-3;erte-1;why\r\n"


def test_every_finding_code_has_a_text_in_three_languages():
    for kind, contract in RECORDS.items():
        empty = contract.create_empty()
        columns = [c for c in contract.column_names() if c in empty.columns]
        codes = {name_rule(rule, contract) for rule in _rules(contract)}
        codes |= {(c, f"{c}_unreadable") for c in columns} | {
            (notice.column, code) for code, notice in NOTICES.get(kind, {}).items()
        }
        for column, code in codes:
            assert all(tell_finding(code, column, {}).values()), code


@pytest.mark.parametrize("kind", RECORDS)
def test_a_record_of_any_kind_that_is_issued_in_time_to_come_is_refused_but_for_a_day_of_clocks_and_time_zones(kind):
    contract = RECORDS[kind]
    issued = [None, "2026-02-01T23:59:00", "2026-02-02T23:59:00", "2026-02-03T00:00:00", "2027-03-01T08:00:00"]
    empty = {name: pl.Series([None] * len(issued), dtype=column.dtype) for name, column in contract.columns().items()}
    sent = pl.DataFrame(empty).with_columns(
        pl.Series("issued_at", issued).str.to_datetime(time_unit="us"), pl.lit(ON).alias("received_on"))  # fmt: skip
    told = contract.filter(sent)[1].details()["issued_at_in_future"].cast(pl.String)
    assert told.to_list() == ["valid", "valid", "valid", "invalid", "invalid"]
    assert name_rule("issued_at_in_future", contract) == ("issued_at", "issued_at_in_future")


def _rules(contract) -> list[str]:
    """The names of all checks of a contract, as dataframely reports them."""
    custom = [name for name in dir(contract) if type(getattr(contract, name, None)).__name__.endswith("Rule")]
    options = {"nullability": "nullable", "check": "check", "regex": "regex", "min": "min", "max": "max",
               "min_length": "min_length", "max_length": "max_length"}  # fmt: skip
    return custom + [
        f"{name}|{check}"
        for name, column in contract.columns().items()
        for check, attribute in options.items()
        if (check == "nullability" and not column.nullable)
        or getattr(column, attribute, None) not in (None, True, False)
    ]


def test_every_layout_of_the_project_reads_and_names_its_source():
    names = [layout.name for layout in list_layouts()]
    assert len(names) == len(set(names)) >= 8
    assert {layout.record for layout in list_layouts()} == set(RECORDS)


def test_a_value_that_one_layout_knows_is_known_to_every_layout_of_the_same_thing():
    """But to the one that is in Spanish; results are of a programme, groups of an annex."""
    known: dict[tuple, dict[str, set]] = {}
    for layout in list_layouts():
        about = [c.constants["programme"] for c in layout.components if "programme" in c.constants][:1]
        for column, table in layout.values.items():
            thing = (column, *(about if column == "result_code" else [layout.constants.get("annex")] if column == "row_group" else []))
            known.setdefault(thing, {})[layout.name] = set(table.items())
    assert [thing for thing, tables in known.items() if len({frozenset(t) for name, t in tables.items() if name != "asq3-cadi"}) > 1] == []
    assert known[("result_code", "hearing")]["maternity-hearing"] >= {("прошёл", "pass"), ("өтті", "pass"), ("не прошёл", "refer")}


def test_every_column_that_crosses_a_border_has_a_meaning_and_a_degree():
    for contract in (*contracts.RECORDS.values(), *contracts.LAKE.values(), *contracts.REFERENCE.values(), *contracts.PUBLISHED.values()):
        degrees = contracts.describe_degree(contract)
        assert set(degrees.values()) <= {"identified", "clinical", "published"}
        assert all(column.description for column in contract.columns().values())


cells = st.text(st.sampled_from('aб1.,-"= \t\u00a0\n'), max_size=6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(cells, min_size=1, max_size=10), max_size=8))
def test_nothing_is_lost_whatever_is_sent(tmp_path_factory, layouts, rows):
    """Law 1: received = accepted + quarantined, each row once."""
    lines = [";".join('"' + c.replace('"', '""') + '"' for c in row) for row in rows]
    path = write(tmp_path_factory.mktemp("any"), HEADER, GOOD, *lines)
    judged = judge(path, layouts)
    accepted = {n for j in judged for n in j.accepted["row_no"]}
    refused = [n for j in judged for n in j.quarantine["row_no"]]
    assert accepted.isdisjoint(refused)
    assert len(set(refused)) == len(refused)
    blank = sum(1 for row in rows if len(row) == 8 and not any(row))
    assert len(accepted) + len(refused) == len(rows) + 1 - blank


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    ("text", "code"), [("\r\nMSH|^~\\&|LAB", "message_encoding_unknown"), (' {"resourceType": "Bundle"}', "file_encoding_unknown")]
)
def test_a_message_in_16_bits_a_letter_is_refused_by_its_encoding_and_not_as_a_table_without_layout(tmp_path, encoding, text, code):
    path = tmp_path / "sent"
    path.write_bytes(("\ufeff" + text).encode(encoding))
    with pytest.raises(FileRefusedError) as refused:
        open_submission(path)
    assert refused.value.code == code


def test_a_birth_that_bears_its_mothers_iin_in_the_place_of_its_own_is_taken_without_it(tmp_path):
    hers, own = "250314500010", "250314500108"
    rows = [bear(2, mother_iin=hers, child_iin=hers), bear(3, mother_iin=hers, child_iin=own), bear(4, mother_iin="", child_iin=own)]
    opened = open_submission(write_file(tmp_path / "births.csv", rows))
    (judged,) = (judge_chunk(chunk, opened.layout, "0" * 64, date(2026, 3, 1)) for chunk in opened.chunks)
    assert judged.accepted.select("child_iin", "mother_iin").rows() == [(None, hers), (own, hers), (own, None)]
    assert judged.finding.select("row_no", "column", "code").rows() == [(2, "child_iin", "child_iin_of_mother")]
