"""How a row that comes again names the refused row it mends, so that mending any of its cells closes what was found.

A file to fix gives each row a name made of its submission and its number: `erte-3f2a9c1b0d4e-7`. It stands in a column of its own
(`erte_row`), in an NTE segment, or in `meta.tag`; a reader gives it back in the column MENDS, and what came of the row is noted
with it. Names are kept from round to round: a row that was refused twice closes both. Whose row a name may close is asked where
it is closed (night.receipt); a name that is nobody's says nothing.

The sender who mends a row is its sender. Where that could not be read the row is nobody else's, and who was given its file to fix is
known by the name alone: it ends in a proof, which none but this home can make (`erte-3f2a9c1b0d4e-7-0123456789abcdef`).
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import NamedTuple

import polars as pl

from pipelines.intake.layout import MENDS

_PROOF_DIGITS = 16
NAME = r"erte-([0-9a-f]{12})-([0-9]{1,15})(?:-([0-9a-f]{16}))?\b"
"""A name: the first digits of the submission id, the number of the row, and the proof where it has one."""
_NAME = re.compile(NAME)
SCHEMA: dict[str, pl.DataType] = {
    "short_id": pl.String(), "row_no": pl.Int64(), "proof": pl.String(), "sender_id": pl.String(), "outcome": pl.String(),
}  # fmt: skip
"""A refused row that is named, with which proof, by whom, and what came of the row that names it."""


class Refused(NamedTuple):
    """A refused row for the file to fix: number, text as kept, name, the reasons (a line a language), and notes by header."""

    row_no: int
    text: str
    name: str
    reasons: str
    notes: Mapping[str, str] = {}


def name_row(submission_id: str, row_no: int, key: bytes | None = None) -> str:
    """The name of a row of a submission; with the secret of the home it ends in its proof."""
    name = f"erte-{submission_id[:12]}-{row_no}"
    return name if key is None else f"{name}-{prove_row(submission_id, row_no, key)}"


def prove_row(submission_id: str, row_no: int, key: bytes) -> str:
    """What shows that a row's name was given by this home."""
    return hmac.new(key, f"erte_row|{submission_id}|{row_no}".encode(), hashlib.sha256).hexdigest()[:_PROOF_DIGITS]


def find_names(text: str | None) -> list[str]:
    """The names that stand in a text, each once."""
    return list(dict.fromkeys(found[0] for found in _NAME.finditer(text or "")))


def join_names(name: str, said: str | None) -> str:
    """The name of a row, and behind it those it came with."""
    return " ".join(dict.fromkeys([name, *find_names(said)]))


def list_mends(rows: pl.DataFrame, record: pl.DataFrame, refused: pl.Series) -> pl.DataFrame:
    """What came (SCHEMA) of the rows of a file that name refused ones; `record`: theirs, `refused`: the numbers of those refused again."""
    if MENDS not in rows.columns:
        return pl.DataFrame(schema=SCHEMA)
    named = rows.select("row_no", pl.col(MENDS).str.extract_all(NAME).alias("name")).explode("name").drop_nulls().unique()
    sender = record.group_by("row_no").agg(pl.col("sender_id").drop_nulls().first())
    return named.join(sender, on="row_no", how="left").select(
        pl.col("name").str.extract(NAME, 1).alias("short_id"),
        pl.col("name").str.extract(NAME, 2).cast(pl.Int64).alias("row_no"),
        pl.col("name").str.extract(NAME, 3).alias("proof"),
        "sender_id",
        pl.when(pl.col("row_no").is_in(refused.implode())).then(pl.lit("refused_again")).otherwise(pl.lit("accepted")).alias("outcome"),
    )
