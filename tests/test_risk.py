"""The protocol of order 704: what a child's results make of it, in each programme, and what it may never do."""

import tomllib
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.risk.assess import BIRTH, SCREENING, assess_risk
from pipelines.risk.protocol import describe_rule, load_protocols, parse_protocol

FOLDER = Path(__file__).parents[1] / "pipelines" / "risk" / "order-704"
REDACTIONS = load_protocols(FOLDER)
PROTOCOLS = tuple(redaction for redaction in REDACTIONS if redaction.name == "order-704/2022-11-01")
"""The redaction whose cut-offs, ages and clocks the tests write out: a later one in the folder says nothing of it."""
BORN = date(2025, 1, 1)
KINDS = {
    "child_key": pl.Int64, "examined_on": pl.Date, "examined_at": pl.Datetime("us"), "value": pl.Float64,
    "is_transfused": pl.Boolean, "gestation_wk": pl.Int64, "record_key": pl.Int64,
}  # fmt: skip
SCHEMA = {name: KINDS.get(name, pl.String) for name in SCREENING}
UNITS = {"tsh": "m[IU]/L", "phe": "mg/dL"}


def draw(*rows, child=1):
    """Results from (programme, component, day of life, number or answer, what else differs)."""
    drawn = []
    for number, (programme, component, age, result, *rest) in enumerate(rows):
        is_number = isinstance(result, int | float)
        drawn.append(
            {"child_key": child, "programme": programme, "component": component, "stage_code": None,
             "examined_on": BORN + timedelta(days=age), "examined_at": None, "comparator": None,
             "value": float(result) if is_number else None, "unit": UNITS.get(component) if is_number else None,
             "result_code": None if is_number else result, "status_code": "final", "is_transfused": None, "gestation_wk": None,
             "record_key": child * 1000 + number} | dict(*rest)
        )  # fmt: skip
    return pl.DataFrame(drawn, schema=SCHEMA)


def bear(*children, gestation=39):
    kinds = {"child_key": pl.Int64, "birth_on": pl.Date, "birth_at": pl.Datetime("us"), "gestation_wk": pl.Int64,
             "birth_weight_g": pl.Int64, "is_complicated": pl.Boolean, "died_on": pl.Date}  # fmt: skip
    rows = [(child, BORN, None, gestation, 3200, None, None) for child in children or (1,)]
    return pl.DataFrame(rows, schema=kinds, orient="row")


def judge(*rows, gestation=39, protocols=PROTOCOLS):
    """{programme: verdict}, {rule codes of the flags}."""
    assessed = assess_risk(draw(*rows), bear(gestation=gestation), protocols)
    return dict(assessed.verdict.select("programme", "verdict").iter_rows()), set(assessed.flag["rule_code"])


def spot(age, tsh, phe=1.0, **rest):
    return ("blood_spot", "tsh", age, tsh, rest), ("blood_spot", "phe", age, phe, rest)


def ears(age, oae_left="pass", oae_right="pass", abr_left="pass", abr_right="pass"):
    answers = {"oae_left": oae_left, "oae_right": oae_right, "abr_left": abr_left, "abr_right": abr_right}
    return tuple(("hearing", ear, age, answer) for ear, answer in answers.items())


