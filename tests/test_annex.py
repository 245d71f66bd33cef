"""The monthly lists and returns of order 704: what is kept, what is refused and why, and how a sender mends it."""

import json
from datetime import date, timedelta
from pathlib import Path

import fastexcel
import openpyxl
import polars as pl
import pytest
import xlsxwriter
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines import flow
from pipelines.intake.feedback import name_headers, tell_finding
from pipelines.intake.layout import list_layouts
from pipelines.intake.mends import Refused
from pipelines.intake.months import read_months
from pipelines.intake.receive import judge_chunk, open_submission
from pipelines.intake.refusal import FileRefusedError
from pipelines.intake.repair import neutralise, write_repair, write_repair_workbook
from pipelines.intake.taken import list_taken
from pipelines.night.ask import tell_submission
from tests.nation import BORN, FIRST, ask, bear, name_iin, send, settle
from tests.together import Together

SECOND, THIRD = FIRST + timedelta(days=1), FIRST + timedelta(days=2)
LIST_12 = ["№ п/п", "ФИО ребенка", "Дата рождения", "ИИН", "Адрес, телефон", "Результат скрининга", "Правое ухо", "Левое ухо"]
DAY = "12.02.2026"
RETURN_16 = ["Возрастная группа", "Подлежало осмотру", "Осмотрено абс.", "Осмотрено %", "Выявлено с риском абс.",
             "Направлено в ПМПК абс."]  # fmt: skip
GROUPS = [["Новорожденные", 100, 90, 90, 3, 2], ["До 1 года", 50, 40, 80, 1, 1], ["1-3 года", 30, 30, 100, 0, 0]]
TOTAL = ["Всего", 180, 160, 88.9, 4, 3]
TITLES = [["Организация:", "M1"], ["Отчетный период", date(2026, 2, 1)]]


together = Together(FIRST)


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lived")
    return together.live(settle(folder / "home"), folder)


def write(path: Path, *sheets: list[list]) -> Path:
    with xlsxwriter.Workbook(path, {"default_date_format": "dd.mm.yyyy"}) as book:
        for rows in sheets:
            sheet = book.add_worksheet()
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
    return path


def child(number: int, right: str = "Прошел", left: str = "Прошел", born: str = f"{BORN:%d.%m.%Y}", iin: str | None = None) -> list:
    return [number, f"FAMILY{number}", born, name_iin(number) if iin is None else iin, "STREET", right, right, left]


def listed(path: Path, *children: list, day: bool = True) -> Path:
    """The name list of annex 12 with the column of the day that the order's form lacks."""
    rows = [[*LIST_12, "Дата обследования"], *([*c, DAY] for c in children)] if day else [LIST_12, *children]
    return write(path, [["Приложение 12"], ["Организация: M1"], [], *rows])


def judge(path: Path, on: date = FIRST):
    opened = open_submission(path)
    judged = [judge_chunk(chunk, opened.layout, "a" * 64, on) for chunk in opened.chunks]
    return opened.layout, judged


def codes(judged) -> list[tuple]:
    finding = pl.concat(j.finding for j in judged).filter(pl.col("severity") == "error")
    return finding.select("row_no", "code").sort("row_no", "code").rows()


def receive(home, path: Path) -> str:
    """The submission of a file that the next night judges."""
    (submission,) = flow.receive(home, [path])
    return submission


def feedback(home, name: str, submission: str) -> Path:
    """A file of the feedback of a submission."""
    return home.reports / "feedback" / submission / name


# ------------------------------------------------------------------------------------------------ named lists


def test_a_list_of_annex_12_becomes_a_result_an_ear(tmp_path):
    layout, judged = judge(listed(tmp_path / "a.xlsx", child(2), child(3, "Не прошел", "Прошел")))
    rows = judged[0].accepted.select("row_no", "component", "result_code", "sender_id", "child_iin").sort("row_no", "component").rows()
    assert layout.name == "annex-12-list"
    assert rows == [
        (5, "hearing_left", "pass", "M1", name_iin(2)), (5, "hearing_right", "pass", "M1", name_iin(2)),
        (6, "hearing_left", "pass", "M1", name_iin(3)), (6, "hearing_right", "refer", "M1", name_iin(3)),
    ]  # fmt: skip


