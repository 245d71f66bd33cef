"""The rows of a submission as we hold them (`erte records`): every row is told of, whatever became of it since."""

import json
import shutil
from datetime import date, timedelta

import pytest

from pipelines import flow
from pipelines.errors import UserError
from pipelines.night.mask import MASK
from pipelines.night.rows import list_records
from pipelines.night.verify import verify_store
from pipelines.store.lake import open_lake
from tests.nation import BORN, FIRST, ask, bear, confirm, examine, name_iin, send, settle, take_in, write_file
from tests.together import Together

together = Together(FIRST)


@pytest.fixture
def settings(tmp_path):
    """A home of its own: of what tells of the lake itself."""
    return settle(tmp_path / "home")


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lived")
    return together.live(settle(folder / "home"), folder)


def told(settings, submission):
    """(row, state, file of the held version) of each row."""
    return [(row["row_no"], row["state"], row.get("held_in")) for row in list_records(settings, submission, is_identified=False)]


@together.story
def test_a_row_sent_again_a_row_superseded_and_a_new_row_are_told_apart_and_by_which_file(home, folder):
    send(home, folder, [{"birth": bear(n)} for n in (2, 3, 4)])
    first = [examine(2, "motor", 1.2, 14), examine(3, "motor", 2.9, 14)]
    (one,) = send(home, folder, [{"screening": row} for row in first], "one")
    yield
    corrected = examine(2, "motor", 2.8, 14, action_code="correct", issued_at="2026-03-01T08:00:00")
    (two,) = send(home, folder, [{"screening": row} for row in (corrected, first[1], examine(4, "motor", 2.9, 14))], "two")
    yield
    assert told(home, one) == [(2, "superseded", two[:12]), (3, "accepted", None)]
    assert told(home, two) == [(2, "accepted", None), (3, "repeated", one[:12]), (4, "accepted", None)]
    assert [row["value"] for row in list_records(home, one, is_identified=False)] == [1.2, 2.9]


@together.story
def test_of_two_versions_of_one_night_the_older_is_told_as_superseded_by_the_file_of_the_newer(home, folder):
    send(home, folder, [{"birth": bear(12)}])
    (one,) = send(home, folder, [{"screening": examine(12, "motor", 1.2, 14)}], "one")
    later = examine(12, "motor", 2.8, 14, action_code="correct", issued_at="2026-03-01T08:00:00")
    (two,) = send(home, folder, [{"screening": later}], "two")
    yield
    assert told(home, one) == [(2, "superseded", two[:12])]
    assert told(home, two) == [(2, "accepted", None)]


@together.story
def test_a_refused_and_a_waiting_row_are_told_with_their_findings_and_masked(home, folder):
    (submission,) = send(home, folder, [{"screening": examine(22, "motor", 1.2, 14)}, {"screening": examine(23, "motor", 1.2, 14, birth_on="")},
                                              {"screening": examine(24, "motor", 9.9, 14, examined_on="2199-01-01")}])  # fmt: skip
    yield
    rows = list_records(home, submission, is_identified=False)
    assert [(row["row_no"], row["state"]) for row in rows] == [(2, "waiting"), (3, "quarantined"), (4, "quarantined")]
    assert all(row["findings"] for row in rows)
    assert {row["source_id"] for row in rows if row.get("source_id")} == {MASK}
    waiting, missing, late = (json.loads(row.get("record") or row["row_text"]) for row in rows)
    assert (waiting["mother_iin"], waiting["source_id"], waiting["component"], waiting["value"]) == (MASK, MASK, "motor", 1.2)
    assert (missing["mother_iin"], missing["birth_on"], missing["facility_id"]) == (MASK, None, "M1")
    assert (late["mother_iin"], late["examined_on"], late["value"]) == (MASK, "2199-01-01", "9.9")


