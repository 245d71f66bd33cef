"""Workbooks as senders make them: titles, merged and stacked headers, serial dates, totals; and those that must not be opened."""

import datetime as dt
import os
import zipfile
from datetime import date
from pathlib import Path

import openpyxl
import polars as pl
import pytest
import xlsxwriter
import xlwt
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.intake import xlsx
from pipelines.intake.layout import Layout, list_layouts, read_layout
from pipelines.intake.reading import Limits
from pipelines.intake.receive import judge_chunk, open_submission
from pipelines.intake.refusal import FileRefusedError

SAMPLES = Path(os.environ.get("ERTE_SAMPLES", Path(__file__).parents[2] / "shared" / "samples")) / "tabular"
ON = date(2026, 2, 1)
SANE = Limits()
LAYOUT = """
name = "{name}"
record = "screening"
source = "the tests"
separator = ";"
decimal = ","
dates = ["%d.%m.%Y"]
datetimes = ["%d.%m.%Y %H:%M"]
[columns]
"Номер" = "source_id"
"ИИН матери" = "mother_iin"
"Дата рождения" = "birth_on"
"Дата" = "examined_on"
"Отправитель" = "sender_id"
"Выдано" = "issued_at"
[values.result_code]
"прошел" = "pass"
"не прошел" = "refer"
[constants]
action_code = "report"
status_code = "final"
programme = "hearing"
[components."ВОАЭ левое"]
into = "result_code"
component = "oae_left"
[components."ВОАЭ правое"]
into = "result_code"
component = "oae_right"
"""
HEADER = ["Номер", "ИИН матери", "Дата рождения", "Дата", "Отправитель", "ВОАЭ левое", "ВОАЭ правое"]
GOOD = ["1", "250314500010", "05.01.2026", "07.01.2026", "M1", "прошел", "не прошел"]
READ = [(date(2026, 1, 5), date(2026, 1, 7), "250314500010", "M1")]


@pytest.fixture(scope="module")
def layouts(tmp_path_factory) -> tuple[Layout, ...]:
    path = tmp_path_factory.mktemp("layouts") / "test-hearing.toml"
    path.write_text(LAYOUT.format(name="test-hearing"), "utf-8")
    return (read_layout(path),)


def write(path: Path, *sheets: list[list], merged: tuple[str, ...] = (), options: dict | None = None) -> Path:
    """A workbook of sheets drawn as rows; None = no cell, a date = a date cell, a text with = = a formula without a value."""
    with xlsxwriter.Workbook(path, {"default_date_format": "dd.mm.yyyy", **(options or {})}) as book:
        for rows in sheets:
            sheet = book.add_worksheet()
            for number, row in enumerate(rows):
                for place, cell in enumerate(row):
                    if isinstance(cell, str) and cell.startswith("="):
                        sheet.write_formula(number, place, cell, None, "")
                    elif cell is not None:
                        sheet.write(number, place, cell)
            if rows is sheets[0]:
                for area in merged:
                    first = area.split(":")[0]
                    row, column = xlsxwriter.utility.xl_cell_to_rowcol(first)
                    sheet.merge_range(area, rows[row][column])
    return path


def judge(path: Path, layouts, limits: Limits = SANE):
    opened = xlsx.open_file(path, limits, layouts)
    return opened, [judge_chunk(chunk, opened.layout, "a" * 64, ON) for chunk in opened.chunks]


def accepted(path: Path, layouts) -> list[tuple]:
    """(row, birth, examination, mother, sender) of the accepted rows."""
    _, judged = judge(path, layouts)
    frame = pl.concat(j.accepted for j in judged)
    columns = ["row_no", "birth_on", "examined_on", "mother_iin", "sender_id"]
    return frame.select(columns).unique().sort("row_no").rows()


def refusal(path: Path, layouts, limits: Limits = SANE) -> str:
    with pytest.raises(FileRefusedError) as refused:
        judge(path, layouts, limits)
    return refused.value.code


