"""An id for the rows of a form that gives them none: the same facts give the same id, so that a resent form is known again."""

import polars as pl
import polars_hash  # noqa: F401  # registers pl.Expr.nchash

from pipelines.intake.layout import Layout


def name_records(record: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    """Typed records with a source_id made of the layout's `identity` columns where the sender gave none.

    A hash, because what names a record of a list is the child, and an id of a record is shown in feedback.
    """
    if not layout.identity:
        return record
    parts = pl.concat_str([pl.col(c).cast(pl.String).fill_null("") for c in layout.identity], separator="\x1f")
    hashed = parts.nchash.xxh3_64()  # type: ignore[attr-defined]  # the plugin adds `nchash`
    return record.with_columns(pl.coalesce("source_id", "E" + hashed.cast(pl.String)).alias("source_id"))
