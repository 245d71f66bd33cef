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


class Known(NamedTuple):
    """All that is published of strata that are linked: counts of the nation and of regions, nan where there is none.

    Bands and sexes of the nation end with what is left of all: children of none of them. Of a telling whose own release is gone only
    the nation's total of each table is known.
    """

    name: tuple[str, int, str]  # indicator, year of birth, stratum or all linked ones
    strata: list[str]
    nation: np.ndarray  # column (numerator, denominator) x day x stratum x band x sex
    total: np.ndarray  # column x day x stratum x table (all bands, each band)
    told: np.ndarray  # column x day x stratum x table x region; -1 = hidden
    truth: np.ndarray  # column x day x stratum x region x band x sex; of days of which it is known


GROUP = ("indicator_id", "birth_year", "linked")


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
    true: dict[tuple[object, ...], pl.DataFrame] = {}
    if counted is not None:
        days = named.filter(is_region | (pl.col("told_on") == pl.col("told_on").max().over(GROUP))).select(*GROUP, "told_on").unique()
        true = _name_days(name_group(counted).join(days, on=[*GROUP, "told_on"], how="semi")).partition_by(GROUP, as_dict=True)
    for name, rows in _name_days(named).partition_by(GROUP, as_dict=True).items():
        indicator_id, year, stratum = name
        yield _read_rows((str(indicator_id), int(str(year)), str(stratum)), rows, true.get(name))


def _name_days(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.col("told_on").cast(pl.String))


def _read_rows(name: tuple[str, int, str], rows: pl.DataFrame, true: pl.DataFrame | None) -> Known:
    names = {column: _list_names(rows[column], first) for column, first in _FIRST.items()}
    is_nation = rows["kato2"] == NATION
    day, stratum, band, sex, region = (_number(rows, column, names) for column in _FIRST)
    days, strata, bands, sexes, regions = (len(of) for of in names.values())
    shape = (2, days, strata, bands)
    nation, total, told = (np.full((*shape, *more), np.nan) for more in ((sexes,), (), (regions,)))
    truth = np.full((2, days, strata, regions, bands, sexes), np.nan)
    for column, count in enumerate(("numerator", "denominator")):
        shown, of = rows[count].fill_null(-1).to_numpy(), is_nation.to_numpy()
        nation[column, day[of], stratum[of], band[of], sex[of]] = shown[of]
        told[column, day, stratum, band, region] = shown
        total[column, day, stratum, band] = rows[f"national_{count}"].to_numpy()
    if true is not None:
        true = true.filter(*(pl.col(column).is_in(of) for column, of in names.items()))
        at = [_number(true, column, names) for column in ("told_on", "stratum", "kato2", "age_band", "sex_code")]
        truth[:, np.unique(at[0])] = 0
        for column, count in enumerate(("numerator", "denominator")):
            truth[(column, *at)] = true[count].to_numpy()
    told, truth = told[..., 1:], truth[:, :, :, 1:]
    told[np.isnan(nation[..., 0]) & ~(told >= 0).any(axis=-1)] = np.nan  # of a release that is gone, what shows no region tells of none
    is_told = ~np.isnan(told).all(axis=(0, 2, 3, 4))
    is_told[-1] = True  # of days on which nothing was told only the last: counts of a day between two tellings fit between them
    kept: list[int] = []
    for number in np.flatnonzero(is_told).tolist():
        if not kept or not all(np.array_equal(a[:, number], a[:, kept[-1]], equal_nan=True) for a in (nation, total, told)):
            kept.append(number)
    nation, truth = _split_rest(nation[:, kept]), _split_rest(truth[:, kept])
    is_there = np.nansum(nation, axis=(0, 1, 2, 3)) > 0
    sexed = is_there if is_there.any() else slice(1)
    return Known(name, names["stratum"], nation[..., sexed], total[:, kept], told[:, kept], truth[..., sexed])


_FIRST = {"told_on": None, "stratum": None, "age_band": ALL, "sex_code": ALL, "kato2": NATION}
"""Axes, and the name on each that stands before the others."""


def _list_names(column: pl.Series, first: str | None) -> list[str]:
    return [*([first] if first else []), *sorted({*column.unique()} - {first})]


def _number(rows: pl.DataFrame, column: str, names: Mapping[str, list[str]]) -> np.ndarray:
    return rows[column].cast(pl.Enum(names[column])).to_physical().cast(pl.Int64).to_numpy()


def _split_rest(counts: np.ndarray) -> np.ndarray:
    """Of all and each: each and the rest, by band and by sex. A row that is missing of what is told counts nobody."""
    counts = np.where(np.isnan(counts[..., :1, :1]), np.nan, np.nan_to_num(counts))
    for axis in (-1, -2):
        every, each = np.split(counts, [1], axis=axis)
        counts = np.concatenate([each, np.maximum(every - each.sum(axis=axis, keepdims=True), 0)], axis=axis)
    return counts
