"""A night from the files of senders to the feeds of PMPCs: real files, a real lake, and what goes wrong on the way."""

import json
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from pipelines import flow
from pipelines.cli import app
from pipelines.errors import UserError
from pipelines.night import front_door
from pipelines.night.ask import explain_child
from pipelines.night.verify import verify_store
from pipelines.store import lake
from pipelines.store.lake import hold_lock
from tests.nation import FIRST, ask, bear, confirm, consent, copy_home, examine, flagged, run, send, settle, write_file

SECOND = FIRST + timedelta(days=1)


@pytest.fixture
def settings(tmp_path):
    return settle(tmp_path / "home")


@pytest.fixture(scope="module")
def first_night(tmp_path_factory):
    """A home after the night on which a child was referred."""
    folder = tmp_path_factory.mktemp("first")
    settings = settle(folder / "home")
    send(settings, folder, flagged(2))
    assert run(settings, FIRST)["referrals"] == 1
    return settings


@pytest.fixture
def referred(first_night, tmp_path):
    return copy_home(first_night, tmp_path / "home")


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


def test_a_consented_and_confirmed_child_goes_to_the_pmpc_of_its_residence(settings, tmp_path):
    send(settings, tmp_path, [*flagged(2), *flagged(3), {"birth": bear(4)}])
    counts = run(settings, FIRST)
    assert (counts["flags"], counts["referrals"], counts["feeds"]) == (2, 2, 2)
    rows = (settings.outbox / "K1" / "000001" / "referral.csv").read_text("utf-8-sig").splitlines()
    assert len(rows) == 2
    assert "FAMILY2" in rows[1]
    assert "FAMILY3" not in rows[1]
    assert not broken(settings)


def test_every_pmpc_gets_a_feed_every_night_and_an_empty_one_says_why(referred):
    run(referred, SECOND)
    manifests = {f: json.loads((referred.outbox / f / "manifest.json").read_text()) for f in feeds(referred)}
    assert {f: m["zero_reason"] for f, m in manifests.items()} == {
        "K1/000001": None, "K1/000002": "no_arrivals", "K2/000001": "no_flags", "K2/000002": "no_arrivals",
    }  # fmt: skip


def test_a_child_without_consent_or_confirmation_is_withheld_on_its_facilitys_worklist(settings, tmp_path):
    unasked, unconfirmed = ([r for r in flagged(n) if lacking not in r] for n, lacking in ((2, "consent"), (4, "confirmation")))
    send(settings, tmp_path, [*unasked, *unconfirmed])
    counts = run(settings, FIRST)
    assert (counts["referrals"], counts["withheld"]) == (0, 2)
    worklist = (settings.reports / "worklist" / "P1.csv").read_text()
    reasons = ask(settings, """
        select b.source_id, p.reason from lake.clinical.placement p join lake.identified.birth b using (child_key)
        where p.known_to is null order by 1""")  # fmt: skip
    assert reasons == [("B2", "consent_pending"), ("B4", "confirmation_pending")]
    assert all(reason in worklist for _, reason in reasons)
    assert "FAMILY" not in worklist


def test_a_withdrawal_after_the_feed_sends_a_recall_and_nothing_more(referred, tmp_path):
    send(referred, tmp_path, [{"consent": consent(2, "withdrawn", FIRST)}], "b")
    second, third = run(referred, SECOND), run(referred, SECOND + timedelta(days=1))
    assert (second["referrals"], second["recalls"], third["recalls"]) == (0, 1, 0)
    assert not broken(referred)


def test_the_same_files_again_and_the_same_night_again_change_nothing(settings, tmp_path):
    send(settings, tmp_path, [*flagged(2), {"birth": bear(4)}])
    run(settings, FIRST)
    state = "select 'v', count(*) from lake.clinical.screening union all select 'b', count(*) from lake.identified.birth order by 1"
    before, sent = ask(settings, state), feeds(settings)
    send(settings, tmp_path, [*flagged(2), {"birth": bear(4)}])
    again = run(settings, FIRST)
    assert (again["repeated"], again["new"], again["changed"], again["feeds"]) == (again["files"], 0, 0, 0)
    assert (ask(settings, state), feeds(settings)) == (before, sent)
    assert not [p for p in settings.landing.iterdir() if not p.name.startswith(".")]
    assert not broken(settings)


