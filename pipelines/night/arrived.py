"""What has arrived: a run's accepted records and those that waited, as views that are read column by column."""

from pathlib import Path

import polars as pl

from pipelines.contracts import RECORDS
from pipelines.intake.keys import KEY_COLUMNS, add_keys
from pipelines.store.lake import Connection, put_frame, read_rows


def view_arrived(connection: Connection, kind: str, files: list[Path]) -> None:
    """View `arrived`: this run's accepted records and those of the kind that waited, newest version a key.

    A view, so that a national year is never held in memory: each question reads the columns it needs.
    """
    columns = [*RECORDS[kind].column_names(), *KEY_COLUMNS]
    listed = ", ".join(f'"{name}"' for name in columns)
    sources = [f"select {listed} from {_view_staged(connection, kind, files)}"] if files else []
    if _load_waited(connection, kind):
        sources.append(f"select {listed} from waited")
    if not sources:
        put_frame(connection, "none_arrived", add_keys(RECORDS[kind].create_empty(), kind))
        sources = [f"select {listed} from none_arrived"]
    connection.execute(f"create or replace temp view every_arrived as {' union all '.join(sources)}")
    view_newest(connection, "arrived", "every_arrived", "record_key")


def view_newest(connection: Connection, view: str, source: str, key: str) -> None:
    """One row a key of a source: the newest version; ties are settled by content, never by order of arrival."""
    connection.execute(
        f"create or replace temp table {view}_repeated as select {key} from {source} group by {key} having count(*) > 1"
    )
    if not count_rows(connection, f"select count(*) from {view}_repeated"):
        connection.execute(f"create or replace temp view {view} as from {source}")
        return
    connection.execute(f"""
        create or replace temp table {view}_newest as
        select * from {source} semi join {view}_repeated using ({key})
        qualify row_number() over (partition by {key}
            order by version_at desc, version_rank desc, content_hash desc, submission_id, row_no) = 1""")
    connection.execute(f"""
        create or replace temp view {view} as
        from {source} anti join {view}_repeated using ({key}) union all from {view}_newest""")


def count_rows(connection: Connection, query: str) -> int:
    """The one number a query answers with."""
    row = connection.execute(query).fetchone()
    assert row is not None  # noqa: S101
    return int(row[0])


def _view_staged(connection: Connection, kind: str, files: list[Path]) -> str:
    """View `staged`: the rows of staged files, with the columns that no file has filled as nulls; its name."""
    read = f"read_parquet([{', '.join(_quote(str(f)) for f in files)}], union_by_name = true)"
    filled = {row[0] for row in connection.execute(f"describe from {read}").fetchall()}
    put_frame(connection, "staged_none", add_keys(RECORDS[kind].create_empty(), kind))
    typed = connection.execute("describe staged_none").fetchall()
    nulls = "".join(f', null::{row[1]} as "{row[0]}"' for row in typed if row[0] not in filled)
    connection.execute(f"create or replace temp view staged as select *{nulls} from {read}")
    return "staged"


def _load_waited(connection: Connection, kind: str) -> int:
    """View `waited`: records of the kind whose child was not known; they are asked again in every run."""
    waiting = read_waiting(connection, kind)
    if len(waiting):
        put_frame(connection, "waited", add_keys(waiting.drop("reason"), kind))
    return len(waiting)


def list_waiting(connection: Connection) -> set[str]:
    """The kinds of which a record waits for its child."""
    return {kind for (kind,) in connection.execute("select distinct record_kind from lake.identified.waiting where known_to is null").fetchall()}


def read_waiting(connection: Connection, kind: str) -> pl.DataFrame:
    """The records of a kind that wait for their child, in the columns of RECORDS; `reason`: why."""
    waiting = read_rows(connection, """
        select record, reason from lake.identified.waiting where known_to is null and record_kind = ?""", [kind])  # fmt: skip
    dtypes = {name: column.dtype for name, column in RECORDS[kind].columns().items()}
    text = pl.Struct({n: pl.String if d.is_temporal() else d for n, d in dtypes.items()})
    dated = [
        pl.col(n).str.to_date("%Y-%m-%d") if d == pl.Date else pl.col(n).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us")
        for n, d in dtypes.items() if d.is_temporal()
    ]  # fmt: skip
    return waiting.select(pl.col("record").str.json_decode(text), "reason").unnest("record").with_columns(dated)


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
