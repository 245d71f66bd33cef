"""The gate: who may be referred on a day, and what each of the others lacks."""

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.consent.gate import Gated, gate_consent
from pipelines.contracts import AUTHORITIES, DECISIONS, PURPOSES

ON = date(2026, 3, 20)
FLAG = {"flag_id": pl.String, "child_key": pl.Int64, "programme": pl.String, "examined_on": pl.Date, "last_risk_on": pl.Date}
CONSENT = {
    "record_key": pl.Int64, "child_key": pl.Int64, "purpose": pl.String, "decision": pl.String, "decided_on": pl.Date,
    "valid_until": pl.Date, "authority_code": pl.String, "has_authority_document": pl.Boolean, "is_cancelled": pl.Boolean,
}  # fmt: skip
CONFIRMATION = {
    "child_key": pl.Int64, "programme": pl.String, "confirmation": pl.String, "confirmed_on": pl.Date,
    "is_cancelled": pl.Boolean,
}  # fmt: skip


def day(number):
    return date(2026, 3, number)


def draw_flags(*rows):
    """Rows of (flag, child, programme, examined on, found again on: without, only once)."""
    return pl.DataFrame([(*row, None)[:5] for row in rows], schema=FLAG, orient="row")


def draw_consents(*rows):
    """Rows of (decision, decided on, what differs from the mother's unlimited consent to a referral)."""
    usual = {"child_key": 1, "purpose": "pmpc_referral", "valid_until": None, "authority_code": "mother",
             "has_authority_document": False, "is_cancelled": False}  # fmt: skip
    return pl.DataFrame(
        [
            usual | {"record_key": 100 + number, "decision": row[0], "decided_on": day(row[1])} | dict(*row[2:])
            for number, row in enumerate(rows)
        ],
        schema=CONSENT,
    )


def draw_answers(*rows):
    return pl.DataFrame(
        [(1, "hearing", answer, day(number), False) for answer, number in rows], schema=CONFIRMATION, orient="row"
    )


ONE_FLAG = draw_flags(("F1", 1, "hearing", day(5)))
CONFIRMED = draw_answers(("confirmed", 6))
NO_ANSWER = draw_answers()
FOUND_AGAIN = draw_flags(("F1", 1, "hearing", day(5), day(9)))


def gate(consent, answers=CONFIRMED, flag=ONE_FLAG, on=ON) -> Gated:
    return gate_consent(flag, consent, answers, on)


def lack_of(gated: Gated) -> str | None:
    """What the one flag lacks; null when it is open."""
    return None if gated.open.height else pl.concat([gated.withheld, gated.closed])["reason"].item()


def test_consent_and_confirmation_open_the_gate():
    gated = gate(draw_consents(("given", 7)))
    assert gated.open.rows() == [("F1", 1, 100)]
    assert gated.withheld.is_empty() and gated.closed.is_empty() and gated.revoked.is_empty()


def test_silence_is_not_consent():
    assert gate(draw_consents()).withheld.rows() == [("F1", 1, "consent_pending")]


@pytest.mark.parametrize(
    ("consents", "doubted", "lack"),
    [
        ([("given", 7)], [100], "consent_unclear"),
        ([("given", 7)], [101], None),
        ([("given", 7), ("given", 8)], [100], None),
        ([("given", 7), ("given", 8)], [101], "consent_unclear"),
        ([("given", 7), ("given", 7)], [100], "consent_unclear"),
        ([("given", 7), ("given", 7)], [101], "consent_unclear"),
        ([("withdrawn", 7)], [100], "consent_withdrawn"),
        ([("withdrawn", 7), ("given", 8)], [100], None),
    ],
)
def test_a_consent_in_doubt_opens_nothing_and_a_later_one_does(consents, doubted, lack):
    gated = gate_consent(ONE_FLAG, draw_consents(*consents), CONFIRMED, ON, doubted)
    assert lack_of(gated) == lack
    assert gated.upheld.height == gate(draw_consents(*consents)).upheld.height  # what was sent on it stands


