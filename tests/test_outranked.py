"""An accepted row that is not what is held is told to its sender: a newer version is, or another file tells the same version otherwise."""

import json
from datetime import timedelta
from itertools import permutations

import pytest

from pipelines import flow
from pipelines.night.ask import tell_submission
from pipelines.night.rows import list_records
from tests.nation import (
    FIRST,
    ask,
    bear,
    confirm,
    consent,
    copy_home,
    examine,
    flagged,
    name_iin,
    send,
    settle,
    take_in,
)
from tests.together import Together

NIGHTS = [FIRST + timedelta(days=n) for n in range(5)]
OLDER, ELSEWHERE = "version_older_than_held", "record_told_differently_elsewhere"
EARLY, LATE = {"issued_at": "2026-03-01T08:00:00"}, {"issued_at": "2026-03-02T08:00:00"}
TOLD = f"""
    select submission_id, row_no, code from lake.ledger.finding
    where submission_id in (from (select unnest(?::varchar[]))) and code in ('{OLDER}', '{ELSEWHERE}') order by all"""
together = Together()


def name_kinds(child: int) -> dict[str, tuple[dict, dict]]:
    """A record of each kind, of a child who was born and of one who is born with it, and what another version of it says."""
    return {
        "birth": (bear(100 + child, birth_weight_g="3300"), {"birth_weight_g": "2000"}),
        "screening": (examine(child, "motor", 2.0, 14), {"value": "2.9"}),
        "consent": (consent(child), {"form_version": "2"}),
        "confirmation": (confirm(child), {"confirmation": "rejected"}),
    }


@pytest.fixture(scope="module")
def born(tmp_path_factory):
    folder = tmp_path_factory.mktemp("born")
    home = settle(folder / "home")
    send(home, folder, [{"birth": bear(n)} for n in range(2, 16)])
    take_in(home, NIGHTS[0])
    return home


@pytest.fixture(scope="module")
def lived(born, tmp_path_factory):
    return together.live(born, tmp_path_factory.mktemp("lived"), is_deep=True)


def told(home, *submissions):
    """(row, code) of what is told of each file."""
    found = ask(home, TOLD, list(submissions))
    return [[(row, code) for submission, row, code in found if submission == asked] for asked in submissions]


def feedback(home, submission):
    """(code, the sender's own number) of the findings in a file's feedback, and its page."""
    folder = home.reports / "feedback" / submission
    findings = json.loads((folder / "feedback.json").read_text())["findings"]
    return [(f["code"], f["source_id"]) for f in findings if f["code"] in (OLDER, ELSEWHERE)], (folder / "feedback.html").read_text("utf-8")


def send_kinds(home, folder, child, said, name):
    """The submission of each kind of record of a child, sent as `said` makes of its row and its other version."""
    kinds = name_kinds(child)
    ids = send(home, folder, [{kind: said(*versions)} for kind, versions in kinds.items()], name)
    return dict(zip(kinds, ids, strict=True))


@together.story
def test_a_row_of_which_a_newer_version_is_held_is_told_as_not_taken(home, folder):
    send_kinds(home, folder, 2, lambda row, _: row | LATE, "held")
    yield
    older = send_kinds(home, folder, 2, lambda row, other: row | other | EARLY, "older")
    yield
    assert told(home, *older.values()) == [[(2, OLDER)]] * len(older)
    for kind, submission in older.items():
        findings, page = feedback(home, submission)
        assert findings == [(OLDER, name_kinds(2)[kind][0]["source_id"])]
        assert "look at the notes below" in page
        assert "nothing is needed from you" not in page
        receipt = tell_submission(home, submission)
        assert (receipt["state"], receipt["accepted_count"], receipt["rival_count"]) == ("accepted", 1, 1)
        (shown,) = list_records(home, submission, is_identified=False)
        assert (shown["state"], shown["findings"]) == ("superseded", OLDER)


