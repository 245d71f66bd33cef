"""Commands of the night: bring in, judge, refer, publish, look after."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines import flow
from pipelines.cli.say import AsJson, Home, On, answer, answer_rows, day_of, progress_of, settings_of, telling
from pipelines.errors import UserError

app = typer.Typer()


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    births: Annotated[int, typer.Option(min=100, help="Births to simulate.")] = 20_000,
    weeks: Annotated[int, typer.Option(min=2, max=104, help="Weeks they are spread over.")] = 6,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 7,
    nights: Annotated[int, typer.Option(min=1, help="Last nights that get a landing folder of their own.")] = 3,
    end_on: On = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Write a synthetic nation: what senders would send, registers, and a truth folder for tests.

    Example: erte simulate --births 20000 --weeks 6 --seed 7 --out nation
    """
    from pipelines.simulate.nation import simulate_nation

    with telling(as_json):
        done = simulate_nation(births, weeks, seed, out, day_of(end_on), nights, progress_of(as_json))
        answer(done._asdict(), as_json)


@app.command()
def reference(folder: Path, home: Home = None, as_json: AsJson = False) -> None:
    """Check and install the registers (facility, pmpc, catchment, population .csv) of a folder.

    Example: erte reference nation/reference
    """
    from pipelines.store.registers import install_registers

    with telling(as_json):
        answer(install_registers(settings_of(home), folder), as_json)


@app.command()
def receive(paths: list[Path], home: Home = None, as_json: AsJson = False) -> None:
    """Bring files or folders of files into landing; prints the id of each submission.

    Example: erte receive births.csv laboratory.hl7
    """
    with telling(as_json):
        for path in paths:
            if not path.exists():
                raise UserError("path_missing", f"{path} does not exist")
        ids = flow.receive(settings_of(home), paths)
        if as_json:
            answer({"received": len(ids), "submissions": ids}, as_json)
        else:
            print("\n".join(ids))
            answer({"received": len(ids)}, as_json)


@app.command()
def run(on: On = None, home: Home = None, as_json: AsJson = False) -> None:
    """A whole night: judge what has arrived, commit, refer, publish.

    Example: erte run --on 2026-11-23
    """
    with telling(as_json):
        settings, night = settings_of(home), day_of(on)
        flow.refuse_missed(settings, night)
        answer(flow.run_night(settings, night, progress_of(as_json)), as_json)


@app.command()
def refer(on: On = None, home: Home = None, as_json: AsJson = False) -> None:
    """Compose and seal the night's feeds. A second time the same night changes nothing.

    A night that comes late, when something of a later day is known or sealed, is sealed as of that day (`days_later`).

    Example: erte refer --on 2026-11-23
    """
    with telling(as_json):
        settings, night = settings_of(home), day_of(on)
        flow.refuse_missed(settings, night)
        answer(flow.refer(settings, night), as_json)


@app.command()
def publish(on: On = None, home: Home = None, as_json: AsJson = False) -> None:
    """Build the published warehouse as known on a day and swap the pointer.

    Example: erte publish --on 2026-11-23
    """
    with telling(as_json):
        answer(flow.publish(settings_of(home), day_of(on)), as_json)


@app.command()
def maintain(on: On = None, home: Home = None, as_json: AsJson = False) -> None:
    """Weekly care of the lake: merge files, expire snapshots, remove orphans.

    Example: erte maintain
    """
    with telling(as_json):
        answer(flow.maintain(settings_of(home), day_of(on)), as_json)


@app.command(hidden=True)
def demo(
    births: int = 20_000,
    weeks: int = 6,
    seed: int = 7,
    up: Annotated[bool, typer.Option("--up", help="Serve Airflow's own page on this home instead.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What `make run` does: a simulated nation through the Airflow DAGs for three nights.

    Example: erte demo
    """
    from pipelines.demo import run_demo, serve_airflow

    with telling(as_json):
        if up:
            raise typer.Exit(serve_airflow(settings_of(home)))
        answer_rows(run_demo(settings_of(home), births, weeks, seed, progress_of(as_json)), as_json)
