"""Referral: the one place of every flag, the nightly feeds, their files and their chain."""

import csv
import io
import json
import os
import re
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.consent.gate import gate_consent
from pipelines.contracts import Feed, Placement, Referral
from pipelines.night import seal
from pipelines.referral.compose import FIRST_HASH, compose_feeds, count_withheld, keep_carers, place_flags
from pipelines.referral.draft import Draft
from pipelines.referral.render import FeedHeader, hash_content, render_feed
from pipelines.referral.verify import verify_chain, verify_feed

ON = date(2026, 3, 20)
KEY = b"a secret of the tests"
PROTOCOL = "order-704/2022-11-01"
PMPC = pl.DataFrame({"pmpc_id": ["P-71", "P-75"], "pmpc_name": ["ПМПК № 10, Астана", "ПМПК, Алматы"]})
CATCHMENT = pl.DataFrame(
    [
        ("7110", "P-71", date(2020, 1, 1), None),
        ("7510", "P-71", date(2020, 1, 1), date(2026, 3, 19)),
        ("7510", "P-75", date(2026, 3, 20), None),
    ],
    schema={"kato4": pl.String, "pmpc_id": pl.String, "valid_from": pl.Date, "valid_to": pl.Date},
    orient="row",
)
FLAG = {
    "flag_id": pl.String, "child_key": pl.Int64, "programme": pl.String, "disorder": pl.String, "rule_code": pl.String,
    "protocol": pl.String, "paragraph": pl.String, "examined_on": pl.Date, "last_risk_on": pl.Date, "age_days": pl.Int64, "inputs": pl.String,
}  # fmt: skip
BIRTH = {
    "child_key": pl.Int64, "birth_on": pl.Date, "kato4": pl.String, "maternity_id": pl.String, "phc_id": pl.String,
    "died_on": pl.Date,
}  # fmt: skip
CONSENT = {
    "record_key": pl.Int64, "child_key": pl.Int64, "purpose": pl.String, "decision": pl.String, "decided_on": pl.Date,
    "valid_until": pl.Date, "authority_code": pl.String, "has_authority_document": pl.Boolean, "is_cancelled": pl.Boolean,
}  # fmt: skip
ANSWER = {
    "child_key": pl.Int64, "programme": pl.String, "confirmation": pl.String, "confirmed_on": pl.Date,
    "is_cancelled": pl.Boolean,
}  # fmt: skip
REPORT = {"referral_id": pl.String, "report_status": pl.String, "reported_on": pl.Date, "category_codes": pl.String, "is_cancelled": pl.Boolean}
REFERRAL = {
    "referral_id": pl.String, "item_kind": pl.String, "child_key": pl.Int64, "episode_no": pl.Int64, "pmpc_id": pl.String,
    "feed_no": pl.Int64, "composed_on": pl.Date, "consent_key": pl.Int64, "flag_ids": pl.String,
}  # fmt: skip
ITEM = [name for name in REFERRAL if name != "feed_no"]
FEED = {
    "pmpc_id": pl.String, "feed_no": pl.Int64, "composed_on": pl.Date, "item_count": pl.Int64, "referral_count": pl.Int64,
    "recall_count": pl.Int64, "zero_reason": pl.String, "content_hash": pl.String, "previous_hash": pl.String,
}  # fmt: skip
TSH = {"component": "tsh", "value": 31.5, "unit": "m[IU]/L", "result_code": None, "examined_on": "2026-03-01"}
EAR = {"component": "oae_left", "value": None, "unit": None, "result_code": "refer", "examined_on": "2026-03-02"}
MEAN = {"component": "motor", "value": 1.5, "unit": None, "result_code": None, "examined_on": "2026-03-02"}


def day(number):
    return date(2026, 3, number)


def draw_flags(*rows):
    """Rows of (flag, child, programme[, inputs])."""
    return pl.DataFrame(
        [
            (
                row[0],
                row[1],
                row[2],
                "tsh",
                "tsh_high",
                PROTOCOL,
                "p. 47",
                day(1),
                day(1),
                60,
                json.dumps(list(row[3:]) or [TSH]),
            )
            for row in rows
        ],
        schema=FLAG,
        orient="row",
    )


def draw_births(*rows):
    """Rows of (child, what differs from a child of January 2026 in district 7110)."""
    usual = {"birth_on": date(2026, 1, 5), "kato4": "7110", "maternity_id": "M1", "phc_id": "C1", "died_on": None}
    return pl.DataFrame([usual | {"child_key": row[0]} | dict(*row[1:]) for row in rows], schema=BIRTH)


def draw_consents(*rows):
    """Rows of (child, decision, day, what differs from the mother's without a term); the key is 100 x child + day."""
    usual = {"purpose": "pmpc_referral", "valid_until": None, "authority_code": "mother", "has_authority_document": False,
             "is_cancelled": False}  # fmt: skip
    return pl.DataFrame(
        [
            usual | {"record_key": 100 * child + number, "child_key": child, "decision": decision, "decided_on": day(number)} | dict(*rest)
            for child, decision, number, *rest in rows
        ],
        schema=CONSENT,
    )


def draw_answers(*rows):
    """Rows of (child, programme, answer, day)."""
    return pl.DataFrame(
        [(child, programme, answer, day(number), False) for child, programme, answer, number in rows],
        schema=ANSWER,
        orient="row",
    )


def draw_reports(*rows):
    """Rows of (referral, status, day, categories)."""
    return pl.DataFrame(
        [(ref, status, day(number), categories[0] if categories else None, False) for ref, status, number, *categories in rows],
        schema=REPORT, orient="row",
    )  # fmt: skip


def draw_referrals(*rows):
    """Rows of (referral, kind, child, episode, flags), sent to P-71 on 10 March."""
    return pl.DataFrame(
        [(ref, kind, child, no, "P-71", 1, day(10), 7, flags) for ref, kind, child, no, flags in rows],
        schema=REFERRAL,
        orient="row",
    )


