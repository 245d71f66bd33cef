"""Who sends: an id that no register knows is told, one that looks like a registered one is a slip of the hand, of several each has its rows."""

import json
from datetime import timedelta
from statistics import median_low

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from pipelines import flow
from pipelines.cli.commands import app
from pipelines.intake.feedback import LANGUAGES
from pipelines.intake.receive import judge_chunk, open_submission
from pipelines.intake.senders import Tally, fold_id, open_register
from pipelines.night.ask import tell_ledger
from pipelines.night.report_card import write_report_cards
from tests.nation import BORN, FIRST, ask, bear, copy_home, name_iin, send, settle, take_in, write_file

SECOND = FIRST + timedelta(days=1)
CYRILLIC = "\u041c1"  # the first letter is Cyrillic


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """A home after a night to which nobody sent anything."""
    settings = settle(tmp_path_factory.mktemp("quiet") / "home")
    take_in(settings, FIRST)
    return settings


@pytest.fixture
def settings(quiet, tmp_path):
    return copy_home(quiet, tmp_path / "home")


def told(settings, submission):
    return json.loads((settings.reports / "feedback" / submission / "feedback.json").read_text())


def findings(settings, submission, code):
    return [row for row in told(settings, submission)["findings"] if row["code"] == code]


def card(settings, sender, on=FIRST):
    write_report_cards(settings, on)
    path = settings.reports / "sender" / f"{sender}.json"
    return json.loads(path.read_text()) if path.exists() else None


def test_a_birth_whose_clinic_or_maternity_no_register_knows_is_taken_and_told_once_an_id(settings, tmp_path):
    births = [{"birth": bear(n, phc_id=phc, **other)} for n, phc, other in (
        (2, "P1", {}), (4, "P9", {}), (6, "P9", {"maternity_id": "M77"}), (8, "p1", {}), (10, "", {}), (12, "P9", {"sex_code": "blue"}),
    )]  # fmt: skip
    (submission,) = send(settings, tmp_path, births)
    take_in(settings, FIRST)
    found = {(f["row_no"], f["column"], f["code"], f["detail"]) for f in told(settings, submission)["findings"] if f["severity"] == "warning"}
    assert found == {
        (3, "phc_id", "phc_id_unregistered", "2"), (4, "maternity_id", "maternity_id_unregistered", "1"), (5, "phc_id", "phc_id_misspelt", "P1"),
    }  # fmt: skip
    assert told(settings, submission)["accepted_count"] == 5


def test_rows_of_a_facility_that_no_register_knows_are_taken_and_its_sender_and_the_steward_are_told(settings, tmp_path):
    (strange,) = send(settings, tmp_path, [{"birth": bear(n, sender_id="ZZ99", sex_code="blue" if n == 4 else "male")} for n in (2, 4, 6)])
    (known,) = send(settings, tmp_path, [{"birth": bear(8)}], "known")
    take_in(settings, FIRST)
    (finding,) = findings(settings, strange, "sender_id_unregistered")
    assert (finding["row_no"], finding["severity"], told(settings, strange)["accepted_count"]) == (None, "warning", 2)
    assert findings(settings, known, "sender_id_unregistered") == []
    assert card(settings, "ZZ99")["signals"] == ["unregistered"]
    pages = {name: (settings.reports / "sender" / f"{name}.html").read_text("utf-8") for name in ("index", "ZZ99", "M1")}
    told_of = [page.count("тізілімінде жоқ") + page.count("тізілімде жоқ") for page in pages.values()]
    assert told_of == [2, 1, 0]  # on the overview among those to look at, and among all


def test_what_no_register_knows_is_not_repeated_in_a_finding_and_of_several_senders_its_line_is_told(settings, tmp_path):
    (mixed,) = send(settings, tmp_path, [{"birth": bear(n, sender_id=who)} for n, who in ((2, "M1"), (4, "ASEL"), (6, "M1"), (8, "ASEL"))])
    take_in(settings, FIRST)
    assert [row["row_no"] for row in findings(settings, mixed, "sender_id_unregistered")] == [3]
    assert "ASEL" not in json.dumps(told(settings, mixed)["findings"])


