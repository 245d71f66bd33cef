"""The night's feeds: gate, place, compose, gate again, seal, and only then send; and the lists of facilities."""

import json
import shutil
from datetime import date
from pathlib import Path
from typing import NamedTuple

import polars as pl

from pipelines.consent.gate import Gated, decide_consent, gate_consent, hear_decisions
from pipelines.errors import UserError
from pipelines.night.audit import record_event, write_anchors
from pipelines.night.doubt import list_doubted
from pipelines.night.intake import open_day
from pipelines.night.seal import write_drafts
from pipelines.referral.compose import Placed, compose_feeds, count_withheld, keep_carers, place_flags
from pipelines.settings import Settings
from pipelines.store.lake import (
    Connection,
    append_rows,
    open_lake,
    put_frame,
    read_current,
    read_rows,
    replace_state,
    transact,
)
from pipelines.store.registers import Registers, list_carers, read_registers


class Known(NamedTuple):
    """What the gate and the composing look at: current rows of the children who are or were flagged."""

    flag: pl.DataFrame
    birth: pl.DataFrame
    consent: pl.DataFrame
    confirmation: pl.DataFrame
    report: pl.DataFrame
    referral: pl.DataFrame


def seal_night(settings: Settings, on: date) -> dict[str, int]:
    """Compose and seal the feeds of the night `on`; counts. What was sealed already is not sealed again.

    A night that was published is closed (law 10): what is still to be sent goes out with the next one; `sealed` says
    how many feeds of it there are. A night that comes late, when something of a later day is known or sealed, is the night of
    that day (`days_later`): a withdrawal that is in the lake is heard whenever the feeds are sealed, and the days of a chain
    run one way. To be called with the right to write (lake.hold_lock).
    """
    registers = read_registers(settings)
    with open_lake(settings) as connection:
        settled = settle_outbox(connection, settings)
        if open_day(connection, on) != on:
            told = {"delivered": settled, "is_closed": 1, "sealed": _count_sealed(connection, on)}
            return {"feeds": 0, "referrals": 0, "recalls": 0, **told}
        night = _find_night(connection, on)
        with transact(connection):
            counts = _seal_feeds(connection, settings, registers, night)
        write_anchors(connection, settings)
        settled += settle_outbox(connection, settings)
    late = {"days_later": (night - on).days} if night > on else {}
    return {**counts, "delivered": settled, **late}


def refuse_missed(settings: Settings, on: date) -> None:
    """UserError night_closed when the night `on` was published, or a later one, and no feed of it was sealed: none will be."""
    try:
        with open_lake(settings) as connection:
            is_missed = open_day(connection, on) != on and not _count_sealed(connection, on)
    except UserError as error:
        if error.code not in {"lake_missing", "lake_outdated"}:
            raise
        return  # no night was closed yet, or the next run completes the lake
    if is_missed:
        raise UserError("night_closed", f"{on} is closed by a release of that day or a later one, and no feed of it was sealed: "
                        "what is still to be sent goes out with the night after the newest release; give that night or a later one")  # fmt: skip


def settle_outbox(connection: Connection, settings: Settings) -> int:
    """Deliver sealed feeds that are still drafts (a run was killed between seal and delivery); drop unsealed drafts."""
    drafts = sorted((settings.outbox / ".draft").glob("*/*"))
    if not drafts:
        return 0
    sealed = {
        (pmpc_id, f"{feed_no:06}"): content_hash
        for pmpc_id, feed_no, content_hash in connection.execute(
            "select pmpc_id, feed_no, content_hash from lake.ledger.feed"
        ).fetchall()
    }
    delivered = 0
    for draft in drafts:
        target = settings.outbox / draft.parent.name / draft.name
        stated = sealed.get((draft.parent.name, draft.name))
        if stated is not None and not target.exists() and stated == _read_hash(draft):
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft.rename(target)
            delivered += 1
        else:
            shutil.rmtree(draft)
    return delivered


def gate_referral(connection: Connection, consent: pl.DataFrame, on: date) -> pl.DataFrame:
    """One row a child who decided about the referral: child_key, and what the gate finds lacking on the day `on` (null = nothing)."""
    return decide_consent(hear_decisions(consent, "pmpc_referral", on, list_doubted(connection, on))).select("child_key", "lack")


def _find_night(connection: Connection, on: date) -> date:
    """`on`, or the newest day of which anything was received, decided by a person or sealed."""
    newest = read_rows(connection, """
        select greatest((select max(received_on) from lake.ledger.submission), (select max(composed_on) from lake.ledger.feed),
                        (select max(known_from) from lake.identified.decision))""").item()  # fmt: skip
    return max(on, newest or on)


def _count_sealed(connection: Connection, on: date) -> int:
    return int(read_rows(connection, "select count(*) from lake.ledger.feed where composed_on = ?", [on]).item())


