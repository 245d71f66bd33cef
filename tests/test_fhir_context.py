"""What an Observation tells of all results of its child in FHIR: what is listed counts, what is not decides nothing and is told."""

import json

import pytest

from pipelines.intake.fhir.people import read_tables
from pipelines.intake.hl7 import read_tables as read_hl7_tables
from tests.test_fhir import bundle, coded, codes, judge, lines, listing, patient, seen
from tests.test_fhir import report as task

QUALITY, FACTORS, REASON, CARD, GESTATION, WEIGHT, PLURALITY = "57718-9", "57713-0", "57721-3", "57723-9", "57714-8", "8339-4", "57722-1"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.json"


def tell(code, answer=None, number="t1", **other):
    """An Observation that tells of other results: an answer by code, a text, or any value[x]."""
    said = {} if answer is None else {"valueString": answer} if isinstance(answer, str) else {"valueCodeableConcept": answer}
    return seen(code, number, valueQuantity=None, **said | other)


def of_tsh(read, column):
    return [row[column] for row in read["screening"] if row["component"] == "tsh"]


def born(**other):
    return patient(managingOrganization={"identifier": {"value": "MAT1"}}, multipleBirthInteger=1, **other)


@pytest.mark.parametrize(
    ("answer", "results", "told"),
    [
        (coded("LA12432-3"), {None}, set()), ("Acceptable", {None}, set()), (None, {None}, set()),
        (coded("X", "urn:l", text="Пригоден"), {None}, set()),
        (coded("LA20627-8"), {"unsatisfactory"}, set()), ("жарамсыз", {"unsatisfactory"}, set()), ("Unsatisfactory ", {"unsatisfactory"}, set()),
        ({"coding": [{"code": "Q7", "display": "Insufficient"}]}, {"unsatisfactory"}, set()),
        (coded("LA99999-9"), {None}, {"specimen_quality_unlisted"}), ("a bit pale", {None}, {"specimen_quality_unlisted"}),
    ],
)  # fmt: skip
def test_only_a_listed_answer_on_quality_spoils_a_specimen_and_another_is_told(path, answer, results, told):
    read = lines(path, patient(), seen(), tell(QUALITY, answer))
    assert (set(of_tsh(read, "result_code")), codes(read, 3), codes(read, 2)) == (results, told, set())


@pytest.mark.parametrize(
    ("answer", "is_transfused", "told"),
    [
        (coded("LA12417-4"), True, set()), ("Transfusion", True, set()), (coded("LA12419-0"), None, set()), (coded("LA137-2"), None, set()),
        ("None", None, set()), (coded("LA88888-8"), None, {"infant_factor_unlisted"}), ("steroids", None, {"infant_factor_unlisted"}),
    ],
)  # fmt: skip
def test_a_transfusion_is_seen_and_an_unlisted_factor_is_told(path, answer, is_transfused, told):
    read = lines(path, patient(), seen(), tell(FACTORS, answer))
    assert (of_tsh(read, "is_transfused"), codes(read, 3)) == ([is_transfused], told)


def test_a_factor_said_by_a_value_of_another_kind_is_told(path):
    read = lines(path, patient(), seen(), tell(FACTORS, valueBoolean=True), tell(QUALITY, number="t2", valueInteger=3))
    assert (of_tsh(read, "is_transfused"), codes(read, 3), codes(read, 4)) == ([None], {"infant_factor_unlisted"}, {"specimen_quality_unlisted"})
    silent = {"dataAbsentReason": coded("unknown")}
    assert codes(lines(path, patient(), seen(), tell(FACTORS, **silent), tell(QUALITY, number="t2", **silent))) == set()


@pytest.mark.parametrize(("answer", "stage", "told"), [(coded("LA12421-6"), "first", set()), (coded("X", "urn:l", text="Повтор"), "repeat", set()),
                                                       ("curiosity", None, {"stage_code_unlisted"})])  # fmt: skip
def test_an_unlisted_reason_of_a_test_is_told(path, answer, stage, told):
    read = lines(path, patient(), seen(), tell(REASON, answer))
    assert (of_tsh(read, "stage_code"), codes(read)) == ([stage], told)


def test_what_hl7_and_fhir_both_say_lies_in_one_table():
    ours, theirs = read_tables(), read_hl7_tables()
    for name in ("quality", "factor", "stages", "nothing", "context"):
        assert ours[name] is theirs[name]
    assert "factors" not in theirs


def test_what_is_told_in_a_component_is_told_of_the_results_beside_it(path):
    def part(code, **value):
        return {"code": coded(code), **value}

    card = [part("29575-8", valueQuantity={"value": 4, "code": "m[IU]/L"}), part(QUALITY, valueCodeableConcept=coded("LA20627-8")),
            part(FACTORS, valueCodeableConcept=coded("LA12417-4")), part(REASON, valueString="?")]  # fmt: skip
    read = lines(path, patient(), seen("57128-1", valueQuantity=None, component=card))
    assert [(r["component"], r["value"], r["result_code"], r["is_transfused"]) for r in read["screening"]] == [
        ("tsh", 4, "unsatisfactory", True), ("phe", None, "unsatisfactory", True),
    ]  # fmt: skip
    assert codes(read) == {"stage_code_unlisted", "sample_after_transfusion"}


