"""A person unites two children, or parts them again: `erte merge` and `erte unmerge` (law 6).

Nothing is overwritten: versions are closed and opened, the decision is kept and outlives later files, the ledger tells it.
How a record named its child is not in the lake (it identifies); it is read again from the archived file the record came in,
and all is refused when one of them cannot be. Verdicts and flags are assessed anew; what was sent of a flag that is gone, or
of a consent that is another child's, is recalled with the next feed (referral/recall.py). A referral stays of the child that
it was sent of, and so does the PMPC's conclusion.
"""

import tempfile
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from pipelines.contracts import LAKE
from pipelines.errors import UserError
from pipelines.identity.decide import contradict, name_split
from pipelines.identity.link import SPINE
from pipelines.night.archive import read_again
from pipelines.night.arrived import count_rows
from pipelines.night.assess import assess_touched
from pipelines.night.audit import record_event, write_anchors
from pipelines.night.claims import part_claims, settle_claims, unite_claims
from pipelines.night.commit import commit_kind
from pipelines.night.intake import open_day
from pipelines.night.noticing import keep_noticed, open_noticed
from pipelines.night.relink import LINKED, add_files, keep_newest_births, read_readable
from pipelines.night.spine import read_learned
from pipelines.risk.protocol import load_protocols
from pipelines.settings import PACKAGE, Settings
from pipelines.store.lake import Connection, hold_lock, open_lake, put_frame, read_rows, replace_state, transact


def merge_children(settings: Settings, child: int, other: int, reason: str, on: date) -> dict[str, object]:
    """Give everything of `other` to `child`; counts. UserError child_unknown, children_twins, iins_differ, other_referred."""
    with hold_lock(settings), open_lake(settings) as connection:
        one, two = _read_births(connection, child), _read_births(connection, other)
        if child == other or one.is_empty() or two.is_empty():
            raise UserError("child_unknown", "give the keys of two children that have a birth record (`erte explain`)")
        if code := contradict(_add_learned(connection, one, child), _add_learned(connection, two, other)):
            raise UserError(code, "these are certainly two children: another birth order of one pregnancy, or another IIN")
        if _is_referred(connection, other) and not _is_referred(connection, child):
            raise UserError("other_referred", "only the second child was referred: give them in the other order")
        day, both = _find_day(connection, on), (child, other)
        with transact(connection):
            counts = {"birth": _decide(connection, two["record_key"], child, "merge", day)}
            _settle_births(connection, settings, both, day)
            for kind, tables in {**LINKED, "pmpc_report": ("clinical.pmpc_report",)}.items():
                counts[kind] = _move(connection, tables, _list_held(connection, tables[-1], other), child, day)
            is_claimed = unite_claims(connection, child, other, day)
            again = {kind: read_readable(connection, settings, kind, _read_held(connection, kind, child)) for kind in LINKED if is_claimed}
            counts |= _follow(connection, settings, both, day, again)
            record_event(connection, "merge", str(child), {"other": str(other), "reason": reason, **counts})
        write_anchors(connection, settings)
    return {"child_key": child, "merged": other, **counts}


def unmerge_child(settings: Settings, child: int, records: Sequence[str], reason: str, on: date) -> dict[str, object]:
    """Part the birth records `records` ("SUBMISSION:ROW") from a child: they are another's; its key and counts.

    The other child gets back the key these records had before, else a new one. UserError child_unknown, record_unknown,
    nothing_left, archive_unreadable; then nothing has changed.
    """
    with hold_lock(settings), open_lake(settings) as connection:
        births = _read_births(connection, child)
        if births.is_empty():
            raise UserError("child_unknown", "no child with a birth record has this key (`erte explain`)")
        parted = births.filter(pl.col("record_key").is_in(_find_records(connection, child, records)))
        if len(parted) == len(births):
            raise UserError("nothing_left", "one birth record at least must stay with the child")
        day = _find_day(connection, on)
        with transact(connection):
            other = _name_other(connection, settings, child, parted)
            rest = births.join(parted, on="record_key", how="anti")["record_key"]
            _decide(connection, rest, child, "unmerge", day)
            counts = {"birth": _decide(connection, parted["record_key"], other, "unmerge", day)}
            _settle_births(connection, settings, (child, other), day)
            counts["pmpc_report"] = _move(connection, ("clinical.pmpc_report",), _list_reports(connection, child, other), other, day)
            part_claims(connection, child, other, day)
            again = {kind: read_again(connection, settings, kind, _read_held(connection, kind, child)) for kind in LINKED}
            counts |= _follow(connection, settings, (child, other), day, again)
            counts |= {kind: len(_list_held(connection, tables[-1], other)) for kind, tables in LINKED.items()}
            record_event(connection, "unmerge", str(child), {"other": str(other), "reason": reason, **counts})
        write_anchors(connection, settings)
    return {"child_key": child, "parted": other, **counts}


