"""Files as senders write them: driven by the same layouts that read them, and dirty in named ways at known rates."""

from pathlib import Path
from typing import NamedTuple

import polars as pl

from pipelines.intake.layout import Layout
from pipelines.simulate.people import Generator

DIRT = {"mother_iin": "mother_iin_checksum", "birth_on": "birth_on_unreadable", "sex_code": "sex_code_unknown"}
"""Our column that is spoiled -> the finding it must lead to."""


class Written(NamedTuple):
    """A file: rows written, and `dirty`: file, row_no, code of the rows that must be refused."""

    rows: int
    dirty: pl.DataFrame


def write_submission(
    rows: pl.DataFrame, layout: Layout, path: Path, rng: Generator, dirt: float, encoding: str = "utf-8"
) -> Written:
    """Write rows (our columns; a wide layout's by component) in a layout's headers, values, dates and encoding."""
    wide = [(c.header, c.constants["component"], c.into) for c in layout.components if c.constants["component"] in rows.columns]
    text = rows.select(
        *(_write_column(rows, ours, layout).alias(header) for header, ours in layout.columns.items()),
        *(_write_column(rows, name, layout, into).alias(header) for header, name, into in wide),
    )
    text, dirty = _spoil(text, layout, rng, dirt)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = text.write_csv(separator=layout.separator, line_terminator="\r\n" if layout.separator == ";" else "\n")
    path.write_bytes(written.encode(encoding))
    return Written(len(rows), dirty.select(pl.lit(path.name).alias("file"), "row_no", "code"))


def write_messages(rows: pl.DataFrame, path: Path) -> int:
    """A batch of ORU^R01, one message a sample; `rows`: one a sample with tsh and phe, units as laboratories have them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = ["FHS|^~\\&|LIS\rBHS|^~\\&|LIS\r", *map(_write_message, rows.iter_rows(named=True)), f"BTS|{len(rows)}\rFTS|1\r"]
    path.write_text("".join(parts), "utf-8", newline="")
    return len(rows)


def _write_message(row: dict[str, object]) -> str:
    def day(name: str) -> str:
        return f"{row[name]:%Y%m%d}"

    status = "F"
    sample = f"{row['source_id']}"
    out = [
        f"MSH|^~\\&|LIS|{row['sender_id']}|ERTE|MOH|{day('sent_on')}100000||ORU^R01^ORU_R01|{sample}-{day('sent_on')}|P|2.5.1"
        "||||||UNICODE UTF-8",
        f"PID|1||{row['history_no']}^^^{row['maternity_id']}^MR||{row['family_name']}^BABY||{row['birth_at']:%Y%m%d%H%M%S}|"
        f"{'M' if row['sex_code'] == 'male' else 'F'}||||||||||||||||{'Y' if row['plurality'] != 1 else 'N'}|{row['birth_order']}",
        f"NK1|1|{row['mother_family_name']}^{row['mother_given_name']}|MTH^Mother^HL70063{'|' * 30}{row['mother_iin']}^^^KZ^NI",
        f"ORC|RE||{sample}^{row['sender_id']}{'|' * 18}^^^^^^^^^{row['maternity_id']}",
        f"OBR|1||{sample}^{row['sender_id']}|54089-8^Newborn screening panel^LN|||{day('examined_on')}090000{'|' * 15}"
        f"{day('sent_on')}090000|||{status}",
    ]
    reason = "LA12425-7^Subsequent screen^LN" if row["stage_code"] == "repeat" else "LA12421-6^Initial screen^LN"
    when = f"|||{status}|||{day('examined_on')}090000"
    out.append(f"OBX|1|CWE|57721-3^Reason for lab test^LN||{reason}||||{when[1:]}")
    if row["result_code"] == "unsatisfactory":
        out.append(f"OBX|2|CWE|57718-9^Sample quality^LN||LA20627-8^Specimen has uneven saturation^LN||||{when[1:]}")
    if row["tsh"] is not None:
        out.append(f"OBX|3|NM|29575-8^Thyrotropin^LN||{row['tsh']}|m[IU]/L^^UCUM||{when}")
    if row["phe"] is not None:
        out.append(f"OBX|4|NM|29573-3^Phenylalanine^LN||{float(str(row['phe'])) * 60.54:.1f}|umol/L^^UCUM||{when}")
    return "\r".join(out) + "\r"


def _write_column(rows: pl.DataFrame, name: str, layout: Layout, ours: str | None = None) -> pl.Expr:
    if name not in rows.columns:
        return pl.lit(None, pl.String)
    column, dtype = pl.col(name), rows[name].dtype
    if dtype == pl.Date:
        return column.dt.to_string(layout.dates[0])
    if dtype == pl.Datetime:
        return column.dt.to_string(layout.datetimes[0])
    text = column.cast(pl.String)
    if dtype == pl.Float64:
        return text.str.replace(".", layout.decimal, literal=True)
    sent = {known: said for said, known in reversed(list(layout.values.get(ours or name, {}).items()))}
    return text.replace(sent) if sent else text


def _spoil(text: pl.DataFrame, layout: Layout, rng: Generator, share: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Spoil a share of the rows, each in one way; the rows (row_no) and the codes they must be refused with."""
    headers = {ours: header for header, ours in layout.columns.items() if ours in DIRT}
    kinds = list(headers)
    chosen = rng.random(len(text)) < share
    which = pl.Series("which", rng.integers(0, max(len(kinds), 1), len(text)))
    marked = text.with_columns(pl.Series("chosen", chosen) if kinds else pl.lit(value=False).alias("chosen"), which)
    for place, ours in enumerate(kinds):
        header = headers[ours]
        filled = pl.col(header).is_not_null() & pl.col("chosen") & (pl.col("which") == place)
        last = pl.col(header).str.slice(-1).cast(pl.Int64, strict=False)
        wrong = {
            "mother_iin": pl.col(header).str.head(11) + ((last + 1) % 10).cast(pl.String),
            "birth_on": pl.lit("31.02.2026"),
            "sex_code": pl.lit("Х"),
        }[ours]
        marked = marked.with_columns(pl.when(filled).then(wrong).otherwise(pl.col(header)).alias(header))
        marked = marked.with_columns(pl.when(pl.col("which") == place).then(filled).otherwise("chosen").alias("chosen"))
    codes = pl.DataFrame({"which": range(len(kinds)), "code": [DIRT[k] for k in kinds]}, schema={"which": pl.Int64, "code": pl.String})
    dirty = marked.with_row_index("row_no", 2).filter("chosen").join(codes, on="which", how="left")
    return marked.select(text.columns), dirty.select(pl.col("row_no").cast(pl.Int64), "code")
