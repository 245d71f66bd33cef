"""What is found of an accepted record only when its child is asked for: why it waits, and what only the birth record can say.

Most rows name their child by a number alone, so its age at the examination, and whether the weeks of gestation sent with a
result are those of the birth record, are known only after linking. The findings are those of `contracts.plausible`, on the row
and file in which the result came, once a version: a file that repeats what is held is told nothing anew. Feedback is written
after the transaction, so the sender reads of them the next morning in the feedback of that file; of a result that waited too:
the feedback is written anew when its child is found, when it waits for another reason, or when its birth record is corrected.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import polars as pl

from pipelines.contracts.plausible import GESTATION_SLACK_WK, UNDOUBTED_DAYS, list_birth_notices
from pipelines.night.arrived import count_rows
from pipelines.night.audit import record_event
from pipelines.store.lake import Connection, append_rows, put_frame, read_rows

_ASKED_OF = {
    "age_at_mchat_outside_window": "n.is_undated and a.programme = 'autism'",
    "child_over_3": f"n.is_undated and n.born_on <= $born_by and a.examined_on - n.born_on >= {UNDOUBTED_DAYS}",
    "gestation_wk_differs": f"a.gestation_wk is not null and abs(a.gestation_wk - n.born_wk) > {GESTATION_SLACK_WK}",
}
"""Finding code -> of which results it is worth asking: a national year has millions, and each term spares the join most of them."""


def open_noticed(connection: Connection, fresh: Sequence[str] = ()) -> None:
    """Temp tables `noticed`: what is found of a run's records, to be kept in the ledger (keep_noticed); `fresh_id`: the files it judged.

    Also what a run notes of its records to act upon: births it corrected, and ends of consents that did not count for their version.
    """
    put_frame(connection, "fresh_id", pl.DataFrame({"submission_id": list(fresh)}, schema={"submission_id": pl.String}))
    connection.execute("create or replace temp table corrected_birth (child_key bigint)")
    connection.execute("""
        create or replace temp table outranked_end (submission_id varchar, row_no bigint, record_key bigint, code varchar, decided_on date)""")
    connection.execute("""
        create or replace temp table noticed (submission_id varchar, row_no bigint, source_id varchar, "column" varchar, code varchar,
            record_key bigint, version_at timestamp, version_rank bigint)""")


def note_waiting(connection: Connection, kind: str, waiting: pl.DataFrame) -> None:
    """Add to `noticed` why records wait (rows of identified.waiting), where that is another reason than before or the file was judged anew."""
    if waiting.is_empty():
        return
    held = read_rows(connection, """
        select submission_id, row_no, reason from lake.identified.waiting
        where known_to is null and record_kind = ? and submission_id not in (from fresh_id)""", [kind])  # fmt: skip
    anew = waiting.join(held, on=["submission_id", "row_no", "reason"], how="anti")
    nothing = pl.lit(None, pl.String)  # the waiting list names its rows itself
    told = anew.select("submission_id", "row_no", nothing.alias("source_id"), nothing.alias("column"), pl.col("reason").alias("code"))
    add_noticed(connection, told)


def note_mothers_iins(connection: Connection, named: pl.DataFrame) -> None:
    """Add to `noticed` the rows of this run's files that name a child (`named`: who_no) by an IIN that is its mother's, or another's."""
    if len(named):
        put_frame(connection, "named_by_mother", named)
        add_noticed(connection, read_rows(connection, """
            select submission_id, row_no, source_id, 'child_iin' as "column", 'child_iin_of_mother' as code
            from arrived semi join named_by_mother using (who_no) where submission_id in (from fresh_id) order by all"""))  # fmt: skip


def note_by_spine(connection: Connection, counts: Mapping[str, int], on: date) -> None:
    """Add to `noticed` what the birth records say of the results in `arrived`, after they were linked and kept (`counts`).

    A file that came before and is judged anew with more of its people is told again of what it brought then.
    """
    newly = "record_key in (select record_key from upsert_decision where is_new or is_newer)"
    again = "submission_id in (from fresh_id semi join lake.ledger.submission using (submission_id))"
    for code, notice in list_birth_notices().items():
        asked = _ASKED_OF[code].replace("$born_by", f"date '{on - timedelta(days=UNDOUBTED_DAYS)}'")
        result = read_rows(connection, f"""
            select * from (
                select a.record_key, a.submission_id, a.row_no, a.source_id, a.programme, a.examined_on, a.gestation_wk,
                    n.born_on as birth_on, n.born_wk
                from arrived a join answer n on n.asked_no = a.who_no
                where n.child_key is not null and not a.is_cancelled and {asked})
            where record_key not in (from early) {f"and ({newly} or {again})" if counts["unchanged"] else ""}""")  # fmt: skip
        found = result.filter(notice.applies).filter(notice.exactly)
        told = found.select("submission_id", "row_no", "source_id", pl.lit(notice.column).alias("column"), pl.lit(code).alias("code"))
        add_noticed(connection, told)


