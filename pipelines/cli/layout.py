"""Commands for layouts: propose one, try one."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.cli.say import AsJson, Home, On, answer, day_of, existing, settings_of, telling
from pipelines.errors import UserError

app = typer.Typer(help="Layouts: propose one for an unknown file, try a file without storing it.", no_args_is_help=True)


@app.command("guess")
def layout_guess(
    file: Path,
    out: Annotated[Path | None, typer.Option(help="Write the layout to this .toml; its stem becomes the name.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Propose a layout for an unknown table (text or workbook); what cannot be placed stands in it as comments. Prints TOML.

    Example: erte layout guess export.csv --out our-system.toml
    """
    from pipelines.night.layout_trial import propose_layout

    with telling(as_json):
        guess = propose_layout(settings_of(home), existing(file), out.stem if out else None)
        if out:
            if out.suffix != ".toml" or out.stem != guess.name:
                raise UserError("name_unfit", "name the file with small Latin letters, digits and hyphens: our-system.toml")
            if out.exists():
                raise UserError("file_exists", f"{out} exists already")
            out.write_text(guess.toml, "utf-8")
        if as_json or out:
            facts: dict[str, object] = {"name": guess.name, "record": guess.record, "placed": [p._asdict() for p in guess.placed],
                     "components": [{"header": c.header, **c.constants} for c in guess.components],
                     "ignored": [{"header": h, "because": why} for h, why in guess.ignored.items()],
                     "unplaced": [{"header": h, "looks_like": shape} for h, shape in guess.unplaced.items()],
                     "lacking": ", ".join(guess.lacking)}  # fmt: skip
            facts |= {"toml": guess.toml} if as_json else {"written": str(out)}
            answer(facts, as_json)
        else:
            print(guess.toml, end="")


@app.command("check")
def layout_check(
    files: list[Path],
    layout: Annotated[Path | None, typer.Option(help="A layout TOML of your own (default: the known ones).")] = None,
    on: On = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Try files: counts and findings as if they were sent together, nothing is stored; exit code 1 when anything is refused.

    Example: erte layout check export.csv --layout our-system.toml
    """
    from pipelines.night.layout_trial import try_files

    with telling(as_json):
        trials = try_files(settings_of(home), [existing(file) for file in files], existing(layout) if layout else None, day_of(on))
        told = [trial._asdict() for trial in trials]
        if len(files) > 1:
            told = [{"file": file.name, **facts} for file, facts in zip(files, told, strict=True)]
        if as_json:
            print(json.dumps(told if len(files) > 1 else told[0], ensure_ascii=False, default=str))
        else:
            for facts in told:
                answer(_say_briefly(facts), as_json)
        if any(trial.refusal_code or trial.quarantined_count for trial in trials):
            raise typer.Exit(1)


def _say_briefly(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts of a trial with each finding in one language."""
    brief = [{**{k: v for k, v in finding.items() if not k.startswith("text_")}, "text": finding["text_ru"]} for finding in facts["findings"]]
    return facts | {"findings": brief}