def test_a_list_without_the_day_of_examination_is_refused_row_by_row_and_no_day_is_invented(tmp_path):
    _, judged = judge(listed(tmp_path / "a.xlsx", child(2), day=False))
    assert codes(judged) == [(5, "examined_on_missing")]


def test_a_child_that_no_number_names_is_quarantined_with_that_reason(tmp_path):
    _, judged = judge(listed(tmp_path / "a.xlsx", child(2, iin="")))
    assert codes(judged) == [(5, "child_unidentifiable")]


def test_a_row_of_a_list_keeps_its_id_whatever_place_it_has_in_the_list(tmp_path):
    _, first = judge(listed(tmp_path / "a.xlsx", child(2), child(3)))
    _, again = judge(listed(tmp_path / "b.xlsx", child(3), child(4), child(2)))
    ids = [dict(j[0].accepted.select("child_iin", "source_id").unique().iter_rows()) for j in (first, again)]
    assert ids[0][name_iin(2)] == ids[1][name_iin(2)] != ids[0][name_iin(3)]
    assert name_iin(2) not in ids[0][name_iin(2)]


def test_a_list_of_annex_17_names_no_child_and_is_kept_only_with_the_columns_that_do(tmp_path):
    header = ["ФИО", "Возраст", "Домашний адрес", "Диагноз", "Дата направления", "Дата осмотра в ПМПК"]
    row = ["FAMILY", "2 года", "STREET", "F80.1", "20.02.2026", ""]
    layout, judged = judge(write(tmp_path / "a.xlsx", [*TITLES, header, row]))
    assert (layout.name, codes(judged)) == ("annex-17-list", [(4, "child_unidentifiable"), (4, "examined_on_missing")])
    _, judged = judge(write(tmp_path / "b.xlsx", [*TITLES, [*header, "ИИН", "Дата скрининга"], [*row, name_iin(2), DAY]]))
    kept = judged[0].accepted.select("programme", "component", "result_code", "examined_on").rows()
    assert kept == [("development", "district_referral", "refer", date(2026, 2, 12))]


def test_a_list_of_annex_19_becomes_a_result_of_the_eyes(tmp_path):
    header = ["ФИО", "Дата рождения", "ИИН", "Адрес, телефон", "Срок гестации, недель", "Масса тела при рождении, г",
              "Результат", "Дата обследования"]  # fmt: skip
    rows = [["A", BORN, name_iin(2), "x", 30, 1400, "РН нет", DAY], ["B", BORN, name_iin(3), "x", 28, 900, "РН выявлена", DAY]]
    layout, judged = judge(write(tmp_path / "a.xlsx", [*TITLES, header, *rows]))
    kept = judged[0].accepted.select("component", "result_code", "gestation_wk").rows()
    assert (layout.name, kept) == ("annex-19-list", [("rop", "pass", 30), ("rop", "refer", 28)])


def test_a_list_that_declares_another_number_of_children_is_refused_whole(tmp_path):
    rows = [[*LIST_12, "Дата обследования"], [*child(2), DAY], [*child(3), DAY], ["Итого", 3]]
    path = write(tmp_path / "a.xlsx", [*TITLES, *rows])
    with pytest.raises(FileRefusedError) as refused:
        judge(path)
    assert [(d.row_no, d.detail) for d in refused.value.differences] == [(6, "declared=3 computed=2 difference=1")]


# ------------------------------------------------------------------------------------------------ returns


