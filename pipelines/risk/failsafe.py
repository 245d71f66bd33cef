"""The failsafe list: examinations that are due or overdue and that nobody has done, of all children under 3 at once.

Source: DOMAIN decision 3 (a missing repeat is overdue, never silently clear). It says of a child what the calendar says of
it; it is asked for a nation every night, so that a step is reckoned only for those whom their age brings near it.
"""

import tomllib
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import NamedTuple

import polars as pl

from pipelines.risk.age import is_under_3
from pipelines.risk.calendar import REPEAT, begin_step, list_repeats
from pipelines.risk.protocol import Protocol, Step, choose_protocol

FAILSAFE = {
    "child_key": pl.Int64, "programme": pl.String, "step_code": pl.String, "opens_on": pl.Date, "closes_on": pl.Date, "state": pl.String,
}  # fmt: skip
_LEAST_WK, _MOST_WK = 20, 45
"""Weeks of gestation that a birth record may say (contracts.records)."""


class Horizon(NamedTuple):
    """How near the last day of a step must be for it to stand on the list (failsafe.toml)."""

    due_within_days: int
    overdue_for_days: int


@cache
def read_horizon() -> Horizon:
    """The horizon of the list."""
    return Horizon(**tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8")))


def list_unanswered(birth: pl.DataFrame, verdict: pl.DataFrame, protocols: tuple[Protocol, ...], on: date, horizon: Horizon) -> pl.DataFrame:
    """One row a child and step (FAILSAFE), in no order: state `due` or `overdue` on a day.

    `birth`: clinical.birth of children under 3; `verdict`: their clinical.verdict, one row a child and programme.
    """
    child = birth.filter(pl.col("died_on").is_null() & is_under_3(pl.col("birth_on"), pl.lit(on)))
    protocol = choose_protocol(protocols, on)
    asked = [_list_steps(child, verdict, programme, protocol, on, horizon) for programme in protocol.programmes]
    return pl.concat([*asked, list_repeats(child, verdict, on).select(list(FAILSAFE))])


def count_unanswered(unanswered: pl.DataFrame) -> pl.DataFrame:
    """By programme, and the repeats apart: how many are due and how many overdue."""
    state = pl.col("state")
    return (
        unanswered.group_by("programme", (pl.col("step_code") == REPEAT).alias("is_repeat"))
        .agg((state == "due").sum().cast(pl.Int64).alias("due"), (state == "overdue").sum().cast(pl.Int64).alias("overdue"))
        .sort("programme", "is_repeat")
    )


def _list_steps(
    child: pl.DataFrame, verdict: pl.DataFrame, programme: str, protocol: Protocol, on: date, horizon: Horizon
) -> pl.DataFrame:
    """The step of a programme that began last, where it is near its end and nobody has examined the child since it began."""
    steps = [step for step in protocol.steps if step.programme == programme]
    missed_on, near_on = on - timedelta(days=horizon.overdue_for_days), on + timedelta(days=horizon.due_within_days)
    begun = [
        begin_step(_pick_near(child, step, protocol, on, horizon), step, protocol).filter(pl.col("opens_on") <= on) for step in steps
    ]
    if not begun:
        return pl.DataFrame(schema=FAILSAFE)
    last = verdict.filter(pl.col("programme") == programme).select("child_key", "last_examined_on")
    return (
        pl.concat(begun).sort("opens_on").unique("child_key", keep="last", maintain_order=True)
        .filter(pl.col("closes_on").is_between(missed_on, near_on))
        .join(last, on="child_key", how="left", validate="1:1")
        .filter((pl.col("last_examined_on") < pl.col("opens_on")).fill_null(value=True))
        .with_columns(pl.when(pl.col("closes_on") < on).then(pl.lit("overdue")).otherwise(pl.lit("due")).alias("state"))
        .select(list(FAILSAFE))
    )  # fmt: skip


def _pick_near(child: pl.DataFrame, step: Step, protocol: Protocol, on: date, horizon: Horizon) -> pl.DataFrame:
    """Children who by their date of birth alone may have begun a step, and not ended it too long ago; a few too many."""
    start, end = {
        "hours": (step.start // 24, step.end // 24),
        "days": (step.start, step.end),
        "months": (step.start * 28, step.end * 31),
        "postconceptual_weeks": ((step.start - _MOST_WK) * 7, (step.end - _LEAST_WK) * 7),
    }[step.unit]
    corrected = pl.when(pl.col("gestation_wk") < protocol.age.preterm_below_wk).then((protocol.age.term_wk - _LEAST_WK) * 7).otherwise(0)
    latest, earliest = pl.lit(on - timedelta(days=start)), pl.lit(on - timedelta(days=end + horizon.overdue_for_days + 1))
    return child.filter(pl.col("birth_on").is_between(earliest - pl.duration(days=corrected), latest))
