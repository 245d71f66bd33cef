"""Batches that an expectation of severity stop holds back: a person releases or returns them, with a reason."""

import json
from pathlib import Path

from pipelines.errors import UserError
from pipelines.night.commit import record_event
from pipelines.settings import Settings
from pipelines.store.lake import hold_lock, open_lake, read_rows, transact


def list_held(settings: Settings) -> list[dict[str, object]]:
    """Held submissions: id, file, kind, counts and since when."""
    with open_lake(settings) as connection:
        return read_rows(connection, """
            select submission_id, file_name, record_kind, sender_id, received_count, quarantined_count,
                   received_on as held_since
            from lake.ledger.submission where status = 'held' order by received_on, submission_id""").to_dicts()  # fmt: skip


def list_released(settings: Settings) -> set[str]:
    """Submissions a person let pass: the check holds them no more."""
    note = settings.home / "held" / "released.json"
    return set(json.loads(note.read_text())) if note.exists() else set()


def release_held(settings: Settings, submission: str, reason: str) -> dict[str, object]:
    """Put a held file back into landing, to pass in the next run; the decision goes to the ledger."""
    with hold_lock(settings), open_lake(settings) as connection:
        submission_id, path = _find_held(settings, submission)
        note = settings.home / "held" / "released.json"
        draft = note.with_suffix(".part")
        draft.write_text(json.dumps(sorted(list_released(settings) | {submission_id})))
        draft.replace(note)
        with transact(connection):
            record_event(connection, "release", submission_id, {"reason": reason})
        settings.landing.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.replace(settings.landing / path.name)
    return {"submission_id": submission_id, "state": "released: it passes in the next run"}


def return_held(settings: Settings, submission: str, reason: str) -> dict[str, object]:
    """Give a held file back: its status becomes returned, the file goes to the archive."""
    with hold_lock(settings), open_lake(settings) as connection:
        submission_id, path = _find_held(settings, submission)
        with transact(connection):
            connection.execute(
                "update lake.ledger.submission set status = 'returned' where submission_id = ? and status = 'held'",
                [submission_id],
            )
            record_event(connection, "return", submission_id, {"reason": reason})
        folder = settings.archive / "returned"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.replace(folder / path.name)
    return {"submission_id": submission_id, "state": "returned"}


def _find_held(settings: Settings, submission: str) -> tuple[str, Path]:
    found = sorted((settings.home / "held").glob(f"{submission.lower()}*-*")) if len(submission) >= 8 else []
    if len(found) != 1:
        raise UserError("submission_not_held", "no single held submission has this id (`erte hold list`)")
    return found[0].name.split("-", 1)[0], found[0]
