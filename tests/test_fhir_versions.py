"""Which record of FHIR a later resource corrects, and which of two versions is the later."""

from datetime import datetime

import pytest

from tests.test_fhir import bundle, codes, lines, listing, patient, seen

SERVER = "http://a.kz/fhir"
EARLY, LATE = "2026-01-08T10:00:00+05:00", "2026-01-20T10:00:00+05:00"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.json"


def on_server(path, *resources):
    """A Bundle whose entries are named by their server."""
    return bundle(path, *resources, urls=[f"{SERVER}/{r['resourceType']}/{r['id']}" for r in resources])


def sources(read):
    return [row["source_id"] for row in read["screening"]]


@pytest.mark.parametrize("status", ["amended", "corrected", "cancelled", "entered-in-error"])
@pytest.mark.parametrize("write", [lines, on_server])
def test_a_version_that_changes_another_was_issued_when_its_server_was_last_told(path, write, status):
    read = write(path, patient(), seen(status=status, meta={"lastUpdated": LATE}))
    assert [(r["issued_at"], str(r["reported_on"])) for r in read["screening"]] == [(datetime(2026, 1, 20, 10), "2026-01-07")]


@pytest.mark.parametrize(
    ("status", "issued", "expected"),
    [("final", EARLY, 8), ("preliminary", EARLY, 8), ("final", None, 20), ("corrected", "2026-01-25T10:00:00+05:00", 25)],
)
def test_any_other_version_was_issued_when_it_says(path, status, issued, expected):
    read = lines(path, patient(), seen(status=status, issued=issued, meta={"lastUpdated": LATE}))
    assert [r["issued_at"].day for r in read["screening"]] == [expected]


def test_of_two_corrections_issued_at_once_the_one_told_later_is_the_later(path):
    two = [seen(status="corrected", meta={"lastUpdated": day}, valueQuantity={"value": n, "unit": "mU/L"}) for n, day in ((7, EARLY), (55, LATE))]
    rows = lines(path, patient(), *two)["screening"]
    assert [(r["source_id"], r["value"], r["issued_at"].day) for r in rows] == [("o1", 7, 8), ("o1", 55, 20)]


def test_a_report_that_is_withdrawn_withdraws_its_results_on_the_day_it_says_so(path):
    read = lines(path, patient(), seen(), listing("Observation/o1", status="cancelled", issued=EARLY, meta={"lastUpdated": LATE}))
    assert [(r["action_code"], r["issued_at"].day) for r in read["screening"]] == [("cancel", 20)]


def test_a_correction_of_one_result_of_a_report_is_of_that_result(path):
    first, second = seen(), seen(number="o2")
    assert sources(on_server(path, patient(), listing("Observation/o1", "Observation/o2"), first, second)) == ["o1", "o2"]
    assert sources(on_server(path, patient(), listing("Observation/o2", status="corrected"), second | {"status": "corrected"})) == ["o2"]


def test_a_number_of_its_own_names_a_result_before_its_id_and_its_report(path):
    numbered = seen(identifier=[{"value": "X7"}])
    assert sources(on_server(path, patient(), listing("Observation/o1"), numbered)) == ["X7"]


@pytest.mark.parametrize("url", [None, "urn:uuid:5f1c6f2e-0000-4000-8000-000000000001", "Observation/o1"])
def test_an_id_of_one_message_only_leaves_a_result_named_by_its_report(path, url):
    read = bundle(path, patient(), listing(url or "Observation/o1"), seen(), urls=(None, None, url))
    assert sources(read) == ["ORDER-1"]


def test_two_versions_of_a_result_of_a_server_in_one_bundle_are_one_record(path):
    read = on_server(path, patient(), seen(), seen(status="corrected", meta={"lastUpdated": LATE}))
    assert sources(read) == ["o1", "o1"]
    ears = {"code": seen()["code"], "valueQuantity": seen()["valueQuantity"]}
    assert sources(on_server(path, patient(), seen(valueQuantity=None, component=[ears, ears]))) == ["o1", "o1#2"]


def test_a_result_with_a_number_of_its_own_that_a_bundle_holds_twice_is_one_record(path):
    numbered = {"identifier": [{"system": "urn:lab", "value": "N1"}]}
    once, again = seen(**numbered), seen(**numbered, valueQuantity={"value": 50, "unit": "mU/L"})
    assert sources(bundle(path, patient(), once, once)) == ["N1", "N1"]
    assert sources(on_server(path, patient(), once, again)) == ["N1", "N1"]  # which of them is later is for the versions to say
    assert sources(bundle(path, patient(), once, seen(number="o2", **numbered))) == ["N1", "N1#2"]


@pytest.mark.parametrize(
    "moments", [{"issued": "2027-03-01T08:00:00+05:00"}, {"meta": {"lastUpdated": "2027-03-01T03:00:00Z"}, "status": "corrected"}]
)
def test_a_result_that_is_issued_in_time_to_come_is_refused_alone(path, moments):
    read = lines(path, patient(), seen(**moments), seen(number="o2"))
    assert ([row["source_id"] for row in read["screening"]], codes(read)) == (["o2"], {"issued_at_in_future"})
