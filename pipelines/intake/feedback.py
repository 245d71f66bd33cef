"""What a sender gets back: every finding with its line, in three languages, and never a child's data."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import NamedTuple

import polars as pl

from pipelines.intake.layout import FOLDER, Layout, list_layouts
from pipelines.intake.page import LANGUAGES, read_texts, say, write_facts, write_page, write_table, write_tiles
from pipelines.intake.reading import SHEET_STEP
from pipelines.intake.taken import list_known, list_taken, list_units

_MESSAGES = Path(__file__).parent / "messages.toml"
_EXAMPLES = 5
_HEADERS_NAMED = 3
_COUNTS = ("received_count", "accepted_count", "untaken_count", "quarantined_count", "open_count", "mended_count", "refused_again_count",
           "waiting_now", "rival_count")  # fmt: skip
_ALWAYS_SHOWN = {"received_count", "accepted_count", "quarantined_count"}
_BAD = {"quarantined_count", "open_count", "refused_again_count"}
_DETAIL = "{detail}"
_IS_BROKEN = pl.col("code").is_in(["row_width_differs", "quote_unclosed"])


class FindingGroup(NamedTuple):
    """Findings of one code in one column: `column` as the sender writes it, examples as (line, source id, counts that explain it)."""

    code: str
    column: str | None
    severity: str
    row_count: int
    examples: tuple[tuple[int, str | None, str | None], ...]
    text: dict[str, str]


@cache
def read_messages(path: Path = _MESSAGES) -> dict[str, dict[str, dict[str, str]]]:
    """The texts: `problem` (by the end of a code), `untold` (the same, where nothing is known to name instead) and `code` (whole)."""
    return tomllib.loads(path.read_text("utf-8"))


class Names(dict[str, str]):
    """Our column -> the sender's header; `taken`: column or header -> what may be written there, as it is shown."""

    taken: Mapping[str, str] = {}


def name_headers(layout: Layout | str | None) -> dict[str, str]:
    """Names: our column -> the sender's header; of a wide layout the headers that a column gathers, the first few of them.

    `layout`: also its name. Of messages and resources, which have no headers, the places (`NK1-33`, `Patient.birthDate`).
    """
    name = layout if layout is None or isinstance(layout, str) else layout.name
    if places := _read_places(name):
        return Names(places)
    if isinstance(layout, str):
        layout = next((known for known in list_layouts() if known.name == name), None)
    if layout is None:
        return Names()
    headers = Names({ours: header for header, ours in layout.columns.items()})
    headers.taken = list_taken(layout)
    for into in dict.fromkeys(c.into for c in layout.components):
        there = [c.header for c in layout.components if c.into == into]
        headers[into] = " / ".join(there[:_HEADERS_NAMED]) + (" …" if len(there) > _HEADERS_NAMED else "")
    return headers


@cache
def _read_places(name: str | None) -> Mapping[str, str]:
    """Our column -> where it stands in a message or resource: [places] of a reader's code tables."""
    if not (name or "").startswith(("hl7-", "fhir-")):
        return {}
    places = tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8"))["places"]
    return {column: " / ".join(there) for column, there in places.items()}


def tell_finding(code: str, column: str | None, headers: dict[str, str], detail: str | None = None) -> dict[str, str]:
    """The texts of a finding in kk, ru and en; `headers` = our column -> the sender's name for it, `detail`: what explains it.

    Raises KeyError for a code without a text: a code nobody can act on is our own broken promise.
    """
    messages = read_messages()
    taken = getattr(headers, "taken", {}).get(column) or list_known().get(column or "", "")
    if code in messages["code"]:
        texts = messages["code"][code]
    else:
        problem = next((p for p in messages["problem"] if code.endswith("_" + p)), None)
        if problem is None:
            raise KeyError(code)
        texts = (messages["problem"] if taken else messages["problem"] | messages["untold"])[problem]
    name = headers.get(column or "", column or "-")
    filled = {"{column}": name, "{taken}": taken, "{units}": list_units(), _DETAIL: detail or "-"}
    label = read_texts()["feedback"]["reason"]
    return {language: _fill(texts[language], filled | {"{reason}": label[language]}) for language in LANGUAGES}


def _fill(text: str, filled: Mapping[str, str]) -> str:
    for place, value in filled.items():
        text = text.replace(place, value)
    return text


