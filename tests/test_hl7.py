"""HL7 v2 messages as laboratories write them: results, refusals with a reason, and nothing lost."""

from datetime import date

import hl7 as reference
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.intake.feedback import tell_finding
from pipelines.intake.hl7 import read_chunks
from pipelines.intake.hl7.fields import clean_number, is_loinc_whole, read_marks, read_time, unescape
from pipelines.intake.reading import Limits
from pipelines.intake.receive import judge_chunk, open_submission
from pipelines.intake.refusal import FileRefusedError
from tests.samples import find_samples

ON = date(2026, 2, 1)
SAMPLES = find_samples() / "hl7"
HEAD = "MSH|^~\\&|LIS|L1|ERTE|MOH|20260108100000||ORU^R01^ORU_R01|M1|P|2.5.1"
CHILD = "PID|1||H7^^^MAT1^MR~250314500010^^^KZ^NI||BABY^GIRL A||20260103080000|F||||||||||||||||Y|2"
MOTHER = "NK1|1|SURNAME^NAME|MTH^Mother^HL70063||||||||||||||||||||||||||||||250314500108^^^KZ^NI"
ORDER = "OBR|1||F77^LAB|54089-8^Panel^LN|||20260105090000|||||||||||||||20260107090000|||F"


def result(code, answer, unit="", kind="NM", flag="", status="F"):
    return f"OBX|1|{kind}|{code}|1|{answer}|{unit}||{flag}|||{status}|||20260105090000"


TSH = result("29575-8^TSH^LN", "3.5", "m[IU]/L^^UCUM")


def read(path, *segments, end="\r"):
    path.write_bytes(end.join([HEAD, CHILD, MOTHER, ORDER, *segments, ""]).encode())
    return judge(path)


def judge(path, limits=Limits()):  # noqa: B008  # immutable
    opened = open_submission(path, limits)
    judged = [judge_chunk(chunk, opened.layout, "0" * 64, ON) for chunk in opened.chunks]
    accepted = pl.concat(j.accepted for j in judged)
    finding = pl.concat(j.finding for j in judged)
    quarantine = pl.concat(j.quarantine for j in judged)
    assert sum(j.received_count for j in judged) == accepted["row_no"].n_unique() + len(quarantine)
    return accepted, finding, quarantine


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.hl7"


