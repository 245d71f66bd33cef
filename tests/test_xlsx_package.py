"""Sheets as no spreadsheet writes them: rows and cells without what they usually say are read or refused, never a crash."""

from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.intake.reading import Limits
from pipelines.intake.receive import judge_chunk, open_submission
from pipelines.intake.refusal import FileRefusedError
from pipelines.intake.xlsx.book import open_book
from pipelines.intake.xlsx.cells import fill_down, group_areas, spread_rows
from pipelines.intake.xlsx.look import look_at
from pipelines.intake.xlsx.package import check_package
from tests.test_xlsx import GOOD, HEADER, ON, READ, accepted, layouts, pack, refusal  # noqa: F401

NUMBERS = st.sampled_from(["", "0", "1", "2", "3", "9", "26", "1048576", "9999999", "99999999999999999999", "9" * 5_000, "-1", "x", " 2 "])
COLUMNS = st.sampled_from(["", "A", "B", "C", "Z", "AA", "XFD", "ZZZ", "ZZZZZZZ", "a", "1", "Ж"])
KINDS = st.sampled_from(["", ' t="s"', ' t="e"', " t='e'", ' t="str"', ' t="inlineStr"', ' t="b"', ' t="d"', ' t=""', " t=s", ' s="0"', ' s="9"'])
INSIDE = st.sampled_from([
    "", "<v>1</v>", "<v>0</v>", "<v>99999</v>", "<v/>", "<v></v>", "<v>#N/A</v>", "<f>1+1</f>", "<f/>", '<f t="shared" si="0"/>', "</f><v/>",
    "<f>1</f><v>2</v>", "<is><t>Номер</t></is>", "<is><t>x</t></is>", "<is/>", "<v>46027</v>", "<v>1e999</v>", "<v>&#0;</v>", "<c>", "</c>", "<row>",
])  # fmt: skip
NAMES = st.sampled_from(["", "x:", "X:"])
QUOTES = st.sampled_from(['"', "'", ""])


@st.composite
def draw_cell(draw) -> str:
    name, quote, kind, inside = draw(NAMES), draw(QUOTES), draw(KINDS), draw(INSIDE)
    place = draw(st.just("") | st.builds(lambda c, n: f" r={quote}{c}{n}{quote}", COLUMNS, NUMBERS))
    said = place + kind if draw(st.booleans()) else kind + place
    return draw(st.sampled_from([f"<{name}c{said}>{inside}</{name}c>", f"<{name}c{said}/>", f"<{name}c{said}>{inside}", f"{inside}</{name}c>"]))


@st.composite
def draw_row(draw) -> str:
    name, quote = draw(NAMES), draw(QUOTES)
    cells = "".join(draw(st.lists(draw_cell(), max_size=4)))
    place = draw(st.just("") | st.builds(lambda n: f" r={quote}{n}{quote}", NUMBERS))
    more = draw(st.sampled_from(["", ' ht="15"', ' spans="1:15"', ' hidden="1"', ' s="0"']))
    return draw(st.sampled_from([f"<{name}row{place}{more}>{cells}</{name}row>", f"<{name}row{more}{place}/>", cells, f"<{name}row{place}>"]))


AREAS = st.builds(lambda a, b, c, d: f'<mergeCell ref="{a}{b}:{c}{d}"/>', COLUMNS, NUMBERS, COLUMNS, NUMBERS)


def draw_table(*rows: list[str]) -> str:
    """Rows as a spreadsheet writes them."""
    return "".join(
        f'<row r="{n}">' + "".join(f'<c r="{chr(65 + i)}{n}" t="inlineStr"><is><t>{text}</t></is></c>' for i, text in enumerate(row)) + "</row>"
        for n, row in enumerate(rows, 1)
    )


