"""Rows of one file that tell one record in one version differently, where they stand in different chunks of it."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from pipelines.contracts import RECORDS

_VERSION = ("record_key", "issued_at", "action_code", "status_code")


def find_rivals(draft: Path) -> pl.Series:
    """Numbers of such rows among those staged as accepted; rows of one chunk are told apart when it is judged."""
    files = [sorted(draft.glob(f"accepted-{kind}-*.parquet")) for kind in RECORDS]
    return pl.concat([pl.Series("row_no", [], pl.Int64), *(_find_among(parts) for parts in files if len(parts) > 1)]).unique()


def _find_among(parts: Sequence[Path]) -> pl.Series:
    keys = pl.concat(pl.read_parquet(part, columns=["record_key"]) for part in parts)["record_key"]
    if keys.n_unique() == len(keys):
        return pl.Series("row_no", [], pl.Int64)
    repeated = keys.filter(keys.is_duplicated()).unique().implode()
    told = pl.concat((pl.read_parquet(part).filter(pl.col("record_key").is_in(repeated)) for part in parts), how="diagonal")
    version = [name for name in _VERSION if name in told.columns]
    return told.filter(pl.col("content_hash").n_unique().over(version) > 1)["row_no"]