def tell_findings(finding: pl.DataFrame, source: pl.DataFrame, headers: dict[str, str]) -> pl.DataFrame:
    """The feedback table: row_no, source_id (the sender's own), column (as sent), code, severity, text_kk/ru/en, detail."""
    pairs = finding.select("code", "column").unique(maintain_order=True)
    texts = [tell_finding(code, column, headers, _DETAIL) for code, column in pairs.iter_rows()]
    told = pairs.with_columns(pl.Series(f"text_{lang}", [t[lang] for t in texts], pl.String) for lang in LANGUAGES)
    joined = finding.join(told, on=["code", "column"], how="left", nulls_equal=True).join(
        source, on="row_no", how="left"
    )
    assert len(joined) == len(finding)  # noqa: S101
    detail = pl.col("detail") if "detail" in joined.columns else pl.lit(None, pl.String)
    return joined.select(
        "row_no", pl.when(~_IS_BROKEN).then("source_id").alias("source_id"),  # a broken line is whole in its first column
        pl.col("column").replace(headers).alias("column"), "code", "severity",
        *(pl.col(f"text_{lang}").str.replace_all(_DETAIL, detail.fill_null("-"), literal=True) for lang in LANGUAGES), detail.alias("detail"),
    ).sort("row_no", "code", nulls_last=False)  # fmt: skip


def group_findings(finding: pl.DataFrame, source: pl.DataFrame, headers: dict[str, str]) -> list[FindingGroup]:
    """All findings by code and column, with the first lines as examples.

    Errors first, and of them what is wrong with the whole file; then the most frequent.
    """
    detail = pl.col("detail") if "detail" in finding.columns else pl.lit(None, pl.String)
    named = finding.join(source, on="row_no", how="left").with_columns(
        pl.when(~_IS_BROKEN).then("source_id").alias("source_id"), detail.alias("detail")
    )
    assert len(named) == len(finding)  # noqa: S101
    order = pl.col("severity").replace_strict({"error": 0, "warning": 1, "info": 2}, return_dtype=pl.Int8)
    groups = (
        named.sort("row_no", nulls_last=False)
        .group_by("code", "column", "severity", maintain_order=True)
        .agg(
            pl.col("row_no").drop_nulls().n_unique().alias("row_count"),
            pl.col("detail").drop_nulls().unique(maintain_order=True).head(_EXAMPLES).str.join(" / ").alias("explained"),
            pl.struct("row_no", "source_id", "detail").filter(pl.col("row_no").is_not_null()).head(_EXAMPLES).alias("example"),
        )
        .sort(order, (pl.col("row_count") > 0) & (order == 0), -pl.col("row_count").cast(pl.Int64), "code", "column")
    )
    return [
        FindingGroup(
            g["code"], headers.get(g["column"] or "", g["column"]), g["severity"], g["row_count"],
            tuple((e["row_no"], mask_source(e["source_id"]), e["detail"]) for e in g["example"]),
            tell_finding(g["code"], g["column"], headers, g["explained"]),
        )
        for g in groups.iter_rows(named=True)
    ]  # fmt: skip


def mask_source(source_id: str | None) -> str | None:
    """The sender's record number, but for one that holds an IIN (12 digits): of that the last four."""
    return source_id and re.sub(r"\d{8,}(?=\d{4})", "…", source_id)


def name_next(receipt: Mapping[str, object], fix: str | None) -> tuple[str, dict[str, object]]:
    """Which sentence tells the sender what to do next ([next] of pages.toml), and what it is filled with."""
    state = str(receipt["state"])
    if state == "refused" and receipt["refusal_code"]:
        return "refused", {}
    if state in ("refused", "partly_accepted"):
        if receipt["open_count"]:
            how = "mend" if fix and fix.endswith((".csv", ".xlsx")) else "mend_message"
            return (how, {"fix": fix, "open": receipt["open_count"]}) if fix else ("refused", {})
        if receipt["refused_again_count"] or not receipt["rival_count"]:
            return ("again" if receipt["refused_again_count"] else "mended"), {}
    if receipt["rival_count"] and state not in ("held", "returned"):
        return "look", {"rival": receipt["rival_count"]}
    return state, {"waiting": receipt["waiting_now"]}


def render_feedback(
    receipt: Mapping[str, object], groups: Sequence[FindingGroup], files: Sequence[str],
    closings: Sequence[Mapping[str, object]] = (), reason: str | None = None,
) -> str:  # fmt: skip
    """The page of one submission: what came, its state and counts, what to do, why, and the files beside it.

    `receipt`: night.receipt; `files`: names of the files in the same folder; `closings`: later files that brought refused
    rows again; `reason`: a steward's words about a returned file.
    """
    fix = next((name for name in files if name.startswith("to-fix.")), None)

    def write_section(language: str) -> str:
        def t(name: str, **filled: object) -> str:
            return say("feedback", name, language, **filled)

        state, (sentence, filled) = str(receipt["state"]), name_next(receipt, fix)
        kind = str(receipt["record_kind"] or "")
        facts = {
            t("file"): escape(str(receipt["file_name"])),
            t("day"): escape(str(receipt["received_on"])),
            t("sender"): escape(str(receipt["sender_id"] or "")),
            t("kind"): say("kind", kind, language) if kind else "",
            t("layout"): escape(str(receipt["layout"] or "")),
            t("number"): f"<code>{escape(str(receipt['submission_id']))}</code>",
            t("reason"): escape(reason or ""),
        }
        tiles = [
            (t(name), str(receipt[name]), name in _BAD and bool(receipt[name]))
            for name in _COUNTS if receipt[name] or name in _ALWAYS_SHOWN
        ]  # fmt: skip
        shown = [
            f'<h1>{t("title")}</h1>\n<p class="file">{facts[t("file")]}</p>',
            f'<p><span class="badge {escape(state)}">{say("state", state, language)}</span></p>',
            f'<div class="next"><h2>{t("next")}</h2><p>{say("next", sentence, language, **filled)}</p>'
            + (f'<p><a href="{fix}">{fix}</a></p>' if fix and sentence in ("mend", "mend_message") else "") + "</div>",
            f"<h2>{t('rows')}</h2>" + write_tiles(tiles) if receipt["received_count"] else "",
            *_list_groups(groups, language, is_refused=bool(receipt["refusal_code"])),
            f"<h2>{t('received')}</h2>", write_facts(facts),
            _list_closings(closings, language), _list_files(files, language), f'<p class="soft">{t("note")}</p>',
        ]  # fmt: skip
        return "\n".join(part for part in shown if part)

    return write_page(f"{receipt['file_name']} · Erte", write_section)


