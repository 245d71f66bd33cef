"""Composing: the one place of every flag, what goes to which PMPC tonight, and the numbers of the feeds.

Sources: LAW343 Art. 8(2)(4), O704 p. 96; DOMAIN decisions 8, 9, 11 and 13. Laws 3, 4 and 8 of the house hold here.
"""

import hashlib
from collections.abc import Collection, Iterable
from datetime import date
from typing import NamedTuple

import polars as pl

from pipelines.referral.recall import GatedFlags, among, explode_flags, judge_sent, recall_sent

FIRST_HASH = "0" * 64
"""The previous hash of the first feed of a PMPC."""
AGE_LIMIT = "36mo"
"""Under 3 years: the day of the third birthday is no longer under 3 (decision 8)."""
OWNER = pl.coalesce("phc_id", "maternity_id")
"""Whose list a child is on: its primary care organisation's, else its maternity's; null = nobody's."""

_ITEM = ("referral_id", "item_kind", "child_key", "episode_no", "pmpc_id", "composed_on", "consent_key", "flag_ids")
_PLACEMENT = ("flag_id", "child_key", "place", "reason", "owner_id", "referral_id")
_WAITS_FOR_CONSENT = (
    "consent_pending", "consent_refused", "consent_withdrawn", "consent_expired", "authority_unproven",
    "consent_unclear", "confirmation_pending",
)  # fmt: skip


class Placed(NamedTuple):
    """The one place of every flag (law 4), tonight's items, and why each recall is sent.

    placement: the columns of clinical.placement but known_from and known_to.
    item: the columns of clinical.referral but feed_no; a recall repeats the referral it takes back.
    recall: referral_id, reason (consent_withdrawn, consent_cancelled, child_died, result_corrected,
    rejected_by_worker, confirmation_cancelled).
    """

    placement: pl.DataFrame
    item: pl.DataFrame
    recall: pl.DataFrame


def place_flags(
    flag: pl.DataFrame,
    gated: GatedFlags,
    birth: pl.DataFrame,
    referral: pl.DataFrame,
    report: pl.DataFrame,
    catchment: pl.DataFrame,
    on: date,
    key: bytes,
) -> Placed:
    """Where every current flag is on the night `on`, and what is to be sent.

    Takes current rows of clinical.flag, clinical.birth and clinical.pmpc_report, all of clinical.referral and the
    register of catchments; `key` is the secret that makes referral ids. The uncovered open flags of a child make one
    referral, the next episode of that child; a flag in a referral that was not recalled is never sent again, but where the
    PMPC found nothing and a later examination has found the same again.
    """
    sent = judge_sent(referral, report, on)
    recall = recall_sent(sent, flag, gated, birth, on)
    standing = sent.filter(~pl.col("is_recalled")).join(recall, on="referral_id", how="anti")
    judged = _judge_flags(flag, gated, birth, explode_flags(sent), explode_flags(standing), catchment, on)
    referred = _refer_open(judged, sent, on, key)
    recalled = (
        referral.filter(pl.col("item_kind") == "referral")
        .join(recall, on="referral_id", how="semi")
        .with_columns(item_kind=pl.lit("recall"), composed_on=pl.lit(on))
        .select(_ITEM)
    )
    item = pl.concat([referred, recalled]).sort("pmpc_id", "referral_id", "item_kind")
    placement = (
        judged.join(explode_flags(referred).select("flag_id", tonight_id="referral_id"), on="flag_id", how="left")
        .with_columns(referral_id=pl.coalesce("tonight_id", "referral_id"))
        .with_columns(referral_id=pl.when(pl.col("place") == "referred").then("referral_id"))
        .select(_PLACEMENT)
        .sort("flag_id")
    )
    if placement.height != flag.height or placement["flag_id"].n_unique() != flag.height:
        raise AssertionError(f"{flag.height} flags came to be placed, {placement.height} were")
    if item.select("child_key", "episode_no", "item_kind").is_duplicated().any():
        raise AssertionError("a child is in two items of one episode")
    return Placed(placement, item, recall.sort("referral_id"))


def keep_carers(birth: pl.DataFrame, carer: Collection[str]) -> pl.DataFrame:
    """Births whose `phc_id` and `maternity_id` are null where they are none of `carer`, the facilities that collect lists.

    A list of any other would lie where nobody looks. Where no register says who they are (none given), the sender's
    word stands.
    """
    known = [pl.when(pl.col(name).is_in(list(carer))).then(name).alias(name) for name in ("phc_id", "maternity_id")]
    return birth.with_columns(known) if carer else birth