BLOOD_SPOT = {
    "a normal sample is clear": (spot(2, 4.0), "clear", set()),
    "a TSH of 8.99 is clear": (spot(2, 8.99), "clear", set()),
    "a TSH of 9.0 asks for a repeat": (spot(2, 9.0), "repeat_due", set()),
    "a phenylalanine of 2.1 asks for a repeat": (spot(2, 4.0, 2.1), "repeat_due", set()),
    "high again in the repeat sample is a risk": ((*spot(2, 12.0), *spot(12, 11.0)), "risk", {"tsh_high"}),
    "a normal repeat sample clears": ((*spot(2, 12.0), *spot(12, 3.0)), "clear", set()),
    "a normal retest of the same spot clears": (
        (*spot(2, 12.0), ("blood_spot", "tsh", 4, 3.0, {"stage_code": "retest"})), "clear", set()),
    "a high retest of the same spot is no repeat sample": (
        (*spot(2, 12.0), ("blood_spot", "tsh", 4, 13.0, {"stage_code": "retest"})), "repeat_due", set()),
    "a repeat whose first sample never came counts": (spot(12, 12.0, stage_code="repeat"), "risk", {"tsh_high"}),
    "the first high sample after a normal one is the first": (
        (*spot(2, 4.0), *spot(10, 12.0)), "repeat_due", set()),
    "so it is where the other analyte was recalled": ((*spot(2, 4.0, 3.0), *spot(9, 12.0)), "repeat_due", set()),
    "and where the sample before was of an unknown unit": (
        (("blood_spot", "tsh", 2, 4.0, {"unit": "mg/dL"}), ("blood_spot", "phe", 2, 1.0), *spot(9, 12.0)), "repeat_due", set()),
    "and where its retest took the one before back": (
        (*spot(2, 12.0), ("blood_spot", "tsh", 4, 3.0, {"stage_code": "retest"}), *spot(12, 11.0)), "repeat_due", set()),
    "a repeat counts where of the sample before nothing is known yet": (
        (*spot(2, 12.0, status_code="preliminary"), *spot(9, 12.0, stage_code="repeat")), "risk", {"tsh_high"}),
    "or where it was not taken": ((*spot(2, "not_done", "not_done"), *spot(9, 12.0, stage_code="repeat")), "risk", {"tsh_high"}),
    "a sample instead of an unsuitable card is the first": (
        (*spot(2, "unsatisfactory", "unsatisfactory"), *spot(9, 12.0, stage_code="repeat")), "repeat_due", set()),
    "a retest is of the sample, not of what was not taken after it": (
        (*spot(2, 12.0), *spot(3, "not_done", "not_done"), ("blood_spot", "tsh", 4, 13.0, {"stage_code": "retest"})), "repeat_due", set()),
    "a confirmed disorder is one, whatever number stands beside it": (
        (("blood_spot", "tsh", 15, 6.0, {"result_code": "confirmed"}), ("blood_spot", "phe", 15, 1.0)), "risk", {"tsh_phe_confirmed"}),
    "and whatever is measured under its treatment": (
        (*spot(2, 30.0), *spot(9, 40.0), ("blood_spot", "tsh", 15, "confirmed"), *spot(60, 3.0)), "risk", {"tsh_high"}),
    "until it is excluded": (
        (*spot(2, 30.0), *spot(9, 40.0), ("blood_spot", "tsh", 15, "confirmed"), ("blood_spot", "tsh", 60, "excluded")), "clear", {"tsh_high"}),
    "the endocrinologist excludes it whatever the number": (
        (*spot(2, 12.0), *spot(9, 11.0), ("blood_spot", "tsh", 15, 9.5, {"result_code": "excluded", "stage_code": "diagnostic"})),
        "clear", {"tsh_high"}),
    "a laboratory does not": ((("blood_spot", "tsh", 2, 85.0, {"result_code": "excluded"}), ("blood_spot", "phe", 2, 1.0)), "repeat_due", set()),
    "another disorder, confirmed, stands whatever follows": (
        (*spot(2, 4.0), ("blood_spot", "46740-7", 9, "confirmed"), ("blood_spot", "46740-7", 40, "in_range")), "risk", {"disorder_confirmed"}),
    "TSH alone does not clear a child": ((("blood_spot", "tsh", 2, 4.0),), None, set()),
    "a transfusion spoils the sample": (spot(2, 4.0, is_transfused=True), "repeat_due", set()),
    "an unsuitable card is sampled again": (spot(2, "unsatisfactory", "unsatisfactory"), "repeat_due", set()),
    "a preliminary number decides nothing yet": (spot(2, 12.0, status_code="preliminary"), None, set()),
    "a number in an unknown unit decides nothing": (
        (("blood_spot", "tsh", 2, 12.0, {"unit": "mg/dL"}), ("blood_spot", "phe", 2, 1.0)), None, set()),
    "another disorder out of range is a risk by the sender's answer": (
        (*spot(2, 4.0), ("blood_spot", "46740-7", 2, "out_of_range")), "risk", {"disorder_out_of_range"}),
    "the overall summary is not heard": (
        (*spot(2, 4.0), ("blood_spot", "57130-7", 2, "out_of_range")), "clear", set()),
    "one disorder borderline while the summary is in range": (
        (*spot(2, 4.0), ("blood_spot", "57130-7", 2, "in_range"), ("blood_spot", "46740-7", 2, "borderline")),
        "repeat_due", set()),
}  # fmt: skip
HEARING = {
    "both ears by both methods is clear": (ears(2), "clear", set()),
    "one ear by one method is a refer": (ears(2, abr_left="refer"), "repeat_due", set()),
    "stage 1 again does not clear a refer": ((*ears(2, abr_left="refer"), *ears(5)), "repeat_due", set()),
    "stage 2 passed in full clears a refer": ((*ears(2, oae_right="refer"), *ears(95)), "clear", set()),
    "a refer at 3 months is a risk": (ears(95, oae_left="refer"), "risk", {"hearing_refer_stage_2"}),
    "the surdologist's confirmation is a risk": (
        (*ears(2, oae_left="refer"), ("hearing", "surdology", 30, "confirmed")), "risk", {"hearing_loss_confirmed"}),
    "the surdologist's exclusion clears stage 1": (
        (*ears(2, oae_left="refer"), ("hearing", "surdology", 30, "excluded")), "clear", set()),
    "a loss confirmed by another than the surdologist is no less than a refer": (
        (*ears(95, "pass", "pass", "pass", "confirmed"),), "risk", {"hearing_refer_stage_2"}),
    "one method alone is not a pass": ((("hearing", "oae_left", 2, "pass"), ("hearing", "oae_right", 2, "pass")), None,
                                       set()),
}  # fmt: skip
DEVELOPMENT = {
    "all means of 2.5 are clear": ((("development", "motor", 200, 2.5), ("development", "overall", 200, 2.9)), "clear", set()),
    "a domain of 1.75 is due again": ((("development", "motor", 200, 1.75),), "repeat_due", set()),
    "a domain under 1.75 is a risk": ((("development", "speech", 200, 1.74),), "risk", {"development_mean_low"}),
    "the overall mean under 1.75 is a risk": ((("development", "overall", 200, 1.5),), "risk", {"development_mean_low"}),
    "a later clear examination changes the verdict, not the flag": (
        (("development", "motor", 200, 1.5), ("development", "motor", 300, 2.8)), "clear", {"development_mean_low"}),
    "a later examination takes back only what it looked at": (
        (("development", "motor", 200, 1.8), ("development", "social", 300, 2.9)), "repeat_due", set()),
    "a risk too": (
        (("development", "motor", 200, 1.5), ("development", "social", 300, 2.9)), "risk", {"development_mean_low"}),
    "a whole one takes back all": (
        (("development", "motor", 200, 1.8), *(("development", name, 300, 2.9) for name in ("sensory", "motor", "social", "speech", "cognitive"))),
        "clear", set()),
    "also one of other names, at another age": (
        (("development", "sensory_speech", 200, 1.8),
         *(("development", name, 500, 2.9) for name in ("sensory", "motor", "social", "speech", "cognitive"))), "clear", set()),
    "so does its overall mean": ((("development", "motor", 200, 1.8), ("development", "overall", 300, 2.9)), "clear", set()),
    "and an answer without means": ((("development", "motor", 200, 1.8), ("development", "scale", 300, "in_range")), "clear", set()),
    "the worst of several that stand decides": (
        (("development", "motor", 200, 1.8), ("development", "social", 200, 1.5), ("development", "motor", 300, 2.9)),
        "risk", {"development_mean_low"}),
    "an examination that was not done takes nothing back": (
        (("development", "motor", 200, 1.5), ("development", "overall", 300, "not_done")), "risk", {"development_mean_low"}),
    "a mean above 3 is impossible and decides nothing": ((("development", "motor", 200, 3.5),), None, set()),
    "a mean below 1 is impossible and decides nothing": ((("development", "motor", 200, 0.5),), None, set()),
    "a mean of 1 is the worst there is": ((("development", "motor", 200, 1.0),), "risk", {"development_mean_low"}),
    "a number of a component that the scale does not have decides nothing": (
        (("development", "xyz_unknown", 200, 1.2),), None, set()),
    "a coded answer of such a component is heard": (
        (("development", "xyz_unknown", 200, "refer"),), "risk", {"development_coded_risk"}),
}  # fmt: skip
OTHERS = {
    "M-CHAT-R of 2 is clear": ((("autism", "mchat_r", 550, 2),), "clear", set()),
    "M-CHAT-R of 3 asks for the interview": ((("autism", "mchat_r", 550, 3),), "repeat_due", set()),
    "M-CHAT-R of 8 is a risk": ((("autism", "mchat_r", 550, 8),), "risk", {"mchat_high"}),
    "an interview of 1 clears 5": ((("autism", "mchat_r", 550, 5), ("autism", "mchat_rf", 550, 1)), "clear", set()),
    "an interview of 2 is a risk": ((("autism", "mchat_r", 550, 5), ("autism", "mchat_rf", 560, 2)), "risk",
                                    {"mchat_interview_positive"}),
    "an interview does not take 9 back": ((("autism", "mchat_r", 550, 9), ("autism", "mchat_rf", 560, 0)), "risk", {"mchat_high"}),
    "nor does a later score": ((("autism", "mchat_r", 550, 9), ("autism", "mchat_r", 760, 1)), "risk", {"mchat_high"}),
    "a corrected score takes 9 back": (
        (("autism", "mchat_r", 550, 9), ("autism", "mchat_r", 550, 1, {"status_code": "corrected"})), "clear", set()),
    "a later score of 2 clears 5": ((("autism", "mchat_r", 550, 5), ("autism", "mchat_r", 760, 2)), "clear", set()),
    "retinopathy found is a risk": ((("eyes", "rop", 28, "refer"),), "risk", {"rop_found"}),
    "no retinopathy is clear": ((("eyes", "rop", 28, "pass"),), "clear", set()),
    "five micro-anomalies go to the geneticist": ((("phenotype", "micro_anomalies", 1, 5),), "repeat_due", set()),
    "a weight is not taken back by a head": ((("phenotype", "weight_z", 60, -2.6), ("phenotype", "head_z", 90, 0.0)), "repeat_due", set()),
    "four micro-anomalies are clear": ((("phenotype", "micro_anomalies", 1, 4),), "clear", set()),
    "a head beyond -2 SD goes to the neurologist": ((("phenotype", "head_z", 60, -2.1),), "repeat_due", set()),
    "a head at -2 SD is clear": ((("phenotype", "head_z", 60, -2.0),), "clear", set()),
}  # fmt: skip
CASES = {**BLOOD_SPOT, **HEARING, **DEVELOPMENT, **OTHERS}


