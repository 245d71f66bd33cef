"""Law 9 over several tables and nights: what one table alone may tell is withheld where others would give a small count back with it."""

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.indicators.attack import attack_release
from tests.telling import LIMITS, Children, Nights, add_margins, count_national_year


def count_impairment(boys, girls):
    """Rows of indicator: impaired boys and girls of each region by stratum, among a thousand of each."""
    rows = [
        {"indicator_id": "impairment", "birth_year": 2026, "stratum": stratum, "age_band": "all", "kato2": kato2, "sex_code": sex,
         "numerator": x, "denominator": 1000}
        for sex, strata in (("male", boys), ("female", girls)) for stratum, counts in strata.items()
        for kato2, x in zip(("10", "11", "15", "19"), counts, strict=True)
    ]  # fmt: skip
    return add_margins(pl.DataFrame(rows))


def show(told):
    """What is shown of regions by stratum, in the order of regions; the unknown one last."""
    rows = told.filter(pl.col("kato2") != "KZ").sort("kato2").partition_by("stratum", as_dict=True)
    return {stratum: table["numerator"].to_list() for (stratum,), table in rows.items()}


def test_of_a_nation_whose_impaired_children_live_in_one_region_the_region_is_told_and_the_zeros_of_the_others_are_not():
    nights = Nights(["10", "11", "15", "19"])
    boys = {"all": [14, 0, 0, 0], "physical": [1, 0, 0, 0], "mental": [12, 0, 0, 0], "complex": [1, 0, 0, 0]}
    girls = {"all": [6, 0, 0, 0], "physical": [0, 0, 0, 0], "mental": [5, 0, 0, 0], "complex": [1, 0, 0, 0]}
    told = nights.publish(count_impairment(boys, girls))
    assert show(told) == {"all": [20, *[None] * 4], "physical": [None] * 5, "mental": [15, *[None] * 4], "complex": [None] * 5}
    nation = told.filter(pl.col("kato2") == "KZ", pl.col("sex_code") == "all")
    assert dict(nation.select("stratum", "numerator").iter_rows()) == {"all": 20, "physical": 1, "mental": 17, "complex": 2}
    assert nights.attack(is_truth_known=False)[1] == 0


def test_zeros_of_strata_are_withheld_where_they_leave_a_region_no_other_stratum_for_its_children():
    boys = {"all": [0, 2, 1, 3], "physical": [0, 0, 1, 1], "mental": [0, 0, 0, 0], "complex": [0, 2, 0, 2]}
    nights = Nights(["10", "11", "15", "19"])
    told = nights.publish(count_impairment(boys, {stratum: [0, 0, 0, 0] for stratum in boys}))
    alone = {"all": [0, None, None, None, 0], "physical": [None] * 5, "mental": [0] * 5, "complex": [0, None, 0, None, 0]}
    assert show(nights.alone) == alone  # the third region has children, none mental or complex: one physical, or the two of the nation
    assert attack_release(nights.alone, LIMITS)[1] > 0
    assert show(told) == {"all": alone["all"], "physical": [None] * 5, "mental": [None] * 5, "complex": [None] * 5}
    assert nights.attack(is_truth_known=False)[1] == 0


def test_tables_that_were_told_before_are_repeated_where_their_news_would_give_a_count_back():
    first = {"all": [20, 12, 22, 0], "physical": [20, 12, 22, 0], "mental": [0, 0, 0, 0], "complex": [0, 0, 0, 0]}
    then = {"all": [31, 13, 22, 0], "physical": [31, 12, 22, 0], "mental": [0, 1, 0, 0], "complex": [0, 0, 0, 0]}
    nights, girls = Nights(["10", "11", "15", "19"]), {stratum: [0, 0, 0, 0] for stratum in first}
    told = [show(nights.publish(count_impairment(boys, girls))) for boys in (first, then)]
    assert (told[0]["all"], told[0]["physical"]) == ([20, 10, 20, 0, 0], [20, 10, 20, 0, 0])
    alone = show(nights.alone)
    assert (alone["all"], alone["physical"]) == ([30, 15, 20, 0, 0], [30, 10, 20, 0, 0])  # the second region has the mental child
    assert told[1] == told[0]
    assert nights.attack(is_truth_known=False)[1] == 0


def test_a_national_year_hides_its_small_counts_and_nothing_else():
    counted = count_national_year()
    nights = Nights([str(10 + number) for number in range(20)])
    told = nights.publish(counted).filter(pl.col("kato2") != "KZ")
    exact = counted.filter(pl.col("sex_code") == "all").select("indicator_id", "stratum", "kato2", pl.col("numerator").alias("children"))
    by_size = told.join(exact, on=["indicator_id", "stratum", "kato2"]).group_by(
        size=pl.when(pl.col("children") == 0).then(pl.lit("none")).when(pl.col("children") <= 7).then(pl.lit("small")).otherwise(pl.lit("more"))
    )
    figures = by_size.agg(cells=pl.len(), shown=pl.col("numerator").count()).sort("size").rows()
    assert figures == [("more", 389, 389), ("none", 37, 37), ("small", 141, 0)]
    assert nights.attack(is_truth_known=True)[1] == 0


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_no_release_of_a_small_nation_and_no_sequence_of_them_gives_a_small_count_of_a_region_away(seed, count):
    children = Children(seed)
    nights = Nights(children.regions)
    for night in range(count):
        nights.publish(children.count(night))
    assert nights.attack(is_truth_known=False)[1] == 0
    assert nights.attack(is_truth_known=True)[1] == 0