def count_withheld(placement: pl.DataFrame, birth: pl.DataFrame, catchment: pl.DataFrame, on: date) -> pl.DataFrame:
    """pmpc_id, withheld_count: flags of its catchment that wait for a consent or a confirmation on the day `on`."""
    return (
        placement.filter(pl.col("place") == "withheld", pl.col("reason").is_in(_WAITS_FOR_CONSENT))
        .join(birth.select("child_key", "kato4"), on="child_key", how="left", validate="m:1")
        .join(_serve(catchment, on), on="kato4", validate="m:1")
        .group_by("pmpc_id")
        .agg(withheld_count=pl.len().cast(pl.Int64))
        .sort("pmpc_id")
    )


def compose_feeds(
    item: pl.DataFrame,
    pmpc: pl.DataFrame,
    earlier_feed: pl.DataFrame,
    withheld: pl.DataFrame,
    on: date,
    had_arrivals: bool,
) -> pl.DataFrame:
    """One row a feed to be sent on the night `on`: ledger.feed without content_hash, and pmpc_name.

    Every PMPC of the register that has no feed of that night yet gets one, an empty one too (`zero_reason`); one that
    has gets a further one only when there are items left. A PMPC that has left the register is told what is taken back of
    what it was sent, under its id for a name. `earlier_feed` is all of ledger.feed, `withheld` is what `count_withheld` gives.
    Raises ValueError when a referral goes to a PMPC that is not in the register.
    """
    gone = item.join(pmpc, on="pmpc_id", how="anti")
    stray = gone.filter(pl.col("item_kind") == "referral")["pmpc_id"].unique().sort().to_list()
    if stray:
        raise ValueError(f"referrals to a PMPC that is not in the register: {stray}")
    addressed = [pmpc.select("pmpc_id", "pmpc_name"), gone.select("pmpc_id", pmpc_name="pmpc_id").unique()]
    last = earlier_feed.group_by("pmpc_id").agg(
        last_no=pl.col("feed_no").max(),
        last_hash=pl.col("content_hash").sort_by("feed_no").last(),
        has_feed=(pl.col("composed_on") == on).any(),
    )
    counts = item.group_by("pmpc_id").agg(
        item_count=pl.len().cast(pl.Int64),
        referral_count=(pl.col("item_kind") == "referral").sum().cast(pl.Int64),
        recall_count=(pl.col("item_kind") == "recall").sum().cast(pl.Int64),
    )
    reason = (
        pl.when(pl.col("item_count") > 0)
        .then(pl.lit(None, pl.String))
        .when(not had_arrivals)
        .then(pl.lit("no_arrivals"))
        .when(pl.col("withheld_count").fill_null(0) > 0)
        .then(pl.lit("consent_pending"))
        .otherwise(pl.lit("no_flags"))
    )
    return (
        pl.concat(addressed)
        .join(last, on="pmpc_id", how="left", validate="1:1")
        .join(counts, on="pmpc_id", how="left", validate="1:1")
        .join(withheld, on="pmpc_id", how="left", validate="1:1")
        .with_columns(pl.col("item_count", "referral_count", "recall_count", "last_no").fill_null(0))
        .filter(~pl.col("has_feed").fill_null(False) | (pl.col("item_count") > 0))
        .select(
            "pmpc_id",
            "pmpc_name",
            feed_no=pl.col("last_no") + 1,
            composed_on=pl.lit(on),
            item_count="item_count",
            referral_count="referral_count",
            recall_count="recall_count",
            zero_reason=reason,
            previous_hash=pl.col("last_hash").fill_null(FIRST_HASH),
        )
        .sort("pmpc_id")
    )


