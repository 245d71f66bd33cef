"""What senders send again: a fact is counted once, the newest version is held true, and nothing that was refused spoils what follows."""

from datetime import timedelta
from itertools import permutations

import pytest

from pipelines import flow
from pipelines.night.ask import tell_submission
from tests.nation import BORN, FIRST, ask, bear, examine, name_iin, send, settle, take_in, write_file
from tests.together import Together

SECOND, THIRD = FIRST + timedelta(days=1), FIRST + timedelta(days=2)
OF = "from lake.clinical.screening s where child_key in (select child_key from lake.identified.birth where list_contains(?::varchar[], mother_iin))"
HELD = f"select round(value, 1) {OF} and known_to is null and not is_cancelled order by value"
together = Together()


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A home in which children are born and some of them examined on the first night, and what the stories make of it."""
    folder = tmp_path_factory.mktemp("first")
    home = settle(folder / "home")
    send(home, folder, [{"birth": bear(n)} for n in range(2, 192)])
    send(home, folder, seen(2, 3, 4), "seen")
    send(home, folder, [row for tens in range(10, 180, 10) for row in seen(tens + 2, tens + 3, tens + 4)], "seen too")
    take_in(home, FIRST)
    return together.live(home, folder)


def seen(*numbers, **other):
    return [{"screening": examine(n, "motor", 2.0 + n % 10 / 10, 14, **other)} for n in numbers]


def values(home, *numbers):
    """The results that are held of some children."""
    return [row[0] for row in ask(home, HELD, list(map(name_iin, numbers)))]


def versions(home, *numbers):
    """How many versions of their results were ever held, by the night from which they were."""
    return dict(ask(home, f"select known_from, count(*) {OF} group by all", list(map(name_iin, numbers))))


@together.story
def test_the_same_bytes_again_change_nothing(home, folder):
    (submission,) = send(home, folder, seen(2, 3, 4))
    counts = yield
    assert counts["repeated"] == 1
    assert ask(home, "select received_on from lake.ledger.submission where submission_id = ?", submission) == [(FIRST,)]
    assert (values(home, 2, 3, 4), versions(home, 2, 3, 4)) == ([2.2, 2.3, 2.4], {FIRST: 3})


@together.story
def test_the_same_rows_in_a_new_file_are_counted_once(home, folder):
    (submission,) = send(home, folder, seen(14, 13, 12), "in another order")
    yield
    assert tell_submission(home, submission)["accepted_count"] == 3
    assert (values(home, 12, 13, 14), versions(home, 12, 13, 14)) == ([2.2, 2.3, 2.4], {FIRST: 3})


@together.story
def test_a_night_counts_what_was_not_known_before_and_what_it_changes(home, folder):
    for night in (SECOND, THIRD):
        counts = yield
        ((new, changed),) = ask(home, """
            select count(*) filter (first = ?), count(*) filter (first < ?)
            from (select known_from, min(known_from) over (partition by record_key) as first from lake.clinical.screening) where known_from = ?
        """, night, night, night)  # fmt: skip
        assert (counts["new"], counts["changed"]) == (new, changed) and new and changed


@together.story
def test_a_row_that_says_it_is_issued_in_time_to_come_is_refused_and_stands_above_no_correction(home, folder):
    children = (22, 23, 24, 25)
    (wrong,) = send(home, folder, seen(25, issued_at="2027-03-01T08:00:00"), "wrong clock")
    yield
    told = [row["code"] for row in tell_submission(home, wrong)["findings"] if row["severity"] == "error"]
    assert (values(home, *children), told) == ([2.2, 2.3, 2.4], ["issued_at_in_future"])
    send(home, folder, [{"screening": examine(25, "motor", 2.9, 14, issued_at="2026-03-03T08:00:00")}], "right clock")
    yield
    assert (values(home, *children), tell_submission(home, wrong)["open_count"]) == ([2.2, 2.3, 2.4, 2.9], 0)


@together.story
def test_a_corrected_row_replaces_its_version_and_leaves_the_others(home, folder):
    mended = examine(33, "motor", 2.9, 14, action_code="correct", issued_at="2026-03-01T08:00:00")
    send(home, folder, [{"screening": mended}], "mended")
    yield
    assert (values(home, 32, 33, 34), versions(home, 32, 33, 34)) == ([2.2, 2.4, 2.9], {FIRST: 3, SECOND: 1})


@together.story
def test_a_withdrawn_row_is_held_no_more_and_its_past_is_kept(home, folder):
    send(home, folder, seen(43, action_code="cancel", issued_at="2026-03-01T08:00:00"), "withdrawn")
    yield
    assert (values(home, 42, 43, 44), versions(home, 42, 43, 44)) == ([2.2, 2.4], {FIRST: 3, SECOND: 1})


TIMED, UNTIMED = {"issued_at": "2026-02-27T08:00:00"}, {"issued_at": None}
UNTIMED_ACTIONS = {
    "the original has no time": (50, UNTIMED, TIMED),
    "what follows has none": (60, TIMED, UNTIMED),
    "neither has one": (70, UNTIMED, UNTIMED),
    "what follows has none and comes on the day of the original": (80, {"issued_at": f"{SECOND}T08:00:00"}, UNTIMED),
}


@together.cases(UNTIMED_ACTIONS)
def test_a_withdrawal_and_a_correction_stand_above_the_original_whichever_of_them_has_no_time_of_issue(home, folder, tens, first, second):
    """In one file, in two of one night, in files of two nights."""
    nights = {night: [] for night in (SECOND, THIRD)}
    for number, places in {5: (0, 0, SECOND), 6: (0, 1, SECOND), 7: (0, 0, THIRD)}.items():
        for component, action, value in (("motor", "cancel", 1.1), ("speech", "correct", 2.9)):
            said = examine(tens + number, component, 1.1, 14, programme="development")
            nights[SECOND].append((places[0], said | first))
            nights[places[2]].append((places[1], said | second | {"action_code": action, "value": str(value)}))
    for night, rows in nights.items():
        for file in (0, 1):
            send(home, folder, [{"screening": row} for place, row in rows if place == file], f"{night} {file}")
        yield
    assert values(home, *range(tens + 2, tens + 8)) == [2.2, 2.3, 2.4, 2.9, 2.9, 2.9]


@together.story
def test_a_row_without_a_time_that_comes_after_a_withdrawal_is_not_taken_and_what_it_says_anew_is_told(home, folder):
    send(home, folder, seen(95, **TIMED, action_code="cancel"), "withdrawn")
    yield
    (late,) = send(home, folder, [{"screening": examine(95, "motor", 2.9, 14, **UNTIMED)}], "late")
    yield
    told = [row["code"] for row in tell_submission(home, late)["findings"] if row["severity"] == "warning"]
    assert (values(home, 92, 93, 94, 95), told) == ([2.2, 2.3, 2.4], ["version_older_than_held"])


@together.story
def test_of_versions_without_a_time_the_one_that_came_last_is_held(home, folder):
    for night, value in ((SECOND, "2.9"), (THIRD, "2.5")):
        send(home, folder, [{"screening": row["screening"] | {"value": value}} for row in seen(105, **UNTIMED)], f"{night}")
        yield
    assert values(home, 102, 103, 104, 105) == [2.2, 2.3, 2.4, 2.5]


WIDE = {
    "blood": "Жазба нөмірі;Ұйым;Әрекет;Берілді;Анасының ЖСН;Туған күні;Алынған күні;ТТГ, мкМЕ/мл;ФА, мкмоль/л",
    "hearing": "Номер записи;Организация;Действие;Выдано;ИИН матери;Дата рождения;Дата обследования;ВОАЭ левое;ВОАЭ правое",
}
WIDE_HELD = f"select component, round(value, 2), result_code {OF} and known_to is null and not is_cancelled order by 1"
JUDGED = "select verdict " + OF.replace("screening s", "verdict") + " and known_to is null and programme in ('blood_spot', 'hearing')"


def send_wide(home, folder, night, blood_child, hearing_child, *, blood=("жаңа", "30;600"), hearing=("новая", "не прошел;прошел")):
    """A row of a laboratory's and one of a maternity's form, of a child each, as it stands on a night; the submissions."""
    said = {"blood": (f"w{blood_child}", "L1", blood_child, *blood), "hearing": (f"w{hearing_child}", "M1", hearing_child, *hearing)}
    for form, (source_id, sender, child, action, results) in said.items():
        row = f"{source_id};{sender};{action};{night:%d.%m.%Y};{name_iin(child)};{BORN:%d.%m.%Y};{BORN + timedelta(days=2):%d.%m.%Y};{results}"
        (folder / f"{form} {night}.csv").write_text(f"{WIDE[form]}\n{row}\n")
    return flow.receive(home, [folder / f"{form} {night}.csv" for form in said])


@together.story
def test_a_withdrawn_row_takes_back_every_result_that_it_gave_whatever_its_cells_still_say(home, folder):
    children = list(map(name_iin, (116, 117)))
    send_wide(home, folder, SECOND, 116, 117)
    yield
    assert [row[0] for row in ask(home, WIDE_HELD, children)] == ["oae_left", "oae_right", "phe", "tsh"]
    assert len(ask(home, JUDGED, children)) == 2
    withdrawn = send_wide(home, folder, THIRD, 116, 117, blood=("бас тарту", ";"), hearing=("отмена", ";"))
    yield
    assert ask(home, WIDE_HELD, children) == []
    assert [tell_submission(home, one)["accepted_count"] for one in withdrawn] == [1, 1]
    assert ask(home, JUDGED, children) == []


@together.story
def test_a_row_withdrawn_before_it_ever_came_gives_no_result_and_no_verdict(home, folder):
    withdrawn = send_wide(home, folder, SECOND, 126, 127, blood=("бас тарту", ";"), hearing=("отмена", ";"))
    yield
    assert [tell_submission(home, one)["accepted_count"] for one in withdrawn] == [1, 1]
    children = list(map(name_iin, (126, 127)))
    assert (ask(home, WIDE_HELD, children), ask(home, JUDGED, children)) == ([], [])


@together.story
def test_a_correction_that_leaves_a_result_blank_takes_none_away_in_silence_and_says_so(home, folder):
    send_wide(home, folder, SECOND, 136, 137)
    yield
    mended = send_wide(home, folder, THIRD, 136, 137, blood=("түзету", "3;"), hearing=("исправление", "прошел;прошел"))
    yield
    assert ask(home, WIDE_HELD, list(map(name_iin, (136, 137)))) == [
        ("oae_left", None, "pass"), ("oae_right", None, "pass"), ("phe", 9.91, None), ("tsh", 3.0, None),
    ]  # fmt: skip
    told = [[(f["column"], f["severity"]) for f in tell_submission(home, one)["findings"] if f["code"] == "result_left_blank"] for one in mended]
    assert told == [[("ФА, мкмоль/л", "warning")], []]


@together.story
def test_a_whole_replaced_file_leaves_one_version_of_each_row_and_takes_none_away_in_silence(home, folder):
    again = [{"screening": row["screening"] | {"value": "2.7", "issued_at": "2026-03-01T08:00:00"}} for row in seen(142, 143)]
    send(home, folder, again, "replaced")
    yield
    assert versions(home, 142, 143, 144) == {FIRST: 3, SECOND: 2}
    assert values(home, 142, 143, 144) == [2.4, 2.7, 2.7]  # the child left out was not withdrawn


@together.story
def test_rows_of_a_refused_file_sent_again_are_new_and_its_receipt_stays(home, folder):
    rows = [row["screening"] for row in seen(155)]
    good = write_file(folder / "good.csv", rows)
    bad = folder / "bad.csv"
    bad.write_text(good.read_text().replace("component", "analyte"))
    (refused,) = flow.receive(home, [bad])
    counts = yield
    assert (counts["refused_files"], tell_submission(home, refused)["state"]) == (1, "refused")
    flow.receive(home, [good])
    yield
    assert (values(home, 152, 153, 154, 155), versions(home, 155)) == ([2.2, 2.3, 2.4, 2.5], {THIRD: 1})
    assert tell_submission(home, refused)["state"] == "refused"


@together.story
def test_overlapping_exports_every_night_count_each_fact_once_and_bring_what_is_new(home, folder):
    for night, numbers in ((SECOND, (162, 163, 164, 165)), (THIRD, (163, 164, 165))):
        send(home, folder, seen(*numbers), f"export of {night}")
        yield
    assert values(home, 162, 163, 164, 165) == [2.2, 2.3, 2.4, 2.5]
    assert versions(home, 162, 163, 164, 165) == {FIRST: 3, SECOND: 1}


@together.story
def test_one_record_told_differently_in_one_file_is_asked_back_and_a_later_issue_of_it_is_not(home, folder):
    low, high = (examine(175, "motor", value, 14) for value in (1.1, 2.2))
    (submission,) = send(home, folder, [{"screening": low}, {"screening": high}, *seen(174), *seen(174)], "twice")
    yield
    told = tell_submission(home, submission)
    assert (told["accepted_count"], told["quarantined_count"]) == (2, 2)
    query = "select row_no from lake.ledger.finding where code = 'record_told_differently' and submission_id = ? order by 1"
    assert ask(home, query, submission) == [(2,), (3,)]
    later = {**high, "issued_at": "2026-03-02T08:00:00"}
    send(home, folder, [{"screening": low}, {"screening": later}], "mended")
    yield
    assert (values(home, 172, 173, 174, 175), tell_submission(home, submission)["open_count"]) == ([2.2, 2.2, 2.3, 2.4], 0)


@together.story
def test_what_is_said_again_later_stands_against_all_that_was_issued_in_between_in_whatever_order_it_comes(home, folder):
    said = (("2026-02-26", 2.6), ("2026-02-27", 2.9), ("2026-02-28", 2.6))
    orders = dict(enumerate(permutations(said), 185))  # by child
    for night in range(3):
        rows = [examine(n, "motor", order[night][1], 14, issued_at=f"{order[night][0]}T08:00:00") for n, order in orders.items()]
        send(home, folder, [{"screening": row} for row in rows], f"n{night}")
        yield
    held = ask(home, f"select value, version_at::date::varchar {OF} and known_to is null", list(map(name_iin, orders)))
    assert held == [(2.6, "2026-02-28")] * len(orders)