def test_a_correction_closes_the_old_version_and_an_older_one_that_comes_late_changes_nothing(settings, tmp_path):
    send(settings, tmp_path, [{"birth": bear(2)}, {"screening": examine(2, "motor", 1.2, 14)}])
    run(settings, FIRST)
    later = examine(2, "motor", 2.8, 14, action_code="correct", issued_at="2026-03-01T08:00:00")
    stale = examine(2, "motor", 1.0, 14, issued_at="2026-02-01T08:00:00")
    send(settings, tmp_path, [{"screening": later}], "b")
    send(settings, tmp_path, [{"screening": stale}], "c")
    run(settings, SECOND)
    held = ask(settings, "select value, known_from, known_to from lake.clinical.screening order by known_from")
    assert held == [(1.2, FIRST, SECOND), (2.8, SECOND, None)]
    assert ask(settings, "select known_to from lake.clinical.flag") == [(SECOND,)]
    assert not broken(settings)


def test_a_cancelled_result_takes_its_flag_back_and_recalls_what_was_sent(referred, tmp_path):
    gone = examine(2, "motor", 1.2, 14, action_code="cancel", issued_at="2026-03-01T08:00:00")
    send(referred, tmp_path, [{"screening": gone}], "b")
    counts = run(referred, SECOND)
    assert (counts["recalls"], counts["referred"]) == (1, 0)
    assert not broken(referred)


def test_a_result_that_comes_before_its_birth_waits_and_is_linked_when_the_birth_comes(settings, tmp_path):
    (first,) = send(settings, tmp_path, [{"screening": examine(2, "motor", 1.2, 14)}])
    assert run(settings, FIRST)["waiting"] == 1
    found = "select code from lake.ledger.finding where submission_id = ? and severity <> 'info'"
    assert ask(settings, found, first) == [("child_unknown",)]
    send(settings, tmp_path, [{"birth": bear(2)}], "b")
    counts = run(settings, SECOND)
    assert (counts["waiting"], counts["flags"]) == (0, 1)
    assert not broken(settings)


def test_a_consent_for_an_unknown_child_and_a_report_for_a_referral_never_sent_wait_with_their_reason(settings, tmp_path):
    report = {"sender_id": "K1", "source_id": "X1", "action_code": "report", "referral_id": "R" + "0" * 24,
              "report_status": "3.0", "reported_on": "2026-03-01"}  # fmt: skip
    send(settings, tmp_path, [{"consent": consent(9)}, {"pmpc_report": report}])
    run(settings, FIRST)
    waiting = ask(settings, "select record_kind, reason from lake.identified.waiting where known_to is null order by 1")
    assert waiting == [("consent", "child_unknown"), ("pmpc_report", "referral_unknown")]
    assert not broken(settings)


def test_a_pmpc_report_closes_the_loop(referred, tmp_path):
    ((referral,),) = ask(referred, "select referral_id from lake.clinical.referral")
    report = {"sender_id": "K1", "source_id": "X1", "action_code": "report", "referral_id": referral, "report_status": "7.0",
              "reported_on": str(FIRST), "category_codes": "speech", "is_severe": "false"}  # fmt: skip
    send(referred, tmp_path, [{"pmpc_report": report}], "b")
    run(referred, SECOND)
    assert ask(referred, "select report_status, category_codes from lake.clinical.pmpc_report") == [("7.0", "speech")]
    assert not broken(referred)


REFUSED = {
    "empty": (b"", "file_empty"),
    "binary": (b"MZ\x00\x01\x02" * 100, "file_binary"),
    "workbook": (b"PK\x03\x04" + b"x" * 100, "file_unreadable"),
    "other": (b"colour,taste\nred,sweet\n", "layout_unknown"),
    "header only": ((",".join(bear(1)) + "\n").encode(), "file_without_rows"),
    "changed": ((",".join(bear(1)).replace("history_no", "history") + "\n" + ",".join(bear(1).values()) + "\n").encode(),
                "layout_header_changed"),
}  # fmt: skip


def test_a_bad_file_is_refused_whole_with_a_text_and_kept(settings, tmp_path):
    ids = {}
    for kind, (content, _) in REFUSED.items():
        path = tmp_path / f"{kind}.csv"
        path.write_bytes(content)
        (ids[kind],) = flow.receive(settings, [path])
    run(settings, FIRST)
    told = ask(settings, "select submission_id, status, refusal_code from lake.ledger.submission")
    assert {row[0]: row[1:] for row in told} == {ids[kind]: ("refused", code) for kind, (_, code) in REFUSED.items()}
    for kind, (content, _) in REFUSED.items():
        feedback = json.loads((settings.reports / "feedback" / ids[kind] / "feedback.json").read_text())
        assert all(feedback["findings"][0][f"text_{lang}"] for lang in ("kk", "ru", "en")), kind
        assert [p.read_bytes() for p in settings.archive.rglob(f"{ids[kind]}-*")] == [content], kind
    assert not broken(settings)


