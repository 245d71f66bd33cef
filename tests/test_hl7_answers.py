"""What an OBX says, whatever kind it declares: no result ends silently, and none is read from what may mean something else."""

from datetime import date

import pytest

from tests.test_hl7 import TSH, codes, read, result

UNREAD, UNKNOWN = (None, "answer_unread"), ("result_code", "result_code_unknown")
CONTRADICTORY = {("result_code", "result_code_contradictory"), (None, "result_missing")}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.hl7"


def coded(code, answer, kind="CWE", **more):
    return result(code, answer, kind=kind, **more)


def answers(accepted):
    return accepted.filter(accepted["component"] != "tsh").select("component", "result_code").rows()


@pytest.mark.parametrize("kind", ["TX", "FT", "ST", "CE", "", "NM"])
@pytest.mark.parametrize(
    ("code", "answer", "expected"),
    [
        ("54108-6", "Refer", ("hearing_left", "refer")),
        ("54109-4", "LA10393-9", ("hearing_right", "refer")),
        ("46769-6", "Out of range", ("46769-6", "out_of_range")),
        ("L124^Biotinidase^L", "P^Positive", ("L:L124", "out_of_range")),
        ("L125^Own^L", "Abnormal", ("L:L125", "out_of_range")),
    ],
)
def test_an_answer_that_can_be_read_is_read_whatever_kind_it_says_it_is(path, kind, code, answer, expected):
    accepted, finding, quarantine = read(path, TSH, coded(code, answer, kind, flag="A"))
    assert (answers(accepted), len(finding), len(quarantine)) == ([expected], 0, 0)


@pytest.mark.parametrize("kind", ["TX", "FT", "", "CE"])
def test_a_number_of_a_known_or_an_unknown_analyte_is_read_whatever_kind_it_says_it_is(path, kind):
    accepted, _, _ = read(path, result("29575-8^TSH^LN", "33", "mU/L", kind), result("X7^Own^L", "5.5", "%", kind))
    assert accepted.select("component", "value").rows() == [("tsh", 33.0), ("L:X7", 5.5)]


@pytest.mark.parametrize("flag", ["A", "AA", "H", "N~A", "A^Abnormal^HL70078"])
@pytest.mark.parametrize("kind", ["CWE", "ST", "TX"])
def test_an_unknown_answer_that_its_flag_calls_abnormal_is_refused_with_a_reason(path, flag, kind):
    accepted, finding, quarantine = read(path, TSH, coded("46740-7^CAH^LN", "XX^Something new", kind, flag=flag))
    assert (answers(accepted), codes(finding), len(quarantine)) == ([], {UNKNOWN}, 1)


@pytest.mark.parametrize(
    ("code", "answer", "kind", "flag"),
    [
        ("46740-7^CAH^LN", "XX^Something new", "CWE", ""), ("L9^Report^L", "See the telephone note", "TX", "N"),
        ("PDF^Report^L", "^application^pdf^Base64^JVBERi0xLjQK", "ED", ""), ("PDF^Report^L", "1234^http", "RP", "A"),
        ("57705-6^Thyroid comment^LN", "Abnormal, call us", "FT", "A"), ("L9^Own^L", "", "CWE", "AA"),
        ("54108-6^Left^LN", "^application^pdf^Base64^JVBERi0xLjQK", "ED", ""),
    ],
)  # fmt: skip
def test_what_is_left_unread_is_told_at_its_segment(path, code, answer, kind, flag):
    accepted, finding, quarantine = read(path, TSH, coded(code, answer, kind, flag=flag))
    assert (answers(accepted), len(quarantine)) == ([], 0)
    assert finding.select("row_no", "code", "severity").rows() == [(6, "answer_unread", "warning")]


