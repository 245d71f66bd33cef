"""One transaction a run: link to the spine, keep versions, split identity from findings, assess who was touched."""

import hashlib
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

import polars as pl

from pipelines.contracts import LAKE, RECORDS, WHO
from pipelines.identity.link import SPINE, learn_iins, link_children, mint_children
from pipelines.intake.keys import KEY_COLUMNS, add_keys
from pipelines.risk.assess import assess_risk
from pipelines.risk.protocol import Protocol
from pipelines.settings import Settings
from pipelines.store.lake import Connection, append_rows, put_frame, read_rows, replace_state, upsert_versions

_TARGETS = {
    "birth": ("identified.birth", "clinical.birth"),
    "screening": ("clinical.screening",),
    "consent": ("identified.consent", "clinical.consent"),
    "confirmation": ("clinical.confirmation",),
    "pmpc_report": ("clinical.pmpc_report",),
}
_COMPUTED = {
    ("clinical.consent", "has_authority_document"): "authority_document is not null",
    ("clinical.birth", "kato4"): "left(residence_kato, 4)",
}


class Kept(NamedTuple):
    """Counts of one kind: records arrived, of them unknown children; new and changed versions."""

    arrived: int
    waiting: int
    new: int
    changed: int


def commit_kind(connection: Connection, kind: str, files: list[Path], settings: Settings, on: date) -> Kept:
    """Bring the accepted records of a kind into the lake; the children they are of are added to temp table `touched`."""
    _view_arrived(connection, kind, files)
    if kind == "birth":
        _link_births(connection, settings.key)
    elif kind == "pmpc_report":
        _link_reports(connection)
    else:
        _link_records(connection, on)
    arrived = _count(connection, "select count(*) from arrived")
    waiting = _keep_waiting(connection, kind, on)
    new = changed = 0
    for table in _TARGETS[kind]:
        key = "child_key" if table == "clinical.birth" else "record_key"
        target = _view_target(connection, table, key)
        counts = upsert_versions(connection, table, target, on, key)
        _touch(connection, target, key, counts)
        if key == "record_key":
            assert sum(counts.values()) + waiting == arrived  # noqa: S101  # no record is lost between the joins
            new, changed = counts["new"], counts["changed"]
    return Kept(arrived, waiting, new, changed)


def _touch(connection: Connection, target: str, key: str, counts: dict[str, int]) -> None:
    """Add to `touched` the children of new and changed records, and the child a changed record was of before."""
    if counts["new"] and not counts["unchanged"]:
        connection.execute("insert into touched select child_key from answer where child_key is not null")
    elif counts["new"] or counts["changed"]:
        connection.execute(
            f"insert into touched select distinct t.child_key from {target} t "
            f"semi join (from upsert_decision where is_new or is_newer) using ({key})"
        )
    if counts["changed"]:
        connection.execute("insert into touched select distinct held_child_key from upsert_decision where is_newer")


def assess_touched(connection: Connection, protocols: tuple[Protocol, ...], on: date) -> dict[str, int]:
    """Verdicts and flags of the touched children, from their whole sequence of results."""
    connection.execute("create or replace temp table touched as select distinct child_key from touched")
    if not _count(connection, "select count(*) from touched"):
        return {"children": 0, "verdicts": 0, "flags": 0}
    birth = read_rows(connection, """
        select child_key, birth_on, birth_at, sex_code, birth_weight_g, gestation_wk, is_complicated, died_on
        from lake.clinical.birth semi join touched using (child_key) where known_to is null and not is_cancelled""")  # fmt: skip
    put_frame(connection, "assessed", birth.select("child_key"))
    span = connection.execute(  # of every version: a result or verdict keeps the date of birth it came with
        "select min(birth_on), max(birth_on) from lake.clinical.birth semi join touched using (child_key)"
    ).fetchone()
    given = list(span or ())
    screening = read_rows(connection, """
        select child_key, programme, component, stage_code, examined_on, examined_at, value, comparator, unit, result_code,
               status_code, is_transfused, record_key
        from lake.clinical.screening semi join assessed using (child_key)
        where known_to is null and not is_cancelled and birth_on between ? and ?""", given)  # fmt: skip
    assessed = assess_risk(screening, birth, protocols)
    scope = "child_key in (select child_key from touched)"
    born = "birth_on between date '{}' and date '{}' and ".format(*given)
    verdicts = replace_state(connection, "clinical.verdict", assessed.verdict, ["child_key", "programme"], born + scope, on)
    flags = replace_state(connection, "clinical.flag", assessed.flag, ["flag_id"], scope, on)
    return {"children": len(birth), "verdicts": verdicts["opened"], "flags": flags["opened"]}


