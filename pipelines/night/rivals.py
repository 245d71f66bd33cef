"""Rows of one file that tell one record in one version differently, where they stand in different chunks of it."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from pipelines.contracts import RECORDS

_VERSION = ("issued_at", "action_code", "status_code")
_AT_ONCE = 8_000_000
"""Keys that are compared at a time (some 300 MB)."""


def find_rivals(draft: Path) -> pl.Series:
    """Numbers of such rows among those staged as accepted; rows of one chunk are told apart when it is judged."""
    files = [sorted(draft.glob(f"accepted-{kind}-*.parquet")) for kind in RECORDS]
    found = [_find_among(parts, repeated) for parts in files if len(parts) > 1 and len(repeated := _list_repeated(parts))]
    return pl.concat([pl.Series("row_no", [], pl.Int64), *found]).unique()


def _list_repeated(parts: Sequence[Path]) -> pl.Series:
    """Keys that stand in more than one row; looked for in shares, so that memory does not grow with the file."""
    rows = sum(pl.scan_parquet(part).select(pl.len()).collect().item() for part in parts)
    shares = 1 + rows // _AT_ONCE
    found = [pl.Series("record_key", [], pl.Int64)]
    for share in range(shares):
        keys = pl.concat(_read_keys(part).filter(pl.col("record_key") % shares == share) for part in parts)["record_key"]
        if keys.n_unique() < len(keys):
            found.append(keys.filter(keys.is_duplicated()).unique())
    return pl.concat(found)


def _read_keys(part: Path, *others: str) -> pl.DataFrame:
    """The keys of a part, with those of the other columns that it has."""
    there = pl.read_parquet_schema(part)
    return pl.read_parquet(part, columns=["record_key", *(name for name in others if name in there)])


def _find_among(parts: Sequence[Path], repeated: pl.Series) -> pl.Series:
    rows = (_read_keys(part, "row_no", "content_hash", *_VERSION) for part in parts)
    told = pl.concat((part.filter(pl.col("record_key").is_in(repeated.implode())) for part in rows), how="diagonal")
    version = [name for name in ("record_key", *_VERSION) if name in told.columns]
    return told.filter(pl.col("content_hash").n_unique().over(version) > 1)["row_no"]
