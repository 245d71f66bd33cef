"""Pages that senders and stewards read: one file, three languages, no script, nothing from outside, all text escaped."""

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path

LANGUAGES = ("kk", "ru", "en")
"""In the order in which a page shows them."""
_TEXTS = Path(__file__).parent / "pages.toml"
_STYLE = Path(__file__).parent / "page.css"

Cell = str | int | float | None


@cache
def read_texts(path: Path = _TEXTS) -> dict[str, dict[str, dict[str, str]]]:
    """The sentences of pages: part -> name -> language (pages.toml)."""
    return tomllib.loads(path.read_text("utf-8"))


def say(part: str, name: str, language: str, **filled: object) -> str:
    """A sentence in one language, escaped, with its places filled; KeyError where there is no such sentence."""
    text = read_texts()[part][name][language]
    for place, value in filled.items():
        text = text.replace("{" + place + "}", str(value))
    return escape(text)


def write_page(title: str, write_section: Callable[[str], str], *, is_broad: bool = False) -> str:
    """A whole page; `title` is plain text, `write_section` gives the HTML of a language.

    The first language is shown until another is chosen; a browser too old to choose shows all three in order.
    """
    names = read_texts()["language"]["name"]
    main = '<main class="broad">' if is_broad else "<main>"
    here = ' aria-current="true"'
    sections = []
    for language in LANGUAGES:
        links = "".join(
            f'<a href="#{other}" lang="{other}" hreflang="{other}"{here if other == language else ""}>'
            f"{names[other]}</a>"
            for other in LANGUAGES
        )
        sections.append(f'<section id="{language}" lang="{language}"><nav>{links}</nav>\n{write_section(language)}\n</section>')
    return (
        f'<!DOCTYPE html>\n<html lang="{LANGUAGES[0]}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE.read_text('utf-8')}</style>\n</head>\n<body>\n{main}\n"
        + "\n".join(sections)
        + "\n</main>\n</body>\n</html>\n"
    )


def write_table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = (), caption: str = "") -> str:
    """A table of cells that are HTML already; `numbers`: columns set to the right. On a phone its rows become blocks."""
    right = set(numbers)

    def style(place: int) -> str:
        return ' class="no"' if place in right else ""

    top = "".join(f'<th scope="col"{style(i)}>{head}</th>' for i, head in enumerate(heads))
    body = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row"{style(i)}>{cell}</th>' if i == 0 else f'<td{style(i)} data-label="{heads[i]}">{cell}</td>'
            for i, cell in enumerate(row)
        )
        + "</tr>\n"
        for row in rows
    )
    told = f"<caption>{caption}</caption>" if caption else ""
    return f'<div class="scroll"><table class="stack">{told}<thead><tr>{top}</tr></thead>\n<tbody>\n{body}</tbody></table></div>'


def write_facts(facts: Mapping[str, str]) -> str:
    """Names and values (HTML already) as a description list; empty values are left out."""
    return "<dl>" + "".join(f"<dt>{k}</dt><dd>{v}</dd>" for k, v in facts.items() if v) + "</dl>"


def write_tiles(tiles: Iterable[tuple[str, str, bool]]) -> str:
    """Counts at a glance: (name, value, is bad)."""
    items = (f'<li class="{"bad" if bad else "good"}"><b>{value}</b>{name}</li>' for name, value, bad in tiles)
    return f'<ul class="tiles">{"".join(items)}</ul>'
