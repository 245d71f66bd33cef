"""A sender's report card: its rhythm, its trend, its place in the funnel, and the steward's overview."""

import json
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from pipelines import flow
from pipelines.indicators.funnel import Funnel, fit_funnel, limit_funnel, place_sender
from pipelines.indicators.sender import expect_deliveries, sum_weeks, tell_trend
from pipelines.intake.card import render_card
from pipelines.night.report_card import name_page, write_report_cards
from tests.nation import BORN, FIRST, bear, examine, send, settle, take_in

ON = date(2026, 3, 1)  # a Sunday


def days(*numbers: int) -> pl.Series:
    return pl.Series([ON - timedelta(days=n) for n in numbers], dtype=pl.Date)


def receive(*rows: tuple[int, int, int]) -> pl.DataFrame:
    """Files as (days ago, rows, refused)."""
    return pl.DataFrame(
        [(ON - timedelta(days=ago), rows, refused) for ago, rows, refused in rows],
        schema={"received_on": pl.Date, "received_count": pl.Int64, "quarantined_count": pl.Int64}, orient="row",
    )  # fmt: skip


def test_weeks_are_eight_end_with_the_day_and_a_silent_one_is_nought():
    weeks = sum_weeks(receive((0, 10, 1), (6, 10, 2), (7, 5, 0), (55, 3, 3), (56, 9, 9)), ON)
    assert weeks["week_from"].to_list() == [ON - timedelta(days=7 * k - 1) for k in range(8, 0, -1)]
    assert weeks.select("rows", "refused").rows() == [(3, 3), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (5, 0), (20, 3)]


@pytest.mark.parametrize(
    ("before", "after", "trend"),
    [((100, 5), (100, 30), "worse"), ((100, 30), (100, 5), "better"), ((100, 5), (100, 7), "steady"), ((20, 0), (100, 50), "unknown"),
     ((100, 0), (100, 0), "steady")],
)  # fmt: skip
def test_the_trend_is_told_only_when_chance_does_not_explain_it(before, after, trend):
    assert tell_trend(sum_weeks(receive((40, *before), (10, *after)), ON)) == trend


def test_a_weekday_on_which_a_sender_usually_sends_is_missed_when_nothing_came():
    fridays = [2 + 7 * k for k in range(1, 9)]  # 27 February 2026 was a Friday
    rhythm = expect_deliveries(days(*fridays), ON)
    assert rhythm.missing == (date(2026, 2, 27),)
    assert expect_deliveries(days(2, *fridays), ON).missing == ()
    assert expect_deliveries(days(*fridays[:5]), ON).missing == ()  # five of eight is no habit


def test_a_sender_is_overdue_by_its_own_interval_and_a_new_one_has_none_yet():
    every_four = [9 + 4 * k for k in range(12)]
    rhythm = expect_deliveries(days(*every_four), ON)
    assert (rhythm.since_last, rhythm.usual_interval, rhythm.is_overdue) == (9, 4.0, True)
    assert not expect_deliveries(days(*[n - 5 for n in every_four]), ON).is_overdue
    assert not expect_deliveries(days(20, 24), ON).is_overdue
    assert expect_deliveries(days(), ON).since_last is None


def test_exact_limits_enclose_the_share_and_hold_what_chance_would_do():
    funnel = Funnel(0.05, 0.0)
    for n in (50, 500, 5000):
        (low,), (high,) = limit_funnel(funnel, np.array([n]), "95")
        assert 0 <= low <= 0.05 <= high
        above, below = np.floor(high * n) + 1, np.ceil(low * n) - 1  # the first counts beyond the limits
        assert stats.binom.sf(above - 1, n, 0.05) < 0.025 <= stats.binom.sf(above - 2, n, 0.05)
        assert stats.binom.cdf(below, n, 0.05) < 0.025 <= stats.binom.cdf(below + 1, n, 0.05)
    (low95,), (high95,) = limit_funnel(funnel, np.array([500]), "95")
    (low99,), (high99,) = limit_funnel(funnel, np.array([500]), "99.8")
    assert low99 < low95 < high95 < high99
    assert high95 == pytest.approx(0.05 + 1.96 * np.sqrt(0.05 * 0.95 / 500), abs=0.003)
    assert [place_sender(Funnel(share, 0.0), x, 40) for share, x in ((0.0, 0), (1.0, 40))] == ["inside", "inside"]


def test_senders_who_differ_by_chance_alone_have_no_variance_between_them_and_others_have():
    rng = np.random.default_rng(7)
    n = rng.integers(200, 2000, 60)
    assert fit_funnel(rng.binomial(n, 0.05), n).tau2 == 0
    wide = fit_funnel(rng.binomial(n, np.clip(rng.normal(0.05, 0.03, 60), 0.001, 1)), n)
    assert 0.01 < np.sqrt(wide.tau2) < 0.045
    exact, widened = (limit_funnel(f, np.array([1000]), "95")[1][0] for f in (Funnel(wide.share, 0.0), wide))
    assert widened > exact


def test_one_refused_row_of_a_small_sender_is_no_more_than_chance_does():
    assert stats.binom.sf(0, 43, 0.004) > 0.15
    assert [place_sender(Funnel(0.004, 0.0), x, 43) for x in (0, 1, 2, 4)] == ["inside", "inside", "above", "far_above"]


def test_a_sender_is_placed_by_its_own_number_of_rows():
    funnel = Funnel(0.05, 0.0)
    assert [place_sender(funnel, x, n) for x, n in ((1, 10), (30, 400), (90, 400), (1, 400), (0, 0))] == [
        "inside", "above", "far_above", "below", "unknown",
    ]  # fmt: skip


