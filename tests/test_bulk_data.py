"""FHIR Bulk Data: one file a resource type; the files of one export are read together, those of two never are."""

import gzip
import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines import flow
from pipelines.cli.commands import app
from pipelines.intake.fhir import first_pass
from pipelines.intake.fhir.export import name_export, part_exports
from pipelines.intake.reading import Limits
from pipelines.intake.receive import judge_chunk, open_submission
from pipelines.intake.refusal import FileRefusedError
from pipelines.night import hold
from pipelines.night.archive import read_again
from pipelines.night.delivery import hash_file
from pipelines.night.verify import verify_store
from pipelines.store.lake import open_lake, read_rows
from tests.nation import BORN, FIRST, ask, bear, copy_home, name_iin, send, settle, take_in
from tests.test_fhir import GUARDIAN, ON, coded, patient, seen
from tests.together import Together

FHIR = """
    select substr(file_name, 14), status, received_count, accepted_count, quarantined_count from lake.ledger.submission
    where layout = 'fhir-r4' and list_contains(?::varchar[], submission_id) order by all"""
RESULTS = """
    select family_name, value::int from lake.clinical.screening s
    join lake.identified.birth b on b.child_key = s.child_key and b.known_to is null
    where s.known_to is null and list_contains(?::varchar[], mother_iin) order by value"""
TOLD = """
    select distinct code from lake.ledger.finding join lake.ledger.submission using (submission_id)
    where list_contains(?::varchar[], submission_id) and contains(file_name, ?) and code <> 'resource_context'"""
together = Together(FIRST)


def child(number, name="1", **other):
    """A Patient and the mother by whom the child is known."""
    mother = GUARDIAN | {
        "id": f"m{name}", "patient": {"reference": f"Patient/{name}"}, "relationship": [coded("MTH")],
        "identifier": [{"type": coded("NI"), "value": name_iin(number)}],
    }  # fmt: skip
    named = [{"family": bear(number)["family_name"]}]
    return patient(name, birthDate=str(BORN), gender=bear(number)["sex_code"], name=named, **other), mother


def result(number, name="1", **other):
    """An Observation of the Patient of a name: it measures as much as its number, so that one sees whose it is."""
    usual = {
        "subject": {"reference": f"Patient/{name}"}, "effectiveDateTime": "2026-02-12T09:00:00+05:00",
        "issued": "2026-02-13T08:00:00+05:00", "performer": [{"reference": "Organization/7"}],
        "valueQuantity": {"value": number, "unit": "mU/L", "system": "http://unitsofmeasure.org", "code": "m[IU]/L"},
    }  # fmt: skip
    return seen(number=f"o{number}", **usual | other)


LABORATORY = {"resourceType": "Organization", "id": "7", "identifier": [{"value": "L1"}]}


def write(path: Path, *resources) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(resource) + "\n" for resource in resources).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def export(folder: Path, *numbers, end=".ndjson", **other) -> Path:
    """An export of children 1, 2 ... of its server, who are these children of ours, with a result each; by tens they are of one laboratory."""
    people = [child(number, str(name), **other) for name, number in enumerate(numbers, 1)]
    write(folder / f"Patient{end}", *(p for p, _ in people))
    write(folder / f"RelatedPerson{end}", *(m for _, m in people))
    write(folder / f"Organization{end}", LABORATORY | {"name": f"Laboratory {numbers[0] // 10}"})
    write(folder / f"Observation{end}", *(result(number, str(name)) for name, number in enumerate(numbers, 1)))
    return folder


def judge(paths):
    """(accepted screenings without their place, codes, received) of files that are read together."""
    rows, codes, received = [], set(), 0
    for path in paths:
        opened = open_submission(path, Limits(), tuple(paths))
        for chunk in opened.chunks:
            judged = judge_chunk(chunk, opened.layout, "0" * 64, ON.replace(month=3))
            rows += judged.accepted.drop("row_no").rows(named=True)
            codes |= {code for _, _, code, severity in judged.finding.rows() if severity != "info"}
            received += judged.received_count
    return rows, codes, received