def note_by_corrected_births(connection: Connection, on: date) -> None:
    """Add to `noticed` what birth records that were corrected in this run (`corrected_birth`) now say of results held before.

    A row is told once of each; what is true of it no more is settled, and open again when it is once more. Its file may be of any
    earlier night: an event says that what is told of it changed.
    """
    if not count_rows(connection, "select count(*) from corrected_birth"):
        return
    span = read_rows(connection, """
        select min(birth_on), max(birth_on) from lake.clinical.birth semi join corrected_birth using (child_key)""").row(0)  # fmt: skip
    result = read_rows(connection, """
        with born as (
            select child_key, birth_on, gestation_wk as born_wk, submission_id as born_in
            from lake.clinical.birth semi join corrected_birth using (child_key)
            where known_to is null and not is_cancelled)
        select s.submission_id, s.row_no, s.record_key, s.version_at, s.version_rank, s.programme, s.examined_on, s.gestation_wk,
            b.birth_on, b.born_wk, b.born_in
        from lake.clinical.screening s join born b using (child_key)
        where s.known_to is null and not s.is_cancelled and s.birth_on between ? and ? and s.submission_id not in (from fresh_id)
        """, span)  # fmt: skip
    nothing = pl.lit(None, pl.String)
    told = pl.concat(
        result.filter(notice.applies).filter(notice.exactly).select(
            "submission_id", "row_no", nothing.alias("source_id"), pl.lit(notice.column).alias("column"), pl.lit(code).alias("code")
        )
        for code, notice in list_birth_notices().items()
    )  # fmt: skip
    key = ["submission_id", "row_no", "code"]
    put_frame(connection, "told_now", told.unique(key, maintain_order=True))
    put_frame(connection, "asked_row", result.drop("programme", "examined_on", "gestation_wk", "birth_on", "born_wk"))
    before = read_rows(connection, """
        select distinct f.submission_id, f.row_no, f.code, s.settled_on is not null as is_settled
        from lake.ledger.finding f semi join asked_row using (submission_id, row_no)
        left join lake.ledger.settlement s using (submission_id, row_no, code)
        where list_contains(?, f.code)""", [list(list_birth_notices())])  # fmt: skip
    now = read_rows(connection, "from told_now order by all")
    add_noticed(connection, now.join(before, on=key, how="anti"))
    connection.execute("""
        delete from lake.ledger.settlement
        where (submission_id, row_no, code) in (select (submission_id, row_no, code) from told_now)""")
    stale = before.filter(~pl.col("is_settled")).join(now, on=key, how="anti")
    settled = stale.join(read_rows(connection, "from asked_row"), on=["submission_id", "row_no"]).unique([*key, "record_key"], maintain_order=True)
    append_rows(connection, "ledger.settlement", settled.with_columns(pl.col("born_in").alias("settled_in"), pl.lit(on).alias("settled_on")))
    news = now.join(before.filter(~pl.col("is_settled")), on=key, how="anti")
    changed = pl.concat([news.select("submission_id", "row_no"), stale.select("submission_id", "row_no")])
    for submission_id, rows in changed.group_by("submission_id").agg(pl.col("row_no").n_unique()).sort("submission_id").iter_rows():
        record_event(connection, "notice", submission_id, {"rows": rows})


def keep_noticed(connection: Connection, noted: pl.DataFrame | None = None) -> None:
    """Write `noticed` to the ledger, with the rivals among it, and by which names its senders know those rows.

    `noted`: rows of the run that are named already.
    """
    noticed = read_rows(connection, "from noticed")
    finding = noticed.select("submission_id", "row_no", "column", "code").unique(maintain_order=True)  # a row of several results is told of once
    nothing = pl.lit(None, pl.String)
    append_rows(connection, "ledger.finding", finding.with_columns(pl.lit("warning").alias("severity"), nothing.alias("detail")))
    rivals = noticed.drop_nulls("record_key").unique(["submission_id", "row_no", "code", "record_key"], keep="first", maintain_order=True)
    append_rows(connection, "ledger.settlement", rivals.with_columns(nothing.alias("settled_in"), pl.lit(None, pl.Date).alias("settled_on")))
    names = noticed.select("submission_id", "row_no", "source_id").drop_nulls().sort("source_id")
    named = names if noted is None else pl.concat([noted, names])
    append_rows(connection, "identified.noted", named.unique(["submission_id", "row_no"], keep="first", maintain_order=True))


def add_noticed(connection: Connection, found: pl.DataFrame) -> None:
    """Add to `noticed`: submission_id, row_no, source_id, column, code; of rivals also the record and the version to be settled."""
    connection.register("found_row", found)
    connection.execute("insert into noticed by name from found_row")
    connection.unregister("found_row")