def record_event(connection: Connection, kind: str, subject: str, detail: dict[str, object]) -> None:
    """Append to the audit chain: each event carries the hash of the one before."""
    last = connection.execute(
        "select event_no, event_hash from lake.ledger.event order by event_no desc limit 1"
    ).fetchone()
    number, previous = (last[0] + 1, last[1]) if last else (1, "0" * 64)
    happened_at = datetime.now(UTC).replace(tzinfo=None)
    text = json.dumps(detail, sort_keys=True)
    event_hash = hash_event(number, happened_at, kind, subject, text, previous)
    row = pl.DataFrame(
        {"event_no": number, "happened_at": happened_at, "kind": kind, "subject": subject, "detail": text,
         "previous_hash": previous, "event_hash": event_hash}
    )  # fmt: skip
    append_rows(connection, "ledger.event", row)


def hash_event(number: int, at: datetime, kind: str, subject: str, detail: str, previous: str) -> str:
    """sha256 over an event and the hash of the event before it."""
    return hashlib.sha256("|".join([str(number), at.isoformat(), kind, subject, detail, previous]).encode()).hexdigest()


def _view_arrived(connection: Connection, kind: str, files: list[Path]) -> None:
    """View `arrived`: this run's accepted records and those of the kind that waited, newest version a key.

    A view, so that a national year is never held in memory: each question reads the columns it needs.
    """
    columns = [*RECORDS[kind].column_names(), *KEY_COLUMNS]
    listed = ", ".join(f'"{name}"' for name in columns)
    sources = [f"select {listed} from {_view_staged(connection, kind, files)}"] if files else []
    if _load_waited(connection, kind):
        sources.append(f"select {listed} from waited")
    if not sources:
        put_frame(connection, "none_arrived", add_keys(RECORDS[kind].create_empty(), kind))
        sources = [f"select {listed} from none_arrived"]
    connection.execute(f"create or replace temp view every_arrived as {' union all '.join(sources)}")
    _view_newest(connection, "arrived", "every_arrived", "record_key")


def _view_staged(connection: Connection, kind: str, files: list[Path]) -> str:
    """View `staged`: the rows of staged files, with the columns that no file has filled as nulls; its name."""
    read = f"read_parquet([{', '.join(_quote(str(f)) for f in files)}], union_by_name = true)"
    filled = {row[0] for row in connection.execute(f"describe from {read}").fetchall()}
    put_frame(connection, "staged_none", add_keys(RECORDS[kind].create_empty(), kind))
    typed = connection.execute("describe staged_none").fetchall()
    nulls = "".join(f', null::{row[1]} as "{row[0]}"' for row in typed if row[0] not in filled)
    connection.execute(f"create or replace temp view staged as select *{nulls} from {read}")
    return "staged"


def _view_newest(connection: Connection, view: str, source: str, key: str) -> None:
    """One row a key of a source: the newest version; ties are settled by content, never by order of arrival."""
    connection.execute(
        f"create or replace temp table {view}_repeated as select {key} from {source} group by {key} having count(*) > 1"
    )
    if not _count(connection, f"select count(*) from {view}_repeated"):
        connection.execute(f"create or replace temp view {view} as from {source}")
        return
    connection.execute(f"""
        create or replace temp table {view}_newest as
        select * from {source} semi join {view}_repeated using ({key})
        qualify row_number() over (partition by {key}
            order by version_at desc, version_rank desc, content_hash desc, submission_id, row_no) = 1""")
    connection.execute(f"""
        create or replace temp view {view} as
        from {source} anti join {view}_repeated using ({key}) union all from {view}_newest""")


