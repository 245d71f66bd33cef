"""Batches before the real Great Expectations: what is held, what only warns, and what is our own fault."""

import json
import re
from datetime import timedelta

import polars as pl
import pytest

from pipelines.contracts import RECORDS
from pipelines.expect.compare import NO_HISTORY
from pipelines.expect.docs import DAYS_KEPT
from pipelines.expect.judge import hold_batches, judge_profiles
from pipelines.expect.profile import profile_batches
from pipelines.expect.suite import FOLDER, read_suite
from pipelines.intake.feedback import LANGUAGES, tell_finding
from pipelines.night.front_door import stage_file
from tests.nation import FIRST, bear, consent, examine, settle, write_file

WEEK = timedelta(days=7)


def remember(kind="birth", sender="M1", counts=(10, 12, 11, 9, 10), back=3):
    """Earlier files of a sender, a week apart from `back` days ago on: the weekday of FIRST when back = 7."""
    rows = [
        {
            "sender_id": sender,
            "record_kind": kind,
            "received_on": FIRST - timedelta(days=back) - n * WEEK,
            "received_count": count,
        }
        for n, count in enumerate(counts)
    ]
    return NO_HISTORY._replace(submission=pl.DataFrame(rows))


def measured(kind, sender, **measures):
    """A profile kept of each of 8 earlier weeks and of 10 more before them, the same measures in each."""
    rows = [
        {"received_on": FIRST - n * WEEK, "submission_id": f"{n:064}", "sender_id": sender, "record_kind": kind,
         "measure": measure, "value": value}
        for n in range(1, 19) for measure, value in measures.items()
    ]  # fmt: skip
    return remember(kind, sender, (50,) * 8)._replace(profile=pl.DataFrame(rows))


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
    profile = profile_batches(list(receipts.values()), folder, history, suite, FIRST).profile
    broken = judge_profiles([suite], {kind: profile}, tmp_path / "docs", "night", FIRST)
    names = {receipt["submission_id"]: name for name, receipt in receipts.items()}
    return {(names.get(row[0]), *row[1:]) for row in broken.iter_rows()}


def test_a_batch_of_which_most_rows_are_refused_is_held_and_its_neighbour_passes(batch, tmp_path):
    receipts, folder = batch(bad=births(30, bad=20), good=births(25))
    held = hold_batches(list(receipts.values()), folder, tmp_path / "docs", NO_HISTORY, set(), FIRST).codes
    assert held == {receipts["bad"]["submission_id"]: "refusal_share_high"}


def test_a_held_batch_that_a_person_released_passes(batch, tmp_path):
    receipts, folder = batch(bad=births(30, bad=20))
    released = {receipts["bad"]["submission_id"]}
    assert hold_batches(list(receipts.values()), folder, tmp_path / "docs", NO_HISTORY, released, FIRST).codes == {}


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
def test_volume_is_held_against_the_senders_own_eight_weeks(batch, tmp_path, count, counts, expected):
    assert judge(batch, tmp_path, history=remember(counts=counts), sent=births(count)) == expected


def test_another_senders_or_another_kinds_volume_says_nothing(batch, tmp_path):
    others = [remember(sender="M2", counts=(1,) * 9), remember(kind="consent", counts=(1,) * 9)]
    history = NO_HISTORY._replace(submission=pl.concat(other.submission for other in others))
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
        ("filled", "round_value", "warning"),
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
    history = remember("screening", "L1", (50, 100, 150))
    profile = profile_batches(list(receipts.values()), folder, history, suite, FIRST).profile
    by_name = {n: profile.row(by_predicate=pl.col("submission_id") == r["submission_id"], named=True)
               for n, r in receipts.items()}  # fmt: skip
    assert {k: v for k, v in by_name["sent"].items() if k != "submission_id" and v is not None} == {
        "record_kind": "screening", "sender_id": "L1", "received_count": 100, "history_count": 3, "timeliness_days": 18.0,
        "completeness_mother_iin": 1.0, "completeness_birth_on": 1.0, "completeness_facility_id": 1.0, "repeated_share": 0.49,
        "round_share": 0.59, "refusal_share": 0.0, "refusal_share_of_many": 0.0,
    }  # fmt: skip
    assert by_name["odd"]["repeated_share"] is None


def test_a_weekday_of_its_own_is_the_measure_of_a_weekday(batch, tmp_path):
    mondays, others = remember(counts=(500,) * 4, back=7), remember(counts=(20,) * 6, back=3)
    both = NO_HISTORY._replace(submission=pl.concat([mondays.submission, others.submission]))
    assert not judge(batch, tmp_path, history=both, sent=births(500))
    assert ("sent", "volume_high", "critical") in judge(batch, tmp_path, history=others, sent=births(500))


