"""`erte ...`: everything the pipeline does, without Airflow. Exit code 0 only when what was asked is true."""

import json
import sys

import typer
from typer.exceptions import TyperException

from pipelines.night import workers

if sys.argv[1:2] == ["run"]:  # beside what is imported below: a night of many rows shares its work
    workers.begin()

from pipelines.cli import decide, layout, look, night

app = typer.Typer(
    help="Erte: early-childhood screening results in, PMPC feeds and a prevalence warehouse out.",
    no_args_is_help=True, pretty_exceptions_show_locals=False, add_completion=False,
)  # fmt: skip
for commands in (night.app, look.app, decide.app):
    app.add_typer(commands)
app.add_typer(layout.app, name="layout")


def main() -> None:
    """What `erte` runs: a word that no command knows is told like every error of a user, as JSON where that was asked for."""
    if "--json" not in sys.argv:
        app()
    try:
        sys.exit(app(standalone_mode=False))
    except TyperException as error:
        print(json.dumps({"error": "usage", "text": error.format_message()}, ensure_ascii=False))
        sys.exit(error.exit_code)
