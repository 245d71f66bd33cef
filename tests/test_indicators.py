"""Values and intervals of indicators, against published figures and the textbook's own arithmetic."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipelines.indicators.interval import add_intervals


def count(numerator, denominator, unit="proportion", per=1):
    frame = pl.DataFrame({"numerator": [numerator], "denominator": [denominator], "unit": [unit], "per": [per]})
    return add_intervals(frame).row(0, named=True)


@pytest.mark.parametrize(
    ("x", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718), (20, 20, 0.8389, 1.0)],
)
def test_wilsons_limits_are_those_of_newcombe_1998(x, n, low, high):
    row = count(x, n)
    assert (round(row["ci_low"], 4), round(row["ci_high"], 4), row["method"]) == (low, high, "wilson")


def test_under_10_events_the_limits_are_exact_and_from_10_byars():
    few, many = count(3, 1000, "rate", 1000), count(10, 1000, "rate", 1000)
    assert (few["method"], many["method"]) == ("poisson_exact", "byar")
    assert (round(few["ci_low"], 4), round(few["ci_high"], 4)) == (0.6187, 8.7673)
    assert (round(many["ci_low"], 2), round(many["ci_high"], 2)) == (4.79, 18.39)


def test_nothing_over_nothing_is_null_and_never_nan():
    row = count(0, 0)
    assert (row["value"], row["ci_low"], row["ci_high"]) == (None, None, None)


@pytest.mark.parametrize(("x", "n"), [(2, 1), (-1, 5)])
def test_a_numerator_outside_its_denominator_is_refused(x, n):
    with pytest.raises(ValueError, match="numerator"):
        count(x, n)


@settings(deadline=None)
@given(st.integers(0, 500), st.integers(1, 10_000))
def test_the_value_lies_within_its_limits(x, extra):
    for unit in ("proportion", "rate"):
        row = count(x, x + extra, unit, 1000)
        assert 0 <= row["ci_low"] <= row["value"] + 1e-9
        assert row["value"] <= row["ci_high"] + 1e-9 <= 1000 + 1e-9


@settings(deadline=None)
@given(st.integers(10, 400))
def test_byar_stays_near_the_exact_limits(x):
    row = count(x, 10_000, "rate", 10_000)
    exact = stats.chi2.ppf([0.025], 2 * x)[0] / 2, stats.chi2.ppf([0.975], 2 * x + 2)[0] / 2
    assert abs(row["ci_low"] - exact[0]) < 0.05
    assert abs(row["ci_high"] - exact[1]) < 0.05