def test_a_text_of_many_lines_is_told_once_and_each_unread_code_for_itself(path):
    lines = [coded("L9^Report^L", f"line {n}", "TX") for n in "ab"]
    finding = read(path, TSH, *lines, coded("L10^Own^L", "P", "CWE"), coded("L10^Own^L", "Q", "CWE"))[1]
    assert finding["row_no"].to_list() == [6, 8, 9]


def test_a_comment_for_people_is_no_result_and_says_nothing(path):
    accepted, finding, _ = read(path, TSH, coded("57705-6^Hypothyroidism screening comment/discussion^LN", "Normal", "FT"))
    assert (len(accepted), len(finding)) == (1, 0)


def test_a_text_that_should_be_a_known_answer_and_is_none_is_refused(path):
    _, finding, quarantine = read(path, TSH, coded("54108-6^Left^LN", "see the note", "TX"))
    assert (codes(finding), len(quarantine)) == ({UNKNOWN}, 1)


def test_each_condition_of_a_list_is_a_disorder_in_each_repetition(path):
    conditions = coded("57131-5", "LA12532-0^BIO^LN~LA12538-7^CH^LN~LA12538-7^CH^LN~^Own condition")
    accepted, finding, _ = read(path, TSH, conditions)
    assert answers(accepted) == [
        ("57131-5:LA12532-0", "out_of_range"), ("46762-1", "out_of_range"), ("57131-5:Own condition", "out_of_range"),
    ]  # fmt: skip
    assert (len(finding), accepted["source_id"].unique().to_list()) == (0, ["F77"])


@pytest.mark.parametrize("nothing", ["LA137-2^None^LN", "^None", "N^None^L", "", '""', "~", "Нет"])
def test_a_list_that_names_no_condition_gives_no_result(path, nothing):
    accepted, finding, quarantine = read(path, TSH, coded("57131-5", nothing))
    assert (answers(accepted), len(finding), len(quarantine)) == ([], 0, 0)


def test_a_list_longer_than_any_there_is_is_refused_and_not_multiplied(path):
    accepted, finding, quarantine = read(path, TSH, coded("57131-5", "~".join(f"C{n}" for n in range(501))))
    assert (len(accepted), len(quarantine), ("result_code", "message_too_large") in codes(finding)) == (1, 1, True)


@pytest.mark.parametrize("answer", ["Pass~Refer", "LA10392-1^Pass~LA10393-9^Refer", "Pass~see the note", "see the note~Refer"])
@pytest.mark.parametrize("kind", ["CWE", "TX"])
def test_answers_of_one_result_that_contradict_each_other_are_refused(path, answer, kind):
    accepted, finding, quarantine = read(path, TSH, coded("54108-6", answer, kind))
    assert (answers(accepted), codes(finding), len(quarantine)) == ([], CONTRADICTORY, 1)
    assert answers(read(path, TSH, coded("54108-6", "Pass~LA10392-1^Pass~", kind))[0]) == [("hearing_left", "pass")]


def test_numbers_of_one_result_that_contradict_each_other_are_refused(path):
    accepted, finding, quarantine = read(path, result("29575-8", "5~25", "mU/L"))
    assert (len(accepted), codes(finding), len(quarantine)) == (0, CONTRADICTORY, 1)
    assert read(path, result("29575-8", "5~5", "mU/L"))[0]["value"].to_list() == [5.0]


@pytest.mark.parametrize(
    ("answer", "result_code", "told"),
    [
        ("LA12432-3^Acceptable^LN", None, set()), ("Acceptable", None, set()), ("^Satisfactory", None, set()), ("", None, set()),
        ("LA20627-8^Uneven^LN", "unsatisfactory", set()), ("X^Unsatisfactory^L", "unsatisfactory", set()),
        ("LA12432-3~LA20627-8", "unsatisfactory", set()), ("Непригоден", "unsatisfactory", set()),
        ("LA99999-9^New^LN", None, {(None, "specimen_quality_unlisted")}), ("a bit pale", None, {(None, "specimen_quality_unlisted")}),
        ("LA99999-9~LA20627-8", "unsatisfactory", {(None, "specimen_quality_unlisted")}),
    ],
)  # fmt: skip
def test_only_a_listed_answer_on_quality_spoils_a_specimen_and_another_is_told(path, answer, result_code, told):
    accepted, finding, _ = read(path, TSH, coded("57718-9", answer))
    assert (accepted.filter(component="tsh")["result_code"].to_list(), codes(finding)) == ([result_code], told)


