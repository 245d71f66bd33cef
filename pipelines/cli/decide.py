"""Commands by which a person decides, with a reason that the ledger keeps: merge, unmerge, hold."""

import getpass
from pathlib import Path
from typing import Annotated

import typer

from pipelines import flow
from pipelines.cli.say import AsJson, Home, On, answer, answer_rows, day_of, settings_of, telling

app = typer.Typer()
hold_app = typer.Typer(help="Batches that a check holds back: look, release or return.", no_args_is_help=True)
app.add_typer(hold_app, name="hold")

Reason = Annotated[
    str, typer.Option(help="Why, in 5 to 200 characters. It is kept in the ledger for good and a sender whose batch is "
                      "returned reads it: name no child and no parent.")
]  # fmt: skip
By = Annotated[str | None, typer.Option("--by", help="Who decides, as the ledger is to say (default: your user name).")]


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

    with telling(as_json):
        answer(merge_children(settings_of(home), child, other, reason, day_of(on)), as_json)


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

    with telling(as_json):
        answer(unmerge_child(settings_of(home), child, record, reason, day_of(on)), as_json)


@hold_app.command("list")
def hold_list(home: Home = None, as_json: AsJson = False) -> None:
    """Held submissions: which expectations hold each, and since when (UTC).

    Example: erte hold list
    """
    with telling(as_json):
        answer_rows(flow.list_held(settings_of(home)), as_json)


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
    with telling(as_json):
        answer(flow.decide_held(settings_of(home), submission, decision, reason, by or getpass.getuser()), as_json)
