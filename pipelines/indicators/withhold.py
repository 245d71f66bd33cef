"""What a reader could work out of several tables together is withheld, after the rules for one table (disclose) and its tellings (release).

The judge (attack) is asked of each group of counts that go together of which regions are told anew. Where a count is recovered, the nation
stays as it is, and tables of regions that were told before are repeated as they were: what is known already nobody can take back. Of those
told for the first time zeros are hidden, as it is they that leave few regions for the children of the nation's strata, sexes and age bands.
So it goes with (1) the tables of which a count is recovered, (2) all of the group, but for the zeros of the whole of its strata, (3) with
those; then (4) nothing of the regions is told for the first time.
"""

from datetime import date

import polars as pl

from pipelines.indicators.attack import find_recovered
from pipelines.indicators.disclose import ALL, NATION, TABLE, Limits
from pipelines.indicators.known import GROUP, name_group
from pipelines.indicators.release import list_last

_IS_REGION = pl.col("kato2") != NATION
_IS_PART = pl.any_horizontal(pl.col("stratum", "age_band") != ALL)
"""A stratum of several or an age band of it, or a programme, which may be alone."""
_STRATUM = ("indicator_id", "birth_year", "stratum")
_SHOWN = ("numerator", "denominator")


def withhold(
    told: pl.DataFrame, earlier: pl.DataFrame, on: date, limits: Limits, counted: pl.DataFrame | None = None, *, is_rebuilt: bool = False
) -> pl.DataFrame:
    """Rows of published.indicator on the day `on`, with fewer regions told where else a count would be recovered.

    `earlier`: rows of the releases before; `counted`: exact counts of that day and of those before, as of `read_known`; `is_rebuilt`: nothing
    is taken over from an earlier release, as the rule may have changed, so that no table is told because it was.
    """
    before = earlier.select(told.columns) if len(earlier) else told.clear()
    groups, regions = name_group(pl.concat([before, told]).select(TABLE).unique()), told.filter(_IS_REGION)
    asked = name_group(regions.filter((pl.col("told_on") == on) | is_rebuilt)).select(GROUP).unique()
    first = (regions if is_rebuilt else regions.join(before, on=TABLE, how="anti")).select(TABLE).unique()
    for step in (1, 2, 3, 4):
        tables = groups.join(asked, on=GROUP, how="semi")
        rows = pl.concat([before, told]).join(tables, on=TABLE, how="semi")
        found = find_recovered(rows, limits, None if counted is None else counted.join(tables, on=TABLE, how="semi"), asked)
        recovered = pl.DataFrame(found, {**asked.schema, "indicator_id": pl.String, "stratum": pl.String}, orient="row")
        tables = recovered if step == 1 else groups.join(recovered, on=GROUP, how="semi")
        concerned = told.filter(_IS_REGION).join(tables, on=_STRATUM, how="semi")
        new = concerned.join(first, on=TABLE, how="semi")
        if step <= 2:
            old = list_last(before).join(concerned, on=TABLE, how="semi").join(first, on=TABLE, how="anti")
            now = [old, _hide_zeros(new.filter(_IS_PART)), new.filter(~_IS_PART)]
        else:
            concerned, now = new, [_hide_zeros(new) if step == 3 else _hide_regions(new, told)]
        told = pl.concat([told.join(concerned, on=[*TABLE, "kato2"], how="anti"), *(part.select(told.columns) for part in now)])
        asked = pl.concat([recovered.select(GROUP), name_group(concerned).select(GROUP)]).unique()
        if step >= 2:  # of the others all is as it was told before
            asked = asked.join(name_group(first), on=GROUP, how="semi")
        if asked.is_empty():
            break
    return told


def _hide_zeros(tables: pl.DataFrame) -> pl.DataFrame:
    return _mark_hidden(tables.with_columns(pl.when(pl.col(column) != 0).then(column).alias(column) for column in _SHOWN))


def _hide_regions(tables: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """All regions hidden, on the day of the nation, also of tables that were to be repeated."""
    nation = told.filter(~_IS_REGION, pl.col("sex_code") == ALL).select(*TABLE, "told_on", "national_numerator", "national_denominator")
    hidden = tables.with_columns(pl.lit(None, tables[column].dtype).alias(column) for column in _SHOWN)
    return _mark_hidden(hidden.update(nation, on=TABLE, how="left"))


def _mark_hidden(rows: pl.DataFrame) -> pl.DataFrame:
    is_hidden = pl.any_horizontal(pl.col(_SHOWN).is_null())
    return rows.with_columns(is_hidden=is_hidden, value=pl.when(~is_hidden).then("value"))
