"""A national year as large canonical CSV files: what the benchmark turns into a warehouse."""

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from pipelines.simulate import results
from pipelines.simulate.people import bear_children, write_registers

_ROWS_A_FILE = 250_000


def write_national_year(out: Path, births: int, seed: int, year: int) -> None:
    """out/reference and out/landing/*.csv: births of a year and about 12 results each, consents and confirmations."""
    rng = np.random.Generator(np.random.PCG64(seed))
    last = date(year, 12, 31)
    child = bear_children(births, date(year, 1, 1), last, rng, seed)
    result = pl.concat([results.examine_newborns(child, rng), results.examine_development(child, [30, 91], rng)])
    result = result.filter(pl.col("sent_on") <= date(year + 1, 1, 31))
    write_registers(out / "reference", year)
    who = child.select("child_no", "mother_iin", "birth_on", "birth_order", "sex_code", "maternity_id", "history_no", "phc_id")
    rows = result.join(who, on="child_no")
    source = pl.concat_str("child_no", pl.col("examined_on").cast(pl.String), separator="-")
    said = {"action_code": pl.lit("report"), "status_code": pl.lit("final"), "sender_id": pl.col("phc_id"), "source_id": source}
    _write(out, "screening", rows.with_columns(**said).drop("child_no", "phc_id", "sent_on"))
    said = {"action_code": pl.lit("report"), "sender_id": pl.col("maternity_id"), "source_id": pl.col("child_no").cast(pl.String)}
    _write(out, "birth", child.with_columns(**said).drop("child_no", "kato2", "kato4", "own_iin", "delivery_no"))
    flagged = results.list_expected(result).join(who, on="child_no")
    decided = flagged.with_columns(
        action_code=pl.lit("report"), sender_id="phc_id", source_id=pl.concat_str("child_no", "programme", separator="-")
    )
    consent = decided.with_columns(
        purpose=pl.lit("pmpc_referral"), decision=pl.lit("given"), decided_on="known_on", authority_code=pl.lit("mother")
    )
    _write(out, "consent", consent.drop("child_no", "phc_id", "programme", "known_on"))
    confirmation = decided.with_columns(confirmation=pl.lit("confirmed"), confirmed_on="known_on", worker_id=pl.lit("W1"))
    _write(out, "confirmation", confirmation.drop("child_no", "phc_id", "known_on"))


def _write(out: Path, kind: str, rows: pl.DataFrame) -> None:
    (out / "landing").mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(rows.iter_slices(_ROWS_A_FILE)):
        part.write_csv(out / "landing" / f"{kind}-{number:03}.csv", datetime_format="%Y-%m-%dT%H:%M:%S")
