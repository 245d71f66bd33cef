"""The nightly report cards: one page and one JSON a sender, and the steward's overview; from counts, of no child."""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from pipelines.contracts import EVENT_ON
from pipelines.indicators.funnel import LEVELS, Funnel, fit_funnel, limit_funnel, place_sender
from pipelines.indicators.sender import WEEKS, expect_deliveries, sum_weeks, tell_trend
from pipelines.intake.card import draw_funnel, render_card, render_index
from pipelines.intake.feedback import name_headers
from pipelines.intake.senders import find_medians
from pipelines.night.lists import count_unowned, read_due_counts
from pipelines.night.receipt import list_receipts
from pipelines.settings import Settings
from pipelines.store.lake import Connection, open_lake, read_rows
from pipelines.store.registers import read_registers

_DAYS = 7 * WEEKS
_HISTORY_DAYS = _DAYS + 7
_COMMONEST, _LINES = 5, 5
_RESULT_AFTER_DAYS, _BIRTH_DAYS = 14, 90
"""Births are asked for a result from 14 days on (blood spot and hearing are due in the first days), back to 90."""
_POINTS = 60
_JUDGED = ("waiting", "accepted", "partly_accepted", "refused")


def write_report_cards(settings: Settings, on: date) -> dict[str, int]:
    """Cards of the eight weeks up to a day under reports/sender/; counts. Asked again, it writes the same."""
    with open_lake(settings) as connection:
        receipts = list_receipts(connection, since=on - timedelta(days=_HISTORY_DAYS)).filter(pl.col("received_on") <= on)
        receipts = receipts.with_columns(pl.coalesce("first_on", "received_on").alias("received_on"))  # a steward's days are not the sender's
        shares = read_rows(connection, "select submission_id, sender_id, received_count, quarantined_count from lake.ledger.submission_sender")
        since = on - timedelta(days=_DAYS - 1)
        found: dict[str, Any] = {
            "finding": _split(_read_findings(connection, since, on)),
            "delay": _read_delays(connection, since, on),
            "open": dict(_read_open(connection).iter_rows()),
            "birth": {row[0]: row[1:] for row in _read_births(connection, on).iter_rows()},
        }
    registers = read_registers(settings)
    names = dict(registers["facility"].select("facility_id", "facility_name").iter_rows())
    registered = {*names, *registers["pmpc"]["pmpc_id"]}
    told = _share_files(receipts, shares)
    of_sender = _split(told)
    for silent in (set(found["open"]) & registered | set(found["birth"])) - set(of_sender):  # what a refused row names may be nobody
        of_sender[silent] = receipts.clear()
    counted = {sender: _count_rows(part, since) for sender, part in of_sender.items()}
    refused, rows = (np.array([c[k] for c in counted.values()], dtype=np.int64) for k in (0, 1))
    funnel = fit_funnel(refused, rows)
    folder, draft = settings.reports / "sender", settings.reports / ".sender"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True, mode=0o700)
    band, cards = _draw_band(funnel, rows), []
    for sender in sorted(of_sender):
        card = _make_card(sender, of_sender[sender], counted[sender], funnel, found, on) | {"sender_name": names.get(sender)}
        if sender not in registered:
            card["signals"].append("unregistered")
        others = [(n, x / n) for other, (x, n) in counted.items() if other != sender and n]
        own = (card["rows"], card["share"]) if card["rows"] else None
        chart = draw_funnel(band, funnel.share, others, own) if rows.sum() else ""
        (draft / f"{card['page']}").write_text(render_card(card, chart), "utf-8")
        (draft / card["page"].replace(".html", ".json")).write_text(json.dumps(card, ensure_ascii=False, indent=1))
        cards.append(card)
    held = receipts.filter(pl.col("state") == "held").to_dicts()
    unnamed = told.filter(pl.col("sender_id").is_null() & (pl.col("received_on") >= since))
    states = dict(unnamed.group_by("state").len().sort("state").iter_rows())
    overview = render_index(cards, held, states, read_due_counts(settings), count_unowned(settings), on.isoformat())
    (draft / "index.html").write_text(overview, "utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)
    return {"senders": len(cards), "held": len(held), "missing": sum(bool(c["missing_days"] or c["is_overdue"]) for c in cards)}


def name_page(sender_id: str) -> str:
    """The file name of a sender's page; an id that could be a path is named by its hash."""
    plain = re.fullmatch(r"\w[\w-]{0,39}", sender_id, re.ASCII) and sender_id != "index"
    return (sender_id if plain else hashlib.sha256(sender_id.encode()).hexdigest()[:16]) + ".html"


def _make_card(
    sender: str, receipt: pl.DataFrame, counted: tuple[int, int], funnel: Funnel, found: Mapping[str, Any], on: date
) -> dict[str, Any]:
    judged = receipt.filter(pl.col("state").is_in(_JUDGED))
    weeks = sum_weeks(judged, on)
    rhythm = expect_deliveries(receipt["received_on"], on)
    x, n = counted
    births, without = found["birth"].get(sender, (0, 0))
    place = place_sender(funnel, x, n)
    held = receipt.filter(pl.col("state") == "held")
    returned = receipt.filter((pl.col("state") == "returned") & (pl.col("received_on") > on - timedelta(days=_DAYS)))
    signals = [
        name for name, applies in (
            (place, place in ("above", "far_above")), ("late", rhythm.missing or rhythm.is_overdue), ("births", without),
        ) if applies
    ]  # fmt: skip
    return {
        "sender_id": sender, "page": name_page(sender), "since": (on - timedelta(days=_DAYS - 1)).isoformat(), "on": on.isoformat(),
        "files": int(weeks["files"].sum()), "rows": n, "refused": x, "share": x / n if n else None,
        "national_share": None if np.isnan(funnel.share) else funnel.share, "place": place, "trend": tell_trend(weeks),
        "weeks": [{**w, "week_from": w["week_from"].isoformat()} for w in weeks.to_dicts()],
        "delay_days": found["delay"].get(sender), "open_count": int(found["open"].get(sender, 0)), "held_count": len(held),
        "returned_count": len(returned),
        "last_on": receipt["received_on"].max().isoformat() if len(receipt) else None,  # type: ignore[union-attr]
        "missing_days": [day.isoformat() for day in rhythm.missing], "since_last": rhythm.since_last,
        "usual_interval": rhythm.usual_interval, "is_overdue": rhythm.is_overdue,
        "births": births, "births_without": without, "births_since": (on - timedelta(days=_BIRTH_DAYS)).isoformat(),
        "births_until": (on - timedelta(days=_RESULT_AFTER_DAYS)).isoformat(), "signals": signals,
        "findings": _tell_commonest(found["finding"].get(sender)),
    }  # fmt: skip


def _share_files(receipt: pl.DataFrame, shares: pl.DataFrame) -> pl.DataFrame:
    """Receipts with a file of several senders once for each of them, and only that sender's rows counted."""
    own = ["sender_id", "received_count", "quarantined_count"]
    shared = receipt.drop(own).join(shares.with_columns(pl.col(own[1:]).fill_null(0)), on="submission_id").select(receipt.columns)
    return pl.concat([receipt.join(shares, on="submission_id", how="anti"), shared])


def _count_rows(receipt: pl.DataFrame, since: date) -> tuple[int, int]:
    """(refused, received) rows of judged files since a day."""
    judged = receipt.filter(pl.col("state").is_in(_JUDGED) & (pl.col("received_on") >= since))
    return int(judged["quarantined_count"].sum()), int(judged["received_count"].sum())


def _draw_band(funnel: Funnel, rows: np.ndarray) -> dict[str, list[tuple[float, float, float]]]:
    widest = max(int(rows.max()) if len(rows) else 0, _POINTS)
    grid = np.unique(np.linspace(1, widest, _POINTS).astype(int))
    return {
        level: [(float(n), float(low), float(high)) for n, low, high in zip(grid, *limit_funnel(funnel, grid, level), strict=True)]
        for level in LEVELS
    }


def _split(told: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The rows of each sender."""
    return {str(key[0]): part for key, part in told.drop_nulls("sender_id").partition_by("sender_id", as_dict=True).items()}


def _tell_commonest(finding: pl.DataFrame | None) -> list[dict[str, Any]]:
    """The commonest errors with the newest file and its first lines; the column as the sender writes it."""
    if finding is None:
        return []
    return [
        {"code": row["code"], "column": name_headers(row["layout"]).get(row["column"] or "", row["column"]), "rows": row["rows"],
         "submission_id": row["submission_id"], "file_name": row["file_name"], "lines": row["lines"]}
        for row in finding.sort("rows", "code", descending=[True, False]).head(_COMMONEST).to_dicts()
    ]  # fmt: skip


def _read_findings(connection: Connection, since: date, on: date) -> pl.DataFrame:
    """Grain: sender x code x column: rows, and the newest file in which it occurs with its first lines."""
    return read_rows(connection, f"""
        with whose as (
            select submission_id, row_no, sender_id from lake.identified.quarantine
            semi join (from lake.ledger.submission_sender) using (submission_id)),
        told as (
            select coalesce(w.sender_id, s.sender_id) as sender_id, f.code, f."column", s.submission_id, any_value(s.file_name) as file_name,
                any_value(s.layout) as layout, any_value(s.received_on) as received_on,
                count(distinct f.row_no)::bigint as "rows", list_sort(min(f.row_no, {_LINES})) as lines
            from lake.ledger.finding f join lake.ledger.submission s using (submission_id)
            left join whose w on (w.submission_id, w.row_no) = (f.submission_id, f.row_no)
            where s.received_on between ? and ? and f.severity = 'error' and f.row_no is not null group by all)
        select sender_id, code, "column", sum("rows")::bigint as "rows",
            arg_max(struct_pack(submission_id, file_name, layout, lines), (received_on, submission_id)) as example
        from told where sender_id is not null group by all order by all""", [since, on]).unnest("example")  # fmt: skip


def _read_delays(connection: Connection, since: date, on: date) -> dict[str, float]:
    """Sender -> median days from the event to the receipt of births, results and consents that first came then.

    Of the waiting too: that nobody has sent the birth yet is not the doing of who sent the result. The median of a file of
    several senders stands for each of the records that a sender has in it.
    """
    tables = {"birth": "identified.birth", "screening": "clinical.screening", "consent": "clinical.consent"}
    told = [
        f"""select alone.sender_id, alone.received_on - {EVENT_ON[kind]} as days from lake.{table} v join alone using (submission_id)
            where known_from between $1 and $2 and not exists (
                from lake.{table} e where e.known_to between $1 and $2 and (e.record_key, e.known_to) = (v.record_key, v.known_from))"""
        for kind, table in tables.items()
    ]
    told += [
        f"""select alone.sender_id, alone.received_on - (record ->> '$.{EVENT_ON[kind]}')::date as days
            from lake.identified.waiting join alone using (submission_id) where known_to is null and record_kind = '{kind}'"""
        for kind in tables
    ]
    days = read_rows(connection, f"""
        with received as (
            select submission_id, sender_id, coalesce(first_on, received_on) as received_on from lake.ledger.submission
            where received_on between $1 and $2 and status in ('accepted', 'partly_accepted')),
        alone as (from received anti join (from lake.ledger.submission_sender) using (submission_id) where sender_id is not null),
        shared as (
            select m.sender_id, m.delay_days as days, sum(m.received_count - m.quarantined_count) as records
            from lake.ledger.submission_sender m semi join received using (submission_id) where m.delay_days is not null group by all)
        select sender_id, days, sum(records)::double as records from (
            select sender_id, days::double as days, count(*) as records from ({" union all ".join(told)}) group by all
            union all from shared)
        group by all""", [since, on])  # fmt: skip
    return find_medians(days)


def _read_open(connection: Connection) -> pl.DataFrame:
    """Grain: sender: refused rows still to be mended, of all time."""
    return read_rows(connection, """
        select coalesce(q.sender_id, s.sender_id) as sender_id, count(*)::bigint as open_count
        from lake.identified.quarantine q join lake.ledger.submission s using (submission_id)
        anti join (from lake.ledger.resent) r on (r.submission_id, r.row_no) = (q.submission_id, q.row_no)
        where s.status not in ('held', 'returned') and coalesce(q.sender_id, s.sender_id) is not null group by all order by all""")  # fmt: skip


def _read_births(connection: Connection, on: date) -> pl.DataFrame:
    """Grain: maternity: children born 90 to 14 days before, and those of them without any result (the dead left out)."""
    since, until = on - timedelta(days=_BIRTH_DAYS), on - timedelta(days=_RESULT_AFTER_DAYS)
    return read_rows(connection, """
        with born as (
            select child_key, maternity_id from lake.clinical.birth
            where known_to is null and not is_cancelled and died_on is null and birth_on between $1 and $2),
        seen as (
            select distinct child_key from lake.clinical.screening
            where known_to is null and not is_cancelled and birth_on between $1 and $2)
        select maternity_id, count(*)::bigint as births, count(*) filter (s.child_key is null)::bigint as without
        from born left join seen s using (child_key) group by all order by all""", [since, until])  # fmt: skip
