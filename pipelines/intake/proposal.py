"""A proposed layout, and the file it is written as: every doubt is a comment."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import polars as pl

from pipelines.contracts import RECORDS
from pipelines.intake.conform import keep_years
from pipelines.intake.layout import Component, Layout
from pipelines.intake.months import read_months
from pipelines.intake.wide import Form, is_code, is_total, lacks_unit, read_words

_EXCHANGED = str.maketrans("dm", "md")
"""A form of days with day and month exchanged."""
_FIRST_CELLS, _LAST_ROWS = 3, 3
"""Where a row that declares a total stands and says so."""


class Sample(NamedTuple):
    """The first rows of a table, as text: headers as they stand, values by header (blanks left out)."""

    encoding: str
    separator: str
    headers: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]]


class Placed(NamedTuple):
    """A header with the column it is proposed for, and why: known (a layout has it), word (a synonym), alike (0..1)."""

    header: str
    column: str
    why: str


class Guess(NamedTuple):
    """`toml`: a layout file that reads; `unplaced`: headers it leaves out, with what their values look like.

    `ignored`: headers that are left out on purpose, with the reason; `form`: the return of the order that its counts are of.
    """

    name: str
    record: str
    toml: str
    placed: tuple[Placed, ...]
    components: tuple[Component, ...]
    unplaced: Mapping[str, str]
    lacking: tuple[str, ...]
    ignored: Mapping[str, str]
    form: Form | None


def find_forms(values: Sequence[str], kind: str) -> list[str]:
    """The forms of `dates` or `datetimes` by which most of the values read, those by which more do first.

    A day above 12 decides between day and month: of two forms the one that it contradicts reads fewer.
    """
    return [form for form, _ in _rank_forms(values, kind)]


def _rank_forms(values: Sequence[str], kind: str) -> list[tuple[str, int]]:
    read = [(form, _count_read(values, kind, [form])) for form in read_words()["shape"][kind]]
    return sorted(((form, count) for form, count in read if count > len(values) / 2), key=lambda pair: -pair[1])


def _count_read(values: Sequence[str], kind: str, forms: Sequence[str]) -> int:
    text, said = pl.Series("v", list(values), dtype=pl.String).to_frame(), pl.col("v").str
    read = said.to_datetime if kind == "datetimes" else said.to_date
    return int(text.select(pl.any_horizontal(keep_years(read(form, strict=False)).is_not_null() for form in forms).sum()).item())


def _write_forms(guess: Guess, sample: Sample, kind: str) -> str:
    """The forms of the days or moments as TOML, with how many values fit none, and whether day and month may be exchanged."""
    dtype, usual = {"dates": (pl.Date, "%Y-%m-%d"), "datetimes": (pl.Datetime, "%Y-%m-%dT%H:%M:%S")}[kind]
    columns = [p for p in guess.placed if isinstance(RECORDS[guess.record].columns()[p.column].dtype, dtype)]
    told = [v for p in columns for v in _leave_plain(sample.values[p.header], p.column, kind)]
    ranked = [found for p in columns if (found := _rank_forms(sample.values[p.header], kind))]
    forms = list(dict.fromkeys(found[0][0] for found in ranked))
    unfit = len(told) - _count_read(told, kind, forms) if forms else len(told)
    doubts = [f"{unfit} of {len(told)} values fit none of these forms" if forms else "no form fits"] if unfit else []
    if any(count == others[0][1] and others[0][0] == form.translate(_EXCHANGED) for (form, count), *others in ranked if others):
        doubts.append("no day is above 12: day and month may be exchanged")
    return f"{kind} = {json.dumps(forms or [usual])}" + (f"  # {'; '.join(doubts)}" if doubts else "")


def _leave_plain(values: Sequence[str], column: str, kind: str) -> list[str]:
    """Values but those that need no form of this kind: a month in words, a moment that is a day."""
    text = pl.Series("v", list(values), dtype=pl.String)
    if column.endswith("_month"):
        return text.filter(read_months(text, []).is_null()).to_list()
    if kind == "datetimes":
        days = [pl.col("v").str.to_date(form, strict=False).is_null() for form in read_words()["shape"]["dates"]]
        return text.to_frame().filter(pl.all_horizontal(days))["v"].to_list()
    return list(values)


def write_toml(guess: Guess, sample: Sample, layouts: Sequence[Layout]) -> str:
    """The layout as TOML; every doubt is a comment."""
    dtypes = RECORDS[guess.record].columns()
    numbers = [v for h in sample.headers for v in sample.values[h] if re.fullmatch(r"[+-]?\d+[.,]\d+", v)]
    comma = sum("," in v for v in numbers)
    lines = [
        "# Proposed by `erte layout guess`: read every line, fill in what is lacking, try it with `erte layout check`.",
        f"name = {_quote(guess.name)}", f"record = {_quote(guess.record)}", 'source = "proposed from a file"',
        f"encodings = {json.dumps([sample.encoding])}", f"separator = {_quote(sample.separator)}",
        f"decimal = {_quote(',' if comma > len(numbers) - comma else '.')}",
        _write_forms(guess, sample, "dates"), _write_forms(guess, sample, "datetimes"),
        *([f"identity = {_list(guess.form.identity)}  # as in {guess.form.name}"] if guess.form else []), "",
        *(f"# lacking, every record needs it: {c} ({dtypes[c].description})" for c in guess.lacking),
        "[columns]",
        *(f"{_quote(p.header)} = {_quote(p.column)}" + ("" if p.why in ("known", "word") else f"  # {p.why}: look at it")
          for p in guess.placed),
        *(f"# {_quote(h)} = \"?\"  # not placed; its values look like: {shape}" for h, shape in guess.unplaced.items()),
        "", *_write_ignored(guess), *_write_constants(guess), *_write_values(guess, sample, layouts),
    ]  # fmt: skip
    for c in guess.components:
        lines += [f"[components.{_quote(c.header)}]", f"into = {_quote(c.into)}", *(f"{k} = {_quote(v)}" for k, v in c.constants.items())]
        lines += ['# unit = "?"  # the header names none that is known: without it each number is refused', ""] if lacks_unit(c) else [""]
    return "\n".join([*lines, *_write_totals(guess, sample)]).rstrip() + "\n"


def _write_ignored(guess: Guess) -> list[str]:
    return ["[ignored]", *(f"{_quote(h)} = {_quote(why)}" for h, why in guess.ignored.items()), ""] if guess.ignored else []


def _write_constants(guess: Guess) -> list[str]:
    """What the form of the order says of every row."""
    if guess.form is None:
        return []
    placed = {p.column for p in guess.placed}
    constants = [f"{k} = {_quote(v)}" for k, v in guess.form.constants.items() if k not in placed]
    return [f"[constants]  # as in {guess.form.name}: look at them", *constants, ""]


def _write_totals(guess: Guess, sample: Sample) -> list[str]:
    """Which counts must agree, by the form they are of; of a list that it says how many rows it has."""
    if guess.form is None:
        counted = any(is_total(v) for h in sample.headers[:_FIRST_CELLS] for v in sample.values[h][-_LAST_ROWS:])
        return ["[totals]  # a row of it says a total", "counts_rows = true"] if counted and guess.record == "screening" else []
    group = next((p.header for p in guess.placed if p.column == "row_group"), None)
    pairs = [f"  {_list(pair)}," for pair in guess.form.at_most]
    shares = [f"  {_list(share)}," for share in guess.form.percent]
    lines = [f"group = {_quote(group)}"] if group else []
    lines += ["at_most = [", *pairs, "]"] if pairs else []
    lines += ["percent = [", *shares, "]"] if shares else []
    return [f"[totals]  # as in {guess.form.name}", *lines] if lines else []


def _write_values(guess: Guess, sample: Sample, layouts: Sequence[Layout]) -> list[str]:
    """Tables of values for columns of codes: known ones by the known layouts, the rest as comments."""
    lines = []
    coded = {p.column: [p.header] for p in guess.placed if RECORDS[guess.record].columns()[p.column].check is not None}
    for c in guess.components:
        if c.into == "result_code":
            coded.setdefault("result_code", []).append(c.header)
    for column, headers in coded.items():
        known = {sent: ours for layout in layouts for sent, ours in layout.values.get(column, {}).items()}
        values = [v.casefold() for h in headers for v in sample.values[h] if not (column == "row_group" and is_total(v))]
        distinct = sorted(set(values))
        if not distinct or not (is_code(values) or column == "row_group"):  # a return has each group once
            continue
        ours = set(known.values())
        lines.append(f"[values.{column}]")
        lines += [f"{_quote(v)} = {_quote(known[v])}" for v in distinct if v in known]
        lines += [f'# {_quote(v)} = "?"  # not placed' for v in distinct if v not in known and v not in ours]
        lines.append("")
    return lines


def _list(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(_quote, texts))}]"


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
