"""Data Docs of the last runs, readable on a closed network: Great Expectations' own pages without anything from outside.

A run writes its own pages and a line of numbers, and the index is made of the lines: no earlier result is read again.
`<docs>/<day>/<run>/<kind>.html`, `<docs>/<day>/<run>/run.json`, `<docs>/index.html`.
"""

import html
import json
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, SupportsFloat

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.render.view import DefaultJinjaPageView

DAYS_KEPT = 14
"""Pages older than this leave the Data Docs."""
_STYLE = Path(__file__).parent / "docs.css"
_OUTSIDE = re.compile(
    r"<script\b.*?</script>|<link\b[^>]*>|<img\b[^>]*>|<footer\b.*?</footer>|<!--.*?-->|</?a\b[^>]*>",
    re.DOTALL | re.IGNORECASE,
)
"""What a page of Great Expectations would load, or lead to: no such thing is there on a closed network."""
_SECTIONS = re.compile(r'<div id="section-1".*(?=</body>)', re.DOTALL)
"""The results, without the bars and buttons around them, which need the scripts."""


class Page(NamedTuple):
    """What one suite found: `broken` = (submission or null, code, severity); `unmeasured` = codes that had nothing to judge."""

    kind: str
    result: "ExpectationSuiteValidationResult"
    submissions: int
    broken: Sequence[tuple[str | None, str, str]]
    unmeasured: Sequence[str] = ()


def write_docs(docs: Path, run_id: str, on: date, pages: Sequence[Page]) -> None:
    """The pages of a run and the index of all that are kept; a page is complete or absent."""
    _forget_old(docs, on - timedelta(days=DAYS_KEPT))
    folder = docs / on.isoformat() / run_id
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    told = {}
    for page in pages:
        _replace(folder / f"{page.kind}.html", _render_page(page, run_id, on))
        told[page.kind] = {
            "submissions": page.submissions,
            "expectations": len(page.result.results),
            **{severity: _count_codes(page, severity) for severity in ("critical", "warning", "info")},
        }
    _replace(folder / "run.json", json.dumps(told))
    _replace(docs / "index.html", _render_index(docs))


def _render_page(page: Page, run_id: str, on: date) -> str:
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.render.renderer import ValidationResultsPageRenderer

    for found in page.result.results:  # numpy's numbers are beyond the renderer
        observed = found.result.get("observed_value")
        if isinstance(observed, SupportsFloat):
            found.result["observed_value"] = float(observed)
    run = RunIdentifier(run_name=run_id, run_time=datetime.combine(on, time(), UTC))
    page.result.meta["run_id"] = run  # a batch that is judged by itself is told neither
    drawn = _open_view().render(ValidationResultsPageRenderer(run_info_at_end=True).render(page.result))
    sections = _SECTIONS.search(_OUTSIDE.sub("", drawn))
    assert sections is not None  # noqa: S101  # every result has its overview
    heads = [f"<p class=way><a href='../../index.html'>All runs</a> / {on} / {html.escape(run_id)} / {page.kind}</p>"]
    heads += [f"<h1>Checks of {page.kind} batches</h1>", _list_notes(page)]
    if page.unmeasured:
        told = ", ".join(map(html.escape, page.unmeasured))
        heads.append(f"<p>Not judged, for every file is too small or its sender too new to be measured: {told}.</p>")
    return _frame(f"{page.kind} {run_id}", "".join(heads) + f"<div class=drawn>{sections[0]}</div>")


@cache
def _open_view() -> "DefaultJinjaPageView":
    """One for all pages: each would compile the templates anew, which takes longer than drawing."""
    from great_expectations.render.view import DefaultJinjaPageView

    return DefaultJinjaPageView()


def _list_notes(page: Page) -> str:
    """What is broken, in the words of the suite: the steward's first question is why, and what holds a file."""
    counts = Counter((code, severity) for _, code, severity in page.broken)
    rows = []
    for found in page.result.results:
        config = found.expectation_config
        assert config is not None  # noqa: S101
        code, severity = str(config.meta["code"]), str(config.severity.value)
        if count := counts.get((code, severity)):
            notes = config.notes if isinstance(config.notes, str) else " ".join(config.notes or [])
            rows.append([f"<span class={severity}>{severity}</span>", code, str(count), html.escape(notes)])
    if not rows:
        return f"<p class=good>Nothing is broken in {page.submissions} submissions.</p>"
    return _table(["severity", "code", "submissions", "what it means"], rows)


def _count_codes(page: Page, severity: str) -> dict[str, int]:
    return dict(Counter(code for _, code, level in page.broken if level == severity))


def _render_index(docs: Path) -> str:
    rows = []
    for path in sorted(docs.glob("*/*/run.json"), key=lambda p: p.parts[-3:], reverse=True):
        day, run_id = path.parts[-3:-1]
        for kind, told in sorted(json.loads(path.read_text()).items()):
            link = f"<a href='{html.escape(f'{day}/{run_id}/{kind}.html', quote=True)}'>{kind}</a>"
            shown = [
                " ".join(f"<span class={level}>{code}</span> {n}" for code, n in sorted(told[level].items())) or "-"
                for level in ("critical", "warning", "info")
            ]
            rows.append([day, html.escape(run_id), link, str(told["submissions"]), *shown])
    head = (
        f"<h1>Checks of batches</h1><p>The last {DAYS_KEPT} days, newest first. <span class=critical>critical</span> holds "
        "the batch until a steward releases it (<code>erte hold list</code>); the others hold nothing.</p>"
    )
    return _frame(
        "Checks of batches", head + _table(["day", "run", "kind", "submissions", "critical", "warning", "info"], rows)
    )


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table class=ours><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _frame(title: str, body: str) -> str:
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{html.escape(title)}</title><style>{_STYLE.read_text('utf-8')}</style></head><body>{body}</body></html>"
    )


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(text, "utf-8")
    draft.replace(path)


def _forget_old(docs: Path, before: date) -> None:
    for day in docs.glob("????-??-??/"):
        if day.name < before.isoformat():
            shutil.rmtree(day)