def test_a_return_of_annex_16_becomes_a_count_a_group_and_measure_and_its_total_none(tmp_path):
    layout, judged = judge(write(tmp_path / "a.xlsx", [["Приложение 16"], *TITLES, [], RETURN_16, *GROUPS, TOTAL]))
    kept = judged[0].accepted
    told = kept.filter(pl.col("measure") == "screened").select("row_group", "child_count", "period_month", "sender_id").rows()
    assert (layout.name, len(kept)) == ("annex-16-return", 12)
    assert told == [(g, n, date(2026, 2, 1), "M1") for g, n in (("newborn", 90), ("under_1", 40), ("from_1_to_3", 30))]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda g: [*g, ["Всего", 180, 161, 89.4, 4, 3]], (8, "Осмотрено абс.", "declared_total_differs", "declared=161 computed=160 difference=1")),
        (lambda g: [["Новорожденные", 100, 110, 110, 3, 2], *g[1:]],
         (5, "Осмотрено абс.", "part_above_whole", "declared=110 computed=100 difference=10")),
        (lambda g: [["Новорожденные", 100, 90, 95, 3, 2], *g[1:]],
         (5, "Осмотрено %", "percent_differs", "declared=95 computed=90 difference=5")),
        (lambda g: [*g, ["До 1 года", 5, 4, 80, 0, 0]], (6, "Возрастная группа", "group_repeated", "declared=1 computed=2 difference=-1")),
    ],
    ids=["total", "part", "percent", "group"],
)  # fmt: skip
@pytest.mark.parametrize("form", ["xlsx", "csv"])
def test_a_return_that_disagrees_with_itself_is_refused_with_the_difference(tmp_path, change, expected, form):
    header = [*(t[0].strip(":") for t in TITLES), *RETURN_16]
    rows = [["M1", "01.02.2026", *row] for row in change(GROUPS)]
    if form == "xlsx":
        path = write(tmp_path / "a.xlsx", [[], [], [], header, *rows])
    else:
        path = tmp_path / "a.csv"
        lines = [header, *rows]
        path.write_text("\n".join(";".join(str(c).replace(".", ",") if isinstance(c, float) else str(c) for c in r) for r in lines), "utf-8")
        expected = (expected[0] - 3, *expected[1:])
    with pytest.raises(FileRefusedError) as refused:
        judge(path)
    found = [(d.row_no, d.column, d.code, d.detail) for d in refused.value.differences]
    assert refused.value.code == ("group_repeated" if expected[2] == "group_repeated" else "totals_differ")
    assert found[0] == expected


SEVEN = ["Организация", "Отчетный период", "Всего новорожденных", "Охвачено скринингом абс."]


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (["Итого", "", 150, 131], [("Охвачено скринингом абс.", "declared=131 computed=130 difference=1")]),
        (["Итого", "", 150, 130], []),
        (["", "", "Итого", ""], []),
        (["Барлығы", "01.02.2026", 150, "много"], [("Охвачено скринингом абс.", "computed=130")]),
        (["Всего детей", "2026-02-01", "", 130], []),
    ],
    ids=["differs", "right", "declares nothing", "no number", "another form of the month"],
)
def test_the_total_of_a_form_without_groups_is_held_against_all_its_rows(tmp_path, last, expected):
    rows = [SEVEN, ["M1", "01.02.2026", 100, 90], ["M2", "01.02.2026", 50, 40], last]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(";".join(map(str, row)) for row in rows), "utf-8")
    if expected:
        with pytest.raises(FileRefusedError) as refused:
            judge(path)
        assert [(d.column, d.detail) for d in refused.value.differences] == expected
    else:
        _, judged = judge(path)
        assert sum(j.received_count for j in judged) == 2


@pytest.mark.parametrize(("said", "count"), [("100,0", 100), ("100.00", 100), ("1 000", 1000), ("1,000", None), ("1.000", None), ("2,500", None)])
def test_a_count_that_may_be_one_or_a_thousand_is_read_as_neither(tmp_path, said, count):
    path = tmp_path / "a.csv"
    path.write_text("\n".join(";".join(row) for row in [SEVEN, ["M1", "01.02.2026", said, "1"], ["Итого", "", said, "1"]]), "utf-8")
    _, judged = judge(path)
    assert judged[0].accepted.filter(pl.col("measure") == "target")["child_count"].to_list() == ([count] if count else [])
    told = judged[0].finding.filter(pl.col("severity") == "error").select("row_no", "column", "code").rows()
    assert told == ([] if count else [(2, "Всего новорожденных", "child_count_unreadable")])


@pytest.mark.parametrize("said", ["1,000", "1.000"])
def test_a_declared_total_that_may_be_one_or_a_thousand_is_read_as_neither(tmp_path, said):
    path = tmp_path / "a.csv"
    path.write_text("\n".join(";".join(row) for row in [SEVEN, ["M1", "01.02.2026", "1", "1"], ["Итого", "", said, "1"]]), "utf-8")
    with pytest.raises(FileRefusedError) as refused:
        judge(path)
    assert [(d.code, d.detail) for d in refused.value.differences] == [("declared_total_unreadable", "computed=1")]


