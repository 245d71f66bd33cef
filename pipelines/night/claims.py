"""The IINs that records claim for children, kept with their records; and who is asked again when one is learned no more.

Before records are linked, all that arrived of every kind say what they claim: against the births alone, so that no answer depends on
another (identity/claim.py). What is learned is derived from the claims in force and stored nowhere. Where a pair of child and IIN is
lost, what is held of that child is asked again in the same run; what is gained needs nothing, as records that wait are asked every run.
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import NamedTuple

import polars as pl

from pipelines.contracts import WHO
from pipelines.identity.claim import CLAIM, list_claims
from pipelines.night.arrived import count_rows, list_waiting, view_arrived
from pipelines.night.documents import DOCUMENT_KEY
from pipelines.night.relink import LINKED, stage_again
from pipelines.night.spine import read_births, read_learned
from pipelines.settings import Settings
from pipelines.store.lake import Connection, append_rows, put_frame, read_rows

_RECORD = {"record_kind": pl.String, "record_key": pl.Int64}
_CLAIMED = {**_RECORD, **CLAIM}


class Claimed(NamedTuple):
    """`record`: the records whose newest version was heard; `claim`: what they claim now (both with record_kind, record_key)."""

    record: pl.DataFrame
    claim: pl.DataFrame


def settle_claims(
    connection: Connection, settings: Settings, folder: Path, staged: Mapping[str, list[Path]], on: date
) -> dict[str, list[Path]]:
    """Keep what the records of `staged` (kind -> files) and those that wait claim; kind -> files of records to be asked again for it."""
    waiting = list_waiting(connection)
    heard = [_hear_claims(connection, kind, staged.get(kind, [])) for kind in LINKED if staged.get(kind) or kind in waiting]
    if not any(len(one.record) for one in heard):
        return {}
    put_frame(connection, "heard_record", pl.concat([one.record for one in heard]))
    now = pl.concat([one.claim for one in heard])
    before = read_rows(connection, """
        select record_kind, record_key, child_key, child_iin from lake.identified.iin
        semi join heard_record using (record_kind, record_key) where known_to is null""")  # fmt: skip
    opened, closed = (one.join(other, on=list(_CLAIMED), how="anti") for one, other in ((now, before), (before, now)))
    changed = pl.concat([opened, closed])
    if changed.is_empty():
        return {}
    was_learned = read_learned(connection, changed["child_key"], changed["child_iin"])
    _replace_claims(connection, opened, closed, on)
    is_learned = read_learned(connection, changed["child_key"], changed["child_iin"])
    lost = was_learned.join(is_learned, on=list(CLAIM), how="anti")
    if lost.is_empty():
        return {}
    put_frame(connection, "unlearned", lost.select("child_key").unique())
    return stage_again(connection, settings, folder, "unlearned")


def unite_claims(connection: Connection, child: int, other: int, on: date) -> bool:
    """What was claimed for `other` is claimed for `child` now; whether anything was, for either: then all that is held of it is to be asked."""
    claims = read_rows(connection, "from lake.identified.iin where known_to is null and child_key in (?, ?)", [child, other])
    moved = claims.filter(pl.col("child_key") == other)
    connection.execute("update lake.identified.iin set known_to = ? where known_to is null and child_key = ?", [on, other])
    append_rows(connection, "identified.iin", moved.with_columns(pl.lit(child).alias("child_key"), pl.lit(on).alias("known_from")))
    return len(claims) > 0


def part_claims(connection: Connection, child: int, other: int, on: date) -> None:
    """What was learned by an earlier release, of records it did not note, is the other child's again where it was that before the two were one."""
    put_frame(connection, "claim_returned", read_rows(connection, """
        select distinct h.* replace ($3::date as known_from, null::date as known_to)
        from lake.identified.iin h join lake.identified.iin c on c.child_iin = h.child_iin and c.child_key = $1 and c.known_to is null
        where h.child_key = $2 and h.known_to is not null and h.record_key is null and c.record_key is null""", [child, other, on]))  # fmt: skip
    connection.execute("""
        update lake.identified.iin set known_to = ? where known_to is null and record_key is null and child_key = ?
        and child_iin in (select child_iin from claim_returned)""", [on, child])  # fmt: skip
    append_rows(connection, "identified.iin", read_rows(connection, "from claim_returned"))


