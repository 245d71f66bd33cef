r"""Acknowledgements of HL7 v2 messages, read back by the reference library `hl7`."""

import gzip
import json
from datetime import datetime, timedelta

import hl7 as reference
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import flow
from pipelines.intake.hl7.ack import Told, answer_file
from pipelines.intake.hl7.split import split_file
from pipelines.intake.reading import Limits
from pipelines.intake.refusal import list_findings
from pipelines.night.acks import write_acks
from tests.nation import FIRST, bear, name_iin, run, send, settle
from tests.samples import find_samples
from tests.test_hl7 import CHILD, HEAD, MOTHER, ORDER, TSH, judge, result

AT = datetime(2026, 2, 1, 6, 30)
ID = "0123456789abcdef" * 4
SAMPLES = find_samples() / "hl7"


def answer(path, *segments, refusal=None, limits=Limits()):  # noqa: B008
    """The acknowledgements of a file of these segments, as judged: bytes."""
    if segments:
        path.write_bytes("\r".join([*segments, ""]).encode())
    told = {}
    if not refusal:
        for row in judge(path)[1].drop_nulls("row_no").sort("row_no", "code").iter_rows():
            told.setdefault(row[0], []).append(Told(*row))
    return b"".join(answer_file(path, limits, told, refusal, ID, AT))


def parse(ack):
    return [reference.parse(f"MSH{one}\r") for one in ("\r" + ack.decode().rstrip("\r")).split("\rMSH")[1:]]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.hl7"


def test_a_message_that_is_taken_is_answered_to_its_sender_in_its_version(path):
    assert answer(path, HEAD, CHILD, MOTHER, ORDER, TSH) == (
        b"MSH|^~\\&|ERTE|MOH|LIS|L1|20260201063000||ACK^R01^ACK|0123456789ab.1|P|2.5.1\rMSA|AA|M1\r"
    )


@pytest.mark.parametrize(("processing", "answered"), [("T", ("AR", "E", "202")), ("D", ("AA", "W", "202"))])
def test_a_message_that_is_no_production_is_answered_so(path, processing, answered):
    (ack,) = parse(answer(path, HEAD.replace("|P|", f"|{processing}|"), CHILD, MOTHER, ORDER, TSH))
    (error,) = ack["ERR"]
    assert (str(ack["MSA"][0][1]), str(error[4]), str(error[3]).split("^")[0]) == answered
    assert (str(error[2]), str(ack["MSH"][0][11])) == ("MSH^1^11", processing)


def test_a_refused_result_is_named_by_segment_sequence_and_field_and_the_others_are_taken(path):
    bad = result("29573-3^Phe^LN", "high", "mg/dL")
    (ack,) = parse(answer(path, HEAD, CHILD, MOTHER, ORDER, TSH, bad))
    assert (str(ack["MSA"][0][1]), str(ack["MSA"][0][2])) == ("AE", "M1")
    missing, error = ack["ERR"]
    assert (str(missing[2]), str(missing[7])) == ("OBX^2^5", "result_missing")
    assert [str(error[n]) for n in range(1, 8)] == [
        "", "OBX^2^5", "102^Data type error^HL70357", "E", "value_not_numeric^^L", "", "value_not_numeric",
    ]  # fmt: skip
    assert len(str(error[8])) > 20
    assert "high" not in str(ack)


def test_a_message_is_refused_whole_when_none_of_its_results_is_taken(path):
    (ack,) = parse(answer(path, HEAD, CHILD, MOTHER, ORDER, result("29573-3^Phe^LN", "1.0", "furlong")))
    assert (str(ack["MSA"][0][1]), str(ack["ERR"][0][2]), str(ack["ERR"][0][3][0][0])) == ("AR", "OBX^1^6", "103")