def _seal_feeds(connection: Connection, settings: Settings, registers: Registers, on: date) -> dict[str, int]:
    known = read_known(connection)
    gated = gate_consent(known.flag, known.consent, known.confirmation, on, list_doubted(connection, on))
    gated = gated._replace(in_force=_add_merged(connection, gated.in_force), revoked=_add_merged(connection, gated.revoked))
    birth = keep_carers(known.birth, list_carers(registers))
    catchment = registers["catchment"].join(registers["pmpc"], on="pmpc_id", how="semi")  # of one that has closed nobody is sent there
    placed = place_flags(known.flag, gated, birth, known.referral, known.report, catchment, on, settings.key)
    _assert_gate_still_open(connection, placed, on)
    earlier = read_rows(connection, "from lake.ledger.feed")
    had_arrivals = connection.execute(
        "select count(*) from lake.ledger.submission where received_on >= ?", [on]
    ).fetchone() != (0,)
    withheld = count_withheld(placed.placement, known.birth, catchment, on)
    feeds = compose_feeds(placed.item, registers["pmpc"], earlier, withheld, on, had_arrivals)
    numbered = placed.item.join(feeds.select("pmpc_id", "feed_no"), on="pmpc_id", how="left")
    assert len(numbered) == len(placed.item)  # noqa: S101
    assert not numbered["feed_no"].null_count()  # noqa: S101  # every item has a feed
    sealed = write_drafts(connection, settings, feeds, numbered, placed, on)
    append_rows(connection, "clinical.referral", numbered)
    append_rows(connection, "ledger.feed", sealed)
    moved = replace_state(connection, "clinical.placement", placed.placement, ["flag_id"], "true", on)
    places = dict(placed.placement.group_by("place").len().iter_rows())
    counts = {
        "feeds": len(feeds), "zero_feeds": int((feeds["item_count"] == 0).sum()),
        "referrals": int(feeds["referral_count"].sum()), "recalls": int(feeds["recall_count"].sum()),
        **{place: int(places.get(place, 0)) for place in ("referred", "withheld", "aged_out", "closed")},
    }  # fmt: skip
    if len(feeds) or moved["opened"]:
        record_event(connection, "refer", on.isoformat(), dict(counts))
    return counts


def find_flagged(connection: Connection) -> None:
    """Temp table `flagged_child`: child_key of all who were ever flagged or sent."""
    connection.execute("""
        create or replace temp table flagged_child as
        select child_key from lake.clinical.flag union select child_key from lake.clinical.referral""")


def read_known(connection: Connection) -> Known:
    """Current rows of the children who are or were flagged; all of clinical.referral."""
    find_flagged(connection)
    return Known(
        flag=read_current(connection, "clinical.flag"),
        birth=read_current(connection, "clinical.birth", "child_key in (from flagged_child)"),
        consent=read_current(connection, "clinical.consent", "child_key in (from flagged_child)"),
        confirmation=read_current(connection, "clinical.confirmation", "child_key in (from flagged_child)"),
        report=read_current(connection, "clinical.pmpc_report", "child_key in (from flagged_child)"),
        referral=read_rows(connection, "from lake.clinical.referral"),
    )


def _add_merged(connection: Connection, children: pl.DataFrame) -> pl.DataFrame:
    """The children, and those who were merged into one of them: what was sent of those stands or falls by its consents."""
    merged = read_rows(connection, """
        select distinct earlier_key, child_key from lake.identified.decision where known_to is null and decision = 'merge'""")  # fmt: skip
    earlier = merged.join(children, on="child_key", how="semi").select(pl.col("earlier_key").alias("child_key"))
    return pl.concat([children, earlier]).unique()


def _assert_gate_still_open(connection: Connection, placed: Placed, on: date) -> None:
    """Ask the gate once more, from the store and not from memory, for everything about to be sealed (law 3)."""
    sent = placed.item.filter(pl.col("item_kind") == "referral")
    sealing = sent.select(flag_id=pl.col("flag_ids").str.split(" ")).explode("flag_id")
    put_frame(connection, "sealed_child", sent.select("child_key").unique())
    asked = ("clinical.flag", "clinical.consent", "clinical.confirmation")
    flag, consent, confirmation = (read_current(connection, table, "child_key in (from sealed_child)") for table in asked)
    gated: Gated = gate_consent(flag, consent, confirmation, on, list_doubted(connection, on))
    shut = sealing.join(gated.open, on="flag_id", how="anti")
    if len(shut):
        raise AssertionError(f"{len(shut)} flags were composed whose consent is not in force at sealing")


def _read_hash(folder: Path) -> str | None:
    manifest = folder / "manifest.json"
    return json.loads(manifest.read_text())["content_hash"] if manifest.exists() else None
