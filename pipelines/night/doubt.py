"""Consents in doubt: what has come about them could not be taken, and may say that they are withdrawn.

A newer version of a held consent that was refused as unreadable puts it in doubt, and so does a refused row about its child that
does not plainly give a consent; of a batch that waits for a steward, every row of the same kind. So does what was accepted and
still does not count: a refusal or withdrawal that waits for its child, for every child that any of its names may mean, and one
that lost to the consent by its version though it was not decided before it. Nobody is sent on a consent in doubt (withheld,
`consent_unclear`), what was sent before stands. The doubt ends when the row was mended, found its child or was settled by a newer
version, when its batch was returned or judged anew, or when the consent says something else. A newer version of a consent that waits
for its child needs no doubt: what it is a version of is held no more (linking.keep_waiting).
"""

from collections.abc import Collection, Sequence
from datetime import date
from pathlib import Path

import polars as pl

from pipelines.contracts import PURPOSES, RECORDS, WHO
from pipelines.intake.keys import add_keys, key_records
from pipelines.intake.receive import UNCLEAR
from pipelines.night.arrived import read_waiting
from pipelines.night.outranked import ELSEWHERE
from pipelines.night.spine import link_asked, read_births, read_claimed
from pipelines.store.lake import Connection, append_rows, put_frame, read_rows

_KINDS = {name: column.dtype for name, column in RECORDS["consent"].columns().items()}
_NAMES = (("child_iin",), ("mother_iin",), ("maternity_id", "history_no"))
"""What alone may mean a child: more than one may be meant, and each is."""
_DOUBT = "g.record_key, g.content_hash, g.child_key"


def keep_doubts(connection: Connection, folder: Path, fresh: Sequence[str], held: Collection[str], on: date) -> int:
    """Close the doubts that a run ends and open those it raises (`fresh`: submissions it judged, `held`: of them those held back); how many."""
    connection.execute("""
        update lake.clinical.consent_doubt set known_to = ? where known_to is null and (
            submission_id in (from fresh_id)
            or submission_id in (select submission_id from lake.ledger.submission where status = 'returned')
            or (submission_id, row_no) in (select (submission_id, row_no) from lake.ledger.resent where outcome = 'accepted')
            or (submission_id, row_no, record_key) in (
                select (submission_id, row_no, record_key) from lake.ledger.settlement where settled_on is not null)
            or (submission_id, row_no) in (
                select (submission_id, row_no) from lake.identified.waiting where record_kind = 'consent'
                group by submission_id, row_no having bool_and(known_to is not null)))""", [on])  # fmt: skip
    connection.execute("""
        create or replace temp view given as
        select record_key, content_hash, child_key, purpose, decided_on from lake.clinical.consent
        where known_to is null and not is_cancelled and decision = 'given'""")
    raised = [_doubt_for_refused(connection, _read_unclear(folder, fresh, held)), _doubt_for_waiting(connection), f"""
        select o.submission_id, o.row_no, {_DOUBT} from outranked_end o join given g using (record_key)
        where o.code = '{ELSEWHERE}' or o.decided_on >= g.decided_on"""]  # fmt: skip
    doubts = read_rows(connection, f"""
        select date '{on}' as known_from, null::date as known_to, submission_id, row_no, record_key, content_hash, child_key
        from ({" union ".join(filter(None, raised))})
        where (submission_id, row_no, record_key, content_hash) not in (
            select (submission_id, row_no, record_key, content_hash) from lake.clinical.consent_doubt where known_to is null)
        order by all""")  # fmt: skip
    return append_rows(connection, "clinical.consent_doubt", doubts)


def _doubt_for_refused(connection: Connection, unclear: pl.DataFrame) -> str:
    """SQL for the given consents that refused rows put in doubt; empty, where there is none."""
    if unclear.is_empty():
        return ""
    named = unclear.join(pl.DataFrame({"purpose": list(PURPOSES)}), how="cross")
    put_frame(connection, "unclear_record", named.select("submission_id", "row_no", key_records(named, "consent")))
    put_frame(connection, "unclear_child", _link(connection, unclear).select("submission_id", "row_no", "child_key"))
    return f"""
        select submission_id, row_no, {_DOUBT} from unclear_record join given g using (record_key)
        union select submission_id, row_no, {_DOUBT} from unclear_child join given g using (child_key)"""


def _doubt_for_waiting(connection: Connection) -> str:
    """SQL for the given consents that refusals and withdrawals put in doubt which wait for their child; empty, where none does.

    Of one purpose, and not of a later day than it: what is dated before the birth is of no day that is known, and came no earlier.
    """
    waiting = read_waiting(connection, "consent").filter((pl.col("decision") != "given") | (pl.col("action_code") == "cancel"))
    if waiting.is_empty():
        return ""
    ending = add_keys(waiting, "consent").with_row_index("ref").select(
        "submission_id", "row_no", "purpose", *WHO, ref=pl.col("ref").cast(pl.Int64),
        last_on=pl.when(pl.col("reason") == "dated_before_birth").then("received_on").otherwise("decided_on"),
    )  # fmt: skip
    put_frame(connection, "waiting_end", ending)
    known = [read_births(connection, "waiting_end"), read_claimed(connection, "waiting_end")]
    spine = pl.concat(known, how="diagonal").select("child_key", *dict.fromkeys(n for names in _NAMES for n in names))
    meant = [ending.select("ref", *names).drop_nulls().join(spine.select("child_key", *names), on=names) for names in _NAMES]
    put_frame(connection, "waiting_child", pl.concat(part.select("ref", "child_key") for part in meant).unique())
    return f"""
        select submission_id, row_no, {_DOUBT} from waiting_end w join waiting_child c using (ref)
        join given g on g.child_key = c.child_key and g.purpose = w.purpose and g.decided_on <= w.last_on"""


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
    linked, _ = link_asked(connection, ending.select("ref", *WHO))
    return ending.join(linked.linked, on="ref")