@pytest.mark.parametrize(
    ("old", "new", "place"), [("20260107090000", "20270107090000", "OBR^1^22"), ("|20260108100000|", "|20270108100000|", "MSH^1^7")]
)
def test_a_message_that_is_issued_in_time_to_come_is_answered_by_the_place_of_its_moment_and_its_neighbour_is_taken(path, old, new, place):
    order = ORDER if "OBR" in place else ORDER.replace("20260107090000", "")
    late = [part.replace(old, new) for part in (HEAD, CHILD, MOTHER, order, TSH)]
    first, second = parse(answer(path, *late, HEAD.replace("|M1|", "|M2|"), CHILD, MOTHER, ORDER, TSH))
    assert (str(first["MSA"][0][1]), str(first["ERR"][0][2]), str(first["ERR"][0][7])) == ("AR", place, "issued_at_in_future")
    assert str(second["MSA"][0][1]) == "AA"


def test_what_is_only_to_be_looked_at_is_a_warning_of_a_message_that_is_taken(path):
    (ack,) = parse(answer(path, HEAD, CHILD.replace("20260103080000", "20170229"), MOTHER, ORDER, TSH))
    assert (str(ack["MSA"][0][1]), str(ack["ERR"][0][2]), str(ack["ERR"][0][4])) == ("AA", "PID^1^7", "W")


@pytest.mark.parametrize(
    ("head", "control_id", "place", "code"),
    [
        (HEAD.replace("ORU^R01^ORU_R01", "ADT^A01"), "M1", "MSH^1^9", "200"),
        (HEAD.replace("|M1|", "||"), "", "MSH^1^10", "101"),
        (HEAD.replace("ORU^R01^ORU_R01", ""), "M1", "MSH^1^9", "101"),
        ("MSH||LIS|L1|||20260108||ORU^R01|M1|P|2.5.1", "M1", "MSH^1^2", "101"),
    ],
)
def test_a_message_that_is_no_result_or_broken_is_refused_with_the_place(path, head, control_id, place, code):
    (ack,) = parse(answer(path, head, CHILD, TSH))
    assert [str(ack["MSA"][0][n]) if len(ack["MSA"][0]) > n else "" for n in (1, 2)] == ["AR", control_id]
    assert (str(ack["ERR"][0][2]), str(ack["ERR"][0][3][0][0])) == (place, code)


def test_the_place_is_in_the_second_child_of_a_message_when_the_fault_is_there(path):
    other = CHILD.replace("H7^", "H8^").replace("250314500010", "250314500011")
    (ack,) = parse(answer(path, HEAD, CHILD, ORDER, TSH, other, ORDER.replace("F77", "F78"), TSH))
    assert (str(ack["MSA"][0][1]), [str(e[2]) for e in ack["ERR"]]) == ("AE", ["PID^2^3"])


def test_old_versions_are_told_the_place_in_err_1_too(path):
    (ack,) = parse(answer(path, HEAD.replace("2.5.1", "2.3"), CHILD, ORDER, result("29573-3^Phe^LN", "x", "mg/dL")))
    assert (str(ack["MSH"][0][9]), str(ack["MSH"][0][12])) == ("ACK^R01", "2.3")
    assert str(ack["ERR"][-1][1]) == "OBX^1^5^102&Data type error&HL70357"


def test_an_answer_has_the_separators_of_its_message_and_escapes_them_in_its_text(path):
    text = "\r".join([HEAD, CHILD, ORDER, result("29573-3^Phe^LN", "x", "mg/dL")]).replace("^~\\&", "!*/(").replace("^", "!")
    (ack,) = parse(answer(path, *text.replace("|", "$").split("\r")))
    error = ack["ERR"][-1]
    assert (str(ack["MSH"][0][1]), str(error[2]), str(error[7])) == ("$", "OBX!1!5", "value_not_numeric")
    assert str(error[8]).endswith("as a number /T/HL7 v2: OBX-5, FHIR: valueQuantity).")


