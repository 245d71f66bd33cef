"""Answers from the store for `erte status`, `ledger` and `explain`: what we hold, and why."""

import json
from datetime import date
from pathlib import Path

import polars as pl

from pipelines.errors import UserError
from pipelines.night.audit import record_look
from pipelines.night.delivery import hash_file
from pipelines.night.front_door import list_arrivals
from pipelines.night.receipt import FINDING, list_closings, list_receipts, read_receipts
from pipelines.night.spine import read_learned
from pipelines.risk.calendar import EXAMINED, list_calendar
from pipelines.risk.protocol import describe_rule, load_protocols
from pipelines.risk.shape import Protocol
from pipelines.settings import PACKAGE, Settings
from pipelines.store.lake import Connection, open_lake, put_frame, read_current, read_rows


def tell_status(settings: Settings) -> dict[str, object]:
    """What happened lately and where to look: submissions by status, places of flags, the last feeds and release."""
    with open_lake(settings) as connection:
        submissions = read_rows(connection, """
            select received_on, record_kind, status, count(*)::bigint as files, sum(received_count)::bigint as received,
                   sum(case when status in ('held', 'returned') then 0 else accepted_count end)::bigint as accepted,
                   sum(quarantined_count)::bigint as quarantined, sum(waiting_count)::bigint as waited
            from lake.ledger.submission where received_on > (select max(received_on) - 7 from lake.ledger.submission)
            group by all order by all""")  # fmt: skip
        places = read_rows(connection, """
            select place, reason, count(*)::bigint as flags, count(distinct child_key)::bigint as children
            from lake.clinical.placement where known_to is null group by all order by all""")  # fmt: skip
        feeds = read_rows(connection, """
            select composed_on, count(*)::bigint as feeds, sum(referral_count)::bigint as referrals,
                   sum(recall_count)::bigint as recalls, count(*) filter (item_count = 0)::bigint as zero_feeds
            from lake.ledger.feed group by all order by composed_on desc limit 7""")  # fmt: skip
        waiting = read_rows(connection, """
            select record_kind, reason, count(*)::bigint as records from lake.identified.waiting
            where known_to is null group by all order by all""")  # fmt: skip
    pointer = settings.published / "erte.duckdb"
    return {
        "submissions": submissions.to_dicts(), "flags": places.to_dicts(), "feeds": feeds.to_dicts(),
        "waiting": waiting.to_dicts(),
        "where": [
            {"what": "published warehouse", "path": str(pointer) if pointer.exists() else "not published yet"},
            {"what": "feeds, one folder a PMPC", "path": str(settings.outbox)},
            {"what": "feedback, one folder a submission", "path": str(settings.reports / "feedback")},
            {"what": "report cards, one a sender", "path": str(settings.reports / "sender" / "index.html")},
            {"what": "worklists, one file a facility", "path": str(settings.reports / "worklist")},
            {"what": "examinations due and overdue, one file a facility", "path": str(settings.reports / "due")},
            {"what": "checks of batches (Data Docs)", "path": str(settings.reports / "data-docs")},
        ],
    }  # fmt: skip


def tell_submission(settings: Settings, submission: str) -> dict[str, object]:
    """The receipt of one submission: state, counts, findings by code, what mended it, and the feeds its records went on to.

    `state`: received (in landing, not judged), waiting (accepted, some rows wait for their child), held, partly_accepted,
    accepted, refused or returned.
    """
    if landed := _find_landed(settings, submission):
        return landed
    with open_lake(settings) as connection:
        row = find_submission(connection, submission, settings)
        given = [row["submission_id"]]
        (receipt,) = read_receipts(connection, [str(row["submission_id"])]).to_dicts()
        findings = read_rows(connection, f"""
            select code, "column", severity, count(*)::bigint as "rows", min(row_no) as first_row
            from {FINDING.format(asked="asked_receipt")} group by all order by all""")  # fmt: skip
        closings = list_closings(connection, str(row["submission_id"]))
        feeds = read_rows(connection, """
            with record as (
                select child_key, row_no from lake.clinical.screening where submission_id = $1
                union select child_key, row_no from lake.identified.birth where submission_id = $1
                union select child_key, row_no from lake.clinical.consent where submission_id = $1
                union select child_key, row_no from lake.clinical.confirmation where submission_id = $1)
            select r.pmpc_id, r.feed_no, r.composed_on, r.item_kind, count(distinct r.referral_id)::bigint as referrals,
                count(distinct row_no)::bigint as "rows", min(row_no) as first_row
            from record join lake.clinical.referral r using (child_key) group by all order by all""", given)  # fmt: skip
    return {**receipt, "findings": findings.to_dicts(), "resent_in": closings.to_dicts(), "feeds": feeds.to_dicts(),
            "feedback": str(settings.reports / "feedback" / str(row["submission_id"]) / "feedback.html")}  # fmt: skip


