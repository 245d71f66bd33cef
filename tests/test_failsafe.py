"""The failsafe list of a nation says of every child what its calendar says of it."""

from datetime import date, timedelta

import polars as pl

from pipelines.risk.assess import assess_risk
from pipelines.risk.calendar import list_calendar
from pipelines.risk.failsafe import Horizon, list_telling, list_unanswered, list_windows, read_horizon
from pipelines.risk.protocol import choose_protocol
from tests.test_risk import BORN, PROTOCOLS, SCHEMA, bear, draw, spot

ON = date(2025, 9, 15)
RESULTS = [
    ("hearing", "oae_left", "pass"), ("hearing", "oae_left", "refer"), ("hearing", "oae_left", "not_done"), ("hearing", "oae_left", "declined"),
    ("hearing", "surdology", "confirmed"), ("hearing", "surdology", "excluded"),
    ("blood_spot", "tsh", "out_of_range"), ("blood_spot", "tsh", "declined"),
    ("eyes", "rop", "pass"), ("eyes", "rop", "excluded"), ("eyes", "rop", "confirmed"), ("phenotype", "syndrome", "pass"),
    ("development", "motor", "in_range"), ("development", "motor", "pending"), ("autism", "mchat_r", "in_range"), ("autism", "mchat_r", "of no kind"),
    ("blood_spot", "46740-7", "out_of_range"),
]  # fmt: skip


def live(count):
    """Children of every age and gestation, with two examinations each, of one programme or of two, at every age."""
    births = [(n, date(2018, 3, 1) + timedelta(days=n * 3 // 2), None, (None, 24, 26, 31, 36, 40)[n % 6], 1500 + n, n % 7 == 0, None)
              for n in range(count)]  # fmt: skip
    rows = [
        {"child_key": n, "programme": programme, "component": component, "examined_on": born + timedelta(days=(n * 37 + 400 * k) % 900),
         "result_code": code, "status_code": "final", "record_key": 2 * n + k}
        for n, born, *_ in births for k in (0, 1) for programme, component, code in [RESULTS[(n * 7 + k * 4) % len(RESULTS)]]
    ]  # fmt: skip
    screening = pl.DataFrame(rows, schema=SCHEMA).filter(pl.col("examined_on") <= ON)
    return pl.DataFrame(births, schema=bear().schema, orient="row"), screening


def test_the_failsafe_list_of_many_children_says_of_each_what_its_calendar_says():
    birth, screening = live(1900)
    verdict = assess_risk(screening, birth, PROTOCOLS).verdict
    calendar = list_calendar(birth, screening, verdict, PROTOCOLS, ON).filter(
        pl.col("state").is_in(["due", "overdue"])
        & ((pl.col("step_code") == "repeat") | pl.col("closes_on").is_between(ON - timedelta(days=60), ON + timedelta(days=14)))
    )
    telling = list_telling(choose_protocol(PROTOCOLS, ON), Horizon(14, 60))
    verdict = verdict.join(birth.select("child_key", "birth_on"), on="child_key", how="left")
    is_told = pl.any_horizontal(
        *((pl.col("programme") == one.programme) & (pl.col("verdict") == one.verdict) & (pl.col(one.begun) >= ON - timedelta(days=one.days))
          for one in telling.asked),
        *((pl.col("programme") == name) & (pl.col("last_usable_on") >= ON - timedelta(days=days)) for name, days in telling.going_on.items()),
    )  # fmt: skip
    asked = verdict.filter(is_told | pl.col("repeat_due_on").is_not_null() | (pl.col("verdict") == "repeat_due"))
    told = pl.concat([
        screening.filter((pl.col("result_code") == "declined") | pl.col("component").is_in(telling.components)),
        screening.join(asked.filter(is_told), on=["child_key", "programme"], how="semi"),
    ]).unique()  # fmt: skip
    assert told.height < screening.height
    near = pl.any_horizontal(
        pl.col("birth_on").is_between(w.earliest, w.latest) & ((pl.col("gestation_wk") < 37).fill_null(False) if w.is_preterm else True)
        for w in list_windows(choose_protocol(PROTOCOLS, ON), ON, Horizon(14, 60))
    )
    some = birth.filter(near | pl.col("child_key").is_in(asked["child_key"].implode()))
    assert some.height < birth.height
    of_window = pl.any_horizontal(
        (pl.col("programme") == w.programme) & pl.col("birth_on").is_between(w.earliest, w.latest)
        for w in list_windows(choose_protocol(PROTOCOLS, ON), ON, Horizon(14, 60))
    )
    of_programme = verdict.filter(of_window)
    near_verdict = pl.concat([asked, of_programme]).unique(["child_key", "programme"])
    assert near_verdict.height < verdict.height
    listed = list_unanswered(some, told, near_verdict, PROTOCOLS, ON, Horizon(14, 60))
    assert sorted(listed.rows()) == sorted(calendar.select(listed.columns).rows())
    assert set(listed["state"]) == {"due", "overdue"}
    assert listed["step_code"].n_unique() > 12


def test_a_repeat_stays_on_the_failsafe_list_until_the_child_turns_3_and_a_missed_step_until_its_next():
    results = draw(*spot(2, 12.0))
    verdict = assess_risk(results, bear(), PROTOCOLS).verdict

    def ask(on):
        told = list_unanswered(bear(), results, verdict, PROTOCOLS, on, read_horizon())
        return set(told.select(pl.col("programme") + " " + pl.col("step_code") + " " + pl.col("state")).to_series())

    assert ask(BORN + timedelta(days=10)) >= {"blood_spot repeat due", "hearing hearing_newborn overdue", "phenotype phenotype_newborn overdue"}
    assert "hearing hearing_newborn overdue" not in ask(date(2025, 4, 10))
    assert "blood_spot repeat overdue" in ask(date(2027, 12, 31))
    assert "blood_spot repeat overdue" not in ask(date(2028, 1, 1))
