"""Batches before the real Great Expectations: what is held, what only warns, and what is our own fault."""

import json
from datetime import timedelta

import polars as pl
import pytest

from pipelines import expect
from pipelines.contracts import RECORDS
from pipelines.expect import FOLDER, hold_batches, judge_profiles, profile_batches, read_suite
from pipelines.night.front_door import stage_file
from tests.nation import FIRST, bear, consent, examine, settle, write_file

NO_HISTORY = pl.DataFrame(schema={"sender_id": pl.String, "record_kind": pl.String, "received_count": pl.Int64})


def remember(kind="birth", sender="M1", counts=(10, 12, 11, 9, 10)):
    return pl.DataFrame([{"sender_id": sender, "record_kind": kind, "received_count": n} for n in counts])


@pytest.fixture
def batch(tmp_path):
    """Stages files of rows, by name; gives (receipts by name, folder of the run)."""
    settings = settle(tmp_path / "home")

    def stage(**files):
        folder = settings.staging / f"night-{FIRST}"
        receipts = {}
        for name, rows in files.items():
            path = write_file(tmp_path / "sent" / f"{name}.csv", rows)
            receipts[name] = json.loads((stage_file(settings, folder, path, FIRST) / "receipt.json").read_text())
        return receipts, folder

    return stage


def births(count, bad=0, **other):
    """Births of one maternity three days ago, the first `bad` of them without a date."""
    born = str(FIRST - timedelta(days=3))
    rows = [bear(n, sender_id="M1", birth_on=born, birth_weight_g=str(2500 + n)) | other for n in range(2, 2 + count)]
    return [row | {"birth_on": ""} if n < bad else row for n, row in enumerate(rows)]


def judge(batch, tmp_path, kind="birth", history=NO_HISTORY, **files):
    """(submission name, code, severity) of what the real suite of a kind says."""
    receipts, folder = batch(**files)
    suite = read_suite(FOLDER / f"{kind}.toml")
    profile = profile_batches(list(receipts.values()), folder, history, suite)
    broken = judge_profiles([suite], {kind: profile}, tmp_path / "docs", "night", FIRST)
    names = {receipt["submission_id"]: name for name, receipt in receipts.items()}
    return {(names.get(row[0]), *row[1:]) for row in broken.iter_rows()}


def test_a_batch_of_which_most_rows_are_refused_is_held_and_its_neighbour_passes(batch, tmp_path):
    receipts, folder = batch(bad=births(30, bad=20), good=births(25))
    held = hold_batches(list(receipts.values()), folder, tmp_path / "docs", NO_HISTORY, set(), FIRST)
    assert held == {receipts["bad"]["submission_id"]: "refusal_share_high"}


def test_a_held_batch_that_a_person_released_passes(batch, tmp_path):
    receipts, folder = batch(bad=births(30, bad=20))
    released = {receipts["bad"]["submission_id"]}
    assert hold_batches(list(receipts.values()), folder, tmp_path / "docs", NO_HISTORY, released, FIRST) == {}


def test_a_few_rows_are_never_held(batch, tmp_path):
    found = judge(batch, tmp_path, history=remember(counts=(1,) * 9), bad=births(19, bad=19), many=births(40))
    assert not {row for row in found if row[2] == "critical"}


@pytest.mark.parametrize(
    ("count", "counts", "expected"),
    [
        (500, (20, 25, 30, 20, 24), {("sent", "volume_high", "critical"), ("sent", "volume_unusual", "warning")}),
        (500, (20, 25, 30, 20), set()),  # a sender who has sent four files has no habits yet
        (500, (400, 450, 500, 550, 600), set()),
        (499, (20, 25, 30, 20, 24), {("sent", "volume_unusual", "warning")}),
        (50, (300, 300, 300, 300, 300), {("sent", "volume_unusual", "warning")}),
    ],
)
def test_volume_is_held_against_the_senders_own_four_weeks(batch, tmp_path, count, counts, expected):
    assert judge(batch, tmp_path, history=remember(counts=counts), sent=births(count)) == expected


def test_another_senders_or_another_kinds_volume_says_nothing(batch, tmp_path):
    history = pl.concat([remember(sender="M2", counts=(1,) * 9), remember(kind="consent", counts=(1,) * 9)])
    assert not judge(batch, tmp_path, history=history, sent=births(500))


def test_a_column_left_empty_or_filled_down_and_late_files_are_told_and_hold_nothing(batch, tmp_path):
    found = judge(
        batch, tmp_path,
        sparse=births(20, mother_iin="", child_iin=""),
        filled=births(60, birth_weight_g="3000"),
        late=births(3, birth_on=str(FIRST - timedelta(days=15))),
    )  # fmt: skip
    assert found == {
        ("sparse", "mother_iin_sparse", "warning"),
        ("filled", "repeated_value", "warning"),
        ("late", "timeliness_late", "warning"),
    }


def test_a_whole_run_that_is_refused_everywhere_warns_of_the_run_itself(batch, tmp_path):
    found = judge(batch, tmp_path, one=births(3, bad=2), two=births(4, bad=2))
    assert (None, "run_refusal_share_raised", "warning") in found


