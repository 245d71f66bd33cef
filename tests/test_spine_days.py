"""What a record says of its child is held against the spine: a day before the birth, another day of birth, another's referral."""

from datetime import timedelta

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
    """A home whose child 2 bears an IIN and was referred to K1 in the first night, as 4, 6 and 8 were."""
    folder = tmp_path_factory.mktemp("spine")
    settings = settle(folder / "home")
    send(settings, folder, [{"birth": bear(2, child_iin=name_iin(700))}, *flagged(2)[1:], *flagged(4), *flagged(6), *flagged(8)])
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


def test_a_report_counts_only_from_the_pmpc_that_was_asked_after_it_was_asked_and_without_contradiction(home, tmp_path):
    of_child = "select b.source_id, {} from lake.clinical.{} join lake.identified.birth b using (child_key) where b.known_to is null"
    asked = dict(ask(home, of_child.format("referral_id", "referral")))
    said = {"B2": {}, "B4": {"sender_id": "K2"}, "B6": {"reported_on": str(FIRST - NIGHT)}, "B8": {"category_codes": "none speech"}}
    usual = {"sender_id": "K1", "action_code": "report", "report_status": "7.0", "reported_on": str(FIRST), "category_codes": "speech"}
    ids = {child: send(home, tmp_path, [{"pmpc_report": usual | {"source_id": f"X{child}", "referral_id": asked[child]} | other}], child)
           for child, other in said.items()}  # fmt: skip
    run(home, FIRST + NIGHT)
    assert ask(home, of_child.format("category_codes", "pmpc_report")) == [("B2", "speech")]
    waiting = dict(ask(home, "select submission_id, reason from lake.identified.waiting where record_kind = 'pmpc_report' and known_to is null"))
    assert waiting == {ids["B4"][0]: "referral_of_another", ids["B6"][0]: "reported_before_referral"}
    contradicting = ask(home, "select submission_id from lake.ledger.finding where code = 'category_codes_contradict'")
    assert contradicting == [(ids["B8"][0],)]
    places = dict(ask(home, of_child.format("place", "placement t") + " and t.known_to is null"))
    assert places == {"B2": "closed", "B4": "referred", "B6": "referred", "B8": "referred"}
