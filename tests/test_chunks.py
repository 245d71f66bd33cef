"""What a file says does not depend on how many of its rows are read at a time, nor on whether it is only tried."""

import json
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipelines import flow
from pipelines.intake.receive import open_submission
from pipelines.intake.senders import Tally
from pipelines.night.ask import tell_submission
from pipelines.night.front_door import LEDGER_FINDING, read_staged, stage_file, stage_rows
from pipelines.night.layout_trial import try_file
from pipelines.night.verify import verify_store
from tests.nation import BORN, FIRST, bear, examine, name_iin, run, send, settle, write_file
from tests.test_bulk_data import LABORATORY, child, coded, result, write
from tests.test_fhir import listing, patient

RIVALS = {"record_told_differently", "results_contradict"}


def ear(number: int, answer: str, name: str, **other) -> dict:
    return examine(number, "oae_left", answer, source_id=name) | other


def open_cut(path: Path, size: int):
    """The file, opened, with its chunks cut into chunks of so many rows."""
    opened = open_submission(path)

    def cut():
        for chunk in opened.chunks:
            for start in range(0, max(len(chunk.rows), 1), size):
                rows = chunk.rows.slice(start, size)
                is_here = pl.col("row_no").is_in(rows["row_no"].implode())
                own = is_here | pl.col("row_no").is_null() if start == 0 else is_here
                yield chunk._replace(rows=rows, findings=chunk.findings.filter(own))

    return opened._replace(chunks=cut())


def stage(path: Path, folder: Path, size: int):
    """(findings, noted rows, numbers of the rows accepted, of those refused) of a file read so many rows at a time."""
    draft = folder / f"{size}" / ("0" * 64)
    draft.mkdir(parents=True)
    stage_rows(partial(open_cut, path, size), draft, draft.name, FIRST, Tally(None))
    accepted = [pl.read_parquet(part, columns=["row_no"]) for part in draft.glob("accepted-*.parquet")]
    return (
        sorted(read_staged(draft.parent, "finding-*.parquet", LEDGER_FINDING).drop("submission_id").rows(), key=str),
        sorted(read_staged(draft.parent, "noted-*.parquet", {"row_no": pl.Int64(), "source_id": pl.String()})["row_no"]),
        sorted(pl.concat(accepted)["row_no"]) if accepted else [],
        sorted(read_staged(draft.parent, "quarantine-*.parquet", {"row_no": pl.Int64()})["row_no"]),
    )


