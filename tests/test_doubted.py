"""What came about a held consent and could not be taken may be a withdrawal: until that is settled nobody is sent on the consent."""

import json
from datetime import timedelta

import pytest

from pipelines import flow
from pipelines.night.verify import verify_store
from pipelines.store.warehouse import open_published
from tests.nation import FIRST, ask, bear, confirm, consent, copy_home, flagged, name_iin, run, send, settle, take_in
from tests.test_fhir_documents import decide

NIGHT = timedelta(days=1)
PLACES = "select child_key, place, reason from lake.clinical.placement where known_to is null order by child_key"
TOLD = "select consent, is_referred, count(*) from pathway group by all order by all"


def anew(number, decision, days=1):
    """The consent of a child told anew under its own number."""
    own = {"source_id": consent(number)["source_id"], "issued_at": f"{FIRST + NIGHT * days}T09:00:00"}
    return {"consent": consent(number, decision=decision) | own}


def live_night(settings, on):
    """A night with its release."""
    run(settings, on)
    flow.publish(settings, on)


def place(settings):
    """Child's number -> (place, reason) of its flag."""
    born = dict(ask(settings, "select child_key, history_no from lake.identified.birth where known_to is null"))
    return {int(born[child][1:]): (where, why) for child, where, why in ask(settings, PLACES)}


def release(settings):
    """(consent, whether referred) -> children, as published."""
    with open_published(settings) as published:
        return {row[:2]: row[2] for row in published.execute(TOLD).fetchall()}


@pytest.fixture
def confirmed(tmp_path):
    """A home in which the consents of children 2 and 4 are held, and nobody was sent yet."""
    settings = settle(tmp_path / "home")
    send(settings, tmp_path, [record for n in (2, 4) for record in flagged(n)], "first")
    take_in(settings, FIRST)
    return settings


def test_a_refused_withdrawal_under_a_number_of_its_own_puts_the_childs_consents_in_doubt_and_a_refused_consent_does_not(confirmed, tmp_path):
    withdrawn, again = consent(2, decision="withdrawn"), consent(4) | {"source_id": "C4-again"}
    send(confirmed, tmp_path, [{"consent": row | {"decided_on": "someday"}} for row in (withdrawn, again)], "second")
    run(confirmed, FIRST)
    assert place(confirmed) == {2: ("withheld", "consent_unclear"), 4: ("referred", "awaiting_pmpc")}
    send(confirmed, tmp_path, [{"consent": withdrawn}], "third")
    run(confirmed, FIRST + NIGHT)
    assert place(confirmed)[2] == ("withheld", "consent_withdrawn")


@pytest.mark.parametrize("column", ["decided_on", "issued_at"])
def test_a_withdrawal_of_a_year_in_two_digits_is_no_withdrawal_before_birth_and_no_older_version_but_a_doubt(confirmed, tmp_path, column):
    row = anew(2, "withdrawn")["consent"]
    send(confirmed, tmp_path, [{"consent": row | {column: str(row[column]).removeprefix("20")}}], "second")
    run(confirmed, FIRST)
    assert place(confirmed) == {2: ("withheld", "consent_unclear"), 4: ("referred", "awaiting_pmpc")}


def test_what_waits_for_a_steward_puts_consents_in_doubt_until_it_is_decided(confirmed, tmp_path):
    rows = [consent(2, decision="withdrawn")] + [consent(n, decision="blue") for n in range(100, 160)]
    send(confirmed, tmp_path, [{"consent": row} for row in rows], "second")
    run(confirmed, FIRST)
    (held,) = flow.list_held(confirmed)
    assert place(confirmed) == {2: ("withheld", "consent_unclear"), 4: ("referred", "awaiting_pmpc")}
    flow.decide_held(confirmed, held["submission_id"], "release", "the others are of a test", "aigerim")
    run(confirmed, FIRST + NIGHT)
    assert place(confirmed)[2] == ("withheld", "consent_withdrawn")
    assert not [check for check in verify_store(confirmed, is_deep=True) if check.broken]


def test_a_batch_that_is_returned_leaves_no_doubt_behind(confirmed, tmp_path):
    send(confirmed, tmp_path, [{"consent": row} for row in [consent(2)] + [consent(n, decision="blue") for n in range(100, 160)]], "second")
    run(confirmed, FIRST)
    (held,) = flow.list_held(confirmed)
    assert place(confirmed)[2] == ("withheld", "consent_unclear")
    flow.decide_held(confirmed, held["submission_id"], "return", "the others are of a test", "aigerim")
    run(confirmed, FIRST + NIGHT)
    assert place(confirmed)[2] == ("referred", "awaiting_pmpc")


def test_a_refused_withdrawal_is_heard_too_when_it_came_in_the_file_of_the_consent(tmp_path):
    settings = settle(tmp_path / "home")
    unreadable = {"consent": consent(2, decision="withdrawn") | {"decided_on": "someday"}}
    send(settings, tmp_path, [*flagged(2), unreadable])
    run(settings, FIRST)
    assert place(settings) == {2: ("withheld", "consent_unclear")}


