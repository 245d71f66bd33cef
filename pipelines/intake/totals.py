"""Totals that a sender declares: set aside from the records, and held against the rows they stand for.

A return whose parts do not give its total is refused whole, with the difference: one of the two is wrong, and only the
sender knows which. The counts a form declares are data of its layout (`[totals]`).
"""

import re
from collections.abc import Iterator
from typing import Any

import polars as pl

from pipelines.intake.aside import TOTAL, SetAside, says_total
from pipelines.intake.layout import Layout, Totals
from pipelines.intake.number import COUNT, tighten
from pipelines.intake.reading import OURS, Chunk
from pipelines.intake.refusal import Difference, FileRefusedError, list_findings

_NUMBER = r"^[+-]?[0-9]+(?:[.,][0-9]+)?$"
_BLANKS = r"[\s\u00a0\u202f]"
_SHOWN = 50
_MOST_TOTALS = 2_000
"""Each is compared by itself: a file of more is no return of anybody."""


def part_totals(rows: pl.DataFrame, group: str | None = None) -> SetAside:
    """Total rows apart from records: the first filled cell says total, or that of the column `group`."""
    is_sum = says_total([name for name in rows.columns if name not in OURS], group)
    total = rows.filter(is_sum)
    told = list_findings([(no, None, "total_row_set_aside", "info") for no in total["row_no"]])
    return SetAside(rows.filter(~is_sum), total, told)


def check_totals(chunks: Iterator[Chunk], layout: Layout) -> Iterator[Chunk]:
    """The chunks without their total rows; raises FileRefusedError("totals_differ") after the last, with every difference.

    Chunks of layouts that declare nothing pass untouched. FileRefusedError("group_repeated"): two rows of one return say
    they are the same group, so that neither is its count; "file_too_long": more totals than a return has.
    """
    parts: dict[str, tuple[Layout, list[pl.DataFrame], list[pl.DataFrame]]] = {}
    for chunk in chunks:
        mine = chunk.layout or layout
        if mine.totals is None or chunk.kind not in (None, mine.record):
            yield chunk
            continue
        aside = part_totals(chunk.rows, mine.totals.group)
        _, rows, total = parts.setdefault(mine.name, (mine, [], []))
        rows.append(aside.rows)
        total.append(aside.other)
        if sum(map(len, total)) > _MOST_TOTALS:
            raise FileRefusedError("file_too_long")
        yield chunk._replace(rows=aside.rows, findings=pl.concat([chunk.findings, aside.finding]))
    differences = [d for mine, rows, total in parts.values() for d in _compare(mine, _join(rows), _join(total))]
    if differences:
        repeated = any(d.code == "group_repeated" for d in differences)
        raise FileRefusedError("group_repeated" if repeated else "totals_differ", differences=tuple(differences[:_SHOWN]))


