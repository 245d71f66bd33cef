"""The calendar: what is due, overdue and late for each child, by the steps and clocks of the protocol in force.

Sources: O704 p. 36-119, annex 14 (steps of the TOML), DOMAIN decision 3 (a missing repeat is overdue, never silently
clear). A step is answered by a usable examination of its programme between its first day and the first day of the next step; the
last one that began only when the results decide (both analytes, both ears by both methods), or a representative declined.
"""

from datetime import date

import polars as pl

from pipelines.contracts.age import reach_months
from pipelines.risk.age import close_step, is_at_risk, is_for, open_step
from pipelines.risk.deadlines import CALENDAR, KEY, list_deadlines, list_examinations_to_come, list_repeats
from pipelines.risk.protocol import choose_protocol
from pipelines.risk.reading import is_usable, supersede
from pipelines.risk.shape import Programme, Protocol, Step

EXAMINED = ("child_key", "programme", "component", "stage_code", "examined_on", "result_code", "status_code", "is_transfused")
DECLINED = pl.col("result_code").eq_missing("declined")


def list_calendar(
    birth: pl.DataFrame, examined: pl.DataFrame, verdict: pl.DataFrame, protocols: tuple[Protocol, ...], on: date
) -> pl.DataFrame:
    """One row a step, repeat or deadline that has begun, of children who live and are of the programme's age.

    `state`: done, late, due, overdue; declined (a representative said no, and no usable examination followed); untold (its
    day has passed, and nothing that we receive can tell whether it was done).
    `birth`: clinical.birth; `examined`: EXAMINED of clinical.screening; `verdict`: clinical.verdict, current rows. A missed
    step is no longer listed once the next one of its programme has begun, nor one that the child no longer needs.
    """
    protocol = choose_protocol(protocols, on)
    child, seen = birth.filter(pl.col("died_on").is_null()), mark_usable(examined, protocol, on)
    listed = [
        _list_steps(child, seen, verdict, protocol, on),
        list_repeats(child, verdict, on),
        *(list_deadlines(child, seen, verdict, protocol, deadline, on) for deadline in protocol.deadlines),
        *(list_examinations_to_come(child, seen, verdict, protocol, programme, on) for programme in protocol.programmes.values()),
    ]
    return pl.concat(listed).pipe(_keep_of_age, child, protocol, on).sort(*KEY, "opens_on", "closes_on")


def mark_usable(examined: pl.DataFrame, protocol: Protocol, on: date) -> pl.DataFrame:
    """Results of the protocol's programmes up to a day, each with is_usable."""
    held = examined.select(EXAMINED).pipe(supersede)
    return pl.concat(
        held.filter((pl.col("programme") == name) & (pl.col("examined_on") <= on))
        .with_columns(is_usable=is_usable(programme))
        for name, programme in protocol.programmes.items()
    )


def _list_steps(
    child: pl.DataFrame, seen: pl.DataFrame, verdict: pl.DataFrame, protocol: Protocol, on: date
) -> pl.DataFrame:
    steps = pl.concat(begin_step(child, step, protocol) for step in protocol.steps).filter(pl.col("opens_on") <= on)
    steps = steps.sort(*KEY, "opens_on").with_columns(next_on=pl.col("opens_on").shift(-1).over(KEY))
    answers = (
        steps.join(seen.filter(pl.col("is_usable") | DECLINED), on=KEY, how="inner")
        .filter(
            (pl.col("examined_on") >= pl.col("opens_on"))
            & (pl.col("next_on").is_null() | (pl.col("examined_on") < pl.col("next_on")))
        )
        .group_by(*KEY, "step_code")
        .agg(pl.col("examined_on").filter("is_usable").min(), is_declined=DECLINED.any())
    )
    answered = steps.join(answers, on=[*KEY, "step_code"], how="left", validate="1:1").join(
        verdict.select(*KEY, "verdict"), on=KEY, how="left", validate="m:1"
    )
    if answered.height != steps.height:
        raise AssertionError(f"{steps.height} steps, {answered.height} with their answers")
    is_last, is_told = pl.col("next_on").is_null(), pl.col("examined_on").is_not_null() | pl.col("is_declined")
    # What was examined in part decides nothing, and nobody else would ask for the rest.
    is_counted = ~is_last | pl.col("verdict").is_not_null()
    answered = answered.with_columns(pl.when(is_counted).then("examined_on"), pl.col("is_declined").fill_null(value=False))
    is_needed = is_last & ~pl.col("needless_after").list.contains(pl.col("verdict")).fill_null(False)
    silent = answered.filter(~is_told & is_needed).join(find_left(seen, protocol), on=KEY, how="anti")
    told = answered.filter(is_told)
    return _name_state(pl.concat([told, silent]), on)


