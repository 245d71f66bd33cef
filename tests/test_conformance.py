"""What we emit: every mistake that is seeded is caught by the R4 schema, the FHIR models or our own check, and by which."""

import copy
import json
from functools import cache

import pytest

from pipelines.referral.conformance import check_bundle
from tests.nation import FIRST, REGISTERS, ask, flagged, run, send, settle
from tests.test_referral import ITEMS, ZERO, draw_flags, find_schema, read_bundle, render, resources

CLEAN = read_bundle(render())


def put(kind, **given):
    """Elements of the first resource of a kind, replaced; None takes one away."""

    def seed(bundle):
        resource = next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind)
        for name, value in given.items():
            if value is None:
                resource.pop(name)
            else:
                resource[name] = value

    return seed


def change(path, value):
    """One element by its path (`entry.0.resource.gender`), replaced; None takes it away."""

    def seed(bundle):
        *way, last = path.split(".")
        place = bundle
        for step in way:
            place = place[int(step)] if step.isdigit() else place[step]
        if value is None:
            place.pop(last)
        else:
            place[int(last) if last.isdigit() else last] = value

    return seed


def repeat_url(bundle):
    bundle["entry"][1]["fullUrl"] = bundle["entry"][0]["fullUrl"]


LOINC = "http://loinc.org"
SEEDS = {
    "gender of no list": (put("Patient", gender="F"), "s-o"),
    "status of no list": (put("Observation", status="done"), "s-o"),
    "intent of no list": (put("ServiceRequest", intent="wish"), "--o"),
    "task status of no list": (put("Task", status="open"), "s-o"),
    "use of an identifier of no list": (change("entry.0.resource.identifier.0.use", "main"), "s-o"),
    "comparator of no list": (put("Observation", valueQuantity={"value": 1, "comparator": "~"}), "smo"),
    "method of no list": (change("entry.0.request.method", "SEND"), "s-o"),
    "no status": (put("Observation", status=None), "-mo"),
    "no code": (put("Observation", code=None), "smo"),
    "no scope of a consent": (put("Consent", scope=None), "smo"),
    "no subject": (put("ServiceRequest", subject=None), "smo"),
    "no agent": (put("Provenance", agent=None), "smo"),
    "no policy of a consent": (put("Consent", policyRule=None), "--o"),
    "no request": (change("entry.0.request", None), "--o"),
    "no resource": (change("entry.0.resource", None), "--o"),
    "a response in a transaction": (change("entry.0.response", {"status": "201"}), "--o"),
    "a total in a transaction": (change("total", 3), "--o"),
    "a fullUrl twice": (repeat_url, "--o"),
    "a fullUrl of a version": (change("entry.0.fullUrl", "http://a.kz/Patient/1/_history/2"), "--o"),
    "a value and why it is absent": (put("Observation", valueQuantity={"value": 1}, dataAbsentReason={"text": "x"}), "-mo"),
    "a component that repeats the code": (
        put("Observation", valueString="x", code={"text": "a"}, component=[{"code": {"text": "a"}}]), "-mo"),
    "a code of a unit without its system": (put("Observation", valueQuantity={"value": 1, "code": "g"}), "-mo"),
    "an empty array": (put("Patient", name=[]), "--o"),
    "an empty text": (put("Patient", birthDate=""), "smo"),
    "an empty object": (put("Patient", maritalStatus={}), "--o"),
    "a day that is none": (put("Patient", birthDate="2026-02-30"), "-mo"),
    "a day written our way": (put("Patient", birthDate="05.01.2026"), "smo"),
    "a reference to nowhere": (put("Observation", subject={"reference": "urn:uuid:" + "0" * 8 + "-0000-5000-8000-" + "0" * 12}), "--o"),
    "a subject that is a consent": (put("Observation", subject={"reference": CLEAN["entry"][1]["fullUrl"]}), "--o"),
    "an owner that is a task": (put("Task", owner={"type": "Task", "identifier": {"system": "urn:erte:pmpc", "value": "x"}}), "--o"),
    "a LOINC code with a wrong check digit": (put("Observation", code={"coding": [{"system": LOINC, "code": "29575-1"}]}), "--o"),
    "a code system that we do not use": (put("Observation", code={"coding": [{"system": "urn:x", "code": "1"}]}), "--o"),
    "a code that its system does not have": (
        change("entry.0.resource.identifier.0.type.coding.0.code", "IIN"), "--o"),
    "a coding without a code": (put("Observation", code={"coding": [{"system": LOINC}]}), "--o"),
    "an element that R4 does not have": (put("Patient", iin="1"), "sm-"),
    "a text where a number belongs": (put("Observation", valueQuantity={"value": "3,5"}), "sm-"),
    "a telephone without a system": (put("Patient", telecom=[{"value": "1"}]), "--o"),
    "a resource of no type": (change("entry.0.resource.resourceType", "Child"), "smo"),
}  # fmt: skip
"""What is wrong: (how it is seeded, who catches it: s the R4 schema, m the FHIR models, o our own check)."""


