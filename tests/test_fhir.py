"""FHIR R4 as systems write it: several kinds of record in one file, judged entry by entry, and nothing lost."""

import gzip
import json
import os
import subprocess
import sys
from collections import Counter
from datetime import date, datetime
from pathlib import Path

import msgspec
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.intake.feedback import tell_finding
from pipelines.intake.fhir import sort_shapes
from pipelines.intake.fhir.decode import decode_line, decode_loosely, has_repeated_key, measure_depth
from pipelines.intake.fhir.first_pass import index_item
from pipelines.intake.fhir.frames import frame_screening
from pipelines.intake.fhir.index import Index
from pipelines.intake.fhir.people import read_tables
from pipelines.intake.fhir.plain import take_plain
from pipelines.intake.fhir.results import Results
from pipelines.intake.fhir.rows import SCREENING
from pipelines.intake.fhir.source import read_context_lines
from pipelines.intake.fhir.values import read_moment
from pipelines.intake.reading import Limits
from pipelines.intake.receive import judge_chunk, open_submission
from pipelines.intake.refusal import FileRefusedError

ON = date(2026, 2, 1)
KINDS = ("screening", "consent", "pmpc_report", "birth")
REFERRAL = "R" + "a1" * 12


def find_samples():
    """Public samples: ERTE_SHARED, or shared/samples beside one of the folders above; a folder that is not there else."""
    named = [Path(os.environ["ERTE_SHARED"])] if "ERTE_SHARED" in os.environ else []
    beside = [above / "shared" for above in Path(__file__).resolve().parents]
    return next((p / "samples" for p in [*named, *beside] if (p / "samples").exists()), Path("absent")) / "fhir"


SAMPLES = find_samples()


class Read(dict):
    """Accepted rows by kind; `finding`, `quarantine`, `received`."""


def judge(path, limits=Limits()):  # noqa: B008
    opened = open_submission(path, limits)
    judged = [judge_chunk(chunk, opened.layout, "0" * 64, ON) for chunk in opened.chunks]
    read = Read({kind: [r for j in judged if j.kind == kind for r in j.accepted.iter_rows(named=True)] for kind in KINDS})
    read.finding = pl.concat(j.finding for j in judged).rows()
    read.quarantine = pl.concat(j.quarantine for j in judged)
    read.received = sum(j.received_count for j in judged)
    accepted = {(kind, row["row_no"]) for kind in KINDS for row in read[kind]}
    assert read.received == len(accepted) + len(read.quarantine)
    for _, column, code, _ in read.finding:
        tell_finding(code, column, {})
    return read


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.json"


def lines(path, *resources):
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r, ensure_ascii=False) for r in resources), "utf-8")
    return judge(path)


def bundle(path, *resources, kind="collection", urls=(), **more):
    entries = [{"resource": r} for r in resources]
    for entry, url in zip(entries, urls, strict=False):
        if url:
            entry["fullUrl"] = url
    path.write_text(json.dumps({"resourceType": "Bundle", "type": kind, **more, "entry": entries}), "utf-8")
    return judge(path)


def patient(number="p1", **other):
    return {
        "resourceType": "Patient", "id": number, "gender": "female", "birthDate": "2026-01-03",
        "identifier": [{"type": {"coding": [{"code": "MR"}]}, "value": f"H-{number}", "assigner": {"identifier": {"value": "MAT1"}}}],
        "name": [{"use": "official", "family": "SURNAME", "given": ["BABY"]}],
    } | other  # fmt: skip


def seen(code="29575-8", number="o1", **other):
    usual = {
        "resourceType": "Observation", "id": number, "status": "final", "code": code if isinstance(code, dict) else coded(code),
        "subject": {"reference": "Patient/p1"}, "effectiveDateTime": "2026-01-05T09:00:00+05:00",
        "issued": "2026-01-07T09:00:00+05:00", "performer": [{"reference": "Organization/L1"}],
        "valueQuantity": {"value": 3.5, "unit": "mU/L", "system": "http://unitsofmeasure.org", "code": "m[IU]/L"},
    }  # fmt: skip
    usual |= other
    return {name: part for name, part in usual.items() if part is not None}


def coded(code, system="http://loinc.org", **other):
    return {"coding": [{"system": system, "code": code}]} | other


def codes(read, number=None):
    return {code for row_no, _, code, _ in read.finding if row_no is not None and number in (None, row_no)}


def counted(read):
    return {column for row_no, column, code, _ in read.finding if code == "resource_context" and row_no is None}


def test_a_result_carries_child_mother_place_and_times(path):
    mother = {
        "resourceType": "RelatedPerson", "id": "m1", "patient": {"reference": "Patient/p1"}, "relationship": [coded("MTH", "urn:v3")],
        "identifier": [{"system": "urn:erte:iin", "value": "250314500108"}], "name": [{"family": "SURNAME", "given": ["NAME"]}],
    }  # fmt: skip
    row = lines(path, patient(multipleBirthInteger=2), mother, seen())["screening"][0]
    expected = {
        "row_no": 3, "sender_id": "L1", "source_id": "o1", "child_iin": None, "mother_iin": "250314500108", "birth_on": date(2026, 1, 3),
        "birth_order": 2, "sex_code": "female", "maternity_id": "MAT1", "history_no": "H-p1", "family_name": "SURNAME",
        "given_name": "BABY", "mother_family_name": "SURNAME", "mother_given_name": "NAME", "facility_id": "L1",
        "programme": "blood_spot", "component": "tsh", "value": 3.5, "unit": "m[IU]/L", "examined_on": date(2026, 1, 5),
        "examined_at": datetime(2026, 1, 5, 9), "reported_on": date(2026, 1, 7), "issued_at": datetime(2026, 1, 7, 9),
        "status_code": "final", "action_code": "report", "result_code": None, "comparator": None,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("status", "ours", "action"),
    [
        ("registered", "preliminary", "report"), ("preliminary", "preliminary", "report"), ("final", "final", "report"),
        ("amended", "corrected", "correct"), ("corrected", "corrected", "correct"), ("cancelled", "cancelled", "report"),
        ("entered-in-error", "cancelled", "cancel"),
    ],
)  # fmt: skip
def test_status_says_which_version_it_is(path, status, ours, action):
    row = lines(path, patient(), seen(status=status))["screening"][0]
    assert (row["status_code"], row["action_code"]) == (ours, action)


