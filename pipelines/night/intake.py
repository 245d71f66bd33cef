"""Commit a staged run: what is held, what goes into the lake, what the senders are told, where the files go."""

import json
import shutil
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from pipelines.contracts import RECORDS
from pipelines.expect.judge import hold_batches, prepare
from pipelines.night.aggregate import keep_aggregates
from pipelines.night.arrived import list_waiting
from pipelines.night.assess import assess_night
from pipelines.night.audit import record_event, write_anchors
from pipelines.night.claims import settle_claims
from pipelines.night.commit import Kept, commit_kind
from pipelines.night.delivery import forget_first_day, hash_file, keep_deliveries, sweep_landing
from pipelines.night.doubt import keep_doubts
from pipelines.night.drift import keep_history, read_history
from pipelines.night.feedback import write_feedback
from pipelines.night.front_door import LEDGER_FINDING, read_staged
from pipelines.night.hold import drop_earlier, list_released, record_holds
from pipelines.night.noticing import keep_noticed, note_by_corrected_births, open_noticed
from pipelines.night.receipt import note_resent
from pipelines.night.relink import add_files, stage_unsure
from pipelines.risk.age import is_born_at_risk
from pipelines.risk.protocol import load_protocols
from pipelines.settings import PACKAGE, Settings
from pipelines.store.lake import Connection, append_rows, hold_lock, open_lake, put_frame, read_rows, transact

_SENDERS = {"submission_id": pl.String, "sender_id": pl.String, "received_count": pl.Int64, "quarantined_count": pl.Int64, "delay_days": pl.Float64}


def commit_run(settings: Settings, run_id: str, on: date) -> dict[str, int]:
    """Commit everything staged under staging/<run_id>/ in one transaction; counts of what happened.

    Killed at any moment, the lake holds the state before or the state after; what follows the transaction
    (archive, feedback) is made up for by the next run.
    """
    folder = settings.staging / run_id
    receipts = [json.loads(path.read_text()) for path in sorted(folder.glob("*/receipt.json"))]
    if any(not r["refusal_code"] for r in receipts):
        prepare()
    with hold_lock(settings), open_lake(settings, is_new=True) as connection:
        day = open_day(connection, on)
        known = _list_known(connection, receipts)
        fresh = [r for r in receipts if r["submission_id"] not in known]
        history, released = read_history(connection, fresh, day), list_released(connection)
        judged = hold_batches(fresh, folder, settings.reports / "data-docs", history, released, day)
        held = judged.codes
        counts = {"files": len(receipts), "repeated": len(receipts) - len(fresh), "held": len(held)}
        with transact(connection):
            counts |= _commit_fresh(connection, settings, run_id, folder, fresh, held, day)
            keep_deliveries(connection, receipts, {str(r["submission_id"]) for r in fresh}, day)
            keep_history(connection, judged, day)
        write_anchors(connection, settings)
        _finish(connection, settings, receipts, held, day)
    shutil.rmtree(folder, ignore_errors=True)
    return counts


def prepare_run() -> None:
    """Begin beside other work what a commit will need and what takes seconds: the library that judges batches."""
    prepare()


def open_day(connection: Connection, on: date) -> date:
    """The day from which new knowledge counts: `on`, or the day after the last one that was published (law 10)."""
    row = connection.execute(
        "select max(cast(subject as date)) from lake.ledger.event where kind = 'publish'"
    ).fetchone()
    closed = row[0] if row else None
    return max(on, closed + timedelta(days=1)) if closed else on


def say_at_risk(settings: Settings) -> pl.Expr:
    """Which children of the spine the protocol means by at risk of retinopathy, over columns of clinical.birth."""
    return is_born_at_risk(load_protocols(PACKAGE / "risk" / settings.protocol))


