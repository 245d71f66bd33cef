"""The audit chain: every event carries the hash of the one before.

A chain does not show that its end was cut off. So the hash of every event is also written down outside the lake, one line an
event, in audit/chain.txt of the home: copy that file to where those who can write to the lake cannot.
"""

import hashlib
import json
import os
import re
from datetime import UTC, datetime

import polars as pl

from pipelines.settings import Settings
from pipelines.store.lake import Connection, append_rows, hold_lock, transact

_ANCHOR = re.compile(r"[0-9]+ [0-9a-f]{64}")


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


def record_look(connection: Connection, settings: Settings, subject: str, detail: dict[str, object]) -> None:
    """Note that somebody looked at who a child is."""
    with hold_lock(settings):
        with transact(connection):
            record_event(connection, "read_identified", subject, detail)
        write_anchors(connection, settings)


def write_anchors(connection: Connection, settings: Settings) -> int:
    """Write down the hashes of events that are not in audit/chain.txt yet, also those of a run that was killed; how many."""
    path = settings.home / "audit" / "chain.txt"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    last = max(read_anchors(settings), default=0)
    events = connection.execute("select event_no, event_hash from lake.ledger.event where event_no > ? order by event_no", [last]).fetchall()
    if not events:
        return 0
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a") as file:
        file.writelines(f"\n{number} {event_hash}" for number, event_hash in events)  # after a line that a kill cut short
    return len(events)


def read_anchors(settings: Settings) -> dict[int, str]:
    """Event number -> hash, as written down outside the lake; a line that was cut short is no anchor."""
    path = settings.home / "audit" / "chain.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    told = (line.split(" ") for line in lines if _ANCHOR.fullmatch(line))
    return {int(number): event_hash for number, event_hash in told}