def test_a_refused_row_that_plainly_gives_a_consent_alone_puts_nothing_in_doubt(confirmed, tmp_path):
    send(confirmed, tmp_path, [{"consent": consent(4) | {"source_id": "C4-again", "decided_on": "someday"}}], "second")
    run(confirmed, FIRST)
    assert set(place(confirmed).values()) == {("referred", "awaiting_pmpc")}


@pytest.fixture(scope="module")
def doubted(tmp_path_factory):
    """Child 2 was referred; of 4, 6 and 8 the consent is held but nobody had confirmed; then of all four a newer version is refused."""
    folder = tmp_path_factory.mktemp("doubted")
    settings = settle(folder / "home")
    send(settings, folder, [record for n in (4, 6, 8) for record in flagged(n)[:3]] + flagged(2), "first")
    live_night(settings, FIRST)
    send(settings, folder, [anew(n, "blue") for n in (2, 4, 6, 8)] + [{"confirmation": confirm(n)} for n in (4, 6, 8)], "second")
    live_night(settings, FIRST + NIGHT)
    return settings


def test_nobody_is_sent_on_a_consent_in_doubt_and_what_was_sent_stands(doubted):
    assert place(doubted) == {2: ("referred", "awaiting_pmpc"), **dict.fromkeys((4, 6, 8), ("withheld", "consent_unclear"))}
    assert ask(doubted, "select item_kind, count(*) from lake.clinical.referral group by all") == [("referral", 1)]
    assert release(doubted) == {("given", True): 1, ("pending", False): 3}
    assert not [check for check in verify_store(doubted, is_deep=True) if check.broken]
    (worklist,) = (doubted.reports / "worklist").glob("P1.csv")
    assert worklist.read_text().count("consent_unclear") == 3


def test_a_doubt_ends_with_what_its_sender_says_then_and_every_release_tells_what_one_from_nothing_does(doubted, tmp_path):
    settings = copy_home(doubted, tmp_path / "home")
    send(settings, tmp_path, [anew(4, "given", 2), anew(6, "withdrawn", 2), anew(2, "given", 2)], "third")
    live_night(settings, FIRST + 2 * NIGHT)
    assert place(settings) == {
        2: ("referred", "awaiting_pmpc"), 4: ("referred", "awaiting_pmpc"), 6: ("withheld", "consent_withdrawn"), 8: ("withheld", "consent_unclear"),
    }  # fmt: skip
    assert release(settings) == {("given", True): 2, ("pending", False): 1, ("withdrawn", False): 1}
    assert not [check for check in verify_store(settings, is_deep=True) if check.broken]
    for path in settings.published.glob("erte*.duckdb"):
        path.unlink()
    for nights, told in ((1, {("given", True): 1, ("pending", False): 3}), (2, {("given", True): 2, ("pending", False): 1, ("withdrawn", False): 1})):
        flow.publish(settings, FIRST + nights * NIGHT)
        assert release(settings) == told


def test_a_consent_of_a_server_whose_newer_version_nobody_understands_is_in_doubt_for_all_its_purposes(tmp_path):
    settings = settle(tmp_path / "home")
    birth = {"birth": bear(2, child_iin=name_iin(2))}
    send(settings, tmp_path, [birth, *flagged(2)[1:2], flagged(2)[3]])
    versions = {0: decide(2, "16T09:00", "sampling", "pmpc_referral"), 1: decide(2, "20T09:00", "sampling", status="paused"),
                2: decide(2, "24T09:00", "sampling", "pmpc_referral")}  # fmt: skip
    for night, version in versions.items():
        (tmp_path / f"{night}.ndjson").write_text(json.dumps(version) + "\n")
    flow.receive(settings, [tmp_path / "0.ndjson", tmp_path / "1.ndjson"])
    run(settings, FIRST)
    assert place(settings) == {2: ("withheld", "consent_unclear")}
    flow.receive(settings, [tmp_path / "2.ndjson"])
    run(settings, FIRST + NIGHT)
    assert place(settings) == {2: ("referred", "awaiting_pmpc")}


def test_a_consent_refused_when_it_first_came_puts_nothing_in_doubt_once_it_is_mended(tmp_path):
    settings = settle(tmp_path / "home")
    send(settings, tmp_path, [*flagged(2)[:2], flagged(2)[3], {"consent": consent(2, decision="given") | {"decision": "blue"}}], "first")
    take_in(settings, FIRST)
    send(settings, tmp_path, [anew(2, "given")], "second")
    run(settings, FIRST + NIGHT)
    assert place(settings) == {2: ("referred", "awaiting_pmpc")}


def test_a_referral_sent_on_a_consent_in_doubt_breaks_a_promise(doubted, tmp_path, monkeypatch):
    settings = copy_home(doubted, tmp_path / "home")
    monkeypatch.setattr("pipelines.night.refer.list_doubted", lambda *_: ())
    send(settings, tmp_path, [{"confirmation": confirm(10)}], "third")
    run(settings, FIRST + 2 * NIGHT)
    monkeypatch.undo()
    broken = [check for check in verify_store(settings, is_deep=False) if check.broken]
    assert [(check.broken, "open at the gate" in check.promise) for check in broken] == [(3, True)]