def test_a_z_score_may_lie_below_zero_and_a_concentration_may_not(settings, tmp_path):
    small = examine(2, "head_z", -2.5, 2, programme="phenotype")
    send(settings, tmp_path, [{"birth": bear(2)}, {"screening": small}, {"screening": examine(2, "tsh", -1.0)}])
    assert run(settings, FIRST)["quarantined"] == 1
    verdicts = "select programme, verdict from lake.clinical.verdict"
    assert ask(settings, verdicts) == [("phenotype", "repeat_due")]


def test_a_refused_row_is_quarantined_told_and_may_be_mended_and_sent_again(settings, tmp_path):
    bad = bear(2, mother_iin="250314500011", birth_on="10.02.2026")
    (submission,) = send(settings, tmp_path, [{"birth": bad}, {"birth": bear(4)}])
    counts = run(settings, FIRST)
    assert (counts["quarantined"], counts["new"]) == (1, 1)
    folder = settings.reports / "feedback" / submission
    told = json.loads((folder / "feedback.json").read_text())["findings"]
    codes = {finding["code"] for finding in told if finding["row_no"]}
    assert codes == {"birth_on_unreadable", "mother_iin_checksum"}
    fix = (folder / "to-fix.csv").read_text("utf-8-sig").splitlines()
    assert fix[0].endswith("erte_reasons")
    send(settings, tmp_path, [{"birth": bear(2)}], "mended")
    assert run(settings, SECOND)["new"] == 1
    assert not broken(settings)


def test_a_kill_between_any_two_steps_loses_nothing_and_the_next_run_goes_on(settings, tmp_path):
    """SIGKILL at many moments of a whole night in a process of its own; then one night to its end."""
    send(settings, tmp_path, [r for n in range(2, 42) for r in flagged(n)])
    awake = tmp_path / "awake"
    script = (
        "from pathlib import Path; from datetime import date; from tests.nation import run, settle; "
        f"Path({str(awake)!r}).touch(); run(settle(Path({str(settings.home)!r})), date.fromisoformat('{FIRST}'))"
    )
    for delay in (0.3, 1.5, 2.5, 3.5, 4.5):  # seconds from the first step: a night of its own is over in about five
        awake.unlink(missing_ok=True)
        with subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[1]) as process:
            while not awake.exists() and process.poll() is None:
                time.sleep(0.01)
            time.sleep(delay)
            process.kill()
        assert not [c for c in verify_what_there_is(settings) if c.broken and c.law in {"1", "2", "audit"}]
    for _ in range(2):
        run(settings, FIRST)
    assert ask(settings, "select count(*) from lake.clinical.referral") == [(40,)]
    assert ask(settings, "select count(*) from lake.identified.birth") == [(40,)]
    assert not broken(settings)