def test_a_sender_id_cannot_leave_the_folder():
    assert name_page("M1") == "M1.html"
    for evil in ("../x", "a/b", ".", "index", "", "<b>"):
        assert len(name_page(evil)) == 21
        assert "/" not in name_page(evil)


def test_what_a_card_names_is_escaped():
    card: dict[str, Any] = {
        "sender_id": "<i>", "sender_name": "<script>x</script>", "since": "2026-01-05", "on": "2026-03-01", "files": 1, "rows": 2,
        "share": 0.5, "place": "inside", "delay_days": None, "open_count": 1, "held_count": 0, "returned_count": 0, "trend": "unknown", "weeks": [],
        "national_share": 0.1, "missing_days": [], "is_overdue": False, "births_without": 0,
        "signals": [], "findings": [{"code": "row_width_differs", "column": None, "rows": 1, "submission_id": "a" * 64,
                      "file_name": "<script>.csv", "lines": [2]}],
    }  # fmt: skip
    html = render_card(card, "")
    assert "<script" not in html
    assert "&lt;script&gt;.csv" in html


def test_the_night_writes_a_card_for_each_sender_and_the_stewards_overview(tmp_path):
    settings = settle(tmp_path / "home")
    send(settings, tmp_path, [{"birth": bear(n)} for n in range(2, 20, 2)] + [{"birth": bear(20, sex_code="blue")}])
    send(settings, tmp_path, [{"birth": bear(n)} for n in range(1, 9, 2)], "b")
    send(settings, tmp_path, [{"screening": examine(2, "tsh", 3.0)}], "c")
    send(settings, tmp_path, [{"birth": bear(n, sex_code="blue", sender_id="P1")} for n in range(30, 70)], "d")
    (tmp_path / "odd.csv").write_text("colour,taste\nred,sweet\n")
    flow.receive(settings, [tmp_path / "odd.csv"])
    take_in(settings, FIRST)
    assert write_report_cards(settings, FIRST) == {"senders": 4, "held": 1, "missing": 0}
    folder = settings.reports / "sender"
    card = json.loads((folder / "M1.json").read_text())
    assert (card["files"], card["rows"], card["refused"], card["open_count"]) == (1, 10, 1, 1)
    assert card["delay_days"] == (FIRST - BORN).days
    assert (card["births"], card["births_without"], card["signals"]) == (9, 8, ["births"])
    assert card["findings"][0] == {
        "code": "sex_code_unknown", "column": "sex_code", "rows": 1, "submission_id": card["findings"][0]["submission_id"],
        "file_name": card["findings"][0]["file_name"], "lines": [11],
    }  # fmt: skip
    assert json.loads((folder / "P1.json").read_text())["held_count"] == 1
    pages = {p.name: p.read_text("utf-8") for p in folder.glob("*.html")}
    assert set(pages) == {"index.html", "M1.html", "M2.html", "L1.html", "P1.html"}
    assert "M2" not in pages["M1.html"].replace("FAMILY", "")  # other senders are points without a name
    assert "<svg" in pages["M1.html"]
    assert "M2.html" in pages["index.html"]
    listed = {name: pages["index.html"].count(f'"{name}.html"') for name in ("L1", "M1", "P1")}
    assert listed == {"L1": 3, "M1": 6, "P1": 6}  # in three languages among all; before them whoever has a signal or a held file
    everything = "".join(pages.values()) + "".join(p.read_text() for p in folder.glob("*.json"))
    assert not [v for c in ("family_name", "given_name", "mother_iin", "phone", "source_id") for v in [bear(20)[c]] if v in everything]
    again = (folder / "M1.json").read_text()
    write_report_cards(settings, FIRST)
    assert (folder / "M1.json").read_text() == again
    (row,) = flow.list_held(settings)
    flow.decide_held(settings, row["submission_id"], "return", "the sex is a colour", "aigerim")
    write_report_cards(settings, FIRST)
    returned = json.loads((folder / "P1.json").read_text())
    assert (returned["held_count"], returned["returned_count"]) == (0, 1)


def read_delay(settings, sender, on):
    write_report_cards(settings, on)
    return json.loads((settings.reports / "sender" / f"{sender}.json").read_text())["delay_days"]


def test_a_sender_of_results_is_as_late_as_they_came_whenever_the_births_of_others_follow(tmp_path):
    settings = settle(tmp_path / "home")
    send(settings, tmp_path, [{"screening": examine(n, "motor", 2.0, 18)} for n in range(2, 8)])
    take_in(settings, FIRST)
    assert read_delay(settings, "L1", FIRST) == 2  # while they wait for their children
    later = FIRST + timedelta(days=20)
    send(settings, tmp_path, [{"birth": bear(n)} for n in range(2, 8, 2)], "births")
    take_in(settings, later)
    assert read_delay(settings, "L1", later) == 2  # three found their children, three still wait
    assert read_delay(settings, "M1", later) == (later - BORN).days


def test_a_record_corrected_later_is_as_late_as_it_first_came(tmp_path):
    settings = settle(tmp_path / "home")
    send(settings, tmp_path, [{"birth": bear(2)}, {"screening": examine(2, "motor", 2.0, 18)}])
    take_in(settings, FIRST)
    send(settings, tmp_path, [{"screening": examine(2, "motor", 1.9, 18, action_code="correct", issued_at="2026-03-20T08:00:00")}], "b")
    assert take_in(settings, FIRST + timedelta(days=20))["changed"] == 1
    assert read_delay(settings, "L1", FIRST + timedelta(days=20)) == 2


def test_a_whole_night_ends_with_the_cards(tmp_path):
    settings = settle(tmp_path / "home")
    send(settings, tmp_path, [{"birth": bear(2)}])
    assert flow.run_night(settings, FIRST, lambda _: None)["senders"]["senders"] == 1
    assert (settings.reports / "sender" / "M1.html").exists()
