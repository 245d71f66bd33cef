"""Deterministic linkage: which child a record is of, by what rule, or why it is not known.

Rules in order of strength (DOMAIN section 6): the child's IIN; the mother's IIN with birth date, birth order and
sex; the maternity organisation with its history number. A missing field neither agrees nor disagrees; two different
IINs, birth orders, sexes or dates are certainly not one child. An IIN and birth data that name two children name
neither (`keys_disagree`); a mother's IIN in the child's place names nobody. Twins are told apart by birth order or not at all.
Probabilistic linkage will stand beside this module and take what is left in `unlinked`.
"""

from typing import NamedTuple

import polars as pl

SPINE = {
    "child_key": pl.Int64, "child_iin": pl.String, "mother_iin": pl.String, "birth_on": pl.Date,
    "birth_order": pl.Int64, "plurality": pl.Int64, "sex_code": pl.String, "maternity_id": pl.String,
    "history_no": pl.String,
}  # fmt: skip
"""One row for each way a child is known: every birth record, and every IIN learned later (other columns null)."""


class Linked(NamedTuple):
    """`linked`: ref, child_key, rule; `unlinked`: ref, reason. Every ref is in exactly one of them."""

    linked: pl.DataFrame
    unlinked: pl.DataFrame


def link_children(who: pl.DataFrame, spine: pl.DataFrame) -> Linked:
    """Link each `ref` of `who` (columns ref + WHO, one row a ref) to a child of the spine."""
    asked = who.with_columns(pl.col("sex_code").replace("unknown", None))
    known = spine.with_columns(pl.col("sex_code").replace("unknown", None))
    candidates = pl.concat([_match_iin(asked, known), _match_mother(asked, known), _match_history(asked, known)])
    candidates = candidates.group_by("ref", "child_key", "rule").agg(pl.col("is_certain").all())  # by whichever of its births
    candidates = _drop_weaker(_drop_others(candidates, asked, known))
    contradicted = _list_contradicted(candidates, asked, known)
    choice = candidates.group_by("ref").agg(
        pl.col("child_key").filter(pl.col("rule") == 0).unique().alias("by_iin"),
        pl.col("child_key").filter(pl.col("rule") > 0).unique().alias("by_birth"),
        pl.col("is_certain").all(),
        pl.col("rule").min(),
    )
    by_iin, by_birth = pl.col("by_iin"), pl.col("by_birth")
    decided = who.select("ref").join(choice, on="ref", how="left").with_columns(
        pl.when(pl.col("rule").is_null()).then(pl.lit("child_unknown"))
        .when((by_iin.list.len() > 1) | pl.col("ref").is_in(contradicted.implode())).then(pl.lit("keys_disagree"))
        .when((by_iin.list.len() == 1) & (by_birth.list.len() > 0) & ~by_birth.list.contains(by_iin.list.first()))
        .then(pl.lit("keys_disagree"))
        .when(by_iin.list.len() == 1).then(None)
        .when((by_birth.list.len() > 1) | ~pl.col("is_certain")).then(pl.lit("twin_ambiguous"))
        .alias("reason"),
        pl.coalesce(by_iin.list.first(), by_birth.list.first()).alias("child_key"),
    )  # fmt: skip
    names = pl.col("rule").replace_strict({0: "child_iin", 1: "mother_birth", 2: "history"}, return_dtype=pl.String)
    linked = decided.filter(pl.col("reason").is_null()).select("ref", "child_key", names)
    unlinked = decided.filter(pl.col("reason").is_not_null()).select("ref", "reason")
    assert len(linked) + len(unlinked) == len(who)  # noqa: S101  # nothing is lost around the joins
    return Linked(linked, unlinked)


def list_mothers_iins(who: pl.DataFrame, spine: pl.DataFrame) -> pl.Series:
    """Refs whose child's IIN is a mother's, by the record itself or by any birth of the spine, and no birth's own: it names no child.

    Order 704 lets a device record carry the mother's IIN "or the child's if any" (DOMAIN section 6): the one comes in the place of the other.
    """
    mothers = spine["mother_iin"].drop_nulls().unique().implode()
    is_hers = (pl.col("child_iin") == pl.col("mother_iin")).fill_null(value=False) | pl.col("child_iin").is_in(mothers)
    own = spine.filter(pl.col("birth_on").is_not_null())["child_iin"].drop_nulls().unique().implode()
    return who.filter(pl.col("child_iin").is_not_null() & is_hers & ~pl.col("child_iin").is_in(own))["ref"]


