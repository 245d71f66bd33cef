"""The judge of the rule that hides (law 9): a linear program of all that a reader knows, over the counts that nobody tells.

Unknown are the children by region, stratum, age band and sex on each day on which regions were told. The nation is known exactly; a
region's cells are shown, hidden or not told at all; bands and sexes add up to all, strata are covered by the whole of them, numerators by
their denominators; counts of a year only grow, unless what was told cannot be so. Recovered is each count of a region, whether it has a
cell or not, that is pinned to a small one: at least 1, at most small, fewer than LEAST_WIDTH values.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple

import numpy as np
import polars as pl

from pipelines.indicators.disclose import ALL, LEAST_WIDTH, Limits
from pipelines.indicators.known import FALLING, LINKED, Known, Strata, read_known
from pipelines.indicators.program import GIVEN, SUPPOSED, Program
from pipelines.indicators.search import find_pinned

_TOGETHER = 2_000
"""Unknown counts from which groups are tried as one program: one of fewer costs less than its start."""


class Counts(NamedTuple):
    """Unknown counts on a day, of a stratum or of strata that share them."""

    column: int
    day: int
    strata: list[int]
    bands: list[int]  # which they are by
    numbers: np.ndarray  # region x band x sex (one, where the nation's sexes are unknown)
    nation: np.ndarray  # band x sex, nan where unknown


def attack_release(published: pl.DataFrame, limits: Limits, counted: pl.DataFrame | None = None) -> tuple[int, int]:
    """(counts of regions tried, counts recovered) of published.indicator of one or more releases; `counted` as of `read_known`."""
    found = list(_try_groups(published, limits, counted))
    return sum(len(pinned) for _, pinned in found), sum(int(pinned.sum()) for _, pinned in found)


def find_recovered(published: pl.DataFrame, limits: Limits, counted: pl.DataFrame | None = None) -> list[tuple[str, int, str, str]]:
    """Groups of linked strata (indicator, year of birth, stratum or all) and their strata, of which a count is recovered."""
    found = {names[number] for names, pinned in _try_groups(published, limits, counted) for number in np.flatnonzero(pinned)}
    return sorted(found)


def _try_groups(
    published: pl.DataFrame, limits: Limits, counted: pl.DataFrame | None
) -> Iterator[tuple[list[tuple[str, int, str, str]], np.ndarray]]:
    """The group and stratum of each count tried, and which are recovered; of groups that are tried side by side."""
    program, names = Program(), list[tuple[str, int, str, str]]()
    for known in read_known(published, counted):
        if program.width > _TOGETHER:
            yield names, find_pinned(program, limits.small, LEAST_WIDTH)
            program, names = Program(), []
        if not _has_no_small(known, limits):
            names += [(*known.name, stratum) for stratum in write_program(program, known, limits)]
    yield names, find_pinned(program, limits.small, LEAST_WIDTH)


def _has_no_small(known: Known, limits: Limits) -> bool:
    """Whether no count of any region, however it is added up, is a small one, on any day."""
    sums = [known.truth.sum(axis=axis) for axis in ((), -1, -2, (-1, -2))]
    return not any((np.isnan(counts) | (counts > 0) & (counts <= limits.small)).any() for counts in sums)


def write_program(program: Program, known: Known, limits: Limits) -> Iterator[str]:
    """All that limits the counts of a group, and as cells each that may be small and is not shown: the stratum of each."""
    program.begin_group()
    before: dict[tuple[int, str], Counts] = {}
    moves = program.add_moves(2, len(known.strata) + 1, *known.truth.shape[-3:])
    for day in range(known.total.shape[1]):
        now = dict(_add_day(program, known, day, moves))
        for (column, stratum), counts in now.items():
            _limit_by_nation(program, known, counts)
            _limit_by_telling(program, known, counts, limits)
            if (column, stratum) in before and (column, stratum) not in FALLING.get(known.name[0], ()):
                _limit_by_growth(program, before[column, stratum], counts)
            for cells in _list_cells(known, counts):
                program.ask(cells)
                yield from [stratum] * len(cells)
        _limit_by_relation(program, known, now.values())
        before |= now


def _add_day(program: Program, known: Known, day: int, moves: np.ndarray) -> Iterator[tuple[tuple[int, str], Counts]]:
    """Counts of a day by column and stratum; of a denominator that strata share under all."""
    nation, told, rest = known.nation[:, day], known.told[:, day], known.nation.shape[-2] - 1
    is_known, is_told = ~np.isnan(nation[..., 0, 0]), ~np.isnan(told).all(axis=-1)
    there, related = np.flatnonzero((is_known | is_told.any(axis=-1)).any(axis=0)).tolist(), LINKED.get(known.name[0])
    peopled = np.flatnonzero(np.nansum(nation, axis=(0, 1, 3)) > 0).tolist() or [rest]
    for column in (0, 1):
        is_shared = bool(column and related and related.is_one_denominator)
        for strata in [there] if is_shared else [[s] for s in there]:
            moved = moves[column, -1 if is_shared else strata[0]]
            chain, exact = int(moved.min()), [s for s in strata if is_known[column, s]]
            if exact:
                bands, of_nation = peopled, nation[column, exact[0]][peopled]
                numbers = program.add_counts(chain, day, known.truth[column, day, exact[0]][:, bands], moved[:, bands, :, None])
            else:
                bands = [*np.flatnonzero(is_told[column, strata, 1:].any(axis=0)).tolist(), rest]
                others = [band for band in range(rest + 1) if band not in bands[:-1]]
                each = [moved[:, others if band == rest else [band]].reshape(len(moved), 1, 1, -1) for band in bands]
                numbers = np.hstack([program.add_counts(chain, day, np.full(of.shape[:3], np.nan), of) for of in each])
                of_nation = np.full((len(bands), 1), np.nan)
            yield (column, ALL if is_shared else known.strata[strata[0]]), Counts(column, day, strata, bands, numbers, of_nation)


def _list_tables(known: Known, counts: Counts) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Of each table that was told that day (0 = all bands): its counts, a row a region; what is shown of each; its total."""
    for table in range(known.told.shape[3]):
        if not table or table - 1 in counts.bands:
            numbers = counts.numbers[:, [counts.bands.index(table - 1)]] if table else counts.numbers
            told = {shown.tobytes(): shown for shown in known.told[counts.column, counts.day, counts.strata, table]}.values()
            for shown in told:
                if not np.isnan(shown).all():
                    yield table, numbers.reshape(len(numbers), -1), shown


