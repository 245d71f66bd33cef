"""What a field of HL7 v2 means where it says less than it could, or more than one thing."""

import pytest

from pipelines.intake.feedback import tell_finding
from pipelines.intake.fhir.values import read_moment
from pipelines.intake.hl7.fields import read_time
from tests.test_hl7 import CHILD, HEAD, ORDER, TSH, codes, judge, result

REPORTED = "20260107090000"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.hl7"


def judge_lines(path, *lines):
    path.write_text("\r".join([*lines, ""]))
    return judge(path)


# ------------------------------------------------------------------------------------------------------------- times


@pytest.mark.parametrize(
    ("reported", "sent", "issued"),
    [
        ("20260113", "20260121080000", "2026-01-13 00:00:00"), ("20260113", "20260113080000", "2026-01-13 08:00:00"),
        ("20260113", "", "2026-01-13 00:00:00"), ("", "20260121", "2026-01-21 00:00:00"), ("202601", "20260121", "2026-01-21 00:00:00"),
    ],
)  # fmt: skip
def test_a_report_of_a_day_was_issued_on_that_day_however_late_it_is_sent(path, reported, sent, issued):
    accepted, _, _ = judge_lines(path, HEAD.replace("20260108100000", sent), CHILD, ORDER.replace(REPORTED, reported), TSH)
    assert [str(at) for at in accepted["issued_at"]] == [issued]


def test_a_report_of_an_earlier_day_that_comes_a_night_later_is_older_than_the_correction_of_it(path):
    first = judge_lines(path, HEAD.replace("20260108", "20260121"), CHILD, ORDER.replace(REPORTED, "20260113"), TSH)[0]
    corrected = judge_lines(path, HEAD.replace("20260108", "20260120"), CHILD, ORDER.replace(REPORTED, "20260120"), TSH.replace("|F|", "|C|"))[0]
    assert first["issued_at"].item() < corrected["issued_at"].item()


@pytest.mark.parametrize(
    ("said", "day"),
    [
        ("20240115000000+0600", "2024-01-15"), ("20240115000000+0500", "2024-01-15"), ("20260103003000+0600", "2026-01-03"),
        ("20260102193000+0000", "2026-01-03"), ("20240114183000+0000", "2024-01-15"), ("20260103", "2026-01-03"),
    ],
)  # fmt: skip
def test_a_child_is_born_on_the_day_that_the_clock_of_its_place_showed(path, said, day):
    accepted, _, _ = judge_lines(path, HEAD, CHILD.replace("20260103080000", said), ORDER, TSH)
    assert [str(on) for on in accepted["birth_on"]] == [day]


@pytest.mark.parametrize(
    ("hl7", "fhir", "local"),
    [
        ("20240229003000+0600", "2024-02-29T00:30:00+06:00", "2024-02-29T00:30:00"),
        ("20240229003000+0500", "2024-02-29T00:30:00+05:00", "2024-02-29T00:30:00"),
        ("20240229003000+0000", "2024-02-29T00:30:00Z", "2024-02-29T06:30:00"),
        ("20240229180000+0000", "2024-02-29T18:00:00Z", "2024-02-29T23:00:00"),
        ("20240301003000+0600", "2024-03-01T00:30:00+06:00", "2024-02-29T23:30:00"),
        ("20240301003000+0500", "2024-03-01T00:30:00+05:00", "2024-03-01T00:30:00"),
    ],
)
def test_the_clocks_of_almaty_were_an_hour_further_until_march_2024_in_both_formats(hl7, fhir, local):
    assert (read_time(hl7), read_moment(fhir)) == ((local[:10], local), (local[:10], local))


