"""What comes as one document (a FHIR Consent, a Task) says at once all that is true of it: what its newest version no longer says is over.

Each purpose of a consent, each event of a referral is a record of its own, so that a version which drops one says nothing to its record.
Every record therefore carries the moment of the version it is a part of (`document_at`); where a newer version of the document is known,
whichever came first, a record of an older one that it ends is closed and held on as cancelled, in the name of the row that ended it.
Of what was never held nothing is written: no row, no finding. Two versions of one moment both count, but for one that cancels.
"""

from collections.abc import Sequence
from datetime import date

from pipelines.contracts import LAKE
from pipelines.night.arrived import count_rows
from pipelines.store.lake import Connection

DOCUMENT_KEY = "case when document_at is not null then (md5_number_lower(sender_id || chr(31) || source_id) >> 1)::bigint end"
"""63 bits that the records of one document of a sender share; null for a record by itself."""
ENDED_BY = {
    "consent": "true",  # a decision that a newer version leaves out
    "pmpc_report": "(n.version_rank = 3 or (n.report_status = '7.0' and h.report_status = '7.0'))",  # all, when entered in error; one conclusion
}
"""Kind -> what of a newer version `n` ends a record `h` of an older one, which it does not state itself."""


def close_ended(connection: Connection, kind: str, tables: Sequence[str], on: date) -> int:
    """Cancel what the newest versions of the documents of `arrived` end; how many records. `tables`: of the kind, the clinical one last."""
    if not count_rows(connection, "select count(*) from arrived where document_at is not null"):
        return 0
    connection.execute(f"""
        create or replace temp table ended as
        with held as (
            from lake.{tables[-1]} semi join (select {DOCUMENT_KEY} as document_key from arrived) using (document_key)),
        newest as (
            select h.record_key, max({{a: n.document_at, b: n.version_rank, submission_id: n.submission_id, row_no: n.row_no}}) as row
            from held h join held n using (document_key)
            where h.known_to is null and not h.is_cancelled and h.record_key <> n.record_key
              and (h.document_at, h.version_rank) < (n.document_at, n.version_rank) and {ENDED_BY[kind]}
            group by all)
        select record_key, row.submission_id, row.row_no from newest""")
    for table in tables:
        listed = ", ".join(f'"{name}"' for name in LAKE[table].column_names())
        connection.execute(
            f"create or replace temp table ended_version as "
            f"select h.* replace (e.submission_id as submission_id, e.row_no as row_no, true as is_cancelled, $1::date as known_from) "
            f"from lake.{table} h join ended e using (record_key) where h.known_to is null", [on]
        )  # fmt: skip
        connection.execute(f"update lake.{table} set known_to = ? where known_to is null and record_key in (select record_key from ended)", [on])
        connection.execute(f"insert into lake.{table} ({listed}) select {listed} from ended_version")
    return count_rows(connection, "select count(*) from ended")
