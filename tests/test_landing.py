"""Files on their way from landing, when two want them or one came twice."""

import shutil
from datetime import timedelta

import pytest

from pipelines import flow
from pipelines.errors import UserError
from pipelines.night import intake
from pipelines.night.verify import verify_store
from tests.nation import FIRST, ask, bear, flagged, send, settle, take_in, write_file


@pytest.fixture
def settings(tmp_path):
    return settle(tmp_path / "home")


def test_of_two_whole_nights_at_once_the_second_is_told_to_wait_and_the_first_goes_on(settings, tmp_path, monkeypatch):
    send(settings, tmp_path, flagged(2))
    told = []

    def begin_another():
        monkeypatch.setattr(intake, "prepare_run", lambda: None)
        with pytest.raises(UserError) as busy:
            flow.run_night(settings, FIRST, lambda _: None)
        told.append(busy.value.code)

    monkeypatch.setattr(intake, "prepare_run", begin_another)
    assert flow.run_night(settings, FIRST, lambda _: None)["intake"]["new"] == 4
    assert told == ["run_in_progress"]


def test_a_file_that_another_run_took_from_landing_is_left_to_it(settings, tmp_path):
    send(settings, tmp_path, [{"birth": bear(2)}])
    (group,) = flow.list_arrivals(settings)
    take_in(settings, FIRST)
    flow.judge_group(settings, "late", group, FIRST)
    assert flow.commit_run(settings, "late", FIRST)["files"] == 0


def test_the_same_bytes_under_two_names_leave_landing_in_one_night_and_both_are_kept(settings, tmp_path):
    path = write_file(tmp_path / "a.csv", [bear(2)])
    settings.landing.mkdir(parents=True)
    for name in ("monday.csv", "tuesday.csv"):
        shutil.copy(path, settings.landing / name)
    take_in(settings, FIRST)
    assert list(settings.landing.iterdir()) == []
    assert sorted(p.name.split("-", 1)[1] for p in settings.archive.rglob("*.csv")) == ["monday.csv", "tuesday.csv"]
    assert ask(settings, "select count(*) from lake.identified.birth") == [(1,)]
    take_in(settings, FIRST + timedelta(days=1))
    assert not [check for check in verify_store(settings, is_deep=True) if check.broken]


def test_an_archived_file_that_was_cut_short_is_told(settings, tmp_path):
    send(settings, tmp_path, [{"birth": bear(n)} for n in (2, 3)])
    take_in(settings, FIRST)
    (kept,) = settings.archive.rglob("*.csv")
    kept.write_text(kept.read_text().splitlines()[0] + "\n")
    assert "every file kept has the bytes that were received" in [c.promise for c in verify_store(settings, is_deep=True) if c.broken]
