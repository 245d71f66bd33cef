"""Batches that a critical expectation holds back: a person releases or returns them, with a reason.

The ledger is the only memory of a decision; a file that still lies in `held/` says what of it is left to do. So a decision
that was killed half-way is finished by saying it again, and is written once.
"""

import json
import re
import shutil
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import NamedTuple

import polars as pl

from pipelines.errors import UserError
from pipelines.night.audit import record_event, write_anchors
from pipelines.night.delivery import note_first_day, release_together
from pipelines.night.feedback import write_feedback
from pipelines.settings import Settings
from pipelines.store.lake import Connection, append_rows, hold_lock, open_lake, read_rows, transact

DECISIONS = ("release", "return", "leave")
REASON_LENGTHS = (5, 200)
_DATE = re.compile(r"\d{4}-\d\d-\d\d|\d\d\.\d\d\.\d{4}")
_LONG_NUMBER = re.compile(r"\d(?:[\s()+-]{0,3}\d){9,}")
"""Ten digits or more, also when they are spaced: an IIN has 12, a telephone number 10 or 11."""


class _Held(NamedTuple):
    submission_id: str
    status: str
    first_on: date
    files: list[Path]


def list_held(settings: Settings) -> list[dict[str, object]]:
    """Held submissions: which expectations hold each, since when, and what was decided but is not done yet."""
    with open_lake(settings) as connection:
        waiting = sorted({path.name.split("-", 1)[0] for path in _list_files(settings)})
        rows = read_rows(connection, """
            with hold as (
                select subject, min(happened_at) as held_at, arg_max(detail, event_no) as detail
                from lake.ledger.event where kind = 'hold' group by subject),
            decision as (
                select subject, arg_max(kind, event_no) as kind
                from lake.ledger.event where kind in ('release', 'return') group by subject)
            select s.submission_id, s.file_name, s.record_kind, s.sender_id, s.received_count, s.quarantined_count,
                   coalesce(h.detail ->> '$.expectations', '') as held_by,
                   coalesce(h.held_at, s.received_on::timestamp) as held_since, s.status, d.kind as decision
            from lake.ledger.submission s left join hold h on h.subject = s.submission_id
            left join decision d on d.subject = s.submission_id
            where s.status = 'held' or (s.status = 'returned' and list_contains(?, s.submission_id))
            order by held_since, s.submission_id""", [waiting]).to_dicts()  # fmt: skip
    states = [_name_state(row.pop("status"), row.pop("decision"), row["submission_id"] in waiting) for row in rows]
    return [{**row, "state": state} for row, state in zip(rows, states, strict=True)]


def list_questions(settings: Settings) -> list[dict[str, str]]:
    """For each submission that waits for a person: `subject`, its id, and `body`, what to know; counts and codes only."""
    if not (settings.catalogue or (settings.lake / "catalogue.sqlite").exists()):
        return []
    return [
        {
            "subject": str(row["submission_id"]),
            "body": f"Held since {row['held_since']:%Y-%m-%d %H:%M} UTC by **{row['held_by']}**. "
            f"{row['record_kind']} of sender {row['sender_id'] or '(several)'}: {row['received_count']} rows, of them "
            f"{row['quarantined_count']} refused. State: {row['state']}.",
        }
        for row in list_held(settings)
        if row["state"] != "released: it passes in the next run"
    ]


def decide_held(settings: Settings, submission: str, decision: str, reason: str, by: str) -> dict[str, object]:
    """Release a held submission (it passes in the next run) or return it to its sender; the decision is in the ledger.

    `leave` changes nothing. `submission` is its id or the first 8 digits or more. Raises UserError when it is not held, was decided otherwise, or
    when the reason is too short, too long, or holds what looks like an IIN, a telephone number or an address of mail.
    """
    if decision not in DECISIONS:
        raise UserError("decision_unknown", "a held batch is released, returned or left: say release, return or leave")
    if decision == "leave":
        return {"submission_id": submission, "state": "held", "by": by}
    reason, by = _check_reason(reason), _check_person(by)
    with hold_lock(settings), open_lake(settings) as connection:
        held = _find_held(connection, settings, submission)
        if decision == "release":
            _release(connection, settings, held, reason, by)
        else:
            _return(connection, settings, held, reason, by)
        write_anchors(connection, settings)
    state = "released: it passes in the next run" if decision == "release" else "returned"
    return {"submission_id": held.submission_id, "state": state, "by": by}


def list_released(connection: Connection) -> set[str]:
    """Submissions a person let pass: the check holds them no more."""
    return {
        row[0] for row in connection.execute("select subject from lake.ledger.event where kind = 'release'").fetchall()
    }


def drop_earlier(connection: Connection, settings: Settings) -> None:
    """Forget what was said of the submissions of temp table `fresh_id` when they came before: they are judged anew.

    They were held, or came again with people whom they lacked then.
    """
    ids = connection.execute("select submission_id from lake.ledger.submission semi join fresh_id using (submission_id)").fetchall()
    for (submission_id,) in ids:
        for table in ("ledger.submission", "ledger.submission_sender", "ledger.finding", "ledger.profile", "ledger.resent", "ledger.settlement",
                      "identified.noted", "identified.quarantine"):  # fmt: skip
            connection.execute(f"delete from lake.{table} where submission_id = ?", [submission_id])
        shutil.rmtree(settings.reports / "feedback" / submission_id, ignore_errors=True)