def _find_day(connection: Connection, on: date) -> date:
    """The day from which the decision counts: not published yet, and after the last feed, so that the next one follows it."""
    row = connection.execute("select max(composed_on) from lake.ledger.feed").fetchone()
    day = open_day(connection, on)
    return max(day, row[0] + timedelta(days=1)) if row and row[0] else day


def _read_births(connection: Connection, child: int) -> pl.DataFrame:
    """Current birth records of a child, the withdrawn ones too: record_key, is_cancelled and all of SPINE."""
    frame = read_rows(connection, f"""
        select record_key, is_cancelled, {", ".join(SPINE)} from lake.identified.birth
        where known_to is null and child_key = ?""", [child])  # fmt: skip
    return frame.cast({name: kind for name, kind in SPINE.items()})  # noqa: C416


def _add_learned(connection: Connection, births: pl.DataFrame, child: int) -> pl.DataFrame:
    return pl.concat([births, read_learned(connection, children=pl.Series([child]))], how="diagonal")


def _is_referred(connection: Connection, child: int) -> bool:
    return connection.execute("select 1 from lake.clinical.referral where child_key = ? limit 1", [child]).fetchone() is not None


def _find_records(connection: Connection, child: int, records: Sequence[str]) -> list[int]:
    """Record keys of a child's birth records named by submission (8 digits or more) and row, in any version."""
    keys = []
    for name in records:
        submission, _, row_no = name.partition(":")
        found = connection.execute("""
            select distinct record_key from lake.identified.birth
            where starts_with(submission_id, ?) and row_no = try_cast(? as bigint) and record_key in (
                select record_key from lake.identified.birth where known_to is null and child_key = ?)""",
            [submission.lower(), row_no, child]).fetchall()  # fmt: skip
        if len(submission) < 8 or len(found) != 1:
            raise UserError("record_unknown", "name birth records of this child as SUBMISSION:ROW (`erte explain` lists them)")
        keys.append(int(found[0][0]))
    return keys


def _name_other(connection: Connection, settings: Settings, child: int, parted: pl.DataFrame) -> int:
    """The key that just these records had before they were this child's, if nobody has it now; else a new one."""
    put_frame(connection, "parted", parted.select("record_key"))
    earlier = connection.execute("""
        select child_key from lake.identified.birth
        where child_key in (select child_key from lake.identified.birth semi join parted using (record_key))
          and child_key <> ? and child_key not in (select child_key from lake.identified.birth where known_to is null)
        group by child_key
        having count(distinct record_key) filter (record_key in (from parted)) = (select count(*) from parted)
        order by count(distinct record_key), child_key limit 1""", [child]).fetchone()  # fmt: skip
    if earlier:
        return int(earlier[0])
    taken = connection.execute("""
        select distinct child_key from lake.identified.birth where maternity_id in (
            select maternity_id from lake.identified.birth semi join parted using (record_key))""").fetchall()  # fmt: skip
    return name_split(parted, {row[0] for row in taken}, settings.key)


def _decide(connection: Connection, records: pl.Series, child: int, decision: str, day: date) -> int:
    """Keep the decision that these birth records are of a child, and move those that were another's; how many moved.

    Of a child merged twice the first key is kept as its earlier one: what was sent under it is still this child's.
    """
    put_frame(connection, "decided", records.to_frame())
    held = read_rows(connection, """
        select b.record_key, b.child_key as held_key, d.earlier_key as first_key
        from lake.identified.birth b semi join decided using (record_key)
        left join (select record_key, earlier_key from lake.identified.decision where known_to is null and decision = 'merge') d
        using (record_key) where b.known_to is null""")  # fmt: skip
    first = pl.coalesce("first_key", "held_key") if decision == "merge" else pl.col("held_key")
    state = held.with_columns(pl.lit(child).alias("child_key"), first.alias("earlier_key"), pl.lit(decision).alias("decision"))
    replace_state(connection, "identified.decision", state, ["record_key"], "record_key in (select record_key from decided)", day)
    return _move(connection, ("identified.birth",), held.filter(pl.col("held_key") != child)["record_key"], child, day)


