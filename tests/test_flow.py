"""A night from the files of senders to the feeds of PMPCs: real files, a real lake, and what goes wrong on the way."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import tomllib
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest
from typer.testing import CliRunner

from pipelines import flow
from pipelines.cli.commands import app
from pipelines.contracts import LAKE
from pipelines.errors import UserError
from pipelines.night import assess, front_door
from pipelines.night.ask import explain_child
from pipelines.night.verify import verify_store
from pipelines.risk.protocol import parse_protocol
from pipelines.settings import PACKAGE, Settings
from pipelines.store import lake
from pipelines.store.lake import hold_lock
from tests.nation import (
    FIRST,
    ask,
    bear,
    confirm,
    consent,
    copy_home,
    examine,
    flagged,
    run,
    send,
    settle,
    take_in,
    write_file,
)

SECOND, THIRD = FIRST + timedelta(days=1), FIRST + timedelta(days=2)


@pytest.fixture
def settings(tmp_path):
    return settle(tmp_path / "home")


@pytest.fixture(scope="module")
def first_night(tmp_path_factory):
    """A home after the night on which a child was referred and another was born."""
    folder = tmp_path_factory.mktemp("first")
    settings = settle(folder / "home")
    send(settings, folder, [*flagged(2), {"birth": bear(4)}])
    assert run(settings, FIRST)["referrals"] == 1
    return settings


@pytest.fixture
def referred(first_night, tmp_path):
    return copy_home(first_night, tmp_path / "home")


@pytest.fixture(scope="module")
def published_night(tmp_path_factory):
    """A home after a whole night of two children, and what it counted."""
    folder = tmp_path_factory.mktemp("published")
    settings = settle(folder / "home")
    send(settings, folder, [*flagged(2), *flagged(3)])
    return settings, flow.run_night(settings, FIRST, lambda _: None)


@pytest.fixture
def published(published_night, tmp_path):
    return copy_home(published_night[0], tmp_path / "home")


class Night(NamedTuple):
    """A home as a night left it, what that night counted, and the submissions of the night by the name of what they are about."""

    home: Settings
    counts: dict
    ids: dict[str, list[str]]


OLD = {"birth_on": "2023-02-15"}
NAMED = [bear(n, family_name=f"{letter}-FAMILY-TEST") for n, letter in ((32, "A"), (34, "M"), (36, "Z"))]
NEVER_SENT = {
    "sender_id": "K1", "source_id": "X1", "action_code": "report", "referral_id": "R" + "0" * 24, "report_status": "3.0",
    "reported_on": "2026-03-01",
}  # fmt: skip
REFUSED = {
    "empty": (b"", "file_empty"),
    "binary": (b"MZ\x00\x01\x02" * 100, "file_binary"),
    "workbook": (b"PK\x03\x04" + b"x" * 100, "file_unreadable"),
    "other": (b"colour,taste\nred,sweet\n", "layout_unknown"),
    "header only": ((",".join(bear(1)) + "\n").encode(), "file_without_rows"),
    "changed": ((",".join(bear(1)).replace("history_no", "history") + "\n" + ",".join(bear(1).values()) + "\n").encode(),
                "layout_header_changed"),
}  # fmt: skip


@pytest.fixture(scope="module")
def one_night(tmp_path_factory):
    """A first night of many things that have nothing to do with one another; in files of its own what is asked for by its file."""
    folder = tmp_path_factory.mktemp("one")
    settings = settle(folder / "home")
    sent = {
        "by child": [
            *flagged(2), *flagged(3), {"birth": bear(4)},
            *flagged(6), *flagged(8), *flagged(10),  # the next night: withdrawn, cancelled, reported
            *(r for r in flagged(12) if "consent" not in r), *(r for r in flagged(14) if "confirmation" not in r),
            {"birth": bear(16, **OLD)}, {"screening": examine(16, "motor", 1.2, 0, **OLD)}, {"consent": consent(16, **OLD)},
            {"confirmation": confirm(16, **OLD)},  # aged out
            {"birth": bear(22)}, {"screening": examine(22, "motor", 1.2, 14)},  # corrected on the next night
            *({"birth": row} for row in NAMED),
        ],
        "below zero": [{"birth": bear(18)}, {"screening": examine(18, "head_z", -2.5, 2, programme="phenotype")},
                       {"screening": examine(18, "tsh", -1.0)}],
        "before its birth": [{"screening": examine(24, "motor", 1.2, 14)}],
        "of nobody": [{"consent": consent(9)}, {"pmpc_report": NEVER_SENT}],
        "mended later": [{"birth": bear(26, mother_iin="250314500011", birth_on="10.02.2026")}, {"birth": bear(28)}],
    }  # fmt: skip
    ids = {name: send(settings, folder, records, name) for name, records in sent.items()}
    for kind, (content, _) in REFUSED.items():
        path = folder / f"{kind}.csv"
        path.write_bytes(content)
        ids[kind] = flow.receive(settings, [path])
    ids["long name"] = flow.receive(settings, [write_file(folder / "a.csv", [bear(38)]).rename(folder / ("ә" * 120 + ".csv"))])
    return Night(settings, run(settings, FIRST), ids)


@pytest.fixture(scope="module")
def next_night(one_night, tmp_path_factory):
    """The night after, which brings what was to come later."""
    folder = tmp_path_factory.mktemp("next")
    settings = copy_home(one_night.home, folder / "home")
    later = {"issued_at": "2026-03-01T08:00:00"}
    ((referral,),) = ask(settings, REFERRED.format("referral_id"), "B10")
    report = {**NEVER_SENT, "referral_id": referral, "report_status": "7.0", "reported_on": str(FIRST), "category_codes": "speech",
              "is_severe": "false"}  # fmt: skip
    sent = {
        "by child": [{"consent": consent(6, "withdrawn", FIRST)},
                     {"screening": examine(8, "motor", 1.2, 14, action_code="cancel", **later)}, {"pmpc_report": report},
                     {"screening": examine(22, "motor", 2.8, 14, action_code="correct", **later)}, {"birth": bear(24)}, {"birth": bear(26)}],
        "stale": [{"screening": examine(22, "motor", 1.0, 14, issued_at="2026-02-01T08:00:00")}],
    }  # fmt: skip
    ids = {name: send(settings, folder, records, name) for name, records in sent.items()}
    return Night(settings, run(settings, SECOND), ids)


@pytest.fixture(scope="module")
def quiet_night(next_night, tmp_path_factory):
    """A third night, which brings nothing."""
    settings = copy_home(next_night.home, tmp_path_factory.mktemp("quiet") / "home")
    return Night(settings, run(settings, THIRD), {})


OF_CHILD = "select {} from lake.clinical.{} t join lake.identified.birth b using (child_key) where b.known_to is null and b.source_id = ?"
REFERRED = "select {} from lake.clinical.referral join lake.identified.birth b using (child_key) where b.known_to is null and b.source_id = ?"


def told(settings, submission):
    """(received, accepted, quarantined) of a submission."""
    query = "select received_count, accepted_count, quarantined_count from lake.ledger.submission where submission_id = ?"
    return ask(settings, query, submission)[0]


def broken(settings, *, is_deep=True):
    return [check for check in verify_store(settings, is_deep=is_deep) if check.broken]


def verify_what_there_is(settings):
    """A run killed before its first transaction has left no lake: that is told, and is no broken promise."""
    try:
        return verify_store(settings)
    except UserError as error:
        assert error.code == "lake_missing"
        return []


def feeds(settings):
    return sorted(str(p.relative_to(settings.outbox)) for p in settings.outbox.glob("K*/*"))


def test_every_promise_is_kept_after_nights_of_many_things(one_night, next_night, quiet_night):
    assert not broken(one_night.home, is_deep=False)
    assert not broken(next_night.home, is_deep=False)
    assert not broken(quiet_night.home)


def test_children_assessed_a_few_at_a_time_get_the_verdicts_of_all_at_once(settings, tmp_path, monkeypatch):
    results = [examine(n, "motor", 1.2 + n % 2, 14) for n in range(2, 21)] + [examine(n, "tsh", 4 + n, 3) for n in range(2, 21, 3)]
    send(settings, tmp_path, [*({"birth": bear(n)} for n in range(2, 21)), *({"screening": row} for row in results)])
    with monkeypatch.context() as few:
        few.setattr(assess, "_READ_AT_ONCE", 7)
        few.setattr(assess, "_AT_ONCE", 3)
        counts = take_in(settings, FIRST)
    assert {k: counts[k] for k in ("children", "verdicts", "flags")} == {"children": 19, "verdicts": 26, "flags": 10}
    assert not broken(settings)  # the deep look assesses all children at once
    with monkeypatch.context() as few:
        few.setattr(assess, "_READ_AT_ONCE", 5)
        assert not broken(settings)


def test_a_consented_and_confirmed_child_goes_to_the_pmpc_of_its_residence(one_night):
    assert (one_night.counts["referrals"], one_night.counts["feeds"]) == (5, 2)
    assert [len(ask(one_night.home, OF_CHILD.format("flag_id", "flag"), f"B{n}")) for n in (2, 3, 4)] == [1, 1, 0]
    feeds = {k: (one_night.home.outbox / k / "000001" / "referral.csv").read_text("utf-8-sig").splitlines()[1:] for k in ("K1", "K2")}
    assert {k: sorted(f"FAMILY{n}" for n in range(50) for row in rows if f"FAMILY{n} " in row) for k, rows in feeds.items()} == {
        "K1": ["FAMILY10", "FAMILY2", "FAMILY6", "FAMILY8"], "K2": ["FAMILY3"],
    }  # fmt: skip
    assert [len(rows) for rows in feeds.values()] == [4, 1]


def test_every_pmpc_gets_a_feed_every_night_and_an_empty_one_says_why(referred):
    run(referred, SECOND)
    manifests = {f: json.loads((referred.outbox / f / "manifest.json").read_text()) for f in feeds(referred)}
    assert {f: m["zero_reason"] for f, m in manifests.items()} == {
        "K1/000001": None, "K1/000002": "no_arrivals", "K2/000001": "no_flags", "K2/000002": "no_arrivals",
    }  # fmt: skip


def test_a_child_without_consent_or_confirmation_is_withheld_on_its_facilitys_worklist(one_night):
    worklist = (one_night.home.reports / "worklist" / "P1.csv").read_text()
    places = {n: ask(one_night.home, OF_CHILD.format("place, reason, flag_id", "placement"), f"B{n}") for n in (12, 14)}
    assert {n: [row[:2] for row in rows] for n, rows in places.items()} == {
        12: [("withheld", "consent_pending")], 14: [("withheld", "confirmation_pending")],
    }  # fmt: skip
    assert all([reason in line for line in worklist.splitlines() if flag_id in line] == [True] for ((_, reason, flag_id),) in places.values())
    assert not [n for n in (12, 14) if ask(one_night.home, REFERRED.format("referral_id"), f"B{n}")]
    assert "FAMILY" not in worklist


def test_a_withdrawal_after_the_feed_sends_a_recall_and_nothing_more(next_night, quiet_night):
    sent = ask(next_night.home, REFERRED.format("item_kind, composed_on") + " order by composed_on", "B6")
    assert sent == [("referral", FIRST), ("recall", SECOND)]
    assert (next_night.counts["referrals"], next_night.counts["recalls"]) == (0, 2)  # of another a result was cancelled
    assert quiet_night.counts["recalls"] == 0


def test_the_same_files_again_and_the_same_night_again_change_nothing(referred, tmp_path):
    settings = referred
    state = "select 'v', count(*) from lake.clinical.screening union all select 'b', count(*) from lake.identified.birth order by 1"
    before, sent = ask(settings, state), feeds(settings)
    send(settings, tmp_path, [*flagged(2), {"birth": bear(4)}])
    again = run(settings, FIRST)
    assert (again["repeated"], again["new"], again["changed"], again["feeds"]) == (again["files"], 0, 0, 0)
    assert (ask(settings, state), feeds(settings)) == (before, sent)
    assert not [p for p in settings.landing.iterdir() if not p.name.startswith(".")]
    assert not broken(settings)


def test_a_correction_closes_the_old_version_and_an_older_one_that_comes_late_changes_nothing(next_night):
    held = ask(next_night.home, OF_CHILD.format("value, t.known_from, t.known_to", "screening") + " order by t.known_from", "B22")
    assert held == [(1.2, FIRST, SECOND), (2.8, SECOND, None)]
    assert ask(next_night.home, OF_CHILD.format("t.known_to", "flag"), "B22") == [(SECOND,)]


def test_a_cancelled_result_takes_its_flag_back_and_recalls_what_was_sent(next_night):
    sent = ask(next_night.home, REFERRED.format("item_kind, composed_on") + " order by composed_on", "B8")
    assert sent == [("referral", FIRST), ("recall", SECOND)]
    assert ask(next_night.home, OF_CHILD.format("t.known_to", "flag"), "B8") == [(SECOND,)]
    assert ask(next_night.home, OF_CHILD.format("place", "placement") + " and t.known_to is null", "B8") == []


def test_a_result_that_comes_before_its_birth_waits_and_is_linked_when_the_birth_comes(one_night, next_night):
    (first,) = one_night.ids["before its birth"]
    waiting = "select reason, known_to from lake.identified.waiting where submission_id = ?"
    assert ask(one_night.home, waiting, first) == [("child_unknown", None)]
    found = "select code from lake.ledger.finding where submission_id = ? and severity <> 'info'"
    assert ask(one_night.home, found, first) == [("child_unknown",)]
    assert ask(next_night.home, waiting, first) == [("child_unknown", SECOND)]
    assert ask(next_night.home, OF_CHILD.format("t.known_from, t.known_to", "flag"), "B24") == [(SECOND, None)]


def test_a_consent_for_an_unknown_child_and_a_report_for_a_referral_never_sent_wait_with_their_reason(one_night):
    waiting = "select record_kind, reason from lake.identified.waiting where known_to is null and submission_id in (?, ?) order by 1"
    assert ask(one_night.home, waiting, *one_night.ids["of nobody"]) == [("consent", "child_unknown"), ("pmpc_report", "referral_unknown")]
    assert one_night.counts["waiting"] == 3  # with a result that came before its birth


def test_a_pmpc_report_closes_the_loop(next_night):
    assert ask(next_night.home, OF_CHILD.format("report_status, category_codes", "pmpc_report"), "B10") == [("7.0", "speech")]
    assert ask(next_night.home, "select count(*) from lake.clinical.pmpc_report") == [(1,)]


def test_a_bad_file_is_refused_whole_with_a_text_and_kept(one_night):
    settings, ids = one_night.home, {kind: one_night.ids[kind][0] for kind in REFUSED}
    told = ask(settings, "select submission_id, status, refusal_code from lake.ledger.submission where refusal_code is not null")
    assert {row[0]: row[1:] for row in told} == {ids[kind]: ("refused", code) for kind, (_, code) in REFUSED.items()}
    for kind, (content, _) in REFUSED.items():
        feedback = json.loads((settings.reports / "feedback" / ids[kind] / "feedback.json").read_text())
        assert all(feedback["findings"][0][f"text_{lang}"] for lang in ("kk", "ru", "en")), kind
        assert [p.read_bytes() for p in settings.archive.rglob(f"{ids[kind]}-*")] == [content], kind


def test_a_z_score_may_lie_below_zero_and_a_concentration_may_not(one_night):
    assert told(one_night.home, one_night.ids["below zero"][1]) == (2, 1, 1)
    assert ask(one_night.home, OF_CHILD.format("programme, verdict", "verdict"), "B18") == [("phenotype", "repeat_due")]


def test_a_refused_row_is_quarantined_told_and_may_be_mended_and_sent_again(one_night, next_night):
    (submission,) = one_night.ids["mended later"]
    assert told(one_night.home, submission) == (2, 1, 1)
    folder = one_night.home.reports / "feedback" / submission
    codes = {finding["code"] for finding in json.loads((folder / "feedback.json").read_text())["findings"] if finding["row_no"]}
    assert codes == {"birth_on_unreadable", "mother_iin_checksum"}
    fix = (folder / "to-fix.csv").read_text("utf-8-sig").splitlines()
    assert fix[0].endswith("erte_reasons")
    born = "select known_from from lake.identified.birth where source_id = ?"
    assert [ask(next_night.home, born, name) for name in ("B26", "B28")] == [[(SECOND,)], [(FIRST,)]]


TRACES = ("staging/*/*/receipt.json", "lake/**/*.parquet", "archive/*/*", "outbox/.draft/*/*", "outbox/K1/*")
"""What a night leaves first when it has judged a file, while it commits, when it archives, before it seals its feeds and when it delivers one."""


NIGHTS = """
import os, sys
from datetime import date
from pathlib import Path
import great_expectations.render.view
from tests.nation import run, settle

