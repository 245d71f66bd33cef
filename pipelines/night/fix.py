"""Write the file to fix of a submission, in the format that its content was of: to-fix.csv, .xlsx, .hl7, .ndjson or .json."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from pipelines.intake.fhir.fix import write_resources
from pipelines.intake.hl7.fix import write_messages
from pipelines.intake.layout import Layout
from pipelines.intake.mends import Refused, name_row
from pipelines.intake.receive import WORKBOOKS
from pipelines.intake.refusal import FileRefusedError
from pipelines.intake.repair import list_absent, list_refused, write_repair, write_repair_workbook
from pipelines.night.archive import open_archived
from pipelines.night.front_door import set_limits
from pipelines.settings import Settings
from pipelines.store.registers import read_registers


def write_fix(
    folder: Path, settings: Settings, row: Mapping[str, object], quarantine: pl.DataFrame, told: pl.DataFrame, layout: Layout | None
) -> None:
    """folder/to-fix.*: the refused rows of a submission, named and with their reasons (`told`: feedback.tell_findings)."""
    submission_id = str(row["submission_id"])
    texts = dict(quarantine.select("row_no", "row_text").iter_rows())
    unread = list_unread(settings, row, quarantine)
    names = {no: name_row(submission_id, no, settings.key if no in unread else None) for no in texts}
    refused = list_refused(texts, told, names)
    with open_archived(settings, row) as path:
        try:
            name, content = _write_form(path, settings, row, refused, layout)
        except FileRefusedError:  # what was read once is more than is read today: a limit was lowered
            return
    if content:
        (folder / name).write_bytes(content)


def list_unread(settings: Settings, row: Mapping[str, object], quarantine: pl.DataFrame) -> set[int]:
    """Refused rows whose sender could not be read, or is nobody the register knows: whose they are only their names can say."""
    others = quarantine.filter(pl.col("sender_id").ne_missing(row["sender_id"]) | pl.col("sender_id").is_null())
    if others["sender_id"].null_count() < len(others) and (settings.reference / "facility.csv").exists():
        known = read_registers(settings)["facility"]["facility_id"]
        others = others.filter(pl.col("sender_id").is_null() | ~pl.col("sender_id").is_in(known.implode()))
    else:
        others = others.filter(pl.col("sender_id").is_null())
    return set(others["row_no"])


def _write_form(
    path: Path | None, settings: Settings, row: Mapping[str, object], refused: list[Refused], layout: Layout | None
) -> tuple[str, bytes]:
    if layout is not None:
        return _write_table(path, refused, layout)
    if path is None:
        return "", b""
    limits = set_limits(settings)
    return ("to-fix.hl7", write_messages(path, limits, refused)) if row["layout"] == "hl7-oru" else write_resources(path, limits, refused)


def _write_table(path: Path | None, refused: list[Refused], layout: Layout) -> tuple[str, bytes]:
    """A workbook for a workbook, old or new, whatever its name says; else delimited text."""
    absent = list_absent(refused, layout)
    if path is not None and _read_head(path).startswith(WORKBOOKS):
        return "to-fix.xlsx", write_repair_workbook(refused, absent)
    return "to-fix.csv", write_repair(refused, layout, absent)


def _read_head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(8)