def record_publication(connection: Connection, on: date, counts: dict[str, int]) -> None:
    """Close the day: what arrives from now on counts from the next one (law 10)."""
    row = connection.execute(
        "select 1 from lake.ledger.event where kind = 'publish' and subject = ?", [on.isoformat()]
    ).fetchone()
    if row is None:
        record_event(connection, "publish", on.isoformat(), dict(counts))


def _commit_fresh(
    connection: Connection, settings: Settings, run_id: str, folder: Path, fresh: list[dict[str, object]],
    held: dict[str, str], day: date,
) -> dict[str, int]:  # fmt: skip
    connection.execute("create or replace temp table touched (child_key bigint)")
    open_noticed(connection, [str(r["submission_id"]) for r in fresh])
    taken = [str(r["submission_id"]) for r in fresh if not r["refusal_code"] and r["submission_id"] not in held]
    kept: dict[str, Kept] = {}
    waiting = list_waiting(connection)
    staged = {kind: [f for s in taken for f in sorted((folder / s).glob(f"accepted-{kind}-*.parquet"))] for kind in RECORDS}
    for kind in RECORDS:
        files = staged[kind]
        if kind == "aggregate":
            if files:
                kept[kind] = keep_aggregates(connection, files, day)
        elif files or kind in waiting:
            kept[kind] = commit_kind(connection, kind, files, settings, day)
        if kind == "birth":
            add_files(staged, stage_unsure(connection, settings, folder, day) if files else {})
            add_files(staged, settle_claims(connection, settings, folder, staged, day))
    note_by_corrected_births(connection, day)
    assessed = assess_night(connection, settings, day)
    note_resent(connection, folder, [r for r in fresh if r["submission_id"] in taken], day, settings.key)
    keep_doubts(connection, folder, [str(r["submission_id"]) for r in fresh], held, day)
    _write_ledger(connection, settings, run_id, folder, fresh, held, day)
    counts = {
        "records": sum(k.arrived for k in kept.values()),
        "new": sum(k.new for k in kept.values()),
        "changed": sum(k.changed for k in kept.values()),
        "waiting": sum(k.waiting for k in kept.values()),
        **assessed,
        "refused_files": sum(1 for r in fresh if r["refusal_code"]),
        "quarantined": sum(int(str(r["quarantined_count"])) for r in fresh if r["submission_id"] not in held),
    }
    if fresh:
        record_event(connection, "commit", run_id, dict(counts))
    return counts


def _list_known(connection: Connection, receipts: Iterable[dict[str, object]]) -> set[str]:
    """Submissions that need not be judged again: not those held, nor those of which more is taken now, as their people came too."""
    taken = [(r["submission_id"], r["accepted_count"] if r["delivery"] else 0) for r in receipts]
    put_frame(connection, "asked_id", pl.DataFrame(taken, {"submission_id": pl.String, "now_count": pl.Int64}, orient="row"))
    rows = connection.execute("""
        select submission_id from lake.ledger.submission join asked_id using (submission_id)
        where status <> 'held' and now_count <= accepted_count""").fetchall()
    return {row[0] for row in rows}