def test_consent_to_another_purpose_is_not_consent():
    others = [("given", 7, {"purpose": purpose}) for purpose in PURPOSES if purpose != "pmpc_referral"]
    assert lack_of(gate(draw_consents(*others))) == "consent_pending"


@pytest.mark.parametrize(
    ("consents", "lack"),
    [
        ([("given", 7), ("withdrawn", 8)], "consent_withdrawn"),
        ([("withdrawn", 7), ("given", 8)], None),
        ([("refused", 7), ("given", 8)], None),
        ([("given", 7), ("refused", 8)], "consent_refused"),
        ([("given", 7), ("refused", 7)], "consent_refused"),
        ([("given", 7), ("refused", 7), ("withdrawn", 7)], "consent_withdrawn"),
        ([("given", 21)], "consent_pending"),
        ([("given", 20)], None),
        ([("given", 7), ("withdrawn", 21)], None),
        ([("given", 7), ("withdrawn", 20)], "consent_withdrawn"),
        ([("given", 7), ("withdrawn", 8, {"is_cancelled": True})], None),
        ([("given", 7, {"is_cancelled": True})], "consent_pending"),
        ([("given", 7, {"valid_until": day(20)})], None),
        ([("given", 7, {"valid_until": day(19)})], "consent_expired"),
        ([("given", 7, {"valid_until": day(19)}), ("given", 7)], None),
    ],
)
def test_latest_decision_decides_and_on_the_same_day_withdrawal_beats_refusal_beats_consent(consents, lack):
    assert lack_of(gate(draw_consents(*consents))) == lack
    assert lack_of(gate(draw_consents(*reversed(consents)))) == lack


@pytest.mark.parametrize(
    ("answers", "lack"),
    [
        ([("rejected", 6)], "confirmation_pending"),
        ([("confirmed", 6)], None),
        ([("confirmed", 6), ("rejected", 7)], "confirmation_pending"),
        ([("rejected", 9)], "rejected_by_worker"),
        ([("rejected", 6), ("confirmed", 10)], None),
    ],
)
def test_what_is_found_again_after_a_rejection_is_proposed_again(answers, lack):
    assert lack_of(gate(draw_consents(("given", 7)), draw_answers(*answers), FOUND_AGAIN)) == lack


@pytest.mark.parametrize(
    ("authority", "has_document", "lack"),
    [
        ("mother", False, None),
        ("father", False, None),
        ("guardian", False, "authority_unproven"),
        ("guardian", True, None),
        ("foster_carer", False, "authority_unproven"),
        ("foster_carer", True, None),
        ("institution", True, None),
        (None, True, "authority_unproven"),
    ],
)
def test_representative_who_is_no_parent_needs_a_document(authority, has_document, lack):
    consent = draw_consents(("given", 7, {"authority_code": authority, "has_authority_document": has_document}))
    assert lack_of(gate(consent)) == lack


NOBODYS = {"authority_code": "guardian", "has_authority_document": False}
RUN_OUT = {"valid_until": day(19)}


@pytest.mark.parametrize(
    ("consents", "lack"),
    [
        ([("given", 7), ("withdrawn", 8), ("given", 9, NOBODYS)], "consent_withdrawn"),
        ([("given", 7), ("refused", 8), ("given", 9, NOBODYS)], "consent_refused"),
        ([("given", 7), ("withdrawn", 8), ("given", 9, RUN_OUT)], "consent_withdrawn"),
        ([("given", 7), ("withdrawn", 8), ("given", 21)], "consent_withdrawn"),
        ([("given", 7), ("withdrawn", 8), ("given", 9), ("given", 10, NOBODYS)], None),
        ([("given", 7), ("given", 8, NOBODYS)], None),
        ([("given", 7), ("given", 8, NOBODYS | RUN_OUT)], None),
        ([("given", 7), ("given", 8, RUN_OUT)], "consent_expired"),
        ([("given", 7), ("given", 8, RUN_OUT), ("given", 9, NOBODYS)], "authority_unproven"),
        ([("given", 7), ("withdrawn", 8, NOBODYS)], "consent_withdrawn"),
        ([("given", 7), ("refused", 8, NOBODYS), ("given", 9)], None),
        ([("withdrawn", 7), ("refused", 8, NOBODYS), ("given", 9, NOBODYS)], "consent_refused"),
    ],
)
def test_no_unproven_or_run_out_consent_hides_a_withdrawal_and_a_withdrawal_is_heard_from_anyone(consents, lack):
    gated = gate(draw_consents(*consents))
    assert lack_of(gated) == lack
    assert gated.revoked.height == (lack in ("consent_withdrawn", "consent_refused"))
    assert lack_of(gate(draw_consents(*reversed(consents)))) == lack


