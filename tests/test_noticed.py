"""What only the spine knows of a result that was accepted: its sender is told once its child is known, and told once."""

import json
from datetime import date, timedelta

import pytest

from pipelines import flow
from pipelines.night.ask import tell_submission
from pipelines.night.rows import list_records
from tests.nation import BORN, FIRST, ask, bear, examine, name_iin, send, settle, take_in
from tests.test_bulk_data import child, coded, export, result, write
from tests.together import Together

LONG_AGO = date(2022, 12, 31)
together = Together()
TOLD = """
    select row_no, "column", code, severity from lake.ledger.finding
    where submission_id = ? and row_no is not null order by all"""


@pytest.fixture(scope="module")
def born(tmp_path_factory):
    """A home with children of more than 3 years, newborns of 39 weeks, and those whose weeks nobody told."""
    folder = tmp_path_factory.mktemp("born")
    home = settle(folder / "home")
    others = {n: {"birth_on": str(LONG_AGO)} for n in (2, 12, 52)} | {n: {"gestation_wk": ""} for n in (26, 66)}
    newborn = (4, *range(14, 26, 2), 44, 54, 64, 74)
    births = (bear(n, child_iin=name_iin(700 + n), **others.get(n, {})) for n in (*others, *newborn))
    send(home, folder, [{"birth": birth} for birth in births])
    take_in(home, FIRST - timedelta(days=1))
    return home


@pytest.fixture(scope="module")
def lived(born, tmp_path_factory):
    return together.live(born, tmp_path_factory.mktemp("lived"), is_deep=True)


def seen(number: int, name: str, component: str = "motor", on: date = FIRST, **other) -> dict:
    """A result that names its child by its IIN alone."""
    said = {"mother_iin": "", "birth_on": "", "child_iin": name_iin(700 + number), "source_id": name, "examined_on": str(on)}
    return {"screening": examine(number, component, 2.0) | said | other}


def feedback(home, submission):
    """(row, the sender's own number, code) of its feedback, which lies ready the next morning."""
    told = json.loads((home.reports / "feedback" / submission / "feedback.json").read_text())
    return [(f["row_no"], f["source_id"], f["code"]) for f in told["findings"] if f["row_no"]]


@together.story
def test_a_child_over_3_is_told_of_though_its_row_does_not_say_when_it_was_born(home, folder):
    rows = [seen(2, "by IIN"), seen(2, "by history", child_iin="", maternity_id="M1", history_no="H2"), seen(4, "a newborn")]
    (submission,) = send(home, folder, rows)
    yield
    assert ask(home, TOLD, submission) == [(row, "examined_on", "child_over_3", "warning") for row in (2, 3)]
    assert feedback(home, submission) == [(2, "by IIN", "child_over_3"), (3, "by history", "child_over_3")]
    receipt = tell_submission(home, submission)
    assert (receipt["state"], receipt["accepted_count"], receipt["quarantined_count"]) == ("accepted", 3, 0)
    assert [(row["row_no"], row["findings"]) for row in list_records(home, submission, is_identified=False)] == [
        (2, "child_over_3"), (3, "child_over_3"), (4, "")]  # fmt: skip


@together.story
def test_a_row_that_says_the_day_of_birth_is_told_of_once(home, folder):
    rows = [seen(12, "A12", birth_on=str(LONG_AGO)), seen(12, "B12", birth_on=str(LONG_AGO), gestation_wk="32")]
    (submission,) = send(home, folder, rows)
    yield
    assert [(row, code) for row, _, code, _ in ask(home, TOLD, submission)] == [(2, "child_over_3"), (3, "child_over_3"), (3, "gestation_wk_differs")]
    assert ask(home, "select row_no from lake.identified.noted where submission_id = ? order by 1", submission) == [(2,), (3,)]


