r"""HL7 v2 as senders write it beside the standard: nothing is lost in silence, counted twice, or taken for what it is not."""

import pytest

from pipelines.intake.hl7.fields import clean_number
from pipelines.intake.hl7.fix import write_messages
from pipelines.intake.mends import Refused, name_row
from pipelines.intake.reading import Limits
from tests.test_hl7 import CHILD, HEAD, LATE, MOTHER, ORDER, TSH, codes, judge, read, result

PHE = result("29573-3^Phe^LN", "1.0", "mg/dL")
LINES = [HEAD, CHILD, MOTHER, ORDER, TSH]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.hl7"


def judge_lines(path, *lines, end="\r"):
    path.write_bytes(end.join([*lines, ""]).encode())
    return judge(path)


def anew(number):
    return [line.replace("|M1|", f"|M{number}|").replace("F77", f"F{number}") for line in LINES]


# ------------------------------------------------------------------------------------------------ segments and files


@pytest.mark.parametrize("name", ["obx", " OBX", "\tOBX", "Obx", "  obx"])
def test_a_segment_with_a_blank_before_its_name_or_in_small_letters_is_read_and_not_put_to_the_one_before(path, name):
    accepted, finding, _ = read(path, TSH, PHE.replace("OBX", name))
    assert (accepted.select("row_no", "component").rows(), len(finding)) == ([(5, "tsh"), (6, "phe")], 0)


def test_a_line_of_a_text_that_only_looks_like_a_name_goes_on_with_it(path):
    text = "OBX|2|FT|57705-6^Thyroid comment^LN||first line\rand the second\rPHE is normal\robx follows||||||F"
    accepted, finding, _ = read(path, TSH, *text.split("\r"), PHE)
    assert (accepted["component"].to_list(), len(finding)) == (["tsh", "phe"], 0)


@pytest.mark.parametrize("between", ["", "\ufeff", " "])
def test_messages_that_no_line_end_parts_are_refused_and_not_read_as_one(path, between):
    """As files that were joined leave them: the header of the second stood in the last field of the first."""
    path.write_text("\r".join(anew(1)) + between + "\r".join(anew(2)) + "\r" + "\r".join([*anew(3), ""]))
    accepted, finding, quarantine = judge(path)
    assert (accepted["source_id"].to_list(), quarantine["row_no"].to_list()) == (["F3"], [1])
    assert codes(finding) == {(None, "message_not_separated")}


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["FHS|^~\\&|L", "BHS|^~\\&|L", *anew(1), "BTS|1", "BHS|^~\\&|L", *anew(2), "BTS|1", "FTS|2"], set()),
        (["FHS|^~\\&|L", "BHS|^~\\&|L", *anew(1), "BTS|1", "BHS|^~\\&|L", *anew(2), "BTS|1", "FTS|3"], {"batch_count_differs"}),
        (["FHS|^~\\&|L", "BHS|^~\\&|L", *anew(1), *anew(2), "FTS|1"], set()),
        (["FHS|^~\\&|L", *anew(1), *anew(2), "FTS|2"], set()),
        (["FHS|^~\\&|L", *anew(1), *anew(2), "FTS|1"], set()),
        (["FHS|^~\\&|L", *anew(1), *anew(2), "FTS|7"], {"batch_count_differs"}),
        (["FHS|^~\\&|L", "BHS|^~\\&|L", *anew(1), "BTS|2", "FTS||of many"], {"batch_count_differs"}),
        (["FHS|^~\\&|L", *anew(1), "FTS|1", "FHS|^~\\&|L", "BHS|^~\\&|L", *anew(2), "BTS|1", "FTS|1"], set()),
    ],
)
def test_what_a_file_declares_of_its_batches_is_held_against_what_there_is(path, lines, told):
    accepted, finding, _ = judge_lines(path, *lines)
    assert (len(accepted), set(finding["code"])) == (lines.count(TSH), told)


