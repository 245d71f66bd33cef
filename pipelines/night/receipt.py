"""Receipts: what became of a submission, and how many of its refused rows have since been mended; asked here only.

A refused row is known again by its sender, kind and source id, or by the name that the file to fix gave it (intake.mends),
whichever cell was mended. Its sender is who sent its file or whom the row itself names; a row of no readable sender is known to
whoever has its whole name. When a later run brings it again, `ledger.resent` says how it fared; so a finding is closed by
sending the mended row, and `erte status`, the feedback page and the report card agree.
"""

import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import polars as pl

from pipelines.contracts import RECORDS
from pipelines.intake.layout import FORM, list_layouts
from pipelines.intake.mends import prove_row
from pipelines.store.lake import Connection, append_rows, put_frame, read_rows

STATES = ("received", "waiting", "held", "partly_accepted", "accepted", "refused", "returned")
RECEIPT = """
    with again as (
        select submission_id, row_no, bool_or(outcome = 'accepted') as is_mended from lake.ledger.resent
        where submission_id in (select submission_id from {asked}) group by all),
    mended as (
        select submission_id, count(*) filter (is_mended) as mended_count, count(*) filter (not is_mended) as again_count
        from again group by all),
    waiting as (
        select submission_id, count(distinct row_no) as waiting_now, trim(histogram(reason)::varchar, '{{}}') as waiting_for
        from lake.identified.waiting
        where known_to is null and submission_id in (select submission_id from {asked}) group by all),
    rivalled as (
        select submission_id, count(distinct row_no) as rival_count from lake.ledger.finding
        anti join (
            select submission_id, row_no, code from lake.ledger.settlement where submission_id in (select submission_id from {asked})
            group by all having bool_and(settled_on is not null)) r using (submission_id, row_no, code)
        where code in ('version_older_than_held', 'record_told_differently_elsewhere')
          and submission_id in (select submission_id from {asked}) group by all),
    noticed as (
        select subject as submission_id, count(*) as late_count from lake.ledger.event
        where kind = 'notice' and subject in (select submission_id from {asked}) group by all)
    select s.* replace (case when s.status in ('held', 'returned') then 0 else s.accepted_count end as accepted_count),
           case when s.status in ('held', 'returned') then s.accepted_count else 0 end as untaken_count,
           coalesce(mended_count, 0)::bigint as mended_count, coalesce(again_count, 0)::bigint as refused_again_count,
           case when s.status in ('held', 'returned') then 0
                else s.quarantined_count - coalesce(mended_count, 0) - coalesce(again_count, 0) end::bigint as open_count,
           coalesce(waiting_now, 0)::bigint as waiting_now, waiting_for, coalesce(rival_count, 0)::bigint as rival_count,
           coalesce(late_count, 0)::bigint as late_count,
           case when s.status = 'accepted' and waiting_now > 0 then 'waiting' else s.status end as state
    from lake.ledger.submission s left join mended using (submission_id) left join waiting using (submission_id)
    left join rivalled using (submission_id) left join noticed using (submission_id)
    where s.submission_id in (select submission_id from {asked})
    order by s.received_on desc, s.submission_id"""
"""Grain: submission. quarantined_count = mended_count + refused_again_count + open_count, but for held and returned files;
received_count = accepted_count + untaken_count + quarantined_count.

`untaken`: without a fault, in a file that is held or was returned: nothing of it is in the lake.
`mended`: accepted in a later file; `refused_again`: the latest word is in the feedback of the later file; `open`: not sent
again. `waiting_for`: records that wait, by reason (`child_unknown=9, twin_ambiguous=2`). `rival_count`: accepted rows of which
a newer version was held, or another content of one version came (night.outranked): they may not be what is held, until a version
comes that is newer than both. `late_count`: how often what is told of its rows changed later, as birth records were corrected. `state`: waiting,
held, partly_accepted, accepted, refused or returned (received: in landing, see ask)."""
FINDING = """(
    select distinct f.* from lake.ledger.finding f
    anti join (
        select submission_id, row_no, reason as code from lake.identified.waiting
        where submission_id in (select submission_id from {asked})
        group by all having bool_and(known_to is not null)) w using (submission_id, row_no, code)
    anti join (
        select submission_id, row_no, code from lake.ledger.settlement where submission_id in (select submission_id from {asked})
        group by all having bool_and(settled_on is not null)) r using (submission_id, row_no, code)
    where f.submission_id in (select submission_id from {asked}))"""
"""What is told of submissions: the ledger's findings, but for why a record waited that waits for that no more, and for what was settled."""

_MATCHED = {"submission_id": pl.String(), "row_no": pl.Int64(), "outcome": pl.String(), "resent_in": pl.String()}
"""An open row, and what came of it in which later submission."""


