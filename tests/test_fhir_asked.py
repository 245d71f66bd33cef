"""Entries and lines of FHIR that bring no record: they are refused by name, are in the file to fix, and are closed when the record comes."""

import json

import pytest

from pipelines.intake.fhir.fix import tag_resource
from pipelines.intake.mends import Refused, find_names, name_row
from tests.nation import ask
from tests.test_fhir import bundle, codes, counted, judge, patient, seen
from tests.test_mending import LABORATORY, born, born_as, counts, fix, measure, receive, values, write_ndjson  # noqa: F401
from tests.together import Together

together = Together()


@pytest.fixture(scope="module")
def lived(born, tmp_path_factory):  # noqa: F811
    return together.live(born, tmp_path_factory.mktemp("lived"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.json"


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


@together.story
def test_a_deletion_has_its_place_in_the_file_to_fix_and_is_closed_when_the_record_stands_there(home, folder):
    people = [{"resource": LABORATORY}, {"resource": born_as(2)}]
    held = ask_for("PUT", "Observation/o2", resource=measure(2, 3.5), fullUrl="http://a/Observation/o2")
    receive(home, write_transaction(folder / "held.json", *people, held))
    yield
    asked = write_transaction(folder / "a.json", *people, {"resource": measure(2, 4.5, id="other")}, ask_for("DELETE", "Observation/o2"),
                              ask_for("PATCH", "Observation/o2", resource=PATCHES["JSON"]), ask_for("DELETE", "Medication?x=y"))  # fmt: skip
    first = receive(home, asked)
    yield
    assert counts(home, first) == [(2, 0, 0)]
    told = json.loads(fix(home, first, "to-fix.json").read_text())
    gone, changed = told["entry"]
    assert (gone["request"], gone["resource"]["status"]) == ({"method": "PUT", "url": "Observation/o2"}, "entered-in-error")
    assert (changed["request"]["method"], changed["resource"].keys()) == ("PUT", {"resourceType", "id", "meta"})
    (folder / "again.json").write_text(json.dumps(told))
    again = receive(home, folder / "again.json")
    yield
    assert counts(home, first, again) == [(0, 0, 2), (2, 0, 0)]
    told = json.loads(fix(home, again, "to-fix.json").read_text())
    for entry, value, status in zip(told["entry"], (3.5, 9.5), ("entered-in-error", "corrected"), strict=True):
        entry["resource"] = measure(2, value) | entry["resource"] | {"status": status, "issued": f"2026-02-{10 + value * 2:.0f}T09:00:00+05:00"}
        entry["fullUrl"] = "http://a/Observation/o2"
    told["entry"] += people
    (folder / "mended.json").write_text(json.dumps(told))
    mended = receive(home, folder / "mended.json")
    yield
    assert counts(home, first, again, mended) == [(0, 2, 0), (0, 2, 0), (0, 0, 0)]


@together.story
def test_a_deletion_is_closed_when_the_record_comes_as_entered_in_error_without_its_name(home, folder):
    people = [{"resource": LABORATORY}, {"resource": born_as(3)}]
    held = {"resource": measure(3, 3.5), "fullUrl": "http://a/Observation/o3"}
    other = {"resource": measure(3, 4.5, id="o93"), "fullUrl": "http://a/Observation/o93"}
    first = receive(home, write_transaction(folder / "a.json", *people, other, ask_for("DELETE", "Observation/o3")))
    yield
    gone = held | {"resource": held["resource"] | {"status": "entered-in-error"}}
    receive(home, write_transaction(folder / "b.json", *people, gone))
    yield
    assert counts(home, first) == [(0, 1, 0)]


CUT = {
    "with a meta of its own": {"meta": {"versionId": "1", "lastUpdated": "2026-02-13T09:00:00Z"}},
    "with an empty meta": {"meta": {}},
    "with tags of its own": {"meta": {"tag": [{"system": "urn:x", "code": "y"}]}},
    "with a meta inside another": {"contained": [{"resourceType": "Organization", "id": "i", "meta": {"tag": []}}]},
}


@together.story
def test_a_line_that_is_no_json_is_told_by_its_number_and_closed_by_its_name_when_mended(home, folder):
    numbers, first, again, last = dict(zip(CUT, (10, 12, 14, 16), strict=True)), {}, {}, {}
    for name, number in numbers.items():
        whole = CUT[name] | measure(number, 4.5)
        del whole["id"]
        lines = LABORATORY, born_as(number - 1), born_as(number), measure(number - 1, 3.5), json.dumps(whole)[:-2]
        first[name] = receive(home, write_ndjson(folder / f"a{number}.ndjson", *lines))
    yield
    found = "select row_no, code from lake.ledger.finding where submission_id = ? and severity = 'error'"
    for name, number in numbers.items():
        assert ask(home, found, first[name]) == [(5, "message_not_json")], name
        text = fix(home, first[name], "to-fix.ndjson").read_text()
        (broken,) = (line for line in text.splitlines() if "urn:erte:row" in line)
        assert (broken.endswith('"m[IU]/L"'), broken.count('"meta"')) == (True, 1 + ("inside another" in name)), name
        (folder / f"again{number}.ndjson").write_text(text)
        again[name] = receive(home, folder / f"again{number}.ndjson")
    yield
    for name, number in numbers.items():
        text = fix(home, again[name], "to-fix.ndjson").read_text()
        mended = [line + "}}" if line.endswith('m[IU]/L"') else line for line in text.splitlines()]
        assert json.loads(mended[-1])["meta"]["tag"][0]["code"].startswith(f"erte-{again[name][:12]}-{len(mended)}-"), name
        whole = (json.loads(line) | ({"id": f"o{number}"} if "urn:erte:row" in line else {}) for line in mended)
        last[name] = receive(home, write_ndjson(folder / f"b{number}.ndjson", *whole))
    yield
    for name, number in numbers.items():
        assert counts(home, first[name], again[name], last[name]) == [(0, 1, 0), (0, 1, 0), (0, 0, 0)], name
        assert [value for value, _ in values(home, number - 1, number)] == [3.5, 4.5], name


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


@together.story
def test_a_line_that_is_no_json_is_closed_when_its_server_exports_it_again(home, folder):
    """Files of several senders, and of several kinds: a line is known by its own."""
    other = LABORATORY | {"id": "other", "identifier": [{"value": "L2"}]}
    elsewhere = measure(21, 5.5, performer=[{"reference": "Organization/other"}])
    people = [LABORATORY, other, *map(born_as, (20, 21, 22)), measure(20, 3.5)]
    bare = elsewhere | {"id": "o28", "valueQuantity": {"value": 5.5}}
    begun = {"resourceType": "Observation", "id": "o22"}
    first = receive(home, write_ndjson(folder / "a.ndjson", *people, elsewhere, bare, json.dumps(begun | measure(22, 4.5))[:-2]))
    yield
    assert counts(home, first) == [(2, 0, 0)]
    receive(home, write_ndjson(folder / "b.ndjson", *people, elsewhere | {"id": "o28"}, measure(22, 4.5)))
    yield
    assert [told[:2] for told in counts(home, first)] == [(1, 1)]
