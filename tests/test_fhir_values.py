"""What an Observation of FHIR says of a value that is absent, or whose unit is told twice."""

import tomllib
from pathlib import Path

import pytest

from pipelines.contracts import RESULTS
from pipelines.intake.feedback import LANGUAGES, tell_finding
from pipelines.intake.fhir.people import read_tables
from tests.test_fhir import coded, codes, lines, patient, seen

ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
VALUE_SET = {
    "unknown": None, "asked-unknown": None, "temp-unknown": "pending", "not-asked": "not_done", "asked-declined": "declined", "masked": None,
    "not-applicable": "not_done", "unsupported": None, "as-text": None, "error": "inconclusive", "not-a-number": "inconclusive",
    "negative-infinity": "inconclusive", "positive-infinity": "inconclusive", "not-performed": "not_done", "not-permitted": None,
}  # fmt: skip


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.ndjson"


@pytest.mark.parametrize("code", VALUE_SET)
def test_every_reason_of_an_absence_is_read_as_what_it_means(path, code):
    read = lines(path, patient(), seen(valueQuantity=None, dataAbsentReason=coded(code, ABSENT)))
    expected = VALUE_SET[code]
    assert [r["result_code"] for r in read["screening"]] == ([expected] if expected else [])
    assert codes(read) == (set() if expected else {"result_absent"})


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ({"text": "Not performed"}, "not_done"), ({"text": "отказ"}, "declined"), ({"coding": [{"display": "Unsatisfactory"}]}, "unsatisfactory"),
        (coded("NASK", "http://terminology.hl7.org/CodeSystem/v3-NullFlavor"), "not_done"), (coded("as-text", ABSENT, text="declined"), "declined"),
        (coded("183948000", "http://snomed.info/sct"), "declined"), ({"text": "the machine was busy"}, None), ({}, None),
        ({"text": "normal"}, None),
    ],
)  # fmt: skip
def test_a_reason_in_words_or_in_another_vocabulary_is_read_too(path, reason, expected):
    read = lines(path, patient(), seen("54108-6", valueQuantity=None, dataAbsentReason=reason))
    assert [r["result_code"] for r in read["screening"]] == ([expected] if expected else [])


def test_an_absence_that_tells_no_outcome_is_awaited_in_a_preliminary_result_and_nothing_in_a_cancelled_one(path):
    for status, expected in (("preliminary", "pending"), ("cancelled", None)):
        (row,) = lines(path, patient(), seen(status=status, valueQuantity=None, dataAbsentReason=coded("unknown", ABSENT)))["screening"]
        assert row["result_code"] == expected


def test_reasons_of_absence_are_results_of_the_contract():
    tables = read_tables()
    assert {*tables["absent"].values(), *tables["absent_words"].values()} <= {*RESULTS, "none"}


@pytest.mark.parametrize(
    ("code", "unit", "expected"),
    [
        ("mg/dL", "umol/L", {"units_disagree"}), ("umol/L", "мг/дл", {"units_disagree"}), ("mg/dL", "мг / дл", set()), ("umol/L", "µmol/L", set()),
        ("mg/dL", "milligrams", set()), ("mg/dL", None, set()), (None, "мг/дл", set()),
    ],
)  # fmt: skip
def test_a_number_in_two_units_is_refused(path, code, unit, expected):
    said = {name: text for name, text in (("code", code), ("unit", unit)) if text}
    read = lines(path, patient(), seen("29573-3", valueQuantity={"value": 2, **said}))
    assert (codes(read), len(read["screening"])) == (expected, 0 if expected else 1)


@pytest.mark.parametrize(
    "beside",
    [{"dataAbsentReason": coded("error", ABSENT)}, {"valueCodeableConcept": coded("LA10392-1", "http://loinc.org")}, {"valueInteger": 3},
     {"valueRange": {"low": {"value": 1}}}, {"valueString": "3.5"}],
    ids=["reason_of_absence", "answer", "whole_number", "range", "text"],
)  # fmt: skip
def test_a_result_that_gives_two_values_is_refused(path, beside):
    assert codes(lines(path, patient(), seen(**beside))) == {"values_contradict"}


def test_a_code_that_means_two_analytes_is_neither(path):
    both = {"coding": [{"system": "http://loinc.org", "code": code} for code in ("29575-8", "29573-3")]}
    assert codes(lines(path, patient(), seen(code=both))) == {"component_unknown"}
    twice = {"coding": [{"system": "http://loinc.org", "code": "29575-8"}, {"system": "urn:lab", "code": "TSH"}]}
    assert [r["component"] for r in lines(path, patient(), seen(code=twice))["screening"]] == ["tsh"]


def test_what_a_sender_of_fhir_is_told_names_the_element_of_fhir():
    read = tomllib.loads((Path(__file__).parents[1] / "pipelines" / "intake" / "messages.toml").read_text("utf-8"))
    for code in ("value_not_numeric", "flag_disagrees"):
        assert all("FHIR: " in tell_finding(code, "value", {})[language] for language in LANGUAGES)
    of_hl7_alone = {"status_disagrees", "message_without_results", "message_withdraws_nothing", "message_not_result", "answer_unread",
                        "message_header_malformed", "message_encoding_unknown",
                        "message_not_production", "processing_not_production", "observed_on_unreadable"}  # fmt: skip
    named = {code for code, texts in read["code"].items() if any(mark in texts["en"] for mark in ("OBX", "OBR", "MSH", "PID-"))}
    assert {code for code in named if "FHIR" not in read["code"][code]["en"]} <= of_hl7_alone


SNOMED = "http://snomed.info/sct"
PASS, REFER = {"system": "http://loinc.org", "code": "LA10392-1"}, {"system": SNOMED, "code": "183924009"}


@pytest.mark.parametrize(
    ("concept", "expected"),
    [
        ({"coding": [PASS, REFER]}, None), ({"coding": [PASS], "text": "Refer"}, None), ({"coding": [PASS | {"display": "Refer"}]}, None),
        ({"coding": [{"system": "urn:erte:result", "code": "refer"}, PASS]}, None),
        ({"coding": [PASS | {"display": "Pass"}], "text": "Normal"}, "pass"), ({"coding": [PASS], "text": "see remarks"}, "pass"),
    ],
)  # fmt: skip
def test_an_answer_that_contradicts_itself_is_refused_and_a_text_that_is_not_known_says_nothing(path, concept, expected):
    read = lines(path, patient(), seen("54108-6", valueQuantity=None, valueCodeableConcept=concept))
    assert [r["result_code"] for r in read["screening"]] == ([expected] if expected else [])
    assert ("result_code_contradictory" in codes(read, 2)) == (expected is None)


@pytest.mark.parametrize("number", [True, False])
def test_an_interpretation_that_contradicts_itself_says_nothing_of_a_number_and_is_none_without_one(path, number):
    said = [{"coding": [{"code": "LA12428-1", "display": "Abnormal"}]}]
    read = lines(path, patient(), seen(interpretation=said, **({} if number else {"valueQuantity": None})))
    assert [(r["value"], r["result_code"]) for r in read["screening"]] == ([(3.5, None)] if number else [])
    assert "result_code_contradictory" in codes(read, 2)