def test_a_workbook_reads_as_the_same_table_in_text_would(tmp_path, layouts):
    opened, judged = judge(write(tmp_path / "a.xlsx", [HEADER, GOOD]), layouts)
    rows = judged[0].accepted.sort("component").select("row_no", "component", "result_code", "birth_on").rows()
    assert rows == [(2, "oae_left", "pass", date(2026, 1, 5)), (2, "oae_right", "refer", date(2026, 1, 5))]
    assert opened.finding.filter(pl.col("code") == "column_absent")["column"].to_list() == ["issued_at"]


@pytest.mark.parametrize(
    "born",
    [dt.date(2026, 1, 5), dt.datetime(2026, 1, 5, 14, 30), 46027, "46027", "05.01.2026", 46027.6],
    ids=["date", "moment", "serial", "serial_text", "text", "serial_with_time"],
)
def test_a_day_reads_the_same_as_a_date_a_serial_number_and_a_text(tmp_path, layouts, born):
    assert accepted(write(tmp_path / "a.xlsx", [HEADER, [*GOOD[:2], born, *GOOD[3:]]]), layouts) == [(2, *READ[0])]


def test_a_workbook_that_counts_from_1904_gives_the_same_days(tmp_path, layouts):
    rows = [HEADER, [*GOOD[:2], dt.date(2026, 1, 5), dt.date(2026, 1, 7).toordinal() - dt.date(1904, 1, 1).toordinal(), *GOOD[4:]]]
    assert accepted(write(tmp_path / "a.xlsx", rows, options={"date_1904": True}), layouts) == [(2, *READ[0])]


def test_a_date_in_another_form_than_the_layouts_is_refused_and_not_guessed(tmp_path, layouts):
    _, judged = judge(write(tmp_path / "a.xlsx", [HEADER, [*GOOD[:2], "1/5/2026", *GOOD[3:]]]), layouts)
    assert sorted(judged[0].finding["code"]) == ["birth_on_unreadable", "child_unidentifiable"]


def test_a_moment_keeps_its_time_where_the_column_is_a_moment(tmp_path, layouts):
    with xlsxwriter.Workbook(tmp_path / "a.xlsx") as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, [*HEADER, "Выдано"])
        sheet.write_row(1, 0, GOOD)
        sheet.write_datetime(1, 7, dt.datetime(2026, 1, 8, 9, 30), book.add_format({"num_format": "dd.mm.yyyy hh:mm"}))
    _, judged = judge(tmp_path / "a.xlsx", layouts)
    assert judged[0].accepted["issued_at"].unique().to_list() == [dt.datetime(2026, 1, 8, 9, 30)]


def test_numbers_and_numbers_as_text_are_one_and_a_column_of_numbers_gets_its_zeros_back(tmp_path, layouts):
    sent = [HEADER, [1, 61211600012, *GOOD[2:]], [2, 250314500010, *GOOD[2:]]]
    _, judged = judge(write(tmp_path / "a.xlsx", sent), layouts)
    named = judged[0].accepted.select("source_id", "mother_iin").unique().sort("source_id").rows()
    assert named == [("1", "061211600012"), ("2", "250314500010")]


def test_a_text_of_too_few_digits_gets_no_zeros(tmp_path, layouts):
    _, judged = judge(write(tmp_path / "a.xlsx", [HEADER, [1, "61211600012", *GOOD[2:]]]), layouts)
    assert judged[0].finding["code"].to_list() == ["mother_iin_checksum"]


def test_rows_are_numbered_as_on_the_sheet_below_titles_and_blank_rows_and_beside_blank_columns(tmp_path, layouts):
    rows = [[], ["", "", "Сведения о скрининге"], [], ["", "", *HEADER], ["", "", *GOOD], [], ["", "", *["2", *GOOD[1:]]]]
    assert [row[0] for row in accepted(write(tmp_path / "a.xlsx", rows), layouts)] == [5, 7]


