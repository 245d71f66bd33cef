"""What a file measures beside what the same sender usually sends: volume, completeness, codes, medians, shares of results."""

from datetime import date, timedelta
from typing import NamedTuple

import polars as pl

from pipelines.expect.suite import Suite

ID, WHO = "submission_id", ["sender_id", "record_kind"]
USUAL_DAYS = 56
"""Eight weeks: a sender's own usual volume (of the same weekday) and completeness."""
PROFILE_DAYS = 182
"""Half a year: the months with which this month's medians are compared."""
_WEEKDAYS_LEAST = 3
"""Earlier files of the same weekday needed before that weekday has a usual volume of its own."""
KEPT_SCHEMA = {
    ID: pl.String,
    "sender_id": pl.String,
    "record_kind": pl.String,
    "measure": pl.String,
    "value": pl.Float64,
}


class History(NamedTuple):
    """What is remembered of the senders of a run.

    `submission`: sender_id, record_kind, received_on, received_count of the last USUAL_DAYS; `profile`: submission_id,
    sender_id, record_kind, received_on, measure, value of the last PROFILE_DAYS; `code`: sender_id, record_kind, code of
    all times.
    """

    submission: pl.DataFrame
    profile: pl.DataFrame
    code: pl.DataFrame


NO_HISTORY = History(
    pl.DataFrame(schema={"sender_id": pl.String, "record_kind": pl.String, "received_on": pl.Date, "received_count": pl.Int64}),
    pl.DataFrame(schema={"received_on": pl.Date, **KEPT_SCHEMA}),
    pl.DataFrame(schema={"sender_id": pl.String, "record_kind": pl.String, "code": pl.String}),
)  # fmt: skip


def compare_volume(profile: pl.DataFrame, past: pl.DataFrame, on: date) -> pl.DataFrame:
    """history_count and volume_ratio; `past`: History.submission."""
    same_day = pl.col("received_count").filter(pl.col("received_on").dt.weekday() == on.isoweekday())
    usual = (
        past.filter(pl.col("received_on") >= on - timedelta(days=USUAL_DAYS))
        .group_by(WHO)
        .agg(
            pl.len().cast(pl.Int64).alias("history_count"),
            pl.when(same_day.len() >= _WEEKDAYS_LEAST).then(same_day.median())
            .otherwise(pl.col("received_count").median()).alias("usual_count"),
        )
    )  # fmt: skip
    return (
        profile.join(usual, on=WHO, how="left")
        .with_columns(
            pl.col("history_count").fill_null(0),
            (pl.col("received_count") / pl.col("usual_count")).alias("volume_ratio"),
        )
        .drop("usual_count")
    )


def compare_usual(profile: pl.DataFrame, past: pl.DataFrame, suite: Suite, on: date) -> pl.DataFrame:
    """timeliness_slip_days and fall_<column>; `past`: History.profile."""
    recent = past.filter(pl.col("received_on") >= on - timedelta(days=USUAL_DAYS))
    names = ["timeliness_days", *(f"completeness_{c}" for c in suite.completeness)]
    usual = recent.group_by(WHO).agg(
        pl.col("value").filter(pl.col("measure") == n).median().alias(f"usual_{n}") for n in names
    )
    return (
        profile.join(usual, on=WHO, how="left")
        .with_columns(
            (pl.col("timeliness_days") - pl.col("usual_timeliness_days")).alias("timeliness_slip_days"),
            *((pl.col(f"usual_completeness_{c}") - pl.col(f"completeness_{c}")).alias(f"fall_{c}") for c in suite.completeness),
        )
        .drop(f"usual_{n}" for n in names)
    )  # fmt: skip


def count_new_codes(profile: pl.DataFrame, new: pl.DataFrame, known: pl.DataFrame, suite: Suite) -> pl.DataFrame:
    """new_code_count; null for a sender of whom no code is known yet."""
    if not suite.codes:
        return profile
    counts = new.group_by(ID).agg(pl.len().cast(pl.Int64).alias("new_code_count"))
    veterans = known.select(WHO).unique().with_columns(pl.lit(0, pl.Int64).alias("none"))
    return (
        profile.join(counts, on=ID, how="left").join(veterans, on=WHO, how="left")
        .with_columns(pl.when(pl.col("none") == 0).then(pl.col("new_code_count").fill_null(0)))
        .drop("none")
    )  # fmt: skip


