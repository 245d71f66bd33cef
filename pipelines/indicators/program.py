"""Linear programs over unknown counts: all that is known of them, as limits on sums; a solution is a world that a reader must think possible.

Truth saves time. Worlds in which all days of it differ alike are sought in a program as small as that of one day.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import block_diag, csr_array, eye_array, hstack, vstack

GIVEN, SURE, SUPPOSED = np.inf, 1000.0, 1.0
"""How hard a row is given up where no world fits all of them: never; only when what is supposed does not explain it; at once."""
NEAR = 1e-6
_TOGETHER = 600
"""Unknown counts up to which programs are solved as one: a solve of fewer costs less than its start."""


class Sums:
    """A sparse matrix in the making: sums of numbered counts, one a row."""

    def __init__(self) -> None:
        self.count = 0
        self._parts = [(np.zeros(0), np.zeros(0, int), np.zeros(0, int))]

    def add(self, plus: np.ndarray, minus: np.ndarray | None = None) -> None:
        """More rows, each the numbers of the counts that are summed up, and of those that are taken off."""
        for numbers, factor in ((plus, 1.0), (minus, -1.0)):
            if numbers is not None:
                at = np.repeat(np.arange(self.count, self.count + len(numbers)), numbers.shape[1])
                self._parts.append((np.full(numbers.size, factor), at, numbers.ravel()))
        self.count += len(plus)

    def write(self, width: int) -> csr_array:
        """The matrix over so many counts."""
        factors, at, numbers = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        return csr_array((factors, (at, numbers)), shape=(self.count, width))


class Space(NamedTuple):
    """Worlds `base + spread @ moves`: moves from `least` on, sums of them (rows) between limits."""

    rows: csr_array
    low: np.ndarray
    high: np.ndarray
    weight: np.ndarray
    least: np.ndarray
    base: np.ndarray
    spread: csr_array


class Program:
    """Unknown counts of 0 and more, limits on sums of them (rows), and the sums that nobody may pin (cells)."""

    def __init__(self) -> None:
        self.rows, self.cells, self._moved = Sums(), Sums(), Sums()
        self._moves = 0
        self._limits, self._truth = [np.zeros((3, 0))], [np.zeros(0)]
        self._chain, self._day = [np.zeros(0, int)], [np.zeros(0, int)]

    @property
    def width(self) -> int:
        """How many unknown counts there are."""
        return self._moved.count

    @property
    def day(self) -> np.ndarray:
        """The day of each unknown count."""
        return np.concatenate(self._day)

    def add_moves(self, *shape: int) -> np.ndarray:
        """Numbers of new moves: by what a world near the truth may differ from it on each day."""
        self._moves += int(np.prod(shape))
        return np.arange(self._moves - int(np.prod(shape)), self._moves).reshape(shape)

    def add_counts(self, chain: int, day: int, truth: np.ndarray, moves: np.ndarray) -> np.ndarray:
        """Numbers of new unknown counts, in the shape of their truth (nan where unknown); the moves of each are along the last axis.

        `chain`: counts of all days that have to do with one another.
        """
        self._chain.append(np.full(truth.size, chain))
        numbers = np.arange(self.width, self.width + truth.size).reshape(truth.shape)
        self._day.append(np.full(truth.size, day))
        self._truth.append(truth.ravel())
        self._moved.add(moves.reshape(truth.size, -1))
        return numbers

    def limit(
        self, counts: np.ndarray, low: np.ndarray | float, high: np.ndarray | float, less: np.ndarray | None = None, weight: float = SURE
    ) -> None:
        """Each row of counts, less the row of `less`, sums up to something between the limits."""
        self.rows.add(counts, less)
        limits = np.empty((3, len(counts)))
        limits[0], limits[1], limits[2] = low, high, weight
        self._limits.append(limits)

    def list_worlds(self) -> Space:
        """All worlds, over the counts that are not 0 in each of them."""
        rows, (low, high, weight) = self.rows.write(self.width), np.concatenate(self._limits, axis=1)
        more, less, is_open = csr_array(rows > 0), csr_array(rows < 0), np.ones(self.width, bool)
        while (closed := is_open & (((high <= 0) & (weight == GIVEN) & ~(less @ is_open)) @ more)).any():
            is_open &= ~closed
        rows = rows[:, is_open]
        kept = np.diff(rows.indptr) > 0
        spread = eye_array(self.width, format="csr")[:, is_open]
        return Space(rows[kept], low[kept], high[kept], weight[kept], np.zeros(is_open.sum()), np.zeros(self.width), spread)

    def list_true(self, worlds: Space) -> Space:
        """Worlds that are the truth, but for chains of which it is not known, or not as it is supposed to be."""
        truth, chain = np.concatenate(self._truth) @ worlds.spread, np.concatenate(self._chain) @ worlds.spread
        said = worlds.rows @ np.nan_to_num(truth)
        untrue = ((said < worlds.low - NEAR) | (said > worlds.high + NEAR)) & (worlds.weight <= SUPPOSED)
        lost = np.isnan(truth) | np.isin(chain, chain[worlds.rows[untrue].indices])
        said = worlds.rows[:, ~lost] @ truth[~lost]
        base, spread = worlds.spread @ np.where(lost, 0, truth), worlds.spread[:, lost]
        return Space(worlds.rows[:, lost], worlds.low - said, worlds.high - said, worlds.weight, np.zeros(lost.sum()), base, spread)

    def list_near(self, worlds: Space, world: np.ndarray, day: int, *, is_until: bool) -> Space:
        """Worlds in which every day from one on, or until one, differs from a world alike."""
        is_open = worlds.spread @ np.ones(worlds.spread.shape[1]) > 0
        is_moved = self.day <= day if is_until else self.day >= day
        spread = csr_array(self._moved.write(self._moves).multiply(is_moved[:, None]))
        spread.eliminate_zeros()
        spread = spread[:, (is_open @ spread > 0) & (~is_open @ spread == 0)]
        said, width = worlds.rows @ world[is_open], np.diff(spread.indptr)
        least = np.full(spread.shape[1], -np.inf)
        np.maximum.at(least, spread[width == 1].indices, -world[width == 1])
        rows = vstack([worlds.rows @ spread[is_open], spread[width > 1]], format="csr")
        rows.eliminate_zeros()  # what grows by as much on both days
        names = np.random.default_rng(0).random((rows.shape[1], 2)) @ [1, 1j]  # rows of several days that are one row of moves: of one name
        _, first, same = np.unique(np.round(rows @ names, 9), return_index=True, return_inverse=True)
        low, high = np.full(len(first), -np.inf), np.full(len(first), np.inf)
        np.maximum.at(low, same, np.concatenate([worlds.low - said, -world[width > 1]]))
        np.minimum.at(high, same[: len(said)], worlds.high - said)
        return Space(rows[first], np.minimum(low, 0), np.maximum(high, 0), np.full(len(first), GIVEN), least, world, spread)


def find_true(asked: Sequence[tuple[Program, Space]]) -> list[np.ndarray]:
    """Of each program a world that is as true as can be."""
    spaces = [program.list_true(worlds) for program, worlds in asked]
    true = [move for batch in _list_batches(spaces) for move in _solve_strictly(batch)]
    lost = iter(list(find_worlds([(worlds, worlds.base) for (_, worlds), move in zip(asked, true, strict=True) if move is None])))
    return [next(lost) if move is None else space.base + space.spread @ move for space, move in zip(spaces, true, strict=True)]


def find_worlds(asked: Sequence[tuple[Space, np.ndarray]]) -> Iterator[np.ndarray]:
    """Of each space the world of least cost; where there is none, rows of it are given up for good: as little weight as can be."""
    costs = iter([cost @ space.spread for space, cost in asked])
    for batch in _list_batches([space for space, _ in asked]):
        moves = _solve_together(batch, np.concatenate([next(costs) for _ in batch]))
        yield from (space.base + space.spread @ move for space, move in zip(batch, moves, strict=True))


def _list_batches(spaces: Sequence[Space]) -> Iterator[list[Space]]:
    batch: list[Space] = []
    for space in spaces:
        if batch and sum(len(s.least) for s in batch) + len(space.least) > _TOGETHER:
            yield batch
            batch = []
        batch.append(space)
    if batch:
        yield batch


def _solve_strictly(spaces: Sequence[Space]) -> list[np.ndarray | None]:
    """Moves that fit, None where nothing does."""
    rows, low, high, _, least = _join(spaces)
    found = _solve(rows, np.zeros(len(least)), low, high, least)
    if found is None:
        return [None] if len(spaces) == 1 else [move for space in spaces for move in _solve_strictly([space])]
    return _part(found, spaces)


def _solve_together(spaces: Sequence[Space], cost: np.ndarray) -> list[np.ndarray]:
    rows, low, high, weight, least = _join(spaces)
    found = _solve(rows, cost, low, high, least)
    if found is None:
        soft = np.flatnonzero(np.isfinite(weight))
        give = [csr_array((np.full(soft.size, by), (soft, np.arange(soft.size))), shape=(len(low), soft.size)) for by in (1.0, -1.0)]
        wide = np.concatenate([least, np.zeros(2 * soft.size)])
        given = _solve(csr_array(hstack([rows, *give])), np.concatenate([0 * cost, weight[soft], weight[soft]]), low, high, wide)
        if given is None:
            raise AssertionError("what the nation tells contradicts itself")
        more, less = np.split(given[len(cost):] > NEAR, 2)
        low[soft[more]], high[soft[less]] = -np.inf, np.inf
        at = np.cumsum([len(space.low) for space in spaces])[:-1]
        for space, lows, highs in zip(spaces, np.split(low, at), np.split(high, at), strict=True):
            space.low[:], space.high[:] = lows, highs
        found = _solve(rows, cost, low, high, least)
        assert found is not None  # noqa: S101
    return _part(found, spaces)


def _join(spaces: Sequence[Space]) -> tuple[csr_array, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    low, high, weight, least = (np.concatenate([getattr(space, of) for space in spaces]) for of in ("low", "high", "weight", "least"))
    return csr_array(block_diag([space.rows for space in spaces], format="csr")), low, high, weight, least


def _part(moves: np.ndarray, spaces: Sequence[Space]) -> list[np.ndarray]:
    return np.split(moves, np.cumsum([len(space.least) for space in spaces])[:-1])


def _solve(rows: csr_array, cost: np.ndarray, low: np.ndarray, high: np.ndarray, least: np.ndarray) -> np.ndarray | None:
    if not cost.size:
        return cost if (low <= NEAR).all() and (high >= -NEAR).all() else None
    from scipy.optimize import Bounds, LinearConstraint, milp  # heavy, and most nights of a settled nation ask nothing

    solved = milp(cost, constraints=LinearConstraint(rows, low, high), bounds=Bounds(least, np.inf))
    return None if solved.x is None else np.asarray(solved.x)
