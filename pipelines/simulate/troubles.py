"""Whole files that go wrong, come late, come twice or overlap, and what must become of each."""

from datetime import date
from pathlib import Path

import polars as pl

_FILE = {"file": pl.String, "kind": pl.String, "code": pl.String, "was": pl.String, "is_new": pl.Boolean}
_CYRILLIC_HEADER = "sender_id,source_id,action_code,birth_on,birth_order,sex_code,maternity_id,history_no,family_name"


def write_troubles(landing: Path, nights: list[date], dirty: pl.DataFrame) -> pl.DataFrame:
    """Write them into the last night; file, kind, code (the whole file is refused so; null = it must change nothing).

    `was`: the name a late file would have had in time; `dirty`: rows that are spoiled, which an overlapping export leaves out.
    """
    first, last = (landing / f"{night}" for night in (nights[0], nights[-1]))
    last.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, str, str | None, str | None, bool]] = []

    def write(kind: str, code: str | None, content: bytes, suffix: str = "csv") -> None:
        (last / f"trouble-{kind}.{suffix}").write_bytes(content)
        rows.append((f"{last.name}/trouble-{kind}.{suffix}", kind, code, None, True))

    write("empty", "file_empty", b"")
    write("binary", "file_binary", b"\x7fELF\x00\x01" * 40)
    lines = "\n".join([_CYRILLIC_HEADER, f"M1,X1,report,{nights[0]},1,male,M1,X1,Сулейменов"]) + "\n"
    write("encoding", "file_encoding_unknown", lines.encode("cp1251"))
    births, messages = sorted(first.glob("birth-*.csv")), sorted(first.glob("laboratory-*.hl7"))
    if births:
        sent = births[0].read_bytes().split(b"\n")
        write("header", "layout_header_changed", b"\n".join([sent[0][:60], *sent[1:4]]))
        (last / f"again-{births[-1].name}").write_bytes(births[-1].read_bytes())
        rows.append((f"{last.name}/again-{births[-1].name}", "again", None, None, True))
        spoiled = set(dirty.filter(pl.col("file") == f"{first.name}/{births[0].name}")["row_no"])
        kept = [line for number, line in enumerate(sent, 1) if number == 1 or (number not in spoiled and number % 2 == 0 and line)]
        write("overlap", None, b"\n".join(kept) + b"\n")
    if messages:
        text = messages[0].read_bytes()
        write("cut-off", None, text[: text.rindex(b"MSH|") + 40], "hl7")
    late = sorted(first.glob("clinic-*.csv"))
    if late and first != last:
        name = f"late-{late[0].name}"
        was = f"{first.name}/{late[0].name}"
        late[0].replace(last / name)
        rows.append((f"{last.name}/{name}", "late", None, was, False))
    return pl.DataFrame(rows, schema=_FILE, orient="row")


def rename_late(dirty: pl.DataFrame, troubles: pl.DataFrame) -> pl.DataFrame:
    """The spoiled rows under the names their files have now."""
    names = dict(troubles.filter(pl.col("was").is_not_null()).select("was", "file").iter_rows())
    return dirty.with_columns(pl.col("file").replace(names))