def _move(connection: Connection, tables: Sequence[str], records: pl.Series, child: int, day: date) -> int:
    """Close the current versions of records and open the same under another child; how many."""
    if records.is_empty():
        return 0
    put_frame(connection, "moving", records.to_frame("record_key"))
    for table in tables:
        columns = [c for c in LAKE[table].column_names() if c not in {"known_from", "known_to"}]
        listed = ", ".join(f'"{c}"' for c in columns)
        connection.execute(f"""
            create or replace temp table moved as select * replace ({int(child)} as child_key) from (
                select {listed} from lake.{table} semi join moving using (record_key) where known_to is null)""")  # fmt: skip
        _close(connection, table, day)
        connection.execute(f"insert into lake.{table} (known_from, {listed}) select ?, {listed} from moved", [day])
    return len(records)


def _close(connection: Connection, table: str, day: date) -> None:
    """Close the current versions of the records in temp table `moving`."""
    connection.execute(
        f"update lake.{table} set known_to = ? where known_to is null and record_key in (select record_key from moving)", [day]
    )


def _list_held(connection: Connection, table: str, child: int) -> pl.Series:
    return read_rows(connection, f"select record_key from lake.{table} where known_to is null and child_key = ?", [child])["record_key"]


def _list_reports(connection: Connection, child: int, other: int) -> pl.Series:
    """Reports about referrals that were sent of the other child."""
    return read_rows(connection, """
        select record_key from lake.clinical.pmpc_report where known_to is null and child_key = ? and referral_id in (
            select referral_id from lake.clinical.referral where child_key = ?)""", [child, other])["record_key"]  # fmt: skip


def _settle_births(connection: Connection, settings: Settings, children: Sequence[int], day: date) -> None:
    """clinical.birth of the children: the newest birth record of each, one that was not withdrawn if there is any."""
    held = read_rows(connection, f"""
        select record_key, child_key, submission_id, row_no, version_at from lake.identified.birth
        where known_to is null and child_key in ({", ".join(str(int(c)) for c in children)})""")  # fmt: skip
    again = read_again(connection, settings, "birth", held.drop("child_key")).join(held.select("record_key", "child_key"), on="record_key")
    keep_newest_births(connection, again, f"child_key in ({', '.join(str(int(c)) for c in children)})", day)


def _read_held(connection: Connection, kind: str, child: int) -> pl.DataFrame:
    return read_rows(connection, f"""
        select record_key, submission_id, row_no, version_at from lake.{LINKED[kind][-1]}
        where known_to is null and child_key = ?""", [child])  # fmt: skip


def _follow(
    connection: Connection, settings: Settings, children: Sequence[int], day: date, again: Mapping[str, pl.DataFrame]
) -> dict[str, int]:
    """What follows: the records of `again`, and those that wait, are asked whose they are; verdicts and flags are assessed anew; counts."""
    put_frame(connection, "touched", pl.DataFrame({"child_key": list(children)}, schema={"child_key": pl.Int64}))
    open_noticed(connection)
    with tempfile.TemporaryDirectory(dir=settings.lake) as folder:  # the records identify: they stay where the lake is
        staged = {kind: [Path(folder) / f"again-{kind}.parquet"] for kind, part in again.items() if len(part)}
        for kind, (file,) in staged.items():
            again[kind].write_parquet(file)
        add_files(staged, settle_claims(connection, settings, Path(folder), staged, day))
        for kind in LINKED:
            commit_kind(connection, kind, staged.get(kind, []), settings, day)
    keep_noticed(connection)
    _carry_birth_day(connection, children, day)
    counts = {"waiting": sum(_count_waiting(connection, kind, part) for kind, part in again.items())}
    return counts | assess_touched(connection, load_protocols(PACKAGE / "risk" / settings.protocol), day)


def _count_waiting(connection: Connection, kind: str, records: pl.DataFrame) -> int:
    put_frame(connection, "asked_record", records.select("record_key"))
    return count_rows(connection, f"""
        select count(*) from lake.identified.waiting semi join asked_record using (record_key)
        where known_to is null and record_kind = '{kind}'""")  # fmt: skip


def _carry_birth_day(connection: Connection, children: Sequence[int], day: date) -> None:
    """Results bear the date of birth of their child, by which they are found."""
    wrong = read_rows(connection, f"""
        select s.record_key, s.child_key, b.birth_on from lake.clinical.screening s
        join lake.clinical.birth b on b.child_key = s.child_key and b.known_to is null
        where s.known_to is null and s.birth_on <> b.birth_on and s.child_key in ({", ".join(str(int(c)) for c in children)})""")  # fmt: skip
    for (child,), part in wrong.partition_by("child_key", as_dict=True).items():
        _move(connection, ("clinical.screening",), part["record_key"], child, day)
        connection.execute(
            "update lake.clinical.screening set birth_on = ? where known_to is null and child_key = ? and birth_on <> ?",
            [part["birth_on"][0], child, part["birth_on"][0]],
        )
