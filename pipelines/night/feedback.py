"""Write each sender's feedback from the ledger: page, CSV, JSON and the ready-to-fix file, one folder a submission."""

import json
from collections.abc import Mapping, Sequence
from datetime import date

import polars as pl

from pipelines.intake.feedback import group_findings, name_headers, render_feedback, tell_findings
from pipelines.intake.layout import Layout, list_layouts
from pipelines.intake.repair import neutralise
from pipelines.night.acks import write_acks
from pipelines.night.fix import write_fix
from pipelines.night.receipt import FINDING, list_closings, read_note, read_receipts, show_receipt
from pipelines.settings import Settings
from pipelines.store.lake import Connection, put_frame, read_rows

_SHOWN = 10_000
"""Findings listed one by one in a feedback file; beyond that the counts by code say it."""
_NAMES = pl.DataFrame(schema={"row_no": pl.Int64, "source_id": pl.String})
_CHANGED = """
    select submission_id from lake.ledger.submission where received_on >= $1 or status = 'held'
    union select submission_id from lake.ledger.resent where resent_on >= $1
    union select submission_id from lake.ledger.settlement where settled_on >= $1
    union select submission_id from lake.identified.waiting where known_to >= $1 or known_from >= $1
    union select submission_id from lake.ledger.finding where code = 'record_told_differently_elsewhere'
    union select subject from lake.ledger.event where kind in ('return', 'release', 'notice') and happened_at >= $1"""


def write_feedback(connection: Connection, settings: Settings, since: date) -> int:
    """Feedback for every submission whose receipt is not (any more) what its sender was told; how many were written.

    Asked are those that came, were sent again, wait anew or no more, or were decided upon since a day; and, as a later file may
    contradict an old one, those with a record that is told differently elsewhere.
    """
    folder = settings.reports / "feedback"
    asked = read_rows(connection, _CHANGED, [since])["submission_id"].to_list()
    lacking = [
        row for row in read_receipts(connection, asked).iter_rows(named=True)
        if read_note(folder / row["submission_id"] / "receipt.json") != show_receipt(row)
    ]  # fmt: skip
    if not lacking:
        return 0
    put_frame(connection, "lacking", pl.DataFrame({"submission_id": [row["submission_id"] for row in lacking]}))
    finding = read_rows(connection, f"from {FINDING.format(asked='lacking')}")
    refused = read_rows(connection, "from lake.identified.quarantine semi join lacking using (submission_id)")
    names = _read_names(connection)
    findings = {key[0]: part for key, part in finding.partition_by("submission_id", as_dict=True).items()}
    refusals = {key[0]: part for key, part in refused.partition_by("submission_id", as_dict=True).items()}
    layouts = {layout.name: layout for layout in list_layouts()}
    reasons = _read_reasons(connection)
    query = "select distinct submission_id from lake.ledger.settlement semi join lacking using (submission_id) where settled_on is not null"
    settled = set(read_rows(connection, query)["submission_id"])
    for row in lacking:
        submission_id = row["submission_id"]
        write_acks(folder / f".{submission_id}", settings, row, findings.get(submission_id, finding.clear()))
        closings = list_closings(connection, submission_id).to_dicts() if row["quarantined_count"] or submission_id in settled else []
        _write_folder(
            settings, row, findings.get(submission_id, finding.clear()), refusals.get(submission_id, refused.clear()),
            names.get(submission_id, _NAMES.clear()), layouts.get(row["layout"]), closings, reasons.get(submission_id),
        )  # fmt: skip
    return len(lacking)


def _read_names(connection: Connection) -> dict[str, pl.DataFrame]:
    """By which name its sender knows each accepted row that has a finding (_NAMES), by submission; of those that waited too."""
    named = read_rows(connection, """
        select submission_id, row_no, source_id from lake.identified.noted semi join lacking using (submission_id)
        union all
        select submission_id, row_no, record ->> '$.source_id' from lake.identified.waiting semi join lacking using (submission_id)""")  # fmt: skip
    return {key[0]: part.drop("submission_id") for key, part in named.partition_by("submission_id", as_dict=True).items()}


def _read_reasons(connection: Connection) -> dict[str, str]:
    """Why a steward returned a file, by submission."""
    rows = connection.execute("""
        select subject, detail from lake.ledger.event semi join lacking on subject = submission_id where kind = 'return'""")
    return {subject: str(json.loads(detail).get("reason", "")) for subject, detail in rows.fetchall()}


def _write_folder(
    settings: Settings, row: Mapping[str, object], finding: pl.DataFrame, refused: pl.DataFrame, names: pl.DataFrame, layout: Layout | None,
    closings: Sequence[Mapping[str, object]], reason: str | None,
) -> None:  # fmt: skip
    submission_id = str(row["submission_id"])
    folder = settings.reports / "feedback"
    draft, done = folder / f".{submission_id}", folder / submission_id
    draft.mkdir(parents=True, exist_ok=True, mode=0o700)
    headers = name_headers(layout or str(row["layout"]))
    source = pl.concat([refused.select("row_no", "source_id"), names]).unique("row_no", keep="first")
    shown = finding.sort("row_no", "code", nulls_last=False).head(_SHOWN)
    told = tell_findings(shown.select("row_no", "column", "code", "severity", "detail"), source, headers)
    safe = [pl.Series(name, [text and neutralise(text) for text in told[name]], pl.String) for name in ("source_id", "column")]
    told.with_columns(safe).write_csv(draft / "findings.csv", include_bom=True)
    counts = dict(finding.group_by("code").len().sort("code").iter_rows())
    receipt = show_receipt(row)
    returned = {"returned_because": reason} if reason else {}
    (draft / "feedback.json").write_text(
        json.dumps(
            {**receipt, **returned, "finding_counts": counts, "resent_in": [show_receipt(c) for c in closings], "findings": told.to_dicts()},
            ensure_ascii=False, indent=1,
        )
    )  # fmt: skip
    if len(refused) and row["status"] != "returned":  # of a returned file nothing was taken: the whole of it is to come again
        wrong = finding.filter((pl.col("severity") == "error") & pl.col("row_no").is_in(refused["row_no"].implode()))
        every = tell_findings(wrong.select("row_no", "column", "code", "severity", "detail"), source, headers)
        write_fix(draft, settings, row, refused.sort("row_no"), every, layout)
    files = sorted((p.name for p in draft.iterdir()), key=lambda name: (not name.startswith("to-fix"), name))
    groups = group_findings(finding.select("row_no", "column", "code", "severity", "detail"), source, headers)
    (draft / "feedback.html").write_text(render_feedback(receipt, groups, files, closings, reason), "utf-8")
    (draft / "receipt.json").write_text(json.dumps(receipt, ensure_ascii=False))
    if done.exists():
        for stale in done.iterdir():
            stale.unlink()
        done.rmdir()
    draft.rename(done)