def read_receipts(connection: Connection, submissions: Sequence[str]) -> pl.DataFrame:
    """The receipts (RECEIPT) of some submissions."""
    put_frame(connection, "asked_receipt", pl.DataFrame({"submission_id": list(submissions)}, {"submission_id": pl.String}))
    return read_rows(connection, RECEIPT.format(asked="asked_receipt"))


def list_receipts(
    connection: Connection, *, sender: str | None = None, state: str | None = None, since: date | None = None
) -> pl.DataFrame:
    """The ledger, newest first: receipts of a sender (also of files of several), in a state, received since a day."""
    of_sender = """(sender_id = $1 or submission_id in (select submission_id from lake.ledger.submission_sender where sender_id = $1))"""
    wanted = f"(select submission_id from lake.ledger.submission where ($1::varchar is null or {of_sender})"
    wanted += " and received_on >= coalesce($2, date '0001-01-01'))"
    found = read_rows(connection, f"from ({RECEIPT.format(asked=wanted)})", [sender, since])
    return found.filter(pl.col("state") == state) if state else found


def list_closings(connection: Connection, submission_id: str) -> pl.DataFrame:
    """By which later submissions refused rows were sent again, or rivals settled: resent_in, file_name, resent_on, outcome, rows."""
    return read_rows(connection, """
        with again as (
            select resent_in, resent_on, outcome, row_no from lake.ledger.resent where submission_id = $1
            union all
            select settled_in, settled_on, 'settled', row_no from lake.ledger.settlement where submission_id = $1 and settled_on is not null)
        select resent_in, s.file_name, resent_on, outcome, count(distinct row_no)::bigint as "rows"
        from again join lake.ledger.submission s on s.submission_id = resent_in
        group by all order by resent_on, resent_in, outcome""", [submission_id])  # fmt: skip


def note_resent(connection: Connection, folder: Path, taken: Sequence[Mapping[str, object]], on: date, key: bytes) -> int:
    """Note which open refused rows of earlier runs came again in this one, and how they fared; how many.

    `key`: the secret by which names were proved. To be called before this run's own refusals are written: of two files that
    came at once, neither mends the other.
    """
    named, known = _match_named(connection, folder, taken, key), _match_known(connection, folder, taken)
    known = known.join(named, on=["submission_id", "row_no", "resent_in"], how="anti")  # a number may be of several results, a name is of one row
    first = pl.concat([named, known]).group_by("submission_id", "row_no", "outcome").agg(pl.col("resent_in").min()).sort(pl.all())
    return append_rows(connection, "ledger.resent", first.with_columns(pl.lit(on).alias("resent_on")))


def _match_known(connection: Connection, folder: Path, taken: Sequence[Mapping[str, object]]) -> pl.DataFrame:
    """Open rows (_MATCHED) whose sender, kind and source id came again."""
    still_open = _list_open(connection)
    if not len(still_open):
        return pl.DataFrame(schema=_MATCHED)
    put_frame(connection, "open_row", still_open)
    put_frame(connection, "again", _list_arrived(connection, folder, taken))
    return read_rows(connection, """
        select o.submission_id, o.row_no, a.outcome, a.submission_id as resent_in
        from open_row o join again a using (record_kind, sender_id, source_id)
        where a.submission_id <> o.submission_id""")  # fmt: skip


def _match_named(connection: Connection, folder: Path, taken: Sequence[Mapping[str, object]], key: bytes) -> pl.DataFrame:
    """Open rows (_MATCHED) that a row of this run names. A name closes nothing of another sender's, and an unknown one nothing at all.

    A name with its proof was given to who sent a row whose sender could not be read: it closes that row, whoever sends it.
    """
    named = [
        pl.read_parquet(file).with_columns(
            pl.lit(str(receipt["submission_id"])).alias("resent_in"),
            pl.coalesce("sender_id", pl.lit(receipt["sender_id"], pl.String)).alias("sender_id"),
        )
        for receipt in taken
        for file in sorted((folder / str(receipt["submission_id"])).glob("mends-*.parquet"))
    ]
    if not named:
        return pl.DataFrame(schema=_MATCHED)
    put_frame(connection, "named_row", pl.concat(named))
    found = read_rows(connection, """
        select q.submission_id, q.row_no, n.outcome, n.resent_in, n.proof, coalesce(n.sender_id in (q.sender_id, s.sender_id), false) as is_own
        from lake.identified.quarantine q
        join lake.ledger.submission s using (submission_id)
        join named_row n on (n.short_id, n.row_no) = (left(q.submission_id, 12), q.row_no)
        anti join (from lake.ledger.resent where outcome = 'accepted') r on (r.submission_id, r.row_no) = (q.submission_id, q.row_no)
        where n.resent_in <> q.submission_id""")  # fmt: skip
    is_proved = [
        proof is not None and hmac.compare_digest(proof, prove_row(submission_id, row_no, key))
        for submission_id, row_no, proof in found.select("submission_id", "row_no", "proof").iter_rows()
    ]
    return found.filter(pl.col("is_own") | pl.Series(is_proved, dtype=pl.Boolean)).select(list(_MATCHED)).unique()


