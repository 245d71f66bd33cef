"""Consents in doubt: a newer version of one that is held was refused as unreadable, and may say that it is withdrawn.

A child is not sent on a consent in doubt (withheld, `consent_unclear`) until its sender has mended what was refused, or sent the
consent anew; what was sent before stands. Nothing of it is stored: what is in quarantine and what came after tell it, as known on any day.
"""

from datetime import date

import polars as pl

from pipelines.contracts import PURPOSES
from pipelines.intake.keys import key_records
from pipelines.store.lake import Connection, put_frame, read_rows

_DOUBT = {"record_key": pl.Int64, "child_key": pl.Int64, "doubted_from": pl.Date, "doubted_to": pl.Date}


def read_doubts(connection: Connection) -> pl.DataFrame:
    """Grain: a consent record and a refused row of it: record_key, child_key, doubted_from, doubted_to (null = in doubt still).

    A row that could not be read may be of any purpose of the consent. The doubt ends with the day on which the row was mended, or
    a newer version of the record came.
    """
    refused = read_rows(connection, """
        select q.submission_id, q.row_no, coalesce(s.sender_id, q.sender_id) as sender_id, q.source_id, s.received_on as doubted_from,
            min(r.resent_on) as mended_on
        from lake.identified.quarantine q
        join lake.ledger.submission s using (submission_id)
        left join (from lake.ledger.resent where outcome = 'accepted') r using (submission_id, row_no)
        where coalesce(q.record_kind, s.record_kind) = 'consent' and q.source_id is not null and s.status <> 'returned'
        group by all""")  # fmt: skip
    if refused.is_empty():
        return pl.DataFrame(schema=_DOUBT)
    each = refused.join(pl.DataFrame({"purpose": list(PURPOSES)}), how="cross")
    put_frame(connection, "refused_consent", each.with_columns(key_records(each, "consent")))
    return read_rows(connection, """
        select c.record_key, arg_max(c.child_key, c.known_from) as child_key, f.doubted_from,
            least(f.mended_on, min(c.known_from) filter (c.known_from > f.doubted_from)) as doubted_to
        from refused_consent f join lake.clinical.consent c using (record_key)
        group by c.record_key, f.doubted_from, f.mended_on
        having min(c.known_from) <= f.doubted_from""")  # fmt: skip


def list_doubted(connection: Connection, on: date) -> list[int]:
    """Record keys of the consents in doubt as known on a day."""
    is_open = (pl.col("doubted_from") <= on) & (pl.col("doubted_to") > on).fill_null(value=True)
    return read_doubts(connection).filter(is_open)["record_key"].unique().to_list()