@together.cases({
    "39 and 32": (14, "32", True), "39 and 41": (16, "41", True), "39 and 38": (18, "38", False), "39 and 40": (20, "40", False),
    "39 and 39": (22, "39", False), "39 and none": (24, "", False), "none and 32": (26, "32", False),
})  # fmt: skip
def test_weeks_of_gestation_that_are_not_those_of_the_birth_record_are_told(home, folder, number, weeks, is_told):
    """A week is the difference between completed weeks and the one that runs."""
    (submission,) = send(home, folder, [seen(number, f"A{number}", gestation_wk=weeks)])
    yield
    assert ask(home, TOLD, submission) == [(2, "gestation_wk", "gestation_wk_differs", "warning")] * is_told
    assert feedback(home, submission) == [(2, f"A{number}", "gestation_wk_differs")] * is_told


@together.story
def test_a_result_that_waited_is_told_of_in_the_feedback_of_its_own_file_when_its_child_is_known(home, folder):
    (submission,) = send(home, folder, [seen(30, "A30", gestation_wk="30")])
    yield
    assert feedback(home, submission) == [(2, "A30", "child_unknown")]
    send(home, folder, [{"birth": bear(30, child_iin=name_iin(730), birth_on=str(LONG_AGO))}], "births")
    yield
    expected = [(2, "A30", "child_over_3"), (2, "A30", "gestation_wk_differs")]  # and no more that its child is not known
    assert feedback(home, submission) == expected
    for night in range(1, 3):
        send(home, folder, [{"birth": bear(30 + night)}], f"later {night}")
        yield
    assert feedback(home, submission) == expected
    assert [row["findings"] for row in list_records(home, submission, is_identified=False)] == ["child_over_3 gestation_wk_differs"]
    assert [f["code"] for f in tell_submission(home, submission)["findings"] if f["first_row"]] == ["child_over_3", "gestation_wk_differs"]
    assert len(ask(home, TOLD, submission)) == 3  # what was told stays in the ledger


@together.story
def test_a_birth_record_that_is_corrected_later_tells_of_results_of_earlier_nights_and_once(home, folder):
    rows = [seen(64, "A64", gestation_wk="39"), seen(66, "B66", gestation_wk="32", birth_on=str(BORN)), seen(64, "M64", "mchat_r")]
    (submission,) = send(home, folder, rows)
    yield
    assert ask(home, TOLD, submission) == [(4, "examined_on", "age_at_mchat_outside_window", "warning")]
    corrected = {"action_code": "correct", "issued_at": "2026-03-02T09:00:00"}
    births = [bear(64, child_iin=name_iin(764), gestation_wk="33", birth_on="2022-02-10"), bear(66, child_iin=name_iin(766), gestation_wk="38")]
    send(home, folder, [{"birth": birth | corrected} for birth in births], "births")
    yield
    expected = [(2, "child_over_3"), (2, "gestation_wk_differs"), (3, "gestation_wk_differs"), (4, "age_at_mchat_outside_window"),
                (4, "child_over_3")]  # fmt: skip
    assert [(row, code) for row, _, code in feedback(home, submission)] == expected
    send(home, folder, [{"birth": birth | corrected | {"issued_at": "2026-03-03T09:00:00", "plurality": "2"}} for birth in births], "again")
    yield
    assert [(row, code) for row, _, code, _ in ask(home, TOLD, submission)] == expected
    assert tell_submission(home, submission)["late_count"] == 1


@together.story
def test_what_a_corrected_birth_record_says_no_more_of_a_result_is_settled_and_told_again_when_it_is_true_again(home, folder):
    (submission,) = send(home, folder, [seen(74, "A74", gestation_wk="33"), seen(74, "B74", "phe", gestation_wk="39")])
    yield
    told = [feedback(home, submission)]
    for number, weeks in enumerate(("33", "39"), 1):
        corrected = {"gestation_wk": weeks, "action_code": "correct", "issued_at": f"2026-03-0{number + 1}T09:00:00"}
        (births,) = send(home, folder, [{"birth": bear(74, child_iin=name_iin(774), **corrected)}], weeks)
        yield
        told.append(feedback(home, submission))
        closings = tell_submission(home, submission)["resent_in"]
        assert [(c["outcome"], c["resent_in"]) for c in closings] == [("settled", births)]
    differs = [(2, "A74", "gestation_wk_differs")], [(3, None, "gestation_wk_differs")]
    assert told == [differs[0], differs[1], differs[0]]
    assert len(ask(home, TOLD, submission)) == 2  # what was told stays in the ledger


