"""The lake: the store of record. DuckLake, encrypted, one transaction a run; versions are closed, never overwritten.

DuckLake loads from wheels (nothing is downloaded) and keeps the encryption keys in its catalogue, with the least and
greatest value of every column: protect the catalogue as you protect the children (STACK, DuckDB and DuckLake). Rows are
never inlined into it: they are in encrypted files only.
"""

import fcntl
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from pipelines.contracts import LAKE
from pipelines.errors import BusyError, UserError
from pipelines.settings import Settings
from pipelines.store.ddl import change_columns, write_ddl

Connection = duckdb.DuckDBPyConnection


def connect(path: str | Path = ":memory:", **given: Any) -> Connection:
    """A DuckDB connection that draws no progress bar: it would stand in front of the JSON on stdout."""
    connection = duckdb.connect(str(path), **given)
    connection.execute("set enable_progress_bar = false")
    return connection


@contextmanager
def open_lake(settings: Settings, *, is_new: bool = False) -> Iterator[Connection]:
    """A DuckDB connection with the lake attached as `lake`; tables are made, or completed, when `is_new`."""
    catalogue = settings.lake / "catalogue.sqlite"
    if not is_new and not settings.catalogue and not catalogue.exists():
        raise _name_missing(settings)
    settings.lake.mkdir(parents=True, exist_ok=True, mode=0o700)
    names = ("httpfs", "postgres_scanner" if settings.catalogue else "sqlite_scanner", "ducklake")
    extensions = _check_extensions(names)
    connection = connect(
        config={
            "memory_limit": settings.memory_limit,
            "temp_directory": str(settings.lake / ".tmp"),
            "allow_unsigned_extensions": True,  # checked above, once a process: it takes 0.6 s of the 0.75 of an opening
        }
    )
    try:
        if settings.threads:
            connection.execute(f"set threads = {settings.threads}")
        connection.execute("set preserve_insertion_order = false")
        connection.execute("set arrow_output_version = '1.4'; set produce_arrow_string_view = true")  # strings as polars keeps them
        where = f"postgres:{settings.catalogue}" if settings.catalogue else f"sqlite:{catalogue}"
        for path in extensions:
            connection.execute(f"load '{path}'")
        connection.execute(
            f"attach 'ducklake:{_quote(where)}' as lake "
            f"(data_path '{_quote(str(settings.lake.absolute() / 'data'))}', encrypted, data_inlining_row_limit 0, "
            "override_data_path true)"  # a home may be moved, or restored elsewhere
        )
        if is_new:
            _complete_tables(connection)
        elif lacking := _list_lacking(connection):
            raise _name_missing(settings) if len(lacking) == len(LAKE) else _name_outdated(settings)
        yield connection
    finally:
        connection.close()