VALUES = {
    "a number with its sign": ("29575-8", {"value": 2.22, "comparator": "<", "code": "m[IU]/L"}, (2.22, "<", "m[IU]/L", None)),
    "a number in the sender's unit": ("29573-3", {"value": 121.08, "unit": "µmol/L"}, (2.0, None, "mg/dL", None)),
    "a number written as a text": ("29575-8", {"value": " 9,5", "unit": "мМЕ/л"}, (9.5, None, "m[IU]/L", None)),
    "a number with an exponent": ("29575-8", {"value": 1.5e1, "code": "m[IU]/L"}, (15.0, None, "m[IU]/L", None)),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_numbers_are_kept_in_one_unit(path, name):
    code, quantity, expected = VALUES[name]
    row = lines(path, patient(), seen(code, valueQuantity=quantity))["screening"][0]
    assert (round(row["value"], 6), row["comparator"], row["unit"], row["result_code"]) == expected


@pytest.mark.parametrize(
    ("code", "given", "component", "result"),
    [
        ("54108-6", {"valueCodeableConcept": coded("LA10392-1")}, "hearing_left", "pass"),
        ("54109-4", {"valueCodeableConcept": coded(" 183924009", "http://snomed.info/sct")}, "hearing_right", "refer"),
        (" 54109-4 ", {"valueCodeableConcept": coded("262008008", "http://snomed.info/sct")}, "hearing_right", "not_done"),
        ("46762-1", {"valueString": "Normal"}, "46762-1", "in_range"),
        ("54108-6", {"dataAbsentReason": coded("asked-declined")}, "hearing_left", "declined"),
        ("29575-8", {"status": "registered"}, "tsh", "pending"),
        ("57131-5", {"valueCodeableConcept": coded("LA12538-7")}, "46762-1", "out_of_range"),
        ("57718-9", {"valueCodeableConcept": coded("LA20627-8")}, "tsh", "unsatisfactory"),
    ],
)
def test_answers_are_read_in_every_vocabulary(path, code, given, component, result):
    kept = {"valueQuantity": None} | given
    row = lines(path, patient(), seen(coded(code, text="Newborn screen interpretation"), **kept))["screening"][0]
    assert (row["component"], row["result_code"]) == (component, result)


def test_the_answer_of_our_own_feed_is_understood_when_it_comes_back(path):
    motor = seen(code=coded("motor", "urn:erte:component"), valueQuantity={"value": 1.5, "unit": "1"})
    motor["interpretation"] = [coded("refer", "urn:erte:result")]
    row = lines(path, patient(), motor)["screening"][0]
    assert (row["programme"], row["component"], row["value"], row["unit"], row["result_code"]) == ("development", "motor", 1.5, None, "refer")


def test_an_integer_needs_no_unit_and_components_are_results_of_their_own(path):
    score = seen(code=coded("mchat_r", "urn:erte:component"), valueQuantity=None, valueInteger=8)
    ears = seen({"text": "hearing"}, "o2", valueQuantity=None, component=[
        {"code": coded("54108-6"), "valueCodeableConcept": coded("LA10392-1")},
        {"code": coded("54109-4"), "valueCodeableConcept": coded("LA10393-9")},
    ])  # fmt: skip
    rows = lines(path, patient(), score, ears)["screening"]
    assert [(r["row_no"], r["component"], r["value"], r["result_code"]) for r in rows] == [
        (2, "mchat_r", 8.0, None), (3, "hearing_left", None, "pass"), (3, "hearing_right", None, "refer"),
    ]  # fmt: skip


def test_a_panel_is_counted_and_its_members_are_the_results(path):
    panel = seen(coded("54089-8"), "o9", valueQuantity=None, hasMember=[{"reference": "Observation/o1"}])
    read = bundle(path, patient(), panel, seen())
    assert ([r["row_no"] for r in read["screening"]], codes(read)) == ([3], set())
    assert "Observation (panel): 1" in counted(read)
    panel["hasMember"].append({"reference": "Observation/o7"})
    assert codes(bundle(path, patient(), panel, seen())) == {"member_absent"}


REASONS = {
    "a text where a number belongs": (seen(valueQuantity=None, valueString="high"), "value_not_numeric"),
    "no unit": (seen(valueQuantity={"value": 1}), "unit_missing"),
    "an unknown unit": (seen(valueQuantity={"value": 1, "unit": "furlong"}), "unit_unknown"),
    "an answer of no list": (seen("54108-6", valueQuantity=None, valueCodeableConcept=coded("LA99-9")), "result_code_unknown"),
    "a code of no list": (seen("12345-5"), "component_unknown"),
    "a boolean": (seen("54108-6", valueQuantity=None, valueBoolean=True), "result_code_unknown"),
    "a range": (seen(valueQuantity=None, valueRange={"low": {"value": 1}}), "value_kind_unsupported"),
    "no value": (seen(valueQuantity=None), "result_missing"),
    "an unknown status": (seen(status="unknown"), "status_code_unknown"),
    "no status": (seen(status=None), "status_code_missing"),
    "no day": (seen(effectiveDateTime=None), "examined_on_missing"),
    "a month for a day": (seen(effectiveDateTime="2026-01"), "examined_on_unreadable"),
    "a day that is none": (seen(effectiveDateTime="2026-02-30T10:00:00Z"), "examined_on_unreadable"),
    "no subject": (seen(subject=None), "child_unidentifiable"),
    "a reference to nowhere": (seen(subject={"reference": "Patient/p2"}), "message_without_patient"),
    "a number of another galaxy": (json.dumps(seen()).replace("3.5", "1e400"), "value_unreadable"),
    "JSON that is cut off": (json.dumps(seen())[:-9], "message_not_json"),
    "NaN": (json.dumps(seen()).replace("3.5", "NaN"), "message_not_json"),
    "a NUL": (json.dumps(seen()).replace("o1", "o\0"), "message_not_json"),
    "a key twice": (json.dumps(seen()).replace('"value": 3.5', '"value": 3.5, "value": 35'), "message_keys_repeated"),
    "a subject twice": (json.dumps(seen())[:-1] + ', "subject": {"reference": "Patient/p9"}}', "message_keys_repeated"),
    "JSON that is no object": ("[1]", "message_not_resource"),
    "no resource type": ('{"status": "final"}', "message_not_resource"),
    "a resource type of no list": ('{"resourceType": "Child"}', "message_not_resource"),
    "a Bundle in a line": ('{"resourceType": "Bundle", "entry": []}', "message_not_resource"),
    "too deep": ('{"resourceType": "Observation", "a": ' + "[" * 70 + "]" * 70 + "}", "message_too_deep"),
}  # fmt: skip


@pytest.mark.parametrize("name", REASONS)
def test_a_line_that_cannot_be_used_is_refused_with_its_reason_and_the_others_are_not(path, name):
    line, code = REASONS[name]
    read = lines(path, patient(), line, seen("29573-3", "o5", valueQuantity={"value": 1, "unit": "mg/dL"}))
    assert code in codes(read, 2)
    assert ([r["component"] for r in read["screening"]], read.quarantine["row_no"].to_list()) == (["phe"], [2])
    assert read.quarantine["row_text"][0]


def test_a_bundle_of_which_a_part_of_its_own_is_no_utf8_is_refused_whole(path):
    path.write_bytes(json.dumps({"resourceType": "Bundle", "type": "x", "entry": [{"resource": seen()}]}).encode().replace(b'"x"', b'"\xff"'))
    with pytest.raises(FileRefusedError, match="file_unreadable"):
        judge(path)


def test_a_resource_of_which_one_component_cannot_be_used_is_refused_whole_and_once(path):
    ears = seen(coded("54111-0"), valueQuantity=None, component=[
        {"code": coded("54108-6"), "valueCodeableConcept": coded("LA10392-1")},
        {"code": coded("54109-4"), "valueCodeableConcept": coded("LA99-9")},
    ])  # fmt: skip
    read = lines(path, patient(), ears | {"code": {"text": "both ears"}})
    assert (read["screening"], read.quarantine["row_no"].to_list(), codes(read)) == ([], [2], {"result_code_unknown"})


def test_a_part_that_breaks_the_standard_is_told_and_the_rest_is_used(path):
    read = lines(path, patient(name="BABY"), seen(issued=5, performer={"reference": "Organization/L1"}, category=["x"]))
    assert len(read["screening"]) == 1
    assert {(n, c) for n, c, code, _ in read.finding if code == "part_malformed"} == {
        (1, "name"), (2, "performer"), (2, "category"),
    }  # fmt: skip
    assert read["screening"][0]["sender_id"] == "L1"


def test_contradictory_results_of_a_day_are_all_kept(path):
    passed = seen("54109-4", "o1", valueQuantity=None, valueCodeableConcept=coded("LA10392-1"))
    absent = seen("54109-4", "o2", valueQuantity=None, valueCodeableConcept=coded("LA7304-4"))
    read = lines(path, patient(), passed, absent)
    assert [r["result_code"] for r in read["screening"]] == ["pass", "not_done"]


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        ("Patient/p1", None), ("urn:uuid:0a", "urn:uuid:0a"), ("http://a.kz/fhir/Patient/p1", "http://a.kz/fhir/Patient/p1"),
        ("Patient/p1", "http://a.kz/fhir/Patient/p1"), ("Patient/p1/_history/3", None), ("http://a.kz/fhir/Patient/p1", None),
    ],
)  # fmt: skip
def test_references_of_every_kind_find_the_child(path, reference, url):
    read = bundle(path, seen(subject={"reference": reference}), patient(), urls=(None, url))
    assert [r["history_no"] for r in read["screening"]] == ["H-p1"]


