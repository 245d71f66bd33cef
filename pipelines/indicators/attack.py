"""The judge of the rule that hides (law 9): a linear program of all that a reader knows, over the counts that nobody tells.

Unknown are the children by region, age band and sex of each count of a family, on each day on which regions were told. The nation is known
exactly; a region's cells are shown, hidden or not told at all, by a rule that is known; bands and sexes add up to all, strata are covered by
the whole of them, numerators by their denominators; counts of a year only grow, unless what was told cannot be so. Recovered is each count of
a region, whether it has a cell or not, that is pinned to a small one: at least 1, at most small, fewer than LEAST_WIDTH values.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import polars as pl

from pipelines.indicators.disclose import LEAST_WIDTH, Limits, bound_cells
from pipelines.indicators.known import FAMILIES, Family, Known, read_known
from pipelines.indicators.program import GIVEN, SUPPOSED, SURE, Program
from pipelines.indicators.search import find_pinned

_TOGETHER = 2_000
"""Unknown counts from which groups are tried as one program: one of fewer costs less than its start."""
_ASKED = 300
"""Open counts of a group that a night asks about to the end."""


class Telling(NamedTuple):
    """A table of regions of a day: its counts, a row a region; its cells (-1 = hidden); its total."""

    band: int | None  # place among the bands, None = all of them
    numbers: np.ndarray
    shown: np.ndarray
    total: float


class Counts(NamedTuple):
    """Unknown counts of the same children on a day."""

    numbers: np.ndarray  # region x band x sex (one, where the nation's sexes are unknown)
    bands: list[int]  # which they are by
    nation: np.ndarray  # band x sex, nan where unknown
    tellings: list[Telling]


def attack_release(published: pl.DataFrame, limits: Limits, counted: pl.DataFrame | None = None) -> tuple[int, int]:
    """(counts of regions tried, counts recovered) of published.indicator of one or more releases; `counted` as of `read_known`."""
    found = list(_try_groups(published, limits, counted))
    return sum(len(pinned) for _, pinned in found), sum(int(pinned.sum()) for _, pinned in found)


def find_recovered(
    published: pl.DataFrame, limits: Limits, counted: pl.DataFrame | None = None, asked: pl.DataFrame | None = None
) -> list[tuple[str, int, str, str, str]]:
    """Groups asked about (family, year of birth, stratum or all) and their tables (indicator, stratum) of which a count is, or may be, recovered.

    Of many counts it is not asked to the end: that takes time that a night has not.
    """
    tried = _try_groups(published, limits, counted, _ASKED, asked)
    cells = {names[number] for names, pinned in tried for number in np.flatnonzero(pinned)}
    return sorted({(*group, *table) for group, tables in cells for table in tables})


Cell = tuple[tuple[str, int, str], tuple[tuple[str, str], ...]]
"""The group of a count that is tried, and the tables that it is of."""


def _try_groups(
    published: pl.DataFrame, limits: Limits, counted: pl.DataFrame | None, most: float = np.inf, asked: pl.DataFrame | None = None
) -> Iterator[tuple[list[Cell], np.ndarray]]:
    """What each count tried is of, and which are recovered; of groups that are tried side by side."""
    program, cells = Program(), list[Cell]()
    for known in read_known(published, counted, asked):
        if program.width > _TOGETHER:
            yield cells, find_pinned(program, limits.small, LEAST_WIDTH, most)
            program, cells = Program(), []
        if not _has_no_small(known, limits):
            tables = {name: tuple(t for t, of in zip(known.tables, known.counted, strict=True) if of == name) for name in known.counted}
            cells += [(known.name, tables[name]) for name in write_program(program, known, limits)]
    yield cells, find_pinned(program, limits.small, LEAST_WIDTH, most)


def _has_no_small(known: Known, limits: Limits) -> bool:
    """Whether no count of any region, however it is added up, is a small one, on any day."""
    sums = [known.truth.sum(axis=axis) for axis in ((), -1, -2, (-1, -2))]
    return not any((np.isnan(counts) | (counts > 0) & (counts <= limits.small)).any() for counts in sums)


def write_program(program: Program, known: Known, limits: Limits) -> Iterator[str]:
    """All that limits the counts of a group, and as cells each that may be small and is not shown: what is counted of each."""
    program.begin_group()
    family, names = FAMILIES.get(known.name[0], Family({})), sorted({*known.counted})
    moves = dict(zip(names, program.add_moves(len(names), *known.truth.shape[-3:]), strict=True))
    covers = list(_list_covers(family, known.counted))
    before: dict[str, Counts] = {}
    for day in range(known.nation.shape[1]):
        now = dict(_add_day(program, known, day, moves))
        for name, counts in now.items():
            _limit_by_nation(program, counts)
            _limit_by_telling(program, counts, limits)
            if name in before and name not in family.falls:
                _limit_by_growth(program, before[name], counts)
            for cells in _list_cells(counts):
                program.ask(cells)
                yield from [name] * len(cells)
        for whole, parts, weight in covers:
            if whole in now:
                _limit_by_sum(program, [now[part] for part in parts if part in now], [now[whole]], weight)
        for whole, parts in family.unions:
            if whole in now and (not np.isnan(now[whole].nation).any() or now.keys() >= {*parts}):  # else what is missing may be of any
                _limit_by_sum(program, [now[whole]], [now[part] for part in parts if part in now])
        before |= now


def _list_covers(family: Family, counted: list[str]) -> Iterator[tuple[str, tuple[str, ...], float]]:
    """Each whole, children of it that are apart from one another, and how sure that is."""
    unions = tuple((whole, (part,)) for whole, parts in family.unions for part in parts)
    for covers, weight in ((family.parts + unions, SURE), (family.supposed, SUPPOSED)):
        yield from ((whole, parts, weight) for whole, parts in covers)
    pairs = {*zip(counted[: len(counted) // 2], counted[len(counted) // 2 :], strict=True)}
    yield from sorted((denominator, (numerator,), SURE) for numerator, denominator in pairs)
    if family.whole:
        those = {family.whole, *(part for _, parts in family.parts for part in parts), *(denominator for _, denominator in pairs)}
        yield from ((family.whole, (name,), SURE) for name in sorted({*counted} - those))


def _add_day(program: Program, known: Known, day: int, moves: Mapping[str, np.ndarray]) -> Iterator[tuple[str, Counts]]:
    """Counts of a day by what is counted."""
    nation, told, rest = known.nation[:, day], known.told[:, day], known.nation.shape[2] - 1
    is_known, is_told = ~np.isnan(nation[:, 0, 0]), ~np.isnan(told).all(axis=-1)
    peopled = np.flatnonzero(np.nansum(nation, axis=(0, 2)) > 0).tolist() or [rest]
    for name, moved in moves.items():
        rows = [row for row, of in enumerate(known.counted) if of == name]
        exact = [row for row in rows if is_known[row]]
        if exact:
            bands, of_nation = peopled, nation[exact[0]][peopled]
            numbers = program.add_counts(int(moved.min()), day, known.truth[exact[0], day][:, bands], moved[:, bands, :, None])
        elif is_told[rows].any():
            bands = [*np.flatnonzero(is_told[rows, 1:].any(axis=0)).tolist(), rest]
            others = [band for band in range(rest + 1) if band not in bands[:-1]]
            each = [moved[:, others if band == rest else [band]].reshape(len(moved), 1, 1, -1) for band in bands]
            numbers = np.hstack([program.add_counts(int(moved.min()), day, np.full(of.shape[:3], np.nan), of) for of in each])
            of_nation = np.full((len(bands), 1), np.nan)
        else:
            continue
        yield name, Counts(numbers, bands, of_nation, list(_list_tellings(known, day, rows, bands, numbers)))


def _list_tellings(known: Known, day: int, rows: list[int], bands: list[int], numbers: np.ndarray) -> Iterator[Telling]:
    """Tables that were told that day, each once, however often it was."""
    for table in range(known.told.shape[2]):
        if not table or table - 1 in bands:
            band = bands.index(table - 1) if table else None
            of = (numbers if band is None else numbers[:, band]).reshape(len(numbers), -1)
            for row, shown in {known.told[row, day, table].tobytes(): (row, known.told[row, day, table]) for row in rows}.values():
                if not np.isnan(shown).all():
                    yield Telling(band, of, shown, known.total[row, day, table])


def _limit_by_nation(program: Program, counts: Counts) -> None:
    if not np.isnan(counts.nation).any():
        program.limit(counts.numbers.reshape(len(counts.numbers), -1).T, counts.nation.ravel(), counts.nation.ravel(), weight=GIVEN)
    else:
        for telling in counts.tellings:
            program.limit(telling.numbers.reshape(1, -1), telling.total, telling.total, weight=GIVEN)


def _limit_by_telling(program: Program, counts: Counts, limits: Limits) -> None:
    for _, numbers, shown, total in counts.tellings:
        bounds = bound_cells([int(cell) if cell >= 0 else None for cell in shown], int(total), limits)
        low, high = np.array(bounds, dtype=float).T
        is_some, is_none, is_hidden = shown > 0, shown == 0, shown < 0
        program.limit(numbers[is_some], low[is_some], high[is_some])
        program.limit(numbers[is_none], 0, 0, weight=GIVEN)
        if (low[is_hidden] > 0).any():
            program.limit(numbers[is_hidden], 1, np.inf)
        if (high[is_hidden] < total).any():
            program.limit(numbers[is_hidden], -np.inf, limits.small, weight=SUPPOSED)


def _limit_by_growth(program: Program, old: Counts, new: Counts) -> None:
    """Counts only grow, by sex where the nation's are known on both days; but not those that fall in the nation."""
    is_by_sex = not np.isnan(old.nation).any() and not np.isnan(new.nation).any()
    grew = old.nation.sum(axis=0) <= new.nation.sum(axis=0) if is_by_sex else np.ones(1, bool)
    sides = []
    for counts in (old, new):
        numbers = counts.numbers if is_by_sex else counts.numbers.reshape(len(counts.numbers), -1, 1)
        numbers = numbers[..., grew].transpose(0, 2, 1)
        sides.append(numbers.reshape(-1, numbers.shape[-1]))
    program.limit(sides[0], -np.inf, 0, less=sides[1], weight=SUPPOSED)


