"""Law 9: no small count leaves the ministry, nor one that the other published cells give back."""

from itertools import product

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.indicators.disclose import Limits, bound_cell, disclose, hide_cells, round_half_up

LIMITS = Limits(small=7, rounding=5, least_denominator=30)


def test_zero_stays_zero_small_is_hidden_and_the_rest_is_rounded_half_up():
    assert hide_cells([0, 3, 8, 12, 13, 4], LIMITS) == [0, None, 10, 10, 15, None]
    assert [round_half_up(n, 5) for n in (0, 2, 3, 7, 8, 12, 13)] == [0, 0, 5, 5, 10, 10, 15]


def test_a_single_hidden_cell_that_the_total_gives_back_takes_another_with_it():
    assert hide_cells([4, 0, 0], LIMITS) == [None, None, None]
    assert hide_cells([4, 8, 0], LIMITS) == [None, 10, 0]  # the rounded 8 leaves 0 to 4 open


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.just(0), st.integers(0, 9), st.integers(0, 400)), min_size=2, max_size=20))
def test_no_small_count_is_shown_and_none_can_be_told_from_the_others_and_the_total(counts):
    shown = hide_cells(counts, LIMITS)
    total = sum(counts)
    assert all(s is None for s, c in zip(shown, counts, strict=True) if 0 < c <= 7)
    assert all(s is None or abs(s - c) <= 2 for s, c in zip(shown, counts, strict=True))
    bounds = [bound_cell(s, total, LIMITS) for s in shown]
    for place, count in enumerate(counts):
        if 0 < count <= 7:
            others = [b for other, b in enumerate(bounds) if other != place]
            least = max(0, total - sum(b[1] for b in others))
            most = total - sum(b[0] for b in others)
            assert least <= count <= most
            assert min(most, total) - least >= 2 or all(s is None for s in shown)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 14), min_size=3, max_size=3))
def test_an_attacker_who_tries_every_table_finds_more_than_one_value_for_a_small_count(counts):
    shown, total = hide_cells(counts, LIMITS), sum(counts)
    ranges = [range(low, high + 1) for low, high in (bound_cell(s, total, LIMITS) for s in shown)]
    possible = [t for t in product(*ranges) if sum(t) == total]
    for place, count in enumerate(counts):
        if 0 < count <= 7:
            assert len({t[place] for t in possible}) > 1


def indicator(rows):
    return pl.DataFrame(
        [{"indicator_id": "flagged", "kato2": k, "birth_year": 2026, "sex_code": s, "stratum": "all", "numerator": x, "denominator": n,
          "per": 100} for k, s, x, n in rows]
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
