"""Disclosure control of what leaves the ministry: no small count, nor one that the other published cells give back (law 9).

Rule (STANDARDS): the nation as it is; below it 0 stays 0, 1..small is hidden, others are rounded half up to `rounding`. A hidden
count is safe when what else is published leaves at least `LEAST_WIDTH` values open for it; else more of its table is hidden:
first the least of the counts still shown, in the end every region.

Age bands add up to all ages, and categories within a band to all of the band: together they would narrow what each table
alone leaves open. So regions are told by age band only where no region hides anything of that indicator and year of birth at
all, in whatever stratum; else not at all. A band told of no region tells of none: its children may live in any that has some.
"""

from collections.abc import Sequence
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
        x, n = ([hide_cells(cells[c].to_list(), limits)] for c in ("numerator", "denominator"))
        parts.append(
            cells.with_columns(
                pl.Series("shown_x", x[0], dtype=pl.Int64), pl.Series("shown_n", n[0], dtype=pl.Int64), is_hidden=pl.lit(value=False)
            )
        )
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


def hide_cells(counts: list[int], limits: Limits) -> list[int | None]:
    """What is shown of the cells of one table whose exact total is published: rounded counts, None = hidden."""
    hidden = {i for i, count in enumerate(counts) if 0 < count <= limits.small}
    while hidden and not is_safe(counts, hidden, limits):
        rest = [i for i, count in enumerate(counts) if i not in hidden and count > 0] or [
            i for i in range(len(counts)) if i not in hidden
        ]
        if not rest:
            break
        least = min(counts[i] for i in rest)
        hidden |= {i for i in rest if counts[i] == least} if least == 0 else {min(i for i in rest if counts[i] == least)}
    return [None if i in hidden else round_half_up(count, limits.rounding) for i, count in enumerate(counts)]


def is_safe(counts: list[int], hidden: set[int], limits: Limits) -> bool:
    """True when total and shown cells leave every small hidden count at least `LEAST_WIDTH` values, the true one inside."""
    total = sum(counts)
    bounds = [bound_cell(None if i in hidden else round_half_up(c, limits.rounding), total, limits) for i, c in enumerate(counts)]
    low, high = sum(b[0] for b in bounds), sum(b[1] for b in bounds)
    for i in hidden:
        if 0 < counts[i] <= limits.small:
            least = max(bounds[i][0], total - (high - bounds[i][1]))
            most = min(bounds[i][1], total - (low - bounds[i][0]))
            if most - least + 1 < LEAST_WIDTH:
                return False
    return True


def bound_cell(shown: int | None, total: int, limits: Limits) -> tuple[int, int]:
    """Least and greatest count that a reader must think possible for a cell shown so."""
    if shown is None:
        return 0, total
    if shown == 0:
        return 0, 0
    reach = limits.rounding // 2
    return max(shown - reach, limits.small + 1), shown + reach


def round_half_up(count: int, base: int) -> int:
    """A count to the nearest multiple of `base`, halves up."""
    return (2 * count + base) // (2 * base) * base
