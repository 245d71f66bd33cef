"""Write each sender's feedback from the ledger: CSV, JSON and the ready-to-fix file, one folder a submission."""

import json
from datetime import date
from pathlib import Path

import polars as pl

from pipelines.intake.feedback import tell_findings
from pipelines.intake.layout import Layout, list_layouts
from pipelines.intake.repair import list_absent, list_notes, write_repair, write_repair_workbook
from pipelines.night.acks import write_acks
from pipelines.settings import Settings
from pipelines.store.lake import Connection, put_frame, read_rows

_SHOWN = 10_000
"""Findings listed one by one in a feedback file; beyond that the counts by code say it."""
_WORKBOOKS = (".xlsx", ".xls", ".xlsm")


def write_feedback(connection: Connection, settings: Settings, since: date) -> int:
    """Feedback for every submission received since a day that has none yet; how many were written."""
    folder = settings.reports / "feedback"
    submission = read_rows(connection, "from lake.ledger.submission where received_on >= ?", [since])
    done = {p.name for p in folder.iterdir()} if folder.exists() else set()
    lacking = submission.filter(~pl.col("submission_id").is_in(list(done)) | (pl.col("status") == "held"))
    if not len(lacking):
        return 0
    put_frame(connection, "lacking", lacking.select("submission_id"))
    finding = read_rows(connection, "from lake.ledger.finding semi join lacking using (submission_id)")
    refused = read_rows(connection, "from lake.identified.quarantine semi join lacking using (submission_id)")
    findings = {key[0]: part for key, part in finding.partition_by("submission_id", as_dict=True).items()}
    refusals = {key[0]: part for key, part in refused.partition_by("submission_id", as_dict=True).items()}
    returned = read_rows(connection, """
        select subject as submission_id, detail ->> '$.reason' as reason from lake.ledger.event
        semi join lacking on subject = submission_id where kind = 'return'""")  # fmt: skip
    reasons = dict(returned.iter_rows())
    layouts = {layout.name: layout for layout in list_layouts()}
    for row in lacking.iter_rows(named=True):
        submission_id = row["submission_id"]
        write_acks(folder / f".{submission_id}", settings, row, findings.get(submission_id, finding.clear()))
        if submission_id in reasons:
            row["returned_because"] = reasons[submission_id]
        _write_folder(
            folder, row, findings.get(submission_id, finding.clear()), refusals.get(submission_id, refused.clear()),
            layouts.get(row["layout"]),
        )  # fmt: skip
    return len(lacking)


def _write_folder(
    folder: Path, row: dict[str, object], finding: pl.DataFrame, refused: pl.DataFrame, layout: Layout | None
) -> None:
    submission_id = str(row["submission_id"])
    draft, done = folder / f".{submission_id}", folder / submission_id
    draft.mkdir(parents=True, exist_ok=True, mode=0o700)
    headers = {ours: header for header, ours in layout.columns.items()} if layout else {}
    shown = finding.sort("row_no", "code", nulls_last=False).head(_SHOWN)
    told = tell_findings(
        shown.select("row_no", "column", "code", "severity", "detail"),
        refused.select("row_no", "source_id").unique("row_no"),
        headers,
    )
    told.write_csv(draft / "findings.csv", include_bom=True)
    counts = dict(finding.group_by("code").len().sort("code").iter_rows())
    receipt = {k: str(v) if isinstance(v, date) else v for k, v in row.items()}
    (draft / "feedback.json").write_text(
        json.dumps({**receipt, "finding_counts": counts, "findings": told.to_dicts()}, ensure_ascii=False, indent=1)
    )
    if len(refused):
        reasons = dict(
            told.filter(pl.col("severity") == "error")
            .group_by("row_no").agg(pl.concat_str(pl.col("code"), pl.lit(": "), pl.col("text_ru")).str.join(" | "))
            .iter_rows()
        )  # fmt: skip
        ordered = refused.sort("row_no")
        why = [reasons.get(no, "") for no in ordered["row_no"]]
        if layout:
            name, content = _write_to_fix(str(row["file_name"]), ordered, why, told, layout)
            (draft / name).write_bytes(content)
        else:
            (draft / "to-fix.txt").write_text(
                "\n\n".join(f"# {w}\n{t}" for w, t in zip(why, ordered["row_text"], strict=True))
            )
    if done.exists():
        for stale in done.iterdir():
            stale.unlink()
        done.rmdir()
    draft.rename(done)


def _write_to_fix(
    file_name: str, refused: pl.DataFrame, reasons: list[str], told: pl.DataFrame, layout: Layout
) -> tuple[str, bytes]:
    """The name and content of the file to fix, in the format the sender's file was named for."""
    texts = refused["row_text"].to_list()
    notes = list_notes(told, refused["row_no"].to_list())
    absent = list_absent(notes, texts, layout)
    if Path(file_name).suffix.lower() in _WORKBOOKS:
        return "to-fix.xlsx", write_repair_workbook(texts, reasons, notes, absent)
    return "to-fix.csv", write_repair(texts, reasons, layout, absent)
