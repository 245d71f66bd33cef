"""How a task of a DAG is tried again: the one module here that knows Airflow, and only DAGs import it."""

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

BUSY: dict[str, Any] = {
    "retry_policy": ExceptionRetryPolicy(
        [RetryRule(["pipelines.errors.BusyError", "builtins.OSError"])], default=RetryAction.FAIL
    ),
    "retries": 20,
    "retry_delay": timedelta(seconds=15),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=5),
}
"""Another run is writing: tried again after seconds, then every five minutes; anything else fails at once."""