TABLE = draw_table(HEADER, GOOD)
LISTED = draw_table(
    ["Организация", "Дата рождения", "ИИН матери", "ИИН", "Дата обследования", "Правое ухо"],
    ["M1", "05.01.2026", "250314500010", "", "07.01.2026", "прошел"],
)  # fmt: skip
SHEETS = st.builds(
    lambda rows, areas, first: (LISTED if first else "") + "".join(rows) + "</sheetData><mergeCells>" + "".join(areas) + "</mergeCells><sheetData>",
    st.lists(draw_row(), max_size=6), st.lists(AREAS, max_size=4), st.booleans(),
)  # fmt: skip
"""The inside of a sheet: a table that is read, and rows, cells and merged areas as no spreadsheet writes them."""
TEXTS = st.sampled_from(["", "<si><t>x</t></si>", "<si/>", "<si>", '<sst count="99999999999999999999">', "<si><r><t>x</t></r></si>" * 3, "</si>"])


@settings(max_examples=60, deadline=None)
@given(SHEETS, TEXTS)
def test_whatever_a_sheet_is_made_of_it_is_read_or_refused(tmp_path_factory, sheet, texts):
    path = pack(tmp_path_factory.mktemp("any") / "a.xlsx", sheet, texts)
    try:
        opened = open_submission(path)
        for chunk in opened.chunks:
            assert chunk.rows["row_no"].is_unique().all()
            judge_chunk(chunk, opened.layout, "a" * 64, ON)
    except FileRefusedError as refused:
        assert refused.code


@pytest.mark.parametrize(
    "row", ['<row r="{n}" spans="1:15"><c r="A{n}" s="0"/></row>', '<row r="{n}" ht="15" customHeight="1"/>'], ids=["formatted_cells", "only_heights"]
)
def test_a_third_of_a_million_rows_that_hold_nothing_are_no_crash_and_the_rows_before_them_are_read(tmp_path, layouts, row):  # noqa: F811
    """So many that it is looked at once more which cells hold anything; a block of the sheet then holds none."""
    path = pack(tmp_path / "a.xlsx", TABLE + "".join(row.format(n=n) for n in range(3, 330_000)))
    assert accepted(path, layouts) == [(2, *READ[0])]


@pytest.mark.parametrize(
    "sheet",
    [TABLE + '<row r="3"><c r="A0" t="e"><v>#N/A</v></c></row>', '<row r="3"><f>1+1</f></c></row>'],
    ids=["row_0", "formula_in_no_cell"],
)
def test_an_error_or_a_formula_that_stands_nowhere_refuses_the_workbook(tmp_path, layouts, sheet):  # noqa: F811
    assert refusal(pack(tmp_path / "a.xlsx", sheet), layouts) == "cells_without_value"


def test_of_merged_areas_that_overlap_the_upper_one_speaks_for_a_row(tmp_path, layouts):  # noqa: F811
    """No spreadsheet lets them overlap; a hundred thousand that do would each be spread over all rows."""
    sheet = TABLE + '<row r="3"><c r="A3"><v>2</v></c></row>'
    areas = '<mergeCells><mergeCell ref="E2:E3"/><mergeCell ref="E3:E3"/><mergeCell ref="E2:E9"/></mergeCells>'
    path = pack(tmp_path / "a.xlsx", f"{sheet}</sheetData>{areas}<sheetData>")
    book = open_book(path, Limits())
    cells = next(book.list_sheets()).cells
    spread = fill_down(cells[4], group_areas(book.package.merged["a"])[4], 1)
    assert spread.to_list() == ["Отправитель", "M1", "M1"]
    assert list(spread_rows([(1, 2), (1, 8), (2, 2)], 1, 9)) == [(1, range(2, 3)), (1, range(3, 9))]


