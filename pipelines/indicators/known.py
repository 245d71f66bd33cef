"""What a reader knows of indicators of one year of birth that count the same children: the rows of all releases, as tables of numbers (law 9)."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import polars as pl

from pipelines.contracts import PROGRAMMES
from pipelines.indicators.disclose import ALL, NATION


class Family(NamedTuple):
    """Indicators whose counts go together: what each counts in its numerator and in its denominator ({} = the stratum).

    Of the same name are the same children. `parts` are children of their own each, all of them of a whole; `whole` is of all others too,
    but of the denominator; `supposed` are parts but for few. `unions` are parts of which a child may be of several: each is no more than
    the whole, and the whole no more than all of them. What `falls` loses children again: nobody supposes that it only grows.
    """

    counts: Mapping[str, tuple[str, str]]
    parts: tuple[tuple[str, tuple[str, ...]], ...] = ()
    whole: str | None = None
    falls: tuple[str, ...] = ()
    supposed: tuple[tuple[str, tuple[str, ...]], ...] = ()
    unions: tuple[tuple[str, tuple[str, ...]], ...] = ()


def _unite(*counts: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Unions of counts by programme: in all of them a child is one."""
    return tuple((f"{of} {ALL}", tuple(f"{of} {name}" for name in PROGRAMMES)) for of in counts)


_STATES = ("given", "refused", "withdrawn", "pending")
FAMILIES: Mapping[str, Family] = {
    "impairment": Family({"impairment": ("{}", "of the spine")}, ((ALL, ("physical", "mental", "complex")),), ALL),
    "decision": Family(
        {"consent": ("{}", ALL), "consent_delay": ("late {}", "due {}")},
        tuple((of + ALL, tuple(of + state for state in _STATES)) for of in ("", "due ", "late ")),
        supposed=tuple((state, ("due " + state,)) for state in (ALL, *_STATES)),
        falls=tuple(of + state for of in ("", "due ", "late ") for state in ("pending", ALL)),  # one rejected is nobody's to decide on any more
    ),
    "referral": Family({"seen": ("seen", ALL), "lost_to_follow_up": ("lost", ALL)}, ((ALL, ("seen", "lost")),), falls=("lost",)),
    "programme": Family(
        {
            "flagged": ("flagged", "examined"),
            "coverage": ("covered", "due"),
            "refer_rate": ("not clear", "decided"),
            "timeliness": ("in time", "timed"),
        },
        (("decided", ("covered",)),),
        supposed=tuple(("examined", (name,)) for name in ("covered", "decided", "timed")),  # who was first examined at 3 is not of the examined
    ),
    "risk group": Family({"flagged": ("flagged {}", "examined {}")}, unions=_unite("flagged", "examined")),
    "worth": Family({"ppv": ("confirmed {}", "concluded {}")}, unions=_unite("confirmed", "concluded")),
}
"""Those that have no family stand alone, each stratum (a programme, with children of its own) by itself. What is of two is asked about in
each: all that is counted in all programmes is too much to be asked about at once in a night."""
_FAMILY_OF = pl.DataFrame(
    [(indicator_id, name, any("{}" in count for counts in family.counts.values() for count in counts))
     for name, family in FAMILIES.items() for indicator_id in family.counts],
    {"indicator_id": pl.String, "family": pl.String, "has_strata": pl.Boolean}, orient="row",
)  # fmt: skip

GROUP = ("family", "birth_year", "linked")


class Known(NamedTuple):
    """All that is published of counts that go together, nan where there is nothing: a row a column of a table (indicator, stratum).

    Bands and sexes end with what is left of all: children of none of them. Of a telling whose own release is gone only the nation's total
    of each table is known.
    """

    name: tuple[str, int, str]  # family, year of birth, stratum or all of them
    tables: list[tuple[str, str]]  # twice: numerators, then denominators
    counted: list[str]
    nation: np.ndarray  # row x day x band x sex
    total: np.ndarray  # row x day x table (all bands, each band)
    told: np.ndarray  # row x day x table x region; -1 = hidden
    truth: np.ndarray  # row x day x region x band x sex; of days of which it is known