@pytest.mark.parametrize(
    ("charset", "language", "encoding", "word"),
    [("UNICODE UTF-8", "", "utf-8", "число"), ("8859/5", "", "iso8859_5", "число"), ("CP1251", "kk", "cp1251", "число"),
     ("UNICODE UTF-8", "kk", "utf-8", "сан"), ("", "", "ascii", "number"), ("8859/1", "ru", "latin-1", "number")],
)  # fmt: skip
def test_an_answer_is_in_the_character_set_of_its_message_and_in_a_language_it_can_write(path, charset, language, encoding, word):
    head = f"{HEAD}||||||{charset}" + (f"|{language}" if language else "")
    ack = answer(path, head, CHILD, ORDER, result("29573-3^Phe^LN", "x", "mg/dL"))
    parsed = reference.parse(ack.decode(encoding))
    assert word in str(parsed["ERR"][-1][8]).lower()
    assert (str(parsed["MSH"][0][18]) if len(parsed["MSH"][0]) > 18 else "") == charset


@pytest.mark.parametrize(("beside", "answered"), [([ORDER.replace("F77", "F78"), TSH], "AE"), ([], "AR")])
@pytest.mark.parametrize("place", [1, -1])
def test_an_order_that_is_cancelled_without_its_results_takes_none_back_and_says_what_to_send(path, beside, answered, place):
    cancelled = ORDER.replace("F77", "F4").removesuffix("|F") + "|X"
    orders = [[cancelled], beside][::place]
    parsed = reference.parse(answer(path, HEAD, CHILD, MOTHER, *orders[0], *orders[1]).decode())
    errors = [one for one in parsed["ERR"] if str(one[7]) == "message_withdraws_nothing"]
    assert (str(parsed["MSA"][0][1]), len(errors), "OBX-11 = D" in str(errors[0][8])) == (answered, 1, True)


def test_a_batch_is_answered_as_a_batch_and_a_file_as_a_file(path):
    heads = ["FHS|^~\\&|LIS|L1|ERTE|MOH|20260108||||FILE7", "BHS|^~\\&|LIS|L1|ERTE|MOH|20260108||||BATCH7"]
    message = [HEAD, CHILD, MOTHER, ORDER, TSH]
    for trailers in ([], ["BTS|2", "FTS|1"]):
        lines = answer(path, *heads, *message, HEAD.replace("|M1|", "|M2|"), *message[1:], *trailers).decode().split("\r")
        assert [line[:3] for line in lines[:-1]] == ["FHS", "BHS", "MSH", "MSA", "MSH", "MSA", "BTS", "FTS"]
        assert lines[0] == "FHS|^~\\&|ERTE|MOH|LIS|L1|20260201063000||||0123456789ab.F0|FILE7"
        assert lines[1] == "BHS|^~\\&|ERTE|MOH|LIS|L1|20260201063000||||0123456789ab.B1|BATCH7"
        assert (lines[3], lines[5], lines[6], lines[7]) == ("MSA|AA|M1", "MSA|AA|M2", "BTS|2", "FTS|1")


def test_every_message_of_a_refused_file_is_refused_with_the_reason_of_the_file(path):
    path.write_text("\r".join([HEAD, TSH, HEAD.replace("|M1|", "|M2|"), TSH, ""]))
    acks = parse(answer(path, refusal="file_unreadable"))
    assert [(str(a["MSA"][0][1]), str(a["MSA"][0][2]), str(a["ERR"][0][7])) for a in acks] == [
        ("AR", "M1", "file_unreadable"), ("AR", "M2", "file_unreadable"),
    ]  # fmt: skip


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.hl7")), ids=lambda p: p.name)
def test_real_messages_are_answered_each_by_its_control_id(sample):
    ack = answer(sample)
    sent = [line.split(line[3:4]) for line in sample.read_text("utf-8-sig").replace("\n", "\r").split("\r") if line.startswith("MSH")]
    acks = parse(ack[ack.index(b"MSH") :].split(b"\rBTS")[0])
    ids = [str(a["MSA"][0][2]) if len(a["MSA"][0]) > 2 else "" for a in acks]
    assert ids == [head[9] if len(head) > 9 else "" for head in sent]
    assert {str(a["MSA"][0][1]) for a in acks} <= {"AA", "AE", "AR"}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([HEAD, CHILD, TSH, "MSH", "MSH|^~", "MSH|^~\\&|||||||ORU|9", "BHS", "BTS|x", "FHS|", "MSHa", "\x00", "Ж"]),
                max_size=9), st.binary(max_size=20))  # fmt: skip
