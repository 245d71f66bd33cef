"""The DAGs: when, in what order, and nothing else. Real Airflow parses them; the end-to-end test runs one whole night."""

import ast
import inspect
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest

from pipelines import flow
from pipelines.store.lake import open_lake, read_rows
from tests.nation import bear, flagged, send, settle

FOLDER = Path(__file__).parents[1] / "dags"
FILES = sorted(FOLDER.glob("*.py"))
SCHEDULES = {"intake": "*/30 * * * *", "referral_feed": "0 22 * * *", "maintenance": "0 4 * * 0"}


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
    assert sorted(bag.dags) == [path.stem for path in FILES] == ["intake", "maintenance", "referral_feed", "warehouse"]


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
        "intake": {"list_arrivals": 0, "judge": 0, "commit": 10}, "referral_feed": {"refer": 10},
        "warehouse": {"publish": 10, "tell_senders": 0}, "maintenance": {"maintain": 10},
    }  # fmt: skip
    from airflow.sdk import RetryAction

    from pipelines.errors import UserError

    for task in (task for dag in bag.dags.values() for task in dag.tasks if task.retries):
        busy = UserError("run_in_progress", "wait")
        assert task.retry_policy.evaluate(busy, 1, 10).action is RetryAction.RETRY
        assert task.retry_policy.evaluate(AssertionError(), 1, 10).action is RetryAction.FAIL


def test_every_dag_and_task_says_what_it_is_for(bag):
    for dag in bag.dags.values():
        assert len(dag.doc_md) > 100
        assert all(inspect.getdoc(task.python_callable) for task in dag.tasks if not task.is_mapped)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_dag_holds_no_frame_no_query_and_no_rule_and_imports_the_pipeline_only_inside_a_task(path):
    tree = ast.parse(path.read_text("utf-8"))
    tops = {n.module if isinstance(n, ast.ImportFrom) else n.names[0].name for n in tree.body
            if isinstance(n, ast.Import | ast.ImportFrom)}  # fmt: skip
    assert tops <= {"datetime", "typing", "pendulum", "airflow.sdk"}
    inner = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module not in tops]
    assert {(n.module, a.name) for n in inner for a in n.names} == {("pipelines", "flow")}
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.If | ast.For | ast.While | ast.Try | ast.With | ast.Lambda)]
    texts = [n.value.lower() for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    assert not [text for text in texts if "select " in text or "insert " in text]
    tasks = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)
             and any("task" in ast.unparse(d) for d in n.decorator_list)]  # fmt: skip
    for task in tasks:
        calls = [ast.unparse(c.func) for c in ast.walk(task) if isinstance(c, ast.Call)]
        assert sum(c.startswith("flow.") and c != "flow.load_settings" for c in calls) == 1, task.name


def test_a_night_through_airflow_itself_refers_and_publishes_on_the_day_in_almaty_and_keeps_values_out_of_its_logs(tmp_path):
    settings, night = settle(tmp_path / "home"), date(2026, 3, 2)
    send(settings, tmp_path, [*flagged(2), {"birth": bear(4)}])
    airflow, env = str(Path(sys.executable).with_name("airflow")), settings.airflow_env()
    subprocess.run([airflow, "db", "migrate"], env=env, check=True, capture_output=True)
    told = ""
    for dag in ("intake", "referral_feed", "warehouse"):
        command = [airflow, "dags", "test", dag, "2026-03-01T20:00:00+00:00"]
        done = subprocess.run(command, env=env, check=False, capture_output=True, text=True)
        told += done.stdout + done.stderr
        assert done.returncode == 0, told[-3000:]
    with open_lake(settings) as connection:
        found = read_rows(connection, "select received_on, count(*) as files from lake.ledger.submission group by all").rows()
        sent = read_rows(connection, "select composed_on, count(*) as items from lake.clinical.referral group by all").rows()
    assert (found, sent) == ([(night, 4)], [(night, 1)])
    assert (settings.published / "erte.duckdb").exists()
    assert flow.list_arrivals(settings) == []
    logs = told + "".join(p.read_text() for p in (settings.airflow / "logs").rglob("*.log"))
    personal = [value for row in (bear(2), bear(4)) for key in ("family_name", "given_name", "mother_iin", "address", "phone")
                for value in [row[key]]]  # fmt: skip
    assert not [value for value in personal if value in logs]
