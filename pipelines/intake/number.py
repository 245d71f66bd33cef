"""How a number may be written. Blanks stand between groups of three digits (`1 250,5`) and beside the decimal sign (`0 .07`); `12 5` is no 125."""

import re

import polars as pl

_BOUND = r"(?:[<>]=?|[=≤≥])?"
_GROUPED = rf"^\s*{_BOUND}\s*[+-]?[0-9]{{1,3}}(?:\s[0-9]{{3}})+(?:\s?[.,]\s?[0-9]*)?\s*$"
_AROUND = rf"\s*([.,]|^{_BOUND}[+-]?|$)\s*"
"""What blanks may stand beside: the decimal sign, a bound or a sign before the number, and its ends."""
COUNT = r"^[+-]?[0-9]+(?:[.,]0{1,2})?$"
"""A whole number, also such as `39,0`; `1,000` may be one or a thousand, and is neither."""


def tighten(text: pl.Expr) -> pl.Expr:
    """Numbers without the blanks that a number may have, no-break and thin ones too; any other blank stays, so that it is unreadable."""
    return pl.when(text.str.contains(_GROUPED)).then(text.str.replace_all(r"\s", "")).otherwise(text.str.replace_all(_AROUND, "$1"))


def tighten_text(text: str) -> str:
    """The same of one text."""
    if text.split() == [text]:  # as nearly every one
        return text
    return re.sub(r"\s", "", text) if re.match(_GROUPED, text) else re.sub(_AROUND, r"\1", text)
