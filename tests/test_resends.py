"""What senders send again: a fact is counted once, the newest version is held true, and nothing that was refused spoils what follows."""

from datetime import timedelta
from itertools import permutations

import pytest

from pipelines import flow
from pipelines.night.ask import tell_submission
from pipelines.night.verify import verify_store
from tests.nation import BORN, FIRST, ask, bear, copy_home, examine, name_iin, send, settle, take_in, write_file

SECOND, THIRD = FIRST + timedelta(days=1), FIRST + timedelta(days=2)
HELD = "select value from lake.clinical.screening where known_to is null and not is_cancelled order by value"
VERSIONS = "select count(*) from lake.clinical.screening"


@pytest.fixture(scope="module")
def first_night(tmp_path_factory):
    """A home in which children are born and three of them examined on the first night."""
    folder = tmp_path_factory.mktemp("first")
    home = settle(folder / "home")
    send(home, folder, [*({"birth": bear(n)} for n in range(2, 12)), *seen(2, 3, 4)])
    take_in(home, FIRST)
    return home


@pytest.fixture
def settings(first_night, tmp_path):
    return copy_home(first_night, tmp_path / "home")


def seen(*numbers, **other):
    return [{"screening": examine(n, "motor", 2.0 + n / 10, 14, **other)} for n in numbers]


def values(settings):
    return [round(row[0], 1) for row in ask(settings, HELD)]


def is_whole(settings):
    return not [check for check in verify_store(settings) if check.broken]


def test_the_same_bytes_again_change_nothing(settings, tmp_path):
    send(settings, tmp_path, seen(2, 3, 4))
    counts = take_in(settings, SECOND)
    assert (counts["repeated"], counts["new"], counts["changed"]) == (counts["files"], 0, 0)
    assert (values(settings), ask(settings, VERSIONS), is_whole(settings)) == ([2.2, 2.3, 2.4], [(3,)], True)


def test_the_same_rows_in_a_new_file_are_counted_once(settings, tmp_path):
    send(settings, tmp_path, seen(4, 3, 2), "in another order")
    counts = take_in(settings, SECOND)
    assert (counts["repeated"], counts["records"], counts["new"], counts["changed"]) == (0, 3, 0, 0)
    assert (values(settings), ask(settings, VERSIONS), is_whole(settings)) == ([2.2, 2.3, 2.4], [(3,)], True)


def test_a_row_that_says_it_is_issued_in_time_to_come_is_refused_and_stands_above_no_correction(settings, tmp_path):
    (wrong,) = send(settings, tmp_path, seen(5, issued_at="2027-03-01T08:00:00"), "wrong clock")
    take_in(settings, SECOND)
    told = [row["code"] for row in tell_submission(settings, wrong)["findings"] if row["severity"] == "error"]
    assert (values(settings), told) == ([2.2, 2.3, 2.4], ["issued_at_in_future"])
    send(settings, tmp_path, [{"screening": examine(5, "motor", 2.9, 14, issued_at="2026-03-03T08:00:00")}], "right clock")
    take_in(settings, THIRD)
    assert (values(settings), tell_submission(settings, wrong)["open_count"], is_whole(settings)) == ([2.2, 2.3, 2.4, 2.9], 0, True)


def test_a_corrected_row_replaces_its_version_and_leaves_the_others(settings, tmp_path):
    mended = examine(3, "motor", 2.9, 14, action_code="correct", issued_at="2026-03-01T08:00:00")
    send(settings, tmp_path, [{"screening": mended}], "mended")
    assert take_in(settings, SECOND)["changed"] == 1
    assert (values(settings), ask(settings, VERSIONS), is_whole(settings)) == ([2.2, 2.4, 2.9], [(4,)], True)


def test_a_withdrawn_row_is_held_no_more_and_its_past_is_kept(settings, tmp_path):
    send(settings, tmp_path, seen(3, action_code="cancel", issued_at="2026-03-01T08:00:00"), "withdrawn")
    take_in(settings, SECOND)
    assert (values(settings), ask(settings, VERSIONS), is_whole(settings)) == ([2.2, 2.4], [(4,)], True)


TIMED, UNTIMED = {"issued_at": "2026-02-27T08:00:00"}, {"issued_at": None}


