"""Who the results of an HL7 v2 message are of: one child, its mother, or several; nothing of one is put on another."""

import pytest

from tests.test_hl7 import CHILD, HEAD, MOTHER, ORDER, TSH, codes, judge


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.hl7"


NAMELESS = "PID|1||||BABY^GIRL||20260103080000|F"
SECOND = ORDER.replace("F77", "F78")
REFUSED = {(None, "message_patient_repeated")}


def mother(family, iin="", relation="MTH"):
    return f"NK1|1|{family}^NAME|{relation}{'|' * 30}{iin}^^^KZ^NI"


def read(path, *segments):
    path.write_text("\r".join([HEAD, *segments, ""]))
    return judge(path)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (NAMELESS, NAMELESS.replace("GIRL", "BOY")),
        (NAMELESS, NAMELESS.replace("BABY", "OTHER")),
        (NAMELESS, NAMELESS.replace("20260103", "20260102")),
        (NAMELESS, NAMELESS.replace("080000", "080500")),
        (NAMELESS, NAMELESS.replace("|F", "|M")),
        (NAMELESS + "|" * 13 + "MR1", NAMELESS + "|" * 13 + "MR2"),
        ("PID|1||H7^^^MAT1^MR||BABY^GIRL A||20260103|F", "PID|2||H7^^^MAT1^MR||BABY^GIRL B||20260103|F"),
    ],
)
def test_two_children_that_one_number_or_none_tells_apart_are_refused_and_not_mixed(path, first, second):
    accepted, finding, quarantine = read(path, first, mother("A", "250314500108"), ORDER, TSH, second, SECOND, TSH)
    assert (len(accepted), codes(finding), quarantine["row_no"].to_list()) == (0, REFUSED, [1])


@pytest.mark.parametrize("is_before", [True, False])
def test_two_mothers_of_what_seems_one_child_are_two_children(path, is_before):
    one, other = mother("A", "250314500108"), mother("B", "250314500010")
    again = [other, NAMELESS] if is_before else [NAMELESS, other]
    assert codes(read(path, NAMELESS, one, ORDER, TSH, *again, SECOND, TSH)[1]) == REFUSED
    assert codes(read(path, NAMELESS, mother("A"), ORDER, TSH, mother("B"), SECOND, TSH)[1]) == REFUSED


@pytest.mark.parametrize(
    "again",
    [
        [NAMELESS], [NAMELESS.replace("PID|1", "PID|2")], [NAMELESS.replace("080000", "")], [NAMELESS.replace("BABY^GIRL", "baby^girl")],
        [NAMELESS, mother("A", "250314500108")], [mother("a", "250314500108"), NAMELESS], [NAMELESS, mother("A")],
        [NAMELESS, mother("GRAND", relation="GRM")], ["PID|2||||||20260103|"],
    ],
)  # fmt: skip
def test_a_child_told_again_with_nothing_that_differs_is_one_child(path, again):
    accepted, finding, _ = read(path, NAMELESS, mother("A", "250314500108"), ORDER, TSH, *again, SECOND, TSH)
    assert accepted.select("source_id", "mother_iin", "given_name").rows() == [(f"F{n}", "250314500108", "GIRL") for n in (77, 78)]
    assert len(finding) == 0


def test_what_only_the_second_telling_of_a_child_says_is_known_of_all_its_results(path):
    bare = "PID|1||H7^^^MAT1^MR|||||"
    accepted, _, _ = read(path, bare, ORDER, TSH, bare.replace("|||||", "||BABY^GIRL||20260103|F"), mother("A", "250314500108"), SECOND, TSH)
    assert accepted.select("sex_code", "mother_iin").rows() == [("female", "250314500108")] * 2


def test_a_third_telling_is_compared_with_all_that_was_told_before(path):
    bare = "PID|1||H7^^^MAT1^MR"
    boy, girl = (f"{bare}||BABY||20260103|{sex}" for sex in "MF")
    assert codes(read(path, bare, MOTHER, ORDER, TSH, boy, bare, SECOND, TSH, girl, SECOND, TSH)[1]) == REFUSED


def test_a_refused_message_leaves_the_others_as_they_are(path):
    wrong = [NAMELESS, MOTHER, ORDER, TSH, NAMELESS.replace("|F", "|M"), SECOND, TSH]
    accepted, _, quarantine = read(path, *wrong, HEAD.replace("|M1|", "|M2|"), CHILD, MOTHER, ORDER, TSH)
    assert (accepted["row_no"].to_list(), quarantine["row_no"].to_list()) == ([13], [1])


@pytest.mark.parametrize(
    ("said", "sex", "told"),
    [
        ("M", "male", set()), ("f", "female", set()), ("М", "male", set()), ("Ж", "female", set()), ("Female", "female", set()),
        ("муж", "male", set()), ("ЖЕН", "female", set()), ("Қыз", "female", set()), ("U", "unknown", set()), ("", None, set()),
        ("1", "unknown", {("sex_code", "sex_code_unlisted")}), ("жм", "unknown", {("sex_code", "sex_code_unlisted")}),
    ],
)  # fmt: skip
def test_a_sex_is_read_as_it_is_written_here_and_one_that_is_not_sure_is_told(path, said, sex, told):
    accepted, finding, _ = read(path, CHILD.replace("|F|", f"|{said}|"), MOTHER, ORDER, TSH)
    assert (accepted["sex_code"].to_list(), codes(finding)) == ([sex], told)