def test_headers_in_two_rows_are_joined_below_their_merged_group(tmp_path, layouts):
    rows = [
        ["Номер", "ИИН матери", "Дата рождения", "Дата", "Отправитель", "ВОАЭ", None],
        [None, None, None, None, None, "левое", "правое"],
        GOOD,
    ]
    merged = ("A1:A2", "B1:B2", "C1:C2", "D1:D2", "E1:E2", "F1:G1")
    assert accepted(write(tmp_path / "a.xlsx", rows, merged=merged), layouts) == [(3, *READ[0])]
    assert accepted(write(tmp_path / "b.xlsx", rows), layouts) == [(3, *READ[0])]


def test_what_a_title_says_holds_for_every_row(tmp_path, layouts):
    own = [h for h in HEADER if h not in ("Отправитель", "Дата")]
    row = [cell for h, cell in zip(HEADER, GOOD, strict=True) if h in own]
    rows = [["Отправитель:", None, "M1"], ["Дата: 07.01.2026"], own, row]
    assert accepted(write(tmp_path / "a.xlsx", rows), layouts) == [(4, *READ[0])]


def test_a_cell_merged_over_several_rows_says_the_same_in_each(tmp_path, layouts):
    rows = [HEADER, GOOD, ["2", *GOOD[1:4], None, *GOOD[5:]]]
    assert [r[4] for r in accepted(write(tmp_path / "a.xlsx", rows, merged=("E2:E3",)), layouts)] == ["M1", "M1"]


def test_each_sheet_a_layout_knows_is_read_and_the_others_are_told(tmp_path, layouts):
    path = write(tmp_path / "a.xlsx", [["Справочник", "x"]], [HEADER, GOOD], [["пусто"]], [HEADER, ["2", *GOOD[1:]]], [["z"]])
    opened, judged = judge(path, layouts)
    assert [row[0] for row in accepted(path, layouts)] == [2, 30_000_002]
    told = pl.concat([opened.finding, *(j.finding for j in judged)]).filter(pl.col("code").str.starts_with("sheet_"))
    assert told.select("column", "code").rows() == [
        ("1", "sheet_not_read"), ("3", "sheet_not_read"), ("4", "sheet_rows_renumbered"), ("5", "sheet_not_read"),
    ]  # fmt: skip


def test_a_hidden_sheet_is_read_and_its_sender_is_told_that_it_is_hidden(tmp_path, layouts):
    path = tmp_path / "a.xlsx"
    with xlsxwriter.Workbook(path) as book:
        for row in (GOOD, ["2", *GOOD[1:]]):
            sheet = book.add_worksheet()
            sheet.write_row(0, 0, HEADER)
            sheet.write_row(1, 0, row)
        sheet.hide()
    opened, judged = judge(path, layouts)
    assert [row[0] for row in accepted(path, layouts)] == [2, 10_000_002]
    told = pl.concat([opened.finding, *(j.finding for j in judged)])
    assert told.filter(pl.col("code") == "sheet_hidden").select("column", "severity").rows() == [("2", "info")]


@pytest.mark.parametrize("word", ["Итого", "Барлығы", "Total", "ВСЕГО:", "Итого по району", "Итого 25"])
def test_a_row_of_totals_is_set_aside_and_told(tmp_path, layouts, word):
    _, judged = judge(write(tmp_path / "a.xlsx", [HEADER, GOOD, [word, None, None, None, None, "25", "25"]]), layouts)
    told = pl.concat(j.finding for j in judged).rows()
    assert told == [(3, None, "total_row_set_aside", "info")]
    assert sum(j.received_count for j in judged) == 1


