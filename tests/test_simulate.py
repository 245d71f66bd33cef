"""The synthetic nation: as senders write it, the same from the same seed, and dirty exactly where the truth says."""

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from pipelines import flow
from pipelines.intake.receive import judge_chunk, open_submission
from pipelines.intake.refusal import FileRefusedError
from pipelines.simulate.answer import answer_feeds
from pipelines.simulate.cases import write_cases
from pipelines.simulate.nation import simulate_nation
from pipelines.simulate.people import read_rates, write_registers
from pipelines.simulate.year import write_national_year
from pipelines.store.registers import install_registers
from tests.nation import ask, run, settle

END = date(2026, 3, 1)


@pytest.fixture(scope="module")
def nation(tmp_path_factory):
    out = tmp_path_factory.mktemp("nation")
    done = simulate_nation(3_000, 6, 7, out, END, 3, lambda _: None)
    return out, done


@pytest.fixture(scope="module")
def told(nation):
    return read_all(nation[0] / "landing")


@pytest.fixture(scope="module")
def large_truth(tmp_path_factory):
    """The truth of a nation large enough to have of everything."""
    out = tmp_path_factory.mktemp("large")
    simulate_nation(20_000, 6, 7, out, END, 3, lambda _: None)
    return out / "truth"


def read_all(folder: Path):
    """(file, row_no, code) of every refusal, rows received, and the codes of files refused whole."""
    refused, rows, files = [], 0, {}
    for night in sorted(folder.iterdir()):
        for path in sorted(night.iterdir()):
            try:
                opened = open_submission(path)
                for chunk in opened.chunks:
                    judged = judge_chunk(chunk, opened.layout, "0" * 64, date.fromisoformat(night.name))
                    rows += judged.received_count
                    errors = judged.finding.filter(pl.col("severity") == "error")
                    refused += [(f"{night.name}/{path.name}", no, code) for no, code in errors.select("row_no", "code").iter_rows()]
            except FileRefusedError as error:
                files[f"{night.name}/{path.name}"] = error.code
    return refused, rows, files


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for out in (one, other):
        simulate_nation(600, 6, 7, out, END, 3, lambda _: None)
    files = sorted(p.relative_to(one) for p in (one / "landing").rglob("*") if p.is_file())
    assert files
    assert files == sorted(p.relative_to(other) for p in (other / "landing").rglob("*") if p.is_file())
    assert [f for f in files if (one / f).read_bytes() != (other / f).read_bytes()] == []


def test_every_file_is_read_by_its_layout_and_only_the_rows_that_were_made_dirty_are_refused_each_for_its_own_reason(nation, told):
    out, done = nation
    refused, rows, _ = told
    dirty = pl.read_parquet(out / "truth" / "dirty.parquet")
    troubles = pl.read_parquet(out / "truth" / "file.parquet").filter(pl.col("kind") != "late")["file"].to_list()
    found = {(name, no, code) for name, no, code in refused if name not in troubles}
    must = dirty.filter(pl.col("code").is_not_null())
    assert found == set(must.select("file", "row_no", "code").iter_rows())
    assert len(must) == done.dirty_rows
    assert rows > 9_000


def test_every_kind_of_dirt_is_written_somewhere_at_the_rate_of_the_nation(large_truth):
    dirty = pl.read_parquet(large_truth / "dirty.parquet")
    assert set(dirty["kind"]) == set(read_rates()["dirt"]["rows"])
    births = dirty.filter(pl.col("file").str.contains("birth"), pl.col("kind") == "check_digit")
    assert 8 <= len(births) <= 36  # 25,000 births at 0.0008


def test_whole_files_that_go_wrong_are_refused_for_their_own_reason_and_harmless_ones_are_read(nation, told):
    out, _ = nation
    refused, _, files = told
    troubles = pl.read_parquet(out / "truth" / "file.parquet")
    assert set(troubles["kind"]) == {"empty", "binary", "encoding", "header", "again", "overlap", "cut-off", "late"}
    assert files == dict(troubles.filter(pl.col("code").is_not_null()).select("file", "code").iter_rows())
    by_kind = dict(troubles.select("kind", "file").iter_rows())
    assert [code for name, _, code in refused if name == by_kind["overlap"]] == []
    assert [code for name, _, code in refused if name == by_kind["cut-off"]] == ["message_header_malformed"]