def test_a_result_carries_child_mother_order_and_times(path):
    row = read(path, TSH)[0].row(0, named=True)
    expected = {
        "row_no": 5, "sender_id": "L1", "source_id": "F77", "child_iin": "250314500010", "mother_iin": "250314500108",
        "birth_on": date(2026, 1, 3), "birth_order": 2, "sex_code": "female", "maternity_id": "MAT1", "history_no": "H7",
        "given_name": "GIRL A", "programme": "blood_spot", "component": "tsh", "value": 3.5, "unit": "m[IU]/L",
        "examined_on": date(2026, 1, 5), "reported_on": date(2026, 1, 7), "status_code": "final", "action_code": "report",
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_line_ends_of_every_kind_are_read(path, end):
    assert len(read(path, TSH, end=end)[0]) == 1


@pytest.mark.parametrize(
    ("segment", "component", "value", "unit"),
    [
        (result("29573-3^Phe^LN", "121.08", "µmol/L"), "phe", 2.0, "mg/dL"),
        (result("29573-3^Phe^LN", "121.08", "μmol/L"), "phe", 2.0, "mg/dL"),
        (result("^^^29575-8^TSH^LN", "9,5", "мМЕ/л"), "tsh", 9.5, "m[IU]/L"),
        (result("ТТГ^ТТГ^L", "9.5", "uIU/mL"), "tsh", 9.5, "m[IU]/L"),
        (result("53160-8^Other^LN", "0065.88", "umol/L"), "53160-8", 65.88, "umol/L"),
        (result("X7^Own^L", "0 .07"), "L:X7", 0.07, None),
    ],
)
def test_numbers_are_kept_in_one_unit_under_one_name(path, segment, component, value, unit):
    row = read(path, segment)[0].row(0, named=True)
    assert (row["component"], round(row["value"], 6), row["unit"]) == (component, value, unit)


def test_a_bound_keeps_its_sign(path):
    row = read(path, result("29575-8^TSH^LN", "<2.22", "mU/L", "SN"))[0].row(0, named=True)
    assert (row["comparator"], row["value"]) == ("<", 2.22)


def codes(finding):
    return {(row["column"], row["code"]) for row in finding.iter_rows(named=True) if row["row_no"]}


@pytest.mark.parametrize(
    ("segment", "code"),
    [
        (result("29575-8^TSH^LN", "high", "mU/L"), "value_not_numeric"),
        (result("29575-8^TSH^LN", "3.5", "furlong"), "unit_unknown"),
        (result("29575-8^TSH^LN", "3.5"), "unit_missing"),
        (result("46740-7^Hb newborn screen interpretation^LN", "LA99-9^?^LN", kind="CWE"), "result_code_unknown"),
    ],
)
def test_a_result_that_cannot_be_judged_is_refused_with_its_reason_and_the_others_are_not(path, segment, code):
    accepted, finding, quarantine = read(path, segment, result("29573-3^Phe^LN", "1.0", "mg/dL"))
    assert code in {c for _, c in codes(finding)}
    assert (len(accepted), quarantine["row_text"].to_list()) == (1, [segment])


def test_the_coded_answer_decides_and_a_flag_that_contradicts_it_is_told(path):
    segment = result("46740-7^Hb newborn screen interpretation^LN", "LA18593-6^Out^LN", kind="CWE", flag="N")
    accepted, finding, _ = read(path, segment)
    assert accepted["result_code"].to_list() == ["out_of_range"]
    assert codes(finding) == {("result_code", "flag_disagrees")}


def test_a_corrected_result_takes_the_place_of_its_version_and_a_preliminary_one_is_called_so(path):
    early, late = result("29575-8^TSH^LN", "12", "mU/L", status="P"), result("29575-8^TSH^LN", "3", "mU/L", status="C")
    first, second = read(path, early)[0].row(0, named=True), read(path, late)[0].row(0, named=True)
    assert (first["status_code"], second["status_code"], second["action_code"]) == ("preliminary", "corrected", "correct")
    assert first["source_id"] == second["source_id"]


def test_an_unsatisfactory_specimen_spoils_both_analytes(path):
    quality = result("57718-9^Quality^LN", "LA20627-8^Uneven^LN", kind="CWE")
    rows = read(path, quality, TSH)[0].sort("component")
    assert rows.select("component", "result_code").rows() == [("phe", "unsatisfactory"), ("tsh", "unsatisfactory")]


def test_transfusion_gestation_and_reason_are_told_of_every_result(path):
    context = [
        result("57713-0^Factors^LN", "LA12417-4^Transfusion^LN", kind="CWE"),
        result("57714-8^Gestation^LN", "32", "wk"),
        result("57721-3^Reason^LN", "LA12425-7^Subsequent^LN", kind="CWE"),
    ]
    row = read(path, TSH, *context)[0].row(0, named=True)
    assert (row["is_transfused"], row["gestation_wk"], row["stage_code"]) == (True, 32, "repeat")


def test_a_condition_listed_as_positive_is_a_disorder_of_its_own(path):
    segment = result("57131-5^Positive^LN", "LA12496-8^HCY^LN", kind="CWE")
    row = read(path, segment)[0].row(0, named=True)
    assert (row["component"], row["result_code"]) == ("57131-5:LA12496-8", "out_of_range")


def test_a_second_child_in_one_message_keeps_its_own_results(path):
    other = CHILD.replace("H7^", "H8^").replace("250314500010", "250314500121")
    path.write_text("\r".join([HEAD, CHILD, MOTHER, ORDER, TSH, other, ORDER.replace("F77", "F78"), TSH, ""]))
    accepted, _, _ = judge(path)
    assert accepted.select("history_no", "source_id").rows() == [("H7", "F77"), ("H8", "F78")]


def test_an_unknown_status_is_refused_and_a_lost_day_of_sampling_is_told_once(path):
    _, finding, _ = read(path, TSH.replace("|F|", "|Q|"))
    assert ("status_code", "status_code_unknown") in codes(finding)
    path.write_text("\r".join([HEAD, CHILD, MOTHER, ORDER.replace("20260105090000", "20269999"), "OBX|1|NM|29575-8|1|3|mU/L|||||F", ""]))
    accepted, finding, quarantine = judge(path)
    assert (len(accepted), len(quarantine)) == (0, 1)
    assert "examined_on_missing" in {code for _, code in codes(finding)}


def test_one_bad_date_never_refuses_the_message(path):
    bad = CHILD.replace("20260103080000", "20170229")
    path.write_text("\r".join([HEAD, bad, MOTHER, ORDER, TSH, ""]))
    accepted, finding, _ = judge(path)
    assert (len(accepted), accepted["birth_on"].to_list()) == (1, [None])
    assert ("birth_on", "birth_on_unreadable") in codes(finding)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (HEAD.replace("ORU^R01^ORU_R01", "OML^O21") + "\r" + TSH, "message_not_result"),
        (HEAD.replace("ORU^R01^ORU_R01", "ADT^A01") + "\rPID|1", "message_not_result"),
        (HEAD + "\r" + CHILD, "message_without_results"),
        ("MSH||LIS|L1|||20260108||ORU^R01|M1|P|2.5.1\r" + TSH, "message_header_malformed"),
        (HEAD.replace("|M1|", "||") + "\r" + TSH, "message_header_malformed"),
        (HEAD.replace("ORU^R01^ORU_R01", "") + "\r" + TSH, "message_header_malformed"),
        (f"{HEAD}\r{CHILD}\r{ORDER}\rOBX|1|NM|29575-8^TSH^LN|1|3", "message_cut_off"),
    ],
)
def test_a_message_that_gives_nothing_is_one_refused_row_that_says_why(path, text, code):
    path.write_text(text)
    accepted, finding, quarantine = judge(path)
    assert (len(accepted), len(quarantine), codes(finding)) == (0, 1, {(None, code)})


