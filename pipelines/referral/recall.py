"""What was sent and how it was answered, and what of it is to be taken back (DOMAIN decision 9)."""

from datetime import date
from typing import Protocol

import polars as pl

_ANSWERS = {
    "3.0": None, "4.0": "declined", "5.1.1": None, "5.1.2": None, "5.1.3": None, "5.1.4": None, "5.2": None,
    "6.0": "declined", "7.0": "concluded",
}  # fmt: skip
"""BSeR business status -> what it settles (STANDARDS, referral feeds)."""


class GatedFlags(Protocol):
    """What the consent gate gives: flags open, withheld, closed, unconfirmed; children of consents in force or revoked; consents that hold."""

    @property
    def open(self) -> pl.DataFrame:
        """flag_id, child_key, consent_key."""

    @property
    def withheld(self) -> pl.DataFrame:
        """flag_id, child_key, reason."""

    @property
    def closed(self) -> pl.DataFrame:
        """flag_id, child_key, reason."""

    @property
    def in_force(self) -> pl.DataFrame:
        """child_key."""

    @property
    def revoked(self) -> pl.DataFrame:
        """child_key."""

    @property
    def upheld(self) -> pl.DataFrame:
        """consent_key."""

    @property
    def unconfirmed(self) -> pl.DataFrame:
        """flag_id."""


def judge_sent(referral: pl.DataFrame, report: pl.DataFrame, on: date) -> pl.DataFrame:
    """Every referral sent: is_recalled, answer (concluded, declined or null) and found_nothing_on. A conclusion stands whatever follows.

    found_nothing_on: the day of the last conclusion, where it says that no impairment was found.
    """
    is_conclusion = pl.col("report_status") == "7.0"
    answer = (
        report.filter(pl.col("reported_on") <= on, ~pl.col("is_cancelled"))
        .with_columns(answer=pl.col("report_status").replace_strict(_ANSWERS, return_dtype=pl.String))
        .sort("reported_on", "report_status", "category_codes")
        .group_by("referral_id", maintain_order=True)
        .agg(
            pl.col("answer").last(), is_concluded=is_conclusion.any(), concluded_on=pl.col("reported_on").filter(is_conclusion).last(),
            is_nothing=pl.col("category_codes").filter(is_conclusion).last() == "none",
        )
        .select(
            "referral_id",
            answer=pl.when("is_concluded").then(pl.lit("concluded")).otherwise("answer"),
            found_nothing_on=pl.when("is_nothing").then("concluded_on"),
        )
    )
    recalled = referral.filter(pl.col("item_kind") == "recall")["referral_id"]
    return (
        referral.filter(pl.col("item_kind") == "referral")
        .with_columns(is_recalled=pl.col("referral_id").is_in(recalled.unique().to_list()))
        .join(answer, on="referral_id", how="left", validate="1:1")
    )


def recall_sent(
    sent: pl.DataFrame, flag: pl.DataFrame, gated: GatedFlags, birth: pl.DataFrame, on: date
) -> pl.DataFrame:
    """referral_id, reason: what is to be taken back tonight; nothing is recalled twice.

    A consent that is revoked, or that is no longer there (cancelled, or its authority no longer proven) while no other
    is in force, takes back whatever was sent on it; one that has merely run out does not. A death, a corrected result, a worker's rejection
    or a confirmation that is no longer there (cancelled, or another child's: decision 10) take back only what the PMPC has not answered, and
    all but the death only when no flag of the referral is left.
    """
    is_upheld = among("consent_key", gated.upheld["consent_key"])
    exploded = (
        explode_flags(sent.filter(~pl.col("is_recalled")))
        .join(birth.select("child_key", "died_on"), on="child_key", how="left", validate="m:1")
        .with_columns(
            is_revoked=among("child_key", gated.revoked["child_key"]) & ~is_upheld,
            is_lacking=~among("child_key", gated.in_force["child_key"]) & ~is_upheld,
            is_gone=~among("flag_id", flag["flag_id"]),
            is_rejected=among("flag_id", gated.closed["flag_id"]),
            is_unconfirmed=among("flag_id", gated.unconfirmed["flag_id"]),
            is_dead=(pl.col("died_on") <= on).fill_null(False),
            is_open=pl.col("answer").is_null(),
        )
    )
    reason = (
        pl.when(pl.col("is_revoked").any())
        .then(pl.lit("consent_withdrawn"))
        .when(pl.col("is_lacking").any())
        .then(pl.lit("consent_cancelled"))
        .when(~pl.col("is_open").all())
        .then(pl.lit(None, pl.String))
        .when(pl.col("is_dead").any())
        .then(pl.lit("child_died"))
        .when(pl.col("is_gone").all())
        .then(pl.lit("result_corrected"))
        .when((pl.col("is_gone") | pl.col("is_rejected")).all())
        .then(pl.lit("rejected_by_worker"))
        .when((pl.col("is_gone") | pl.col("is_rejected") | pl.col("is_unconfirmed")).all())
        .then(pl.lit("confirmation_cancelled"))
    )
    return (
        exploded.group_by("referral_id").agg(reason=reason).filter(pl.col("reason").is_not_null()).sort("referral_id")
    )


def explode_flags(item: pl.DataFrame) -> pl.DataFrame:
    """One row a flag of an item: flag_id instead of flag_ids."""
    return item.with_columns(flag_id=pl.col("flag_ids").str.split(" ")).explode("flag_id").drop("flag_ids")


def among(column: str, values: pl.Series) -> pl.Expr:
    """True where the column is one of the values."""
    return pl.col(column).is_in(values.unique().implode())
