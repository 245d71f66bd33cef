"""FHIR as servers really write it: what stands in an unusual place is read or told, and old names are not taken for true."""

import json

import pytest

from pipelines.intake.fhir import open_file
from pipelines.intake.reading import Limits
from tests.test_fhir import (
    CONSENT,
    GUARDIAN,
    REFERRAL,
    bundle,
    coded,
    codes,
    counted,
    judge,
    lines,
    listing,
    patient,
    report,
    seen,
)

IIN, OTHER = "250314500010", "250314500108"
PASS = {"valueQuantity": None, "valueCodeableConcept": coded("LA10392-1")}
SERVER = "http://a.kz/fhir"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.json"


def born(**other):
    return patient(managingOrganization={"identifier": {"value": "MAT1"}}, multipleBirthInteger=1, **other)


def part(code, **value):
    return {"code": coded(code), **value}


def test_results_within_a_panel_that_is_itself_no_result_are_results(path):
    ears = [part(code, valueCodeableConcept=coded("LA10392-1")) for code in ("54108-6", "54109-4")]
    read = lines(path, patient(), seen("54111-0", **PASS | {"valueCodeableConcept": None}, component=ears))
    assert [row["component"] for row in read["screening"]] == ["hearing_left", "hearing_right"]
    pressure = [part(code, valueQuantity={"value": 60}) for code in ("8480-6", "8462-4", "99999-1")]
    read = lines(path, patient(), seen(), seen("85354-9", "bp", valueQuantity=None, component=pressure))
    assert (len(read["screening"]), codes(read), counted(read)) == (1, set(), {"Observation (other): 1", "Patient: 1"})


def test_an_old_number_of_a_child_is_not_its_number(path):
    numbers = [{"use": "old", "system": "urn:erte:iin", "value": OTHER}, {"use": "official", "system": "urn:erte:iin", "value": IIN}]
    assert [r["child_iin"] for r in lines(path, patient(identifier=numbers), seen())["screening"]] == [IIN]
    mother = GUARDIAN | {"relationship": [coded("MTH")], "identifier": numbers}
    assert [r["mother_iin"] for r in lines(path, patient(), mother, seen())["screening"]] == [IIN]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("write", [lines, bundle])
def test_of_two_mothers_of_a_child_neither_is_taken_and_it_is_told(path, write, order):
    mother = GUARDIAN | {"relationship": [coded("MTH")]}
    mothers = [mother | {"id": iin, "identifier": [{"system": "urn:erte:iin", "value": iin}]} for iin in (IIN, OTHER)]
    read = write(path, born(), seen(), *mothers[::order])
    assert [(row["mother_iin"], row["mother_family_name"]) for kind in ("birth", "screening") for row in read[kind]] == [(None, None)] * 2
    assert (codes(read, 1), codes(read, 2)) == ({"mother_iin_contradictory"}, {"mother_iin_contradictory"})
    for other in (mothers[1] | {"active": False}, mothers[0] | {"id": "again"}, mothers[1] | {"identifier": []}):
        read = write(path, patient(), seen(), *[mothers[0], other][::order])
        assert ([row["mother_iin"] for row in read["screening"]], codes(read)) == ([IIN], set())


def test_a_number_that_says_what_it_is_goes_before_one_that_does_not(path):
    numbers = [{"system": "https://a.kz/uuid", "value": "f3a9"}, {"type": coded("MR"), "value": "H-77"}, {"type": coded("SS"), "value": "9"}]
    assert [r["history_no"] for r in lines(path, patient(identifier=numbers), seen())["screening"]] == ["H-77"]


def test_an_old_name_or_address_is_not_the_one_a_child_has(path):
    names = [{"use": "old", "family": "BEFORE"}, {"use": "usual", "family": "NOW"}]
    where = [{"use": "old", "text": "OLD STREET", "extension": [{"url": "urn:erte:kato", "valueString": "611010000"}]},
             {"use": "home", "text": "STREET 1", "extension": [{"url": "urn:erte:kato", "valueString": "751010000"}]}]  # fmt: skip
    (row,) = lines(path, born(name=names, address=where), seen())["birth"]
    assert (row["family_name"], row["address"], row["residence_kato"]) == ("NOW", "STREET 1", "751010000")


def test_a_death_without_a_day_is_told(path):
    read = lines(path, born(deceasedBoolean=True), seen())
    assert (len(read["birth"]), codes(read, 1)) == (1, {"died_on_unreadable"})
    assert codes(lines(path, born(deceasedBoolean=False), seen())) == set()


