"""The failsafe list: what is due or overdue and that nobody has done, of a whole nation at once.

Source: DOMAIN decision 3 (a missing repeat is overdue, never silently clear). It says of a child what the calendar says of
it; it is asked for a nation every night, so that a step is reckoned only for those whom their age brings near it, and by
the last usable examination that a verdict keeps, not by every result.
"""

import tomllib
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import NamedTuple

import polars as pl

from pipelines.contracts.age import reach_months
from pipelines.risk.calendar import DECLINED, begin_step, find_left, mark_usable
from pipelines.risk.deadlines import REPEAT, list_deadlines, list_examinations_to_come, list_repeats
from pipelines.risk.protocol import choose_protocol
from pipelines.risk.shape import Protocol, Step

FAILSAFE = {
    "child_key": pl.Int64, "programme": pl.String, "step_code": pl.String, "opens_on": pl.Date, "closes_on": pl.Date, "state": pl.String,
}  # fmt: skip
_MONTH_DAYS, _MONTH_SLACK = 30.4375, 4
_LEAST_WK, _MOST_WK = 20, 45
"""Weeks of gestation that a birth record may say (contracts.records)."""


class Horizon(NamedTuple):
    """How near the last day of a step must be for it to stand on the list (failsafe.toml)."""

    due_within_days: int
    overdue_for_days: int


class Telling(NamedTuple):
    """Which results say more than a verdict does.

    components: of these all. asked: of children whose deadline may be near its day. going_on: programmes whose examinations go on
    after a verdict, and the days after the last of them in which the next one is asked for.
    """

    components: tuple[str, ...]
    asked: tuple["Asked", ...]
    going_on: dict[str, int]


class Asked(NamedTuple):
    """What a deadline follows: a verdict of a programme, and the column of its day of birth or decision, so many days ago at most."""

    programme: str
    verdict: str
    begun: str
    days: int


class Window(NamedTuple):
    """Dates of birth at which the last day of some step of a programme is near; `is_preterm`: of children born too early alone."""

    programme: str
    earliest: date
    latest: date
    is_preterm: bool


