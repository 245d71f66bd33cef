"""A profile of every submission: a few dozen numbers, beside what the same sender usually sends. Never a row.

What is compared with the past is kept as numbers (`kept`, for ledger.profile and ledger.sender_code), so that no old row is
ever read again: a night costs by the last half year of profiles of its own senders, however long the lake is.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pipelines.contracts import RECORDS
from pipelines.expect.compare import (
    ID,
    KEPT_SCHEMA,
    WHO,
    History,
    compare_medians,
    compare_shares,
    compare_usual,
    compare_volume,
    count_new_codes,
)
from pipelines.expect.suite import Median, Share, Suite

_LONGEST_CODE = 80
_AT_ONCE = 1_000_000
"""Rows measured at a time."""
_NOT_SHOWN = "^(median|count|hits|asked)_.*$"
"""Measures that are kept to compare with, and judged only in comparison."""
CODE_SCHEMA = {ID: pl.String, "sender_id": pl.String, "record_kind": pl.String, "code": pl.String}


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
    fall_<column> (usual completeness less this one), repeated_share, round_share, new_code_count, for each component
    of `median`: ratio_<c> (this file's median to that of the months before), shift_<c> (this month's to the same), and for
    each share of `share`: drift_<name> (how far this file's is from the sender's own of eight weeks, in standard errors).
    """
    receipts = [r for r in fresh if r["record_kind"] == suite.kind and not r["refusal_code"]]
    receipt = pl.DataFrame(
        [[r[ID], suite.kind, r["sender_id"], r["received_count"], r["quarantined_count"]] for r in receipts],
        schema={ID: pl.String, "record_kind": pl.String, "sender_id": pl.String,
                "received_count": pl.Int64, "quarantined_count": pl.Int64},
        orient="row",
    )  # fmt: skip
    measured = [_measure_rows(_list_files(folder, some, suite), suite) for some in _share(receipts)]
    row, code = (pl.concat(frames) for frames in zip(*measured, strict=True))
    who = receipt.select(ID, *WHO).filter(pl.col("sender_id").is_not_null())
    kept = _list_kept(who, row, suite)
    code = who.join(code, on=ID, how="inner").join(history.code, on=[*WHO, "code"], how="anti")
    profile = (
        receipt.with_columns((pl.col("quarantined_count") / pl.col("received_count")).alias("refusal_share"))
        .pipe(compare_volume, history.submission, on)
        .join(row.select(pl.exclude(_NOT_SHOWN)), on=ID, how="left")
        .pipe(compare_usual, history.profile, suite, on)
        .pipe(count_new_codes, code, history.code, suite)
        .pipe(compare_medians, kept, history.profile, suite, on)
        .pipe(compare_shares, kept, history.profile, suite, on)
        .pipe(_gate_measures, suite)
        .drop("quarantined_count")
        .sort(ID)
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
    return [f for r in receipts for f in sorted((folder / r[ID]).glob(f"accepted-{suite.kind}-*.parquet"))]


def _measure_rows(files: Sequence[Path], suite: Suite) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One pass over the accepted rows: the measures of each submission, and the codes it uses (submission_id, code)."""
    if not files:
        names = ["timeliness_days", *(f"completeness_{c}" for c in suite.completeness)]
        names += ["repeated_share"] * bool(suite.repeated) + ["round_share"] * bool(suite.round)
        names += [f"{kind}_{name}" for name in (suite.share.of if suite.share else ()) for kind in ("hits", "asked")]
        names += [f"{kind}_{c}" for kind in ("median", "count") for c in (suite.median.of if suite.median else ())]
        return (
            pl.DataFrame(schema={ID: pl.String, **dict.fromkeys(names, pl.Float64)}),
            pl.DataFrame(schema={ID: pl.String, "code": pl.String}),
        )
    contract = {name: column.dtype for name, column in RECORDS[suite.kind].columns().items()}
    # a column that nobody filled is not staged
    rows = pl.scan_parquet(list(files), schema=contract, missing_columns="insert", extra_columns="ignore")
    delay = (pl.col("received_on") - pl.col(suite.event_on)).dt.total_days()
    plans = [
        rows.group_by(ID).agg(
            delay.median().alias("timeliness_days"),
            *(pl.col(c).is_not_null().mean().alias(f"completeness_{c}") for c in suite.completeness),
            *_measure_round(suite),
        ),
        *(
            rows.filter(pl.col(c).is_not_null()).group_by(ID, c).len()
            .select(ID, pl.format(f"{c}={{}}", pl.col(c).str.slice(0, _LONGEST_CODE)).alias("code"))
            for c in suite.codes if suite.share is None or c != suite.share.column
        ),
    ]  # fmt: skip
    if suite.share:
        plans.append(rows.filter(pl.col(suite.share.column).is_not_null()).group_by(ID, suite.share.within, suite.share.column).len())
    if suite.median:
        value = pl.col(suite.median.column)
        of_each = rows.filter(pl.col(suite.median.within).is_in(suite.median.of)).group_by(ID, suite.median.within)
        plans.append(of_each.agg(value.median().alias("median"), value.count().cast(pl.Float64).alias("count")))
    if suite.repeated:
        within = [ID, *suite.repeated_within]
        plans.append(
            rows.filter(pl.col(suite.repeated).is_not_null())
            .group_by(*within, suite.repeated).len()
            .group_by(within).agg(pl.col("len").max().alias("most"), pl.col("len").sum().alias("all"))
            .filter(pl.col("all") >= suite.repeated_least)
            .group_by(ID).agg((pl.col("most") / pl.col("all")).max().alias("repeated_share"))
        )  # fmt: skip
    measured, *others = pl.collect_all(plans)
    if suite.repeated:
        measured = measured.join(others.pop(), on=ID, how="left")
    if suite.median:
        measured = measured.join(_list_medians(others.pop(), suite.median), on=ID, how="left")
    if suite.share:
        counted = others.pop()
        measured = measured.join(_count_shares(counted, suite.share), on=ID, how="left")
        named = pl.format(f"{suite.share.column}={{}}", pl.col(suite.share.column).str.slice(0, _LONGEST_CODE)).alias("code")
        others.append(counted.select(ID, named).unique())
    code = pl.concat(others) if others else pl.DataFrame(schema={ID: pl.String, "code": pl.String})
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


def _list_medians(of_each: pl.DataFrame, median: Median) -> pl.DataFrame:
    """median_<component> and count_<component> of each submission."""
    return of_each.group_by(ID).agg(
        pl.col(kind).filter(pl.col(median.within) == c).first().alias(f"{kind}_{c}") for kind in ("median", "count") for c in median.of
    )


def _count_shares(counted: pl.DataFrame, share: Share) -> pl.DataFrame:
    """hits_<name> and asked_<name> of each submission."""

    def count(group: str, codes: tuple[str, ...]) -> pl.Expr:
        return pl.col("len").filter((pl.col(share.within) == group) & pl.col(share.column).is_in(codes)).sum().cast(pl.Float64)

    return counted.group_by(ID).agg(
        count(group, codes).alias(f"{kind}_{name}")
        for name, (group, hits, among) in share.of.items() for kind, codes in (("hits", hits), ("asked", among))
    )  # fmt: skip


def _list_kept(who: pl.DataFrame, row: pl.DataFrame, suite: Suite) -> pl.DataFrame:
    names = ["timeliness_days", *(f"completeness_{c}" for c in suite.completeness)]
    names += [n for n in row.columns if re.match(_NOT_SHOWN, n)]
    counts = pl.col("measure").str.contains("^(count|hits|asked)_")
    return (
        who.join(row, on=ID, how="inner")
        .unpivot(names, index=[ID, *WHO], variable_name="measure", value_name="value")
        .filter(pl.col("value").is_not_null() & ~(counts & (pl.col("value") == 0)))
        .select(*KEPT_SCHEMA)
    )


def _gate_measures(profile: pl.DataFrame, suite: Suite) -> pl.DataFrame:
    return profile.with_columns(
        pl.when((pl.col("received_count") >= gate.rows) & (pl.col("history_count") >= gate.files))
        .then(gate.of).alias(name)
        for name, gate in suite.gate.items()
    )  # fmt: skip
