"""A profile of every submission: a few dozen numbers, beside what the same sender usually sends. Never a row.

What is compared with the past is kept as numbers (`kept`, for ledger.profile and ledger.sender_code), so that no old row is
ever read again: a night costs by the last half year of profiles of its own senders, however long the lake is.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pipelines.contracts import RECORDS
from pipelines.expect.suite import Suite

USUAL_DAYS = 56
"""Eight weeks: a sender's own usual volume (of the same weekday) and completeness."""
PROFILE_DAYS = 182
"""Half a year: the months with which this month's medians are compared."""
_WEEKDAYS_LEAST = 3
"""Earlier files of the same weekday needed before that weekday has a usual volume of its own."""
_LONGEST_CODE = 80
_AT_ONCE = 1_000_000
"""Rows measured at a time."""
_ID, _WHO = "submission_id", ["sender_id", "record_kind"]
KEPT_SCHEMA = {
    _ID: pl.String,
    "sender_id": pl.String,
    "record_kind": pl.String,
    "measure": pl.String,
    "value": pl.Float64,
}
CODE_SCHEMA = {_ID: pl.String, "sender_id": pl.String, "record_kind": pl.String, "code": pl.String}


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


class Profiled(NamedTuple):
    """`profile`: one row a submission, null where there is nothing to judge; `kept` and `code`: what to remember."""

    profile: pl.DataFrame
    kept: pl.DataFrame
    code: pl.DataFrame


def profile_batches(
    fresh: Sequence[Mapping[str, Any]], folder: Path, history: History, suite: Suite, on: date
) -> Profiled:
    """Profiles of the suite's kind, in this order; shares and ratios, never a value.

    submission_id, record_kind, sender_id, received_count (rows), refusal_share, history_count (the sender's files of
    this kind in eight weeks), volume_ratio (to the median of their rows, of the same weekday where it has enough),
    timeliness_days (median, event to receipt), timeliness_slip_days (above the usual), completeness_<column>,
    fall_<column> (usual completeness less this one), repeated_share, round_share, new_code_count, and for each component
    of `median`: ratio_<c> (this file's median to that of the months before), shift_<c> (this month's to the same).
    """
    receipts = [r for r in fresh if r["record_kind"] == suite.kind and not r["refusal_code"]]
    receipt = pl.DataFrame(
        [[r[_ID], suite.kind, r["sender_id"], r["received_count"], r["quarantined_count"]] for r in receipts],
        schema={_ID: pl.String, "record_kind": pl.String, "sender_id": pl.String,
                "received_count": pl.Int64, "quarantined_count": pl.Int64},
        orient="row",
    )  # fmt: skip
    measured = [_measure_rows(_list_files(folder, some, suite), suite) for some in _share(receipts)]
    row, code = (pl.concat(frames) for frames in zip(*measured, strict=True))
    who = receipt.select(_ID, *_WHO).filter(pl.col("sender_id").is_not_null())
    kept = _list_kept(who, row, suite)
    code = who.join(code, on=_ID, how="inner").join(history.code, on=[*_WHO, "code"], how="anti")
    profile = (
        receipt.with_columns((pl.col("quarantined_count") / pl.col("received_count")).alias("refusal_share"))
        .pipe(_compare_volume, history.submission, on)
        .join(row.select(pl.exclude("^(median|count)_.*$")), on=_ID, how="left")
        .pipe(_compare_usual, history.profile, suite, on)
        .pipe(_count_new_codes, code, history.code, suite)
        .pipe(_compare_medians, kept, history.profile, suite, on)
        .pipe(_gate_measures, suite)
        .drop("quarantined_count")
        .sort(_ID)
    )
    assert len(profile) == len(receipts)  # noqa: S101
    return Profiled(profile, kept, code.select(*CODE_SCHEMA))


def _share(receipts: Sequence[Mapping[str, Any]]) -> list[Sequence[Mapping[str, Any]]]:
    """Submissions in shares of about _AT_ONCE rows, so that memory does not grow with a night; one share at least."""
    ends, total = [], 0
    for place, receipt in enumerate(receipts, 1):
        total += int(receipt["received_count"])
        if total >= _AT_ONCE or place == len(receipts):
            ends.append(place)
            total = 0
    return [receipts[first:end] for first, end in zip([0, *ends], ends, strict=False)] or [()]


