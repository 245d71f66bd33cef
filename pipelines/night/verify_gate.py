"""The gate asked again about all that was ever sent, as it was known on its night (law 3, DOMAIN decisions 9 and 10).

Every referral is a case of its own, and all dates are moved so that all cases are judged on one day: one call of the gate for
ten years of nights. What was learned on the very day of a night may have been learned before its feeds were sealed or after, so
nothing is called broken that may have been right: what speaks for the feed counts when it was held at any moment of that day,
what speaks against it only when it was held before that day and after.
"""

from datetime import date
from typing import NamedTuple

import polars as pl

from pipelines.consent.gate import Gated, gate_consent, hear_decisions
from pipelines.night.refer import find_flagged
from pipelines.referral.recall import explode_flags, judge_sent, recall_sent
from pipelines.store.lake import Connection, read_rows

_ON = date(2000, 1, 1)
"""The day to which the night of every case is moved."""
_LOOKED_AT = {
    "flag": ("flag_id, programme, examined_on, last_risk_on", pl.lit(value=True)),
    "consent": ("record_key, purpose, decision, decided_on, valid_until, authority_code, has_authority_document, is_cancelled",
                pl.col("decision") == "given"),
    "confirmation": ("programme, confirmation, confirmed_on, is_cancelled", pl.col("confirmation") == "confirmed"),
    "pmpc_report": ("referral_id, report_status, reported_on, category_codes, is_cancelled", pl.lit(value=True)),
    "birth": ("died_on", pl.col("died_on").is_null()),
}  # fmt: skip
"""Table -> what the gate and the recalls look at, and which versions speak for sending a child, or for leaving it sent."""

Versions = dict[str, pl.DataFrame]


class Judged(NamedTuple):
    """What is said of the consents of cases, what the gate makes of their flags, and which are to be taken back."""

    said: pl.DataFrame
    gated: Gated
    recall: pl.DataFrame


def verify_consents(connection: Connection) -> list[tuple[str, int, int]]:
    """(promise, referrals looked at, those that break it) of what was sent and of what was taken back."""
    versions = _read_versions(connection)
    item = read_rows(connection, "from lake.clinical.referral")
    sent, back = (item.filter(pl.col("item_kind") == kind) for kind in ("referral", "recall"))
    last_night = read_rows(connection, "select max(composed_on) from lake.ledger.feed").item()
    standing = sent.join(back, on="referral_id", how="anti").with_columns(night=pl.lit(last_night, pl.Date))
    taken = sent.join(back.select("referral_id", night="composed_on"), on="referral_id", validate="1:1")
    overdue = _judge(versions, standing, is_for_sending=True).recall
    justified = _judge(versions, taken, is_for_sending=False).recall
    return [
        ("every referral was open at the gate on its night: a consent in force of one with authority, and a person who confirmed",
         len(sent), _count_shut(versions, sent.with_columns(night="composed_on"))),
        ("nothing stands that the last night was to take back", len(standing), len(overdue)),
        ("every recall had a reason on its night", len(back), len(back) - len(justified)),
    ]  # fmt: skip


def _count_shut(versions: Versions, sent: pl.DataFrame) -> int:
    """Referrals of which a flag was not open, or whose consent was not in force for the child they are of, or was in doubt."""
    case = _name_cases(sent)
    said, gated, _ = _judge(versions, sent, is_for_sending=True)
    held = said.filter("is_upheld", pl.col("lack").is_null()).select("child_key", consent_key="record_key")
    shut = explode_flags(case).join(gated.open, on="flag_id", how="anti")
    unheld = case.join(held, on=["child_key", "consent_key"], how="anti")
    doubted = _hold(case.join(versions["doubt"], left_on="sent_on", right_on="record_key"), pl.lit(value=False))
    return pl.concat([shut, unheld, doubted], how="diagonal")["child_key"].n_unique()


def _judge(versions: Versions, sent: pl.DataFrame, *, is_for_sending: bool) -> Judged:
    """What the gate and the recalls say of each referral on its `night`; in doubt for sending it, or else against."""
    known = {table: _know(versions, table, sent, is_for_sending) for table in _LOOKED_AT}
    case = _name_cases(sent)
    consent = _forget_doubted(versions, known["consent"], case, is_for_sending).with_columns(_name("child_key", "record_key"))
    flag = (
        explode_flags(case).select("child_key", "flag_id")
        .join(known["flag"].with_columns(_name("child_key", "flag_id")), on=["child_key", "flag_id"])
        .sort("examined_on", "last_risk_on", descending=[False, is_for_sending])
        .unique("flag_id", keep="first", maintain_order=True)
    )  # fmt: skip
    gated = gate_consent(flag, consent, known["confirmation"], _ON)
    birth = known["birth"].sort("died_on", nulls_last=not is_for_sending).unique("child_key", keep="first")
    answered = judge_sent(case.with_columns(item_kind=pl.lit("referral")), known["pmpc_report"], _ON)
    return Judged(hear_decisions(consent, "pmpc_referral", _ON), gated, recall_sent(answered, flag, gated, birth, _ON))


