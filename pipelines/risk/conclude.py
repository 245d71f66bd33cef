"""Concluding: one verdict a child and programme, from where the child stands in each disorder of it.

Sources: the protocol (TOML) for clocks, windows and mandatory disorders; DOMAIN decisions 3-7.
"""

from collections.abc import Sequence

import polars as pl

from pipelines.contracts.age import reach_months
from pipelines.risk.age import close_step, is_for, open_step
from pipelines.risk.combine import pack_level, unpack_level
from pipelines.risk.dense import count_rows, take_greatest
from pipelines.risk.recall import describe_recall
from pipelines.risk.shape import LEVELS, NEXT_VISIT, Programme, Protocol, Rule

_NAMES = {level: name for name, level in LEVELS.items()}
_CLEAR, _REPEAT = LEVELS["clear"], LEVELS["repeat_due"]


def conclude_verdicts(
    read: pl.DataFrame, weighed: pl.DataFrame, standing: pl.DataFrame, programme: str, child: pl.DataFrame,
    protocols: Sequence[Protocol], rules: Sequence[tuple[Protocol, Rule]],
) -> pl.DataFrame:  # fmt: skip
    """One row a child with results: columns of clinical.verdict; `child`: child_key, birth_on, birth_at, gestation_wk by child_no.

    Clear needs every mandatory disorder clear; a child with results, none of which decides yet, has a null verdict.
    """
    worst = _take_worst(standing, programme, protocols, child.height)
    doubted = _find_doubted(standing, weighed)
    told = [_set_due(doubted, programme, rules, child.height), _name_suspected(doubted, child.height)]
    recall = describe_recall(weighed, programme, rules, child.height)
    whole = pl.concat([child, _describe_first(read, weighed, child.height), worst, *told, recall], how="horizontal")
    return whole.filter(pl.col("result_count") > 0).with_columns(
        programme=pl.lit(programme),
        verdict=pl.col("level").replace_strict(_NAMES, default=None, return_dtype=pl.String),
        is_in_window=_judge_window(programme, protocols),
    )


def _describe_first(read: pl.DataFrame, weighed: pl.DataFrame, count: int) -> pl.DataFrame:
    """By child: first usable and last examination, its moment if known, results held, and whether the first that decides was not clear.

    A high spot that its retest took back was clear: of the first that decides the results are weighed.
    """
    is_usable = pl.col("is_usable") & pl.col("level").is_not_null()
    day = pl.col("examined_on").to_physical().cast(pl.Int64)
    found = take_greatest(
        read, count, first=pl.when(pl.col("is_usable")).then(-day), last=day,
        last_usable=pl.when(pl.col("is_usable")).then(day),
        first_at=pl.when(pl.col("is_usable")).then(-pl.col("examined_at").to_physical().cast(pl.Int64)),
    )  # fmt: skip
    positive = take_greatest(
        weighed, count, usable=pl.when(is_usable).then(-day), positive=pl.when(is_usable & (pl.col("level") > _CLEAR)).then(-day)
    )
    found = pl.concat([found, positive.drop("child_no")], how="horizontal")
    return found.select(
        (-pl.col("first_at")).cast(pl.Datetime("us")).alias("first_examined_at"),
        (-pl.col("first")).cast(pl.Int32).cast(pl.Date).alias("first_examined_on"),
        pl.col("last").cast(pl.Int32).cast(pl.Date).alias("last_examined_on"),
        pl.col("last_usable").cast(pl.Int32).cast(pl.Date).alias("last_usable_on"),
        count_rows(read, count).alias("result_count"),
        (pl.col("positive") == pl.col("usable")).fill_null(value=False).alias("is_first_positive"),
    )


def _take_worst(standing: pl.DataFrame, programme: str, protocols: Sequence[Protocol], count: int) -> pl.DataFrame:
    """By child: level, decided_on; the worst disorder decides; clear only with the mandatory ones."""
    level = pl.col("level")
    mandatory = [p.programmes[programme].mandatory if programme in p.programmes else () for p in protocols]
    cleared = {d: f"cleared_{no}" for no, d in enumerate(sorted({d for needed in mandatory for d in needed}))}
    worst = take_greatest(
        standing, count, packed=pack_level(), protocol_no=pl.col("protocol_no"),
        **{column: pl.when((level == _CLEAR) & (pl.col("disorder") == d)).then(1) for d, column in cleared.items()},
    ).with_columns(unpack_level())  # fmt: skip
    lacks = pl.lit(value=False)
    for number, needed in enumerate(mandatory):
        if needed:
            whole = pl.all_horizontal([pl.col(cleared[d]).is_not_null() for d in needed])
            lacks |= (pl.col("protocol_no") == number) & ~whole
    undecided = (level == _CLEAR) & lacks
    return worst.select(
        pl.when(~undecided).then(level).alias("level"),
        pl.when(~undecided).then("decided_on").alias("decided_on"),
    )


