"""Rows of a text file are told by the line where they begin; a quote that takes in lines below it is told, never read as a row."""

import polars as pl
import pytest

from pipelines.intake.feedback import tell_finding
from tests.test_intake import GOOD, HEADER, judge, layouts, refusal, write  # noqa: F401

SAID = HEADER + ";Примечание"


def told(path, layouts):  # noqa: F811
    judged = judge(path, layouts)
    finding = pl.concat(j.finding for j in judged).filter(pl.col("severity") == "error").select("row_no", "column", "code").sort("row_no").rows()
    accepted = sorted(pl.concat(j.accepted for j in judged)["row_no"].unique())
    return accepted, finding, sum(j.received_count for j in judged)


def good(number: int, note: str = "", value: str = "3,5") -> str:
    return f"{number}{GOOD[1:].replace('3,5', value)};{note}"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_line_break_within_quotes_does_not_shift_the_lines_told_below_it(tmp_path, layouts, end):  # noqa: F811
    rows = [good(1), good(2, f'"first{end}second{end}third"'), good(3, value="x"), "short;row", good(4)]
    assert told(write(tmp_path, SAID, *rows, end=end), layouts) == (
        [2, 3, 8], [(6, "ТТГ", "value_unreadable"), (7, None, "row_width_differs")], 5,
    )  # fmt: skip


def test_a_quote_that_is_never_closed_names_its_line_and_those_it_took_in(tmp_path, layouts):  # noqa: F811
    rows = [good(1), '"' + good(2), good(3), good(4)]
    assert told(write(tmp_path, SAID, *rows), layouts) == ([2], [(3, "4-5", "quote_unclosed")], 2)


def test_a_quote_that_closes_in_a_later_row_is_not_taken_for_a_text(tmp_path, layouts):  # noqa: F811
    rows = [good(1, '"note'), good(2, 'end"'), good(3, "x")]
    accepted, finding, _ = told(write(tmp_path, SAID, *rows), layouts)
    assert (accepted, finding) == ([4], [(2, "3", "quote_unclosed")])
    assert "lines 3 of" in tell_finding("quote_unclosed", "3", {})["en"]


def test_headers_are_known_in_any_case(tmp_path, layouts):  # noqa: F811
    sent = write(tmp_path, HEADER.lower().replace("ттг", "ТТг"), GOOD)
    assert told(sent, layouts) == ([2], [], 1)


def test_one_header_in_two_cases_is_a_header_that_occurs_twice(tmp_path, layouts):  # noqa: F811
    assert refusal(write(tmp_path, HEADER + ";фа", GOOD + ";1"), layouts) == "header_repeated"
