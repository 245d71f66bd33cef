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

LOOKED_BACK = 3
"""Newest days on which regions of a group were told, that a telling more is compared with; the judge compares all."""


def withhold(told: pl.DataFrame, earlier: pl.DataFrame, on: date, limits: Limits, counted: pl.DataFrame | None = None) -> pl.DataFrame:
    """Rows of published.indicator on the day `on`, with fewer regions told anew where else a count would be recovered.

    `earlier`: rows of the releases before; `counted`: exact counts of that day and of those before, as of `read_known`.
    """
    columns, told = told.columns, name_group(told)
    is_anew = (pl.col("kato2") != NATION) & (pl.col("told_on") == on)
    asked = told.filter(is_anew).select(GROUP).unique()
    before = name_group(earlier.select(columns)).join(asked, on=GROUP, how="semi") if len(earlier) else told.clear()
    counted = name_group(counted).join(asked, on=GROUP, how="semi") if counted is not None else None
    for hide in (_hide_zeros_concerned, _hide_zeros_of_strata, _hide_zeros, _hide_regions):
        of = pl.concat([_look_back(before), told]).join(asked, on=GROUP, how="semi")
        recovered = pl.DataFrame(find_recovered(of.select(columns), limits, counted), [*asked.schema.items(), ("stratum", pl.String)], orient="row")
        if recovered.is_empty():
            break
        asked = recovered.select(GROUP).unique()
        anew = told.filter(is_anew).join(asked, on=GROUP, how="semi")
        first, again = anew.join(before, on=TABLE, how="anti"), _repeat(before).join(anew, on=TABLE, how="semi")
        told = pl.concat([told.join(anew, on=[*TABLE, "kato2", "told_on"], how="anti"), again, hide(first, recovered)])
    return told.select(columns)


def _look_back(before: pl.DataFrame) -> pl.DataFrame:
    days = before.filter(pl.col("kato2") != NATION).select(*GROUP, "told_on").unique()
    newest = days.filter(pl.col("told_on").rank("dense", descending=True).over(GROUP) <= LOOKED_BACK)
    return before.join(newest, on=[*GROUP, "told_on"], how="semi")


def _repeat(before: pl.DataFrame) -> pl.DataFrame:
    """Regions of each table as they were told last."""
    regions = before.filter(pl.col("kato2") != NATION).unique([*TABLE, "kato2", "told_on"])
    return regions.filter(pl.col("told_on") == pl.col("told_on").max().over(TABLE))


def _hide_zeros_concerned(first: pl.DataFrame, recovered: pl.DataFrame) -> pl.DataFrame:
    return _hide_zeros(first, recovered, first.join(recovered, on=[*GROUP, "stratum"], how="semi").filter(_IS_PART))


def _hide_zeros_of_strata(first: pl.DataFrame, recovered: pl.DataFrame) -> pl.DataFrame:
    return _hide_zeros(first, recovered, first.filter(_IS_PART))


def _hide_zeros(first: pl.DataFrame, _: pl.DataFrame, of: pl.DataFrame | None = None) -> pl.DataFrame:
    hidden = _hide(first if of is None else of, *(pl.col(column) == 0 for column in _SHOWN))
    return pl.concat([hidden, first.join(hidden, on=[*TABLE, "kato2"], how="anti")])


def _hide_regions(first: pl.DataFrame, _: pl.DataFrame) -> pl.DataFrame:
    return _hide(first, pl.lit(value=True), pl.lit(value=True))


_SHOWN = ("numerator", "denominator")
_IS_PART = pl.any_horizontal(pl.col("stratum", "age_band", "linked") != ALL)
"""A stratum of several or an age band of it, or a programme, which is alone."""


def _hide(first: pl.DataFrame, *is_hidden: pl.Expr) -> pl.DataFrame:
    """Rows with the numerator hidden, and the denominator, where it is said."""
    shown = [pl.when(~hidden).then(column).alias(column) for column, hidden in zip(_SHOWN, is_hidden, strict=True)]
    is_any = pl.any_horizontal(pl.col(_SHOWN).is_null())
    return first.with_columns(shown).with_columns(is_hidden=is_any, value=pl.when(~is_any).then("value"))