def test_a_signature_below_the_table_is_told_as_a_note_but_a_short_row_in_it_is_judged(tmp_path, layouts):
    rows = [HEADER, GOOD, ["2", "250314500010"], GOOD, [], ["Главный врач", "Ахметов"], ["тел.", "87270000000"]]
    _, judged = judge(write(tmp_path / "a.xlsx", rows), layouts)
    finding = pl.concat(j.finding for j in judged)
    assert finding.filter(pl.col("code") == "note_row_set_aside")["row_no"].to_list() == [6, 7]
    assert pl.concat(j.quarantine for j in judged)["row_no"].to_list() == [3]


def test_a_formula_gives_what_was_stored_with_it_or_a_reason(tmp_path, layouts):
    path = tmp_path / "a.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate([HEADER, GOOD, GOOD]):
            sheet.write_row(number, 0, row)
        sheet.write_formula(1, 4, "='[other.xlsx]Sheet1'!A1", None, "M9")
        sheet.write_formula(2, 4, '=HYPERLINK("http://example.invalid","M1")', None, "")
    _, judged = judge(path, layouts)
    assert judged[0].accepted["sender_id"].unique().to_list() == ["M9"]
    assert judged[0].finding.select("row_no", "code").rows() == [(3, "cell_without_value")]


def test_an_old_workbook_reads_as_a_new_one(tmp_path, layouts):
    book = xlwt.Workbook()
    sheet = book.add_sheet("Лист1")
    form = xlwt.easyxf(num_format_str="DD.MM.YYYY")
    for number, row in enumerate([["Отчёт"], HEADER, GOOD]):
        for place, cell in enumerate(row):
            sheet.write(number, place, cell)
    sheet.write(3, 2, dt.date(2026, 1, 5), form)
    for place in (0, 1, 3, 4, 5, 6):
        sheet.write(3, place, GOOD[place])
    book.save(str(tmp_path / "a.xls"))
    assert accepted(tmp_path / "a.xls", layouts) == [(3, *READ[0]), (4, *READ[0])]


def test_a_hidden_sheet_of_an_old_workbook_is_told_too(tmp_path, layouts):
    book = xlwt.Workbook()
    for row in (GOOD, ["2", *GOOD[1:]]):
        sheet = book.add_sheet(f"Лист{row[0]}")
        for number, cells in enumerate([HEADER, row]):
            for place, cell in enumerate(cells):
                sheet.write(number, place, cell)
    sheet.visibility = 1
    book.save(str(tmp_path / "a.xls"))
    opened, judged = judge(tmp_path / "a.xls", layouts)
    told = pl.concat([opened.finding, *(j.finding for j in judged)])
    assert told.filter(pl.col("code") == "sheet_hidden").select("column", "severity").rows() == [("2", "info")]


def test_headers_are_known_in_any_case_and_spacing(tmp_path, layouts):
    spelled = ["НОМЕР", "ИИН  матери", "Дата\nрождения", "дата", "Отправитель:", "ВОАЭ\u00a0левое", "воаэ правое"]
    assert accepted(write(tmp_path / "a.xlsx", [spelled, GOOD]), layouts) == [(2, *READ[0])]


def test_an_unknown_column_announces_itself_and_a_value_without_a_header_is_kept(tmp_path, layouts):
    opened, _ = judge(write(tmp_path / "a.xlsx", [[*HEADER, "Новое", None], [*GOOD, "x", "y"]]), layouts)
    assert opened.finding["code"].to_list() == ["column_unknown", "column_unknown", "column_absent"]


# ------------------------------------------------------------------------------------------------ must not be opened


