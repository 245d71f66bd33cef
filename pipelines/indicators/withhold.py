"""What a reader could work out of several tables together is withheld, after the rules for one table (disclose) and its tellings (release).

The judge (attack) is asked of each group of linked strata of which regions are told anew. Where it recovers a count, the nation stays as it
is, and a table of regions that was told before is repeated as it was. Of those told for the first time zeros are hidden, as it is they that
leave few regions for the children of the nation's strata, sexes and age bands: (1) those of the strata of which a count is recovered, (2) of
all strata but the whole of them, (3) of the whole too; then (4) all regions, and the nation alone is told.
"""

from datetime import date

import polars as pl

from pipelines.indicators.attack import find_recovered
from pipelines.indicators.disclose import ALL, NATION, TABLE, Limits
from pipelines.indicators.known import GROUP, name_group

_LOOKED_BACK, _MANY = 4, 1000
"""Newest days on which regions were told, with which a group of more than so many children is compared; a smaller one with all that are kept.
The judge compares all: it takes time that a night has not, and what is older leaves more open the more children there are."""
_IS_REGION = pl.col("kato2") != NATION
_IS_PART = pl.any_horizontal(pl.col("stratum", "age_band", "linked") != ALL)
"""A stratum of several or an age band of it, or a programme, which is alone."""
_SHOWN = ("numerator", "denominator")


def withhold(
    told: pl.DataFrame, earlier: pl.DataFrame, on: date, limits: Limits, counted: pl.DataFrame | None = None, *, is_rebuilt: bool = False
) -> pl.DataFrame:
    """Rows of published.indicator on the day `on`, with fewer regions told where else a count would be recovered.

    `earlier`: rows of the releases before; `counted`: exact counts of that day and of those before, as of `read_known`; `is_rebuilt`: nothing
    is taken over from an earlier release, as the rule may have changed, so that tables are asked of that are repeated as they were.
    """
    columns, told = told.columns, name_group(told)
    asked = told.filter(_IS_REGION & ((pl.col("told_on") == on) | is_rebuilt)).select(GROUP).unique()
    before = name_group(earlier.select(columns)).join(asked, on=GROUP, how="semi") if len(earlier) else told.clear()
    exact = name_group(counted).join(asked, on=GROUP, how="semi") if counted is not None else None
    for hide in (_hide_zeros_concerned, _hide_zeros_of_strata, _hide_zeros, None):
        rows = pl.concat([_look_back(before), told]).join(asked, on=GROUP, how="semi").select(columns)
        recovered = pl.DataFrame(find_recovered(rows, limits, exact), [*asked.schema.items(), ("stratum", pl.String)], orient="row")
        if recovered.is_empty():
            break
        asked = recovered.select(GROUP).unique()
        regions = told.filter(_IS_REGION).join(asked, on=GROUP, how="semi")
        others = told.join(regions, on=[*TABLE, "kato2", "told_on"], how="anti")
        if hide:
            first, again = regions.join(before, on=TABLE, how="anti"), _repeat(before).join(regions, on=TABLE, how="semi")
            told = pl.concat([others, again, hide(first, recovered)])
        else:
            told = pl.concat([others, _hide_regions(regions, told)])
    return told.select(columns)


def _look_back(before: pl.DataFrame) -> pl.DataFrame:
    days = before.group_by(*GROUP, "told_on").agg(pl.col("national_denominator").max(), is_told=_IS_REGION.any()).filter("is_told")
    is_few = pl.col("national_denominator").max().over(GROUP) <= _MANY
    newest = days.filter(is_few | (pl.col("told_on").rank("dense", descending=True).over(GROUP) <= _LOOKED_BACK))
    return before.join(newest, on=[*GROUP, "told_on"], how="semi")


def _repeat(before: pl.DataFrame) -> pl.DataFrame:
    """Regions of each table as they were told last."""
    regions = before.filter(_IS_REGION).unique([*TABLE, "kato2", "told_on"])
    return regions.filter(pl.col("told_on") == pl.col("told_on").max().over(TABLE))


def _hide_zeros_concerned(first: pl.DataFrame, recovered: pl.DataFrame) -> pl.DataFrame:
    return _hide_zeros(first, recovered, first.join(recovered, on=[*GROUP, "stratum"], how="semi").filter(_IS_PART))


def _hide_zeros_of_strata(first: pl.DataFrame, recovered: pl.DataFrame) -> pl.DataFrame:
    return _hide_zeros(first, recovered, first.filter(_IS_PART))


def _hide_zeros(first: pl.DataFrame, _: pl.DataFrame, of: pl.DataFrame | None = None) -> pl.DataFrame:
    shown = (pl.when(pl.col(column) != 0).then(column).alias(column) for column in _SHOWN)
    hidden = _mark_hidden((first if of is None else of).with_columns(shown))
    return pl.concat([hidden, first.join(hidden, on=[*TABLE, "kato2"], how="anti")])


def _hide_regions(regions: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """All regions hidden, on the day of the nation, also of tables that were told before."""
    nation = told.filter(~_IS_REGION, pl.col("sex_code") == ALL).select(*TABLE, "told_on", "national_numerator", "national_denominator")
    hidden = regions.with_columns(pl.lit(None, regions[column].dtype).alias(column) for column in _SHOWN)
    return _mark_hidden(hidden.update(nation, on=TABLE, how="left"))


def _mark_hidden(rows: pl.DataFrame) -> pl.DataFrame:
    is_hidden = pl.any_horizontal(pl.col(_SHOWN).is_null())
    return rows.with_columns(is_hidden=is_hidden, value=pl.when(~is_hidden).then("value"))
