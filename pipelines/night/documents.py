"""A consent that comes as one document (FHIR) states all of its decisions at once: what its newest version leaves out is decided no more.

Each purpose is a record of its own, so that a version which drops one says nothing to its record. Every record therefore carries
the moment of the version it is a part of (`document_at`); where a newer version of the document is known, whichever came first, a
record of an older one is closed and held on as cancelled, in the name of the row that left it out. Of what was never held nothing is
written: no row, no finding. Two versions of one moment both count, but for one that cancels.
"""

from datetime import date

from pipelines.contracts import LAKE
from pipelines.night.arrived import count_rows
from pipelines.store.lake import Connection


def close_dropped(connection: Connection, on: date) -> int:
    """Cancel what the newest version of each document of `arrived` leaves out, both in the lake by now; how many decisions."""
    if not count_rows(connection, "select count(*) from arrived where document_at is not null"):
        return 0
    connection.execute("""
        create or replace temp table dropped as
        with held as (
            from lake.identified.consent semi join (from arrived where document_at is not null) using (sender_id, source_id)
            where document_at is not null),
        newest as (
            select sender_id, source_id, max({a: document_at, b: version_rank, submission_id: submission_id, row_no: row_no}) as row
            from held group by all)
        select record_key, n.row.submission_id, n.row.row_no from held h join newest n using (sender_id, source_id)
        where known_to is null and not is_cancelled and (document_at, version_rank) < (n.row.a, n.row.b)""")
    for table in ("identified.consent", "clinical.consent"):
        listed = ", ".join(f'"{name}"' for name in LAKE[table].column_names())
        connection.execute(
            f"create or replace temp table dropped_version as "
            f"select h.* replace (d.submission_id as submission_id, d.row_no as row_no, true as is_cancelled, $1::date as known_from) "
            f"from lake.{table} h join dropped d using (record_key) where h.known_to is null", [on]
        )  # fmt: skip
        connection.execute(f"update lake.{table} set known_to = ? where known_to is null and record_key in (select record_key from dropped)", [on])
        connection.execute(f"insert into lake.{table} ({listed}) select {listed} from dropped_version")
    return count_rows(connection, "select count(*) from dropped")
