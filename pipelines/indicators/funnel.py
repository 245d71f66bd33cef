"""Funnel limits of a share: what chance alone would do to a sender of n rows, around the national share.

Exact binomial limits, and where the senders differ by more than chance an additive between-sender
variance (tau squared, DerSimonian-Laird on winsorised z-scores). Source: Spiegelhalter, Stat Med 2005;24:1185-1202.
"""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

LEVELS = {"95": 0.975, "99.8": 0.999}
"""Two-sided limits -> upper probability."""
_WINSOR = 0.1
_FEWEST = 10


class Funnel(NamedTuple):
    """`share`: the national one; `tau2`: variance between senders beyond chance, 0 where chance explains them."""

    share: float
    tau2: float


def fit_funnel(x: np.ndarray, n: np.ndarray) -> Funnel:
    """The funnel of senders with x of n; NaN share when nobody sent anything. ValueError when x lies outside 0..n."""
    if ((x < 0) | (x > n)).any():
        raise ValueError("a numerator lies outside 0..denominator")
    sent = n > 0
    x, n = x[sent].astype(float), n[sent].astype(float)
    if not len(n):
        return Funnel(float("nan"), 0.0)
    share = float(x.sum() / n.sum())
    variance = share * (1 - share) / n
    if len(n) < _FEWEST or not 0 < share < 1:
        return Funnel(share, 0.0)
    z = (x / n - share) / np.sqrt(variance)
    z = np.clip(z, np.quantile(z, _WINSOR), np.quantile(z, 1 - _WINSOR))
    count, phi, weight = len(n), float(np.mean(z**2)), 1 / variance
    if phi <= 1 + 2 * np.sqrt(2 / count):
        return Funnel(share, 0.0)
    tau2 = (count * phi - (count - 1)) / (weight.sum() - (weight**2).sum() / weight.sum())
    return Funnel(share, max(0.0, float(tau2)))


def limit_funnel(funnel: Funnel, n: np.ndarray, level: str) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper limit of the share for n rows at a level of LEVELS; NaN for n = 0."""
    upper = LEVELS[level]
    over = np.where(n > 0, n, np.nan).astype(float)
    if funnel.tau2:
        half = NormalDist().inv_cdf(upper) * np.sqrt(funnel.share * (1 - funnel.share) / over + funnel.tau2)
        return np.clip(funnel.share - half, 0, 1), np.clip(funnel.share + half, 0, 1)
    return _limit_exact(funnel.share, over, 1 - upper), _limit_exact(funnel.share, over, upper)


def place_sender(funnel: Funnel, x: int, n: int) -> str:
    """Where a sender lies: below, inside, above (beyond 95 %), far_above (beyond 99.8 %), unknown (no rows)."""
    if not n:
        return "unknown"
    share = x / n
    (low, high), (_, far) = (tuple(float(v[0]) for v in limit_funnel(funnel, np.array([n]), lv)) for lv in LEVELS)
    if share > high:
        return "far_above" if share > far else "above"
    return "below" if share < low else "inside"


def _limit_exact(share: float, n: np.ndarray, probability: float) -> np.ndarray:
    """The share from which on so many rows or more (or, of a lower limit, so few or fewer) are less likely than the level's tail.

    Spiegelhalter's own interpolation lies up to a row lower: one refused row of 43 would stand out where a sixth of all have one.
    """
    from scipy.special import bdtrik

    if not 0 < share < 1:  # every sender is what all are
        return np.where(np.isnan(n), n, share)
    count = bdtrik(probability, n, share) + (probability > 0.5)
    return np.clip(count / n, 0, 1)