def test_a_file_of_thousands_of_totals_is_refused_before_each_is_compared(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("\n".join(";".join(row) for row in [SEVEN, *[["Итого", "", "1", "1"]] * 2_001]), "utf-8")
    with pytest.raises(FileRefusedError) as refused:
        judge(path)
    assert refused.value.code == "file_too_long"


@pytest.mark.parametrize("label", [["Итого", "", ""], ["", "", "Итого"], ["Итого детей 5", "", ""]])
def test_a_total_is_one_wherever_its_row_says_so(tmp_path, label):
    header = ["Организация", "Отчетный период", "Возрастная группа", "Всего в группе", "ВОАЭ абс."]
    rows = [header, ["M1", "01.02.2026", "3 мес", 100, 90], ["M1", "01.02.2026", "1 год", 10, 9], [*label, 110, 98]]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(";".join(map(str, row)) for row in rows), "utf-8")
    with pytest.raises(FileRefusedError) as refused:
        judge(path)
    assert [d.detail for d in refused.value.differences] == ["declared=98 computed=99 difference=-1"]


RETURN_12 = ["Возрастная группа", "Всего в группе", "ВОАЭ абс.", "Прошли оба уха", "Не прошли одно или оба уха абс.", "Не прошли одно или оба уха %",
             "Направлено к сурдологу абс.", "Тугоухость 1-2 степени", "Тугоухость 3-4 степени"]  # fmt: skip
RETURN_7 = ["Всего новорожденных", "Охвачено скринингом абс.", "Первичный ФА абс.", "Повторный ФА абс.", "Повторный ФА %", "Выявлено ФКУ абс."]
KINDS_16 = ["Возрастная группа", "Подлежало осмотру", "Осмотрено абс.", "Выявлено с риском абс.", "Снижение слуха", "Дефект речи"]


@pytest.mark.parametrize(
    ("header", "row", "told"),
    [
        (RETURN_12, ["1 год", 100, 100, 90, 50, 50, 50, 0, 0],
         [("Прошли оба уха + Не прошли одно или оба уха абс.", "parts_above_whole", "declared=140 computed=100 difference=40")]),
        (RETURN_12, ["1 год", 100, 100, 50, 50, 3, 50, 0, 0],
         [("Не прошли одно или оба уха %", "percent_differs", "declared=3 computed=50 difference=-47")]),
        (RETURN_12, ["1 год", 100, 100, 50, 50, 50, 70, 0, 0],
         [("Направлено к сурдологу абс.", "part_above_whole", "declared=70 computed=50 difference=20")]),
        (RETURN_12, ["1 год", 100, 80, 40, 40, 50, 40, 30, 10], []),
        (RETURN_7, [100, 100, 500, 2, "", 0],
         [("Первичный ФА абс.", "part_above_whole", "declared=500 computed=100 difference=400")]),
        (RETURN_7, [100, 100, 100, 2, 2, 30], [("Выявлено ФКУ абс.", "part_above_whole", "declared=30 computed=2 difference=28")]),
        (RETURN_7, [100, 0, 0, 0, 0, 0], []),
        (KINDS_16, ["1-3 года", 100, 90, 5, 50, 60],
         [("Снижение слуха", "part_above_whole", "declared=50 computed=5 difference=45"),
          ("Дефект речи", "part_above_whole", "declared=60 computed=5 difference=55")]),
        (KINDS_16, ["1-3 года", 100, 90, 5, 4, 4], []),
    ],
    ids=["passed_and_not", "not_passed_share", "sent_above_not_passed", "share_of_examined", "analyses_above_newborns", "found_above_repeats",
         "nothing_done", "kinds_above_risk", "two_kinds_of_one_child"],
)  # fmt: skip
def test_parts_of_one_row_hold_against_the_count_they_are_part_of(tmp_path, header, row, told):
    path = write(tmp_path / "a.xlsx", [*TITLES, header, row])
    try:
        judge(path)
        found = []
    except FileRefusedError as refused:
        found = [(d.column, d.code, d.detail) for d in refused.differences]
    assert found == told


@pytest.mark.parametrize("percent", ["88,9", "88.88", "88,8", 0.8889, "89%", 88.88888888888889, ""])
def test_a_percentage_may_be_rounded_cut_off_or_a_share(tmp_path, percent):
    _, judged = judge(write(tmp_path / "a.xlsx", [*TITLES, RETURN_16, ["До 1 года", 180, 160, percent, 0, 0]]))
    assert len(judged[0].accepted) == 4