@pytest.mark.parametrize("write", [lines, bundle])
def test_a_conditional_reference_names_by_a_number(path, write):
    """As generators of transactions write them: a server looks the number up."""
    known = patient(identifier=[*patient()["identifier"], {"system": "urn:x", "value": "7"}])
    laboratory = {"resourceType": "Organization", "id": "lab", "identifier": [{"system": "urn:o", "value": "L7"}]}
    by_number = {"subject": {"reference": "Patient?identifier=urn:x|7"}, "performer": [{"reference": "Organization?identifier=urn:o|L7"}]}
    other = {"subject": {"reference": f"Patient?identifier=urn:erte:iin|{IIN}"}, "performer": [{"reference": "Organization?identifier=urn:o|L8"}]}
    read = write(path, known, laboratory, seen(**by_number), seen(number="o2", **other))
    assert [(r["history_no"], r["child_iin"], r["facility_id"]) for r in read["screening"]] == [("H-p1", None, "L7"), (None, IIN, "L8")]


@pytest.mark.parametrize("write", [lines, bundle])
@pytest.mark.parametrize(
    "reference", [f"{SERVER}/Observation/o1", "Observation/o1/_history/2", f"{SERVER}/Observation/o1/_history/2", " Observation/o1 "]
)
def test_a_report_withdraws_a_result_however_it_refers_to_it(path, write, reference):
    read = write(path, patient(), seen(), listing(reference, status="entered-in-error"))
    assert [(r["status_code"], r["action_code"]) for r in read["screening"]] == [("cancelled", "cancel")]


@pytest.mark.parametrize("order", [1, -1])
def test_a_result_stands_while_one_report_that_lists_it_stands(path, order):
    reports = [listing("Observation/o1", id="r1", status="cancelled"), listing("Observation/o1", id="r2", identifier=[{"value": "ORDER-2"}])]
    for write in (lines, bundle):
        assert [r["status_code"] for r in write(path, patient(), seen(), *reports[::order])["screening"]] == ["final"]
    versions = [listing("Observation/o1", meta={"lastUpdated": f"2026-01-0{n}T09:00:00Z"}, status=status)
                for n, status in ((8, "final"), (9, "entered-in-error"))]  # fmt: skip
    assert [r["status_code"] for r in lines(path, patient(), seen(), *versions[::order])["screening"]] == ["cancelled"]
    versions[1]["meta"]["lastUpdated"] = "2026-01-07T09:00:00Z"
    assert [r["status_code"] for r in lines(path, patient(), seen(), *versions[::order])["screening"]] == ["final"]


@pytest.mark.parametrize("write", [lines, bundle])
@pytest.mark.parametrize("status", ["entered-in-error", "cancelled"])
def test_a_report_that_withdraws_results_which_are_not_sent_with_it_is_refused_and_says_what_to_send(path, write, status):
    gone = listing("Observation/o2", status=status)
    read = write(path, patient(), seen(number="o1"), gone)
    assert (codes(read, 3), read.quarantine["row_no"].to_list()) == ({"message_withdraws_unsent"}, [3])
    assert ([r["source_id"] for r in read["screening"]], codes(read, 2)) == (["o1"], set())
    assert codes(write(path, patient(), gone), 2) == {"message_withdraws_unsent"}
    assert codes(write(path, patient(), seen(number="o2"), gone)) == set()
    assert codes(write(path, patient(), seen(number="o1"), listing("Observation/o2", status="final"))) == set()
    assert codes(write(path, patient(), listing(status=status)), 2) == {"message_withdraws_unsent"}


def test_a_report_of_an_export_withdraws_results_that_another_file_of_it_holds(tmp_path):
    names = ("Patient.ndjson", "Observation.ndjson", "DiagnosticReport.ndjson")
    held = (patient(), seen(), listing("Observation/o1", status="entered-in-error"))
    for name, resource in zip(names, held, strict=True):
        (tmp_path / name).write_text(json.dumps(resource))
    files = tuple(tmp_path / name for name in names)
    read = [chunk for name in files for chunk in open_file(name, Limits(), files).chunks]
    assert [row for chunk in read if "status_code" in chunk.rows.columns for row in chunk.rows["status_code"]] == ["cancelled"]
    assert {code for chunk in read for code in chunk.findings["code"]} == {"resource_context"}


@pytest.mark.parametrize("write", [lines, bundle])
@pytest.mark.parametrize("panel", [{"code": "54089-8"}, {"code": "54106-0"}, {"code": "99717-32", "hasMember": [{"reference": "Observation/o2"}]}])
def test_a_panel_entered_in_error_whose_results_are_not_sent_with_it_is_refused(path, write, panel):
    gone = seen(number="o9", valueQuantity=None, status="entered-in-error", **panel)
    read = write(path, patient(), seen(number="o1"), gone)
    assert (codes(read, 3), [r["source_id"] for r in read["screening"]]) == ({"message_withdraws_unsent"}, ["o1"])
    members = [{"reference": "Observation/o1"}]
    assert codes(write(path, patient(), seen(number="o1", status="entered-in-error"), gone | {"hasMember": members})) == set()


