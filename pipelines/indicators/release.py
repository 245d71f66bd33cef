"""Disclosure control from release to release: two tables that are safe alone must not give a small count back together.

The nation's count is published as it is every night, so a region that steps from 10 to 15 in a night in which the nation
grew by one is known exactly, and so is a hidden 7 that became a shown 8. Rule, after the practice for rolling tables
(a table is revised only when the revision itself concerns enough people: Byun et al. 2006, secure anonymization for
incremental datasets; Xiao & Tao 2007, m-invariance): the regions of a table are told anew only when something would change,
every column that would has moved by more than `small` in the nation, and no earlier telling narrows a hidden count. Else they are
repeated as they were told, with the day and the nation's counts of that telling. The first condition is read from published figures
alone, so that repeating tells nothing; a reader is supposed to know that counts of a year only grow.
"""

from datetime import date
from typing import NamedTuple

import numpy as np
import polars as pl

from pipelines.indicators.disclose import LEAST_WIDTH, NATION, TABLE, Limits, bound_cells

_COLUMNS = (("numerator", "national_numerator"), ("denominator", "national_denominator"))


class Told(NamedTuple):
    """One column of a table as it was told: the nation's exact count, and what was shown of each region (None = hidden)."""

    total: int
    shown: tuple[int | None, ...]

    @property
    def says_anything(self) -> bool:
        """False when every region is hidden: the total may lie in any of them."""
        return any(shown is not None for shown in self.shown)


class Bounds(NamedTuple):
    """Least and greatest count of each region that a reader must think possible."""

    low: np.ndarray
    high: np.ndarray


def renew_tables(fresh: pl.DataFrame, earlier: pl.DataFrame, on: date, limits: Limits) -> pl.DataFrame:
    """Rows of published.indicator on the day `on`: what `disclose` gives, or a table's regions as they were told before.

    `earlier`: rows of published.indicator of the releases before; adds told_on, national_numerator, national_denominator.
    """
    nation = fresh.filter(pl.col("kato2") == NATION, pl.col("sex_code") == "all").select(
        *TABLE, pl.col("numerator").alias("national_numerator"), pl.col("denominator").alias("national_denominator")
    )
    dated = fresh.join(nation, on=TABLE, how="left", validate="m:1").with_columns(pl.lit(on).alias("told_on"))
    if len(dated) != len(fresh) or earlier.is_empty():
        assert len(dated) == len(fresh)  # noqa: S101
        return dated
    earlier = earlier.filter(pl.col("kato2") != NATION).unique([*TABLE, "kato2", "told_on"]).select(dated.columns)
    before = earlier.sort("told_on", "kato2").partition_by(TABLE, as_dict=True)
    parts = [dated.filter(pl.col("kato2") == NATION)]
    for name, table in dated.filter(pl.col("kato2") != NATION).sort("kato2").partition_by(TABLE, as_dict=True).items():
        tellings = before[name].partition_by("told_on", maintain_order=True) if name in before else []
        parts.append(table if may_renew(table, tellings, limits) else tellings[-1])
    return pl.concat(parts)


def may_renew(table: pl.DataFrame, tellings: list[pl.DataFrame], limits: Limits) -> bool:
    """True when the regions of a table are to be told anew after these tellings (oldest first)."""
    if tellings and all(table[column].equals(tellings[-1][column]) for column, _ in _COLUMNS):
        return False  # nothing new: each telling more is one more to compare
    for column, total in _COLUMNS:
        regions = sorted({*table["kato2"], *(k for t in tellings for k in t["kato2"])})
        now, *then = (_read_told(t, column, total, regions) for t in (table, *tellings))
        if not then:
            continue
        if now.shown != then[-1].shown and abs(now.total - then[-1].total) <= limits.small:
            return False
        if not all(keeps_hidden(old, now, limits) for old in then):
            return False
    return True


def keeps_hidden(old: Told, new: Told, limits: Limits) -> bool:
    """True when two tellings together leave every hidden cell as open as each alone does, or `LEAST_WIDTH` values."""
    if not old.says_anything and not new.says_anything:
        return True
    together = bound_pair(old, new, limits)
    if together is None:  # counts went down: a correction, the two tellings are not linked
        return True
    for told, bounds in zip((old, new), together, strict=True):
        alone = bound_alone(told, limits)
        wide = np.minimum(alone.high - alone.low + 1, LEAST_WIDTH)
        hidden = np.array([shown is None for shown in told.shown])
        if (hidden & (bounds.high - bounds.low + 1 < wide)).any():
            return False
    return True


def bound_alone(told: Told, limits: Limits) -> Bounds:
    """What one telling says of each region: its own cell, and the total less the others."""
    low, high = _open_cells(told, limits)
    return Bounds(np.maximum(low, told.total - (high.sum() - high)), np.minimum(high, told.total - (low.sum() - low)))


def bound_pair(old: Told, new: Told, limits: Limits) -> tuple[Bounds, Bounds] | None:
    """What two tellings of counts that only grow say of each region, exactly; None when no counts fit both.

    Each region is a pair of counts with bounds on each and on their difference; sums of such sets are of the same form, so
    that the region's own bounds and those that the others leave it are all there is (a system of differences, closed).
    """
    (a, b), (c, d) = _open_cells(old, limits), _open_cells(new, limits)
    b, c = np.minimum(b, d), np.maximum(c, a)
    if (a > b).any() or (c > d).any():
        return None
    e, f = np.maximum(0, c - b), d - a
    grown = new.total - old.total
    a, b = np.maximum(a, old.total - (b.sum() - b)), np.minimum(b, old.total - (a.sum() - a))
    c, d = np.maximum(c, new.total - (d.sum() - d)), np.minimum(d, new.total - (c.sum() - c))
    e, f = np.maximum(e, grown - (f.sum() - f)), np.minimum(f, grown - (e.sum() - e))
    closed = Bounds(np.maximum(a, c - f), np.minimum(b, d - e)), Bounds(np.maximum(c, a + e), np.minimum(d, b + f))
    return None if any((bounds.low > bounds.high).any() for bounds in closed) or (e > f).any() else closed


def _open_cells(told: Told, limits: Limits) -> tuple[np.ndarray, np.ndarray]:
    bounds = np.array(bound_cells(told.shown, told.total, limits), dtype=np.int64).reshape(-1, 2)
    return bounds[:, 0], np.minimum(bounds[:, 1], told.total)


def _read_told(table: pl.DataFrame, column: str, total: str, regions: list[str]) -> Told:
    """A column of a telling over all regions; a region that is not in the table has no child in it."""
    shown = dict(table.select("kato2", column).iter_rows())
    return Told(int(table[total][0]), tuple(shown.get(kato2, 0) for kato2 in regions))