@cache
def validate():
    import jsonschema_rs

    schema = json.loads(find_schema().read_text(encoding="utf-8"))
    one = {"$schema": schema["$schema"], "definitions": schema["definitions"], "$ref": "#/definitions/Bundle"}
    return jsonschema_rs.validator_for(one)


def list_catchers(bundle):
    from fhir.resources.R4B.bundle import Bundle

    try:
        Bundle.model_validate(copy.deepcopy(bundle))
        model = "-"
    except (ValueError, KeyError):
        model = "m"
    schema = "-" if validate().is_valid(bundle) else "s"
    return schema + model + ("o" if check_bundle(bundle) else "-")


@pytest.mark.skipif(find_schema() is None, reason="the R4 schema is not at hand")
@pytest.mark.parametrize("name", SEEDS)
def test_every_seeded_mistake_is_caught_and_by_whom(name):
    seed, catchers = SEEDS[name]
    bundle = copy.deepcopy(CLEAN)
    seed(bundle)
    assert list_catchers(bundle) == catchers


@pytest.mark.skipif(find_schema() is None, reason="the R4 schema is not at hand")
def test_what_we_emit_passes_all_three():
    assert list_catchers(CLEAN) == "---"
    assert list_catchers(read_bundle(render(ZERO, ITEMS.clear()))) == "---"


def test_each_of_the_three_catches_what_the_others_do_not_and_nothing_escapes():
    catchers = [caught for _, caught in SEEDS.values()]
    assert "---" not in catchers
    assert [sum(mark in caught for caught in catchers) for mark in "smo"] == [15, 15, 36]


def test_our_own_check_needs_neither_and_names_what_is_wrong():
    named = {
        "no policy of a consent": "r4_ppc_1", "no request": "r4_bdl_3", "a fullUrl twice": "r4_bdl_7", "an empty array": "r4_element_empty",
        "a value and why it is absent": "r4_obs_6", "a component that repeats the code": "r4_obs_7",
        "a reference to nowhere": "r4_reference_unresolved", "a LOINC code with a wrong check digit": "r4_code_checksum",
    }  # fmt: skip
    for name, code in named.items():
        bundle = copy.deepcopy(CLEAN)
        SEEDS[name][0](bundle)
        assert code in check_bundle(bundle), name


def test_a_code_or_unit_that_a_sender_spoiled_does_not_go_out_as_loinc_or_ucum():
    spoiled = {"component": "29575-1", "value": 31.5, "unit": "enzyme  units", "result_code": None, "examined_on": "2026-03-01"}
    local = spoiled | {"component": "L:own  code ", "unit": "U/dL"}
    files = render(item=ITEMS.head(1), flag=draw_flags(("F1", 1, "blood_spot", spoiled), ("F2", 1, "hearing", local)))
    assert check_bundle(read_bundle(files)) == set()
    seen = {r["code"]["coding"][0]["code"]: r for r in resources(files, "Observation")}
    assert seen["29575-1"]["code"]["coding"][0]["system"] == "urn:erte:component"
    assert seen["29575-1"]["valueQuantity"] == {"value": 31.5, "unit": "enzyme  units"}
    assert seen["L:own code"]["valueQuantity"]["code"] == "U/dL"


def test_a_feed_that_breaks_the_standard_is_never_sealed(tmp_path):
    settings = settle(tmp_path / "home")
    (settings.reference / "pmpc.csv").write_text(REGISTERS["pmpc"].replace("PMPC 1", '"\u00a0"'))
    send(settings, tmp_path, flagged(2))
    with pytest.raises(AssertionError, match="r4_element_empty"):
        run(settings, FIRST)
    assert ask(settings, "select count(*) from lake.ledger.feed") == [(0,)]
    (settings.reference / "pmpc.csv").write_text(REGISTERS["pmpc"])
    assert run(settings, FIRST)["referrals"] == 1