def test_a_reference_to_another_server_does_not_find_a_child_of_the_same_number(path):
    there = seen(subject={"reference": "http://b.kz/fhir/Patient/p1"})
    assert codes(bundle(path, there, patient(), urls=(None, "http://a.kz/fhir/Patient/p1"))) == {"message_without_patient"}


def test_a_name_of_two_unlike_patients_names_neither(path):
    assert codes(lines(path, patient(), patient(birthDate="2026-01-04"), seen())) == {"message_patient_repeated"}
    assert len(lines(path, patient(), patient(), seen())["screening"]) == 1


def test_a_child_inside_the_record_or_named_by_a_number_alone_is_found(path):
    inside = seen(number="o1", subject={"reference": "#c"}, contained=[patient("c")])
    named = seen(number="o2", subject={"identifier": {"system": "urn:erte:iin", "value": "250314500010"}})
    both = seen(number="o3", subject={"reference": "Patient/away", "identifier": {"system": "urn:x", "value": "H7"}})
    numbered = patient("p7", identifier=[{"system": "urn:x", "value": "H7", "assigner": {"identifier": {"value": "M7"}}}])
    rows = lines(path, numbered, inside, named, both)["screening"]
    assert [(r["child_iin"], r["maternity_id"], r["history_no"]) for r in rows] == [
        (None, "MAT1", "H-c"), ("250314500010", "L1", None), (None, "M7", "H7"),
    ]  # fmt: skip


def test_a_patient_may_stand_after_its_results_and_have_an_identifier_only(path):
    only = {"resourceType": "Patient", "id": "p1", "identifier": [{"system": "urn:erte:iin", "value": "250314500010"}]}
    assert [r["child_iin"] for r in lines(path, seen(), only)["screening"]] == ["250314500010"]


def test_what_is_told_of_a_child_is_told_of_every_result_of_that_day(path):
    told = [
        seen("57713-0", "t1", valueQuantity=None, valueCodeableConcept=coded("LA12417-4")),
        seen("57714-8", "t2", effectiveDateTime=None, valueQuantity={"value": 32, "unit": "wk"}),
        seen("57721-3", "t3", valueQuantity=None, valueCodeableConcept=coded("LA12425-7")),
    ]
    other = seen(number="o2", effectiveDateTime="2026-01-20T09:00:00+05:00")
    rows = lines(path, patient(), *told, seen(), other)["screening"]
    assert [(r["is_transfused"], r["gestation_wk"], r["stage_code"]) for r in rows] == [(True, 32, "repeat"), (None, 32, None)]


