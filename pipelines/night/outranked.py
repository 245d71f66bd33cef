"""Accepted rows that are not what is held: a newer version is, or the same version is told in another way elsewhere; their senders are told.

Silent is what is ordinary every night: a row that repeats any version ever held of its record, and an older version that came in one
file with what is held or a newer one. A result that names its child in more words, or in fewer, is not told in another way for that.
A version that is newer than all that were at odds settles it. What is told does not depend on the order of the files of a night.
"""

from collections.abc import Sequence
from datetime import date

from pipelines.contracts import LAKE, RECORDS, WHO
from pipelines.night.arrived import count_rows
from pipelines.night.noticing import add_noticed
from pipelines.store.lake import Connection, read_rows

OLDER, ELSEWHERE = "version_older_than_held", "record_told_differently_elsewhere"


def note_outranked(connection: Connection, kind: str, tables: Sequence[str]) -> None:
    """Add to `noticed` the rows of this run that are outranked, or told differently elsewhere. `tables`: those of the kind.

    To be called after the first of them was brought up to date: `upsert_held` is what was held of the records that arrived.
    """
    repeated = count_rows(connection, "select count(*) from arrived_repeated")
    if not (repeated or count_rows(connection, "select count(*) from upsert_held")):
        return  # a first load: nothing that came can be outranked
    _view_rivals(connection, is_repeated=bool(repeated))
    if not count_rows(connection, "select count(*) from rival"):
        return
    table = tables[0] if kind == "birth" else tables[-1]
    said = _say(kind, table)
    connection.execute(f"""
        create or replace temp table once_held as
        select record_key, submission_id, row_no, version_at, version_rank, content_hash, child_key, {said} as said
        from lake.{table} where record_key in (select record_key from rival) and submission_id not in (from fresh_id)""")
    connection.execute(f"""
        create or replace temp table told_rival as
        with sent as (
            select submission_id, row_no, record_key, {said} as said, n.child_key
            from (from every_arrived where record_key in (select record_key from rival))
            left join (select asked_no, child_key from answer) n on n.asked_no = asked_no(record_key, who_no))
        select r.* from rival r join sent s using (record_key, submission_id, row_no)
        where not exists (
            select 1 from once_held h where h.record_key = r.record_key and (h.submission_id, h.row_no) <> (r.submission_id, r.row_no)
              and (h.content_hash = r.content_hash or (h.said = s.said and h.child_key = coalesce(s.child_key, h.child_key))))""")
    if kind == "consent":
        _note_ends(connection)
    add_noticed(connection, read_rows(connection, f"""
        with told as (
            select submission_id, row_no, source_id, code, record_key, newest_at as version_at, newest_rank as version_rank from told_rival
            union all
            select h.submission_id, h.row_no, r.source_id, r.code, r.record_key, r.newest_at, r.newest_rank
            from told_rival r join once_held h using (record_key, version_at, version_rank)
            where r.code = '{ELSEWHERE}' and h.content_hash <> r.content_hash),
        before as (select submission_id, row_no, code from lake.ledger.finding where code = '{ELSEWHERE}')
        select distinct submission_id, row_no, source_id, 'source_id' as "column", code, record_key, version_at, version_rank from told
        where submission_id in (from fresh_id) or (submission_id, row_no, code) not in (from before)
        order by all"""))  # fmt: skip


def _note_ends(connection: Connection) -> None:
    """Add to `outranked_end` the refusals, withdrawals and cancellations among what is told: whether they put a consent in doubt is doubt's."""
    connection.execute(f"""
        insert into outranked_end
        select r.submission_id, r.row_no, record_key, r.code, a.decided_on
        from told_rival r join every_arrived a using (record_key, submission_id, row_no)
        where a.decision <> 'given' or a.is_cancelled
        union
        select h.submission_id, h.row_no, h.record_key, r.code, c.decided_on
        from told_rival r join once_held h using (record_key, version_at, version_rank)
        join lake.clinical.consent c on (c.record_key, c.submission_id, c.row_no) = (h.record_key, h.submission_id, h.row_no)
        where r.code = '{ELSEWHERE}' and (c.decision <> 'given' or c.is_cancelled)""")


