"""The ready-to-fix file: refused rows as sent, in the sender's own headers and format, each with its reasons.

Mended and sent again, it is read by the same layout: what stood above a table is a column here, and a column that the
form lacks but a reason asks for is added, empty.
"""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl

from pipelines.intake.layout import REASONS, Layout

_DANGEROUS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet runs a text that starts so as a formula (CSV injection)."""
_SIGNED = re.compile(r"[+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,10})(?:\.[0-9]{1,9})?")
"""What goes into a cell as a number: short enough to be shown whole, and without a zero or a sign that would be lost."""
_LONGEST_CELL = 32_767
_LONGEST_NOTE = 2_000
_SHEET_ROWS = 1_000_000


class _Form(NamedTuple):
    """Rows of one header: the headers, the values as sent, the reasons, and the notes by header."""

    headers: list[str]
    rows: list[Mapping[str, str | None]]
    reasons: list[str]
    notes: list[Mapping[str, str]]


def neutralise(text: str | None) -> str:
    """A value as text that no spreadsheet runs: an apostrophe before what is no plain signed number."""
    value = text or ""
    return "'" + value if value.startswith(_DANGEROUS) and not _SIGNED.fullmatch(value) else value


def write_repair(row_text: Sequence[str], reasons: Sequence[str], layout: Layout, absent: Sequence[str] = ()) -> bytes:
    """A ready-to-fix CSV in the layout's separator, with a last column of reasons; `absent`: headers to be added."""
    rows = [json.loads(text) for text in row_text]
    headers = _list_headers(rows, absent)
    out = io.StringIO()
    writer = csv.writer(out, delimiter=layout.separator, lineterminator="\r\n")
    writer.writerow([*map(neutralise, headers), REASONS])
    for row, reason in zip(rows, reasons, strict=True):
        writer.writerow([*(neutralise(row.get(h)) for h in headers), reason])
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def write_repair_workbook(
    row_text: Sequence[str], reasons: Sequence[str], notes: Sequence[Mapping[str, str]], absent: Sequence[str] = ()
) -> bytes:
    """A ready-to-fix workbook: as the CSV, the reasons also as notes (header -> text) on the cells they are about.

    Rows of different headers (of sheets of different layouts) go on sheets of their own. Every value is a text or a plain
    number; none is a formula or a link.
    """
    import xlsxwriter

    out = io.BytesIO()
    options = {
        "in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False,
    }  # fmt: skip
    with xlsxwriter.Workbook(out, options) as book:
        bold, marked = book.add_format({"bold": True}), book.add_format({"bg_color": "#FFE0B2"})
        for form in _group_rows(row_text, reasons, notes, absent):
            sheet = book.add_worksheet()
            sheet.freeze_panes(1, 0)
            sheet.set_column(0, len(form.headers) - 1, 18)
            sheet.set_column(len(form.headers), len(form.headers), 90)
            for place, header in enumerate([*form.headers, REASONS]):
                sheet.write_string(0, place, neutralise(header)[:_LONGEST_CELL], bold)
            for number, (row, reason, told) in enumerate(zip(form.rows, form.reasons, form.notes, strict=True), 1):
                for place, header in enumerate(form.headers):
                    value, style = row.get(header) or "", marked if header in told else None
                    if _NUMBER.fullmatch(value):
                        sheet.write_number(number, place, float(value), style)
                    elif value:
                        sheet.write_string(number, place, neutralise(value)[:_LONGEST_CELL], style)
                    elif style:
                        sheet.write_blank(number, place, None, style)
                    if header in told:
                        sheet.write_comment(number, place, told[header][:_LONGEST_NOTE], {"x_scale": 3, "y_scale": 1.5})
                sheet.write_string(number, len(form.headers), neutralise(reason)[:_LONGEST_CELL])
    return out.getvalue()


def list_notes(told: pl.DataFrame, row_nos: Sequence[int]) -> list[dict[str, str]]:
    """For each row number its notes (header -> texts), from a feedback table (feedback.tell_findings)."""
    by_row: dict[int, dict[str, list[str]]] = {}
    errors = told.filter((pl.col("severity") == "error") & pl.col("column").is_not_null())
    for no, column, kk, ru in errors.select("row_no", "column", "text_kk", "text_ru").iter_rows():
        by_row.setdefault(no, {}).setdefault(column, []).append(f"{kk}\n{ru}")
    return [{h: "\n\n".join(texts) for h, texts in by_row.get(no, {}).items()} for no in row_nos]


def list_absent(notes: Sequence[Mapping[str, str]], row_text: Sequence[str], layout: Layout) -> list[str]:
    """Headers of the layout that reasons are about and no row has: the sender is to fill them in."""
    sent = {header for text in row_text for header in json.loads(text)}
    asked = {header for told in notes for header in told}
    return [header for header in layout.columns if header in asked and header not in sent]


def _list_headers(rows: Sequence[Mapping[str, object]], absent: Sequence[str]) -> list[str]:
    sent = dict.fromkeys(header for row in rows[:1] for header in row)
    return [h for h in dict.fromkeys([*sent, *absent]) if h != REASONS]


def _group_rows(
    row_text: Sequence[str], reasons: Sequence[str], notes: Sequence[Mapping[str, str]], absent: Sequence[str]
) -> list[_Form]:
    forms: list[_Form] = []
    open_forms: dict[tuple[str, ...], _Form] = {}
    for text, reason, told in zip(row_text, reasons, notes, strict=True):
        row = json.loads(text)
        group = tuple(row)
        form = open_forms.get(group)
        if form is None or len(form.rows) >= _SHEET_ROWS:
            form = open_forms[group] = _Form(_list_headers([row], absent), [], [], [])
            forms.append(form)
        form.rows.append(row)
        form.reasons.append(reason)
        form.notes.append(told)
    return forms
