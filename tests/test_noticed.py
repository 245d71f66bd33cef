"""What only the spine knows of a result that was accepted: its sender is told once its child is known, and told once."""

import json
from datetime import date, timedelta

import pytest

from pipelines import flow
from pipelines.night.ask import tell_submission
from pipelines.night.rows import list_records
from pipelines.night.verify import verify_store
from tests.nation import BORN, FIRST, ask, bear, copy_home, examine, name_iin, send, settle, take_in
from tests.test_bulk_data import child, coded, export, result, write

SECOND, THIRD = FIRST + timedelta(days=1), FIRST + timedelta(days=2)
LONG_AGO = date(2022, 12, 31)
TOLD = """
    select row_no, "column", code, severity from lake.ledger.finding
    where submission_id = ? and row_no is not null order by all"""


@pytest.fixture(scope="module")
def born(tmp_path_factory):
    """A home with a child of more than 3 years (2), a newborn of 39 weeks (4), and one whose weeks nobody told (6)."""
    folder = tmp_path_factory.mktemp("born")
    home = settle(folder / "home")
    others = {2: {"birth_on": str(LONG_AGO)}, 4: {}, 6: {"gestation_wk": ""}}
    send(home, folder, [{"birth": bear(n, child_iin=name_iin(700 + n), **other)} for n, other in others.items()])
    take_in(home, FIRST - timedelta(days=1))
    return home


@pytest.fixture
def home(born, tmp_path):
    return copy_home(born, tmp_path / "home")


def seen(number: int, name: str, component: str = "motor", on: date = FIRST, **other) -> dict:
    """A result that names its child by its IIN alone."""
    said = {"mother_iin": "", "birth_on": "", "child_iin": name_iin(700 + number), "source_id": name, "examined_on": str(on)}
    return {"screening": examine(number, component, 2.0) | said | other}


def feedback(home, submission):
    """(row, the sender's own number, code) of its feedback, which lies ready the next morning."""
    told = json.loads((home.reports / "feedback" / submission / "feedback.json").read_text())
    return [(f["row_no"], f["source_id"], f["code"]) for f in told["findings"] if f["row_no"]]


def test_a_child_over_3_is_told_of_though_its_row_does_not_say_when_it_was_born(home, tmp_path):
    rows = [seen(2, "by IIN"), seen(2, "by history", child_iin="", maternity_id="M1", history_no="H2"), seen(4, "a newborn")]
    (submission,) = send(home, tmp_path, rows)
    take_in(home, SECOND)
    assert ask(home, TOLD, submission) == [(row, "examined_on", "child_over_3", "warning") for row in (2, 3)]
    assert feedback(home, submission) == [(2, "by IIN", "child_over_3"), (3, "by history", "child_over_3")]
    receipt = tell_submission(home, submission)
    assert (receipt["state"], receipt["accepted_count"], receipt["quarantined_count"]) == ("accepted", 3, 0)
    assert [(row["row_no"], row["findings"]) for row in list_records(home, submission, is_identified=False)] == [
        (2, "child_over_3"), (3, "child_over_3"), (4, "")]  # fmt: skip
    assert not [check for check in verify_store(home, is_deep=True) if check.broken]


def test_a_row_that_says_the_day_of_birth_is_told_of_once(home, tmp_path):
    (submission,) = send(home, tmp_path, [seen(2, "A", birth_on=str(LONG_AGO)), seen(2, "B", birth_on=str(LONG_AGO), gestation_wk="32")])
    take_in(home, SECOND)
    assert [(row, code) for row, _, code, _ in ask(home, TOLD, submission)] == [(2, "child_over_3"), (3, "child_over_3"), (3, "gestation_wk_differs")]
    assert ask(home, "select row_no from lake.identified.noted where submission_id = ? order by 1", submission) == [(2,), (3,)]


@pytest.mark.parametrize(
    ("number", "weeks", "is_told"),
    [(4, "32", True), (4, "41", True), (4, "38", False), (4, "40", False), (4, "39", False), (4, "", False), (6, "32", False)],
)
def test_weeks_of_gestation_that_are_not_those_of_the_birth_record_are_told(home, tmp_path, number, weeks, is_told):
    """A week is the difference between completed weeks and the one that runs."""
    (submission,) = send(home, tmp_path, [seen(number, "A", gestation_wk=weeks)])
    take_in(home, SECOND)
    assert ask(home, TOLD, submission) == [(2, "gestation_wk", "gestation_wk_differs", "warning")] * is_told
    assert feedback(home, submission) == [(2, "A", "gestation_wk_differs")] * is_told


