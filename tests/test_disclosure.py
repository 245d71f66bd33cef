"""Law 9: no small count leaves the ministry, nor one that the other published cells give back."""

from collections import defaultdict
from datetime import timedelta
from itertools import product

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.indicators.attack import attack_release
from pipelines.indicators.disclose import UNKNOWN, bound_cells, disclose, hide_cells, round_half_up
from pipelines.indicators.release import renew_tables
from tests.telling import FIRST, LIMITS, Told, recovered, tell


def test_zero_stays_zero_small_is_hidden_and_the_rest_is_rounded_half_up():
    assert hide_cells([0, 3, 8, 12, 13, 4], LIMITS) == [0, None, 10, 10, 15, None]
    assert [round_half_up(n, 5) for n in (0, 2, 3, 7, 8, 12, 13)] == [0, 0, 5, 5, 10, 10, 15]


def test_a_single_hidden_cell_that_the_total_gives_back_takes_another_with_it():
    assert hide_cells([4, 0, 0], LIMITS) == [None, None, None]
    assert hide_cells([4, 8, 0], LIMITS) == [None, 10, 0]  # the rounded 8 leaves 1 to 4 open


def test_a_region_that_has_all_children_but_one_is_not_told_beside_zeros_as_sexes_and_strata_of_the_nation_would_be_its_own():
    assert hide_cells([20, 0, 0], LIMITS) == [20, None, None]  # 18 to 20
    assert hide_cells([18, 0, 0], LIMITS) == [None, None, None]  # 20 would be 18 at least, and so all of them
    assert hide_cells([20, 8, 0], LIMITS) == [20, 10, 0]


def test_hidden_beside_a_zero_that_is_told_is_no_zero():
    assert hide_cells([1, 1, 0, 0], LIMITS) == [None, None, None, None]  # two regions of a nation of 2: one child each
    assert hide_cells([2, 2, 0, 0], LIMITS) == [None, None, 0, 0]  # 1 to 3


def test_a_nation_of_which_one_region_sends_yet_hides_its_small_counts():
    alone = indicator([("KZ", "all", 3, 40), ("75", "all", 3, 40)])
    told = disclose(alone, LIMITS, ["61", "71", "75"]).filter(pl.col("kato2") != "KZ")
    assert sorted(told.select("kato2", "numerator", "denominator").rows()) == [("61", None, None), ("71", None, None), ("75", None, 40)]


def test_children_of_no_known_region_are_hidden_like_those_of_a_region_as_the_nation_less_the_others_tells_them():
    known = [("75", "all", 40, 300), ("61", "all", 60, 400)]
    lost = indicator([("KZ", "all", 104, 720), *known, (UNKNOWN, "all", 4, 20)])
    told = disclose(lost, LIMITS, ["61", "75", UNKNOWN]).filter(pl.col("kato2") != "KZ").sort("kato2")
    assert told["numerator"].to_list() == [60, 40, None]
    assert recovered(tell(Told(104, tuple(told["numerator"])))) == 0
    none = disclose(indicator([("KZ", "all", 100, 700), *known]), LIMITS, ["61", "75", UNKNOWN]).filter(pl.col("kato2") == UNKNOWN)
    assert none["numerator"].to_list() == [0]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.just(0), st.integers(0, 9), st.integers(0, 400)), min_size=2, max_size=20))
def test_no_small_count_is_shown_and_none_can_be_told_from_the_others_and_the_total(counts):
    shown = hide_cells(counts, LIMITS)
    total = sum(counts)
    assert all(s is None for s, c in zip(shown, counts, strict=True) if 0 < c <= 7)
    assert all(s is None or abs(s - c) <= 2 for s, c in zip(shown, counts, strict=True))
    bounds = bound_cells(shown, total, LIMITS)
    is_true = all(low <= count <= high for count, (low, high) in zip(counts, bounds, strict=True))  # all that is hidden is small, or may not be
    for place, count in enumerate(counts):
        if 0 < count <= 7:
            others = [b for other, b in enumerate(bounds) if other != place]
            least = max(0, total - sum(b[1] for b in others))
            most = total - sum(b[0] for b in others)
            assert least <= count <= most or not is_true
            assert min(most, total) - least >= 2 or all(s is None for s in shown)


def test_a_reader_who_knows_the_rule_and_tries_every_table_finds_more_than_one_value_for_each_hidden_count():
    possible = defaultdict(list)
    for counts in product(range(25), repeat=3):
        shown = hide_cells([*counts], LIMITS)
        for told in {tuple(shown), tuple(cell or None for cell in shown)}:  # zeros may be withheld besides
            possible[sum(counts), told].append(counts)
    for (total, told), tables in possible.items():
        for place in range(3) if total < 25 and any(told) else ():
            values = {table[place] for table in tables}
            assert told[place] is not None or min(values) == 0 or max(values) > LIMITS.small or max(values) - min(values) > 1


