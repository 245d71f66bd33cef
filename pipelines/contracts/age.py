"""Completed months of age: one way to count them, whoever judges, warns or lists what is due.

A month is completed on the same day of a later month, or on that month's last day where it has no such day: born on
29 February, a child turns 3 on 28 February. `pl.Expr.dt.offset_by` counts the same way, and so does composing.
"""

import polars as pl

UNDER_3_MONTHS = 36
"""LAW343 Art. 1(3): under 3 years; the day of the third birthday is no longer under 3 (DOMAIN decision 8)."""


def count_months(birth: pl.Expr, on: pl.Expr) -> pl.Expr:
    """Completed months from `birth` to `on`, Int32."""
    calendar = (on.dt.year() - birth.dt.year()) * 12 + (on.dt.month().cast(pl.Int32) - birth.dt.month().cast(pl.Int32))
    is_short = on.dt.day() < pl.min_horizontal(birth.dt.day(), on.dt.days_in_month())
    return (calendar - is_short.cast(pl.Int32)).cast(pl.Int32)


def reach_months(birth: pl.Expr, months: int) -> pl.Expr:
    """The day on which `months` are completed."""
    return birth.dt.offset_by(f"{months}mo")