def test_a_return_of_each_annex_is_read_by_its_layout(tmp_path):
    told = []
    for name in ("annex-7-return", "annex-12-return", "annex-18-return"):
        layout = next(x for x in list_layouts() if x.name == name)
        counts = [c.header for c in layout.components]
        group = [["Возрастная группа", "6 лет"]] if layout.totals.group else []
        header = [*(g[0] for g in group), *counts]
        none = [*(g[1] for g in group), *[0] * len(counts)]
        found, judged = judge(write(tmp_path / f"{name}.xlsx", [*TITLES, header, none]))
        told.append((found.name, judged[0].accepted["row_group"].unique().to_list(), len(judged[0].accepted)))
    assert told == [("annex-7-return", ["all"], 8), ("annex-12-return", ["year_6"], 9), ("annex-18-return", ["all"], 6)]


def test_a_period_is_the_first_of_its_month_and_not_to_come(tmp_path):
    for day, code in ((date(2026, 2, 3), "period_month_not_first_day"), (date(2026, 4, 1), "period_month_in_future")):
        _, judged = judge(write(tmp_path / "a.xlsx", [["Организация:", "M1"], ["Отчетный период", day], RETURN_16, GROUPS[0]]))
        assert {c for _, c in codes(judged)} == {code}


@pytest.mark.parametrize(
    "said",
    ["февраль 2026", "Февраль 2026 г.", "за февраль 2026 года", "2026 жылғы ақпан", "ақпан 2026 ж.", "02.2026", "2.2026", "02/2026", "2026-02",
     "28.02.2026", "2026-02-28", "01.02.2026", date(2026, 2, 28), date(2026, 2, 1), "февраля, 2026", "фев. 2026", "ФЕВРАЛЬ-2026"],
)  # fmt: skip
def test_a_month_is_read_as_senders_write_it(tmp_path, said):
    for rows in ([["Организация:", "M1"], ["Отчетный период", said], RETURN_16, GROUPS[0]],
                 [["Организация", "Отчетный период", *RETURN_16], ["M1", said, *GROUPS[0]]]):  # fmt: skip
        _, judged = judge(write(tmp_path / "a.xlsx", rows))
        assert judged[0].accepted["period_month"].unique().to_list() == [date(2026, 2, 1)]


@pytest.mark.parametrize("said", ["январь-февраль 2026", "февраль", "2026", "13.2026", "00.2026", "02.26", "февраль 1826", "февраль 2026 ?"])
def test_what_names_no_one_month_is_refused_with_forms_that_are_read(tmp_path, said):
    layout, judged = judge(write(tmp_path / "a.xlsx", [["Организация:", "M1"], ["Отчетный период", said], RETURN_16, GROUPS[0]]))
    assert {code for _, code in codes(judged)} == {"period_month_unreadable"}
    advised = list_taken(layout)["period_month"].split(" / ")
    assert advised == ["01.03.2026", "2026-03-01", "03.2026", "наурыз 2026", "март 2026"]
    for code in ("period_month_unreadable", "period_month_not_first_day"):
        assert " / ".join(advised) in tell_finding(code, "period_month", name_headers(layout))["kk"]
    assert read_months(pl.Series(advised), layout.dates).unique().to_list() == [date(2026, 3, 1)]


def test_a_return_and_its_name_list_come_in_one_workbook(tmp_path):
    header = ["Возрастная группа", "Всего в группе", "ВОАЭ абс.", "Прошли оба уха"]
    path = write(tmp_path / "a.xlsx", [*TITLES, header, ["3 мес", 5, 5, 5], ["Всего", 5, 5, 5]],
                 [["Организация: M1"], [*LIST_12, "Дата обследования"], [*child(2), DAY]])  # fmt: skip
    _, judged = judge(path)
    assert [(j.kind, len(j.accepted)) for j in judged if len(j.accepted)] == [("aggregate", 3), ("screening", 2)]


# ------------------------------------------------------------------------------------------------ a night


COUNTS = """select row_group, measure, child_count, known_to from lake.clinical.aggregate
            where measure = 'screened' order by known_from, row_group"""


