"""Files as senders write them: driven by the same layouts that read them, and dirty in named ways at known rates."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pipelines.intake.layout import Layout
from pipelines.simulate.dirt import spoil_rows, widen_lines
from pipelines.simulate.people import Generator


class Written(NamedTuple):
    """A file: rows written, and `dirty`: the rows that were spoiled (dirt.TRUTH)."""

    rows: int
    dirty: pl.DataFrame


def write_submission(
    rows: pl.DataFrame, layout: Layout, path: Path, rng: Generator, rates: Mapping[str, float], encoding: str = "utf-8"
) -> Written:
    """Write rows (our columns; a wide layout's by component) in a layout's headers, values, dates and encoding."""
    wide = [(c.header, c.constants["component"], c.into) for c in layout.components if c.constants["component"] in rows.columns]
    text = rows.select(
        *(_write_column(rows, ours, layout).alias(header) for header, ours in layout.columns.items()),
        *(_write_column(rows, name, layout, into).alias(header) for header, name, into in wide),
    )
    spoiled = spoil_rows(text, layout, rng, rates)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = spoiled.text.write_csv(separator=layout.separator, line_terminator="\r\n" if layout.separator == ";" else "\n")
    path.write_bytes(widen_lines(written.encode(encoding), spoiled.wide, layout.separator))
    file = pl.lit(f"{path.parent.name}/{path.name}").alias("file")
    return Written(len(spoiled.text), spoiled.dirty.select(file, "row_no", "kind", "code"))


def write_messages(rows: pl.DataFrame, path: Path) -> int:
    """A batch of ORU^R01, one message a sample; `rows`: one a sample with tsh and phe, units as laboratories have them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = ["FHS|^~\\&|LIS\rBHS|^~\\&|LIS\r", *map(_write_message, rows.iter_rows(named=True)), f"BTS|{len(rows)}\rFTS|1\r"]
    path.write_text("".join(parts), "utf-8", newline="")
    return len(rows)


def _write_message(row: Mapping[str, Any]) -> str:
    def day(name: str) -> str:
        return f"{row[name]:%Y%m%d}"

    status, sampled_at = "F", f"{_draw_moment(row):%Y%m%d%H%M%S}"
    sample = f"{row['source_id']}"
    out = [
        f"MSH|^~\\&|LIS|{row['sender_id']}|ERTE|MOH|{day('sent_on')}100000||ORU^R01^ORU_R01|{sample}-{day('sent_on')}|P|2.5.1"
        "||||||UNICODE UTF-8",
        f"PID|1||{row['history_no']}^^^{row['maternity_id']}^MR||{row['family_name']}^BABY||{row['birth_at']:%Y%m%d%H%M%S}|"
        f"{'M' if row['sex_code'] == 'male' else 'F'}||||||||||||||||{'Y' if row['plurality'] != 1 else 'N'}|{row['birth_order']}",
        f"NK1|1|{row['mother_family_name']}^{row['mother_given_name']}|MTH^Mother^HL70063{'|' * 30}{row['mother_iin']}^^^KZ^NI",
        f"ORC|RE||{sample}^{row['sender_id']}{'|' * 18}^^^^^^^^^{row['maternity_id']}",
        f"OBR|1||{sample}^{row['sender_id']}|54089-8^Newborn screening panel^LN|||{sampled_at}{'|' * 15}"
        f"{day('sent_on')}090000|||{status}",
    ]
    reason = "LA12425-7^Subsequent screen^LN" if row["stage_code"] == "repeat" else "LA12421-6^Initial screen^LN"
    when = f"|||{status}|||{sampled_at}"
    out.append(f"OBX|1|CWE|57721-3^Reason for lab test^LN||{reason}||||{when[1:]}")
    if row["result_code"] == "unsatisfactory":
        out.append(f"OBX|2|CWE|57718-9^Sample quality^LN||LA20627-8^Specimen has uneven saturation^LN||||{when[1:]}")
    if row["tsh"] is not None:
        out.append(f"OBX|3|NM|29575-8^Thyrotropin^LN||{row['tsh']}|m[IU]/L^^UCUM||{when}")
    if row["phe"] is not None:
        out.append(f"OBX|4|NM|29573-3^Phenylalanine^LN||{float(str(row['phe'])) * 60.54:.1f}|umol/L^^UCUM||{when}")
    return "\r".join(out) + "\r"


def _draw_moment(row: Mapping[str, Any]) -> datetime:
    """When a sample was taken on its day: in the first days between the 25th and the 72nd hour, as far as the day allows."""
    day = datetime.combine(row["examined_on"], time())
    days = (row["examined_on"] - row["birth_on"]).days
    if not 1 <= days <= 3:
        return day + timedelta(hours=9)
    moment = row["birth_at"] + timedelta(days=days, minutes=150 - 60 * days)
    return min(max(moment, day), day + timedelta(hours=23, minutes=59))


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
