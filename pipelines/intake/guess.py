"""A layout proposed for an unknown table: by its headers, by the shapes of its values; what cannot be placed is said."""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

import polars as pl

from pipelines.contracts import RECORDS, is_valid_iin
from pipelines.intake.layout import Layout
from pipelines.intake.proposal import Guess, Placed, Sample, find_forms, write_toml
from pipelines.intake.reading import name_headers
from pipelines.intake.refusal import FileRefusedError
from pipelines.intake.survey import UTF16
from pipelines.intake.wide import (
    COMPUTED,
    MOSTLY,
    find_form,
    is_code,
    list_ignored,
    place_components,
    plain,
    read_words,
)

_FRONT_DOOR = frozenset({"submission_id", "row_no", "received_on"})
_ALIKE = 0.84
_EXCEL_LINE = re.compile(r"\Asep=.[\r\n]+", re.IGNORECASE)
_KAZAKH = "әғқңөұүһіӘҒҚҢӨҰҮҺІ"
_SHAPED = {"sex": "sex_code", "kato (9 digits)": "residence_kato"}
"""Shapes that one column only can have: they place a header that no word placed."""


def read_sample(head: bytes, *, is_cut: bool = False) -> Sample:
    """The first bytes of a file as a table; `is_cut`: there is more. Raises FileRefusedError."""
    if not head.strip():
        raise FileRefusedError("file_empty")
    if head.startswith(UTF16):  # its mark says so, whatever a layout declares
        encoding, text = "utf-8", head.decode("utf-16", errors="ignore")
    elif b"\x00" in head:
        raise FileRefusedError("file_binary")
    else:
        encoding = name_encoding(head := (head[: head.rfind(b"\n") + 1] or head) if is_cut else head)
        text = head.removeprefix(codecs.BOM_UTF8).decode(encoding)
    text = _EXCEL_LINE.sub("", text)
    try:
        separator = _name_separator(text)
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if any(cell.strip() for cell in row)]
    except csv.Error:  # a value longer than any of a table
        raise FileRefusedError("layout_unknown") from None
    if not rows:
        raise FileRefusedError("file_empty")
    headers = name_headers(rows[0])
    if len(headers) < 2:
        raise FileRefusedError("layout_unknown")
    if len(set(headers)) != len(headers):
        raise FileRefusedError("header_repeated", tuple(sorted({h for h in headers if headers.count(h) > 1})))
    body = [row for row in rows[1:] if len(row) == len(headers)]
    values = {h: tuple(row[i].strip() for row in body if row[i].strip()) for i, h in enumerate(headers)}
    return Sample(encoding, separator, headers, values)


def name_encoding(head: bytes) -> str:
    """utf-8 where the bytes are; else cp1251 or kz1048, whichever reads more letters that Kazakh and Russian have.

    Raises FileRefusedError file_encoding_unknown where none of them reads all.
    """
    try:
        head.decode("utf-8")
        return "utf-8"
    except UnicodeDecodeError:
        pass
    scores = {}
    for encoding in read_words()["shape"]["encodings"][1:]:
        try:
            text = head.decode(encoding)
        except UnicodeDecodeError:
            continue
        scores[encoding] = sum(1 for c in text if "а" <= c.lower() <= "я" or c in "ёЁ" or c in _KAZAKH)
    if not scores:
        raise FileRefusedError("file_encoding_unknown")
    best = max(scores.values())
    return next(encoding for encoding, score in scores.items() if score == best)


def guess_layout(sample: Sample, layouts: Sequence[Layout], name: str) -> Guess:
    """A proposal for a sample; `name` becomes the layout's and its file's. Unknown codes and columns are only commented."""
    record = _name_record(sample, layouts)
    columns = {c for c in RECORDS[record].column_names() if c not in _FRONT_DOOR}
    components = place_components(sample.values, layouts, record)
    form = find_form(sample.headers, layouts, components)
    read = [h for h in sample.headers if h not in {c.header for c in components}]
    ignored = list_ignored(read, layouts, record) | dict.fromkeys(form.percents if form else (), COMPUTED)
    rest = [h for h in read if h not in ignored]
    placed = _place_headers(rest, layouts, columns - {c.into for c in components})
    sexes = frozenset(word for layout in layouts for word in (*layout.values.get("sex_code", ()), "male", "female"))
    known, taken = {p.header for p in placed}, {p.column for p in placed}
    unplaced = {h: describe_shape(sample.values[h], sexes) for h in rest if h not in known}
    shaped = tuple(
        Placed(header, column, f"values look like {shape}") for shape, column in _SHAPED.items()
        if column in columns - taken and list(unplaced.values()).count(shape) == 1
        for header in unplaced if unplaced[header] == shape
    )  # fmt: skip
    placed, unplaced = (*placed, *shaped), {h: s for h, s in unplaced.items() if h not in {p.header for p in shaped}}
    needed = {c for c, column in RECORDS[record].columns().items() if not column.nullable} - _FRONT_DOOR
    given = {p.column for p in placed} | {c.into for c in components} | {k for c in components for k in c.constants}
    if form:
        given |= {*form.constants, "source_id"}
    guess = Guess(name, record, "", placed, components, unplaced, tuple(sorted(needed - given)), ignored, form)
    return guess._replace(toml=write_toml(guess, sample, layouts))