ROW = st.builds(
    lambda number, answer, name, status, day, order: ear(
        number, answer, name, status_code=status, examined_on=day, birth_order=order
    ),
    st.sampled_from([2, 3]), st.sampled_from(["pass", "refer"]), st.sampled_from("ABC"), st.sampled_from(["final", "final", "cancelled"]),
    st.sampled_from(["2026-02-12", "2026-02-12", "no day"]), st.sampled_from(["", "", "1"]),
)  # fmt: skip


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ROW, min_size=2, max_size=7))
@example([ear(2, "pass", "A"), ear(3, "pass", "B"), ear(2, "refer", "C")])
@example([ear(2, "pass", "A"), ear(2, "refer", "A", examined_on="no day")])  # a row refused for another reason is no rival
@example([ear(2, "pass", "A", birth_order="1"), ear(2, "pass", "B"), ear(2, "refer", "C")])
def test_the_findings_of_a_file_are_the_same_however_many_rows_are_read_at_a_time(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("cut")
    path = write_file(folder / "a.csv", rows)
    whole = stage(path, folder, len(rows))
    assert all(stage(path, folder, size) == whole for size in {1, 2, len(rows) - 1} - {len(rows)})


def told(rows: list[dict], folder: Path) -> dict[str, list[int]]:
    """Code -> rows, of results read one row at a time."""
    found: dict[str, list[int]] = {}
    for row_no, _, code, *_ in stage(write_file(folder / "a.csv", rows), folder, 1)[0]:
        if row_no:
            found.setdefault(code, []).append(row_no)
    return found


@pytest.mark.parametrize(
    ("other", "rows"),
    [
        (ear(2, "refer", "B"), [2, 3]),
        (ear(2, "pass", "B"), []),
        (ear(3, "refer", "B"), []),
        (ear(2, "refer", "B", examined_on="2026-02-13"), []),
        (ear(2, "refer", "B", component="oae_right"), []),
        (ear(2, "refer", "B", status_code="cancelled"), []),
        (ear(2, "refer", "A", action_code="correct", issued_at="2026-02-14T08:00:00"), []),  # a version takes the place of the one before
        (ear(2, "refer", "B", sender_id="L2", maternity_id="M2"), [2, 3]),
        (ear(2, "refer", "B", birth_order="2"), []),
    ],
)
def test_results_of_one_child_component_and_day_contradict_one_another_wherever_in_the_file_they_stand(tmp_path, other, rows):
    assert told([ear(2, "pass", "A"), other], tmp_path) == ({"results_contradict": rows} if rows else {})


def spot(number: int, value: str, name: str, **other):
    """The TSH of a blood spot, as ear tells an ear."""
    return ear(number, "", name, programme="blood_spot", component="tsh", value=value, unit="mU/L") | other


@pytest.mark.parametrize(
    ("other", "rows"),
    [
        (spot(2, "12.5", "B"), [2, 3]),
        (spot(2, "3.1", "B"), []),
        (spot(3, "12.5", "B"), []),
        (spot(2, "12.5", "B", stage_code="retest"), []),  # the same spot is tested again, as order 704 asks
        (spot(2, "12.5", "B", status_code="cancelled"), []),
        (spot(2, "", "B", result_code="unsatisfactory"), []),
    ],
)
def test_two_unlike_numbers_of_one_child_analyte_and_day_are_told(tmp_path, other, rows):
    assert told([spot(2, "3.1", "A"), other], tmp_path) == ({"results_contradict": rows} if rows else {})


def test_a_child_is_the_same_by_its_own_number_whatever_else_its_rows_say(tmp_path):
    by_iin = [ear(2, answer, answer, child_iin=name_iin(700), history_no=history) for answer, history in (("pass", "H2"), ("refer", ""))]
    assert told(by_iin, tmp_path) == {"results_contradict": [2, 3]}


def test_a_contradiction_in_a_wide_list_is_told_of_the_cell(tmp_path):
    head = "Организация;ИИН;Дата рождения;Дата обследования;Номер истории;Роддом;Правое ухо;Левое ухо"
    rows = [f"M1;{name_iin(7)};10.02.2026;12.02.2026;{history};M1;прошел;{left}" for history, left in (("H1", "прошел"), ("H2", "не прошел"))]
    (tmp_path / "a.csv").write_text("\n".join([head, *rows]), "utf-8")
    found, noted, accepted, _ = stage(tmp_path / "a.csv", tmp_path, 1)
    assert [(row, column) for row, column, code, *_ in found if code == "results_contradict"] == [(2, "Левое ухо"), (3, "Левое ухо")]
    assert (noted, accepted) == ([2, 3], [2, 2, 3, 3])


def hear(number: int, answer: str, name: str = "1"):
    """An Observation of the left ear."""
    heard = {"valueQuantity": None, "valueCodeableConcept": coded(answer), "code": coded("54109-4")}
    return result(number, name, **heard)


def test_contradictory_answers_of_a_fhir_file_are_told_and_a_version_contradicts_none(tmp_path):
    passed, absent = hear(1, "LA10392-1"), hear(2, "LA7304-4")
    ears = [ear | {"subject": {"reference": "#p"}, "identifier": [{"value": ear["id"]}]} for ear in (passed, absent)]
    inside = {"contained": [patient("p", birthDate=str(BORN)), *ears]}
    files = {
        "lines": [*child(1), LABORATORY, passed, absent], "inside": [LABORATORY, listing("#o1", "#o2", **inside)],
        "version": [*child(1), LABORATORY, passed, hear(1, "LA10393-9") | {"status": "amended", "issued": "2026-02-14T08:00:00+05:00"}],
    }  # fmt: skip
    told = {}
    for name, resources in files.items():
        found, *_ = stage(write(tmp_path / f"{name}.ndjson", *resources), tmp_path / name, 1)
        told[name] = [(row, column) for row, column, code, *_ in found if code == "results_contradict"]
    assert told == {"lines": [(4, "result_code"), (5, "result_code")], "inside": [(2, "result_code")], "version": []}


@pytest.fixture(scope="module")
def far_apart(tmp_path_factory):
    """A file in which one record is told differently, and two results contradict one another, further apart than what is read at a time."""
    same = {"valueQuantity": {"value": 3.1, "unit": "mU/L"}}
    results = [result(number, "1", **same) for number in range(100, 40_100)]
    twice = [result(30_000, "1", **same), result(100, "1", valueQuantity={"value": 7, "unit": "mU/L"})]
    lines = [*child(1), LABORATORY, hear(1, "LA10392-1"), *results, *twice, hear(2, "LA10393-9"), hear(3, "LA10393-9")]
    return write(tmp_path_factory.mktemp("far") / "a.json", *lines)


def count(findings) -> set[tuple[str, str, int]]:
    """(code, severity, rows) of findings of rows."""
    return {(f["code"], f["severity"], f["rows"]) for f in findings if f["rows"]}


def test_rivals_and_contradictions_far_apart_in_one_file_are_told_of_all_their_rows_also_when_it_is_only_tried(far_apart, tmp_path):
    home = settle(tmp_path / "home")
    staged = stage_file(home, tmp_path, far_apart, FIRST)
    receipt = json.loads((staged / "receipt.json").read_text())
    assert (receipt["received_count"], receipt["accepted_count"], receipt["quarantined_count"]) == (40_005, 40_003, 2)
    found = pl.concat(pl.read_parquet(path) for path in staged.glob("finding-*.parquet")).drop_nulls("row_no")
    assert sorted(found.select("code", "row_no").rows()) == [
        ("record_told_differently", 5), ("record_told_differently", 40_006),
        ("results_contradict", 4), ("results_contradict", 40_007), ("results_contradict", 40_008),
    ]  # fmt: skip
    trial = try_file(home, far_apart, None, FIRST)
    assert (trial.received_count, trial.accepted_count, trial.quarantined_count) == (40_005, 40_003, 2)
    assert count(trial.findings) == {("record_told_differently", "error", 2), ("results_contradict", "warning", 3)}


def test_a_trial_finds_in_a_file_what_the_night_does(tmp_path):
    home = settle(tmp_path / "home")
    send(home, tmp_path, [{"birth": bear(number)} for number in (2, 3, 4)])
    rows = [ear(2, "pass", "A"), ear(2, "refer", "A"), ear(3, "pass", "B"), ear(3, "refer", "C"), ear(4, "pass", "D", examined_on="no day")]
    path = write_file(tmp_path / "screening.csv", rows)
    trial = try_file(home, path, None, FIRST)
    (submission,) = flow.receive(home, [path])
    run(home, FIRST)
    receipt = tell_submission(home, submission)
    assert count(trial.findings) == count(f for f in receipt["findings"] if f["first_row"])
    assert {f["code"] for f in trial.findings} >= RIVALS
    assert (trial.accepted_count, trial.quarantined_count) == (receipt["accepted_count"], receipt["quarantined_count"]) == (2, 3)
    assert not [check for check in verify_store(home, is_deep=True) if check.broken]
