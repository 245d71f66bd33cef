"""What a reader knows of one indicator and year of birth: the rows of all its releases, as tables of numbers (law 9)."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import polars as pl

from pipelines.indicators.disclose import ALL, NATION


class Strata(NamedTuple):
    """How the strata of an indicator go together: parts are children of their own each, all of them of the whole."""

    parts: tuple[str, ...]
    whole: str | None = ALL  # None = their denominator
    is_covering: bool = False  # the whole covers each other stratum too
    is_one_denominator: bool = False


LINKED: Mapping[str, Strata] = {
    "consent": Strata(("given", "refused", "withdrawn", "pending"), None, is_one_denominator=True),
    "consent_delay": Strata(("given", "refused", "withdrawn", "pending")),
    "impairment": Strata(("physical", "mental", "complex"), is_covering=True, is_one_denominator=True),
}
"""Indicators whose strata are linked; those of the others are programmes, each with children of its own."""

FALLING: Mapping[str, tuple[tuple[int, str], ...]] = {
    "consent": ((0, "pending"),),
    "consent_delay": ((0, "pending"), (1, "pending")),
    "lost_to_follow_up": ((0, ALL),),
}
"""Numerators (0) and denominators (1) of strata that children leave again: nobody supposes that they only grow."""

GROUP = ("indicator_id", "birth_year", "linked")


class Known(NamedTuple):
    """All that is published of strata that are linked: counts of the nation and of regions, nan where there is none.

    Bands and sexes end with what is left of all: children of none of them. Of a telling whose own release is gone only the nation's total
    of each table is known.
    """

    name: tuple[str, int, str]  # indicator, year of birth, stratum or all linked ones
    strata: list[str]
    nation: np.ndarray  # column (numerator, denominator) x day x stratum x band x sex
    total: np.ndarray  # column x day x stratum x table (all bands, each band)
    told: np.ndarray  # column x day x stratum x table x region; -1 = hidden
    truth: np.ndarray  # column x day x stratum x region x band x sex; of days of which it is known


def name_group(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with the group of linked strata they are of: column `linked`, a stratum or all."""
    return rows.with_columns(pl.when(pl.col("indicator_id").is_in(list(LINKED))).then(pl.lit(ALL)).otherwise("stratum").alias("linked"))


def read_known(published: pl.DataFrame, counted: pl.DataFrame | None = None) -> Iterator[Known]:
    """What is known of each group of linked strata of published.indicator, but of those of which all regions were ever hidden.

    `counted`: rows of indicator, with told_on, as far as they are known.
    """
    is_region = pl.col("kato2") != NATION
    is_said = is_region & (pl.col("numerator").is_not_null() | pl.col("denominator").is_not_null())
    named = name_group(published).filter(is_said.any().over(GROUP))
    if named.is_empty():
        return
    axes = {column: [*([first] if first else []), *sorted({*named[column].cast(pl.String)} - {first})] for column, first in _AXES.items()}
    true = {}
    if counted is not None:
        days = named.filter(is_region | (pl.col("told_on") == pl.col("told_on").max().over(GROUP))).select(*GROUP, "told_on").unique()
        true = _part(name_group(counted).join(days, on=[*GROUP, "told_on"], how="semi"), axes)
    for name, rows in _part(named, axes).items():
        yield _read_rows(name, rows, true.get(name), axes["stratum"])


_AXES = {"told_on": None, "stratum": None, "age_band": ALL, "sex_code": ALL, "kato2": NATION}
"""Axes, and the name on each that stands before the others."""
_COUNTS = ("numerator", "denominator", "national_numerator", "national_denominator")


def _part(rows: pl.DataFrame, axes: Mapping[str, list[str]]) -> dict[tuple[str, int, str], np.ndarray]:
    """Rows of each group as numbers: place on each axis, then counts; -1 = hidden. What has no place is left out."""
    places = [pl.col(c).cast(pl.String).cast(pl.Enum(names), strict=False).to_physical().cast(pl.Int64) for c, names in axes.items()]
    numbered = rows.select(*GROUP, *places, *(pl.col(c).fill_null(-1) for c in _COUNTS if c in rows.columns)).drop_nulls(list(axes)).sort(GROUP)
    names = numbered.select(GROUP).unique(maintain_order=True).rows()
    ends = np.cumsum(numbered.group_by(GROUP, maintain_order=True).len()["len"].to_numpy())
    return dict(zip(names, np.split(numbered.drop(GROUP).to_numpy(), ends[:-1]), strict=True))


def _read_rows(name: tuple[str, int, str], rows: np.ndarray, true: np.ndarray | None, strata: list[str]) -> Known:
    ours = [np.unique(rows[:, axis]) if axis < 2 else np.unique([0, *rows[:, axis]]) for axis in range(5)]
    days, _, bands, sexes, regions = (len(of) for of in ours)
    shape = (2, days, len(ours[1]), bands)
    nation, total, told = (np.full((*shape, *more), np.nan) for more in ((sexes,), (), (regions,)))
    truth = np.full((2, days, shape[2], regions, bands, sexes), np.nan)
    day, stratum, band, sex, region = (np.searchsorted(of, rows[:, axis]) for axis, of in enumerate(ours))
    is_nation = region == 0
    for column in (0, 1):
        nation[column, day[is_nation], stratum[is_nation], band[is_nation], sex[is_nation]] = rows[is_nation, 5 + column]
        told[column, day, stratum, band, region] = rows[:, 5 + column]
        total[column, day, stratum, band] = rows[:, 7 + column]
    if true is not None:
        true = true[np.all([np.isin(true[:, axis], of) for axis, of in enumerate(ours)], axis=0)]
        day, stratum, band, sex, region = (np.searchsorted(of, true[:, axis]) for axis, of in enumerate(ours))
        truth[:, np.unique(day)] = 0
        for column in (0, 1):
            truth[column, day, stratum, region, band, sex] = true[:, 5 + column]
    told, truth = told[..., 1:], truth[:, :, :, 1:]
    is_silent = np.isnan(nation[..., 0]) & ~(told >= 0).any(axis=-1)  # of a release that is gone, what shows no region tells of none
    told = np.where(is_silent[..., None], np.nan, told)
    is_told = np.array(~np.isnan(told).all(axis=(0, 2, 3, 4)))
    is_told[-1] = True  # of days on which nothing was told only the last: counts of a day between two tellings fit between them
    kept: list[int] = []
    for number in np.flatnonzero(is_told).tolist():
        if not kept or not all(np.array_equal(a[:, number], a[:, kept[-1]], equal_nan=True) for a in (nation, total, told)):
            kept.append(number)
    nation, truth = _split_rest(nation[:, kept]), _split_rest(truth[:, kept])
    sexed = np.flatnonzero(np.nansum(nation, axis=(0, 1, 2, 3)) > 0).tolist() or [0]
    return Known(name, [strata[s] for s in ours[1]], nation[..., sexed], total[:, kept], told[:, kept], truth[..., sexed])


def _split_rest(counts: np.ndarray) -> np.ndarray:
    """Of all and each: each and the rest, by band and by sex. A row that is missing of what is told counts nobody."""
    counts = np.where(np.isnan(counts[..., :1, :1]), np.nan, np.nan_to_num(counts))
    for axis in (-1, -2):
        every, each = np.split(counts, [1], axis=axis)
        counts = np.concatenate([each, np.maximum(every - each.sum(axis=axis, keepdims=True), 0)], axis=axis)
    return counts