@cache
def read_horizon() -> Horizon:
    """The horizon of the list."""
    return Horizon(**tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8")))


def list_windows(protocol: Protocol, on: date, horizon: Horizon) -> list[Window]:
    """The births among which steps are near their end on a day; a few days too many."""
    windows = []
    for step in protocol.steps:
        least, most = _reach_days(step.unit, step.end)
        latest = on - timedelta(days=least - horizon.due_within_days - 1)
        earliest = on - timedelta(days=most + horizon.overdue_for_days + 1)
        windows.append(Window(step.programme, earliest, latest, is_preterm=False))
        if protocol.programmes[step.programme].is_age_corrected:
            begun = earliest - timedelta(days=(protocol.age.term_wk - _LEAST_WK) * 7)
            windows.append(Window(step.programme, begun, latest, is_preterm=True))
    return windows


def _reach_days(unit: str, bound: int) -> tuple[int, int]:
    """The fewest and the most days of life at which an age of a step is reached."""
    if unit == "postconceptual_weeks":
        return (bound - _MOST_WK) * 7, (bound - _LEAST_WK) * 7
    days = {"hours": bound / 24, "days": bound, "months": bound * _MONTH_DAYS}[unit]
    return int(days) - _MONTH_SLACK, int(days) + _MONTH_SLACK


def list_telling(protocol: Protocol, horizon: Horizon) -> Telling:
    """The results that `list_unanswered` needs, besides those that were declined."""
    programmes = protocol.programmes.values()
    return Telling(
        tuple(sorted({c for p in programmes for c in p.settled_by})),
        tuple(sorted({
            Asked(d.programme, v, "birth_on" if d.starts == "birth" else "decided_on", protocol.clocks[d.clock] + horizon.overdue_for_days)
            for d in protocol.deadlines for v in d.verdicts
        })),
        {p.name: max(p.follow_up.within_days.values()) + horizon.overdue_for_days for p in programmes if p.follow_up},
    )


def list_unanswered(
    birth: pl.DataFrame, told: pl.DataFrame, verdict: pl.DataFrame, protocols: tuple[Protocol, ...], on: date, horizon: Horizon
) -> pl.DataFrame:
    """One row a child and step, repeat or deadline (FAILSAFE), in no order: state `due` or `overdue` on a day.

    `birth`: clinical.birth of children of age; `told`: calendar.EXAMINED of the results of `list_telling` and the declined
    ones, more do no harm; `verdict`: clinical.verdict, one row a child and programme: those that ask for something, and all that a
    programme has of children of its windows.
    """
    protocol = choose_protocol(protocols, on)
    living, seen = birth.filter(pl.col("died_on").is_null()), mark_usable(told, protocol, on)
    is_near = (pl.col("step_code") == REPEAT) | _is_near(on, horizon)
    listed = []
    for name, programme in protocol.programmes.items():
        child = living.filter(pl.lit(on) < reach_months(pl.col("birth_on"), programme.listed_until_months))
        mine, stood = seen.filter(pl.col("programme") == name), verdict.filter(pl.col("programme") == name)
        listed += [
            _list_steps(child, mine, stood, name, protocol, on, horizon), list_repeats(child, stood, on),
            list_examinations_to_come(child, mine, stood, protocol, programme, on),
            *(list_deadlines(child, mine, stood, protocol, d, on) for d in protocol.deadlines if d.programme == name),
        ]  # fmt: skip
    return pl.concat(
        part.select(list(FAILSAFE)).filter(is_near, pl.col("state").is_in(["due", "overdue"])) for part in listed
    )


def count_unanswered(unanswered: pl.DataFrame) -> pl.DataFrame:
    """By programme, and the repeats apart: how many are due and how many overdue."""
    state = pl.col("state")
    return (
        unanswered.group_by("programme", (pl.col("step_code") == REPEAT).alias("is_repeat"))
        .agg((state == "due").sum().cast(pl.Int64).alias("due"), (state == "overdue").sum().cast(pl.Int64).alias("overdue"))
        .sort("programme", "is_repeat")
    )


def _list_steps(
    child: pl.DataFrame, seen: pl.DataFrame, verdict: pl.DataFrame, programme: str, protocol: Protocol, on: date, horizon: Horizon
) -> pl.DataFrame:
    """The step of a programme that began last: near its end, still needed, and nobody has examined the child since it began."""
    steps = [step for step in protocol.steps if step.programme == programme]
    begun = [
        begin_step(_pick_near(child, step, protocol, on, horizon), step, protocol).drop("needless_after").filter(pl.col("opens_on") <= on)
        for step in steps
    ]
    if not begun:
        return pl.DataFrame(schema=FAILSAFE)
    last = verdict.select("child_key", "verdict", "last_usable_on")
    declined = seen.filter(DECLINED).group_by("child_key").agg(pl.col("examined_on").max().alias("declined_on"))
    is_needless = pl.any_horizontal(
        pl.lit(value=False), *((pl.col("step_code") == s.code) & pl.col("verdict").is_in(s.needless_after).fill_null(value=False) for s in steps)
    )
    answered = pl.max_horizontal(pl.when(pl.col("verdict").is_not_null()).then("last_usable_on"), "declined_on")  # in part is not answered
    return (
        pl.concat(begun).sort("opens_on").unique("child_key", keep="last", maintain_order=True)
        .filter(_is_near(on, horizon))
        .join(last, on="child_key", how="left", validate="1:1").join(declined, on="child_key", how="left", validate="1:1")
        .filter((answered < pl.col("opens_on")).fill_null(value=True) & ~is_needless)
        .join(find_left(seen, protocol), on="child_key", how="anti")
        .with_columns(pl.when(pl.col("closes_on") < on).then(pl.lit("overdue")).otherwise(pl.lit("due")).alias("state"))
        .select(list(FAILSAFE))
    )  # fmt: skip


def _pick_near(child: pl.DataFrame, step: Step, protocol: Protocol, on: date, horizon: Horizon) -> pl.DataFrame:
    """Children who by their date of birth alone may have begun a step, and not ended it too long ago; a few too many."""
    start, end = _reach_days(step.unit, step.start)[0], _reach_days(step.unit, step.end)[1]
    corrected = pl.when(pl.col("gestation_wk") < protocol.age.preterm_below_wk).then((protocol.age.term_wk - _LEAST_WK) * 7).otherwise(0)
    latest, earliest = pl.lit(on - timedelta(days=start)), pl.lit(on - timedelta(days=end + horizon.overdue_for_days + 1))
    return child.filter(pl.col("birth_on").is_between(earliest - pl.duration(days=corrected), latest))


def _is_near(on: date, horizon: Horizon) -> pl.Expr:
    return pl.col("closes_on").is_between(on - timedelta(days=horizon.overdue_for_days), on + timedelta(days=horizon.due_within_days))
