"""Consents in doubt: what has come about them could not be taken, and may say that they are withdrawn.

A newer version of a held consent that was refused as unreadable puts it in doubt, and so does a refused row about its child that
does not plainly give a consent; of a batch that waits for a steward, every row of the same kind. Nobody is sent on a consent in
doubt (withheld, `consent_unclear`), what was sent before stands. The doubt ends when the row was mended, its batch was returned or
judged anew, or the consent says something else.
"""

from collections.abc import Collection, Sequence
from datetime import date
from pathlib import Path

import polars as pl

from pipelines.contracts import PURPOSES, RECORDS, WHO
from pipelines.identity.link import link_children
from pipelines.intake.keys import key_records
from pipelines.intake.receive import UNCLEAR
from pipelines.night.linking import read_spine
from pipelines.store.lake import Connection, append_rows, put_frame, read_rows

_KINDS = {name: column.dtype for name, column in RECORDS["consent"].columns().items()}


def keep_doubts(connection: Connection, folder: Path, fresh: Sequence[str], held: Collection[str], on: date) -> int:
    """Close the doubts that a run ends and open those it raises (`fresh`: submissions it judged, `held`: of them those held back); how many."""
    connection.execute("""
        update lake.clinical.consent_doubt set known_to = ? where known_to is null and (
            submission_id in (from fresh_id)
            or submission_id in (select submission_id from lake.ledger.submission where status = 'returned')
            or (submission_id, row_no) in (select (submission_id, row_no) from lake.ledger.resent where outcome = 'accepted'))""", [on])  # fmt: skip
    unclear = _read_unclear(folder, fresh, held)
    if unclear.is_empty():
        return 0
    named = unclear.join(pl.DataFrame({"purpose": list(PURPOSES)}), how="cross")
    put_frame(connection, "unclear_record", named.select("submission_id", "row_no", key_records(named, "consent")))
    put_frame(connection, "unclear_child", _link(connection, unclear).select("submission_id", "row_no", "child_key"))
    doubts = read_rows(connection, f"""
        with given as (
            select record_key, content_hash, child_key from lake.clinical.consent
            where known_to is null and not is_cancelled and decision = 'given')
        select date '{on}' as known_from, null::date as known_to, submission_id, row_no, record_key, content_hash, child_key from (
            select submission_id, row_no, record_key, content_hash, child_key from unclear_record join given using (record_key)
            union select submission_id, row_no, record_key, content_hash, child_key from unclear_child join given using (child_key))
        order by all""")  # fmt: skip
    return append_rows(connection, "clinical.consent_doubt", doubts)


def list_doubted(connection: Connection, on: date) -> list[int]:
    """Record keys of the consents in doubt as known on a day."""
    was_known = "{0}.known_from <= date '{1}' and ({0}.known_to is null or {0}.known_to > date '{1}')"
    found = read_rows(connection, f"""
        select distinct record_key
        from lake.clinical.consent_doubt d join lake.clinical.consent c using (record_key, content_hash)
        where {was_known.format("d", on)} and {was_known.format("c", on)}""")  # fmt: skip
    return found["record_key"].to_list()


def _read_unclear(folder: Path, fresh: Sequence[str], held: Collection[str]) -> pl.DataFrame:
    """Refused consent rows of a run, and all of batches that are held: submission_id, and UNCLEAR."""
    parts = [pl.DataFrame(schema={"submission_id": pl.String, **{name: _KINDS[name] for name in UNCLEAR}})]
    for submission in fresh:
        patterns = ["unclear-*.parquet", *(["accepted-consent-*.parquet"] if submission in held else [])]
        for file in sorted(f for pattern in patterns for f in (folder / submission).glob(pattern)):
            row = pl.read_parquet(file)
            filled = [pl.col(name) if name in row.columns else pl.lit(None).alias(name) for name in UNCLEAR]
            parts.append(row.select(pl.lit(submission).alias("submission_id"), *(c.cast(_KINDS[n]) for c, n in zip(filled, UNCLEAR, strict=True))))
    return pl.concat(parts)


def _link(connection: Connection, unclear: pl.DataFrame) -> pl.DataFrame:
    """submission_id, row_no, child_key of the rows that may end a consent and whose child is known by what they say."""
    ending = unclear.filter(pl.col("decision").ne_missing("given")).with_row_index("ref").with_columns(pl.col("ref").cast(pl.Int64))
    put_frame(connection, "asked_who", ending.select("ref", *WHO))
    linked = link_children(ending.select("ref", *WHO), read_spine(connection, "asked_who")).linked
    return ending.join(linked, on="ref")
