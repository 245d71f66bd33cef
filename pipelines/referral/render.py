"""Rendering: the files of one feed, byte for byte the same from the same input.

A feed folder holds bundle.json (FHIR R4 transaction), referral.csv (O704 annex 17 and what a machine needs) and
manifest.json (numbers, control totals, hashes). Only here do names and findings meet (house, section 2).
"""

import csv
import hashlib
import io
import json
import re
from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple

import msgspec
import polars as pl

from pipelines.referral.bundle import Party, frame_bundle, write_recall, write_referral
from pipelines.referral.words import Resource, describe_reason, read_words

BUNDLE, TABLE, MANIFEST = "bundle.json", "referral.csv", "manifest.json"
CONTENT = (BUNDLE, TABLE)
"""Files whose hashes make the content hash, in name order."""

_PERSON = (
    "child_key", "child_iin", "family_name", "given_name", "mother_family_name", "birth_on", "birth_order", "plurality",
    "sex_code", "address", "phone",
)  # fmt: skip
_TEXTS = ("family_name", "given_name", "mother_family_name", "address", "phone")
_FLAG = ("flag_id", "programme", "disorder", "rule_code", "protocol", "paragraph", "inputs")
_FORMULA = re.compile(r"\s*[=+\-@]")
"""A cell that a spreadsheet would run."""


class FeedHeader(NamedTuple):
    """What one feed is: a row of `compose_feeds`. `zero_reason` is null exactly when there are items."""

    pmpc_id: str
    pmpc_name: str
    feed_no: int
    composed_on: date
    previous_hash: str
    zero_reason: str | None


def render_feed(
    header: FeedHeader,
    item: pl.DataFrame,
    person: pl.DataFrame,
    flag: pl.DataFrame,
    recall: pl.DataFrame | None = None,
) -> dict[str, bytes]:
    """The files of one feed by name; `hash_content` of them is the content hash, which the manifest states too.

    `item`: the items of that PMPC; `person`: current identified.birth of their children, the IIN filled in; `flag`:
    clinical.flag of their flags; `recall`: referral_id, reason of the recalls. A recall carries the number of the
    referral only. Raises AssertionError when an item is of another PMPC or its child or flag is not given.
    """
    if (item.height == 0) != (header.zero_reason is not None) or (item["pmpc_id"] != header.pmpc_id).any():
        raise AssertionError("the items are not those of this feed")
    party = Party(header.pmpc_id, _clean(header.pmpc_name), header.composed_on.isoformat())
    item = item.sort("item_kind", "referral_id", descending=[True, False])
    people, flags = _index_people(item, person), _index_flags(item, flag)
    reasons = dict(recall.select("referral_id", "reason").iter_rows()) if recall is not None else {}

    entries: list[Resource] = []
    rows: list[dict[str, Any]] = []
    for line in item.iter_rows(named=True):
        if line["item_kind"] == "recall":
            reason = reasons.get(line["referral_id"])
            entries += write_recall(line, reason, party)
            rows.append(_tabulate_recall(line, reason))
        else:
            child = people[line["child_key"]]
            behind = [flags[flag_id] for flag_id in line["flag_ids"].split(" ")]
            entries += write_referral(line, child, behind, party)
            rows.append(_tabulate_referral(line, child, behind, header.composed_on))

    files = {
        BUNDLE: _encode(frame_bundle(party, header.feed_no, header.previous_hash, entries)),
        TABLE: _write_table(rows),
    }
    sent = item.filter(pl.col("item_kind") == "referral")
    manifest = {
        **header._asdict(),
        "composed_on": party.composed_on,
        "item_count": item.height,
        "totals": {
            "referral_count": sent.height,
            "recall_count": item.height - sent.height,
            "age_days_sum": sum((header.composed_on - people[key]["birth_on"]).days for key in sent["child_key"]),
        },
        "protocol": sorted({behind["protocol"] for behind in flags.values()}),
        "files": {name: {"sha256": _hash(files[name]), "size_bytes": len(files[name])} for name in CONTENT},
        "content_hash": hash_content(files),
        "columns": read_words()["columns"],
    }
    files[MANIFEST] = json.dumps(manifest, ensure_ascii=False, indent=1, allow_nan=False).encode() + b"\n"
    return files


def hash_content(files: Mapping[str, bytes]) -> str:
    """sha256 over the hexadecimal sha256 of the content files, in name order."""
    return _hash("".join(_hash(files[name]) for name in sorted(CONTENT)).encode())


