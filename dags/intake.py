"""Every half hour: judge side by side what has arrived, then commit all of it at once.

Files that arrive during a run wait for the next one. A run without arrivals still commits: records that wait for their
child are tried again, and what a killed run left undone is made up for. Nothing but paths and counts goes through XCom.
"""

from datetime import timedelta

import pendulum
from airflow.sdk import Asset, dag, task

from pipelines.retry import BUSY

LAKE = Asset("erte_lake", uri="erte://lake")
RUN = "intake-{{ dag_run.run_id | replace(':', '') | replace('+', '-') }}"
DAY = "{{ (dag_run.logical_date or dag_run.run_after).astimezone(dag.timezone).date() }}"


@dag(
    schedule="*/30 * * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Almaty"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=6),
    doc_md=__doc__,
    tags=["erte"],
)
def intake() -> None:
    """Landing to lake."""

    @task
    def list_arrivals() -> list[list[str]]:
        """Paths in landing, in groups of about equal size: a mapped task costs more than a file."""
        from pipelines import flow

        return flow.list_arrivals(flow.load_settings())

    @task(execution_timeout=timedelta(hours=2))
    def judge(group: list[str], run: str, day: str) -> str:
        """Read, conform and judge a group of files into the staging folder of the run."""
        from pipelines import flow

        return flow.judge_group(flow.load_settings(), run, group, pendulum.Date.fromisoformat(day))

    @task(trigger_rule="none_failed", outlets=[LAKE], **BUSY)
    def commit(run: str, day: str) -> dict[str, int]:
        """Link, keep and assess in one transaction; tried again while another run is writing."""
        from pipelines import flow

        return flow.commit_run(flow.load_settings(), run, pendulum.Date.fromisoformat(day))

    judge.partial(run=RUN, day=DAY).expand(group=list_arrivals()) >> commit(RUN, DAY)


intake()