@pytest.mark.parametrize(
    ("first", "second"),
    [(UNTIMED, TIMED), (TIMED, UNTIMED), (UNTIMED, UNTIMED), ({"issued_at": f"{SECOND}T08:00:00"}, UNTIMED)],
    ids=["the original has no time", "what follows has none", "neither has one", "what follows has none and comes on the day of the original"],
)
def test_a_withdrawal_and_a_correction_stand_above_the_original_whichever_of_them_has_no_time_of_issue(settings, tmp_path, first, second):
    """In one file, in two of one night, in files of two nights."""
    nights = {night: [] for night in (SECOND, THIRD)}
    for number, places in {5: (0, 0, SECOND), 6: (0, 1, SECOND), 7: (0, 0, THIRD)}.items():
        for component, action, value in (("motor", "cancel", 1.1), ("speech", "correct", 2.9)):
            said = examine(number, component, 1.1, 14, programme="development")
            nights[SECOND].append((places[0], said | first))
            nights[places[2]].append((places[1], said | second | {"action_code": action, "value": str(value)}))
    for night, rows in nights.items():
        for file in (0, 1):
            send(settings, tmp_path, [{"screening": row} for place, row in rows if place == file], f"{night} {file}")
        take_in(settings, night)
    assert (values(settings), is_whole(settings)) == ([2.2, 2.3, 2.4, 2.9, 2.9, 2.9], True)


def test_a_row_without_a_time_that_comes_after_a_withdrawal_is_not_taken_and_what_it_says_anew_is_told(settings, tmp_path):
    send(settings, tmp_path, seen(5, **TIMED, action_code="cancel"), "withdrawn")
    take_in(settings, SECOND)
    (late,) = send(settings, tmp_path, [{"screening": examine(5, "motor", 2.9, 14, **UNTIMED)}], "late")
    take_in(settings, THIRD)
    told = [row["code"] for row in tell_submission(settings, late)["findings"] if row["severity"] == "warning"]
    assert (values(settings), told, is_whole(settings)) == ([2.2, 2.3, 2.4], ["version_older_than_held"], True)


def test_of_versions_without_a_time_the_one_that_came_last_is_held(settings, tmp_path):
    for night, value in ((SECOND, "2.9"), (THIRD, "2.5")):
        send(settings, tmp_path, [{"screening": row["screening"] | {"value": value}} for row in seen(5, **UNTIMED)], f"{night}")
        take_in(settings, night)
    assert (values(settings), is_whole(settings)) == ([2.2, 2.3, 2.4, 2.5], True)


WIDE = {
    "blood": "Жазба нөмірі;Ұйым;Әрекет;Берілді;Анасының ЖСН;Туған күні;Алынған күні;ТТГ, мкМЕ/мл;ФА, мкмоль/л",
    "hearing": "Номер записи;Организация;Действие;Выдано;ИИН матери;Дата рождения;Дата обследования;ВОАЭ левое;ВОАЭ правое",
}
WIDE_HELD = "select component from lake.clinical.screening where known_to is null and not is_cancelled and component <> 'motor' order by 1"


def send_wide(settings, folder, night, *, blood=("жаңа", "30;600"), hearing=("новая", "не прошел;прошел")):
    """A row of a laboratory's and one of a maternity's form, of a child each, as it stands on a night; the submissions."""
    said = {"blood": ("w1", "L1", 6, *blood), "hearing": ("w2", "M1", 7, *hearing)}
    for form, (source_id, sender, child, action, results) in said.items():
        row = f"{source_id};{sender};{action};{night:%d.%m.%Y};{name_iin(child)};{BORN:%d.%m.%Y};{BORN + timedelta(days=2):%d.%m.%Y};{results}"
        (folder / f"{form} {night}.csv").write_text(f"{WIDE[form]}\n{row}\n")
    return flow.receive(settings, [folder / f"{form} {night}.csv" for form in said])


def test_a_withdrawn_row_takes_back_every_result_that_it_gave_whatever_its_cells_still_say(settings, tmp_path):
    send_wide(settings, tmp_path, SECOND)
    take_in(settings, SECOND)
    assert ask(settings, WIDE_HELD) == [("oae_left",), ("oae_right",), ("phe",), ("tsh",)]
    withdrawn = send_wide(settings, tmp_path, THIRD, blood=("бас тарту", ";"), hearing=("отмена", ";"))
    take_in(settings, THIRD)
    assert (ask(settings, WIDE_HELD), is_whole(settings)) == ([], True)
    assert [tell_submission(settings, one)["accepted_count"] for one in withdrawn] == [1, 1]
    assert ask(settings, "select count(*) from lake.clinical.verdict where known_to is null and programme in ('blood_spot', 'hearing')") == [(0,)]


def test_a_row_withdrawn_before_it_ever_came_gives_no_result_and_no_verdict(settings, tmp_path):
    send_wide(settings, tmp_path, SECOND, blood=("бас тарту", ";"), hearing=("отмена", ";"))
    take_in(settings, SECOND)
    assert (ask(settings, WIDE_HELD), is_whole(settings)) == ([], True)
    assert ask(settings, "select count(*) from lake.clinical.verdict where known_to is null and programme in ('blood_spot', 'hearing')") == [(0,)]