def _find_doubted(standing: pl.DataFrame, weighed: pl.DataFrame) -> pl.DataFrame:
    """The results that put a disorder above clear, with `stands`: the level at which it is."""
    key = ["child_no", "disorder", "examined_on"]
    doubted = standing.filter(pl.col("level") > _CLEAR).select(*key[:2], examined_on="decided_on", stands="level")
    rows = weighed.filter(pl.col("rule_no").is_not_null() & (pl.col("level") > _CLEAR))
    return rows.join(doubted, on=key, how="inner", validate="m:1")


def _name_suspected(doubted: pl.DataFrame, count: int) -> pl.DataFrame:
    """By child: suspected, the disorders that a usable examination puts above clear."""
    named = doubted.filter("is_usable").group_by("child_no").agg(pl.col("disorder").unique().sort().str.join(" ").alias("suspected"))
    children = pl.select(child_no=pl.int_range(count).cast(doubted["child_no"].dtype))
    return children.join(named, on="child_no", how="left", validate="1:1", maintain_order="left").select("suspected")


def _set_due(doubted: pl.DataFrame, programme: str, rules: Sequence[tuple[Protocol, Rule]], count: int) -> pl.DataFrame:
    """By child: repeat_due_on, the earliest clock of the rules that made a disorder repeat_due, whatever the others are."""
    rows = doubted.filter(pl.col("stands") == _REPEAT)
    due = [
        pl.when(pl.col("rule_no") == no).then(_run_clock(rule, protocol, protocol.programmes[programme]))
        for no, (protocol, rule) in enumerate(rules)
        if rule.programme == programme and rule.clock
    ]
    none = pl.lit(None, pl.Date)
    earliest = take_greatest(rows, count, due=-pl.coalesce(*due, none).to_physical().cast(pl.Int64))
    return earliest.select((-pl.col("due")).cast(pl.Int32).cast(pl.Date).alias("repeat_due_on"))


def _run_clock(rule: Rule, protocol: Protocol, programme: Programme) -> pl.Expr:
    day = pl.col("examined_on")
    if rule.clock != NEXT_VISIT:
        return day + pl.duration(days=protocol.clocks[str(rule.clock)])
    visits = [reach_months(pl.col("birth_on"), months) for months in sorted(programme.visits_months)]
    return pl.coalesce(*(pl.when(visit > day).then(visit) for visit in visits), pl.lit(None, pl.Date))


def _judge_window(programme: str, protocols: Sequence[Protocol]) -> pl.Expr:
    """True where the first examination lies in a window of its protocol; null where there is none for the child.

    A window of hours is kept to the hour where both moments are known, else to the day.
    """
    day, seen_at, birth_at = pl.col("first_examined_on"), pl.col("first_examined_at"), pl.col("birth_at")
    hours = pl.when((seen_at.dt.date() == day) & (birth_at.dt.date() == pl.col("birth_on"))).then(seen_at - birth_at)
    number = pl.sum_horizontal([day >= p.valid_from for p in protocols[1:]] or [pl.lit(0)])
    answers = []
    for no, protocol in enumerate(protocols):
        described = protocol.programmes.get(programme)
        for step in protocol.steps:
            if described and step.programme == programme and step.is_window:
                bound = (step, protocol.age, described.is_age_corrected)
                within = (open_step(*bound) <= day) & (day <= close_step(*bound))
                if step.unit == "hours":
                    to_the_hour = hours.is_between(pl.duration(hours=step.start), pl.duration(hours=step.end))
                    within = pl.coalesce(to_the_hour, within)
                answers.append(pl.when((number == no) & is_for(step)).then(within))
    return pl.max_horizontal(*answers, pl.lit(None, pl.Boolean))