def test_a_batch_is_read_with_and_without_trailers_and_a_wrong_count_is_told(path):
    message = "\r".join([HEAD, CHILD, MOTHER, ORDER, TSH])
    for trailer, told in (("", set()), ("\rBTS|2\rFTS|1", set()), ("\rBTS|5\rFTS|1", {"batch_count_differs"})):
        path.write_text(f"FHS|^~\\&|LIS\rBHS|^~\\&|LIS\r{message}\r{message.replace('F77', 'F78')}{trailer}\r")
        accepted, finding, _ = judge(path)
        assert accepted["source_id"].to_list() == ["F77", "F78"]
        assert set(finding["code"]) == told


@pytest.mark.parametrize(
    ("content", "code"), [(b"", "file_empty"), (b"\r\n \r", "file_empty"), (b"FHS|^~\\&|LIS\rFTS|0\r", "file_not_hl7")]
)
def test_a_file_without_messages_is_refused(path, content, code):
    path.write_bytes(content)
    with pytest.raises(FileRefusedError) as refused:
        list(read_chunks(path))
    assert refused.value.code == code


def test_cyrillic_is_read_as_declared_and_a_guess_is_told(path):
    text = "\r".join([HEAD + "||||||{}", CHILD.replace("GIRL A", "Айша"), MOTHER, ORDER, TSH, ""])
    for declared, encoding, told in (("UNICODE UTF-8", "utf-8", set()), ("8859/5", "iso8859_5", set()), ("", "cp1251", {"encoding_guessed"})):
        path.write_bytes(text.format(declared).encode(encoding))
        accepted, finding, _ = judge(path)
        assert accepted["given_name"].to_list() == ["Айша"]
        assert set(finding["code"]) == told


@pytest.mark.parametrize("code", ["29575-8", "29573-3", "54108-6", "57130-7", "8339-4"])
def test_loinc_codes_pass_their_check_digit_and_a_neighbour_does_not(code):
    assert is_loinc_whole(code)
    assert not is_loinc_whole(f"{code[:-1]}{(int(code[-1]) + 1) % 10}")


def test_times_escapes_and_numbers():
    marks = read_marks(HEAD)
    assert marks is not None
    assert read_time("20260105") == ("2026-01-05", None)
    assert read_time("202601050903+0500") == ("2026-01-05", "2026-01-05T09:03:00")
    assert read_time("202601050903001") == ("2026-01-05", None)
    assert (read_time("20170229"), read_time("YYYYMMDD"), read_time("")) == ((None, None),) * 3
    assert unescape(marks, "a\\T\\b\\X41\\c\\F\\d\\.br\\e") == "a&bAc|d\ne"
    assert (clean_number("> ^ 15", "^"), clean_number("n/a", "^")[1]) == ((">", "15", True), None)
    assert [clean_number(said, "^")[1] for said in ("^5", "5^", "5^10", "^5^-^10", "5" * 99)] == ["5", "5", None, None, None]


@pytest.mark.parametrize(
    ("said", "told"), [("20260230", True), ("yesterday", True), ("202601", True), ("", False), ('""', False), ("20260106", False)]
)
def test_a_result_whose_own_time_cannot_be_read_has_that_of_its_order_and_is_told(path, said, told):
    ear = result("54109-4^Right ear^LN", "LA10392-1^Pass^LN", kind="CE")
    accepted, finding, _ = read(path, *(segment.replace("20260105090000", said) for segment in (TSH, ear)))
    assert set(accepted["examined_on"]) == {date(2026, 1, 6 if said == "20260106" else 5)}
    assert finding.select("row_no", "code", "severity").rows() == [(row, "observed_on_unreadable", "warning") for row in (5, 6) if told]
    assert "OBX-14" in tell_finding("observed_on_unreadable", "observed_on", {})["ru"]