def _hear_claims(connection: Connection, kind: str, files: list[Path]) -> Claimed:
    """What the records of a kind that arrived, or wait, claim; left out is one of which a newer version is held, and who never claimed."""
    view_arrived(connection, kind, files)
    who = read_rows(connection, f"""
        select row_number() over () as ref, * from (
            select who_no, {", ".join(f"any_value({c}) as {c}" for c in WHO)} from arrived
            where child_iin is not null and ((mother_iin is not null and birth_on is not null)
               or (maternity_id is not null and history_no is not null)) group by who_no)""")  # fmt: skip
    put_frame(connection, "asked_who", who)
    claims = list_claims(who, read_births(connection, "asked_who")) if len(who) else pl.DataFrame(schema={"ref": pl.Int64, **CLAIM})
    put_frame(connection, "claim_of_who", claims.join(who.select("ref", "who_no"), on="ref").drop("ref"))
    _list_ended(connection, kind)
    connection.execute("""
        create or replace temp table claimant as
        with known as (
            select record_key from lake.identified.iin where known_to is null and record_kind = $1
            and (record_key in (select record_key from arrived) or record_key in (from ended_earlier)))
        select a.record_key, a.version_at, a.version_rank, a.content_hash, a.is_cancelled, c.child_key, c.child_iin
        from arrived a left join claim_of_who c using (who_no) where c.child_key is not null or a.record_key in (from known)
        union all by name select record_key from known where record_key not in (select record_key from arrived)""", [kind])  # fmt: skip
    if not count_rows(connection, "select count(*) from claimant"):
        return Claimed(pl.DataFrame(schema=_RECORD), pl.DataFrame(schema=_CLAIMED))
    heard = read_rows(connection, f"""
        with held as (
            select record_key, version_at, version_rank, content_hash, is_cancelled as was_cancelled from lake.{LINKED[kind][-1]}
            where known_to is null and record_key in (select record_key from claimant))
        select '{kind}' as record_kind, record_key, child_key, child_iin,
            not a.is_cancelled and not (a.content_hash is not distinct from h.content_hash and h.was_cancelled)
            and record_key not in (from ended_earlier) as is_said
        from claimant a left join held h using (record_key)
        where h.record_key is null or a.version_at is null or a.content_hash = h.content_hash
           or (a.version_at, a.version_rank, a.content_hash) > (h.version_at, h.version_rank, h.content_hash)""")  # fmt: skip
    said = heard.filter(pl.col("is_said") & pl.col("child_key").is_not_null())
    return Claimed(heard.select(list(_RECORD)), said.select(list(_CLAIMED)))


def _list_ended(connection: Connection, kind: str) -> None:
    """Temp table `ended_earlier`: consents of documents of which a newer version is known that no longer states them (night/documents.py)."""
    connection.execute("create or replace temp table ended_earlier (record_key bigint)")
    if kind != "consent" or not count_rows(connection, "select count(*) from arrived where document_at is not null"):
        return
    connection.execute(f"""
        insert into ended_earlier
        with sent as (
            select record_key, {DOCUMENT_KEY} as document_key, {{a: document_at, b: version_rank}} as version
            from arrived where document_at is not null),
        stated as (
            from sent union all
            select record_key, document_key, {{a: document_at, b: version_rank}} from lake.clinical.consent
            where document_key in (select document_key from sent))
        select record_key from (
            select record_key, max(version) as own, max(max(version)) over (partition by document_key) as newest
            from stated group by record_key, document_key) where own < newest""")


def _replace_claims(connection: Connection, opened: pl.DataFrame, closed: pl.DataFrame, on: date) -> None:
    if len(closed):
        put_frame(connection, "claim_closed", closed)
        connection.execute("""
            update lake.identified.iin set known_to = ? where known_to is null
            and (record_kind, record_key) in (select (record_kind, record_key) from claim_closed)""", [on])  # fmt: skip
    kept = opened.with_columns(pl.lit(on).alias("known_from"), pl.lit(None, pl.Date).alias("known_to"))
    append_rows(connection, "identified.iin", kept)
