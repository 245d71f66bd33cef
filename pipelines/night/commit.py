"""One transaction a run: link to the spine, keep versions, split identity from findings, assess who was touched."""

import hashlib
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

import polars as pl

from pipelines.contracts import LAKE, RECORDS
from pipelines.identity.link import SPINE, WHO, learn_iins, link_children, mint_children
from pipelines.risk.assess import assess_risk
from pipelines.risk.protocol import Protocol
from pipelines.settings import Settings
from pipelines.store.lake import Connection, append_rows, read_rows, replace_state, upsert_versions

_KEYED_BY = {
    "birth": "''", "screening": "component", "consent": "purpose", "confirmation": "programme",
    "pmpc_report": "concat_ws('|', referral_id, report_status, reported_on)",
}  # fmt: skip
"""What makes a record of one source id distinct, by kind; with kind, sender and source id it is the natural key."""

_RANKS = "case when action_code = 'cancel'{cancelled} then 3 when action_code = 'correct'{corrected} then 2 {rest} end"
_STATUS_RANK = _RANKS.format(
    cancelled=" or status_code = 'cancelled'", corrected=" or status_code = 'corrected'",
    rest="when status_code = 'final' then 1 else 0",
)  # fmt: skip
_ACTION_RANK = _RANKS.format(cancelled="", corrected="", rest="else 1")
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
    """Bring the accepted records of one kind into the lake; the children they are of are added to temp table `touched`."""
    _load_arrived(connection, kind, files)
    if kind == "birth":
        _link_births(connection, settings.key)
    elif kind == "pmpc_report":
        _link_reports(connection)
    else:
        _link_records(connection, kind, on)
    arrived = _count(connection, "select count(*) from arrived")
    waiting = _keep_waiting(connection, kind, on)
    new = changed = 0
    for table in _TARGETS[kind]:
        key = "child_key" if table == "clinical.birth" else "record_key"
        _select_target(connection, table, key)
        counts = upsert_versions(connection, table, "target", on, key)
        connection.execute(
            f"insert into touched select distinct unnest([t.child_key, d.held_child_key]) from target t "
            f"join (from upsert_decision where is_new or is_newer) d using ({key})"
        )
        new, changed = counts["new"], counts["changed"]
    return Kept(arrived, waiting, new, changed)


def assess_touched(connection: Connection, protocols: tuple[Protocol, ...], on: date) -> dict[str, int]:
    """Verdicts and flags of the touched children, from their whole sequence of results."""
    connection.execute("create or replace temp table touched as select distinct child_key from touched")
    if not _count(connection, "select count(*) from touched"):
        return {"children": 0, "verdicts": 0, "flags": 0}
    birth = read_rows(connection, """
        select child_key, birth_on, birth_at, sex_code, birth_weight_g, gestation_wk, is_complicated, died_on
        from lake.clinical.birth join touched using (child_key) where known_to is null and not is_cancelled""")  # fmt: skip
    span = connection.execute(
        "select min(birth_on), max(birth_on) from lake.clinical.birth join touched using (child_key) where known_to is null"
    ).fetchone()
    screening = read_rows(connection, """
        select child_key, programme, component, stage_code, examined_on, examined_at, value, comparator, unit, result_code,
               status_code, is_transfused, record_key
        from lake.clinical.screening semi join touched using (child_key)
        where known_to is null and not is_cancelled and birth_on between ? and ?""", list(span or ()))  # fmt: skip
    screening = screening.join(birth.select("child_key"), on="child_key", how="semi")
    assessed = assess_risk(screening, birth, protocols)
    scope = "child_key in (select child_key from touched)"
    verdicts = replace_state(connection, "clinical.verdict", assessed.verdict, ["child_key", "programme"], scope, on)
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