def name_group(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with the groups of counts they are of, once for each: columns `family`, and `linked`, a stratum or all."""
    named = rows.join(_FAMILY_OF, on="indicator_id", how="left")
    linked = pl.when("has_strata").then(pl.lit(ALL)).otherwise("stratum")
    return named.with_columns(family=pl.coalesce("family", "indicator_id"), linked=linked).drop("has_strata")


def read_known(published: pl.DataFrame, counted: pl.DataFrame | None = None, asked: pl.DataFrame | None = None) -> Iterator[Known]:
    """What is known of each group of published.indicator, but of those of which all regions were ever hidden.

    `counted`: rows of indicator, with told_on, as far as they are known; `asked`: the groups, all of them unless said.
    """
    is_region = pl.col("kato2") != NATION
    is_said = is_region & (pl.col("numerator").is_not_null() | pl.col("denominator").is_not_null())
    named = name_group(published)
    named = named if asked is None else named.join(asked, on=GROUP, how="semi")
    named = named.filter(is_said.any().over(GROUP)).with_columns(_TABLE)
    if named.is_empty():
        return
    axes = {column: [*([first] if first else []), *sorted({*named[column].cast(pl.String)} - {first})] for column, first in _AXES.items()}
    true = {}
    if counted is not None:
        days = named.filter(is_region | (pl.col("told_on") == pl.col("told_on").max().over(GROUP))).select(*GROUP, "told_on").unique()
        true = _part(name_group(counted).with_columns(_TABLE).join(days, on=[*GROUP, "told_on"], how="semi"), axes)
    for name, rows in _part(named, axes).items():
        yield _read_rows(name, rows, true.get(name), axes["table"])


_TABLE = pl.concat_str("indicator_id", "stratum", separator=" ").alias("table")
_AXES = {"table": None, "told_on": None, "age_band": ALL, "sex_code": ALL, "kato2": NATION}
"""Axes, and the name on each that stands before the others."""
_COUNTS = ("numerator", "denominator", "national_numerator", "national_denominator")


def _part(rows: pl.DataFrame, axes: Mapping[str, list[str]]) -> dict[tuple[str, int, str], np.ndarray]:
    """Rows of each group as numbers: place on each axis, then counts; -1 = hidden. What has no place is left out."""
    places = [pl.col(c).cast(pl.String).cast(pl.Enum(names), strict=False).to_physical().cast(pl.Int64) for c, names in axes.items()]
    numbered = rows.select(*GROUP, *places, *(pl.col(c).fill_null(-1) for c in _COUNTS if c in rows.columns)).drop_nulls(list(axes)).sort(GROUP)
    names = numbered.select(GROUP).unique(maintain_order=True).rows()
    ends = np.cumsum(numbered.group_by(GROUP, maintain_order=True).len()["len"].to_numpy())
    return dict(zip(names, np.split(numbered.drop(GROUP).to_numpy(), ends[:-1]), strict=True))


def _read_rows(name: tuple[str, int, str], rows: np.ndarray, true: np.ndarray | None, tables: list[str]) -> Known:
    ours = [np.unique(rows[:, axis]) if axis < 2 else np.unique([0, *rows[:, axis]]) for axis in range(5)]
    shape, (sexes, regions) = (2, *(len(of) for of in ours[:3])), (len(of) for of in ours[3:])
    nation, total, told = (np.full((*shape, *more), np.nan) for more in ((sexes,), (), (regions,)))
    truth = np.full((*shape[:3], regions, shape[3], sexes), np.nan)
    table, day, band, sex, region = (np.searchsorted(of, rows[:, axis]) for axis, of in enumerate(ours))
    is_nation = region == 0
    for column in (0, 1):
        nation[column, table[is_nation], day[is_nation], band[is_nation], sex[is_nation]] = rows[is_nation, 5 + column]
        told[column, table, day, band, region] = rows[:, 5 + column]
        total[column, table, day, band] = rows[:, 7 + column]
    if true is not None:
        true = true[np.all([np.isin(true[:, axis], of) for axis, of in enumerate(ours)], axis=0)]
        table, day, band, sex, region = (np.searchsorted(of, true[:, axis]) for axis, of in enumerate(ours))
        truth[:, :, np.unique(day)] = 0
        for column in (0, 1):
            truth[column, table, day, region, band, sex] = true[:, 5 + column]
    nation, total, told, truth = (of.reshape(-1, *of.shape[2:]) for of in (nation, total, told[..., 1:], truth[:, :, :, 1:]))
    is_silent = np.isnan(nation[..., 0]) & ~(told >= 0).any(axis=-1)  # of a release that is gone, what shows no region tells of none
    told = np.where(is_silent[..., None], np.nan, told)
    is_told = np.array(~np.isnan(told).all(axis=(0, 2, 3)))
    is_told[-1] = True  # of days on which nothing was told only the last: counts of a day between two tellings fit between them
    kept: list[int] = []
    for number in np.flatnonzero(is_told).tolist():
        if not kept or not all(np.array_equal(a[:, number], a[:, kept[-1]], equal_nan=True) for a in (nation, total, told)):
            kept.append(number)
    nation, truth = _split_rest(nation[:, kept]), _split_rest(truth[:, kept])
    sexed = np.flatnonzero(np.nansum(nation, axis=(0, 1, 2)) > 0).tolist() or [0]
    named = [tuple(tables[number].split(" ", 1)) for number in ours[0]]
    family = FAMILIES.get(name[0], Family({}))
    counted = [family.counts.get(of, ("counted", "among"))[column].format(stratum) for column in (0, 1) for of, stratum in named]
    counted = _part_unlike(counted, [of for of, _ in named * 2], total[:, kept, 0])
    return Known(name, named * 2, counted, nation[..., sexed], total[:, kept], told[:, kept], truth[..., sexed])


def _part_unlike(counted: list[str], indicators: list[str], total: np.ndarray) -> list[str]:
    """What is counted; by indicator where the nation's figures of a day are unlike, as in a release when one was defined otherwise."""
    first = total[[counted.index(name) for name in counted]]
    is_unlike = (~np.isnan(first) & ~np.isnan(total) & (first != total)).any(axis=1)
    unlike = {name for name, of in zip(counted, is_unlike, strict=True) if of}
    return [f"{name} of {indicator}" if name in unlike else name for name, indicator in zip(counted, indicators, strict=True)]


def _split_rest(counts: np.ndarray) -> np.ndarray:
    """Of all and each: each and the rest, by band and by sex. A row that is missing of what is told counts nobody."""
    counts = np.where(np.isnan(counts[..., :1, :1]), np.nan, np.nan_to_num(counts))
    for axis in (-1, -2):
        every, each = np.split(counts, [1], axis=axis)
        counts = np.concatenate([each, np.maximum(every - each.sum(axis=axis, keepdims=True), 0)], axis=axis)
    return counts
