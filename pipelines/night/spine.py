"""The spine as it is asked: the births that may be meant, the IINs claimed beside them, and whose what asks is by both."""

import polars as pl

from pipelines.identity.claim import CLAIM, derive_learned, link_by_learned
from pipelines.identity.link import SPINE, Linked, forget_mothers_iins, link_children, list_mothers_iins
from pipelines.night.arrived import count_rows
from pipelines.store.lake import Connection, put_frame, read_rows

_LIVING = "from lake.identified.birth b where known_to is null and not is_cancelled"


def link_asked(connection: Connection, who: pl.DataFrame) -> tuple[Linked, pl.Series]:
    """Whose each `ref` of `who` (with WHO) is; and the refs whose IIN is a mother's, and named nobody.

    By the births first: what they do not answer, and only that, is asked of the IINs that were learned.
    """
    put_frame(connection, "asked_who", who)
    births = read_births(connection, "asked_who")
    mothers = list_mothers_iins(who, births)
    named = forget_mothers_iins(who, mothers)
    linked = link_children(named, births)
    again = named.join(linked.unlinked, on="ref", how="semi").filter(pl.col("child_iin").is_not_null())
    learned = read_learned(connection, iins=again["child_iin"])
    again = again.join(learned, on="child_iin", how="semi")
    if again.is_empty():
        return linked, mothers
    put_frame(connection, "learned_child", learned)
    theirs = _read_births(connection, "b.child_key in (select child_key from learned_child)")
    found = link_by_learned(again, pl.concat([births, theirs]).unique(), learned)
    others = linked.unlinked.join(again, on="ref", how="anti")
    return Linked(pl.concat([linked.linked, found.linked]), pl.concat([others, found.unlinked])), mothers


def read_births(connection: Connection, asked: str, of: str = "true") -> pl.DataFrame:
    """The births that the rows of a table may mean, in the columns of SPINE; `of`: SQL for the births that count."""
    asks = " or ".join([
        f"b.child_iin in (select child_iin from {asked} where child_iin is not null)",
        f"b.mother_iin in (select mother_iin from {asked} where mother_iin is not null)",
        f"b.mother_iin in (select child_iin from {asked} where child_iin is not null)",
        f"b.history_no in (select history_no from {asked} where history_no is not null)",
    ])  # fmt: skip
    return _read_births(connection, f"{of} and ({asks})")


def read_claimed(connection: Connection, asked: str) -> pl.DataFrame:
    """(child_key, child_iin) claimed of the IINs in a table, by whomever and for however many."""
    return read_rows(connection, f"""
        select distinct child_key, child_iin from lake.identified.iin
        where known_to is null and child_iin in (select child_iin from {asked})""")  # fmt: skip


def read_learned(connection: Connection, children: pl.Series | None = None, iins: pl.Series | None = None) -> pl.DataFrame:
    """(child_key, child_iin) that are learned now of any of these children, or of these IINs."""
    asked = [pl.Series([], dtype=kind) if given is None else given for given, kind in zip((children, iins), CLAIM.values(), strict=True)]
    if not any(map(len, asked)):
        return pl.DataFrame(schema=CLAIM)
    for name, keys in zip(CLAIM, asked, strict=True):
        put_frame(connection, f"asked_{name}", keys.unique().to_frame(name))
    claims = "select distinct child_key, child_iin from lake.identified.iin where known_to is null and (child_key in ({}) or child_iin in ({}))"
    connection.execute(f"create or replace temp table near_claim as {claims.format('from asked_child_key', 'from asked_child_iin')}")
    if not count_rows(connection, "select count(*) from near_claim"):
        return pl.DataFrame(schema=CLAIM)
    connection.execute(f"""
        create or replace temp table asked_claim as
        {claims.format("select child_key from near_claim", "select child_iin from near_claim")}""")
    births = read_rows(connection, f"""
        select child_key, child_iin, mother_iin {_LIVING} and (child_key in (select child_key from asked_claim)
            or child_iin in (select child_iin from asked_claim) or mother_iin in (select child_iin from asked_claim))""")  # fmt: skip
    learned = derive_learned(read_rows(connection, "from asked_claim"), births)
    return learned.filter(pl.col("child_key").is_in(asked[0].implode()) | pl.col("child_iin").is_in(asked[1].implode()))


def _read_births(connection: Connection, where: str) -> pl.DataFrame:
    frame = read_rows(connection, f"select {', '.join(f'b.{c}' for c in SPINE)} {_LIVING} and {where}")
    return frame.cast({name: kind for name, kind in SPINE.items()})  # noqa: C416