def _load_arrived(connection: Connection, kind: str, files: list[Path]) -> None:
    """Temp table `arrived`: this run's accepted records and those of the kind that waited, newest version a key."""
    contract = RECORDS[kind]
    listed = ", ".join(f'"{name}"' for name in contract.column_names())
    sources = [f"select {listed} from read_parquet(?)"] if files else []
    waited = _load_waited(connection, kind)
    if waited:
        sources.append(f"select {listed} from waited")
    if not sources:
        sources = [f"select {listed} from empty_{kind}"]
        connection.register(f"empty_{kind}", contract.create_empty())
    rank = _STATUS_RANK if kind == "screening" else _ACTION_RANK
    content = [c for c in contract.column_names() if c not in {"submission_id", "row_no", "received_on", "issued_at"}]
    hashed = "concat_ws(chr(31), " + ", ".join(f"coalesce(\"{c}\"::varchar, '')" for c in content) + ")"
    connection.execute(
        f"""
        create or replace temp table arrived as
        select *,
               (md5_number_lower(concat_ws('|', '{kind}', sender_id, source_id, {_KEYED_BY[kind]})) >> 1)::bigint as record_key,
               coalesce(issued_at, received_on::timestamp) as version_at,
               {rank} as version_rank,
               (md5_number_lower({hashed}) >> 1)::bigint as content_hash,
               version_rank = 3 as is_cancelled
        from ({" union all ".join(sources)})""",
        [[str(f) for f in files]] if files else [],
    )
    _keep_newest(connection, "arrived", "record_key")


def _keep_newest(connection: Connection, table: str, key: str) -> None:
    """One row a key in a temp table: the newest version; ties are settled by content, never by order of arrival."""
    repeated = f"(select {key} from {table} group by {key} having count(*) > 1)"
    if not _count(connection, f"select count(*) from {repeated}"):
        return
    connection.execute(f"""
        create or replace temp table newest as
        select * from {table} where {key} in {repeated}
        qualify row_number() over (partition by {key}
            order by version_at desc, version_rank desc, content_hash desc, submission_id, row_no) = 1""")
    connection.execute(f"delete from {table} where {key} in (select {key} from newest)")
    connection.execute(f"insert into {table} select * from newest")


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
        connection.register("waited", records.with_columns(dated))
    return len(waiting)


def _link_births(connection: Connection, key: bytes) -> None:
    spine = _read_spine(connection)
    birth = read_rows(connection, f"""
        select row_number() over () as ref, a.record_key, k.child_key as known_key, a.plurality, {", ".join("a." + c for c in WHO)}
        from arrived a left join (
            select record_key, child_key from lake.identified.birth where known_to is null) k using (record_key)""")  # fmt: skip
    minted = mint_children(birth, spine, key).join(birth.select("ref", "record_key"), on="ref")
    assert len(minted) == len(birth)  # noqa: S101
    connection.register("minted", minted)
    connection.execute(
        "create or replace temp table answer as select record_key, child_key, null::varchar as reason from minted"
    )
    connection.unregister("minted")


def _link_records(connection: Connection, kind: str, on: date) -> None:
    """Ask once for every distinct way of naming a child, not once a record."""
    names = ", ".join(WHO)
    who_hash = "md5_number_lower(concat_ws('|', " + ", ".join(f"coalesce({c}::varchar, '')" for c in WHO) + "))"
    connection.execute(f"create or replace temp table named as select record_key, {who_hash} as who_no from arrived")
    connection.execute(f"""
        create or replace temp table asked as
        select row_number() over () as ref, * from (
            select {who_hash} as who_no, {", ".join(f"any_value({c}) as {c}" for c in WHO)} from arrived group by who_no)""")
    who = read_rows(connection, f"select ref, {names} from asked")
    spine = _read_spine(connection)
    linked = link_children(who, spine)
    learned = learn_iins(who, linked.linked, spine)
    if len(learned):
        rows = learned.with_columns(pl.lit(on).alias("known_from"), pl.lit(None, pl.Date).alias("known_to"))
        append_rows(connection, "identified.iin", rows)
        again = who.join(linked.unlinked, on="ref", how="semi").filter(pl.col("child_iin").is_not_null())
        second = link_children(again, _read_spine(connection))
        found = second.linked
        linked = linked._replace(
            linked=pl.concat([linked.linked, found]), unlinked=linked.unlinked.join(found, on="ref", how="anti")
        )
    connection.register("linked", linked.linked)
    connection.register("unlinked", linked.unlinked)
    connection.execute("""
        create or replace temp table answer as
        select n.record_key, l.child_key, u.reason
        from named n join asked a using (who_no)
        left join linked l on l.ref = a.ref left join unlinked u on u.ref = a.ref""")
    connection.unregister("linked")
    connection.unregister("unlinked")