def forget_mothers_iins(who: pl.DataFrame, refs: pl.Series) -> pl.DataFrame:
    """The ways of naming a child without those IINs (list_mothers_iins)."""
    return who.with_columns(pl.when(~pl.col("ref").is_in(refs.implode())).then("child_iin").alias("child_iin"))


def _match_iin(asked: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    pairs = asked.filter(pl.col("child_iin").is_not_null()).join(known, on="child_iin", suffix="_known")
    return pairs.select("ref", "child_key", pl.lit(0).alias("rule"), pl.lit(value=True).alias("is_certain"))


def _match_mother(asked: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    pairs = asked.filter(pl.col("mother_iin").is_not_null() & pl.col("birth_on").is_not_null()).join(
        known, on=["mother_iin", "birth_on"], suffix="_known"
    )
    return _keep_compatible(pairs, 1)


def _match_history(asked: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    pairs = asked.filter(pl.col("maternity_id").is_not_null() & pl.col("history_no").is_not_null()).join(
        known, on=["maternity_id", "history_no"], suffix="_known"
    )
    return _keep_compatible(pairs.filter(_agree("birth_on") & _agree("mother_iin")), 2) if len(pairs) else _none()


def _keep_compatible(pairs: pl.DataFrame, rule: int) -> pl.DataFrame:
    """Pairs whose sex and birth order do not disagree; without an order a child of a multiple birth stays uncertain."""
    single = pl.col("plurality").fill_null(1) == 1
    ordered = pl.col("birth_order").is_not_null() & pl.col("birth_order_known").is_not_null()
    return pairs.filter(_agree("sex_code") & _agree("birth_order")).select(
        "ref", "child_key", pl.lit(rule).alias("rule"), (single | ordered).alias("is_certain")
    )


def _agree(column: str) -> pl.Expr:
    return (pl.col(column) == pl.col(f"{column}_known")).fill_null(value=True)


def _none() -> pl.DataFrame:
    return pl.DataFrame(schema={"ref": pl.Int64, "child_key": pl.Int64, "rule": pl.Int32, "is_certain": pl.Boolean})


def _drop_others(candidates: pl.DataFrame, asked: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """A child that bears another IIN than the one asked for is certainly not meant, unless somebody bears that one: then they disagree.

    Only what a birth says is so certain: one that was learned tells for its child, not against it.
    """
    iins = known.filter(pl.col("child_iin").is_not_null() & pl.col("birth_on").is_not_null()).select("child_key", "child_iin").unique()
    wanted = asked.filter(pl.col("child_iin").is_not_null()).select("ref", pl.col("child_iin").alias("wanted"))
    wrong = (
        candidates.filter((pl.col("rule").min() > 0).over("ref"))
        .join(wanted, on="ref")
        .join(iins, on="child_key")
        .group_by("ref", "child_key")
        .agg((pl.col("child_iin") == pl.col("wanted")).any().alias("is_borne"))
        .filter(~pl.col("is_borne"))
    )
    return candidates.join(wrong, on=["ref", "child_key"], how="anti")


def _list_contradicted(candidates: pl.DataFrame, asked: pl.DataFrame, known: pl.DataFrame) -> pl.Series:
    """Refs whose IIN is of a child of whom every birth has another order or day than the record says.

    Not for the sex alone: it is told wrongly or not at all more often than an IIN with its check digit, and a twin of the other sex is
    found by the birth data.
    """
    births = known.filter(pl.col("birth_on").is_not_null()).select("child_key", "birth_on", "birth_order")
    pairs = candidates.filter(pl.col("rule") == 0).join(asked.select("ref", "birth_on", "birth_order"), on="ref")
    both = pairs.join(births, on="child_key", suffix="_known")
    agreed = both.group_by("ref", "child_key").agg((_agree("birth_on") & _agree("birth_order")).any().alias("is_agreed"))
    return agreed.filter(~pl.col("is_agreed"))["ref"]


def _drop_weaker(candidates: pl.DataFrame) -> pl.DataFrame:
    """A child of that mother and day alone is not meant where another child also has the history number asked for."""
    ways = pl.col("rule").filter(pl.col("rule") > 0).n_unique().over("ref", "child_key")
    seen = candidates.with_columns((ways == 2).alias("is_both"))
    return seen.filter((pl.col("rule") != 1) | pl.col("is_both") | ~pl.col("is_both").any().over("ref")).drop("is_both")
