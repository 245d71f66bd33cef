"""Concluding: one verdict a child and programme, from where the child stands in each disorder of it.

Sources: the protocol (TOML) for clocks, windows and mandatory disorders; DOMAIN decisions 3-7.
"""

from collections.abc import Sequence

import polars as pl

from pipelines.risk.age import close_step, is_for, open_step, reach_months
from pipelines.risk.protocol import LEVELS, NEXT_VISIT, Programme, Protocol, Rule

_NAMES = {level: name for name, level in LEVELS.items()}
_DAYS = 1 << 32
"""More than any day since 1970: a level and a day in one number, the level first."""
_CLEAR, _REPEAT = LEVELS["clear"], LEVELS["repeat_due"]


def conclude_verdicts(
    read: pl.DataFrame, weighed: pl.DataFrame, standing: pl.DataFrame, programme: str,
    protocols: Sequence[Protocol], rules: Sequence[tuple[Protocol, Rule]],
) -> pl.DataFrame:  # fmt: skip
    """One row a child with results: columns of clinical.verdict.

    Clear needs every mandatory disorder clear; a child with results, none of which decides yet, has a null verdict.
    """
    first = _describe_first(read)
    worst = _take_worst(standing, programme, protocols)
    due = _set_due(worst, weighed, programme, rules)
    verdict = first.join(worst, on="child_key", how="left").join(due, on="child_key", how="left")
    if verdict.height != first.height:
        raise AssertionError(f"{first.height} children with results of {programme}, {verdict.height} verdicts")
    return verdict.with_columns(
        programme=pl.lit(programme),
        verdict=pl.col("level").replace_strict(_NAMES, default=None, return_dtype=pl.String),
        is_in_window=_judge_window(programme, protocols),
    )


def _describe_first(read: pl.DataFrame) -> pl.DataFrame:
    """First and last examination, results held, and whether the first usable examination was not clear."""
    is_usable = pl.col("is_usable") & pl.col("level").is_not_null()
    day = pl.col("examined_on")
    marked = read.select(
        "child_key", "birth_on", "gestation_wk", "examined_on",
        usable_on=pl.when(is_usable).then(day), positive_on=pl.when(is_usable & (pl.col("level") > _CLEAR)).then(day),
    )  # fmt: skip
    described = marked.group_by("child_key").agg(
        pl.col("birth_on", "gestation_wk").max(),  # a child has one of each: the greatest is it
        day.min().alias("first_examined_on"),
        day.max().alias("last_examined_on"),
        pl.len().cast(pl.Int64).alias("result_count"),
        pl.col("usable_on", "positive_on").min(),
    )
    is_first = (pl.col("positive_on") == pl.col("usable_on")).fill_null(value=False)
    return described.with_columns(is_first.alias("is_first_positive")).drop("usable_on", "positive_on")


def _take_worst(standing: pl.DataFrame, programme: str, protocols: Sequence[Protocol]) -> pl.DataFrame:
    """child_key, level, decided_on: the worst disorder decides; clear only with the mandatory ones."""
    level, day = pl.col("level"), pl.col("decided_on").to_physical().cast(pl.Int64)
    needed = sorted({d for protocol in protocols if programme in protocol.programmes for d in protocol.programmes[programme].mandatory})
    bit = pl.col("disorder").replace_strict({d: 1 << no for no, d in enumerate(needed)}, default=0, return_dtype=pl.Int64) if needed else pl.lit(0)
    worst = (
        standing.select("child_key", "protocol_no", packed=level.cast(pl.Int64) * _DAYS + day,
                        cleared=pl.when(level == _CLEAR).then(bit).otherwise(0).cast(pl.Int64))
        .group_by("child_key").agg(pl.col("packed", "protocol_no").max(), pl.col("cleared").bitwise_or())
        .with_columns(level=(pl.col("packed") // _DAYS).cast(pl.Int8), decided_on=(pl.col("packed") % _DAYS).cast(pl.Int32).cast(pl.Date))
    )  # fmt: skip
    lacks = pl.lit(value=False)
    for number, protocol in enumerate(protocols):
        described = protocol.programmes.get(programme)
        mask = sum(1 << needed.index(d) for d in described.mandatory) if described else 0
        if mask:
            lacks |= (pl.col("protocol_no") == number) & ((pl.col("cleared") & mask) != mask)
    undecided = (level == _CLEAR) & lacks
    return worst.select(
        "child_key",
        pl.when(~undecided).then(level).alias("level"),
        pl.when(~undecided).then("decided_on").alias("decided_on"),
    )


def _set_due(
    worst: pl.DataFrame, weighed: pl.DataFrame, programme: str, rules: Sequence[tuple[Protocol, Rule]]
) -> pl.DataFrame:
    """child_key, repeat_due_on: the earliest clock of the rules that made the child repeat_due."""
    asked = worst.filter(pl.col("level") == _REPEAT).select("child_key", "decided_on")
    rows = weighed.join(asked, on="child_key", how="inner", validate="m:1").filter(
        (pl.col("examined_on") == pl.col("decided_on")) & pl.col("rule_no").is_not_null() & (pl.col("level") > _CLEAR)
    )
    due = [
        pl.when(pl.col("rule_no") == no).then(_run_clock(rule, protocol, protocol.programmes[programme]))
        for no, (protocol, rule) in enumerate(rules)
        if rule.programme == programme and rule.clock
    ]
    none = pl.lit(None, pl.Date)
    return rows.group_by("child_key").agg(pl.coalesce(*due, none).min().alias("repeat_due_on"))


def _run_clock(rule: Rule, protocol: Protocol, programme: Programme) -> pl.Expr:
    day = pl.col("examined_on")
    if rule.clock != NEXT_VISIT:
        return day + pl.duration(days=protocol.clocks[str(rule.clock)])
    visits = [reach_months(pl.col("birth_on"), months) for months in sorted(programme.visits_months)]
    return pl.coalesce(*(pl.when(visit > day).then(visit) for visit in visits), pl.lit(None, pl.Date))


def _judge_window(programme: str, protocols: Sequence[Protocol]) -> pl.Expr:
    """True where the first examination lies in the window of its protocol; null where there is none for the child."""
    day = pl.col("first_examined_on")
    number = pl.sum_horizontal([day >= p.valid_from for p in protocols[1:]] or [pl.lit(0)])
    answers = []
    for no, protocol in enumerate(protocols):
        described = protocol.programmes.get(programme)
        for step in protocol.steps:
            if described and step.programme == programme and step.is_window:
                bound = (step, protocol.age, described.is_age_corrected)
                within = (open_step(*bound) <= day) & (day <= close_step(*bound))
                answers.append(pl.when((number == no) & is_for(step)).then(within))
    return pl.coalesce(*answers, pl.lit(None, pl.Boolean))