def compare_medians(
    profile: pl.DataFrame, kept: pl.DataFrame, past: pl.DataFrame, suite: Suite, on: date
) -> pl.DataFrame:
    """ratio_<c> and shift_<c>: medians of files weighed by their number of values stand for the median of the values."""
    if suite.median is None:
        return profile
    begin = on - timedelta(days=suite.median.recent_days)
    told = pl.concat([past.select(*KEPT_SCHEMA, "received_on"), kept.with_columns(pl.lit(on).alias("received_on"))])
    for c in suite.median.of:
        own = _pair(kept, [ID, *WHO], c)
        every = _pair(told, [ID, *WHO, "received_on"], c)
        usual = _weigh(every.filter(pl.col("received_on") < begin), "usual", suite.median.usual_least)
        recent = _weigh(every.filter(pl.col("received_on") >= begin), "recent", suite.median.recent_least)
        ratio = pl.when(pl.col("count") >= suite.median.recent_least).then(pl.col("median") / pl.col("usual"))
        measured = (
            own.join(usual, on=WHO, how="left")
            .join(recent, on=WHO, how="left")
            .select(ID, ratio.alias(f"ratio_{c}"), (pl.col("recent") / pl.col("usual")).alias(f"shift_{c}"))
        )
        profile = profile.join(measured, on=ID, how="left")
    return profile


def compare_shares(profile: pl.DataFrame, kept: pl.DataFrame, past: pl.DataFrame, suite: Suite, on: date) -> pl.DataFrame:
    """drift_<name>: how far a file's share is from the sender's own of eight weeks, in standard errors.

    Shares are compared after Anscombe's transformation (Biometrika 1948;35:246), so that few rows and rare answers make no alarm.
    The error grows with the spread that the sender's own files have beyond chance: two ears by two methods are not four children.
    """
    if suite.share is None:
        return profile
    recent = past.filter(pl.col("received_on") >= on - timedelta(days=USUAL_DAYS))
    for name in suite.share.of:
        own, before = (_pair_share(frame, name) for frame in (kept, recent))
        usual = before.group_by(WHO).agg(pl.col("hits").sum().alias("usual_hits"), pl.col("asked").sum().alias("usual_asked"))
        spread = (
            before.join(usual, on=WHO)
            .with_columns(((_bend("hits", "asked") - _bend("usual_hits", "usual_asked")) ** 2 * (pl.col("asked") + 0.5)).alias("squared"))
            .group_by(WHO).agg(pl.col("squared").mean().clip(lower_bound=1.0).alias("spread"))
        )  # fmt: skip
        error = (pl.col("spread") * (1 / (pl.col("asked") + 0.5) + 1 / (pl.col("usual_asked") + 0.5))).sqrt()
        enough = (pl.col("asked") >= suite.share.least) & (pl.col("usual_asked") >= suite.share.usual_least)
        drift = pl.when(enough).then((_bend("hits", "asked") - _bend("usual_hits", "usual_asked")) / error)
        measured = own.join(usual, on=WHO).join(spread, on=WHO).select(ID, drift.alias(f"drift_{name}"))
        profile = profile.join(measured, on=ID, how="left")
    return profile


def _pair_share(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """Hits and asked of each submission that was asked at all; a count of none is not kept."""

    def pick(kind: str) -> pl.Expr:
        return pl.col("value").filter(pl.col("measure") == f"{kind}_{name}").sum().alias(kind)

    return frame.group_by(ID, *WHO).agg(pick("hits"), pick("asked")).filter(pl.col("asked") > 0)


def _bend(hits: str, asked: str) -> pl.Expr:
    return 2 * ((pl.col(hits) + 0.375) / (pl.col(asked) + 0.75)).sqrt().arcsin()


def _pair(frame: pl.DataFrame, by: list[str], component: str) -> pl.DataFrame:
    def pick(name: str) -> pl.Expr:
        return pl.col("value").filter(pl.col("measure") == f"{name}_{component}").first().alias(name)

    return frame.group_by(by).agg(pick("median"), pick("count")).filter(pl.col("median").is_not_null())


def _weigh(pairs: pl.DataFrame, name: str, least: int) -> pl.DataFrame:
    """The weighted median of each sender; null with fewer than `least` values in all."""
    reached = pl.col("count").cum_sum() >= pl.col("count").sum() / 2
    middle = pl.col("median").filter(reached).first()
    return (
        pairs.sort("median")
        .group_by(WHO, maintain_order=True)
        .agg(pl.when(pl.col("count").sum() >= least).then(middle).alias(name))
        .with_columns(pl.when(pl.col(name) > 0).then(name).alias(name))
    )
