"""Keys of records: what makes a record itself, what makes a version of it, and which child it speaks of.

63 bits of XXH3, which is stable across machines and releases. Among 40 million records the chance that any two share
a key is below one in ten thousand; among the records of one night it does not show.
"""

import polars as pl
import polars_hash  # noqa: F401  # registers pl.Expr.nchash

from pipelines.contracts import RECORDS, WHO

_KEYED_BY: dict[str, tuple[str, ...]] = {
    "birth": (),
    "screening": ("component",),
    "consent": ("purpose",),
    "confirmation": ("programme",),
    "pmpc_report": ("referral_id", "report_status", "reported_on"),
    "aggregate": ("annex", "facility_id", "period_month", "row_group", "measure"),
}
"""What tells apart the records of one source id; with kind, sender and source id it is the natural key."""

_NOT_CONTENT = frozenset({"submission_id", "row_no", "received_on", "issued_at", *WHO})
KEY_COLUMNS = ("record_key", "who_no", "version_at", "version_rank", "content_hash", "is_cancelled")


def add_keys(accepted: pl.DataFrame, kind: str) -> pl.DataFrame:
    """Judged records of a kind with KEY_COLUMNS: Int64 keys, the order of versions, and whether it is withdrawn."""
    names = RECORDS[kind].column_names()
    cancelled, corrected, plain = pl.col("action_code") == "cancel", pl.col("action_code") == "correct", pl.lit(1)
    if kind == "screening":
        cancelled |= pl.col("status_code") == "cancelled"
        corrected |= pl.col("status_code") == "corrected"
        plain = (pl.col("status_code") == "final").cast(pl.Int32)
    return accepted.with_columns(
        _hash_text(pl.lit(kind), "sender_id", "source_id", *_KEYED_BY[kind]).alias("record_key"),
        (_hash_text(*WHO) if "child_iin" in names else pl.lit(0, pl.Int64)).alias("who_no"),
        pl.coalesce("issued_at", pl.col("received_on").cast(pl.Datetime("us"))).alias("version_at"),
        pl.when(cancelled).then(3).when(corrected).then(2).otherwise(plain).cast(pl.Int64).alias("version_rank"),
        cancelled.alias("is_cancelled"),
    ).with_columns(_hash_text("who_no", *(c for c in names if c not in _NOT_CONTENT)).alias("content_hash"))


def _hash_text(*parts: str | pl.Expr) -> pl.Expr:
    columns = [pl.col(part) if isinstance(part, str) else part for part in parts]
    text = pl.concat_str([c.cast(pl.String).fill_null("") for c in columns], separator="\x1f")
    return (text.nchash.xxh3_64() // 2).cast(pl.Int64)  # type: ignore[attr-defined]  # the plugin adds `nchash`
