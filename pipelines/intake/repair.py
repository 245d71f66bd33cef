"""The ready-to-fix file: refused rows as sent, in the sender's own headers and format, each with its name and reasons.

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

from pipelines.intake.layout import FORM, MENDS, OURS_ADDED, Layout
from pipelines.intake.mends import Refused, join_names
from pipelines.intake.page import LANGUAGES

_DANGEROUS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet runs a text that starts so as a formula (CSV injection)."""
_SIGNED = re.compile(r"[+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)")
_NUMBER = re.compile(r"-?(?:[0-9]{1,11}|[0-9]{1,6}\.[0-9]{1,9})")
"""What may go into a cell as a number: short enough to be shown, and read again, whole."""
_LONGEST_CELL = 32_767
_LONGEST_NOTE = 2_000
_SHEET_ROWS = 1_000_000


class _Form(NamedTuple):
    """Rows of one header: the headers, and with each row as sent what is told of it."""

    headers: list[str]
    rows: list[tuple[Mapping[str, str | None], Refused]]


def neutralise(text: str | None) -> str:
    """A value as text that no spreadsheet runs: an apostrophe before what is no plain signed number."""
    value = text or ""
    return "'" + value if value.startswith(_DANGEROUS) and not _SIGNED.fullmatch(value) else value


def write_repair(refused: Sequence[Refused], layout: Layout, absent: Sequence[str] = ()) -> bytes:
    """A ready-to-fix CSV, written as the file was; its last columns are the rows' names and the reasons; `absent`: headers to be added.

    Its separator is the layout's or the one that was sent; UTF-8, but UTF-16 for UTF-16.
    """
    rows = [json.loads(one.text) for one in refused]
    headers = _list_headers(rows, absent)
    form = str(next((row[FORM] for row in rows if FORM in row), layout.separator))
    out = io.StringIO()
    writer = csv.writer(out, delimiter=form[0], lineterminator="\r\n")
    writer.writerow([*map(neutralise, headers), *OURS_ADDED])
    for row, one in zip(rows, refused, strict=True):
        told = (join_names(one.name, row.get(MENDS)), one.reasons.replace("\n", " | "))
        writer.writerow([*(neutralise(row.get(h)) for h in headers), *told])
    return out.getvalue().encode(form[1:] or "utf-8-sig")


def write_repair_workbook(refused: Sequence[Refused], absent: Sequence[str] = ()) -> bytes:
    """A ready-to-fix workbook: as the CSV, the reasons also as notes on the cells they are about.

    Rows of different headers (of sheets of different layouts) go on sheets of their own. Every value is a text or a plain
    number; none is a formula or a link.
    """
    import xlsxwriter

    out = io.BytesIO()
    options = {
        "in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False,
    }  # fmt: skip
    with xlsxwriter.Workbook(out, options) as book:
        bold, top = book.add_format({"bold": True}), {"valign": "top"}
        plain, marked = book.add_format(top), book.add_format({"bg_color": "#FFE0B2", **top})
        soft, wrapped = book.add_format({"font_color": "#808080", **top}), book.add_format({"text_wrap": True, **top})
        for form in _group_rows(refused, absent):
            sheet, last = book.add_worksheet(), len(form.headers)
            sheet.freeze_panes(1, 0)
            sheet.set_column(0, last - 1, 18)
            sheet.set_column(last, last, 24)
            sheet.set_column(last + 1, last + 1, 90)
            for place, header in enumerate([*form.headers, *OURS_ADDED]):
                sheet.write_string(0, place, neutralise(header)[:_LONGEST_CELL], bold)
            for number, (row, one) in enumerate(form.rows, 1):
                for place, header in enumerate(form.headers):
                    value, note = row.get(header) or "", one.notes.get(header)
                    style = marked if note else plain
                    if _is_number(value):
                        sheet.write_number(number, place, float(value), style)
                    elif value:
                        sheet.write_string(number, place, neutralise(value)[:_LONGEST_CELL], style)
                    elif note:
                        sheet.write_blank(number, place, None, style)
                    if note:
                        size = {"x_scale": 3, "y_scale": min(1.0 + note.count("\n") / 2, 6.0)}
                        sheet.write_comment(number, place, note[:_LONGEST_NOTE], size)
                sheet.write_string(number, last, join_names(one.name, row.get(MENDS)), soft)
                sheet.write_string(number, last + 1, neutralise(one.reasons)[:_LONGEST_CELL], wrapped)
    return out.getvalue()


def _is_number(text: str) -> bool:
    """Whether a spreadsheet keeps the text when it is told the number: of `007` and `2026.10`, which may be a name, it loses zeros."""
    return _NUMBER.fullmatch(text) is not None and f"{float(text):.15g}" == text != "-0"


def list_refused(row_text: Mapping[int, str], told: pl.DataFrame, names: Mapping[int, str]) -> list[Refused]:
    """Refused rows by number with what is told of them in a feedback table (feedback.tell_findings)."""
    errors = told.filter((pl.col("severity") == "error") & pl.col("row_no").is_not_null())
    reasons, notes = _join_reasons(errors), _join_notes(errors)
    return [Refused(no, text, names[no], reasons.get(no, ""), notes.get(no, {})) for no, text in row_text.items()]


def _join_reasons(errors: pl.DataFrame) -> dict[int, str]:
    """The codes of a row, and below them a line a language with all that is to be done."""
    by_row = errors.group_by("row_no", maintain_order=True).agg(
        pl.col("code").unique(maintain_order=True).str.join(", "),
        *(pl.col(f"text_{language}").unique(maintain_order=True).str.join(" ") for language in LANGUAGES),
    )
    lines = [part for language in LANGUAGES for part in (pl.lit(f"\n{language}: "), pl.col(f"text_{language}"))]
    return dict(by_row.select("row_no", pl.concat_str("code", *lines)).iter_rows())


def _join_notes(errors: pl.DataFrame) -> dict[int, dict[str, str]]:
    """For each row its notes (header -> texts), a line a language."""
    texts = [part for language in LANGUAGES for part in (pl.lit("\n"), pl.col(f"text_{language}"))][1:]
    told = errors.drop_nulls("column").group_by("row_no", "column", maintain_order=True)
    notes: dict[int, dict[str, str]] = {}
    for no, column, text in told.agg(pl.concat_str(texts).str.join("\n\n")).iter_rows():
        notes.setdefault(no, {})[column] = text
    return notes


def list_absent(refused: Sequence[Refused], layout: Layout) -> list[str]:
    """Headers of the layout that reasons are about and no row has: the sender is to fill them in."""
    sent = {header for one in refused for header in json.loads(one.text)}
    asked = {header for one in refused for header in one.notes}
    return [header for header in layout.columns if header in asked and header not in sent]


def _list_headers(rows: Sequence[Mapping[str, object]], absent: Sequence[str]) -> list[str]:
    sent = dict.fromkeys(header for row in rows[:1] for header in row)
    return [h for h in dict.fromkeys([*sent, *absent]) if h not in (*OURS_ADDED, FORM)]


def _group_rows(refused: Sequence[Refused], absent: Sequence[str]) -> list[_Form]:
    forms: list[_Form] = []
    open_forms: dict[tuple[str, ...], _Form] = {}
    for one in refused:
        row = json.loads(one.text)
        group = tuple(row)
        form = open_forms.get(group)
        if form is None or len(form.rows) >= _SHEET_ROWS:
            form = open_forms[group] = _Form(_list_headers([row], absent), [])
            forms.append(form)
        form.rows.append((row, one))
    return forms
