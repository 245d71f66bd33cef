"""What a record says of its child is held against the spine: a day before the birth, another day of birth, another's referral."""

from datetime import timedelta

import polars as pl
import pytest

from pipelines.night.verify import verify_store
from tests.nation import (
    BORN,
    FIRST,
    ask,
    bear,
    consent,
    copy_home,
    examine,
    flagged,
    name_iin,
    run,
    send,
    settle,
    take_in,
)

WAITING = "select record_kind, reason from lake.identified.waiting where known_to is null order by all"
NIGHT = timedelta(days=1)


@pytest.fixture(scope="module")
def referred(tmp_path_factory):
    """A home whose child 2 bears an IIN and was referred to K1 in the first night."""
    folder = tmp_path_factory.mktemp("spine")
    settings = settle(folder / "home")
    send(settings, folder, [{"birth": bear(2, child_iin=name_iin(700))}, *flagged(2)[1:]])
    run(settings, FIRST)
    return settings


@pytest.fixture
def home(referred, tmp_path):
    return copy_home(referred, tmp_path / "home")


def by_iin(record, **other):
    """The record of a child that is named by its IIN alone."""
    return record | {"mother_iin": "", "birth_on": "", "child_iin": name_iin(700)} | other


def codes(settings):
    return {row[0] for row in ask(settings, "select code from lake.ledger.finding")}


def test_a_result_or_a_consent_before_the_birth_of_the_child_its_iin_names_waits_and_its_sender_is_told(home, tmp_path):
    early = by_iin(examine(2, "gross_motor", 1.0, -30), programme="development")
    send(home, tmp_path, [{"screening": early}, {"consent": by_iin(consent(2, day=BORN - timedelta(days=2000)))}])
    take_in(home, FIRST + NIGHT)
    assert ask(home, WAITING) == [("consent", "dated_before_birth"), ("screening", "dated_before_birth")]
    assert "dated_before_birth" in codes(home)
    assert ask(home, "select count(*) from lake.clinical.flag where examined_on < ?", BORN) == [(0,)]
    assert not [check for check in verify_store(home, is_deep=True) if check.broken]
    sooner = str(BORN - timedelta(days=60))
    send(home, tmp_path, [{"birth": bear(2, child_iin=name_iin(700), birth_on=sooner, issued_at="2026-03-03T08:00:00")}], "corrected")
    take_in(home, FIRST + 2 * NIGHT)
    assert ask(home, WAITING) == [("consent", "dated_before_birth")]
    assert ask(home, "select count(*) from lake.clinical.screening where component = 'gross_motor' and known_to is null") == [(1,)]


def test_a_record_whose_iin_and_day_of_birth_are_of_two_children_is_of_neither(home, tmp_path):
    send(home, tmp_path, [{"screening": by_iin(examine(2, "tsh", 50, 3), birth_on=str(BORN - timedelta(days=365)), mother_iin=name_iin(9))}])
    take_in(home, FIRST + NIGHT)
    assert ask(home, WAITING) == [("screening", "keys_disagree")]


@pytest.mark.parametrize(("other", "reason"), [
    ({"sender_id": "K2"}, "referral_of_another"),
    ({"reported_on": str(FIRST - NIGHT)}, "reported_before_referral"),
    ({"category_codes": "none speech"}, None),
    ({}, ""),
])  # fmt: skip
def test_a_report_counts_only_from_the_pmpc_that_was_asked_after_it_was_asked_and_without_contradiction(home, tmp_path, other, reason):
    ((referral,),) = ask(home, "select referral_id from lake.clinical.referral")
    report = {"sender_id": "K1", "source_id": "X", "action_code": "report", "referral_id": referral, "report_status": "7.0",
              "reported_on": str(FIRST), "category_codes": "speech"}  # fmt: skip
    send(home, tmp_path, [{"pmpc_report": report | other}])
    run(home, FIRST + NIGHT)
    taken = ask(home, "select category_codes from lake.clinical.pmpc_report where known_to is null")
    assert taken == ([("speech",)] if reason == "" else [])
    assert ask(home, WAITING) == ([("pmpc_report", reason)] if reason else [])
    assert (reason is None) == ("category_codes_contradict" in codes(home))
    assert pl.Series([row[0] for row in ask(home, "select place from lake.clinical.placement where known_to is null")]).to_list() == [
        "closed" if reason == "" else "referred"]  # fmt: skip