@pytest.mark.parametrize(("trailers", "expected"), [(["BTS|3", "FTS|1"], ["BTS|1", "FTS|1"]), (["FTS|3"], ["FTS|1"]), (["FTS|1"], ["FTS|1"])])
def test_a_file_to_fix_declares_what_is_in_it(path, trailers, expected):
    heads = ["FHS|^~\\&|L", *(["BHS|^~\\&|L"] if len(trailers) > 1 else [])]
    path.write_text("\r".join([*heads, *anew(1), *anew(2), *anew(3), *trailers, ""]))
    row = len(heads) + 10
    fixed = write_messages(path, Limits(), [Refused(row, "", name_row("a" * 64, row), "why")]).decode().split("\r")
    assert [line for line in fixed if line.startswith(("BTS", "FTS"))] == expected
    path.write_text("\r".join(fixed))
    assert set(judge(path)[1]["code"]) == set()


@pytest.mark.parametrize(
    ("declared", "encoding"),
    [("ISO IR 144", "iso8859_5"), ("ISO_IR 144", "iso8859_5"), ("ISO IR144^^", "iso8859_5"), ("ISO IR 192", "utf-8"), ("CP-866", "cp866"),
     ("IBM866", "cp866"), ("866", "cp866"), ("X-CP1251", "cp1251"), ("MS-CYRL", "cp1251"), ("ANSI 1251", "cp1251"), ("PT154", "ptcp154"),
     ("PTCP154", "ptcp154"), ("CP1048", "kz1048"), ("KOI8R", "koi8_r")],
)  # fmt: skip
def test_character_sets_are_known_by_their_other_names(path, declared, encoding):
    text = "\r".join([f"{HEAD}||||||{declared}", CHILD.replace("GIRL A", "Айша"), MOTHER, ORDER, TSH, ""])
    path.write_bytes(text.encode(encoding))
    accepted, finding, _ = judge(path)
    assert (accepted["given_name"].to_list(), len(finding)) == (["Айша"], 0)


@pytest.mark.parametrize("marks", ["^^\\&", "^~^&", "^~\\^", "^~\\~"])
def test_a_header_whose_separators_are_not_all_different_is_refused(path, marks):
    _, finding, quarantine = judge_lines(path, HEAD.replace("^~\\&", marks), *LINES[1:])
    assert (codes(finding), len(quarantine)) == ({(None, "message_header_malformed")}, 1)


# ------------------------------------------------------------------------------------------------ versions of a result


@pytest.mark.parametrize("is_turned", [False, True])
@pytest.mark.parametrize("sub_id", ["1", "2", "^1^1"])
@pytest.mark.parametrize(("first", "second"), [("F", "C"), ("P", "F"), ("P", "C")])
def test_a_result_and_its_correction_under_one_sub_id_are_versions_of_one_record(path, first, second, sub_id, is_turned):
    said = [TSH.replace("|1|3.5", f"|{sub_id}|{value}").replace("|F|", f"|{status}|") for value, status in (("9.5", first), ("3.5", second))]
    accepted = read(path, *(reversed(said) if is_turned else said))[0]
    assert accepted["source_id"].n_unique() == 1
    newest = accepted.with_columns(accepted["status_code"].replace_strict({"preliminary": 0, "final": 1, "corrected": 2}).alias("rank"))
    assert newest.sort("issued_at", "rank")["value"].to_list() == [9.5, 3.5]


@pytest.mark.parametrize("is_turned", [False, True])
@pytest.mark.parametrize("status", ["D", "W"])
def test_a_result_that_takes_the_place_of_a_deleted_one_is_the_only_one(path, status, is_turned):
    old, new = TSH.replace("3.5", "9.5").replace("|F|", f"|{status}|"), TSH
    accepted = read(path, *((new, old) if is_turned else (old, new)))[0].sort("status_code")
    assert accepted.select("source_id", "status_code", "value").rows() == [("F77#1x", "cancelled", None), ("F77", "final", 3.5)]
    assert str(accepted["issued_at"][1]) == "2026-01-08 10:00:00"  # when it was sent: it is later than what it takes the place of


def test_repeats_without_a_sub_id_stay_results_of_their_own_also_when_one_of_them_is_corrected(path):
    said = [TSH.replace("|1|3.5", "||3.5"), TSH.replace("|1|3.5", "||9.5").replace("|F|", "|C|")]
    assert read(path, *said)[0].sort("row_no")["source_id"].to_list() == ["F77", "F77#2"]