def _write_ledger(
    connection: Connection, settings: Settings, run_id: str, folder: Path, fresh: list[dict[str, object]],
    held: dict[str, str], day: date,
) -> None:  # fmt: skip
    ids = [str(r["submission_id"]) for r in fresh]
    waiting = read_rows(connection, """
        select submission_id, count(distinct row_no) from lake.identified.waiting
        semi join fresh_id using (submission_id) where known_to is null group by all""")  # fmt: skip
    first = dict(connection.execute("""
        select submission_id, coalesce(first_on, received_on) from lake.ledger.submission
        semi join fresh_id using (submission_id) where status = 'held'""").fetchall())
    drop_earlier(connection, settings)
    waits = dict(waiting.iter_rows())
    rows = [
        {
            **{k: r[k] for k in ("submission_id", "file_name", "size_bytes", "layout", "record_kind", "sender_id",
                                 "refusal_code", "received_count", "accepted_count", "quarantined_count")},
            "received_on": day, "first_on": first.get(r["submission_id"]), "status": _name_status(r, held), "run_id": run_id,
            "waiting_count": waits.get(str(r["submission_id"]), 0),
        }
        for r in fresh
    ]  # fmt: skip
    if rows:
        append_rows(connection, "ledger.submission", pl.DataFrame(rows, schema_overrides={"first_on": pl.Date}, infer_schema_length=None))
    senders = [(r["submission_id"], sender, *counts) for r in fresh for sender, counts in r["senders"].items()]  # type: ignore[attr-defined]
    append_rows(connection, "ledger.submission_sender", pl.DataFrame(senders, _SENDERS, orient="row"))
    told_of = pl.col("submission_id").is_in(pl.Series(ids, dtype=pl.String).implode())  # of a held file too: its sender may mend
    finding = read_staged(folder, "finding-*.parquet", LEDGER_FINDING).filter(told_of)
    holding = pl.DataFrame(
        [{"submission_id": s, "row_no": None, "column": None, "code": code, "severity": "error", "detail": None}
         for s, codes in held.items() for code in ("batch_held", *codes.split())],
        schema={"submission_id": pl.String, **LEDGER_FINDING},
    )
    append_rows(connection, "ledger.finding", pl.concat([finding, holding]))
    record_holds(connection, held)
    named = {"row_no": pl.Int64(), "source_id": pl.String()}
    keep_noticed(connection, read_staged(folder, "noted-*.parquet", dict(named)).filter(told_of))
    of_refused = {**named, **dict.fromkeys(("sender_id", "record_kind", "row_text"), pl.String())}
    append_rows(connection, "identified.quarantine", read_staged(folder, "quarantine-*.parquet", dict(of_refused)).filter(told_of))


def _name_status(receipt: dict[str, object], held: dict[str, str]) -> str:
    if receipt["refusal_code"]:
        return "refused"
    if receipt["submission_id"] in held:
        return "held"
    if receipt["received_count"] and not receipt["accepted_count"]:
        return "refused"
    return "partly_accepted" if receipt["quarantined_count"] else "accepted"


def _finish(
    connection: Connection, settings: Settings, receipts: list[dict[str, object]], held: dict[str, str], day: date
) -> None:
    """After the transaction: files leave landing, senders get their feedback; each step may be repeated."""
    for receipt in receipts:
        path = Path(str(receipt["path"]))
        if path.exists():
            folder = settings.home / "held" if receipt["submission_id"] in held else settings.archive / f"{day:%Y-%m}"
            move_file(path, folder, str(receipt["submission_id"]))
        forget_first_day(settings, str(receipt["submission_id"]))
    _move_copies(settings, receipts, held, day)
    sweep_landing(settings.landing)
    write_feedback(connection, settings, day - timedelta(days=3))


def _move_copies(settings: Settings, receipts: list[dict[str, object]], held: dict[str, str], day: date) -> None:
    """The same bytes under another name were judged with the file that was read: they leave landing with it."""
    sizes: dict[object, set[object]] = {}
    for receipt in receipts:
        sizes.setdefault(receipt["size_bytes"], set()).add(receipt["submission_id"])
    for path in settings.landing.glob("[!.]*"):  # one of an export's folder stays with its people
        judged = sizes.get(path.stat().st_size) if path.is_file() else None
        if judged and (submission_id := hash_file(path)) in judged:
            move_file(path, settings.home / "held" if submission_id in held else settings.archive / f"{day:%Y-%m}", submission_id)


def move_file(path: Path, folder: Path, submission_id: str) -> Path:
    """Move a landing file to a folder under its hash; a file that came again gets a number, nothing is overwritten."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = path.name.removeprefix(f"{submission_id[:12]}-")
    target, again = folder / f"{submission_id}-{name}", 1
    while target.exists():
        again += 1
        target = folder / f"{submission_id}-{again}-{name}"
    return path.replace(target)