FAR_AWAY = {
    "lower_case": '<c r="ab1048576"><v>1</v></c>',
    "last_of_two_references": '<c r="A3" r="AB1048576"><v>1</v></c>',
    "second_reference_with_blanks": '<c r="A3" r ="AB1048576"><v>1</v></c>',
    "second_reference_without_blank": """<c r='A3's="0"r="AB1048576"><v>1</v></c>""",
    "behind_a_tags_end_that_is_none": '<c x=">" r="AB1048576"><v>1</v></c>',
    "behind_a_tag_that_is_none": """<c x='<c r="A3">' r="AB1048576"><v>1</v></c>""",
    "behind_a_reference_that_is_none": """<c x=" r='A3'" r="AB1048576"><v>1</v></c>""",
    "empty_prefix": '<:c r="AB1048576"><v>1</v></:c>',
    "prefix_of_a_value": '<v:c r="AB1048576"><v>1</v></v:c>',
    "behind_a_row_of_another_number": '<c r="AB3"><v>1</v></c></row><row r="4" s=">" r="1048576"><c><v>1</v></c>',
    "near_rows_and_far_columns": '<c r="A999999"><v>1</v></c></row><row r="4"><c r="ZZ4"><v>1</v></c>',
    "between_near_ones": '<c r="AB1048576"><v>1</v></c></row><row r="4"><c r="A4"><v>1</v></c>',
    "longer_than_a_block": f'<c {" " * (2 << 20)}r="AB1048576"><v>1</v></c>',
}
NO_TAGS = {"behind_a_tags_end_that_is_none", "behind_a_tag_that_is_none", "behind_a_row_of_another_number", "longer_than_a_block"}
"""Those of which it cannot be told where a tag ends."""
ROOM = Limits(unpacked_mb=8, blank_mb=4_096, columns=1_000)


@pytest.mark.parametrize("spelling", FAR_AWAY)
def test_a_cell_far_away_is_found_however_its_place_is_written(tmp_path, layouts, spelling):  # noqa: F811
    """Each is one the reader makes a rectangle of a million rows for."""
    path = pack(tmp_path / "a.xlsx", TABLE + f'<row r="3">{FAR_AWAY[spelling]}</row>')
    assert refusal(path, layouts, ROOM) == ("file_unreadable" if spelling in NO_TAGS else "file_unpacks_too_large")


@pytest.mark.parametrize("spelling", FAR_AWAY)
def test_a_place_nearby_is_read_however_it_is_written_unless_no_tag_can_be_told(tmp_path, layouts, spelling):  # noqa: F811
    near = FAR_AWAY[spelling].replace("1048576", "5").replace("999999", "5").replace("ab", "g").replace("AB", "G").replace("ZZ", "G")
    path = pack(tmp_path / "a.xlsx", TABLE + f'<row r="3">{near}</row>')
    if spelling in NO_TAGS:
        assert refusal(path, layouts) == "file_unreadable"
    else:
        assert accepted(path, layouts) == [(2, *READ[0])]


def test_a_text_with_a_sign_of_equality_between_blanks_makes_a_sheet_no_less_plain():
    row = '<row r="{0}"><c r="A{0}" t="inlineStr"><is><t>{1}</t></is></c></row>'
    assert look_at(row.format(1, "TSH = 5").encode() * 3).is_plain
    assert not look_at(row.format(1, "the r =5").encode()).is_plain  # as an attribute would be written


LONG = "<si><t>short</t></si><si><t>" + "x" * 30_000 + "</t></si>"
NAMED = {
    "as_written": ('<c r="A{n}" t="s"><v>1</v></c>', LONG),
    "single_quotes": ("<c r=\"A{n}\" t='s'><v>1</v></c>", LONG),
    "value_with_an_attribute": ('<c r="A{n}" t="s"><v x="1">1</v></c>', LONG),
    "behind_a_tags_end_that_is_none": ('<c r="A{n}" t="s" x=">"><v>1</v></c>', LONG),
    "behind_a_comment": ('<c r="A{n}" t="s"><!-- --><v>1</v></c>', LONG),
    "numbered_past_a_comment": ('<c r="A{n}" t="s"><v>1</v></c>', "<!-- <si> -->" + LONG),
    "set_off_from_the_markup": ('<c r="A{n}" t="s"><v>0</v></c>', "<si><t><![CDATA[" + "<x>" * 10_000 + "]]></t></si>"),
    "many_of_a_middling_length": ('<c r="A{n}" t="s"><v>0</v></c>' * 10, "<si><t>" + "x" * 2_000 + "</t></si>"),
}