@pytest.mark.parametrize(("answer", "status", "rows"), [("LA12496-8^HCY^LN", "C", 1), ("LA137-2^None^LN", "C", 0), ("", "X", 0), ("", "D", 0)])
def test_a_list_of_conditions_that_is_corrected_does_not_say_which_it_takes_back_and_that_is_told(path, answer, status, rows):
    listed = result("57131-5^Positive^LN", answer, kind="CWE", status=status)
    accepted, finding, _ = read(path, TSH, listed)
    assert (len(accepted), finding.select("row_no", "code").rows()) == (1 + rows, [(6, "condition_list_corrected")])
    assert len(read(path, TSH, listed.replace(f"|{status}|", "|F|"))[1]) == 0


OTHER = ORDER.replace("F77", "F90").replace("20260105090000", "20260110110000")


@pytest.mark.parametrize(
    ("parents", "day"),
    [("|29575-8&TSH&LN^1^3.5", "2026-01-05"), ("|29575-8&TSH&LN^2", None), ("|29575-8&TSH&LN", "2026-01-05"), ("|99999-9&X&LN", None),
     ("||||P00^F00", None), ("|29573-3&Phe&LN^1|||P00^F77", "2026-01-05"), ("", "2026-01-10")],
)  # fmt: skip
def test_an_order_has_the_time_of_the_order_that_it_names_as_its_parent_or_none(path, parents, day):
    child = LATE + parents.replace("P00^", "P00&LIS^")
    late = "OBX|1|NM|29575-8^TSH^LN|1|4.5|mU/L|||||F"
    accepted, _, quarantine = read(path, TSH, OTHER, PHE.removesuffix("|20260105090000"), child, late)
    found = accepted.filter(accepted["source_id"] == "F78")["examined_on"].to_list()
    assert ([str(on) for on in found], len(quarantine)) == (([day], 0) if day else ([], 1))


# ------------------------------------------------------------------------------------------------ what a result says


@pytest.mark.parametrize("status", [" F", "F^Final", "F~C"])
def test_a_status_is_read_as_any_other_field(path, status):
    assert read(path, TSH.replace("|F|", f"|{status}|"))[0]["status_code"].to_list() == ["final"]
    order = ORDER.removesuffix("F") + status
    assert judge_lines(path, HEAD, CHILD, order, TSH.replace("|F|", "||"))[0]["status_code"].to_list() == ["final"]


@pytest.mark.parametrize(
    ("code", "component"),
    [
        ("12345-6^ТТГ^L^29575-8^TSH^LN", "tsh"), ("29575-8^TSH^LN^12345-6^ТТГ^L", "tsh"), ("4711^ТТГ^L^29575-8^TSH^LN", "tsh"),
        ("X1^Own^L^TSH^ТТГ^L", "tsh"), ("53160-8^C3^LN^99999-9^Own^L", "53160-8"), ("12345-6^Own^L^53160-8^C3^LN", "53160-8"),
    ],
)
def test_a_code_is_known_by_the_triplet_that_says_it_is_loinc_or_is_on_the_list(path, code, component):
    assert read(path, result(code, "3.5", "mU/L"))[0]["component"].to_list() == [component]


@pytest.mark.parametrize("flag", ["QCF", "QCF^Quality control failure^HL70078", "N~QCF", "UNSAT"])
@pytest.mark.parametrize(
    ("code", "answer", "kind"), [("29575-8^TSH^LN", "3.5", "NM"), ("46740-7^CAH^LN", "LA18592-8", "CWE"), ("29575-8^TSH^LN", "", "NM")]
)
def test_a_result_whose_flag_says_that_it_cannot_be_used_is_unsatisfactory(path, flag, code, answer, kind):
    accepted, _, _ = read(path, result(code, answer, "mU/L" if kind == "NM" else "", kind, flag=flag))
    assert accepted["result_code"].to_list() == ["unsatisfactory"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("QNS", "unsatisfactory"), ("Quantity not sufficient", "unsatisfactory"), ("Недостаточно материала", "unsatisfactory"),
     ("TNP", "not_done"), ("Test not performed", "not_done"), ("Не выполнено", "not_done")],
)  # fmt: skip
def test_why_there_is_no_number_is_read_where_it_stands_in_the_place_of_the_number(path, answer, expected):
    assert read(path, result("29575-8^TSH^LN", answer, "mU/L", "ST"))[0]["result_code"].to_list() == [expected]