ONE_FLAG = draw_flags(("F1", 1, "hearing"))
ONE_CHILD = draw_births((1,))
GIVEN = draw_consents((1, "given", 5))
CONFIRMED = draw_answers((1, "hearing", "confirmed", 6))
NO_REPORT, NO_REFERRAL, NO_FEED = draw_reports(), draw_referrals(), pl.DataFrame(schema=FEED)
SENT = draw_referrals(("R1", "referral", 1, 1, "F1"))


def place(
    flag=ONE_FLAG, consent=GIVEN, answer=CONFIRMED, birth=ONE_CHILD, referral=NO_REFERRAL, report=NO_REPORT, on=ON
):
    gated = gate_consent(flag, consent, answer, on)
    return place_flags(flag, gated, birth, referral, report, CATCHMENT, on, KEY)


def where(placed):
    return placed.placement.select("flag_id", "place", "reason").rows()


def commit(referral, placed, on=ON):
    """The referrals as they are kept after the night."""
    return pl.concat([referral, placed.item.with_columns(feed_no=pl.lit(1, pl.Int64)).select(list(REFERRAL))])


# ------------------------------------------------------------------------------------------------ places


def test_consented_and_confirmed_flag_is_referred_to_the_pmpc_of_the_district():
    placed = place()
    ref = placed.item["referral_id"].item()
    assert re.fullmatch(r"R[0-9a-f]{24}", ref)
    assert placed.item.rows() == [(ref, "referral", 1, 1, "P-71", ON, 105, "F1")]
    assert placed.placement.rows() == [("F1", 1, "referred", "awaiting_pmpc", "C1", ref)]
    assert placed.recall.is_empty()


def test_item_and_placement_are_rows_of_the_lake():
    placed = place()
    assert placed.item.columns == [name for name in Referral.column_names() if name != "feed_no"]
    kept = ["known_from", "known_to"]
    assert placed.placement.columns == [name for name in Placement.column_names() if name not in kept]
    Referral.validate(placed.item.with_columns(feed_no=pl.lit(1, pl.Int64)))
    Placement.validate(placed.placement.with_columns(known_from=pl.lit(ON), known_to=pl.lit(None, pl.Date)), cast=True)


@pytest.mark.parametrize(
    ("change", "place_and_reason"),
    [
        ({"birth": draw_births((1, {"died_on": ON}))}, ("closed", "child_died")),
        ({"birth": draw_births((1, {"died_on": day(21)}))}, ("referred", "awaiting_pmpc")),
        ({"referral": SENT, "report": draw_reports(("R1", "7.0", 15))}, ("closed", "concluded")),
        ({"referral": SENT, "report": draw_reports(("R1", "7.0", 21))}, ("referred", "awaiting_pmpc")),
        ({"referral": SENT, "report": draw_reports(("R1", "4.0", 15))}, ("withheld", "declined_by_pmpc")),
        ({"referral": SENT, "report": draw_reports(("R1", "6.0", 15))}, ("withheld", "declined_by_pmpc")),
        (
            {"referral": SENT, "report": draw_reports(("R1", "4.0", 15), ("R1", "3.0", 16))},
            ("referred", "awaiting_pmpc"),
        ),
        ({"referral": SENT, "report": draw_reports(("R1", "7.0", 15), ("R1", "5.1.1", 16))}, ("closed", "concluded")),
        ({"referral": SENT}, ("referred", "awaiting_pmpc")),
        ({"answer": draw_answers((1, "hearing", "rejected", 6))}, ("closed", "rejected_by_worker")),
        ({"answer": draw_answers()}, ("withheld", "confirmation_pending")),
        ({"consent": draw_consents()}, ("withheld", "consent_pending")),
        ({"birth": draw_births((1, {"kato4": None}))}, ("withheld", "catchment_unknown")),
        ({"birth": draw_births((1, {"kato4": "1010"}))}, ("withheld", "catchment_unknown")),
        ({"birth": draw_births((1, {"birth_on": date(2023, 3, 20)}))}, ("aged_out", "turned_3")),
        ({"birth": draw_births((1, {"birth_on": date(2023, 3, 21)}))}, ("referred", "awaiting_pmpc")),
        (
            {"birth": draw_births((1, {"birth_on": date(2023, 3, 20)})), "consent": draw_consents()},
            ("aged_out", "turned_3"),
        ),
        (
            {"birth": draw_births((1, {"birth_on": date(2023, 3, 20)})), "referral": SENT},
            ("referred", "awaiting_pmpc"),
        ),
    ],
)
def test_flag_is_in_one_place_with_its_reason(change, place_and_reason):
    placed = place(**change)
    assert where(placed) == [("F1", *place_and_reason)]
    is_new = place_and_reason[0] == "referred" and "referral" not in change
    assert placed.item.height == is_new


def test_child_of_29_february_turns_3_on_28_february():
    leap = draw_births((1, {"birth_on": date(2024, 2, 29)}))
    assert where(place(birth=leap, on=date(2027, 2, 27))) == [("F1", "referred", "awaiting_pmpc")]
    assert where(place(birth=leap, on=date(2027, 2, 28))) == [("F1", "aged_out", "turned_3")]


def test_worklist_is_of_the_primary_care_or_else_of_the_maternity_organisation():
    silent = {"consent": draw_consents()}
    assert place(**silent).placement["owner_id"].item() == "C1"
    assert place(**silent, birth=draw_births((1, {"phc_id": None}))).placement["owner_id"].item() == "M1"
    for carer, owner in ((["C1", "M1"], "C1"), (["M1"], "M1"), (["C2"], None)):
        assert place(**silent, birth=keep_carers(ONE_CHILD, carer)).placement["owner_id"].item() == owner


def test_child_belongs_to_the_pmpc_its_district_has_on_the_night():
    moved = {"birth": draw_births((1, {"kato4": "7510"}))}
    assert place(**moved, on=day(19)).item["pmpc_id"].item() == "P-71"
    assert place(**moved, on=day(20)).item["pmpc_id"].item() == "P-75"