@together.story
def test_a_repeat_of_any_version_that_was_ever_held_is_told_of_nothing(home, folder):
    row, other = name_kinds(3)["screening"]
    for night, version in enumerate((row | EARLY, row | other | LATE), 1):
        send(home, folder, [{"screening": version}], f"{night}")
        yield
    for night, versions in enumerate(([row | EARLY], [row | other | LATE], [row | EARLY, examine(4, "motor", 2.0, 14)]), 2):
        (submission,) = send(home, folder, [{"screening": version} for version in versions], f"overlapping {night}")
        yield
        assert (told(home, submission), tell_submission(home, submission)["rival_count"]) == ([[]], 0)
        assert "Everything was accepted; nothing is needed from you." in feedback(home, submission)[1]


@together.story
def test_an_export_that_tells_the_past_of_a_record_with_what_is_held_of_it_is_told_of_nothing(home, folder):
    row, other = name_kinds(5)["screening"]
    history = [{"screening": row | EARLY}, {"screening": row | other | LATE}]  # what it said first was never held
    for night in (1, 2):
        (submission,) = send(home, folder, [*history, {"screening": examine(6, "motor", 2.0 + night / 10, 14)}], f"export {night}")
        yield
        assert [row for row, _ in told(home, submission)[0] if row < 4] == []


@together.story
def test_a_result_that_names_its_child_in_more_words_later_is_told_of_nothing(home, folder):
    for night, named in enumerate(({}, {"child_iin": name_iin(707)}), 1):
        (submission,) = send(home, folder, [{"screening": examine(7, "motor", 2.0, 14, **named)}], f"{night}")
        yield
        assert told(home, submission) == [[]]


def test_a_record_told_differently_in_two_files_of_a_night_is_told_of_in_both_whatever_their_order(born, tmp_path):
    said = {"one": lambda row, _: row | EARLY, "other": lambda row, other: row | other | EARLY}
    seen = []
    for number, order in enumerate(permutations(said)):
        place = copy_home(born, tmp_path / f"home {number}")
        files = {name: send_kinds(place, tmp_path, 2, said[name], name) for name in order}
        take_in(place, NIGHTS[1])
        kinds = {kind: [files[name][kind] for name in said] for kind in name_kinds(2)}
        assert told(place, *(file for both in kinds.values() for file in both)) == [[(2, ELSEWHERE)]] * 2 * len(kinds)
        seen.append({
            kind: ask(place, f"select submission_id from lake.{HELD_IN[kind]} where known_to is null and submission_id in (?, ?)", *both)
            for kind, both in kinds.items()
        })  # fmt: skip
    assert seen[0] == seen[1]
    assert all(len(held) == 1 for held in seen[0].values())
    shown = [r["state"] for submission in kinds["screening"] for r in list_records(place, submission, is_identified=False)]
    assert sorted(shown) == ["accepted", "superseded"]


HELD_IN = {"birth": "identified.birth"} | {kind: f"clinical.{kind}" for kind in ("screening", "consent", "confirmation")}


@together.story
def test_a_record_told_differently_on_a_later_night_is_told_of_in_both_files_and_once_in_the_first(home, folder):
    files, begins = [], {8: False, 9: True}  # of each child, whether the other version is the one that comes first
    for night in range(2):
        for child, is_other in begins.items():
            files.append(send_kinds(
                home, folder, child, lambda row, other, is_other=is_other ^ night: row | (other if is_other else {}) | EARLY, f"{child} {night}"))
        yield
    submissions = [submission for kinds in files for submission in kinds.values()]
    assert told(home, *submissions) == [[(2, ELSEWHERE)]] * 4 * len(KINDS)
    for number, kinds in enumerate(files):
        own = {kind: row["source_id"] for kind, (row, _) in name_kinds([*begins][number % 2]).items()}
        assert {kind: feedback(home, submission)[0] for kind, submission in kinds.items()} == {kind: [(ELSEWHERE, own[kind])] for kind in own}
    again = [
        {kind: version | EARLY} for child, is_other in begins.items() for kind, (row, other) in name_kinds(child).items()
        for version in (row | ({} if is_other else other), bear(90 + child) if kind == "birth" else row | {"source_id": f"another {child}"})
    ]  # fmt: skip
    send(home, folder, again, "overlapping")
    yield
    assert told(home, *submissions) == [[(2, ELSEWHERE)]] * 4 * len(KINDS)


