"""A sender's eight weeks: refusal share by week and its trend, and deliveries that its own rhythm lets one expect."""

import itertools
from datetime import date, timedelta
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import polars as pl

WEEKS = 8
_USUAL = 6
"""A weekday is a delivery day when something came on it in at least so many of the eight weeks before."""
_RECENT_DAYS = 7
_FEWEST_ROWS = 50


class Rhythm(NamedTuple):
    """`missing`: usual delivery days of the last week without one; days since the last file and the usual interval."""

    missing: tuple[date, ...]
    since_last: int | None
    usual_interval: float | None
    is_overdue: bool


def sum_weeks(receipt: pl.DataFrame, on: date) -> pl.DataFrame:
    """Rows and refused rows of each of the eight weeks that end with `on`: week_from, files, rows, refused; none left out.

    `receipt`: received_on, received_count, quarantined_count of one sender.
    """
    starts = [on - timedelta(days=7 * back - 1) for back in range(WEEKS, 0, -1)]
    told = {name: [0] * WEEKS for name in ("files", "rows", "refused")}
    for day, rows, refused in receipt.select("received_on", "received_count", "quarantined_count").iter_rows():  # few, and senders are many
        week = (day - starts[0]).days // 7
        if 0 <= week < WEEKS:
            for name, count in (("files", 1), ("rows", rows), ("refused", refused)):
                told[name][week] += count or 0
    return pl.DataFrame({"week_from": starts, **told}, schema={"week_from": pl.Date, **dict.fromkeys(told, pl.Int64)})


def tell_trend(weeks: pl.DataFrame) -> str:
    """better, worse, steady or unknown: the refused share of the last four weeks against the four before.

    Two proportions differ when |z| of the pooled test exceeds 1.96; under 50 rows on a side nothing is said.
    """
    before, after = weeks.head(WEEKS // 2), weeks.tail(WEEKS // 2)
    n0, n1 = int(before["rows"].sum()), int(after["rows"].sum())
    if min(n0, n1) < _FEWEST_ROWS:
        return "unknown"
    x0, x1 = int(before["refused"].sum()), int(after["refused"].sum())
    pooled = (x0 + x1) / (n0 + n1)
    spread = np.sqrt(pooled * (1 - pooled) * (1 / n0 + 1 / n1))
    z = (x1 / n1 - x0 / n0) / spread if spread else 0.0
    if abs(z) <= NormalDist().inv_cdf(0.975):
        return "steady"
    return "worse" if z > 0 else "better"


def expect_deliveries(received_on: pl.Series, on: date) -> Rhythm:
    """What a sender's own days of delivery let one expect by `on`; a sender of under four weeks has no rhythm yet."""
    days = sorted(set(received_on.to_list()))
    if not days:
        return Rhythm((), None, None, is_overdue=False)
    since_last = (on - days[-1]).days
    start = on - timedelta(days=_RECENT_DAYS - 1)
    history = [d for d in days if start - timedelta(days=7 * WEEKS) <= d < start]
    weekdays = [d.weekday() for d in history]
    recent = [start + timedelta(days=k) for k in range(_RECENT_DAYS)]
    missing = tuple(d for d in recent if weekdays.count(d.weekday()) >= _USUAL and d not in days)
    if len(history) < 4 or (history[-1] - history[0]).days < 28:
        return Rhythm(missing, since_last, None, is_overdue=False)
    gaps = [(b - a).days for a, b in itertools.pairwise(history)]
    usual = float(np.median(gaps))
    return Rhythm(missing, since_last, usual, is_overdue=since_last > max(2 * usual, *gaps))
