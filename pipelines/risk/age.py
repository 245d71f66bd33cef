"""Ages and the days on which they are reached; months are counted as everywhere in the house (contracts.age)."""

from collections.abc import Sequence

import polars as pl

from pipelines.contracts.age import UNDER_3_MONTHS, reach_months
from pipelines.risk.cutoffs import Cutoffs
from pipelines.risk.shape import Age, AtRisk, Protocol, Step


def is_under_3(birth: pl.Expr, on: pl.Expr) -> pl.Expr:
    """True before the third birthday."""
    return on < reach_months(birth, UNDER_3_MONTHS)


def correct_birth(age: Age) -> pl.Expr:
    """The day from which corrected age runs: the expected date of birth of a preterm child, else the date of birth."""
    weeks = pl.col("gestation_wk")
    missing = pl.duration(days=(age.term_wk - weeks) * 7)
    return pl.when(weeks < age.preterm_below_wk).then(pl.col("birth_on") + missing).otherwise(pl.col("birth_on"))


def start_age(age: Age, on: pl.Expr) -> pl.Expr:
    """The day from which the age on the day `on` runs: corrected until `corrected_below_months`, from then on from birth."""
    birth_on = pl.col("birth_on")
    return pl.when(on < reach_months(birth_on, age.corrected_below_months)).then(correct_birth(age)).otherwise(birth_on)


def find_cutoff(table: Cutoffs, start: pl.Expr, on: pl.Expr) -> pl.Expr:
    """The number a table holds for the row's component at the age from `start` to `on`; null where it holds none.

    A month is completed as everywhere; the days of an age count from the day on which its months are completed.
    """
    ages = [(_reach_age(start, age.start) <= on) & (on < _reach_age(start, age.end)) for age in table.ages]
    place = pl.coalesce(pl.when(is_of).then(pl.lit(number, pl.Int16)) for number, is_of in enumerate(ages))
    return pl.coalesce(
        pl.when(pl.col("component") == component).then(
            place.replace_strict([*range(len(ages))], [age.bounds[column] for age in table.ages], return_dtype=pl.Float64)
        )
        for column, component in enumerate(table.components)
    )


def _reach_age(start: pl.Expr, age: tuple[int, int]) -> pl.Expr:
    months, days = age
    return reach_months(start, months).dt.offset_by(f"{days}d")


def is_at_risk(at_risk: AtRisk) -> pl.Expr:
    """True for a child at risk of retinopathy of prematurity; what is not known does not make a child one."""
    return (
        (pl.col("birth_weight_g") < at_risk.weight_below_g).fill_null(False)
        | (pl.col("gestation_wk") < at_risk.gestation_below_wk).fill_null(False)
        | pl.col("is_complicated").fill_null(False)
    )


def is_born_at_risk(protocols: Sequence[Protocol]) -> pl.Expr:
    """The same by the protocol in force on the day of birth, before the first one by the first; none that describes it: false."""
    answers = [(p.valid_from, is_at_risk(p.at_risk) if p.at_risk else pl.lit(value=False)) for p in reversed(protocols)]
    in_force = [pl.when(pl.col("birth_on") >= valid_from).then(answer) for valid_from, answer in answers]
    return pl.coalesce(*in_force, answers[-1][1])


def is_for(step: Step) -> pl.Expr:
    """True where the step's gestation is the child's."""
    weeks = pl.col("gestation_wk")
    meant = pl.lit(True)
    if step.gestation_from_wk is not None:
        meant &= weeks >= step.gestation_from_wk
    if step.gestation_below_wk is not None:
        meant &= weeks < step.gestation_below_wk
    return pl.when(weeks.is_null()).then(pl.lit(step.takes_unknown)).otherwise(meant)


def open_step(step: Step, age: Age, is_age_corrected: bool) -> pl.Expr:
    """The first day of a step. Columns: birth_on, gestation_wk."""
    return _reach(step, step.start, age, is_age_corrected)


def close_step(step: Step, age: Age, is_age_corrected: bool) -> pl.Expr:
    """The last day of a step: in hours `end` belongs to it, in the other units the day before."""
    end = _reach(step, step.end, age, is_age_corrected)
    return end if step.unit == "hours" else end.dt.offset_by("-1d")


def _reach(step: Step, bound: int, age: Age, is_age_corrected: bool) -> pl.Expr:
    birth_on = pl.col("birth_on")
    if step.unit == "hours":
        return birth_on.dt.offset_by(f"{bound // 24}d")
    if step.unit == "days":
        return birth_on.dt.offset_by(f"{bound}d")
    if step.unit == "postconceptual_weeks":
        return birth_on + pl.duration(days=(bound - pl.col("gestation_wk")) * 7)
    is_corrected = is_age_corrected and bound < age.corrected_below_months
    return reach_months(correct_birth(age) if is_corrected else birth_on, bound)
