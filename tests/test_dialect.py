"""Delimited text as senders' programs write it: another separator, Excel's own line, titles above the header, UTF-16."""

import csv as text_csv
import io
from datetime import date

import polars as pl
import pytest

from pipelines.intake import csv
from pipelines.intake.feedback import tell_finding
from pipelines.intake.layout import list_layouts
from pipelines.intake.mends import Refused
from pipelines.intake.receive import judge_chunk, open_submission
from pipelines.intake.refusal import FileRefusedError
from pipelines.intake.repair import write_repair

HEARING = ["Номер записи", "Организация", "Действие", "ИИН матери", "Дата рождения", "Дата обследования", "ВОАЭ левое", "ВОАЭ правое"]
WEIGHED = [*HEARING[:5], "Порядок рождения", "Пол", "Роддом", "Номер истории", "Масса, г"]
KEPT = [("R1", date(2026, 2, 12), "oae_left", "pass"), ("R1", date(2026, 2, 12), "oae_right", "refer")]


def heard(number: int = 1, left: str = "прошел", day: str = "12.02.2026") -> list[str]:
    return [f"R{number}", "M1", "новая", "250314500010", "10.02.2026", day, left, "не прошел"]


def write(path, *lines: list[str] | str, separator: str = ";", encoding: str = "utf-8", end: str = "\r\n"):
    """Rows in a separator, as a spreadsheet would save them; a line that is a text stands as it is."""
    out = io.StringIO()
    for line in lines:
        if isinstance(line, str):
            out.write(line + end)
        else:
            text_csv.writer(out, delimiter=separator, lineterminator=end).writerow(line)
    path.write_bytes(out.getvalue().encode(encoding))
    return path


def judge(path):
    opened = open_submission(path)
    return opened, [judge_chunk(chunk, opened.layout, "a" * 64, date(2026, 3, 2)) for chunk in opened.chunks]


def read(path) -> list[tuple]:
    _, judged = judge(path)
    return pl.concat(j.accepted for j in judged).select("source_id", "examined_on", "component", "result_code").sort(pl.all()).rows()


def told(path) -> list[tuple]:
    """(line, code) of what was found, but what only says that an optional column is not there."""
    opened, judged = judge(path)
    found = pl.concat([opened.finding, *(j.finding for j in judged)]).filter(pl.col("code") != "column_absent")
    return found.select("row_no", "code").sort("row_no", "code", nulls_last=False).rows()


def refuse(path) -> tuple[str, tuple[str, ...], list[tuple[str, str]]]:
    with pytest.raises(FileRefusedError) as refused:
        judge(path)
    return refused.value.code, refused.value.columns, [(one.code, one.column) for one in refused.value.differences]


# ------------------------------------------------------------------------------------------------ separators


@pytest.mark.parametrize("separator", [";", ",", "\t"], ids=["semicolon", "comma", "tab"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "kz1048", "utf-16", "utf-16-be"])
def test_a_file_in_another_separator_is_read_where_its_header_is_exactly_a_layouts(tmp_path, separator, encoding):
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    header = [mark + HEARING[0], *HEARING[1:]]
    path = write(tmp_path / "a", header, heard(), heard(2, "сомнительно"), separator=separator, encoding=encoding)
    assert read(path) == KEPT
    assert told(path) == [(3, "result_code_unknown")]


def test_a_form_of_tabs_is_no_form_of_births_when_it_comes_with_semicolons(tmp_path):
    header = [*HEARING[:5], "Порядок рождения", "Пол", "Роддом", "Номер истории", "Дата анкеты", "M-CHAT-R"]
    row = ["R1", "M1", "новая", "250314500010", "10.02.2024", "1", "м", "M1", "H1", "12.02.2026", "3"]
    opened, judged = judge(write(tmp_path / "a", header, row))
    assert (opened.layout.name, judged[0].accepted["value"].to_list()) == ("room-autism", [3.0])


@pytest.mark.parametrize("unknown", ["Примечание", "Масса, г, при рождении"])
def test_in_another_separator_a_header_that_the_form_does_not_know_refuses_the_file_and_names_both_separators(tmp_path, unknown):
    path = write(tmp_path / "a", [*HEARING, unknown], [*heard(), "x"], separator=",")
    assert refuse(path) == ("separator_differs", (), [("header_unknown_to_form", unknown), ("separator_asked", "«,» → «;»")])
    assert unknown in tell_finding("header_unknown_to_form", unknown, {})["kk"]


def test_a_header_that_holds_the_separator_unquoted_is_never_read_in_shifted_columns(tmp_path):
    """"Масса, г" without quotes is two headers, and 3,2 two cells: nothing of such a file is taken."""
    row = ["B1", "M1", "новая", "250314500010", "10.02.2026", "1", "м", "M1", "H1", "3,2"]
    path = write(tmp_path / "a", ",".join(WEIGHED), ",".join(row))
    assert refuse(path) == (
        "separator_differs", (), [("header_unknown_to_form", "Масса"), ("header_unknown_to_form", "г"), ("separator_asked", "«,» → «;»")],
    )  # fmt: skip


@pytest.mark.parametrize(("separator", "shown"), [(",", "«,» → «;»"), ("\t", "Tab → «;»")])
def test_a_changed_header_in_another_separator_names_the_column_the_form_and_both_separators(tmp_path, separator, shown):
    header = ["Дата осмотра ребенка" if name == "Дата обследования" else name for name in HEARING]
    assert refuse(write(tmp_path / "a", header, heard(), separator=separator)) == (
        "layout_header_changed", ("Дата обследования",), [("layout_meant", "maternity-hearing"), ("separator_asked", shown)],
    )  # fmt: skip