def test_flags_of_one_night_are_one_referral_and_a_later_flag_the_next_episode():
    answer = draw_answers(*((1, name, "confirmed", 6) for name in ("hearing", "autism", "eyes")))
    first = place(draw_flags(("F2", 1, "autism"), ("F1", 1, "hearing")), answer=answer)
    assert first.item.select("episode_no", "flag_ids").rows() == [(1, "F1 F2")]
    flags = draw_flags(("F2", 1, "autism"), ("F1", 1, "hearing"), ("F3", 1, "eyes"))
    second = place(flags, answer=answer, referral=commit(NO_REFERRAL, first))
    assert second.item.select("episode_no", "flag_ids").rows() == [(2, "F3")]
    assert second.placement["place"].to_list() == ["referred"] * 3
    assert second.item["referral_id"].item() != first.item["referral_id"].item()


@pytest.mark.parametrize(
    ("report", "found_on", "place_and_reason"),
    [
        (("R1", "7.0", 12, "none"), 12, ("closed", "concluded")),
        (("R1", "7.0", 12, "none"), 13, ("referred", "awaiting_pmpc")),
        (("R1", "7.0", 12, "speech"), 13, ("closed", "concluded")),
        (("R1", "5.1.4", 12), 13, ("referred", "awaiting_pmpc")),
    ],
)
def test_what_is_found_again_after_a_conclusion_that_found_nothing_is_the_next_episode(report, found_on, place_and_reason):
    found_again = ONE_FLAG.with_columns(last_risk_on=pl.lit(day(found_on)))
    placed = place(flag=found_again, referral=SENT, report=draw_reports(report))
    assert where(placed) == [("F1", *place_and_reason)]
    is_new = found_on == 13 and report[3:] == ("none",)
    assert placed.item["episode_no"].to_list() == [2] * is_new
    assert place(flag=found_again, referral=commit(SENT, placed), report=draw_reports(report)).item.is_empty()


def test_flag_of_a_child_who_is_not_on_the_spine_is_a_broken_promise():
    with pytest.raises(AssertionError, match="not on the spine"):
        place(birth=draw_births())


def test_district_with_two_pmpcs_is_refused():
    twice = pl.concat([CATCHMENT, CATCHMENT.with_columns(pmpc_id=pl.lit("P-99"))])
    gated = gate_consent(ONE_FLAG, GIVEN, CONFIRMED, ON)
    with pytest.raises(ValueError, match="two PMPCs"):
        place_flags(ONE_FLAG, gated, ONE_CHILD, NO_REFERRAL, NO_REPORT, twice, ON, KEY)


# ------------------------------------------------------------------------------------------------ recalls

WITHDRAWN = draw_consents((1, "given", 5), (1, "withdrawn", 12))
AUTOMATED = {"purpose": "automated_processing"}


@pytest.mark.parametrize(
    ("change", "reason", "left"),
    [
        ({"consent": WITHDRAWN}, "consent_withdrawn", [("F1", "withheld", "consent_withdrawn")]),
        (
            {"consent": draw_consents((1, "given", 5), (1, "refused", 12))},
            "consent_withdrawn",
            [("F1", "withheld", "consent_refused")],
        ),
        ({"consent": draw_consents()}, "consent_cancelled", [("F1", "withheld", "consent_pending")]),
        ({"flag": draw_flags()}, "result_corrected", []),
        ({"flag": draw_flags(), "consent": WITHDRAWN}, "consent_withdrawn", []),
        (
            {"answer": draw_answers((1, "hearing", "rejected", 12))},
            "rejected_by_worker",
            [("F1", "closed", "rejected_by_worker")],
        ),
        ({"answer": draw_answers()}, "confirmation_cancelled", [("F1", "withheld", "confirmation_pending")]),
        (
            {"answer": draw_answers(), "consent": draw_consents((1, "given", 5), (1, "given", 6, AUTOMATED), (1, "withdrawn", 12, AUTOMATED))},
            "confirmation_cancelled",
            [("F1", "withheld", "confirmation_pending")],
        ),
        ({"birth": draw_births((1, {"died_on": day(15)}))}, "child_died", [("F1", "closed", "child_died")]),
        (
            {"consent": WITHDRAWN, "report": draw_reports(("R1", "7.0", 15))},
            "consent_withdrawn",
            [("F1", "closed", "concluded")],
        ),
    ],
)
def test_what_was_sent_and_no_longer_holds_is_recalled_once(change, reason, left):
    placed = place(**change, referral=SENT)
    assert placed.item.rows() == [("R1", "recall", 1, 1, "P-71", ON, 7, "F1")]
    assert placed.recall.rows() == [("R1", reason)]
    assert where(placed) == left
    again = place(**change, referral=commit(SENT, placed), on=day(21))
    assert again.item.is_empty() and again.recall.is_empty()
    assert where(again) == left


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"flag": draw_flags(), "report": draw_reports(("R1", "7.0", 15))},
        {"flag": draw_flags(), "report": draw_reports(("R1", "4.0", 15))},
        {"birth": draw_births((1, {"died_on": day(15)})), "report": draw_reports(("R1", "7.0", 15))},
        {"answer": draw_answers(), "report": draw_reports(("R1", "7.0", 15))},
        {"answer": draw_answers(), "consent": draw_consents((1, "given", 5), (1, "given", 6, AUTOMATED | {"valid_until": day(15)}))},
    ],
)
def test_what_stands_or_was_answered_is_not_recalled(change):
    assert place(**change, referral=SENT).item.is_empty()


def test_referral_stands_while_one_of_its_flags_stands():
    sent = draw_referrals(("R1", "referral", 1, 1, "F1 F2"))
    placed = place(referral=sent)
    assert placed.item.is_empty()
    assert where(placed) == [("F1", "referred", "awaiting_pmpc")]


def test_referral_stands_while_somebody_confirms_one_of_its_flags():
    flag = draw_flags(("F1", 1, "hearing"), ("F2", 1, "autism"))
    placed = place(flag=flag, referral=draw_referrals(("R1", "referral", 1, 1, "F1 F2")))
    assert placed.item.is_empty()
    assert where(placed) == [("F1", "referred", "awaiting_pmpc"), ("F2", "referred", "awaiting_pmpc")]