def _link_reports(connection: Connection) -> None:
    """A report is of the child of its referral; one for a referral never sent waits, and its sender is told."""
    connection.execute("""
        create or replace temp table answer as
        select a.record_key, r.child_key, case when r.child_key is null then 'referral_unknown' end as reason
        from arrived a left join (
            select distinct referral_id, child_key from lake.clinical.referral where item_kind = 'referral') r
        using (referral_id)""")


def _keep_waiting(connection: Connection, kind: str, on: date) -> int:
    """Records without a child go on (or stay on) the waiting list; those that found theirs leave it."""
    assert _count(connection, "select count(*) from answer") == _count(connection, "select count(*) from arrived")  # noqa: S101
    names = RECORDS[kind].column_names()
    listed = ", ".join(f'"{c}"' for c in names if c not in ("submission_id", "row_no"))
    records = read_rows(
        connection,
        f"select '{kind}' as record_kind, record_key, submission_id, row_no, reason, {listed} "
        "from arrived join answer using (record_key) where reason is not null",
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


def _select_target(connection: Connection, table: str, key: str) -> None:
    """Temp table `target`: arrived records with their child, in the columns of one table of the lake."""
    columns = [c for c in LAKE[table].column_names() if c not in {"known_from", "known_to"}]
    arrived = {row[0] for row in connection.execute("describe arrived").fetchall()}
    selected = []
    for column in columns:
        if column == "child_key":
            selected.append("n.child_key")
        elif (table, column) in _COMPUTED:
            selected.append(f"{_COMPUTED[table, column]} as {column}")
        elif column in arrived and not (table == "clinical.screening" and column == "birth_on"):
            selected.append(f'a."{column}"')
        elif column == "birth_on":
            selected.append("b.birth_on")
        else:
            raise ValueError(f"{table}.{column} has no source in arrived")
    births = "join (select child_key, birth_on from lake.clinical.birth where known_to is null) b on b.child_key = n.child_key"
    connection.execute(f"""
        create or replace temp table target as select {", ".join(selected)}
        from arrived a join answer n using (record_key) {births if "b.birth_on" in selected else ""}
        where n.child_key is not null {"order by b.birth_on" if "b.birth_on" in selected else ""}""")
    if key == "child_key":
        _keep_living_births(connection)
        _keep_newest(connection, "target", key)


def _keep_living_births(connection: Connection) -> None:
    """A cancelled birth record does not take away a child who is held by another record."""
    connection.execute("""
        delete from target where is_cancelled and child_key in (
            select child_key from lake.identified.birth where known_to is null and not is_cancelled)""")


def _read_spine(connection: Connection) -> pl.DataFrame:
    """The ways in which the children are known that this run's records ask for (link.SPINE)."""
    births = "select {} from lake.identified.birth b where known_to is null and not is_cancelled and ({})"
    columns = ", ".join(f"b.{c}" for c in SPINE)
    asks = " or ".join([
        "b.child_iin in (select child_iin from arrived where child_iin is not null)",
        "b.mother_iin in (select mother_iin from arrived where mother_iin is not null)",
        "b.history_no in (select history_no from arrived where history_no is not null)",
    ])  # fmt: skip
    nulls = ", ".join(f"null::{'bigint' if t == pl.Int64 else 'date' if t == pl.Date else 'varchar'} as {c}"
                      for c, t in SPINE.items() if c not in {"child_key", "child_iin"})  # fmt: skip
    frame = read_rows(connection, f"""
        with found as ({births.format(columns, asks)}),
        learned as (
            select child_key, child_iin from lake.identified.iin where known_to is null
            and (child_iin in (select child_iin from arrived where child_iin is not null)
                 or child_key in (select child_key from found)))
        select {", ".join(SPINE)} from found
        union all select {", ".join(SPINE)} from (select child_key, child_iin, {nulls} from learned)""")  # fmt: skip
    return frame.cast({name: kind for name, kind in SPINE.items()})  # noqa: C416


def _count(connection: Connection, query: str) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None  # noqa: S101
    return int(row[0])
