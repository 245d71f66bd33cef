"""What may be written in a column, as a sender is shown it: the values, units, forms of dates and numbers that are taken."""

from collections.abc import Mapping
from datetime import datetime
from functools import cache

import dataframely as dy
import polars as pl

from pipelines.contracts import RECORDS
from pipelines.intake.conform import read_units
from pipelines.intake.layout import Layout, speak_ours
from pipelines.intake.months import list_months

_SHOWN, _MONTH = datetime(2026, 3, 31, 14, 30), datetime(2026, 3, 1)
_SEPARATOR = " / "
_SPELLINGS = 2
"""Of a value that is known by many: one in each of the languages of the forms."""


def list_taken(layout: Layout) -> dict[str, str]:
    """Our column, and the header of a cell that is a result or an item, -> what the layout takes there."""
    columns = layout.contract.columns()
    ours = {name: said for name, column in columns.items() if (said := _show(name, column, layout))}
    cells = {header: into for c in layout.components for header, into in ((c.header, c.into), *((h, o) for h, o in c.beside.items()))}
    taken = ours | {header: ours[into] for header, into in cells.items() if into in ours}
    if layout.items:
        allowed = _SEPARATOR.join(f"{number:g}" for number in layout.items.allowed)
        taken |= {item: allowed for items in layout.sums.values() for item in items}
        taken |= dict.fromkeys(layout.sums, "{:g} - {:g}".format(*layout.items.total))
    return taken


@cache
def list_known() -> Mapping[str, str]:
    """The same of our own columns, for messages and resources, which have no layout."""
    layouts = [speak_ours("ours", kind) for kind in RECORDS]
    with_messages = [x._replace(dates=(*x.dates, "%Y%m%d"), datetimes=(*x.datetimes, "%Y%m%d%H%M%S")) for x in layouts]
    return {name: said for layout in with_messages for name, said in list_taken(layout).items()}


@cache
def list_units() -> str:
    """The units that each component is taken in, by component."""
    taken: dict[str, list[str]] = {}
    for component, unit in read_units().factors:
        taken.setdefault(component, []).append(unit)
    return "; ".join(f"{component}: {_SEPARATOR.join(units)}" for component, units in taken.items())


def _show(name: str, column: dy.Column, layout: Layout) -> str:
    """Values as the layout spells them, else our codes; an example of a date in each form; an example of a number."""
    if name in layout.values:
        spelled: dict[str, list[str]] = {}
        for sent, code in layout.values[name].items():
            spelled.setdefault(code, []).append(sent)
        return _SEPARATOR.join(sent for all_ in spelled.values() for sent in all_[:_SPELLINGS])
    if codes := (column.metadata or {}).get("codes"):
        return _SEPARATOR.join(codes)
    if name.endswith("_month"):
        return _SEPARATOR.join([*(_MONTH.strftime(form) for form in layout.dates), *list_months().shown])
    forms = {pl.Date: layout.dates, pl.Datetime: (*layout.datetimes, *layout.dates)}.get(type(column.dtype), ())
    plain = {pl.Float64: f"12{layout.decimal}5", pl.Int64: "12", pl.Boolean: "true / false / да / нет / иә / жоқ / 1 / 0"}
    return _SEPARATOR.join(_SHOWN.strftime(form) for form in forms) or plain.get(type(column.dtype), "")
