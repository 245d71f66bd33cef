"""Checking feeds: one feed by its own files, and the chain of all feeds without a gap.

What is wrong is a code, never an exception: a feed that came back damaged is an answer, and no value of it is shown.
"""

import csv
import hashlib
import io
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

import msgspec
import polars as pl

from pipelines.referral.compose import FIRST_HASH
from pipelines.referral.conformance import check_bundle
from pipelines.referral.render import BUNDLE, CONTENT, MANIFEST, TABLE, hash_content
from pipelines.referral.words import read_words

_REFERENCE = re.compile(rb'"reference"\s*:\s*("(?:[^"\\]|\\.)*")')
"""A literal reference in the bytes of a Bundle; inside a text its quotes would be escaped."""
_TASK, _PREVIOUS = "urn:erte:task", "urn:erte:previous-feed"


def verify_feed(files: Mapping[str, bytes], previous_hash: str) -> list[str]:
    """Codes of what is wrong with the files of a feed, sorted; an empty list means whole.

    `previous_hash` is the content hash of the feed before, as the ledger holds it. Codes: file_missing,
    file_unexpected, manifest_malformed, bundle_malformed, csv_malformed, file_hash_mismatch, content_hash_mismatch,
    previous_hash_mismatch, feed_no_mismatch, zero_reason_mismatch, item_count_mismatch, referral_count_mismatch,
    recall_count_mismatch, age_total_mismatch, item_repeated, csv_bundle_mismatch, reference_unresolved, pmpc_mismatch; and
    those of conformance.check_bundle (r4_...).
    """
    expected = {*CONTENT, MANIFEST}
    wrong = {"file_unexpected"} if files.keys() - expected else set()
    if expected - files.keys():
        return sorted(wrong | {"file_missing"})
    manifest = _read_manifest(files[MANIFEST])
    bundle = _read_json(files[BUNDLE])
    rows = _read_rows(files[TABLE])
    if manifest is None:
        wrong.add("manifest_malformed")
    if bundle is None or not _is_bundle(bundle):
        wrong.add("bundle_malformed")
        bundle = None
    if rows is None:
        wrong.add("csv_malformed")
    if manifest is not None:
        wrong |= _check_hashes(files, manifest, previous_hash)
    if manifest is not None and rows is not None:
        wrong |= _check_totals(rows, manifest)
    if manifest is not None and bundle is not None:
        wrong |= _check_bundle(bundle, manifest, files[BUNDLE])
    if bundle is not None:
        wrong |= check_bundle(bundle)
    if rows is not None and bundle is not None:
        wrong |= _check_pairs(rows, bundle)
    return sorted(wrong)


def verify_chain(feeds: pl.DataFrame) -> list[tuple[str, int, str]]:
    """(pmpc_id, feed_no, code) of every break in ledger.feed, in order; an empty list means no break.

    Codes: feed_repeated, feed_gap (the number before is missing), previous_hash_mismatch, composed_on_backwards,
    item_count_mismatch, zero_reason_mismatch.
    """
    before = pl.col("feed_no").shift(1).over("pmpc_id")
    hash_before = pl.col("content_hash").shift(1).over("pmpc_id")
    night_before = pl.col("composed_on").shift(1).over("pmpc_id")
    is_repeated = (pl.col("feed_no") == before).fill_null(False)
    is_next = pl.col("feed_no") == before.fill_null(0) + 1
    checks = {
        "feed_repeated": is_repeated,
        "feed_gap": ~is_next & ~is_repeated,
        "previous_hash_mismatch": is_next & (pl.col("previous_hash") != hash_before.fill_null(FIRST_HASH)),
        "composed_on_backwards": (pl.col("composed_on") < night_before).fill_null(False),
        "item_count_mismatch": pl.col("item_count") != pl.col("referral_count") + pl.col("recall_count"),
        "zero_reason_mismatch": (pl.col("item_count") == 0) != pl.col("zero_reason").is_not_null(),
    }
    ordered = feeds.sort("pmpc_id", "feed_no", "composed_on", "content_hash")
    return (
        ordered.select("pmpc_id", "feed_no", *(check.alias(code) for code, check in checks.items()))
        .unpivot(index=["pmpc_id", "feed_no"], variable_name="code", value_name="is_wrong")
        .filter("is_wrong")
        .select("pmpc_id", "feed_no", "code")
        .sort("pmpc_id", "feed_no", "code")
        .rows()
    )


def _check_hashes(files: Mapping[str, bytes], manifest: dict[str, Any], previous_hash: str) -> set[str]:
    wrong = set()
    for name in CONTENT:
        said = manifest["files"].get(name)
        if not isinstance(said, dict) or said.get("sha256") != hashlib.sha256(files[name]).hexdigest():
            wrong.add("file_hash_mismatch")
    if manifest["content_hash"] != hash_content(files):
        wrong.add("content_hash_mismatch")
    if manifest["previous_hash"] != previous_hash:
        wrong.add("previous_hash_mismatch")
    return wrong


