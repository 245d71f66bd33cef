"""One number on two servers is two children: references of FHIR by a full address."""

import json

import pytest

from pipelines.intake.reading import Limits
from pipelines.intake.receive import judge_chunk, open_submission
from tests.test_fhir import ON, bundle, codes, lines, patient, seen

HERE, THERE = "http://a.kz/fhir/Patient/p1", "https://b.kz/fhir/Patient/p1"
TWO = [seen(number=f"o{n}", subject={"reference": address}) for n, address in enumerate((HERE, THERE))]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.json"


@pytest.mark.parametrize("write", [lines, bundle])
def test_patients_of_two_servers_in_one_file_are_not_taken_for_one_child(path, write):
    read = write(path, patient(), *TWO)
    assert (read["screening"], codes(read)) == ([], {"message_servers_mixed"})


def test_an_escaped_address_is_an_address(path):
    assert codes(lines(path, patient(), *(json.dumps(one).replace("/", "\\/") for one in TWO))) == {"message_servers_mixed"}


def test_a_child_named_within_its_own_file_or_by_a_number_is_found_beside_them(path):
    named = seen(number="o8", subject={"reference": THERE, "identifier": {"system": "urn:erte:iin", "value": "250314500010"}})
    read = lines(path, patient(), *TWO, seen(number="o7"), named)
    assert [(r["source_id"], r["history_no"], r["child_iin"]) for r in read["screening"]] == [("o7", "H-p1", None), ("o8", None, "250314500010")]


def test_children_of_two_servers_who_stand_under_their_addresses_are_two(path):
    born = [patient(), patient(birthDate="2026-01-04")]
    read = bundle(path, *born, *TWO, urls=(HERE, THERE))
    assert [str(r["birth_on"]) for r in read["screening"]] == ["2026-01-03", "2026-01-04"]


def test_one_server_and_an_address_of_something_else_are_one_server(path):
    other = {"resourceType": "Encounter", "subject": {"reference": "http://a.kz/fhir/Patient/p1/_history/2"}, "url": "http://c.kz/Patient/7"}
    assert len(lines(path, patient(), TWO[0], other)["screening"]) == 1


def test_files_of_one_export_that_refer_to_two_servers_are_not_taken_for_one(tmp_path):
    written = {"Patient.ndjson": patient(), "Observation.1.ndjson": TWO[0], "Observation.2.ndjson": TWO[1]}
    for name, resource in written.items():
        (tmp_path / name).write_text(json.dumps(resource) + "\n")
    files = tuple(sorted(tmp_path.iterdir()))
    for path in files[:2]:
        opened = open_submission(path, Limits(), export=files)
        judged = [judge_chunk(chunk, opened.layout, "0" * 64, ON) for chunk in opened.chunks]
        assert [code for j in judged for *_, code, severity in j.finding.rows() if severity == "error"] == ["message_servers_mixed"]