def test_consent_given_again_after_a_recall_is_the_next_episode():
    given_again = draw_consents((1, "given", 5), (1, "withdrawn", 12), (1, "given", 18))
    recalled = draw_referrals(("R1", "referral", 1, 1, "F1"), ("R1", "recall", 1, 1, "F1"))
    assert place(consent=given_again, referral=recalled).item["episode_no"].item() == 2


NOBODYS = {"authority_code": "guardian"}
RUN_OUT = {"valid_until": day(15)}


@pytest.mark.parametrize(
    ("consents", "reason"),
    [
        ([(1, "given", 5), (1, "withdrawn", 12), (1, "given", 13, NOBODYS)], "consent_withdrawn"),
        ([(1, "given", 5), (1, "refused", 12), (1, "given", 13, RUN_OUT)], "consent_withdrawn"),
        ([(1, "given", 5, {"is_cancelled": True}), (1, "given", 13, NOBODYS)], "consent_cancelled"),
        ([(1, "given", 5, {"is_cancelled": True}), (1, "given", 13, RUN_OUT)], "consent_cancelled"),
        ([(1, "given", 5, NOBODYS)], "consent_cancelled"),
        ([(1, "given", 5, {"is_cancelled": True}), (1, "given", 13)], None),
        ([(1, "given", 5), (1, "withdrawn", 12), (1, "given", 13)], None),
        ([(1, "given", 5), (1, "given", 13, NOBODYS)], None),
        ([(1, "given", 5, RUN_OUT)], None),
        ([(1, "given", 5), (1, "given", 6, RUN_OUT)], None),
        ([(1, "withdrawn", 4), (1, "given", 5, RUN_OUT)], None),
    ],
)
def test_only_a_proven_consent_of_a_later_day_keeps_back_a_recall_and_one_that_ran_out_recalls_nothing(consents, reason):
    sent = SENT.with_columns(consent_key=pl.lit(105, pl.Int64))
    assert place(consent=draw_consents(*consents), referral=sent).recall["reason"].to_list() == [reason] * (reason is not None)


# ------------------------------------------------------------------------------------------------ laws

days = st.integers(1, 28)
children = st.integers(1, 3)
programmes = st.sampled_from(["hearing", "autism"])
worlds = st.fixed_dictionaries(
    {
        "flag": st.lists(st.tuples(children, programmes), max_size=6, unique=True),
        "consent": st.lists(
            st.tuples(children, st.sampled_from(["given", "refused", "withdrawn"]), days),
            max_size=6,
            unique_by=lambda row: (row[0], row[2]),
        ),
        "answer": st.lists(
            st.tuples(children, programmes, st.sampled_from(["confirmed", "confirmed", "rejected"]), days), max_size=6
        ),
        "birth": st.lists(
            st.fixed_dictionaries(
                {
                    "birth_on": st.dates(date(2023, 3, 10), date(2023, 4, 10)),
                    "kato4": st.sampled_from(["7110", "7510", "1010", None]),
                    "died_on": st.sampled_from([None, None, None, day(20)]),
                }
            ),
            min_size=3,
            max_size=3,
        ),
    }
)


def build(world):
    return {
        "flag": draw_flags(*((f"F{child}{name}", child, name) for child, name in world["flag"])),
        "consent": draw_consents(*world["consent"]),
        "answer": draw_answers(*world["answer"]),
        "birth": draw_births(*enumerate(world["birth"], start=1)),
    }


def live(world, nights, repeats=1, seed=None):
    """Night after night, each repeated: the referrals kept, and what each night placed."""
    referral, history = NO_REFERRAL, []
    for night in nights:
        for _ in range(repeats):
            frames = build(world)
            if seed is not None:
                frames = {name: frame.sample(fraction=1, shuffle=True, seed=seed) for name, frame in frames.items()}
            placed = place(**frames, referral=referral, on=night)
            referral = commit(referral, placed)
            history.append(placed)
    return referral, history


NIGHTS = [day(number) for number in (8, 16, 24)]


@settings(max_examples=25, deadline=None)
@given(worlds)
def test_law_4_every_flag_is_in_exactly_one_place_every_night(world):
    _, history = live(world, NIGHTS)
    for placed in history:
        assert sorted(placed.placement["flag_id"]) == sorted(f"F{child}{name}" for child, name in world["flag"])
        assert placed.placement["reason"].null_count() == 0
        referred = placed.placement.filter(pl.col("place") == "referred")
        assert referred["referral_id"].null_count() == 0
        held = placed.placement.filter(pl.col("place") == "withheld")
        assert held["owner_id"].null_count() == 0


@settings(max_examples=12, deadline=None)
@given(worlds, st.integers(0, 50))
def test_law_8_repeating_a_night_and_the_order_of_rows_send_nothing_more(world, seed):
    once, _ = live(world, NIGHTS)
    often, _ = live(world, NIGHTS, repeats=2, seed=seed)
    assert once.sort(list(REFERRAL)).equals(often.sort(list(REFERRAL)))
    assert not once.select("child_key", "episode_no", "item_kind").is_duplicated().any()
    standing = once.filter(pl.col("item_kind") == "referral").join(
        once.filter(pl.col("item_kind") == "recall"), on="referral_id", how="anti"
    )
    flag_ids = [flag_id for flag_ids in standing["flag_ids"] for flag_id in flag_ids.split()]
    assert len(flag_ids) == len(set(flag_ids))


@settings(max_examples=30, deadline=None)
@given(worlds, children, days, st.sampled_from(NIGHTS), st.booleans())
def test_law_3_one_more_withdrawal_never_adds_a_referral(world, child, number, night, has_history):
    referral, _ = live(world, [day(4)]) if has_history else (NO_REFERRAL, [])
    before = place(**build(world), referral=referral, on=night).item
    if any(row[0] == child and row[2] == number for row in world["consent"]):
        return
    more = world | {"consent": [*world["consent"], (child, "withdrawn", number)]}
    after = place(**build(more), referral=referral, on=night).item
    kinds = pl.col("item_kind") == "referral"
    assert set(after.filter(kinds)["referral_id"]) <= set(before.filter(kinds)["referral_id"])