def numbered(value, kind=None, **more):
    return ({"type": coded(kind)} if kind else {}) | {"value": value, "assigner": {"identifier": {"value": f"M{value}"}}} | more


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("other", "own"),
    [
        (numbered("55", "MR", use="secondary"), numbered("77", "MR", use="official")), (numbered("55", "MR", use="temp"), numbered("77", "MR")),
        (numbered("55", "PI", use="official"), numbered("77", "MR")), (numbered("55"), numbered("77", "PI")),
        (numbered("55", "MR", use="old"), numbered("77", "PI")),
    ],
)  # fmt: skip
def test_a_child_is_known_by_its_official_history_number_in_whatever_order_its_numbers_stand(path, other, own, order):
    read = lines(path, patient(identifier=[other, own][::order]), seen())
    assert [(r["history_no"], r["maternity_id"]) for r in read["screening"]] == [("77", "M77")]


MODIFIED = {"modifierExtension": [{"url": "urn:x:not", "valueBoolean": True}]}


@pytest.mark.parametrize("resource", [seen(), CONSENT, report()])
def test_a_resource_whose_meaning_an_unknown_extension_changes_is_refused(path, resource):
    read = lines(path, patient(), GUARDIAN, seen(number="o9"), resource | MODIFIED)
    assert (codes(read, 4), read.quarantine["row_no"].to_list()) == ({"message_modifier_unread"}, [4])
    assert codes(lines(path, patient(), GUARDIAN, resource | {"modifierExtension": []})) == set()


@pytest.mark.parametrize(
    "resource",
    [
        seen(code=coded("54089-8"), valueQuantity=None, component=[{"code": coded("29575-8"), "valueInteger": 30} | MODIFIED]),
        CONSENT | {"provision": CONSENT.get("provision", {}) | MODIFIED},
        CONSENT | {"provision": {"type": "permit", "provision": [{"type": "permit", "provision": [MODIFIED]}]}},
        report(output=[report()["output"][0] | MODIFIED, *report()["output"][1:]]),
        listing("Observation/o9", status="entered-in-error") | MODIFIED,
        listing("#in", contained=[seen(number="in") | MODIFIED]),
        patient("p2", contact=[{"name": {"family": "M"}} | MODIFIED]),
    ],
)
def test_a_resource_is_refused_where_an_unknown_extension_changes_a_part_of_it(path, resource):
    read = lines(path, patient(), GUARDIAN, seen(number="o9"), resource)
    assert (codes(read, 4), read.quarantine["row_no"].to_list()) == ({"message_modifier_unread"}, [4])
    assert [r["status_code"] for r in read["screening"]] == ["final"]


def test_results_of_a_patient_whose_meaning_an_unknown_extension_changes_are_of_nobody(path):
    read = lines(path, patient() | MODIFIED, seen())
    assert (codes(read, 1), codes(read, 2)) == ({"message_modifier_unread"}, {"message_without_patient"})


@pytest.mark.parametrize("write", [lines, bundle])
def test_a_person_or_an_organisation_whose_meaning_an_unknown_extension_changes_says_nothing_of_others(path, write):
    mother = GUARDIAN | {"id": "m1", "relationship": [coded("MTH")], "identifier": [{"system": "urn:erte:iin", "value": OTHER}]}
    laboratory = {"resourceType": "Organization", "id": "o7", "identifier": [{"value": "L7"}]}
    role = {"resourceType": "PractitionerRole", "id": "r7", "organization": {"reference": "Organization/o7"}}
    found = seen(performer=[{"reference": "PractitionerRole/r7"}])
    read = write(path, patient(), mother, laboratory, role, found)
    assert [(r["mother_iin"], r["facility_id"]) for r in read["screening"]] == [(OTHER, "L7")]
    read = write(path, patient(), mother | MODIFIED, laboratory, role, found)
    assert ([r["mother_iin"] for r in read["screening"]], codes(read)) == ([None], {"message_modifier_unread"})
    for unread in ((laboratory | MODIFIED, role), (laboratory, role | MODIFIED)):
        read = write(path, patient(), mother, *unread, found)
        assert "message_modifier_unread" in codes(read)
        assert "L7" not in {r["facility_id"] for r in read["screening"]}


BSER = "http://hl7.org/fhir/us/bser/CodeSystem/TaskBusinessStatusCS"


@pytest.mark.parametrize(
    ("business", "status"),
    [*(("7.0", said) for said in ("draft", "requested", "received", "accepted", "ready", "rejected", "cancelled", "failed")),
     ("3.0", "rejected"), ("4.0", "accepted"), ("4.0", "in-progress"), ("5.1.4", "requested"), ("5.1.4", "rejected")],
)  # fmt: skip
def test_a_report_that_its_task_contradicts_is_refused(path, business, status):
    read = lines(path, report(status=status, businessStatus=coded(business, BSER)))
    assert (read["pmpc_report"], codes(read)) == ([], {"report_status_contradictory"})


