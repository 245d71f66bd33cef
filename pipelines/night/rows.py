"""The rows of a submission as we hold them: what `erte records` shows.

The archived file is read and judged once more, so that every row is told of: also one that only repeated what was held, or
that a later file has superseded. Which version is held, and by which file, is looked up by the key of the record.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from pipelines.night.archive import judge_again
from pipelines.night.ask import find_submission
from pipelines.night.audit import record_look
from pipelines.night.mask import mask_record, mask_sent
from pipelines.night.receipt import FINDING
from pipelines.settings import Settings
from pipelines.store.lake import Connection, open_lake, put_frame, read_rows

_KEPT_IN = {
    "birth": "identified.birth", "screening": "clinical.screening", "consent": "clinical.consent",
    "confirmation": "clinical.confirmation", "pmpc_report": "clinical.pmpc_report",
    "aggregate": "clinical.aggregate",
}  # fmt: skip
_CLINICAL_BIRTH = ("birth_at", "birth_weight_g", "gestation_wk", "is_complicated", "phc_id", "died_on")
_BIRTH = f"""lake.identified.birth left join (
    select record_key, content_hash, {", ".join(_CLINICAL_BIRTH)} from (
        from sent_birth
        union all select record_key, content_hash, {", ".join(_CLINICAL_BIRTH)} from lake.clinical.birth semi join sent_birth using (record_key))
    qualify row_number() over (partition by record_key, content_hash) = 1) using (record_key, content_hash)"""
"""A birth record with what clinical.birth keeps of it: as this file says it, or as the version that is shown does."""
_BORN = """left join (
    select child_key, any_value(child_iin) as child_iin, any_value(mother_iin) as mother_iin, any_value(family_name) as family_name,
           any_value(given_name) as given_name, any_value(history_no) as history_no
    from lake.identified.birth where known_to is null and not is_cancelled group by child_key) using (child_key)"""
_IDENTIFIED = {
    kind: f"lake.{table} {_BORN}" for kind, table in _KEPT_IN.items() if table.startswith("clinical.") and kind != "aggregate"
} | {
    "consent": f"""lake.clinical.consent {_BORN} left join (
        select record_key, known_from, representative_iin, representative_name, authority_document
        from lake.identified.consent) using (record_key, known_from)""",
    "confirmation": f"""lake.clinical.confirmation {_BORN} left join (
        select record_key, known_from, sender_id, source_id, worker_id from lake.identified.confirmation) using (record_key, known_from)""",
}  # fmt: skip
"""What `--identified` reads: the clinical rows with who the child is, and of a consent or a confirmation who gave it."""

Row = dict[str, object]


def list_records(settings: Settings, submission: str, *, is_identified: bool) -> list[Row]:
    """Every row of a submission with its state, the version held of it and the file that one came in, and its findings.

    `state`: accepted (this version is held), repeated (what it says was held already), superseded (a newer version is held),
    waiting (its child is not known), held or returned (the whole file), quarantined. UserError submission_unknown,
    submission_not_judged, archive_unreadable.
    """
    with open_lake(settings) as connection:
        receipt = find_submission(connection, submission, settings)
        given = str(receipt["submission_id"])
        query = "select submission_id, row_no, source_id, row_text from lake.identified.quarantine where submission_id = ?"
        refused = read_rows(connection, query, [given]).to_dicts()
        found = read_rows(connection, f"""
            select row_no, list_sort(list(distinct code)) as codes, list("column") as columns
            from {FINDING.format(asked="(select $1 as submission_id)")} group by row_no""", [given]).to_dicts()  # fmt: skip
        rows: list[Row] = [
            *({"state": "quarantined", "held_in": None, **row} for row in refused),
            *_list_accepted(connection, settings, receipt, is_identified=is_identified),
        ]
        if is_identified:
            record_look(connection, settings, given, {"rows": receipt["received_count"]})
    faults = {row["row_no"]: (row["codes"], row["columns"]) for row in found}
    shown = [_show_row(row, receipt["layout"], *faults.get(row["row_no"], ((), ())), is_identified=is_identified) for row in rows]
    return sorted(shown, key=lambda row: (int(str(row["row_no"])), str(row["state"])))


def _show_row(row: Row, layout: object, codes: Sequence[str], columns: Sequence[str | None], *, is_identified: bool) -> Row:
    told = row if is_identified else mask_record(row)
    if not is_identified and row["state"] == "quarantined":
        told["row_text"] = mask_sent(str(row["row_text"]), str(layout), columns, codes)
    return {**told, "findings": " ".join(codes)}


def count_unheld(connection: Connection, settings: Settings, receipt: Mapping[str, Any]) -> int:
    """How many accepted records of a submission are held by no version, of this file or a newer one, and do not wait (law 1)."""
    sent = judge_again(connection, settings, receipt["submission_id"], receipt["first_on"] or receipt["received_on"])
    lost = 0
    for kind, records in sent.items():
        _view_sent(connection, kind, records, str(receipt["submission_id"]))
        lost += len(read_rows(connection, "select 1 from sent_state where state is null"))
    return lost


def _list_accepted(connection: Connection, settings: Settings, receipt: Mapping[str, Any], *, is_identified: bool) -> Iterator[Row]:
    if not receipt["accepted_count"]:
        return
    given = str(receipt["submission_id"])
    for kind, records in judge_again(connection, settings, given, receipt["first_on"] or receipt["received_on"]).items():
        if receipt["status"] in ("held", "returned"):
            yield from ({"state": receipt["status"], "held_in": None, **row} for row in records.to_dicts())
            continue
        _view_sent(connection, kind, records, given)
        if kind == "birth":
            put_frame(connection, "sent_birth", records.select("record_key", "content_hash", *_CLINICAL_BIRTH))
        source = _BIRTH if kind == "birth" else _IDENTIFIED.get(kind) if is_identified else None
        yield from read_rows(connection, f"""
            select s.state, case when s.state <> 'accepted' then left(s.held_in, 12) end as held_in, s.row_no, k.* exclude (row_no)
            from sent_state s
            join (from {source or f"lake.{_KEPT_IN[kind]}"}) k using (record_key)
            where s.state <> 'waiting' and (k.known_from, k.submission_id) = (s.known_from, s.shown_in)""").to_dicts()  # fmt: skip
        yield from read_rows(connection, """
            select s.state, case when w.submission_id <> s.given then left(w.submission_id, 12) end as held_in, s.row_no, w.* exclude (row_no)
            from sent_state s join lake.identified.waiting w using (record_key)
            where s.state = 'waiting' and w.known_to is null and w.record_kind = s.kind""").to_dicts()  # fmt: skip


def _view_sent(connection: Connection, kind: str, records: pl.DataFrame, given: str) -> None:
    """Temp table `sent_state`: each record sent, its state (null = not held at all), and the version to be shown."""
    put_frame(connection, "sent_record", records.select("record_key", "row_no", "content_hash"))
    connection.execute(f"""
        create or replace temp table sent_state as
        with own as (
            select record_key, row_no, max(known_from) as known_from, bool_or(known_to is null) as is_current
            from lake.{_KEPT_IN[kind]} where submission_id = $1 group by all),
        current as (
            select record_key, known_from, submission_id, content_hash
            from lake.{_KEPT_IN[kind]} semi join sent_record using (record_key) where known_to is null),
        waiting as (
            select record_key from lake.identified.waiting where known_to is null and record_kind = $2)
        select s.record_key, s.row_no, $1 as given, $2 as kind,
            case when o.is_current then 'accepted'
                 when o.record_key is not null then 'superseded'
                 when c.record_key is not null then if(c.content_hash = s.content_hash, 'repeated', 'superseded')
                 when w.record_key is not null then 'waiting' end as state,
            coalesce(c.submission_id, $1) as held_in, if(o.record_key is null, c.submission_id, $1) as shown_in,
            coalesce(o.known_from, c.known_from) as known_from
        from sent_record s
        left join own o on (o.record_key, o.row_no) = (s.record_key, s.row_no)
        left join current c on c.record_key = s.record_key
        left join waiting w on w.record_key = s.record_key""", [given, kind])  # fmt: skip
    held = read_rows(connection, "select count(*) from sent_state").item()
    assert held == len(records)  # noqa: S101
