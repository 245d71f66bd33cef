"""Held batches: who holds them back, who decides, what the sender is told, and what a kill in between leaves."""

import json
from contextlib import contextmanager
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from pipelines import flow
from pipelines.cli.commands import app
from pipelines.errors import UserError
from pipelines.intake.page import read_texts
from pipelines.night import hold
from pipelines.night.report_card import write_report_cards
from pipelines.night.verify import verify_store
from pipelines.store.lake import transact
from tests.nation import FIRST, ask, bear, settle, take_in, write_file
from tests.together import Together

together = Together(FIRST)
REASON = "census week, the volume is as expected"


class Killed(BaseException):
    """A process that ends here."""


def receive_bad(home, folder, number):
    """A submission that the next night holds: 30 births from a number on, 20 without a date, one of them of no time of issue."""
    born = str(FIRST - timedelta(days=3))
    rows = [
        bear(number + n, sender_id="M1", birth_on="" if n < 20 else born, **({"issued_at": ""} if n == 28 else {})) for n in range(30)
    ]
    (submission,) = flow.receive(home, [write_file(folder / "sent" / "births.csv", rows)])
    return submission


@pytest.fixture
def held(tmp_path):
    """A home of its own with one held submission, and its id."""
    home = settle(tmp_path / "home")
    submission = receive_bad(home, tmp_path, 2)
    assert take_in(home, FIRST)["held"] == 1
    return home, submission


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lived")
    return together.live(settle(folder / "home"), folder)


def listed(home, submission):
    """What the list of held batches says of a submission."""
    return [row for row in flow.list_held(home) if row["submission_id"] == submission]


def kept(home, submission):
    """The files of a submission that are held."""
    return list((home.home / "held").glob(f"{submission}-*"))


def refused(home, submission):
    """How many rows of a submission are in quarantine."""
    return len(ask(home, "from lake.identified.quarantine where submission_id = ?", submission))


def status(settings, submission):
    return ask(settings, "select status from lake.ledger.submission where submission_id = ?", submission)


def events(settings, submission):
    rows = ask(settings, "select kind, detail from lake.ledger.event where subject = ? order by event_no", submission)
    return [(kind, json.loads(detail)) for kind, detail in rows]


def codes(settings, submission):
    told = json.loads((settings.reports / "feedback" / submission / "feedback.json").read_text())
    return told, {row["code"] for row in told["findings"] if row["row_no"] is None and row["severity"] == "error"}


@together.story
def test_the_list_says_which_expectations_hold_a_batch_and_since_when(home, folder):
    submission = receive_bad(home, folder, 100)
    yield
    (row,) = listed(home, submission)
    assert (row["held_by"], row["state"]) == ("refusal_share_high", "held")
    first = row["held_since"]
    flow.receive(home, kept(home, submission))  # the sender sends it again, and it is held again
    yield
    (row,) = listed(home, submission)
    assert (row["held_since"], row["state"]) == (first, "held")
    assert [kind for kind, _ in events(home, submission)] == ["hold"]
    told, found = codes(home, submission)
    assert found == {"batch_held", "refusal_share_high"}
    assert sum(row["code"] == "birth_on_missing" for row in told["findings"]) == 20  # the sender may mend while the steward looks
    assert refused(home, submission) == 20


@together.story
def test_a_released_batch_passes_in_the_next_run_and_its_feedback_no_longer_says_held(home, folder):
    submission = receive_bad(home, folder, 200)
    yield
    assert flow.decide_held(home, submission[:8], "release", REASON, "aigerim")["submission_id"] == submission
    assert listed(home, submission)[0]["state"] == "released: it passes in the next run"
    yield
    assert status(home, submission) == [("partly_accepted",)]
    assert events(home, submission) == [
        ("hold", {"expectations": "refusal_share_high"}), ("release", {"by": "aigerim", "reason": REASON}),
    ]  # fmt: skip
    assert codes(home, submission)[1] == set()
    assert refused(home, submission) == 20
    assert [p.name for p in (home.archive).rglob(f"{submission}*")] == [f"{submission}-births.csv"]
    assert (listed(home, submission), kept(home, submission)) == ([], [])


def test_a_released_batch_counts_for_its_sender_from_the_day_it_came_and_overrides_nothing_sent_since(held, tmp_path):
    settings, submission = held
    days = [FIRST + timedelta(days=n) for n in (2, 9)]
    since = bear(30, birth_on=str(FIRST - timedelta(days=3)), sender_id="M1", birth_weight_g="2900", issued_at="")  # by the day it comes
    flow.receive(settings, [write_file(tmp_path / "since.csv", [since])])
    take_in(settings, days[0])
    flow.decide_held(settings, submission, "release", REASON, "aigerim")
    take_in(settings, days[1])
    weights = "select birth_weight_g from lake.clinical.birth b join lake.identified.birth i using (child_key) where source_id = 'B30'"
    assert ask(settings, weights + " and b.known_to is null and i.known_to is null") == [(2900,)]
    assert ask(settings, "select received_on, first_on from lake.ledger.submission where submission_id = ?", submission) == [(days[1], FIRST)]
    write_report_cards(settings, days[1])
    card = json.loads((settings.reports / "sender" / "M1.json").read_text())
    assert (card["delay_days"], card["last_on"], card["files"]) == (3.0, str(days[0]), 2)
    assert not [check for check in verify_store(settings, is_deep=True) if check.broken]
    assert not list((settings.home / "held").iterdir())