def _limit_by_sum(program: Program, few: list[Counts], many: list[Counts], weight: float = SURE) -> None:
    """Some together are no more than others together, by band and sex where all of them are; nobody supposes it against the nation's counts."""
    if few and many and (weight == SURE or np.all(sum(c.nation for c in few) <= sum(c.nation for c in many))):
        is_alike = all((c.bands, c.numbers.shape) == (few[0].bands, few[0].numbers.shape) for c in few + many)
        less, more = (np.hstack([c.numbers.reshape((-1, 1) if is_alike else (len(c.numbers), -1)) for c in cs]) for cs in (few, many))
        program.limit(less, -np.inf, 0, less=more, weight=weight)


def _list_cells(counts: Counts) -> Iterator[np.ndarray]:
    """Counts of each region by band and sex, by band, by sex and of all, where the nation has any and none is shown."""
    numbers, nation = counts.numbers, counts.nation
    shown = np.full((len(nation) + 1, len(numbers)), np.nan)
    for telling in counts.tellings:
        row = 0 if telling.band is None else telling.band + 1
        shown[row] = np.fmax(shown[row], telling.shown)
    is_any, (_, bands, sexes) = shown[0] != 0, numbers.shape
    of_all, by_band, by_sex = numbers[~(shown[0] >= 0)], numbers[is_any].transpose(1, 0, 2), numbers[is_any].transpose(2, 0, 1)
    yield of_all.reshape(-1, bands * sexes)
    if bands > 1:
        yield from (of[~(shown[band + 1, is_any] >= 0)] for band, of in enumerate(by_band) if nation[band].sum() != 0)
    if sexes > 1:
        yield from (of for sex, of in enumerate(by_sex) if nation[:, sex].sum() != 0)
    if bands > 1 and sexes > 1:
        yield by_band.transpose(0, 2, 1)[nation != 0].reshape(-1, 1)
