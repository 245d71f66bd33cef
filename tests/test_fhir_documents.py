"""The newest version of a FHIR Consent or Task says all it says: what it no longer says is over, in whatever order versions come."""

import json
from datetime import timedelta
from itertools import permutations

import pytest

from pipelines import flow
from pipelines.night.ask import tell_submission
from tests.nation import BORN, FIRST, ask, bear, confirm, copy_home, examine, name_iin, run, send, settle, take_in
from tests.test_fhir import coded
from tests.together import Together

NIGHTS = [FIRST + timedelta(days=n) for n in range(4)]
together = Together()
DECIDED = """
    select b.child_iin, purpose, decision, c.is_cancelled from lake.clinical.consent c join lake.identified.birth b using (child_key)
    where c.known_to is null and b.known_to is null"""
GIVEN, CANCELLED = ("given", False), ("given", True)


def decide(child: int, moment: str, *purposes: str, number: str | None = None, **other) -> dict:
    """A version of the consent of a child's mother, as its server held it since a moment of February."""
    codes = [{"system": "urn:erte:purpose", "code": purpose} for purpose in purposes]
    return {
        "resourceType": "Consent", "id": number or f"c{child}", "status": "active", "dateTime": str(BORN + timedelta(days=5)),
        "meta": {"lastUpdated": f"2026-02-{moment}:00+05:00"}, "category": [coded("INFA")], "provision": {"purpose": codes},
        "patient": {"identifier": {"system": "urn:erte:iin", "value": name_iin(child)}}, "organization": [{"identifier": {"value": "P1"}}],
        "performer": [{"reference": "#m"}],
        "contained": [{"resourceType": "RelatedPerson", "id": "m", "relationship": [coded("MTH")]}],
    } | other  # fmt: skip


FIRST_SAYS, THEN = ("16T09:00", "sampling", "pmpc_referral"), ("20T09:00", "sampling")
LAST = ("24T09:00", "sampling", "pmpc_referral")


@pytest.fixture(scope="module")
def born(tmp_path_factory):
    """A home in which children are born, of whom three were examined and two are referred."""
    folder = tmp_path_factory.mktemp("born")
    home = settle(folder / "home")
    send(home, folder, [{"birth": bear(n, child_iin=name_iin(n), mother_iin=name_iin(900 + n))} for n in range(2, 50)])
    who = {child: {"mother_iin": name_iin(900 + child), "birth_on": str(BORN)} for child in (2, 4, 6)}
    send(home, folder, [record for child, said in who.items() for record in (
        {"screening": examine(child, "motor", 1.2, 14, **said)}, {"confirmation": confirm(child, **said)})])  # fmt: skip
    tell(home, folder / "a.ndjson", decide(2, *FIRST_SAYS), decide(4, *FIRST_SAYS))
    run(home, NIGHTS[0])
    return home


@pytest.fixture(scope="module")
def lived(born, tmp_path_factory):
    return together.live(born, tmp_path_factory.mktemp("lived"), is_deep=True)


def tell(home, path, *consents) -> str:
    """The submission of a file of consents."""
    path.write_text("".join(json.dumps(consent) + "\n" for consent in consents))
    (submission,) = flow.receive(home, [path])
    return submission


def decided(home, *children: int) -> list[dict[str, tuple[str, bool]]]:
    """What is decided of each child: by purpose."""
    found = ask(home, DECIDED)
    return [{purpose: (said, is_over) for iin, purpose, said, is_over in found if iin == name_iin(child)} for child in children]


OF_CHILD = """
    from lake.clinical.consent c semi join (from lake.identified.birth where known_to is null and child_iin = ?) using (child_key)"""


@together.story
def test_a_purpose_that_a_later_version_drops_is_no_longer_decided_and_its_past_is_kept(home, folder):
    tell(home, folder / "a.ndjson", decide(10, *FIRST_SAYS))
    yield
    assert decided(home, 10) == [{"sampling": GIVEN, "pmpc_referral": GIVEN}]
    later = tell(home, folder / "b.ndjson", decide(10, *THEN))
    yield
    assert decided(home, 10) == [{"sampling": GIVEN, "pmpc_referral": CANCELLED}]
    past = f"select known_from, known_to, is_cancelled {OF_CHILD} where purpose = 'pmpc_referral' order by known_from"
    assert ask(home, past, name_iin(10)) == [(NIGHTS[1], NIGHTS[2], False), (NIGHTS[2], None, True)]
    told = tell_submission(home, later)
    assert (told["received_count"], told["accepted_count"], told["waiting_count"], told["findings"]) == (1, 1, 0, [])


