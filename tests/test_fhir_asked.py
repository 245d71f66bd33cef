"""Entries and lines of FHIR that bring no record: they are refused by name, are in the file to fix, and are closed when the record comes."""

import json
from datetime import timedelta

import pytest

from pipelines.intake.fhir.fix import tag_resource
from pipelines.intake.mends import Refused, find_names, name_row
from tests.nation import FIRST, ask, copy_home
from tests.test_fhir import bundle, codes, counted, judge, patient, seen
from tests.test_mending import HELD, LABORATORY, SECOND, THIRD, born, born_as, counts, fix, measure, night, write_ndjson  # noqa: F401

FOURTH = FIRST + timedelta(days=3)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.json"


@pytest.fixture
def home(born, tmp_path):  # noqa: F811
    return copy_home(born, tmp_path / "home")


def ask_for(method, url, **other):
    return {"request": {"method": method, "url": url}} | other


def write_transaction(path, *entries):
    path.write_text(json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}))
    return path


PATCHES = {
    "FHIRPath": {"resourceType": "Parameters", "parameter": [{"name": "operation"}]},
    "JSON": {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": "W10="},
}


@pytest.mark.parametrize(
    ("entry", "code", "source"),
    [
        (ask_for("DELETE", "Observation/o1"), "message_asks_deletion", "o1"),
        (ask_for("DELETE", "https://a.kz/fhir/Consent/c1/_history/2"), "message_asks_deletion", "c1"),
        (ask_for("DELETE", "Observation?identifier=urn:x|7"), "message_asks_deletion", None), (ask_for("DELETE", ""), "message_asks_deletion", None),
        ({"request": {"method": "DELETE"}, "fullUrl": "https://a.kz/fhir/Task/t1"}, "message_asks_deletion", "t1"),
        (ask_for("PATCH", "Observation/o1", resource=PATCHES["JSON"]), "message_asks_patch", "o1"),
        (ask_for("PATCH", "Patient/p1", resource=PATCHES["FHIRPath"]), "message_asks_patch", "p1"),
    ],
)  # fmt: skip
def test_an_entry_that_asks_for_a_record_to_be_deleted_or_changed_is_refused_by_name(path, entry, code, source):
    read = judge(write_transaction(path, entry, {"resource": patient()}, {"resource": seen()}))
    assert (codes(read, 1), len(read["screening"]), read.received) == ({code}, 1, 2)
    assert read.quarantine.select("row_no", "source_id").rows() == [(1, source)]
    assert json.loads(read.quarantine["row_text"][0]) == entry


def test_what_is_asked_of_a_resource_that_is_no_record_is_counted_and_a_question_is_none(path):
    asked = [ask_for("DELETE", "Practitioner/x"), ask_for("PATCH", "Encounter/e", resource=PATCHES["JSON"]), ask_for("GET", "Observation/o1"),
             {"resource": patient()}, {"resource": seen()}]  # fmt: skip
    read = judge(write_transaction(path, *asked))
    assert (read.received, codes(read)) == (1, set())
    assert counted(read) == {"Practitioner (DELETE): 1", "Encounter (PATCH): 1", "entry without resource: 1", "Patient: 1"}


def test_entries_keep_their_numbers_beside_what_is_no_entry(path):
    path.write_text(json.dumps({"resourceType": "Bundle", "entry": [None, {"resource": patient()}, 7, ask_for("DELETE", "Observation/o1")]}))
    assert judge(path).quarantine["row_no"].to_list() == [2]
    assert codes(judge(write_transaction(path, ask_for("DELETE", "Observation/o1"))), 1) == {"message_asks_deletion"}


def test_the_deletions_of_an_export_are_told_as_such(path):
    gone = {"resourceType": "Bundle", "type": "transaction", "entry": [ask_for("DELETE", "Observation/o1"), ask_for("DELETE", "Observation/o2")]}
    other = gone | {"entry": [*gone["entry"], {"resource": patient()}]}
    path.write_text("\n".join(map(json.dumps, [patient(), seen(), gone, other])))
    read = judge(path)
    assert (codes(read, 3), codes(read, 4)) == ({"message_asks_deletion"}, {"message_not_resource"})


def test_a_put_of_a_record_is_the_record(path):
    read = bundle(path, patient(), seen())
    path.write_text(json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": [
        ask_for("POST", "Patient", resource=patient()), ask_for("PUT", "Observation/o1", resource=seen())]}))  # fmt: skip
    assert judge(path)["screening"] == read["screening"]


def test_a_deletion_has_its_place_in_the_file_to_fix_and_is_closed_when_the_record_stands_there(home, tmp_path):
    people = [{"resource": LABORATORY}, {"resource": born_as(2)}]
    held = ask_for("PUT", "Observation/o2", resource=measure(2, 3.5), fullUrl="http://a/Observation/o2")
    night(home, write_transaction(tmp_path / "held.json", *people, held), SECOND)
    asked = write_transaction(tmp_path / "a.json", *people, {"resource": measure(2, 4.5, id="other")}, ask_for("DELETE", "Observation/o2"),
                              ask_for("PATCH", "Observation/o2", resource=PATCHES["JSON"]), ask_for("DELETE", "Medication?x=y"))  # fmt: skip
    first = night(home, asked, SECOND)
    assert counts(home, first) == (2, 0, 0)
    told = json.loads(fix(home, first, "to-fix.json").read_text())
    gone, changed = told["entry"]
    assert (gone["request"], gone["resource"]["status"]) == ({"method": "PUT", "url": "Observation/o2"}, "entered-in-error")
    assert (changed["request"]["method"], changed["resource"].keys()) == ("PUT", {"resourceType", "id", "meta"})
    (tmp_path / "again.json").write_text(json.dumps(told))
    again = night(home, tmp_path / "again.json", THIRD)
    assert (counts(home, first), counts(home, again)) == ((0, 0, 2), (2, 0, 0))
    told = json.loads(fix(home, again, "to-fix.json").read_text())
    for entry, value, status in zip(told["entry"], (3.5, 9.5), ("entered-in-error", "corrected"), strict=True):
        entry["resource"] = measure(2, value) | entry["resource"] | {"status": status, "issued": f"2026-02-{10 + value * 2:.0f}T09:00:00+05:00"}
        entry["fullUrl"] = "http://a/Observation/o2"
    told["entry"] += people
    (tmp_path / "mended.json").write_text(json.dumps(told))
    mended = night(home, tmp_path / "mended.json", FOURTH)
    assert [counts(home, s) for s in (first, again, mended)] == [(0, 2, 0), (0, 2, 0), (0, 0, 0)]


