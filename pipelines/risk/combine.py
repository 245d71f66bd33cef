"""Combining: from what each result means to where a child stands in a disorder, by its whole sequence of results.

Sources: O704 p. 36-79 and DOMAIN decisions 3 and 4 for the recall chain and the two stages of hearing. Every function
is independent of the order of rows and of other children.
"""

from collections.abc import Callable

import polars as pl

from pipelines.risk.dense import take_greatest
from pipelines.risk.shape import LEVELS, OTHERS

_DISORDER = ["child_no", "disorder"]
_DAY = pl.col("examined_on").to_physical().cast(pl.Int64)
_CLEAR, _REPEAT, _RISK = LEVELS["clear"], LEVELS["repeat_due"], LEVELS["risk"]
_EXCLUDED = "excluded"
_DAYS = 1 << 32
"""More than any day since 1970."""


def weigh_repeats(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with every rule weighed that asks for a repeat sample: one row a sample in the disorders concerned.

    A sample is high when it, or its retest, is high and no retest of the same spot is normal. A high sample is a risk
    when a high one came before it, or when it is marked as a repeat and no sample before it is held that says anything;
    else it is the first high one, and repeat_due. A retest belongs to the last sample before it.
    """
    concerned = rows.filter("needs_repeat").select(_DISORDER).unique()
    if concerned.is_empty():
        return rows
    inside = rows.join(concerned, on=_DISORDER, how="semi")
    outside = rows.join(concerned, on=_DISORDER, how="anti")
    is_high, is_retest = pl.col("needs_repeat"), pl.col("stage_code").eq_missing("retest")
    normal, plain = pl.col("level") == _CLEAR, pl.col("level").filter(~pl.col("needs_repeat"))
    stands = ~is_high & (pl.col("level") == _RISK)
    is_excluded = pl.col("is_usable") & (pl.col("result_code") == _EXCLUDED)
    sample = (
        place_retests(inside)
        .group_by(*_DISORDER, "examined_on")
        .agg(
            is_high=is_high.any() & ~((is_retest & normal).any() & ~(is_retest & is_high).any()),
            plain=plain.max(),
            plain_no=pl.col("rule_no").filter(~is_high, pl.col("level") == plain.max()).min(),
            high_no=pl.col("rule_no").filter(is_high).min(),
            is_usable=pl.col("is_usable").any(),
            is_told=(pl.col("level").is_not_null() & _is_sampled()).any(),
            cleared_by=pl.col("cleared_by").filter(stands).min(),
            result_code=pl.when(is_excluded.any()).then(pl.lit(_EXCLUDED)),
            is_repeat=pl.col("stage_code").eq_missing("repeat").any(),
            component=pl.col("component").min(),
            is_settling=pl.col("is_settling").any(),
            is_second=pl.col("is_second").any(),
            protocol_no=pl.col("protocol_no").max(),
            birth_on=pl.col("birth_on").first(),
            child_key=pl.col("child_key").first(),
        )
        .sort(*_DISORDER, "examined_on")
        .with_columns(
            high_before=pl.col("is_high").cast(pl.Int32).cum_sum().over(_DISORDER) - pl.col("is_high"),
            told_before=pl.col("is_told").cast(pl.Int32).cum_sum().over(_DISORDER) - pl.col("is_told"),
        )
    )
    is_risk = pl.col("is_high") & ((pl.col("high_before") > 0) | (pl.col("is_repeat") & (pl.col("told_before") == 0)))
    chain = pl.when(is_risk).then(pl.lit(_RISK, pl.Int8)).when("is_high").then(pl.lit(_REPEAT, pl.Int8))
    # A high spot that its retest takes back leaves nothing but the normal retest.
    weighed = sample.with_columns(chain=chain).with_columns(
        level=pl.max_horizontal("chain", "plain"),
        rule_no=pl.when(pl.col("chain") >= pl.col("plain").fill_null(-1)).then("high_no").otherwise("plain_no"),
        needs_repeat=pl.lit(False),
        stage_code=pl.when("is_repeat").then(pl.lit("repeat")),
    )
    return pl.concat([outside, weighed], how="diagonal_relaxed").select(rows.columns)


def stand_latest(rows: pl.DataFrame, count: int, whole: tuple[tuple[str, ...], ...] = ()) -> pl.DataFrame:
    """child_no, disorder, level, decided_on: the worst of the latest examination decides each disorder.

    An examination that was spoiled (unsatisfactory, not done) does not take back what a usable one found before it,
    and is forgotten when a usable one follows. A settling component goes before the others of its day. A risk that only
    a correction takes back stands whatever follows, one that a settlement takes back until the disorder is excluded.
    `rows`: results of the children numbered 0 to `count` - 1. `whole`: where it says so, an examination takes back only what it
    looked at: its own components, or all of them when it holds those of one of the sets.
    """
    return _stand_each(rows, lambda part: _stand_parts(part, count, whole) if whole else _stand_latest(part, count))


def stand_staged(rows: pl.DataFrame, count: int, full_pass: tuple[tuple[str, ...], ...]) -> pl.DataFrame:
    """child_no, disorder, level, decided_on by hearing's two stages (decision 4).

    The settling component (the surdologist) decides what was examined up to its day; a confirmed loss stands until it
    is excluded. After it: a refer of stage 2 is a risk; one of stage 1 is repeat_due until stage 2 is passed in full; a
    test not done is repeat_due until a stage is passed in full. Clear needs a full pass: every component of one of the
    sets passed in one stage.
    """
    return _stand_each(rows, lambda part: _stand_staged(part, count, full_pass))


def pack_level() -> pl.Expr:
    """`level` and `decided_on` in one number, the level first: the greatest is the worst, and of those the latest."""
    return pl.col("level").cast(pl.Int64) * _DAYS + pl.col("decided_on").to_physical().cast(pl.Int64)


def unpack_level() -> tuple[pl.Expr, pl.Expr]:
    """`level` and `decided_on` of the number `packed`."""
    packed = pl.col("packed")
    return (packed // _DAYS).cast(pl.Int8).alias("level"), (packed % _DAYS).cast(pl.Int32).cast(pl.Date).alias("decided_on")


def _stand_each(rows: pl.DataFrame, stand: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
    """Each disorder for itself: within it a child is one number."""
    parts = rows.partition_by("disorder", as_dict=True, maintain_order=False)
    return pl.concat(stand(part).insert_column(1, pl.lit(name).alias("disorder")) for (name,), part in parts.items())


def _stand_latest(rows: pl.DataFrame, count: int) -> pl.DataFrame:
    packed = _DAY * 8 + pl.col("is_settling").cast(pl.Int64) * 4 + pl.col("level")
    is_usable, usable, spoiled = pl.col("is_usable"), pl.col("usable"), pl.col("spoiled")
    is_risk, cleared_by = pl.col("level") == _RISK, pl.col("cleared_by")
    standing = {
        "standing": pl.when(is_risk & (cleared_by == "correction")).then(_DAY),
        "settled": pl.when(is_risk & (cleared_by == "settlement")).then(_DAY),
        "excluded": pl.when(is_usable & (pl.col("result_code") == _EXCLUDED)).then(_DAY),
    } if rows["cleared_by"].null_count() < rows.height else {}  # fmt: skip
    latest = take_greatest(
        rows, count, is_there=pl.lit(1), usable=pl.when(is_usable).then(packed), spoiled=pl.when(~is_usable).then(packed),
        **standing,
    )  # fmt: skip
    level = {"usable": (usable % 4).cast(pl.Int8), "spoiled": (spoiled % 4).cast(pl.Int8)}
    is_spoiled = (spoiled // 8 >= usable // 8) & (level["spoiled"] > level["usable"])
    is_by_spoiled = usable.is_null() | is_spoiled.fill_null(False)
    found = latest.filter(pl.col("is_there").is_not_null()).select(
        "child_no", *standing,
        level=pl.when(is_by_spoiled).then(level["spoiled"]).otherwise(level["usable"]),
        decided_on=pl.when(is_by_spoiled).then(spoiled).otherwise(usable) // 8,
    )  # fmt: skip
    if standing:
        is_settled = pl.col("settled") >= pl.max_horizontal("settled", "excluded")
        standing_on = pl.coalesce("standing", pl.when(is_settled).then("settled"))
        found = found.with_columns(
            level=pl.when(standing_on.is_not_null()).then(pl.lit(_RISK, pl.Int8)).otherwise("level"),
            decided_on=pl.coalesce(standing_on, "decided_on"),
        )
    return found.select("child_no", "level", pl.col("decided_on").cast(pl.Int32).cast(pl.Date))


def _stand_parts(rows: pl.DataFrame, count: int, whole: tuple[tuple[str, ...], ...]) -> pl.DataFrame:
    """Each component for itself, the worst decides; of children whom nothing says to be at risk, all at once."""
    doubted = rows.filter(pl.col("level") > _CLEAR)["child_no"].unique()
    if doubted.is_empty() or rows["component"].n_unique() == 1:
        return _stand_latest(rows, count)
    is_doubted = pl.col("child_no").is_in(doubted.implode())
    parts = _forget_before_whole(rows.filter(is_doubted), whole).partition_by("component", maintain_order=False)
    each = pl.concat(_stand_latest(part, count) for part in parts)
    worst = each.group_by("child_no").agg(pack_level().max().alias("packed")).select("child_no", *unpack_level())
    rest = rows.filter(~is_doubted)
    return worst if rest.is_empty() else pl.concat([_stand_latest(rest, count), worst])


def _forget_before_whole(rows: pl.DataFrame, whole: tuple[tuple[str, ...], ...]) -> pl.DataFrame:
    """The rows from the child's last whole examination on: a usable one of every component of a set. `*`: any that no set names."""
    named = {name for names in whole for name in names} - {OTHERS}
    said = rows.filter("is_usable", pl.col("level").is_not_null())
    seen = {name: (pl.col("component") == name).any() for name in named} | {OTHERS: (~pl.col("component").is_in(sorted(named))).any()}
    is_whole = pl.any_horizontal([pl.all_horizontal([seen[name] for name in names]) for names in whole])
    days = said.group_by("child_no", "examined_on").agg(is_whole.alias("is_whole")).filter("is_whole")
    last = days.group_by("child_no").agg(pl.col("examined_on").max().alias("whole_on"))
    marked = rows.join(last, on="child_no", how="left", validate="m:1")
    if marked.height != rows.height:
        raise AssertionError(f"{rows.height} results, {marked.height} with their last whole examination")
    return marked.filter((pl.col("examined_on") >= pl.col("whole_on")).fill_null(value=True)).select(rows.columns)


def _stand_staged(rows: pl.DataFrame, count: int, full_pass: tuple[tuple[str, ...], ...]) -> pl.DataFrame:
    settles = pl.col("is_settling") & pl.col("level").is_in([_CLEAR, _RISK])
    told = rows.filter(pl.col("level").is_not_null())
    settled = take_greatest(told, count, is_there=pl.lit(1), settled=pl.when(settles).then(_DAY * 4 + pl.col("level")))
    settled_before = settled["settled"].gather(told["child_no"]) // 4
    rest = told.filter(~settles & ((settled_before < _DAY) | settled_before.is_null()))
    passed, second = pl.col("level") == _CLEAR, pl.col("is_second")
    is_refer, awaits_second = pl.col("level") == _REPEAT, pl.col("cleared_by") == "second_stage"
    is_in = {"first": passed & ~second, "second": passed & second}
    components = {name: f"passed_{no}" for no, name in enumerate(sorted({part for parts in full_pass for part in parts}))}
    found = take_greatest(
        rest, count,
        risk_on=pl.when(pl.col("level") == _RISK).then(_DAY),
        refer_on=pl.when(is_refer & awaits_second).then(_DAY),
        undone_on=pl.when(is_refer & ~awaits_second).then(_DAY),
        **{f"{stage}_on": pl.when(is_so).then(_DAY) for stage, is_so in is_in.items()},
        **{f"{stage}_{column}": pl.when(is_so & (pl.col("component") == name)).then(1)
           for stage, is_so in is_in.items() for name, column in components.items()},
    )  # fmt: skip
    whole = pl.concat([settled, found.drop("child_no")], how="horizontal").filter(pl.col("is_there").is_not_null())
    full = {
        stage: pl.any_horizontal(
            [pl.all_horizontal([pl.col(f"{stage}_{components[name]}").is_not_null() for name in names]) for names in full_pass]
        )
        for stage in is_in
    }
    passed_on = pl.max_horizontal(pl.when(full["first"]).then("first_on"), pl.when(full["second"]).then("second_on"))
    is_referred = pl.col("refer_on").is_not_null() & ~full["second"]
    is_undone = pl.col("undone_on").is_not_null() & (passed_on < pl.col("undone_on")).fill_null(True)
    settled_on, settled_level = pl.col("settled") // 4, pl.col("settled") % 4
    answers: list[tuple[pl.Expr, int, pl.Expr]] = [
        ((settled_level == _RISK).fill_null(False), _RISK, settled_on),
        (pl.col("risk_on").is_not_null(), _RISK, pl.col("risk_on")),
        (is_referred, _REPEAT, pl.col("refer_on")),
        (is_undone, _REPEAT, pl.col("undone_on")),
        (passed_on.is_not_null(), _CLEAR, passed_on),
        (pl.col("settled").is_not_null(), _CLEAR, settled_on),
    ]
    return whole.select(
        "child_no",
        level=pl.coalesce(pl.when(is_so).then(pl.lit(level, pl.Int8)) for is_so, level, _ in answers),
        decided_on=pl.coalesce(pl.when(is_so).then(on) for is_so, _, on in answers).cast(pl.Int32).cast(pl.Date),
    )


def _is_sampled() -> pl.Expr:
    """True unless there was no examination: its answer is that it was declined or not done."""
    return ~pl.col("result_code").is_in(["declined", "not_done"]).fill_null(False)


def place_retests(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with each retest on the day of the last sample before it: it is of the same spot."""
    is_retest = pl.col("stage_code").eq_missing("retest")
    retest = rows.filter(is_retest)
    if retest.is_empty():
        return rows
    sample = (
        rows.filter(~is_retest & _is_sampled()).select(*_DISORDER, "examined_on", sample_on="examined_on").unique().sort("examined_on")
    )
    placed = retest.sort("examined_on").join_asof(
        sample, on="examined_on", by=_DISORDER, strategy="backward", check_sortedness=False
    )
    moved = placed.with_columns(examined_on=pl.coalesce("sample_on", "examined_on")).select(rows.columns)
    if moved.height != retest.height:
        raise AssertionError(f"{retest.height} retests were placed, {moved.height} came out")
    return pl.concat([rows.filter(~is_retest), moved])
