"""`erte ...`: everything the pipeline does, without Airflow. Exit code 0 only when what was asked is true."""

import getpass
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from pipelines import flow
from pipelines.errors import UserError
from pipelines.settings import Settings

app = typer.Typer(
    help="Erte: early-childhood screening results in, PMPC feeds and a prevalence warehouse out.",
    no_args_is_help=True, pretty_exceptions_show_locals=False, add_completion=False,
)  # fmt: skip
hold_app = typer.Typer(help="Batches that a check holds back: look, release or return.", no_args_is_help=True)
app.add_typer(hold_app, name="hold")
layout_app = typer.Typer(help="Layouts: propose one for an unknown file, try a file without storing it.", no_args_is_help=True)
app.add_typer(layout_app, name="layout")
_console = Console(stderr=True)

Home = Annotated[Path | None, typer.Option("--home", help="Folder of all data (default: $ERTE_HOME or ./var).")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer as JSON, for machines.")]
On = Annotated[
    datetime | None, typer.Option("--on", formats=["%Y-%m-%d"], help="The night, YYYY-MM-DD (default: today).")
]

Reason = Annotated[
    str, typer.Option(help="Why, in 5 to 200 characters. It is kept in the ledger for good and a sender whose batch is "
                      "returned reads it: name no child and no parent.")
]  # fmt: skip
By = Annotated[str | None, typer.Option("--by", help="Who decides, as the ledger is to say (default: your user name).")]


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

    with _telling(as_json):
        done = simulate_nation(births, weeks, seed, out, _day(end_on), nights, _progress(as_json))
        _answer(done._asdict(), as_json)


@app.command()
def reference(folder: Path, home: Home = None, as_json: AsJson = False) -> None:
    """Check and install the registers (facility, pmpc, catchment, population .csv) of a folder.

    Example: erte reference nation/reference
    """
    from pipelines.store.registers import install_registers

    with _telling(as_json):
        _answer(install_registers(_settings(home), folder), as_json)


@app.command()
def receive(paths: list[Path], home: Home = None, as_json: AsJson = False) -> None:
    """Bring files or folders of files into landing; prints the id of each submission.

    Example: erte receive births.csv laboratory.hl7
    """
    with _telling(as_json):
        for path in paths:
            if not path.exists():
                raise UserError("path_missing", f"{path} does not exist")
        ids = flow.receive(_settings(home), paths)
        _answer({"received": len(ids), "submissions": ids} if as_json else {"received": len(ids)}, as_json)


@app.command()
def run(on: On = None, home: Home = None, as_json: AsJson = False) -> None:
    """A whole night: judge what has arrived, commit, refer, publish.

    Example: erte run --on 2026-11-23
    """
    with _telling(as_json):
        _answer(flow.run_night(_settings(home), _day(on), _progress(as_json)), as_json)


@app.command()
def refer(on: On = None, home: Home = None, as_json: AsJson = False) -> None:
    """Compose and seal the night's feeds. A second time the same night changes nothing.

    Example: erte refer --on 2026-11-23
    """
    with _telling(as_json):
        _answer(flow.refer(_settings(home), _day(on)), as_json)


@app.command()
def publish(on: On = None, home: Home = None, as_json: AsJson = False) -> None:
    """Build the published warehouse as known on a day and swap the pointer.

    Example: erte publish --on 2026-11-23
    """
    with _telling(as_json):
        _answer(flow.publish(_settings(home), _day(on)), as_json)


@app.command()
def maintain(on: On = None, home: Home = None, as_json: AsJson = False) -> None:
    """Weekly care of the lake: merge files, expire snapshots, remove orphans.

    Example: erte maintain
    """
    with _telling(as_json):
        _answer(flow.maintain(_settings(home), _day(on)), as_json)


@app.command()
def status(
    submission: Annotated[str | None, typer.Argument(help="Id of a submission, or its first 8 or more digits.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """The state of everything, or the receipt of one submission.

    Example: erte status 3f2a9c1b
    """
    from pipelines.night.ask import tell_status, tell_submission

    with _telling(as_json):
        settings = _settings(home)
        _answer(tell_submission(settings, submission) if submission else tell_status(settings), as_json)


@app.command()
def ledger(
    sender: Annotated[str | None, typer.Option(help="Only of this sender (facility id).")] = None,
    state: Annotated[str | None, typer.Option(help="Only in this state: received, waiting, held, partly_accepted, accepted, "
                                                   "refused, returned.")] = None,
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only received since this day.")] = None,
    most: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 50,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Receipts of submissions: state, counts, and how many refused rows are still to be mended.

    Example: erte ledger --state partly_accepted --sender M1
    """
    from pipelines.night.ask import tell_ledger
    from pipelines.night.receipt import STATES

    with _telling(as_json):
        if state and state not in STATES:
            raise UserError("state_unknown", f"a state is one of {', '.join(STATES)}")
        _answer_rows(tell_ledger(_settings(home), sender, state, since.date() if since else None, most), as_json)


@app.command()
def records(
    submission: str,
    identified: Annotated[
        bool, typer.Option("--identified", help="Show identity; the look is written to the ledger.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Every row of a submission as we hold it, accepted and quarantined, with its findings; identity masked.

    Example: erte records 3f2a9c1b --json
    """
    from pipelines.night.ask import list_records

    with _telling(as_json):
        _answer_rows(list_records(_settings(home), submission, is_identified=identified), as_json)


@app.command()
def explain(
    child: Annotated[str, typer.Argument(help="A child key, a referral id (R...), a flag id (F...) or an IIN.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """One child's results, verdicts, flags and why, and where each flag is now.

    Example: erte explain 4611686018427387904
    """
    from pipelines.night.ask import explain_child

    with _telling(as_json):
        print(
            json.dumps(
                explain_child(_settings(home), child), ensure_ascii=False, indent=None if as_json else 2, default=str
            )
        )


@app.command()
def query(sql: str, home: Home = None, as_json: AsJson = False) -> None:
    """Ask the published warehouse (read only).

    Example: erte query "select region, count(*) from pathway group by all"
    """
    import duckdb

    from pipelines.store.warehouse import open_published

    with _telling(as_json):
        try:
            frame = open_published(_settings(home)).execute(sql).pl()
        except duckdb.Error as error:
            raise UserError("query_failed", str(error)) from None
        _answer_rows(frame.to_dicts(), as_json)


@app.command()
def merge(
    child: Annotated[int, typer.Argument(help="The child key that stays.")],
    other: Annotated[int, typer.Argument(help="The child key whose records are the same child's.")],
    reason: Annotated[str, typer.Option(help="Why; goes to the ledger: no name, no number of a person.")],
    on: On = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Unite two children who are one; twins never. `erte unmerge` undoes it.

    Example: erte merge 4611686018427387904 512409557603043101 --reason "same newborn, registered twice"
    """
    from pipelines.night.merge import merge_children

    with _telling(as_json):
        _answer(merge_children(_settings(home), child, other, reason, _day(on)), as_json)


@app.command()
def unmerge(
    child: Annotated[int, typer.Argument(help="The child key.")],
    record: Annotated[list[str], typer.Option(help="A birth record of the other child, SUBMISSION:ROW; may be repeated.")],
    reason: Annotated[str, typer.Option(help="Why; goes to the ledger: no name, no number of a person.")],
    on: On = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Part a child who is two: the birth records named, and what belongs to them, are another child's.

    Example: erte unmerge 4611686018427387904 --record 3f2a9c1b:17 --reason "twins, both entered as first"
    """
    from pipelines.night.merge import unmerge_child

    with _telling(as_json):
        _answer(unmerge_child(_settings(home), child, record, reason, _day(on)), as_json)


@app.command()
def verify(
    deep: Annotated[
        bool, typer.Option("--deep", help="Also recompute every verdict and flag from all results.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Check the laws, the feed chain and the ledger on the actual store; exit code 1 when any is broken.

    Example: erte verify --deep
    """
    from pipelines.night.verify import verify_store

    with _telling(as_json):
        checks = verify_store(_settings(home), is_deep=deep)
        _answer_rows([c._asdict() for c in checks], as_json)
        if any(c.broken for c in checks):
            raise typer.Exit(1)


@hold_app.command("list")
def hold_list(home: Home = None, as_json: AsJson = False) -> None:
    """Held submissions: which expectations hold each, and since when (UTC).

    Example: erte hold list
    """
    with _telling(as_json):
        _answer_rows(flow.list_held(_settings(home)), as_json)


@hold_app.command("release")
def hold_release(submission: str, reason: Reason, by: By = None, home: Home = None, as_json: AsJson = False) -> None:
    """Let a held submission pass in the next run in spite of the check.

    Example: erte hold release 3f2a9c1b --reason "census week, volume expected"
    """
    _decide_held(submission, "release", reason, by, home, as_json)


@hold_app.command("return")
def hold_return(submission: str, reason: Reason, by: By = None, home: Home = None, as_json: AsJson = False) -> None:
    """Give a held submission back to its sender, who reads the reason; it is kept in the archive.

    Example: erte hold return 3f2a9c1b --reason "test data"
    """
    _decide_held(submission, "return", reason, by, home, as_json)


def _decide_held(submission: str, decision: str, reason: str, by: str | None, home: Path | None, as_json: bool) -> None:
    with _telling(as_json):
        _answer(flow.decide_held(_settings(home), submission, decision, reason, by or getpass.getuser()), as_json)


@layout_app.command("guess")
def layout_guess(
    file: Path,
    out: Annotated[Path | None, typer.Option(help="Write the layout to this .toml; its stem becomes the name.")] = None,
    as_json: AsJson = False,
) -> None:
    """Propose a layout for an unknown table; what cannot be placed stands in it as comments. Prints TOML.

    Example: erte layout guess export.csv --out our-system.toml
    """
    from pipelines.night.layout_trial import propose_layout

    with _telling(as_json):
        guess = propose_layout(_existing(file), out.stem if out else None)
        if out:
            if out.suffix != ".toml" or out.stem != guess.name:
                raise UserError("name_unfit", "name the file with small Latin letters, digits and hyphens: our-system.toml")
            if out.exists():
                raise UserError("file_exists", f"{out} exists already")
            out.write_text(guess.toml, "utf-8")
        if as_json or out:
            facts: dict[str, object] = {"name": guess.name, "record": guess.record, "placed": [p._asdict() for p in guess.placed],
                     "components": [{"header": c.header, **c.constants} for c in guess.components],
                     "unplaced": [{"header": h, "looks_like": shape} for h, shape in guess.unplaced.items()],
                     "lacking": ", ".join(guess.lacking)}  # fmt: skip
            facts |= {"toml": guess.toml} if as_json else {"written": str(out)}
            _answer(facts, as_json)
        else:
            print(guess.toml, end="")


@layout_app.command("check")
def layout_check(
    file: Path,
    layout: Annotated[Path | None, typer.Option(help="A layout TOML of your own (default: the known ones).")] = None,
    on: On = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Try a file: counts and findings as if it were sent, and nothing is stored; exit code 1 when anything is refused.

    Example: erte layout check export.csv --layout our-system.toml
    """
    from pipelines.night.layout_trial import try_file

    with _telling(as_json):
        trial = try_file(_settings(home), _existing(file), _existing(layout) if layout else None, _day(on))
        facts = trial._asdict()
        if not as_json:
            for finding in trial.findings:
                finding["text"] = finding.pop("text_ru")
                del finding["text_kk"], finding["text_en"]
        _answer(facts, as_json)
        if trial.refusal_code or trial.quarantined_count:
            raise typer.Exit(1)


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

    with _telling(as_json):
        if up:
            raise typer.Exit(serve_airflow(_settings(home)))
        _answer_rows(run_demo(_settings(home), births, weeks, seed, _progress(as_json)), as_json)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UserError("path_missing", f"{path} is no file")
    return path


def _settings(home: Path | None) -> Settings:
    return flow.load_settings(home=home)


def _day(on: datetime | None) -> date:
    return on.date() if on else datetime.now().astimezone().date()


def _progress(is_quiet: bool) -> flow.Progress:
    return (lambda _: None) if is_quiet else (lambda text: _console.print(f"[dim]{datetime.now():%H:%M:%S}[/] {text}"))


@contextmanager
def _telling(as_json: bool) -> Iterator[None]:
    """A user's error is told with its code and what to do, on one line; exit code 2."""
    try:
        yield
    except UserError as error:
        _fail(error, as_json)


def _fail(error: UserError, as_json: bool) -> NoReturn:
    if as_json:
        print(json.dumps({"error": error.code, "text": str(error)}, ensure_ascii=False))
    else:
        print(f"{error.code}: {error}", file=sys.stderr)
    raise typer.Exit(2)


def _answer(facts: dict[str, object] | dict[str, int] | dict[str, dict[str, int]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(facts, ensure_ascii=False, default=str))
        return
    for name, fact in facts.items():
        if isinstance(fact, dict):
            _table([fact], str(name))
        elif isinstance(fact, list):
            _table(fact, str(name))
        else:
            print(f"{name}: {fact}")


def _answer_rows(rows: list[dict[str, object]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, default=str))
    else:
        _table(rows, "")


def _table(rows: list[dict[str, object]], title: str) -> None:
    table = Table(title=title or None, title_justify="left")
    for column in rows[0] if rows else ():
        table.add_column(str(column))
    for row in rows:
        table.add_row(*("" if v is None else str(v) for v in row.values()))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


if __name__ == "__main__":
    app()
