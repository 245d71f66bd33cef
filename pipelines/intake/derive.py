"""Columns of ours that no single column of the sender holds as it is: joined values, codes found in a free text."""

import tomllib
from collections.abc import Collection
from functools import cache
from pathlib import Path

import polars as pl

from pipelines.intake.layout import Layout

_CODES = Path(__file__).parent / "icd10.toml"
_CYRILLIC, _LATIN = list("авсенкмортх"), list("abcehkmoptx")
_CODE = r"(?:^|[\s\u00a0]-[\s\u00a0]*)([a-zавсенкмортх])([0-9]{2})[.,]?([0-9])?[0-9a-z]{0,3}[*+†]?$"


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
    return [*joined, *codes]


def suggest_code(text: pl.Expr) -> pl.Expr:
    """The ICD-10 code that a free-text diagnosis ends with (`... - p942` -> `P94.2`); null where there is none.

    Only a code that is written out is read, never guessed from words. Case, a missing dot, a comma for it, Cyrillic twins
    of Latin letters, dagger and asterisk, and digits beyond WHO's fourth (ICD-10-CM) are folded; a category that
    `icd10.toml` does not list suggests nothing.
    """
    folded = text.str.strip_chars().str.to_lowercase()
    letter = folded.str.extract(_CODE, 1).replace(_CYRILLIC, _LATIN).str.to_uppercase()
    category = pl.concat_str(letter, folded.str.extract(_CODE, 2))
    fourth = pl.concat_str(pl.lit("."), folded.str.extract(_CODE, 3)).fill_null("")
    return pl.when(category.is_in(list_categories())).then(pl.concat_str(category, fourth))


@cache
def list_categories() -> tuple[str, ...]:
    """The three-character ICD-10 categories that may be suggested (icd10.toml)."""
    raw = tomllib.loads(_CODES.read_text("utf-8"))
    spans = [span.split("-") if "-" in span else (span, span) for span in raw["categories"]]
    return tuple(f"{first[0]}{number:02}" for first, last in spans for number in range(int(first[1:]), int(last[1:]) + 1))
