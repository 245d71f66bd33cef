"""The files that were received, opened once more, and the records in them: how they named their child is kept nowhere else."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path

import polars as pl

from pipelines.contracts import RECORDS
from pipelines.errors import UserError
from pipelines.intake.keys import add_keys
from pipelines.intake.receive import judge_chunk, open_submission
from pipelines.intake.refusal import FileRefusedError
from pipelines.intake.unpack import open_plain
from pipelines.night.delivery import find_company, find_file
from pipelines.night.front_door import set_limits
from pipelines.settings import Settings
from pipelines.store.lake import Connection, read_rows


@contextmanager
def open_archived(settings: Settings, receipt: Mapping[str, object]) -> Iterator[Path | None]:
    """The file of a submission as it was before it was packed; None where it is nowhere, or cannot be unpacked."""
    submission_id, name = str(receipt["submission_id"]), str(receipt["file_name"])
    usual = settings.archive / f"{receipt['received_on']:%Y-%m}" / f"{submission_id}-{name.removeprefix(submission_id[:12] + '-')}"
    path = usual if usual.exists() else find_file(settings, submission_id)  # a folder of a month may hold very many
    with ExitStack() as stack:
        try:
            plain = stack.enter_context(open_plain(path, set_limits(settings))) if path else None
        except FileRefusedError:
            plain = None
        yield plain


def read_again(connection: Connection, settings: Settings, kind: str, held: pl.DataFrame) -> pl.DataFrame:
    """The records of `held` (record_key, submission_id, row_no, version_at) in all columns of their contract, with keys.

    One row for each of `held`, or UserError archive_unreadable: a file is gone, or its layout no longer reads it.
    """
    received = dict(connection.execute("select submission_id, coalesce(first_on, received_on) from lake.ledger.submission").fetchall())
    parts = [add_keys(RECORDS[kind].create_empty(), kind)]
    for (submission_id,), wanted in held.partition_by("submission_id", as_dict=True, maintain_order=True).items():
        records = judge_again(connection, settings, submission_id, received[submission_id]).get(kind, parts[0])
        parts.append(records.filter(pl.col("row_no").is_in(wanted["row_no"].unique().implode())))
    found = pl.concat(parts).unique(["record_key", "submission_id", "row_no"], maintain_order=True)
    versions = held.select("record_key", "submission_id", "row_no", pl.col("version_at").alias("held_at"))
    again = found.join(versions, on=["record_key", "submission_id", "row_no"])
    if len(again) != len(held):
        raise UserError("archive_unreadable", f"{len(held) - len(again)} records could not be read again from their archived files")
    return again.with_columns(pl.col("held_at").alias("version_at")).drop("held_at")


def judge_again(
    connection: Connection, settings: Settings, submission_id: str, received_on: date
) -> dict[str, pl.DataFrame]:
    """Kind -> the accepted records of a file that was received, with their keys. Raises UserError archive_unreadable.

    Rows that were refused then are left out: some are only when the whole file is known (night.rivals).
    """
    path = _find_file(settings, submission_id)
    refused_then = read_rows(connection, "select row_no from lake.identified.quarantine where submission_id = ?", [submission_id])
    is_open = ~pl.col("row_no").is_in(refused_then["row_no"].implode())
    try:
        opened = open_submission(path, set_limits(settings), find_company(connection, settings, path, submission_id))
        judged = [judge_chunk(chunk, opened.layout, submission_id, received_on) for chunk in opened.chunks]
    except FileRefusedError as refused:
        raise UserError("archive_unreadable", f"an archived file is refused now: {refused.code}") from None
    parts = [(j.kind, add_keys(j.accepted, j.kind).filter(is_open)) for j in judged if len(j.accepted)]
    return {kind: pl.concat(part for other, part in parts if other == kind) for kind in dict.fromkeys(kind for kind, _ in parts)}


def _find_file(settings: Settings, submission_id: str) -> Path:
    kept = find_file(settings, submission_id)
    if kept is None:
        raise UserError("archive_unreadable", f"the file of submission {submission_id[:12]} is not in the archive")
    return kept
