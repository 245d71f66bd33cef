"""IINs that a child is given after birth: what records claim for it, and what of that is learned.

Nobody registers again with the spine when the child is given its IIN; a record that names the birth and brings an IIN besides says it.
One such record is a *claim*, which depends on the births and on nothing else. An IIN is *learned* where the claims in force speak with
one voice, and by it records that have nothing better find their child. So neither the order in which records come decides, nor one that
says it no more: whoever claims, corrects or withdraws is heard the same at any time (laws 2 and 11).
"""

import polars as pl

from pipelines.identity.link import SPINE, Linked, forget_mothers_iins, link_children, list_mothers_iins

CLAIM = {"child_key": pl.Int64, "child_iin": pl.String}
_BIRTHS = (("mother_iin", "birth_on"), ("maternity_id", "history_no"))
"""The names of a birth that a record may give in full."""


def list_claims(who: pl.DataFrame, births: pl.DataFrame) -> pl.DataFrame:
    """(ref, child_key, child_iin) of each `ref` that names one child by its birth and brings an IIN that no birth disputes.

    An IIN that is another mother's is kept as claimed, as her own birth record may be withdrawn; the child's mother's never is one.
    """
    linked = link_children(forget_mothers_iins(who, list_mothers_iins(who, births)), births).linked
    own = births.select("child_key", child_iin="mother_iin").drop_nulls().unique()
    brought = who.filter(pl.col("child_iin").is_not_null() & pl.col("child_iin").ne_missing(pl.col("mother_iin")))
    named = brought.select("ref", "child_iin").join(linked.filter(pl.col("rule") != "child_iin"), on="ref")
    return named.join(own, on=["child_key", "child_iin"], how="anti").select("ref", *CLAIM)


def derive_learned(claims: pl.DataFrame, births: pl.DataFrame) -> pl.DataFrame:
    """(child_key, child_iin): the one IIN claimed for a child, claimed for it alone, where no birth bears or gives another.

    `claims`: child_key, child_iin, all there are of each child and of each IIN asked for. `births`: child_key, child_iin, mother_iin of
    those children, and of who bears those IINs or is the mother of another by them. A mother's IIN names no child.
    """
    bearing = births.filter(pl.col("child_iin").is_not_null())
    in_force = (
        claims.select(list(CLAIM)).unique()
        .join(births, on="child_key", how="semi")
        .join(bearing, on="child_key", how="anti").join(bearing, on="child_iin", how="anti")
        .join(births.select(child_iin="mother_iin").drop_nulls(), on="child_iin", how="anti")
    )  # fmt: skip
    return in_force.filter((pl.len().over("child_key") == 1) & (pl.len().over("child_iin") == 1))


def link_by_learned(who: pl.DataFrame, births: pl.DataFrame, learned: pl.DataFrame) -> Linked:
    """Link each `ref` of `who`, which the births alone did not link, by what was learned besides.

    Only its sender says that it is this child's IIN: where the record also names a birth that is none of this child, it waits, as that
    birth may come to be known.
    """
    known = pl.concat([births, learned], how="diagonal").select(list(SPINE))
    linked = link_children(who, known)
    named = who.join(linked.linked.filter(pl.col("rule") == "child_iin"), on="ref")
    foreign = pl.concat(
        named.drop_nulls(names).join(births, on=["child_key", *names], how="anti").select("ref") for names in map(list, _BIRTHS)
    ).unique()
    waits = foreign.with_columns(reason=pl.lit("keys_disagree"))
    return Linked(linked.linked.join(foreign, on="ref", how="anti"), pl.concat([linked.unlinked, waits]))