def _name_cases(sent: pl.DataFrame) -> pl.DataFrame:
    """The referrals, each of a child of its own: the number of the case stands for child, flags and consent (`sent_on`: as it is)."""
    flags = explode_flags(sent.with_row_index("case_no")).select("case_no", _name("case_no", "flag_id"))
    listed = flags.group_by("case_no").agg(pl.col("flag_id").str.join(" ").alias("flag_ids"))
    named = sent.drop("flag_ids").with_row_index("case_no").join(listed, on="case_no", validate="1:1")
    return named.with_columns(_name("case_no", "consent_key"), child_key=pl.col("case_no").cast(pl.Int64), sent_on="consent_key")


def _name(case: str, column: str) -> pl.Expr:
    """A key by the number of its case: what one case says is no other's."""
    return pl.concat_str(pl.col(case).cast(pl.String), column, separator="|").alias(column)


def _know(versions: Versions, table: str, sent: pl.DataFrame, is_for_sending: bool) -> pl.DataFrame:
    """The versions of a table that count for each case on its night; child_key is the number of the case, days are moved."""
    case = sent.with_row_index("case_no").select("case_no", "child_key", "night")
    if table == "consent":  # of a child who was united with another: what that one's consents say
        merged = _hold(case.join(versions["decision"], on="child_key"), pl.lit(not is_for_sending))
        case = pl.concat([case, merged.select("case_no", pl.col("now_key").alias("child_key"), "night")]).unique()
    speaks_for = _LOOKED_AT[table][1]
    counts = _hold(case.join(versions[table], on="child_key"), speaks_for if is_for_sending else ~speaks_for)
    days = [name for name, kind in counts.schema.items() if kind == pl.Date and name not in {"night", "known_from", "known_to"}]
    return counts.select(
        pl.col("case_no").cast(pl.Int64).alias("child_key"),
        *(pl.col(name) + (pl.lit(_ON) - pl.col("night")) for name in days),
        pl.exclude("case_no", "child_key", "night", "known_from", "known_to", *days),
    )


def _forget_doubted(versions: Versions, consent: pl.DataFrame, case: pl.DataFrame, is_for_sending: bool) -> pl.DataFrame:
    """The consents without those in doubt: none of them is in force, but what was sent on one stands."""
    said = consent.select("child_key", "record_key").join(case.select("child_key", "night", "sent_on"), on="child_key")
    other = said.filter(pl.col("record_key") != pl.col("sent_on"))
    doubted = _hold(other.join(versions["doubt"], on="record_key"), pl.lit(not is_for_sending))
    return consent.join(doubted, on=["child_key", "record_key"], how="anti")


def _hold(versions: pl.DataFrame, is_welcome: pl.Expr) -> pl.DataFrame:
    """Versions held at some moment of the night's day where they are welcome, others only where they were held before it and after."""
    at_some_moment = (pl.col("known_from") <= pl.col("night")) & (pl.col("known_to") >= pl.col("night")).fill_null(value=True)
    throughout = (pl.col("known_from") < pl.col("night")) & (pl.col("known_to") > pl.col("night")).fill_null(value=True)
    return versions.filter(pl.when(is_welcome).then(at_some_moment).otherwise(throughout))


def _read_versions(connection: Connection) -> Versions:
    """All versions of what a night looks at, of the children who were ever flagged or sent; and who was united with whom."""
    find_flagged(connection)
    versions = {
        table: read_rows(connection, f"""
            select child_key, known_from, known_to, {columns} from lake.clinical.{table} where child_key in (from flagged_child)""")
        for table, (columns, _) in _LOOKED_AT.items()
    }
    versions["doubt"] = read_rows(connection, """
        select record_key, d.known_from, least(d.known_to, c.known_to) as known_to
        from lake.clinical.consent_doubt d join lake.clinical.consent c using (record_key, content_hash)""")  # fmt: skip
    versions["decision"] = read_rows(connection, """
        select distinct earlier_key as child_key, child_key as now_key, known_from, known_to
        from lake.identified.decision where decision = 'merge' and earlier_key <> child_key""")  # fmt: skip
    return versions