def test_a_deletion_is_closed_when_the_record_comes_as_entered_in_error_without_its_name(home, tmp_path):
    people = [{"resource": LABORATORY}, {"resource": born_as(2)}]
    held = {"resource": measure(2, 3.5), "fullUrl": "http://a/Observation/o2"}
    other = {"resource": measure(2, 4.5, id="o9"), "fullUrl": "http://a/Observation/o9"}
    first = night(home, write_transaction(tmp_path / "a.json", *people, other, ask_for("DELETE", "Observation/o2")), SECOND)
    gone = held | {"resource": held["resource"] | {"status": "entered-in-error"}}
    night(home, write_transaction(tmp_path / "b.json", *people, gone), THIRD)
    assert counts(home, first) == (0, 1, 0)


CUT = {
    "with a meta of its own": {"meta": {"versionId": "1", "lastUpdated": "2026-02-13T09:00:00Z"}},
    "with an empty meta": {"meta": {}},
    "with tags of its own": {"meta": {"tag": [{"system": "urn:x", "code": "y"}]}},
    "with a meta inside another": {"contained": [{"resourceType": "Organization", "id": "i", "meta": {"tag": []}}]},
}


@pytest.mark.parametrize("name", CUT)
def test_a_line_that_is_no_json_is_told_by_its_number_and_closed_by_its_name_when_mended(home, tmp_path, name):
    whole = CUT[name] | measure(4, 4.5)
    del whole["id"]
    first = night(home, write_ndjson(tmp_path / "a.ndjson", LABORATORY, born_as(2), born_as(4), measure(2, 3.5), json.dumps(whole)[:-2]), SECOND)
    found = "select row_no, code from lake.ledger.finding where submission_id = ? and severity = 'error'"
    assert ask(home, found, first) == [(5, "message_not_json")]
    text = fix(home, first, "to-fix.ndjson").read_text()
    (broken,) = (line for line in text.splitlines() if "urn:erte:row" in line)
    assert (broken.endswith('"m[IU]/L"'), broken.count('"meta"')) == (True, 1 + ("inside another" in name))
    (tmp_path / "again.ndjson").write_text(text)
    again = night(home, tmp_path / "again.ndjson", THIRD)
    text = fix(home, again, "to-fix.ndjson").read_text()
    mended = [line + "}}" if line.endswith('m[IU]/L"') else line for line in text.splitlines()]
    assert json.loads(mended[-1])["meta"]["tag"][0]["code"].startswith(f"erte-{again[:12]}-{len(mended)}-")
    write_ndjson(tmp_path / "b.ndjson", *(json.loads(line) | ({"id": "o4"} if "urn:erte:row" in line else {}) for line in mended))
    last = night(home, tmp_path / "b.ndjson", FOURTH)
    assert [counts(home, s) for s in (first, again, last)] == [(0, 1, 0), (0, 1, 0), (0, 0, 0)]
    assert ask(home, HELD) == [(2,)]


@pytest.mark.parametrize("meta", [{}, {"tag": []}, {"tag": [{"system": "urn:x", "code": "y"}]}, {"versionId": "1", "tag": [{"code": "y"}]}])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_line_bears_its_name_wherever_it_was_cut_and_is_whole_when_the_rest_is_added(meta, is_first):
    whole = ({"meta": meta} | measure(2, 3.5)) if is_first else measure(2, 3.5, meta=meta)
    text, name = json.dumps(whole), name_row("a" * 64, 7)
    for cut in range(1, len(text)):
        tagged = tag_resource(text[:cut].encode(), Refused(7, "", name, "reasons")).decode()
        assert find_names(tagged) == [name]
        if cut > text.index('"meta"') + len(json.dumps({"meta": meta})):
            mended = json.loads(tagged + text[cut:])
            assert find_names(json.dumps(mended)) == [name]
            assert mended | {"meta": meta} == whole


def test_a_line_that_is_no_json_is_closed_when_its_server_exports_it_again(home, tmp_path):
    """Files of several senders, and of several kinds: a line is known by its own."""
    other = LABORATORY | {"id": "other", "identifier": [{"value": "L2"}]}
    elsewhere = measure(3, 5.5, performer=[{"reference": "Organization/other"}])
    people = [LABORATORY, other, born_as(2), born_as(3), born_as(4), measure(2, 3.5)]
    bare = elsewhere | {"id": "o8", "valueQuantity": {"value": 5.5}}
    begun = {"resourceType": "Observation", "id": "o4"}
    first = night(home, write_ndjson(tmp_path / "a.ndjson", *people, elsewhere, bare, json.dumps(begun | measure(4, 4.5))[:-2]), SECOND)
    assert counts(home, first) == (2, 0, 0)
    night(home, write_ndjson(tmp_path / "b.ndjson", *people, elsewhere | {"id": "o8"}, measure(4, 4.5)), THIRD)
    assert counts(home, first)[:2] == (1, 1)