def test_what_lies_more_than_eight_weeks_back_is_no_habit(batch, tmp_path):
    assert not judge(batch, tmp_path, history=remember(counts=(20,) * 9, back=57), sent=births(500))


def test_a_column_that_falls_below_the_senders_own_usual_is_told_also_where_it_is_not_sparse(batch, tmp_path):
    rows = [examine(n, "motor", 2.0, 14) | ({} if n % 4 else {"mother_iin": "", "child_iin": bear(n)["mother_iin"]})
            for n in range(2, 82)]  # fmt: skip
    usual = measured("screening", "L1", completeness_mother_iin=1.0)
    told = {("sent", "mother_iin_fell", "warning")}
    assert judge(batch, tmp_path, "screening", usual, sent=rows) & told == told
    assert (
        not judge(batch, tmp_path, "screening", measured("screening", "L1", completeness_mother_iin=0.75), sent=rows)
        & told
    )
    assert not judge(batch, tmp_path, "screening", usual, sent=rows[:49]) & told


def test_a_file_a_week_later_than_the_sender_usually_is_slips(batch, tmp_path):
    rows = births(20, birth_on=str(FIRST - timedelta(days=12)))
    assert judge(batch, tmp_path, history=measured("birth", "M1", timeliness_days=4.0), sent=rows) == {
        ("sent", "timeliness_slipped", "warning")
    }
    assert not judge(batch, tmp_path, history=measured("birth", "M1", timeliness_days=5.0), sent=rows)


def test_full_hundreds_of_grams_in_most_weights_are_told_as_digit_preference(batch, tmp_path):
    estimated = [row | {"birth_weight_g": str(2500 + n % 13 * 100)} for n, row in enumerate(births(60))]
    weighed = [row | {"birth_weight_g": str(2500 + n * 10)} for n, row in enumerate(births(60))]
    found = judge(batch, tmp_path, estimated=estimated, weighed=weighed, few=estimated[:49])
    assert found == {("estimated", "round_value", "warning")}


def test_a_component_the_sender_never_sent_before_is_told_and_remembered(batch, tmp_path):
    rows = [examine(n, "motor", 2.0, 14) for n in range(2, 32)] + [examine(2, "speech", 2.0, 14)]
    known = pl.DataFrame(
        [{"sender_id": "L1", "record_kind": "screening", "code": c} for c in ("component=motor", "unit=1")]
    )
    receipts, folder = batch(sent=rows)
    fresh, suite = list(receipts.values()), read_suite(FOLDER / "screening.toml")
    history = remember("screening", "L1", (30,) * 6)
    profiled = profile_batches(fresh, folder, history._replace(code=known), suite, FIRST)
    assert profiled.profile["new_code_count"].to_list() == [1]
    assert profiled.code.select("sender_id", "code").rows() == [("L1", "component=speech")]
    # of a sender of whom nothing is remembered yet all is remembered, and nothing told
    first = profile_batches(fresh, folder, history, suite, FIRST)
    assert first.profile["new_code_count"].to_list() == [None]
    assert sorted(first.code["code"]) == ["component=motor", "component=speech"]


def results(median, count=100):
    """TSH values spread evenly about a median."""
    return [examine(n, "tsh", round(median * (0.505 + n / 100), 3)) for n in range(count)]


@pytest.mark.parametrize(
    ("median", "usual", "expected"),
    [
        (2.0, {"median_tsh": 2.0, "count_tsh": 30.0}, set()),
        (20.0, {"median_tsh": 2.0, "count_tsh": 30.0}, {("sent", "tsh_off_scale", "critical")}),
        (0.5, {"median_tsh": 2.0, "count_tsh": 30.0}, {("sent", "tsh_off_scale", "critical")}),
        (20.0, {"median_tsh": 2.0, "count_tsh": 15.0}, set()),  # fewer than 300 values in the months before
    ],
)
def test_a_file_off_the_scale_of_the_laboratorys_own_months_is_held(batch, tmp_path, median, usual, expected):
    found = judge(batch, tmp_path, "screening", measured("screening", "L1", **usual), sent=results(median))
    assert {row for row in found if row[2] == "critical"} == expected


def test_small_files_of_four_weeks_together_show_a_calibration_shift(batch, tmp_path):
    months = measured("screening", "L1", median_tsh=2.0, count_tsh=40.0)
    weeks = pl.DataFrame(
        [{"received_on": FIRST - timedelta(days=n), "submission_id": f"{n:064}", "sender_id": "L1", "record_kind": "screening",
          "measure": measure, "value": value} for n in (1, 2, 3) for measure, value in (("median_tsh", 2.8), ("count_tsh", 60.0))]
    )  # fmt: skip
    shifted = months._replace(
        profile=pl.concat([months.profile.filter(pl.col("received_on") < FIRST - 5 * WEEK), weeks])
    )
    told = {("sent", "tsh_shifted", "warning")}
    assert judge(batch, tmp_path, "screening", shifted, sent=results(2.8, 20)) & told == told
    assert not judge(batch, tmp_path, "screening", months, sent=results(2.8, 20)) & told  # 20 values are no month


