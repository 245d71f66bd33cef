"""What of a row is shown to whoever may not know the child: everything but what identifies it, by the degree of its column.

A row as sent is in its sender's own columns: the layout says which of ours each is, and what no layout knows stays masked. In a
refused row a value may stand in a wrong column, so that a word at fault may be a name: it stays masked, a number or a date does not.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache

from pipelines.contracts import LAKE, RECORDS, describe_degree
from pipelines.intake.layout import Layout, list_layouts

MASK = "***"
_IDENTITY = {
    column
    for contract in (*LAKE.values(), *RECORDS.values())
    for column, degree in describe_degree(contract).items() if degree == "identified"
}  # fmt: skip
_NUMBER = re.compile(r"[0-9.,:/<>=+\-T ]*")
_LONG_NUMBER = re.compile(r"\d(?:[\s()+-]{0,3}\d){9,}")
"""Ten digits or more, with no date among them: an IIN has 12, a telephone number 10 or 11."""
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d|\d\d\.\d\d\.\d{4}|\d\d:\d\d(:\d\d)?")


def mask_record(record: Mapping[str, object]) -> dict[str, object]:
    """A row in our columns; the JSON of one that waits is masked in itself."""
    return {name: _mask_value(name, value) for name, value in record.items()}


def mask_sent(text: str, layout: str, columns_at_fault: Collection[str | None], codes: Collection[str]) -> str:
    """A refused row as it was sent (JSON of its sender's columns), by the name of its layout and its findings.

    Masked whole where its columns are not known: in a broken line or message, and in a format that has none.
    """
    ours = _name_columns(layout)
    if not ours or any(code == "row_width_differs" or code.startswith("message_") for code in codes):
        return MASK
    shown = {header: _mask_cell(header, value, ours.get(header), columns_at_fault) for header, value in json.loads(text).items()}
    return json.dumps(shown, ensure_ascii=False)


def _mask_value(name: str, value: object) -> object:
    if name == "record" and value is not None:
        return json.dumps(mask_record(json.loads(str(value))), ensure_ascii=False)
    return MASK if name in _IDENTITY and value is not None else value


def _mask_cell(header: str, value: object, column: str | None, columns_at_fault: Collection[str | None]) -> object:
    if value in (None, ""):
        return value
    text = str(value)
    is_plain = column is not None and column not in _IDENTITY and not _LONG_NUMBER.search(_MOMENT.sub(" . ", text))
    is_at_fault = column in columns_at_fault or header in columns_at_fault
    return value if is_plain and (not is_at_fault or _NUMBER.fullmatch(text)) else MASK


@cache
def _name_columns(name: str) -> dict[str, str]:
    """Header -> our column, one that identifies where a header is of several; none for a free text, nor in an unknown layout."""
    named: dict[str, str] = {}
    for layout in list_layouts():
        for header, column in _list_columns(layout) if layout.name == name else ():
            if header not in layout.diagnoses and (column in _IDENTITY or header not in named):
                named[header] = column
    return named


def _list_columns(layout: Layout) -> Iterator[tuple[str, str]]:
    yield from layout.columns.items()
    yield from ((header, ours) for ours, headers in layout.joined.items() for header in headers)
    for component in layout.components:
        yield component.header, component.into
        yield from component.beside.items()
    yield from ((header, "age") for header in layout.ages)
