"""HL7 v2 files as bytes: line ends, framing, batches, character sets, what is too large; and nothing lost between messages."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.intake.hl7 import read_chunks
from pipelines.intake.hl7 import split as hl7_split
from pipelines.intake.hl7.ack import Told, answer_file
from pipelines.intake.hl7.fix import write_messages
from pipelines.intake.hl7.split import split_file
from pipelines.intake.mends import Refused
from pipelines.intake.reading import Limits
from pipelines.intake.receive import judge_chunk, open_submission
from tests.test_hl7 import CHILD, HEAD, MOTHER, ON, ORDER, TSH, codes, judge

LINES = [HEAD, CHILD, MOTHER, ORDER, TSH]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.hl7"


def number(content, n):
    """Messages that can be told apart: M1, M2 ... with orders F1, F2 ..."""
    return content.replace("|M1|", f"|M{n}|").replace("F77", f"F{n}")


def test_line_ends_mixed_in_one_file_are_read_and_lines_counted_as_an_editor_shows_them(path):
    ends = ["\r", "\n", "\r\n", "\r", "\r\n"]
    text = "".join(line + end for line, end in zip(LINES, ends, strict=True))
    path.write_bytes((number(text, 1) + "\r\n" + number(text, 2)).encode())
    accepted, finding, _ = judge(path)
    assert accepted.select("row_no", "source_id").rows() == [(5, "F1"), (11, "F2")]
    assert len(finding) == 0


@pytest.mark.parametrize("end", [b"\x1c\r", b"\x1c\r\n", b"\r\x1c\r", b"\x1c"])
def test_mllp_framing_is_no_part_of_a_message(path, end):
    frames = [b"\x0b" + "\r".join([HEAD, CHILD, MOTHER, ORDER, "OBX|1|NM|29575-8^TSH^LN|1|3|mU/L"]).encode() for _ in range(2)]
    path.write_bytes(end.join([*(number(f.decode(), n).encode() for n, f in enumerate(frames)), b""]))
    accepted, finding, _ = judge(path)
    assert (accepted["source_id"].to_list(), accepted["unit"].to_list(), len(finding)) == (["F0", "F1"], ["m[IU]/L"] * 2, 0)


def test_byte_order_marks_of_files_that_were_joined_are_no_text(path):
    text = "\r\n".join([*LINES, ""])
    path.write_bytes(b"\xef\xbb\xbf" + number(text, 1).encode() + b"\xef\xbb\xbf" + number(text, 2).encode())
    assert judge(path)[0]["source_id"].to_list() == ["F1", "F2"]


CHARSETS = [
    ("8859/5", "iso8859_5", "Айша"), ("ISO-8859-5", "iso8859_5", "ТА"), ("CP1251", "cp1251", "Айша"), ("windows-1251", "cp1251", "Ая"),
    ("Win1251", "cp1251", "Ёя"), ("KZ-1048", "kz1048", "Әсем"), ("STRK1048-2002", "kz1048", "Ғани"), ("UNICODE UTF-8", "utf-8", "Әсем"),
    ("UTF8", "utf-8", "Ұлы"), ("8859/5~UNICODE UTF-8", "iso8859_5", "Ная"), ("8859/1", "latin-1", "Zoë"), ("KOI8-R", "koi8_r", "Айша"),
]  # fmt: skip


@pytest.mark.parametrize("order", [1, -1])
def test_each_message_is_read_by_the_character_set_it_declares(path, order):
    path.write_bytes(b"".join(
        number("\r".join([f"{HEAD}||||||{said}", CHILD.replace("GIRL A", name), MOTHER, ORDER, TSH, ""]), n).encode(encoding)
        for n, (said, encoding, name) in list(enumerate(CHARSETS))[::order]
    ))  # fmt: skip
    accepted, finding, _ = judge(path)
    names = dict(accepted.select("source_id", "given_name").iter_rows())
    assert names == {f"F{n}": name for n, (_, _, name) in enumerate(CHARSETS)}
    assert len(finding) == 0


def test_utf_8_that_spells_cyrillic_is_believed_more_than_a_wrong_declaration(path):
    path.write_text("\r".join([f"{HEAD}||||||8859/5", CHILD.replace("GIRL A", "Айша"), MOTHER, ORDER, TSH, ""]))
    assert judge(path)[0]["given_name"].to_list() == ["Айша"]


def test_an_undeclared_character_set_is_guessed_and_told_once(path):
    text = "\r".join([*LINES, ""]).replace("GIRL A", "Айша")
    path.write_bytes("".join(number(text, n) for n in range(3)).encode("cp1251"))
    accepted, finding, _ = judge(path)
    assert accepted["given_name"].to_list() == ["Айша"] * 3
    assert finding.select("row_no", "code").rows() == [(None, "encoding_guessed")]


@pytest.mark.parametrize(("said", "charset"), [(r"\XC0E9F8E0\\X21\ ", "CP1251"), (r"\XD090D0B9\\XD1\\X88D0B0\!", "UNICODE UTF-8"),
                                               (r"\C2D4C\%s\C2842\! ", "")])  # fmt: skip
def test_escapes_of_bytes_and_of_character_sets_are_letters(path, said, charset):
    text = "\r".join([f"{HEAD}||||||{charset}", CHILD.replace("GIRL A", said), MOTHER, ORDER, TSH, ""])
    path.write_bytes(text.encode().replace(b"%s", "Айша".encode("iso8859_5")))
    assert judge(path)[0]["given_name"].to_list() == ["Айша!"]


def test_a_message_with_nul_bytes_is_refused_and_the_others_are_not(path):
    text = "\r".join([*LINES, ""])
    path.write_text(number(text, 1) + number(text, 2).replace("GIRL A", "GI\x00RL") + number(text, 3))
    accepted, finding, quarantine = judge(path)
    assert (accepted["source_id"].to_list(), codes(finding)) == (["F1", "F3"], {(None, "message_encoding_unknown")})
    assert quarantine["row_no"].to_list() == [6]


def test_a_message_of_no_known_character_set_is_refused_and_the_others_are_not(path):
    text = "\r".join([*LINES, ""]).encode()
    path.write_bytes(text.replace(b"GIRL A", b"\x98\xff") + text.replace(b"F77", b"F78"))
    accepted, finding, _ = judge(path)
    assert (accepted["source_id"].to_list(), codes(finding)) == (["F78"], {(None, "message_encoding_unknown")})


@pytest.mark.parametrize("size_mb", [1, 9, 20])
def test_a_message_larger_than_the_limit_is_refused_unread_and_the_others_are_not(path, size_mb):
    text, report = "\r".join([*LINES, ""]), "OBX|2|ED|PDF^Report^L||^application^pdf^Base64^" + ("QUJD" * 20 + "\r\n") * (size_mb << 14)
    path.write_bytes((number(text, 1) + number(text, 2) + report + number(text, 3)).encode())
    opened = open_submission(path, Limits(line_mb=1))
    judged = [judge_chunk(chunk, opened.layout, "0" * 64, ON) for chunk in opened.chunks]
    assert [row for j in judged for row in j.accepted.select("row_no", "source_id").rows()] == [
        (5, "F1"), (5 + 5 + 5 + (size_mb << 14) + 1 - 1, "F3"),
    ]  # fmt: skip
    assert [row for j in judged for row in j.finding.select("row_no", "code").rows()] == [(6, "message_too_large")]
    assert max(len(text) for j in judged for text in j.quarantine["row_text"]) <= 65_537


def test_segments_that_belong_to_no_message_are_refused_and_not_lost(path):
    path.write_text("\r".join(["BHS|^~\\&|LIS", CHILD, ORDER, TSH, *LINES, "BTS|1", TSH, ""]))
    accepted, finding, quarantine = judge(path)
    assert (len(accepted), quarantine["row_no"].to_list()) == (1, [2, 11])
    assert codes(finding) == {(None, "message_header_malformed")}


def test_a_batch_with_separators_of_its_own_is_counted(path):
    path.write_text("\r".join(["FHS$%~\\&$LIS", "BHS$%~\\&$LIS", *LINES, "BTS$3$of", "FTS$1", ""]))
    assert set(judge(path)[1]["code"]) == {"batch_count_differs"}


@settings(max_examples=60, deadline=None)
@given(
    parts=st.lists(st.sampled_from([*LINES, "", "free text", "BHS|^~\\&|A", "BTS|1", "\x0bMSH|^~\\&|B", "NTE|1||Ж" * 9]), max_size=30),
    end=st.sampled_from(["\r", "\n", "\r\n", "\x1c\r"]),
    block=st.integers(8, 200),
)
def test_how_a_file_is_cut_into_blocks_changes_nothing(tmp_path_factory, parts, end, block):
    path = tmp_path_factory.mktemp("blocks") / "a.hl7"
    content = end.join(["MSH|^~\\&|X", *parts, ""]).encode()
    path.write_bytes(content)
    whole = [part for one in split_file(path, 1 << 20) for part in one]
    usual, hl7_split._BLOCK_BYTES = hl7_split._BLOCK_BYTES, block
    try:
        assert [part for one in split_file(path, 1 << 20) for part in one] == whole
    finally:
        hl7_split._BLOCK_BYTES = usual
    lines = re.split(rb"\r\n|\r|\n", content.replace(b"\x0b", b"").replace(b"\x1c", b""))
    assert [lines[part.line_no - 1] for part in whole] == [part.content.split(b"\r")[0] for part in whole]


def test_a_message_of_many_results_is_read_answered_and_given_back_in_time_that_grows_with_its_length(path):
    """20,000 refused results of one name in one message took minutes when each was looked up among all the others."""
    bad = "OBX|1|NM|29575-8^TSH^LN|1|high|mU/L|||||F"
    path.write_text("\r".join([*LINES[:4], *[bad] * 20_000, "OBX|2|ED|R^Report^L||^a^b^Base64^", *["QUJD"] * 200_000, ""]))
    begun = time.monotonic()
    told = {row[0]: [Told(*row)] for chunk in read_chunks(path) for row in chunk.findings.iter_rows()}
    assert len(told) == 20_001
    acks = b"".join(answer_file(path, Limits(), told, None, "a" * 64, ON))
    fixed = write_messages(path, Limits(), [Refused(row, "", f"erte-{'a' * 12}-{row}", "a reason") for row in told])
    assert (acks.count(b"\rERR|"), fixed.count(b"\rNTE|")) == (20_001, 20_001)
    assert time.monotonic() - begun < 30
