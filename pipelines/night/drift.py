"""What is remembered of each sender, for the batches to come: read before a run is judged, kept when it is committed."""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any

import polars as pl

from pipelines.expect.compare import PROFILE_DAYS, USUAL_DAYS, History
from pipelines.expect.judge import Held
from pipelines.store.lake import Connection, append_rows, put_frame, read_rows


def read_history(connection: Connection, fresh: Iterable[Mapping[str, Any]], on: date) -> History:
    """The past of the senders of a run; costs by eight weeks of submissions and half a year of profiles, not by rows."""
    who = {(str(r["sender_id"]), str(r["record_kind"])) for r in fresh if r["sender_id"] and not r["refusal_code"]}
    schema = {"sender_id": pl.String, "record_kind": pl.String}
    put_frame(connection, "fresh_sender", pl.DataFrame(sorted(who), schema=schema, orient="row"))
    submission = read_rows(connection, """
        select sender_id, record_kind, coalesce(first_on, received_on) as received_on, received_count from lake.ledger.submission
        semi join fresh_sender using (sender_id, record_kind)
        where coalesce(first_on, received_on) between ? and ?::date - 1 and status in ('accepted', 'partly_accepted')""",
        [on - timedelta(days=USUAL_DAYS), on])  # fmt: skip
    profile = read_rows(connection, """
        select received_on, submission_id, sender_id, record_kind, measure, value from lake.ledger.profile
        semi join fresh_sender using (sender_id, record_kind) where received_on >= ? and received_on < ?""",
        [on - timedelta(days=PROFILE_DAYS), on])  # fmt: skip
    code = read_rows(connection, """
        select sender_id, record_kind, code from lake.ledger.sender_code
        semi join fresh_sender using (sender_id, record_kind)""")  # fmt: skip
    return History(submission, profile, code)


def keep_history(connection: Connection, judged: Held, on: date) -> None:
    """Remember what was committed; what is held is not the sender's usual, and is measured again when it is released."""
    held = pl.Series(list(judged.codes), dtype=pl.String).implode()
    kept, code = (frame.filter(~pl.col("submission_id").is_in(held)) for frame in (judged.kept, judged.code))
    append_rows(
        connection, "ledger.profile", kept.with_columns(pl.lit(on).alias("received_on")).sort("sender_id", "measure")
    )
    first = code.sort("submission_id").unique(["sender_id", "record_kind", "code"], keep="first", maintain_order=True)
    append_rows(connection, "ledger.sender_code", first.with_columns(pl.lit(on).alias("first_on")))
