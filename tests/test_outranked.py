"""An accepted row that is not what is held is told to its sender: a newer version is, or another file tells the same version otherwise."""

import json
from datetime import timedelta
from itertools import permutations

import pytest

from pipelines.night.ask import tell_submission
from pipelines.night.rows import list_records
from pipelines.night.verify import verify_store
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
    run,
    send,
    settle,
    take_in,
)

NIGHTS = [FIRST + timedelta(days=n) for n in range(5)]
OLDER, ELSEWHERE = "version_older_than_held", "record_told_differently_elsewhere"
EARLY, LATE = {"issued_at": "2026-03-01T08:00:00"}, {"issued_at": "2026-03-02T08:00:00"}
TOLD = f"select row_no, code from lake.ledger.finding where submission_id = ? and code in ('{OLDER}', '{ELSEWHERE}') order by all"
KINDS = {
    "birth": (bear(4, birth_weight_g="3300"), {"birth_weight_g": "2000"}),
    "screening": (examine(2, "motor", 2.0, 14), {"value": "2.9"}),
    "consent": (consent(2), {"form_version": "2"}),
    "confirmation": (confirm(2), {"confirmation": "rejected"}),
}


@pytest.fixture(scope="module")
def born(tmp_path_factory):
    folder = tmp_path_factory.mktemp("born")
    home = settle(folder / "home")
    send(home, folder, [{"birth": bear(n)} for n in (2, 3)])
    take_in(home, NIGHTS[0])
    return home


@pytest.fixture
def home(born, tmp_path):
    return copy_home(born, tmp_path / "home")


def told(home, submission):
    return ask(home, TOLD, submission)


def feedback(home, submission):
    """(code, the sender's own number) of the findings in a file's feedback, and its page."""
    folder = home.reports / "feedback" / submission
    findings = json.loads((folder / "feedback.json").read_text())["findings"]
    return [(f["code"], f["source_id"]) for f in findings if f["code"] in (OLDER, ELSEWHERE)], (folder / "feedback.html").read_text("utf-8")


def is_whole(home):
    return not [check for check in verify_store(home, is_deep=True) if check.broken]


def send_kinds(home, folder, said, name):
    """The submission of each kind of KINDS, sent as `said` makes of its row and its other version."""
    ids = send(home, folder, [{kind: said(*versions)} for kind, versions in KINDS.items()], name)
    return dict(zip(KINDS, ids, strict=True))


def test_a_row_of_which_a_newer_version_is_held_is_told_as_not_taken(home, tmp_path):
    send_kinds(home, tmp_path, lambda row, _: row | LATE, "held")
    take_in(home, NIGHTS[1])
    older = send_kinds(home, tmp_path, lambda row, other: row | other | EARLY, "older")
    take_in(home, NIGHTS[2])
    for kind, submission in older.items():
        findings, page = feedback(home, submission)
        assert (told(home, submission), findings) == ([(2, OLDER)], [(OLDER, KINDS[kind][0]["source_id"])])
        assert "look at the notes below" in page
        assert "nothing is needed from you" not in page
        receipt = tell_submission(home, submission)
        assert (receipt["state"], receipt["accepted_count"], receipt["rival_count"]) == ("accepted", 1, 1)
        (shown,) = list_records(home, submission, is_identified=False)
        assert (shown["state"], shown["findings"]) == ("superseded", OLDER)
    assert is_whole(home)


def test_a_repeat_of_any_version_that_was_ever_held_is_told_of_nothing(home, tmp_path):
    row, other = KINDS["screening"]
    for night, version in enumerate((row | EARLY, row | other | LATE), 1):
        send(home, tmp_path, [{"screening": version}], f"{night}")
        take_in(home, NIGHTS[night])
    for night, versions in enumerate(([row | EARLY], [row | other | LATE], [row | EARLY, examine(3, "motor", 2.0, 14)]), 2):
        (submission,) = send(home, tmp_path, [{"screening": version} for version in versions], f"overlapping {night}")
        take_in(home, NIGHTS[night])
        assert (told(home, submission), tell_submission(home, submission)["rival_count"]) == ([], 0)
        assert "Everything was accepted; nothing is needed from you." in feedback(home, submission)[1]


def test_an_export_that_tells_the_past_of_a_record_with_what_is_held_of_it_is_told_of_nothing(home, tmp_path):
    row, other = KINDS["screening"]
    history = [{"screening": row | EARLY}, {"screening": row | other | LATE}]  # what it said first was never held
    for night in (1, 2):
        (submission,) = send(home, tmp_path, [*history, {"screening": examine(3, "motor", 2.0 + night / 10, 14)}], f"export {night}")
        take_in(home, NIGHTS[night])
        assert [row for row, _ in told(home, submission) if row < 4] == []


def test_a_result_that_names_its_child_in_more_words_later_is_told_of_nothing(home, tmp_path):
    for night, named in enumerate(({}, {"child_iin": name_iin(702)}), 1):
        (submission,) = send(home, tmp_path, [{"screening": examine(2, "motor", 2.0, 14, **named)}], f"{night}")
        take_in(home, NIGHTS[night])
        assert told(home, submission) == []