@together.story
def test_a_returned_batch_tells_its_sender_why_and_is_never_taken_again(home, folder):
    submission = receive_bad(home, folder, 300)
    yield
    flow.decide_held(home, submission, "return", "test data of a new system", "aigerim")
    assert status(home, submission) == [("returned",)]
    told, found = codes(home, submission)
    assert found == {"batch_returned", "refusal_share_high"}
    assert (told["status"], told["returned_because"]) == ("returned", "test data of a new system")
    page = (home.reports / "feedback" / submission / "feedback.html").read_text("utf-8")
    for language, label in read_texts()["feedback"]["reason"].items():  # the text names the line as the page does
        said = next(row[f"text_{language}"] for row in told["findings"] if row["code"] == "batch_returned")
        assert (label in said, f"<dt>{label}</dt><dd>test data of a new system</dd>" in page) == (True, True)
    assert (told["accepted_count"], told["untaken_count"], told["quarantined_count"], told["open_count"]) == (0, 10, 20, 0)
    assert sum(row["code"] == "birth_on_missing" for row in told["findings"]) == 20
    assert not list((home.reports / "feedback" / submission).glob("to-fix.*"))  # to send the refused rows alone would lose the others
    flow.receive(home, list((home.archive / "returned").glob(f"{submission}-*")))
    yield
    assert status(home, submission) == [("returned",)]
    with pytest.raises(UserError, match="no single held"):
        flow.decide_held(home, submission, "release", REASON, "aigerim")


STEPS = {
    "release": ["record_event", "transact", "_move"],
    "return": ["record_event", "transact", "write_feedback", "_move"],
}


KILLED = {f"{decision}-{step}": (decision, step) for decision, steps in STEPS.items() for step in steps}


@together.cases(KILLED)
def test_a_decision_killed_at_any_step_is_finished_by_saying_it_again_and_written_once(home, folder, decision, step):
    submission = receive_bad(home, folder, 1000 + 100 * list(KILLED.values()).index((decision, step)))
    yield
    with pytest.MonkeyPatch.context() as patch:
        die_at(patch, step)
        with pytest.raises(Killed):
            flow.decide_held(home, submission, decision, REASON, "aigerim")
    assert listed(home, submission)  # still to be seen, whatever was left
    flow.decide_held(home, submission, decision, REASON, "aigerim")
    yield
    assert status(home, submission) == [("partly_accepted" if decision == "release" else "returned",)]
    assert [kind for kind, _ in events(home, submission)] == ["hold", decision]
    assert codes(home, submission)[1] == (
        set() if decision == "release" else {"batch_returned", "refusal_share_high"}
    )
    assert listed(home, submission) == []


def die_at(patch, step):
    """The process ends when it comes to a step; `transact` = just after the transaction, `_move` = at the file."""
    if step == "_move":
        patch.setattr("pathlib.Path.replace", end)
    elif step == "transact":
        patch.setattr(hold, "transact", commit_and_end)
    else:
        patch.setattr(hold, step, end)


def end(*_args, **_options):
    raise Killed


@contextmanager
def commit_and_end(connection):
    with transact(connection):
        yield
    raise Killed


@together.story
def test_a_batch_that_came_twice_is_one_decision(home, folder):
    submission = receive_bad(home, folder, 400)
    yield
    flow.receive(home, kept(home, submission))
    yield
    assert len(kept(home, submission)) == 2
    flow.decide_held(home, submission, "return", REASON, "aigerim")
    assert (kept(home, submission), status(home, submission)) == ([], [("returned",)])


@together.story
def test_a_return_is_not_undone_by_a_release_and_a_batch_left_alone_stays_held(home, folder):
    submission = receive_bad(home, folder, 500)
    yield
    assert flow.decide_held(home, submission, "leave", "", "nobody")["state"] == "held"
    assert [kind for kind, _ in events(home, submission)] == ["hold"]
    flow.decide_held(home, submission, "release", REASON, "aigerim")
    flow.decide_held(home, submission, "return", "on second thoughts: test data", "aigerim")
    yield
    assert status(home, submission) == [("returned",)]


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("ok", "reason_length"),
        ("x" * 201, "reason_length"),
        (f"wrong mother {bear(2)['mother_iin']}", "reason_personal"),
        ("call +7 (700) 123-45-67", "reason_personal"),
        ("write to someone@example.kz", "reason_personal"),
    ],
)
def test_a_reason_is_bounded_and_names_nobody(tmp_path, reason, code):
    with pytest.raises(UserError) as told:
        flow.decide_held(settle(tmp_path / "home"), "0" * 64, "release", reason, "aigerim")
    assert told.value.code == code
    assert reason not in str(told.value)


def test_dates_in_a_reason_are_no_personal_numbers():
    assert (
        hold._check_reason("late for 2026-02-11 2026-02-12\nand 13.02.2026")
        == "late for 2026-02-11 2026-02-12 and 13.02.2026"
    )


def test_the_command_line_decides_in_the_name_of_the_person_and_says_that_the_ledger_keeps_it(held):
    settings, submission = held
    home = ["--home", str(settings.home)]
    told = CliRunner().invoke(app, ["hold", "list", "--json", *home])
    assert json.loads(told.stdout)[0]["held_by"] == "refusal_share_high"
    helped = CliRunner().invoke(app, ["hold", "release", "--help"], env={"COLUMNS": "300"})
    assert "ledger" in helped.stdout
    done = CliRunner().invoke(
        app,
        ["hold", "release", submission, "--reason", REASON, "--json", *home],
        env={"LOGNAME": "steward-of-the-night"},
    )
    assert (done.exit_code, json.loads(done.stdout)["by"]) == (0, "steward-of-the-night")
    other = CliRunner().invoke(app, ["hold", "return", submission, "--reason", REASON, "--by", "Aigerim S.", *home])
    assert other.exit_code == 0
    assert [d.get("by") for _, d in events(settings, submission)] == [None, "steward-of-the-night", "Aigerim S."]