def test_a_result_that_waited_is_told_of_in_the_feedback_of_its_own_file_when_its_child_is_known(home, tmp_path):
    (submission,) = send(home, tmp_path, [seen(8, "A", gestation_wk="30")])
    take_in(home, SECOND)
    assert feedback(home, submission) == [(2, "A", "child_unknown")]
    send(home, tmp_path, [{"birth": bear(8, child_iin=name_iin(708), birth_on=str(LONG_AGO))}], "births")
    take_in(home, THIRD)
    expected = [(2, "A", "child_over_3"), (2, "A", "gestation_wk_differs")]  # and no more that its child is not known
    assert feedback(home, submission) == expected
    for night in range(1, 3):
        send(home, tmp_path, [{"birth": bear(8 + night)}], f"later {night}")
        take_in(home, THIRD + timedelta(days=night))
    assert feedback(home, submission) == expected
    assert [row["findings"] for row in list_records(home, submission, is_identified=False)] == ["child_over_3 gestation_wk_differs"]
    assert [f["code"] for f in tell_submission(home, submission)["findings"] if f["first_row"]] == ["child_over_3", "gestation_wk_differs"]
    assert len(ask(home, TOLD, submission)) == 3  # what was told stays in the ledger


def test_a_birth_record_that_is_corrected_later_tells_of_results_of_earlier_nights_and_once(home, tmp_path):
    rows = [seen(4, "A", gestation_wk="39"), seen(6, "B", gestation_wk="32", birth_on=str(BORN)), seen(4, "M", "mchat_r")]
    (submission,) = send(home, tmp_path, rows)
    take_in(home, FIRST)
    assert ask(home, TOLD, submission) == [(4, "examined_on", "age_at_mchat_outside_window", "warning")]
    corrected = {"action_code": "correct", "issued_at": "2026-03-02T09:00:00"}
    births = [bear(4, child_iin=name_iin(704), gestation_wk="33", birth_on="2022-02-10"), bear(6, child_iin=name_iin(706), gestation_wk="38")]
    send(home, tmp_path, [{"birth": birth | corrected} for birth in births], "births")
    take_in(home, SECOND)
    expected = [(2, "child_over_3"), (2, "gestation_wk_differs"), (3, "gestation_wk_differs"), (4, "age_at_mchat_outside_window"),
                (4, "child_over_3")]  # fmt: skip
    assert [(row, code) for row, _, code in feedback(home, submission)] == expected
    send(home, tmp_path, [{"birth": birth | corrected | {"issued_at": "2026-03-03T09:00:00", "plurality": "2"}} for birth in births], "again")
    take_in(home, THIRD)
    assert [(row, code) for row, _, code, _ in ask(home, TOLD, submission)] == expected
    assert (tell_submission(home, submission)["late_count"], [check for check in verify_store(home, is_deep=True) if check.broken]) == (1, [])


def test_what_a_corrected_birth_record_says_no_more_of_a_result_is_settled_and_told_again_when_it_is_true_again(home, tmp_path):
    (submission,) = send(home, tmp_path, [seen(4, "A", gestation_wk="33"), seen(4, "B", "phe", gestation_wk="39")])
    take_in(home, FIRST)
    told = [feedback(home, submission)]
    for number, weeks in enumerate(("33", "39"), 1):
        corrected = {"gestation_wk": weeks, "action_code": "correct", "issued_at": f"2026-03-0{number + 1}T09:00:00"}
        (births,) = send(home, tmp_path, [{"birth": bear(4, child_iin=name_iin(704), **corrected)}], weeks)
        take_in(home, FIRST + timedelta(days=number))
        told.append(feedback(home, submission))
        closings = tell_submission(home, submission)["resent_in"]
        assert [(c["outcome"], c["resent_in"]) for c in closings] == [("settled", births)]
    differs = [(2, "A", "gestation_wk_differs")], [(3, None, "gestation_wk_differs")]
    assert told == [differs[0], differs[1], differs[0]]
    assert len(ask(home, TOLD, submission)) == 2  # what was told stays in the ledger