def _list_files(folder: Path, receipts: Sequence[Mapping[str, Any]], suite: Suite) -> list[Path]:
    return [f for r in receipts for f in sorted((folder / r[_ID]).glob(f"accepted-{suite.kind}-*.parquet"))]


def _measure_rows(files: Sequence[Path], suite: Suite) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One pass over the accepted rows: the measures of each submission, and the codes it uses (submission_id, code)."""
    if not files:
        names = ["timeliness_days", *(f"completeness_{c}" for c in suite.completeness)]
        names += ["repeated_share"] * bool(suite.repeated) + ["round_share"] * bool(suite.round)
        return (
            pl.DataFrame(schema={_ID: pl.String, **dict.fromkeys(names, pl.Float64)}),
            pl.DataFrame(schema={_ID: pl.String, "code": pl.String}),
        )
    contract = {name: column.dtype for name, column in RECORDS[suite.kind].columns().items()}
    # a column that nobody filled is not staged
    rows = pl.scan_parquet(list(files), schema=contract, missing_columns="insert", extra_columns="ignore")
    delay = (pl.col("received_on") - pl.col(suite.event_on)).dt.total_days()
    plans = [
        rows.group_by(_ID).agg(
            delay.median().alias("timeliness_days"),
            *(pl.col(c).is_not_null().mean().alias(f"completeness_{c}") for c in suite.completeness),
            *_measure_round(suite), *_measure_medians(suite),
        ),
        *(
            rows.filter(pl.col(c).is_not_null()).group_by(_ID, c).len()
            .select(_ID, pl.format(f"{c}={{}}", pl.col(c).str.slice(0, _LONGEST_CODE)).alias("code"))
            for c in suite.codes
        ),
    ]  # fmt: skip
    if suite.repeated:
        within = [_ID, *suite.repeated_within]
        plans.append(
            rows.filter(pl.col(suite.repeated).is_not_null())
            .group_by(*within, suite.repeated).len()
            .group_by(within).agg(pl.col("len").max().alias("most"), pl.col("len").sum().alias("all"))
            .filter(pl.col("all") >= suite.repeated_least)
            .group_by(_ID).agg((pl.col("most") / pl.col("all")).max().alias("repeated_share"))
        )  # fmt: skip
    measured, *others = pl.collect_all(plans)
    if suite.repeated:
        measured = measured.join(others.pop(), on=_ID, how="left")
    code = pl.concat(others) if others else pl.DataFrame(schema={_ID: pl.String, "code": pl.String})
    return measured, code


def _measure_round(suite: Suite) -> list[pl.Expr]:
    if suite.round is None:
        return []
    asked = pl.col(suite.round.column).is_not_null()
    if suite.round.within:
        asked &= pl.col(suite.round.within) == suite.round.of
    steps = pl.col(suite.round.column).filter(asked).cast(pl.Float64) / suite.round.step
    is_round = (steps - steps.round()).abs() < 1e-6
    return [pl.when(steps.len() >= suite.round.least).then(is_round.mean()).alias("round_share")]


def _measure_medians(suite: Suite) -> list[pl.Expr]:
    if suite.median is None:
        return []
    values = {c: pl.col(suite.median.column).filter(pl.col(suite.median.within) == c) for c in suite.median.of}
    return [
        *(v.median().alias(f"median_{c}") for c, v in values.items()),
        *(v.count().cast(pl.Float64).alias(f"count_{c}") for c, v in values.items()),
    ]


def _list_kept(who: pl.DataFrame, row: pl.DataFrame, suite: Suite) -> pl.DataFrame:
    names = ["timeliness_days", *(f"completeness_{c}" for c in suite.completeness)]
    names += [n for n in row.columns if n.startswith(("median_", "count_"))]
    return (
        who.join(row, on=_ID, how="inner")
        .unpivot(names, index=[_ID, *_WHO], variable_name="measure", value_name="value")
        .filter(pl.col("value").is_not_null() & ~(pl.col("measure").str.starts_with("count_") & (pl.col("value") == 0)))
        .select(*KEPT_SCHEMA)
    )


def _compare_volume(profile: pl.DataFrame, past: pl.DataFrame, on: date) -> pl.DataFrame:
    same_day = pl.col("received_count").filter(pl.col("received_on").dt.weekday() == on.isoweekday())
    usual = (
        past.filter(pl.col("received_on") >= on - timedelta(days=USUAL_DAYS))
        .group_by(_WHO)
        .agg(
            pl.len().cast(pl.Int64).alias("history_count"),
            pl.when(same_day.len() >= _WEEKDAYS_LEAST).then(same_day.median())
            .otherwise(pl.col("received_count").median()).alias("usual_count"),
        )
    )  # fmt: skip
    return (
        profile.join(usual, on=_WHO, how="left")
        .with_columns(
            pl.col("history_count").fill_null(0),
            (pl.col("received_count") / pl.col("usual_count")).alias("volume_ratio"),
        )
        .drop("usual_count")
    )


def _compare_usual(profile: pl.DataFrame, past: pl.DataFrame, suite: Suite, on: date) -> pl.DataFrame:
    recent = past.filter(pl.col("received_on") >= on - timedelta(days=USUAL_DAYS))
    names = ["timeliness_days", *(f"completeness_{c}" for c in suite.completeness)]
    usual = recent.group_by(_WHO).agg(
        pl.col("value").filter(pl.col("measure") == n).median().alias(f"usual_{n}") for n in names
    )
    return (
        profile.join(usual, on=_WHO, how="left")
        .with_columns(
            (pl.col("timeliness_days") - pl.col("usual_timeliness_days")).alias("timeliness_slip_days"),
            *((pl.col(f"usual_completeness_{c}") - pl.col(f"completeness_{c}")).alias(f"fall_{c}") for c in suite.completeness),
        )
        .drop(f"usual_{n}" for n in names)
    )  # fmt: skip


def _count_new_codes(profile: pl.DataFrame, new: pl.DataFrame, known: pl.DataFrame, suite: Suite) -> pl.DataFrame:
    """new_code_count; null for a sender of whom no code is known yet."""
    if not suite.codes:
        return profile
    counts = new.group_by(_ID).agg(pl.len().cast(pl.Int64).alias("new_code_count"))
    veterans = known.select(_WHO).unique().with_columns(pl.lit(0, pl.Int64).alias("none"))
    return (
        profile.join(counts, on=_ID, how="left").join(veterans, on=_WHO, how="left")
        .with_columns(pl.when(pl.col("none") == 0).then(pl.col("new_code_count").fill_null(0)))
        .drop("none")
    )  # fmt: skip


def _compare_medians(
    profile: pl.DataFrame, kept: pl.DataFrame, past: pl.DataFrame, suite: Suite, on: date
) -> pl.DataFrame:
    """ratio_<c> and shift_<c>: medians of files weighed by their number of values stand for the median of the values."""
    if suite.median is None:
        return profile
    begin = on - timedelta(days=suite.median.recent_days)
    told = pl.concat([past.select(*KEPT_SCHEMA, "received_on"), kept.with_columns(pl.lit(on).alias("received_on"))])
    for c in suite.median.of:
        own = _pair(kept, [_ID, *_WHO], c)
        every = _pair(told, [_ID, *_WHO, "received_on"], c)
        usual = _weigh(every.filter(pl.col("received_on") < begin), "usual", suite.median.usual_least)
        recent = _weigh(every.filter(pl.col("received_on") >= begin), "recent", suite.median.recent_least)
        ratio = pl.when(pl.col("count") >= suite.median.recent_least).then(pl.col("median") / pl.col("usual"))
        measured = (
            own.join(usual, on=_WHO, how="left")
            .join(recent, on=_WHO, how="left")
            .select(_ID, ratio.alias(f"ratio_{c}"), (pl.col("recent") / pl.col("usual")).alias(f"shift_{c}"))
        )
        profile = profile.join(measured, on=_ID, how="left")
    return profile


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
        .group_by(_WHO, maintain_order=True)
        .agg(pl.when(pl.col("count").sum() >= least).then(middle).alias(name))
        .with_columns(pl.when(pl.col(name) > 0).then(name).alias(name))
    )


def _gate_measures(profile: pl.DataFrame, suite: Suite) -> pl.DataFrame:
    return profile.with_columns(
        pl.when((pl.col("received_count") >= gate.rows) & (pl.col("history_count") >= gate.files))
        .then(gate.of).alias(name)
        for name, gate in suite.gate.items()
    )  # fmt: skip
