"""What happens when a DAG is late: a line in the log that a watcher can look for. Imports nothing, Airflow calls it."""

import logging
from collections.abc import Mapping
from typing import Any


def tell_late(context: Mapping[str, Any], due: str) -> str:
    """One line `deadline_missed ...` with the DAG, the run, its state and when it was due; `due` says it in words.

    Airflow calls it for a `DeadlineAlert`; the context holds the run as its API shows it. Counts, ids and times only.
    """
    run = context["dag_run"]
    line = (
        f"deadline_missed dag={run['dag_id']} run={run['dag_run_id']} state={run['state']} "
        f'due_at={context["deadline"]["deadline_time"]} due="{due}"'
    )
    logging.getLogger("erte.late").error(line)
    return line