def _load_waited(connection: Connection, kind: str) -> int:
    """View `waited`: records of the kind whose child was not known; they are asked again in every run."""
    waiting = read_rows(
        connection, "select record from lake.identified.waiting where known_to is null and record_kind = ?", [kind]
    )
    if len(waiting):
        dtypes = {name: column.dtype for name, column in RECORDS[kind].columns().items()}
        text = pl.Struct({n: pl.String if d.is_temporal() else d for n, d in dtypes.items()})
        records = waiting.select(pl.col("record").str.json_decode(text)).unnest("record")
        dated = [
            pl.col(n).str.to_date("%Y-%m-%d")
            if d == pl.Date
            else pl.col(n).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us")
            for n, d in dtypes.items()
            if d.is_temporal()
        ]
        put_frame(connection, "waited", add_keys(records.with_columns(dated), kind))
    return len(waiting)


def _link_births(connection: Connection, key: bytes) -> None:
    spine = _read_spine(connection, "arrived")
    birth = read_rows(connection, f"""
        select row_number() over () as ref, a.record_key, coalesce(d.child_key, k.child_key) as known_key, a.plurality,
            {", ".join("a." + c for c in WHO)}
        from arrived a
        left join (select record_key, child_key from lake.identified.birth where known_to is null) k using (record_key)
        left join (select record_key, child_key from lake.identified.decision where known_to is null) d using (record_key)""")  # fmt: skip
    minted = mint_children(birth, spine, key).join(birth.select("ref", "record_key"), on="ref")
    assert len(minted) == len(birth)  # noqa: S101
    _keep_answer(
        connection,
        minted.select(pl.col("record_key").alias("asked_no"), "child_key", pl.lit(None, pl.String).alias("reason")),
    )
    connection.execute("create or replace temp macro asked_no(record_key, who_no) as record_key")


def _link_records(connection: Connection, on: date) -> None:
    """Ask once for every distinct way of naming a child, not once a record."""
    who = read_rows(connection, f"""
        select row_number() over () as ref, * from (
            select who_no, {", ".join(f"any_value({c}) as {c}" for c in WHO)} from arrived group by who_no)""")  # fmt: skip
    put_frame(connection, "asked_who", who)
    spine = _read_spine(connection, "asked_who")
    linked = link_children(who, spine)
    learned = learn_iins(who, linked.linked, spine)
    if len(learned):
        rows = learned.with_columns(pl.lit(on).alias("known_from"), pl.lit(None, pl.Date).alias("known_to"))
        append_rows(connection, "identified.iin", rows)
        again = who.join(linked.unlinked, on="ref", how="semi").filter(pl.col("child_iin").is_not_null())
        found = link_children(again, _read_spine(connection, "asked_who")).linked
        linked = linked._replace(
            linked=pl.concat([linked.linked, found]), unlinked=linked.unlinked.join(found, on="ref", how="anti")
        )
    answer = who.select("ref", pl.col("who_no").alias("asked_no")).join(linked.linked, on="ref", how="left")
    _keep_answer(
        connection, answer.join(linked.unlinked, on="ref", how="left").select("asked_no", "child_key", "reason")
    )
    connection.execute("create or replace temp macro asked_no(record_key, who_no) as who_no")


def _link_reports(connection: Connection) -> None:
    """A report is of the child of its referral; one for a referral never sent waits, and its sender is told."""
    answer = read_rows(connection, """
        select a.record_key as asked_no, coalesce(d.child_key, r.child_key) as child_key,
            case when r.child_key is null then 'referral_unknown' end as reason
        from arrived a
        left join (select distinct referral_id, child_key from lake.clinical.referral where item_kind = 'referral') r
        using (referral_id)
        left join (select distinct earlier_key, child_key from lake.identified.decision
                   where known_to is null and decision = 'merge') d on d.earlier_key = r.child_key""")  # fmt: skip
    _keep_answer(connection, answer)
    connection.execute("create or replace temp macro asked_no(record_key, who_no) as record_key")


def _keep_answer(connection: Connection, answer: pl.DataFrame) -> None:
    """Temp table `answer`: asked_no (a record, or a way of naming a child) -> child_key or reason."""
    assert answer["asked_no"].is_unique().all()  # noqa: S101
    assert (answer["child_key"].is_null() == answer["reason"].is_not_null()).all()  # noqa: S101
    put_frame(connection, "answer", answer)