def indicator(rows):
    return pl.DataFrame(
        [{"indicator_id": "flagged", "kato2": k, "birth_year": 2026, "sex_code": s, "stratum": "all", "age_band": "all",
          "numerator": x, "denominator": n, "per": 100} for k, s, x, n in rows]
    )  # fmt: skip


def test_the_nation_is_as_it_is_by_sex_only_for_the_nation_and_rates_come_from_rounded_counts():
    rows = [("KZ", "all", 63, 400), ("KZ", "male", 33, 200), ("75", "all", 42, 303), ("75", "male", 20, 150), ("61", "all", 21, 97)]
    told = {(r["kato2"], r["sex_code"]): r for r in disclose(indicator(rows), LIMITS).iter_rows(named=True)}
    assert (told["KZ", "all"]["numerator"], told["KZ", "male"]["numerator"]) == (63, 33)
    assert ("75", "male") not in told
    assert (told["75", "all"]["numerator"], told["75", "all"]["denominator"]) == (40, 305)
    assert round(told["75", "all"]["value"], 3) == round(40 / 305 * 100, 3)


def test_no_rate_over_a_small_denominator():
    rows = [("KZ", "all", 30, 60), ("75", "all", 10, 29), ("61", "all", 20, 31)]
    told = {r["kato2"]: r for r in disclose(indicator(rows), LIMITS).iter_rows(named=True)}
    assert told["75"]["value"] is not None or told["75"]["denominator"] < 31
    assert disclose(indicator([("KZ", "all", 20, 40), ("75", "all", 10, 20), ("61", "all", 10, 20)]), LIMITS).filter(
        pl.col("kato2") == "75")["value"].to_list() == [None]  # fmt: skip


def told_by_band(counts):
    """published.indicator of regions' counts by age band: {band: counts}, all ages first."""
    parts = [count_rows(c).with_columns(pl.lit(band).alias("age_band")) for band, c in counts.items()]
    return renew_tables(disclose(pl.concat(parts), LIMITS), pl.DataFrame(), FIRST, LIMITS)


def test_regions_are_told_by_age_band_only_where_no_region_hides_anything():
    open_ones = told_by_band({"all": [60, 70, 80, 90], "under 1": [20, 30, 40, 50], "1 year": [40, 40, 40, 40]})
    assert not open_ones["is_hidden"].any()
    one_small = told_by_band({"all": [60, 70, 80, 90], "under 1": [4, 30, 40, 50], "1 year": [56, 40, 40, 40]})
    assert dict(one_small.group_by("age_band").agg(pl.col("numerator").null_count()).iter_rows()) == {"all": 0, "under 1": 4, "1 year": 4}
    assert one_small.filter(pl.col("kato2") == "KZ")["numerator"].to_list() == [300, 124, 176]
    assert [attack_release(told, LIMITS)[1] for told in (open_ones, one_small)] == [0, 0]


KATO = ("10", "11", "15", "19")


def count_rows(counts, among=900):
    """Rows of indicator: one table of four regions, and the nation."""
    rows = [("KZ", "all", sum(counts), among * len(counts)), *((k, "all", c, among) for k, c in zip(KATO, counts, strict=False))]
    return indicator(rows)


def publish(nights):
    """Every night's rows of published.indicator, each with the releases before it in sight."""
    told = []
    for number, counts in enumerate(nights):
        earlier = pl.concat(told) if told else pl.DataFrame()
        told.append(renew_tables(disclose(count_rows(counts), LIMITS), earlier, FIRST + timedelta(days=number), LIMITS))
    return told


def shown(told):
    return [(r["numerator"], r["told_on"].day) for r in told.sort("kato2").iter_rows(named=True)]


def test_a_region_that_crosses_a_step_in_a_night_of_one_child_is_told_as_before_until_enough_children_came():
    nights = publish([[12, 40, 60], [13, 40, 60], [13, 44, 64]])
    assert shown(nights[0]) == [(10, 1), (40, 1), (60, 1), (112, 1)]
    assert shown(nights[1]) == [(10, 1), (40, 1), (60, 1), (113, 2)]  # 13 alone would show 15: it would be known exactly
    assert shown(nights[2]) == [(15, 3), (45, 3), (65, 3), (121, 3)]


def test_a_hidden_seven_that_becomes_eight_is_not_shown_on_the_night_it_does():
    nights = publish([[7, 40, 60], [8, 40, 60]])
    assert shown(nights[1])[:3] == [(None, 1), (40, 1), (60, 1)]
    assert recovered(tell(Told(107, (None, 40, 60)), Told(108, (10, 40, 60)))) == 1  # told so, the hidden count would be known