KINDS = list(name_kinds(2))


@together.story
def test_a_newer_version_settles_what_two_files_of_a_night_tell_differently(home, folder):
    row, other = name_kinds(10)["screening"]
    files = [send(home, folder, [{"screening": version}], f"{n}")[0] for n, version in enumerate((row | EARLY, row | other | EARLY, row | LATE))]
    yield
    assert told(home, *files) == [[], [], []]


@together.story
def test_a_record_sent_again_with_a_later_time_of_issue_closes_what_was_told_of_its_rivals(home, folder):
    third, later = {"birth": {"birth_weight_g": "2500"}, "screening": {"value": "2.5"}}, {"issued_at": "2026-03-03T08:00:00"}
    rows, files = {kind: name_kinds(11)[kind] for kind in third}, {kind: [] for kind in third}
    for night in range(3):
        for kind, (row, other) in rows.items():
            versions = (row | LATE, row | other | LATE, row | third[kind] | EARLY)
            files[kind] += send(home, folder, [{kind: versions[night]}], f"{night}")
            if night == 2:
                send(home, folder, [{kind: versions[1]}, {kind: row | {"source_id": "another"}}], "a repeat settles nothing")
        yield
    for kind, (row, _) in rows.items():
        counts = [tell_submission(home, file)["rival_count"] for file in files[kind]]
        assert (counts, feedback(home, files[kind][2])[0]) == ([1, 1, 1], [(OLDER, row["source_id"])])
    mended = {kind: send(home, folder, [{kind: row | {"action_code": "correct"} | later}], "mended")[0] for kind, (row, _) in rows.items()}
    yield
    for kind, sent in files.items():
        for file in (*sent, mended[kind]):
            receipt = tell_submission(home, file)
            codes = {found["code"] for found in receipt["findings"]} & {OLDER, ELSEWHERE}
            assert (receipt["state"], receipt["rival_count"], codes, feedback(home, file)[0]) == ("accepted", 0, set(), [])
        (closing,) = tell_submission(home, sent[0])["resent_in"]
        assert (closing["resent_in"], closing["outcome"], closing["rows"]) == (mended[kind], "settled", 1)
        assert mended[kind] in feedback(home, sent[0])[1]
        assert "nothing is needed from you" in feedback(home, sent[0])[1]


@together.story
def test_a_report_about_a_referral_is_told_of_alike(home, folder):
    send(home, folder, flagged(40), "flagged")
    yield
    flow.refer(home, NIGHTS[1])
    ((referral, pmpc),) = ask(home, "select referral_id, pmpc_id from lake.clinical.referral")
    report = {"sender_id": pmpc, "source_id": "R", "action_code": "report", "referral_id": referral, "report_status": "7.0",
              "reported_on": str(NIGHTS[2]), "category_codes": "speech"}  # fmt: skip
    at, before = {"issued_at": f"{NIGHTS[2]}T08:00:00"}, {"issued_at": f"{NIGHTS[2]}T07:00:00"}
    versions = (report | at | {"is_severe": "true"}, report | at | {"is_severe": "false"}, report | before)
    first, other = (send(home, folder, [{"pmpc_report": version}], f"{n}")[0] for n, version in enumerate(versions[:2]))
    yield
    (older,) = send(home, folder, [{"pmpc_report": versions[2]}], "older")
    yield
    assert told(home, first, other, older) == [[(2, ELSEWHERE)], [(2, ELSEWHERE)], [(2, OLDER)]]
