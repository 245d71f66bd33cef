"""Rows of a table that are no records: numbers of its columns, its header once more, totals. One rule for text and for workbooks."""

import polars as pl
import pytest

from pipelines.intake.feedback import group_findings, render_feedback, tell_finding
from pipelines.intake.refusal import FileRefusedError
from tests import test_annex
from tests.test_dialect import HEARING, heard, judge, told, write
from tests.test_feedback import RECEIPT, Page

FORMS = ("csv", "xlsx")


def save(path, form: str, *rows: list[str]):
    """The rows as text or as a workbook."""
    return write(path, *rows) if form == "csv" else test_annex.write(path, [*rows])


NUMBERS = [str(n) for n in range(1, 9)]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (NUMBERS, "number_row_set_aside"), (["А", "Б", *NUMBERS[:6]], "number_row_set_aside"), ([f"({n})" for n in NUMBERS], "number_row_set_aside"),
        (["", *NUMBERS[:7]], "number_row_set_aside"), (NUMBERS[:5], "number_row_set_aside"),
        (HEARING, "header_row_set_aside"), (HEARING[:5], "header_row_set_aside"),
        (["Итого", "1"], "total_row_set_aside"), (["Всего:", "1", "", "", "", "", "", ""], "total_row_set_aside"),
        (["", "Барлығы 1", "", "", "", "", "", "", "", ""], "total_row_set_aside"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", FORMS)
def test_numbers_of_columns_a_header_once_more_and_totals_are_set_aside_and_told(tmp_path, row, code, form):
    path = save(tmp_path / f"a.{form}", form, HEARING, heard(), row[: len(HEARING)], heard(2, "?"))
    assert told(path) == [(3, code), (4, "result_code_unknown")]
    assert sum(j.received_count for j in judge(path)[1]) == 2


@pytest.mark.parametrize(
    "row",
    [["Итого", *heard()[1:]], ["1", "3", *NUMBERS[:6]], ["1", "2", "", "", "", "", "", ""], ["Номер записи", *heard()[1:]], ["Итоговый", "1"]],
    ids=["a record called total", "numbers out of order", "two numbers", "a record called header", "another word"],
)  # fmt: skip
@pytest.mark.parametrize("form", FORMS)
def test_what_only_resembles_them_is_judged(tmp_path, row, form):
    path = save(tmp_path / f"a.{form}", form, HEARING, heard(), row, heard(2, "?"))
    assert not [code for _, code in told(path) if code.endswith("set_aside")]
    assert sum(j.received_count for j in judge(path)[1]) == 3


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("below", [[*HEARING[:6], HEARING[7], HEARING[6]], HEARING[::-1], [HEARING[1], HEARING[0], *HEARING[2:6]]])
def test_a_second_table_whose_columns_are_in_another_order_is_not_read_by_the_first_header(tmp_path, form, below):
    path = save(tmp_path / f"a.{form}", form, HEARING, heard(), below, heard(2))
    with pytest.raises(FileRefusedError) as refused:
        judge(path)
    moved = [name for name, other in zip(HEARING, below, strict=False) if name != other]
    assert refused.value.code == "header_differs_below"
    assert [(one.code, one.column, one.row_no) for one in refused.value.differences] == [("header_out_of_place", name, 3) for name in moved[:5]]
    assert all("{" not in text for one in refused.value.differences for text in tell_finding(one.code, one.column, {}).values())


def test_files_of_one_form_that_were_joined_with_their_byte_order_marks_are_one_table(tmp_path):
    path = write(tmp_path / "a", "\ufeff" + ";".join(HEARING), heard(), "\ufeff" + ";".join(HEARING), heard(2, "?"))
    assert told(path) == [(3, "header_row_set_aside"), (4, "result_code_unknown")]


def test_a_line_of_more_cells_than_the_header_is_told_as_such_whatever_it_says(tmp_path):
    path = write(tmp_path / "a", HEARING, heard(), [*NUMBERS, "9"], ["Итого", *[""] * 8, "1"], ["Итого", "1", *[""] * 9])
    assert told(path) == [(3, "row_width_differs"), (4, "row_width_differs"), (5, "total_row_set_aside")]


def test_a_short_total_of_a_list_that_counts_its_rows_is_held_against_them_without_the_numbers_of_its_columns(tmp_path):
    header = ["Организация", "№ п/п", "Дата рождения", "ИИН", "ИИН матери", "Дата обследования", "Правое ухо"]
    rows = [["M1", str(n), "10.02.2026", "", "250314500010", f"1{n}.02.2026", "прошел"] for n in (1, 2)]
    path = write(tmp_path / "a", header, NUMBERS[:7], *rows, header, "Итого;2")
    assert told(path) == [(2, "number_row_set_aside"), (5, "header_row_set_aside"), (6, "total_row_set_aside")]
    with pytest.raises(FileRefusedError) as refused:
        judge(write(tmp_path / "b", header, NUMBERS[:7], *rows, "Итого;3"))
    assert [d.detail for d in refused.value.differences] == ["declared=3 computed=2 difference=1"]
    with pytest.raises(FileRefusedError):
        judge(write(tmp_path / "c", header, *rows, "Итого;" + "9" * 5_000))


def test_a_return_whose_columns_are_numbered_is_read(tmp_path):
    header = ["Отчетный период", "Организация", "Всего новорожденных", "Охвачено скринингом абс.", "Первичный ФА абс."]
    for form in FORMS:
        rows = [header, ["1", "2", "3", "4", "5"], ["01.02.2026", "M1", "100", "90", "90"], ["Итого", "", "100", "90", "90"]]
        path = save(tmp_path / f"a.{form}", form, *rows)
        assert told(path) == [(2, "number_row_set_aside"), (4, "total_row_set_aside")]
        assert sum(j.received_count for j in judge(path)[1]) == 1


def test_a_header_of_two_rows_is_known_again_below_and_so_are_its_numbers(tmp_path):
    top = ["Организация", "Отчетный период", "Всего новорожденных", "Охвачено скринингом", ""]
    low, numbers = ["", "", "", "абс.", "%"], ["1", "2", "3", "4", "5"]
    row = ["M1", "01.02.2026", "100", "90", "90"]
    for form in FORMS:
        path = save(tmp_path / f"a.{form}", form, top, low, numbers, row, top, low, numbers, ["M2", *row[1:]])
        codes = ["number", "header", "header", "number"]
        assert told(path) == [(no, f"{code}_row_set_aside") for no, code in zip((3, 5, 6, 7), codes, strict=True)]


def test_the_page_says_what_was_no_record_apart_from_what_was_accepted_and_how_many_rows():
    rows = [(3, None, "total_row_set_aside", "info"), (9, None, "total_row_set_aside", "info"), (None, "2", "sheet_not_read", "warning"),
            (None, "Новое", "column_unknown", "warning")]  # fmt: skip
    finding = pl.DataFrame(rows, schema={"row_no": pl.Int64, "column": pl.String, "code": pl.String, "severity": pl.String}, orient="row")
    page = Page(render_feedback(RECEIPT, group_findings(finding, pl.DataFrame(schema={"row_no": pl.Int64, "source_id": pl.String}), {}), []))
    english = page.text[page.text.index("Feedback on your file") :]
    untaken, accepted = english[english.index("Not taken as records") :].split("Please note")
    assert all(word in untaken for word in ("sheet_not_read", "send the workbook again", "sheet 2", "total_row_set_aside"))
    assert ["2" in line for line in untaken.splitlines() if "line 3" in line or line.strip() == "2"]
    assert "column_unknown" in accepted and "sheet_not_read" not in accepted
    assert "лист 2" in page.text and "2-парақ" in page.text