def _list_groups(groups: Sequence[FindingGroup], language: str, *, is_refused: bool) -> list[str]:
    def t(name: str) -> str:
        return say("feedback", name, language)

    shown = []
    absent = [g for g in groups if g.code == "header_absent"]
    errors = [g for g in groups if g.severity == "error"]
    untaken = [g for g in groups if g.severity != "error" and _read_about(g.code).get("shown") == "untaken"]
    notices = [g for g in groups if g.severity != "error" and g.code != "header_absent" and g not in untaken]
    for title, part in ((t("refusal" if is_refused else "errors"), errors), (t("untaken"), untaken), (t("notices"), notices)):
        if part:
            shown += [f"<h2>{title}</h2>", _write_groups(part, language)]
        if part is errors and absent:
            items = "".join(f"<li>{escape(g.column or '')}</li>" for g in absent)
            shown.append(f"<h2>{t('headers')}</h2><ul>{items}</ul>")
    return shown


def say_line(row_no: int, language: str) -> str:
    """Where a row stands, as a person finds it: its line, and its sheet where it is not the first that was read."""
    sheet, no = divmod(row_no, SHEET_STEP)
    return say("feedback", "sheet_line", language, sheet=sheet + 1, no=no) if sheet else say("feedback", "line", language, no=no)


def _write_groups(groups: Sequence[FindingGroup], language: str) -> str:
    heads = [say("feedback", name, language) for name in ("what", "column", "count", "lines")]
    return write_table(heads, (
        (
            f"{escape(g.text[language])} <code>{escape(g.code)}</code>",
            _say_place(g, language),
            _say_count(g, language),
            ", ".join(
                f'<span class="nb">{say_line(no, language)}{f" ({escape(source)})" if source else ""}</span>'
                + (f" <small>{escape(detail)}</small>" if detail else "")
                for no, source, detail in g.examples
            ) or "–",
        )
        for g in groups
    ), numbers=(2,))  # fmt: skip


def _say_place(group: FindingGroup, language: str) -> str:
    """The column that a finding is in, or the sheet, the lines, the form or the separator that it is about."""
    about = _read_about(group.code).get("about")
    return say("about", about, language, which=group.column) if about and group.column else escape(group.column or "–")


def _say_count(group: FindingGroup, language: str) -> str:
    if group.examples:
        return f"{group.row_count:,}".replace(",", "\u00a0")
    return "–" if "about" in _read_about(group.code) else say("feedback", "whole", language)


def _read_about(code: str) -> dict[str, str]:
    return read_messages()["code"].get(code, {})


def _list_closings(closings: Sequence[Mapping[str, object]], language: str) -> str:
    if not closings:
        return ""
    heads = [say("feedback", name, language) for name in ("later", "day", "state", "rows")]
    rows = (
        (
            f'<a href="../{escape(str(c["resent_in"]))}/feedback.html">{escape(str(c["file_name"]))}</a>',
            escape(str(c["resent_on"])), say("feedback", str(c["outcome"]), language), str(c["rows"]),
        )
        for c in closings
    )  # fmt: skip
    return f"<h2>{say('feedback', 'closed', language)}</h2>" + write_table(heads, rows, numbers=(3,))


def _list_files(files: Sequence[str], language: str) -> str:
    named = {"to-fix": "fix", "findings": "list", "feedback": "machine"}
    told = {name: named[name.split(".")[0]] for name in files if name.split(".")[0] in named} | {"to-fix.xlsx": "fix_workbook"}
    items = "".join(
        f'<li><a href="{escape(name)}">{escape(name)}</a>: {say("feedback", told[name], language)}</li>' for name in files if name in told
    )
    return f"<h2>{say('feedback', 'files', language)}</h2><ul>{items}</ul>"
