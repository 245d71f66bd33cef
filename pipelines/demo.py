"""What `make run` does: a simulated nation through the Airflow DAGs themselves for three nights, then what happened.

Everything lies under the home, nothing is fetched. A night that was done is not done again, so a second run only tells;
a run that was killed goes on with the night it was in (every step may be repeated).
"""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path

from pipelines import flow
from pipelines.errors import UserError
from pipelines.settings import Settings
from pipelines.simulate.answer import answer_feeds
from pipelines.simulate.nation import simulate_nation
from pipelines.store.lake import open_lake, read_rows
from pipelines.store.registers import install_registers

LAST_NIGHT = date(2026, 3, 1)
"""A fixed day, so that the same seed gives the same bytes and the same figures on every machine."""
NIGHTS = tuple(LAST_NIGHT - timedelta(days=n) for n in (2, 1, 0))
DAGS = ("intake", "referral_feed", "warehouse")
_TASK_ENDED = re.compile(r"\[DAG TEST\] end task task_id=(?P<task>\w+) map_index=(?P<index>-?\d+)")

_TOLD = """
    select cast(n.night as varchar) as night,
        (select count(*) from lake.ledger.submission where received_on = n.night) as files,
        (select count(*) from lake.ledger.submission where received_on = n.night and status = 'refused') as files_refused,
        (select count(*) from lake.ledger.submission where received_on = n.night and status = 'held') as files_held,
        (select coalesce(sum(accepted_count), 0)::bigint from lake.ledger.submission
         where received_on = n.night and status not in ('held', 'returned')) as rows_accepted,
        (select coalesce(sum(quarantined_count), 0)::bigint from lake.ledger.submission
         where received_on = n.night and status not in ('held', 'returned')) as rows_quarantined,
        (select count(*) from lake.clinical.flag where known_from = n.night) as flags,
        (select count(*) from lake.clinical.referral
         where composed_on = n.night and item_kind = 'referral') as children_referred,
        (select count(distinct child_key) from lake.clinical.placement where place = 'withheld'
         and known_from <= n.night and (known_to is null or known_to > n.night)) as children_withheld,
        (select count(*) from lake.ledger.feed where composed_on = n.night) as feeds,
        (select max(cast(json_extract(detail, '$.pathway') as bigint)) from lake.ledger.event
         where kind = 'publish' and subject = cast(n.night as varchar)) as children_published
    from (select unnest(cast(? as date[])) as night) n order by night"""


def run_demo(settings: Settings, births: int, weeks: int, seed: int, progress: flow.Progress) -> list[dict[str, object]]:
    """Simulate once, run what nights are left, and tell: one row a night; UserError when a DAG fails."""
    asked = {"births": births, "weeks": weeks, "seed": seed}
    nation = _simulate_once(settings, asked, progress)
    install_registers(settings, nation / "reference")
    prepare_airflow(settings, progress)
    for number, night in enumerate(NIGHTS, 1):
        if (nation / "done" / str(night)).exists():
            progress(f"night {number} of {len(NIGHTS)}, {night}: done by an earlier run, nothing to do")
        else:
            _run_night(settings, nation, seed, number, progress)
    with open_lake(settings) as connection:
        told = read_rows(connection, _TOLD, [list(NIGHTS)]).to_dicts()
    for name, place in _name_places(settings).items():
        progress(f"{name}: {place}")
    return told


def prepare_airflow(settings: Settings, progress: flow.Progress) -> None:
    """Airflow's own folder under the home, with its embedded SQLite brought to the installed version."""
    stamp = settings.airflow / ".migrated"
    if not stamp.exists() or stamp.read_text() != version("apache-airflow"):
        progress("preparing Airflow")
        settings.airflow.mkdir(parents=True, exist_ok=True, mode=0o700)
        _run_airflow(settings, ["db", "migrate"], "db-migrate", progress)
        stamp.write_text(version("apache-airflow"))


def serve_airflow(settings: Settings) -> int:
    """Airflow's web page and scheduler on this home (`make up`) until it is stopped; its exit code."""
    prepare_airflow(settings, print)
    return subprocess.run([_find_airflow(), "standalone"], env=settings.airflow_env(), check=False).returncode  # noqa: S603


def _simulate_once(settings: Settings, asked: dict[str, int], progress: flow.Progress) -> Path:
    nation, draft = settings.home / "nation", settings.home / ".nation.part"
    if not nation.exists():
        shutil.rmtree(draft, ignore_errors=True)
        simulate_nation(asked["births"], asked["weeks"], asked["seed"], draft, LAST_NIGHT, len(NIGHTS), progress)
        (draft / "asked.json").write_text(json.dumps(asked))
        draft.rename(nation)
    elif json.loads((nation / "asked.json").read_text()) != asked:
        raise UserError("demo_other_nation", f"{settings.home} holds another simulated nation: choose another --home")
    return nation


def _run_night(settings: Settings, nation: Path, seed: int, number: int, progress: flow.Progress) -> None:
    night = NIGHTS[number - 1]
    name = f"night {number} of {len(NIGHTS)}, {night}"
    sent = [nation / "landing" / str(night), nation / "answer" / str(night)]
    ids = flow.receive(settings, [folder for folder in sent if folder.exists()])
    progress(f"{name}: {len(ids)} files received")
    for dag in DAGS:
        progress(f"{name}: DAG {dag}")
        _run_airflow(settings, ["dags", "test", dag, str(night)], f"{night}-{dag}", progress)
    if night != LAST_NIGHT:
        rows = answer_feeds(settings.outbox, night, seed, nation / "answer" / str(night + timedelta(days=1)))
        progress(f"{name}: the PMPCs answer {rows} referrals")
    (nation / "done").mkdir(exist_ok=True)
    (nation / "done" / str(night)).touch()


def _run_airflow(settings: Settings, words: list[str], name: str, progress: flow.Progress) -> None:
    """Run `airflow <words>` as a child with its log in a file; a finished task is progress, a failure a UserError."""
    log = settings.airflow / "logs" / "demo" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [_find_airflow(), *words]
    with log.open("w") as file, subprocess.Popen(  # noqa: S603  # our own interpreter's airflow
        command, env=settings.airflow_env(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:  # fmt: skip
        ended: Counter[str] = Counter()
        for line in process.stdout or ():
            file.write(line)
            if found := _TASK_ENDED.search(line):
                task = found["task"]
                ended[task] += 1
                progress(f"    {task} ended" if found["index"] == "-1" else f"    {task}: {ended[task]} groups of files ended")
    if process.returncode:
        raise UserError("dag_failed", f"airflow {' '.join(words)} failed: read {log}, then run it again")


def _find_airflow() -> str:
    return str(Path(sys.executable).with_name("airflow"))


def _name_places(settings: Settings) -> dict[str, Path | str]:
    return {
        "feeds of the PMPCs": settings.outbox,
        "feedback for senders": settings.reports / "feedback",
        "worklists of facilities": settings.reports / "worklist",
        "what is due, by facility": settings.reports / "due",
        "checks of the batches (Data Docs)": settings.reports / "data-docs" / "index.html",
        "published warehouse": settings.published / "erte.duckdb",
        "logs of the DAGs": settings.airflow / "logs" / "demo",
        "next": f'erte query "show tables" --home {settings.home}; make up (Airflow\'s web page)',
    }