def test_what_is_told_of_nobody_known_is_told_of_no_child_of_the_file(path):
    strange = seen("57714-8", "t2", subject={"reference": "@0"}, effectiveDateTime=None, valueQuantity={"value": 32, "unit": "wk"})
    assert [r["gestation_wk"] for r in lines(path, patient(), strange, seen())["screening"]] == [None]


def test_an_unusable_specimen_spoils_the_numbers_of_its_day(path):
    spoiled = seen("57718-9", "q1", valueQuantity=None, valueCodeableConcept=coded("LA20627-8"))
    rows = lines(path, patient(), seen(), spoiled)["screening"]
    assert {(r["component"], r["result_code"]) for r in rows} == {("tsh", "unsatisfactory"), ("phe", "unsatisfactory")}


def test_moments_are_told_in_local_time():
    assert read_moment("2026-01-05T22:30:00Z") == ("2026-01-06", "2026-01-06T03:30:00")
    assert read_moment("2026-01-05T09:00:00.125+05:00") == ("2026-01-05", "2026-01-05T09:00:00")
    assert read_moment("2026-01-05") == ("2026-01-05", None)
    assert read_moment("template") == ("template", None)


CONSENT = {
    "resourceType": "Consent", "id": "c1", "status": "active", "patient": {"reference": "Patient/p1"}, "dateTime": "2026-01-09",
    "category": [coded("pmpc_referral", "urn:erte:purpose")], "performer": [{"reference": "RelatedPerson/g1"}],
    "organization": [{"reference": "Organization/P1"}], "policyRule": coded("OPTIN"), "policy": [{"uri": "form-2"}],
    "sourceReference": {"identifier": {"value": "order 7"}}, "provision": {"period": {"end": "2027-01-09"}},
}  # fmt: skip
GUARDIAN = {
    "resourceType": "RelatedPerson", "id": "g1", "patient": {"reference": "Patient/p1"}, "relationship": [coded("GUARD")],
    "identifier": [{"type": coded("NI"), "value": "250314500108"}], "name": [{"family": "F", "given": ["G"]}],
}  # fmt: skip


def test_a_consent_carries_who_decided_by_what_right_and_until_when(path):
    row = lines(path, patient(), GUARDIAN, CONSENT)["consent"][0]
    expected = {
        "row_no": 3, "sender_id": "P1", "source_id": "c1", "purpose": "pmpc_referral", "decision": "given", "decided_on": date(2026, 1, 9),
        "valid_until": date(2027, 1, 9), "authority_code": "guardian", "authority_document": "order 7", "form_version": "form-2",
        "representative_iin": "250314500108", "representative_name": "F G", "history_no": "H-p1", "action_code": "report",
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("change", "decision", "action"),
    [
        ({"status": "rejected"}, "refused", "report"), ({"status": "inactive"}, "withdrawn", "report"),
        ({"provision": {"type": "deny"}}, "refused", "report"), ({"policyRule": coded("OPTOUT")}, "refused", "report"),
        ({"status": "entered-in-error"}, "given", "cancel"),
    ],
)  # fmt: skip
def test_a_consent_that_refuses_or_is_withdrawn_is_never_given(path, change, decision, action):
    row = lines(path, patient(), GUARDIAN, CONSENT | change)["consent"][0]
    assert (row["decision"], row["action_code"]) == (decision, action)


def test_silence_is_no_consent(path):
    draft, vague = CONSENT | {"status": "draft"}, CONSENT | {"id": "c2", "category": [coded("INFA")]}
    read = lines(path, patient(), draft, vague)
    assert (codes(read, 3), counted(read)) == ({"consent_without_purpose"}, {"Consent (undecided): 1", "Patient: 1"})
    assert {(row["row_no"], row["action_code"]) for row in read["consent"]} == {(3, "cancel")}


BIRTH_TIME = "http://hl7.org/fhir/StructureDefinition/patient-birthTime"


def report(**other):
    return {
        "resourceType": "Task", "id": "t1", "status": "completed", "intent": "order", "lastModified": "2026-01-20T10:00:00+05:00",
        "businessStatus": coded("7.0", "http://hl7.org/fhir/us/bser/CodeSystem/TaskBusinessStatusCS"),
        "focus": {"identifier": {"system": "urn:erte:referral", "value": REFERRAL}}, "owner": {"identifier": {"value": "K1"}},
        "output": [
            {"type": {"text": "category"}, "valueCodeableConcept": coded("sensory", "urn:erte:category")},
            {"type": {"text": "diagnosis"}, "valueCodeableConcept": coded("H90.3", "http://hl7.org/fhir/sid/icd-10")},
            {"type": coded("is_severe", "urn:erte:output"), "valueBoolean": False},
        ],
    } | other  # fmt: skip