def describe_shape(values: Sequence[str], sexes: frozenset[str] = frozenset()) -> str:
    """What values look like, without one of them: empty, sex, iin, kato, date with its form, number, code, text.

    `sexes`: the words by which known layouts name a sex.
    """
    if not values:
        return "empty"
    if sexes and {v.casefold() for v in values} <= sexes:
        return "sex"
    forms = find_forms(values, "dates") or find_forms(values, "datetimes")
    if forms and not all(v.isdigit() for v in values):
        return f"date {forms[0]}"
    text = pl.Series("v", list(values), dtype=pl.String).to_frame()
    checks = {
        "iin (12 digits, check digit right)": is_valid_iin(pl.col("v")),
        "kato (9 digits)": pl.col("v").str.contains(r"^\d{9}$"),
        "whole number": pl.col("v").str.contains(r"^[+-]?\d+$"),
        "number": pl.col("v").str.contains(r"^[+-]?\d+([.,]\d+)?$"),
    }
    for shape, holds in checks.items():
        if text.select(holds.sum()).item() >= MOSTLY * len(values):
            return shape
    return f"code ({len(set(values))} values)" if is_code(values) else "text"


def _name_separator(text: str) -> str:
    """The separator that cuts the first lines into the same number of cells, and most of them."""
    lines = text.splitlines()[:50]
    ranked = []
    for separator in read_words()["shape"]["separators"]:
        widths = Counter(len(row) for row in csv.reader(lines, delimiter=separator) if row)
        width = len(next(csv.reader(lines[:1], delimiter=separator), []))
        ranked.append((widths[width] / max(1, sum(widths.values())) if width > 1 else 0.0, width, separator))
    return max(ranked, key=lambda r: (round(r[0], 1), r[1]))[2]


def _name_record(sample: Sample, layouts: Sequence[Layout]) -> str:
    """The kind of record whose layouts and words know most of the headers; required columns and results count double."""
    scores: dict[str, float] = {}
    for record, contract in RECORDS.items():
        columns = set(contract.column_names()) - _FRONT_DOOR
        placed = _place_headers(sample.headers, layouts, columns)
        wide = len(place_components(sample.values, layouts, record))
        needed = {c for c, column in contract.columns().items() if not column.nullable}
        alike = max((len(x.headers.intersection(sample.headers)) for x in layouts if x.record == record), default=0)
        scores[record] = alike + 2 * wide + sum(2 if p.column in needed else 1 for p in placed) - 0.01 * len(columns)
    return max(scores, key=lambda record: scores[record])


def _place_headers(headers: Iterable[str], layouts: Sequence[Layout], columns: set[str]) -> tuple[Placed, ...]:
    """Each column once, to the header that fits best: a known header before a synonym, a synonym before a likeness."""
    known = {(plain(h), ours) for layout in layouts for h, ours in layout.columns.items() if ours in columns}
    words = {(word, ours) for ours, all_ in read_words()["column"].items() if ours in columns for word in all_}
    offers = []
    for place, header in enumerate(headers):
        said = plain(header)
        for word, ours in known | words:
            if said == word:
                offers.append((2.0 if (word, ours) in known else 1.5, -place, header, ours))
            elif min(len(said), len(word)) > 3 and (alike := SequenceMatcher(None, said, word).ratio()) >= _ALIKE:
                offers.append((alike, -place, header, ours))
    placed: dict[str, Placed] = {}
    taken: set[str] = set()
    for score, _, header, ours in sorted(offers, key=lambda o: (-o[0], -o[1], o[3])):
        if header not in placed and ours not in taken:
            taken.add(ours)
            why = "known" if score == 2.0 else "word" if score == 1.5 else f"alike {score:.2f}"
            placed[header] = Placed(header, ours, why)
    return tuple(placed[h] for h in headers if h in placed)