void_consents = st.one_of(
    st.tuples(days, st.just(NOBODYS)),
    st.tuples(days, st.just({"valid_until": day(7)})),
    st.tuples(st.integers(25, 28), st.just({})),
)
"""Consents that are unproven, had run out before every night, or are of a day after them all."""
said_since = st.lists(
    st.tuples(
        st.just(1),
        st.sampled_from(["given", "refused", "withdrawn"]),
        st.integers(6, 26),
        st.sampled_from([{}, {}, NOBODYS, NOBODYS | {"has_authority_document": True}, RUN_OUT, {"is_cancelled": True}]),
    ),
    max_size=3,
    unique_by=lambda row: row[2],
)


@settings(max_examples=80, deadline=None)
@given(said_since, void_consents, st.booleans(), st.booleans(), st.sampled_from([day(16), day(24)]))
def test_law_3_one_more_consent_that_is_unproven_or_out_of_force_adds_no_referral_and_keeps_back_no_recall(
    since, void, was_sent, is_cancelled, night
):
    mothers = (1, "given", 5, {"is_cancelled": is_cancelled})
    referral = SENT.with_columns(consent_key=pl.lit(105, pl.Int64)) if was_sent else NO_REFERRAL
    number, differs = void
    more = (1, "given", number, differs | {"record_key": 999})
    before, after = (
        place(consent=draw_consents(mothers, *since, *rest), referral=referral, on=night).item for rest in ((), (more,))
    )
    for kind, (fewer, others) in {"referral": (after, before), "recall": (before, after)}.items():
        is_kind = pl.col("item_kind") == kind
        assert set(fewer.filter(is_kind)["referral_id"]) <= set(others.filter(is_kind)["referral_id"])


# ------------------------------------------------------------------------------------------------ numbers


def test_every_pmpc_gets_a_feed_and_an_empty_one_says_why():
    placed = place()
    quiet = count_withheld(placed.placement, ONE_CHILD, CATCHMENT, ON)
    feeds = compose_feeds(placed.item, PMPC, NO_FEED, quiet, ON, had_arrivals=True)
    assert set(feeds.columns) == {"pmpc_name", *Feed.column_names()} - {"content_hash"}
    assert feeds.drop("pmpc_name").rows() == [
        ("P-71", 1, ON, 1, 1, 0, None, FIRST_HASH),
        ("P-75", 1, ON, 0, 0, 0, "no_flags", FIRST_HASH),
    ]


def test_zero_feed_tells_waiting_for_consent_from_nothing_to_send_and_from_nothing_received():
    placed = place(consent=draw_consents())
    waiting = count_withheld(placed.placement, ONE_CHILD, CATCHMENT, ON)
    assert waiting.rows() == [("P-71", 1)]
    feeds = compose_feeds(placed.item, PMPC, NO_FEED, waiting, ON, had_arrivals=True)
    assert feeds["zero_reason"].to_list() == ["consent_pending", "no_flags"]
    late = compose_feeds(placed.item, PMPC, NO_FEED, waiting, ON, had_arrivals=False)
    assert late["zero_reason"].to_list() == ["no_arrivals", "no_arrivals"]


def test_feeds_are_numbered_without_gaps_and_a_night_is_not_composed_twice():
    nothing = place().item.clear()
    none_withheld = pl.DataFrame(schema={"pmpc_id": pl.String, "withheld_count": pl.Int64})
    ledger = NO_FEED
    for night in (day(18), day(19), day(19), day(20)):
        feeds = compose_feeds(nothing, PMPC, ledger, none_withheld, night, had_arrivals=True)
        assert feeds.height == (0 if night in ledger["composed_on"] else 2)
        hashed = feeds.with_columns(content_hash=pl.concat_str("pmpc_id", "feed_no")).select(list(FEED))
        ledger = pl.concat([ledger, hashed])
    assert ledger.sort("pmpc_id", "feed_no")["feed_no"].to_list() == [1, 2, 3, 1, 2, 3]
    assert verify_chain(ledger) == []
    late = compose_feeds(place().item, PMPC, ledger, none_withheld, ON, had_arrivals=True)
    assert late.select("pmpc_id", "feed_no", "item_count").rows() == [("P-71", 4, 1)]


NONE_WITHHELD = pl.DataFrame(schema={"pmpc_id": pl.String, "withheld_count": pl.Int64})


def test_referral_to_an_unknown_pmpc_is_refused():
    with pytest.raises(ValueError, match="P-71"):
        compose_feeds(place().item, PMPC.tail(1), NO_FEED, NONE_WITHHELD, ON, had_arrivals=True)


def test_pmpc_that_has_left_the_register_is_told_what_is_taken_back_of_what_it_was_sent():
    taken_back = place(consent=WITHDRAWN, referral=SENT).item
    feeds = compose_feeds(taken_back, PMPC.tail(1), NO_FEED, NONE_WITHHELD, ON, had_arrivals=True)
    assert feeds.select("pmpc_id", "pmpc_name", "recall_count").rows() == [("P-71", "P-71", 1), ("P-75", PMPC["pmpc_name"][-1], 0)]


# ------------------------------------------------------------------------------------------------ files

PERSON = {
    "child_key": pl.Int64, "child_iin": pl.String, "family_name": pl.String, "given_name": pl.String,
    "mother_family_name": pl.String, "birth_on": pl.Date, "birth_order": pl.Int64, "plurality": pl.Int64,
    "sex_code": pl.String, "address": pl.String, "phone": pl.String,
}  # fmt: skip
HEADER = FeedHeader("P-71", "ПМПК № 10, Астана", 3, ON, "a" * 64, None)
ZERO = HEADER._replace(zero_reason="no_flags")