# ----------------------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("LA10392-1^Pass^LN^R^Refer^L", None), ("LA10392-1^Refer^LN", None), ("LA18593-6^Out of range^LN^^Normal", None),
        ("LA12430-7^Borderline^LN^N^Normal^L", None), ("LA16205-9^Unsatisfactory^LN^^Normal", None),
        ("LA10392-1^Pass^LN^N^Normal^L", "pass"), ("LA10393-9^Refer^LN^A^Abnormal^L", "refer"),
        ("LA12431-5^Pending^LN", "inconclusive"), ("LA10392-1^Passed with left ear^LN^PS^see remarks^L", "pass"),
    ],
)  # fmt: skip
def test_an_answer_that_contradicts_itself_is_refused_and_a_text_that_is_not_known_says_nothing(path, answer, expected):
    accepted, finding, quarantine = judge_lines(path, HEAD, CHILD, ORDER, result("54108-6^Left^LN", answer, kind="CWE"))
    assert accepted["result_code"].to_list() == ([expected] if expected else [])
    assert ("result_code_contradictory" in {code for _, code in codes(finding)}, len(quarantine)) == (expected is None, expected is None)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("29575-8^TSH^LN^29573-3^Phe^LN", None), ("54108-6^Left^LN^54109-4^Right^LN", None), ("TSH^TSH^L^29573-3^Phe^LN", None),
        ("29575-8^TSH^LN^TSH^TSH^L", "tsh"), ("X7^Own^L^29575-8^TSH^LN", "tsh"),
    ],
)  # fmt: skip
def test_of_two_analytes_in_one_code_neither_is_surely_meant(path, code, expected):
    accepted, finding, quarantine = judge_lines(path, HEAD, CHILD, ORDER, result(code, "3.5", "m[IU]/L"))
    assert accepted["component"].to_list() == ([expected] if expected else [])
    assert (("component", "component_unknown") in codes(finding), len(quarantine)) == (expected is None, expected is None)


# ------------------------------------------------------------------------------------------------------- identifiers


@pytest.mark.parametrize(
    ("said", "known_by"),
    [
        ("55~77^^^M1^MR", ("77", "M1")), ("55^^^LAB^PI~77^^^M1^MR", ("77", "M1")), ("55~77^^^M1^PI", ("77", "M1")),
        ("77^^^M1^MR~55^^^LAB^PI", ("77", "M1")), ("55^^^LAB^XX~77^^^M1", ("77", "M1")), ("77^^^M1^mrn~88^^^M2^MR", ("77", "M1")),
    ],
)  # fmt: skip
def test_a_child_is_known_by_the_number_of_its_history_before_any_number_of_another_kind(path, said, known_by):
    accepted, _, _ = judge_lines(path, HEAD, CHILD.replace("H7^^^MAT1^MR", said), ORDER, TSH)
    assert accepted.select("history_no", "maternity_id").rows() == [known_by]


# ---------------------------------------------------------------------------------------- character sets, units, kinds


@pytest.mark.parametrize("declared", ["ASCII~8859/5", "~8859/5", "8859/5", "ASCII~ISO IR 144"])
def test_a_character_set_beside_the_default_one_is_that_of_the_message(path, declared):
    head = f"{HEAD}||||||{declared}"
    path.write_bytes("\r".join([head, CHILD.replace("GIRL A", "ДЕВОЧКА"), ORDER, TSH, ""]).encode("iso8859_5"))
    accepted, finding, _ = judge(path)
    assert (accepted["given_name"].to_list(), len(finding)) == (["ДЕВОЧКА"], 0)


@pytest.mark.parametrize(("said", "unit", "weeks"), [("273", "d", 39), ("39", "wk", 39), ("39.9", "", 39), ("279", "d^day^UCUM", 39)])
def test_a_gestation_in_days_is_that_many_whole_weeks(path, said, unit, weeks):
    accepted, finding, _ = judge_lines(path, HEAD, CHILD, ORDER, TSH, result("57714-8^Gestation^LN", said, unit))
    assert (accepted["gestation_wk"].to_list(), len(finding)) == ([weeks], 0)


@pytest.mark.parametrize("kind", ["OUL^R22^OUL_R22", "^^ORU_R01"])
def test_a_message_of_results_under_another_name_is_told_the_name_to_send_it_under(path, kind):
    _, finding, _ = judge_lines(path, HEAD.replace("ORU^R01^ORU_R01", kind), CHILD, ORDER, TSH)
    assert codes(finding) == {(None, "message_not_result")}
    assert all("ORU^R01^ORU_R01" in text for text in tell_finding("message_not_result", None, {}).values())