@pytest.mark.parametrize(
    ("said", "day", "moment"),
    [
        ("20261015230000+0000", "2026-10-16", "2026-10-16T04:00:00"), ("20260101020000+0600", "2026-01-01", "2026-01-01T01:00:00"),
        ("20260101003000.5+0600", "2025-12-31", "2025-12-31T23:30:00"), ("202601051900-0500", "2026-01-06", "2026-01-06T05:00:00"),
        ("20260105+0000", "2026-01-05", None), ("20260105230000+9900", "2026-01-05", None), ("00010101000000+0600", "0001-01-01", None),
        ("20260105230000", "2026-01-05", "2026-01-05T23:00:00"),
    ],
)  # fmt: skip
def test_a_time_with_an_offset_is_told_in_local_time_and_one_without_is_local(said, day, moment):
    assert read_time(said) == (day, moment)


@pytest.mark.parametrize(
    ("processing", "refused", "expected"),
    [
        ("P", "T", set()), ("", "T", set()), ("p^T", "T", set()), ("D", "T", {"processing_not_production"}),
        ("X", "T", {"processing_not_production"}),
        ("T", "T", {"message_not_production"}), ("t^A", "T", {"message_not_production"}), ("D", "T, D", {"message_not_production"}),
        ("T", "", {"processing_not_production"}),
    ],
)  # fmt: skip
def test_a_training_message_is_refused_and_another_that_is_no_production_is_told(path, processing, refused, expected):
    head = HEAD.replace("|P|", f"|{processing}|")
    path.write_bytes("\r".join([head, CHILD, MOTHER, ORDER, TSH, ""]).encode())
    accepted, finding, quarantine = judge(path, Limits(refused_processing=refused))
    assert (set(finding["code"]), set(finding["row_no"])) == (expected, {1} if expected else set())
    is_refused = expected == {"message_not_production"}
    assert (len(accepted), len(quarantine)) == ((0, 1) if is_refused else (1, 0))


def test_two_numbers_in_one_field_are_no_number(path):
    accepted, finding, _ = read(path, result("29575-8^TSH^LN", "5^10", "mU/L"))
    assert (len(accepted), ("value", "value_not_numeric") in codes(finding)) == (0, True)


NO_PRODUCTION = {"processing_not_production": 1}  # MSH-11 is D, of one of them N
TOLD = {
    "LA__003_LA_ORU_R01_NBS_obr_flatten_0_initial_message.hl7": (10, 0, NO_PRODUCTION),
    "MN__004_MN_ORU_R01_NBS_0_initial_message.hl7": (14, 0, NO_PRODUCTION),
    "Natus__002_Natus_ORU_R01_NBS.hl7": (20, 0, NO_PRODUCTION | {"component_unlisted": 3}),
    "Natus__004_Natus_ORU_R01_NBS.hl7": (20, 0, NO_PRODUCTION | {"component_unlisted": 3}),
    "NewSTEPs__002_NewSTEPs_ORU_R01.hl7": (53, 1, NO_PRODUCTION | {
        "observed_on_unreadable": 55, "answer_unread": 5, "unit_missing": 1, "unit_unlisted": 1, "value_cleaned": 1}),
    "Test__Automated__008_ORU_R01_micro_character_encoding.hl7": (1, 0, NO_PRODUCTION),
    "Test__Message__msh-12_has_value_2_3.hl7": (0, 1, {"message_not_result": 1}),
    "Test__Message__orm_obx-5_is_not_a_numeric_value.hl7": (0, 1, {"message_not_result": 1}),
    "Test__Results__002_AL_ORU_R01_NBS_Fully_Populated_0_initial_message.hl7": (13, 0, NO_PRODUCTION),
    "Test__Results__003_AL_ORU_R01_NBS_Normal_And_Abnormal_Results_0_initial_message.hl7": (13, 0, NO_PRODUCTION),
    "Test__Results__004_AL_ORU_R01_NBS_Specimen_Unsatisfactory_0_initial_message.hl7": (15, 0, NO_PRODUCTION),
    "cyrillic_adt.hl7": (0, 1, {"message_not_result": 1}),
    "lfh__sample_win.hl7": (0, 1, {"message_not_production": 1}),
    "pyhl7__nonstandard_separators.hl7": (0, 1, {"message_header_malformed": 1}),
    "pyhl7__sample_bad_file1.hl7": (0, 2, {"batch_count_differs": 1, "message_header_malformed": 1, "message_not_result": 1}),
    "pyhl7__sample_batch.hl7": (0, 1, {"message_not_result": 1}),
}  # fmt: skip
"""Sample -> results accepted, rows refused, findings by code."""


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.hl7")), ids=lambda p: p.name)
def test_a_real_message_gives_its_results_or_a_reason(sample):
    accepted, finding, quarantine = judge(sample)
    told = dict(finding.group_by("code").len().iter_rows())
    assert (len(accepted), len(quarantine), told) == TOLD[sample.name]


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*ORU*.hl7")), ids=lambda p: p.name)
def test_the_reference_reader_finds_the_same_answers(sample):
    text = sample.read_text("utf-8").lstrip("\ufeff").replace("\r\n", "\r").replace("\n", "\r")
    segments = [s for s in reference.parse(text) if str(s[0]) == "OBX"]
    answers = [(str(s[3]).split("^")[0], str(s[5]).split("^")[0]) for s in segments if len(s) > 5]
    accepted, _, _ = judge(sample)
    for row in accepted.filter(pl.col("value").is_not_null()).iter_rows(named=True):
        said = [clean_number(a, "^")[1] for _, a in answers]
        assert any(value is not None for value in said), row["component"]
    interpreted = {code for code, answer in answers if answer in ("LA18592-8", "LA18593-6", "LA25817-0")}
    assert interpreted <= {c.removeprefix("L:") for c in accepted["component"]}


