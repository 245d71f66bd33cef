"""The calendar of order 704: what is due of a child, what answered it, what no longer applies, and which clocks run."""

from datetime import date, timedelta

import polars as pl
import pytest

from pipelines.risk.assess import assess_risk
from pipelines.risk.calendar import list_calendar
from tests.test_risk import BORN, PROTOCOLS, bear, draw, ears, judge, spot


def ask(*rows, on: int | date, birth: pl.DataFrame | None = None, programme: str | None = None):
    """{programme and step: state} on a day of life or a date; of one programme {step: state}."""
    day = on if isinstance(on, date) else BORN + timedelta(days=on)
    screening, birth = draw(*rows), bear() if birth is None else birth
    verdict = assess_risk(screening.filter(pl.col("examined_on") <= day), birth, PROTOCOLS).verdict
    steps = list_calendar(birth, screening, verdict, PROTOCOLS, day)
    if programme is not None:
        return dict(steps.filter(pl.col("programme") == programme).select("step_code", "state").iter_rows())
    return dict(steps.select(pl.col("programme") + " " + pl.col("step_code"), "state").iter_rows())


def mchat(on: date, score: int):
    return ("autism", "mchat_r", (on - BORN).days, score)


def test_a_missing_repeat_becomes_overdue_and_a_step_is_due_late_or_done():
    rows = (*spot(2, 12.0), *ears(10))
    early, later = ask(*rows, on=11), ask(*rows, on=20)
    assert early["blood_spot blood_spot_term"] == "done"
    assert early["hearing hearing_newborn"] == "late"
    assert early["development development_birth"] == "due"
    assert (early["blood_spot repeat"], later["blood_spot repeat"]) == ("due", "overdue")


def test_a_child_who_died_has_no_calendar_and_of_3_years_only_hearing_is_asked():
    dead = bear().with_columns(died_on=pl.lit(BORN))
    assert ask(on=date(2025, 2, 1), birth=dead) == {}
    assert ask(on=date(2028, 1, 1)) == {"hearing hearing_3_years": "due"}
    assert ask(on=date(2030, 1, 1)) == {"hearing hearing_3_years": "overdue"}
    assert ask(on=date(2031, 12, 31)) == {"hearing hearing_6_years": "overdue"}
    assert ask(on=date(2032, 1, 1)) == {}


@pytest.mark.parametrize("answer", ["not_done", "unsatisfactory", "pending"])
def test_an_examination_that_was_not_done_or_is_not_usable_answers_no_step(answer):
    rows = ears(2, *[answer] * 4)
    assert ask(*rows, on=2, programme="hearing")["hearing_newborn"] == "due"
    assert ask(*rows, on=30, programme="hearing")["hearing_newborn"] == "overdue"
    assert ask(*rows, *ears(30), on=40, programme="hearing")["hearing_newborn"] == "late"


def test_a_declined_examination_is_shown_as_declined_until_one_is_done():
    declined = ears(2, *["declined"] * 4)
    assert ask(*declined, on=30, programme="hearing") == {"hearing_newborn": "declined"}
    assert ask(*declined, *ears(3), on=30, programme="hearing") == {"hearing_newborn": "done"}


def test_a_preliminary_result_and_a_sample_after_a_transfusion_answer_no_step():
    assert ask(*spot(2, 4.0, status_code="preliminary"), on=2, programme="blood_spot")["blood_spot_term"] == "due"
    assert ask(*spot(2, 4.0, is_transfused=True), on=2, programme="blood_spot")["blood_spot_term"] == "due"


def test_a_child_with_a_confirmed_loss_leaves_the_hearing_cohort_until_the_loss_is_excluded():
    lost = (*ears(2, oae_left="refer"), ("hearing", "surdology", 30, "confirmed"))
    assert ask(*lost, on=date(2026, 6, 1), programme="hearing") == {"hearing_newborn": "done"}
    excluded = (*lost, ("hearing", "surdology", 60, "excluded"))
    assert ask(*excluded, on=date(2026, 6, 1), programme="hearing")["hearing_1_year"] == "overdue"


def test_a_hearing_test_passed_before_its_hours_is_not_asked_for_again_and_a_blood_spot_is():
    steps = ask(*ears(0), *spot(0, 4.0), on=30)
    assert ("hearing hearing_newborn" in steps, steps["blood_spot blood_spot_term"]) == (False, "overdue")


def test_the_scale_is_due_at_birth_and_again_at_one_month():
    at_birth = ("development", "motor", 3, 2.8)
    assert ask(at_birth, on=20, programme="development") == {"development_birth": "done"}
    assert ask(at_birth, on=40, programme="development") == {"development_birth": "done", "development_1_month": "due"}
    assert ask(on=date(2025, 3, 10), programme="development") == {"development_1_month": "overdue"}