@pytest.fixture(scope="module")
def born(tmp_path_factory):
    """A home in which children were born the day before."""
    folder = tmp_path_factory.mktemp("born")
    home = settle(folder / "home")
    send(home, folder / "births", [{"birth": bear(n)} for n in range(1, 160)])
    take_in(home, FIRST - timedelta(days=1))
    return home


@pytest.fixture
def home(born, tmp_path):
    return copy_home(born, tmp_path / "home")


@pytest.fixture(scope="module")
def lived(born, tmp_path_factory):
    return together.live(born, tmp_path_factory.mktemp("lived"))


def ledger(home, ids):
    """What became of each of these files: name, state, rows received, accepted, refused."""
    return ask(home, FHIR, list(ids))


def results(home, *children):
    """Whose results of these children are held, and of what value."""
    return ask(home, RESULTS, list(map(name_iin, children)))


def families(*children):
    """The results of children as they should be held."""
    return [(f"FAMILY{n}", n) for n in children]


def told(home, ids, name):
    """The codes of what is found in those of these files whose name begins so."""
    return {code for (code,) in ask(home, TOLD, list(ids), name)}


def read_kept(home, *children):
    """The children whose results that are held are read again from the archive as they were judged."""
    numbers = {name_iin(n): n for n in children}
    with open_lake(home) as connection:
        of_these = "child_key in (select child_key from lake.identified.birth where list_contains(?::varchar[], mother_iin))"
        query = f"select record_key, submission_id, row_no, version_at from lake.clinical.screening where {of_these}"
        held = read_rows(connection, query, [list(numbers)])
        return sorted(numbers[iin] for iin in read_again(connection, home, "screening", held)["mother_iin"])


def hash_all(folder):
    """The submissions of files that were put into landing by hand."""
    return [hash_file(path) for path in folder.glob("*") if path.is_file()]


@pytest.mark.parametrize("end", [".ndjson", ".000.ndjson", ".ndjson.gz"])
def test_one_file_a_type_gives_the_same_records_as_the_same_lines_in_one_file(tmp_path, end):
    files = sorted(export(tmp_path / "export", 1, 2, 3, end=end).iterdir())
    lines = b"".join(gzip.decompress(f.read_bytes()) if f.suffix == ".gz" else f.read_bytes() for f in files)
    (tmp_path / "all.json").write_bytes(lines)
    apart, together = judge(files), judge([tmp_path / "all.json"])
    assert apart == together
    assert [(r["source_id"], r["sender_id"], r["mother_iin"]) for r in apart[0]] == [(f"o{n}", "L1", name_iin(n)) for n in (1, 2, 3)]


def test_what_one_file_of_results_tells_of_a_child_is_told_of_the_results_in_another(tmp_path):
    export(tmp_path, 1)
    weeks = result(9, code=coded("57714-8"), effectiveDateTime=None, valueQuantity={"value": 32, "unit": "wk"})
    write(tmp_path / "Observation.001.ndjson", weeks)
    assert [r["gestation_wk"] for r in judge(sorted(tmp_path.iterdir()))[0]] == [32]


def test_an_export_goes_through_the_night_and_its_people_are_accepted_without_a_row(home, tmp_path):
    ids = flow.receive(home, [export(tmp_path / "export", 1, 2)])
    flow.run_night(home, FIRST, lambda _: None)
    assert ledger(home, ids) == [
        ("Observation.ndjson", "accepted", 2, 2, 0), ("Organization.ndjson", "accepted", 0, 0, 0),
        ("Patient.ndjson", "accepted", 0, 0, 0), ("RelatedPerson.ndjson", "accepted", 0, 0, 0),
    ]  # fmt: skip
    assert results(home, 1, 2) == families(1, 2)
    assert told(home, ids, "Patient") == set()
    assert [p for p in home.landing.rglob("*") if not p.name.startswith(".")] == []
    assert [c.promise for c in verify_store(home) if c.broken] == []


@together.story
def test_patients_who_are_births_are_records_and_people_at_once(home, folder):
    born = {"managingOrganization": {"identifier": {"value": "M1"}}, "multipleBirthBoolean": False}
    ids = flow.receive(home, [export(folder / "export", 201, 202, **born)])  # whose births nobody sent before
    yield
    assert ledger(home, ids)[0] == ("Observation.ndjson", "accepted", 2, 2, 0)
    assert ledger(home, ids)[2] == ("Patient.ndjson", "accepted", 2, 2, 0)
    assert [value for _, value in results(home, 201, 202)] == [201, 202]


@together.story
def test_a_folder_of_landing_is_a_delivery_whoever_put_it_there(home, folder):
    export(home.landing / "hospital", 11, end=".000.ndjson")
    yield
    assert results(home, 11) == families(11)
    assert (home.landing / "hospital").is_dir()


def test_the_order_in_which_files_are_judged_and_by_whom_changes_nothing(home, tmp_path):
    flow.receive(home, [export(tmp_path / "export", 1, 2, 3, end=".ndjson.gz")])
    names = [path for group in flow.list_arrivals(home) for path in group]
    for name in reversed(names):
        flow.judge_group(home, "night", [name], FIRST)
        first_pass.gather_people.cache_clear()
    flow.commit_run(home, "night", FIRST)
    assert results(home, 1, 2, 3) == families(1, 2, 3)


def test_the_people_of_an_export_are_looked_up_once_for_all_its_files(home, tmp_path):
    export(tmp_path / "export", 1, 2)
    for number in range(20):
        write(tmp_path / "export" / f"Observation.{number:03}.ndjson", result(100 + number, "2"))
    flow.receive(home, [tmp_path / "export"])
    first_pass.gather_people.cache_clear()
    flow.judge_group(home, "night", [path for group in flow.list_arrivals(home) for path in group], FIRST)
    assert first_pass.gather_people.cache_info().misses == 1


def test_more_people_than_can_be_held_refuse_each_file_of_the_export(tmp_path):
    files = tuple(sorted(export(tmp_path, 1, 2, 3).iterdir()))
    with pytest.raises(FileRefusedError, match="file_too_many_people"):
        list(open_submission(files[0], Limits(people=5), files).chunks)


# ---- two exports are never mixed


@together.story
def test_two_exports_with_the_same_ids_are_read_each_by_itself(home, folder):
    flow.receive(home, [export(folder / "a", 21, 22), export(folder / "b", 23, 24)])
    yield
    assert results(home, *range(21, 25)) == families(21, 22, 23, 24)


@together.story
def test_of_two_exports_of_a_night_that_share_a_file_each_is_read_again_with_its_own_people(home, folder):
    """A laboratory that both name is read with the people of both; what was seen of a child is read with those of its own."""
    flow.receive(home, [export(folder / "a", 141, 142), export(folder / "b", 143, 144)])
    yield
    assert results(home, *range(141, 145)) == families(141, 142, 143, 144)
    assert read_kept(home, 141, 142, 143, 144) == [141, 142, 143, 144]


@together.story
def test_two_exports_of_one_folder_are_told_apart_by_the_names_of_their_jobs(home, folder):
    for job, numbers in (("job-17.", (31, 32)), ("job-18.", (33, 34))):
        for path in export(folder / job, *numbers).iterdir():
            (folder / "both").mkdir(exist_ok=True)
            shutil.copy(path, folder / "both" / f"{job}{path.name}")
    flow.receive(home, [folder / "both"])
    yield
    assert results(home, *range(31, 35)) == families(31, 32, 33, 34)


@together.story
def test_an_export_without_its_patients_never_borrows_those_of_another(home, folder):
    lost = write(folder / "b" / "Observation.ndjson", result(43, "1"))
    export(folder / "a", 41, 42)
    ids = flow.receive(home, [folder / "a", lost])
    yield
    assert results(home, 41, 42, 43) == families(41, 42)
    assert told(home, ids, "Observation") == {"message_patient_not_sent"}


@together.story
def test_files_that_lie_in_landing_itself_stand_alone_as_nothing_says_which_server_they_are_from(home, folder):
    ids = hash_all(export(folder, 55))
    for path in folder.glob("*.ndjson"):
        shutil.copy(path, home.landing)
    yield
    assert len(ledger(home, ids)) == 4
    assert results(home, 55) == []
    assert told(home, ids, "Observation") == {"message_patient_not_sent"}