def draw_persons(*rows):
    usual = {"child_key": 1, "child_iin": "250314500010", "family_name": "Ахметов", "given_name": "Әлихан",
             "mother_family_name": "Ахметова", "birth_on": date(2025, 3, 14), "birth_order": 1, "plurality": 1,
             "sex_code": "male", "address": "Астана, ул. Кенесары, 1", "phone": "+7 700 000 00 00"}  # fmt: skip
    return pl.DataFrame([usual | row for row in rows], schema=PERSON)


FLAGS = draw_flags(
    ("F1", 1, "hearing", EAR),
    ("F2", 1, "blood_spot", TSH, TSH | {"component": "46762-1", "value": None, "result_code": "out_of_range"}),
    ("F3", 2, "development", MEAN, MEAN | {"component": "speech", "value": None}),
)
ITEMS = pl.DataFrame(
    [
        ("R" + "1" * 24, "referral", 1, 1, "P-71", ON, 105, "F1 F2"),
        ("R" + "2" * 24, "referral", 2, 2, "P-71", ON, 205, "F3"),
        ("R" + "3" * 24, "recall", 3, 1, "P-71", ON, 305, "F9"),
    ],
    schema={name: REFERRAL[name] for name in ITEM},
    orient="row",
)
RECALL = pl.DataFrame({"referral_id": ["R" + "3" * 24], "reason": ["consent_withdrawn"]})
PERSONS = draw_persons(
    {},
    {"child_key": 2, "child_iin": None, "given_name": "GIRL B", "family_name": None, "plurality": 2, "birth_order": 2,
     "sex_code": "unknown", "address": "=HYPERLINK(1)\n\u00a0кв. 2", "phone": " "},
    {"child_key": 3, "family_name": "Сапаров", "child_iin": "250314500121"},
)  # fmt: skip


def render(header=HEADER, item=ITEMS, person=PERSONS, flag=FLAGS, recall=RECALL):
    return render_feed(header, item, person, flag, recall)


def read_table(files):
    return list(csv.DictReader(io.StringIO(files["referral.csv"].decode(), newline="")))


def read_bundle(files):
    return json.loads(files["bundle.json"])


def resources(files, kind):
    return [entry["resource"] for entry in read_bundle(files)["entry"] if entry["resource"]["resourceType"] == kind]


def find_empty(part):
    inner = list(part.values()) if isinstance(part, dict) else part if isinstance(part, list) else []
    return part in ([], {}, "", None) or any(find_empty(value) for value in inner)


def test_table_has_the_columns_of_annex_17_and_what_a_machine_needs():
    rows = read_table(render())
    assert list(rows[0]) == [
        "full_name", "age_months", "home_address", "diagnosis", "referred_on", "examined_on", "birth_on", "referral_id",
        "pmpc_id", "item_kind", "consent_reference",
    ]  # fmt: skip
    assert rows[0] == {
        "full_name": "Ахметов Әлихан", "age_months": "12", "home_address": "Астана, ул. Кенесары, 1",
        "diagnosis": "аудиологический скрининг, риск: врождённый гипотиреоз (ТТГ) (правило tsh_high, order-704/2022-11-01, p. 47); "
                     "неонатальный скрининг, риск: врождённый гипотиреоз (ТТГ) (правило tsh_high, order-704/2022-11-01, p. 47)",
        "referred_on": "2026-03-20", "examined_on": "", "birth_on": "2025-03-14", "referral_id": "R" + "1" * 24,
        "pmpc_id": "P-71", "item_kind": "referral", "consent_reference": "105",
    }  # fmt: skip


def test_child_without_a_name_is_called_by_the_mother_and_the_order_of_birth():
    rows = read_table(render())
    assert rows[1]["full_name"] == "Ахметова, ребёнок 2"
    name = resources(render(), "Patient")[1]["name"]
    assert name == [{"use": "temp", "text": "Ахметова, ребёнок 2", "family": "Ахметова"}]


@pytest.mark.parametrize("given", ["BOY", "Baby Boy", "BB A", "girl 2", "Мальчик", "ДЕВОЧКА 1", "нәресте", "", None])
def test_placeholder_of_the_sender_is_no_name(given):
    files = render(item=ITEMS.head(1), person=draw_persons({"given_name": given}))
    assert read_table(files)[0]["full_name"] == "Ахметов, ребёнок"


@pytest.mark.parametrize("given", ["Бал", "Анна-Мария", "Ұлан", "Бота А", "Boyan", "Балауса"])
def test_name_that_only_begins_like_a_placeholder_is_a_name(given):
    files = render(item=ITEMS.head(1), person=draw_persons({"given_name": given}))
    assert read_table(files)[0]["full_name"] == f"Ахметов {given}"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", " ="])
def test_text_that_a_spreadsheet_would_run_is_neutralised(start):
    files = render(item=ITEMS.head(1), person=draw_persons({"address": start + "1+1", "family_name": start + "A"}))
    row = read_table(files)[0]
    assert row["home_address"].startswith("'") and row["full_name"].startswith("'")
    assert resources(files, "Patient")[0]["address"][0]["text"] == start.strip() + "1+1"


def test_recall_names_no_child():
    files = render(item=ITEMS.tail(1))
    assert [entry["resource"]["resourceType"] for entry in read_bundle(files)["entry"]] == ["Task"]
    task = resources(files, "Task")[0]
    assert task["businessStatus"]["coding"][0]["code"] == "5.2"
    assert task["focus"] == {
        "type": "ServiceRequest",
        "identifier": {"system": "urn:erte:referral", "value": "R" + "3" * 24},
    }
    row = read_table(files)[0]
    assert (row["item_kind"], row["full_name"], row["birth_on"], row["home_address"]) == ("recall", "", "", "")
    assert "Сапаров" not in "".join(content.decode() for content in files.values())


def test_death_of_a_child_is_not_told_to_the_pmpc():
    files = render(item=ITEMS.tail(1), recall=RECALL.with_columns(reason=pl.lit("child_died")))
    assert "died" not in files["bundle.json"].decode()