def begin_step(child: pl.DataFrame, step: Step, protocol: Protocol) -> pl.DataFrame:
    """A step of the children whom it is for, from its first day to its last."""
    meant = is_for(step)
    if step.only_at_risk and protocol.at_risk is not None:  # reading refuses such a step where nobody is described
        meant &= is_at_risk(protocol.at_risk)
    is_corrected, age = protocol.programmes[step.programme].is_age_corrected, protocol.age
    opens_on = open_step(step, age, is_corrected)
    if is_corrected and step.unit == "months" and step.start < age.corrected_below_months:  # else it would begin after one of a later age
        meant &= opens_on < reach_months(pl.col("birth_on"), age.corrected_below_months)
    return child.filter(meant).select(
        "child_key",
        pl.lit(step.programme).alias("programme"),
        pl.lit(step.code).alias("step_code"),
        opens_on.alias("opens_on"),
        close_step(step, age, is_corrected).alias("closes_on"),
        pl.lit(list(step.needless_after), pl.List(pl.String)).alias("needless_after"),
    )


def find_left(seen: pl.DataFrame, protocol: Protocol) -> pl.DataFrame:
    """child_key, programme of children whom the settling examination took out of the cohort, and none brought back since."""
    return pl.concat(_find_left_of(seen, programme) for programme in protocol.programmes.values())


def _find_left_of(seen: pl.DataFrame, programme: Programme) -> pl.DataFrame:
    said = seen.filter((pl.col("programme") == programme.name) & pl.col("component").is_in(programme.settled_by), "is_usable")
    left, returned = (
        pl.col("examined_on").filter(pl.col("result_code").is_in(answers)).max() for answers in (programme.left_by, programme.returned_by)
    )
    last = said.group_by(KEY).agg(left_on=left, returned_on=returned)
    return last.filter(pl.col("left_on") >= pl.max_horizontal("left_on", "returned_on")).select(KEY)


def _name_state(steps: pl.DataFrame, on: date) -> pl.DataFrame:
    examined = pl.col("examined_on")
    state = (
        pl.when(examined <= pl.col("closes_on")).then(pl.lit("done"))
        .when(examined.is_not_null()).then(pl.lit("late"))
        .when(pl.col("is_declined")).then(pl.lit("declined"))
        .when(pl.lit(on) <= pl.col("closes_on")).then(pl.lit("due"))
        .otherwise(pl.lit("overdue"))
    )  # fmt: skip
    return steps.with_columns(state=state).select(pl.col(name).cast(dtype) for name, dtype in CALENDAR.items())


def _keep_of_age(listed: pl.DataFrame, child: pl.DataFrame, protocol: Protocol, on: date) -> pl.DataFrame:
    """Each programme's rows of children under the age up to which it is listed."""
    of_age = pl.concat(
        child.filter(pl.lit(on) < reach_months(pl.col("birth_on"), programme.listed_until_months)).select(
            "child_key", pl.lit(name).alias("programme")
        )
        for name, programme in protocol.programmes.items()
    )
    return listed.join(of_age, on=KEY, how="semi")