@pytest.mark.parametrize(
    ("answers", "lack"),
    [
        ([], "confirmation_pending"),
        ([("confirmed", 4)], "confirmation_pending"),
        ([("confirmed", 5)], None),
        ([("confirmed", 21)], "confirmation_pending"),
        ([("rejected", 6)], "rejected_by_worker"),
        ([("rejected", 6), ("confirmed", 7)], None),
        ([("confirmed", 6), ("rejected", 7)], "rejected_by_worker"),
        ([("confirmed", 6), ("rejected", 6)], "rejected_by_worker"),
    ],
)
def test_worker_confirms_a_flag_after_its_examination(answers, lack):
    gated = gate(draw_consents(("given", 7)), draw_answers(*answers))
    assert lack_of(gated) == lack
    assert gated.closed.height == (lack == "rejected_by_worker")


def test_consent_to_automated_processing_stands_in_for_a_worker():
    automated = ("given", 7, {"purpose": "automated_processing"})
    withdrawn = ("withdrawn", 8, {"purpose": "automated_processing"})
    assert lack_of(gate(draw_consents(("given", 7), automated), NO_ANSWER)) is None
    assert lack_of(gate(draw_consents(("given", 7), automated, withdrawn), NO_ANSWER)) == "confirmation_pending"
    assert lack_of(gate(draw_consents(automated), NO_ANSWER)) == "consent_pending"
    rejected = draw_answers(("rejected", 6))
    assert lack_of(gate(draw_consents(("given", 7), automated), rejected)) == "rejected_by_worker"


def test_answer_to_one_programme_is_not_an_answer_to_another():
    flags = draw_flags(("F1", 1, "hearing", day(5)), ("F2", 1, "autism", day(5)), ("F3", 2, "hearing", day(5)))
    gated = gate(draw_consents(("given", 7)), flag=flags)
    assert gated.open.rows() == [("F1", 1, 100)]
    assert gated.withheld.rows() == [("F2", 1, "confirmation_pending"), ("F3", 2, "consent_pending")]


def test_child_who_withdrew_is_named_as_revoked_without_a_flag_too():
    consent = draw_consents(("given", 7), ("withdrawn", 8), ("refused", 7, {"child_key": 9}))
    assert sorted(gate(consent, flag=draw_flags()).revoked["child_key"]) == [1, 9]


def test_unknown_decision_is_a_broken_promise():
    with pytest.raises(pl.exceptions.InvalidOperationError):
        gate(draw_consents(("perhaps", 7)))


# ------------------------------------------------------------------------------------------------ laws

days = st.integers(1, 28)
consent_rows = st.lists(
    st.tuples(
        st.sampled_from(DECISIONS),
        days,
        st.fixed_dictionaries(
            {
                "child_key": st.integers(1, 3),
                "purpose": st.sampled_from(["pmpc_referral", "automated_processing"]),
                "valid_until": st.none() | days.map(day),
                "authority_code": st.sampled_from([*AUTHORITIES, None]),
                "has_authority_document": st.booleans(),
            }
        ),
    ),
    max_size=8,
)
flag_rows = st.lists(
    st.tuples(st.integers(1, 3), st.sampled_from(["hearing", "autism"]), days.map(day)), max_size=6
).map(lambda rows: draw_flags(*((f"F{number}", *row) for number, row in enumerate(rows))))
answer_rows = st.lists(st.tuples(st.sampled_from(["confirmed", "rejected"]), days), max_size=4)


