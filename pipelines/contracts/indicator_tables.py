"""Tables of the published warehouse that hold indicators: what each is, its figures, and what of them may leave the ministry."""

from typing import ClassVar

import dataframely as dy

from pipelines.contracts.columns import count, published


class IndicatorDefinition(dy.Schema):
    """indicator_definition: One row an indicator: what is counted, over what, without whom, by which interval, with which thresholds."""

    indicator_id = published("name", primary_key=True)
    title = published("what it is", nullable=False)
    rationale = published("why it is watched", nullable=False)
    counted = published("who is counted in the numerator", nullable=False)
    counted_over = published("over whom: the denominator", nullable=False)
    exclusions = published("who is left out of both", nullable=False)
    unit = published("proportion or rate", nullable=False, codes=("proportion", "rate"))
    per = published("value = numerator / denominator x per", dy.Int64, nullable=False)
    acceptable = published("acceptable threshold", dy.Float64)
    achievable = published("achievable threshold", dy.Float64)
    is_high_good = published("thresholds are reached from below (true) or from above (false); null = none", dy.Bool)
    interval = published("wilson, or byar (exact Poisson under 10)", nullable=False, codes=("wilson", "byar"))
    valid_from = published("first day of this definition", dy.Date, nullable=False)
    source = published("where it comes from", nullable=False)


class Indicator(dy.Schema):
    """indicator: One row an indicator, region (KZ = nation), year of birth, sex, stratum and age band: counts, value and 95 % interval."""

    indicator_id = published("indicator_definition", primary_key=True, references="indicator_definition (indicator_id)")
    kato2 = published("region, unknown = children of no known region, KZ = the nation, with them", primary_key=True)
    birth_year = published("year of birth", dy.Int32, primary_key=True)
    sex_code = published("male, female, unknown, all", primary_key=True)
    stratum = published("programme, category or decision; all", primary_key=True)
    age_band = published("under 1, 1 year, 2 years (completed on the day of the release by the youngest of the month of birth); all", primary_key=True)
    eligible = count("children looked at")
    excluded = count("left out, by the definition")
    denominator = count("eligible - excluded")
    numerator = count("counted")
    value = published("numerator / denominator x per", dy.Float64)
    ci_low = published("lower 95 % limit", dy.Float64)
    ci_high = published("upper 95 % limit", dy.Float64)
    method = published("wilson, poisson_exact or byar", nullable=False, codes=("wilson", "poisson_exact", "byar"))
    threshold_met = published(
        "achievable, acceptable or none; null = no threshold", codes=("achievable", "acceptable", "none")
    )

    CHECKS: ClassVar = (
        "eligible = excluded + denominator",
        "numerator <= denominator",
        "value is null or ci_low <= value and value <= ci_high",
    )


class PublishedIndicator(dy.Schema):
    """published.indicator: What may leave the ministry: the nation as it is; regions with small counts hidden and the others rounded to 5."""

    indicator_id = published("indicator_definition", primary_key=True)
    kato2 = published("region, unknown = children of no known region, KZ = the nation, with them", primary_key=True)
    birth_year = published("year of birth", dy.Int32, primary_key=True)
    sex_code = published("all; by sex for the nation only", primary_key=True)
    stratum = published("programme, category or decision; all", primary_key=True)
    age_band = published("under 1, 1 year, 2 years (completed on the day of the release by the youngest of the month of birth); all", primary_key=True)
    numerator = published("null = hidden; regions rounded to 5, 0 is told as 0 where zeros give no count away", dy.Int64)
    denominator = published("null = hidden; regions rounded to 5", dy.Int64)
    value = published(
        "from the rounded counts, of small regions many points beside the true one: not to be held against a threshold; null = hidden or too few",
        dy.Float64,
    )
    is_hidden = published("a small count, or one that would give a small count back", dy.Bool, nullable=False)
    told_on = published(
        "day as known on which this row is told; regions are told anew only when they change, and enough children with them",
        dy.Date,
        nullable=False,
    )
    national_numerator = count("numerator of the nation, both sexes, on that day")
    national_denominator = count("denominator of the nation, both sexes, on that day")
