"""All commands of `erte`."""

import typer

from pipelines.cli import decide, layout, look, night

app = typer.Typer(
    help="Erte: early-childhood screening results in, PMPC feeds and a prevalence warehouse out.",
    no_args_is_help=True, pretty_exceptions_show_locals=False, add_completion=False,
)  # fmt: skip
for commands in (night.app, look.app, decide.app):
    app.add_typer(commands)
app.add_typer(layout.app, name="layout")
