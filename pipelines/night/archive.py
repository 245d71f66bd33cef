"""The files that were received, opened once more, and the records in them: how they named their child is kept nowhere else."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import polars as pl

from pipelines.contracts import RECORDS
from pipelines.errors import UserError
from pipelines.intake.keys import add_keys
from pipelines.intake.receive import judge_chunk, open_submission
from pipelines.intake.refusal import FileRefusedError
from pipelines.intake.unpack import MAGIC, unpack_file
from pipelines.night.front_door import set_limits
from pipelines.settings import Settings
from pipelines.store.lake import Connection


@contextmanager
def open_archived(settings: Settings, submission_id: str, received_on: object) -> Iterator[Path | None]:
    """The file of a submission as it was before it was packed; None where it is nowhere, or cannot be unpacked."""
    places = (f"archive/{received_on:%Y-%m}", "held", "archive/*")  # the month alone is nearly always enough
    found = (path for place in places for path in sorted(settings.home.glob(f"{place}/{submission_id}-*")))
    path = next(found, None)
    if path is None or not _is_packed(path):
        yield path
        return
    try:
        unpacked = unpack_file(path, set_limits(settings))
    except FileRefusedError:
        yield None
        return
    with unpacked:
        yield Path(unpacked.name)


def read_again(connection: Connection, settings: Settings, kind: str, held: pl.DataFrame) -> pl.DataFrame:
    """The records of `held` (record_key, submission_id, row_no, version_at) in all columns of their contract, with keys.

    One row for each of `held`, or UserError archive_unreadable: a file is gone, or its layout no longer reads it.
    """
    received = dict(connection.execute("select submission_id, received_on from lake.ledger.submission").fetchall())
    parts = [add_keys(RECORDS[kind].create_empty(), kind)]
    for (submission_id,), wanted in held.partition_by("submission_id", as_dict=True, maintain_order=True).items():
        parts += _read_rows(_find_file(settings, submission_id), kind, wanted, received[submission_id])
    found = pl.concat(parts).unique(["record_key", "submission_id", "row_no"], maintain_order=True)
    versions = held.select("record_key", "submission_id", "row_no", pl.col("version_at").alias("held_at"))
    again = found.join(versions, on=["record_key", "submission_id", "row_no"])
    if len(again) != len(held):
        raise UserError("archive_unreadable", f"{len(held) - len(again)} records could not be read again from their archived files")
    return again.with_columns(pl.col("held_at").alias("version_at")).drop("held_at")


def _read_rows(path: Path, kind: str, wanted: pl.DataFrame, received_on: date) -> list[pl.DataFrame]:
    try:
        opened = open_submission(path)
        judged = [judge_chunk(chunk, opened.layout, wanted["submission_id"][0], received_on) for chunk in opened.chunks]
    except FileRefusedError as refused:
        raise UserError("archive_unreadable", f"an archived file is refused now: {refused.code}") from None
    rows = wanted["row_no"].unique().implode()
    accepted = [j.accepted.filter(pl.col("row_no").is_in(rows)) for j in judged if j.kind == kind]
    return [add_keys(part, kind) for part in accepted if len(part)]


def _find_file(settings: Settings, submission_id: str) -> Path:
    kept = sorted(settings.archive.rglob(f"{submission_id}-*")) or sorted(settings.landing.glob(f"{submission_id[:12]}-*"))
    if not kept:
        raise UserError("archive_unreadable", f"the file of submission {submission_id[:12]} is not in the archive")
    return kept[0]


def _is_packed(path: Path) -> bool:
    """True for a gzip."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC
