"""Columns of ours that no single column of the sender holds as it is: joined values, codes found in a free text."""

import tomllib
from collections.abc import Collection
from functools import cache
from pathlib import Path

import polars as pl

from pipelines.intake.layout import Layout

_CODES = Path(__file__).parent / "icd10.toml"
_CYRILLIC, _LATIN = list("авсенкмортх"), list("abcehkmoptx")
_FOURTH = r"^[a-z][0-9]{2}[.,]?([0-9])"


def list_derived(headers: Collection[str], layout: Layout) -> list[pl.Expr]:
    """Our columns that the layout joins or reads codes for, from those of its headers that are there.

    A joined value lacks as a whole where one of its parts does: half a key would be another record's.
    """
    joined = [
        pl.concat_str([pl.col(part).str.strip_chars() for part in parts], separator="-").alias(ours)
        for ours, parts in layout.joined.items()
        if set(parts) <= set(headers)
    ]
    codes = [suggest_code(pl.col(h)).alias(ours) for h, ours in layout.diagnoses.items() if h in headers]
    weeks = [_count_gestation(pl.col(h), term).alias("gestation_wk") for h, term in layout.premature.items() if h in headers]
    return [*joined, *codes, *weeks]


def _count_gestation(early: pl.Expr, term: int) -> pl.Expr:
    """Weeks of gestation as text; what is no number of weeks stays as sent, to be refused by the contract."""
    said = early.str.strip_chars()
    weeks = pl.when(said.str.contains(r"^[0-9]{1,2}$")).then(term - said.cast(pl.Int64, strict=False))
    return pl.coalesce(weeks.cast(pl.String), said)


def suggest_code(text: pl.Expr) -> pl.Expr:
    """The last ICD-10 code that stands in a free-text diagnosis (`- p942`, `ДЦП G80.1`); null where there is none.

    Only a code that is written out is read, never guessed from words. Case, a missing dot, a comma for it, Cyrillic twins
    of Latin letters, dagger and asterisk, and digits beyond WHO's fourth (ICD-10-CM) are folded; a category that
    `icd10.toml` does not list suggests nothing.
    """
    said = text.str.to_lowercase().str.replace_many(_CYRILLIC, _LATIN).str.extract_all(_list_codes()).list.last()
    fourth = pl.concat_str(pl.lit("."), said.str.extract(_FOURTH, 1)).fill_null("")
    return pl.concat_str(said.str.slice(0, 3).str.to_uppercase(), fourth)


@cache
def _list_codes() -> str:
    """A pattern of all codes that may be suggested, in lower case."""
    return rf"\b(?:{'|'.join(list_categories()).lower()})(?:[.,]?[0-9][0-9a-z]{{0,3}})?\b"


@cache
def list_categories() -> tuple[str, ...]:
    """The three-character ICD-10 categories that may be suggested (icd10.toml)."""
    raw = tomllib.loads(_CODES.read_text("utf-8"))
    spans = [span.split("-") if "-" in span else (span, span) for span in raw["categories"]]
    return tuple(f"{first[0]}{number:02}" for first, last in spans for number in range(int(first[1:]), int(last[1:]) + 1))