@together.story
def test_of_a_refused_row_a_word_at_fault_a_broken_line_and_an_unknown_column_stay_masked_and_the_rest_is_shown(home, folder):
    rows = [bear(32, sex_code="AIGERIM", birth_weight_g="99000", hair="FAIR"), bear(34, maternity_id=name_iin(34), sex_code="1", hair="")]
    (submission,) = flow.receive(home, [write_file(folder / "births.csv", rows)])
    broken = folder / "broken.csv"
    broken.write_text(",".join(bear(36)) + "\nAIGERIM,AIGERIM,250314500010\n" + ",".join(bear(38).values()) + "\n")
    (cut,) = flow.receive(home, [broken])
    yield
    one, other = (json.loads(row["row_text"]) for row in list_records(home, submission, is_identified=False))
    assert (one["sex_code"], one["hair"], one["family_name"], one["address"]) == (MASK, MASK, MASK, MASK)
    assert (one["birth_weight_g"], one["gestation_wk"], one["birth_on"], one["phc_id"]) == ("99000", "39", str(BORN), "P1")
    assert (other["sex_code"], other["maternity_id"]) == ("1", MASK)
    assert [row["row_text"] for row in list_records(home, cut, is_identified=False) if row["state"] == "quarantined"] == [MASK]


@together.cases({"False": (42, False), "True": (44, True)})
def test_a_birth_is_shown_with_what_is_kept_of_it_in_clinical_whichever_record_of_the_child_is_the_newest(home, folder, number, is_identified):
    (one,) = send(home, folder, [{"birth": bear(number, birth_weight_g="2900")}], "one")
    again = bear(number, source_id=f"B{number}-again", issued_at="2026-02-20T08:00:00", birth_weight_g="3100", died_on="2026-02-19")
    (two,) = send(home, folder, [{"birth": again}], "two")
    yield
    for submission, weight, died_on in ((one, 2900, None), (two, 3100, date(2026, 2, 19))):
        (row,) = list_records(home, submission, is_identified=is_identified)
        assert (row["state"], row["birth_weight_g"], row["gestation_wk"], row["phc_id"], row["died_on"]) == ("accepted", weight, 39, "P1", died_on)


def test_a_held_batch_shows_its_rows_as_held_and_a_file_in_landing_is_said_to_lie_there(settings, tmp_path):
    rows = [bear(n, sender_id="M1", birth_on="" if n < 22 else str(FIRST - timedelta(days=3))) for n in range(2, 32)]
    (submission,) = flow.receive(settings, [write_file(tmp_path / "births.csv", rows)])
    shutil.rmtree(settings.lake)
    with pytest.raises(UserError) as missing:
        list_records(settings, submission, is_identified=False)
    assert missing.value.code == "lake_missing"
    assert take_in(settings, FIRST)["held"] == 1
    states = [state for _, state, _ in told(settings, submission)]
    assert (len(states), set(states), states.count("held")) == (30, {"held", "quarantined"}, 10)
    assert "FAMILY" not in str(list_records(settings, submission, is_identified=False))
    (landed,) = send(settings, tmp_path, [{"confirmation": confirm(2)}], "b")
    with pytest.raises(UserError) as lying:
        list_records(settings, landed, is_identified=False)
    assert lying.value.code == "submission_not_judged"


@together.story
def test_who_confirmed_is_kept_with_each_version_and_shown_only_to_whoever_asks_for_identity(home, folder):
    send(home, folder, [{"birth": bear(52)}])
    (one,) = send(home, folder, [{"confirmation": confirm(52, worker_id="NURSE 7")}], "one")
    yield
    later = confirm(52, worker_id="NURSE 9", action_code="correct", issued_at=f"{FIRST}T08:00:00")
    (two,) = send(home, folder, [{"confirmation": later}], "two")
    yield
    for submission, worker in ((one, "NURSE 7"), (two, "NURSE 9")):
        assert [row["worker_id"] for row in list_records(home, submission, is_identified=True)] == [worker]
        assert worker not in str(list_records(home, submission, is_identified=False))
    held = "select worker_id, known_to is null from lake.identified.confirmation where submission_id in (?, ?) order by known_from"
    assert ask(home, held, one, two) == [("NURSE 7", False), ("NURSE 9", True)]


def test_a_home_made_before_a_table_was_thought_of_gets_it_and_keeps_who_confirms_from_then_on(settings, tmp_path):
    send(settings, tmp_path, [{"birth": bear(n)} for n in (2, 4)])
    send(settings, tmp_path, [{"confirmation": confirm(2)}])
    take_in(settings, FIRST)
    with open_lake(settings) as connection:
        connection.execute("drop table lake.identified.confirmation")
    send(settings, tmp_path, [{"confirmation": confirm(4, worker_id="NURSE 4")}], "b")
    take_in(settings, FIRST + timedelta(days=1))
    assert ask(settings, "select worker_id from lake.identified.confirmation") == [("NURSE 4",)]
    assert not [check for check in verify_store(settings, is_deep=True) if check.broken]