@contextmanager
def hold_lock(settings: Settings, name: str = "write") -> Iterator[None]:
    """The right to write, for one run at a time on this home; BusyError run_in_progress when another has it."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / f".{name}.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                "run_in_progress", "another run is writing to this home: wait until it has ended and try again"
            ) from None
        yield


@contextmanager
def transact(connection: Connection) -> Iterator[None]:
    """All or nothing."""
    connection.execute("begin")
    try:
        yield
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")


def upsert_versions(
    connection: Connection, table: str, arrived: str, on: date, key: str = "record_key", asked: str = ""
) -> dict[str, int]:
    """Bring arrived versions into a record table; counts of new, changed and unchanged records.

    `arrived` is a temp table with the contract's columns but known_from and known_to, one row a `key`. The newest
    version wins by (version_at, version_rank, content_hash), whatever the order of arrival; the same content said again
    later opens no version, unless it is of another child now, but stands against all that was issued before; a losing
    version is in the archive and the ledger only.
    Temp table `upsert_held` tells what was held of the keys in table `asked` (those that arrived, and perhaps more).
    """
    columns = [name for name in LAKE[table].column_names() if name not in {"known_from", "known_to"}]
    listed = ", ".join(f'"{name}"' for name in columns)
    total = _one_row(connection, f"select count(*) from {arrived}")[0]
    connection.execute(f"""
        create or replace temp table upsert_held as
        select c.{key}, c.child_key as held_child_key, c.version_at, c.version_rank, c.content_hash
        from lake.{table} c where c.known_to is null and c.{key} in (select {key} from {asked or arrived})""")
    if _one_row(connection, "select count(*) from upsert_held")[0]:
        connection.execute(f"""
            create or replace temp table upsert_decision as
            select a.{key}, h.held_child_key,
                   h.{key} is null as is_new,
                   h.{key} is not null and if(a.content_hash = h.content_hash,
                       a.child_key <> h.held_child_key and (a.version_at, a.version_rank) >= (h.version_at, h.version_rank),
                       (a.version_at, a.version_rank, a.content_hash) > (h.version_at, h.version_rank, h.content_hash)) as is_newer,
                   a.content_hash = h.content_hash and (a.version_at, a.version_rank) > (h.version_at, h.version_rank) as is_renewed,
                   a.version_at, a.version_rank
            from {arrived} a left join upsert_held h on a.{key} = h.{key}""")
        new, newer, renewed = _one_row(
            connection, "select count(*) filter (is_new), count(*) filter (is_newer), count(*) filter (is_renewed) from upsert_decision"
        )
    else:
        new, newer, renewed = total, 0, 0
    if renewed:
        connection.execute(f"""
            update lake.{table} set version_at = d.version_at, version_rank = d.version_rank
            from upsert_decision d where known_to is null and lake.{table}.{key} = d.{key} and d.is_renewed""")
    if newer:
        connection.execute(
            f"update lake.{table} set known_to = ? where known_to is null and {key} in "
            f"(select {key} from upsert_decision where is_newer)",
            [on],
        )
    if new or newer:
        source = (
            arrived
            if new == total
            else f"{arrived} semi join (from upsert_decision where is_new or is_newer) using ({key})"
        )
        connection.execute(f"insert into lake.{table} (known_from, {listed}) select ?, {listed} from {source}", [on])
    return {"new": new, "changed": newer, "unchanged": total - new - newer}


def replace_state(
    connection: Connection, table: str, state: pl.DataFrame, key: Sequence[str], scope: str, on: date
) -> dict[str, int]:
    """Make the current rows of a derived table, within `scope`, equal to `state`; unchanged rows stay as they are.

    `scope` is SQL for the current rows this state answers for, for example "child_key in (select ... )".
    """
    columns = [name for name in LAKE[table].column_names() if name not in {"known_from", "known_to"}]
    listed = ", ".join(f'"{name}"' for name in columns)
    held = read_rows(connection, f"select {listed} from lake.{table} where known_to is null and {scope}")
    state = state.select(pl.col(c).cast(held.schema[c]) for c in columns)
    is_first = held.is_empty()
    fresh = state if is_first else state.join(held, on=columns, how="anti", nulls_equal=True)
    stale = held if is_first else held.join(state, on=columns, how="anti", nulls_equal=True)
    if len(stale):
        put_frame(connection, "stale_key", stale.select(key).unique())
        matched = " and ".join(f"s.{name} = lake.{table}.{name}" for name in key)
        connection.execute(
            f"update lake.{table} set known_to = ? where known_to is null and {scope} "
            f"and exists (select 1 from stale_key s where {matched})",
            [on],
        )
    append_rows(
        connection, table, fresh.with_columns(pl.lit(on).alias("known_from"), pl.lit(None, pl.Date).alias("known_to"))
    )
    return {"opened": len(fresh), "closed": len(stale)}


def put_frame(connection: Connection, name: str, frame: pl.DataFrame) -> None:
    """Temp table `name` with the rows of a frame.

    A table and not a view of the frame: DuckDB cannot push every filter of a join into memory that is not its own.
    """
    connection.register("put_rows", frame)
    connection.execute(f"create or replace temp table {name} as from put_rows")
    connection.unregister("put_rows")


def append_rows(connection: Connection, table: str, rows: pl.DataFrame) -> int:
    """Append rows that have every column of the table."""
    if len(rows):
        columns = LAKE[table].column_names()
        connection.register("appended", rows.select(columns))
        listed = ", ".join(f'"{name}"' for name in columns)
        connection.execute(f"insert into lake.{table} ({listed}) select {listed} from appended")
        connection.unregister("appended")
    return len(rows)


def read_current(connection: Connection, table: str, where: str = "true") -> pl.DataFrame:
    """The rows of a versioned table that are held true now."""
    listed = ", ".join(f'"{name}"' for name in LAKE[table].column_names())
    return read_rows(connection, f"select {listed} from lake.{table} where known_to is null and {where}")


def read_rows(connection: Connection, query: str, values: Mapping[str, object] | Sequence[object] = ()) -> pl.DataFrame:
    """The answer to a query as a frame: large ones without `values`, as only then are rows gathered by all threads (half of the time)."""
    return connection.execute(query, values).pl() if values else connection.sql(query).pl()


def maintain_lake(connection: Connection, older_than_days: int = 30) -> dict[str, int]:
    """Merge small files, rewrite heavily deleted ones, expire old snapshots, remove what nothing refers to."""
    counts = {}
    for name, call in {
        "merged": "call ducklake_merge_adjacent_files('lake')",
        "rewritten": "call ducklake_rewrite_data_files('lake')",
        "expired": f"call ducklake_expire_snapshots('lake', older_than => now() - interval {older_than_days} day)",
        "cleaned": f"call ducklake_cleanup_old_files('lake', older_than => now() - interval {older_than_days} day)",
        "orphans": f"call ducklake_delete_orphaned_files('lake', older_than => now() - interval {older_than_days} day)",
    }.items():
        counts[name] = len(connection.execute(call).fetchall())
    return counts


def _quote(text: str) -> str:
    return text.replace("'", "''")


def _one_row(connection: Connection, query: str) -> tuple[int, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None  # noqa: S101  # an aggregate without grouping always answers
    return tuple(row)


def _name_missing(settings: Settings) -> UserError:
    return UserError("lake_missing", f"no lake under {settings.home}: run `erte receive` and `erte run` first")


def _name_outdated(settings: Settings) -> UserError:
    return UserError("lake_outdated", f"the lake under {settings.home} was made by an earlier release: `erte run` completes it")


def _list_lacking(connection: Connection) -> dict[str, dict[str, bool]]:
    """The tables that the lake has not as the contracts say, with the columns it has of them, and whether each may be null.

    Of the catalogue itself: duckdb_columns() would load every table first. None is there when the first run was killed early.
    """
    held: dict[str, dict[str, bool]] = {table: {} for table in LAKE}
    for table, column, may_be_null in connection.execute("""
        select s.schema_name || '.' || t.table_name, c.column_name, c.nulls_allowed
        from __ducklake_metadata_lake.ducklake_table t
        join __ducklake_metadata_lake.ducklake_schema s on s.schema_id = t.schema_id and s.end_snapshot is null
        join __ducklake_metadata_lake.ducklake_column c on c.table_id = t.table_id and c.end_snapshot is null
        where t.end_snapshot is null""").fetchall():
        held.setdefault(table, {})[column] = bool(may_be_null)
    return {table: held[table] for table, contract in LAKE.items() if any(change_columns(table, contract, held[table])) or not held[table]}


def _complete_tables(connection: Connection) -> None:
    """Make what is lacking: all of it at first, what a later release added afterwards."""
    lacking = _list_lacking(connection)
    if not lacking:
        return
    with transact(connection):
        for schema in sorted({name.split(".")[0] for name in LAKE}):
            connection.execute(f"create schema if not exists lake.{schema}")
        for table, held in lacking.items():
            for statement in write_ddl(f"lake.{table}", LAKE[table], held):
                connection.execute(statement)


@cache
def _check_extensions(names: tuple[str, ...]) -> tuple[Path, ...]:
    """The extensions' binaries, after DuckDB has checked the signature of each; a process loads them from disk only once."""
    paths = tuple(_find_extension(name) for name in names)
    with connect() as connection:
        for path in paths:
            connection.execute(f"load '{path}'")
    return paths


def _find_extension(name: str) -> Path:
    """The extension's binary inside its wheel."""
    spec = importlib.util.find_spec(f"duckdb_extension_{name}")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"duckdb_extension_{name}")
    return next(Path(spec.submodule_search_locations[0]).rglob(f"{name}.duckdb_extension"))
