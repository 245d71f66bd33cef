"""Cells of a workbook that hold no value of their own: errors, and formulas nobody has calculated."""

import datetime as dt

import openpyxl
import polars as pl
import pytest
import xlwt

from pipelines.intake.feedback import tell_finding
from pipelines.intake.xlsx.spoiled import SpoiledCells
from tests.test_xlsx import GOOD, HEADER, judge, layouts, pack, refusal  # noqa: F401

ROW = '<row r="{n}">{cells}</row>'


def save(path, *rows, errors=()):
    """A workbook as openpyxl writes it: a text with = is a formula without a value; `errors`: (cell, error)."""
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for cell, error in errors:
        book.active[cell].value = error
        book.active[cell].data_type = "e"
    book.save(path)
    return path


def reasons(path, layouts):  # noqa: F811
    _, judged = judge(path, layouts)
    found = pl.concat(j.finding for j in judged).filter(pl.col("severity") != "info")
    return found.select("row_no", "column", "code", "severity").sort("row_no", "column").rows(), sum(len(j.quarantine) for j in judged)


@pytest.mark.parametrize("error", ["#VALUE!", "#N/A", "#DIV/0!"])
def test_a_cell_that_holds_an_error_refuses_its_row_and_is_named(tmp_path, layouts, error):  # noqa: F811
    path = save(tmp_path / "a.xlsx", HEADER, GOOD, GOOD, errors=[("F3", error)])
    assert reasons(path, layouts) == ([(3, "ВОАЭ левое", "cell_without_value", "error")], 1)


def test_a_formula_that_nobody_calculated_refuses_its_row(tmp_path, layouts):  # noqa: F811
    path = save(tmp_path / "a.xlsx", ["Отчёт"], HEADER, [*GOOD[:5], "=1+20", "прошел"], ["2", *GOOD[1:]])
    assert reasons(path, layouts) == ([(3, "ВОАЭ левое", "cell_without_value", "error")], 1)


def test_a_row_whose_only_result_is_an_error_is_not_also_told_that_it_has_none(tmp_path, layouts):  # noqa: F811
    path = save(tmp_path / "a.xlsx", HEADER, [*GOOD[:5], "=1+20", None])
    assert reasons(path, layouts) == ([(2, "ВОАЭ левое", "cell_without_value", "error")], 1)


def test_an_error_in_a_column_that_is_not_read_and_a_row_of_nothing_else_refuse_nothing(tmp_path, layouts):  # noqa: F811
    rows = [[*HEADER, "Доля"], [*GOOD, "x"], [None] * 8]
    path = save(tmp_path / "a.xlsx", *rows, errors=[("H2", "#DIV/0!"), ("F3", "#N/A")])
    assert reasons(path, layouts) == ([], 0)


def test_an_error_in_a_merged_cell_refuses_every_row_it_speaks_for(tmp_path, layouts):  # noqa: F811
    book = openpyxl.Workbook()
    for row in (HEADER, GOOD, [*GOOD[:4], None, *GOOD[5:]]):
        book.active.append(row)
    book.active["E2"].value, book.active["E2"].data_type = "#REF!", "e"
    book.active.merge_cells("E2:E3")
    book.save(tmp_path / "a.xlsx")
    found, refused = reasons(tmp_path / "a.xlsx", layouts)
    assert refused == 2
    assert [row[0] for row in found if row[2] == "cell_without_value"] == [2, 3]


@pytest.mark.parametrize("is_error", [True, False])
def test_an_old_workbook_tells_of_its_errors_and_formulas_too(tmp_path, layouts, is_error):  # noqa: F811
    book = xlwt.Workbook()
    sheet = book.add_sheet("a")
    for number, row in ((2, HEADER), (3, GOOD), (4, ["2", *GOOD[1:]])):
        for place, cell in enumerate(row):
            if (number, place) != (4, 5):
                sheet.write(number, place + 1, cell)
    if is_error:
        sheet.row(4).set_cell_error(6, 0x2A)
    else:
        sheet.write(4, 6, xlwt.Formula("1/0"))
    sheet.write(3, 8, "")  # an empty text that is no formula is a blank
    book.save(str(tmp_path / "a.xls"))
    found, refused = reasons(tmp_path / "a.xls", layouts)
    assert (found, refused) == ([(5, "ВОАЭ левое", "cell_without_value", "error")], 1)


def test_an_error_cell_without_a_place_refuses_the_workbook(tmp_path, layouts):  # noqa: F811
    assert refusal(pack(tmp_path / "a.xlsx", '<row><c t="e"><v>#N/A</v></c></row>'), layouts) == "cells_without_value"


@pytest.mark.parametrize(("stray", "is_refused"), [(" ", True), ("x", True), (None, False)], ids=["blank", "text", "only_formatted"])
def test_a_stray_cell_far_below_the_table_is_refused_and_a_formatted_one_is_nothing(tmp_path, layouts, stray, is_refused):  # noqa: F811
    book = openpyxl.Workbook()
    for row in (HEADER, GOOD):
        book.active.append(row)
    book.active["G1048576"].value = stray
    book.active["G1048576"].font = openpyxl.styles.Font(bold=True)
    book.save(tmp_path / "a.xlsx")
    if is_refused:
        assert refusal(tmp_path / "a.xlsx", layouts) == "sheet_mostly_empty"
    else:
        assert reasons(tmp_path / "a.xlsx", layouts) == ([], 0)


@pytest.mark.parametrize(
    "cell",
    [
        '<c r="B3" s="1" t="e"><v>#N/A</v></c>', "<c r='B3' t='e'><v>#N/A</v></c>", '<c r="B3"><f>1+2</f></c>', '<c r="B3"><f>1+2</f><v/></c>',
        '<c r="B3"><f>1+2</f><v /></c>', '<c r="B3"><f>1+2</f><v></v></c>', '<c r="B3"><f t="shared" si="0"/></c>',
        '<c r="B3"><f t="shared" si="0"/><v></v></c>', '<x:c s="2" r="B3"><x:f>1</x:f><x:v/></x:c>',
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_plain", [True, False])
def test_a_spoiled_cell_is_found_however_it_is_written_and_wherever_its_block_ends(cell, is_plain):
    if "x:" in cell and is_plain:
        return
    whole = f'<c r="A3"><v>1</v></c>{cell}<c r="C3"><f>1</f><v>1</v></c><c r="D3" t="str"><f>""</f><v></v></c></row>'.encode()
    for cut in [i + 1 for i, byte in enumerate(whole) if byte == ord(">")]:
        cells = SpoiledCells()
        for block in (whole[:cut], whole[cut:]):
            cells.note(block, is_plain=is_plain, has_formulas=b"<f" in block)
        assert {column: set(rows) for column, rows in cells.found.items()} == {1: {2}}


def test_a_number_of_a_record_that_a_spreadsheet_made_a_date_of_refuses_its_row(tmp_path, layouts):  # noqa: F811
    """Of 3-4 it makes the third of April, and what was typed is kept nowhere."""
    path = save(tmp_path / "a.xlsx", HEADER, GOOD, [dt.date(2026, 4, 3), *GOOD[1:]], ["03.04.2026", *GOOD[1:]])
    assert reasons(path, layouts) == ([(3, "source_id", "cell_holds_date", "error")], 1)
    assert all(tell_finding("cell_holds_date", "source_id", {}).values())
