"""What every command shares: its options, how it answers, and how it tells a user's error."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from pipelines import flow
from pipelines.errors import UserError
from pipelines.settings import Settings

_console = Console(stderr=True)

Home = Annotated[Path | None, typer.Option("--home", help="Folder of all data (default: $ERTE_HOME or ./var).")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer as JSON, for machines.")]
On = Annotated[
    datetime | None, typer.Option("--on", formats=["%Y-%m-%d"], help="The night, YYYY-MM-DD (default: today).")
]


def existing(path: Path) -> Path:
    """The path of a file that is there. Raises UserError."""
    if not path.is_file():
        raise UserError("path_missing", f"{path} is no file")
    return path


def settings_of(home: Path | None) -> Settings:
    """Settings of a home."""
    return flow.load_settings(home=home)


def day_of(on: datetime | None) -> date:
    """The night asked for, or today. Raises UserError for a day to come: it would close all nights before it (law 10)."""
    latest = datetime.now(UTC).date() + timedelta(days=1)  # wherever the machine stands, it is tomorrow somewhere
    if on and on.date() > latest:
        raise UserError("day_to_come", f"{on.date()} has not come yet, and a night closes all before it: give today or a day before")
    return on.date() if on else datetime.now().astimezone().date()


def progress_of(is_quiet: bool) -> flow.Progress:
    """Says on stderr what goes on, with the time; nothing when quiet."""
    return (lambda _: None) if is_quiet else (lambda text: _console.print(f"[dim]{datetime.now():%H:%M:%S}[/] {text}"))


@contextmanager
def telling(as_json: bool) -> Iterator[None]:
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


def answer(facts: dict[str, object] | dict[str, int] | dict[str, dict[str, int]], as_json: bool) -> None:
    """Facts as JSON or as lines and tables."""
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


def answer_rows(rows: list[dict[str, object]], as_json: bool) -> None:
    """Rows as JSON or as a table."""
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