LATE = ORDER.replace("OBR|1", "OBR|2").replace("F77", "F78").replace("20260105090000", "")


def test_an_order_without_a_time_has_that_of_its_parent_not_of_the_order_before(path):
    other = ORDER.replace("F77", "F90").replace("20260105090000", "20260110110000")
    child = LATE + "|F01^1^TSH|||P90&LIS^F77&LAB"
    row = read(path, TSH, other, child, "OBX|1|NM|29575-8^TSH^LN|1|4.5|mU/L|||||F")[0].row(1, named=True)
    assert (row["source_id"], row["examined_on"], str(row["examined_at"])) == ("F78", date(2026, 1, 5), "2026-01-05 09:00:00")
    row = read(path, TSH, other, LATE, "OBX|1|NM|29575-8^TSH^LN|1|4.5|mU/L|||||F")[0].row(1, named=True)
    assert (row["source_id"], row["examined_on"]) == ("F78", date(2026, 1, 10))


@pytest.mark.parametrize(
    ("sub_ids", "sources"),
    [
        (("", ""), ["F77", "F77#2"]),
        (("1", "2"), ["F77", "F77#2"]),
        (("1.1", "1.2"), ["F77", "F77#2"]),
        (("1.1", "2.1"), ["F77", "F77#2.1"]),
        (("^1^1", "^1^2"), ["F77", "F77#2"]),
        (("^3^1", "^3^2"), ["F77", "F77#2"]),
        (("a", "b"), ["F77", "F77#2"]),
        (("^1^1", "^1^1"), ["F77", "F77#2"]),
        (("2", "1"), ["F77#2", "F77"]),
        (("01", "02"), ["F77", "F77#2"]),
        (("2", "2"), ["F77#2", "F77#3"]),
        (("", "", "2"), ["F77", "F77#3", "F77#2"]),
        (("", "", "", "3", "2"), ["F77", "F77#4", "F77#5", "F77#3", "F77#2"]),
        (("LEFT", "RIGHT"), ["F77#LEFT", "F77#RIGHT"]),
    ],
)
def test_repeats_of_a_code_are_told_apart_by_their_sub_id_in_each_of_its_styles(path, sub_ids, sources):
    segments = [TSH.replace("OBX|1|", "OBX|9|").replace("|1|3.5", f"|{sub}|3.{n}") for n, sub in enumerate(sub_ids)]
    accepted, _, _ = read(path, *segments)
    assert accepted.sort("row_no")["source_id"].to_list() == sources


@pytest.mark.parametrize("sub_id", ["2", "1.2", "2.1", "^1^2", "^3^2", "b", "9", "X"])
def test_a_sub_id_names_the_same_record_whatever_else_is_in_the_message(path, sub_id):
    one = TSH.replace("|1|3.5", f"|{sub_id}|3.9")
    alone, numbered = read(path, one), read(path, one.replace("OBX|1|", f"OBX|{sub_id}|"))
    among = read(path, TSH, TSH.replace("|1|3.5", "||3.6"), TSH.replace("|1|3.5", "||3.7"), one)
    (source,) = alone[0]["source_id"]
    assert numbered[0]["source_id"].to_list() == [source]
    assert among[0].filter(value=3.9)["source_id"].to_list() == [source]
    assert among[0]["source_id"].n_unique() == 4


