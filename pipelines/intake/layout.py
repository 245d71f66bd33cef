"""Layouts: what a source system's columns, values and dates mean; one TOML each in `layouts/`, read only here."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import dataframely as dy

from pipelines.contracts import RECORDS

FOLDER = Path(__file__).parent / "layouts"
_VALUES = Path(__file__).parent / "values.toml"
REASONS = "erte_reasons"
MENDS = "erte_row"
"""The two columns that a file to fix has at its end: why a row is refused, and before it the row's name (intake.mends).

They are no data: a sender who leaves them in is not told that they are unknown, and a row of nothing else is empty."""
OURS_ADDED = (MENDS, REASONS)
FORM = "erte_form"
"""A column that the reader of text adds to rows of a file that is not written in its layout's way: so the file to fix is written."""
_FRONT_DOOR = frozenset({"submission_id", "row_no", "received_on"})
_KEYS = {
    "name", "record", "source", "encodings", "separator", "decimal", "dates", "datetimes",
    "columns", "ignored", "shared", "values", "constants", "components", "joined", "sums", "items", "premature", "ages", "diagnoses",
    "required", "identity", "totals",
}  # fmt: skip


class Component(NamedTuple):
    """A column of a wide screening layout whose filled cells become records of their own.

    `beside`: other columns of the sender that speak of the same result (its interpretation) -> ours.
    """

    header: str
    into: str
    constants: Mapping[str, str]
    beside: Mapping[str, str] = {}


class Totals(NamedTuple):
    """What a form declares beside its rows, in its own headers; checked by intake.totals.

    `group`: column that names a row's group; a row of the group "total" declares the sum of the others.
    `counts_rows`: a total row with one number declares how many rows there are.
    `at_most`: (part, whole) counts; `sum_at_most`: (parts, whole), parts that no child is in two of.
    `percent`: (column, part, whole, ...); with several wholes the form does not say of which, and one of them must give it.
    """

    group: str | None
    counts_rows: bool
    at_most: tuple[tuple[str, str], ...]
    percent: tuple[tuple[str, ...], ...]
    sum_at_most: tuple[tuple[tuple[str, ...], str], ...] = ()


class Items(NamedTuple):
    """`allowed`: the numbers that an item may be; `total`: the least and the greatest total."""

    allowed: tuple[float, ...]
    total: tuple[float, float]


class Layout(NamedTuple):
    """One source system's way of writing one kind of record.

    `needed`: headers that make a file one of this layout, where that is not every column the contract requires (what
    a form of the order lacks is then a reason on each row). `identity`: our columns that together name a record of a
    form that gives its rows no id.
    """

    name: str
    record: str
    encodings: tuple[str, ...]
    separator: str
    decimal: str
    dates: tuple[str, ...]
    datetimes: tuple[str, ...]
    columns: Mapping[str, str]
    ignored: Mapping[str, str]
    values: Mapping[str, Mapping[str, str]]
    constants: Mapping[str, str]
    components: tuple[Component, ...]
    joined: Mapping[str, tuple[str, ...]] = {}
    """Our column -> the headers whose values together, joined by a hyphen, are its value."""
    sums: Mapping[str, tuple[str, ...]] = {}
    """Header of a total -> the headers of the items that must add up to it."""
    items: Items | None = None
    """What the items and totals of `sums` may be."""
    premature: Mapping[str, int] = {}
    """Header of how many weeks too early a child was born -> the weeks of a term birth: gestation is what is left."""
    ages: Mapping[str, float] = {}
    """Header of an age in months -> by how many months it may differ from the row's own dates."""
    diagnoses: Mapping[str, str] = {}
    """Header of a free text -> our column for the ICD-10 code that stands in it."""
    needed: tuple[str, ...] = ()
    identity: tuple[str, ...] = ()
    totals: Totals | None = None

    @property
    def contract(self) -> type[dy.Schema]:
        """The contract its records are judged by."""
        return RECORDS[self.record]

    @property
    def required(self) -> frozenset[str]:
        """Headers without which no record of this layout can be accepted."""
        if self.needed:
            return frozenset(self.needed)
        needed = _list_needed(self.record)
        plain = {header for header, ours in self.columns.items() if ours in needed}
        return frozenset(plain | {header for ours, parts in self.joined.items() if ours in needed for header in parts})

    @property
    def read(self) -> frozenset[str]:
        """Headers of which something is read: a cell of these that cannot be read is a reason."""
        return self.headers - frozenset(self.ignored) - frozenset(OURS_ADDED)

    @property
    def headers(self) -> frozenset[str]:
        """Every header it knows."""
        told = {header for c in self.components for header in (c.header, *c.beside)}
        parts = {header for headers in (*self.joined.values(), *self.sums.values()) for header in headers}
        beside = frozenset(self.ages) | frozenset(self.diagnoses) | frozenset(self.premature)
        return frozenset(self.columns) | frozenset(self.ignored) | told | parts | beside | {*OURS_ADDED}


@cache
def _list_needed(record: str) -> frozenset[str]:
    """Columns that a contract requires; kept, as a contract makes its list of columns anew and every layout is asked of every header."""
    return frozenset(name for name, column in RECORDS[record].columns().items() if not column.nullable)