@pytest.mark.parametrize(("separator", "shown"), [("|", "«|» → «;» / «,» / Tab"), ("^", "– → «;» / «,» / Tab")])
def test_a_separator_that_no_form_has_is_named_beside_those_that_forms_have(tmp_path, separator, shown):
    assert refuse(write(tmp_path / "a", HEARING, heard(), separator=separator)) == ("layout_unknown", (), [("separator_asked", shown)])
    assert shown in tell_finding("separator_asked", shown, {})["ru"]


# ------------------------------------------------------------------------------------------------ above the header


@pytest.mark.parametrize(
    "above",
    [["sep=;"], ["Отчет за февраль;;;;;;;", ";;;;;;;"], ["", "", "Отчет", "", "sep=;"], ['"Отчет', 'за февраль"']],
    ids=["excel", "title", "blank_lines", "title_of_two_lines"],
)
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_what_stands_above_the_header_is_passed_over_and_lines_are_those_of_the_file(tmp_path, above, end):
    path = write(tmp_path / "a", *above, HEARING, heard(), "short;row", heard(2, "сомнительно"), end=end)
    assert read(path) == KEPT
    header = len(above) + 1
    assert told(path) == [(header + 2, "row_width_differs"), (header + 3, "result_code_unknown")]


def test_a_line_for_excel_says_the_separator_of_a_form_of_another_one(tmp_path):
    assert read(write(tmp_path / "a", "sep=,", HEARING, heard(), separator=",")) == KEPT


def test_what_a_title_says_holds_for_every_row_of_a_text_as_of_a_sheet(tmp_path):
    own = [header for header in HEARING if header != "Организация"]
    row = [cell for header, cell in zip(HEARING, heard(), strict=True) if header != "Организация"]
    path = write(tmp_path / "a", ["Организация:", "M7"], [], own, row, [*row[:-1], "?"])
    _, judged = judge(path)
    assert judged[0].accepted["sender_id"].unique().to_list() == ["M7"]
    assert '"Организация":"M7"' in judged[0].quarantine["row_text"][0]


def test_a_header_in_two_rows_is_joined_in_a_text_as_in_a_sheet(tmp_path):
    above = ["Организация", "Отчетный период", "Всего новорожденных", "Охвачено скринингом", ""]
    path = write(tmp_path / "a", above, ["", "", "", "абс.", "%"], ["M1", "01.02.2026", "100", "90", "90"])
    opened, judged = judge(path)
    assert (opened.layout.name, judged[0].accepted["measure"].sort().to_list()) == ("annex-7-return", ["screened", "target"])


def test_a_quoted_header_of_several_lines_is_one_header(tmp_path):
    header = ["Дата\nобследования" if name == "Дата обследования" else name for name in HEARING]
    path = write(tmp_path / "a", header, heard(), heard(2, "?"), end="\n")
    assert (read(path), told(path)) == (KEPT, [(4, "result_code_unknown")])


@pytest.mark.parametrize("text", ["x" * 200_000, '"' + "x;" * 200_000, HEARING[0] + ";" + "x" * 200_000])
def test_a_first_line_that_is_longer_than_any_header_is_refused(tmp_path, text):
    assert refuse(write(tmp_path / "a", text, "1;2"))[0] in ("layout_unknown", "layout_header_changed", "file_too_wide")


# ------------------------------------------------------------------------------------------------ the file to fix


@pytest.mark.parametrize(
    ("separator", "encoding", "start"),
    [(";", "utf-8", b"\xef\xbb\xbf"), (",", "utf-8", b"\xef\xbb\xbf"), ("\t", "kz1048", b"\xef\xbb\xbf"), ("\t", "utf-16", b"\xff\xfe"),
     (";", "utf-16", b"\xff\xfe")],
)  # fmt: skip
def test_a_file_to_fix_is_written_as_the_file_was_and_comes_again_in_that_form(tmp_path, separator, encoding, start):
    path = write(tmp_path / "a", HEARING, heard(), heard(2, "?"), ["R3", "M1"], separator=separator, encoding=encoding)
    for _ in range(2):
        opened, judged = judge(path)
        texts = [row for j in judged for row in j.quarantine["row_text"]]
        content = write_repair([Refused(n, text, f"erte-{'a' * 12}-{n}", "why") for n, text in enumerate(texts)], opened.layout)
        assert content.startswith(start)
        lines = content.decode("utf-16" if encoding == "utf-16" else "utf-8-sig").splitlines()
        assert lines[0] == separator.join([*HEARING, "erte_row", "erte_reasons"])
        assert lines[1].split(separator)[:3] == ["R2", "M1", "новая"]
        path.write_bytes(content)
    assert told(path)[0] == (2, "result_code_unknown")


def test_utf_16_is_read_a_block_at_a_time_and_lines_are_counted_over_them(tmp_path, monkeypatch):
    rows = [heard(n) if n % 50 else "short" for n in range(1, 1_000)]
    path = write(tmp_path / "a", HEARING, *rows, encoding="utf-16")
    monkeypatch.setattr(csv, "_BLOCK_BYTES", 4_096)
    opened = csv.open_file(path, csv.Limits(), list_layouts())
    chunks = list(opened.chunks)
    assert len(chunks) > 10
    assert sorted(no for chunk in chunks for no in chunk.rows["row_no"]) == list(range(2, 1_001))
    wrong = [no for chunk in chunks for no, _, code, _ in chunk.findings.rows() if code == "row_width_differs"]
    assert sorted(wrong) == [n + 1 for n in range(50, 1_000, 50)]