def test_whatever_is_sent_each_message_header_gets_one_answer(tmp_path_factory, segments, noise):
    path = tmp_path_factory.mktemp("noise") / "a.hl7"
    path.write_bytes("\r".join(["MSH|^~\\&|A", *segments, ""]).encode() + noise)
    ack = answer(path)
    assert (b"\r" + ack).count(b"\rMSH") == sum(part.name == "MSH" for parts in split_file(path, 1 << 20) for part in parts)
    assert (b"\r" + ack).count(b"\rMSA") == (b"\r" + ack).count(b"\rMSH")


def test_a_night_leaves_the_acknowledgements_beside_the_feedback(tmp_path):
    home = settle(tmp_path / "home")
    send(home, tmp_path, [{"birth": bear(2)}])
    mother = f"NK1|1|A^B|MTH{'|' * 30}{name_iin(2)}^^^KZ^NI"
    child = "PID|1||H2^^^M1^MR||BABY||20260210|F|||||||||||||||||1"
    taken = TSH.replace("20260105090000", "20260212090000")
    path = tmp_path / "lab.hl7"
    path.write_text("\r".join([HEAD, child, mother, ORDER, taken, HEAD.replace("|M1|", "|M2|"), child, mother, taken.replace("3.5", "x"), ""]))
    (submission,) = flow.receive(home, [path])
    run(home, FIRST)
    acks = parse((home.reports / "feedback" / submission / "ack.hl7").read_bytes())
    assert [(str(a["MSA"][0][1]), str(a["MSA"][0][2])) for a in acks] == [("AA", "M1"), ("AR", "M2")]
    assert {str(a["MSH"][0][7]) for a in acks} == {f"{FIRST:%Y%m%d}"}
    packed = tmp_path / "packed.hl7.gz"
    packed.write_bytes(gzip.compress(path.read_bytes().replace(b"|M1|", b"|M7|")))
    (again,) = flow.receive(home, [packed])
    run(home, FIRST + timedelta(days=1))
    assert [str(a["MSA"][0][2]) for a in parse((home.reports / "feedback" / again / "ack.hl7").read_bytes())] == ["M7", "M2"]
    (late,) = flow.receive(home, [path.rename(tmp_path / "late.hl7")])
    (home.home / "held").mkdir(exist_ok=True)
    next(home.archive.glob(f"*/{late}-*")).rename(home.home / "held" / f"{late}-late.hl7")
    row = {"submission_id": late, "file_name": path.name, "status": "returned", "layout": "hl7-oru", "refusal_code": None, "received_on": FIRST}
    assert write_acks(tmp_path / "returned", home, row, list_findings([]).with_columns(detail=pl.lit(None, pl.String)))
    assert {str(a["MSA"][0][1]) for a in parse((tmp_path / "returned" / "ack.hl7").read_bytes())} == {"AR"}
    folders = sorted(p.name for p in (home.reports / "feedback").iterdir() if (p / "ack.hl7").exists())
    assert folders == sorted([submission, again])


def test_a_sender_of_messages_reads_the_same_place_in_the_answer_on_the_page_and_in_the_file_to_fix(tmp_path):
    home = settle(tmp_path / "home")
    path = tmp_path / "lab.hl7"
    wrong = MOTHER.replace("250314500108", "250314500109")
    path.write_text("\r".join([f"{HEAD}||||||UNICODE UTF-8", CHILD, wrong, ORDER, TSH, ""]))
    (submission,) = flow.receive(home, [path])
    run(home, FIRST)
    folder = home.reports / "feedback" / submission
    texts = {name: (folder / name).read_text("utf-8") for name in ("ack.hl7", "feedback.html", "to-fix.hl7", "feedback.json")}
    assert all("NK1-33" in text and "mother_iin»" not in text for text in texts.values())
    assert {f["column"] for f in json.loads(texts["feedback.json"])["findings"] if f["code"] == "mother_iin_checksum"} == {"NK1-33 / PID-21"}