def heard(refer, count, **other):
    """Answers of the left ear of `count` children, the first `refer` of whom did not pass."""
    return [examine(n, "oae_left", "refer" if n < refer else "pass", **other) for n in range(count)]


DRIFTED = {("sent", "hearing_refer_shifted", "warning")}


@pytest.mark.parametrize(
    ("refer", "count", "usual", "expected"),
    [
        (42, 60, (2.0, 60.0), DRIFTED),  # 70 % of a sender of 3 %
        (4, 60, (2.0, 60.0), set()),
        (2, 3, (2.0, 60.0), set()),  # three answers are no distribution
        (18, 20, (2.0, 60.0), DRIFTED),
        (0, 400, (20.0, 400.0), DRIFTED),  # nobody is referred any more
        (0, 60, (2.0, 60.0), set()),
        (1, 60, (0.0, 60.0), set()),  # the first one that a sender ever refers
        (42, 60, (2.0, 10.0), set()),  # 80 answers in eight weeks are no habit
    ],
)
def test_a_share_of_answers_far_off_the_senders_own_is_told_and_chance_among_few_is_not(batch, tmp_path, refer, count, usual, expected):
    history = measured("screening", "L1", hits_hearing_refer=usual[0], asked_hearing_refer=usual[1])
    found = judge(batch, tmp_path, "screening", history, sent=heard(refer, count))
    assert {row for row in found if "hearing" in row[1]} == expected


def test_a_sender_whose_own_files_differ_much_is_judged_by_that_spread(batch, tmp_path):
    weeks = [
        {"received_on": FIRST - n * WEEK, "submission_id": f"{n:064}", "sender_id": "L1", "record_kind": "screening", "measure": measure, "value": v}
        for n in range(1, 9) for measure, v in (("hits_hearing_refer", 12.0 * (n % 2)), ("asked_hearing_refer", 60.0))
    ]  # fmt: skip
    uneven = remember("screening", "L1", (60,) * 8)._replace(profile=pl.DataFrame(weeks))
    even = measured("screening", "L1", hits_hearing_refer=6.0, asked_hearing_refer=60.0)
    assert [judge(batch, tmp_path, "screening", h, sent=heard(20, 60)) & DRIFTED for h in (uneven, even)] == [set(), DRIFTED]


def test_what_is_remembered_of_answers_is_counts_of_those_that_were_asked(batch):
    rows = [*heard(3, 20), *(examine(n, "rop", "refer") for n in range(20, 22)), examine(30, "oae_left", "declined")]
    receipts, folder = batch(sent=rows)
    kept = profile_batches(list(receipts.values()), folder, NO_HISTORY, read_suite(FOLDER / "screening.toml"), FIRST).kept
    told = dict(kept.filter(pl.col("measure").str.contains("^(hits|asked)_")).select("measure", "value").rows())
    assert told == {
        "hits_hearing_refer": 3, "asked_hearing_refer": 20, "hits_hearing_not_done": 1, "asked_hearing_not_done": 21,
        "hits_eyes_refer": 2, "asked_eyes_refer": 2,
    }  # fmt: skip


def test_the_docs_are_a_page_a_kind_with_an_index_and_old_results_leave_them(batch, tmp_path):
    receipts, folder = batch(one=births(3), two=[consent(2)])
    fresh, docs = list(receipts.values()), tmp_path / "data-docs"
    hold_batches(fresh, folder, docs, NO_HISTORY, set(), FIRST)
    day = docs / str(FIRST) / f"night-{FIRST}"
    assert sorted(p.name for p in day.iterdir()) == ["birth.html", "consent.html", "run.json"]
    assert f"{FIRST}/night-{FIRST}/birth.html" in (docs / "index.html").read_text()
    later = FIRST + timedelta(days=DAYS_KEPT + 1)
    hold_batches(fresh, folder.rename(folder.with_name(f"night-{later}")), docs, NO_HISTORY, set(), later)
    assert sorted(p.name for p in docs.iterdir()) == [str(later), "index.html"]
    assert str(FIRST) not in (docs / "index.html").read_text()


