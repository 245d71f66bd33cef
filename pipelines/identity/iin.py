"""The individual identification number (IIN / ЖСН): what may be asked of it, and nothing more.

Source: order No. 521 of 29.06.2023 and DOMAIN section 6. The digits carry no birth date and no sex
(government resolution 853 of 2013), so only length, digits and the check digit are tested.
"""

import polars as pl

_FIRST = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
_SECOND = (3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2)


def _weighted(digits: list[pl.Expr], weights: tuple[int, ...]) -> pl.Expr:
    return pl.sum_horizontal(d * w for d, w in zip(digits, weights, strict=True)) % 11


def is_valid_iin(iin: pl.Expr) -> pl.Expr:
    """Boolean: 12 digits whose last is the check digit of the first eleven; null stays null."""
    well_formed = iin.str.contains(r"^[0-9]{12}$")
    digits = [iin.str.slice(i, 1).cast(pl.Int32, strict=False) for i in range(12)]
    first = _weighted(digits[:11], _FIRST)
    check = pl.when(first < 10).then(first).otherwise(_weighted(digits[:11], _SECOND))
    return pl.when(iin.is_null()).then(None).otherwise(well_formed & (check == digits[11]).fill_null(value=False))


def complete_iin(prefix: str) -> str | None:
    """The 12-digit number for an 11-digit prefix, or None for the 0.83 % of prefixes that have none."""
    for weights in (_FIRST, _SECOND):
        check = sum(int(d) * w for d, w in zip(prefix, weights, strict=True)) % 11
        if check < 10:
            return prefix + str(check)
    return None