def test_one_person_deciding_for_many_children_is_held(batch, tmp_path):
    script = [consent(n, representative_iin=bear(2)["mother_iin"]) for n in range(2, 42)]
    own = [consent(n, representative_iin=bear(n)["mother_iin"]) for n in range(2, 42)]
    found = judge(batch, tmp_path, kind="consent", script=script, own=own)
    assert {row for row in found if row[2] == "critical"} == {("script", "repeated_representative", "critical")}


def test_a_profile_is_numbers_of_the_submission_and_no_value_of_a_row(batch):
    rows = [examine(n, "tsh", 5.0 if n < 50 else n / 10) for n in range(2, 102)]
    receipts, folder = batch(sent=rows, odd=[examine(n, "motor", 2.0, 14) for n in range(2, 5)])
    suite = read_suite(FOLDER / "screening.toml")
    profile = profile_batches(list(receipts.values()), folder, remember("screening", "L1", (50, 100, 150)), suite)
    by_name = {n: profile.row(by_predicate=pl.col("submission_id") == r["submission_id"], named=True)
               for n, r in receipts.items()}  # fmt: skip
    assert {k: v for k, v in by_name["sent"].items() if k != "submission_id"} == {
        "record_kind": "screening", "sender_id": "L1", "received_count": 100, "history_count": 3, "volume_ratio": 1.0,
        "timeliness_days": 18.0, "completeness_mother_iin": 1.0, "completeness_birth_on": 1.0,
        "completeness_facility_id": 1.0, "repeated_share": 0.49, "refusal_share": 0.0,
    }  # fmt: skip
    assert by_name["odd"]["repeated_share"] is None


def test_the_docs_are_a_page_a_kind_with_an_index_and_old_results_leave_them(batch, tmp_path):
    receipts, folder = batch(one=births(3), two=[consent(2)])
    fresh, docs = list(receipts.values()), tmp_path / "data-docs"
    hold_batches(fresh, folder, docs, NO_HISTORY, set(), FIRST)
    pages = sorted(p.relative_to(docs).parts[1] for p in docs.glob("validations/**/*.html"))
    assert pages == ["birth", "consent"]
    assert f"night-{FIRST}" in (docs / "index.html").read_text()
    later = FIRST + timedelta(days=expect.DAYS_KEPT + 1)
    hold_batches(fresh, folder.rename(folder.with_name(f"night-{later}")), docs, NO_HISTORY, set(), later)
    for tree in ("validations", "results"):
        assert {p.name for p in docs.glob(f"{tree}/birth/*/")} == {f"night-{later}"}


def test_nothing_personal_reaches_the_docs(batch, tmp_path):
    receipts, folder = batch(one=births(30, bad=20))
    hold_batches(list(receipts.values()), folder, tmp_path / "docs", NO_HISTORY, set(), FIRST)
    text = "".join(p.read_text() for p in (tmp_path / "docs").rglob("*") if p.suffix in {".html", ".json"})
    assert receipts["one"]["submission_id"] in text
    assert not [row for row in births(30) for secret in ("family_name", "mother_iin", "phone") if row[secret] in text]


def test_refused_files_and_empty_runs_cost_nothing(tmp_path):
    refused = {"submission_id": "0" * 64, "record_kind": None, "refusal_code": "file_empty"}
    assert hold_batches([], tmp_path, tmp_path / "docs", NO_HISTORY, set(), FIRST) == {}
    assert hold_batches([refused], tmp_path, tmp_path / "docs", NO_HISTORY, set(), FIRST) == {}
    assert not (tmp_path / "docs").exists()


GOOD = """
[profile]
event_on = "birth_on"
completeness = []
[[expectation]]
type = "expect_column_values_to_be_between"
kwargs = { column = "refusal_share", max_value = 0.5 }
severity = "critical"
meta = { code = "refused" }
"""


def load(tmp_path, text):
    path = tmp_path / "birth.toml"
    path.write_text(text)
    suite = read_suite(path)
    profile = pl.DataFrame({"submission_id": ["a"], "refusal_share": [0.9]})
    return judge_profiles([suite], {"birth": profile}, tmp_path / "docs", "night", FIRST).rows()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (("values_to_be_between", "values_to_be_betwixt"), ValueError),  # Great Expectations drops it silently
        (("refusal_share", "refusals"), RuntimeError),  # and answers a missing column with success = false
        (("values_to_be_between", "median_to_be_between"), ValueError),  # no submission to blame
        (('"critical"', '"stop"'), ValueError),
        (("code =", "name ="), KeyError),
        (("completeness", "completness"), ValueError),
    ],
)
def test_a_broken_suite_is_our_own_fault_and_raises(tmp_path, change, error):
    assert load(tmp_path, GOOD) == [("a", "refused", "critical")]
    with pytest.raises(error):
        load(tmp_path, GOOD.replace(*change))


@pytest.mark.parametrize("kind", RECORDS)
def test_every_kind_of_record_has_its_suite_and_each_expectation_says_why(kind, batch, tmp_path):
    suite = read_suite(FOLDER / f"{kind}.toml")
    profile = profile_batches([], tmp_path, NO_HISTORY, suite)
    assert not len(profile)
    judge_profiles([suite], {kind: profile}, tmp_path / "docs", "night", FIRST)
    assert all(len(e["notes"]) > 30 for e in suite.expectations)
    columns = set(RECORDS[kind].column_names())
    assert {suite.event_on, *suite.completeness, *suite.repeated_within, suite.repeated or suite.event_on} <= columns
