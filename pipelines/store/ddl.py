"""SQL of tables from their contracts, so that no schema is kept twice."""

from collections.abc import Iterator, Mapping

import dataframely as dy
import polars as pl

_SQL_TYPES: dict[type[pl.DataType], str] = {
    pl.String: "varchar",
    pl.Int32: "integer",
    pl.Int64: "bigint",
    pl.Float64: "double",
    pl.Boolean: "boolean",
    pl.Date: "date",
    pl.Datetime: "timestamp",
}


def write_ddl(table: str, contract: type[dy.Schema], held: Mapping[str, bool]) -> list[str]:
    """The statements that make a lake table, or change one that stands, with comments. DuckLake keeps not null, no keys.

    `held`: the columns it has, and whether each may be null.
    """
    if held:
        made = list(change_columns(table, contract, held))
    else:
        made = [f"create table {table} ({', '.join(_declare(name, column) for name, column in contract.columns().items())})"]
    return [*made, *write_comments(table, contract)]


def change_columns(table: str, contract: type[dy.Schema], held: Mapping[str, bool]) -> Iterator[str]:
    """What makes a table of an earlier release like its contract: added columns may be null, and those that now may be."""
    for name, column in contract.columns().items():
        if name not in held:
            yield f"alter table {table} add column {_declare(name, column).removesuffix(' not null')}"
        elif column.nullable and not held[name]:
            yield f'alter table {table} alter column "{name}" drop not null'


def write_published_ddl(table: str, contract: type[dy.Schema], name: str | None = None) -> list[str]:
    """The statements of a published table, with its keys, checks and meaning; `name` where it is not called as promised.

    A table that stands already (taken over from an earlier release) is left as it is.
    """
    columns = [
        f"{_declare(column_name, column)}{_promise(column_name, column)}"
        for column_name, column in contract.columns().items()
    ]
    keys = [
        f"primary key ({', '.join(contract.primary_key())})",
        *(f"check ({text})" for text in getattr(contract, "CHECKS", ())),
    ]
    made = name or table
    return [
        f"create table if not exists {made} ({', '.join([*columns, *keys])})",
        f"comment on table {made} is {say_meaning(contract)}",
        *write_comments(made, contract),
    ]


def say_meaning(contract: type[dy.Schema]) -> str:
    """What a row of a table is, as SQL text: the first line of the contract's docstring, without the name of the table."""
    return _quote((contract.__doc__ or "").partition("\n")[0].partition(": ")[2].removesuffix("."))


def write_comments(table: str, contract: type[dy.Schema]) -> list[str]:
    """A `comment on column` for each column of a table or view."""
    return [
        f'comment on column {table}."{name}" is {_quote(column.description or "")}'
        for name, column in contract.columns().items()
    ]


def _declare(name: str, column: dy.Column) -> str:
    return f'"{name}" {_SQL_TYPES[column.dtype.base_type()]}{"" if column.nullable else " not null"}'


def _promise(name: str, column: dy.Column) -> str:
    return "".join(f" {part}" for part in _list_promises(name, column))


def _list_promises(name: str, column: dy.Column) -> Iterator[str]:
    """What DuckDB is to hold a column of the published warehouse to."""
    told = column.metadata or {}
    if getattr(column, "unique", False):
        yield "unique"
    if (least := getattr(column, "min", None)) is not None:
        yield f'check ("{name}" >= {least})'
    if form := getattr(column, "regex", None):
        yield f'check (regexp_matches("{name}", {_quote(form)}))'
    if codes := told.get("codes"):
        yield f'check ("{name}" in ({", ".join(map(_quote, codes))}))'
    if target := told.get("references"):
        yield f"references {target}"


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