@together.story
def test_two_exports_put_into_one_folder_are_seen_by_one_id_of_two_children_and_nobody_is_borrowed(home, folder):
    export(folder, 61, 62)
    write(folder / "Patient.001.ndjson", patient("1", birthDate="2026-02-09"))
    write(folder / "Observation.001.ndjson", result(63, "2"))
    ids = flow.receive(home, sorted(folder.glob("*.ndjson")))
    yield
    assert results(home, 61, 62, 63) == []
    assert [row[1:] for row in ledger(home, ids) if row[0].startswith("Observation")] == [("refused", 1, 0, 1), ("refused", 2, 0, 2)]
    assert told(home, ids, "Observation") == {"message_delivery_mixed"}


@pytest.mark.parametrize("kind", ["RelatedPerson", "Organization"])
def test_a_mother_or_a_laboratory_of_two_faces_says_that_exports_are_mixed_too(tmp_path, kind):
    export(tmp_path, 1)
    other = child(2)[1] if kind == "RelatedPerson" else LABORATORY | {"identifier": [{"value": "L2"}]}
    write(tmp_path / f"{kind}.001.ndjson", other)
    assert judge(sorted(tmp_path.iterdir()))[:2] == ([], {"message_delivery_mixed"})


def test_a_file_that_holds_all_it_needs_is_read_by_itself_when_exports_are_mixed(tmp_path):
    export(tmp_path, 1)
    write(tmp_path / "Observation.001.ndjson", *child(2, "1"), result(2, performer=[{"identifier": {"value": "L1"}}]))
    rows, codes, _ = judge(sorted(tmp_path.iterdir()))
    assert ([r["mother_iin"] for r in rows], codes) == ([name_iin(2)], {"message_delivery_mixed"})


@together.story
def test_the_same_results_in_two_folders_with_other_children_are_nobodys(home, folder):
    for name, number in (("a", 71), ("b", 72)):
        export(folder / name, number)
        write(folder / name / "Observation.ndjson", result(79))
    ids = flow.receive(home, [folder / "b", folder / "a"])
    yield
    assert results(home, 71, 72, 79) == []
    assert told(home, ids, "Observation") == {"message_delivery_mixed"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Patient.ndjson", ("Patient", ("", ""))), ("Observation.000.ndjson.gz", ("Observation", ("", ""))),
        ("1.Patient.ndjson", ("Patient", ("", ""))), ("patient_12.jsonl", ("Patient", ("", ""))),
        ("f3a2-RelatedPerson.ndjson", ("RelatedPerson", ("f3a2-", ""))), ("Patient-20260301.ndjson", ("Patient", ("", "-20260301"))),
        ("Patient (1).ndjson", ("Patient", ("", " (1)"))), ("Patients.ndjson", None), ("Patient.csv", None), ("births.ndjson", None),
    ],
)  # fmt: skip
def test_a_name_says_the_type_the_number_of_the_file_and_the_job(name, said):
    assert name_export(name) == said


def test_files_of_other_folders_and_other_jobs_are_other_exports(tmp_path):
    names = ["a/Patient.ndjson", "a/Observation.1.ndjson", "b/Patient.ndjson", "a/x-Patient.ndjson", "a/births.csv"]
    parted = part_exports(tmp_path / name for name in names)
    assert [[str(p.relative_to(tmp_path)) for p in files] for files in parted] == [
        ["a/Observation.1.ndjson", "a/Patient.ndjson"], ["b/Patient.ndjson"], ["a/x-Patient.ndjson"],
    ]  # fmt: skip


# ---- what is missing is told, and can be made good


@together.story
def test_results_whose_patients_were_not_sent_say_so_and_are_taken_when_they_come_again_with_them(home, folder):
    export(folder, 81, 82)
    ids = flow.receive(home, [folder / "Observation.ndjson"])
    yield
    assert ledger(home, ids) == [("Observation.ndjson", "refused", 2, 0, 2)]
    assert told(home, ids, "Observation") == {"message_patient_not_sent"}
    assert set(flow.receive(home, sorted(folder.glob("*.ndjson")))) > set(ids)
    yield
    assert results(home, 81, 82) == families(81, 82)
    assert ledger(home, ids) == [("Observation.ndjson", "accepted", 2, 2, 0)]
    run = "select run_id from lake.ledger.submission where submission_id = ?"
    taken_by = ask(home, run, *ids)
    flow.receive(home, [folder / "Observation.ndjson"])
    counts = yield
    assert (counts["repeated"] > 0, ask(home, run, *ids)) == (True, taken_by)  # without them it is not judged again, and takes nothing back
    assert ledger(home, ids) == [("Observation.ndjson", "accepted", 2, 2, 0)]
    assert results(home, 81, 82) == families(81, 82)