def _check_totals(rows: list[dict[str, str]], manifest: dict[str, Any]) -> set[str]:
    totals = manifest["totals"]
    sent = [row for row in rows if row["item_kind"] == "referral"]
    wrong = set()
    if manifest["item_count"] != len(rows):
        wrong.add("item_count_mismatch")
    if totals.get("referral_count") != len(sent):
        wrong.add("referral_count_mismatch")
    if totals.get("recall_count") != sum(row["item_kind"] == "recall" for row in rows):
        wrong.add("recall_count_mismatch")
    if (manifest["item_count"] == 0) != (manifest["zero_reason"] is not None):
        wrong.add("zero_reason_mismatch")
    if any(row["pmpc_id"] != manifest["pmpc_id"] for row in rows):
        wrong.add("pmpc_mismatch")
    if totals.get("age_days_sum") != _sum_ages([row["birth_on"] for row in sent], manifest["composed_on"]):
        wrong.add("age_total_mismatch")
    return wrong


def _check_bundle(bundle: dict[str, Any], manifest: dict[str, Any], content: bytes) -> set[str]:
    entries = bundle.get("entry", [])
    resources = [entry["resource"] for entry in entries]
    births = [resource.get("birthDate") for resource in resources if resource["resourceType"] == "Patient"]
    tags = [tag.get("code") for tag in bundle["meta"]["tag"] if tag.get("system") == _PREVIOUS]
    wrong = set()
    if tags != [manifest["previous_hash"]]:
        wrong.add("previous_hash_mismatch")
    if bundle["identifier"].get("value") != f"{manifest['pmpc_id']}/{manifest['feed_no']}":
        wrong.add("feed_no_mismatch")
    if manifest["totals"].get("age_days_sum") != _sum_ages(births, manifest["composed_on"]):
        wrong.add("age_total_mismatch")
    if not set(map(msgspec.json.decode, _REFERENCE.findall(content))) <= {entry["fullUrl"] for entry in entries}:
        wrong.add("reference_unresolved")
    return wrong


def _check_pairs(rows: list[dict[str, str]], bundle: dict[str, Any]) -> set[str]:
    """The same items in both files, each once."""
    listed = [row["referral_id"] + ("-recall" if row["item_kind"] == "recall" else "") for row in rows]
    tasks = [
        identifier.get("value")
        for entry in bundle.get("entry", [])
        if entry["resource"]["resourceType"] == "Task"
        for identifier in entry["resource"].get("identifier", [])
        if identifier.get("system") == _TASK
    ]
    wrong = set()
    if len(set(listed)) != len(listed) or len(set(tasks)) != len(tasks):
        wrong.add("item_repeated")
    if set(listed) != set(tasks):
        wrong.add("csv_bundle_mismatch")
    return wrong


def _sum_ages(births: list[Any], composed_on: str) -> int | None:
    """Days lived by the night, all children together; null when a date cannot be read."""
    try:
        night = date.fromisoformat(composed_on)
        return sum((night - date.fromisoformat(birth)).days for birth in births)
    except (TypeError, ValueError):
        return None


def _read_json(content: bytes) -> dict[str, Any] | None:
    try:
        value = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _read_manifest(content: bytes) -> dict[str, Any] | None:
    manifest = _read_json(content)
    named: dict[str, Any] = {
        "pmpc_id": str, "feed_no": int, "composed_on": str, "previous_hash": str, "item_count": int, "totals": dict,
        "files": dict, "content_hash": str, "zero_reason": (str, type(None)),
    }  # fmt: skip
    if manifest is None or any(
        name not in manifest or not isinstance(manifest[name], kind) for name, kind in named.items()
    ):
        return None
    return manifest


def _is_bundle(bundle: dict[str, Any]) -> bool:
    """A transaction as we write it: entries with fullUrl and resource, or no `entry` at all."""
    entries = bundle.get("entry")
    meta = bundle.get("meta")
    framed = (
        bundle.get("resourceType") == "Bundle"
        and bundle.get("type") == "transaction"
        and isinstance(bundle.get("identifier"), dict)
        and isinstance(meta, dict)
        and isinstance(meta.get("tag"), list)
        and all(isinstance(tag, dict) for tag in meta["tag"])
    )
    return framed and (
        "entry" not in bundle or (isinstance(entries, list) and all(map(_is_entry, entries)) and entries != [])
    )


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("fullUrl"), str):
        return False
    resource = entry.get("resource")
    if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        return False
    identifiers = resource.get("identifier", [])
    return isinstance(identifiers, list) and all(isinstance(identifier, dict) for identifier in identifiers)


def _read_rows(content: bytes) -> list[dict[str, str]] | None:
    columns = list(read_words()["columns"])
    try:
        lines = list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))
    except (csv.Error, UnicodeDecodeError):
        return None
    if not lines or lines[0] != columns or any(len(line) != len(columns) for line in lines):
        return None
    return [dict(zip(columns, line, strict=True)) for line in lines[1:]]