def pack(path: Path, sheet: str, texts: str = "", **parts: str) -> Path:
    """A workbook of one sheet written by hand, as no spreadsheet would."""
    book = (
        '<?xml version="1.0"?><workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
        'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets>'
        '<sheet name="a" sheetId="1" r:id="rId1"/></sheets></workbook>'
    )
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    links = (
        '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f'<Relationship Id="rId1" Type="{kind}/worksheet" Target="worksheets/sheet1.xml"/>'
        f'<Relationship Id="rId2" Type="{kind}/sharedStrings" Target="sharedStrings.xml"/></Relationships>'
    )
    root = links[: links.index("<Relationship ")] + (
        f'<Relationship Id="rId1" Type="{kind}/officeDocument" Target="xl/workbook.xml"/></Relationships>'
    )
    types = '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    content = {
        "[Content_Types].xml": types, "_rels/.rels": root, "xl/workbook.xml": book, "xl/_rels/workbook.xml.rels": links,
        "xl/worksheets/sheet1.xml": f'<?xml version="1.0"?><worksheet {main}><sheetData>{sheet}</sheetData></worksheet>',
        "xl/sharedStrings.xml": f'<?xml version="1.0"?><sst {main}>{texts}</sst>', **parts,
    }  # fmt: skip
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        for name, text in content.items():
            package.writestr(name, text)
    return path


SMALL = Limits(unpacked_mb=8, columns=1_000, sheet_rows=1_100_000)
FAR = '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="{}1048576"><v>1</v></c></row>'


@pytest.mark.parametrize(
    ("sheet", "code"),
    [
        (FAR.format("ZZ"), "file_unpacks_too_large"),
        (FAR.format("XFD"), "file_too_wide"),
        (FAR.format("ZZ").replace('r="', "r='").replace('"><', "'><"), "file_unpacks_too_large"),
        (FAR.format("XFD").replace("<c r=", '<c s="0" r='), "file_too_wide"),
        ("<row>" + "<c><v>1</v></c>" * 1_001 + "</row>", "file_too_wide"),
        ('<row r="9999999"><c r="A9999999"><v>1</v></c></row>', "file_too_long"),
    ],
    ids=["far_corner", "widest_corner", "single_quotes", "reference_last", "unnamed_cells", "beyond_the_last_row"],
)
def test_cells_far_apart_are_refused_before_they_become_a_rectangle(tmp_path, layouts, sheet, code):
    assert refusal(pack(tmp_path / "a.xlsx", sheet), layouts, SMALL) == code


def test_one_long_text_in_many_cells_is_refused_before_it_is_copied(tmp_path, layouts):
    cells = "".join(f'<row r="{n}"><c r="A{n}" t="s"><v>0</v></c></row>' for n in range(1, 1_001))
    path = pack(tmp_path / "a.xlsx", cells, f"<si><t>{'x' * 30_000}</t></si>")
    assert refusal(path, layouts, SMALL) == "file_unpacks_too_large"


def test_a_million_empty_rows_cost_nothing_and_the_rows_among_them_are_read(tmp_path, layouts):
    empty = "".join(f'<row r="{n}"/>' for n in range(3, 300_000))
    cells = [
        f'<row r="{n}">' + "".join(
            f'<c r="{chr(65 + i)}{n}" t="inlineStr"><is><t>{text}</t></is></c>' for i, text in enumerate(row)
        ) + "</row>"
        for n, row in ((1, HEADER), (2, GOOD))
    ]  # fmt: skip
    path = pack(tmp_path / "a.xlsx", "".join(cells) + empty)
    assert accepted(path, layouts) == [(2, *READ[0])]


def test_a_part_that_unpacks_beyond_the_limit_is_refused_by_the_directory_alone(tmp_path, layouts):
    path = pack(tmp_path / "a.xlsx", "", **{"xl/media/x.bin": "0" * (9 << 20)})
    assert refusal(path, layouts, SMALL) == "file_unpacks_too_large"
    bomb = pack(tmp_path / "b.xlsx", "", **{"xl/media/x.bin": "0" * (65 << 20)})
    assert refusal(bomb, layouts) == "file_unpacks_too_large"


def test_a_directory_that_lies_about_a_size_is_refused(tmp_path, layouts):
    path = pack(tmp_path / "a.xlsx", FAR.format("B"))
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as package:
        size = package.getinfo("xl/worksheets/sheet1.xml").file_size
    at = content.rindex(size.to_bytes(4, "little"))
    content[at : at + 4] = (20).to_bytes(4, "little")
    path.write_bytes(content)
    assert refusal(path, layouts) == "file_unreadable"