@pytest.mark.parametrize(
    ("business", "status"),
    [("7.0", "completed"), ("7.0", "in-progress"), ("7.0", None), ("5.1.1", "completed"), ("5.1.4", "in-progress"), ("3.0", "accepted"),
     ("4.0", "rejected"), ("6.0", "cancelled"), ("5.2", "accepted"), ("7.0", "entered-in-error")],
)  # fmt: skip
def test_a_report_is_taken_where_its_task_does_not_contradict_it(path, business, status):
    read = lines(path, report(status=status, businessStatus=coded(business, BSER)))
    assert ([r["report_status"] for r in read["pmpc_report"]], codes(read)) in [([business], set()), ([business], {"part_malformed"})]


def test_what_a_pmpc_gives_may_be_a_coding(path):
    category = {"type": {"text": "category"}, "valueCoding": {"system": "urn:erte:category", "code": "sensory"}}
    diagnosis = {"type": {"text": "diagnosis"}, "valueCoding": {"system": "http://hl7.org/fhir/sid/icd-10", "code": "H90.3"}}
    (row,) = lines(path, report(output=[category, diagnosis]))["pmpc_report"]
    assert (row["category_codes"], row["icd10_codes"]) == ("sensory", "H90.3")


def test_what_a_pmpc_gives_that_is_not_read_is_told(path):
    odd = {"type": {"text": "diagnosis"}, "valueString": "deaf"}
    strange = {"type": {"text": "diagnosis"}, "valueCodeableConcept": coded("15188001", "http://snomed.info/sct")}
    for output in (odd, strange):
        read = lines(path, report(output=[*report()["output"], output]))
        assert (len(read["pmpc_report"]), codes(read)) == (1, {"output_unread"})


@pytest.mark.parametrize("day", ["2026", "2026-01"])
def test_a_day_that_is_a_month_or_a_year_is_told_and_nothing_is_made_up(path, day):
    assert codes(lines(path, patient(), seen(effectiveDateTime=day))) == {"examined_on_unreadable"}
    assert codes(lines(path, patient(birthDate=day), seen())) == {"birth_on_unreadable"}
    assert codes(lines(path, born(deceasedDateTime=day), seen()), 1) == {"died_on_unreadable"}


def test_a_history_of_a_server_gives_every_version_and_its_deletions(path):
    versions = [seen(meta={"lastUpdated": "2026-01-08T09:00:00Z"}), seen(status="amended", valueQuantity={"value": 9, "code": "m[IU]/L"},
                                                                         meta={"lastUpdated": "2026-01-10T09:00:00Z"})]  # fmt: skip
    entries = [{"fullUrl": f"{SERVER}/Observation/o1", "resource": v, "request": {"method": "PUT", "url": "Observation/o1"}} for v in versions]
    gone = {"fullUrl": f"{SERVER}/Observation/o3", "request": {"method": "DELETE", "url": "Observation/o3"}, "response": {"status": "204"}}
    people = {"fullUrl": f"{SERVER}/Patient/p1", "resource": patient(), "search": {"mode": "include"}}
    path.write_text(json.dumps({"resourceType": "Bundle", "type": "history", "total": 3, "entry": [*entries, gone, people]}))
    read = judge(path)
    assert [(r["source_id"], r["value"]) for r in read["screening"]] == [("o1", 3.5), ("o1", 9)]
    assert (codes(read, 3), read.received) == ({"message_asks_deletion"}, 3)


def test_a_report_of_a_referral_is_found_by_any_of_its_references(path):
    numbers = [{"system": "urn:x", "value": "9"}, {"system": "urn:erte:referral", "value": REFERRAL}]
    order = {"resourceType": "ServiceRequest", "id": "s1", "identifier": numbers}
    for reference in ("ServiceRequest/s1/_history/2", f"{SERVER}/ServiceRequest/s1", f"ServiceRequest?identifier=urn:erte:referral|{REFERRAL}"):
        task = report(focus=None, basedOn=[{"reference": reference}])
        read = lines(path, {k: v for k, v in task.items() if v is not None}, order)
        assert [r["referral_id"] for r in read["pmpc_report"]] == [REFERRAL]


def test_resources_that_stand_in_a_parameters_are_told(path):
    wrapped = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": seen(number="o2")}]}
    assert codes(lines(path, patient(), seen(), wrapped), 3) == {"message_not_resource"}
    assert codes(lines(path, patient(), seen(), {"resourceType": "Parameters", "parameter": [{"name": "x", "valueString": "y"}]})) == set()
