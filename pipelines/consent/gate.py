"""The consent gate: which flags may leave for a PMPC on a day, and what each of the others lacks.

Sources: LAW343 Art. 8(2)(4) (consent of a representative), order KR DSM-54 p. 11 and 14 (authority is checked,
silence is not consent), PDL Art. 19-1 (a person confirms). DOMAIN decisions 9 and 10.
"""

from collections.abc import Collection
from datetime import date
from typing import NamedTuple

import polars as pl

_PARENTS = ("mother", "father")
_WITH_DOCUMENT = ("guardian", "foster_carer", "institution")
_DECISION_RANK = {"given": 0, "refused": 1, "withdrawn": 2}
_CONFIRMATION_RANK = {"confirmed": 0, "rejected": 1}


class Gated(NamedTuple):
    """Every flag in exactly one of `open`, `withheld` and `closed`.

    open: flag_id, child_key, consent_key (record key of the consent in force).
    withheld: flag_id, child_key, reason (consent_pending, consent_refused, consent_withdrawn, consent_expired,
    authority_unproven, consent_unclear or confirmation_pending: the first that is lacking).
    closed: flag_id, child_key, reason (rejected_by_worker).

    in_force: child_key of every child of whom a consent is in force, flagged or not.
    revoked: child_key of every child of whom a refusal or a withdrawal stands, flagged or not: what was sent of it
    is to be recalled (decision 9), unless it was sent on an upheld consent.
    upheld: consent_key of every proven consent that no later refusal or withdrawal ended, in force or run out: what
    was sent on it stands.
    unconfirmed: flag_id of every flag that no person answered and no upheld consent to automated processing covers:
    what was sent of it nobody stands for any more (decision 10).
    """

    open: pl.DataFrame
    withheld: pl.DataFrame
    closed: pl.DataFrame
    in_force: pl.DataFrame
    revoked: pl.DataFrame
    upheld: pl.DataFrame
    unconfirmed: pl.DataFrame


def gate_consent(
    flag: pl.DataFrame, consent: pl.DataFrame, confirmation: pl.DataFrame, on: date, doubted: Collection[int] = ()
) -> Gated:
    """The flags open for a referral on the day `on`, those withheld with what they lack, and those rejected.

    Takes current rows of clinical.flag, clinical.consent and clinical.confirmation; decisions after `on` are not
    known yet and do not count. Several programmes of one child share its consent. `doubted`: record keys of consents
    of which something came that could not be taken (night.doubt).
    """
    said = hear_decisions(consent, "pmpc_referral", on, doubted)
    referral = decide_consent(said)
    processed = hear_decisions(consent, "automated_processing", on, doubted)
    automated = decide_consent(processed)
    judged = (
        flag.select("flag_id", "child_key")
        .join(referral, on="child_key", how="left", validate="m:1")
        .join(
            automated.select("child_key", is_automated=pl.col("lack").is_null()),
            on="child_key",
            how="left",
            validate="m:1",
        )
        .join(_answer_flag(flag, confirmation, on), on="flag_id", how="left", validate="1:1")
        .with_columns(
            reason=pl.when(pl.col("confirmation") == "rejected")
            .then(pl.lit("rejected_by_worker"))
            .when(pl.col("consent_key").is_null())
            .then(pl.lit("consent_pending"))
            .when(pl.col("lack").is_not_null())
            .then(pl.col("lack"))
            .when((pl.col("confirmation") == "confirmed") | pl.col("is_automated"))
            .then(pl.lit(None, pl.String))
            .otherwise(pl.lit("confirmation_pending"))
        )
        .sort("flag_id")
    )
    is_rejected = pl.col("reason").eq_missing("rejected_by_worker")
    gated = Gated(
        open=judged.filter(pl.col("reason").is_null()).select("flag_id", "child_key", "consent_key"),
        withheld=judged.filter(pl.col("reason").is_not_null() & ~is_rejected).select("flag_id", "child_key", "reason"),
        closed=judged.filter(is_rejected).select("flag_id", "child_key", "reason"),
        in_force=referral.filter(pl.col("lack").is_null()).select("child_key"),
        revoked=referral.filter(pl.col("lack").is_in(["consent_refused", "consent_withdrawn"])).select("child_key"),
        upheld=said.filter("is_upheld").select(consent_key="record_key"),
        unconfirmed=judged.filter(pl.col("confirmation").is_null())
        .join(processed.filter("is_upheld"), on="child_key", how="anti")
        .select("flag_id"),
    )
    _assert_whole(flag, gated)
    return gated