def test_a_task_of_a_pmpc_is_its_report_of_our_referral(path):
    row = lines(path, report())["pmpc_report"][0]
    expected = {
        "sender_id": "K1", "source_id": "t1", "referral_id": REFERRAL, "report_status": "7.0", "reported_on": date(2026, 1, 20),
        "category_codes": "sensory", "icd10_codes": "H90.3", "is_severe": False,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected


def test_a_task_finds_the_number_of_the_referral_it_points_at_and_another_task_is_no_report(path):
    order = {"resourceType": "ServiceRequest", "id": "s1", "identifier": [{"system": "urn:erte:referral", "value": REFERRAL}]}
    other = {"resourceType": "Task", "id": "t2", "status": "draft", "intent": "order"}
    read = lines(path, report(focus={"reference": "ServiceRequest/s1"}), order, other)
    assert [r["referral_id"] for r in read["pmpc_report"]] == [REFERRAL]
    assert counted(read) == {"ServiceRequest: 1", "Task (other): 1"}


def test_a_birth_is_declared_by_the_maternity_that_keeps_the_child_and_only_by_it(path):
    born = patient(
        managingOrganization={"identifier": {"value": "MAT1"}}, multipleBirthBoolean=False, telecom=[{"system": "phone", "value": "+7"}],
        _birthDate={"extension": [{"url": BIRTH_TIME, "valueDateTime": "2026-01-03T08:00:00+05:00"}]},
        address=[{"text": "STREET 1", "extension": [{"url": "urn:erte:kato", "valueString": "751010000"}]}],
    )  # fmt: skip
    weight = seen("8339-4", "w1", valueQuantity={"value": 3050, "code": "g"})
    read = lines(path, born, patient("p2"), weight)
    expected = {
        "row_no": 1, "sender_id": "MAT1", "maternity_id": "MAT1", "history_no": "H-p1", "birth_on": date(2026, 1, 3), "birth_order": 1,
        "plurality": 1, "sex_code": "female", "birth_weight_g": 3050, "birth_at": datetime(2026, 1, 3, 8), "address": "STREET 1",
        "residence_kato": "751010000", "phone": "+7",
    }  # fmt: skip
    assert [{name: row[name] for name in expected} for row in read["birth"]] == [expected]
    assert "Patient: 1" in counted(read)


def test_several_kinds_come_out_of_one_file_and_all_else_is_counted_by_type(path):
    others = [{"resourceType": "Encounter", "id": "e1"}, {"resourceType": "Condition"}, {"resourceType": "Encounter", "id": "e2"}]
    read = bundle(path, patient(), seen(), CONSENT, report(), *others, kind="transaction")
    assert {kind: [r["row_no"] for r in read[kind]] for kind in KINDS} == {
        "screening": [2], "consent": [3], "pmpc_report": [4], "birth": [],
    }  # fmt: skip
    assert counted(read) == {"Condition: 1", "Encounter: 2", "Patient: 1"}


def test_a_report_names_the_order_its_results_are_of(path):
    order = {
        "resourceType": "DiagnosticReport", "id": "d1", "code": coded("54089-8"), "issued": "2026-01-08T10:00:00+05:00",
        "identifier": [{"type": coded("PLAC"), "value": "P1"}, {"type": coded("FILL"), "value": "F1"}],
        "result": [{"reference": "Observation/o1"}, {"reference": "Observation/o2"}],
    }  # fmt: skip
    first, second = seen("53160-8", "o1", issued=None, valueQuantity={"value": 2, "code": "umol/L"}), seen("53160-8", "o2")
    rows = bundle(path, patient(), order, first, second, kind="message")["screening"]
    assert [(r["source_id"], r["component"], r["reported_on"]) for r in rows] == [
        ("F1", "53160-8", date(2026, 1, 8)), ("F1#2", "53160-8", date(2026, 1, 7)),
    ]  # fmt: skip


def test_lines_may_be_blank_and_follow_a_byte_order_mark_and_end_in_any_way(path):
    text = "\ufeff\n" + json.dumps(patient()) + "\r\n\r\n  \n" + json.dumps(seen()) + "\r\n"
    path.write_text(text, "utf-8", newline="")
    assert [r["row_no"] for r in judge(path)["screening"]] == [5]


def test_one_resource_or_an_array_of_them_is_read_like_a_bundle(path):
    path.write_text(json.dumps([patient(), seen()], indent=1))
    assert [r["row_no"] for r in judge(path)["screening"]] == [2]
    path.write_text(json.dumps(report(), indent=1))
    assert len(judge(path)["pmpc_report"]) == 1


FILES = {
    "a file that is cut off": (b'{"resourceType": "Bundle", "entry": [', "file_unreadable"),
    "JSON of something else": (b'{"dataSet": "x", "dataValues": []}', "file_not_fhir"),
    "an empty Bundle": (b'{"resourceType": "Bundle", "type": "collection"}', "file_without_records"),
    "patients alone": (json.dumps(patient()).encode() + b"\n" + json.dumps(patient("p2")).encode(), "file_without_records"),
    "a well without a bottom": (b'{"resourceType": "Bundle", "entry": ' + b"[" * 100_000, "json_too_deep"),
    "a line that is too long": (json.dumps(patient()).encode() + b"\n" + b'{"a": "' + b"x" * (5 << 20), "line_too_long"),
    "a Bundle that is too large": (b'{\n"resourceType": "Bundle", "a": "' + b"x" * (3 << 20) + b'"}', "json_too_large"),
    "an empty array": (b"[]", "file_without_records"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_used_is_refused_with_a_reason(path, name):
    content, code = FILES[name]
    path.write_bytes(content)
    with pytest.raises(FileRefusedError) as refused:
        judge(path, Limits(line_mb=2))
    assert refused.value.code == code
    tell_finding(code, None, {})


def test_a_file_that_names_more_people_than_can_be_held_is_refused(path):
    with pytest.raises(FileRefusedError, match="file_too_many_people"):
        path.write_text("\n".join(json.dumps(patient(f"p{n}")) for n in range(9)))
        judge(path, Limits(people=10))


@pytest.mark.parametrize("text", [json.dumps(patient()) + "\n" + json.dumps(seen()), None])
def test_gzip_around_any_format_is_unpacked_and_leaves_nothing_behind(tmp_path, text):
    from tests.test_hl7 import CHILD, HEAD, ORDER, TSH

    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress((text or "\r".join([HEAD, CHILD, ORDER, TSH, ""])).encode()))
    assert len(judge(path)["screening"]) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_reader_unpacked_is_removed_by_the_next_and_what_is_being_read_is_not(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress((json.dumps(patient()) + "\n" + json.dumps(seen())).encode()))
    script = (
        "import os, sys; from pathlib import Path; from pipelines.intake.receive import open_submission; "
        "opened = open_submission(Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode == -9
    left = [p for p in tmp_path.iterdir() if p != path]
    assert len(left) == 1
    opened = open_submission(path)
    assert len(judge(path)["screening"]) == 1
    assert not left[0].exists()
    assert sum(len(chunk.rows) for chunk in opened.chunks) == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (gzip.compress(b"\0" * (3 << 20)), "packed_file_too_large"), (gzip.compress(b"{}")[:-9], "file_unreadable"),
        (b"\x1f\x8b" + b"noise" * 9, "file_unreadable"), (gzip.compress(gzip.compress(b"{}")), "format_not_supported"),
        (gzip.compress(b""), "file_empty"),
    ],
    ids=["bomb", "cut off", "noise", "packed twice", "empty"],
)  # fmt: skip
def test_a_packed_file_that_is_damaged_or_a_bomb_is_refused(tmp_path, content, code):
    path = tmp_path / "a.gz"
    path.write_bytes(content)
    with pytest.raises(FileRefusedError) as refused:
        judge(path, Limits(unpacked_mb=2))
    assert refused.value.code == code
    assert list(tmp_path.iterdir()) == [path]


def plain(value):
    """A typed resource as plain values, numbers by their worth."""
    if isinstance(value, msgspec.Raw):
        return msgspec.json.decode(bytes(value)) if bytes(value) else None
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    return [plain(item) for item in value] if isinstance(value, list) else value


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "final", "29575-8", "Patient/p1", "2026-01-05", "x\u0000", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["resourceType", "coding", "code", "subject", "reference", "value", "valueQuantity", "identifier", "component",
                         "entry", "resource", "status", "contained", "id", "performer", "hasMember", "birthDate", "focus"]), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip
PARTS = st.dictionaries(st.sampled_from([*seen(), "component", "contained", "hasMember", "dataAbsentReason", "valueString"]), ANY, max_size=3)


@settings(max_examples=25, deadline=None)
@given(PARTS)
def test_both_ways_of_decoding_give_the_same_resource(parts):
    raw = json.dumps(seen() | parts).encode()
    try:
        quick = decode_line(raw)
        slow = decode_loosely(raw)
    except Exception as error:
        assert type(error).__name__ == "UnreadableError"
        return
    assert plain(quick.resource) == plain(slow.resource)


VARIED = st.fixed_dictionaries({}, optional={
    "code": st.sampled_from([coded("54108-6"), coded(" 29575-8"), coded("12345-5"), coded("57718-9"), coded("motor", "urn:erte:component")]),
    "category": st.sampled_from([[coded("laboratory")], [coded("vital-signs")], [coded("a"), coded("b")], []]),
    "valueQuantity": st.sampled_from([{"value": 1}, {"value": "0 .07", "unit": "g"}, {"value": 1e400}, {"comparator": "<"}, None]),
    "subject": st.sampled_from([{"reference": "Patient/p2"}, {"reference": " Patient/p1"}, {"reference": "Patient/p1/_history/2"},
                               {"reference": "Patient/p1", "identifier": {"value": "7"}}, {"display": "x"}, None]),
    "issued": st.sampled_from(["2026-01-07", "then", "", None]),
    "specimen": st.just({"reference": "Specimen/\\"}), "meta": st.just({"lastUpdated": "2026-01-08T10:00:00Z"}),
    "status": st.sampled_from(["amended", "preliminary", "unknown", None]), "identifier": st.just([{"value": "X1"}]),
    "performer": st.sampled_from([[{"identifier": {"value": "L2"}}], [{"reference": "Practitioner/1"}], [], "x"]),
    "interpretation": st.sampled_from([[coded("H")], [coded("refer", "urn:erte:result")], ["H"], []]),
    "effectiveDateTime": st.sampled_from(["2026", "2026-01-05T23:00:00Z", None]),
    "component": st.just([{"code": coded("54109-4"), "valueString": "Pass"}]), "id": st.none(),
})  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.lists(VARIED, max_size=4))
def test_the_quick_way_and_the_whole_way_give_the_same_rows(varied):
    index = Index(100, is_bundle=False)
    index.add_patient(decode_line(json.dumps(patient()).encode()).resource, None)
    index.freeze()
    raws = [json.dumps(seen(**parts)).replace("Infinity", "1e400").encode() for parts in varied]
    quick, whole = (Results(index, None, Counter()) for _ in range(2))
    shapes = sort_shapes(pl.Series("sent", raws, pl.Binary).cast(pl.String), 64)
    taken = take_plain(quick, [(number, None, raw) for number, raw in enumerate(raws)], sorted(shapes.plain))
    for number in sorted(taken):
        decoded = decode_line(raws[number])
        assert not decoded.dropped
        whole.take_observation(number, number, decoded.resource, None)
    assert frame_screening(quick).select(SCREENING).rows() == frame_screening(whole).rows()
    assert (quick.findings, quick.counted) == (whole.findings, whole.counted) == ([], {})


WRITTEN = st.sampled_from([
    patient(), patient("p2", birthDate=None), seen(), seen(number="o577", performer=[{"type": "Patient"}]), seen(contained=[patient("c")]),
    seen("57714-8", "t1", valueQuantity={"value": 32, "unit": "wk"}), seen(" 8339-4", "t2", valueQuantity={"value": 3200, "unit": "g"}),
    {"resourceType": "Organization", "id": "L1", "identifier": [{"value": "LAB-1"}]}, GUARDIAN | {"relationship": [coded("MTH")]},
    {"resourceType": "PractitionerRole", "id": "r1", "organization": {"reference": "Organization/L1"}},
    {"id": "s1", "identifier": [{"system": "urn:erte:referral", "value": REFERRAL}], "resourceType": "ServiceRequest"},
])  # fmt: skip
HIDDEN = st.sampled_from([("Patient", "P\\u0061tient"), ("57714-8", "\\u00357714-8"), ('"resourceType": ', '"resourceType" :'), (" ", ""), ("", "")])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(WRITTEN, HIDDEN), max_size=6), st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_the_first_pass_finds_all_that_may_be_referred_to(path, written, end):
    raws = [json.dumps(resource).replace(*hidden).encode() for resource, hidden in written]
    path.write_bytes(end.encode().join(raws))
    found, whole = Index(100, is_bundle=False), Index(100, is_bundle=False)
    for _, url, raw in read_context_lines(path, Limits()):
        index_item(found, url, raw, 64)
    for raw in raws:
        index_item(whole, None, raw, 64)
    for index in (found, whole):
        index.freeze()
    assert found.frame.rows() == whole.frame.rows()
    for held in ("place", "organizations", "roles", "kin", "referrals", "told"):
        assert getattr(found, held) == getattr(whole, held)


