"""The calendar: what is due, overdue and late for each child, by the steps and clocks of the protocol in force.

Sources: O704 p. 36-119, annex 14 (steps of the TOML), DOMAIN decision 3 (a missing repeat is overdue, never silently
clear). A step is answered by an examination of its programme between its first day and the first day of the next step.
"""

from datetime import date

import polars as pl

from pipelines.risk.age import close_step, is_at_risk, is_for, is_under_3, open_step
from pipelines.risk.protocol import Protocol, Step, choose_protocol

CALENDAR = {
    "child_key": pl.Int64, "programme": pl.String, "step_code": pl.String, "opens_on": pl.Date, "closes_on": pl.Date,
    "examined_on": pl.Date, "state": pl.String,
}  # fmt: skip
REPEAT = "repeat"
"""Step code of a repeat that a verdict asks for; its last day is the verdict's repeat_due_on."""


def list_calendar(
    birth: pl.DataFrame, examined: pl.DataFrame, verdict: pl.DataFrame, protocols: tuple[Protocol, ...], on: date
) -> pl.DataFrame:
    """One row a step that has begun, of children under 3 who live: state `done`, `late`, `due` or `overdue`.

    `birth`: clinical.birth; `examined`: child_key, programme, examined_on (any number a child); `verdict`:
    clinical.verdict, current rows. A missed step is no longer listed once the next one of its programme has begun.
    """
    day = pl.lit(on)
    child = birth.filter(pl.col("died_on").is_null() & is_under_3(pl.col("birth_on"), day))
    protocol = choose_protocol(protocols, on)
    begun = [begin_step(child, step, protocol).filter(pl.col("opens_on") <= day) for step in protocol.steps]
    key = ["child_key", "programme"]
    steps = (
        pl.concat(begun)
        .sort(*key, "opens_on")
        .with_columns(next_on=pl.col("opens_on").shift(-1).over(key))
    )  # fmt: skip
    seen = (
        steps.join(examined.unique(), on=key, how="inner", suffix="_seen")
        .filter(
            (pl.col("examined_on") >= pl.col("opens_on"))
            & (pl.col("next_on").is_null() | (pl.col("examined_on") < pl.col("next_on")))
            & (pl.col("examined_on") <= day)
        )
        .group_by(*key, "step_code")
        .agg(pl.col("examined_on").min())
    )
    answered = steps.join(seen, on=[*key, "step_code"], how="left", validate="1:1")
    answered = answered.filter(pl.col("examined_on").is_not_null() | pl.col("next_on").is_null())
    return pl.concat([_name_state(answered, on), list_repeats(child, verdict, on)]).sort(*key, "opens_on")


def begin_step(child: pl.DataFrame, step: Step, protocol: Protocol) -> pl.DataFrame:
    """A step of the children whom it is for, from its first day to its last."""
    meant = is_for(step)
    if step.only_at_risk and protocol.at_risk is not None:  # reading refuses such a step where nobody is described
        meant &= is_at_risk(protocol.at_risk)
    is_corrected = protocol.programmes[step.programme].is_age_corrected
    return child.filter(meant).select(
        "child_key",
        pl.lit(step.programme).alias("programme"),
        pl.lit(step.code).alias("step_code"),
        open_step(step, protocol.age, is_corrected).alias("opens_on"),
        close_step(step, protocol.age, is_corrected).alias("closes_on"),
    )


def list_repeats(child: pl.DataFrame, verdict: pl.DataFrame, on: date) -> pl.DataFrame:
    """The repeats that verdicts ask for, of these children: due, or overdue."""
    asked = verdict.filter((pl.col("verdict") == "repeat_due") & pl.col("repeat_due_on").is_not_null())
    repeats = asked.join(child.select("child_key"), on="child_key", how="semi").select(
        "child_key",
        "programme",
        pl.lit(REPEAT).alias("step_code"),
        pl.col("decided_on").alias("opens_on"),
        pl.col("repeat_due_on").alias("closes_on"),
        pl.lit(None, pl.Date).alias("examined_on"),
    )
    return _name_state(repeats, on)


def _name_state(steps: pl.DataFrame, on: date) -> pl.DataFrame:
    examined = pl.col("examined_on")
    state = (
        pl.when(examined <= pl.col("closes_on")).then(pl.lit("done"))
        .when(examined.is_not_null()).then(pl.lit("late"))
        .when(pl.lit(on) <= pl.col("closes_on")).then(pl.lit("due"))
        .otherwise(pl.lit("overdue"))
    )  # fmt: skip
    return steps.with_columns(state=state).select(pl.col(name).cast(dtype) for name, dtype in CALENDAR.items())