@pytest.mark.parametrize("case", CASES, ids=list(CASES))
def test_order_704_says(case):
    rows, verdict, flags = CASES[case]
    found, raised = judge(*rows)
    assert (found[rows[0][0]], raised) == (verdict, flags)


def test_the_last_day_under_3_flags_and_the_third_birthday_does_not():
    age = (date(2028, 1, 1) - BORN).days
    assert judge(("development", "motor", age - 1, 1.0))[1] == {"development_mean_low"}
    verdict, flags = judge(("development", "motor", age, 1.0))
    assert (verdict["development"], flags) == ("risk", set())


def test_a_corrected_result_takes_the_place_of_the_final_one_of_the_same_sample():
    rows = (*spot(2, 12.0), ("blood_spot", "tsh", 2, 4.0, {"status_code": "corrected"}))
    assert judge(*rows)[0] == {"blood_spot": "clear"}


def test_a_flag_carries_the_results_its_rule_saw_and_what_clears_it():
    flag = assess_risk(draw(*spot(2, 12.0), *spot(12, 11.0)), bear(), PROTOCOLS).flag.row(0, named=True)
    assert (flag["protocol"], flag["age_days"], flag["disorder"]) == ("order-704/2022-11-01", 12, "tsh")
    assert flag["inputs"].count('"component":"tsh"') == 2
    assert "endocrinologist" in describe_rule(PROTOCOLS, flag["rule_code"]).clears["en"]


