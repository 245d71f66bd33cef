"""Commands that look: receipts, rows, one child, the published warehouse, the promises kept."""

import json
import math
from datetime import datetime
from typing import Annotated

import typer

from pipelines.cli.say import AsJson, Home, answer, answer_rows, settings_of, telling
from pipelines.errors import UserError

app = typer.Typer()


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

    with telling(as_json):
        settings = settings_of(home)
        answer(tell_submission(settings, submission) if submission else tell_status(settings), as_json)


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

    with telling(as_json):
        if state and state not in STATES:
            raise UserError("state_unknown", f"a state is one of {', '.join(STATES)}")
        answer_rows(tell_ledger(settings_of(home), sender, state, since.date() if since else None, most), as_json)


@app.command()
def records(
    submission: str,
    identified: Annotated[
        bool, typer.Option("--identified", help="Show identity; the look is written to the ledger.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Every row of a submission as we hold it, with its state, its findings and the file its held version came in; identity masked.

    Example: erte records 3f2a9c1b --json
    """
    from pipelines.night.rows import list_records

    with telling(as_json):
        rows = list_records(settings_of(home), submission, is_identified=identified)
        answer_rows(rows if as_json else _shorten_rows(rows, is_identified=identified), as_json)


_TOLD = ("row_no", "state", "held_in", "findings", "reason", "programme", "component", "value", "unit", "result_code", "examined_on", "birth_on",
         "sex_code", "birth_order", "birth_weight_g", "gestation_wk", "phc_id", "died_on", "purpose", "decision", "decided_on", "confirmation",
         "report_status", "reported_on", "annex", "measure", "child_count", "child_key")  # fmt: skip
_WHO = ("child_iin", "family_name", "given_name", "mother_iin", "mother_family_name", "history_no", "source_id", "row_text")


def _shorten_rows(rows: list[dict[str, object]], *, is_identified: bool) -> list[dict[str, object]]:
    """The columns that fit a screen and that some row fills; `--json` has them all."""
    names = [*_TOLD, *(_WHO if is_identified else ())]
    shown = [name for name in names if any(row.get(name) not in (None, "") for row in rows)]
    return [{name: row.get(name) for name in shown} for row in rows]


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

    with telling(as_json):
        print(
            json.dumps(
                explain_child(settings_of(home), child), ensure_ascii=False, indent=None if as_json else 2, default=str
            )
        )


@app.command()
def query(
    sql: str,
    release: Annotated[
        datetime | None, typer.Option("--release", formats=["%Y-%m-%d"], help="The release of a day that is still kept (default: the newest).")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Ask the published warehouse (read only).

    Example: erte query "select kato2, count(*) as children from pathway group by kato2 order by kato2"
    """
    import duckdb

    from pipelines.store.warehouse import open_published

    with telling(as_json):
        if not sql.strip(" \n\t;"):
            raise UserError("query_empty", 'there is no question: erte query "select ..."')
        try:
            frame = open_published(settings_of(home), release.date() if release else None).execute(sql).pl()
        except duckdb.Error as error:
            raise UserError("query_failed", str(error)) from None
        told = frame.to_dicts() if not as_json else [{k: _say_number(v) for k, v in row.items()} for row in frame.to_dicts()]
        answer_rows(told, as_json)


def _say_number(value: object) -> object:
    """JSON has no word for what is no finite number."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


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

    with telling(as_json):
        checks = verify_store(settings_of(home), is_deep=deep)
        answer_rows([c._asdict() for c in checks], as_json)
        if any(c.broken for c in checks):
            raise typer.Exit(1)