def test_the_cases_of_a_demonstration_end_as_their_truth_says(tmp_path):
    nights = [END - timedelta(days=n) for n in (2, 1, 0)]
    (tmp_path / "truth").mkdir()
    home = settle(tmp_path / "home")
    write_cases(tmp_path / "landing", tmp_path / "truth", nights, 7)
    write_registers(tmp_path / "reference", END.year)
    install_registers(home, tmp_path / "reference")
    for night in nights:
        flow.receive(home, [folder for folder in [tmp_path / "landing" / f"{night}"] if folder.exists()])
        run(home, night)
    truth = pl.read_parquet(tmp_path / "truth" / "case.parquet")
    told = ask(home, """
        select b.source_id, (select any_value(verdict) from lake.clinical.verdict v where v.child_key = b.child_key and v.known_to is null),
            (select any_value(place) from lake.clinical.placement p where p.child_key = b.child_key and p.known_to is null),
            (select any_value(reason) from lake.clinical.placement p where p.child_key = b.child_key and p.known_to is null),
            (select count(*) from lake.clinical.referral r where r.child_key = b.child_key and item_kind = 'recall')
        from lake.identified.birth b where b.known_to is null""")  # fmt: skip
    assert sorted(told) == sorted(truth.select("source_id", "verdict", "place", "reason", "recalls").rows())
    assert ask(home, "select count(*) from lake.identified.waiting where known_to is null") == [(0,)]
    assert ask(home, "select count(*) from lake.identified.iin where known_to is null") == [(1,)]


def test_births_follow_the_statistics(nation):
    child = pl.read_parquet(nation[0] / "truth" / "child.parquet")
    assert abs((child["sex_code"] == "male").mean() - 0.515) < 0.03
    assert 0.012 < (child["plurality"] > 1).mean() < 0.032
    assert child["kato2"].n_unique() == 20
    assert child["own_iin"].is_unique().all()
    assert (child["child_iin"].is_null()).mean() > 0.9


def test_every_programme_has_children_who_should_be_flagged_in_a_large_enough_nation(large_truth):
    expected = pl.read_parquet(large_truth / "flag_expected.parquet")
    assert {"development", "autism", "eyes", "hearing", "blood_spot"} >= set(expected["programme"]) >= {"development", "autism", "eyes", "hearing"}


def test_the_registers_of_a_nation_are_valid(nation, tmp_path):
    counts = install_registers(settle(tmp_path / "home"), nation[0] / "reference")
    assert 100 <= counts["pmpc"] <= 120


def test_a_national_year_is_written_in_canonical_files_that_are_accepted_whole(tmp_path):
    write_national_year(tmp_path, 500, 3, 2025)
    counts = {}
    for path in sorted((tmp_path / "landing").iterdir()):
        opened = open_submission(path)
        judged = [judge_chunk(c, opened.layout, "0" * 64, date(2026, 2, 1)) for c in opened.chunks]
        assert sum(len(j.quarantine) for j in judged) == 0, path.name
        counts[path.name.split("-")[0]] = sum(j.received_count for j in judged)
    assert counts["birth"] == 500
    assert counts["screening"] > 5_000


def test_a_pmpc_answers_the_same_when_asked_again_and_of_the_same_child_in_another_home(tmp_path):
    for home, first in (("one", 0), ("other", 100)):
        folder = tmp_path / home / "K1" / "000001"
        folder.mkdir(parents=True)
        lines = [f"referral,R{first + n:024x},CHILD {n},2026-01-02,speech" for n in range(40)]
        (folder / "referral.csv").write_text("\n".join(["item_kind,referral_id,full_name,birth_on,diagnosis", *lines]), "utf-8-sig")
        (folder / "manifest.json").write_text(f'{{"composed_on": "{END}"}}')
    assert answer_feeds(tmp_path / "one", date(2026, 2, 1), 7, tmp_path / "early") == 0
    for home, name in (("one", "a"), ("one", "b"), ("other", "c")):
        assert answer_feeds(tmp_path / home, END, 7, tmp_path / name) == 40
    one, again, other = (next((tmp_path / name).iterdir()) for name in ("a", "b", "c"))
    assert one.read_bytes() == again.read_bytes()
    said = [pl.read_csv(path, infer_schema=False)["report_status"].to_list() for path in (one, other)]
    assert said[0] == said[1]
    assert {"7.0", "3.0"} <= set(said[0])