@together.story
def test_in_whatever_order_the_versions_of_a_consent_come_the_newest_one_decides(home, folder):
    versions = {"first": FIRST_SAYS, "then": THEN, "last": LAST}
    orders = dict(enumerate([*permutations(versions), *permutations(("first", "then"))], 12))
    for night in range(3):
        sent = [decide(child, *versions[order[night]]) for child, order in orders.items() if night < len(order)]
        if night == 2:
            sent += [decide(child, *version) for child, number in ((20, 2), (21, 3)) for version in list(versions.values())[:number]]
        tell(home, folder / f"{night}.ndjson", *sent)
        yield
    both = {"sampling": GIVEN, "pmpc_referral": GIVEN}
    expected = {child: both if "last" in order else both | {"pmpc_referral": CANCELLED} for child, order in orders.items()}
    expected |= {20: both | {"pmpc_referral": CANCELLED}, 21: both}
    assert dict(zip(expected, decided(home, *expected), strict=True)) == expected


def test_an_older_version_sent_again_and_again_changes_nothing(born, tmp_path):
    home, rows = copy_home(born, tmp_path / "home"), []
    tell(home, tmp_path / "a.ndjson", decide(10, *THEN), decide(13, *FIRST_SAYS))
    take_in(home, NIGHTS[1])
    assert decided(home, 10) == [{"sampling": GIVEN}]
    for n in range(2):
        tell(home, tmp_path / f"{n}.ndjson", decide(10, *FIRST_SAYS), decide(11 + n, *THEN))
        rows.append(take_in(home, NIGHTS[2]))
    tell(home, tmp_path / "b.ndjson", decide(13, *THEN))  # a newer one changes both: what it says, and what it says no more
    rows.append(take_in(home, NIGHTS[3]))
    assert decided(home, 10) == [{"sampling": GIVEN, "pmpc_referral": CANCELLED}]
    assert [(row["records"], row["new"], row["changed"]) for row in rows] == [(3, 2, 1), (3, 1, 0), (1, 0, 2)]


@together.story
def test_a_purpose_that_was_never_held_leaves_no_trace(home, folder):
    submission = tell(home, folder / "a.ndjson", decide(24, *THEN), decide(99, *THEN))
    yield
    told = tell_submission(home, submission)
    assert (told["received_count"], told["accepted_count"], told["waiting_count"]) == (2, 2, 1)
    assert [(found["code"], found["rows"]) for found in told["findings"]] == [("child_unknown", 1)]
    for table in ("clinical.consent", "identified.waiting"):
        assert ask(home, f"select count(*) from lake.{table} where submission_id = ?", submission) == [(1,)]


@together.story
def test_versions_that_waited_for_their_child_decide_as_if_they_had_not(home, folder):
    for number, version in enumerate((THEN, FIRST_SAYS)):
        tell(home, folder / f"{number}.ndjson", decide(60, *version), decide(61, *version))  # one of them waits for ever
        yield
    assert decided(home, 60) == [{}]
    send(home, folder, [{"birth": bear(60, child_iin=name_iin(60), mother_iin=name_iin(960))}], "born")
    yield
    assert decided(home, 60) == [{"sampling": GIVEN, "pmpc_referral": CANCELLED}]


@together.story
def test_two_versions_of_one_moment_both_count_and_one_entered_in_error_ends_both(home, folder):
    tell(home, folder / "a.ndjson", decide(26, *FIRST_SAYS), decide(27, *FIRST_SAYS))
    yield
    tell(home, folder / "b.ndjson", decide(26, FIRST_SAYS[0], "hearing_test"), decide(27, *FIRST_SAYS[:2], status="entered-in-error"))
    yield
    assert decided(home, 26, 27) == [
        {"sampling": GIVEN, "pmpc_referral": GIVEN, "hearing_test": GIVEN}, {"sampling": CANCELLED, "pmpc_referral": CANCELLED},
    ]  # fmt: skip


