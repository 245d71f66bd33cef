"""Commands for layouts: propose one, try one."""

from pathlib import Path
from typing import Annotated

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
                     "unplaced": [{"header": h, "looks_like": shape} for h, shape in guess.unplaced.items()],
                     "lacking": ", ".join(guess.lacking)}  # fmt: skip
            facts |= {"toml": guess.toml} if as_json else {"written": str(out)}
            answer(facts, as_json)
        else:
            print(guess.toml, end="")


@app.command("check")
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

    with telling(as_json):
        trial = try_file(settings_of(home), existing(file), existing(layout) if layout else None, day_of(on))
        facts = trial._asdict()
        if not as_json:
            for finding in trial.findings:
                finding["text"] = finding.pop("text_ru")
                del finding["text_kk"], finding["text_en"]
        answer(facts, as_json)
        if trial.refusal_code or trial.quarantined_count:
            raise typer.Exit(1)
