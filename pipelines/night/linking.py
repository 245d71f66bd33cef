"""Whose record is it: the spine is asked, and what nobody answers for goes on the waiting list."""

from datetime import date
from typing import NamedTuple

import polars as pl

from pipelines.contracts import RECORDS, WHO
from pipelines.identity.birth import mint_children
from pipelines.identity.link import SPINE
from pipelines.night.arrived import count_rows
from pipelines.night.noticing import note_mothers_iins, note_waiting
from pipelines.night.spine import link_asked, read_births
from pipelines.store.lake import Connection, put_frame, read_rows, replace_state

_DAY = {"screening": "examined_on", "consent": "decided_on", "confirmation": "confirmed_on"}
"""The day of a record that cannot be before the birth of its child."""


class Waiting(NamedTuple):
    """How many records wait for their child, and how many need not, as a newer version of them is held."""

    waiting: int
    outranked: int


def link_births(connection: Connection, key: bytes) -> None:
    """Table `answer` for births: the child each is of, minted where none is known.

    A record names its child as it will be held after this run: by what came, unless a newer version is held.
    """
    newer = "k.record_key is not null and (k.version_at, k.version_rank, k.content_hash) > (a.version_at, a.version_rank, a.content_hash)"
    said = ", ".join(f"if({newer}, k.{c}, a.{c}) as {c}" for c in ("is_cancelled", "plurality", *WHO))
    birth = read_rows(connection, f"""
        select row_number() over () as ref, a.record_key, coalesce(d.child_key, k.child_key) as known_key, {said}
        from arrived a
        left join (from lake.identified.birth where known_to is null and record_key in (select record_key from arrived)) k using (record_key)
        left join (select record_key, child_key from lake.identified.decision where known_to is null) d using (record_key)""")  # fmt: skip
    put_frame(connection, "asked_birth", birth.select("record_key", "is_cancelled", *WHO))
    spine = read_births(connection, "asked_birth", "record_key not in (select record_key from asked_birth)")
    minted = mint_children(birth, spine, key, _read_past(connection)).join(birth.select("ref", "record_key"), on="ref")
    assert len(minted) == len(birth)  # noqa: S101
    _keep_answer(
        connection,
        minted.select(pl.col("record_key").alias("asked_no"), "child_key", pl.lit(None, pl.String).alias("reason")),
    )
    connection.execute("create or replace temp macro asked_no(record_key, who_no) as record_key")


def _read_past(connection: Connection) -> pl.DataFrame:
    """What `asked_birth` may not be given the key of, or may take it again from (mint_children): SPINE and is_gone."""
    frame = read_rows(connection, f"""
        with held as (
            select {", ".join(SPINE)}, known_to is null as is_current from lake.identified.birth
            where history_no in (select history_no from asked_birth) or child_iin in (select child_iin from asked_birth)
               or mother_iin in (select mother_iin from asked_birth)),
        living as (
            select child_key from lake.identified.birth where known_to is null and not is_cancelled
            and child_key in (select child_key from held) and record_key not in (select record_key from asked_birth where is_cancelled))
        select * exclude (is_current), is_current and child_key not in (from living) as is_gone from held
        where is_gone or (maternity_id, history_no) in (select (maternity_id, history_no) from asked_birth)""")  # fmt: skip
    return frame.cast({name: kind for name, kind in SPINE.items()})  # noqa: C416


def link_records(connection: Connection, kind: str) -> None:
    """Ask once for every distinct way of naming a child, not once a record; then set aside what is dated before the birth."""
    who = read_rows(connection, f"""
        select row_number() over () as ref, * from (
            select who_no, {", ".join(f"any_value({c}) as {c}" for c in WHO)} from arrived group by who_no)""")  # fmt: skip
    linked, mothers = link_asked(connection, who)
    answer = who.select("ref", "birth_on", pl.col("who_no").alias("asked_no")).join(linked.linked, on="ref", how="left")
    answer = answer.join(linked.unlinked, on="ref", how="left")
    _keep_answer(connection, _date_births(connection, answer))
    connection.execute("create or replace temp macro asked_no(record_key, who_no) as who_no")
    note_mothers_iins(connection, who.join(mothers.to_frame(), on="ref", how="semi").select("who_no"))
    if count_rows(connection, "select count(*) from answer where is_undated"):  # one that says the day of birth was held against it
        connection.execute(f"""
            create or replace temp table early as
            select a.record_key from arrived a join (from answer where is_undated) n on n.asked_no = a.who_no
            where a.{_DAY[kind]} < n.born_on""")