def test_a_record_told_differently_in_two_files_of_a_night_is_told_of_in_both_whatever_their_order(home, tmp_path):
    said = {"one": lambda row, _: row | EARLY, "other": lambda row, other: row | other | EARLY}
    seen = []
    for number, order in enumerate(permutations(said)):
        place = copy_home(home, tmp_path / f"home {number}")
        files = {name: send_kinds(place, tmp_path, said[name], name) for name in order}
        take_in(place, NIGHTS[1])
        for kind in KINDS:
            assert [told(place, files[name][kind]) for name in said] == [[(2, ELSEWHERE)]] * 2
        held = {kind: [r["state"] for name in said for r in list_records(place, files[name][kind], is_identified=False)] for kind in KINDS}
        seen.append(held)
    assert seen[0] == seen[1]
    assert all(sorted(states) == ["accepted", "superseded"] for states in seen[0].values())


@pytest.mark.parametrize("order", [1, -1])
def test_a_record_told_differently_on_a_later_night_is_told_of_in_both_files_and_once_in_the_first(home, tmp_path, order):
    first, later = (
        (send_kinds(home, tmp_path, lambda row, other, is_other=is_other: row | (other if is_other else {}) | EARLY, f"{night}"),
         take_in(home, NIGHTS[night]))[0]
        for night, is_other in enumerate([False, True][::order], 1)
    )  # fmt: skip
    for kind, (row, _) in KINDS.items():
        assert [told(home, files[kind]) for files in (first, later)] == [[(2, ELSEWHERE)]] * 2
        assert [feedback(home, files[kind])[0] for files in (first, later)] == [[(ELSEWHERE, row["source_id"])]] * 2
    again = [{kind: version} for kind, (row, other) in KINDS.items() for version in (
        (row | (other if order == 1 else {}) | EARLY), (bear(9) if kind == "birth" else row | {"source_id": "another"}) | EARLY)]  # fmt: skip
    send(home, tmp_path, again, "overlapping")
    take_in(home, NIGHTS[3])
    assert [told(home, first[kind]) for kind in KINDS] == [[(2, ELSEWHERE)]] * len(KINDS)
    assert is_whole(home)


def test_a_newer_version_settles_what_two_files_of_a_night_tell_differently(home, tmp_path):
    row, other = KINDS["screening"]
    files = [send(home, tmp_path, [{"screening": version}], f"{n}")[0] for n, version in enumerate((row | EARLY, row | other | EARLY, row | LATE))]
    take_in(home, NIGHTS[1])
    assert [told(home, file) for file in files] == [[], [], []]


@pytest.mark.parametrize(("kind", "third"), [("birth", {"birth_weight_g": "2500"}), ("screening", {"value": "2.5"})])
def test_a_record_sent_again_with_a_later_time_of_issue_closes_what_was_told_of_its_rivals(home, tmp_path, kind, third):
    row, other = KINDS[kind]
    later = {"issued_at": "2026-03-03T08:00:00"}
    files = []
    for night, version in enumerate((row | LATE, row | other | LATE, row | third | EARLY), 1):
        files += send(home, tmp_path, [{kind: version}], f"{night}")
        take_in(home, NIGHTS[night])
        if night == 2:
            send(home, tmp_path, [{kind: version}, {kind: KINDS[kind][0] | {"source_id": "another"}}], "a repeat settles nothing")
    counts = [tell_submission(home, file)["rival_count"] for file in files]
    assert (counts, feedback(home, files[2])[0]) == ([1, 1, 1], [(OLDER, row["source_id"])])
    (mended,) = send(home, tmp_path, [{kind: row | {"action_code": "correct"} | later}], "mended")
    take_in(home, NIGHTS[4])
    for file in (*files, mended):
        receipt = tell_submission(home, file)
        codes = {found["code"] for found in receipt["findings"]} & {OLDER, ELSEWHERE}
        assert (receipt["state"], receipt["rival_count"], codes, feedback(home, file)[0]) == ("accepted", 0, set(), [])
    (closing,) = tell_submission(home, files[0])["resent_in"]
    assert (closing["resent_in"], closing["outcome"], closing["rows"]) == (mended, "settled", 1)
    assert mended in feedback(home, files[0])[1]
    assert "nothing is needed from you" in feedback(home, files[0])[1]
    assert is_whole(home)


def test_a_report_about_a_referral_is_told_of_alike(home, tmp_path):
    send(home, tmp_path, flagged(40), "flagged")
    run(home, NIGHTS[1])
    ((referral, pmpc),) = ask(home, "select referral_id, pmpc_id from lake.clinical.referral")
    report = {"sender_id": pmpc, "source_id": "R", "action_code": "report", "referral_id": referral, "report_status": "7.0",
              "reported_on": str(NIGHTS[2]), "category_codes": "speech"}  # fmt: skip
    at, before = {"issued_at": f"{NIGHTS[2]}T08:00:00"}, {"issued_at": f"{NIGHTS[2]}T07:00:00"}
    versions = (report | at | {"is_severe": "true"}, report | at | {"is_severe": "false"}, report | before)
    first, other = (send(home, tmp_path, [{"pmpc_report": version}], f"{n}")[0] for n, version in enumerate(versions[:2]))
    take_in(home, NIGHTS[2])
    (older,) = send(home, tmp_path, [{"pmpc_report": versions[2]}], "older")
    take_in(home, NIGHTS[3])
    assert [told(home, file) for file in (first, other, older)] == [[(2, ELSEWHERE)], [(2, ELSEWHERE)], [(2, OLDER)]]
