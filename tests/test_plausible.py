"""What a result can be: numbers that no instrument gives are refused, what cannot be judged is told, ages are completed months."""

from datetime import date, datetime

import polars as pl
import pytest

from pipelines.contracts import RECORDS
from pipelines.intake.judge import judge_records
from pipelines.intake.layout import speak_ours
from pipelines.intake.refusal import list_findings
from pipelines.risk.protocol import load_protocols
from pipelines.settings import PACKAGE
from tests.nation import bear, write_file
from tests.test_chunks import stage

ORDER = load_protocols(PACKAGE / "risk" / "order-704")[0]
BORN, SEEN = date(2024, 2, 1), date(2024, 9, 1)


def judge(programme: str, component: str, value: float | None = None, birth_on: date = BORN, examined_on: date = SEEN, **other):
    """(accepted rows, finding codes) of one result as a reader hands it on."""
    row = {
        "submission_id": "a" * 64, "row_no": 2, "sender_id": "P1", "source_id": "1", "action_code": "report",
        "received_on": date(2028, 1, 1), "maternity_id": "M1", "history_no": "1", "status_code": "final", "programme": programme,
        "component": component, "value": value, "birth_on": birth_on, "examined_on": examined_on,
    } | other  # fmt: skip
    contract = RECORDS["screening"]
    dtypes = {name: column.dtype for name, column in contract.columns().items()}
    judged = judge_records(pl.DataFrame([row], schema=dtypes), list_findings([]), speak_ours("test", "screening"))
    return len(judged.accepted), judged.finding["code"].to_list()


@pytest.mark.parametrize(
    ("programme", "component", "value", "outcome"),
    [
        ("development", "motor", 0.5, (0, ["value_impossible"])),
        ("development", "overall", 3.5, (0, ["value_impossible"])),
        ("development", "motor", 1.0, (1, [])),
        ("development", "social", 3.0, (1, [])),
        ("development", "gross_motor", 60.0, (1, [])),  # another instrument
        ("development", "xyz_unknown", 0.5, (1, ["component_unlisted"])),
        ("phenotype", "head", 50.0, (1, ["value_without_z_score"])),
        ("blood_spot", "tsh", 50.0, (1, [])),
        ("blood_spot", "tsh", 1000.0, (1, [])),
        ("blood_spot", "tsh", 99_999.0, (1, ["value_unlikely"])),
        ("blood_spot", "phe", 127.0, (1, ["value_unlikely"])),  # umol/L said to be mg/dL
        ("hearing", "phe", 127.0, (1, ["component_unlisted"])),
        ("blood_spot", "TSH", 50.0, (1, ["component_unlisted"])),
        ("blood_spot", "ttg", 50.0, (1, ["component_unlisted"])),
        ("blood_spot", "29575-8", 50.0, (1, ["component_unlisted"])),  # where a reader did not take it for tsh
        ("blood_spot", "L:X", 50.0, (1, ["component_unlisted"])),
        ("blood_spot", "38473-5", 50.0, (1, [])),  # a further analyte of the panel
        ("hearing", "tsh", 50.0, (1, ["component_unlisted"])),
        ("eyes", "eye_left", 2.0, (1, ["component_unlisted"])),
        ("phenotype", "head_z", -2.1, (1, [])),
        ("phenotype", "micro_anomalies", 3.0, (1, [])),
    ],
)
def test_a_number_that_no_instrument_gives_is_refused_and_one_that_nobody_can_judge_is_told(programme, component, value, outcome):
    assert judge(programme, component, value) == outcome


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"examined_at": datetime(2024, 9, 1, 8)}, []), ({"examined_at": datetime(2024, 9, 2)}, ["examined_at_of_another_day"]),
        ({"reported_on": SEEN}, []), ({"reported_on": date(2024, 8, 31)}, ["reported_before_examined"]),
    ],
)  # fmt: skip
def test_days_of_one_result_that_disagree_are_told(said, told):
    assert judge("hearing", "oae_left", examined_on=SEEN, result_code="pass", **said) == (1, told)


def test_a_score_of_25_is_no_score_of_the_m_chat_r():
    at_18_months = date(2025, 8, 1)
    assert judge("autism", "mchat_r", 25.0, examined_on=at_18_months) == (0, ["value_impossible"])
    assert judge("autism", "mchat_r", 20.0, examined_on=at_18_months) == (1, [])


def test_an_impossible_number_may_be_withdrawn_and_an_answer_without_a_number_is_heard():
    assert judge("development", "motor", 0.5, action_code="cancel") == (1, [])
    assert judge("development", "development", None, result_code="refer") == (1, [])
    assert judge("hearing", "abr_left", 35.0, result_code="refer") == (1, [])


@pytest.mark.parametrize(
    ("birth_on", "examined_on", "is_outside"),
    [
        (date(2024, 2, 1), date(2025, 6, 1), False),  # the day of 16 months
        (date(2024, 2, 1), date(2025, 5, 31), True),
        (date(2024, 2, 1), date(2026, 8, 31), False),  # the last day of 30 months
        (date(2024, 2, 1), date(2026, 9, 1), True),  # the day of 31 months
        (date(2023, 1, 31), date(2025, 8, 30), False),
        (date(2023, 1, 31), date(2025, 8, 31), True),
    ],
)
def test_the_window_of_the_m_chat_r_is_counted_in_completed_months(birth_on, examined_on, is_outside):
    assert judge("autism", "mchat_r", 1.0, birth_on, examined_on) == (1, ["age_at_mchat_outside_window"] * is_outside)


@pytest.mark.parametrize(
    ("birth_on", "third_birthday"),
    [(date(2020, 3, 1), date(2023, 3, 1)), (date(2024, 2, 1), date(2027, 2, 1)), (date(2024, 2, 29), date(2027, 2, 28))],
)
def test_the_third_birthday_itself_is_told_as_over_3_and_the_day_before_is_not(birth_on, third_birthday):
    before = date.fromordinal(third_birthday.toordinal() - 1)
    assert judge("development", "motor", 2.0, birth_on, third_birthday) == (1, ["child_over_3"])
    assert judge("development", "motor", 2.0, birth_on, before) == (1, [])


def test_what_is_impossible_at_the_front_door_decides_nothing_in_the_protocol_either():
    for name, components, limits in (("development", {"motor", "overall"}, (1.0, 3.0)), ("autism", {"mchat_r", "mchat_rf"}, (0.0, 20.0))):
        (measure,) = ORDER.programmes[name].measures
        assert components <= set(measure.components)
        assert (measure.lowest, measure.highest) == limits


def test_a_residence_in_no_region_of_today_is_told_and_taken(tmp_path):
    births = [bear(number, residence_kato=kato) for number, kato in ((2, "751010000"), (3, "511610000"), (4, "991010000"), (5, ""))]
    finding, _, accepted, refused = stage(write_file(tmp_path / "a.csv", births), tmp_path, 10)
    assert {row[:3] for row in finding if row[0]} == {(row_no, "residence_kato", "residence_kato_unlisted") for row_no in (3, 4)}
    assert (accepted, refused) == ([2, 3, 4, 5], [])
