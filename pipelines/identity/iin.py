"""The individual identification number (IIN / ЖСН): what may be asked of it, and nothing more.

Source: order No. 521 of 29.06.2023 and DOMAIN section 6. The digits carry no birth date and no sex
(government resolution 853 of 2013), so only length, digits and the check digit are tested.
"""

import numpy as np
import polars as pl

_FIRST = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
_SECOND = (3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2)
_LENGTH = 12


def is_valid_iin(iin: pl.Expr) -> pl.Expr:
    """Boolean: 12 digits whose last is the check digit of the first eleven; null stays null."""
    return iin.map_batches(_check, return_dtype=pl.Boolean)


def _check(iin: pl.Series) -> pl.Series:
    """All numbers of twelve bytes at once, as one matrix of digits."""
    is_long = iin.str.len_bytes() == _LENGTH
    asked = iin.filter(is_long)
    valid = np.zeros(len(iin), dtype=bool)
    if len(asked):
        text = asked.to_arrow().buffers()[2]  # every number's bytes, one after another
        data = np.frombuffer(text, dtype=np.uint8, count=len(asked) * _LENGTH)
        digits = data.reshape(-1, _LENGTH) - np.uint8(ord("0"))
        sums = digits[:, :11].astype(np.float32) @ np.array([_FIRST, _SECOND], np.float32).T  # exact: far below 2**24
        first, second = (sums.astype(np.uint16) % 11).T
        check = np.where(first < 10, first, second)
        is_number = digits.max() <= 9 or (digits <= 9).all(axis=1)
        valid[is_long.fill_null(value=False).to_numpy()] = is_number & (check == digits[:, 11])
    return pl.Series(iin.name, valid).set(iin.is_null(), None)


def complete_iin(prefix: str) -> str | None:
    """The 12-digit number for an 11-digit prefix, or None for the 0.83 % of prefixes that have none."""
    for weights in (_FIRST, _SECOND):
        check = sum(int(d) * w for d, w in zip(prefix, weights, strict=True)) % 11
        if check < 10:
            return prefix + str(check)
    return None
