"""What a sender gets back: every finding with its line, in three languages, and never a child's data."""

import tomllib
from functools import cache
from pathlib import Path

import polars as pl

_MESSAGES = Path(__file__).parent / "messages.toml"
LANGUAGES = ("kk", "ru", "en")


@cache
def read_messages(path: Path = _MESSAGES) -> dict[str, dict[str, dict[str, str]]]:
    """The texts: `problem` (by the end of a code) and `code` (whole)."""
    return tomllib.loads(path.read_text("utf-8"))


def tell_finding(code: str, column: str | None, headers: dict[str, str]) -> dict[str, str]:
    """The texts of a finding in kk, ru and en; `headers` = our column -> the sender's name for it.

    Raises KeyError for a code without a text: a code nobody can act on is our own broken promise.
    """
    messages = read_messages()
    if code in messages["code"]:
        texts = messages["code"][code]
    else:
        problem = next((p for p in messages["problem"] if code.endswith("_" + p)), None)
        if problem is None:
            raise KeyError(code)
        texts = messages["problem"][problem]
    name = headers.get(column or "", column or "-")
    return {language: texts[language].replace("{column}", name) for language in LANGUAGES}


def tell_findings(finding: pl.DataFrame, source: pl.DataFrame, headers: dict[str, str]) -> pl.DataFrame:
    """The feedback table: row_no, source_id (the sender's own), column (as sent), code, severity, text_kk/ru/en, detail."""
    pairs = finding.select("code", "column").unique(maintain_order=True)
    texts = [tell_finding(code, column, headers) for code, column in pairs.iter_rows()]
    told = pairs.with_columns(pl.Series(f"text_{lang}", [t[lang] for t in texts], pl.String) for lang in LANGUAGES)
    joined = finding.join(told, on=["code", "column"], how="left", nulls_equal=True).join(
        source, on="row_no", how="left"
    )
    assert len(joined) == len(finding)  # noqa: S101
    return joined.select(
        "row_no", "source_id", pl.col("column").replace(headers).alias("column"), "code", "severity",
        *(f"text_{lang}" for lang in LANGUAGES), "detail",
    ).sort("row_no", "code", nulls_last=False)  # fmt: skip