def tell_ledger(
    settings: Settings, sender: str | None, state: str | None, since: date | None, most: int
) -> list[dict[str, object]]:
    """The newest receipts of the ledger, files in landing first; by sender, state and day."""
    landed: list[dict[str, object]] = [] if sender or since or state not in (None, "received") else [
        {"submission_id": hash_file(path), "file_name": path.name, "state": "received"} for path in _list_landed(settings)
    ]  # fmt: skip
    if state == "received":
        return landed[:most]
    with open_lake(settings) as connection:
        kept = list_receipts(connection, sender=sender, state=state, since=since).head(most)
    columns = ["submission_id", "file_name", "state", "received_on", "sender_id", "record_kind", "received_count",
               "accepted_count", "untaken_count", "quarantined_count", "mended_count", "refused_again_count", "open_count", "waiting_now",
               "rival_count", "refusal_code"]  # fmt: skip
    blank = dict.fromkeys(columns)
    return [*({**blank, **row} for row in landed), *kept.select(columns).to_dicts()][:most]


def explain_child(settings: Settings, child: str) -> dict[str, object]:
    """One child by pseudonym: results, verdicts, flags with rule and inputs, consents, places, referrals, files.

    A child may be asked for by child key, flag id, referral id or IIN; by IIN the look is written to the ledger.
    """
    with open_lake(settings) as connection:
        child_key = _find_child(connection, settings, child)
        given = [child_key]

        def ask(table: str, columns: str, order: str) -> list[dict[str, object]]:
            where = "child_key = ?" + ("" if table == "clinical.referral" else " and known_to is null")
            return read_rows(
                connection, f"select {columns} from lake.{table} where {where} order by {order}", given
            ).to_dicts()

        flags = ask("clinical.flag", "* exclude (child_key, known_to)", "examined_on")
        protocols = load_protocols(PACKAGE / "risk" / settings.protocol)
        for flag in flags:
            rule = describe_rule(protocols, str(flag["rule_code"]), str(flag["protocol"]))
            flag |= {"inputs": json.loads(str(flag["inputs"])), "why": rule.text, "what_would_clear_it": rule.clears}
        sources = read_rows(connection, """
            with used as (
                select submission_id, row_no, 'screening' as record_kind from lake.clinical.screening where child_key = $1
                union all select submission_id, row_no, 'birth' from lake.identified.birth where child_key = $1
                union all select submission_id, row_no, 'consent' from lake.clinical.consent where child_key = $1
                union all select submission_id, row_no, 'confirmation' from lake.clinical.confirmation where child_key = $1
                union all select submission_id, row_no, 'pmpc_report' from lake.clinical.pmpc_report where child_key = $1)
            select u.record_kind, s.received_on, s.file_name, u.row_no, left(u.submission_id, 12) as submission
            from used u join lake.ledger.submission s using (submission_id) order by all""", given)  # fmt: skip
        return {
            "child_key": child_key,
            "birth": ask("clinical.birth", "birth_on, sex_code, birth_weight_g, gestation_wk, plurality, kato4, phc_id", "1"),
            "results": ask("clinical.screening", "examined_on, programme, component, stage_code, value, unit, result_code, "
                           "status_code, suggested_icd10, known_from", "examined_on, programme, component"),
            "verdicts": ask("clinical.verdict", "programme, verdict, decided_on, suspected, repeat_due_on, known_from", "programme"),
            "flags": flags,
            "consents": ask("clinical.consent", "purpose, decision, is_cancelled, decided_on, valid_until, authority_code", "decided_on"),
            "confirmations": ask("clinical.confirmation", "programme, confirmation, confirmed_on", "confirmed_on"),
            "places": ask("clinical.placement", "flag_id, place, reason, owner_id, referral_id, known_from", "flag_id"),
            "referrals": ask("clinical.referral", "referral_id, item_kind, pmpc_id, feed_no, composed_on", "composed_on"),
            "reports": ask("clinical.pmpc_report", "referral_id, report_status, is_cancelled, reported_on, category_codes", "reported_on"),
            "calendar": _list_steps(connection, protocols, child_key),
            "sources": sources.to_dicts(),
        }  # fmt: skip


