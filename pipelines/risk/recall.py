"""Recall: by when the first repeat that a result asked for was due, and when it was examined.

Sources: O704 p. 43, p. 48 and annex 5 by the clocks of the protocol; DOMAIN decision 3. What is due at the next visit has no clock.
"""

from collections.abc import Sequence

import polars as pl

from pipelines.risk.shape import LEVELS, NEXT_VISIT, Protocol, Rule

_SCHEMA = {"recall_due_on": pl.Date, "recalled_on": pl.Date}


def describe_recall(weighed: pl.DataFrame, programme: str, rules: Sequence[tuple[Protocol, Rule]], count: int) -> pl.DataFrame:
    """By child: recall_due_on, the earliest clock of the first day that asked for a repeat, and recalled_on; null = none.

    recalled_on: the day by which each disorder that was asked for on that day was examined again, usably; null = one is lacking.
    """
    days = {no: protocol.clocks[rule.clock] for no, (protocol, rule) in enumerate(rules)
            if rule.programme == programme and rule.clock and rule.clock != NEXT_VISIT}  # fmt: skip
    asking = weighed.filter(pl.col("level") == LEVELS["repeat_due"], pl.col("rule_no").is_in([*days]))
    if asking.is_empty():
        return pl.DataFrame({name: pl.Series([None] * count, dtype=kind) for name, kind in _SCHEMA.items()})
    first = asking.filter(pl.col("examined_on") == pl.col("examined_on").min().over("child_no")).with_columns(
        due_on=pl.col("examined_on") + pl.duration(days=pl.col("rule_no").replace_strict(days, return_dtype=pl.Int64))
    )
    each = first.group_by("child_no", "disorder").agg(pl.col("due_on").min(), asked_on=pl.col("examined_on").first())
    said = weighed.filter("is_usable", pl.col("level").is_not_null()).select("child_no", "disorder", "examined_on")
    again = said.join(each, on=["child_no", "disorder"]).filter(pl.col("examined_on") > pl.col("asked_on"))
    told = each.join(again.group_by("child_no", "disorder").agg(again_on=pl.col("examined_on").min()), on=["child_no", "disorder"], how="left")
    by_child = told.group_by("child_no").agg(
        recall_due_on=pl.col("due_on").min(),
        recalled_on=pl.when(pl.col("again_on").null_count() == 0).then(pl.col("again_on").max()),
    )
    children = pl.select(child_no=pl.int_range(count).cast(weighed["child_no"].dtype))
    return children.join(by_child, on="child_no", how="left", validate="1:1", maintain_order="left").select(*_SCHEMA)
