"""What stands inside a resource of FHIR and is referred to as `#id`."""

import time

import pytest

from tests.test_fhir import bundle, codes, lines, listing, patient, seen

LAB = {"resourceType": "Organization", "id": "o", "identifier": [{"value": "LAB1"}]}
ROLE = {"resourceType": "PractitionerRole", "id": "r", "organization": {"reference": "#o"}}
KNOWN = patient(identifier=[{"system": "urn:erte:iin", "value": "250314500010"}])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.json"


@pytest.mark.parametrize("write", [lines, bundle])
@pytest.mark.parametrize("child", [patient(), KNOWN], ids=["a maternity is known", "no maternity is known"])
@pytest.mark.parametrize(
    ("reference", "contained"), [("#o", [LAB]), ("#r", [ROLE, LAB]), ("#r", [ROLE | {"organization": {"identifier": {"value": "LAB1"}}}])]
)
def test_a_laboratory_inside_its_result_is_who_sends_it(path, write, child, reference, contained):
    (row,) = write(path, child, seen(performer=[{"reference": reference}], contained=contained))["screening"]
    assert (row["sender_id"], row["facility_id"]) == ("LAB1", "LAB1")


def test_a_laboratory_inside_a_role_of_the_file_is_who_sends_its_results(path):
    rows = bundle(path, patient(), ROLE | {"contained": [LAB]}, seen(performer=[{"reference": "PractitionerRole/r"}]))["screening"]
    assert [r["sender_id"] for r in rows] == ["LAB1"]


def test_one_id_inside_two_results_is_two_laboratories(path):
    results = [
        seen(number=f"o{n}", performer=[{"reference": "#o"}], contained=[LAB | {"identifier": [{"value": f"LAB{n}"}]}]) for n in (1, 2)
    ]
    assert [r["sender_id"] for r in lines(path, patient(), *results)["screening"]] == ["LAB1", "LAB2"]


def test_a_laboratory_that_stands_beside_the_results_inside_a_report_is_who_sends_them(path):
    inside = [seen(performer=[{"reference": "#r"}]), ROLE, LAB]
    assert [r["sender_id"] for r in lines(path, patient(), listing("#o1", contained=inside))["screening"]] == ["LAB1"]


def test_a_birth_is_declared_by_the_maternity_that_stands_inside_the_patient(path):
    born = patient(
        identifier=[{"type": {"coding": [{"code": "MR"}]}, "value": "H1"}], managingOrganization={"reference": "#o"}, contained=[LAB],
        multipleBirthBoolean=False,
    )  # fmt: skip
    assert [(r["sender_id"], r["maternity_id"]) for r in lines(path, born, patient("p2"))["birth"]] == [("LAB1", "LAB1")]


def test_an_id_that_two_unlike_children_inside_a_result_have_is_of_neither(path):
    two = [patient("c"), patient("c", birthDate="2026-01-04")]
    read = lines(path, patient(), seen(subject={"reference": "#c"}, contained=two))
    assert codes(read) == {"message_without_patient"}


def test_a_part_inside_a_result_that_breaks_the_standard_is_told(path):
    read = lines(path, patient(), seen(subject={"reference": "#c"}, contained=[patient("c", name="BABY")]))
    assert (len(read["screening"]), {(n, c) for n, c, code, _ in read.finding if code == "part_malformed"}) == (1, {(2, "name")})


def test_a_report_with_thousands_of_results_inside_it_is_read_in_seconds(path):
    """It took minutes when each result looked through all the others for its child."""
    many = [seen(number=f"o{n}", subject={"reference": "#p"}) for n in range(4_000)]
    began = time.process_time()
    assert len(lines(path, listing(contained=[*many, patient("p")]))["screening"]) == 4_000
    assert time.process_time() - began < 10