def _join(frames: list[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(frames, how="diagonal")


def _compare(layout: Layout, rows: pl.DataFrame, total: pl.DataFrame) -> list[Difference]:
    declared = layout.totals
    assert declared is not None  # noqa: S101  # only such chunks are gathered
    if declared.counts_rows:
        return _compare_count(rows, total)
    every = pl.concat([rows, total], how="diagonal")
    found = [
        *_list_above(every, declared),
        *_list_percent(every, declared),
    ]
    keys = [h for h, ours in layout.columns.items() if ours in layout.identity and h in rows.columns and h != declared.group]
    headers = [c.header for c in layout.components if c.header in rows.columns]
    found += _compare_sums(rows, total, keys, headers)
    if declared.group is None or declared.group not in rows.columns:
        return found
    repeated = rows.filter(pl.struct(*keys, declared.group).is_duplicated() & pl.col(declared.group).is_not_null())
    count = float(len(repeated))
    again = [Difference(no, declared.group, "group_repeated", 1.0, count) for no in repeated["row_no"].head(_SHOWN)]
    return again + found


def _compare_sums(
    rows: pl.DataFrame, total: pl.DataFrame, keys: list[str], headers: list[str]
) -> list[Difference]:
    """Every total row against the sum of the rows it is of; a cell that is no number is told on its own row.

    It is of the rows that say the same organisation and month; one that says none, or one that no row says, is of all.
    """
    found = []
    for row in total.iter_rows(named=True):
        mine = rows
        for key in keys:
            same = mine.filter(_fold(pl.col(key)) == _fold(pl.lit(row.get(key), pl.String)))
            mine = mine if same.is_empty() else same
        sums = mine.select(*(_number(h).sum().alias(f"{h}|sum") for h in headers),
                           *(_is_broken(h).any().alias(f"{h}|broken") for h in headers)).row(0, named=True)  # fmt: skip
        declared = pl.DataFrame([row], schema=total.schema).select(*headers, *(_number(h).alias(f"{h}|number") for h in headers))
        for header, text, number in zip(headers, *_halve(declared.row(0)), strict=True):
            if text is None or not text.strip() or re.match(TOTAL, text.lower()) or sums[f"{header}|broken"]:
                continue
            if number is None:
                found.append(Difference(row["row_no"], header, "declared_total_unreadable", None, sums[f"{header}|sum"]))
            elif number != sums[f"{header}|sum"]:
                found.append(Difference(row["row_no"], header, "declared_total_differs", number, sums[f"{header}|sum"]))
    return found


def _halve(cells: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    return cells[: len(cells) // 2], cells[len(cells) // 2 :]


def _fold(text: pl.Expr) -> pl.Expr:
    return text.str.replace_all(_BLANKS, "").str.to_lowercase()


def _list_above(rows: pl.DataFrame, declared: Totals) -> list[Difference]:
    """Counts above the count they are part of (examined above target), and parts that together are above it."""
    found = []
    for parts, whole in [*(((part,), whole) for part, whole in declared.at_most), *declared.sum_at_most]:
        if {*parts, whole} <= set(rows.columns):
            wrong = rows.select("row_no", pl.sum_horizontal(map(_number, parts)).alias("part"), _number(whole).alias("whole"))
            wrong = wrong.filter(pl.col("part") > pl.col("whole"))
            code = "part_above_whole" if len(parts) == 1 else "parts_above_whole"
            found += [Difference(no, " + ".join(parts), code, p, w) for no, p, w in wrong.iter_rows()]
    return found


def _list_percent(rows: pl.DataFrame, declared: Totals) -> list[Difference]:
    """Percentages that their counts do not give, to one unit of the last digit sent; 0.95 of a percent cell is 95.

    Where a form does not say of what a percentage is, it has to follow from one of the counts that it may be of.
    """
    found = []
    for column, part, *named in declared.percent:
        wholes = [whole for whole in named if whole in rows.columns]
        if not wholes or not {column, part} <= set(rows.columns):
            continue
        plain = tighten(pl.col(column).str.strip_chars().str.strip_suffix("%"))
        digits = plain.str.extract(r"[.,]([0-9]+)$").str.len_chars().fill_null(0).clip(0, 4).cast(pl.Float64)
        asked = rows.select(
            "row_no", _read(plain).alias("declared"), (pl.lit(10.0) ** -digits + 1e-9).alias("unit"), digits.alias("digits"),
            *((100 * _number(part) / _number(whole)).alias(f"{place}") for place, whole in enumerate(wholes)),
        )  # fmt: skip
        of_each = [pl.col(f"{place}") for place in range(len(wholes))]
        computed = pl.coalesce(pl.when(of.is_finite()).then(of) for of in of_each)
        wrong = asked.filter(computed.is_not_null() & ~pl.any_horizontal(_follows(of).fill_null(value=False) for of in of_each))
        wrong = wrong.drop_nulls("declared").select("row_no", "declared", computed.alias("computed"))
        found += [Difference(no, column, "percent_differs", d, c) for no, d, c in wrong.iter_rows()]
    return found


def _follows(computed: pl.Expr) -> pl.Expr:
    """Whether a declared percentage is the computed one."""
    declared, unit = pl.col("declared"), pl.col("unit")
    is_share = (declared <= 1) & (
        ((pl.col("digits") >= 2) & ((100 * declared - computed).abs() <= 100 * unit)) | ((declared == 1) & (computed == 100))
    )
    return computed.is_finite() & (is_share | ((declared - computed).abs() <= unit))


def _compare_count(rows: pl.DataFrame, total: pl.DataFrame) -> list[Difference]:
    """A list's total row that holds one number of its own declares how many rows there are."""
    found = []
    usual = rows.row(0, named=True) if len(rows) else {}  # what a title says for every row is no number of the total's own
    for row in total.iter_rows(named=True):
        own = [text for h, text in row.items() if h not in OURS and text and text != usual.get(h)]
        numbers = [n for text in own for n in re.findall(r"[0-9]+", text)]
        if len(numbers) == 1 and float(numbers[0]) != len(rows):
            found.append(Difference(row["row_no"], None, "declared_count_differs", float(numbers[0]), float(len(rows))))
    return found


def _number(header: str) -> pl.Expr:
    return _read(tighten(pl.col(header)), COUNT)


def _read(plain: pl.Expr, form: str = _NUMBER) -> pl.Expr:
    return pl.when(plain.str.contains(form)).then(plain.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False))


def _is_broken(header: str) -> pl.Expr:
    return pl.col(header).is_not_null() & _number(header).is_null()