def test_an_ordinary_line_is_read_the_quick_way():
    """Else an export is read at a third of the speed, and no other test would tell."""
    raws = [json.dumps(seen(**more)).encode() for more in ({}, {"identifier": [{"value": "X1"}]}, {"interpretation": [coded("H")]},
                                                           {"text": {"div": "<p class=\"a\">"}}, {"category": None, "performer": None})]  # fmt: skip
    assert sort_shapes(pl.Series("sent", raws, pl.Binary).cast(pl.String), 64).plain == set(range(5))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ANY | PARTS.map(lambda parts: seen() | parts) | st.sampled_from([patient(), CONSENT, report()]), max_size=5),
       st.binary(max_size=6), st.booleans(), st.integers(0, 400))  # fmt: skip
def test_any_json_is_read_or_refused_and_no_row_is_lost(path, values, noise, is_bundle, cut):
    text = json.dumps({"resourceType": "Bundle", "entry": [{"resource": v} for v in values]}) if is_bundle else "\n".join(map(json.dumps, values))
    content = text.encode()
    path.write_bytes(b"{" + content[1:] if not noise else b"{" + content[1:-cut] + noise)
    try:
        judge(path)
    except FileRefusedError as refused:
        tell_finding(refused.code, None, {})


def test_a_key_that_stands_twice_is_seen_wherever_it_stands():
    assert has_repeated_key(b'{"a": [{"b": 1, "b": 1e999}]}')
    assert not has_repeated_key(b'{"a": {"b": 1}, "b": {"a": 1}}')
    assert (measure_depth(b'{"a": ["[[[", {"b\\"{": []}]}'), measure_depth(b"")) == (4, 0)


def test_what_fhir_and_hl7_share_is_written_once():
    import tomllib

    folder = Path(__file__).parents[1] / "pipelines" / "intake" / "layouts"
    ours, hl7 = (tomllib.loads((folder / name).read_text("utf-8")) for name in ("fhir-r4.toml", "hl7-oru.toml"))
    assert not set(ours["answers"]) & set(hl7["answers"])
    assert not {*ours["own"], *ours["skip"]["codes"]} & {*hl7["components"], *hl7["positive"]}
    assert len(read_tables()["types"]["names"].split()) == 146


def test_memory_does_not_grow_with_the_file(path):
    """A file of many parts is read part by part: none is kept."""
    path.write_text("\n".join([json.dumps(patient()), *(json.dumps(seen(number=f"o{n}")) for n in range(30_000))]))
    opened = open_submission(path)
    sizes = [len(chunk.rows) for chunk in opened.chunks]
    assert sum(sizes) == 30_000
    assert max(sizes) < 30_000


def test_one_bundle_brings_a_birth_its_result_and_its_consent_through_the_night(tmp_path):
    from pipelines import flow
    from tests.nation import FIRST, ask, name_iin, run, settle

    home = settle(tmp_path / "home")
    born = patient(birthDate="2026-02-10", managingOrganization={"identifier": {"value": "M1"}}, multipleBirthBoolean=False)
    mother = GUARDIAN | {"relationship": [coded("MTH")], "identifier": [{"type": coded("NI"), "value": name_iin(2)}]}
    result = seen(effectiveDateTime="2026-02-12", issued="2026-02-13T08:00:00+05:00")
    agreed = CONSENT | {"dateTime": "2026-02-15", "provision": None}
    entries = [{"resource": r} for r in (born, mother, result, agreed, seen(number="o2", subject={"reference": "Patient/away"}))]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}))
    submission = flow.receive(home, [path])[0]
    run(home, FIRST)
    held = [ask(home, f"select count(*) from lake.clinical.{table}")[0][0] for table in ("birth", "screening", "consent")]
    ledger = "select layout, received_count, accepted_count, quarantined_count from lake.ledger.submission where submission_id = ?"
    assert (held, ask(home, ledger, submission)) == ([1, 1, 1], [("fhir-r4", 4, 3, 1)])
    assert ask(home, "select count(distinct child_key) from lake.clinical.screening semi join lake.clinical.birth using (child_key)") == [(1,)]


# ---- public samples: what each must yield


def sample(name):
    found = SAMPLES / name
    if not found.exists():
        pytest.skip("the public samples are not at hand")
    return found


def listed(read):
    return sorted((r["component"], r["result_code"]) for r in read["screening"])


def test_the_bundle_of_louisiana_yields_its_ten_preliminary_results():
    read = judge(sample("ti__LA__003_LA_ORU_R01_NBS_obr_flatten_1_hl7_translation.fhir.json"))
    interpretations = ("46733-2", "46736-5", "46737-3", "46740-7", "46744-9", "46758-9", "46761-3", "46762-1", "46769-6", "57130-7")
    assert listed(read) == [(code, "in_range") for code in interpretations]
    assert {(r["status_code"], r["source_id"], r["sender_id"], r["history_no"], r["birth_on"], r["gestation_wk"], r["card_no"],
             r["examined_on"], r["mother_given_name"]) for r in read["screening"]} == {
        ("preliminary", "20243334444", "2.16.840.1.114222.4.3.26.3.1", "1234567", date(2024, 1, 1), 38, "1234567", date(2024, 1, 1), "PARENT")
    }  # fmt: skip
    assert (len(read.quarantine), codes(read)) == (0, set())
    assert {"Organization: 49", "ServiceRequest: 11", "Observation (context): 4", "Observation (other): 36"} <= counted(read)


