"""The DAGs: when, in what order, and nothing else. Real Airflow parses them; the end-to-end test runs one whole night."""

import ast
import inspect
import json
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from pipelines import flow
from pipelines.settings import Settings
from tests.nation import ask, bear, flagged, run, send, settle, write_file

FOLDER = Path(__file__).parents[1] / "dags"
FILES = sorted(FOLDER.glob("*.py"))
SCHEDULES = {"held": "0 */4 * * *", "intake": "*/30 * * * *", "referral_feed": "0 22 * * *", "maintenance": "0 4 * * 0"}
NIGHT_OF = date(2026, 3, 2)
"""In Almaty; 2026-03-01 20:00 in Greenwich."""
ANSWERS = {"M1": ("release", "checked by telephone"), "M2": ("return", "test data of a new system")}


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """What Airflow makes of the folder, parsed in a process with a home of its own."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settle(tmp_path_factory.mktemp("home")).airflow_env().items():
            patch.setenv(name, value)
        from airflow.dag_processing.dagbag import DagBag

        return DagBag(dag_folder=FOLDER, collect_dags=True)


def retried(dag):
    return {task.task_id: task.retries for task in dag.tasks}


def test_every_file_is_one_dag_of_its_name_and_airflow_reads_all_without_an_error(bag):
    assert bag.import_errors == {}
    assert sorted(bag.dags) == [path.stem for path in FILES] == [
        "held", "intake", "maintenance", "referral_feed", "warehouse",
    ]  # fmt: skip


def test_schedules_are_almaty_time_without_catching_up_and_one_run_at_a_time(bag):
    for name, dag in bag.dags.items():
        assert (str(dag.timezone), dag.catchup, dag.max_active_runs) == ("Asia/Almaty", False, 1), name
        assert dag.dagrun_timeout <= timedelta(hours=6), name
    assert {name: bag.dags[name].timetable.expression for name in SCHEDULES} == SCHEDULES
    assert {str(bag.dags[name].timetable.timezone) for name in SCHEDULES} == {"Asia/Almaty"}


def test_the_warehouse_waits_for_the_nights_feed_by_its_asset(bag):
    def outlets(name):
        return {asset.name for task in bag.dags[name].tasks for asset in task.outlets}

    awaited = {asset.name for asset in bag.dags["warehouse"].schedule}
    assert awaited == outlets("referral_feed") == {"erte_feed"}
    assert (outlets("intake"), outlets("warehouse")) == ({"erte_lake"}, {"erte_warehouse"})


def test_intake_lists_then_judges_side_by_side_then_commits_also_when_nothing_came(bag):
    dag = bag.dags["intake"]
    assert {t.task_id: t.downstream_task_ids for t in dag.tasks} == {
        "list_arrivals": {"judge"}, "judge": {"commit"}, "commit": set(),
    }  # fmt: skip
    assert dag.get_task("judge").is_mapped
    assert dag.get_task("commit").trigger_rule == "none_failed"


def test_only_what_another_run_may_be_writing_to_is_tried_again_and_only_then(bag):
    assert {name: retried(dag) for name, dag in bag.dags.items()} == {
        "held": {"list_questions": 0, "batch.ask": 0, "batch.decide": 20},
        "intake": {"list_arrivals": 0, "judge": 0, "commit": 20}, "referral_feed": {"refer": 20},
        "warehouse": {"publish": 20, "tell_senders": 0}, "maintenance": {"maintain": 20},
    }  # fmt: skip
    from airflow.sdk import RetryAction

    from pipelines.errors import BusyError, UserError

    for task in (task for dag in bag.dags.values() for task in dag.tasks if task.retries):
        policy = task.retry_policy
        assert policy.evaluate(BusyError("run_in_progress", "wait"), 1, 20).action is RetryAction.RETRY
        assert policy.evaluate(BusyError("run_in_progress", "wait"), 1, 20).retry_delay is None  # the task's own, below
        assert policy.evaluate(OSError(), 1, 20).action is RetryAction.RETRY
        assert policy.evaluate(UserError("reason_length", "say more"), 1, 20).action is RetryAction.FAIL
        assert policy.evaluate(AssertionError(), 1, 20).action is RetryAction.FAIL


def test_a_run_that_meets_another_waits_for_seconds_first_and_never_more_than_five_minutes(bag):
    for task in (task for dag in bag.dags.values() for task in dag.tasks if task.retries):
        assert (task.retry_delay, task.retry_exponential_backoff, task.max_retry_delay) == (
            timedelta(seconds=15), 2.0, timedelta(minutes=5),
        )  # fmt: skip


def test_each_held_batch_is_a_question_of_its_own_that_nobody_need_answer(bag):
    dag = bag.dags["held"]
    assert {t.task_id: t.downstream_task_ids for t in dag.tasks} == {
        "list_questions": {"batch.ask", "batch.decide"}, "batch.ask": {"batch.decide"}, "batch.decide": set(),
    }  # fmt: skip
    ask = dag.get_task("batch.ask")
    assert (ask.options, ask.defaults, ask.multiple) == (["release", "return", "leave"], ["leave"], False)
    assert ask.response_timeout < timedelta(hours=4) < dag.dagrun_timeout  # ended before the next run asks again
    assert ask.get_closest_mapped_task_group().group_id == "batch"


def test_every_dag_and_task_says_what_it_is_for(bag):
    for dag in bag.dags.values():
        assert len(dag.doc_md) > 100
        assert all(
            inspect.getdoc(task.python_callable)
            for task in dag.tasks
            if hasattr(task, "python_callable") and not task.is_mapped
        )


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_dag_holds_no_frame_no_query_and_no_rule_and_imports_the_pipeline_only_inside_a_task(path):
    tree = ast.parse(path.read_text("utf-8"))
    tops = {n.module if isinstance(n, ast.ImportFrom) else n.names[0].name for n in tree.body
            if isinstance(n, ast.Import | ast.ImportFrom)}  # fmt: skip
    assert tops <= {
        "datetime", "typing", "pendulum", "airflow.sdk", "airflow.providers.standard.operators.hitl", "pipelines.retry",
    }  # fmt: skip
    inner = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module not in tops]
    assert {(n.module, a.name) for n in inner for a in n.names} == {("pipelines", "flow")}
    assert not [
        n for n in ast.walk(tree) if isinstance(n, ast.If | ast.For | ast.While | ast.Try | ast.With | ast.Lambda)
    ]
    texts = [n.value.lower() for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    assert not [text for text in texts if "select " in text or "insert " in text]
    tasks = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)
             and any(ast.unparse(d).partition("(")[0] == "task" for d in n.decorator_list)]  # fmt: skip
    for task in tasks:
        calls = [ast.unparse(c.func) for c in ast.walk(task) if isinstance(c, ast.Call)]
        assert sum(c.startswith("flow.") and c != "flow.load_settings" for c in calls) == 1, task.name


NIGHT = """
import json, sys, threading, time
from airflow.__main__ import main

