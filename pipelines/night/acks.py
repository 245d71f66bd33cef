"""Write the HL7 acknowledgements of a submission beside its feedback: ack.hl7, from the archived file and the ledger's findings."""

from collections import defaultdict
from datetime import date
from pathlib import Path

import polars as pl

from pipelines.intake.hl7.ack import Told, answer_file, is_hl7
from pipelines.intake.reading import Limits
from pipelines.intake.refusal import FINDING_SCHEMA
from pipelines.night.archive import open_archived
from pipelines.night.front_door import set_limits
from pipelines.settings import Settings

_RETURNED = "batch_returned"
_LAYOUTS = ("hl7-oru", None)  # a file that was refused whole has none


def write_acks(folder: Path, settings: Settings, row: dict[str, object], finding: pl.DataFrame) -> int:
    """folder/ack.hl7 for a submission of HL7 v2 messages that was decided on; bytes written, 0 where there is none to write.

    `row`: the submission as in the ledger; `finding`: all its findings.
    """
    refusal = row["refusal_code"]
    if row["status"] == "held" or row["layout"] not in _LAYOUTS or refusal == "file_too_large":
        return 0
    with open_archived(settings, row) as path:
        return _write_answers(folder, path, set_limits(settings), row, finding) if path is not None and is_hl7(path) else 0


def _write_answers(folder: Path, path: Path, limits: Limits, row: dict[str, object], finding: pl.DataFrame) -> int:
    submission_id = str(row["submission_id"])
    refusal = _RETURNED if row["status"] == "returned" else row["refusal_code"]
    told: defaultdict[int, list[Told]] = defaultdict(list)
    listed = finding.drop_nulls("row_no").sort("row_no", "code").select(*FINDING_SCHEMA, "detail")
    for one in listed.iter_rows():
        told[one[0]].append(Told(*one))
    at = row["received_on"]
    assert isinstance(at, date)  # noqa: S101  # the ledger's own column
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    acks = answer_file(path, limits, told, str(refusal) if refusal else None, submission_id, at)
    with (folder / "ack.hl7").open("wb") as file:
        return sum(file.write(ack) for ack in acks)
