"""The greatest and least of a column for every child, by the child's number: one pass over memory, where hashing keys costs fifty.

`child_no` numbers the children of one call from 0 on, so that a column of answers needs no key: the n-th is of child n.
"""

import numpy as np
import polars as pl

_LEAST = np.iinfo(np.int64).min


def take_greatest(rows: pl.DataFrame, count: int, **columns: pl.Expr) -> pl.DataFrame:
    """child_no of each of `count` children, and for each expression (whole numbers or days) its greatest; null = none."""
    asked = rows.select("child_no", **{name: column.cast(pl.Int64) for name, column in columns.items()})
    number = asked["child_no"].to_numpy()
    answers = {name: _scatter(number, asked[name], count) for name in columns}
    return pl.DataFrame({"child_no": pl.int_range(count, dtype=pl.UInt32, eager=True), **answers})


def count_rows(rows: pl.DataFrame, count: int) -> pl.Series:
    """How many rows each of `count` children has, Int64."""
    return pl.Series(np.bincount(rows["child_no"].to_numpy(), minlength=count), dtype=pl.Int64)


def _scatter(number: np.ndarray, value: pl.Series, count: int) -> pl.Series:
    greatest = np.full(count, _LEAST, np.int64)
    if value.null_count():
        number = number[value.is_not_null().to_numpy()]
    np.maximum.at(greatest, number, value.drop_nulls().to_numpy())
    answer = pl.Series(greatest)
    return answer.set(answer == _LEAST, None)
