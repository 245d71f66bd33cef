"""What a sender sees: the receipt, the page in three languages, and that mending a row closes its finding."""

import json
import re
from datetime import timedelta
from html.parser import HTMLParser

import polars as pl
import pytest
from typer.testing import CliRunner

from pipelines import flow
from pipelines.cli.commands import app
from pipelines.contracts import RECORDS
from pipelines.errors import UserError
from pipelines.intake.feedback import (
    group_findings,
    mask_source,
    name_headers,
    name_next,
    read_messages,
    render_feedback,
    say_line,
    tell_finding,
)
from pipelines.intake.layout import REASONS, list_layouts
from pipelines.intake.page import LANGUAGES, read_texts
from pipelines.night.ask import tell_ledger, tell_submission
from pipelines.night.hold import decide_held
from tests.nation import (
    FIRST,
    ask,
    bear,
    consent,
    copy_home,
    examine,
    flagged,
    name_iin,
    run,
    send,
    settle,
    take_in,
    write_file,
)
from tests.together import Together

together = Together(FIRST)
SECOND = FIRST + timedelta(days=1)
RECEIPT = {
    "submission_id": "a" * 64, "file_name": "births.csv", "received_on": "2026-03-02", "sender_id": "M1", "layout": "maternity-birth",
    "record_kind": "birth", "state": "partly_accepted", "refusal_code": None, "received_count": 5, "accepted_count": 3,
    "untaken_count": 0, "quarantined_count": 2, "open_count": 2, "mended_count": 0, "refused_again_count": 0, "waiting_now": 0, "rival_count": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """A home after a night to which nobody sent anything."""
    settings = settle(tmp_path_factory.mktemp("quiet") / "home")
    take_in(settings, FIRST)
    return settings


@pytest.fixture
def settings(quiet, tmp_path):
    return copy_home(quiet, tmp_path / "home")


@pytest.fixture(scope="module")
def lived(quiet, tmp_path_factory):
    return together.live(quiet, tmp_path_factory.mktemp("lived"))


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """A home after a night of many a file, and the submissions by the name of what is wrong with each."""
    folder = tmp_path_factory.mktemp("night")
    home, ids = settle(folder / "home"), {}
    headless, changed = folder / "headless.csv", folder / "changed.csv"
    headless.write_text("AIGERIM,AIGERIM,250314500010\nDANA,DANA,250314500010\n")
    changed.write_text(",".join(bear(1)).replace("history_no", "history") + "\n" + ",".join(bear(1).values()) + "\n")
    (ids["headless"],), (ids["changed"],) = flow.receive(home, [headless]), flow.receive(home, [changed])
    sent = {
        "partly": [bear(2, mother_iin="250314500011", birth_on="10.02.2026"), bear(4)], "hair": [bear(6, hair="brown")],
        "blue": [bear(8, sex_code="blue"), bear(10)], "mended at once": [bear(8)],
        "known": [bear(12, sex_code="blue")], "unknown": [bear(14, sex_code="blue", sender_id="AIGERIM")],
    }  # fmt: skip
    for name, rows in sent.items():
        (ids[name],) = send(home, folder, [{"birth": row} for row in rows], name)
    take_in(home, FIRST)
    return home, ids


class Page(HTMLParser):
    """What is on a page: tags with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def page_of(settings, submission):
    return Page((settings.reports / "feedback" / submission / "feedback.html").read_text("utf-8"))


def find(*rows):
    return pl.DataFrame(rows, schema=["row_no", "column", "code", "severity"], orient="row")


def no_source():
    return pl.DataFrame(schema={"row_no": pl.Int64, "source_id": pl.String})


def test_a_page_speaks_kazakh_first_then_russian_then_english_and_needs_nothing_from_outside():
    html = render_feedback(RECEIPT, [], ["to-fix.csv"])
    page = Page(html)
    assert [a["lang"] for tag, a in page.tags if tag == "section"] == ["kk", "ru", "en"]
    assert not [tag for tag, _ in page.tags if tag in {"script", "img", "link", "iframe"}]
    assert not re.search(r"https?://|url\(|@import", html)
    assert all(page.text.count(read_texts()["feedback"]["title"][lang]) == 1 for lang in LANGUAGES)


def test_every_sentence_of_a_page_is_there_in_three_languages_with_the_same_places_to_fill():
    for part, names in read_texts().items():
        for name, texts in names.items():
            assert set(texts) == set(LANGUAGES), (part, name)
            assert len({frozenset(re.findall(r"\{\w+\}", text)) for text in texts.values()}) == 1, (part, name)


def test_a_file_name_a_header_and_a_record_number_that_are_html_are_shown_as_text():
    evil = "<script>alert(1)</script>"
    groups = group_findings(
        find((2, None, "column_unknown", "warning"), (None, evil, "column_unknown", "warning")),
        pl.DataFrame({"row_no": [2], "source_id": ['"><img src=x onerror=alert(1)>']}), {},
    )  # fmt: skip
    closing = {"resent_in": "b" * 64, "file_name": evil, "resent_on": "2026-03-03", "outcome": "accepted", "rows": 1}
    page = Page(render_feedback({**RECEIPT, "file_name": evil, "sender_id": evil}, groups, [], [closing], evil))
    assert not [tag for tag, attrs in page.tags if tag in {"script", "img"} or any(a.startswith("on") for a in attrs)]
    assert evil in page.text


def test_findings_are_told_by_code_with_the_number_of_rows_the_first_lines_and_the_senders_own_numbers():
    rows = [(no, "mother_iin", "mother_iin_checksum", "error") for no in range(2, 9)]
    source = pl.DataFrame({"row_no": list(range(2, 9)), "source_id": [f"B{no}" for no in range(2, 9)]})
    (group,) = group_findings(find(*rows), source, {"mother_iin": "ИИН матери"})
    assert (group.row_count, group.column) == (7, "ИИН матери")
    assert group.examples == ((2, "B2", None), (3, "B3", None), (4, "B4", None), (5, "B5", None), (6, "B6", None))
    assert "ИИН матери" in group.text["kk"]


def test_errors_come_before_notices_and_the_most_frequent_first():
    finding = find(
        (None, "x", "column_unknown", "warning"), (2, "unit", "unit_unknown", "error"), (3, "value", "value_missing", "error"),
        (4, "value", "value_missing", "error"),
    )  # fmt: skip
    assert [g.code for g in group_findings(finding, no_source(), {})] == ["value_missing", "unit_unknown", "column_unknown"]


def test_a_record_number_that_holds_an_iin_and_a_broken_line_are_not_repeated():
    assert (mask_source("250314500010"), mask_source("B-250314500010-1"), mask_source("12345")) == ("…0010", "B-…0010-1", "12345")
    source = pl.DataFrame({"row_no": [2], "source_id": ["1;FAMILY;GIVEN;whole line"]})
    (group,) = group_findings(find((2, None, "row_width_differs", "error")), source, {})
    assert group.examples == ((2, None, None),)


@together.story
def test_a_row_of_several_results_that_waits_for_its_child_is_told_once(home, folder):
    wide = folder / "hearing.csv"
    wide.write_text(
        "Номер записи;Организация;Действие;Выдано;ИИН матери;Дата рождения;Порядок рождения;Пол;Роддом;Номер истории;"
        "Дата обследования;Место обследования;ВОАЭ левое;ВОАЭ правое\n"
        + "".join(f"S{n};M1;новая;12.02.2026 08:00;{name_iin(n)};10.02.2026;1;м;M1;H{n};12.02.2026;M1;прошел;не прошел\n" for n in (102, 103))
    )
    (submission,) = flow.receive(home, [wide])
    yield
    assert ask(home, "select count(*) from lake.identified.waiting where known_to is null and submission_id = ?", submission) == [(4,)]
    told = json.loads((home.reports / "feedback" / submission / "feedback.json").read_text())
    assert (told["received_count"], told["waiting_now"]) == (2, 2)
    assert [f["row_no"] for f in told["findings"] if f["code"].startswith("child_")] == [2, 3]
    assert page_of(home, submission).text.count("line 2") == 1


def test_a_result_column_of_a_wide_layout_is_named_by_the_headers_it_gathers():
    layout = next(x for x in list_layouts() if x.name == "maternity-hearing")
    headers = name_headers(layout)
    assert headers["result_code"] == "ВОАЭ левое / ВОАЭ правое / КСВП левое …"
    assert headers["mother_iin"] == "ИИН матери"


@pytest.mark.parametrize(
    ("changed", "fix", "sentence"),
    [
        ({}, "to-fix.csv", "mend"),
        ({"open_count": 0, "mended_count": 2}, "to-fix.csv", "mended"),
        ({"open_count": 0, "mended_count": 1, "refused_again_count": 1}, "to-fix.csv", "again"),
        ({"state": "refused", "refusal_code": "file_empty", "open_count": 0}, None, "refused"),
        ({"state": "refused"}, "to-fix.xlsx", "mend"),
        ({}, "to-fix.hl7", "mend_message"),
        ({}, "to-fix.ndjson", "mend_message"),
        ({"state": "accepted"}, None, "accepted"),
        ({"state": "waiting", "waiting_now": 3}, None, "waiting"),
        ({"state": "accepted", "rival_count": 1}, None, "look"),
        ({"state": "waiting", "waiting_now": 3, "rival_count": 1}, None, "look"),
        ({"open_count": 0, "mended_count": 2, "rival_count": 1}, "to-fix.csv", "look"),
        ({"rival_count": 1}, "to-fix.csv", "mend"),
        ({"state": "held"}, None, "held"),
        ({"state": "returned"}, None, "returned"),
    ],
)
def test_what_to_do_next_is_one_sentence_by_state(changed, fix, sentence):
    assert name_next(RECEIPT | changed, fix)[0] == sentence


@pytest.mark.parametrize("name", ["to-fix.csv", "to-fix.xlsx", "to-fix.hl7", "to-fix.json"])
def test_the_file_to_fix_that_exists_is_linked(name):
    page = Page(render_feedback(RECEIPT, [], ["findings.csv", name]))
    assert {a["href"] for tag, a in page.tags if tag == "a" and not a["href"].startswith("#")} == {name, "findings.csv"}


def test_the_page_of_a_partly_accepted_file_shows_lines_and_reasons_and_no_childs_data(night):
    settings, ids = night
    page = page_of(settings, ids["partly"])
    assert "mother_iin_checksum" in page.text
    assert "2-жол (B2)" in page.text
    assert ("a", {"href": "to-fix.csv"}) in page.tags
    values = [bear(n)[c] for n in (2, 4) for c in ("family_name", "given_name", "address", "phone", "mother_iin")]
    assert not [value for value in [*values, "250314500011"] if value in page.text]
    assert all(a.get("scope") in {"col", "row"} for tag, a in page.tags if tag == "th")


def test_a_refused_file_says_why_and_which_headers_it_lacks(night):
    settings, ids = night
    page = page_of(settings, ids["changed"])
    assert page.text.count("history_no") >= 3
    assert read_texts()["next"]["refused"]["kk"] in page.text
    found = 'select "column", code from lake.ledger.finding where submission_id = ? order by code'
    assert ask(settings, found, ids["changed"]) == [
        ("history_no", "header_absent"), (None, "layout_header_changed"), ("canonical-birth", "layout_meant"),
    ]  # fmt: skip


def test_a_first_line_that_is_data_is_refused_without_being_repeated(night):
    settings, ids = night
    told = (settings.reports / "feedback" / ids["headless"] / "feedback.json").read_text()
    assert "layout_unknown" in told
    assert "AIGERIM" not in told.replace("headless", "")


def test_an_unknown_column_is_named_by_its_header(night):
    settings, ids = night
    assert ask(settings, "select \"column\" from lake.ledger.finding where code = 'column_unknown'") == [("hair",)]
    assert "hair" in page_of(settings, ids["hair"]).text


@together.story
def test_mending_and_resending_a_row_closes_its_finding_and_the_page_says_by_which_file(home, folder):
    rows = [bear(112, birth_on="10.02.2026"), bear(114), bear(116, sex_code="blue")]
    (first,) = send(home, folder, [{"birth": row} for row in rows])
    yield
    told = tell_submission(home, first)
    assert (told["state"], told["open_count"], told["mended_count"]) == ("partly_accepted", 2, 0)
    (second,) = send(home, folder, [{"birth": bear(112)}, {"birth": bear(116, sex_code="green")}], "mended")
    yield
    told = tell_submission(home, first)
    assert (told["open_count"], told["mended_count"], told["refused_again_count"]) == (0, 1, 1)
    assert [(r["resent_in"], r["outcome"], r["rows"]) for r in told["resent_in"]] == [
        (second, "accepted", 1), (second, "refused_again", 1),
    ]  # fmt: skip
    page = page_of(home, first)
    assert ("a", {"href": f"../{second}/feedback.html"}) in page.tags
    assert tell_submission(home, second)["open_count"] == 1
    send(home, folder, [{"birth": bear(116)}], "again")
    yield
    assert [tell_submission(home, s)["open_count"] for s in (first, second)] == [0, 0]
    assert tell_submission(home, first)["mended_count"] == 2
    assert read_texts()["next"]["mended"]["kk"] in page_of(home, first).text


def test_a_row_of_another_sheet_is_named_by_its_sheet_and_its_line():
    assert [say_line(2, "en"), say_line(20_000_002, "en"), say_line(20_000_002, "ru")] == ["line 2", "sheet 3, line 2", "лист 3, строка 2"]


def test_a_value_that_a_spreadsheet_would_run_goes_back_harmless_and_comes_in_again_as_it_was(settings, tmp_path, monkeypatch):
    absent = len(set(RECORDS["birth"].column_names()) - {*bear(2), "submission_id", "row_no", "received_on"})
    monkeypatch.setattr("pipelines.night.feedback._SHOWN", absent + 1)
    said = {"phone": "+7 (700) 111-22-33", "address": "-5 floor", "given_name": "=cmd|x"}
    rows = [bear(n, source_id=f"@{n}", mother_iin="250314500011", **said) for n in (2, 4, 6)]
    (first,) = send(settings, tmp_path, [{"birth": row} for row in rows])
    take_in(settings, FIRST)
    folder = settings.reports / "feedback" / first
    listed = (folder / "findings.csv").read_text("utf-8-sig")
    assert "'@2" in listed and not re.search(r"(^|,)[=@+-]", listed, re.MULTILINE)
    assert [f["row_no"] for f in json.loads((folder / "feedback.json").read_text())["findings"] if f["row_no"]] == [2]
    mended = pl.read_csv(folder / "to-fix.csv", infer_schema=False)
    assert mended["phone"].to_list() == ["'+7 (700) 111-22-33"] * 3
    assert all("mother_iin_checksum" in reason for reason in mended[REASONS])  # also of rows beyond those that are listed
    mended.with_columns(pl.Series("mother_iin", [name_iin(n) for n in (2, 4, 6)])).write_csv(tmp_path / "mended.csv")
    flow.receive(settings, [tmp_path / "mended.csv"])
    take_in(settings, SECOND)
    assert ask(settings, "select distinct phone, address, given_name from lake.identified.birth") == [tuple(said.values())]
    assert (tell_submission(settings, first)["open_count"], tell_submission(settings, first)["mended_count"]) == (0, 3)


@together.story
def test_a_mended_result_of_another_kind_or_sender_closes_nothing(home, folder):
    (first,) = send(home, folder, [{"screening": examine(122, "tsh", "maybe", source_id="X121")}, {"screening": examine(124, "tsh", 1)}])
    yield
    send(home, folder, [{"screening": examine(122, "tsh", 3.0, source_id="X121", sender_id="M1")}], "other")
    send(home, folder, [{"consent": consent(122, source_id="X121", sender_id="L1")}], "kind")
    yield
    assert tell_submission(home, first)["open_count"] == 1
    send(home, folder, [{"screening": examine(122, "tsh", 3.0, source_id="X121")}], "mended")
    yield
    assert tell_submission(home, first)["open_count"] == 0


@together.cases({",": (130, ","), ";": (140, ";")})
def test_a_broken_line_and_a_row_of_a_file_of_several_senders_are_closed_by_their_mended_rows(home, folder, tens, separator):
    good = [bear(tens + 2), bear(tens + 3), bear(tens + 4)]
    path = write_file(folder / "several.csv", [*good, bear(tens + 5, sex_code="blue"), bear(tens + 7)])
    text = path.read_text().replace(",", separator).splitlines()
    text[-1] += f"{separator}one{separator}too{separator}many"
    path.write_text("\n".join(text) + "\n")
    (first,) = flow.receive(home, [path])
    yield
    told = tell_submission(home, first)
    assert (told["sender_id"], told["open_count"]) == (None, 2)
    send(home, folder, [{"birth": bear(tens + 5)}, {"birth": bear(tens + 7)}], "mended")
    yield
    assert tell_submission(home, first)["mended_count"] == 2


def test_of_two_files_that_came_at_once_neither_mends_the_other(night):
    settings, ids = night
    assert tell_submission(settings, ids["mended at once"])["state"] == "accepted"
    assert tell_submission(settings, ids["blue"])["open_count"] == 1


def test_a_file_of_which_no_row_was_accepted_has_the_sender_its_rows_name_if_the_register_knows_it(night):
    settings, ids = night
    assert [tell_submission(settings, ids[name])["sender_id"] for name in ("known", "unknown")] == ["M1", None]


def test_a_receipt_tells_received_then_waiting_then_accepted_and_the_feed(tmp_path):
    settings = settle(tmp_path / "home")  # of no lake yet
    ids = send(settings, tmp_path, [r for r in flagged(2) if "birth" not in r])
    assert [tell_submission(settings, s[:8])["state"] for s in ids] == ["received"] * 3
    assert {r["state"] for r in tell_ledger(settings, None, "received", None, 10)} == {"received"}
    run(settings, FIRST)
    assert [(t["state"], t["waiting_now"]) for s in ids for t in [tell_submission(settings, s)]] == [("waiting", 1)] * 3
    send(settings, tmp_path, [flagged(2)[0]], "b")
    run(settings, SECOND)
    told = [tell_submission(settings, s) for s in ids]
    assert [(t["state"], t["waiting_now"]) for t in told] == [("accepted", 0)] * 3
    assert [(f["pmpc_id"], f["feed_no"], f["referrals"], f["rows"]) for f in told[0]["feeds"]] == [("K1", 2, 1, 1)]
    note = settings.reports / "feedback" / ids[0] / "receipt.json"
    assert json.loads(note.read_text())["state"] == "accepted"


def test_a_file_that_is_nowhere_is_told_as_unknown(night):
    with pytest.raises(UserError) as told:
        tell_submission(night[0], "0123456789")
    assert told.value.code == "submission_unknown"


@together.story
def test_a_returned_file_gets_a_page_with_the_stewards_reason(home, folder):
    bad = [{"birth": bear(n, sex_code="blue")} for n in range(202, 262, 2)]
    (submission,) = send(home, folder, bad)
    yield
    assert tell_submission(home, submission)["state"] == "held"
    assert read_texts()["next"]["held"]["kk"] in page_of(home, submission).text
    decide_held(home, submission, "return", "test data <b>", "steward")
    yield
    assert tell_submission(home, submission)["state"] == "returned"
    assert "test data <b>" in page_of(home, submission).text


def test_the_ledger_is_listed_by_sender_state_and_day_and_status_answers_with_its_exit_code(tmp_path):
    settings = settle(tmp_path / "home")  # of no lake yet
    runner, home = CliRunner(), ["--home", str(settings.home), "--json"]
    (submission,) = send(settings, tmp_path, [{"birth": bear(2, sex_code="blue")}, {"birth": bear(4)}])
    landed = runner.invoke(app, ["status", submission[:10], *home])
    assert (landed.exit_code, json.loads(landed.stdout)["state"]) == (0, "received")
    take_in(settings, FIRST)
    partly = runner.invoke(app, ["ledger", "--state", "partly_accepted", "--sender", "M1", *home])
    assert [(r["submission_id"], r["open_count"]) for r in json.loads(partly.stdout)] == [(submission, 1)]
    assert json.loads(runner.invoke(app, ["ledger", "--since", str(SECOND), *home]).stdout) == []
    assert runner.invoke(app, ["ledger", "--state", "lost", *home]).exit_code == 2
    assert runner.invoke(app, ["status", "ffffffffff", *home]).exit_code == 2
    assert runner.invoke(app, ["ledger", "--help"]).exit_code == 0


def test_a_finding_says_what_may_be_written_instead():
    names, room = (name_headers(next(x for x in list_layouts() if x.name == name)) for name in ("laboratory-blood-spot", "room-asq3"))
    assert "31.03.2026 / 2026-03-31" in tell_finding("birth_on_unreadable", "birth_on", names)["ru"]
    assert "12,5" in tell_finding("value_unreadable", "ТТГ, мкМЕ/мл", names)["ru"]
    assert "бірінші / қайталама" in tell_finding("stage_code_unknown", "stage_code", names)["kk"]
    assert "tsh: m[IU]/L" in tell_finding("unit_unknown", "unit", names)["en"]
    assert "0 / 5 / 10" in tell_finding("item_not_allowed", "Қарым-қатынас 1", room)["en"]
    assert "20260331" in tell_finding("birth_on_unreadable", "birth_on", {})["en"]


def test_of_a_column_of_which_nothing_is_known_to_be_taken_the_text_names_nothing():
    for problem in ("unknown", "unreadable"):
        texts = tell_finding(f"facility_id_{problem}", "facility_id", {})
        assert all(len(text) > 30 and not text.endswith(": .") for text in texts.values())
        assert texts != tell_finding(f"sex_code_{problem}", "sex_code", {}) | {}
        assert "male" in tell_finding(f"sex_code_{problem}", "sex_code", {})["en"]


def test_what_is_wrong_with_the_whole_file_is_told_before_its_rows():
    finding = find((7, "x", "part_above_whole", "error"), (8, "x", "part_above_whole", "error"), (None, None, "totals_differ", "error"))
    assert [g.code for g in group_findings(finding, no_source(), {})] == ["totals_differ", "part_above_whole"]


def test_a_finding_of_a_message_or_a_resource_is_named_by_the_place_where_its_sender_finds_it():
    for form, place in (("hl7-oru", "NK1-33"), ("fhir-r4", "RelatedPerson.identifier")):
        names = name_headers(form)
        assert all(f"{place}" in text for text in tell_finding("mother_iin_checksum", "mother_iin", names).values())
        assert "20260331" in tell_finding("birth_on_unreadable", "birth_on", names)["ru"]
    assert name_headers("fhir-r4")["birth_on"] == "Patient.birthDate"
    judged = {column for kind in ("screening", "birth", "consent", "pmpc_report") for column in RECORDS[kind].column_names()}
    assert set(name_headers("fhir-r4")) <= judged
    assert name_headers(None) == name_headers("a layout that is no more") == {}


def test_no_text_leaves_a_place_open():
    codes = [*read_messages()["code"], *(f"x_{problem}" for problem in read_messages()["problem"])]
    assert not [code for code in codes for text in tell_finding(code, "x", {}).values() if re.search(r"\{\w*\}", text)]


@together.story
def test_an_accepted_row_with_a_finding_is_named_by_its_senders_own_id_as_a_refused_one_is(home, folder):
    ids = send(home, folder, [{"birth": bear(152)}])
    guardian = consent(152, authority_code="guardian")
    ids += send(home, folder, [{"consent": guardian}, {"consent": consent(154)}, {"consent": consent(156, "blue")}])
    yield
    told = {(f["code"], f["source_id"]) for f in read_findings(home, ids)}
    known = {"authority_unproven": guardian, "child_unknown": consent(154), "decision_unknown": consent(156, "blue")}
    assert told == {(code, row["source_id"]) for code, row in known.items()}
    ids += send(home, folder, [{"birth": bear(154)}], "b")
    yield
    told.remove(("child_unknown", known["child_unknown"]["source_id"]))  # it waits no more
    assert {(f["code"], f["source_id"]) for f in read_findings(home, ids)} == told
    pages = [(home.reports / "feedback" / one / "feedback.html").read_text("utf-8") for one in ids]
    assert [f"({guardian['source_id']})" in page for page in pages if "authority_unproven" in page] == [True]


@together.story
def test_a_file_of_several_senders_is_in_the_ledger_of_each_of_them_and_of_nobody_else(home, folder):
    (mixed,) = send(home, folder, [{"birth": bear(162)}, {"birth": bear(163)}])
    (own,) = send(home, folder, [{"birth": bear(164)}], "own")
    yield
    listed = {s: {row["submission_id"] for row in tell_ledger(home, s, None, None, 500)} & {mixed, own} for s in ("M1", "M2", "P1")}
    assert listed == {"M1": {mixed, own}, "M2": {mixed}, "P1": set()}
    accepted = tell_ledger(home, None, "accepted", FIRST, 500)
    assert {row["submission_id"] for row in accepted} >= {mixed, own}
    assert [row for row in accepted if row["state"] != "accepted" or row["received_on"] < FIRST] == []


def read_findings(home, ids):
    told = [json.loads((home.reports / "feedback" / one / "feedback.json").read_text())["findings"] for one in ids]
    return [finding for findings in told for finding in findings if finding["row_no"]]
