"""READ THIS FIRST: the whole journey of a record, in the order in which it happens.

    landing -> judge (by file, in parallel) -> commit (one transaction) -> refer (feeds) -> publish (warehouse)

Each function is one step that may be repeated: what is done already is not done again. Airflow's DAGs call these
functions and `erte run` calls them in a row; neither knows more than this page.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import partial
from pathlib import Path
from typing import TypeVar

from pipelines.night import audit, front_door, hold, intake, lists, report_card
from pipelines.night import refer as referring
from pipelines.night.workers import count_workers, share_work
from pipelines.settings import Settings
from pipelines.store import lake
from pipelines.store.registers import read_registers
from pipelines.store.release import swap_release
from pipelines.store.warehouse import build_warehouse

Progress = Callable[[str], None]
T = TypeVar("T")


def load_settings(**given: object) -> Settings:
    """Settings from the environment (`ERTE_...`), with those given in their place."""
    return Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


def receive(settings: Settings, paths: Sequence[Path]) -> list[str]:
    """Bring files in: copies in landing, the ids of the submissions."""
    return front_door.receive_paths(settings, paths)


def list_arrivals(settings: Settings) -> list[list[str]]:
    """What lies in landing, in groups that can be judged side by side."""
    return front_door.list_arrivals(settings)


def judge_group(settings: Settings, run_id: str, group: Sequence[str], on: date) -> str:
    """Read, conform and judge a group of files; the staging folder of the run."""
    return str(front_door.stage_group(settings, run_id, group, on))


def judge_arrivals(settings: Settings, run_id: str, on: date, progress: Progress = print) -> int:
    """Judge all that lies in landing, much of it in processes side by side; the number of groups."""
    groups = list_arrivals(settings)
    workers = count_workers(settings.threads) if front_door.is_much(groups) else 1
    judge = partial(judge_group, settings, run_id, on=on)
    for number, _ in enumerate(share_work(judge, groups, workers), 1):
        progress(f"judged group {number} of {len(groups)}")
    return len(groups)


def commit_run(settings: Settings, run_id: str, on: date) -> dict[str, int]:
    """Link, keep and assess all that the run staged, in one transaction; counts."""
    return intake.commit_run(settings, run_id, on)


def list_held(settings: Settings) -> list[dict[str, object]]:
    """Batches that wait for a person: what holds each, since when, and its state."""
    return hold.list_held(settings)


def list_questions(settings: Settings) -> list[dict[str, str]]:
    """A question for each batch that waits for a person: its id and what to know, without a value of a row."""
    return hold.list_questions(settings)


def decide_held(settings: Settings, submission: str, decision: str, reason: str, by: str) -> dict[str, object]:
    """A person's decision about a held batch (release, return or leave) with the reason; it is kept in the ledger."""
    return hold.decide_held(settings, submission, decision, reason, by)


def refer(settings: Settings, on: date) -> dict[str, int]:
    """Gate, compose, number and seal the night's feeds, and write the lists of facilities; counts."""
    with lake.hold_lock(settings):
        sealed = referring.seal_night(settings, on)
        return sealed if "is_closed" in sealed else {**sealed, **lists.tell_facilities(settings, on)}


def refuse_missed(settings: Settings, on: date) -> None:
    """UserError night_closed when no feed of that night was sealed and none will be, as it was published or a later one was."""
    referring.refuse_missed(settings, on)


def publish(settings: Settings, on: date) -> dict[str, int]:
    """Build the published warehouse as known on a day and swap the pointer; rows by table, and how many years of birth were told anew.

    The day is closed before readers see what was known on it: killed in between, more could be learned on that day (law 10).
    """
    return _publish(settings, on, lambda: None)[0]


def _publish(settings: Settings, on: date, beside: Callable[[], T]) -> tuple[dict[str, int], T]:
    """`publish`, and the answer of what is done beside it: that only reads the lake, and is done before the day is closed."""
    with lake.hold_lock(settings), lake.open_lake(settings) as connection, ThreadPoolExecutor(1) as pool:
        other = pool.submit(beside)
        registers, at_risk = dict(read_registers(settings)), intake.say_at_risk(settings)
        built = build_warehouse(connection, settings, on, registers, at_risk, referring.gate_referral)
        counts, told = {**built.counts, "birth_years_told": len(built.years)}, other.result()
        with lake.transact(connection):
            intake.record_publication(connection, on, counts)
        swap_release(settings, on, built.draft, built.parquet)
        audit.write_anchors(connection, settings)
    return counts, told


def tell_senders(settings: Settings, on: date) -> dict[str, int]:
    """Write every sender's report card and the steward's overview; counts."""
    return report_card.write_report_cards(settings, on)


def maintain(settings: Settings, on: date) -> dict[str, int]:
    """Weekly: merge small files, expire snapshots, remove what nothing refers to; counts."""
    with lake.hold_lock(settings), lake.open_lake(settings) as connection:
        counts = lake.maintain_lake(connection)
        counts["staging"] = front_door.sweep_staging(settings)
    return counts


def run_night(settings: Settings, on: date, progress: Progress = print) -> dict[str, dict[str, int]]:
    """A whole night without Airflow: every arrival judged, committed, referred, published. BusyError beside another one."""
    run_id = f"night-{on}"
    with lake.hold_lock(settings, "night"):  # of two nights of one name, either would clear away what the other stages
        intake.prepare_run()
        judge_arrivals(settings, run_id, on, progress)
        progress("committing")
        committed = commit_run(settings, run_id, on)
        progress("composing feeds")
        with lake.hold_lock(settings):
            sealed = referring.seal_night(settings, on)
        progress("publishing")
        published, (listed, senders) = _publish(settings, on, lambda: _tell(settings, on, is_closed="is_closed" in sealed))
        return {"intake": committed, "referral": sealed | listed, "warehouse": published, "senders": senders}


def _tell(settings: Settings, on: date, *, is_closed: bool) -> tuple[dict[str, int], dict[str, int]]:
    """The lists of facilities, but of a closed night, and then what senders and the steward read, who is told their counts."""
    listed = {} if is_closed else lists.tell_facilities(settings, on)
    return listed, tell_senders(settings, on)
