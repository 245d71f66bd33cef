"""Disclosure control of what leaves the ministry: no small count, nor one that the other published cells give back (law 9).

Rule (STANDARDS): the nation as it is; below it 0 stays 0, 1..small is hidden, others are rounded half up to `rounding`. A table is safe
when it leaves a reader who knows the rule at least `LEAST_WIDTH` values for each hidden small count (`bound_cells`), and for the
children outside any one region: of a region that is known to have all of them the nation's strata, sexes and age bands tell as well.
Else more of the table is hidden: the least of the counts still shown, or the zeros where nothing else is hidden; in the end every region.
Of a region without a child in the denominator the numerator is 0, so that where the one is hidden the other is not told.

Age bands add up to all ages, and categories within a band to all of the band: together they would narrow what each table
alone leaves open. So regions are told by age band only where no region hides anything of that indicator and year of birth at
all, in whatever stratum; else not at all. A band told of no region tells of none: its children may live in any that has some.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import polars as pl

LEAST_WIDTH = 3
NATION, ALL = "KZ", "all"
UNKNOWN = "unknown"
"""Children of no known region: a region like any other, as the nation less all regions would tell how many they are."""


TABLE = ("indicator_id", "birth_year", "stratum", "age_band")
"""What a table of regions is of; by sex there is none."""


class Limits(NamedTuple):
    """Settings: largest small count, rounding base, least denominator of a rate."""

    small: int
    rounding: int
    least_denominator: int


def disclose(indicator: pl.DataFrame, limits: Limits, regions: Sequence[str] = ()) -> pl.DataFrame:
    """Rows of published.indicator from rows of indicator (numerator, denominator, per); by sex for the nation only.

    `regions`: those there are, whether a child of them is known or not: of one region alone nothing could be hidden.
    """
    kept = _add_absent(indicator.filter((pl.col("kato2") == NATION) | (pl.col("sex_code") == "all")), regions)
    parts = [kept.filter(pl.col("kato2") == NATION).with_columns(shown_x="numerator", shown_n="denominator", is_hidden=pl.lit(value=False))]
    for _, cells in kept.filter(pl.col("kato2") != NATION).sort("kato2").partition_by(TABLE, as_dict=True).items():
        x = hide_cells(cells["numerator"].to_list(), limits)
        among = cells["denominator"].to_list()
        n = hide_cells(among, limits, [i for i, count in enumerate(among) if not count and x[i] is None])
        parts.append(cells.with_columns(pl.Series("shown_x", x, pl.Int64), pl.Series("shown_n", n, pl.Int64), is_hidden=pl.lit(value=False)))
    shown = pl.concat(parts).pipe(_hide_bands).with_columns(is_hidden=pl.col("shown_x").is_null() | pl.col("shown_n").is_null())
    enough = (pl.col("shown_n") >= limits.least_denominator) & ~pl.col("is_hidden")
    share = pl.min_horizontal("shown_x", "shown_n") / pl.col("shown_n") * pl.col("per")
    return shown.select(
        *(c for c in ("indicator_id", "kato2", "birth_year", "sex_code", "stratum", "age_band")),
        pl.col("shown_x").alias("numerator"), pl.col("shown_n").alias("denominator"),
        pl.when(enough).then(share).alias("value"), "is_hidden",
    )  # fmt: skip


def _hide_bands(shown: pl.DataFrame) -> pl.DataFrame:
    """Regions by age band are told only where no region of that indicator and year hides anything."""
    is_any_hidden = (pl.col("shown_x").is_null() | pl.col("shown_n").is_null()).any().over("indicator_id", "birth_year")
    is_told = (pl.col("kato2") == NATION) | (pl.col("age_band") == ALL) | ~is_any_hidden
    return shown.with_columns(pl.when(is_told).then(c) for c in ("shown_x", "shown_n"))


def _add_absent(kept: pl.DataFrame, regions: Sequence[str]) -> pl.DataFrame:
    """Every table with every region: one that has no child in it must not be told apart from one that is hidden."""
    there = pl.DataFrame({"kato2": sorted({*kept["kato2"], *regions} - {NATION})}, {"kato2": pl.String})
    nation = kept.filter(pl.col("kato2") == NATION, pl.col("sex_code") == "all")
    absent = nation.drop("kato2").join(there, how="cross").join(kept, on=[*TABLE, "kato2"], how="anti")
    none = absent.with_columns(pl.lit(0, pl.Int64).alias("numerator"), pl.lit(0, pl.Int64).alias("denominator"))
    return pl.concat([kept, none.select(kept.columns)])


def hide_cells(counts: list[int], limits: Limits, also: Collection[int] = ()) -> list[int | None]:
    """What is shown of the cells of one table whose exact total is published: rounded counts, None = hidden; `also`: to be hidden anyway."""
    hidden = {i for i, count in enumerate(counts) if 0 < count <= limits.small} | {*also}
    while not is_safe(counts, hidden, limits):
        shown = [i for i in range(len(counts)) if i not in hidden]
        zeros, others = [i for i in shown if counts[i] == 0], [i for i in shown if counts[i] > 0]
        if not shown:
            break
        hidden |= {min(others, key=lambda i: counts[i])} if others and (hidden or not zeros) else {*zeros}
    return [None if i in hidden else round_half_up(count, limits.rounding) for i, count in enumerate(counts)]


def is_safe(counts: list[int], hidden: set[int], limits: Limits) -> bool:
    """True when total and shown cells leave every small hidden count, and what is outside any one region, at least `LEAST_WIDTH` values."""
    total = sum(counts)
    bounds = bound_cells([None if i in hidden else round_half_up(c, limits.rounding) for i, c in enumerate(counts)], total, limits)
    low, high = sum(b[0] for b in bounds), sum(b[1] for b in bounds)
    for i, count in enumerate(counts):
        least = max(bounds[i][0], total - (high - bounds[i][1]))
        most = min(bounds[i][1], total - (low - bounds[i][0]))
        if i in hidden and 0 < count <= limits.small and most - least + 1 < LEAST_WIDTH:
            return False
        if least and total - least + 1 < LEAST_WIDTH:
            return False
    return True


def bound_cells(shown: Sequence[int | None], total: int, limits: Limits) -> list[tuple[int, int]]:
    """Least and greatest count of each cell of a table that a reader who knows the rule must think possible.

    Beside a 0 that is told, hidden is no 0. Where all that is hidden may be small it is supposed to be: who can tell that nothing
    had to be hidden beside the small ones knows it, as of one that is hidden alone.
    """
    down, up = limits.rounding // 2, (limits.rounding - 1) // 2
    told = [(max(cell - down, limits.small + 1), cell + up) if cell else (0, 0) for cell in shown if cell is not None]
    is_small = bool(told) and total - sum(high for _, high in told) <= limits.small * (len(shown) - len(told))
    hidden, rest = (int(0 in shown), limits.small if is_small else total), iter(told)
    return [hidden if cell is None else next(rest) for cell in shown]


def round_half_up(count: int, base: int) -> int:
    """A count to the nearest multiple of `base`, halves up."""
    return (2 * count + base) // (2 * base) * base