def test_a_correction_that_leaves_a_result_blank_takes_none_away_in_silence_and_says_so(settings, tmp_path):
    send_wide(settings, tmp_path, SECOND)
    take_in(settings, SECOND)
    mended = send_wide(settings, tmp_path, THIRD, blood=("түзету", "3;"), hearing=("исправление", "прошел;прошел"))
    take_in(settings, THIRD)
    held = "select component, round(value, 2), result_code from lake.clinical.screening where known_to is null"
    held += " and component in ('tsh', 'phe', 'oae_left') order by 1"
    assert ask(settings, held) == [("oae_left", None, "pass"), ("phe", 9.91, None), ("tsh", 3.0, None)]
    told = [[(f["column"], f["severity"]) for f in tell_submission(settings, one)["findings"] if f["code"] == "result_left_blank"] for one in mended]
    assert told == [[("ФА, мкмоль/л", "warning")], []]


def test_a_whole_replaced_file_leaves_one_version_of_each_row_and_takes_none_away_in_silence(settings, tmp_path):
    again = [{"screening": row["screening"] | {"value": "2.7", "issued_at": "2026-03-01T08:00:00"}} for row in seen(2, 3)]
    send(settings, tmp_path, again, "replaced")
    counts = take_in(settings, SECOND)
    assert (counts["changed"], counts["new"]) == (2, 0)
    assert (values(settings), is_whole(settings)) == ([2.4, 2.7, 2.7], True)  # the child left out was not withdrawn


def test_rows_of_a_refused_file_sent_again_are_new_and_its_receipt_stays(settings, tmp_path):
    rows = [row["screening"] for row in seen(5)]
    good = write_file(tmp_path / "good.csv", rows)
    bad = tmp_path / "bad.csv"
    bad.write_text(good.read_text().replace("component", "analyte"))
    (refused,) = flow.receive(settings, [bad])
    assert take_in(settings, SECOND)["refused_files"] == 1
    flow.receive(settings, [good])
    assert take_in(settings, THIRD)["new"] == 1
    assert (values(settings), is_whole(settings)) == ([2.2, 2.3, 2.4, 2.5], True)
    assert tell_submission(settings, refused)["state"] == "refused"


def test_overlapping_exports_every_night_count_each_fact_once_and_bring_what_is_new(settings, tmp_path):
    for night, numbers in ((SECOND, (2, 3, 4, 5)), (THIRD, (3, 4, 5))):
        send(settings, tmp_path, seen(*numbers), f"export of {night}")
        take_in(settings, night)
    assert (values(settings), ask(settings, VERSIONS), is_whole(settings)) == ([2.2, 2.3, 2.4, 2.5], [(4,)], True)
    assert ask(settings, "select count(*) from lake.clinical.screening where known_from = ?", SECOND) == [(1,)]


def test_one_record_told_differently_in_one_file_is_asked_back_and_a_later_issue_of_it_is_not(settings, tmp_path):
    low, high = (examine(5, "motor", value, 14) for value in (1.1, 2.2))
    (submission,) = send(settings, tmp_path, [{"screening": low}, {"screening": high}, *seen(4), *seen(4)], "twice")
    take_in(settings, SECOND)
    told = tell_submission(settings, submission)
    assert (told["accepted_count"], told["quarantined_count"]) == (2, 2)
    assert ask(settings, "select row_no from lake.ledger.finding where code = 'record_told_differently' order by 1") == [(2,), (3,)]
    later = {**high, "issued_at": "2026-03-02T08:00:00"}
    send(settings, tmp_path, [{"screening": low}, {"screening": later}], "mended")
    take_in(settings, THIRD)
    assert (values(settings), tell_submission(settings, submission)["open_count"], is_whole(settings)) == ([2.2, 2.2, 2.3, 2.4], 0, True)


def test_what_is_said_again_later_stands_against_all_that_was_issued_in_between_in_whatever_order_it_comes(settings, tmp_path):
    said = (("2026-02-26", 2.6), ("2026-02-27", 2.9), ("2026-02-28", 2.6))
    orders = dict(enumerate(permutations(said), 5))  # by child
    for night in range(3):
        rows = [examine(n, "motor", order[night][1], 14, issued_at=f"{order[night][0]}T08:00:00") for n, order in orders.items()]
        send(settings, tmp_path, [{"screening": row} for row in rows], f"n{night}")
        take_in(settings, SECOND + timedelta(days=night))
    held = """
        select value, version_at::date::varchar from lake.clinical.screening
        where known_to is null and child_key not in (select child_key from lake.clinical.screening where known_from = ?)"""
    assert (ask(settings, held, FIRST), is_whole(settings)) == ([(2.6, "2026-02-28")] * len(orders), True)
