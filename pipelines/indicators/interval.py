"""Values and 95 % intervals of indicators: Wilson for proportions; exact Poisson under 10 events and Byar from 10 for rates.

Sources: Wilson 1927; Breslow & Day 1987 (Byar with x and x + 1); Garwood 1936 for the exact limits. STANDARDS, indicators.

scipy is imported where it is used: most commands have no use for it, and it takes a fifth of a second.
"""

import numpy as np
import polars as pl

_Z = 1.959963984540054
_LEAST_FOR_BYAR = 10


def add_intervals(counts: pl.DataFrame) -> pl.DataFrame:
    """`counts` (numerator, denominator, unit proportion|rate, per) with value, ci_low, ci_high, method; null over nothing.

    Raises ValueError when a numerator is negative or larger than its denominator.
    """
    x, n = counts["numerator"].to_numpy().astype(float), counts["denominator"].to_numpy().astype(float)
    if ((x < 0) | (x > n)).any():
        raise ValueError("a numerator lies outside 0..denominator")
    per, is_rate = counts["per"].to_numpy().astype(float), (counts["unit"] == "rate").to_numpy()
    low_share, high_share = wilson(x, n)
    low_count, high_count = poisson(x)
    over = np.where(n > 0, n, np.nan)
    high_rate = np.minimum(high_count / over, 1.0)  # of children, each counted once, no more than all
    limits = np.where(is_rate, low_count / over, low_share), np.where(is_rate, high_rate, high_share)
    method = np.where(is_rate, np.where(x < _LEAST_FOR_BYAR, "poisson_exact", "byar"), "wilson")
    return counts.with_columns(
        pl.Series("value", x / over * per).fill_nan(None),
        pl.Series("ci_low", limits[0] * per).fill_nan(None),
        pl.Series("ci_high", limits[1] * per).fill_nan(None),
        pl.Series("method", method),
    )


def wilson(x: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's limits of x of n as shares; NaN where n = 0."""
    over = np.where(n > 0, n, np.nan)
    share = x / over
    centre = (share + _Z**2 / (2 * over)) / (1 + _Z**2 / over)
    half = _Z * np.sqrt(share * (1 - share) / over + _Z**2 / (4 * over**2)) / (1 + _Z**2 / over)
    return np.minimum(np.maximum(centre - half, 0.0), share), np.maximum(np.minimum(centre + half, 1.0), share)


def poisson(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Limits of a count: exact (Garwood) under 10, Byar's approximation from 10."""
    from scipy.special import gammaincinv

    exact_low = np.where(x > 0, gammaincinv(np.maximum(x, 1), 0.025), 0.0)
    exact_high = gammaincinv(x + 1, 0.975)
    some = np.maximum(x, 1)
    byar_low = some * (1 - 1 / (9 * some) - _Z / (3 * np.sqrt(some))) ** 3
    byar_high = (x + 1) * (1 - 1 / (9 * (x + 1)) + _Z / (3 * np.sqrt(x + 1))) ** 3
    is_exact = x < _LEAST_FOR_BYAR
    return np.where(is_exact, exact_low, byar_low), np.where(is_exact, exact_high, byar_high)
