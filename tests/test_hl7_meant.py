"""What a field of HL7 v2 means where it says less than it could, or more than one thing."""

import pytest

from pipelines.intake.fhir.values import read_moment
from pipelines.intake.hl7.fields import read_time
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