def _list_steps(connection: Connection, protocols: tuple[Protocol, ...], child_key: int) -> list[dict[str, object]]:
    """What is done, late, declined, due, overdue or untold for a child, as of the last day on which anything was received."""
    row = connection.execute("select max(received_on) from lake.ledger.submission").fetchone()
    if row is None or row[0] is None:
        return []
    where = f"child_key = {int(child_key)}"
    examined = read_current(connection, "clinical.screening", where + " and not is_cancelled")
    steps = list_calendar(
        read_current(connection, "clinical.birth", where), examined.select(EXAMINED),
        read_current(connection, "clinical.verdict", where), protocols, row[0],
    )  # fmt: skip
    return steps.drop("child_key").to_dicts()


def _list_landed(settings: Settings) -> list[Path]:
    return [Path(name) for group in list_arrivals(settings) for name in group]


def _find_landed(settings: Settings, submission: str) -> dict[str, object] | None:
    """A file that lies in landing and is not in the ledger yet."""
    asked = submission.lower()
    if len(asked) < 8:
        return None
    found = [(hash_file(path), path) for path in _list_landed(settings)]
    ids = {submission_id for submission_id, _ in found if submission_id.startswith(asked)}
    if len(ids) != 1 or _is_in_ledger(settings, *ids):
        return None
    path = next(path for submission_id, path in found if submission_id in ids)
    return {"submission_id": ids.pop(), "file_name": path.name, "size_bytes": path.stat().st_size, "state": "received",
            "next": "it lies in landing and is judged by the next run"}  # fmt: skip


def _is_in_ledger(settings: Settings, submission_id: str) -> bool:
    try:
        with open_lake(settings) as connection:
            query = "from lake.ledger.submission where submission_id = ?"
            return len(read_rows(connection, query, [submission_id])) > 0
    except UserError as error:
        if error.code != "lake_missing":
            raise
        return False


def find_submission(connection: Connection, submission: str, settings: Settings) -> dict[str, object]:
    """The ledger's row of a submission, by its id or the beginning of it.

    Raises UserError submission_unknown, submission_ambiguous, submission_not_judged.
    """
    found = read_rows(
        connection, "from lake.ledger.submission where starts_with(submission_id, ?) limit 2", [submission.lower()]
    ).to_dicts()
    if not found and _find_landed(settings, submission):
        raise UserError("submission_not_judged", "this file lies in landing: it is judged by the next run (`erte run`)")
    if len(submission) < 8 or not found:
        raise UserError("submission_unknown", "no submission has this id: give at least 8 digits of it (`erte status`)")
    if len(found) > 1:
        raise UserError("submission_ambiguous", "more than one submission starts so: give more digits")
    return found[0]


def _find_child(connection: Connection, settings: Settings, child: str) -> int:
    asked: list[tuple[str, object]] = []
    if child[:1] == "F":
        asked = [("select child_key from lake.clinical.flag where flag_id = ?", child)]
    elif child[:1] == "R":
        asked = [("select child_key from lake.clinical.referral where referral_id = ?", child)]
    elif child.isdigit():
        if len(child) == 12:
            put_frame(connection, "learned_iin", read_learned(connection, iins=pl.Series([child])))
            asked = [("select child_key from lake.identified.birth where child_iin = ? and known_to is null", child),
                     ("select child_key from learned_iin where child_iin = ?", child)]  # fmt: skip
        if int(child) < 2**63:
            asked.append(("select child_key from lake.clinical.birth where child_key = ?", int(child)))
    for query, value in asked:
        row = connection.execute(query + " limit 1", [value]).fetchone()
        if row:
            if "child_iin" in query:
                record_look(connection, settings, str(row[0]), {"by": "iin"})
            return int(row[0])
    raise UserError("child_unknown", "no child is known by this: give a child key, flag id, referral id or IIN")
