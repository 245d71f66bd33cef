"""Every four hours: a steward releases or returns each batch that a check holds back, on Airflow's own page.

One question a held batch (Required Actions), by its id: what holds it, since when, how many rows. Release lets it pass in
the next run, return gives it back to the sender, who reads the reason; both need a reason of 5 to 200 characters, which the
ledger keeps for good: name no child and no parent. Left unanswered it stays held, and the next run asks again. It is the same
decision as `erte hold release` and `erte hold return`.
"""

from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param, dag, task, task_group

from pipelines.retry import BUSY


@dag(
    schedule="0 */4 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Almaty"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=6),
    doc_md=__doc__,
    tags=["erte"],
)
def held() -> None:
    """Held batches to a person."""

    @task
    def list_questions() -> list[dict[str, str]]:
        """A question for each batch that waits for a person: subject (its id) and body."""
        from pipelines import flow

        return flow.list_questions(flow.load_settings())

    @task(**BUSY)
    def decide(submission: str, answer: Any) -> dict[str, object]:
        """What the steward said, done and written to the ledger; tried again while another run is writing."""
        from pipelines import flow

        by = (answer["responded_by_user"] or {"name": "nobody"})["name"]
        chosen, reason = answer["chosen_options"][0], answer["params_input"].get("reason") or ""
        return flow.decide_held(flow.load_settings(), submission, chosen, reason, by)

    @task_group
    def batch(subject: str, body: str) -> None:
        """One held batch: asked, then decided, whatever the others are answered."""
        ask = HITLOperator(
            task_id="ask",
            subject=subject,
            body=body,
            options=["release", "return", "leave"],
            defaults="leave",
            params={
                "reason": Param("", type="string", maxLength=200, title="Reason (kept in the ledger: name nobody)")
            },
            response_timeout=timedelta(hours=3, minutes=45),
            doc_md="Waits for the steward; unanswered, the batch is left as it is.",
        )
        decide(subject, ask.output)

    batch.expand_kwargs(list_questions())


held()