def _judge_flags(
    flag: pl.DataFrame,
    gated: GatedFlags,
    birth: pl.DataFrame,
    sent: pl.DataFrame,
    standing: pl.DataFrame,
    catchment: pl.DataFrame,
    on: date,
) -> pl.DataFrame:
    """Every flag with place, reason, owner_id, referral_id of a standing referral, consent_key, pmpc_id, is_new."""
    child = birth.select("child_key", "birth_on", "kato4", "died_on", owner_id=OWNER)
    held = pl.concat([gated.withheld, gated.closed]).select("flag_id", lack="reason")
    sent, standing = _forget_outgrown(flag, sent), _forget_outgrown(flag, standing)
    cover = standing.sort("episode_no").unique("flag_id", keep="last").select("flag_id", "referral_id", "answer")
    joined = (
        flag.select("flag_id", "child_key")
        .join(child.with_columns(is_born=pl.lit(True)), on="child_key", how="left", validate="m:1")
        .join(held, on="flag_id", how="left", validate="1:1")
        .join(gated.open.select("flag_id", "consent_key"), on="flag_id", how="left", validate="1:1")
        .join(cover, on="flag_id", how="left", validate="1:1")
        .join(_serve(catchment, on), on="kato4", how="left", validate="m:1")
    )
    if joined["is_born"].null_count():
        raise AssertionError(f"{joined['is_born'].null_count()} flags of children who are not on the spine")
    ungated = joined.filter(pl.col("lack").is_null() == pl.col("consent_key").is_null()).height
    if ungated:
        raise AssertionError(f"{ungated} flags did not pass the gate exactly once")
    concluded = sent.filter(pl.col("answer") == "concluded")["flag_id"]
    rules: list[tuple[pl.Expr, str, pl.Expr]] = [
        (pl.col("died_on") <= on, "closed", pl.lit("child_died")),
        (among("flag_id", concluded), "closed", pl.lit("concluded")),
        (among("flag_id", gated.closed["flag_id"]), "closed", pl.col("lack")),
        (pl.col("answer") == "declined", "withheld", pl.lit("declined_by_pmpc")),
        (pl.col("referral_id").is_not_null(), "referred", pl.lit("awaiting_pmpc")),
        (pl.col("birth_on").dt.offset_by(AGE_LIMIT) <= on, "aged_out", pl.lit("turned_3")),
        (pl.col("lack").is_not_null(), "withheld", pl.col("lack")),
        (pl.col("pmpc_id").is_null(), "withheld", pl.lit("catchment_unknown")),
        (pl.lit(True), "referred", pl.lit("awaiting_pmpc")),
    ]
    rule = pl.coalesce(pl.when(condition).then(number) for number, (condition, _, _) in enumerate(rules))
    return (
        joined.with_columns(rule=rule)
        .with_columns(
            place=pl.coalesce(
                pl.when(pl.col("rule") == n).then(pl.lit(place)) for n, (_, place, _) in enumerate(rules)
            ),
            reason=pl.coalesce(pl.when(pl.col("rule") == n).then(text) for n, (_, _, text) in enumerate(rules)),
            is_new=pl.col("rule") == len(rules) - 1,
        )
        .drop("rule", "is_born")
    )


def _forget_outgrown(flag: pl.DataFrame, sent: pl.DataFrame) -> pl.DataFrame:
    """What was sent, a row a flag, without what a conclusion that found nothing answered before the last examination at risk."""
    found_on = pl.col("last_risk_on").fill_null(pl.col("examined_on"))
    dated = sent.join(flag.select("flag_id", found_on.alias("found_on")), on="flag_id", how="left", validate="m:1")
    return dated.filter((pl.col("found_nothing_on") >= pl.col("found_on")).fill_null(value=True)).drop("found_on")


def _refer_open(judged: pl.DataFrame, sent: pl.DataFrame, on: date, key: bytes) -> pl.DataFrame:
    """One referral a child of its new flags: the columns of an item."""
    earlier = sent.group_by("child_key").agg(earlier_count=pl.len().cast(pl.Int64))
    fresh = (
        judged.filter("is_new")
        .group_by("child_key")
        .agg(
            pl.col("pmpc_id", "consent_key").first(),
            flag_ids=pl.col("flag_id").sort().str.join(" "),
        )
        .join(earlier, on="child_key", how="left", validate="1:1")
        .with_columns(episode_no=pl.col("earlier_count").fill_null(0) + 1)
        .sort("child_key")
    )
    ids = _make_ids(fresh.select("child_key", "episode_no").iter_rows(), key)
    return fresh.with_columns(
        referral_id=pl.Series(ids, dtype=pl.String),
        item_kind=pl.lit("referral"),
        composed_on=pl.lit(on),
    ).select(_ITEM)


def _make_ids(rows: Iterable[tuple[int, int]], key: bytes) -> list[str]:
    """Referral ids of (child_key, episode_no): the same again for the same child and episode, and no way back."""
    return ["R" + hashlib.sha256(key + f"|{child}|{episode}".encode()).hexdigest()[:24] for child, episode in rows]


def _serve(catchment: pl.DataFrame, on: date) -> pl.DataFrame:
    """kato4, pmpc_id: the PMPC of each district on the day `on`; raises ValueError when a district has two."""
    valid = catchment.filter(
        pl.col("valid_from") <= on, pl.col("valid_to").is_null() | (pl.col("valid_to") >= on)
    ).select("kato4", "pmpc_id")
    twice = valid.filter(valid["kato4"].is_duplicated())["kato4"].unique().sort().to_list()
    if twice:
        raise ValueError(f"districts with two PMPCs on {on}: {twice}")
    return valid
