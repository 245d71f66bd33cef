"""Of which layout a table is: the one that knows most of its header, whatever that lacks; never the next one."""

import csv as text_csv

import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.intake.feedback import tell_finding
from pipelines.intake.heading import match_layout
from pipelines.intake.layout import OURS_ADDED, Layout, list_layouts
from pipelines.intake.receive import open_submission
from pipelines.intake.refusal import FileRefusedError

RENAMED = "Переименовано"
NEEDED = [(layout, header) for layout in list_layouts() for header in sorted(layout.required)]
BIRTHS = next(layout for layout in list_layouts() if layout.name == "maternity-birth")


def write_header(layout: Layout) -> list[str]:
    """All headers of a layout, as a sender who leaves out nothing writes them."""
    return sorted(layout.headers - set(OURS_ADDED))


def write_text(path, layout: Layout, *rows: list[str]):
    with path.open("w", encoding="utf-8", newline="") as file:
        text_csv.writer(file, delimiter=layout.separator).writerows(rows)
    return path


def write_book(path, *sheets: list[list[str]]):
    with xlsxwriter.Workbook(path) as book:
        for rows in sheets:
            sheet = book.add_worksheet()
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
    return path


def refuse(path) -> tuple[str, tuple[str, ...], list[tuple[str, str]]]:
    with pytest.raises(FileRefusedError) as refused:
        for _ in open_submission(path).chunks:
            pass
    return refused.value.code, refused.value.columns, [(one.code, one.column) for one in refused.value.differences]


@pytest.mark.parametrize("layout", list_layouts(), ids=lambda x: x.name)
def test_a_full_header_is_of_its_own_layout_in_text_and_in_a_workbook(layout, tmp_path):
    header = write_header(layout)
    assert open_submission(write_text(tmp_path / "a", layout, header, ["x"] * len(header))).layout.name == layout.name
    assert open_submission(write_book(tmp_path / "b", [header, ["x"] * len(header)])).layout.name == layout.name


@pytest.mark.parametrize("layout", list_layouts(), ids=lambda x: x.name)
def test_a_header_of_which_one_required_name_was_changed_is_refused_by_that_name_and_no_other_layout_takes_it(layout, tmp_path):
    for needed in sorted(layout.required):
        header = [RENAMED if name == needed else name for name in write_header(layout)]
        told = ("layout_header_changed", (needed,), [("layout_meant", layout.name)])
        assert refuse(write_text(tmp_path / "a", layout, header, ["x"] * len(header))) == told
        assert refuse(write_book(tmp_path / "b", [header, ["x"] * len(header)])) == told


@pytest.mark.parametrize("layout", list_layouts(), ids=lambda x: x.name)
def test_a_sheet_whose_header_was_changed_refuses_its_workbook_before_and_behind_one_that_is_read(layout, tmp_path):
    """Its rows would be lost with a warning; with them the workbook comes again."""
    whole = [[*BIRTHS.columns], ["x"] * len(BIRTHS.columns)]
    for needed in sorted(layout.required):
        header = [RENAMED if name == needed else name for name in write_header(layout)]
        changed = [header, ["x"] * len(header)]
        for place, sheets in (("2", (whole, changed)), ("1", (changed, whole))):
            told = ("layout_header_changed", (needed,), [("layout_meant", layout.name), ("sheet_refused", place)])
            assert refuse(write_book(tmp_path / "a", *sheets)) == told


@pytest.mark.parametrize("layout", [x for x in list_layouts() if x.components], ids=lambda x: x.name)
def test_a_file_without_any_column_of_results_is_not_taken_for_births_and_is_told_which_it_may_have(layout):
    results = {c.header for c in layout.components}
    with pytest.raises(FileRefusedError) as refused:
        match_layout(layout.headers - results, list_layouts())
    assert set(refused.value.columns) == results | (layout.required & results)


def test_a_header_that_fits_two_forms_equally_is_refused_with_the_names_of_both_and_one_more_column_decides():
    other = BIRTHS._replace(name="other", columns={**BIRTHS.columns, "Кабинет": "phone"})
    own = BIRTHS._replace(columns={**BIRTHS.columns, "Палата": "phone"})
    with pytest.raises(FileRefusedError) as refused:
        match_layout(BIRTHS.required, [own, other])
    assert (refused.value.code, refused.value.differences[0][:2]) == ("layout_ambiguous", ("maternity-birth, other", "layouts_meant"))
    assert [match_layout([*BIRTHS.required, more], [own, other]).name for more in ("Палата", "Кабинет")] == ["maternity-birth", "other"]


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_whatever_optional_columns_lack_a_file_is_of_its_layout_and_with_a_required_one_renamed_of_none(data):
    layout, needed = data.draw(st.sampled_from(NEEDED))
    results = [c.header for c in layout.components]
    kept = set(layout.required) | ({data.draw(st.sampled_from(results))} if results else set())
    kept |= data.draw(st.sets(st.sampled_from(write_header(layout))))
    assert match_layout(kept, list_layouts()).name == layout.name
    with pytest.raises(FileRefusedError):
        match_layout(kept - {needed} | {RENAMED}, list_layouts())


def test_a_sheet_that_only_shares_some_words_with_a_layout_is_passed_over_beside_one_that_is_read(tmp_path):
    whole = [[*BIRTHS.columns], ["x"] * len(BIRTHS.columns)]
    staff = [["ФИО", "Дата рождения", "Организация", "Телефон"], ["x"] * 4]
    opened = open_submission(write_book(tmp_path / "a", whole, staff))
    found = [finding for chunk in opened.chunks for finding in chunk.findings.rows()]
    assert (None, "2", "sheet_not_read", "warning") in found


@pytest.mark.parametrize("code", ["layout_meant", "layouts_meant", "sheet_refused", "separator_asked", "separator_differs"])
def test_what_is_told_beside_a_refusal_has_its_texts_and_names_what_it_is_about(code):
    texts = tell_finding(code, "ABOUT", {})
    assert all(texts.values())
    assert code == "separator_differs" or all("ABOUT" in text for text in texts.values())
