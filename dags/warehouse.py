"""After the night's feed (its asset): build the published warehouse as known on that night and swap the pointer.

The night is the one that the asset event names, also when midnight has passed meanwhile. Readers never wait and never see
half a build; built again for the same night, it is the same.
"""

from datetime import timedelta

import pendulum
from airflow.sdk import Asset, dag, task

from pipelines.retry import BUSY

FEED = Asset("erte_feed", uri="erte://outbox")
WAREHOUSE = Asset("erte_warehouse", uri="erte://warehouse")
DAY = (
    "{{ triggering_asset_events.values() | map('last') | map(attribute='extra.day') | first | default("
    "(dag_run.logical_date or dag_run.run_after).astimezone(dag.timezone).date()) }}"
)


@dag(
    schedule=[FEED],
    start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Almaty"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=4),
    doc_md=__doc__,
    tags=["erte"],
)
def warehouse() -> None:
    """Lake to the published file."""

    @task(outlets=[WAREHOUSE], **BUSY)
    def publish(day: str) -> dict[str, int]:
        """Marts, indicators, disclosure control, swap; tried again while another run is writing."""
        from pipelines import flow

        return flow.publish(flow.load_settings(), pendulum.Date.fromisoformat(day))

    @task
    def tell_senders(day: str) -> dict[str, int]:
        """Every sender's report card and the steward's overview, from counts."""
        from pipelines import flow

        return flow.tell_senders(flow.load_settings(), pendulum.Date.fromisoformat(day))

    publish(DAY) >> tell_senders(DAY)


warehouse()