def test_results_behind_a_flag_go_with_their_codes_and_units():
    found = {result["code"]["coding"][-1]["code"]: result for result in resources(render(), "Observation")}
    assert found["tsh"]["code"]["coding"][0] == {
        "system": "http://loinc.org", "code": "29575-8", "display": "Thyrotropin [Units/volume] in Dried blood spot",
    }  # fmt: skip
    assert found["tsh"]["valueQuantity"] == {
        "value": 31.5, "unit": "m[IU]/L", "code": "m[IU]/L", "system": "http://unitsofmeasure.org",
    }  # fmt: skip
    assert found["oae_left"]["valueCodeableConcept"]["coding"][0]["code"] == "LA10393-9"
    assert found["46762-1"]["code"]["coding"] == [{"system": "http://loinc.org", "code": "46762-1"}]
    assert found["motor"]["valueQuantity"]["code"] == "1"
    assert "dataAbsentReason" in found["speech"]


def test_loinc_of_moles_is_not_put_on_milligrams():
    phe = {"component": "phe", "value": 6.1, "unit": "mg/dL", "result_code": None, "examined_on": "2026-03-01"}
    files = render(item=ITEMS.head(1), flag=draw_flags(("F1", 1, "blood_spot", phe), ("F2", 1, "hearing", EAR)))
    coding = next(r for r in resources(files, "Observation") if "valueQuantity" in r)["code"]["coding"]
    assert coding == [{"system": "urn:erte:component", "code": "phe"}]


def test_bundle_is_a_transaction_whose_references_resolve_and_which_may_be_sent_again():
    bundle = read_bundle(render())
    urls = [entry["fullUrl"] for entry in bundle["entry"]]
    assert len(set(urls)) == len(urls) and all(re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", url) for url in urls)
    assert not find_empty(bundle)
    for entry in bundle["entry"]:
        resource = entry["resource"]
        assert entry["request"]["method"] == "POST" and entry["request"]["url"] == resource["resourceType"]
        if resource["resourceType"] != "Provenance":
            system, value = entry["request"]["ifNoneExist"].removeprefix("identifier=").split("|")
            assert {(known["system"], known["value"]) for known in resource["identifier"]} >= {(system, value)}
    assert {entry["resource"]["resourceType"] for entry in bundle["entry"]} == {
        "Patient", "Consent", "Observation", "ServiceRequest", "Task", "Provenance",
    }  # fmt: skip


def test_codes_with_a_required_binding_are_of_their_list():
    files = render()
    assert {patient["gender"] for patient in resources(files, "Patient")} <= {"male", "female", "other", "unknown"}
    assert {task["status"] for task in resources(files, "Task")} == {"requested"}
    assert {task["intent"] for task in resources(files, "Task")} == {"order"}
    assert {(r["status"], r["intent"]) for r in resources(files, "ServiceRequest")} == {("active", "order")}
    assert {consent["status"] for consent in resources(files, "Consent")} == {"active"}
    assert {result["status"] for result in resources(files, "Observation")} == {"final"}
    assert {e["role"] for p in resources(files, "Provenance") for e in p["entity"]} == {"source"}


def find_schema():
    """The R4 JSON schema: ERTE_FHIR_SCHEMA, or shared/schemas beside one of the folders above."""
    named = [Path(os.environ["ERTE_FHIR_SCHEMA"])] if "ERTE_FHIR_SCHEMA" in os.environ else []
    beside = [above / "shared" / "schemas" / "fhir.schema.r4.json" for above in Path(__file__).resolve().parents]
    return next((path for path in [*named, *beside] if path.exists()), None)


@pytest.mark.parametrize("is_empty", [False, True])
def test_bundle_is_valid_by_the_fhir_models(is_empty):
    from fhir.resources.R4B.bundle import Bundle

    files = render(ZERO, ITEMS.clear()) if is_empty else render()
    bundle = Bundle.model_validate_json(files["bundle.json"])
    assert len(bundle.entry or []) == (0 if is_empty else 16)


@pytest.mark.skipif(find_schema() is None, reason="the R4 schema is not at hand")
def test_bundle_is_valid_by_the_r4_schema():
    import jsonschema_rs

    schema = json.loads(find_schema().read_text(encoding="utf-8"))
    for kind in ("Bundle", "Patient", "Consent", "Observation", "ServiceRequest", "Task", "Provenance"):
        one = {"$schema": schema["$schema"], "definitions": schema["definitions"], "$ref": f"#/definitions/{kind}"}
        validator = jsonschema_rs.validator_for(one)
        found = [read_bundle(render()), read_bundle(render(ZERO, ITEMS.clear()))]
        for content in found if kind == "Bundle" else resources(render(), kind):
            assert [error.message for error in validator.iter_errors(content)] == []


def test_zero_feed_has_no_entry_and_a_reason():
    files = render(ZERO, ITEMS.clear())
    assert "entry" not in read_bundle(files)
    manifest = json.loads(files["manifest.json"])
    assert (manifest["zero_reason"], manifest["item_count"], read_table(files)) == ("no_flags", 0, [])
    with pytest.raises(AssertionError, match="not those of this feed"):
        render(HEADER, ITEMS.clear())


def test_manifest_holds_the_control_totals():
    files = render()
    manifest = json.loads(files["manifest.json"])
    assert manifest["totals"] == {"referral_count": 2, "recall_count": 1, "age_days_sum": 2 * 371}
    assert manifest["content_hash"] == hash_content(files)
    assert manifest["protocol"] == [PROTOCOL]


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 100))
def test_same_input_in_any_order_gives_the_same_bytes(seed):
    mixed = [frame.sample(fraction=1, shuffle=True, seed=seed) for frame in (ITEMS, PERSONS, FLAGS, RECALL)]
    assert render(HEADER, *mixed) == render()


class Deadly(pl.DataFrame):
    """A frame that ends the process to which it is sent."""

    def __reduce__(self):
        return os._exit, (1,)