def test_entities_are_refused(tmp_path, layouts):
    path = pack(tmp_path / "a.xlsx", FAR.format("B"), **{"xl/styles.xml": '<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'})
    assert refusal(path, layouts) == "xml_entities"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"PK\x03\x04 cut off", "file_unreadable"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 600, "format_not_supported"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 600 + "EncryptedPackage".encode("utf-16-le"), "file_encrypted"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 600 + "Workbook".encode("utf-16-le"), "file_unreadable"),
    ],
    ids=["cut_off_zip", "no_workbook", "encrypted", "broken_xls"],
)
def test_a_broken_or_locked_workbook_is_refused_with_its_reason(tmp_path, content, code):
    path = tmp_path / "sent"
    path.write_bytes(content)
    with pytest.raises(FileRefusedError) as refused:
        open_submission(path)
    assert refused.value.code == code


def test_a_zip_that_is_no_workbook_is_refused_as_a_format(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as package:
        package.writestr("report.csv", "a;b")
    with pytest.raises(FileRefusedError) as refused:
        open_submission(tmp_path / "a.zip")
    assert refused.value.code == "format_not_supported"


def test_a_workbook_without_any_cell_is_empty(tmp_path, layouts):
    assert refusal(write(tmp_path / "a.xlsx", [[]]), layouts) == "file_empty"


def test_a_header_that_occurs_twice_and_one_that_lacks_a_column_are_refused_by_name(tmp_path, layouts):
    assert refusal(write(tmp_path / "a.xlsx", [[*HEADER, "Дата"], GOOD]), layouts) == "header_repeated"
    with pytest.raises(FileRefusedError) as refused:
        judge(write(tmp_path / "b.xlsx", [[h for h in HEADER if h != "Дата"], GOOD]), layouts)
    assert (refused.value.code, refused.value.columns) == ("layout_header_changed", ("Дата",))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 4_000), st.binary(min_size=1, max_size=12), st.booleans())
def test_a_damaged_workbook_is_read_or_refused_and_never_crashes(tmp_path_factory, at, damage, is_old):
    path = tmp_path_factory.mktemp("damaged") / "a"
    if is_old:
        book = xlwt.Workbook()
        sheet = book.add_sheet("a")
        for place, (header, cell) in enumerate(zip(HEADER, GOOD, strict=True)):
            sheet.write(0, place, header)
            sheet.write(1, place, cell)
        book.save(str(path))
    else:
        write(path, [HEADER, GOOD])
    content = bytearray(path.read_bytes())
    start = at * len(content) // 4_001
    content[start : start + len(damage)] = damage
    path.write_bytes(bytes(content[:4]) + bytes(content[4:]))
    try:
        opened = open_submission(path)
        rows = [row for chunk in opened.chunks for row in chunk.rows["row_no"]]
    except FileRefusedError as refused:
        assert refused.code
    else:
        assert len(set(rows)) == len(rows)


cells = st.one_of(
    st.none(), st.text(st.sampled_from("aб1.,-= '\t"), max_size=5), st.integers(-5, 10**13), st.floats(-1e6, 1e17), st.booleans(),
    st.dates(dt.date(1950, 1, 1), dt.date(2100, 1, 1)),
)  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(cells, min_size=7, max_size=7), max_size=6))
def test_nothing_is_lost_whatever_cells_hold(tmp_path_factory, layouts, rows):
    """Law 1: every row below the header that holds anything is accepted, quarantined, or told as a total or a note."""
    path = tmp_path_factory.mktemp("any") / "a.xlsx"
    book = openpyxl.Workbook()
    for row in [HEADER, GOOD, *rows]:
        book.active.append([f"'{c}" if isinstance(c, str) and c.startswith("=") else c for c in row])
    book.save(path)
    _, judged = judge(path, layouts)
    told = pl.concat(j.finding for j in judged).filter(pl.col("code").str.ends_with("_set_aside"))["row_no"].to_list()
    taken = {n for j in judged for n in j.accepted["row_no"]}
    refused = [n for j in judged for n in j.quarantine["row_no"]]
    held = sorted([*taken, *refused, *told])
    full = [n for n, row in enumerate([GOOD, *rows], 2) if any(c is not None and str(c).strip() for c in row)]
    assert held == full