def test_a_record_that_waits_for_another_reason_than_before_is_told_of_it_and_once(home, tmp_path):
    unnamed = {"child_iin": "", "mother_iin": name_iin(8), "birth_on": str(BORN), "birth_order": ""}
    (submission,) = send(home, tmp_path, [seen(8, "A", **unnamed), seen(9, "B")])
    take_in(home, SECOND)
    assert feedback(home, submission) == [(2, "A", "child_unknown"), (3, "B", "child_unknown")]
    assert tell_submission(home, submission)["waiting_for"] == "child_unknown=2"
    twins = [{"birth": bear(n, mother_iin=name_iin(8), history_no="H8", plurality="2", birth_order=order)} for n, order in ((8, "1"), (10, "2"))]
    send(home, tmp_path, twins, "twins")
    for night in range(3):
        take_in(home, THIRD + timedelta(days=night))
        send(home, tmp_path, [{"birth": bear(12 + night)}], f"later {night}")
        assert feedback(home, submission) == [(2, "A", "twin_ambiguous"), (3, "B", "child_unknown")]
        assert tell_submission(home, submission)["waiting_for"] == "child_unknown=1, twin_ambiguous=1"
    assert [code for _, _, code, _ in ask(home, TOLD, submission)] == ["child_unknown", "twin_ambiguous", "child_unknown"]


def test_a_version_is_told_of_once_whichever_files_repeat_it_and_a_new_version_anew(home, tmp_path):
    (first,) = send(home, tmp_path, [seen(2, "A")])
    take_in(home, SECOND)
    (again,) = send(home, tmp_path, [seen(4, "B"), seen(2, "A"), seen(2, "C")], "overlapping")
    take_in(home, SECOND)
    corrected = seen(2, "A", value="2.5", action_code="correct", issued_at="2026-03-03T08:00:00")
    (mended,) = send(home, tmp_path, [corrected, seen(2, "C", action_code="cancel", issued_at="2026-03-03T08:00:00")], "corrected")
    take_in(home, THIRD)
    told = [(file, row, code) for file in (first, again, mended) for row, _, code, _ in ask(home, TOLD, file)]
    assert told == [(first, 2, "child_over_3"), (again, 4, "child_over_3"), (mended, 2, "child_over_3")]


def test_a_file_that_is_read_again_with_more_of_its_people_is_told_again_of_what_it_brought_before(home, tmp_path):
    folder = tmp_path / "export"
    send(home, tmp_path, [{"birth": bear(n)} for n in (1, 3)], "births")
    export(folder, 1, 3, 5)
    weeks = result(9, "1", code=coded("57714-8"), effectiveDateTime=None, valueQuantity={"value": 32, "unit": "wk"})
    write(folder / "Observation.ndjson", result(1, "1"), result(5, "3"), result(3, "2"), weeks)
    first, second, third = (child(number, str(name)) for name, number in enumerate((1, 3, 5), 1))
    for night, files in ((SECOND, [first, third]), (THIRD, [first, third, second])):
        write(folder / "Patient.ndjson", *(patient for patient, _ in files))
        (submission, *_) = flow.receive(home, sorted(folder.iterdir()))
        take_in(home, night)
        assert tell_submission(home, submission)["accepted_count"] == len(files)
        told = [(row, code) for row, _, code, severity in ask(home, TOLD, submission) if severity == "warning"]
        assert told == [(1, "gestation_wk_differs"), (2, "child_unknown")]


def test_a_result_before_the_birth_waits_and_is_told_of_nothing_else(home, tmp_path):
    (submission,) = send(home, tmp_path, [seen(4, "A", on=date(2026, 1, 1), gestation_wk="30")])
    take_in(home, SECOND)
    assert [code for _, _, code, _ in ask(home, TOLD, submission)] == ["dated_before_birth"]


def test_every_age_is_told_of_alike_whether_the_row_or_only_the_spine_says_the_day_of_birth(tmp_path):
    home = settle(tmp_path / "home")
    births = [date(2022, 12, 31), date(2023, 1, 31), date(2023, 3, 1), date(2023, 3, 2), date(2023, 3, 3), date(2023, 5, 29), date(2023, 8, 1),
              date(2023, 8, 2), date(2023, 8, 3), date(2024, 2, 29), date(2024, 11, 1), date(2024, 11, 2), date(2024, 11, 3)]  # fmt: skip
    days = [FIRST, date(2026, 2, 28), date(2026, 1, 31)]
    send(home, tmp_path, [{"birth": bear(n, child_iin=name_iin(700 + n), birth_on=str(day))} for n, day in enumerate(births)])
    cases = [(n, component, on) for n, _ in enumerate(births) for component in ("motor", "mchat_r") for on in days]
    files = [
        send(home, tmp_path, [seen(n, f"{name}{k}", component, on, birth_on=str(births[n]) if is_said else "")
                              for k, (n, component, on) in enumerate(cases)], name)
        for name, is_said in (("said", True), ("unsaid", False))
    ]  # fmt: skip
    take_in(home, FIRST)
    said, unsaid = (ask(home, TOLD, file) for (file,) in files)
    assert said == unsaid
    assert {code for _, _, code, _ in said} == {"child_over_3", "age_at_mchat_outside_window"}
    assert len(said) < len(cases)
