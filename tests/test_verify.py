"""`erte verify` on a store that somebody or something has altered: each broken promise is told by its law."""

from datetime import timedelta

import duckdb
import pytest

from pipelines import flow
from pipelines.night.verify import verify_store
from pipelines.store.lake import open_lake
from tests.nation import (
    BORN,
    FIRST,
    ask,
    confirm,
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


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A home after two published nights: children referred, one taken back, one whose IIN a result brought, and a result of nobody known."""
    folder = tmp_path_factory.mktemp("verify")
    settings = settle(folder / "home")
    brought = {"screening": examine(2, "tsh", 3.0, child_iin=name_iin(902))}
    send(settings, folder, [*flagged(2), *flagged(3), brought, {"screening": examine(9, "motor", 1.2, 14)}])
    run(settings, FIRST)
    flow.publish(settings, FIRST)
    send(settings, folder, [*flagged(4), *flagged(5), {"consent": consent(3, "withdrawn", FIRST)}], "b")
    run(settings, FIRST + timedelta(days=1))
    flow.publish(settings, FIRST + timedelta(days=1))
    return settings


@pytest.fixture
def home(published, tmp_path):
    return copy_home(published, tmp_path / "home")


def broken(settings, *, is_deep=True):
    return [check.law for check in verify_store(settings, is_deep=is_deep) if check.broken]


def test_a_store_that_nobody_altered_keeps_every_promise_and_every_law_that_a_store_can_show_is_looked_at(home):
    checks = verify_store(home, is_deep=True)
    assert not [check for check in checks if check.broken]
    assert {check.law for check in checks} >= {"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "audit"}
    assert not [check.promise for check in checks if not check.checked and "person decided" not in check.promise]


@pytest.mark.parametrize(("altered", "law", "is_deep"), [
    ("delete from lake.ledger.event where event_no = (select max(event_no) from lake.ledger.event)", "audit", False),
    ("delete from lake.ledger.event where event_no = 1", "audit", False),
    ("update lake.ledger.event set detail = '{}' where event_no = 2", "audit", False),
    ("delete from lake.identified.waiting", "1", False),
    ("delete from lake.clinical.confirmation", "1", True),
    ("delete from lake.clinical.screening where known_to is null and row_no = 2", "1", True),
    ("update lake.clinical.flag set protocol = 'order-704/2999-01-01'", "5", False),
    (f"update lake.clinical.flag set examined_on = date '{BORN}' - 9999", "5", False),
    ("update lake.clinical.consent set authority_code = 'guardian'", "3", False),
    ("update lake.clinical.consent set purpose = 'sampling' where decision = 'given'", "3", False),
    (f"update lake.clinical.consent set valid_until = date '{FIRST}' - 1 where decision = 'given'", "3", False),
    ("update lake.clinical.referral set consent_key = consent_key + 1", "3", False),
    ("delete from lake.clinical.confirmation", "3", False),
    ("update lake.clinical.confirmation set confirmation = 'rejected'", "3", False),
    (f"update lake.clinical.confirmation set known_from = date '{FIRST}' + 2", "3", False),
    ("delete from lake.clinical.referral where item_kind = 'recall'", "8", False),
    ("delete from lake.clinical.consent where decision = 'withdrawn'", "3", False),
    (f"update lake.clinical.birth set known_from = date '{FIRST}' + 1", "10", False),
    ("update lake.identified.iin set child_key = child_key + 1", "11", False),
    ("update lake.identified.birth set child_iin = (select any_value(child_iin) from lake.identified.iin) where row_no = 3", "11", False),
])  # fmt: skip
def test_what_was_taken_out_or_altered_is_told_by_its_law(home, altered, law, is_deep):
    with open_lake(home) as connection:
        connection.execute(altered)
    assert law in broken(home, is_deep=is_deep)


def test_what_is_learned_on_the_day_of_a_night_after_its_feeds_were_sealed_breaks_no_promise(home, tmp_path):
    night = FIRST + timedelta(days=2)
    send(home, tmp_path / "a", flagged(6), "c")
    run(home, night)
    withdrawn = consent(6, "withdrawn", night)
    send(home, tmp_path / "b", [{"consent": withdrawn}, {"confirmation": confirm(4, action_code="cancel", issued_at=f"{night}T08:00:00")}], "d")
    take_in(home, night)
    assert not broken(home, is_deep=False)


def test_a_release_that_tells_something_else_than_was_known_is_told(home):
    path = home.published / f"erte-{FIRST}.duckdb"
    with duckdb.connect(str(path)) as release:
        release.execute("delete from pathway_2026")
    assert broken(home, is_deep=False) == ["10"]


def test_events_are_written_down_outside_the_lake_and_a_killed_run_is_made_up_for(home):
    chain = home.home / "audit" / "chain.txt"
    events = ask(home, "select event_no, event_hash from lake.ledger.event order by event_no")
    assert chain.read_text().split() == [str(value) for event in events for value in event]
    assert chain.stat().st_mode & 0o077 == 0
    chain.write_text(chain.read_text()[:-80])  # cut short in the last line but one
    assert not broken(home, is_deep=False)
    flow.refer(home, FIRST + timedelta(days=2))
    anchored = chain.read_text().split()
    assert all(event_hash in anchored for _, event_hash in ask(home, "select event_no, event_hash from lake.ledger.event"))
    assert not broken(home, is_deep=False)