@pytest.mark.parametrize(
    ("answer", "is_transfused", "told"),
    [
        ("LA137-2^None^LN~LA12417-4^Transfused^LN", True, set()), ("LA12419-0^NICU^LN~LA12417-4", True, set()),
        ("Transfusion", True, set()), ("LA12419-0^NICU^LN", None, set()), ("None", None, set()),
        ("LA88888-8^New", None, {(None, "infant_factor_unlisted")}),
    ],
)  # fmt: skip
def test_a_transfusion_is_seen_among_all_factors_and_an_unlisted_factor_is_told(path, answer, is_transfused, told):
    accepted, finding, _ = read(path, TSH, coded("57713-0", answer))
    assert accepted["is_transfused"].to_list() == [is_transfused]
    assert codes(finding) - {("is_transfused", "sample_after_transfusion"), (None, "sample_after_transfusion")} == told


@pytest.mark.parametrize(
    ("reasons", "stage", "told"),
    [
        (["LA12421-6"], "first", set()), (["X^Repeat^L"], "repeat", set()), (["LA12425-7~LA16473-3"], "repeat", set()), ([""], None, set()),
        (["XX^Second^L"], None, {("stage_code", "stage_code_unlisted")}),
        (["LA12421-6~LA12425-7"], None, {("stage_code", "stage_code_contradictory")}),
        (["LA12421-6", "LA12425-7"], None, {("stage_code", "stage_code_contradictory")}),
        (["LA12421-6", "XX"], "first", {("stage_code", "stage_code_unlisted")}),
    ],
)  # fmt: skip
def test_an_unknown_or_contradictory_reason_is_told_and_decides_nothing(path, reasons, stage, told):
    accepted, finding, _ = read(path, TSH, *(coded("57721-3", reason) for reason in reasons))
    assert (accepted["stage_code"].to_list(), codes(finding)) == ([stage], told)


@pytest.mark.parametrize(("said", "weeks", "told"), [("38", 38, set()), ("^38", 38, set()), ("38.5", 38, set()), ("", None, set()),
                                                     ("term", None, {("gestation_wk", "gestation_wk_unreadable")})])  # fmt: skip
def test_a_gestation_that_cannot_be_read_is_told(path, said, weeks, told):
    accepted, finding, _ = read(path, TSH, result("57714-8", said, "wk"))
    assert (accepted["gestation_wk"].to_list(), codes(finding)) == ([weeks], told)


def test_a_cancelled_result_is_taken_back_whatever_it_holds(path):
    accepted, _, _ = read(path, coded("54108-6", "Pass~Refer", status="X"), coded("L9^Report^L", "a text", "TX", status="X"), TSH)
    assert accepted.select("component", "status_code").rows() == [("hearing_left", "cancelled"), ("tsh", "final")]
    assert accepted["examined_on"].to_list() == [date(2026, 1, 5)] * 2


@pytest.mark.parametrize(
    ("unit", "expected"), [("mU/L~mIU/L", ("m[IU]/L", set())), ("mU/L~", ("m[IU]/L", set())), ("mU/L~mg/dL", (None, {("unit", "unit_unknown")}))]
)
def test_repeated_units_are_read_where_they_are_one_unit(path, unit, expected):
    accepted, finding, _ = read(path, result("29575-8^TSH^LN", "33", unit))
    assert (accepted["unit"].first() if len(accepted) else None, codes(finding)) == expected