def _index_people(item: pl.DataFrame, person: pl.DataFrame) -> dict[int, dict[str, Any]]:
    """child_key -> what is said of the child; texts free of control characters, placeholders replaced by words."""
    wanted = item.filter(pl.col("item_kind") == "referral").select("child_key").unique()
    words = read_words()["unnamed"]
    tokens = "|".join(words["placeholders"])
    placeholder = rf"^(?:{tokens})(?:[\s\d.,_-]+(?:{tokens}|[A-ZА-Я]))*[\s\d.,_-]*$"
    number = pl.when(pl.col("plurality") > 1).then(pl.concat_str(pl.lit(" "), "birth_order")).otherwise(pl.lit(""))
    known = (
        person.lazy()
        .select(_PERSON)
        .join(wanted.lazy(), on="child_key", how="semi")
        .with_columns(pl.col(_TEXTS).str.replace_all(r"[\s\p{Cc}\x{2028}\x{2029}]+", " ").str.strip_chars())
        .with_columns(pl.when(pl.col(name) != "").then(name).name.keep() for name in _TEXTS)  # a blank text is no text
        .with_columns(
            pl.when(~pl.col(name).str.to_uppercase().str.contains(placeholder)).then(name).name.keep()
            for name in ("family_name", "given_name")
        )
        .with_columns(
            family_name=pl.coalesce("family_name", "mother_family_name"),
            called=pl.coalesce("given_name", pl.concat_str(pl.lit(words["child"]), number)),
        )
        .with_columns(is_named=pl.col("given_name").is_not_null() & pl.col("family_name").is_not_null())
        .with_columns(
            full_name=pl.when("is_named")
            .then(pl.concat_str("family_name", "called", separator=" "))
            .otherwise(pl.concat_str("family_name", "called", separator=", ", ignore_nulls=True))
        )
        .collect()
    )
    if known.height != wanted.height:
        raise AssertionError(f"{wanted.height} children are referred, {known.height} persons are given")
    return {row["child_key"]: row for row in known.iter_rows(named=True)}


def _index_flags(item: pl.DataFrame, flag: pl.DataFrame) -> dict[str, dict[str, Any]]:
    wanted = (
        item.filter(pl.col("item_kind") == "referral")
        .select(flag_id=pl.col("flag_ids").str.split(" "))
        .explode("flag_id")
        .drop_nulls()
    )
    known = flag.select(_FLAG).join(wanted, on="flag_id", how="semi")
    if known.height != wanted.height:
        raise AssertionError(f"{wanted.height} flags are referred, {known.height} are given")
    return {row["flag_id"]: row for row in known.iter_rows(named=True)}


def _tabulate_referral(
    line: dict[str, Any], child: dict[str, Any], flags: list[dict[str, Any]], on: date
) -> dict[str, Any]:
    return {
        "full_name": child["full_name"],
        "age_months": _count_months(child["birth_on"], on),
        "home_address": child["address"],
        "diagnosis": "; ".join(describe_reason(flag) for flag in flags),
        "referred_on": on.isoformat(),
        "birth_on": child["birth_on"].isoformat(),
        "referral_id": line["referral_id"],
        "pmpc_id": line["pmpc_id"],
        "item_kind": line["item_kind"],
        "consent_reference": line["consent_key"],
    }


def _tabulate_recall(line: dict[str, Any], reason: str | None) -> dict[str, Any]:
    return {
        "diagnosis": None if reason is None else read_words()["recall"][reason]["ru"],
        "referral_id": line["referral_id"],
        "pmpc_id": line["pmpc_id"],
        "item_kind": line["item_kind"],
    }


def _write_table(rows: list[dict[str, Any]]) -> bytes:
    """CSV, utf-8, comma, CRLF (RFC 4180); a text a spreadsheet would run gets an apostrophe before it."""
    columns = list(read_words()["columns"])
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([_neutralise(row.get(name)) for name in columns] for row in rows)
    return text.getvalue().encode()


def _neutralise(cell: str | int | None) -> str | int | None:
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def _count_months(birth_on: date, on: date) -> int:
    """Completed months of age."""
    return (on.year - birth_on.year) * 12 + on.month - birth_on.month - (on.day < birth_on.day)


def _clean(text: str) -> str:
    return " ".join(text.split())


def _encode(bundle: Resource) -> bytes:
    return msgspec.json.encode(bundle)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
