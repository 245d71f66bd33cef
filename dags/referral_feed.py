"""Every night at 22:00 in Almaty: gate, compose, number and seal one feed for every PMPC.

The night is the day on which the run was due. Run again, it changes nothing: a sealed feed stays sealed, and one that
was sealed but not delivered is delivered. A feed that is empty is sent too, and says why. A night that comes late, after
something of the next day was taken in, is sealed as of that day: a withdrawal that came meanwhile is heard.
"""

from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import Asset, dag, task

from pipelines.retry import BUSY

FEED = Asset("erte_feed", uri="erte://outbox")
DAY = "{{ (dag_run.logical_date or dag_run.run_after).astimezone(dag.timezone).date() }}"


@dag(
    schedule="0 22 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Almaty"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=4),
    doc_md=__doc__,
    tags=["erte"],
)
def referral_feed() -> None:
    """Lake to outbox."""

    @task(outlets=[FEED], **BUSY)
    def refer(day: str, outlet_events: Any = None) -> dict[str, int]:
        """Seal the night's feeds; tried again while another run is writing. The asset event names the night."""
        from pipelines import flow

        outlet_events[FEED].extra = {"day": day}
        return flow.refer(flow.load_settings(), pendulum.Date.fromisoformat(day))

    refer(DAY)


referral_feed()
