"""What a FHIR Specimen says of the results that were found in it."""

from datetime import date

import pytest

from tests.test_fhir import bundle, coded, codes, counted, lines, patient, seen

UNSEEN = [
    {"status": "unsatisfactory"}, {"status": "entered-in-error"}, {"status": "available", "condition": [coded("SNR", "urn:v2-0493")]},
    {"condition": [{"text": "Quantity not sufficient"}]}, {"condition": [coded("LA16205-9")]},
]  # fmt: skip
TAKEN = "2026-01-05T08:30:00+05:00"
PHE = {"value": 1.0, "unit": "mg/dL", "code": "mg/dL"}
OF_S1 = {"specimen": {"reference": "Specimen/s1"}}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.json"


def specimen(**said):
    return {"resourceType": "Specimen", "id": "s1"} | said


@pytest.mark.parametrize("said", UNSEEN)
@pytest.mark.parametrize("write", [lines, bundle])
@pytest.mark.parametrize("order", [1, -1])
def test_a_number_found_in_an_unusable_specimen_is_not_normal(path, write, order, said):
    read = write(path, *[patient(), seen(**OF_S1), seen("29573-3", "o2", valueQuantity=PHE, **OF_S1), seen(number="o3"), specimen(**said)][::order])
    assert {(r["source_id"], r["result_code"], r["value"] is None) for r in read["screening"]} == {
        ("o1", "unsatisfactory", False), ("o2", "unsatisfactory", False), ("o3", None, False),
    }  # fmt: skip
    assert counted(read) == {"Patient: 1", "Specimen: 1"}


@pytest.mark.parametrize("said", UNSEEN)
def test_an_unusable_specimen_inside_its_result_spoils_it(path, said):
    read = lines(path, patient(), seen(specimen={"reference": "#s1"}, contained=[specimen(**said)]))
    assert [r["result_code"] for r in read["screening"]] == ["unsatisfactory"]


@pytest.mark.parametrize("said", [{"status": "available"}, {"status": "unavailable"}, {"condition": [coded("COOL")]}])
def test_a_specimen_that_is_only_used_up_or_cooled_spoils_nothing(path, said):
    read = lines(path, patient(), seen(**OF_S1), specimen(**said))
    assert ([r["result_code"] for r in read["screening"]], codes(read)) == ([None], set())


def test_a_condition_that_is_not_known_decides_nothing_and_is_told(path):
    read = lines(path, patient(), seen(**OF_S1), specimen(condition=[coded("HEM")]))
    assert ([r["result_code"] for r in read["screening"]], codes(read, 3)) == ([None], {"specimen_quality_unlisted"})


@pytest.mark.parametrize("order", [1, -1])
def test_the_later_version_of_a_specimen_stands(path, order):
    versions = [specimen(status=said, meta={"lastUpdated": f"2026-01-0{n}T09:00:00Z"}) for n, said in ((7, "unsatisfactory"), (8, "available"))]
    assert [r["result_code"] for r in lines(path, patient(), seen(**OF_S1), *versions[::order])["screening"]] == [None]


@pytest.mark.parametrize("collected", [{"collectedDateTime": TAKEN}, {"collectedPeriod": {"start": TAKEN}}])
def test_a_result_without_a_day_has_that_of_its_specimen_and_one_with_a_day_keeps_it(path, collected):
    own = seen(number="o2", effectiveDateTime="2026-01-06T09:00:00+05:00", **OF_S1)
    read = lines(path, patient(), seen(effectiveDateTime=None, **OF_S1), own, specimen(collection=collected))
    assert [(r["examined_on"], str(r["examined_at"])) for r in read["screening"]] == [
        (date(2026, 1, 5), "2026-01-05 08:30:00"), (date(2026, 1, 6), "2026-01-06 09:00:00"),
    ]  # fmt: skip
    assert codes(read) == set()


def test_a_specimen_whose_meaning_an_unknown_extension_changes_is_told_and_says_nothing(path):
    read = lines(path, patient(), seen(**OF_S1), specimen(status="unsatisfactory", modifierExtension=[{"url": "urn:x:not", "valueBoolean": True}]))
    assert ([r["result_code"] for r in read["screening"]], codes(read, 3)) == ([None], {"message_modifier_unread"})


def report(*specimens, **said):
    named = [{"reference": name} for name in specimens]
    listed = {"resourceType": "DiagnosticReport", "id": "r1", "status": "final", "result": [{"reference": "Observation/o1"}]}
    return {**listed, "code": coded("57128-1"), "subject": {"reference": "Patient/p1"}, "specimen": named, **said}


@pytest.mark.parametrize("write", [lines, bundle])
@pytest.mark.parametrize("order", [1, -1])
def test_a_report_says_of_its_results_what_its_specimen_does_and_a_result_with_a_specimen_of_its_own_has_that(path, write, order):
    spoiled, good = specimen(status="unsatisfactory", collection={"collectedDateTime": TAKEN}), specimen(id="s2", status="available")
    listed = report("Specimen/s1", result=[{"reference": "Observation/o1"}, {"reference": "Observation/o2"}])
    own = seen(number="o2", effectiveDateTime="2026-01-06T09:00:00+05:00", specimen={"reference": "Specimen/s2"})
    read = write(path, *[patient(), seen(effectiveDateTime=None), own, listed, spoiled, good][::order])
    assert {(r["source_id"], r["result_code"], r["examined_on"]) for r in read["screening"]} == {
        ("o1", "unsatisfactory", date(2026, 1, 5)), ("o2", None, date(2026, 1, 6)),
    }  # fmt: skip


@pytest.mark.parametrize(("second", "said"), [("unsatisfactory", "unsatisfactory"), ("available", None)])
def test_of_several_specimens_of_a_report_all_must_be_unusable_to_spoil_its_results(path, second, said):
    both = specimen(status="unsatisfactory"), specimen(id="s2", status=second)
    read = lines(path, patient(), seen(), report("Specimen/s1", "Specimen/s2"), *both)
    assert [r["result_code"] for r in read["screening"]] == [said]


def test_an_unusable_specimen_inside_a_report_spoils_the_results_inside_it(path):
    inside = [seen(number="o1"), specimen(status="unsatisfactory")]
    read = lines(path, patient(), report("#s1", result=[{"reference": "#o1"}], contained=inside))
    assert [r["result_code"] for r in read["screening"]] == ["unsatisfactory"]
