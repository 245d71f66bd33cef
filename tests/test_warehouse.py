"""The published warehouse, as an epidemiologist opens it: one file, keys, comments, no way back to a child."""

import re
import shutil
import tomllib
from datetime import date, timedelta
from typing import NamedTuple

import duckdb
import polars as pl
import pytest

from pipelines import flow
from pipelines.contracts import LAKE, PROGRAMMES, PUBLISHED, describe_degree
from pipelines.errors import UserError
from pipelines.risk.protocol import load_protocols
from pipelines.settings import PACKAGE, PROJECT
from pipelines.store.ddl import write_published_ddl
from pipelines.store.lake import open_lake
from pipelines.store.warehouse import open_published
from tests.nation import (
    BORN,
    FIRST,
    ask,
    bear,
    confirm,
    consent,
    copy_home,
    examine,
    flagged,
    name_iin,
    run,
    send,
    settle,
    take_in,
)

DAY = timedelta(days=1)


class Told(NamedTuple):
    """What a night's release said: how many years of birth anew, one child's consent, and all of it as built upon another and from nothing."""

    years: int
    consent: str
    upon: tuple[dict, dict] | None = None
    from_nothing: tuple[dict, dict] | None = None


PERSONAL = {c for contract in LAKE.values() for c, degree in describe_degree(contract).items() if degree == "identified"}
WORKED = [
    """select r.name_en, i.birth_year, i.numerator, i.denominator, round(i.value, 2) as per_1000, round(i.ci_low, 2) as low,
        round(i.ci_high, 2) as high, round(c.value, 1) as hearing_coverage, c.denominator as hearing_due
    from indicator i
    join region r using (kato2)
    left join indicator c on c.indicator_id = 'coverage' and c.stratum = 'hearing' and (c.kato2, c.birth_year, c.sex_code)
        = (i.kato2, i.birth_year, i.sex_code)
    where (i.indicator_id, i.stratum, i.age_band, i.sex_code) = ('impairment', 'all', 'all', 'all') order by per_1000 desc""",
    """select kato2, birth_year, spine_births, declared_births, declaring_count, bureau_births, register_children, source
    from denominator order by all""",
    """select gestation_band, count(*) as children, count(*) filter (is_flagged) as flagged,
        round(1000 * count(*) filter (is_flagged) / count(*), 1) as per_1000
    from pathway where not is_dead group by gestation_band order by gestation_band""",
    """select place, place_reason, count(*) as children, median(consent_delay_days) as days_to_decision
    from pathway where is_flagged group by place, place_reason order by children desc""",
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A nation of 9 children after two nights, published on both."""
    folder = tmp_path_factory.mktemp("warehouse")
    settings = settle(folder / "home")
    send(settings, folder, [*flagged(2), *flagged(3), *[{"birth": bear(n)} for n in range(4, 10)],
                            {"screening": examine(4, "motor", 1.2, 14)}, {"screening": examine(5, "motor", 2.9, 14)},
                            {"screening": examine(6, "tsh", 3.0)}, {"screening": examine(6, "phe", 1.0)},
                            *({"screening": examine(6, ear, "pass")} for ear in ("hearing_left", "hearing_right")),
                            {"screening": examine(7, "motor", 1.2, 14)}, {"consent": consent(7, "refused")},
                            {"birth": bear(10, died_on=str(BORN))}])  # fmt: skip
    run(settings, FIRST)
    flow.publish(settings, FIRST)
    report = {"sender_id": "K1", "source_id": "X1", "action_code": "report", "report_status": "7.0", "reported_on": str(FIRST),
              "category_codes": "physical speech", "is_severe": "true"}  # fmt: skip
    ids = dict(ask(settings, "select pmpc_id, referral_id from lake.clinical.referral"))
    send(settings, folder, [{"pmpc_report": {**report, "referral_id": ids["K1"]}}], "b")
    run(settings, FIRST + timedelta(days=1))
    flow.publish(settings, FIRST + timedelta(days=1))
    return settings


@pytest.fixture(scope="module")
def two_years(tmp_path_factory):
    """A home after a night of two children of two years, published."""
    folder = tmp_path_factory.mktemp("years")
    settings = settle(folder / "home")
    send(settings, folder, [record for n, year in enumerate((2025, 2026), 2) for record in of_year(year, n)])
    take_in(settings, FIRST)
    flow.publish(settings, FIRST)
    return settings


@pytest.fixture(scope="module")
def apart(tmp_path_factory):
    """Children of four years of birth, each year with something of its own to count; K2 was closed, and the Bureau has told its births."""
    folder = tmp_path_factory.mktemp("apart")
    settings = settle(folder / "home")
    register = settings.reference / "population.csv"
    register.write_text(register.read_text() + "75,2026,male,births,20,Bureau\n75,2026,female,births,18,Bureau\n75,2027,male,0,19,drawn\n")
    register = settings.reference / "catchment.csv"
    register.write_text(register.read_text().replace("6110,K2,2020-01-01,", "6110,K2,2020-01-01,2025-12-30"))
    form = folder / "annex-7.csv"
    form.write_text("Организация;Отчетный период;Всего новорожденных;Охвачено скринингом абс.\nM1;01.01.2026;30;29\nM1;01.02.2026;10;9\n"
                    "M2;01.02.2026;5;5\nM2;01.02.2019;7;7\n", "utf-8")  # fmt: skip
    flow.receive(settings, [form])
    born = {year: {"birth_on": f"{year}-02-10", "issued_at": f"{year}-02-11T08:00:00"} for year in (2022, 2023, 2024, 2025)}
    told = [(2, "oae_left", "pass", 2), (3, "oae_left", "not_done", 2), (4, "tsh", "declined", 2), (5, "tsh", 3.0, 2),
            (5, "oae_left", "not_done", 1), (5, "oae_left", "refer", 2)]  # fmt: skip
    at_risk = [{"birth_weight_g": "1999"}, {"gestation_wk": "33"}, {"is_complicated": "true"}]
    others = [{"birth_weight_g": "2000"}, {"gestation_wk": "34"}, {"birth_weight_g": "", "gestation_wk": "", "is_complicated": ""}]
    send(settings, folder, [
        *({"birth": bear(n, **born[2025])} for n in range(2, 6)),
        *({"screening": examine(n, what, said, **of_day(born[2025], age))} for n, what, said, age in told),
        *({"birth": bear(n, **({"is_complicated": "false"} | born[2024] | other))} for n, other in enumerate([*at_risk, *others], 12)),
        {"screening": examine(12, "rop", "pass", **of_day(born[2024], 25))},
        *of_year(2023, 22), *of_year(2023, 23),
        *({"birth": bear(n, residence_kato=kato, **born[2023])} for n, kato in ((24, ""), (25, "511010000"), (26, ""))),
        {"birth": bear(32)}, {"birth": bear(34, residence_kato="")},
        *({"birth": bear(n, **born[2022])} for n in (42, 44)),
        *({"screening": examine(n, what, said, age, **of_day(born[2022], age))} for n, what, said, age in (
            (42, "tsh", 30.0, 2), (42, "tsh", 3.0, 12), (44, "tsh", "unsatisfactory", 2), (44, "tsh", 3.0, 13),
            (42, "oae_left", "refer", 1100), (44, "oae_left", "refer", 1096), (44, "motor", 1.2, 1095), (44, "mchat_r", 9, 1100))),
    ])  # fmt: skip
    take_in(settings, FIRST)
    flow.publish(settings, date(2026, 6, 1))
    return settings


@pytest.fixture
def published_apart(apart):
    with open_published(apart) as connection:
        yield connection


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """What was told of coverage, of consents and of a repeat sample on some days after the one night that brought anything: two flagged
    children, one examined by ear, and of the other, whose blood was to be taken again, nothing was said about consent."""
    folder = tmp_path_factory.mktemp("calm")
    settings = settle(folder / "home", kept_releases=20)
    send(settings, folder, [*flagged(2), {"birth": bear(4)}, {"screening": examine(4, "motor", 1.2, 14)},
                            *({"screening": examine(2, ear, "pass")} for ear in ("hearing_left", "hearing_right")),
                            {"screening": examine(4, "tsh", 30.0, 14)}])  # fmt: skip
    take_in(settings, FIRST)
    told = {}
    for on in (FIRST, *(date(2026, *day) for day in ((3, 3), (3, 19), (3, 20), (3, 31), (4, 1), (4, 30), (5, 1)))):
        flow.publish(settings, on)
        with open_published(settings) as published:
            told[on] = {
                name: ask_published(published, f"""
                    select stratum, numerator, denominator from indicator
                    where indicator_id = '{name}' and kato2 = 'KZ' and sex_code = 'all' order by all""")
                for name in ("coverage", "consent_delay", "recall")
            }  # fmt: skip
    return told


@pytest.fixture
def published(home):
    with open_published(home) as connection:
        yield connection


def ask_published(connection, query):
    return connection.execute(query).fetchall()


def test_a_pathway_is_one_row_a_child_from_birth_to_conclusion(published):
    row = ask_published(published, """
        select kato2, birth_month::varchar, development, consent, place, is_referred, is_seen, is_concluded, impairment, is_severe
        from pathway where is_concluded""")  # fmt: skip
    assert row == [("75", "2026-02-01", "risk", "given", "closed", True, True, True, "complex", True)]
    assert ask_published(published, "select count(*), count(*) filter (is_flagged) from pathway") == [(9, 4)]


def test_an_impairment_is_counted_by_category_within_an_age_band_and_hidden_where_small(published):
    query = """
        select kato2, stratum, age_band, numerator, denominator from {}
        where indicator_id = 'impairment' and sex_code = 'all' and stratum in ('all', 'speech') and kato2 in ('75', 'KZ') order by all"""
    told = ask_published(published, query.format("indicator"))
    counted = {"75": 5, "KZ": 9}  # one of them died, and is of no age
    assert told == [(k, s, band, 1, n - (band != "all")) for k, n in counted.items() for s in ("all", "speech") for band in ("all", "under 1")]
    left = ask_published(published, query.format("published.indicator"))
    assert [row for row in left if row[0] == "75" and row[3]] == []
    assert [row for row in left if row[0] == "KZ"] == told[4:]


def test_consents_are_counted_by_decision_and_silence_is_pending(published):
    told = ask_published(published, """
        select stratum, numerator, denominator from indicator
        where indicator_id = 'consent' and kato2 = 'KZ' and sex_code = 'all' order by stratum""")  # fmt: skip
    assert told == [("given", 2, 4), ("pending", 1, 4), ("refused", 1, 4), ("withdrawn", 0, 4)]


def test_eligible_is_excluded_plus_denominator_and_the_dead_are_excluded_from_coverage(published):
    told = ask_published(published, """
        select eligible, excluded, denominator, numerator from indicator
        where indicator_id = 'coverage' and stratum = 'hearing' and kato2 = 'KZ' and sex_code = 'all'""")  # fmt: skip
    assert told == [(9, 1, 8, 1)]  # of the blood spot none is due before 20 March
    assert ask_published(published, "select count(*) from indicator where eligible <> excluded + denominator") == [(0,)]


def test_a_child_of_whom_only_a_test_not_done_or_declined_or_a_part_of_one_is_told_was_not_screened(published_apart):
    counted = ask_published(published_apart, """
        select indicator_id, stratum, numerator, denominator from indicator
        where indicator_id in ('coverage', 'refer_rate', 'timeliness', 'flagged') and stratum in ('hearing', 'blood_spot')
            and kato2 = 'KZ' and sex_code = 'all' and birth_year = 2025 order by all""")  # fmt: skip
    verdicts = ask_published(published_apart, """
        select hearing, blood_spot, count(*) from pathway where birth_year = 2025 group by all order by all""")  # fmt: skip
    screened = ask_published(published_apart, """
        select sum(screened_count)::bigint from facility_month where role = 'phc' and year(month) = 2025""")  # fmt: skip
    assert counted == [("coverage", "blood_spot", 0, 4), ("coverage", "hearing", 1, 4), ("flagged", "blood_spot", 0, 1),
                       ("flagged", "hearing", 0, 2), ("refer_rate", "blood_spot", 0, 0), ("refer_rate", "hearing", 1, 1),
                       ("timeliness", "blood_spot", 1, 1), ("timeliness", "hearing", 2, 2)]  # fmt: skip
    assert verdicts == [("not_examined", None, 1), ("repeat_due", "undecided", 1), ("undecided", None, 1), (None, "not_examined", 1)]
    assert screened == [(2,)]


def test_a_child_flagged_or_examined_in_two_programmes_is_one_child_of_all(published_apart, answered_again):
    examined = ask_published(published_apart, """
        select stratum, numerator, denominator from indicator
        where indicator_id = 'flagged' and kato2 = 'KZ' and sex_code = 'all' and birth_year = 2025 order by all""")  # fmt: skip
    flags = ask_published(answered_again, """
        select stratum, numerator from indicator where (indicator_id, kato2, sex_code) = ('flagged', 'KZ', 'all') order by all""")  # fmt: skip
    assert examined == [("all", 0, 2), ("blood_spot", 0, 1), ("hearing", 0, 2)]
    assert flags == [("all", 12), ("blood_spot", 3), ("development", 11)]  # of one the low mean was corrected, and two have both flags


def test_the_risk_group_is_counted_over_children_examined_while_they_were_under_3(published_apart):
    told = ask_published(published_apart, """
        select stratum, numerator, denominator from indicator
        where indicator_id = 'flagged' and kato2 = 'KZ' and sex_code = 'all' and birth_year = 2022 order by all""")  # fmt: skip
    examined = ask_published(published_apart, """
        select hearing, autism, examined_programmes, flag_programmes from pathway where birth_year = 2022 order by all""")  # fmt: skip
    assert told == [("all", 1, 2), ("blood_spot", 0, 2), ("development", 1, 1)]  # one was examined on the eve of the third birthday, and then on it
    assert examined == [("risk", "risk", "blood_spot development", "development"), ("risk", None, "blood_spot", "")]


def test_a_repeat_sample_is_in_time_within_ten_days_of_the_one_that_asked_for_it_and_overdue_when_a_month_begins(published_apart, calm):
    told = ask_published(published_apart, """
        select stratum, numerator, denominator from indicator
        where indicator_id = 'recall' and kato2 = 'KZ' and sex_code = 'all' and birth_year = 2022""")  # fmt: skip
    assert told == [("blood_spot", 1, 2)]  # on the tenth day, and on the eleventh after a specimen that was unusable
    days = (FIRST, date(2026, 3, 19), date(2026, 3, 31), date(2026, 4, 1))
    assert [calm[on]["recall"] for on in days] == [[("blood_spot", 0, n)] for n in (0, 0, 0, 1)]  # until 6 March it was due


def test_the_eyes_of_the_children_are_counted_whom_the_protocol_calls_at_risk(published_apart):
    assert ask_published(published_apart, """
        select numerator, denominator from indicator
        where indicator_id = 'coverage' and stratum = 'eyes' and kato2 = 'KZ' and sex_code = 'all' and birth_year = 2024""") == [(1, 3)]  # fmt: skip


def test_every_programme_says_from_which_age_its_coverage_counts():
    described = tomllib.loads((PROJECT / "warehouse" / "programmes.toml").read_text("utf-8"))
    assert set(described) == set(PROGRAMMES)
    assert {name for name in PROGRAMMES if f"is_{name}_in_window" in PUBLISHED["pathway"].column_names()} == {
        name for name, programme in described.items() if programme.get("has_window")
    }


def test_a_programme_is_due_when_the_window_of_its_first_examination_has_closed_and_not_a_month_later():
    described = tomllib.loads((PROJECT / "warehouse" / "programmes.toml").read_text("utf-8"))
    days = {"hours": 1 / 24, "days": 1, "months": 30.4}
    closed: dict[str, float] = {}
    for step in load_protocols(PACKAGE / "risk" / "order-704")[-1].steps:
        if step.is_window and step.unit in days:
            closed[step.programme] = max(closed.get(step.programme, 0), step.end * days[step.unit])
    for name in set(described) - {"autism"}:  # its window is open for 15 months
        due = described[name].get("due_days") or described[name]["due_months"] * 30.5
        assert closed[name] <= due < closed[name] + 34, name


def test_coverage_counts_a_month_of_births_from_the_day_the_youngest_of_it_is_due_also_on_quiet_nights(calm):
    told = [[row[:2] for row in calm[on]["coverage"]] for on in (FIRST, date(2026, 3, 3), date(2026, 3, 19), date(2026, 3, 20))]
    spotless = [("hearing", 1), ("phenotype", 0)]  # February ends on the 28th
    assert told == [[], [("hearing", 1)], spotless, [("blood_spot", 1), *spotless]]


def test_an_indicator_is_read_beside_its_definition(published):
    told = ask_published(published, """
        select indicator_id, title, numerator, denominator, counted, counted_over from indicator natural join indicator_definition
        where (indicator_id, kato2, sex_code, stratum, age_band) = ('impairment', 'KZ', 'all', 'all', 'all')""")  # fmt: skip
    assert [(row[:4], len(row[4]) > 10, len(row[5]) > 10) for row in told] == [
        (("impairment", "Impairment confirmed by a PMPC, per 1,000 children", 1, 9), True, True)
    ]


def test_regions_sum_to_the_nation(published):
    assert ask_published(published, """
        select count(*) from (
            select indicator_id, birth_year, sex_code, stratum, sum(denominator) filter (kato2 = 'KZ') as nation,
                sum(denominator) filter (kato2 <> 'KZ') as regions
            from indicator group by all) where nation <> regions""") == [(0,)]  # fmt: skip


def test_the_nation_counts_children_of_no_known_region_and_says_how_many_they_are(published_apart):
    told = {
        table: ask_published(published_apart, f"""
            select kato2, denominator from {table}
            where (indicator_id, stratum, age_band, sex_code, birth_year) = ('impairment', 'all', 'all', 'all', 2023)
                and kato2 in ('61', '75', 'unknown', 'KZ')
            order by kato2""")
        for table in ("indicator", "published.indicator")
    }  # fmt: skip
    unplaced = ask_published(published_apart, """
        select kato2, unplaced_births from denominator where birth_year = 2023 and unplaced_births > 0 order by all""")  # fmt: skip
    assert told["indicator"] == [("61", 1), ("75", 1), ("KZ", 5), ("unknown", 3)]
    assert unplaced == [("KZ", 1), ("unknown", 1)]  # of South Kazakhstan, as it was: of two it says nothing of where they live
    assert told["published.indicator"] == [("61", None), ("75", None), ("KZ", 5), ("unknown", None)]


def test_births_of_the_spine_of_the_returns_and_of_the_bureau_stand_side_by_side(published_apart):
    told = ask_published(published_apart, """
        select kato2, birth_year, spine_births, declared_births, declaring_count, bureau_births, register_children, source
        from denominator where kato2 in ('61', '75', 'unknown', 'KZ') and birth_year = 2026 order by kato2""")  # fmt: skip
    years = ask_published(published_apart, """
        select kato2, birth_year, declared_births from denominator where kato2 = 'KZ' and declared_births is not null order by all""")  # fmt: skip
    assert told == [("61", 2026, 0, 5, 1, None, None, None), ("75", 2026, 1, 40, 1, 38, 19, "Bureau, drawn"),
                    ("KZ", 2026, 2, 45, 2, None, None, "Bureau, drawn"), ("unknown", 2026, 1, None, 0, None, None, None)]  # fmt: skip
    assert years == [("KZ", 2019, 7), ("KZ", 2026, 45)]  # of a register no sum of some of the regions


def test_pmpcs_are_held_against_the_norm_of_the_law_or_the_norm_that_is_set(apart, tmp_path):
    told = {}
    other = copy_home(apart, tmp_path / "home").model_copy(update={"children_per_pmpc": 16_000})
    flow.publish(other, date(2026, 6, 2))
    for settings in (apart, other):
        with open_published(settings) as published:
            told[settings.children_per_pmpc] = ask_published(published, """
                select kato2, year, pmpc_count, child_count, norm, round(pmpc_per_norm, 3), pmpc_needed, source
                from published.pmpc_network where year = 2026 order by kato2""")  # fmt: skip
    assert told[60_000] == [("61", 2026, 0, 32_000, 60_000, 0.0, 1, "drawn"), ("75", 2026, 1, 32_000, 60_000, 1.875, 1, "drawn"),
                            ("KZ", 2026, 1, 64_000, 60_000, 0.938, 2, "drawn")]  # fmt: skip
    assert [row[4:7] for row in told[16_000]] == [(16_000, 0.0, 2), (16_000, 0.5, 2), (16_000, 0.25, 4)]


def test_children_are_counted_by_maternity_organisation_and_by_primary_care_organisation(published):
    told = ask_published(published, """
        select role, facility_id, facility_kind, birth_count, flagged_count, screened_count from facility_month order by all""")  # fmt: skip
    assert told == [("maternity", "M1", "maternity", 5, 2, 3), ("maternity", "M2", "maternity", 4, 2, 3),
                    ("phc", "P1", "phc", 5, 2, 3), ("phc", "P2", "phc", 4, 2, 3)]  # fmt: skip
    assert ask_published(published, "select sum(birth_count) from facility_month where role = 'maternity'") == ask_published(
        published, "select count(*) from pathway"
    )


def test_regions_are_told_as_before_when_a_night_brings_too_few_children(published):
    told = ask_published(published, """
        select kato2, numerator, told_on::varchar, national_numerator from published.indicator
        where (indicator_id, stratum, age_band, sex_code) = ('impairment', 'complex', 'all', 'all') order by kato2""")  # fmt: skip
    assert len(told) == 22  # every region and the unknown one, whether a child of it is known or not
    assert [row for row in told if row[0] in ("61", "75", "KZ")] == [
        ("61", 0, str(FIRST), 0), ("75", 0, str(FIRST), 0), ("KZ", 1, str(FIRST + timedelta(days=1)), 1)
    ]  # fmt: skip


@pytest.mark.parametrize("query", WORKED)
def test_the_worked_queries_of_the_readme_answer(published, query):
    assert ask_published(published, query)


def test_every_table_and_column_is_described_and_has_a_key(published):
    silent = ask_published(published, "select table_name, column_name from duckdb_columns() where comment is null and not internal")
    tables = {t for t, in ask_published(published, "select table_name from duckdb_tables()")}
    keyed = {t for t, in ask_published(published, "select table_name from duckdb_constraints() where constraint_type = 'PRIMARY KEY'")}
    assert [row for row in silent if row[0] != "release"] == []
    assert tables == keyed


def test_the_parquet_files_hold_the_rows_of_the_tables_and_say_what_their_columns_mean(home, published):
    folder = home.published / "parquet"
    told = pl.read_parquet(folder / "data_dictionary.parquet").rows()
    assert told == ask_published(published, """
        select schema_name, table_name, column_name, data_type, comment from duckdb_columns() where not internal order by all""")  # fmt: skip
    born = published.execute("select * exclude (age_months) from pathway order by pathway_no").pl()
    assert pl.read_parquet(folder / "pathway_*.parquet").sort("pathway_no").equals(born)
    for path in folder.glob("*.parquet"):
        if path.stem != "data_dictionary":
            table = path.stem.replace("published_", "published.")
            held = published.execute(f"from {table if '.' in table else 'main.' + table}").pl()
            assert pl.read_parquet(path).sort(held.columns).equals(held.sort(held.columns)), table


def test_children_lie_in_the_file_by_a_secret_order_and_not_as_they_were_born_or_came(home, published):
    years = [year for year, in ask_published(published, "select table_name from duckdb_tables() where table_name like 'pathway_%'")]
    assert years
    for year in years:
        numbers = [no for no, in ask_published(published, f"select pathway_no from {year} order by rowid")]
        assert numbers == sorted(numbers) == pl.read_parquet(home.published / "parquet" / f"{year}.parquet")["pathway_no"].to_list()


def read_promised(published, table):
    """A table as promised: of the view of all pathways the columns of a year's table."""
    columns = ", ".join(f'"{name}"' for name in PUBLISHED[table].column_names())
    return published.execute(f"select {columns} from {table}").pl()


@pytest.mark.parametrize("table", PUBLISHED)
def test_a_published_table_is_as_its_contract_promises(published, table):
    held = read_promised(published, table)
    PUBLISHED[table].validate(held)
    assert len(held)
    assert set(describe_degree(PUBLISHED[table]).values()) == {"published"}


def test_the_file_holds_no_table_and_no_column_without_a_contract(published):
    told = ask_published(published, "select schema_name, table_name, column_name from duckdb_columns() where not internal")
    promised = {(table, column) for table, contract in PUBLISHED.items() for column in contract.column_names()}
    promised |= {("pathway", "age_months")}
    found = {(("" if s == "main" else f"{s}.") + re.sub(r"^pathway_\d{4}$", "pathway", t), c) for s, t, c in told}
    assert found == promised


def test_a_release_that_breaks_a_promise_is_refused_by_the_file_itself():
    good = "('M1', 'maternity', date '2026-02-01', null, null, 3, 1, 2)"
    other = good.replace("M1", "M2")
    with duckdb.connect() as connection:
        for statement in write_published_ddl("facility_month", PUBLISHED["facility_month"]):
            connection.execute(statement)
        connection.execute(f"insert into facility_month values {good}")
        for bad in (good, good.replace("'M1'", "null"), good.replace("maternity", "school"), good.replace("02-01", "02-02"),
                    other.replace("3, 1, 2", "3, 4, 2"), other.replace("3, 1, 2", "3, -1, 2")):  # fmt: skip
            with pytest.raises(duckdb.ConstraintException):
                connection.execute(f"insert into facility_month values {bad}")


def test_a_consent_is_late_after_30_days_and_silence_is_late_and_a_decision_due_when_a_month_begins_also_on_quiet_nights(calm):
    told = [calm[on]["consent_delay"] for on in (FIRST, date(2026, 3, 31), date(2026, 4, 1), date(2026, 4, 30), date(2026, 5, 1))]
    quiet = [("all", 0, 0), ("given", 0, 0), ("pending", 0, 0)]  # flagged on 24 February, they had no time to be late before a month began
    late = [("all", 1, 2), ("given", 0, 1), ("pending", 1, 1)]
    assert told == [quiet, quiet, late, late, late]


def answer(settings, number, status, **other):
    """A PMPC's report of the first referral of the child of a mother's history number."""
    told = ask(settings, """
        select r.pmpc_id, r.referral_id from lake.clinical.referral r join lake.identified.birth b using (child_key)
        where r.item_kind = 'referral' and b.known_to is null and b.source_id = ?""", f"B{number}")  # fmt: skip
    ((pmpc_id, referral_id),) = told
    return {"pmpc_report": {"sender_id": pmpc_id, "source_id": f"X{number}-{status}-{other}", "action_code": "report", "report_status": status,
                            "reported_on": str(FIRST + DAY), "category_codes": "", "is_severe": "", "referral_id": referral_id} | other}  # fmt: skip


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """Twelve children were referred; of all but one something was heard on the next night, of three what the PMPC concluded."""
    folder = tmp_path_factory.mktemp("answered")
    settings = settle(folder / "home", kept_releases=20)
    send(settings, folder, [record for n in (*range(2, 11), 11, 12, 14) for record in flagged(n)])
    run(settings, FIRST)
    later = {"issued_at": f"{FIRST + DAY}T08:00:00"}
    send(settings, folder, [
        *(answer(settings, n, status) for n, status in ((3, "4.0"), (6, "6.0"), (7, "5.1.4"), (8, "5.1.2"), (10, "5.1.4"))),
        answer(settings, 2, "5.1.2", reported_on=str(FIRST)), answer(settings, 2, "5.1.1"),  # nobody came, and there is a new appointment
        *({"consent": consent(n, "withdrawn", FIRST + DAY)} for n in (4, 10)),
        {"screening": examine(5, "motor", 2.9, 14, **later)},
        {"birth": bear(9, died_on=str(FIRST), **later)},
        answer(settings, 11, "7.0", category_codes="physical", is_severe="true", reported_on=str(FIRST)),
        answer(settings, 11, "7.0", category_codes="speech"),
        answer(settings, 12, "7.0", category_codes="physical", is_severe="false"),
        answer(settings, 14, "7.0", category_codes="speech", is_severe="true"),
    ], "b")  # fmt: skip
    run(settings, FIRST + DAY)
    return settings


@pytest.fixture(scope="module")
def answered_again(answered, tmp_path_factory):
    """Weeks later: one consents again, others are flagged for another reason, of whom one is confirmed, sent again, and nothing is found."""
    folder = tmp_path_factory.mktemp("again")
    settings = copy_home(answered, folder / "home")
    anew = FIRST + 40 * DAY
    send(settings, folder, [{"consent": consent(4, "given", anew)},
                            *({"screening": examine(n, "tsh", 30.0, age)} for n in (5, 12, 14) for age in (40, 45)),
                            {"confirmation": confirm(14, "blood_spot", confirmed_on=str(anew))}], "c")  # fmt: skip
    run(settings, anew)
    ((second,),) = ask(settings, """
        select r.referral_id from lake.clinical.referral r join lake.identified.birth b using (child_key)
        where r.episode_no = 2 and b.known_to is null and b.source_id = 'B14'""")  # fmt: skip
    later = {"referral_id": second, "category_codes": "none", "is_severe": "false", "reported_on": str(anew)}
    report = {"sender_id": "K1", "source_id": "X14b", "action_code": "report", "report_status": "7.0"} | later
    send(settings, folder, [{"pmpc_report": report}], "d")
    take_in(settings, anew + DAY)
    flow.publish(settings, FIRST + 70 * DAY)
    with open_published(settings) as published:
        yield published


def test_a_child_who_declined_or_was_recalled_or_died_is_neither_lost_nor_awaited(answered, tmp_path):
    settings = copy_home(answered, tmp_path / "home")
    told, rows = [], None
    for on in (FIRST + DAY, FIRST + 60 * DAY, FIRST + 61 * DAY):
        flow.publish(settings, on)
        with open_published(settings) as published:
            told.append(ask_published(published, """
                select indicator_id, numerator, denominator, excluded from indicator
                where indicator_id in ('seen', 'lost_to_follow_up') and kato2 = 'KZ' and sex_code = 'all' order by all"""))  # fmt: skip
            rows = ask_published(published, """
                select place_reason, is_seen, is_awaited, is_unattended, is_overdue, count(*) from pathway where is_referred
                group by all order by all""")  # fmt: skip
    seen = ("seen", 5, 7, 5)  # 7, and 10 who withdrew when it was seen, and 11, 12 and 14; 2 and 8 are awaited
    early = [("lost_to_follow_up", 0, 0, 12), ("seen", 0, 0, 12)]  # of no child could a visit be missing yet
    assert told == [early, early, [("lost_to_follow_up", 2, 7, 5), seen]]
    assert rows == [
        ("awaiting_pmpc", False, True, False, True, 1), ("awaiting_pmpc", False, True, True, True, 1),
        ("awaiting_pmpc", True, False, False, False, 1), ("child_died", False, False, False, False, 1), ("concluded", True, False, False, False, 3),
        ("consent_withdrawn", False, False, False, False, 1), ("consent_withdrawn", True, False, False, False, 1),
        ("declined_by_pmpc", False, False, False, False, 2), (None, False, False, False, False, 1),
    ]  # fmt: skip


def test_a_child_referred_again_is_awaited_from_the_new_referral_and_sent_when_the_flag_it_has_now_was(answered_again):
    again = ask_published(answered_again, """
        select is_awaited, is_overdue, referred_delay_days from pathway where place = 'referred' and not is_concluded order by all""")  # fmt: skip
    corrected = ask_published(answered_again, """
        select is_referred, referred_delay_days, place_reason from pathway where flag_programmes = 'blood_spot'""")  # fmt: skip
    assert again == [(False, False, 6), (True, False, 6), (True, True, 6), (True, True, 6)]  # the second is the one sent again
    assert corrected == [(True, None, "confirmation_pending")]


def ask_one(published, number, column="category_codes, impairment, is_severe"):
    """Of the concluded child of a history number its pathway, and what its flags were worth: of its region and sex it is the only one."""
    kato2, sex = bear(number)["residence_kato"][:2], bear(number)["sex_code"]
    return ask_published(published, f"select {column} from pathway where is_concluded and (kato2, sex_code) = ('{kato2}', '{sex}')"), ask_published(
        published, f"""
        select stratum, numerator, denominator from indicator
        where (indicator_id, kato2, sex_code) = ('ppv', '{kato2}', '{sex}') order by all""")  # fmt: skip


def test_of_two_conclusions_the_later_one_is_told_as_a_whole(answered_again):
    assert ask_one(answered_again, 11)[0] == [("speech", "mental", None)]


def test_a_flag_raised_after_a_conclusion_is_worth_nothing_by_it(answered_again):
    assert ask_one(answered_again, 12, "flag_programmes") == ([("blood_spot development",)], [("all", 1, 1), ("development", 1, 1)])


def test_an_impairment_confirmed_once_stays_confirmed_when_a_later_referral_finds_none_and_each_flag_is_worth_what_its_own_finds(answered_again):
    assert ask_one(answered_again, 14) == ([("speech", "mental", True)], [("all", 1, 1), ("blood_spot", 0, 1), ("development", 1, 1)])


@pytest.fixture(scope="module")
def decided(tmp_path_factory):
    """Nine flagged children of whose parents each decided otherwise, or not at all; published two months after."""
    folder = tmp_path_factory.mktemp("decided")
    settings = settle(folder / "home", kept_releases=20)
    on, last = FIRST + 63 * DAY, FIRST + 60 * DAY
    soon = BORN + 16 * DAY  # two days after the examination that raised the flag
    said = [
        consent(2), consent(3, day=soon), consent(4, day=soon),
        consent(5, day=soon, authority_code="guardian", authority_document=""),
        consent(6, day=soon, valid_until=str(FIRST - DAY)),
        consent(9, day=soon, valid_until=str(FIRST)), consent(11, day=soon, authority_code="guardian", authority_document=""),
    ]  # fmt: skip
    born = [record for n in (*range(2, 10), 11) for record in flagged(n) if "consent" not in record and (n != 11 or "confirmation" not in record)]
    send(settings, folder, [*born, *({"consent": row} for row in said), {"confirmation": confirm(11, answer="rejected")}])
    run(settings, FIRST)
    later = [consent(3, day=last), consent(4, "withdrawn", last), consent(8, "refused", BORN + 50 * DAY)]
    send(settings, folder, [{"consent": row} for row in later], "b")
    run(settings, on)
    flow.publish(settings, on)
    return settings


def test_a_consent_is_given_when_the_gate_says_so_and_its_delay_ends_with_the_first_decision(decided):
    with open_published(decided) as published:
        told = ask_published(published, """
            select consent, place_reason, consent_delay_days, is_consent_late, is_referred, count(*) from pathway
            group by all order by all""")  # fmt: skip
    assert told == [
        ("given", "awaiting_pmpc", 0, False, True, 1),  # decided before the examination
        ("given", "awaiting_pmpc", 2, False, True, 2),  # one was given again, one expired when the child had been sent
        ("pending", "authority_unproven", 2, False, False, 1),
        ("pending", "consent_expired", 2, False, False, 1),
        ("pending", "consent_pending", None, True, False, 1),
        ("pending", "rejected_by_worker", 2, False, False, 1),  # its authority is unproven, too
        ("refused", "consent_refused", 36, True, False, 1),
        ("withdrawn", "consent_withdrawn", 2, False, True, 1),
    ]


def test_no_facility_fails_to_send_a_child_whom_it_may_not_send_and_nobody_waits_for_what_was_rejected(decided):
    with open_published(decided) as published:
        told = ask_published(published, """
            select indicator_id, stratum, numerator, denominator from indicator
            where indicator_id in ('consent', 'consent_delay', 'referred') and kato2 = 'KZ' and sex_code = 'all' order by all""")  # fmt: skip
    assert told == [
        ("consent", "given", 3, 8), ("consent", "pending", 3, 8), ("consent", "refused", 1, 8), ("consent", "withdrawn", 1, 8),
        ("consent_delay", "all", 2, 8), ("consent_delay", "given", 0, 3), ("consent_delay", "pending", 1, 3),
        ("consent_delay", "refused", 1, 1), ("consent_delay", "withdrawn", 0, 1), ("referred", "all", 3, 3),
    ]  # fmt: skip


def test_no_personal_column_and_no_personal_value_reaches_the_file_or_the_parquet(home, published):
    columns = {c for c, in ask_published(published, "select column_name from duckdb_columns() where not internal")}
    assert not columns & (PERSONAL | {"child_key", "birth_on", "record_key", "submission_id"})
    secrets = [s.encode() for n in range(2, 10) for s in (name_iin(n), f"FAMILY{n}", f"STREET {n}")]
    files = [p for p in home.published.rglob("*") if p.is_file()]
    assert len(files) > 5
    assert not [p.name for p in files for s in secrets if s in p.read_bytes()]


def test_a_query_reads_the_published_file_and_nothing_else_of_the_machine(home, published):
    for query in ("select * from read_csv('/etc/passwd')", "attach 'other.duckdb'", "copy pathway to 'leak.csv'",
                  "set enable_external_access = true", "delete from pathway"):  # fmt: skip
        with pytest.raises(duckdb.Error):
            published.execute(query)


def test_the_nation_leaves_as_it_is_and_small_regional_counts_are_hidden(published):
    told = ask_published(published, """
        select kato2, numerator, is_hidden from published.indicator
        where indicator_id = 'flagged' and stratum = 'development' and sex_code = 'all' order by kato2""")  # fmt: skip
    assert ("KZ", 4, False) in told
    assert [(numerator, hidden) for kato2, numerator, hidden in told if kato2 in ("61", "75")] == [(None, True)] * 2


def test_a_release_is_swapped_under_readers_and_the_last_ones_are_kept(home, tmp_path):
    settings = copy_home(home, tmp_path / "home").model_copy(update={"kept_releases": 2})
    assert sorted(p.name for p in settings.published.glob("erte-*.duckdb")) == ["erte-2026-03-02.duckdb", "erte-2026-03-03.duckdb"]
    with duckdb.connect(str(settings.published / "erte.duckdb"), read_only=True) as reader:
        flow.publish(settings, FIRST + 2 * DAY)
        assert reader.execute("select known_on from release").fetchone() == (FIRST + DAY,)
    assert sorted(p.name for p in settings.published.glob("erte-*.duckdb")) == ["erte-2026-03-03.duckdb", "erte-2026-03-04.duckdb"]
    with open_published(settings) as published:
        assert ask_published(published, "select known_on from release") == [(FIRST + 2 * DAY,)]
    with open_published(settings, FIRST + DAY) as published:
        assert ask_published(published, "select known_on from release") == [(FIRST + DAY,)]
    with pytest.raises(UserError, match="one of 2026-03-03, 2026-03-04") as told:
        open_published(settings, FIRST)
    assert told.value.code == "release_missing"
    assert len(list((settings.published / "parquet").glob("*.parquet"))) == 11


def test_an_older_day_told_again_is_kept_beside_the_newest_that_readers_are_given(home, tmp_path):
    settings = copy_home(home, tmp_path / "home")
    older = settings.published / f"erte-{FIRST}.duckdb"
    older.unlink()
    flow.publish(settings, FIRST)
    with open_published(settings) as published:
        assert ask_published(published, "select known_on from release") == [(FIRST + DAY,)]
    assert (settings.published / "parquet").readlink().name == f"parquet-{FIRST + DAY}"
    assert older.exists()


def read_release(settings):
    """Every table of the newest release, its rows in order."""
    with duckdb.connect(str(settings.published / "erte.duckdb"), read_only=True) as release:
        names = release.execute("""
            select schema_name, table_name from duckdb_tables() where schema_name <> 'published' -- told with regard to earlier releases
            union all values ('main', 'pathway')""").fetchall()
        return {f"{s}.{t}": release.execute(f"from {s}.{t} order by all").fetchall() for s, t in names}


def forget_releases(settings):
    for path in [*settings.published.glob("erte-*.duckdb"), *settings.published.glob("parquet-*")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def of_year(year, number):
    """Birth, low mean, consent and confirmation of a child born on 10 February of a year."""
    born, day = f"{year}-02-10", f"{year}-02-24"
    return [
        {"birth": bear(number, birth_on=born, issued_at=f"{year}-02-11T08:00:00")},
        {"screening": examine(number, "motor", 1.2, birth_on=born, examined_on=day, issued_at=f"{day}T08:00:00")},
        {"consent": consent(number, birth_on=born, decided_on=day, issued_at=f"{day}T09:00:00")},
        {"confirmation": confirm(number, birth_on=born, confirmed_on=day)},
    ]


def of_day(born, age):
    """A result of a child of another day of birth, examined at an age in days."""
    day = date.fromisoformat(born["birth_on"]) + age * DAY
    return {"birth_on": born["birth_on"], "examined_on": str(day), "issued_at": f"{day + DAY}T08:00:00"}


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """Of releases built upon one another: years told anew, what is said of one child's consent, all that is told, and told from nothing."""
    folder = tmp_path_factory.mktemp("nights")
    settings = settle(folder / "home", kept_releases=20)
    later = {"issued_at": "2026-03-01T08:00:00"}
    arrivals = {
        0: [record for n, year in ((3, 2020), (4, 2021), (5, 2022), (6, 2023), (8, 2025)) for record in of_year(year, n)]
        + [{"birth": bear(20)}, *(record for record in flagged(10) if record.keys() <= {"birth", "screening"}),
           {"consent": consent(10, valid_until=str(FIRST + DAY))}],
        1: [],
        2: [],
        20: [{"birth": bear(3, birth_on="2020-02-10", birth_weight_g="1400", **later)},  # a correction of an old year
             {"birth": bear(5, birth_on="2021-12-31", **later)}, {"birth": bear(6, birth_on="2023-02-10", action_code="cancel", **later)},
             {"birth": bear(30)}, {"screening": examine(30, "motor", 2.9, 14)}],
        70: [{"consent": consent(20, "refused")}],  # the feeds of the first night have turned overdue
        400: [{"birth": bear(40, birth_on="2027-04-01", issued_at="2027-04-02T08:00:00")}],
    }  # fmt: skip
    told = {}
    for night, records in arrivals.items():
        on = FIRST + timedelta(days=night)
        if records:
            send(settings, folder, records, f"n{night}")
            (run if night in {0, 20} else take_in)(settings, on)  # only then is anybody to be sent, or taken back
        anew = flow.publish(settings, on)["birth_years_told"]
        with open_published(settings) as published:
            ((said,),) = ask_published(published, "select consent from pathway where is_flagged and birth_year = 2026")
        told[night] = Told(anew, said, *(read_both(settings, on) if night else ()))
    return told


def read_both(settings, on):
    """The newest release and its Parquet files, and the same built from nothing; the releases are left as they were."""
    built, parquet = read_release(settings), settings.published / f"parquet-{on}"
    releases = {path: path.read_bytes() for path in settings.published.glob("erte-*.duckdb")}
    files = read_files(parquet)
    forget_releases(settings)
    assert flow.publish(settings, on)["birth_years_told"] == len(list(parquet.glob("pathway_*.parquet")))
    both = (built, files), (read_release(settings), read_files(parquet))
    for path, content in releases.items():
        path.write_bytes(content)
    return both


def read_files(parquet):
    frames = {path.name: pl.read_parquet(path) for path in parquet.glob("*.parquet") if not path.name.startswith("published")}
    return {name: frame.sort(frame.columns) for name, frame in frames.items()}


def test_nights_built_upon_one_another_publish_what_one_build_from_nothing_does(nights):
    for told in nights.values():
        if told.upon:
            (tables, files), (tables_anew, files_anew) = told.upon, told.from_nothing
            assert tables == tables_anew
            assert files.keys() == files_anew.keys()
            assert [name for name, frame in files.items() if not frame.equals(files_anew[name])] == []
    # 2: the day alone, of one consent; 20: 2020, 2021 and 2026 are told anew, 2022 and 2023 have no child any more
    assert {night: told.years for night, told in nights.items()} == {0: 6, 1: 0, 2: 1, 20: 3, 70: 2, 400: 1}


def test_a_consent_that_expires_by_the_day_alone_is_told_so_also_by_a_release_built_upon_another(nights):
    assert [(nights[night].years, nights[night].consent) for night in (1, 2)] == [(0, "given"), (1, "pending")]
    assert nights[0].consent == "given"
    assert nights[2].upon[0] == nights[2].from_nothing[0]


def test_a_release_made_by_other_registers_or_not_closed_is_not_built_upon(two_years, tmp_path):
    settings = copy_home(two_years, tmp_path / "home")
    nights = [FIRST + timedelta(days=n) for n in range(1, 4)]
    register = settings.reference / "facility.csv"
    register.write_text(register.read_text() + "M9,Maternity 9,maternity,7510\n")
    assert [flow.publish(settings, on)["birth_years_told"] for on in nights[:2]] == [2, 0]
    assert flow.publish(settings, nights[0])["birth_years_told"] == 2  # an older day owes nothing to any file
    with open_lake(settings) as connection:
        connection.execute("delete from lake.ledger.event where kind = 'publish' and subject = ?", [str(nights[1])])
    assert flow.publish(settings, nights[2])["birth_years_told"] == 2


def test_a_release_does_not_grow_by_being_built_upon(two_years, tmp_path):
    settings = copy_home(two_years, tmp_path / "home")
    size = settings.published.joinpath("erte.duckdb").stat().st_size
    for night in (1, 2):
        send(settings, tmp_path, [{"birth": bear(40 + night)}], f"n{night}")
        take_in(settings, FIRST + timedelta(days=night))
        assert flow.publish(settings, FIRST + timedelta(days=night))["birth_years_told"] == 1
    assert settings.published.joinpath("erte.duckdb").stat().st_size <= 1.3 * size


def test_asking_before_anything_is_published_says_what_to_do(tmp_path):
    with pytest.raises(UserError) as told:
        open_published(settle(tmp_path / "home"))
    assert told.value.code == "warehouse_missing"
