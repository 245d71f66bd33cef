"""What follows for what is held when births change: who the child is now, and whose its records are.

Full recomputation would link every record to the births that are known today (law 11). So the records of a child of whom no birth is
left, those whose way of naming a child another shares whose birth is new or says something else tonight, and those of a child whose
birth gives another IIN than was borne or claimed, are asked again in the same run: they stay, move or wait. How a record named its child
is not in the lake (it identifies) but in the archived file; one that cannot be read stays where it is, and `erte verify --deep` tells of
the file.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path

import polars as pl

from pipelines.contracts import WHO
from pipelines.errors import UserError
from pipelines.night.archive import read_again
from pipelines.night.arrived import count_rows
from pipelines.settings import Settings
from pipelines.store.lake import Connection, read_rows, replace_state

LINKED = {
    "screening": ("clinical.screening",),
    "consent": ("identified.consent", "clinical.consent"),
    "confirmation": ("identified.confirmation", "clinical.confirmation"),
}
"""Kinds that are linked by what their records say of the child -> the tables they are kept in."""
_SAID = ", ".join(f"{{0}}.{name}" for name in (*WHO, "plurality", "is_cancelled"))
_VERSION = "record_key, submission_id, row_no, version_at"


def settle_births(connection: Connection, settings: Settings, on: date) -> None:
    """clinical.birth of the children in `answer`: where the record that it tells was withdrawn, the newest of those that are left."""
    if not count_rows(connection, "select count(*) from upsert_held"):
        return  # nobody of them was held before
    connection.execute("""
        create or replace temp table unsettled as
        with held as (
            select record_key, child_key, content_hash, is_cancelled, bool_or(not is_cancelled) over (partition by child_key) as is_living
            from lake.identified.birth where known_to is null and child_key in (select child_key from answer))
        select c.child_key from lake.clinical.birth c left join held h using (record_key, child_key, content_hash)
        where c.known_to is null and c.child_key in (select child_key from answer)
          and (h.record_key is null or (h.is_cancelled and h.is_living))""")
    if not count_rows(connection, "select count(*) from unsettled"):
        return
    left = read_rows(connection, f"""
        select {_VERSION}, child_key, content_hash from lake.identified.birth semi join unsettled using (child_key) where known_to is null""")
    tonight = read_rows(connection, "from linked semi join unsettled using (child_key)").join(left, on=["record_key", "content_hash"], how="semi")
    earlier = left.join(tonight, on="record_key", how="anti")
    again = read_readable(connection, settings, "birth", earlier).join(earlier.select("record_key", "child_key"), on="record_key")
    keep_newest_births(connection, pl.concat([tonight, _add_district(again)], how="diagonal_relaxed"), "child_key in (from unsettled)", on)
    connection.execute("insert into touched from unsettled")
    connection.execute("insert into corrected_birth from unsettled")


def keep_newest_births(connection: Connection, births: pl.DataFrame, scope: str, on: date) -> None:
    """clinical.birth of some children: the newest of their birth records, one that was not withdrawn if there is any."""
    newest = (
        births.pipe(_add_district)
        .sort("is_cancelled", "version_at", "version_rank", "content_hash", descending=[False, True, True, True])
        .unique("child_key", keep="first", maintain_order=True)
    )
    replace_state(connection, "clinical.birth", newest, ["child_key"], scope, on)


def stage_unsure(connection: Connection, settings: Settings, folder: Path, on: date) -> dict[str, list[Path]]:
    """Kind -> files of the records that are to be asked again whose they are, after the births of the run were kept."""
    if not any(count_rows(connection, f"select count(*) from (from lake.{tables[-1]} limit 1)") for tables in LINKED.values()):
        return {}
    _list_unsure(connection, on)
    if not count_rows(connection, "select count(*) from unsure"):
        return {}
    connection.execute("""
        update lake.identified.iin set known_to = ? where known_to is null and child_key in (
            select child_key from unsure where child_key not in (
                select child_key from lake.identified.birth where known_to is null and not is_cancelled))""", [on])  # fmt: skip
    return stage_again(connection, settings, folder, "unsure")


def stage_again(connection: Connection, settings: Settings, folder: Path, children: str) -> dict[str, list[Path]]:
    """Kind -> files of what is held of the children in a temp table (child_key), as it came."""
    staged = {}
    for kind, tables in LINKED.items():
        held = read_rows(connection, f"select {_VERSION} from lake.{tables[-1]} where known_to is null and child_key in (from {children})")
        records = read_readable(connection, settings, kind, held)
        if len(records):
            staged[kind] = [folder / f"{children}-{kind}.parquet"]
            records.write_parquet(staged[kind][0])
    return staged


def add_files(staged: dict[str, list[Path]], more: Mapping[str, list[Path]]) -> None:
    """Files of records to be asked again, beside those staged of their kinds."""
    for kind, files in more.items():
        staged[kind] = [*files, *staged.get(kind, [])]


def _list_unsure(connection: Connection, on: date) -> None:
    """Temp table `unsure`: children held before whose records may be another's now, or nobody's.

    Of whom no birth is left, who share mother and day, number or IIN with another, while the birth of either is new or says otherwise
    whose it is, or of whom a new record first says that they are of a multiple birth; those whose birth bore an IIN and bears it no more,
    and those for whom one is claimed that the births now give otherwise. A child whose own birth record was corrected in something else
    keeps what it has, though that names it as the record did before, unless it is one of those.
    """
    connection.execute(f"""
        create or replace temp table said as
        with fresh as (
            select b.* from lake.identified.birth b where known_to is null and known_from = $1 and record_key in (select record_key from arrived)),
        earlier as (from lake.identified.birth where known_to = $1 and record_key in (select record_key from fresh))
        select f.*, o.child_iin as earlier_iin, o.mother_iin as earlier_mother_iin
        from fresh f left join earlier o using (record_key)
        where o.record_key is null or ({_SAID.format("f")}) is distinct from ({_SAID.format("o")})""", [on])  # fmt: skip
    connection.execute("""
        create or replace temp table unsure as
        with claimed as materialized (
            select c.child_key, c.child_iin from lake.identified.iin c where known_to is null and (
                child_key in (select child_key from said) or child_iin in (
                    select unnest([child_iin, earlier_iin, mother_iin, earlier_mother_iin]) from said))),
        living as materialized (  -- of them alone who may be one of those, who are few among all
            select record_key, child_key, child_iin, mother_iin, birth_on, maternity_id, history_no, plurality
            from lake.identified.birth where known_to is null and not is_cancelled and (
                mother_iin in (select mother_iin from said) or history_no in (select history_no from said)
                or child_key in (select child_key from said union all select child_key from claimed)
                or child_iin in (select child_iin from said union all select child_iin from claimed))),
        shared as (
            select s.child_key, o.child_key as other_key from said s join living o using (mother_iin, birth_on)
            union all select s.child_key, o.child_key from said s join living o using (maternity_id, history_no)
            union all select s.child_key, o.child_key from said s join living o using (child_iin)),
        before as (select child_key from lake.identified.birth where known_to is not null or record_key not in (select record_key from arrived)),
        borne as (
            select child_key, child_iin from living where child_iin is not null and (
                child_key in (select child_key from said) or child_key in (select child_key from claimed)
                or child_iin in (select child_iin from claimed))),
        asked as (
            select child_key from said where is_cancelled and child_key not in (select child_key from living)
            union select unnest([child_key, other_key]) from shared where child_key <> other_key
            union select s.child_key from said s join living o using (child_key)
            where o.record_key <> s.record_key and s.plurality > 1 and coalesce(o.plurality, 1) = 1
            union select child_key from said where earlier_iin is not null
            and (child_key, earlier_iin) not in (select (child_key, child_iin) from borne)
            union select child_key from claimed where child_iin in (select unnest([mother_iin, earlier_mother_iin]) from said)
            union select child_key from claimed where (child_key, child_iin) not in (select (child_key, child_iin) from borne)
            and (child_key in (select child_key from borne) or child_iin in (select child_iin from borne)))
        select distinct child_key from before semi join asked using (child_key)""")  # fmt: skip


def read_readable(connection: Connection, settings: Settings, kind: str, held: pl.DataFrame) -> pl.DataFrame:
    """The records of `held` in all columns of their contract (read_again), but those whose file cannot be read."""
    parts = [read_again(connection, settings, kind, held.clear())]
    for one in held.partition_by("submission_id"):
        with suppress(UserError):
            parts.append(read_again(connection, settings, kind, one))
    return pl.concat(parts)


def _add_district(births: pl.DataFrame) -> pl.DataFrame:
    return births if "kato4" in births.columns else births.with_columns(pl.col("residence_kato").str.head(4).alias("kato4"))