@pytest.mark.parametrize(("cell", "texts"), NAMED.values(), ids=NAMED.keys())
def test_a_text_named_by_many_cells_is_counted_however_it_is_named(tmp_path, layouts, cell, texts):  # noqa: F811
    rows = "".join(f'<row r="{n}">{cell.format(n=n)}</row>' for n in range(3, 1_003))
    assert refusal(pack(tmp_path / "a.xlsx", TABLE + rows, texts), layouts, ROOM) == "file_unpacks_too_large"


def test_many_short_texts_beside_one_long_one_are_no_reason_to_refuse(tmp_path, layouts):  # noqa: F811
    rows = "".join(f'<row r="{n}"><c r="A{n}" t="s"><v>0</v></c></row>' for n in range(3, 1_003))
    assert accepted(pack(tmp_path / "a.xlsx", TABLE + rows, LONG), layouts) == [(2, *READ[0])]


@pytest.mark.parametrize("name", ["xl/WORKSHEETS/sheet1.xml", "xl\\worksheets\\sheet1.xml"])
def test_a_sheet_that_the_reader_may_take_for_another_is_refused(tmp_path, layouts, name):  # noqa: F811
    """It looks for parts without regard to case and to the stroke between folders."""
    far = f'<worksheet><sheetData>{FAR_AWAY["lower_case"]}</sheetData></worksheet>'
    assert refusal(pack(tmp_path / "a.xlsx", TABLE, **{name: far}), layouts, ROOM) == "file_unreadable"


def test_a_sheet_in_a_folder_below_the_sheets_is_looked_at_too(tmp_path, layouts):  # noqa: F811
    rels = (
        '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        '<Relationship Id="rId1" Type="other" Target="worksheets/below/sheet1.xml"/></Relationships>'
    )
    far = f'<worksheet><sheetData><row r="1">{FAR_AWAY["lower_case"]}</row></sheetData></worksheet>'
    path = pack(tmp_path / "a.xlsx", TABLE, **{"xl/worksheets/below/sheet1.xml": far, "xl/_rels/workbook.xml.rels": rels})
    assert refusal(path, layouts, ROOM) == "file_unpacks_too_large"


def test_comments_and_text_set_off_from_the_markup_are_passed_over(tmp_path, layouts):  # noqa: F811
    sheet = TABLE.replace("<t>M1</t>", "<t><![CDATA[M1]]></t>") + '<!-- <row r="3"><c r="ZZZ1048576"><v>1</v></c></row> -->'
    assert accepted(pack(tmp_path / "a.xlsx", sheet), layouts) == [(2, *READ[0])]


def test_a_sheet_whose_every_name_has_a_prefix_is_read_and_held_to_the_same_limits(tmp_path, layouts):  # noqa: F811
    def write(sheet: str) -> str:
        names = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
        prefixed = sheet.replace("</", "<@").replace("<", "<x:").replace("<x:@", "</x:")
        return f'<?xml version="1.0"?><x:worksheet xmlns:x="{names}"><x:sheetData>{prefixed}</x:sheetData></x:worksheet>'

    part, broken = "xl/worksheets/sheet1.xml", '<row r="3"><c r="A3" t="e"><v>#N/A</v></c><c r="B3"><v>1</v></c></row>'
    assert accepted(pack(tmp_path / "a.xlsx", "", **{part: write(TABLE)}), layouts) == [(2, *READ[0])]
    far = TABLE + f'<row r="3">{FAR_AWAY["lower_case"]}</row>'
    assert refusal(pack(tmp_path / "b.xlsx", "", **{part: write(far)}), layouts, ROOM) == "file_unpacks_too_large"
    assert check_package(pack(tmp_path / "c.xlsx", "", **{part: write(TABLE + broken)}), Limits()).spoiled == {"a": {0: array("I", [2])}}