def record_holds(connection: Connection, held: Mapping[str, str]) -> None:
    """An event for each submission that is newly held, or now by other expectations."""
    for submission_id, codes in held.items():
        detail: dict[str, object] = {"expectations": codes}
        last = connection.execute(
            "select arg_max(detail, event_no) from lake.ledger.event where kind = 'hold' and subject = ?",
            [submission_id],
        ).fetchone()
        if last is None or last[0] != json.dumps(detail, sort_keys=True):
            record_event(connection, "hold", submission_id, detail)


def _release(connection: Connection, settings: Settings, held: _Held, reason: str, by: str) -> None:
    if held.status == "returned":
        raise UserError("submission_not_held", "this submission was returned to its sender: it cannot be released")
    with transact(connection):
        _record_once(connection, "release", held.submission_id, reason, by)
    settings.landing.mkdir(parents=True, exist_ok=True, mode=0o700)
    note_first_day(settings, held.submission_id, held.first_on)
    for path in held.files:
        if release_together(connection, settings, held.submission_id, path):
            path.unlink()
            continue
        path.replace(settings.landing / f"{held.submission_id[:12]}-{path.name.removeprefix(held.submission_id + '-')}")


def _return(connection: Connection, settings: Settings, held: _Held, reason: str, by: str) -> None:
    with transact(connection):
        if held.status == "held":
            connection.execute(
                "update lake.ledger.submission set status = 'returned' where submission_id = ?", [held.submission_id]
            )
            told = pl.DataFrame(
                {"submission_id": held.submission_id, "row_no": None, "column": None, "code": "batch_returned",
                 "severity": "error", "detail": None},
                schema={"submission_id": pl.String, "row_no": pl.Int64, "column": pl.String, "code": pl.String,
                        "severity": pl.String, "detail": pl.String},
            )  # fmt: skip
            connection.execute(
                "delete from lake.ledger.finding where submission_id = ? and code = 'batch_held'", [held.submission_id]
            )
            append_rows(connection, "ledger.finding", told)
        _record_once(connection, "return", held.submission_id, reason, by)
    row = connection.execute(
        "select received_on from lake.ledger.submission where submission_id = ?", [held.submission_id]
    ).fetchone()
    assert row is not None  # noqa: S101  # it was found there
    shutil.rmtree(settings.reports / "feedback" / held.submission_id, ignore_errors=True)
    write_feedback(connection, settings, row[0])
    folder = settings.archive / "returned"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in held.files:  # last: while a file lies in held/, the return is not done
        path.replace(folder / path.name)


def _record_once(connection: Connection, kind: str, submission_id: str, reason: str, by: str) -> None:
    found = connection.execute(
        "select 1 from lake.ledger.event where kind = ? and subject = ? limit 1", [kind, submission_id]
    ).fetchone()
    if found is None:
        record_event(connection, kind, submission_id, {"reason": reason, "by": by})


def _find_held(connection: Connection, settings: Settings, submission: str) -> _Held:
    """The one submission that is held, or whose return was not finished; UserError when there is none, or several."""
    asked = submission.lower()
    files = [path for path in _list_files(settings) if path.name.startswith(asked)]
    left = sorted({path.name.split("-", 1)[0] for path in files})
    found = read_rows(connection, """
        select submission_id, status, coalesce(first_on, received_on) from lake.ledger.submission where starts_with(submission_id, ?)
        and (status = 'held' or (status = 'returned' and list_contains(?, submission_id)))""", [asked, left])  # fmt: skip
    if len(submission) < 8 or len(found) != 1:
        raise UserError("submission_not_held", "no single held submission has this id (`erte hold list`)")
    submission_id, status, first_on = found.row(0)
    return _Held(submission_id, status, first_on, [path for path in files if path.name.startswith(submission_id)])


def _list_files(settings: Settings) -> list[Path]:
    folder = settings.home / "held"
    return sorted(path for path in folder.iterdir() if re.match(r"[0-9a-f]{64}-", path.name)) if folder.exists() else []


def _name_state(status: object, decision: object, is_left: bool) -> str:
    if status == "returned":
        return "returned, but not finished: say it again"
    if decision == "release":
        return "released, but not finished: say it again" if is_left else "released: it passes in the next run"
    return "held"


def _check_reason(reason: str) -> str:
    text = " ".join(reason.split())
    if not REASON_LENGTHS[0] <= len(text) <= REASON_LENGTHS[1]:
        least, most = REASON_LENGTHS
        raise UserError(
            "reason_length", f"the reason needs {least} to {most} characters: it is kept in the ledger for good"
        )
    if "@" in text or _LONG_NUMBER.search(_DATE.sub(" . ", text)):
        raise UserError("reason_personal", "the reason seems to hold an IIN, a telephone number or an address: leave out who "
                        "it is about, it is kept in the ledger for good")  # fmt: skip
    return text


def _check_person(by: str) -> str:
    text = " ".join(by.split())
    if not 1 <= len(text) <= 64:
        raise UserError("person_missing", "say who decides, in 1 to 64 characters (--by)")
    return text
