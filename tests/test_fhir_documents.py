"""The newest version of a FHIR Consent or Task says all it says: what it no longer says is over, in whatever order versions come."""

import json
from datetime import timedelta
from itertools import permutations

import pytest

from pipelines import flow
from pipelines.night.ask import tell_submission
from pipelines.night.verify import verify_store
from tests.nation import BORN, FIRST, ask, bear, confirm, copy_home, examine, name_iin, run, send, settle, take_in
from tests.test_fhir import coded

NIGHTS = [FIRST + timedelta(days=n) for n in range(4)]
DECIDED = """
    select purpose, decision, c.is_cancelled from lake.clinical.consent c join lake.identified.birth b using (child_key)
    where c.known_to is null and b.known_to is null and b.child_iin = ? order by 1"""
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
    """A home in which children are born."""
    folder = tmp_path_factory.mktemp("born")
    home = settle(folder / "home")
    send(home, folder, [{"birth": bear(n, child_iin=name_iin(n), mother_iin=name_iin(900 + n))} for n in range(2, 20)])
    take_in(home, NIGHTS[0])
    return home


@pytest.fixture
def home(born, tmp_path):
    return copy_home(born, tmp_path / "home")


def tell(home, path, on, *consents) -> tuple[str, dict]:
    """The submission of a file of consents, and what the night counted."""
    path.write_text("".join(json.dumps(consent) + "\n" for consent in consents))
    (submission,) = flow.receive(home, [path])
    return submission, take_in(home, on)


def decided(home, child: int) -> dict[str, tuple[str, bool]]:
    return {purpose: (decision, is_cancelled) for purpose, decision, is_cancelled in ask(home, DECIDED, name_iin(child))}


def is_whole(home) -> bool:
    return not [check for check in verify_store(home, is_deep=True) if check.broken]


def test_a_purpose_that_a_later_version_drops_is_no_longer_decided_and_its_past_is_kept(home, tmp_path):
    tell(home, tmp_path / "a.ndjson", NIGHTS[1], decide(2, *FIRST_SAYS))
    assert decided(home, 2) == {"sampling": GIVEN, "pmpc_referral": GIVEN}
    later, counts = tell(home, tmp_path / "b.ndjson", NIGHTS[2], decide(2, *THEN))
    assert decided(home, 2) == {"sampling": GIVEN, "pmpc_referral": CANCELLED}
    past = "select known_from, known_to, is_cancelled from lake.clinical.consent where purpose = 'pmpc_referral' order by known_from"
    assert ask(home, past) == [(NIGHTS[1], NIGHTS[2], False), (NIGHTS[2], None, True)]
    told = tell_submission(home, later)
    assert (told["received_count"], told["accepted_count"], told["waiting_count"], told["findings"]) == (1, 1, 0, [])
    assert (counts["records"], counts["new"], counts["changed"], is_whole(home)) == (1, 0, 2, True)


def test_in_whatever_order_the_versions_of_a_consent_come_the_newest_one_decides(home, tmp_path):
    versions = {"first": FIRST_SAYS, "then": THEN, "last": LAST}
    orders = dict(enumerate([*permutations(versions), *permutations(("first", "then"))], 2))
    for night in range(3):
        sent = [decide(child, *versions[order[night]]) for child, order in orders.items() if night < len(order)]
        tell(home, tmp_path / f"{night}.ndjson", NIGHTS[night + 1], *sent)
    together = [decide(child, *version) for child in (12, 13) for version in list(versions.values())[: child - 10]]
    tell(home, tmp_path / "together.ndjson", NIGHTS[3], *together)
    both = {"sampling": GIVEN, "pmpc_referral": GIVEN}
    expected = {child: both if "last" in order else both | {"pmpc_referral": CANCELLED} for child, order in orders.items()}
    expected |= {12: both | {"pmpc_referral": CANCELLED}, 13: both}
    assert {child: decided(home, child) for child in expected} == expected
    assert is_whole(home)


def test_an_older_version_sent_again_and_again_changes_nothing(home, tmp_path):
    tell(home, tmp_path / "a.ndjson", NIGHTS[1], decide(2, *THEN))
    assert decided(home, 2) == {"sampling": GIVEN}
    rows = [tell(home, tmp_path / f"{n}.ndjson", NIGHTS[2], decide(2, *FIRST_SAYS), *[decide(3 + n, *THEN)])[1] for n in range(2)]
    assert decided(home, 2) == {"sampling": GIVEN, "pmpc_referral": CANCELLED}
    assert [(row["records"], row["new"], row["changed"]) for row in rows] == [(3, 2, 1), (3, 1, 0)]


def test_a_purpose_that_was_never_held_leaves_no_trace(home, tmp_path):
    submission, counts = tell(home, tmp_path / "a.ndjson", NIGHTS[1], decide(2, *THEN), decide(99, *THEN))
    told = tell_submission(home, submission)
    assert (told["received_count"], told["accepted_count"], told["waiting_count"]) == (2, 2, 1)
    assert (counts["records"], counts["new"], counts["waiting"]) == (2, 1, 1)
    assert [(found["code"], found["rows"]) for found in told["findings"]] == [("child_unknown", 1)]
    assert ask(home, "select count(*) from lake.clinical.consent") == ask(home, "select count(*) from lake.identified.waiting") == [(1,)]