def test_a_lake_whose_tables_were_never_made_is_told_as_missing_and_the_next_run_makes_them(settings, tmp_path, monkeypatch):
    send(settings, tmp_path, flagged(2))
    with monkeypatch.context() as killed:
        killed.setattr(lake, "_create_tables", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
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


def test_a_whole_night_publishes_a_warehouse_that_plain_duckdb_opens(settings, tmp_path):
    send(settings, tmp_path, [*flagged(2), *flagged(3)])
    counts = flow.run_night(settings, FIRST, lambda _: None)
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


def test_what_was_published_as_known_on_a_day_does_not_change_when_later_data_arrive(settings, tmp_path):
    send(settings, tmp_path, flagged(2))
    flow.run_night(settings, FIRST, lambda _: None)
    send(settings, tmp_path, flagged(3), "b")
    flow.run_night(settings, FIRST, lambda _: None)

    def read(on):
        flow.publish(settings, on)
        with duckdb.connect(str(settings.published / "erte.duckdb"), read_only=True) as published:
            return published.execute("select count(*) from pathway").fetchone()

    assert (read(FIRST), read(SECOND)) == ((1,), (2,))


def test_the_lake_may_be_catalogued_in_postgresql(tmp_path):
    pgserver = pytest.importorskip("pgserver")
    with pgserver.get_server(tmp_path / "pg", cleanup_mode="delete") as server:
        settings = settle(tmp_path / "home", catalogue=server.get_uri())
        send(settings, tmp_path, flagged(2))
        counts = run(settings, FIRST)
        assert (counts["referrals"], counts["new"]) == (1, 4)
        assert not broken(settings)


def test_the_data_files_of_the_lake_hold_no_name_and_no_iin_in_the_clear(settings, tmp_path):
    """The catalogue keeps the keys and the least and greatest value of each column, and nothing between them."""
    rows = [bear(number, family_name=f"{letter}-FAMILY-TEST") for number, letter in ((2, "A"), (4, "M"), (6, "Z"))]
    send(settings, tmp_path, [{"birth": row} for row in rows])
    run(settings, FIRST)
    files = [p for p in settings.lake.rglob("*") if p.is_file()]
    data = [p for p in files if p.suffix == ".parquet"]
    assert data
    secrets = [secret.encode() for row in rows for secret in (row["family_name"], row["mother_iin"])]
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


def test_aged_out_children_go_to_the_facilitys_list_and_are_not_dropped(settings, tmp_path):
    old = {"birth_on": "2023-02-15"}
    send(settings, tmp_path, [
        {"birth": bear(2, **old)}, {"screening": examine(2, "motor", 1.2, 0, **old)},
        {"consent": consent(2, **old)}, {"confirmation": confirm(2, **old)},
    ])  # fmt: skip
    counts = run(settings, FIRST)
    assert (counts["aged_out"], counts["referrals"]) == (1, 0)
    assert "aged_out" in (settings.reports / "worklist" / "P1.csv").read_text()


def test_a_file_is_never_deleted_only_moved_to_the_archive_under_its_hash(settings, tmp_path):
    ids = send(settings, tmp_path, flagged(2))
    run(settings, FIRST)
    kept = {front_door.hash_file(p): p.name.split("-")[0] for p in settings.archive.rglob("*") if p.is_file()}
    assert set(ids) == set(kept) == set(kept.values())


def test_a_day_to_come_is_no_night_and_an_empty_question_no_question(referred):
    home = ["--home", str(referred.home), "--json"]
    for command in ("run", "refer", "publish"):
        told = CliRunner().invoke(app, [command, "--on", "2062-11-27", *home])
        assert (told.exit_code, json.loads(told.stdout)["error"]) == (2, "day_to_come")
    assert json.loads(CliRunner().invoke(app, ["query", " ", *home]).stdout)["error"] == "query_empty"
    flow.publish(referred, FIRST)
    told = CliRunner().invoke(app, ["query", "select 1e308 * 10 as most, 'a' as b", *home]).stdout
    assert json.loads(told, parse_constant=pytest.fail) == [{"most": None, "b": "a"}]


def test_a_file_with_a_long_name_is_received_kept_and_archived_with_its_suffix(settings, tmp_path):
    path = tmp_path / ("ә" * 120 + ".csv")
    write_file(tmp_path / "a.csv", [bear(2)]).rename(path)
    flow.receive(settings, [path])
    run(settings, FIRST)
    ((name,),) = ask(settings, "select file_name from lake.ledger.submission")
    assert name.endswith("ә.csv") and len(name.encode()) < 200
    assert len(list(settings.archive.glob("*/*ә.csv"))) == 1


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
    assert [(check.law, check.broken) for check in broken(referred, is_deep=False)] == [("3", 1)]


def test_records_are_masked_and_whole_only_when_asked_for_which_the_ledger_keeps(referred):
    ids = dict(ask(referred, "select record_kind, submission_id from lake.ledger.submission"))
    home = ["--home", str(referred.home), "--json"]
    for kind, columns in {"screening": {"family_name", "mother_iin"}, "consent": {"family_name", "representative_name"}}.items():
        (masked,) = json.loads(CliRunner().invoke(app, ["records", ids[kind], *home]).stdout)
        (whole,) = json.loads(CliRunner().invoke(app, ["records", ids[kind], "--identified", *home]).stdout)
        assert columns <= set(whole)
        assert (whole["family_name"], "FAMILY2" in str(masked)) == ("FAMILY2", False)
    assert ask(referred, "select count(*) from lake.ledger.event where kind = 'read_identified'") == [(2,)]