def test_feeds_rendered_in_processes_are_the_same_and_those_of_a_process_that_dies_are_rendered_here(monkeypatch):
    monkeypatch.setattr(seal, "_WORTH_A_PROCESS", 1)
    drafts = [Draft(HEADER, ITEMS, PERSONS, FLAGS, RECALL), Draft(ZERO, ITEMS.clear(), PERSONS.clear(), FLAGS.clear(), RECALL)]
    here = [render(), render(ZERO, ITEMS.clear())]
    assert list(seal.render_all(drafts, 3, 2)) == here
    assert list(seal.render_all([*drafts, drafts[0]._replace(recall=Deadly(RECALL))], 3, 2)) == [*here, here[0]]


def test_two_zero_feeds_differ_by_number_and_by_the_feed_before():
    hashes = {
        hash_content(render(header, ITEMS.clear()))
        for header in (ZERO, ZERO._replace(feed_no=4), ZERO._replace(previous_hash="b" * 64))
    }
    assert len(hashes) == 3


def test_person_or_flag_that_is_missing_is_a_broken_promise():
    with pytest.raises(AssertionError, match="persons are given"):
        render(person=PERSONS.head(1))
    with pytest.raises(AssertionError, match="are given"):
        render(flag=FLAGS.head(1))


# ------------------------------------------------------------------------------------------------ checking


def test_whole_feed_has_nothing_wrong():
    assert verify_feed(render(), HEADER.previous_hash) == []
    assert verify_feed(render(ZERO, ITEMS.clear()), HEADER.previous_hash) == []


def change_manifest(files, **changes):
    return files | {"manifest.json": json.dumps(json.loads(files["manifest.json"]) | changes).encode()}


def drop_last_line(files):
    return files | {"referral.csv": b"\r\n".join(files["referral.csv"].split(b"\r\n")[:-2]) + b"\r\n"}


def drop_patient(files):
    bundle = read_bundle(files)
    bundle["entry"] = [entry for entry in bundle["entry"] if entry["resource"]["resourceType"] != "Patient"]
    return files | {"bundle.json": json.dumps(bundle).encode()}


@pytest.mark.parametrize(
    ("damage", "codes"),
    [
        (lambda files: {name: files[name] for name in files if name != "referral.csv"}, {"file_missing"}),
        (lambda files: files | {"note.txt": b""}, {"file_unexpected"}),
        (
            lambda files: files | {"referral.csv": files["referral.csv"].replace("Кенесары".encode(), b"X")},
            {"file_hash_mismatch", "content_hash_mismatch"},
        ),
        (drop_last_line, {"item_count_mismatch", "recall_count_mismatch", "csv_bundle_mismatch", "file_hash_mismatch"}),
        (drop_patient, {"reference_unresolved", "age_total_mismatch", "file_hash_mismatch", "content_hash_mismatch"}),
        (lambda files: files | {"bundle.json": files["bundle.json"][:-9]}, {"bundle_malformed"}),
        (lambda files: files | {"bundle.json": b"[]"}, {"bundle_malformed"}),
        (lambda files: files | {"manifest.json": b"{}"}, {"manifest_malformed"}),
        (lambda files: files | {"referral.csv": b"\xff"}, {"csv_malformed"}),
        (lambda files: change_manifest(files, feed_no=4), {"feed_no_mismatch"}),
        (lambda files: change_manifest(files, previous_hash="c" * 64), {"previous_hash_mismatch"}),
        (lambda files: change_manifest(files, composed_on="2026-03-21"), {"age_total_mismatch"}),
        (lambda files: change_manifest(files, composed_on="tomorrow"), {"age_total_mismatch"}),
        (lambda files: change_manifest(files, zero_reason="no_flags"), {"zero_reason_mismatch"}),
        (lambda files: change_manifest(files, pmpc_id="P-75"), {"pmpc_mismatch", "feed_no_mismatch"}),
    ],
)
def test_damage_is_found_and_named(damage, codes):
    assert codes <= set(verify_feed(damage(render()), HEADER.previous_hash))


def test_feed_that_does_not_follow_the_one_before_is_found():
    assert verify_feed(render(), "d" * 64) == ["previous_hash_mismatch"]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["bundle.json", "referral.csv", "manifest.json"]), st.integers(0), st.binary(max_size=3))
def test_no_change_of_content_goes_unseen_and_no_damage_raises(name, place_of, bytes_put):
    files = render()
    content = files[name]
    at = place_of % len(content)
    damaged = content[:at] + bytes_put + content[at + 1 :]
    wrong = verify_feed(files | {name: damaged}, HEADER.previous_hash)
    if damaged != content and name != "manifest.json":
        assert wrong


def draw_feeds(*rows):
    """Rows of (pmpc, number, hash, hash before)."""
    return pl.DataFrame(
        [
            (pmpc, number, ON + timedelta(days=number), 0, 0, 0, "no_flags", own, before)
            for pmpc, number, own, before in rows
        ],
        schema=FEED,
        orient="row",
    )


@pytest.mark.parametrize(
    ("rows", "breaks"),
    [
        ([("P", 1, "h1", FIRST_HASH), ("P", 2, "h2", "h1"), ("Q", 1, "q1", FIRST_HASH)], []),
        ([("P", 1, "h1", FIRST_HASH), ("P", 3, "h3", "h2")], [("P", 3, "feed_gap")]),
        ([("P", 2, "h2", "h1")], [("P", 2, "feed_gap")]),
        ([("P", 1, "h1", FIRST_HASH), ("P", 2, "h2", "hX")], [("P", 2, "previous_hash_mismatch")]),
        ([("P", 1, "h1", "hX")], [("P", 1, "previous_hash_mismatch")]),
        ([("P", 1, "h1", FIRST_HASH), ("P", 1, "h1", FIRST_HASH)], [("P", 1, "feed_repeated")]),
    ],
)
def test_break_in_the_chain_is_found(rows, breaks):
    assert verify_chain(draw_feeds(*rows)) == breaks
    assert verify_chain(draw_feeds(*reversed(rows))) == breaks