def test_the_recall_clock_and_the_next_visit_say_when_a_repeat_is_due():
    verdict = assess_risk(draw(*spot(2, 12.0), *ears(2, oae_left="refer")), bear(), PROTOCOLS).verdict
    due = dict(verdict.select("programme", "repeat_due_on").iter_rows())
    assert due == {"blood_spot": BORN + timedelta(days=12), "hearing": date(2025, 4, 1)}


def test_a_recall_is_due_by_the_clock_of_the_first_day_that_asked_and_done_when_each_disorder_it_asked_for_was_examined_again():
    told = {
        name: assess_risk(draw(*rows), bear(), PROTOCOLS).verdict.select("recall_due_on", "recalled_on").row(0)
        for name, rows in {
            "clear": spot(2, 3.0), "never": spot(2, 12.0), "half": (*spot(2, 12.0, 3.0), *spot(9, 3.0)[:1]), "late": (*spot(2, 12.0), *spot(20, 3.0)),
            "again": (*spot(2, 12.0), *spot(9, 12.0), *spot(30, 3.0)),
        }.items()
    }  # fmt: skip
    due, later = BORN + timedelta(days=12), {name: BORN + timedelta(days=age) for name, age in (("late", 20), ("again", 9))}
    assert told == {"clear": (None, None), "never": (due, None), "half": (due, None), **{name: (due, day) for name, day in later.items()}}