def test_a_correction_of_the_second_repeat_alone_is_a_version_of_the_second(path):
    second = TSH.replace("|1|3.5", "|2|3.9").replace("|F|", "|C|")
    row = read(path, second)[0].row(0, named=True)
    assert (row["source_id"], row["status_code"], row["action_code"]) == ("F77#2", "corrected", "correct")


@pytest.mark.parametrize(
    ("status", "order_status", "expected"),
    [
        ("C", "F", "corrected"), ("A", "F", "corrected"), ("D", "F", "cancelled"), ("W", "F", "cancelled"), ("X", "F", "cancelled"),
        ("", "C", "corrected"), ("", "P", "preliminary"), ("", "A", "preliminary"), ("", "X", "cancelled"), ("", "", "final"),
        ("P", "C", "preliminary"),
    ],
)  # fmt: skip
def test_a_result_is_corrected_or_taken_back_by_its_own_status_else_by_that_of_its_order(path, status, order_status, expected):
    order = ORDER.removesuffix("|F") + f"|{order_status}"
    path.write_text("\r".join([HEAD, CHILD, MOTHER, order, TSH.replace("|F|", f"|{status}|"), ""]))
    row = judge(path)[0].row(0, named=True)
    assert (row["status_code"], row["value"] is None) == (expected, expected == "cancelled")


@pytest.mark.parametrize(
    ("status", "reported", "issued"),
    [
        ("C", "20260107090000", "2026-01-08 10:00:00"), ("D", "20260107090000", "2026-01-08 10:00:00"),
        ("X", "20260107090000", "2026-01-08 10:00:00"), ("C", "20260109090000", "2026-01-09 09:00:00"),
        ("C", "", "2026-01-08 10:00:00"), ("F", "20260107090000", "2026-01-07 09:00:00"), ("P", "", "2026-01-08 10:00:00"),
        ("C", "20260108080000+0000", "2026-01-08 13:00:00"),
    ],
)  # fmt: skip
def test_a_correction_is_issued_when_it_is_sent_unless_its_report_is_later(path, status, reported, issued):
    path.write_text("\r".join([HEAD, CHILD, MOTHER, ORDER.replace("20260107090000", reported), TSH.replace("|F|", f"|{status}|"), ""]))
    assert [str(at) for at in judge(path)[0]["issued_at"]] == [issued]


def test_a_final_result_of_a_cancelled_order_is_kept_and_the_contradiction_told(path):
    path.write_text("\r".join([HEAD, CHILD, MOTHER, ORDER.removesuffix("|F") + "|X", TSH, ""]))
    accepted, finding, _ = judge(path)
    assert (accepted["status_code"].to_list(), codes(finding)) == (["final"], {("status_code", "status_disagrees")})


@pytest.mark.parametrize("place", [1, -1])
def test_a_cancelled_order_without_results_is_a_refused_row_and_the_order_beside_it_is_taken(path, place):
    orders = [[ORDER.removesuffix("|F") + "|X"], [ORDER.replace("F77", "F78"), TSH]][::place]
    path.write_text("\r".join([HEAD, CHILD, MOTHER, *orders[0], *orders[1], ""]))
    accepted, finding, quarantine = judge(path)
    assert accepted["source_id"].to_list() == ["F78"]
    assert (codes(finding), quarantine["source_id"].to_list()) == ({(None, "message_withdraws_nothing")}, ["F77"])


@pytest.mark.parametrize("numbers", ["|P1|F77|", "||F78|"])
def test_a_cancelled_panel_whose_orders_name_their_results_is_no_withdrawal_of_nothing(path, numbers):
    panel = ORDER.replace("||F77^LAB|", "|P1|F77|").removesuffix("|F") + "|X"
    order = (panel if numbers == "|P1|F77|" else panel.replace("|P1|F77|", numbers)) + "||||P1^F77"
    path.write_text("\r".join([HEAD, CHILD, panel, order, TSH.replace("|F|", "|D|"), ""]))
    accepted, finding, _ = judge(path)
    assert (accepted["status_code"].to_list(), codes(finding)) == (["cancelled"], set())


def test_a_question_asked_with_the_order_is_no_result(path):
    phone = result("62328-0^Telephone^LN", "3207322131", kind="", status="O")
    accepted, finding, quarantine = read(path, TSH, phone)
    assert (len(accepted), len(finding), len(quarantine)) == (1, 0, 0)