@together.story
def test_a_record_that_waits_for_another_reason_than_before_is_told_of_it_and_once(home, folder):
    unnamed = {"child_iin": "", "mother_iin": name_iin(80), "birth_on": str(BORN), "birth_order": ""}
    (submission,) = send(home, folder, [seen(80, "A80", **unnamed), seen(89, "B89")])
    yield
    assert feedback(home, submission) == [(2, "A80", "child_unknown"), (3, "B89", "child_unknown")]
    assert tell_submission(home, submission)["waiting_for"] == "child_unknown=2"
    twins = [{"birth": bear(n, mother_iin=name_iin(80), history_no="H80", plurality="2", birth_order=order)} for n, order in ((80, "1"), (82, "2"))]
    send(home, folder, twins, "twins")
    for night in range(3):
        yield
        send(home, folder, [{"birth": bear(84 + night)}], f"later {night}")
        assert feedback(home, submission) == [(2, "A80", "twin_ambiguous"), (3, "B89", "child_unknown")]
        assert tell_submission(home, submission)["waiting_for"] == "child_unknown=1, twin_ambiguous=1"
    assert [code for _, _, code, _ in ask(home, TOLD, submission)] == ["child_unknown", "twin_ambiguous", "child_unknown"]


@together.story
def test_a_version_is_told_of_once_whichever_files_repeat_it_and_a_new_version_anew(home, folder):
    (first,) = send(home, folder, [seen(52, "A52")])
    yield
    (again,) = send(home, folder, [seen(54, "B54"), seen(52, "A52"), seen(52, "C52")], "overlapping")
    yield
    corrected = seen(52, "A52", value="2.5", action_code="correct", issued_at="2026-03-03T08:00:00")
    (mended,) = send(home, folder, [corrected, seen(52, "C52", action_code="cancel", issued_at="2026-03-03T08:00:00")], "corrected")
    yield
    told = [(file, row, code) for file in (first, again, mended) for row, _, code, _ in ask(home, TOLD, file)]
    assert told == [(first, 2, "child_over_3"), (again, 4, "child_over_3"), (mended, 2, "child_over_3")]


@together.story
def test_a_file_that_is_read_again_with_more_of_its_people_is_told_again_of_what_it_brought_before(home, folder):
    send(home, folder, [{"birth": bear(n)} for n in (1, 3)], "births")
    export(folder / "export", 1, 3, 5)
    weeks = result(9, "1", code=coded("57714-8"), effectiveDateTime=None, valueQuantity={"value": 32, "unit": "wk"})
    write(folder / "export" / "Observation.ndjson", result(1, "1"), result(5, "3"), result(3, "2"), weeks)
    first, second, third = (child(number, str(name)) for name, number in enumerate((1, 3, 5), 1))
    for files in ([first, third], [first, third, second]):
        write(folder / "export" / "Patient.ndjson", *(patient for patient, _ in files))
        (submission, *_) = flow.receive(home, sorted((folder / "export").iterdir()))
        yield
        assert tell_submission(home, submission)["accepted_count"] == len(files)
        told = [(row, code) for row, _, code, severity in ask(home, TOLD, submission) if severity == "warning"]
        assert told == [(1, "gestation_wk_differs"), (2, "child_unknown")]


@together.story
def test_a_result_before_the_birth_waits_and_is_told_of_nothing_else(home, folder):
    (submission,) = send(home, folder, [seen(44, "A44", on=date(2026, 1, 1), gestation_wk="30")])
    yield
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