def test_the_window_of_a_preterm_child_is_days_7_to_14():
    for age, gestation, is_in in ((2, 39, True), (8, 39, False), (8, 32, True), (2, 32, False), (15, 32, False)):
        verdict = assess_risk(draw(*spot(age, 4.0)), bear(gestation=gestation), PROTOCOLS).verdict
        assert verdict["is_in_window"].to_list() == [is_in], (age, gestation)


@pytest.mark.parametrize(("hours", "is_in"), [(24, False), (25, True), (48, True), (72, True), (73, False), (None, True)])
def test_the_window_of_a_term_child_is_kept_to_the_hour_where_both_moments_are_known(hours, is_in):
    born_at = datetime(2025, 1, 1, 22)
    seen_at = None if hours is None else born_at + timedelta(hours=hours)
    age = 2 if seen_at is None else (seen_at.date() - BORN).days
    birth = bear().with_columns(birth_at=pl.lit(born_at, pl.Datetime("us")))
    verdict = assess_risk(draw(*spot(age, 4.0, examined_at=seen_at)), birth, PROTOCOLS).verdict
    assert verdict["is_in_window"].to_list() == [is_in]


def test_a_high_spot_that_its_retest_took_back_is_no_positive_first_examination():
    retested = (*spot(2, 12.0), ("blood_spot", "tsh", 4, 3.0, {"stage_code": "retest"}))
    found = [assess_risk(draw(*rows), bear(), PROTOCOLS).verdict["is_first_positive"].item() for rows in (retested, spot(2, 12.0))]
    assert found == [False, True]


def test_a_test_that_was_not_done_declined_or_spoiled_is_no_first_examination():
    for rows, first in (
        (ears(2, "not_done", "not_done", "not_done", "not_done"), None),
        ([*ears(2, "not_done", "not_done", "not_done", "not_done"), *ears(40)], 40),
        ([("blood_spot", "tsh", 2, "declined")], None),
        ([("blood_spot", "tsh", 2, "unsatisfactory"), *spot(20, 4.0)], 20),
        (spot(2, 4.0, is_transfused=True), None),
    ):
        verdict = assess_risk(draw(*rows), bear(), PROTOCOLS).verdict
        assert verdict["first_examined_on"].to_list() == [None if first is None else BORN + timedelta(days=first)]
        assert verdict["is_in_window"].to_list() == [None if first is None else False]


def raw():
    return tomllib.loads((FOLDER / "2022-11-01.toml").read_text("utf-8"))


def amend(**bounds):
    """A second redaction from 1 March 2025 on: one new file, other cut-offs."""
    tables = raw()
    for rule in tables["rule"]:
        rule["bound"] = bounds.get(rule["code"], rule.get("bound"))
        if rule["bound"] is None:
            del rule["bound"]
    return (*PROTOCOLS, parse_protocol("order-704/2025-03-01", date(2025, 3, 1), tables))


def test_an_amendment_is_one_new_file_and_judges_only_what_was_examined_since():
    both = amend(mchat_high=10.0, development_mean_low=2.0)
    before = judge(("development", "motor", 20, 1.9), protocols=both)
    since = judge(("development", "motor", 200, 1.9), protocols=both)
    assert before == ({"development": "repeat_due"}, set())
    assert since == ({"development": "risk"}, {"development_mean_low"})


@pytest.mark.parametrize("change", [{"operator": "=="}, {"verdict": "maybe"}, {"clock": "soon"}, {"colour": 1}])
def test_a_protocol_with_anything_outside_the_closed_set_is_refused(change):
    tables = raw()
    tables["rule"][0] |= change
    with pytest.raises(ValueError, match=r".+"):
        parse_protocol("order-704/x", date(2025, 1, 1), tables)


def test_every_rule_names_its_paragraph_and_speaks_three_languages():
    for rule in (rule for redaction in REDACTIONS for rule in redaction.rules):
        assert rule.paragraph
        assert all(rule.text[lang] and rule.clears[lang] for lang in ("kk", "ru", "en"))


ANSWERS = {
    "blood_spot": (["tsh", "phe", "46740-7"], [2.0, 9.5, 20.0, "out_of_range", "in_range", "unsatisfactory"]),
    "hearing": (["oae_left", "oae_right", "abr_left", "abr_right", "surdology"], ["pass", "refer", "not_done", "confirmed", "excluded"]),
    "development": (["motor", "speech", "overall"], [1.0, 1.75, 2.4, 2.9]),
    "autism": (["mchat_r", "mchat_rf"], [0, 1, 5, 12]),
    "eyes": (["rop"], ["pass", "refer"]),
    "phenotype": (["micro_anomalies", "head_z"], [0, 5, -3.0]),
}  # fmt: skip


