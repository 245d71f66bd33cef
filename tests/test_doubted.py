"""What came about a held consent and could not be taken may be a withdrawal: until that is settled nobody is sent on the consent."""

import json
from datetime import timedelta

import pytest

from pipelines import flow
from pipelines.night.verify import verify_store
from pipelines.store.warehouse import open_published
from tests.nation import FIRST, ask, confirm, consent, copy_home, flagged, name_iin, run, send, settle, take_in
from tests.test_fhir_documents import decide
from tests.together import Together

NIGHT = timedelta(days=1)
PLACES = "select child_key, place, reason from lake.clinical.placement where known_to is null order by child_key"
TOLD = "select consent, is_referred, count(*) from pathway group by all order by all"

together = Together(FIRST, run)


def anew(number, decision, days=1):
    """The consent of a child told anew under its own number."""
    own = {"source_id": consent(number)["source_id"], "issued_at": f"{FIRST + NIGHT * days}T09:00:00"}
    return {"consent": consent(number, decision=decision) | own}


def live_night(settings, on):
    """A night with its release."""
    run(settings, on)
    flow.publish(settings, on)


def place(settings, *numbers):
    """Child's number -> (place, reason) of its flag; of these children, or of all."""
    born = dict(ask(settings, "select child_key, history_no from lake.identified.birth where known_to is null"))
    places = {int(born[child][1:]): (where, why) for child, where, why in ask(settings, PLACES)}
    return {number: places[number] for number in numbers or places}


def release(settings):
    """(consent, whether referred) -> children, as published."""
    with open_published(settings) as published:
        return {row[:2]: row[2] for row in published.execute(TOLD).fetchall()}


def list_held(settings):
    """What waits for a steward."""
    return {held["submission_id"] for held in flow.list_held(settings)}


@pytest.fixture(scope="module")
def born(tmp_path_factory):
    """A home in which the consents of children are held, of some under an IIN of their own, and nobody was sent yet."""
    folder = tmp_path_factory.mktemp("born")
    settings = settle(folder / "home")
    send(settings, folder, [record for n in (*range(2, 28, 2), 64, 66, 68, 70) for record in flagged(n)], "first")
    send(settings, folder, [record for n in range(40, 56, 2) for record in bear_known(n)], "known")
    take_in(settings, FIRST)
    return settings


@pytest.fixture(scope="module")
def lived(born, tmp_path_factory):
    return together.live(born, tmp_path_factory.mktemp("lived"), is_deep=True)


REFERRED, UNCLEAR, WITHDRAWN = ("referred", "awaiting_pmpc"), ("withheld", "consent_unclear"), ("withheld", "consent_withdrawn")


@together.story
def test_a_refused_withdrawal_under_a_number_of_its_own_puts_the_childs_consents_in_doubt_and_a_refused_consent_does_not(home, folder):
    withdrawn, again = consent(2, decision="withdrawn"), consent(4) | {"source_id": "C4-again"}
    send(home, folder, [{"consent": row | {"decided_on": "someday"}} for row in (withdrawn, again)], "second")
    yield
    assert place(home, 2, 4) == {2: UNCLEAR, 4: REFERRED}
    send(home, folder, [{"consent": withdrawn}], "third")
    yield
    assert place(home, 2) == {2: WITHDRAWN}


@together.cases({"decided_on": (6, 8, "decided_on"), "issued_at": (10, 12, "issued_at")})
def test_a_withdrawal_of_a_year_in_two_digits_is_no_withdrawal_before_birth_and_no_older_version_but_a_doubt(home, folder, child, other, column):
    row = anew(child, "withdrawn")["consent"]
    send(home, folder, [{"consent": row | {column: str(row[column]).removeprefix("20")}}], "second")
    yield
    assert place(home, child, other) == {child: UNCLEAR, other: REFERRED}


@together.story
def test_what_waits_for_a_steward_puts_consents_in_doubt_until_it_is_decided(home, folder):
    rows = [consent(14, decision="withdrawn")] + [consent(n, decision="blue") for n in range(100, 160)]
    (held,) = send(home, folder, [{"consent": row} for row in rows], "second")
    yield
    assert held in list_held(home)
    assert place(home, 14, 16) == {14: UNCLEAR, 16: REFERRED}
    flow.decide_held(home, held, "release", "the others are of a test", "aigerim")
    yield
    assert place(home, 14) == {14: WITHDRAWN}


@together.story
def test_a_batch_that_is_returned_leaves_no_doubt_behind(home, folder):
    rows = [consent(18)] + [consent(n, decision="blue") for n in range(200, 260)]
    (held,) = send(home, folder, [{"consent": row} for row in rows], "second")
    yield
    assert held in list_held(home)
    assert place(home, 18) == {18: UNCLEAR}
    flow.decide_held(home, held, "return", "the others are of a test", "aigerim")
    yield
    assert place(home, 18) == {18: REFERRED}


@together.story
def test_a_refused_withdrawal_is_heard_too_when_it_came_in_the_file_of_the_consent(home, folder):
    unreadable = {"consent": consent(28, decision="withdrawn") | {"decided_on": "someday"}}
    send(home, folder, [*flagged(28), unreadable])
    yield
    assert place(home, 28) == {28: UNCLEAR}


@together.story
def test_a_refused_row_that_plainly_gives_a_consent_alone_puts_nothing_in_doubt(home, folder):
    send(home, folder, [{"consent": consent(24) | {"source_id": "C24-again", "decided_on": "someday"}}], "second")
    yield
    assert place(home, 24, 26) == {24: REFERRED, 26: REFERRED}


