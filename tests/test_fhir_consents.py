"""Consents in FHIR: a decision for every purpose, and nothing taken as given that is denied, not begun or not read."""

import json
from datetime import date

import pytest

from pipelines.intake.fhir.values import read_bound
from pipelines.intake.keys import add_keys
from pipelines.intake.receive import judge_chunk, open_submission
from tests.test_fhir import CONSENT, GUARDIAN, ON, coded, codes, lines, patient

PURPOSE = "urn:erte:purpose"
SAMPLING, REFERRAL = ({"system": PURPOSE, "code": code} for code in ("sampling", "pmpc_referral"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.ndjson"


def agree(*purposes, **other):
    """A consent whose purposes stand in its provision."""
    provision = {"type": "permit", "purpose": list(purposes), **other.pop("provision", {})}
    return CONSENT | {"category": [coded("INFA")], "provision": provision} | other


def permit(*purposes, **other):
    return {"type": "permit", "purpose": list(purposes), **other}


def deny(*purposes, **other):
    return {"type": "deny", "purpose": list(purposes), **other}


def decided(read):
    return {row["purpose"]: row["decision"] for row in read["consent"]}


@pytest.mark.parametrize(("status", "decision"), [("active", "given"), ("inactive", "withdrawn"), ("rejected", "refused")])
def test_every_purpose_of_a_consent_is_a_decision_of_its_own(path, status, decision):
    for consent in (agree(SAMPLING, REFERRAL, status=status), CONSENT | {"status": status, "category": [{"coding": [SAMPLING, REFERRAL]}]}):
        assert decided(lines(path, patient(), GUARDIAN, consent)) == {"sampling": decision, "pmpc_referral": decision}


def test_decisions_for_two_purposes_are_two_records(path):
    lines(path, patient(), GUARDIAN, agree(SAMPLING, REFERRAL))
    opened = open_submission(path)
    (judged,) = (j for j in (judge_chunk(chunk, opened.layout, "0" * 64, ON) for chunk in opened.chunks) if j.kind == "consent")
    assert add_keys(judged.accepted, "consent")["record_key"].n_unique() == 2


def test_a_consent_that_was_entered_in_error_is_cancelled_for_every_purpose(path):
    rows = lines(path, patient(), GUARDIAN, agree(SAMPLING, REFERRAL, status="entered-in-error"))["consent"]
    assert {(r["purpose"], r["action_code"]) for r in rows} == {("sampling", "cancel"), ("pmpc_referral", "cancel")}


WITHIN = {
    "a denial of the referral": (
        agree(SAMPLING, REFERRAL, provision={"provision": [deny(REFERRAL)]}), {"sampling": "given", "pmpc_referral": "refused"}),
    "a denial of something else": (agree(REFERRAL, provision={"provision": [deny(SAMPLING)]}), {"sampling": "refused", "pmpc_referral": "given"}),
    "a denial beside a permission": (agree(provision={"provision": [permit(REFERRAL), deny(REFERRAL)]}), {"pmpc_referral": "refused"}),
    "a permission where all else is denied": (
        agree(policyRule=coded("OPTOUT"), provision={"type": None, "provision": [permit(REFERRAL)]}), {"pmpc_referral": "given"}),
    "a denial that is withdrawn with the rest": (
        agree(SAMPLING, status="inactive", provision={"provision": [deny(REFERRAL)]}), {"sampling": "withdrawn", "pmpc_referral": "withdrawn"}),
}  # fmt: skip


@pytest.mark.parametrize("name", WITHIN)
def test_an_exception_within_a_consent_is_read_where_it_names_our_purposes_only(path, name):
    consent, expected = WITHIN[name]
    read = lines(path, patient(), GUARDIAN, json.dumps(consent).replace('"type": null, ', ""))
    assert (decided(read), codes(read)) == (expected, set())


@pytest.mark.parametrize(
    "denial",
    [
        deny(), deny({"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}), {"purpose": [REFERRAL]},
        deny(REFERRAL, actor=[{"reference": {"display": "x"}}]), deny(REFERRAL, period={"end": "2026-06-01"}),
        deny(REFERRAL, **{"class": [coded("x")["coding"][0]]}), permit(REFERRAL, provision=[deny(REFERRAL, action=[coded("disclose")])]),
    ],
)  # fmt: skip
def test_a_denial_within_a_consent_that_cannot_be_read_is_never_taken_as_given(path, denial):
    read = lines(path, patient(), GUARDIAN, agree(REFERRAL, provision={"provision": [denial]}))
    assert (decided(read), read.quarantine["row_no"].to_list()) == ({}, [3])
    assert "consent_denial_unread" in codes(read)


@pytest.mark.parametrize("provision", [
    {}, {"type": "deny"}, {"provision": [deny(action=[coded("disclose")])]}, {"purpose": [{"system": "http://x.kz", "code": "TREAT"}]},
])  # fmt: skip
def test_a_consent_that_is_about_no_purpose_of_ours_decides_nothing_and_is_told(path, provision):
    read = lines(path, patient(), GUARDIAN, agree(provision=provision))
    assert (codes(read), {row["action_code"] for row in read["consent"]}) == ({"consent_without_purpose"}, {"cancel"})


def test_a_permission_with_limits_adds_nothing_and_is_told(path):
    read = lines(path, patient(), GUARDIAN, agree(SAMPLING, provision={"provision": [permit(REFERRAL, action=[coded("access")])]}))
    assert (decided(read), codes(read)) == ({"sampling": "given"}, {"consent_permit_unread"})


@pytest.mark.parametrize("limit", [{"actor": [{"role": coded("CST"), "reference": {"reference": "Organization/x"}}]}, {"action": [coded("access")]},
                                   {"class": [{"code": "x"}]}, {"dataPeriod": {"end": "2026-06-01"}}])  # fmt: skip
def test_a_consent_that_is_limited_in_a_way_that_is_not_read_is_told(path, limit):
    read = lines(path, patient(), GUARDIAN, agree(REFERRAL, provision=limit))
    assert (decided(read), codes(read)) == ({"pmpc_referral": "given"}, {"consent_limits_unread"})
    refused = lines(path, patient(), GUARDIAN, agree(REFERRAL, provision={"type": "deny", **limit}))
    assert (decided(refused), codes(refused)) == ({"pmpc_referral": "refused"}, set())


def test_a_purpose_of_our_list_is_ours_though_its_system_was_left_out(path):
    other = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}
    read = lines(path, patient(), GUARDIAN, agree(SAMPLING, {"code": "pmpc_referral"}, {"code": "TREAT"}, other))
    assert (decided(read), codes(read)) == ({"sampling": "given", "pmpc_referral": "given"}, set())


def test_a_consent_whose_two_lists_of_purposes_differ_is_given_for_neither_but_refuses_both(path):
    both = {"category": [{"coding": [REFERRAL]}]}
    assert codes(lines(path, patient(), GUARDIAN, agree(SAMPLING, **both))) == {"consent_purposes_disagree"}
    refused = lines(path, patient(), GUARDIAN, agree(SAMPLING, **both, provision={"type": "deny"}))
    assert decided(refused) == {"sampling": "refused", "pmpc_referral": "refused"}


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("2027-01-01", {"valid_from_in_future"}), ("2027", {"valid_from_in_future"}), ("2026-02-02T00:00:00+05:00", {"valid_from_in_future"}),
        ("soon", {"valid_from_unreadable"}), ("2026-01-20", set()), ("2026-01", set()), ("2025-12-01", set()),
    ],
)  # fmt: skip
def test_a_consent_that_has_not_begun_is_refused_with_the_reason(path, start, expected):
    read = lines(path, patient(), GUARDIAN, agree(REFERRAL, provision={"period": {"start": start, "end": "2028"}}))
    assert codes(read) == expected
    assert [(r["decided_on"], r["valid_until"]) for r in read["consent"]] == ([] if expected else [(date(2026, 1, 9), date(2028, 12, 31))])


def test_a_refusal_counts_at_once_whatever_its_term_is(path):
    read = lines(path, patient(), GUARDIAN, agree(REFERRAL, provision={"type": "deny", "period": {"start": "2027-01-01"}}))
    assert decided(read) == {"pmpc_referral": "refused"}


def test_a_year_or_a_month_of_a_period_counts_whole():
    days = [(text, read_bound(text, is_end=False), read_bound(text, is_end=True)) for text in ("2028", "2028-02", "2028-02-03", "x")]
    assert days == [
        ("2028", "2028-01-01", "2028-12-31"), ("2028-02", "2028-02-01", "2028-02-29"), ("2028-02-03", "2028-02-03", "2028-02-03"), ("x", "x", "x"),
    ]  # fmt: skip


def test_a_mother_who_stands_inside_the_consent_may_decide(path):
    mother = GUARDIAN | {"id": "m", "relationship": [coded("MTH")]}
    (row,) = lines(path, patient(), agree(REFERRAL, performer=[{"reference": "#m"}], contained=[mother]))["consent"]
    assert (row["authority_code"], row["representative_iin"], row["representative_name"]) == ("mother", "250314500108", "F G")
    read = lines(path, patient(), agree(REFERRAL, performer=[{"reference": "#m"}], contained=[mother | {"id": "x"}]))
    assert codes(read) == {"authority_unproven"}
