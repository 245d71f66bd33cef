"""Counts of monthly returns into the lake: kept in versions like records, but of no child, so nothing is linked."""

from datetime import date
from pathlib import Path

import polars as pl

from pipelines.contracts import LAKE
from pipelines.night.commit import Kept
from pipelines.store.lake import Connection, append_rows, put_frame, read_rows

_TABLE = "clinical.aggregate"
_VERSION = ("version_at", "version_rank", "content_hash")


def keep_aggregates(connection: Connection, files: list[Path], on: date) -> Kept:
    """Bring the accepted counts of a run in: the newest version of a key is held true, a corrected return replaces.

    Returns are small (tens of counts a facility and month): a frame holds those of a run.
    """
    columns = [name for name in LAKE[_TABLE].column_names() if not name.startswith("known_")]
    contract = {name: LAKE[_TABLE].columns()[name].dtype for name in columns}
    # a column that nobody filled is not staged
    every = pl.scan_parquet(files, schema=contract, missing_columns="insert", extra_columns="ignore").collect()
    arrived = every.sort(*_VERSION, "submission_id", "row_no").unique("record_key", keep="last", maintain_order=True)
    put_frame(connection, "arrived_key", arrived.select("record_key"))
    held = read_rows(connection, f"""
        select record_key, {", ".join(f"{name} as held_{name}" for name in _VERSION)} from lake.{_TABLE}
        semi join arrived_key using (record_key) where known_to is null""")  # fmt: skip
    known = arrived.join(held, on="record_key", how="left")
    assert len(known) == len(arrived)  # noqa: S101
    is_new = pl.col("held_content_hash").is_null()
    is_newer = (pl.col("content_hash") != pl.col("held_content_hash")) & _is_after()
    fresh = known.filter(is_new | is_newer)
    changed = fresh.filter(~is_new)
    if len(changed):
        put_frame(connection, "changed_key", changed.select("record_key"))
        connection.execute(
            f"update lake.{_TABLE} set known_to = ? where known_to is null and record_key in (from changed_key)", [on]
        )
    kept = fresh.with_columns(pl.lit(on).alias("known_from"), pl.lit(None, pl.Date).alias("known_to"))
    append_rows(connection, _TABLE, kept)
    return Kept(arrived=len(arrived), waiting=0, new=len(fresh) - len(changed), changed=len(changed))


def _is_after() -> pl.Expr:
    """The arrived version comes after the held one: issue moment, then rank, then content."""
    at, rank, content = (pl.col(name) for name in _VERSION)
    held_at, held_rank, held_content = (pl.col(f"held_{name}") for name in _VERSION)
    same_at, same_rank = at == held_at, rank == held_rank
    return (at > held_at) | (same_at & ((rank > held_rank) | (same_rank & (content > held_content))))