for home in sys.stdin:
    if child := os.fork():
        print(child, flush=True)
        print(os.waitpid(child, 0), flush=True)
    else:
        try:
            run(settle(Path(home.strip())), date.fromisoformat(sys.argv[1]))
        finally:
            os._exit(0)
"""
"""Runs a night, in a process of its own, for each home that it is told; what takes seconds to import, it has imported once for all."""


def test_a_kill_between_any_two_steps_loses_nothing_and_the_next_run_goes_on(settings, tmp_path):
    """SIGKILL at many moments of a whole night in a process of its own, each later than the last; then one night to its end."""
    send(settings, tmp_path, [r for n in range(2, 42) for r in flagged(n)])
    with subprocess.Popen([sys.executable, "-c", NIGHTS, str(FIRST)], cwd=Path(__file__).parents[1], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as nights:  # fmt: skip
        for trace in TRACES:
            if trace.startswith("outbox"):
                take_in(settings, FIRST)  # what was killed in archiving is made up for: what is left of the night is to refer
            before = set(settings.home.glob(trace))  # an empty lake has files, too
            nights.stdin.write(f"{settings.home}\n")
            nights.stdin.flush()
            night = int(nights.stdout.readline())
            patience = time.monotonic() + 120
            while Path(f"/proc/{night}").exists() and set(settings.home.glob(trace)) <= before and time.monotonic() < patience:
                time.sleep(0.01)
            with suppress(ProcessLookupError):  # what comes last may be there only when the night has ended
                os.kill(night, signal.SIGKILL)
            nights.stdout.readline()
            assert set(settings.home.glob(trace)) > before, trace
            assert not [c for c in verify_what_there_is(settings) if c.broken and c.law in {"1", "2", "audit"}]
        nights.stdin.close()
    for _ in range(2):
        run(settings, FIRST)
    assert ask(settings, "select count(*) from lake.clinical.referral") == [(40,)]
    assert ask(settings, "select count(*) from lake.identified.birth") == [(40,)]
    assert not broken(settings)


def test_a_lake_whose_tables_were_never_made_is_told_as_missing_and_the_next_run_makes_them(settings, tmp_path, monkeypatch):
    shutil.rmtree(settings.lake)
    send(settings, tmp_path, flagged(2))
    with monkeypatch.context() as killed:
        killed.setattr(lake, "_complete_tables", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(settings, FIRST)
    with pytest.raises(UserError) as told:
        verify_store(settings)
    assert told.value.code == "lake_missing"
    assert run(settings, FIRST)["new"] == 4


def test_a_feed_that_was_sealed_but_not_delivered_is_delivered_by_the_next_run(referred):
    draft = referred.outbox / ".draft" / "K1" / "000001"
    draft.parent.mkdir(parents=True, exist_ok=True)
    (referred.outbox / "K1" / "000001").rename(draft)
    assert broken(referred)
    assert flow.refer(referred, FIRST)["delivered"] == 1
    assert not broken(referred)


def test_of_two_runs_at_once_one_writes_and_the_other_is_told_to_wait(settings, tmp_path):
    send(settings, tmp_path, flagged(2))
    with hold_lock(settings), pytest.raises(UserError) as told:
        run(settings, FIRST)
    assert told.value.code == "run_in_progress"
    assert run(settings, FIRST)["new"] > 0


def test_two_runs_judging_the_same_landing_at_once_take_each_record_once(settings, tmp_path):
    send(settings, tmp_path, [r for n in range(2, 8) for r in flagged(n)])
    outcomes: list[object] = []

    def go(run_id):
        try:
            outcomes.append(run(settings, FIRST, run_id))
        except UserError as error:
            outcomes.append(error.code)

    runs = [threading.Thread(target=go, args=(f"run-{n}",)) for n in range(2)]
    for thread in runs:
        thread.start()
    for thread in runs:
        thread.join()
    run(settings, FIRST, "after")
    assert {o for o in outcomes if isinstance(o, str)} <= {"run_in_progress"}
    assert ask(settings, "select count(*) from lake.identified.birth") == [(6,)]
    assert not broken(settings)


def test_a_whole_night_publishes_a_warehouse_that_plain_duckdb_opens(published_night):
    settings, counts = published_night
    assert counts["warehouse"]["pathway"] == 2
    with duckdb.connect(str(settings.published / "erte.duckdb"), read_only=True) as published:
        assert published.execute("select count(*), count(*) filter (is_flagged) from pathway").fetchone() == (2, 2)
    assert not broken(settings)


def test_a_child_is_explained_by_flag_with_rule_inputs_what_clears_it_and_where_it_came_from(referred):
    ((flag_id,),) = ask(referred, "select flag_id from lake.clinical.flag")
    told = explain_child(referred, flag_id)
    flag = told["flags"][0]
    assert (flag["rule_code"], flag["inputs"][0]["value"]) == ("development_mean_low", 1.2)
    assert "1.75" in flag["why"]["en"]
    assert flag["what_would_clear_it"]["kk"]
    assert told["places"][0]["place"] == "referred"
    assert {s["file_name"].split("-", 1)[1] for s in told["sources"]} >= {"a-birth.csv", "a-screening.csv"}
    assert {step["state"] for step in told["calendar"]} >= {"overdue"}
    assert "FAMILY2" not in str(told)


def read_published(settings, table):
    with duckdb.connect(str(settings.published / "erte.duckdb"), read_only=True) as release:
        return release.execute(f"from {table} order by all").fetchall()


def test_what_was_published_as_known_on_a_day_does_not_change_when_later_data_arrive(published, tmp_path):
    tables = ("pathway", "facility_month", "data_quality", "indicator", "published.indicator", "release")
    before = {table: read_published(published, table) for table in tables}
    ((referral,),) = ask(published, REFERRED.format("referral_id"), "B2")
    report = {**NEVER_SENT, "referral_id": referral, "report_status": "7.0", "reported_on": str(FIRST), "category_codes": "speech", "is_severe": ""}
    later = {"issued_at": "2026-03-01T08:00:00"}
    send(published, tmp_path, [*flagged(5), {"consent": consent(3, "withdrawn", FIRST)}, {"pmpc_report": report},
                               {"birth": bear(3, birth_weight_g="900", action_code="correct", **later)},
                               {"screening": examine(3, "motor", 1.2, 14, action_code="cancel", **later)}], "b")  # fmt: skip
    run(published, FIRST)
    flow.publish(published, FIRST)
    assert {table: read_published(published, table) for table in tables} == before
    flow.publish(published, SECOND)
    assert [table for table in tables if read_published(published, table) == before[table]] == []


def test_a_release_killed_while_it_was_built_leaves_nothing_that_the_next_one_would_take_up(published):
    draft = published.published / f".draft-{SECOND}.duckdb"
    script = (
        f"import duckdb, os, shutil; shutil.copyfile('{published.published / f'erte-{FIRST}.duckdb'}', '{draft}'); "
        f"draft = duckdb.connect('{draft}'); draft.execute('drop view pathway'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    assert draft.with_name(f"{draft.name}.wal").stat().st_size
    flow.publish(published, SECOND)
    assert len(read_published(published, "pathway")) == 2


def test_a_run_that_breaks_off_leaves_nothing_of_itself_in_the_lake_and_its_files_in_landing(settings, tmp_path, monkeypatch):
    def count():
        return {table: ask(settings, f"select count(*) from lake.{table}")[0][0] for table in LAKE}

    send(settings, tmp_path, flagged(2))
    for step in ("assess_night", "_write_ledger", "keep_history"):
        with monkeypatch.context() as killed:
            killed.setattr(f"pipelines.night.intake.{step}", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                take_in(settings, FIRST)
        assert (step, set(count().values()), len(list(settings.landing.glob("*.csv")))) == (step, {0}, 4)
    take_in(settings, FIRST)
    assert {table: rows for table, rows in count().items() if table.startswith("clinical.") and rows} == {
        "clinical.birth": 1, "clinical.screening": 1, "clinical.consent": 1, "clinical.confirmation": 1, "clinical.verdict": 1, "clinical.flag": 1,
    }  # fmt: skip


def test_when_what_judges_them_has_changed_the_next_commit_judges_all_children_anew(settings, tmp_path, monkeypatch):
    send(settings, tmp_path, [{"birth": bear(n)} for n in (2, 4)] + [{"screening": examine(n, "motor", 1.8, 14)} for n in (2, 4)])
    take_in(settings, FIRST)
    state = "select verdict, count(*) from lake.clinical.verdict where known_to is null group by all"
    assert ask(settings, state) == [("repeat_due", 2)]
    order = PACKAGE / "risk" / settings.protocol / "2022-11-01.toml"
    stricter = order.read_text("utf-8").replace("bound = 1.75", "bound = 1.85")
    protocols = (parse_protocol("order-704/2022-11-01", date(2022, 11, 1), tomllib.loads(stricter)),)
    for module in ("assess", "verify"):
        monkeypatch.setattr(f"pipelines.night.{module}.load_protocols", lambda _: protocols)
    assert broken(settings)
    monkeypatch.setattr("pipelines.night.assess.hash_rules", lambda _: "other rules")
    counts = take_in(settings, SECOND)
    assert (counts["verdicts"], counts["flags"]) == (2, 2)
    assert ask(settings, state) == [("risk", 2)]
    assert not broken(settings)
    assert take_in(settings, SECOND)["children"] == 0
    told = "select count(*), count(distinct subject), max(detail ->> 'children') from lake.ledger.event where kind = 'rules'"
    assert ask(settings, told) == [(2, 2, "2")]


def test_a_day_is_closed_before_readers_see_it_so_that_after_a_kill_in_between_nothing_more_is_learned_on_it(referred, tmp_path, monkeypatch):
    with monkeypatch.context() as killed:
        killed.setattr(flow, "swap_release", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            flow.publish(referred, FIRST)
    assert not (referred.published / "erte.duckdb").exists()
    send(referred, tmp_path, flagged(3), "b")
    take_in(referred, FIRST)
    flow.publish(referred, FIRST)
    assert len(read_published(referred, "pathway")) == 2


def test_the_lake_may_be_catalogued_in_postgresql(tmp_path):
    pgserver = pytest.importorskip("pgserver")
    with pgserver.get_server(tmp_path / "pg", cleanup_mode="delete") as server:
        settings = settle(tmp_path / "home", catalogue=server.get_uri())
        send(settings, tmp_path, flagged(2))
        counts = run(settings, FIRST)
        assert (counts["referrals"], counts["new"]) == (1, 4)
        assert not broken(settings)


def test_the_data_files_of_the_lake_hold_no_name_and_no_iin_in_the_clear(one_night):
    """The catalogue keeps the keys and the least and greatest value of each column, and nothing between them."""
    files = [p for p in one_night.home.lake.rglob("*") if p.is_file()]
    data = [p for p in files if p.suffix == ".parquet"]
    assert data
    secrets = [secret.encode() for row in NAMED for secret in (row["family_name"], row["mother_iin"])]
    assert not [p for p in data for secret in secrets if secret in p.read_bytes()]
    assert not [p for p in files if b"M-FAMILY-TEST" in p.read_bytes()]


def test_no_folder_with_personal_data_is_open_to_others(referred):
    for folder in (referred.landing, referred.lake, referred.archive / f"{FIRST:%Y-%m}", referred.outbox / "K1"):
        assert folder.stat().st_mode & 0o077 == 0, folder.name


def test_a_home_may_be_named_by_a_relative_and_by_an_absolute_path(referred, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not broken(settle(Path("home")))


def test_a_home_that_was_moved_or_restored_elsewhere_goes_on(referred, tmp_path):
    moved = referred.model_copy(update={"home": referred.home.rename(tmp_path / "moved")})
    assert not broken(moved)
    send(moved, tmp_path, flagged(3), "b")
    assert run(moved, SECOND)["referrals"] == 1
    flow.maintain(moved, SECOND)
    assert not broken(moved)
    assert not referred.home.exists()


def test_aged_out_children_go_to_the_facilitys_list_and_are_not_dropped(one_night):
    assert one_night.counts["aged_out"] == 1
    assert not ask(one_night.home, REFERRED.format("referral_id"), "B16")
    assert "aged_out" in (one_night.home.reports / "worklist" / "P1.csv").read_text()


def test_a_file_is_never_deleted_only_moved_to_the_archive_under_its_hash(one_night):
    kept = {front_door.hash_file(p): p.name.split("-")[0] for p in one_night.home.archive.rglob("*") if p.is_file()}
    assert {submission for ids in one_night.ids.values() for submission in ids} == set(kept) == set(kept.values())


def test_a_day_to_come_is_no_night_and_an_empty_question_no_question(published):
    home = ["--home", str(published.home), "--json"]
    for command in ("run", "refer", "publish"):
        told = CliRunner().invoke(app, [command, "--on", "2062-11-27", *home])
        assert (told.exit_code, json.loads(told.stdout)["error"]) == (2, "day_to_come")
    assert json.loads(CliRunner().invoke(app, ["query", " ", *home]).stdout)["error"] == "query_empty"
    told = CliRunner().invoke(app, ["query", "select 1e308 * 10 as most, 'a' as b", *home]).stdout
    assert json.loads(told, parse_constant=pytest.fail) == [{"most": None, "b": "a"}]


def test_a_file_with_a_long_name_is_received_kept_and_archived_with_its_suffix(one_night):
    ((name,),) = ask(one_night.home, "select file_name from lake.ledger.submission where submission_id = ?", *one_night.ids["long name"])
    assert name.endswith("ә.csv") and len(name.encode()) < 200
    assert len(list(one_night.home.archive.glob("*/*ә.csv"))) == 1


def test_a_withdrawal_that_was_known_before_a_referral_is_a_broken_promise(referred):
    """What the gate would never let through is told by `erte verify`, should it ever stand in the store."""
    earlier = "select * replace ({}) from lake.clinical.consent where decision = 'given' limit 1"
    forged = {
        "decision": "'withdrawn' as decision", "decided_on": f"date '{FIRST - timedelta(days=2)}' as decided_on",
        "known_from": f"date '{FIRST - timedelta(days=1)}' as known_from", "record_key": "record_key + 1 as record_key",
    }  # fmt: skip
    assert not broken(referred)
    with lake.open_lake(referred) as connection:
        connection.execute(f"insert into lake.clinical.consent by name {earlier.format(', '.join(forged.values()))}")
    assert [(check.law, check.broken) for check in broken(referred, is_deep=False)] == [("3", 1)] * 2  # sent, and not taken back


def test_records_are_masked_and_whole_only_when_asked_for_which_the_ledger_keeps(referred):
    ids = dict(ask(referred, "select record_kind, submission_id from lake.ledger.submission"))
    home = ["--home", str(referred.home), "--json"]
    for kind, columns in {"screening": {"family_name", "mother_iin"}, "consent": {"family_name", "representative_name"}}.items():
        (masked,) = json.loads(CliRunner().invoke(app, ["records", ids[kind], *home]).stdout)
        (whole,) = json.loads(CliRunner().invoke(app, ["records", ids[kind], "--identified", *home]).stdout)
        assert columns <= set(whole)
        assert (whole["family_name"], "FAMILY2" in str(masked)) == ("FAMILY2", False)
    assert ask(referred, "select count(*) from lake.ledger.event where kind = 'read_identified'") == [(2,)]