def test_what_no_file_can_be_measured_for_is_not_judged_and_the_page_says_so(batch, tmp_path):
    docs = tmp_path / "data-docs"
    pages = {}
    for name, sent in {"small": births(3), "large": births(60)}.items():
        receipts, folder = batch(**{name: sent})
        hold_batches(list(receipts.values()), folder, docs, NO_HISTORY, set(), FIRST)
        pages[name] = (docs / str(FIRST) / folder.name / "birth.html").read_text()
        told = pages[name].partition("Not judged")[2].partition("</p>")[0]
        assert ("refusal_share_high" in told) == (name == "small")
        assert "volume_high" in told  # a sender without a past has no usual volume
    assert pages["large"].count("refusal_share_of_many") > pages["small"].count("refusal_share_of_many") == 0


def test_the_docs_say_what_a_batch_breaks_and_load_nothing_from_outside(batch, tmp_path):
    receipts, folder = batch(bad=births(30, bad=20))
    hold_batches(list(receipts.values()), folder, tmp_path / "docs", NO_HISTORY, set(), FIRST)
    pages = {p.name: p.read_text() for p in (tmp_path / "docs").rglob("*.html")}
    assert receipts["bad"]["submission_id"] in pages["birth.html"]
    assert "More than half of the rows refused" in pages["birth.html"]
    assert "<span class=critical>refusal_share_high</span> 1" in pages["index.html"]
    facts = re.findall(r"<div class=\"show-scrollbars\">(.*?)</div>", pages["birth.html"])
    told = {name: facts[facts.index(name) + 1] for name in ("Run Name", "Run Time")}
    assert told == {"Run Name": f"night-{FIRST}", "Run Time": f"{FIRST}T00:00:00Z"}
    for name, text in pages.items():
        assert not re.findall(r"https?:|<script|<link|<img|url\(|@import|onclick", text), name


def test_an_earlier_run_is_not_built_again(batch, tmp_path):
    receipts, folder = batch(one=births(3))
    fresh, docs = list(receipts.values()), tmp_path / "docs"
    hold_batches(fresh, folder, docs, NO_HISTORY, set(), FIRST)
    page = docs / str(FIRST) / folder.name / "birth.html"
    page.write_text("as it was")
    hold_batches(fresh, folder.rename(folder.with_name("second")), docs, NO_HISTORY, set(), FIRST)
    assert page.read_text() == "as it was"
    assert (docs / "index.html").read_text().count("birth.html") == 2


def test_nothing_personal_reaches_the_docs(batch, tmp_path):
    receipts, folder = batch(one=births(30, bad=20))
    hold_batches(list(receipts.values()), folder, tmp_path / "docs", NO_HISTORY, set(), FIRST)
    text = "".join(p.read_text() for p in (tmp_path / "docs").rglob("*") if p.suffix in {".html", ".json"})
    assert receipts["one"]["submission_id"] in text
    assert not [row for row in births(30) for secret in ("family_name", "mother_iin", "phone") if row[secret] in text]


def test_refused_files_and_empty_runs_cost_nothing(tmp_path):
    refused = {"submission_id": "0" * 64, "record_kind": None, "refusal_code": "file_empty"}
    assert hold_batches([], tmp_path, tmp_path / "docs", NO_HISTORY, set(), FIRST).codes == {}
    assert hold_batches([refused], tmp_path, tmp_path / "docs", NO_HISTORY, set(), FIRST).codes == {}
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
    profile = profile_batches([], tmp_path, NO_HISTORY, suite, FIRST).profile
    assert not len(profile)
    judge_profiles([suite], {kind: profile}, tmp_path / "docs", "night", FIRST)
    assert [e["meta"]["code"] for e in suite.expectations if len(e["notes"]) <= 30] == []  # a note says what is wrong then
    columns = set(RECORDS[kind].column_names())
    assert {suite.event_on, *suite.completeness, *suite.repeated_within, *suite.codes} <= columns
    asked = {part.column for part in (suite.round, suite.median, suite.share) if part} | (
        {suite.repeated} if suite.repeated else set()
    )
    assert asked <= columns


@pytest.mark.parametrize("kind", RECORDS)
def test_a_sender_can_read_in_three_languages_what_held_the_batch(kind):
    critical = [
        e["meta"]["code"] for e in read_suite(FOLDER / f"{kind}.toml").expectations if e["severity"] == "critical"
    ]
    for code in critical:
        texts = tell_finding(code, None, {})
        assert all(len(texts[language]) > 30 for language in LANGUAGES), code


@pytest.mark.parametrize("kind", RECORDS)
def test_no_suite_holds_a_handful_of_rows_or_a_new_sender_for_its_volume(kind):
    suite = read_suite(FOLDER / f"{kind}.toml")
    held = [
        e["kwargs"]["column"]
        for e in suite.expectations
        if e["severity"] == "critical" and "volume" in e["kwargs"]["column"]
    ]
    assert held
    assert all(suite.gate[column].rows >= 200 and suite.gate[column].files >= 5 for column in held)
