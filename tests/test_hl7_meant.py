"""What a field of HL7 v2 means where it says less than it could, or more than one thing."""

import pytest

from tests.test_hl7 import CHILD, HEAD, ORDER, TSH, judge

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