@together.story
def test_a_corrected_return_replaces_the_one_before_and_the_same_again_changes_nothing(home, folder):
    first = receive(home, write(folder / "a.xlsx", [*TITLES, RETURN_16, *GROUPS, TOTAL]))
    yield
    told = tell_submission(home, first)
    assert (told["state"], told["waiting_now"]) == ("accepted", 0)
    assert ask(home, "select count(*), count(distinct record_key) from lake.clinical.aggregate where known_from = ?", FIRST) == [(12, 12)]
    again = receive(home, write(folder / "again.xlsx", [["Форма"], *TITLES, RETURN_16, *GROUPS, TOTAL]))
    yield
    assert tell_submission(home, again)["state"] == "accepted"
    assert ask(home, "select count(*) from lake.clinical.aggregate") == [(12,)]
    mended = [GROUPS[0], ["До 1 года", 50, 41, 82, 1, 1], GROUPS[2], ["Всего", 180, 161, 89.4, 4, 3]]
    receive(home, write(folder / "b.xlsx", [*TITLES, RETURN_16, *mended]))
    yield
    assert ask(home, "select count(*), count(distinct record_key) from lake.clinical.aggregate") == [(13, 12)]
    assert ask(home, COUNTS) == [
        ("from_1_to_3", "screened", 30, None), ("newborn", "screened", 90, None), ("under_1", "screened", 40, THIRD),
        ("under_1", "screened", 41, None),
    ]  # fmt: skip


@together.story
def test_a_refused_return_tells_column_declared_computed_and_difference_and_leaves_nothing(home, folder):
    submission = receive(home, write(folder / "a.xlsx", [*TITLES, RETURN_16, *GROUPS, ["Всего", 180, 161, 89.4, 4, 3]]))
    yield
    told = json.loads(feedback(home, "feedback.json", submission).read_text("utf-8"))
    (finding,) = [f for f in told["findings"] if f["code"] == "declared_total_differs"]
    assert (told["status"], told["refusal_code"], told["sender_id"]) == ("refused", "totals_differ", "M1")
    assert (finding["row_no"], finding["column"]) == (7, "Осмотрено абс.")
    assert finding["detail"] == "declared=161 computed=160 difference=1"
    assert ask(home, "select count(*) from lake.clinical.aggregate where submission_id = ?", submission) == [(0,)]


@together.story
def test_a_list_with_another_number_of_rows_than_it_declares_says_so_below_what_is_wrong_with_the_whole(home, folder):
    rows = [[*LIST_12, "Дата обследования"], [*child(2), DAY], [*child(3), DAY], ["Итого", 3]]
    submission = receive(home, write(folder / "a.xlsx", [["Организация: M1"], *rows]))
    yield
    told = json.loads(feedback(home, "feedback.json", submission).read_text("utf-8"))
    assert told["status"] == "refused"
    (finding,) = [f for f in told["findings"] if f["code"] == "declared_count_differs"]
    assert (finding["row_no"], finding["column"], finding["detail"]) == (5, None, "declared=3 computed=2 difference=1")
    assert "Число строк" in finding["text_ru"]
    assert "«-»" not in finding["text_ru"]
    page = feedback(home, "feedback.html", submission).read_text("utf-8")
    assert 0 < page.index("<code>totals_differ</code>") < page.index("<code>declared_count_differs</code>")


@together.story
def test_mending_the_workbook_to_fix_and_sending_it_again_closes_its_findings(home, folder):
    """The form lacks the day: the workbook to fix has a column for it, with notes on the cells that are wrong."""
    send(home, folder, [{"birth": bear(n, child_iin=name_iin(n), mother_iin=name_iin(900 + n))} for n in (12, 13)])
    first = receive(home, listed(folder / "march.xlsx", child(12, "=1+1"), child(13), day=False))
    yield
    assert tell_submission(home, first)["quarantined_count"] == 2
    book = openpyxl.load_workbook(feedback(home, "to-fix.xlsx", first))
    sheet = book.active
    header = {cell.value: cell.column for cell in sheet[1]}
    assert list(header)[-3:] == ["Дата обследования", "erte_row", "erte_reasons"]
    assert sheet.cell(2, header["Организация"]).value == "M1"
    assert "Дата обследования" in sheet.cell(2, header["Дата обследования"]).comment.text
    assert "examined_on_missing" in sheet.cell(2, header["erte_reasons"]).value
    assert not any(cell.data_type == "f" for row in sheet.iter_rows() for cell in row)
    for row in (2, 3):
        sheet.cell(row, header["Дата обследования"]).value = DAY
    for ear in ("Правое ухо", "Левое ухо", "Результат скрининга"):
        sheet.cell(2, header[ear]).value = "Прошел"
    book.save(folder / "mended.xlsx")
    mended = receive(home, folder / "mended.xlsx")
    yield
    told = json.loads(feedback(home, "feedback.json", mended).read_text("utf-8"))
    assert (told["quarantined_count"], told["waiting_now"]) == (0, 0)
    assert ask(home, "select count(*) from lake.clinical.screening where submission_id = ? and known_from = ?", mended, SECOND) == [(4,)]
    assert {f["severity"] for f in told["findings"]} <= {"info"}
    assert told["status"] == "accepted"
    assert tell_submission(home, first)["open_count"] == 0