def settle_rivals(connection: Connection, table: str, on: date) -> None:
    """Close what was told of records of this table's kind of which a version has come now that is newer than all that were at odds."""
    connection.execute("create or replace temp table open_rival as from lake.ledger.settlement where settled_on is null")
    if not count_rows(connection, "select count(*) from open_rival"):
        return
    connection.execute(f"""
        create or replace temp table settled as
        with again as (select record_key, submission_id from arrived where record_key in (select record_key from open_rival)),
        held as (
            select record_key, version_at, version_rank from lake.{table}
            where known_to is null and record_key in (select record_key from again))
        select r.submission_id, r.row_no, r.record_key, r.code, a.submission_id as settled_in
        from open_rival r join again a using (record_key) join held h using (record_key)
        where (h.version_at, h.version_rank) > (r.version_at, r.version_rank)""")
    if count_rows(connection, "select count(*) from settled"):
        connection.execute("""
            update lake.ledger.settlement r set settled_in = s.settled_in, settled_on = $1 from settled s
            where r.settled_on is null and (r.submission_id, r.row_no, r.record_key, r.code) = (s.submission_id, s.row_no, s.record_key, s.code)
            """, [on])  # fmt: skip


def _view_rivals(connection: Connection, *, is_repeated: bool) -> None:
    """Temp table `rival`: rows (and `code`) whose version is older than the one held, or as old and of another content.

    Of what is as old both rows are rivals, where both came; a newer version settles it.
    """
    row = "a.record_key, a.submission_id, a.row_no, a.source_id, a.version_at, a.version_rank, a.content_hash"
    among = f"""
        union
        select {row}, a.version_at as newest_at, a.version_rank as newest_rank, '{ELSEWHERE}' as code
        from every_arrived a join (
            select t.record_key, t.version_at, t.version_rank
            from every_arrived t semi join arrived_repeated using (record_key)
            group by all having count(distinct content_hash) > 1 and bool_or(submission_id in (from fresh_id))) t
            using (record_key, version_at, version_rank)
        join newest n on n.record_key = a.record_key and (n.version_at, n.version_rank) = (a.version_at, a.version_rank)
        left join upsert_held h on h.record_key = a.record_key
        where h.record_key is null or (h.version_at, h.version_rank) <= (a.version_at, a.version_rank)""" if is_repeated else ""  # fmt: skip
    connection.execute(f"""
        create or replace temp table rival as
        with newest as (select record_key, version_at, version_rank from arrived),
        own as (
            select {row}, h.version_at as newest_at, h.version_rank as newest_rank,
                case when (a.version_at, a.version_rank) < (h.version_at, h.version_rank) then '{OLDER}' else '{ELSEWHERE}' end as code
            from every_arrived a join upsert_held h on h.record_key = a.record_key
            join newest n on n.record_key = a.record_key
            where a.submission_id in (from fresh_id) and a.content_hash <> h.content_hash
              and ((a.version_at, a.version_rank) < (h.version_at, h.version_rank)
                   or ((a.version_at, a.version_rank) = (h.version_at, h.version_rank)
                       and (n.version_at, n.version_rank) = (h.version_at, h.version_rank))))
        select a.* from own a where code = '{ELSEWHERE}' or not exists (
            select 1 from every_arrived b join upsert_held h on h.record_key = b.record_key
            where b.record_key = a.record_key and b.submission_id = a.submission_id
              and (b.version_at, b.version_rank) >= (h.version_at, h.version_rank))
        {among}""")


def _say(kind: str, table: str) -> str:
    """SQL for what a row of a kind says, as the table keeps it: of a birth all its content, of others all but how the child is named."""
    if kind == "birth":
        return "content_hash::varchar"
    beside = {"submission_id", "row_no", "received_on", "issued_at", *WHO}
    said = [name for name in LAKE[table].column_names() if name in RECORDS[kind].columns() and name not in beside]
    return f"[{', '.join(f'{name}::varchar' for name in said)}]::varchar"