def test_a_bound_is_read_as_it_is_printed():
    assert [clean_number(said, "^")[:2] for said in ("≤2", "≥ 15,5", ">^15", "⩽3")] == [("<=", "2"), (">=", "15.5"), (">", "15"), (None, None)]


# ------------------------------------------------------------------------------------------------ who it is


@pytest.mark.parametrize("said", ["MTH", "mth^mother", "MOTHER", "^Мать", "X^^L^MTH^Mother^HL70063", "Анасы", "^^^^mother"])
def test_a_mother_is_known_however_her_kinship_is_written(path, said):
    accepted, finding, _ = judge_lines(path, HEAD, CHILD, MOTHER.replace("MTH^Mother^HL70063", said), ORDER, TSH)
    assert (accepted["mother_iin"].to_list(), len(finding)) == (["250314500108"], 0)


@pytest.mark.parametrize(("said", "told"), [("FTH^Father", set()), ("GRD", set()), ("^Отец", set()), ("1", {("mother_iin", "relation_unlisted")}),
                                           ("", {("mother_iin", "relation_unlisted")})])  # fmt: skip
def test_another_relative_is_no_mother_and_one_of_no_known_kinship_is_told(path, said, told):
    accepted, finding, _ = judge_lines(path, HEAD, CHILD, MOTHER.replace("MTH^Mother^HL70063", said), ORDER, TSH)
    assert (accepted["mother_iin"].to_list(), accepted["mother_family_name"].to_list(), codes(finding)) == ([None], [None], told)


@pytest.mark.parametrize("kind", ["NI", "NNKAZ", "IIN", "ИИН", "ЖСН", "iin"])
def test_an_iin_is_known_by_its_type(path, kind):
    lines = [line.replace("^NI", f"^{kind}") for line in (CHILD, MOTHER)]
    accepted, finding, _ = judge_lines(path, HEAD, *lines, ORDER, TSH)
    assert accepted.select("child_iin", "mother_iin", "history_no").rows() == [("250314500010", "250314500108", "H7")]
    assert len(finding) == 0


@pytest.mark.parametrize("kind", ["", "^^^KZ^XX", "^^^IIN"])
def test_twelve_digits_that_no_type_says_are_an_iin_are_not_taken_and_are_told(path, kind):
    lines = [line.replace("^^^KZ^NI", kind) for line in (CHILD, MOTHER)]
    accepted, finding, _ = judge_lines(path, HEAD, *lines, ORDER, TSH)
    assert accepted.select("child_iin", "mother_iin").rows() == [(None, None)]
    assert codes(finding) == {("child_iin", "child_iin_untyped"), ("mother_iin", "mother_iin_untyped")}


def test_an_iin_in_the_places_of_earlier_versions_and_a_mother_in_the_pid_are_read(path):
    child = CHILD.replace("PID|1||H7^^^MAT1^MR~250314500010^^^KZ^NI|", "PID|1|250314500010^^^KZ^NI|H7^^^MAT1^MR|")
    with_mother = child.replace("||||||||||||||||Y|2", "|||||||||||||250314500108^^^KZ^NI|||Y|2")
    accepted, _, _ = judge_lines(path, HEAD, with_mother, ORDER, TSH)
    assert accepted.select("child_iin", "mother_iin", "history_no", "birth_order").rows() == [("250314500010", "250314500108", "H7", 2)]


def test_a_mother_whose_number_is_another_in_the_pid_is_told_and_not_taken(path):
    child = CHILD.replace("||||||||||||||||Y|2", "|||||||||||||250314500121^^^KZ^NI|||Y|2")
    accepted, finding, _ = judge_lines(path, HEAD, child, MOTHER, ORDER, TSH)
    assert (accepted["mother_iin"].to_list(), codes(finding)) == ([None], {("mother_iin", "mother_iin_contradictory")})


@pytest.mark.parametrize(("said", "order"), [('""', None), ("2^second", 2), ("02", 2)])
def test_an_order_of_birth_is_read_as_any_other_field(path, said, order):
    accepted, _, _ = judge_lines(path, HEAD, CHILD.replace("|Y|2", f"|Y|{said}"), MOTHER, ORDER, TSH)
    assert accepted["birth_order"].to_list() == [order]
