"""Every Sunday at 04:00 in Almaty: merge small files, expire old snapshots, remove what nothing refers to.

An erasure is complete only after this has run: until then the old snapshots of the lake still hold the rows.
"""

from datetime import timedelta

import pendulum
from airflow.sdk import dag, task

from pipelines.retry import BUSY

DAY = "{{ (dag_run.logical_date or dag_run.run_after).astimezone(dag.timezone).date() }}"


@dag(
    schedule="0 4 * * 0",
    start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Almaty"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=4),
    doc_md=__doc__,
    tags=["erte"],
)
def maintenance() -> None:
    """The lake, kept small."""

    @task(**BUSY)
    def maintain(day: str) -> dict[str, int]:
        """Care for the lake and for what killed runs left; tried again while another run is writing."""
        from pipelines import flow

        return flow.maintain(flow.load_settings(), pendulum.Date.fromisoformat(day))

    maintain(DAY)


maintenance()
