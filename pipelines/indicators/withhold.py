"""What a reader could work out of several tables together is withheld, after the rules for one table (disclose) and its tellings (release).

The judge (attack) is asked of each group of linked strata of which regions are told anew. Where it recovers a count, the nation stays as it
is, and the totals of regions as long as can be: (1) tables that were told before are repeated as they were; else (2) zeros of strata are
hidden, as it is they that leave few regions for the children of the nation's strata, sexes and age bands; (3) all zeros; (4) all regions.
"""

from datetime import date

import polars as pl

from pipelines.indicators.attack import find_recovered
from pipelines.indicators.disclose import ALL, NATION, TABLE, Limits
from pipelines.indicators.known import GROUP, name_group


def withhold(told: pl.DataFrame, earlier: pl.DataFrame, on: date, limits: Limits, counted: pl.DataFrame | None = None) -> pl.DataFrame:
    """Rows of published.indicator on the day `on`, with fewer regions told anew where else a count would be recovered."""
    columns, told = told.columns, name_group(told)
    before = name_group(earlier.select(columns)) if len(earlier) else told.clear()
    is_anew = (pl.col("kato2") != NATION) & (pl.col("told_on") == on)
    asked = told.filter(is_anew).select(GROUP).unique()
    counted = name_group(counted).join(asked, on=GROUP, how="semi") if counted is not None else None
    for hide in (_repeat, _hide_zeros_of_strata, _hide_zeros, _hide_regions):
        of = pl.concat([before, told]).join(asked, on=GROUP, how="semi")
        recovered = pl.DataFrame(find_recovered(of.select(columns), limits, counted), [*asked.schema.items(), ("stratum", pl.String)], orient="row")
        if recovered.is_empty():
            break
        asked = recovered.select(GROUP).unique()
        anew = told.filter(is_anew).join(asked, on=GROUP, how="semi")
        told = pl.concat([told.join(anew, on=[*TABLE, "kato2", "told_on"], how="anti"), hide(anew, before, recovered)])
    return told.select(columns)


def _repeat(anew: pl.DataFrame, before: pl.DataFrame, _: pl.DataFrame) -> pl.DataFrame:
    last = before.filter(pl.col("kato2") != NATION).filter(pl.col("told_on") == pl.col("told_on").max().over(TABLE)).unique([*TABLE, "kato2"])
    return pl.concat([anew.join(last, on=TABLE, how="anti"), last.join(anew, on=TABLE, how="semi")])


def _hide_zeros_of_strata(anew: pl.DataFrame, _: pl.DataFrame, recovered: pl.DataFrame) -> pl.DataFrame:
    """Of those of which a count is recovered."""
    named = anew.join(recovered.filter((pl.col("stratum") != ALL) | (pl.col("linked") != ALL)), on=[*GROUP, "stratum"], how="semi")
    return pl.concat([anew.join(named, on=[*TABLE, "kato2"], how="anti"), _hide_zeros(named, anew, recovered)])


def _hide_zeros(anew: pl.DataFrame, _: pl.DataFrame, __: pl.DataFrame) -> pl.DataFrame:
    return _hide(anew, *(pl.col(column) == 0 for column in _SHOWN))


def _hide_regions(anew: pl.DataFrame, _: pl.DataFrame, __: pl.DataFrame) -> pl.DataFrame:
    return _hide(anew, pl.lit(value=True), pl.lit(value=True))


_SHOWN = ("numerator", "denominator")


def _hide(anew: pl.DataFrame, *is_hidden: pl.Expr) -> pl.DataFrame:
    """Rows with the numerator hidden, and the denominator, where it is said."""
    shown = [pl.when(~hidden).then(column).alias(column) for column, hidden in zip(_SHOWN, is_hidden, strict=True)]
    is_any = pl.any_horizontal(pl.col(_SHOWN).is_null())
    return anew.with_columns(shown).with_columns(is_hidden=is_any, value=pl.when(~is_any).then("value"))