def _list_arrived(connection: Connection, folder: Path, taken: Sequence[Mapping[str, object]]) -> pl.DataFrame:
    """Rows of this run that are named as a row of `open_row` is: record_kind, sender_id, source_id, submission_id, outcome."""
    schema = dict.fromkeys(("record_kind", "sender_id", "source_id", "submission_id", "outcome"), pl.String)
    parts = [pl.DataFrame(schema=schema)]
    ids = [str(receipt["submission_id"]) for receipt in taken]
    for kind in RECORDS:
        files = [str(f) for i in ids for f in sorted((folder / i).glob(f"accepted-{kind}-*.parquet"))]
        if files:
            parts.append(read_rows(connection, """
                select distinct ? as record_kind, sender_id, source_id, submission_id, 'accepted' as outcome
                from read_parquet(?) semi join open_row using (sender_id, source_id)""", [kind, files]))  # fmt: skip
    for receipt in taken:
        files = [str(f) for f in sorted((folder / str(receipt["submission_id"])).glob("quarantine-*.parquet"))]
        if files:
            given = [receipt["sender_id"], receipt["submission_id"], files]
            parts.append(read_rows(connection, """
                select distinct record_kind, coalesce(?::varchar, sender_id) as sender_id, source_id, ?::varchar as submission_id,
                    'refused_again' as outcome
                from read_parquet(?) where source_id is not null""", given))  # fmt: skip
    return pl.concat(part.select(pl.col(c).cast(t) for c, t in schema.items()) for part in parts)


def _list_open(connection: Connection) -> pl.DataFrame:
    """Refused rows not mended yet: submission_id, row_no, record_kind, sender_id, source_id.

    The sender is that of the file, else what the row says. Where a line was broken and kept whole in its first column (or was refused
    before that was kept), both are looked up in the row as sent, at the place that its layout gives them, by the separator of the file.
    """
    places = [
        {"layout": x.name, "separator": x.separator, "sender": ours.get("sender_id"), "source": ours.get("source_id"),
         "fixed": x.constants.get("sender_id")}
        for x in list_layouts() for ours in [{v: k for k, v in x.columns.items()}]
    ]  # fmt: skip
    schema = dict.fromkeys(("layout", "separator", "sender", "source", "fixed"), pl.String)
    put_frame(connection, "layout_place", pl.DataFrame(places, schema=schema))
    return read_rows(connection, f"""
        with unmended as (
            select q.submission_id, q.row_no, q.source_id, coalesce(q.record_kind, s.record_kind) as record_kind,
                coalesce(s.sender_id, case when b.row_no is null then q.sender_id end) as sender_id, s.layout,
                b.row_no is not null as is_broken
            from lake.identified.quarantine q
            join lake.ledger.submission s using (submission_id)
            left join (select distinct submission_id, row_no from lake.ledger.finding where code = 'row_width_differs') b
                on (b.submission_id, b.row_no) = (q.submission_id, q.row_no)
            anti join (from lake.ledger.resent where outcome = 'accepted') r
                on (r.submission_id, r.row_no) = (q.submission_id, q.row_no)),
        told as (
            select u.*, p.separator, p.fixed, p.sender, p.source, json_keys(q.row_text) as headers, q.row_text
            from unmended u join layout_place p using (layout)
            join (from lake.identified.quarantine where json_valid(row_text)) q using (submission_id, row_no)
            where u.is_broken or u.sender_id is null),
        cells as (
            select *, string_split(
                json_extract_string(row_text, '$."' || headers[1] || '"'), coalesce(left(json_extract_string(row_text, '$.{FORM}'), 1), separator)
            ) as cell from told)
        select submission_id, row_no, record_kind, sender_id, source_id from unmended
        where not is_broken and sender_id is not null and source_id is not null
        union all
        select submission_id, row_no, record_kind,
            coalesce(sender_id, fixed, case when is_broken then cell[list_position(headers, sender)]
                                       else json_extract_string(row_text, '$."' || sender || '"') end),
            case when is_broken then cell[list_position(headers, source)] else source_id end
        from cells""")  # fmt: skip


def show_receipt(row: Mapping[str, object]) -> dict[str, object]:
    """A receipt as JSON can carry it."""
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in row.items()}


def read_note(path: Path) -> dict[str, object]:
    """A receipt written before; empty where there is none."""
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}