def _date_births(connection: Connection, answer: pl.DataFrame) -> pl.DataFrame:
    """The answer with born_on and born_wk, day of birth and gestation by the spine, and is_undated where the record did not say that day."""
    put_frame(connection, "found_child", answer.select("child_key").drop_nulls().unique())
    born = read_rows(connection, """
        select child_key, birth_on as born_on, gestation_wk as born_wk
        from lake.clinical.birth semi join found_child using (child_key) where known_to is null""")  # fmt: skip
    told = answer.join(born, on="child_key", how="left", validate="m:1")
    assert len(told) == len(answer)  # noqa: S101
    is_undated = pl.col("birth_on").ne_missing(pl.col("born_on")) & pl.col("born_on").is_not_null()
    return told.select("asked_no", "child_key", "reason", "born_on", "born_wk", is_undated.alias("is_undated"))


def link_reports(connection: Connection) -> None:
    """A report is of the child of its referral, by the PMPC it went to and not before; any other waits, and its sender is told."""
    answer = read_rows(connection, """
        with asked as (
            select a.record_key, r.child_key,
                case when r.child_key is null then 'referral_unknown' when a.sender_id <> r.pmpc_id then 'referral_of_another'
                     when a.reported_on < r.composed_on then 'reported_before_referral' end as reason
            from arrived a left join (from lake.clinical.referral where item_kind = 'referral') r using (referral_id))
        select record_key as asked_no, case when reason is null then coalesce(d.child_key, a.child_key) end as child_key, reason
        from asked a
        left join (select distinct earlier_key, child_key from lake.identified.decision
                   where known_to is null and decision = 'merge') d on d.earlier_key = a.child_key""")  # fmt: skip
    _keep_answer(connection, answer)
    connection.execute("create or replace temp macro asked_no(record_key, who_no) as record_key")


def _keep_answer(connection: Connection, answer: pl.DataFrame) -> None:
    """Temp table `answer`: asked_no (a record, or a way of naming a child) -> child_key or reason."""
    assert answer["asked_no"].is_unique().all()  # noqa: S101
    assert (answer["child_key"].is_null() == answer["reason"].is_not_null()).all()  # noqa: S101
    put_frame(connection, "answer", answer)
    connection.execute("create or replace temp table early (record_key bigint)")


def keep_waiting(connection: Connection, kind: str, on: date) -> Waiting:
    """Records without a child go on (or stay on) the waiting list, those that found theirs leave it; what became of them.

    Of a record one version counts, the newest, whether its child is known or not: one that is older than what is held (temp
    table `upsert_held`) waits for nobody, and what is held of one that waits is over, its sender says it no more (`superseded`).
    """
    names = RECORDS[kind].column_names()
    listed = ", ".join(f'"{c}"' for c in names if c not in ("submission_id", "row_no"))
    asked = read_rows(
        connection,
        f"select '{kind}' as record_kind, record_key, submission_id, row_no, coalesce(reason, 'dated_before_birth') as reason, {listed}, "
        "h.record_key is not null and (a.version_at, a.version_rank, a.content_hash) < (h.version_at, h.version_rank, h.content_hash) "
        "as is_outranked "
        "from arrived a join answer on asked_no = asked_no(record_key, who_no) left join upsert_held h using (record_key) "
        "where reason is not null or record_key in (from early)",
    )
    records = asked.filter(~pl.col("is_outranked"))
    record = pl.struct(_as_text(name, records.schema[name]) for name in names).struct.json_encode()
    waiting = records.with_columns(record.alias("record"))
    note_waiting(connection, kind, waiting)
    replace_state(
        connection, "identified.waiting", waiting, ["record_kind", "record_key"], f"record_kind = '{kind}'", on
    )
    put_frame(connection, "superseded", waiting.select("record_key"))
    connection.execute("create or replace temp table superseded as from upsert_held semi join superseded using (record_key)")
    return Waiting(len(waiting), len(asked) - len(waiting))


def _as_text(name: str, dtype: pl.DataType) -> pl.Expr:
    if dtype == pl.Date:
        return pl.col(name).dt.to_string("%Y-%m-%d")
    return pl.col(name).dt.to_string("%Y-%m-%dT%H:%M:%S") if dtype == pl.Datetime else pl.col(name)