def withdraw(number, **other):
    """A withdrawal under a number of its own, of a child that is named by its IIN alone."""
    row = consent(number, decision="withdrawn") | {"source_id": f"C{number}-ended", "child_iin": name_iin(number)}
    return {"consent": {name: text for name, text in (row | other).items() if text}}


def bear_known(number):
    """Everything of a child who is to be referred, and who has an IIN."""
    birth, *rest = flagged(number)
    return [{"birth": birth["birth"] | {"child_iin": name_iin(number)}}, *rest]


BY_IIN = {"mother_iin": "", "birth_on": ""}


@pytest.mark.parametrize(
    "told",
    [
        BY_IIN | {"decided_on": "2016-02-17"},  # before the birth, as the spine knows
        {"birth_on": "2026-02-02"},  # the IIN of a child who was born on another day
        {"child_iin": "", "birth_on": "2026-02-02"},  # a child the mother does not have
        {"child_iin": "", "mother_iin": "", "maternity_id": "M1", "history_no": "H2", "birth_on": "2026-02-02"},
    ],
    ids=["dated before birth", "another birth date", "another child of the mother", "a history number of another day"],
)
def test_a_withdrawal_that_waits_for_its_child_puts_every_child_it_may_mean_in_doubt_until_it_is_found(tmp_path, told):
    settings = settle(tmp_path / "home")
    send(settings, tmp_path, [record for n in (2, 4) for record in bear_known(n)], "first")
    take_in(settings, FIRST)
    send(settings, tmp_path, [withdraw(2, **told)], "second")
    run(settings, FIRST)
    assert place(settings) == {2: ("withheld", "consent_unclear"), 4: ("referred", "awaiting_pmpc")}
    run(settings, FIRST + NIGHT)
    assert place(settings)[2] == ("withheld", "consent_unclear")
    send(settings, tmp_path, [withdraw(2, issued_at="2026-03-01T09:00:00")], "third")
    run(settings, FIRST + 2 * NIGHT)
    assert place(settings)[2] == ("withheld", "consent_withdrawn")
    assert not [check for check in verify_store(settings, is_deep=True) if check.broken]


def test_a_withdrawal_that_was_taken_back_before_its_child_was_found_leaves_no_doubt(tmp_path):
    settings = settle(tmp_path / "home")
    send(settings, tmp_path, bear_known(2), "first")
    send(settings, tmp_path, [withdraw(2, **BY_IIN, decided_on="2016-02-17")], "second")
    run(settings, FIRST)
    assert place(settings) == {2: ("withheld", "consent_unclear")}
    send(settings, tmp_path, [withdraw(2, issued_at="2026-03-01T09:00:00", decision="given")], "third")
    run(settings, FIRST + NIGHT)
    assert place(settings) == {2: ("referred", "awaiting_pmpc")}


@pytest.mark.parametrize(
    ("told", "reason"),
    [({"decided_on": "2016-02-17"}, "consent_unclear"), ({"birth_on": "2026-02-02"}, None)],
    ids=["of a day nobody knows", "decided before the consent"],
)
def test_a_waiting_withdrawal_doubts_no_later_consent_unless_its_own_day_is_not_known(tmp_path, told, reason):
    settings = settle(tmp_path / "home")
    first = BY_IIN if "decided_on" in told else {}
    send(settings, tmp_path, [withdraw(2, **first, **told), *bear_known(2)[:2], bear_known(2)[3]], "first")
    send(settings, tmp_path, [{"consent": consent(2, day=FIRST - 2 * NIGHT)}], "second")
    run(settings, FIRST)
    assert place(settings) == {2: ("withheld", reason) if reason else ("referred", "awaiting_pmpc")}


@pytest.mark.parametrize(
    ("told", "places"),
    [
        ({"issued_at": "2016-02-20T09:00:00"}, {("withheld", "consent_unclear")}),
        ({}, {("withheld", "consent_unclear"), ("withheld", "consent_withdrawn")}),  # whichever of the two is held
        ({"issued_at": "2016-02-20T09:00:00", "decided_on": "2026-02-12"}, {("referred", "awaiting_pmpc")}),
    ],
    ids=["of an older version", "of the same version", "decided before the consent"],
)
def test_a_withdrawal_that_loses_by_its_version_is_a_doubt_unless_the_consent_is_the_later_word(tmp_path, told, places):
    settings = settle(tmp_path / "home")
    send(settings, tmp_path, flagged(2), "first")
    take_in(settings, FIRST)
    given = consent(2)
    send(settings, tmp_path, [{"consent": given | {"decision": "withdrawn"} | told}], "second")
    run(settings, FIRST)
    assert place(settings)[2] in places
    send(settings, tmp_path, [{"consent": given | {"issued_at": "2026-03-01T09:00:00"}}], "third")
    run(settings, FIRST + NIGHT)
    assert place(settings)[2] == ("referred", "awaiting_pmpc")
