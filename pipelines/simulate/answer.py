"""PMPCs that read their feeds and report back: what comes in on the night after."""

import csv
import hashlib
import json
from datetime import date
from pathlib import Path

import polars as pl

_CATEGORIES = ("speech", "developmental_delay", "intellectual", "sensory", "physical", "emotional_volitional", "none", "none")


def answer_feeds(outbox: Path, on: date, seed: int, out: Path) -> int:
    """Write one report file (layout canonical-pmpc-report) of the referrals in the feeds of the day `on`; rows written.

    What a PMPC answers is settled by the child's own lines and the seed: asked again it answers the same, and so it does in
    another home, where the same child has another key and another referral's id.
    """
    rows = []
    for table in sorted(outbox.glob("*/[0-9]*/referral.csv")):
        if json.loads((table.parent / "manifest.json").read_text("utf-8"))["composed_on"] != on.isoformat():
            continue
        with table.open(encoding="utf-8-sig", newline="") as file:
            for line in csv.DictReader(file):
                if line["item_kind"] == "referral":
                    child = "|".join(line[column] for column in ("full_name", "birth_on", "diagnosis"))
                    rows.append(_answer(line["referral_id"], child, table.parent.parent.name, on, seed))
    if rows:
        out.mkdir(parents=True, exist_ok=True)
        pl.DataFrame(rows).write_csv(out / f"pmpc-report-{on}.csv")
    return len(rows)


def _answer(referral_id: str, child: str, pmpc_id: str, on: date, seed: int) -> dict[str, object]:
    draw = hashlib.sha256(f"{seed}|{child}".encode()).digest()
    status = "7.0" if draw[0] < 150 else "5.1.1" if draw[0] < 220 else "5.1.2" if draw[0] < 235 else "3.0"
    category = _CATEGORIES[draw[1] % len(_CATEGORIES)] if status == "7.0" else None
    return {
        "sender_id": pmpc_id, "source_id": referral_id, "action_code": "report", "referral_id": referral_id,
        "report_status": status, "reported_on": on.isoformat(), "category_codes": category,
        "is_severe": str(draw[2] < 20).lower() if category not in (None, "none") else None,
    }  # fmt: skip
