"""Which cells of linear programs can be pinned to a small count.

A world tells of every cell at once: what is 0 in one, or more than small, or differs enough between two, is not pinned. So all cells in
doubt are made small together, then great, until a world tells nothing new, and only those that are left are asked one by one: first in
worlds near the truth, where it is known, then in all.
"""

from collections.abc import Sequence

import numpy as np

from pipelines.indicators.program import NEAR, Program, Space, find_true, find_worlds


class _Search:
    """What the worlds found so far say of the cells of a program."""

    def __init__(self, program: Program, small: int, least_width: int) -> None:
        self.program, self.worlds = program, program.list_worlds()
        self.cells = program.cells.write(program.width)
        self.day = program.day[self.cells.indices[self.cells.indptr[:-1]]]
        self._low, self._high = np.full(program.cells.count, np.inf), np.full(program.cells.count, -np.inf)
        self._small, self._least_width = small, least_width

    def look(self, world: np.ndarray) -> None:
        seen = self.cells @ world
        np.minimum(self._low, seen, out=self._low)
        np.maximum(self._high, seen, out=self._high)

    @property
    def doubtful(self) -> np.ndarray:
        is_wide = np.floor(self._high + NEAR) - np.ceil(self._low - NEAR) + 1 >= self._least_width
        return (self._low > NEAR) & (self._high < self._small + 1 - NEAR) & ~is_wide


def find_pinned(programs: Sequence[Program], small: int, least_width: int) -> list[np.ndarray]:
    """For each program, which of its cells are at least 1, at most `small`, and open to fewer than `least_width` values."""
    searches = [_Search(program, small, least_width) for program in programs]
    true = find_true([(search.program, search.worlds) for search in searches])
    for search, world in zip(searches, true, strict=True):
        search.look(world)
    for day in range(1 + max((int(search.day.max(initial=0)) for search in searches), default=0)):
        for is_until in (False, True):
            asked = [pair for pair in zip(searches, true, strict=True) if (pair[0].doubtful & ((pair[0].day == day) | (day == 0))).any()]
            _sift([(search, search.program.list_near(search.worlds, world, day, is_until=is_until)) for search, world in asked])
    _sift([(search, search.worlds) for search in searches])
    return _ask_each(searches)


def _sift(asked: Sequence[tuple[_Search, Space]]) -> None:
    """Look at worlds in which all that is in doubt is small, then great, then some small and some great, until they tell nothing new."""
    chance, signs = np.random.default_rng(0), ((1, 1), (-1, -1))
    left = [(search, space, search.doubtful.sum()) for search, space in asked]
    while left := [of for of in left if of[2]]:
        for sign in signs:
            _ask([(s, space, s.doubtful * chance.choice(sign, len(s.day)) * chance.uniform(0.5, 1, len(s.day))) for s, space, _ in left])
        left = [(search, space, now) for search, space, before in left if (now := search.doubtful.sum()) < before]
        signs = ((1, -1), (1, -1))


def _ask_each(searches: Sequence[_Search]) -> list[np.ndarray]:
    """What stays in doubt when each cell is asked alone, one of every program at a time, as they do not touch one another."""
    pinned = [np.zeros(len(search.day), bool) for search in searches]
    while asked := [(search, of, np.flatnonzero(left)[0]) for search, of in zip(searches, pinned, strict=True) if (left := search.doubtful & ~of).any()]:
        for sign in (1, -1):
            _ask([(search, search.worlds, sign * search.doubtful * (np.arange(len(of)) == cell)) for search, of, cell in asked])
        for search, of, cell in asked:
            of[cell] = search.doubtful[cell]
    return pinned


def _ask(asked: Sequence[tuple[_Search, Space, np.ndarray]]) -> None:
    """Look at the world of each space in which the weighted cells are least."""
    weighed = [(search, space, weights) for search, space, weights in asked if weights.any()]
    worlds = find_worlds([(space, weights @ search.cells) for search, space, weights in weighed])
    for (search, *_), world in zip(weighed, worlds, strict=True):
        search.look(world)