def test_a_rejected_specimen_spoils_both_analytes_and_gives_card_and_time(path):
    specimen = "SPM|1|C9&CARD^X||440500007^Blood spot^SCT|||||||||||||20260105083000^20260105083100||||QS^Quantity not sufficient^HL70490"
    path.write_text("\r".join([HEAD, CHILD, MOTHER, LATE, TSH.removesuffix("|20260105090000"), specimen, ""]))
    rows = judge(path)[0].sort("component")
    assert rows.select("component", "result_code", "card_no", "examined_on").rows() == [
        ("phe", "unsatisfactory", "C9", date(2026, 1, 5)), ("tsh", "unsatisfactory", "C9", date(2026, 1, 5)),
    ]  # fmt: skip


def test_notes_with_gaps_in_their_numbers_are_no_data(path):
    notes = ["NTE|1|L|Call the laboratory", "NTE|4|L|", "NTE|9||~~|RE", "NTE"]
    accepted, finding, quarantine = read(path, notes[0], TSH, *notes[1:], result("29573-3^Phe^LN", "1.0", "mg/dL"))
    assert (accepted["row_no"].to_list(), len(finding), len(quarantine)) == ([6, 10], 0, 0)


def test_a_report_of_30_kb_in_a_message_is_no_result_also_when_broken_into_lines(path):
    base64 = "\r".join(["JVBERi0xLjQK" + "ABC+" * 20] + ["QQ1/" + "ABC=" * 20] * 380)
    report = f"OBX|2|ED|PDF^Report^L|1|^application^pdf^Base64^{base64}||||||F"
    accepted, finding, _ = read(path, TSH, report, result("29573-3^Phe^LN", "1.0", "mg/dL"))
    assert (accepted["component"].to_list(), codes(finding)) == (["tsh", "phe"], {(None, "answer_unread")})


@pytest.mark.parametrize("version", ["2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7.1", "2.8"])
def test_messages_of_every_version_are_read(path, version):
    mark = "^~\\&#" if version >= "2.7" else "^~\\&"
    head = HEAD.replace("^~\\&", mark).replace("2.5.1", version)
    told = TSH.replace("3.5", "3.5").replace("29575-8^TSH^LN", "X7^A\\T\\B^L")
    path.write_text("\r".join([head, CHILD.replace("MAT1", "MAT1&1.2&ISO"), MOTHER, ORDER, told, ""]))
    row = judge(path)[0].row(0, named=True)
    assert (row["component"], row["maternity_id"], row["value"]) == ("L:X7", "MAT1", 3.5)


def test_codes_answers_and_units_are_found_in_the_alternate_triplet(path):
    phe = result("^^^29573-3^Phe^LN", "1.0", "^^^mg/dL^^L")
    screen = result("^^^46740-7^Hb interpretation^LN", "^^^LA18593-6^Out^LN", kind="CWE")
    local = result("^^^99717-32^Own analyte^L", "7", "%")
    rows = read(path, phe, screen, local)[0].sort("row_no")
    assert rows.select("component", "value", "result_code").rows() == [
        ("phe", 1.0, None), ("46740-7", None, "out_of_range"), ("L:99717-32", 7.0, None),
    ]  # fmt: skip


def test_a_mother_told_before_each_of_two_children_is_the_mother_of_the_one_that_follows(path):
    other = CHILD.replace("H7^", "H8^").replace("250314500010", "250314500121")
    second = MOTHER.replace("SURNAME", "OTHER")
    path.write_text("\r".join([HEAD, MOTHER, CHILD, ORDER, TSH, second, other, ORDER.replace("F77", "F78"), TSH, ""]))
    accepted, _, _ = judge(path)
    assert accepted.select("history_no", "mother_family_name").rows() == [("H7", "SURNAME"), ("H8", "OTHER")]


def test_a_child_repeated_before_every_order_is_one_child_and_keeps_its_mother(path):
    path.write_text("\r".join([HEAD, CHILD, MOTHER, ORDER, TSH, CHILD, ORDER.replace("F77", "F78"), TSH, ""]))
    accepted, _, _ = judge(path)
    assert accepted.select("source_id", "mother_family_name").rows() == [("F77", "SURNAME"), ("F78", "SURNAME")]


def test_results_of_a_second_child_without_an_order_are_not_put_under_the_order_of_the_first(path):
    other = CHILD.replace("H7^", "H8^").replace("250314500010", "250314500121")
    path.write_text("\r".join([HEAD, CHILD, ORDER, TSH, other, TSH, ""]))
    assert judge(path)[0].select("history_no", "source_id").rows() == [("H7", "F77"), ("H8", "M1")]