def _limit_by_nation(program: Program, known: Known, counts: Counts) -> None:
    if not np.isnan(counts.nation).any():
        program.limit(counts.numbers.reshape(len(counts.numbers), -1).T, counts.nation.ravel(), counts.nation.ravel(), weight=GIVEN)
    else:
        for table, numbers, _ in _list_tables(known, counts):
            total = np.nanmax(known.total[counts.column, counts.day, counts.strata, table])
            program.limit(numbers.reshape(1, -1), total, total, weight=GIVEN)


def _limit_by_telling(program: Program, known: Known, counts: Counts, limits: Limits) -> None:
    reach = limits.rounding // 2
    for _, numbers, shown in _list_tables(known, counts):
        is_some, is_none = shown > 0, shown == 0
        program.limit(numbers[is_some], np.maximum(shown[is_some] - reach, limits.small + 1), shown[is_some] + reach)
        program.limit(numbers[is_none], 0, 0, weight=GIVEN)
        if is_none.any():
            program.limit(numbers[shown < 0], 1, np.inf)


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


def _limit_by_relation(program: Program, known: Known, counts: Collection[Counts]) -> None:
    """Parts are covered by their whole, and each other stratum where it covers them too; a numerator by its denominator."""
    related = LINKED.get(known.name[0], Strata(()))
    x, n = ({known.strata[s]: c for c in counts if c.column == column for s in c.strata} for column in (0, 1))
    covered = [([part], n.get(name)) for name, part in x.items()]
    for of in (x,) if related.is_one_denominator else (x, n):
        whole = of.get(related.whole) if related.whole else next(iter(n.values()), None)
        covered.append(([of[name] for name in related.parts if name in of], whole))
    if related.is_covering and related.whole:
        covered.extend(([part], x.get(related.whole)) for name, part in x.items() if name not in {*related.parts, related.whole})
    for parts, whole in covered:
        if parts and whole:
            is_alike = all((p.bands, p.numbers.shape) == (whole.bands, whole.numbers.shape) for p in parts)
            each, to = ([c.numbers.reshape((-1, 1) if is_alike else (len(c.numbers), -1)) for c in cs] for cs in (parts, [whole]))
            program.limit(np.hstack(each), -np.inf, 0, less=to[0], weight=GIVEN)


def _list_cells(known: Known, counts: Counts) -> Iterator[np.ndarray]:
    """Counts of each region by band and sex, by band, by sex and of all, where the nation has any and none is shown."""
    shown = np.full((counts.nation.shape[0] + 1, len(counts.numbers)), np.nan)
    for table, _, told in _list_tables(known, counts):
        row = counts.bands.index(table - 1) + 1 if table else 0
        shown[row] = np.fmax(shown[row], told)
    is_any, (_, bands, sexes) = shown[0] != 0, counts.numbers.shape
    of_all, by_band, by_sex = counts.numbers[~(shown[0] >= 0)], counts.numbers[is_any].transpose(1, 0, 2), counts.numbers[is_any].transpose(2, 0, 1)
    yield of_all.reshape(-1, bands * sexes)
    if bands > 1:
        yield from (of[~(shown[band + 1, is_any] >= 0)] for band, of in enumerate(by_band) if counts.nation[band].sum() != 0)
    if sexes > 1:
        yield from (of for sex, of in enumerate(by_sex) if counts.nation[:, sex].sum() != 0)
    if bands > 1 and sexes > 1:
        yield by_band.transpose(0, 2, 1)[counts.nation != 0].reshape(-1, 1)
