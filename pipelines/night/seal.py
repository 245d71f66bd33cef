"""Feeds on disk: rendered and checked side by side, written as drafts, flushed. Nothing of them is sent from here."""

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import polars as pl

from pipelines.contracts import LAKE
from pipelines.night.spine import read_learned
from pipelines.night.workers import count_workers, share_work
from pipelines.referral.compose import Placed
from pipelines.referral.draft import Draft, render_checked
from pipelines.referral.render import FeedHeader
from pipelines.settings import Settings
from pipelines.store.lake import Connection, put_frame, read_rows

_WRITERS = 8
_WORTH_A_PROCESS = 1_000
"""Items of a night from which rendering in processes of their own pays for starting them."""


def write_drafts(
    connection: Connection, settings: Settings, feeds: pl.DataFrame, item: pl.DataFrame, placed: Placed, on: date
) -> pl.DataFrame:
    """Write every feed's folder as a draft and flush it to disk; the rows of ledger.feed with their hashes."""
    rows, written = [], []
    drafts = _list_drafts(connection, feeds, item, placed, on)
    with ThreadPoolExecutor(_WRITERS) as pool:  # a disk that is asked once flushes as long as for many
        for feed, files in zip(feeds.iter_rows(named=True), render_all(drafts, len(item), settings.threads), strict=True):
            folder = settings.outbox / ".draft" / feed["pmpc_id"] / f"{feed['feed_no']:06}"
            written.append(pool.submit(_write_durably, folder, files))
            rows.append({**feed, "content_hash": json.loads(files["manifest.json"])["content_hash"]})
    for one in written:
        one.result()  # raises what went wrong on the disk
    columns = LAKE["ledger.feed"].column_names()
    schema = {name: column.dtype for name, column in LAKE["ledger.feed"].columns().items()}
    return pl.DataFrame(rows, infer_schema_length=None).select(columns) if rows else pl.DataFrame(schema=schema)


def _list_drafts(
    connection: Connection, feeds: pl.DataFrame, item: pl.DataFrame, placed: Placed, on: date
) -> list[Draft]:
    person = _read_persons(connection, item).join(item.select("child_key", "pmpc_id").unique(), on="child_key")
    flag = read_rows(connection, "from lake.clinical.flag qualify row_number() over (partition by flag_id order by known_from desc) = 1")
    behind = item.select("pmpc_id", pl.col("flag_ids").str.split(" ").alias("flag_id")).explode("flag_id").drop_nulls()
    flag = flag.join(behind.unique(), on="flag_id")
    items, persons, flags = (_split(frame) for frame in (item, person, flag))
    return [
        Draft(
            FeedHeader(feed["pmpc_id"], feed["pmpc_name"], feed["feed_no"], on, feed["previous_hash"], feed["zero_reason"]),
            items.get(feed["pmpc_id"], item.clear()),
            persons.get(feed["pmpc_id"], person.clear()),
            flags.get(feed["pmpc_id"], flag.clear()),
            placed.recall,
        )
        for feed in feeds.iter_rows(named=True)
    ]


def _split(frame: pl.DataFrame) -> dict[object, pl.DataFrame]:
    return {key[0]: part for key, part in frame.partition_by("pmpc_id", as_dict=True).items()}


def render_all(drafts: list[Draft], item_count: int, threads: int) -> Iterator[dict[str, bytes]]:
    """The files of each feed, in order; a big night's in processes."""
    workers = count_workers(threads) if item_count >= _WORTH_A_PROCESS else 1
    return share_work(render_checked, drafts, workers, chunk=4)


def _read_persons(connection: Connection, item: pl.DataFrame) -> pl.DataFrame:
    """Identified birth rows of the children of tonight's items, one a child, with an IIN learned later filled in."""
    put_frame(connection, "wanted", item.select("child_key").unique())
    put_frame(connection, "learned_iin", read_learned(connection, children=item["child_key"]))
    return read_rows(connection, """
        select b.* replace (coalesce(b.child_iin, i.child_iin) as child_iin)
        from lake.identified.birth b semi join wanted using (child_key)
        left join learned_iin i using (child_key)
        where b.known_to is null and not b.is_cancelled
        qualify row_number() over (partition by b.child_key order by b.version_at desc, b.content_hash desc) = 1""")  # fmt: skip


def _write_durably(folder: Path, files: dict[str, bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    for name, content in files.items():
        with (folder / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