def airflow(*words):
    sys.argv = ["airflow", *words]
    main()

def answer(answers, until):
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.api_fastapi.core_api.datamodels.hitl import UpdateHITLDetailPayload
    from airflow.api_fastapi.core_api.routes.public.hitl import update_hitl_detail
    from airflow.models.hitl import HITLDetail
    from airflow.utils.session import create_session
    from sqlalchemy import select

    while answers and time.monotonic() < until:
        with create_session() as session:
            for asked in session.scalars(select(HITLDetail).where(HITLDetail.responded_at.is_(None))).all():
                ti = asked.task_instance
                if ti.state == "awaiting_input":
                    sender = next(name for name in answers if f"sender {name}:" in asked.body)
                    chosen, reason = answers.pop(sender)
                    update_hitl_detail(
                        ti.dag_id, ti.run_id, ti.task_id,
                        UpdateHITLDetailPayload(chosen_options=[chosen], params_input={"reason": reason}),
                        SimpleAuthManagerUser(username="steward", role="admin"), session, ti.map_index,
                    )
                    with open(questions, "a", encoding="utf-8") as file:
                        file.write(json.dumps([asked.subject, asked.body]) + "\\n")
        time.sleep(0.5)

answers, questions = json.loads(sys.argv[1]), sys.argv[2]
airflow("db", "migrate")
steward = threading.Thread(target=answer, args=(answers, time.monotonic() + 600), daemon=True)
for dag in ("intake", "held", "referral_feed", "warehouse"):
    if dag == "held":
        steward.start()
    airflow("dags", "test", dag, "2026-03-01T20:00:00+00:00")