@pytest.mark.parametrize("child", ["Patient/p1", "#p9", None])
@pytest.mark.parametrize("order", [1, -1])
def test_what_is_told_inside_a_report_is_told_of_the_results_inside_it_and_of_no_other_child(path, child, order):
    inside = [seen(number="o1"), tell(FACTORS, coded("LA12417-4")), tell(REASON, coded("LA12422-4"), number="t2")]
    inside = [{k: v for k, v in r.items() if k != "subject"} | ({"subject": {"reference": child}} if child else {}) for r in inside]
    another = [seen(number="o", subject={"reference": "#p9"}), patient("p9", birthDate="2026-01-02")]
    other = listing("#o", identifier=[{"value": "ORDER-2"}], contained=another)
    read = lines(path, patient(), other, listing("#o1", contained=[*inside[::order], patient("p9")]), seen(number="beside"))
    rows = {(row["row_no"]): (row["is_transfused"], row["stage_code"]) for row in read["screening"]}
    told = (True, "repeat")
    assert rows == {2: (None, None), 3: told, 4: (None, None) if child == "#p9" else told}


def test_results_that_stand_inside_a_panel_are_results(path):
    ears = [seen(code, number, valueQuantity=None, valueCodeableConcept=coded("LA10392-1"), subject=None)
            for code, number in (("54108-6", "l"), ("54109-4", "r"))]  # fmt: skip
    panel = seen("54111-0x", "panel", valueQuantity=None, hasMember=[{"reference": "#l"}, {"reference": "#r"}], contained=ears)
    for read in (lines(path, patient(), panel), bundle(path, patient(), panel)):
        assert [(r["row_no"], r["component"], r["source_id"], r["history_no"]) for r in read["screening"]] == [
            (2, "hearing_left", "panel", "H-p1"), (2, "hearing_right", "panel", "H-p1"),
        ]  # fmt: skip
        assert codes(read) == set()


@pytest.mark.parametrize("status", ["entered-in-error", "cancelled"])
def test_what_was_taken_back_is_told_of_nothing(path, status):
    back = {"status": status}
    read = lines(path, patient(), seen(), tell(FACTORS, coded("LA12417-4"), **back), tell(QUALITY, coded("LA20627-8"), number="t2", **back))
    assert [(r["row_no"], r["result_code"], r["is_transfused"]) for r in read["screening"] if r["status_code"] != "cancelled"] == [(2, None, None)]


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_things_told_of_one_result_neither_is_taken_and_both_are_told(path, order):
    weeks = [seen(GESTATION, f"g{n}", valueQuantity={"value": n, "unit": "wk"}) for n in (32, 39)]
    reasons = [tell(REASON, coded(code), number=code) for code in ("LA12421-6", "LA12422-4")]
    read = lines(path, patient(), seen(), *weeks[::order], *reasons[::order])
    assert (of_tsh(read, "gestation_wk"), of_tsh(read, "stage_code")) == ([None], [None])
    assert [codes(read, number) for number in range(2, 7)] == [set(), *[{"gestation_wk_contradictory"}] * 2, *[{"stage_code_contradictory"}] * 2]
    same = lines(path, patient(), seen(), weeks[0], weeks[0] | {"id": "again"})
    assert (of_tsh(same, "gestation_wk"), codes(same)) == ([32], set())


@pytest.mark.parametrize(
    ("code", "value", "column", "expected", "told"),
    [
        (WEIGHT, {"valueQuantity": {"value": 3.25, "code": "kg"}}, "birth_weight_g", 3250, set()),
        (WEIGHT, {"valueQuantity": {"value": 3250.9, "unit": "Grams"}}, "birth_weight_g", 3250, set()),
        (WEIGHT, {"valueQuantity": {"value": 7, "code": "[lb_av]"}}, "birth_weight_g", None, {"birth_weight_g_unreadable"}),
        (WEIGHT, {"valueString": "20230603045000"}, "birth_weight_g", None, {"birth_weight_g_implausible"}),
        (WEIGHT, {"valueString": "big"}, "birth_weight_g", None, {"birth_weight_g_unreadable"}),
        (WEIGHT, {"dataAbsentReason": coded("unknown")}, "birth_weight_g", None, set()),
        (GESTATION, {"valueQuantity": {"value": 273, "code": "d"}}, "gestation_wk", 39, set()),
        (GESTATION, {"valueQuantity": {"value": 39.9, "unit": "weeks"}}, "gestation_wk", 39, set()),
        (PLURALITY, {"valueInteger": 2}, "plurality", 2, set()), (PLURALITY, {"valueCodeableConcept": coded("LA12412-5")}, "plurality", 2, set()),
        (PLURALITY, {"valueCodeableConcept": coded("LA6112-2")}, "plurality", 1, set()),
        (PLURALITY, {"valueCodeableConcept": coded("LA77777-7")}, "plurality", None, {"plurality_unreadable"}),
    ],
)  # fmt: skip
def test_what_is_told_of_a_birth_is_read_in_its_unit_or_told(path, code, value, column, expected, told):
    read = lines(path, born(), seen(code, "t1", **{"valueQuantity": None, **value}))
    assert codes(read) == told
    assert [row[column] for row in read["birth"]] == ([] if "birth_weight_g_implausible" in told else [expected])


def test_a_card_number_may_be_a_number(path):
    assert of_tsh(lines(path, patient(), seen(), tell(CARD, valueInteger=712)), "card_no") == ["712"]


def test_findings_of_lines_that_gave_no_row_are_told_though_no_line_near_them_gave_one(path, monkeypatch):
    monkeypatch.setattr("pipelines.intake.fhir.source._LINES", 1)
    odd = patient() | {"name": "NAME"}
    read = lines(path, odd, tell(QUALITY, "a bit pale"), task())
    assert (codes(read, 1), codes(read, 2), len(read["pmpc_report"])) == ({"part_malformed"}, {"specimen_quality_unlisted"}, 1)
    path.write_text("\n".join(map(json.dumps, [task(), tell(QUALITY, "a bit pale")])))
    assert codes(judge(path), 2) == {"specimen_quality_unlisted"}
