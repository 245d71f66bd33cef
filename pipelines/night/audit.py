"""The audit chain: every event carries the hash of the one before."""

import hashlib
import json
from datetime import UTC, datetime

import polars as pl

from pipelines.store.lake import Connection, append_rows


def record_event(connection: Connection, kind: str, subject: str, detail: dict[str, object]) -> None:
    """Append to the audit chain: each event carries the hash of the one before."""
    last = connection.execute(
        "select event_no, event_hash from lake.ledger.event order by event_no desc limit 1"
    ).fetchone()
    number, previous = (last[0] + 1, last[1]) if last else (1, "0" * 64)
    happened_at = datetime.now(UTC).replace(tzinfo=None)
    text = json.dumps(detail, sort_keys=True)
    event_hash = hash_event(number, happened_at, kind, subject, text, previous)
    row = pl.DataFrame(
        {"event_no": number, "happened_at": happened_at, "kind": kind, "subject": subject, "detail": text,
         "previous_hash": previous, "event_hash": event_hash}
    )  # fmt: skip
    append_rows(connection, "ledger.event", row)


def hash_event(number: int, at: datetime, kind: str, subject: str, detail: str, previous: str) -> str:
    """sha256 over an event and the hash of the event before it."""
    return hashlib.sha256("|".join([str(number), at.isoformat(), kind, subject, detail, previous]).encode()).hexdigest()