@together.cases({";": (22, ";"), ",": (23, ",")})
def test_a_text_file_gets_a_text_file_to_fix_in_the_separator_it_came_in(home, folder, number, separator):
    path = folder / "march.csv"
    header = [h.replace("Адрес, телефон", "Телефон") for h in ["Организация", *LIST_12, "Дата обследования"]]
    path.write_text("\n".join(separator.join(map(str, r)) for r in (header, ["M1", *child(number, iin=""), DAY])), "utf-8")
    submission = receive(home, path)
    yield
    lines = feedback(home, "to-fix.csv", submission).read_text("utf-8-sig").splitlines()
    assert lines[0] == separator.join([*header, "erte_row", "erte_reasons"])
    assert lines[1].startswith(separator.join(["M1", str(number), f"FAMILY{number}", ""]))


# ------------------------------------------------------------------------------------------------ what a spreadsheet would run


@pytest.mark.parametrize(
    ("text", "safe"),
    [("=1+1", "'=1+1"), ("+cmd", "'+cmd"), ("-1+cmd|' /C calc'!A0", "'-1+cmd|' /C calc'!A0"), ("@SUM(A1)", "'@SUM(A1)"), ("\t=1", "'\t=1"),
     ("\r=1", "'\r=1"), ("=1", "'=1"), ("-3", "-3"), ("-3,5", "-3,5"), ("+7", "+7"), ("-", "'-"), ("a=1", "a=1"), (None, "")],
)  # fmt: skip
def test_a_value_that_a_spreadsheet_would_run_is_neutralised_and_a_signed_number_is_not(text, safe):
    assert neutralise(text) == safe
    layout = list_layouts()[0]
    assert write_repair([Refused(2, json.dumps({"a": text}), "erte-1", "why")], layout).decode("utf-8-sig").count("'") == safe.count("'")


def test_a_workbook_to_fix_holds_texts_and_plain_numbers_only(tmp_path):
    sent = {"a": "=1+1", "b": "-3", "c": "012345", "d": "250314500010", "e": "http://example.invalid", "f": "+77001112233", "g": "3.5"}
    (tmp_path / "a.xlsx").write_bytes(write_repair_workbook([Refused(2, json.dumps(sent), "erte-1", "=why", {"a": "note"})]))
    (row,) = openpyxl.load_workbook(tmp_path / "a.xlsx").active.iter_rows(min_row=2)
    assert [cell.value for cell in row] == ["'=1+1", -3, "012345", "250314500010", "http://example.invalid", "+77001112233", 3.5, "erte-1", "'=why"]
    assert {cell.data_type for cell in row} == {"s", "n"}
    assert row[0].comment.text == "note"
    assert not any(cell.hyperlink for cell in row)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.from_regex(r"[+-]?[0-9]{1,20}([.,][0-9]{0,20})?", fullmatch=True) | st.text("0123456789.,+-e ", min_size=1), min_size=30))
@example(["2026.10", "5.10", "1.0", "007", "0.50", "-0", "0.00001", "12345678901.123456789", "10000000.2", "3.5", "-3", "1e5", "2026.1"])
def test_a_workbook_to_fix_gives_back_every_number_of_a_record_as_it_was_sent(sent):
    row = {f"c{place}": text.strip() or "x" for place, text in enumerate(sent)}
    cells = fastexcel.read_excel(write_repair_workbook([Refused(2, json.dumps(row), "erte-1", "why")])).load_sheet(0, dtypes="string").to_polars()
    assert {name: str(cells[name][0]).removeprefix("'") for name in row} == row