@pytest.mark.parametrize("typed", [CYRILLIC, "m1", "M 1", "M\u00a01", "M1\u200b", "\u043c1", "\u039c1"])
def test_an_id_that_the_eye_takes_for_another_is_folded_to_it(typed):
    assert fold_id(typed) == "M1"


def test_ids_that_differ_in_more_than_their_look_are_two():
    assert len({fold_id(one) for one in ("M1", "M10", "M-1", "N1", "MI", "M1a")}) == 6


def test_a_row_whose_sender_only_looks_like_a_registered_one_is_refused_with_the_id_that_is_meant(settings, tmp_path):
    (slip,) = send(settings, tmp_path, [{"birth": bear(n, sender_id=CYRILLIC)} for n in (2, 4)])
    take_in(settings, FIRST)
    rows = findings(settings, slip, "sender_id_misspelt")
    assert [(row["row_no"], row["column"], row["severity"], row["detail"]) for row in rows] == [
        (2, "sender_id", "error", "M1"), (3, "sender_id", "error", "M1"),
    ]  # fmt: skip
    assert all("M1" in rows[0][f"text_{language}"] for language in LANGUAGES)
    assert "M1" in (settings.reports / "feedback" / slip / "to-fix.csv").read_text("utf-8-sig").split("erte-", 1)[1]
    assert (told(settings, slip)["sender_id"], card(settings, CYRILLIC), card(settings, "M1")["open_count"]) == ("M1", None, 2)
    send(settings, tmp_path, [{"birth": bear(n)} for n in (2, 4)], "mended")
    take_in(settings, SECOND)
    assert (card(settings, "M1", SECOND)["open_count"], told(settings, slip)["mended_count"]) == (0, 2)
    assert ask(settings, "select count(*) from lake.clinical.birth where known_to is null") == [(2,)]


def test_where_no_register_is_installed_nobody_is_doubted(tmp_path):
    path = write_file(tmp_path / "births.csv", [bear(2, sender_id="ZZ99"), bear(4, sender_id=CYRILLIC)])
    opened = open_submission(path)
    (judged,) = [judge_chunk(chunk, opened.layout, "a" * 64, FIRST) for chunk in opened.chunks]
    assert (len(judged.accepted), len(judged.finding)) == (2, 0)


def test_of_two_registered_ids_that_look_alike_each_is_its_own_and_a_third_is_refused_with_both(tmp_path):
    path = write_file(tmp_path / "births.csv", [bear(n, sender_id=who) for n, who in ((2, "M1"), (4, "m1"), (6, CYRILLIC))])
    opened = open_submission(path)
    (judged,) = [judge_chunk(chunk, opened.layout, "a" * 64, FIRST, None, open_register(["M1", "m1"])) for chunk in opened.chunks]
    assert judged.accepted["sender_id"].to_list() == ["M1", "m1"]
    assert judged.detail.rows() == [(4, "sender_id_misspelt", "M1 / m1")]
    assert judged.quarantine["sender_id"].to_list() == [None]


def test_the_rows_of_a_file_of_several_senders_count_on_the_card_of_each(settings, tmp_path):
    rows = [bear(2), bear(4, sex_code="blue"), bear(6), bear(3), bear(5, sex_code="blue"), bear(8, sex_code="blue", sender_id="ASEL")]
    (mixed,) = send(settings, tmp_path, [{"birth": row} for row in rows])
    take_in(settings, FIRST)
    cards = [card(settings, sender) for sender in ("M1", "M2")]
    assert [(c["files"], c["rows"], c["refused"], c["open_count"]) for c in cards] == [(1, 3, 1, 1), (1, 2, 1, 1)]
    assert [c["delay_days"] for c in cards] == [(FIRST - BORN).days] * 2
    assert [[(f["code"], f["lines"]) for f in c["findings"]] for c in cards] == [[("sex_code_unknown", [3])], [("sex_code_unknown", [6])]]
    assert not (settings.reports / "sender" / "ASEL.json").exists()
    send(settings, tmp_path, [{"birth": bear(5)}], "mended")
    take_in(settings, SECOND)
    assert [card(settings, sender, SECOND)["open_count"] for sender in ("M1", "M2")] == [1, 0]
    assert {row["submission_id"] for row in tell_ledger(settings, "M2", None, None, 9)} >= {mixed}