def test_versions_that_waited_for_their_child_decide_as_if_they_had_not(home, tmp_path):
    for number, version in enumerate((THEN, FIRST_SAYS)):
        tell(home, tmp_path / f"{number}.ndjson", NIGHTS[1], decide(30, *version))
    assert is_whole(home)
    send(home, tmp_path, [{"birth": bear(30, child_iin=name_iin(30))}], "born")
    take_in(home, NIGHTS[2])
    assert (decided(home, 30), is_whole(home)) == ({"sampling": GIVEN, "pmpc_referral": CANCELLED}, True)


def test_two_versions_of_one_moment_both_count_and_one_entered_in_error_ends_both(home, tmp_path):
    tell(home, tmp_path / "a.ndjson", NIGHTS[1], decide(2, *FIRST_SAYS), decide(3, *FIRST_SAYS))
    tell(home, tmp_path / "b.ndjson", NIGHTS[2], decide(2, FIRST_SAYS[0], "hearing_test"), decide(3, *FIRST_SAYS[:2], status="entered-in-error"))
    assert decided(home, 2) == {"sampling": GIVEN, "pmpc_referral": GIVEN, "hearing_test": GIVEN}
    assert decided(home, 3) == {"sampling": CANCELLED, "pmpc_referral": CANCELLED}


@pytest.mark.parametrize(("status", "told"), [("entered-in-error", []), ("inactive", []), ("active", ["consent_without_purpose"])])
def test_a_consent_that_names_nothing_any_more_decides_nothing_any_more(home, tmp_path, status, told):
    tell(home, tmp_path / "a.ndjson", NIGHTS[1], decide(2, *FIRST_SAYS))
    research = {"provision": {"purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HRESCH"}]}, "dateTime": None}
    later, _ = tell(home, tmp_path / "b.ndjson", NIGHTS[2], decide(2, "20T09:00", status=status, **(research if told else {})))
    held = decided(home, 2)
    assert {purpose for purpose, (_, is_cancelled) in held.items() if not is_cancelled} == set()
    assert ([found["code"] for found in tell_submission(home, later)["findings"]], is_whole(home)) == (told, True)


def test_other_consents_of_the_child_and_of_other_senders_decide_on(home, tmp_path):
    other = decide(2, *FIRST_SAYS, organization=[{"identifier": {"value": "P2"}}])
    tell(home, tmp_path / "a.ndjson", NIGHTS[1], decide(2, *FIRST_SAYS), decide(2, *FIRST_SAYS, number="other"), other)
    tell(home, tmp_path / "b.ndjson", NIGHTS[2], decide(2, *THEN))
    query = "select is_cancelled, count(*) from lake.clinical.consent where known_to is null and purpose = 'pmpc_referral' group by all order by 1"
    assert ask(home, query) == [(False, 2), (True, 1)]


def test_what_was_sent_by_a_consent_that_dropped_the_referral_is_taken_back(home, tmp_path):
    who = {"mother_iin": name_iin(902), "birth_on": str(BORN)}
    send(home, tmp_path, [{"screening": examine(2, "motor", 1.2, 14, **who)}, {"confirmation": confirm(2, **who)}], "flagged")
    tell(home, tmp_path / "a.ndjson", NIGHTS[1], decide(2, *FIRST_SAYS))
    assert run(home, NIGHTS[1])["referrals"] == 1
    tell(home, tmp_path / "b.ndjson", NIGHTS[2], decide(2, *THEN))
    counts = run(home, NIGHTS[2])
    assert (counts["referrals"], counts["recalls"], counts["withheld"]) == (0, 1, 1)
    assert is_whole(home)


@pytest.fixture(scope="module")
def sent(born, tmp_path_factory):
    """A home from which two children were referred; the ids of the referrals by child."""
    folder = tmp_path_factory.mktemp("sent")
    home = copy_home(born, folder / "home")
    who = {child: {"mother_iin": name_iin(900 + child), "birth_on": str(BORN)} for child in (2, 4)}
    send(home, folder, [record for child, said in who.items() for record in (
        {"screening": examine(child, "motor", 1.2, 14, **said)}, {"confirmation": confirm(child, **said)})])  # fmt: skip
    tell(home, folder / "a.ndjson", NIGHTS[0], *(decide(child, *FIRST_SAYS) for child in who))
    run(home, NIGHTS[0])
    referred = ask(home, "select referral_id from lake.clinical.referral order by 1")
    return home, [referral for (referral,) in referred]


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


def test_a_task_has_one_conclusion_though_it_is_told_anew_on_another_day_and_none_when_it_was_entered_in_error(sent, tmp_path):
    home = copy_home(sent[0], tmp_path / "home")
    seen = coded("5.1.1", "http://hl7.org/fhir/us/bser/CodeSystem/TaskBusinessStatusCS")
    one, other = sent[1]
    versions = {one: [answer(one, 3, businessStatus=seen, output=[]), answer(one, 4), answer(one, 5, "speech")],
                other: [answer(other, 3, businessStatus=seen, output=[]), answer(other, 4), answer(other, 5, status="entered-in-error")]}  # fmt: skip
    for night, place in enumerate((1, 2, 0), 1):  # the first comes last
        tell(home, tmp_path / f"{night}.ndjson", FIRST + timedelta(days=5 + night), *(told[place] for told in versions.values()))
    assert ask(home, REPORTS, one) == [("5.1.1", "03-03", None), ("7.0", "03-05", "speech")]
    assert ask(home, REPORTS, other) == []
    assert is_whole(home)
