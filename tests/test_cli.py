"""The command line as a person and as a machine meet it: codes, ids, JSON that is JSON."""

import json
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from pipelines import cli, flow
from pipelines.cli.commands import app
from pipelines.store.lake import open_lake
from pipelines.store.warehouse import open_published
from tests.nation import FIRST, bear, run, send, settle, write_file


def say(monkeypatch, capsys, *words):
    """What `erte <words>` writes to stdout, and its exit code."""
    monkeypatch.setattr("sys.argv", ["erte", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return capsys.readouterr().out, ended.value.code or 0


@pytest.mark.parametrize("words", [("run", "--on", "2026-13-01"), ("explain",), ("nothing",), ("query", "select 1", "--nothing")])
def test_a_word_that_no_command_knows_is_an_error_with_a_code_and_json_where_that_was_asked_for(monkeypatch, capsys, words):
    out, code = say(monkeypatch, capsys, *words, "--json")
    assert (json.loads(out)["error"], code) == ("usage", 2)
    assert json.loads(out)["text"]


def test_json_has_the_same_exit_code_as_text(monkeypatch, capsys, tmp_path):
    settings = settle(tmp_path / "home")
    send(settings, tmp_path, [{"birth": bear(2)}])
    run(settings, FIRST)
    assert say(monkeypatch, capsys, "verify", "--home", settings.home, "--json")[1] == 0
    next(settings.archive.rglob("*.csv")).unlink()
    for words in ((), ("--json",)):
        assert say(monkeypatch, capsys, "verify", "--home", settings.home, *words)[1] == 1


def test_receiving_prints_the_id_of_each_submission(tmp_path):
    files = [write_file(tmp_path / f"{n}.csv", [bear(n)]) for n in (2, 3)]
    told = CliRunner().invoke(app, ["receive", *map(str, files), "--home", str(tmp_path / "home")])
    assert told.stdout.split() == [*flow.receive(settle(tmp_path / "other"), files), "received:", "2"]


def test_no_query_draws_a_progress_bar_before_the_json(tmp_path):
    settings = settle(tmp_path / "home")
    send(settings, tmp_path, [{"birth": bear(2)}])
    flow.run_night(settings, FIRST, lambda _: None)
    asked = "select current_setting('enable_progress_bar')"
    with open_lake(settings) as connection, open_published(settings) as published:
        assert [c.execute(asked).fetchone() for c in (connection, published)] == [(False,), (False,)]


def test_a_closed_night_that_has_no_feed_is_refused_before_anything_is_done_and_to_repeat_one_that_has_is_not(monkeypatch, capsys, tmp_path):
    settings = settle(tmp_path / "home")
    send(settings, tmp_path, [{"birth": bear(2)}])
    flow.run_night(settings, FIRST, lambda _: None)
    (landed,) = send(settings, tmp_path / "b", [{"birth": bear(4)}])
    before = FIRST - timedelta(days=9)
    for command in ("refer", "run"):
        out, code = say(monkeypatch, capsys, command, "--on", before, "--home", settings.home, "--json")
        assert (json.loads(out)["error"], code) == ("night_closed", 2)
        assert [p.name[:12] for p in settings.landing.glob("*.csv")] == [landed[:12]]
        out, code = say(monkeypatch, capsys, command, "--on", FIRST, "--home", settings.home, "--json")
        assert code == 0
        told = json.loads(out)
        assert (told if command == "refer" else told["referral"]).items() >= {"is_closed": 1, "sealed": 2, "feeds": 0}.items()
    assert say(monkeypatch, capsys, "verify", "--home", settings.home)[1] == 0