steward.join(60)
sys.exit(len(answers))
"""


class Night(NamedTuple):
    """A home after one night of Airflow itself, all that it logged, what it asked (subject, body), and who sent what."""

    settings: Settings
    told: str
    asked: list[list[str]]
    rows: list[dict]


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """Two days' files in one night: a child to refer, a birth, and a batch of each maternity that a check holds back; the steward
    releases the one of M1 and returns the one of M2. One process runs every DAG: importing Airflow costs more than a night."""
    folder = tmp_path_factory.mktemp("night")
    settings = settle(folder / "home")
    send(settings, folder, [*flagged(2), {"birth": bear(4)}])
    born, rows = str(NIGHT_OF - timedelta(days=3)), [bear(2), bear(4)]
    for sender, first in (("M1", 10), ("M2", 50)):
        batch = [bear(n, sender_id=sender, birth_on="" if n < first + 20 else born) for n in range(first, first + 30)]
        flow.receive(settings, [write_file(folder / f"{sender}.csv", batch)])
        rows += batch
    questions = folder / "questions.jsonl"  # not among the log's lines: two threads print those into one another
    done = subprocess.run([sys.executable, "-c", NIGHT, json.dumps(ANSWERS), str(questions)],
                          env=settings.airflow_env(), check=False, capture_output=True, text=True, timeout=900)  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    asked = [json.loads(line) for line in questions.read_text("utf-8").splitlines()]
    return Night(settings, done.stdout + done.stderr, asked, rows)


def test_a_night_through_airflow_itself_refers_and_publishes_on_the_day_in_almaty(night):
    found = ask(night.settings, "select received_on, count(*) from lake.ledger.submission group by all")
    sent = ask(night.settings, "select composed_on, count(*) from lake.clinical.referral group by all")
    assert (found, sent) == ([(NIGHT_OF, 6)], [(NIGHT_OF, 1)])
    assert (night.settings.published / "erte.duckdb").exists()
    ((released,),) = ask(night.settings, "select subject from lake.ledger.event where kind = 'release'")
    assert [Path(path).name[:12] for group in flow.list_arrivals(night.settings) for path in group] == [released[:12]]


def test_airflow_keeps_values_of_rows_out_of_its_logs_and_its_questions(night):
    logs = night.told + json.dumps(night.asked) + "".join(p.read_text() for p in (night.settings.airflow / "logs").rglob("*.log"))
    personal = [row[key] for row in night.rows for key in ("family_name", "given_name", "mother_iin", "address", "phone")]
    assert "Dag run in success state" in logs or "DagRun Finished" in logs
    assert not [value for value in personal if value in logs]


def test_a_steward_releases_one_held_batch_and_returns_another_through_airflow_itself(night):
    assert [("refusal_share_high" in body) for _, body in night.asked] == [True, True]
    decided = ask(night.settings, """
        select e.kind, s.sender_id, e.detail ->> '$.by' as by, e.detail ->> '$.reason' as reason
        from lake.ledger.event e join lake.ledger.submission s on s.submission_id = e.subject
        where e.kind in ('release', 'return') order by e.kind""")  # fmt: skip
    assert decided == [
        ("release", "M1", "steward", "checked by telephone"), ("return", "M2", "steward", "test data of a new system"),
    ]  # fmt: skip
    run(night.settings, NIGHT_OF + timedelta(days=1))
    assert flow.list_held(night.settings) == []
