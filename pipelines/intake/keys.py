"""Keys of records: what makes a record itself, what makes a version of it, and which child it speaks of.

63 bits: XXH3 of a text, the bits of any other value, mixed in a fixed order; stable across machines and releases.
Among 40 million records the chance that any two share a key is below one in ten thousand; among those of one night it does not show.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import polars_hash  # noqa: F401  # registers pl.Expr.nchash

from pipelines.contracts import RECORDS, WHO

Numbers = npt.NDArray[Any]
_ODD = np.uint64(0x9E3779B97F4A7C15)
KEYED_BY: dict[str, tuple[str, ...]] = {
    "birth": (),
    "screening": ("component",),
    "consent": ("purpose",),
    "confirmation": ("programme",),
    "pmpc_report": ("referral_id", "report_status", "reported_on"),
    "aggregate": ("annex", "facility_id", "period_month", "row_group", "measure"),
}
"""What tells apart the records of one source id; with kind, sender and source id it is the natural key."""

_NOT_CONTENT = frozenset({"submission_id", "row_no", "received_on", "issued_at", *WHO})
_TO_ITS_END, _BEFORE_ALL = timedelta(days=1, microseconds=-1), timedelta(days=365_250)
"""A thousand years: no version is issued so early."""
KEY_COLUMNS = ("record_key", "who_no", "version_at", "version_rank", "content_hash", "is_cancelled")


def add_keys(accepted: pl.DataFrame, kind: str) -> pl.DataFrame:
    """Judged records of a kind with KEY_COLUMNS: Int64 keys, the order of versions, and whether it is withdrawn."""
    names = RECORDS[kind].column_names()
    cancelled, corrected, plain = pl.col("action_code") == "cancel", pl.col("action_code") == "correct", pl.lit(1)
    if kind == "screening":
        cancelled |= pl.col("status_code") == "cancelled"
        corrected |= pl.col("status_code") == "corrected"
        plain = (pl.col("status_code") == "final").cast(pl.Int32)
    is_act = cancelled | corrected | (pl.col("decision") != "given" if kind == "consent" else False)
    bits = _read_bits(accepted, names)
    who_no = _mix(bits, WHO, "who") if "child_iin" in names else np.zeros(len(accepted), np.uint64)
    content = _mix(bits, [c for c in names if c not in _NOT_CONTENT], "content", who_no)
    return accepted.with_columns(
        _key_by(bits, kind),
        _shorten("who_no", who_no),
        _time_version(is_act).alias("version_at"),
        pl.when(cancelled).then(3).when(corrected).then(2).otherwise(plain).cast(pl.Int64).alias("version_rank"),
        _shorten("content_hash", content),
        cancelled.alias("is_cancelled"),
    )


def _time_version(is_act: pl.Expr) -> pl.Expr:
    """The moment of issue by which versions of a record are ordered, or what stands for it where the sender gave none.

    A plain version is then before every one that has a moment, since it is not known to be after a withdrawal or correction that
    has one; such versions are in the order of their days among themselves. What is an act by itself, a correction, a withdrawal,
    a consent refused, is no plain version: without a moment it is of the end of the day on which it came. The place of a version
    depends on nothing but itself and its day, so that files and rows may come in any order (law 2).
    """
    day = pl.col("received_on").cast(pl.Datetime("us"))
    return pl.coalesce("issued_at", pl.when(is_act).then(day + _TO_ITS_END).otherwise(day - _BEFORE_ALL))


def key_records(named: pl.DataFrame, kind: str) -> pl.Series:
    """record_key of each row of a frame that names records of a kind: sender_id, source_id and what KEYED_BY adds."""
    return _key_by(_read_bits(named, ["sender_id", "source_id", *KEYED_BY[kind]]), kind)


def _key_by(bits: Mapping[str, tuple[Numbers, Numbers | None]], kind: str) -> pl.Series:
    return _shorten("record_key", _mix(bits, ("sender_id", "source_id", *KEYED_BY[kind]), kind))


def _read_bits(frame: pl.DataFrame, names: list[str]) -> dict[str, tuple[Numbers, Numbers | None]]:
    """Column -> (64 bits of each value, where it is filled; None = everywhere). Columns without any value are left out."""
    filled = [name for name in names if frame[name].null_count() < len(frame)]
    texts = [name for name in filled if frame[name].dtype == pl.String]
    hashed = frame.select(pl.col(name).nchash.xxh3_64() for name in texts)  # type: ignore[attr-defined]  # the plugin adds it
    bits = {}
    for name in filled:
        column = frame[name]
        number = hashed[name] if name in texts else _as_integer(column)
        is_there = None
        if column.null_count():
            is_there, number = column.is_not_null().to_numpy(), number.fill_null(0)
        bits[name] = (number.cast(pl.UInt64, wrap_numerical=True).to_numpy(), is_there)
    return bits


def _as_integer(column: pl.Series) -> pl.Series:
    if column.dtype == pl.Float64:
        return pl.Series((column.fill_null(0.0) + 0.0).to_numpy().view(np.uint64))  # all its bits; minus nought is nought
    return column.to_physical().cast(pl.Int64)


def _mix(
    bits: Mapping[str, tuple[Numbers, Numbers | None]], names: Iterable[str], purpose: str, start: Numbers | None = None
) -> Numbers:
    """64 bits of the named columns of each row, in this order; what is not filled says nothing.

    Each step is a bijection of both the hash and the value, so that rows that differ in one column never share a hash.
    """
    count = len(next(iter(bits.values()))[0]) if bits else 0
    hashed = np.full(count, _name_bits(purpose), np.uint64)
    for name in ("", *names):
        number, is_there = (start, None) if name == "" else bits.get(name, (None, None))
        if number is None:
            continue
        step = hashed ^ (number + _name_bits(name))
        step *= _ODD
        step ^= step >> np.uint64(32)
        step *= _ODD
        step ^= step >> np.uint64(29)
        hashed = step if is_there is None else np.where(is_there, step, hashed)
    return hashed


@cache
def _name_bits(name: str) -> np.uint64:
    return np.uint64(pl.select(pl.lit(name).nchash.xxh3_64()).item())  # type: ignore[attr-defined]


def _shorten(name: str, hashed: Numbers) -> pl.Series:
    return pl.Series(name, (hashed >> np.uint64(1)).astype(np.int64))