CHILDREN = tuple(range(1, 13))


@st.composite
def histories(draw_from):
    """Twelve children in one frame: an assessment costs the same for one and for many."""
    frames = [draw()]
    for child in CHILDREN:
        rows = []
        for _ in range(draw_from(st.integers(0, 7))):
            programme = draw_from(st.sampled_from(sorted(ANSWERS)))
            components, answers = ANSWERS[programme]
            stage = draw_from(st.sampled_from([None, "first", "retest", "repeat"])) if programme == "blood_spot" else None
            status = draw_from(st.sampled_from(["final", "final", "preliminary", "corrected", "cancelled"]))
            rows.append((programme, draw_from(st.sampled_from(components)), draw_from(st.integers(0, 1300)),
                         draw_from(st.sampled_from(answers)), {"stage_code": stage, "status_code": status}))  # fmt: skip
        frames.append(draw(*rows, child=child))
    return pl.concat(frames)


def ordered(assessed):
    return assessed.verdict.sort("child_key", "programme"), assessed.flag.sort("flag_id")


@settings(max_examples=15, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_results_and_the_company_of_other_children_change_nothing(screening, chance):
    """One child alone, and the others without it and in another order: the same as all at once."""
    whole = ordered(assess_risk(screening, bear(*CHILDREN), PROTOCOLS))
    one = chance.choice(CHILDREN)
    others = [child for child in CHILDREN if child != one]
    places = list(range(len(screening)))
    chance.shuffle(places)
    parts = [assess_risk(screening[places].filter(pl.col("child_key").is_in(some)), bear(*some), PROTOCOLS) for some in ([one], others)]
    apart = (pl.concat(a.verdict for a in parts).sort("child_key", "programme"), pl.concat(a.flag for a in parts).sort("flag_id"))
    assert all(a.equals(b) for a, b in zip(whole, apart, strict=True))


@settings(max_examples=15, deadline=None)
@given(histories(), st.sampled_from([1.0, 2.9]))
def test_a_later_protocol_never_changes_the_verdict_or_flags_of_what_was_examined_before_it(screening, bound):
    early = screening.filter(pl.col("examined_on") < date(2025, 3, 1))
    both = amend(development_mean_low=bound, tsh_high=bound, mchat_high=1.0)
    for one, other in zip(
        ordered(assess_risk(early, bear(*CHILDREN), PROTOCOLS)), ordered(assess_risk(early, bear(*CHILDREN), both)), strict=True
    ):
        assert one.equals(other)


@cache
def widen():
    """The protocol with a rule more, which calls any motor mean a risk."""
    tables = raw()
    strict = {**tables["rule"][0], "code": "motor_any", "programme": "development", "components": ["motor"], "operator": "<",
              "bound": 9.0, "needs_repeat": False, "clock": "next_visit"}  # fmt: skip
    tables["rule"].append(strict)
    return (parse_protocol("order-704/2022-11-01", date(2022, 11, 1), tables),)


@settings(max_examples=15, deadline=None)
@given(histories())
def test_adding_a_rule_never_removes_a_flag(screening):
    before = assess_risk(screening, bear(*CHILDREN), PROTOCOLS).flag.select("child_key", "disorder")
    after = assess_risk(screening, bear(*CHILDREN), widen()).flag.select("child_key", "disorder")
    assert before.join(after, on=["child_key", "disorder"], how="anti").is_empty()


@settings(max_examples=15, deadline=None)
@given(histories())
def test_a_flag_is_a_risk_under_3_and_a_risk_verdict_under_3_is_flagged(screening):
    assessed = assess_risk(screening, bear(*CHILDREN), PROTOCOLS)
    assert (assessed.flag["examined_on"] < date(2028, 1, 1)).all()
    risk = assessed.verdict.filter((pl.col("verdict") == "risk") & (pl.col("decided_on") < date(2028, 1, 1)))
    unflagged = risk.join(assessed.flag, on=["child_key", "programme"], how="anti")
    assert unflagged.is_empty()


def test_births_without_results_have_no_verdict():
    assessed = assess_risk(draw(), bear(), PROTOCOLS)
    assert (len(assessed.verdict), len(assessed.flag)) == (0, 0)
    assert set(BIRTH) <= set(bear().columns)
