"""What a reader can work out of published counts: a linear program over every telling and every linked table (law 9).

Not the rule that hides (disclose, release), but its judge: it knows only what is published, and tries to bound each hidden cell.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from scipy.optimize import linprog
from scipy.sparse import coo_array

from pipelines.indicators.disclose import ALL, LEAST_WIDTH, NATION, TABLE, Limits, bound_cell
from pipelines.indicators.release import Told

LINKED: Mapping[str, tuple[str | None, tuple[str, ...]]] = {
    "consent": (None, ("given", "refused", "withdrawn", "pending")),
    "impairment": ("all", ("physical", "mental", "complex")),
}
"""Indicator -> the stratum whose numerator is the sum of the others' in every region; None = its denominator."""


class Program(NamedTuple):
    """Cells with bounds, and equations over them: (cells with factor, total)."""

    bounds: list[tuple[float, float]]
    equal: list[tuple[dict[int, float], float]]
    at_most: list[tuple[dict[int, float], float]]


Sums = Sequence[tuple[int, Sequence[int]]]
"""(table, its parts) by position."""


def list_recovered(tables: Sequence[Sequence[Told]], limits: Limits, sums: Sums = (), covers: Sums = ()) -> int:
    """How many hidden cells a reader can pin to a small count: at least 1, at most `small`, fewer than `LEAST_WIDTH` values.

    `tables`: each a list of tellings, oldest first, of counts that only grow; in the newest telling each region
    of a table is the sum of its parts (`sums`), or at least that (`covers`).
    """
    program, cells = _write_program(tables, limits, sums, covers)
    if not _is_possible(program):
        program.at_most.clear()  # counts went down somewhere: the tellings are not linked
    solver = _Solver(program)
    hidden = [first + i for told, first in cells for i, shown in enumerate(told.shown) if shown is None]
    return sum(_is_pinned(solver, cell, limits) for cell in hidden)


def _is_pinned(solver: "_Solver", cell: int, limits: Limits) -> bool:
    low = solver.bound(cell, 1.0)
    if low is None or low < 1:
        return False
    high = solver.bound(cell, -1.0)
    return high is not None and high <= limits.small and high - low + 1 < LEAST_WIDTH


def _write_program(
    tables: Sequence[Sequence[Told]], limits: Limits, sums: Sums, covers: Sums
) -> tuple[Program, list[tuple[Told, int]]]:
    program, cells, newest = Program([], [], []), [], []
    for tellings in tables:
        before: int | None = None
        for told in tellings:
            first, width = len(program.bounds), len(told.shown)
            program.bounds.extend(bound_cell(shown, told.total, limits) for shown in told.shown)
            program.equal.append(({first + i: 1.0 for i in range(width)}, float(told.total)))
            if before is not None:
                program.at_most.extend(({before + i: 1.0, first + i: -1.0}, 0.0) for i in range(width))
            cells.append((told, first))
            before = first
        newest.append(before or 0)
    for linked, rows in ((sums, program.equal), (covers, program.at_most)):
        for whole, parts in linked:
            width = len(tables[whole][-1].shown)
            rows.extend(({newest[whole] + i: -1.0, **{newest[p] + i: 1.0 for p in parts}}, 0.0) for i in range(width))
    return program, cells


class _Solver:
    """The program, written once, asked for the least (sign 1) or greatest (-1) value of its cells."""

    def __init__(self, program: Program) -> None:
        self.bounds, width = program.bounds, len(program.bounds)
        self.equal, self.at_most = _write_rows(program.equal, width), _write_rows(program.at_most, width)

    def bound(self, cell: int, sign: float) -> int | None:
        """A whole number, or None when nothing fits."""
        cost = np.zeros(len(self.bounds))
        cost[cell] = sign
        solved = linprog(cost, A_eq=self.equal[0], b_eq=self.equal[1], A_ub=self.at_most[0], b_ub=self.at_most[1],
                         bounds=self.bounds, method="highs")  # fmt: skip
        if solved.status != 0:
            return None
        return int(np.ceil(solved.fun - 1e-6)) if sign > 0 else int(np.floor(-solved.fun + 1e-6))


def _is_possible(program: Program) -> bool:
    return _Solver(program).bound(0, 1.0) is not None


def _write_rows(rows: list[tuple[dict[int, float], float]], width: int) -> tuple[coo_array | None, list[float] | None]:
    if not rows:
        return None, None
    places = [(number, cell, factor) for number, (factors, _) in enumerate(rows) for cell, factor in factors.items()]
    at, cells, factors = zip(*places, strict=True)
    return coo_array((factors, (at, cells)), shape=(len(rows), width)), [total for _, total in rows]


def attack_release(published: pl.DataFrame, limits: Limits) -> tuple[int, int]:
    """(hidden cells tried, cells recovered) of published.indicator of one or more releases: each table, and linked ones."""
    regions = published.filter(pl.col("kato2") != NATION)
    names = sorted(regions["kato2"].unique())
    parts = regions.unique([*TABLE, "kato2", "told_on"]).sort("told_on").partition_by(TABLE, as_dict=True)
    chains = {
        (*name, column): [_read(told, column, names) for told in table.partition_by("told_on", maintain_order=True)]
        for name, table in parts.items() for column in ("numerator", "denominator")
    }  # fmt: skip
    tried = sum(shown is None for chain in chains.values() for told in chain for shown in told.shown)
    recovered = sum(
        list_recovered([chain], limits) for chain in chains.values()
        if any(None in told.shown for told in chain) and any(told.says_anything for told in chain)
    )  # fmt: skip
    days = {name: table["told_on"].max() for name, table in parts.items()}
    for indicator_id, (whole, strata) in LINKED.items():
        for year in sorted({name[1] for name in days if name[0] == indicator_id}):
            wanted = [(indicator_id, year, s, ALL) for s in ((whole or strata[0]), *strata)]
            if not all(name in days for name in wanted) or len({days[name] for name in wanted}) > 1:
                continue  # told on different days: the counts need not add up
            columns = ["numerator" if whole else "denominator", *["numerator"] * len(strata)]
            newest = [[chains[*name, column][-1]] for name, column in zip(wanted, columns, strict=True)]
            recovered += list_recovered(newest, limits, [(0, range(1, len(newest)))])
    return tried, recovered + _attack_bands(chains, limits)


def _attack_bands(chains: Mapping[tuple[object, ...], list[Told]], limits: Limits) -> int:
    """Age bands that are told of regions, with the table of all ages that covers them."""
    recovered = 0
    for (*name, band, column), chain in chains.items():
        bands = [other[-1] for (*its, of, c), other in chains.items() if (its, c) == (name, column) and of != ALL]
        if band == ALL and any(told.says_anything for told in bands):
            recovered += list_recovered([[chain[-1]], *([told] for told in bands)], limits, covers=[(0, range(1, len(bands) + 1))])
    return recovered


def _read(table: pl.DataFrame, column: str, names: list[str]) -> Told:
    shown = dict(table.select("kato2", column).iter_rows())
    return Told(int(table[f"national_{column}"][0]), tuple(shown.get(kato2, 0) for kato2 in names))
