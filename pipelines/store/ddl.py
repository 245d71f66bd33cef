"""SQL of tables from their contracts, so that no schema is kept twice."""

import dataframely as dy
import polars as pl

_SQL_TYPES: dict[type[pl.DataType], str] = {
    pl.String: "varchar",
    pl.Int64: "bigint",
    pl.Float64: "double",
    pl.Boolean: "boolean",
    pl.Date: "date",
    pl.Datetime: "timestamp",
}


def write_ddl(table: str, contract: type[dy.Schema]) -> list[str]:
    """`create table if not exists` and `comment on` statements for a lake table; DuckLake keeps not null, no keys."""
    columns = ", ".join(
        f'"{name}" {_SQL_TYPES[column.dtype.base_type()]}{"" if column.nullable else " not null"}'
        for name, column in contract.columns().items()
    )
    comments = [
        f"comment on column {table}.\"{name}\" is '{(column.description or '').replace(chr(39), chr(39) * 2)}'"
        for name, column in contract.columns().items()
    ]
    return [f"create table if not exists {table} ({columns})", *comments]
