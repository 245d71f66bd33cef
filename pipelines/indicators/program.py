"""A linear program over unknown counts: all that is known of them, as limits on sums; a solution is a world that a reader must think possible.

What is true is a world too, and saves time: worlds in which every day differs from it alike are sought in a program as small as that of one day.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array, eye_array, hstack, vstack

GIVEN, SURE, SUPPOSED = np.inf, 1000.0, 1.0
"""How hard a row is given up where no world fits all of them: never; only when what is supposed does not explain it; at once."""
NEAR = 1e-4
"""What a solver's numbers may be off."""


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
        self._rows, self._cells, self._moved = Sums(), Sums(), Sums()
        self._moves = 0
        self._limits, self._truth = [np.zeros((3, 0))], [np.zeros(0)]
        self._chain, self._day, self._group = [np.zeros(0, int)], [np.zeros(0, int)], [np.zeros(0, int)]
        self._groups = 0

    @property
    def width(self) -> int:
        """How many unknown counts there are."""
        return self._moved.count

    @property
    def day(self) -> np.ndarray:
        """The day of each unknown count."""
        return np.concatenate(self._day)

    @property
    def group(self) -> np.ndarray:
        """The group of each unknown count."""
        return np.concatenate(self._group)

    def begin_group(self) -> None:
        """What is added from now on has to do with nothing that was added before."""
        self._groups += 1

    def add_moves(self, *shape: int) -> np.ndarray:
        """Numbers of new moves: by what a world near the truth may differ from it on each day."""
        self._moves += int(np.prod(shape))
        return np.arange(self._moves - int(np.prod(shape)), self._moves).reshape(shape)

    def add_counts(self, chain: int, day: int, truth: np.ndarray, moves: np.ndarray) -> np.ndarray:
        """Numbers of new unknown counts, in the shape of their truth (nan where unknown); the moves of each are along the last axis.

        `chain`: of all days the counts that may be wrong about one another.
        """
        numbers = np.arange(self.width, self.width + truth.size).reshape(truth.shape)
        for of, value in ((self._chain, chain), (self._day, day), (self._group, self._groups)):
            of.append(np.full(truth.size, value))
        self._truth.append(truth.ravel())
        self._moved.add(moves.reshape(truth.size, -1))
        return numbers

    def limit(
        self, counts: np.ndarray, low: np.ndarray | float, high: np.ndarray | float, less: np.ndarray | None = None, weight: float = SURE
    ) -> None:
        """Each row of counts, less the row of `less`, sums up to something between the limits."""
        self._rows.add(counts, less)
        limits = np.empty((3, len(counts)))
        limits[0], limits[1], limits[2] = low, high, weight
        self._limits.append(limits)

    def ask(self, counts: np.ndarray) -> None:
        """Each row of counts is a cell."""
        self._cells.add(counts)

    def write_cells(self) -> csr_array:
        """Cells over counts."""
        return self._cells.write(self.width)

    def list_worlds(self) -> Space:
        """All worlds, over the counts that are not 0 in each of them."""
        rows, (low, high, weight) = self._rows.write(self.width), np.concatenate(self._limits, axis=1)
        more, less, is_open = csr_array(rows > 0), csr_array(rows < 0), np.ones(self.width, bool)
        while (closed := is_open & (((high <= 0) & (weight == GIVEN) & ~(less @ is_open)) @ more)).any():
            is_open &= ~closed
        rows = rows[:, is_open]
        kept = np.diff(rows.indptr) > 0
        spread = eye_array(self.width, format="csr")[:, is_open]
        return Space(rows[kept], low[kept], high[kept], weight[kept], np.zeros(is_open.sum()), np.zeros(self.width), spread)

    def find_true(self, worlds: Space) -> np.ndarray:
        """A world that is the truth, but for chains of which it is not known, or not such as it is supposed to be."""
        truth, chain = np.concatenate(self._truth) @ worlds.spread, np.concatenate(self._chain) @ worlds.spread
        said = worlds.rows @ np.nan_to_num(truth)
        untrue = ((said < worlds.low - NEAR) | (said > worlds.high + NEAR)) & (worlds.weight <= SUPPOSED)
        lost = np.isnan(truth) | np.isin(chain, chain[worlds.rows[untrue].indices])
        said = worlds.rows[:, ~lost] @ truth[~lost]
        found = solve(worlds.rows[:, lost], np.zeros(lost.sum()), worlds.low - said, worlds.high - said, np.zeros(lost.sum()))
        if found is None:
            return find_world(worlds, worlds.base)
        truth[lost] = found
        return worlds.spread @ truth

    def list_other(self, worlds: Space, world: np.ndarray, groups: np.ndarray) -> Space:
        """Worlds that differ from a world in some groups only."""
        is_free = np.isin(self.group, groups)
        of = is_free @ worlds.spread > 0
        rows = worlds.rows[:, of]
        kept = np.diff(rows.indptr) > 0
        low, high, weight = worlds.low[kept], worlds.high[kept], worlds.weight[kept]
        return Space(rows[kept], low, high, weight, np.zeros(of.sum()), np.where(is_free, 0, world), worlds.spread[:, of])

    def list_near(self, worlds: Space, world: np.ndarray, groups: np.ndarray, begins: np.ndarray) -> Space:
        """Worlds that differ from a world in some groups only, on all days between two beginnings alike."""
        is_open, moved = worlds.spread @ np.ones(worlds.spread.shape[1]) > 0, self._moved.write(self._moves)
        is_free = np.isin(self.group, groups)
        spread = hstack([moved.multiply((is_free & (self.day >= begin))[:, None]) for begin in begins], format="csr")
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


def find_world(space: Space, cost: np.ndarray) -> np.ndarray:
    """The world of least cost; where there is none, rows are given up for good: as few children against as little weight as can be."""
    moved = solve(space.rows, cost @ space.spread, space.low, space.high, space.least)
    if moved is None:
        soft, width = np.flatnonzero(np.isfinite(space.weight)), space.rows.shape[1]
        give = [csr_array((np.full(soft.size, by), (soft, np.arange(soft.size))), shape=(len(space.low), soft.size)) for by in (1.0, -1.0)]
        prices, least = np.concatenate([np.zeros(width), *[space.weight[soft]] * 2]), np.concatenate([space.least, np.zeros(2 * soft.size)])
        given = solve(csr_array(hstack([space.rows, *give])), prices, space.low, space.high, least)
        if given is None:
            raise AssertionError("what is told of the nation contradicts itself")
        more, less = np.split(given[width:] > NEAR, 2)
        space.low[soft[more]], space.high[soft[less]] = -np.inf, np.inf
        return space.base + space.spread @ given[:width]
    return space.base + space.spread @ moved


def solve(rows: csr_array, cost: np.ndarray, low: np.ndarray, high: np.ndarray, least: np.ndarray) -> np.ndarray | None:
    """Moves from `least` on, of least cost, whose sums lie between limits; None where there are none."""
    if not cost.size:
        return cost if (low <= NEAR).all() and (high >= -NEAR).all() else None
    from scipy.optimize import Bounds, LinearConstraint, milp  # heavy, and on most nights there is nothing to ask

    solved = milp(cost, constraints=LinearConstraint(rows, low, high), bounds=Bounds(least, np.inf))
    return None if solved.x is None else np.asarray(solved.x)
