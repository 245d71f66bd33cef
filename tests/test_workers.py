"""Work shared among processes: the same as done by one, finished when one dies, and nobody left behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import polars as pl

from pipelines import flow
from pipelines.night import front_door
from pipelines.night.workers import share_work
from tests.nation import FIRST, bear, flagged, send, settle, write_file


def test_files_judged_by_processes_are_staged_as_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr(front_door, "_WORTH_PROCESSES", 1)
    staged = []
    for threads in (1, 2):
        settings = settle(tmp_path / f"home{threads}", threads=threads)
        send(settings, tmp_path, [record for n in range(2, 12) for record in flagged(n)])
        assert flow.judge_arrivals(settings, "n", FIRST, lambda _: None) == 4
        files = sorted(settings.staging.glob("n/*/*.parquet"))
        staged.append([(path.relative_to(settings.staging), pl.read_parquet(path).rows()) for path in files])
    assert len(staged[0]) >= 4
    assert staged[0] == staged[1]


def test_what_workers_are_forked_from_has_begun_no_thread_of_polars():
    """A forked worker would wait for ever for threads that only the other process has."""
    script = "import os, pipelines.flow; print(*(open(f'/proc/self/task/{t}/comm').read().strip() for t in os.listdir('/proc/self/task')))"
    told = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
    assert not [name for name in told.stdout.split() if re.match(r"polars-[0-9]|tokio|async-ex", name)]


def double_or_die(of_the_tests: int, number: int) -> int:
    """Twice the number; a process other than that of the tests dies of 3."""
    if number == 3 and os.getpid() != of_the_tests:
        os._exit(1)
    return 2 * number


def test_what_a_process_that_dies_left_undone_is_done_by_the_one_that_began_it():
    assert list(share_work(partial(double_or_die, os.getpid()), list(range(8)), 2)) == [2 * number for number in range(8)]


def name_and_wait(folder: str) -> None:
    """Leaves its process id, and works for longer than any test."""
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)


def test_processes_end_when_the_one_that_began_them_is_killed(tmp_path):
    script = (
        "from pipelines.night.workers import share_work; from tests.test_workers import name_and_wait\n"
        f"if __name__ == '__main__': list(share_work(name_and_wait, [{str(tmp_path)!r}] * 2, 2))"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[1])
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_until(lambda: not any(is_alive(int(path.name)) for path in tmp_path.iterdir()))


def wait_until(is_so) -> None:
    """Half a minute at most."""
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.1)


def is_alive(pid: int) -> bool:
    """True where a process runs and is not only waiting to be collected."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_command_shares_a_night_of_many_rows_without_a_word_on_stderr(tmp_path):
    """The installed command, not the module: its workers import its script again."""
    settings = settle(tmp_path / "home")
    births = [bear(n) for n in range(2, 102)]
    for number, birth in enumerate(births):
        write_file(tmp_path / "sent" / f"{number}.csv", [birth])
    flow.receive(settings, [tmp_path / "sent"])
    assert front_door.is_much(flow.list_arrivals(settings))
    command = [Path(sys.executable).with_name("erte"), "run", "--on", str(FIRST), "--home", settings.home, "--json"]
    run = subprocess.run(command, env=os.environ | {"ERTE_SECRET": settings.secret, "ERTE_THREADS": "2"}, capture_output=True, text=True, check=True)
    assert run.stderr == ""
    assert json.loads(run.stdout)["intake"]["new"] == len(births)
