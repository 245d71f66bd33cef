"""Combining: from what each result means to where a child stands in a disorder, by its whole sequence of results.

Sources: O704 p. 36-79 and DOMAIN decisions 3 and 4 for the recall chain and the two stages of hearing. Every function
is independent of the order of rows and of other children.
"""

import polars as pl

from pipelines.risk.protocol import LEVELS

_DISORDER = ["child_key", "disorder"]
_CLEAR, _REPEAT, _RISK = LEVELS["clear"], LEVELS["repeat_due"], LEVELS["risk"]


def weigh_repeats(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with every rule weighed that asks for a repeat sample: one row a sample in the disorders concerned.

    A sample is high when it, or its retest, is high and no retest of the same spot is normal. A high sample is a risk
    when a usable sample came before it, or when it is marked as a repeat and nothing before it is held; the first one
    is repeat_due. A retest belongs to the last sample before it.
    """
    concerned = rows.filter("needs_repeat").select(_DISORDER).unique()
    if concerned.is_empty():
        return rows
    inside = rows.join(concerned, on=_DISORDER, how="semi")
    outside = rows.join(concerned, on=_DISORDER, how="anti")
    is_high, is_retest = pl.col("needs_repeat"), pl.col("stage_code").eq_missing("retest")
    normal, plain = pl.col("level") == _CLEAR, pl.col("level").filter(~pl.col("needs_repeat"))
    sample = (
        place_retests(inside)
        .group_by(*_DISORDER, "examined_on")
        .agg(
            is_high=is_high.any() & ~((is_retest & normal).any() & ~(is_retest & is_high).any()),
            plain=plain.max(),
            plain_no=pl.col("rule_no").filter(~is_high, pl.col("level") == plain.max()).min(),
            high_no=pl.col("rule_no").filter(is_high).min(),
            is_usable=pl.col("is_usable").any(),
            is_repeat=pl.col("stage_code").eq_missing("repeat").any(),
            component=pl.col("component").min(),
            is_settling=pl.col("is_settling").any(),
            is_second=pl.col("is_second").any(),
            protocol_no=pl.col("protocol_no").max(),
            birth_on=pl.col("birth_on").first(),
        )
        .sort(*_DISORDER, "examined_on")
        .with_columns(
            usable_before=pl.col("is_usable").cast(pl.Int32).cum_sum().over(_DISORDER) - pl.col("is_usable"),
            place=pl.int_range(pl.len()).over(_DISORDER),
        )
    )
    is_risk = pl.col("is_high") & ((pl.col("usable_before") > 0) | (pl.col("is_repeat") & (pl.col("place") == 0)))
    chain = pl.when(is_risk).then(pl.lit(_RISK, pl.Int8)).when("is_high").then(pl.lit(_REPEAT, pl.Int8))
    # A high spot that its retest takes back leaves nothing but the normal retest.
    weighed = sample.with_columns(chain=chain).with_columns(
        level=pl.max_horizontal("chain", "plain"),
        rule_no=pl.when(pl.col("chain") >= pl.col("plain").fill_null(-1)).then("high_no").otherwise("plain_no"),
        needs_repeat=pl.lit(False),
        stage_code=pl.when("is_repeat").then(pl.lit("repeat")),
    )
    return pl.concat([outside, weighed], how="diagonal_relaxed").select(rows.columns)


def stand_latest(rows: pl.DataFrame) -> pl.DataFrame:
    """child_key, disorder, level, decided_on: the worst of the latest examination decides each disorder.

    An examination that was spoiled (unsatisfactory, not done) does not take back what a usable one found before it,
    and is forgotten when a usable one follows. A settling component goes before the others of its day.
    """
    day = pl.col("examined_on").to_physical().cast(pl.Int64)
    packed = day * 8 + pl.col("is_settling").cast(pl.Int64) * 4 + pl.col("level")
    told = rows.select(
        *_DISORDER, usable=pl.when("is_usable").then(packed), spoiled=pl.when(~pl.col("is_usable")).then(packed)
    )
    usable, spoiled = pl.col("usable"), pl.col("spoiled")
    level = {"usable": (usable % 4).cast(pl.Int8), "spoiled": (spoiled % 4).cast(pl.Int8)}
    is_spoiled = (spoiled // 8 >= usable // 8) & (level["spoiled"] > level["usable"])
    is_by_spoiled = usable.is_null() | is_spoiled.fill_null(False)
    return _group_disorders(told, [usable.max(), spoiled.max()]).select(
        *_DISORDER,
        level=pl.when(is_by_spoiled).then(level["spoiled"]).otherwise(level["usable"]),
        decided_on=(pl.when(is_by_spoiled).then(spoiled).otherwise(usable) // 8).cast(pl.Int32).cast(pl.Date),
    )


def _group_disorders(rows: pl.DataFrame, aggregates: list[pl.Expr]) -> pl.DataFrame:
    """child_key, disorder and the aggregates: by one number within each disorder, which is far cheaper than by a pair."""
    parts = rows.partition_by("disorder", as_dict=True, maintain_order=False)
    grouped = [part.group_by("child_key").agg(aggregates).with_columns(disorder=pl.lit(name)) for (name,), part in parts.items()]
    return pl.concat(grouped) if grouped else rows.group_by(_DISORDER).agg(aggregates)


def stand_staged(rows: pl.DataFrame, full_pass: tuple[tuple[str, ...], ...]) -> pl.DataFrame:
    """child_key, disorder, level, decided_on by hearing's two stages (decision 4).

    The settling component (the surdologist) decides what was examined up to its day; a confirmed loss stands until it
    is excluded. After it: a refer of stage 2 is a risk; one of stage 1 is repeat_due until stage 2 is passed in full; a
    test not done is repeat_due until a stage is passed in full. Clear needs a full pass: every component of one of the
    sets passed in one stage.
    """
    day = pl.col("examined_on").to_physical().cast(pl.Int64)
    settles = pl.col("is_settling") & pl.col("level").is_in([_CLEAR, _RISK])
    told = rows.filter(pl.col("level").is_not_null())
    settled = told.filter(settles).group_by(_DISORDER).agg(settled=(day * 4 + pl.col("level")).max())
    rest = (
        told.filter(~settles)
        .join(settled, on=_DISORDER, how="left", validate="m:1")
        .filter((day > pl.col("settled") // 4) | pl.col("settled").is_null())
    )
    components = sorted({name for names in full_pass for name in names})
    masks = [sum(1 << components.index(name) for name in names) for names in full_pass]
    bit = pl.col("component").replace_strict(
        {name: 1 << place for place, name in enumerate(components)}, default=0, return_dtype=pl.Int32
    )
    passed, second = pl.col("level") == _CLEAR, pl.col("is_second")
    awaits_second = pl.col("cleared_by") == "second_stage"
    stage = {"first": passed & ~second, "second": passed & second}
    marked = rest.select(
        *_DISORDER,
        risk_on=pl.when(pl.col("level") == _RISK).then(day),
        refer_on=pl.when((pl.col("level") == _REPEAT) & awaits_second).then(day),
        undone_on=pl.when((pl.col("level") == _REPEAT) & ~awaits_second).then(day),
        **{f"{name}_bits": pl.when(is_in).then(bit).otherwise(0) for name, is_in in stage.items()},
        **{f"{name}_on": pl.when(is_in).then(day) for name, is_in in stage.items()},
    )
    days = ("risk_on", "refer_on", "undone_on", "first_on", "second_on")
    found = _group_disorders(marked, [pl.col(days).max(), pl.col("first_bits", "second_bits").bitwise_or()])
    whole = (
        told.select(_DISORDER).unique().join(found, on=_DISORDER, how="left").join(settled, on=_DISORDER, how="left")
    )
    full = {
        stage: pl.any_horizontal([(pl.col(f"{stage}_bits") & mask) == mask for mask in masks]).fill_null(False)
        for stage in ("first", "second")
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
        *_DISORDER,
        level=pl.coalesce(pl.when(is_so).then(pl.lit(level, pl.Int8)) for is_so, level, _ in answers),
        decided_on=pl.coalesce(pl.when(is_so).then(on) for is_so, _, on in answers).cast(pl.Int32).cast(pl.Date),
    )


def place_retests(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with each retest on the day of the last sample before it: it is of the same spot."""
    is_retest = pl.col("stage_code").eq_missing("retest")
    retest = rows.filter(is_retest)
    if retest.is_empty():
        return rows
    sample = (
        rows.filter(~is_retest).select(*_DISORDER, "examined_on", sample_on="examined_on").unique().sort("examined_on")
    )
    placed = retest.sort("examined_on").join_asof(
        sample, on="examined_on", by=_DISORDER, strategy="backward", check_sortedness=False
    )
    moved = placed.with_columns(examined_on=pl.coalesce("sample_on", "examined_on")).select(rows.columns)
    if moved.height != retest.height:
        raise AssertionError(f"{retest.height} retests were placed, {moved.height} came out")
    return pl.concat([rows.filter(~is_retest), moved])