@together.story
def test_people_of_an_earlier_night_are_not_called_in(home, folder):
    export(folder, 91)
    ids = flow.receive(home, [folder / "Patient.ndjson", folder / "RelatedPerson.ndjson"])
    yield
    assert told(home, ids, "Patient") == {"people_unused"}
    ids = flow.receive(home, [folder / "Observation.ndjson"])
    yield
    assert told(home, ids, "Observation") == {"message_patient_not_sent"}


@together.story
def test_a_night_that_was_killed_and_is_repeated_with_more_of_the_delivery_reads_it_whole(home, folder):
    landed = home.landing / "killed"
    export(folder, 101)
    landed.mkdir()
    shutil.copy(folder / "Observation.ndjson", landed)
    flow.judge_group(home, f"night-{FIRST}", [str(landed / "Observation.ndjson")], FIRST)  # and here it is killed
    for path in folder.glob("*.ndjson"):
        shutil.copy(path, landed)
    yield
    assert results(home, 101) == families(101)


@together.story
def test_receiving_a_delivery_again_after_a_kill_makes_it_whole(home, folder):
    earlier = set(home.landing.glob("delivery-*"))
    ids = flow.receive(home, [export(folder / "export", 111)])
    (landed,) = set(home.landing.glob("delivery-*")) - earlier
    next(landed.glob("*-Patient.ndjson")).unlink()
    assert flow.receive(home, [folder / "export"]) == ids
    assert len(list(landed.iterdir())) == 4
    yield
    assert results(home, 111) == families(111)


@together.story
def test_a_held_file_of_an_export_is_released_with_its_people(home, folder):
    numbers = range(121, 127)
    export(folder, *numbers)
    lost = [result(1000 + n, "away") for n in range(60)]
    write(folder / "Observation.ndjson", *(result(n, str(place)) for place, n in enumerate(numbers, 1)), *lost)
    ids = flow.receive(home, sorted(folder.glob("*.ndjson")))
    yield
    assert ledger(home, ids)[0][1] == "held"
    (held,) = (str(batch["submission_id"]) for batch in hold.list_held(home) if batch["submission_id"] in ids)
    hold.decide_held(home, held, "release", "looked at with the laboratory", "steward")
    yield
    assert results(home, *numbers) == families(*numbers)
    assert ledger(home, ids)[0] == ("Observation.ndjson", "partly_accepted", 66, 6, 60)
    assert [p for p in home.landing.rglob("*") if p.name[:12] in {one[:12] for one in ids}] == []


@together.story
def test_a_result_of_an_export_is_read_again_from_the_archive_with_its_people(home, folder):
    flow.receive(home, [export(folder / "export", 131, 132)])
    yield
    flow.receive(home, [write(folder / "other" / "Patient.ndjson", child(133)[0])])
    yield
    assert read_kept(home, 131, 132) == [131, 132]


def test_check_tries_the_files_of_an_export_together(tmp_path):
    files = [str(path) for path in sorted(export(tmp_path / "export", 1).iterdir())]

    def check(*paths):
        done = CliRunner().invoke(app, ["layout", "check", *paths, "--on", str(FIRST), "--home", str(tmp_path / "home"), "--json"])
        return done.exit_code, json.loads(done.stdout)

    code, trials = check(*files)
    assert (code, [(t["file"], t["accepted_count"], t["refusal_code"]) for t in trials]) == (0, [
        ("Observation.ndjson", 1, None), ("Organization.ndjson", 0, None), ("Patient.ndjson", 0, None), ("RelatedPerson.ndjson", 0, None),
    ])  # fmt: skip
    code, alone = check(files[0])
    assert (code, [f["code"] for f in alone["findings"] if f["severity"] == "error"]) == (1, ["message_patient_not_sent"])
    assert check(files[2])[0] == 0
