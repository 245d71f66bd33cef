"""What a row says twice: totals beside their items, ages beside the dates; a contradiction is a finding on the row."""

import polars as pl

from pipelines.intake.layout import Layout
from pipelines.intake.number import tighten
from pipelines.intake.refusal import FINDING_SCHEMA, list_findings

_CLOSE = 0.005
"""Numbers that differ by less are the same: sums of decimals, and totals rounded to two places."""
_REFUSED = ("total_differs", "item_not_allowed", "total_outside_range")
_MONTH_DAYS = 30.4375


def check_rows(sent: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    """Findings (refusal.FINDING_SCHEMA) of the sums and ages that the layout declares; `column` is the sender's header.

    `total_differs` refuses the row: a total that its own items contradict may neither flag nor clear a child.
    So do `item_not_allowed` (an item that the instrument does not have) and `total_outside_range`.
    `total_unproven` (an item is blank or no number) and `age_months_differs` (the dates decide, not the age) warn.
    """
    found = _check_items(sent, layout)
    found += [_check_total(sent, total, items, layout) for total, items in layout.sums.items() if total in sent.columns]
    found += [_check_age(sent, header, slack, layout) for header, slack in layout.ages.items() if header in sent.columns]
    return pl.concat(found) if found else list_findings([])


def _check_items(sent: pl.DataFrame, layout: Layout) -> list[pl.DataFrame]:
    if layout.items is None:
        return []
    least, most = layout.items.total
    found = []
    for total, items in layout.sums.items():
        for item in (item for item in items if item in sent.columns):
            number, is_blank = _read_number(item, layout), pl.col(item).str.strip_chars().fill_null("") == ""
            is_wrong = ~is_blank & ~number.is_in(layout.items.allowed).fill_null(value=False)
            found.append(_tell(sent, item, pl.when(is_wrong).then(pl.lit("item_not_allowed"))))
        if total in sent.columns:
            is_outside = ~_read_number(total, layout).is_between(least, most)
            found.append(_tell(sent, total, pl.when(is_outside).then(pl.lit("total_outside_range"))))
    return [part for part in found if len(part)]


def _check_total(sent: pl.DataFrame, total: str, items: tuple[str, ...], layout: Layout) -> pl.DataFrame:
    there = [_read_number(item, layout) for item in items if item in sent.columns]
    stated = _read_number(total, layout)
    is_whole = pl.all_horizontal(item.is_not_null() for item in there) if len(there) == len(items) else pl.lit(False)
    differs = is_whole & ((pl.sum_horizontal(there) - stated).abs() > _CLOSE if there else pl.lit(False))
    code = pl.when(differs).then(pl.lit("total_differs")).when(~is_whole).then(pl.lit("total_unproven"))
    return _tell(sent.filter(stated.is_not_null()), total, code)


def _check_age(sent: pl.DataFrame, header: str, slack: float, layout: Layout) -> pl.DataFrame:
    date_of = {ours: theirs for theirs, ours in layout.columns.items()}
    if not {date_of["birth_on"], date_of["examined_on"]} <= set(sent.columns):
        return list_findings([])
    birth_on, examined_on = (_read_date(date_of[name], layout) for name in ("birth_on", "examined_on"))
    months = (examined_on - birth_on).dt.total_days() / _MONTH_DAYS
    # A completed month is up to one month less than the age itself.
    differs = (_read_number(header, layout) + 0.5 - months).abs() > slack + 0.5
    return _tell(sent, header, pl.when(differs.fill_null(value=False)).then(pl.lit("age_months_differs")))


def _tell(sent: pl.DataFrame, header: str, code: pl.Expr) -> pl.DataFrame:
    severity = pl.when(pl.col("code").is_in(_REFUSED)).then(pl.lit("error")).otherwise(pl.lit("warning"))
    return (
        sent.select("row_no", pl.lit(header).alias("column"), code.alias("code"))
        .drop_nulls("code")
        .with_columns(severity=severity)
        .cast(FINDING_SCHEMA)  # type: ignore[arg-type]  # names to types
        .select(list(FINDING_SCHEMA))
    )


def _read_number(header: str, layout: Layout) -> pl.Expr:
    plain = tighten(pl.col(header))
    return (plain.str.replace(",", ".", literal=True) if layout.decimal == "," else plain).cast(pl.Float64, strict=False)


def _read_date(header: str, layout: Layout) -> pl.Expr:
    return pl.coalesce(pl.col(header).str.strip_chars().str.to_date(form, strict=False) for form in layout.dates)