def hear_decisions(consent: pl.DataFrame, purpose: str, on: date, doubted: Collection[int] = ()) -> pl.DataFrame:
    """Every decision for `purpose` known by the day `on`, with `lack` (why it is no consent in force; else null) and `is_upheld`.

    A consent is heard only from one whose authority is proven: a parent, or whoever else shows a document. A refusal
    or withdrawal is heard from whoever gives it: authority gives the right to send a child's data, and in doubt they
    are not sent; for the same reason a consent in doubt is not in force. Upheld is a proven consent of a day after
    every refusal and withdrawal: a doubt ends none.
    """
    is_proven = pl.col("authority_code").is_in(_PARENTS) | (
        pl.col("authority_code").is_in(_WITH_DOCUMENT) & pl.col("has_authority_document")
    )
    is_given = pl.col("decision") == "given"
    ended_on = pl.col("decided_on").filter(~is_given).max().over("child_key")
    return (
        consent.filter(pl.col("purpose") == purpose, pl.col("decided_on") <= on, ~pl.col("is_cancelled"))
        .with_columns(
            rank=pl.col("decision").replace_strict(_DECISION_RANK, return_dtype=pl.Int8),
            is_word=is_given & is_proven.fill_null(False),
            lack=pl.when(~is_given)
            .then(pl.concat_str(pl.lit("consent_"), "decision"))
            .when(~is_proven.fill_null(False))
            .then(pl.lit("authority_unproven"))
            .when(pl.col("valid_until") < on)
            .then(pl.lit("consent_expired"))
            .when(pl.col("record_key").is_in(list(doubted)))
            .then(pl.lit("consent_unclear")),
        )
        .with_columns(is_upheld=pl.col("is_word") & (ended_on.is_null() | (pl.col("decided_on") > ended_on)))
    )


def decide_consent(said: pl.DataFrame) -> pl.DataFrame:
    """One row a child of whom `hear_decisions` heard: child_key, consent_key, lack.

    The latest day decides; on one day a withdrawal beats a refusal beats a consent. A consent that is unproven or has
    run out decides only where nothing else does: it neither hides nor ends a refusal or a withdrawal. A later proven
    consent takes the place of an earlier one, with its term; an unproven one does not. `lack` is null where a consent
    is in force, else consent_refused, consent_withdrawn, consent_expired, authority_unproven or consent_unclear.
    """
    latest_word_on = pl.col("decided_on").filter("is_word").max().over("child_key")
    return (
        said.filter(~pl.col("is_word") | (pl.col("decided_on") == latest_word_on))
        .with_columns(
            is_void=pl.col("lack").is_in(["consent_expired", "authority_unproven"]).fill_null(False),
            is_unclear=pl.col("lack").eq_missing("consent_unclear"),
        )
        # Of several consents given on one day, one in force is enough, but where one is in doubt; the key settles the rest.
        .sort("is_void", "decided_on", "rank", "is_unclear", "record_key", descending=[False, True, True, True, False])
        .unique("child_key", keep="first", maintain_order=True)
        .sort("child_key")
        .select("child_key", consent_key=pl.col("record_key"), lack=pl.col("lack"))
    )


def _answer_flag(flag: pl.DataFrame, confirmation: pl.DataFrame, on: date) -> pl.DataFrame:
    """flag_id, confirmation: the latest answer given from the examination on; on one day a rejection wins.

    A rejection is of what was found by its day: what a later examination finds again is proposed again, and nobody has answered it.
    """
    found_on = pl.col("last_risk_on").fill_null(pl.col("examined_on"))
    is_answer = (pl.col("confirmation") != "rejected") | (pl.col("confirmed_on") >= found_on)
    return (
        flag.select("flag_id", "child_key", "programme", "examined_on", "last_risk_on")
        .join(
            confirmation.filter(pl.col("confirmed_on") <= on, ~pl.col("is_cancelled")).select(
                "child_key",
                "programme",
                "confirmed_on",
                "confirmation",
                rank=pl.col("confirmation").replace_strict(_CONFIRMATION_RANK, return_dtype=pl.Int8),
            ),
            on=["child_key", "programme"],
        )
        .filter(pl.col("confirmed_on") >= pl.col("examined_on"))
        .sort("flag_id", "confirmed_on", "rank", descending=[False, True, True])
        .unique("flag_id", keep="first", maintain_order=True)
        .filter(is_answer)
        .select("flag_id", "confirmation")
    )


def _assert_whole(flag: pl.DataFrame, gated: Gated) -> None:
    placed = gated.open.height + gated.withheld.height + gated.closed.height
    if placed != flag.height or flag["flag_id"].n_unique() != flag.height:
        raise AssertionError(f"{flag.height} flags entered the gate, {placed} left it")