@together.story
def test_a_consent_of_a_server_whose_newer_version_nobody_understands_is_in_doubt_for_all_its_purposes(home, folder):
    birth, result, _, confirmation = bear_known(30)
    send(home, folder, [birth, result, confirmation])
    versions = {0: decide(30, "16T09:00", "sampling", "pmpc_referral"), 1: decide(30, "20T09:00", "sampling", status="paused"),
                2: decide(30, "24T09:00", "sampling", "pmpc_referral")}  # fmt: skip
    for night, version in versions.items():
        (folder / f"{night}.ndjson").write_text(json.dumps(version) + "\n")
    flow.receive(home, [folder / "0.ndjson", folder / "1.ndjson"])
    yield
    assert place(home, 30) == {30: UNCLEAR}
    flow.receive(home, [folder / "2.ndjson"])
    yield
    assert place(home, 30) == {30: REFERRED}


@together.story
def test_a_consent_refused_when_it_first_came_puts_nothing_in_doubt_once_it_is_mended(home, folder):
    birth, result, given, confirmation = flagged(32)
    send(home, folder, [birth, result, confirmation, {"consent": given["consent"] | {"decision": "blue"}}], "first")
    yield
    send(home, folder, [anew(32, "given")], "second")
    yield
    assert place(home, 32) == {32: REFERRED}


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
    named = {"source_id": f"C{number}-ended", "child_iin": name_iin(number), "mother_iin": name_iin(900 + number)}
    row = consent(number, decision="withdrawn") | named
    return {"consent": {name: text for name, text in (row | other).items() if text}}


def bear_known(number):
    """Everything of a child who is to be referred, and who has an IIN."""
    named = {"birth": {"child_iin": name_iin(number)}}
    return [
        {kind: row | {"mother_iin": name_iin(900 + number)} | named.get(kind, {}) for kind, row in record.items()} for record in flagged(number)
    ]


BY_IIN = {"mother_iin": "", "birth_on": ""}
OTHER_DAY = {"birth_on": "2026-02-02"}


@together.cases({
    "dated before birth": (40, BY_IIN | {"decided_on": "2016-02-17"}),  # as the spine knows
    "another birth date": (44, OTHER_DAY),  # the IIN of a child who was born on another day
    "another child of the mother": (48, OTHER_DAY | {"child_iin": ""}),  # whom the mother does not have
    "a history number of another day": (52, OTHER_DAY | {"child_iin": "", "mother_iin": "", "maternity_id": "M1", "history_no": "H52"}),
})  # fmt: skip
def test_a_withdrawal_that_waits_for_its_child_puts_every_child_it_may_mean_in_doubt_until_it_is_found(home, folder, child, told):
    send(home, folder, [withdraw(child, **told)], "second")
    yield
    assert place(home, child, child + 2) == {child: UNCLEAR, child + 2: REFERRED}
    yield
    yield  # a night that brings nothing at all: the other stories have ended
    assert ask(home, "select count(*) from lake.ledger.submission where received_on = ?", FIRST + 2 * NIGHT) == [(0,)]
    assert place(home, child) == {child: UNCLEAR}
    send(home, folder, [withdraw(child, issued_at="2026-03-01T09:00:00")], "third")
    yield
    assert place(home, child) == {child: WITHDRAWN}


@together.story
def test_a_withdrawal_that_was_taken_back_before_its_child_was_found_leaves_no_doubt(home, folder):
    send(home, folder, bear_known(56), "first")
    send(home, folder, [withdraw(56, **BY_IIN, decided_on="2016-02-17")], "second")
    yield
    assert place(home, 56) == {56: UNCLEAR}
    send(home, folder, [withdraw(56, issued_at="2026-03-01T09:00:00", decision="given")], "third")
    yield
    assert place(home, 56) == {56: REFERRED}


@together.cases({
    "of a day nobody knows": (60, BY_IIN | {"decided_on": "2016-02-17"}, UNCLEAR),
    "decided before the consent": (62, OTHER_DAY, REFERRED),
})  # fmt: skip
def test_a_waiting_withdrawal_doubts_no_later_consent_unless_its_own_day_is_not_known(home, folder, child, told, placed):
    birth, result, _, confirmation = bear_known(child)
    send(home, folder, [withdraw(child, **told), birth, result, confirmation], "first")
    send(home, folder, [{"consent": consent(child, day=FIRST - 2 * NIGHT, mother_iin=name_iin(900 + child))}], "second")
    yield
    assert place(home, child) == {child: placed}


@together.cases({
    "of an older version": (64, {"issued_at": "2016-02-20T09:00:00"}, UNCLEAR),
    "of the same version, the consent being held": (70, {}, UNCLEAR),  # which of the two is held their content settles
    "of the same version and held": (66, {}, WITHDRAWN),
    "decided before the consent": (68, {"issued_at": "2016-02-20T09:00:00", "decided_on": "2026-02-12"}, REFERRED),
})  # fmt: skip
def test_a_withdrawal_that_loses_by_its_version_is_a_doubt_unless_the_consent_is_the_later_word(home, folder, child, told, placed):
    given = consent(child)
    send(home, folder, [{"consent": given | {"decision": "withdrawn"} | told}], "second")
    yield
    assert place(home, child) == {child: placed}
    send(home, folder, [{"consent": given | {"issued_at": "2026-03-01T09:00:00"}}], "third")
    yield
    assert place(home, child) == {child: REFERRED}
