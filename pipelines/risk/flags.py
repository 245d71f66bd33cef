"""Flags: risk under 3 years, with the rule, its version and the results it saw; so that each can be explained.

Sources: LAW343 Art. 1(3), DOMAIN decision 8. A flag stands for what an examination found: a later one changes the
verdict of the programme, never the flag; only a correction or cancellation of the results themselves takes it back.
"""

from collections.abc import Sequence

import polars as pl
import polars_hash  # noqa: F401  # registers pl.Expr.chash

from pipelines.risk.age import is_under_3
from pipelines.risk.combine import place_retests
from pipelines.risk.shape import LEVELS, Protocol, Rule

_DISORDER = ["child_no", "disorder"]
_OPENING = '{"results":'
_INPUT = ["examined_on", "component", "stage_code", "comparator", "value", "unit", "result_code", "status_code"]


def raise_flags(
    read: pl.DataFrame, weighed: pl.DataFrame, programme: str, rules: Sequence[tuple[Protocol, Rule]]
) -> pl.DataFrame:
    """One row a child and disorder whose results reach risk under 3: the first examination that does, and its rule.

    `read`: results as read; `weighed`: the same with repeats weighed. Columns of clinical.flag.
    """
    risk = (
        weighed.filter((pl.col("level") == LEVELS["risk"]) & is_under_3(pl.col("birth_on"), pl.col("examined_on")))
        .with_columns(last_risk_on=pl.col("examined_on").max().over(_DISORDER))
        .sort(*_DISORDER, "examined_on", "rule_no", "component")
        .unique(_DISORDER, keep="first", maintain_order=True)
        .select(*_DISORDER, "child_key", "examined_on", "last_risk_on", "birth_on", "rule_no")
    )
    seen = _list_inputs(read, risk)
    raised = risk.join(seen, on=_DISORDER, how="left", validate="1:1")
    if raised.height != risk.height or raised["inputs"].null_count():
        raise AssertionError(f"{risk.height} flags of {programme}, {raised.height} with inputs")
    stated = pl.DataFrame(
        [(no, r.code, p.name, r.paragraph) for no, (p, r) in enumerate(rules)],
        schema={"rule_no": pl.Int16, "rule_code": pl.String, "protocol": pl.String, "paragraph": pl.String},
        orient="row",
    )
    name = pl.concat_str(pl.col("child_key").cast(pl.String), pl.lit(programme), "disorder", "rule_code", separator="|")
    return raised.join(stated, on="rule_no", how="left").with_columns(
        programme=pl.lit(programme),
        age_days=(pl.col("examined_on") - pl.col("birth_on")).dt.total_days(),
        flag_id=pl.concat_str(pl.lit("F"), name.chash.sha2_256().str.slice(0, 24)),  # type: ignore[attr-defined]
    )


def _list_inputs(read: pl.DataFrame, risk: pl.DataFrame) -> pl.DataFrame:
    """child_key, disorder, inputs: JSON list of the deciding day's results, and of the high samples before it."""
    due = risk.select(*_DISORDER, flagged_on="examined_on")
    concerned = read.filter("needs_repeat").select(_DISORDER).unique()
    mine = read.join(due, on=_DISORDER, how="semi").with_columns(said_on="examined_on")
    retested = place_retests(mine.join(concerned, on=_DISORDER, how="semi"))
    told = pl.concat([retested, mine.join(concerned, on=_DISORDER, how="anti")])
    told = told.join(due, on=_DISORDER, how="inner", validate="m:1").filter(pl.col("level").is_not_null())
    day, flagged = pl.col("examined_on"), pl.col("flagged_on")
    seen = told.filter((day == flagged) | (pl.col("needs_repeat") & (day < flagged)))
    fields = ["said_on", *_INPUT[1:]]
    return (
        seen.with_columns(pl.col("said_on").dt.to_string("%Y-%m-%d"))
        .sort(*_DISORDER, "said_on", "component", "stage_code", "record_key")
        .group_by(_DISORDER, maintain_order=True)
        .agg(pl.struct(pl.col(f).alias(o) for f, o in zip(fields, _INPUT, strict=True)).alias("inputs"))
        .with_columns(
            pl.struct(results="inputs").struct.json_encode().str.strip_prefix(_OPENING).str.strip_suffix("}").alias("inputs")
        )
    )
