"""Which cells of a linear program are pinned to a small count.

A world tells of every cell at once: what is 0 in one, or more than small, or differs enough between two, is not pinned. So all cells in
doubt are made small together, then great, until a world tells nothing new, and only those that are left are asked one by one: first in
worlds near the truth, then in all.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from pipelines.indicators.program import NEAR, Program, Space, find_world

_WORTH = 0.6
"""Worlds are looked for again as long as no more than this share of what was in doubt is left."""


def find_pinned(program: Program, small: int, least_width: int, most: float = np.inf) -> np.ndarray:
    """Which cells are at least 1, at most `small`, and open to fewer than `least_width` values.

    Of groups of more than `most` open counts also those of which no world near the truth shows that they are not.
    """
    search, worlds = _Search(program, small, least_width), program.list_worlds()
    true = program.find_true(worlds)
    search.look(true)
    for times in (0, 2, 4):
        days = np.unique(search.day[search.doubtful])
        picked = days[np.unique(np.linspace(0, len(days) - 1, times).astype(int))] if len(days) else days
        search.sift(partial(program.list_near, worlds, true, begins=np.union1d(0, picked)))
    many = np.flatnonzero(np.bincount((worlds.spread @ np.ones(worlds.spread.shape[1]) > 0) * program.group) > most)
    in_doubt = search.give_up(many)
    search.sift(partial(program.list_other, worlds, true))
    return in_doubt | search.ask_each(partial(program.list_other, worlds, true))


class _Search:
    """What the worlds found so far say of the cells of a program."""

    def __init__(self, program: Program, small: int, least_width: int) -> None:
        self._cells = program.write_cells()
        first = self._cells.indices[self._cells.indptr[:-1]]
        self.day, self._group = program.day[first], program.group[first]
        self._low, self._high = np.full(len(self.day), np.inf), np.full(len(self.day), -np.inf)
        self._small, self._least_width, self._chance = small, least_width, np.random.default_rng(0)

    @property
    def doubtful(self) -> np.ndarray:
        is_wide = np.floor(self._high + NEAR) - np.ceil(self._low - NEAR) + 1 >= self._least_width
        return (self._low > NEAR) & (self._high < self._small + 1 - NEAR) & ~is_wide

    def give_up(self, groups: np.ndarray) -> np.ndarray:
        """What is in doubt of groups, and no longer asked."""
        in_doubt = self.doubtful & np.isin(self._group, groups)
        self._low[in_doubt] = 0
        return in_doubt

    def look(self, world: np.ndarray) -> None:
        seen = self._cells @ world
        np.minimum(self._low, seen, out=self._low)
        np.maximum(self._high, seen, out=self._high)

    def sift(self, list_worlds: Callable[[np.ndarray], Space]) -> None:
        """Look at worlds in which all that is in doubt is small, then great, then some small and some great, until they tell nothing new."""
        before, signs = len(self.day) + 1, ((1, 1), (-1, -1))
        while 0 < (left := self.doubtful.sum()) < _WORTH * before:
            before = left
            for sign in signs:
                self._ask(list_worlds, self._chance.choice(sign, len(self.day)) * self._chance.uniform(0.5, 1, len(self.day)))
            signs = ((1, -1), (1, -1))

    def ask_each(self, list_worlds: Callable[[np.ndarray], Space]) -> np.ndarray:
        """What stays in doubt when each cell is asked alone; cells of several groups, as they do not touch one another, at once."""
        pinned = np.zeros(len(self.day), bool)
        while (left := np.flatnonzero(self.doubtful & ~pinned)).size:
            asked = np.isin(np.arange(len(pinned)), left[np.unique(self._group[left], return_index=True)[1]])
            for sign in (1, -1):
                self._ask(list_worlds, sign * asked)
            pinned |= asked & self.doubtful
        return pinned

    def _ask(self, list_worlds: Callable[[np.ndarray], Space], weights: np.ndarray) -> None:
        """Look at the world in which the weighted cells in doubt are least, of the groups that they are of."""
        if (weighed := weights * self.doubtful).any():
            self.look(find_world(list_worlds(np.unique(self._group[weighed != 0])), weighed @ self._cells))