def read_layout(path: Path) -> Layout:
    """The layout of a TOML file; an unknown key or column is our own broken promise and raises ValueError."""
    raw = tomllib.loads(path.read_text("utf-8"))
    if unknown := set(raw) - _KEYS:
        raise ValueError(f"{path.name}: unknown keys {sorted(unknown)}")
    components = tuple(
        Component(header, entry["into"], {k: v for k, v in entry.items() if k not in {"into", "beside"}}, entry.get("beside", {}))
        for header, entry in raw.get("components", {}).items()
    )
    layout = Layout(
        name=raw["name"],
        record=raw["record"],
        encodings=tuple(raw.get("encodings", ["utf-8"])),
        separator=raw.get("separator", ","),
        decimal=raw.get("decimal", "."),
        dates=tuple(raw.get("dates", ["%Y-%m-%d"])),
        datetimes=tuple(raw.get("datetimes", ["%Y-%m-%dT%H:%M:%S"])),
        columns=raw.get("columns", {}),
        ignored=raw.get("ignored", {}),
        values=_read_values(raw.get("values", {}), raw.get("shared", {})),
        constants=raw.get("constants", {}),
        components=components,
        joined={ours: tuple(parts) for ours, parts in raw.get("joined", {}).items()},
        sums={total: tuple(items) for total, items in raw.get("sums", {}).items()},
        items=_read_items(raw["items"]) if "items" in raw else None,
        premature=raw.get("premature", {}),
        ages=raw.get("ages", {}),
        diagnoses=raw.get("diagnoses", {}),
        needed=tuple(raw.get("required", ())),
        identity=tuple(raw.get("identity", ())),
        totals=_read_totals(raw["totals"]) if "totals" in raw else None,
    )
    known = set(layout.contract.column_names())
    named = {*layout.columns.values(), *layout.constants, *layout.values, *layout.joined, *layout.diagnoses.values(), *layout.identity}
    named |= {name for c in components for name in (c.into, *c.constants, *c.beside.values())}
    if layout.name != path.stem or named - known:
        raise ValueError(
            f"{path.name}: name must be the file's, columns unknown to the contract: {sorted(named - known)}"
        )
    if layout.ages and not {"birth_on", "examined_on"} <= set(layout.columns.values()):
        raise ValueError(f"{path.name}: an age can be compared only with the two dates")
    if stray := set(layout.sums) - {*layout.columns, *(c.header for c in components)}:
        raise ValueError(f"{path.name}: sums of columns that are not read: {sorted(stray)}")
    if doubled := [c for c in set(layout.columns.values()) if list(layout.columns.values()).count(c) > 1]:
        raise ValueError(f"{path.name}: two headers for {sorted(doubled)}")
    if strange := _list_declared(layout) - layout.headers:
        raise ValueError(f"{path.name}: headers that are nowhere else in the layout: {sorted(strange)}")
    return layout


def _read_values(own: Mapping[str, Mapping[str, str]], shared: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Column -> sent text in lower case -> ours: the layout's own, and behind them those of the list that it shares (values.toml)."""
    values = {column: {sent.strip().casefold(): ours for sent, ours in table.items()} for column, table in own.items()}
    for column, name in shared.items():
        mine = values.setdefault(column, {})
        mine |= {sent: ours for sent, ours in _read_lists()[name].items() if sent not in mine}
    return values


@cache
def _read_lists(path: Path = _VALUES) -> dict[str, dict[str, str]]:
    return tomllib.loads(path.read_text("utf-8"))


def _read_items(raw: Mapping[str, Any]) -> Items:
    least, most = raw["total"]
    return Items(tuple(map(float, raw["allowed"])), (float(least), float(most)))


def _read_totals(raw: Mapping[str, Any]) -> Totals:
    if unknown := set(raw) - {"group", "counts_rows", "at_most", "percent", "sum_at_most"}:
        raise ValueError(f"unknown keys of totals: {sorted(unknown)}")
    return Totals(
        raw.get("group"),
        raw.get("counts_rows", False),
        tuple((part, whole) for part, whole in raw.get("at_most", ())),
        tuple((column, part, whole, *others) for column, part, whole, *others in raw.get("percent", ())),
        tuple((tuple(parts), whole) for parts, whole in raw.get("sum_at_most", ())),
    )


def _list_declared(layout: Layout) -> set[str]:
    totals = layout.totals or Totals(None, False, (), ())
    sums = [(*parts, whole) for parts, whole in totals.sum_at_most]
    pairs = (*totals.at_most, *totals.percent, *sums, *((totals.group,) if totals.group else ()), layout.needed)
    return {header for pair in pairs for header in ((pair,) if isinstance(pair, str) else pair)}


@cache
def list_layouts(folder: Path = FOLDER) -> tuple[Layout, ...]:
    """All CSV layouts of a folder by name; `hl7-*.toml` and `fhir-*.toml` are code tables of other readers."""
    others = ("hl7-", "fhir-")
    return tuple(read_layout(path) for path in sorted(folder.glob("*.toml")) if not path.name.startswith(others))


@cache
def speak_ours(name: str, kind: str) -> Layout:
    """The layout of a reader that gives our own columns and values (HL7, FHIR), for a kind of record."""
    columns = {c: c for c in RECORDS[kind].column_names() if c not in _FRONT_DOOR}
    return Layout(name, kind, ("utf-8",), ",", ".", ("%Y-%m-%d",), ("%Y-%m-%dT%H:%M:%S",), columns, {}, {}, {}, ())
