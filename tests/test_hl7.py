"""HL7 v2 messages as laboratories write them: results, refusals with a reason, and nothing lost."""

from datetime import date
from pathlib import Path

import hl7 as reference
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.intake.hl7 import read_chunks
from pipelines.intake.hl7_fields import clean_number, is_loinc_whole, read_marks, read_time, unescape
from pipelines.intake.reading import FileRefusedError
from pipelines.intake.receive import judge_chunk, open_submission

ON = date(2026, 2, 1)
SAMPLES = Path(__file__).parents[2] / "shared" / "samples" / "hl7"
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


def judge(path):
    opened = open_submission(path)
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
    assert read_time("202601050903-0500") == ("2026-01-05", "2026-01-05T09:03:00")
    assert read_time("202601050903001") == ("2026-01-05", None)
    assert (read_time("20170229"), read_time("YYYYMMDD"), read_time("")) == ((None, None),) * 3
    assert unescape(marks, "a\\T\\b\\X41\\c\\F\\d\\.br\\e") == "a&bAc|d\ne"
    assert (clean_number("> ^ 15", "^"), clean_number("n/a", "^")[1]) == ((">", "15", True), None)


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.hl7")), ids=lambda p: p.name)
def test_a_real_message_gives_its_results_or_a_reason(sample):
    accepted, finding, quarantine = judge(sample)
    is_result = b"|ORU^" in sample.read_bytes()
    if is_result:
        assert len(accepted) > 0
    else:
        assert len(accepted) == 0
        assert len(quarantine) > 0
        assert set(finding.filter(pl.col("severity") == "error")["code"]) <= {
            "message_not_result", "message_header_malformed", "message_without_results",
        }  # fmt: skip


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


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([HEAD, CHILD, MOTHER, ORDER, TSH, "OBX", "OBX|||||", "PID|", "\x0b", "MSH|", "free text", "BTS|x"]), max_size=12),
       st.binary(max_size=40), st.sampled_from(["\r", "\n"]))  # fmt: skip
def test_no_bytes_stop_the_reader_and_no_row_is_lost(tmp_path_factory, segments, noise, end):
    path = tmp_path_factory.mktemp("noise") / "a.hl7"
    path.write_bytes(b"MSH|" + end.join(segments).encode() + noise)
    try:
        judge(path)
    except FileRefusedError as refused:
        assert refused.code.startswith("file_")