@pytest.mark.parametrize(("age", "is_in"), [(0, True), (30, True), (31, True), (58, True), (59, False)])
def test_the_first_examination_of_development_is_in_time_at_birth_or_at_one_month(age, is_in):
    verdict = assess_risk(draw(("development", "motor", age, 2.8)), bear(), PROTOCOLS).verdict
    assert verdict["is_in_window"].to_list() == [is_in]


def test_a_low_m_chat_r_before_the_second_birthday_is_repeated_after_it():
    low = mchat(date(2026, 7, 1), 1)
    assert ask(low, on=date(2026, 12, 31), programme="autism") == {"mchat_16_to_30_months": "done"}
    assert ask(low, on=date(2027, 1, 1), programme="autism")["mchat_after_2_years"] == "due"
    assert ask(low, on=date(2027, 8, 1), programme="autism")["mchat_after_2_years"] == "overdue"
    assert ask(low, mchat(date(2027, 2, 1), 0), on=date(2027, 8, 1), programme="autism")["mchat_after_2_years"] == "done"


def test_one_m_chat_r_after_the_second_birthday_is_enough_and_a_child_at_risk_is_not_asked_again():
    assert ask(mchat(date(2027, 2, 1), 1), on=date(2027, 8, 1), programme="autism") == {"mchat_after_2_years": "done"}
    assert ask(mchat(date(2026, 7, 1), 9), on=date(2027, 8, 1), programme="autism") == {"mchat_16_to_30_months": "done"}
    assert ask(on=date(2027, 8, 1), programme="autism") == {"mchat_after_2_years": "overdue"}


def recall(*rows, on):
    steps = ask(*rows, on=on, programme="blood_spot")
    return {code: state for code, state in steps.items() if code != "blood_spot_term"}


def test_after_a_high_sample_parents_are_informed_the_repeat_is_analysed_and_day_21_decides():
    high = spot(2, 12.0)
    due = dict.fromkeys(["parents_informed", "repeat", "repeat_analysed", "diagnosis"], "due")
    assert recall(*high, on=11) == due
    assert recall(*high, on=12) == due | {"parents_informed": "untold"}
    assert recall(*high, on=13) == due | {"parents_informed": "untold", "repeat": "overdue"}
    assert recall(*high, on=22) == {"parents_informed": "untold", "repeat": "overdue", "repeat_analysed": "overdue", "diagnosis": "overdue"}
    assert recall(*high, *spot(9, "pending", "pending"), on=12)["parents_informed"] == "done"
    assert recall(*high, *spot(9, 3.0), on=22) == {}


def test_after_a_second_high_sample_diagnosis_is_due_by_day_21_and_treatment_by_day_30():
    high = (*spot(2, 12.0), *spot(9, 11.0))
    assert recall(*high, on=21) == {"diagnosis": "due", "treatment": "due"}
    assert recall(*high, on=31) == {"diagnosis": "overdue", "treatment": "untold"}
    told = ("blood_spot", "tsh", 20, "confirmed")
    assert recall(*high, told, on=31) == {"diagnosis": "done", "treatment": "untold"}
    assert recall(*high, ("blood_spot", "tsh", 25, "confirmed"), on=31)["diagnosis"] == "late"


def test_a_diagnosis_is_asked_for_each_suspected_disorder_and_of_no_card_that_was_unusable():
    high = ("blood_spot", "tsh", 2, 12.0), ("blood_spot", "phe", 2, 3.1), ("blood_spot", "tsh", 9, 11.0), ("blood_spot", "phe", 9, 3.0)
    excluded = ("blood_spot", "tsh", 15, "excluded")
    assert recall(*high, excluded, on=21)["diagnosis"] == "due"
    assert recall(*high, ("blood_spot", "tsh", 15, "confirmed"), on=22)["diagnosis"] == "overdue"
    other = ("blood_spot", "38473-5", 15, "confirmed")
    assert recall(*spot(2, 12.0), *spot(9, 11.0), other, on=22)["diagnosis"] == "overdue"
    both = ("blood_spot", "tsh", 15, "confirmed"), ("blood_spot", "phe", 20, "confirmed")
    assert recall(*high, *both, on=25)["diagnosis"] == "done"
    assert recall(*high, both[0], ("blood_spot", "phe", 23, "confirmed"), on=25)["diagnosis"] == "late"
    assert "diagnosis" not in recall(*spot(2, "unsatisfactory", "unsatisfactory"), on=22)
    assert "repeat" in recall(*spot(2, "unsatisfactory", "unsatisfactory"), on=22)


def look(*rows, on, gestation=30):
    return ask(*rows, on=on, birth=bear(gestation=gestation), programme="eyes").get("next_examination")


def test_one_fundus_without_retinopathy_does_not_end_the_examinations():
    passed = ("eyes", "rop", 25, "pass")
    assert (look(passed, on=39), look(passed, on=40)) == ("due", "overdue")
    assert (look(("eyes", "rop", 25, "refer"), on=32), look(("eyes", "rop", 25, "refer"), on=33)) == ("due", "overdue")
    assert look(passed, ("eyes", "rop", 38, "pass"), on=45) == "due"


