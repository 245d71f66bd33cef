"""The lists of facilities: who is withheld, and what is due, in words that the facility can act on."""

from datetime import timedelta

import polars as pl
import pytest

from pipelines import flow
from tests.nation import BORN, FIRST, REGISTERS, bear, copy_home, examine, name_iin, run, send, settle


@pytest.fixture
def settings(tmp_path):
    return settle(tmp_path / "home")


def read_list(settings, kind, owner):
    return pl.read_csv(settings.reports / kind / f"{owner}.csv", infer_schema=False).to_dicts()


def register(settings, facility):
    """More facilities in the register."""
    (settings.reference / "facility.csv").write_text(REGISTERS["facility"] + facility)


def name_owners(settings, kind):
    """History number -> the facility on whose list the child is."""
    return {row["history_no"]: path.stem for path in (settings.reports / kind).glob("*.csv") for row in read_list(settings, kind, path.stem)}


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    """A home after a night of children of clinics that there are and that there are not, all withheld."""
    folder = tmp_path_factory.mktemp("listed")
    settings = settle(folder / "home")
    register(settings, "../../P9,Clinic 9,phc,7510\n")
    clinics = {12: {"phc_id": "../../P9"}, 14: {"phc_id": "NOPE"}, 16: {"phc_id": "K1"}, 18: {"phc_id": "NOPE", "maternity_id": "NONE"}}
    send(settings, folder, [{"birth": bear(n, **clinics.get(n, {}))} for n in (2, 4, *clinics)])
    send(settings, folder, [{"screening": examine(2, "motor", 1.2, 14, sender_id="P1")}], "clinic")
    send(settings, folder, [{"screening": examine(n, "motor", 2.9 if n == 6 else 1.2, 14)} for n in (4, 6, 12, 14, 16, 18)], "laboratory")
    run(settings, FIRST)
    return settings


def test_a_worklist_names_the_child_by_its_facilitys_own_file_and_by_the_birth_and_by_nothing_else(listed):
    of_clinic, of_laboratory = sorted(read_list(listed, "worklist", "P1"), key=lambda row: row["history_no"])
    assert (of_clinic["own_file"].partition("-")[2], of_clinic["own_row"]) == ("clinic-screening.csv", "2")
    assert (of_laboratory["own_file"], of_laboratory["own_row"]) == (None, None)
    assert [of_laboratory[name] for name in ("maternity_id", "history_no", "birth_on", "birth_order")] == ["M1", "H4", str(BORN), "1"]
    told = (listed.reports / "worklist" / "P1.csv").read_text()
    assert not [value for n in (2, 4) for value in (name_iin(n), f"FAMILY{n}", f"GIVEN{n}", f"STREET {n}", f"+7700000{n:04}") if value in told]


def test_only_the_owner_of_the_home_reads_a_worklist_and_no_facilitys_id_leads_out_of_its_folder(listed):
    folder = listed.reports / "worklist"
    worklists = list(folder.iterdir())
    assert {path.stem for path in worklists} == set(name_owners(listed, "worklist").values())
    assert (len(worklists), {path.stat().st_mode & 0o777 for path in worklists}, folder.stat().st_mode & 0o777) == (4, {0o600}, 0o700)
    assert "consent_pending" in (folder / f"{name_owners(listed, 'worklist')['H12']}.csv").read_text()
    assert not [path for path in listed.home.rglob("*P9*") if path.parent not in {folder, listed.reports / "due"}]


def test_a_child_is_on_the_list_of_a_facility_of_the_register_and_else_on_one_that_the_steward_is_pointed_to(listed, tmp_path):
    settings = copy_home(listed, tmp_path / "home")
    owners = {"H2": "P1", "H4": "P1", "H14": "M1", "H16": "M1", "H18": "no-facility"}  # K1 is a PMPC, from which all these are withheld
    owners["H12"] = name_owners(settings, "worklist")["H12"]
    assert (name_owners(settings, "worklist"), name_owners(settings, "due")) == (owners, owners)
    flow.tell_senders(settings, FIRST)
    overview = (settings.reports / "sender" / "index.html").read_text("utf-8")
    due = len(read_list(settings, "due", "no-facility"))
    assert "Children whom no facility of the register has in its care" in overview
    assert "<b>1</b>reports/worklist/no-facility.csv" in overview and f"<b>{due}</b>reports/due/no-facility.csv" in overview
    register(settings, "../../P9,Clinic 9,phc,7510\nNOPE,Clinic,phc,7510\n")
    flow.refer(settings, FIRST + timedelta(days=1))
    owners |= {"H14": "NOPE", "H18": "NOPE"}
    assert (name_owners(settings, "worklist"), name_owners(settings, "due")) == (owners, owners)
    flow.tell_senders(settings, FIRST + timedelta(days=1))
    assert "no-facility" not in (settings.reports / "sender" / "index.html").read_text("utf-8")


def test_without_a_register_of_facilities_the_birth_says_whose_list_a_child_is_on(settings, tmp_path):
    (settings.reference / "facility.csv").write_text(REGISTERS["facility"].splitlines()[0] + "\n")
    send(settings, tmp_path, [{"birth": bear(4, phc_id="NOPE")}, {"screening": examine(4, "motor", 1.2, 14)}])
    run(settings, FIRST)
    assert name_owners(settings, "worklist") == name_owners(settings, "due") == {"H4": "NOPE"}


def test_a_facility_gets_each_night_a_list_of_what_is_due_and_overdue_and_the_steward_its_counts(settings, tmp_path):
    send(settings, tmp_path, [{"birth": bear(2)}, {"birth": bear(4, died_on="2026-02-12")}, {"screening": examine(2, "tsh", 14.0)}])
    run(settings, FIRST)
    asked = {(row["step_code"], row["state"]) for row in read_list(settings, "due", "P1")}
    assert asked == {("repeat", "overdue"), ("repeat_analysed", "overdue"), ("diagnosis", "due"), ("hearing_newborn", "overdue"),
                     ("phenotype_newborn", "overdue"), ("development_birth", "due")}  # fmt: skip
    assert {row["history_no"] for row in read_list(settings, "due", "P1")} == {"H2"}
    send(settings, tmp_path, [{"screening": examine(2, "tsh", 2.0, 19, stage_code="repeat")}], "b")
    counts = run(settings, FIRST + timedelta(days=1))
    asked = {row["step_code"] for row in read_list(settings, "due", "P1")}
    assert ("repeat" in asked, "blood_spot_term" in asked) == (False, True)  # of phenylalanine nothing was ever told
    assert (counts["due"], counts["overdue"]) == (1, 3)
    flow.tell_senders(settings, FIRST + timedelta(days=1))
    overview = (settings.reports / "sender" / "index.html").read_text("utf-8")
    assert "Examinations that are due or overdue" in overview
    assert "H2" not in overview