@settings(max_examples=60, deadline=None)
@given(flag_rows, consent_rows, answer_rows, st.integers(0, 100))
def test_every_flag_leaves_the_gate_once_and_the_order_of_rows_changes_nothing(flag, consents, answers, seed):
    consent, answer = draw_consents(*consents), draw_answers(*answers)
    gated = gate(consent, answer, flag)
    left = pl.concat([gated.open["flag_id"], gated.withheld["flag_id"], gated.closed["flag_id"]])
    assert sorted(left) == sorted(flag["flag_id"])
    mixed = gate(*(frame.sample(fraction=1, shuffle=True, seed=seed) for frame in (consent, answer, flag)))
    assert all(one.equals(other) for one, other in zip(gated[:3], mixed[:3], strict=True))


@settings(max_examples=60, deadline=None)
@given(flag_rows, consent_rows, answer_rows, st.integers(1, 3), days, st.sampled_from(["withdrawn", "refused"]))
def test_one_more_withdrawal_never_opens_the_gate(flag, consents, answers, child, number, decision):
    answer = draw_answers(*answers)
    before = gate(draw_consents(*consents), answer, flag)
    after = gate(draw_consents(*consents, (decision, number, {"child_key": child})), answer, flag)
    assert set(after.open["flag_id"]) <= set(before.open["flag_id"])


nobodys = st.sampled_from([NOBODYS, {"authority_code": None, "has_authority_document": True}])
void_rows = st.tuples(st.just("given"), days, nobodys) | st.tuples(
    st.just("given"), days, st.fixed_dictionaries({"valid_until": st.integers(1, 19).map(day)})
)
"""Consents that are unproven, have run out, or are of a day to come: of none of them a child's data may be sent."""


@settings(max_examples=100, deadline=None)
@given(flag_rows, consent_rows, answer_rows, st.integers(1, 3), void_rows, st.sampled_from(["pmpc_referral", "automated_processing"]))
def test_one_more_consent_that_is_unproven_or_out_of_force_opens_nothing_and_hides_no_withdrawal(
    flag, consents, answers, child, void, purpose
):
    answer = draw_answers(*answers)
    decision, number, differs = void
    more = (decision, number, differs | {"child_key": child, "purpose": purpose})
    before = gate(draw_consents(*consents), answer, flag)
    after = gate(draw_consents(*consents, more), answer, flag)
    assert set(after.open["flag_id"]) <= set(before.open["flag_id"])
    assert set(after.revoked["child_key"]) >= set(before.revoked["child_key"])
    if "authority_code" in differs:
        assert after.open.equals(before.open) and after.upheld.equals(before.upheld)


@settings(max_examples=60, deadline=None)
@given(flag_rows, consent_rows, answer_rows)
def test_open_flag_has_a_consent_in_force_that_can_be_shown(flag, consents, answers):
    consent = draw_consents(*consents)
    shown = gate(consent, draw_answers(*answers), flag).open.join(
        consent, left_on="consent_key", right_on="record_key", how="left", suffix="_of_consent"
    )
    in_force = (
        (shown["child_key"] == shown["child_key_of_consent"])
        & (shown["purpose"] == "pmpc_referral")
        & (shown["decision"] == "given")
        & (shown["authority_code"].is_in(["mother", "father"]) | shown["has_authority_document"])
        & (shown["decided_on"] <= ON)
        & (shown["valid_until"].is_null() | (shown["valid_until"] >= ON))
    )
    assert in_force.all()


@settings(max_examples=30, deadline=None)
@given(flag_rows, consent_rows, answer_rows, st.integers(0, 27))
def test_what_is_decided_later_changes_nothing_earlier(flag, consents, answers, number):
    on = day(1) + timedelta(days=number)
    known = [row for row in consents if day(row[1]) <= on]
    full = gate(draw_consents(*consents), draw_answers(*answers), flag, on)
    then = gate(draw_consents(*known), draw_answers(*(row for row in answers if day(row[1]) <= on)), flag, on)
    assert full.open.drop("consent_key").equals(then.open.drop("consent_key"))
    assert full.withheld.equals(then.withheld) and full.closed.equals(then.closed)