def test_the_examinations_of_the_fundus_end_when_the_end_is_told_or_at_45_weeks():
    passed = ("eyes", "rop", 25, "pass")
    assert look(passed, ("eyes", "rop", 60, "excluded"), on=90) is None
    assert judge(passed, ("eyes", "rop", 60, "excluded"))[0] == {"eyes": "clear"}
    at_45_weeks = (45 - 30) * 7
    assert look(passed, ("eyes", "rop", at_45_weeks - 1, "pass"), on=at_45_weeks + 30) == "overdue"
    assert look(passed, ("eyes", "rop", at_45_weeks, "pass"), on=at_45_weeks + 30) is None
    assert look(("eyes", "rop", 25, "not_done"), on=60) is None  # its own repeat is due


def test_the_end_of_one_eye_ends_nothing_of_the_other_and_what_is_found_again_goes_on():
    found = (("eyes", "rop", 28, "refer"), ("eyes", "rop", 42, "excluded"))
    assert look(*found, on=60) is None
    assert look(*found, ("eyes", "rop", 60, "refer"), on=66) == "due"
    assert look(("eyes", "rop_left", 42, "excluded"), ("eyes", "rop_right", 42, "refer"), on=48) == "due"
    assert look(("eyes", "rop_left", 42, "excluded"), ("eyes", "rop_right", 42, "pass"), on=48) == "due"


def test_the_examinations_of_the_fundus_go_on_of_children_at_risk_of_those_of_whom_nothing_is_known_and_where_something_was_found():
    passed = ("eyes", "rop", 25, "pass")
    assert look(passed, on=30, gestation=39) is None
    unknown = bear(gestation=None).with_columns(birth_weight_g=pl.lit(None, pl.Int64))
    assert ask(passed, on=30, birth=unknown, programme="eyes")["next_examination"] == "due"
    assert look(("eyes", "rop", 25, "refer"), on=30, gestation=39) == "due"


@pytest.mark.parametrize(
    ("rows", "step"),
    [
        ((("blood_spot", "tsh", 2, 4.0),), "blood_spot_term"),
        ((("blood_spot", "tsh", 2, 4.0, {"unit": "mg/dL"}), ("blood_spot", "phe", 2, 1.0)), "blood_spot_term"),
        ((("hearing", "oae_left", 2, "pass"), ("hearing", "oae_right", 2, "pass")), "hearing_newborn"),
        ((("hearing", "hearing_left", 2, "pass"),), "hearing_newborn"),
    ],
)
def test_an_examination_that_does_not_decide_leaves_its_step_open_until_the_rest_of_it_comes(rows, step):
    programme = rows[0][0]
    assert ask(*rows, on=60, programme=programme)[step] == "overdue"
    rest = {"blood_spot": spot(50, 4.0), "hearing": ears(50)}[programme]
    assert ask(*rows, *rest, on=60, programme=programme)[step] == "done"


def test_the_repeat_of_one_disorder_is_asked_for_by_its_own_clock_whatever_becomes_of_another():
    high = spot(2, 12.0)
    assert recall(*high, ("blood_spot", "phe", 9, "unsatisfactory"), on=15)["repeat"] == "overdue"
    assert recall(*high, ("blood_spot", "46740-7", 2, "out_of_range"), on=15)["repeat"] == "overdue"
    anomalies, head = ("phenotype", "micro_anomalies", 1, 5), ("phenotype", "head_z", 200, -2.6)
    assert ask(anomalies, head, on=201, programme="phenotype")["repeat"] == "overdue"


def test_a_result_that_another_record_corrects_says_nothing_in_the_calendar():
    lost = ("hearing", "surdology", 30, "confirmed")
    found_none = ("hearing", "surdology", 30, "excluded", {"status_code": "corrected"})
    assert ask(*ears(2), lost, found_none, on=400, programme="hearing")["hearing_1_year"] == "due"
    not_done = [(*ear[:3], "not_done", {"status_code": "corrected"}) for ear in ears(2)]
    assert ask(*ears(2), *not_done, on=30, programme="hearing")["hearing_newborn"] == "overdue"


def test_a_step_by_corrected_age_does_not_begin_after_one_of_a_later_age():
    on = date(2027, 3, 25)
    steps = ask(("development", "motor", 100, 2.8), on=on, birth=bear(gestation=24), programme="development")
    assert steps == {"development_birth": "late", "development_24_months": "due"}


def test_the_order_of_results_changes_nothing_in_the_calendar():
    rows = (*spot(2, 12.0), *spot(9, "pending", "pending"), *ears(2, abr_left="refer"), ("hearing", "surdology", 30, "confirmed"))
    assert ask(*rows, on=60) == ask(*reversed(rows), on=60)