def test_an_iin_of_a_wrong_length_is_told_and_the_child_is_known_by_its_history(path):
    path.write_text("\r".join([HEAD, CHILD.replace("250314500010", "2503145000"), MOTHER, ORDER, TSH, ""]))
    accepted, finding, _ = judge(path)
    assert (accepted["history_no"].to_list(), codes(finding)) == (["H7"], {("child_iin", "child_iin_malformed")})


@pytest.mark.parametrize(
    ("said", "read_as"),
    [("202601052500", (date(2026, 1, 5), "2026-01-05 09:00:00")), ("20260230", (date(2026, 1, 5), "2026-01-05 09:00:00")),
     ("20260104", (date(2026, 1, 4), None)), ("20260104083000.125+0500", (date(2026, 1, 4), "2026-01-04 08:30:00")),
     ("YYYYMMDDHHMM", (date(2026, 1, 5), "2026-01-05 09:00:00")), ("", (date(2026, 1, 5), "2026-01-05 09:00:00"))],
)  # fmt: skip
def test_a_time_that_cannot_be_is_taken_from_the_order_and_never_mixed_with_another_day(path, said, read_as):
    row = read(path, TSH.replace("20260105090000", said))[0].row(0, named=True)
    at = row["examined_at"]
    assert (row["examined_on"], str(at) if at else None) == read_as


@pytest.mark.parametrize(
    "text",
    [
        HEAD.replace("ORU^R01^ORU_R01", "MDM^T02") + f"\r{CHILD}\rTXA|1|CD\rOBX|1|ED|CDA^Doc^L||^text^xml^Base64^PENsaW5pY2FsRG9j||||||F\r",
        HEAD.replace("ORU^R01^ORU_R01", "ACK^R01^ACK") + "\rMSA|AA|M0\r",
        HEAD.replace("ORU^R01^ORU_R01", "ORM^O01") + f"\r{CHILD}\r{ORDER}\r{TSH}\r",
        HEAD.replace("ORU^R01^ORU_R01", "OML^O21^OML_O21") + f"\r{CHILD}\r{ORDER}\r{TSH}\r",
    ],
)
def test_orders_admissions_acknowledgements_and_documents_hold_no_screening_and_it_is_said(path, text):
    path.write_text(text)
    accepted, finding, quarantine = judge(path)
    assert (len(accepted), codes(finding)) == (0, {(None, "message_not_result")})
    assert quarantine["source_id"].to_list() == ["M1"]


def test_a_message_that_carries_only_a_document_has_no_results(path):
    _, finding, quarantine = read(path, "OBX|1|ED|CDA^Document^L||^text^xml^Base64^PENsaW5pY2FsRG9j||||||F")
    assert (codes(finding), len(quarantine)) == ({(None, "message_without_results")}, 1)


@pytest.mark.parametrize("code", [
    "message_too_large", "message_encoding_unknown", "message_cut_off", "message_not_result", "message_without_results",
    "message_header_malformed", "message_patient_repeated", "answer_unread", "result_code_contradictory", "stage_code_contradictory",
    "stage_code_unlisted", "sex_code_unlisted", "specimen_quality_unlisted", "infant_factor_unlisted", "gestation_wk_unreadable",
    "status_disagrees", "flag_disagrees", "child_iin_malformed", "component_checksum", "value_cleaned",
    "card_no_contradictory", "gestation_wk_contradictory", "child_iin_untyped", "mother_iin_untyped", "mother_iin_contradictory",
    "relation_unlisted", "message_not_separated", "message_withdraws_nothing", "condition_list_corrected",
    "value_not_numeric", "batch_count_differs", "encoding_guessed", "birth_on_unreadable", "examined_on_unreadable", "file_not_hl7",
])  # fmt: skip
def test_every_code_of_the_reader_has_a_text_in_three_languages(code):
    assert all(tell_finding(code, code.rsplit("_", 1)[0], {}).values())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([HEAD, CHILD, MOTHER, ORDER, TSH, "OBX", "OBX|||||", "PID|", "\x0b", "MSH|", "free text", "BTS|x"]), max_size=12),
       st.binary(max_size=40), st.sampled_from(["\r", "\n"]))  # fmt: skip
def test_no_bytes_stop_the_reader_and_no_row_is_lost(tmp_path_factory, segments, noise, end):
    path = tmp_path_factory.mktemp("noise") / "a.hl7"
    path.write_bytes(b"MSH|" + end.join(segments).encode() + noise)
    try:
        judge(path)
    except FileRefusedError as refused:
        assert refused.code.startswith("file_")