def _keep_waiting(connection: Connection, kind: str, on: date) -> int:
    """Records without a child go on (or stay on) the waiting list; those that found theirs leave it."""
    names = RECORDS[kind].column_names()
    listed = ", ".join(f'"{c}"' for c in names if c not in ("submission_id", "row_no"))
    records = read_rows(
        connection,
        f"select '{kind}' as record_kind, record_key, submission_id, row_no, reason, {listed} "
        "from arrived join answer on asked_no = asked_no(record_key, who_no) where reason is not null",
    )
    record = pl.struct(_as_text(name, records.schema[name]) for name in names).struct.json_encode()
    waiting = records.with_columns(record.alias("record"))
    replace_state(
        connection, "identified.waiting", waiting, ["record_kind", "record_key"], f"record_kind = '{kind}'", on
    )
    return len(waiting)


def _as_text(name: str, dtype: pl.DataType) -> pl.Expr:
    if dtype == pl.Date:
        return pl.col(name).dt.to_string("%Y-%m-%d")
    return pl.col(name).dt.to_string("%Y-%m-%dT%H:%M:%S") if dtype == pl.Datetime else pl.col(name)


def _view_target(connection: Connection, table: str, key: str) -> str:
    """A view of the arrived records whose child is known, in the columns of one table of the lake; its name."""
    columns = [c for c in LAKE[table].column_names() if c not in {"known_from", "known_to"}]
    arrived = {row[0] for row in connection.execute("describe arrived").fetchall()}
    if table == "clinical.screening":
        connection.execute("""
            create or replace temp table answer as select n.* , b.birth_on
            from answer n left join (select child_key, birth_on from lake.clinical.birth where known_to is null) b using (child_key)""")
    selected = []
    for column in columns:
        if column == "child_key":
            selected.append("n.child_key")
        elif (table, column) in _COMPUTED:
            selected.append(f"{_COMPUTED[table, column]} as {column}")
        elif column == "birth_on" and table == "clinical.screening":
            selected.append("n.birth_on")  # the spine's, not what came with the result
        elif column in arrived:
            selected.append(f'a."{column}"')
        else:
            raise ValueError(f"{table}.{column} has no source in arrived")
    connection.execute(f"""
        create or replace temp view linked as select {", ".join(selected)}
        from arrived a join answer n on n.asked_no = asked_no(a.record_key, a.who_no)
        where n.child_key is not null""")
    if key == "record_key":
        return "linked"
    _view_living_births(connection)
    _view_newest(connection, "newest_birth", "living", key)
    return "newest_birth"


def _view_living_births(connection: Connection) -> None:
    """A cancelled birth record does not take away a child who is held by another record."""
    connection.execute("""
        create or replace temp view living as from linked where not is_cancelled or child_key not in (
            select child_key from lake.identified.birth where known_to is null and not is_cancelled)""")


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _read_spine(connection: Connection, asked: str) -> pl.DataFrame:
    """The ways in which the children are known that the rows of a table ask for (link.SPINE)."""
    births = "select {} from lake.identified.birth b where known_to is null and not is_cancelled and ({})"
    columns = ", ".join(f"b.{c}" for c in SPINE)
    asks = " or ".join([
        f"b.child_iin in (select child_iin from {asked} where child_iin is not null)",
        f"b.mother_iin in (select mother_iin from {asked} where mother_iin is not null)",
        f"b.history_no in (select history_no from {asked} where history_no is not null)",
    ])  # fmt: skip
    nulls = ", ".join(f"null::{'bigint' if t == pl.Int64 else 'date' if t == pl.Date else 'varchar'} as {c}"
                      for c, t in SPINE.items() if c not in {"child_key", "child_iin"})  # fmt: skip
    frame = read_rows(connection, f"""
        with found as ({births.format(columns, asks)}),
        learned as (
            select child_key, child_iin from lake.identified.iin where known_to is null
            and (child_iin in (select child_iin from {asked} where child_iin is not null)
                 or child_key in (select child_key from found)))
        select {", ".join(SPINE)} from found
        union all select {", ".join(SPINE)} from (select child_key, child_iin, {nulls} from learned)""")  # fmt: skip
    return frame.cast({name: kind for name, kind in SPINE.items()})  # noqa: C416


def _count(connection: Connection, query: str) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None  # noqa: S101
    return int(row[0])
