"""Of which layout a table is, and where it begins: its header among titles, in one to three rows, and what the titles say for every row."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from pipelines.intake.layout import Layout
from pipelines.intake.reading import OURS, name_place
from pipelines.intake.refusal import FileRefusedError, HeaderChangedError

DEPTH = 60
"""Rows of a file or sheet among which its header is looked for."""
_SPANS = (1, 2, 3)
_HALF = 0.5
Row = Sequence[str | None]


class Table(NamedTuple):
    """A table that a layout knows: `headers` column -> header in the layout's spelling; rows count from 0 within the head.

    `titles`: header -> the cell above the table that says it for every row. `said`: column -> what stands in its header rows.
    """

    layout: Layout
    headers: Mapping[int, str]
    header_row: int
    first_row: int
    titles: Mapping[str, str]
    said: Mapping[int, frozenset[str]]


class _Likeness(NamedTuple):
    """How like a layout a header is: in this order."""

    known: int
    is_whole: bool
    share: float
    fewness: int
    name: str


def find_table(head: Sequence[Row], layouts: Sequence[Layout], filled: Sequence[Row] | None = None) -> Table:
    """The table of the first rows, by the header that knows most of any layout's columns; `filled`: they with their merged cells filled.

    Raises FileRefusedError: layout_unknown, layout_header_changed, header_repeated.
    """
    every = frozenset().union(*map(_fold_headers, layouts))
    rows = head if filled is None else filled
    best: tuple[int, int, int, dict[int, str]] | None = None
    for row in range(min(len(rows), DEPTH)):
        for span in _SPANS:
            joined = join_rows(rows[row : row + span])
            known = len({fold_header(text) for text in joined.values()} & every)
            if known and (best is None or known > best[0]):
                best = (known, row, span, joined)
    if best is None:
        raise FileRefusedError("layout_unknown")
    known, row, span, joined = best
    names = [fold_header(text) for text in joined.values()]
    if doubled := {name for name in names if name in every and names.count(name) > 1}:
        spelled = {header for layout in layouts for header in layout.headers if fold_header(header) in doubled}
        raise FileRefusedError("header_repeated", tuple(sorted(spelled)), known=known)
    titles = {name: cell for name, cell in _read_titles(head[:row]) if name in every and name not in names}
    layout = match_layout([*names, *titles], layouts)
    spelling = {fold_header(header): header for header in sorted(layout.headers)}
    return Table(
        layout,
        {column: spelling.get(fold_header(text), text) for column, text in joined.items()},
        row, row + span,
        {spelling[name]: cell for name, cell in titles.items() if name in spelling},
        {column: frozenset(said for one in rows[row : row + span] if (said := _said(one, column))) for column in joined},
    )  # fmt: skip


def match_layout(headers: Iterable[str], layouts: Iterable[Layout]) -> Layout:
    """The layout that knows most of the headers, whatever it lacks: a file is not another layout's for want of a column.

    Of several that know as many, one that lacks nothing, then the one of which most is there. Raises FileRefusedError: layout_ambiguous
    where two that know as many lack nothing, layout_header_changed naming that layout and what it lacks (headers, never values),
    layout_unknown where nothing that it reads is there: a "№" that many forms have is no likeness.
    """
    found = frozenset(map(fold_header, headers))
    likened = [(layout, _liken(layout, found)) for layout in layouts]
    layout, likeness = max(likened, key=lambda pair: pair[1])
    alike = [other.name for other, like in likened if like.is_whole and (like.known, like.is_whole) == likeness[:2]]
    if len(alike) > 1:
        raise FileRefusedError("layout_ambiguous", known=likeness.known).remark(", ".join(sorted(alike)), "layouts_meant")
    if lacking := _list_lacking(layout, found):
        if not found.intersection(map(_fold_known, layout.read)):
            raise FileRefusedError("layout_unknown")
        raise HeaderChangedError(layout.name, layout.separator, tuple(sorted(lacking)), likeness.known, is_near=likeness.share > _HALF)
    return layout


def _liken(layout: Layout, found: frozenset[str]) -> _Likeness:
    needs = [{_fold_known(header)} for header in layout.required]
    if layout.components:  # one of its results
        needs.append({_fold_known(c.header) for c in layout.components})
    share = sum(not found.isdisjoint(need) for need in needs) / max(len(needs), 1)
    return _Likeness(len(found & _fold_headers(layout)), share == 1, share, -len(layout.headers), layout.name)


def _list_lacking(layout: Layout, found: frozenset[str]) -> list[str]:
    """Required headers that are not there, and all results where none of them is."""
    results = [c.header for c in layout.components]
    lacking = [header for header in layout.required if _fold_known(header) not in found]
    return lacking if found.intersection(map(_fold_known, results)) else [*lacking, *results]


def choose_refusal(refusals: Sequence[FileRefusedError]) -> FileRefusedError:
    """Of several reasons why nothing was found the one that comes nearest to a layout; the first of equals, but too many columns first."""
    return max(refusals, key=lambda refused: (refused.known, refused.code == "file_too_wide"))


def name_columns(headers: Mapping[int, str], places: Iterable[int]) -> dict[int, str]:
    """A name for each column, each another: its header, else its letters; one that occurs again or is one of OURS has them behind it."""
    told: dict[int, str] = {}
    taken = set(OURS)
    for place in places:
        letters = f"[{name_place(place)}]"
        name = headers.get(place, "") or letters
        told[place] = f"{name} {letters}" if name in taken else name
        taken.add(told[place])
    return told


def fold_header(text: str) -> str:
    """A header without case, and without the blanks and signs around it: how senders' headers are known again."""
    return " ".join(text.split()).strip(" :*.").casefold().replace("ё", "е")


@cache
def _fold_known(header: str) -> str:
    """The same of a layout's header: those are few."""
    return fold_header(header)


def _fold_headers(layout: Layout) -> frozenset[str]:
    return frozenset(map(_fold_known, layout.headers))


def join_rows(rows: Sequence[Row]) -> dict[int, str]:
    """Column -> its header, joined downwards; a group's name goes on to the right over the columns it has none of."""
    width = max((len(row) for row in rows), default=0)
    joined: dict[int, list[str]] = {column: [] for column in range(width)}
    for place, row in enumerate(rows):
        above = ""
        for column in range(width):
            text = _said(row, column)
            is_led = any(_said(lower, column) for lower in rows[place + 1 :])
            above = text or (above if is_led else "")
            said = text or above
            if said and (not joined[column] or joined[column][-1] != said):
                joined[column].append(said)
    return {column: " ".join(parts) for column, parts in joined.items() if parts}


def _read_titles(rows: Sequence[Row]) -> Iterable[tuple[str, str]]:
    """What stands above a table as `label: value`, in one cell or in two; the labels folded."""
    for row in rows:
        cells = [cell for cell in row if cell and cell.strip()]
        for place, cell in enumerate(cells):
            label, colon, value = cell.partition(":")
            if colon and value.strip():
                yield fold_header(label), value.strip()
            elif place + 1 < len(cells):
                yield fold_header(label), cells[place + 1]


def _said(row: Row, column: int) -> str:
    return " ".join((row[column] or "").split()) if column < len(row) else ""