# ------------------------------------------------------------------------------------------------ samples

sampled = pytest.mark.skipif(not SAMPLES.exists(), reason="the samples are not at hand")


@sampled
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("kz_birthrate.xlsx", "layout_unknown"),
        ("merged-cells.xlsx", "layout_unknown"),
        ("multiline-headers.xlsx", "layout_unknown"),
        ("skip-rows.xlsx", "layout_unknown"),
        ("excel_1251.csv", "layout_unknown"),
        ("invalid.csv", "layout_unknown"),
    ],
)
def test_a_table_of_another_subject_is_refused_with_its_reason(name, code):
    with pytest.raises(FileRefusedError) as refused:
        open_submission(SAMPLES / name)
    assert refused.value.code == code


SAMPLE_LAYOUTS = {
    "kz_birthrate": ({"Year": "source_id", "Birthrate": "value", "Fatality": "unit"},
                     [(row, str(2006 + row)) for row in range(2, 17)]),
    "skip-rows": ({"A": "source_id", "B": "value"}, [(3, "8")]),
    "multiline-headers": ({"Region": "source_id", "Caloric contribution (%)": "value",
                           "Cumulative impact of changes on cost of food basket from previous quarter": "unit"}, [(6, "A")]),
    "merged-cells": ({"data": "source_id"}, []),
}  # fmt: skip


@sampled
@pytest.mark.parametrize("name", SAMPLE_LAYOUTS)
def test_a_sample_workbook_gives_every_row_under_the_number_of_its_sheet(tmp_path, name):
    """A wrong dimension, a title row, a header in five merged rows, a trailing total: as the files are."""
    columns, expected = SAMPLE_LAYOUTS[name]
    named = "\n".join(f'"{header}" = "{ours}"' for header, ours in columns.items())
    path = tmp_path / "sample.toml"
    path.write_text(f'name = "sample"\nrecord = "screening"\nsource = "the tests"\nrequired = ["{next(iter(columns))}"]\n'
                    f"[columns]\n{named}\n", "utf-8")  # fmt: skip
    opened = xlsx.open_file(SAMPLES / f"{name}.xlsx", Limits(), (read_layout(path),))
    rows = [row for chunk in opened.chunks for row in chunk.rows.select("row_no", next(iter(columns))).rows()]
    assert rows == expected


def test_a_layout_of_the_project_serves_text_and_workbook_alike(tmp_path):
    layout = next(x for x in list_layouts() if x.name == "maternity-hearing")
    header = [*layout.columns, *(c.header for c in layout.components)]
    row = ["1", "M1", "новая", "08.01.2026 09:30", "", "250314500010", "05.01.2026", "1", "м", "M1", "H1", "07.01.2026", "M1",
           "прошел", "прошел", "прошел", "не прошел"]  # fmt: skip
    (tmp_path / "a.csv").write_text(";".join(header) + "\n" + ";".join(row) + "\n", "utf-8")
    write(tmp_path / "a.xlsx", [["Журнал"], header, row])
    told = []
    for name in ("a.csv", "a.xlsx"):
        opened = open_submission(tmp_path / name)
        (chunk,) = list(opened.chunks)
        judged = judge_chunk(chunk, opened.layout, "a" * 64, ON)
        told.append((opened.layout.name, judged.accepted.drop("row_no").rows(), judged.finding.rows()))
    assert told[0] == told[1]
    assert len(told[0][1]) == 4