def test_the_bundle_of_alabama_yields_its_thirteen_results():
    read = judge(sample("ti__Test__Results__003_AL_ORU_R01_NBS_Normal_And_Abnormal_Results_1_hl7_translation.fhir.json"))
    abnormal = ("46736-5", "46758-9", "57130-7")
    normal = ("46733-2", "46737-3", "46740-7", "46744-9", "46761-3", "46762-1", "46769-6", "62321-5", "85269-9", "92004-1")
    assert listed(read) == sorted([(c, "out_of_range") for c in abnormal] + [(c, "in_range") for c in normal])
    assert {(r["status_code"], r["source_id"], r["sender_id"], r["maternity_id"], r["birth_order"], r["examined_on"]) for r in read["screening"]} == {
        ("final", "20231561137", "ALlab", "Baptist East", 1, date(2023, 6, 3))
    }  # fmt: skip
    assert (len(read.quarantine), codes(read)) == (0, set())


@pytest.mark.parametrize(
    ("fhir", "hl7"),
    [
        ("ti__LA__003_LA_ORU_R01_NBS_obr_flatten_1_hl7_translation.fhir.json", "LA__003_LA_ORU_R01_NBS_obr_flatten_0_initial_message.hl7"),
        ("ti__Test__Results__003_AL_ORU_R01_NBS_Normal_And_Abnormal_Results_1_hl7_translation.fhir.json",
         "Test__Results__003_AL_ORU_R01_NBS_Normal_And_Abnormal_Results_0_initial_message.hl7"),
    ],
)  # fmt: skip
def test_a_message_and_its_translation_say_the_same(fhir, hl7):
    same = ("sender_id", "source_id", "programme", "component", "value", "unit", "result_code", "status_code", "examined_on", "birth_on",
            "birth_order", "sex_code", "maternity_id", "history_no", "card_no", "gestation_wk", "family_name", "mother_given_name")  # fmt: skip
    told = []
    for path in (sample(fhir), sample("../hl7/" + hl7)):
        told.append(sorted(tuple(str(r[name]) for name in same) for r in judge(path)["screening"]))
    if "LA__" in fhir:  # the message names the maternity by its number only, the translation by the laboratory's name
        place = same.index("maternity_id")
        told = [[(*r[:place], *r[place + 1 :]) for r in rows] for rows in told]
    assert told[0] == told[1]


def test_the_hospital_bundle_yields_its_newborns_and_refuses_what_it_cannot_place():
    read = judge(sample("dibbs__BundleHAPIServer.json"))
    assert [(r["row_no"], r["component"], r["result_code"], r["given_name"]) for r in read["screening"]] == [
        (1, "73700-7", "out_of_range", "Mango"), (4, "hearing_right", "not_done", "Mango"), (5, "hearing_left", "not_done", "Mango"),
        (98, "hearing_right", "pass", "WATERMELON"), (99, "hearing_left", "refer", "WATERMELON"),
    ]  # fmt: skip
    assert read.quarantine["row_no"].to_list() == [10, 11, 79, 80]
    assert codes(read, 10) == codes(read, 11) == {"component_unknown"}  # and not that its programme is missing
    assert {"component_unknown"} <= codes(read, 79) & codes(read, 80)
    assert {"Observation (other): 55", "Encounter: 10", "Patient: 6"} <= counted(read)


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("Bundle-bundle-bser-referral-request-document-bundle-baby-everybaby.json",
         ("Composition", "Observation (other)", "Organization", "Patient", "Practitioner", "PractitionerRole", "RelatedPerson")),
        ("cumulus__Patient.ndjson", ("Patient",)),
    ],
)  # fmt: skip
def test_a_document_without_a_screening_is_refused_with_what_it_holds(name, types):
    with pytest.raises(FileRefusedError) as refused:
        judge(sample(name))
    assert (refused.value.code, refused.value.columns) == ("file_without_records", types)


def test_the_consent_whose_patient_is_elsewhere_is_refused_and_says_what_is_needed_with_it():
    read = judge(sample("Consent-consent-bser-patientconsent-baby-everybaby.json"))
    assert (read["consent"], read.quarantine["row_no"].to_list(), codes(read)) == ([], [1], {"message_without_patient"})


def listing(*results, **other):
    listed = [{"reference": r} for r in results]
    return {"resourceType": "DiagnosticReport", "id": "r1", "status": "final", "code": coded("54089-8"), "subject": {"reference": "Patient/p1"},
            "identifier": [{"value": "ORDER-1"}], "result": listed} | other  # fmt: skip


@pytest.mark.parametrize("status", ["cancelled", "entered-in-error"])
@pytest.mark.parametrize("write", [bundle, lines])
def test_a_report_that_is_withdrawn_takes_its_results_with_it(path, write, status):
    read = write(path, patient(), seen(), listing("Observation/o1", status=status))
    assert [(r["status_code"], r["action_code"]) for r in read["screening"]] == [("cancelled", "cancel")]


@pytest.mark.parametrize("write", [bundle, lines])
def test_a_result_that_stands_inside_its_report_is_a_result(path, write):
    phe = seen("29573-3", "o2", subject={"reference": "#p9"}, valueQuantity={"value": 1, "code": "mg/dL"})
    inside = [seen(number="o1", subject=None), phe, patient("p9")]
    read = write(path, patient(), listing("#o1", "#o2", contained=inside))
    assert [(r["row_no"], r["component"], r["source_id"], r["history_no"]) for r in read["screening"]] == [
        (2, "tsh", "ORDER-1", "H-p1"), (2, "phe", "ORDER-1", "H-p9"),
    ]  # fmt: skip


def test_an_export_is_read_with_its_reports_and_its_ids_stay(path):
    ambiguous = seen("38473-5", valueQuantity={"value": 12, "unit": "nmol/L", "code": "nmol/L"})
    (row,) = lines(path, patient(), ambiguous, listing("Observation/o1"))["screening"]
    (same,) = bundle(path, patient(), ambiguous, listing("Observation/o1"))["screening"]
    assert (row["source_id"], same["source_id"], row["component"]) == ("o1", "ORDER-1", same["component"])


def test_an_entry_that_asks_for_a_deletion_is_told_what_to_send_instead(path):
    entries = [{"request": {"method": "DELETE", "url": "Observation/o1"}}, {"resource": patient()}, {"resource": seen()}]
    path.write_text(json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries}), "utf-8")
    read = judge(path)
    assert codes(read, 1) == {"message_asks_deletion"}
    assert (len(read["screening"]), read.received) == (1, 2)