@pytest.mark.parametrize("good", [(2,), ()])
def test_a_file_is_in_the_ledger_of_a_sender_of_whom_every_row_was_refused(settings, tmp_path, good):
    rows = [bear(n, sex_code="male" if n in good else "blue") for n in (2, 4, 3, 5)]
    (mixed,) = send(settings, tmp_path, [{"birth": row} for row in rows])
    take_in(settings, FIRST)
    assert [[row["submission_id"] for row in tell_ledger(settings, who, None, None, 9)] for who in ("M1", "M2", "P1")] == [[mixed], [mixed], []]
    assert [card(settings, who)["refused"] for who in ("M1", "M2")] == [2 - len(good), 2]
    assert told(settings, mixed)["sender_id"] == ("M1" if good else None)


def test_an_acknowledgement_says_which_id_is_meant(settings, tmp_path):
    head = "MSH|^~\\&|LIS|l1|ERTE|MOH|20260212100000||ORU^R01^ORU_R01|M1|P|2.5.1"
    child = f"PID|1||H2^^^M1^MR||BABY||{BORN:%Y%m%d}|F|||||||||||||||||1"
    mother = f"NK1|1|A^B|MTH{'|' * 30}{name_iin(2)}^^^KZ^NI"
    result = "OBX|1|NM|29575-8^TSH^LN|1|3.5|m[IU]/L|||||F|||20260212090000"
    path = tmp_path / "lab.hl7"
    path.write_text("\r".join([head, child, mother, "OBR|1||F77^LAB|54089-8", result, ""]))
    (submission,) = flow.receive(settings, [path])
    take_in(settings, FIRST)
    ack = (settings.reports / "feedback" / submission / "ack.hl7").read_text()
    assert "MSA|AR|M1" in ack
    assert "|MSH^1^4|" in ack
    assert "only looks like L1" in ack


def test_a_file_is_tried_with_the_register_too(settings, tmp_path):
    path = write_file(tmp_path / "births.csv", [bear(2, sender_id="ZZ99"), bear(4, sender_id=CYRILLIC)])
    tried = CliRunner().invoke(app, ["layout", "check", str(path), "--home", str(settings.home), "--json"])
    codes = {row["code"]: row for row in json.loads(tried.stdout)["findings"]}
    assert codes["sender_id_misspelt"]["lines"] == [3]
    assert "M1" in codes["sender_id_misspelt"]["text_en"]
    assert "sender_id_unregistered" in codes


ROWS = st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 46_000)), max_size=12)
TALLIED = {"row_no": pl.Int64, "sender_id": pl.String, "received_on": pl.Date, "examined_on": pl.Date}


@hypothesis_settings(deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=20))
def test_the_delay_of_a_sender_is_the_lower_median_of_the_days_of_its_records_however_they_are_cut(chunks):
    tally, count = Tally(None), 0
    quarantine = pl.DataFrame(schema={"row_no": pl.Int64, "sender_id": pl.String})
    for rows in chunks:
        told = {
            "row_no": range(count, count + len(rows)), "sender_id": [sender for sender, _ in rows],
            "received_on": [FIRST] * len(rows), "examined_on": [FIRST - timedelta(days=days) for _, days in rows],
        }  # fmt: skip
        count += len(rows)
        tally.add("screening", pl.DataFrame(told, TALLIED), quarantine)
    late: dict[str, list[int]] = {}
    for sender, days in (row for rows in chunks for row in rows):
        late.setdefault(sender, []).append(days)
    told = tally.name_senders(is_refused=False)["senders"]
    assert told == ({one: (len(days), 0, median_low(days)) for one, days in sorted(late.items())} if len(late) > 1 else {})