@together.story
def test_a_consent_that_names_nothing_any_more_decides_nothing_any_more(home, folder):
    research = {"provision": {"purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HRESCH"}]}, "dateTime": None}
    anew = {28: {"status": "entered-in-error"}, 29: {"status": "inactive"}, 30: {"status": "active"} | research}
    tell(home, folder / "a.ndjson", *(decide(child, *FIRST_SAYS) for child in anew))
    yield
    assert decided(home, *anew) == [{"sampling": GIVEN, "pmpc_referral": GIVEN}] * 3
    later = [tell(home, folder / f"{child}.ndjson", decide(child, "20T09:00", **other)) for child, other in anew.items()]
    yield
    for child, held in zip(anew, decided(home, *anew), strict=True):
        assert {purpose for purpose, (_, is_cancelled) in held.items() if not is_cancelled} == set(), anew[child]
    told = [[found["code"] for found in tell_submission(home, submission)["findings"]] for submission in later]
    assert told == [[], [], ["consent_without_purpose"]]


@together.story
def test_other_consents_of_the_child_and_of_other_senders_decide_on(home, folder):
    other = decide(32, *FIRST_SAYS, organization=[{"identifier": {"value": "P2"}}])
    tell(home, folder / "a.ndjson", decide(32, *FIRST_SAYS), decide(32, *FIRST_SAYS, number="other"), other)
    yield
    tell(home, folder / "b.ndjson", decide(32, *THEN))
    yield
    query = f"select is_cancelled, count(*) {OF_CHILD} where known_to is null and purpose = 'pmpc_referral' group by all order by 1"
    assert ask(home, query, name_iin(32)) == [(False, 2), (True, 1)]


@together.story
def test_what_was_sent_by_a_consent_that_dropped_the_referral_is_taken_back(home, folder):
    tell(home, folder / "a.ndjson", decide(6, *FIRST_SAYS))
    yield
    assert flow.refer(home, NIGHTS[1])["referrals"] == 1
    tell(home, folder / "b.ndjson", decide(6, *THEN))
    yield
    counts = flow.refer(home, NIGHTS[2])
    assert (counts["referrals"], counts["recalls"], counts["withheld"]) == (0, 1, 1)


def answer(referral: str, day: int, category: str = "sensory", **other) -> dict:
    """A version of a task, last changed on a day of March, that says a referral was concluded."""
    return {
        "resourceType": "Task", "id": f"t-{referral}", "status": "completed", "lastModified": f"2026-03-{day:02}T10:00:00+05:00",
        "focus": {"identifier": {"system": "urn:erte:referral", "value": referral}}, "owner": {"identifier": {"value": "K1"}},
        "businessStatus": coded("7.0", "http://hl7.org/fhir/us/bser/CodeSystem/TaskBusinessStatusCS"),
        "output": [{"type": {"text": "category"}, "valueCodeableConcept": coded(category, "urn:erte:category")}],
    } | other  # fmt: skip


REPORTS = """
    select report_status, strftime(reported_on, '%m-%d'), category_codes from lake.clinical.pmpc_report
    where known_to is null and not is_cancelled and referral_id = ? order by 1"""


@together.story
def test_a_task_has_one_conclusion_though_it_is_told_anew_on_another_day_and_none_when_it_was_entered_in_error(home, folder):
    seen = coded("5.1.1", "http://hl7.org/fhir/us/bser/CodeSystem/TaskBusinessStatusCS")
    (one,), (other,) = ask(home, SENT, [name_iin(2), name_iin(4)])
    versions = {one: [answer(one, 3, businessStatus=seen, output=[]), answer(one, 4), answer(one, 5, "speech")],
                other: [answer(other, 3, businessStatus=seen, output=[]), answer(other, 4), answer(other, 5, status="entered-in-error")]}  # fmt: skip
    yield  # no task comes before the day on which it was changed
    for night, place in enumerate((1, 2, 0), 1):  # the first comes last
        tell(home, folder / f"{night}.ndjson", *(told[place] for told in versions.values()))
        yield
    assert ask(home, REPORTS, one) == [("5.1.1", "03-03", None), ("7.0", "03-05", "speech")]
    assert ask(home, REPORTS, other) == []


SENT = """
    select referral_id from lake.clinical.referral r join lake.identified.birth b using (child_key)
    where b.known_to is null and b.child_iin in (from (select unnest(?::varchar[]))) order by 1"""
