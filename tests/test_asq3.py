"""A second instrument, ASQ-3: layouts, cut-offs by age, sums, suggested codes, and a night by its protocol."""

import os
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from pipelines import flow
from pipelines.intake import csv
from pipelines.intake.derive import suggest_code
from pipelines.intake.feedback import tell_finding
from pipelines.intake.layout import list_layouts, read_layout
from pipelines.intake.receive import judge_chunk, open_submission
from pipelines.night.ask import explain_child
from pipelines.risk.assess import SCREENING, assess_risk
from pipelines.risk.calendar import list_calendar
from pipelines.risk.cutoffs import read_cutoffs
from pipelines.risk.protocol import load_protocols
from pipelines.settings import PACKAGE
from tests.nation import BORN, FIRST, ask, bear, confirm, consent, name_iin, run, send, settle

SAMPLES = Path(os.environ.get("ERTE_SAMPLES", Path(__file__).parents[2] / "shared" / "samples"))
SAMPLE = SAMPLES / "tabular" / "asq3_part.csv"
PROTOCOLS = load_protocols(PACKAGE / "risk" / "asq-3")
DOMAINS = ("communication", "gross_motor", "fine_motor", "problem_solving", "personal_social")
KINDS = {"child_key": pl.Int64, "examined_on": pl.Date, "examined_at": pl.Datetime("us"), "value": pl.Float64,
         "is_transfused": pl.Boolean, "gestation_wk": pl.Int64, "record_key": pl.Int64}  # fmt: skip
SCHEMA = {name: KINDS.get(name, pl.String) for name in SCREENING}
BIRTH_ON = date(2024, 1, 1)


def answer(on: date, *totals: float | None, **rest) -> list[dict]:
    """One questionnaire: the totals of the five domains in their order."""
    return [
        {"child_key": 1, "programme": "development", "component": domain, "examined_on": on, "value": total,
         "status_code": "final", "record_key": number, **rest}
        for number, (domain, total) in enumerate(zip(DOMAINS, totals, strict=False))
    ]  # fmt: skip


def judge(rows: list[dict], gestation: int | None = 40) -> tuple[str | None, list[str]]:
    """The verdict, and the domains flagged."""
    birth = pl.DataFrame(
        {"child_key": [1], "birth_on": [BIRTH_ON], "birth_at": [None], "gestation_wk": [gestation]},
        schema={"child_key": pl.Int64, "birth_on": pl.Date, "birth_at": pl.Datetime("us"), "gestation_wk": pl.Int64},
    )
    assessed = assess_risk(pl.DataFrame(rows, schema=SCHEMA), birth, PROTOCOLS)
    return assessed.verdict["verdict"].item(), sorted(assessed.flag["disorder"])


def test_each_domain_is_judged_by_the_cut_off_of_its_own():
    at_18_months = date(2025, 7, 1)  # 13.06 37.38 34.32 25.74 27.19
    assert judge(answer(at_18_months, 15, 40, 35, 30, 30)) == ("clear", [])
    assert judge(answer(at_18_months, 10, 40, 35, 25, 30)) == ("risk", ["communication", "problem_solving"])
    assert judge(answer(at_18_months, 15, 40, 34.32, 30, 30)) == ("clear", [])  # not below


def test_weeks_told_with_the_answers_correct_the_age_where_the_birth_record_tells_none():
    on = date(2025, 7, 1)  # 18 months; born 8 weeks too early it is judged by 16 months: 16.81 37.91 31.98 30.51 26.43
    low = (15, 40, 35, 31, 30)
    assert judge(answer(on, *low), gestation=None) == ("clear", [])
    assert judge(answer(on, *low, gestation_wk=32), gestation=None) == ("risk", ["communication"])
    assert judge(answer(on, *low, gestation_wk=32), gestation=40) == ("clear", [])  # the birth record first


@pytest.mark.parametrize(
    ("on", "verdict"),
    [
        (date(2026, 2, 15), "risk"),  # 25 months 14 days: the 24 month questionnaire, gross motor 38.07
        (date(2026, 2, 16), "risk"),  # 25 months 15 days, its last day
        (date(2026, 2, 17), "clear"),  # 25 months 16 days: the 27 month one, 28.01
        (date(2026, 5, 16), "clear"),  # 28 months 15 days, its last day
        (date(2026, 5, 17), "risk"),  # 28 months 16 days: the 30 month one, 36.14
    ],
)
def test_a_questionnaire_begins_on_the_day_its_window_says(on, verdict):
    assert judge(answer(on, 60, 30, 60, 60, 60))[0] == verdict


@pytest.mark.parametrize(
    ("gestation", "on", "verdict"),
    [
        (40, date(2025, 5, 1), "risk"),  # 16 months: gross motor 37.91
        (32, date(2025, 5, 1), "clear"),  # corrected 14 months: 25.80
        (None, date(2025, 5, 1), "risk"),  # an unknown gestation is not corrected
        (37, date(2025, 4, 15), "clear"),  # 15 months; three weeks early is corrected to 14: 25.80
        (38, date(2025, 4, 15), "risk"),  # two weeks early is not: 37.91
        (32, date(2025, 12, 31), "clear"),  # the last day under 24 months is still corrected, to 22: 27.75
        (32, date(2026, 1, 1), "risk"),  # at 24 months no longer: 38.07
    ],
)
def test_the_age_of_a_preterm_child_is_corrected_until_24_months(gestation, on, verdict):
    assert judge(answer(on, 60, 30, 60, 60, 60), gestation)[0] == verdict


def test_at_an_age_without_a_cut_off_the_sender_s_answer_decides():
    at_4_months = date(2024, 5, 1)
    assert judge(answer(at_4_months, 60, 60, 60, 60, 60)) == (None, [])
    assert judge(answer(at_4_months, 60, 60, 60, 60, 60, result_code="in_range")) == ("clear", [])
    assert judge(answer(at_4_months, 60, 60, 60, 60, 60, result_code="borderline")) == ("repeat_due", [])
    at_18_months = date(2025, 7, 1)
    assert judge(answer(at_18_months, 15, 40, 35, 30, 30, result_code="out_of_range")) == ("clear", [])


def test_a_questionnaire_that_lacks_a_domain_is_not_silently_clear():
    assert judge(answer(date(2025, 7, 1), 60, 60, 60, 60)) == (None, [])
    assert judge(answer(date(2025, 7, 1), 60, 60, 60, 10)) == ("risk", ["problem_solving"])


def test_a_total_above_60_is_no_asq_total():
    assert judge(answer(date(2025, 7, 1), 61, 60, 60, 60, 60)) == (None, [])


def test_the_calendar_asks_at_9_18_and_30_months():
    birth = pl.DataFrame({"child_key": [1], "birth_on": [BIRTH_ON], "died_on": [None], "gestation_wk": [40]},
                         schema_overrides={"died_on": pl.Date})  # fmt: skip
    examined = pl.DataFrame(answer(date(2024, 10, 3), 60, 60, 60, 60, 60), schema=SCHEMA)
    verdict = pl.DataFrame(schema={"child_key": pl.Int64, "programme": pl.String, "verdict": pl.String,
                                   "decided_on": pl.Date, "repeat_due_on": pl.Date})  # fmt: skip
    due = list_calendar(birth, examined, verdict, PROTOCOLS, date(2025, 7, 1))
    assert due.select("step_code", "state").rows() == [("asq3_9_months", "done"), ("asq3_18_months", "due")]


@pytest.mark.parametrize(
    "change",
    [
        {"unit": "months"},
        {"ages": [{"from": [3, 0], "below": [2, 0], "bounds": [1.0]}]},
        {"ages": [{"from": [1, 0], "below": [3, 0], "bounds": [1.0, 2.0]}]},
        {"ages": [{"from": [1, 31], "below": [3, 0], "bounds": [1.0]}]},
        {"ages": [{"from": [1, 0], "below": [3, 0], "bounds": [1.0]}, {"from": [2, 16], "below": [4, 0], "bounds": [1.0]}]},
        {"components": ["a", "a"]},
        {"ages": []},
    ],
)
def test_a_table_of_cut_offs_with_anything_outside_the_closed_set_is_refused(change):
    table = {"source": "the tests", "components": ["a"], "ages": [{"from": [1, 0], "below": [3, 0], "bounds": [1.0]}]}
    assert read_cutoffs("good", table).ages[0].bounds == (1.0,)
    with pytest.raises(ValueError, match="cutoffs bad"):
        read_cutoffs("bad", table | change)


@pytest.mark.parametrize(
    ("line", "becomes"),
    [
        ('cutoffs = "asq3"', 'cutoffs = "unknown"'),
        ('cutoffs = "asq3"', 'cutoffs = "asq3"\nbound = 1.0'),
        ('operator = "<"\ncutoffs = "asq3"', 'operator = "<"'),
        ("is_window = true", "is_window = true\nonly_at_risk = true"),
    ],
)
def test_a_protocol_that_leans_on_what_is_not_there_is_refused(tmp_path, line, becomes):
    text = (PACKAGE / "risk" / "asq-3" / "2009-01-01.toml").read_text("utf-8")
    (tmp_path / "2009-01-01.toml").write_text(text.replace(line, becomes, 1), "utf-8")
    with pytest.raises(ValueError, match="asq3"):
        load_protocols(tmp_path)


# ------------------------------------------------------------------------------------------------ what a row says twice

TITLES = {"communication": "Қарым-қатынас", "gross_motor": "Ірі моторика", "fine_motor": "Ұсақ моторика",
          "problem_solving": "Мәселені шешу", "personal_social": "Жеке-әлеуметтік"}  # fmt: skip
LEAD = ["Жазба нөмірі", "Ұйым", "Әрекет", "Анасының ЖСН-і", "Туған күні", "Тегі", "Аты", "Қаралған күні", "Кабинет", "Диагноз"]
HEADER = ";".join([*LEAD, *(f"{t} {n}" for t in TITLES.values() for n in range(1, 7)), *TITLES.values()])


def fill(number: int, on: date, items: dict[str, str], totals: dict[str, str] | None = None, **lead: str) -> str:
    """A row of room-asq3: six items a domain, written with blanks between them; the total is their sum unless given."""
    first = {
        "Жазба нөмірі": f"Q{number}-{on}", "Ұйым": "P1", "Әрекет": "жаңа", "Анасының ЖСН-і": name_iin(number),
        "Туған күні": f"{BORN:%d.%m.%Y}", "Тегі": "Әбдіғаппарұлы", "Аты": "Қаһарман", "Қаралған күні": f"{on:%d.%m.%Y}",
        "Кабинет": "P1", "Диагноз": "",
    } | lead  # fmt: skip
    scores = [items.get(domain, "10 10 10 10 10 10").split(" ") for domain in TITLES]
    summed = [str(sum(int(s) for s in row if s.isdigit())) for row in scores]
    stated = [(totals or {}).get(domain, total) for domain, total in zip(TITLES, summed, strict=True)]
    return ";".join([*(first[h] for h in LEAD), *(s.replace("_", "") for row in scores for s in row), *stated])


def receive(path: Path, on: date = date(2026, 6, 1)):
    """The judged chunk of a small file."""
    opened = open_submission(path)
    return opened, judge_chunk(next(opened.chunks), opened.layout, "a" * 64, on)


def test_a_total_that_its_items_contradict_refuses_the_row_and_says_which(tmp_path):
    on = BORN + timedelta(days=70)
    rows = [
        fill(1, on, {"gross_motor": "10 5 10 5 0 10"}),
        fill(2, on, {"gross_motor": "10 5 10 5 0 10"}, {"gross_motor": "45", "communication": "50"}),
        fill(3, on, {"gross_motor": "10 5 _ 5 0 10"}, {"gross_motor": "36"}),  # one item left out: the total is a ratio
        fill(4, on, {}, {"fine_motor": "60,0"}),
    ]
    path = tmp_path / "asq.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n", "utf-8")
    _, judged = receive(path)
    assert judged.finding.filter(pl.col("row_no").is_not_null()).sort("row_no", "column").rows() == [
        (3, "Ірі моторика", "total_differs", "error"),
        (3, "Қарым-қатынас", "total_differs", "error"),
        (4, "Ірі моторика", "total_unproven", "warning"),
    ]
    assert judged.quarantine["row_no"].to_list() == [3]
    assert judged.received_count == 4
    assert judged.accepted.filter(pl.col("component") == "gross_motor")["value"].to_list() == [40.0, 36.0, 60.0]


def test_each_new_finding_tells_the_sender_what_to_do_in_three_languages():
    for code in ("total_differs", "total_unproven", "age_months_differs"):
        told = tell_finding(code, "Ірі моторика", {})
        assert len(set(told.values())) == 3
        assert all("Ірі моторика" in text for text in told.values())


def test_a_layout_of_sums_or_ages_of_columns_that_are_not_read_is_refused(tmp_path):
    text = (PACKAGE / "intake" / "layouts" / "asq3-cadi.toml").read_text("utf-8")
    for line, becomes in (
        ("comunicacion_total = [", "comunicacion_suma = ["),
        ('fecha_nacimiento = "birth_on"\n', ""),
        ('source_id = ["paciente_id"', 'source_no = ["paciente_id"'),
    ):
        (tmp_path / "asq3-cadi.toml").write_text(text.replace(line, becomes, 1), "utf-8")
        with pytest.raises(ValueError, match="asq3-cadi"):
            read_layout(tmp_path / "asq3-cadi.toml")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("hipotonia congenita - p942", "P94.2"),
        ("otros recien nacidos pretermino - p07.3", "P07.3"),
        ("ДЦП - Г80.0", None),  # a Cyrillic letter that has no Latin twin
        ("гипотиреоз - Е03,1", "E03.1"),  # Cyrillic E, comma
        ("Н90", "H90"),  # Cyrillic H
        ("F80.1*", "F80.1"),
        ("H91.90", "H91.9"),  # ICD-10-CM digits are dropped
        ("trastorno del desarrollo", None),  # words are never guessed into a code
        ("- p942", "P94.2"),
        ("ДЦП G80.1", "G80.1"),
        ("синдром Дауна q90", "Q90"),
        ("G80.1: спастическая диплегия.", "G80.1"),
        ("P07.3, hipotonia p942 en control", "P94.2"),  # of several the last
        ("F84.", "F84"),
        ("витамин B12, 12 мес, g800мг", None),
        ("programa a12", None),
        ("otras anormalidades de la marcha - r26.8", None),  # not among the categories we know
        ("examen de rutina - z00.1", None),  # a Z code is never a diagnosis
        ("", None),
        (None, None),
    ],
)
def test_a_code_is_suggested_wherever_it_is_written_out_in_a_text(text, code):
    assert pl.DataFrame({"text": [text]}, schema={"text": pl.String}).select(suggest_code(pl.col("text"))).item() == code


@pytest.mark.parametrize(
    ("items", "told"),
    [
        ("20 20 20 0 0 5", [("Ірі моторика", "total_outside_range"), *(("Ірі моторика " + n, "item_not_allowed") for n in "123")]),
        ("7 10 10 10 10 10", [("Ірі моторика 1", "item_not_allowed")]),
        ("-5 10 10 10 10 10", [("Ірі моторика", "total_differs"), ("Ірі моторика 1", "item_not_allowed")]),
        ("10 x 10 10 10 10", [("Ірі моторика", "total_unproven"), ("Ірі моторика 2", "item_not_allowed")]),
    ],
)
def test_an_item_is_0_5_or_10_and_a_total_at_most_60(tmp_path, items, told):
    path = tmp_path / "asq.csv"
    path.write_text("\n".join([HEADER, fill(1, BORN + timedelta(days=70), {"gross_motor": items})]) + "\n", "utf-8")
    _, judged = receive(path)
    assert judged.finding.select("column", "code").sort("column", "code").rows() == told
    assert len(judged.quarantine) == 1


# ------------------------------------------------------------------------------------------------ code pages

@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "kz1048"])
def test_kazakh_headers_and_names_read_right_in_utf_8_and_kz1048(tmp_path, encoding):
    path = tmp_path / "asq.csv"
    name = "ӘҒҚҢӨҰҮҺІ әғқңөұүһі"
    text = "\r\n".join([HEADER, fill(1, BORN + timedelta(days=70), {}, Тегі=name)]) + "\r\n"
    path.write_bytes(text.encode(encoding))
    opened, judged = receive(path)
    assert opened.layout.name == "room-asq3"
    assert judged.accepted["family_name"].unique().to_list() == [name]
    assert judged.accepted["given_name"].unique().to_list() == ["Қаһарман"]
    assert len(judged.accepted) == 5


@pytest.mark.parametrize(("declared", "read"), [('"kz1048", "cp1251"', "Қанат"), ('"cp1251", "kz1048"', "Ќанат")])
def test_of_two_code_pages_that_both_fit_the_first_one_the_layout_declares_is_taken(tmp_path, declared, read):
    """A Russian header is the same in both; another layout that declares cp1251 alone does not decide for this one."""
    text = """name = "{}"\nrecord = "screening"\nsource = "the tests"\nencodings = ["utf-8", {}]\nseparator = ";"\n[columns]
"Номер" = "source_id"\n"Отправитель" = "sender_id"\n"Дата" = "examined_on"\n"Имя" = "given_name"\n{}
[constants]\naction_code = "report"\nstatus_code = "final"\nprogramme = "development"\ncomponent = "motor"\n"""
    (tmp_path / "a-other.toml").write_text(text.format("a-other", '"cp1251"', '"Карта" = "card_no"'), "utf-8")
    (tmp_path / "own.toml").write_text(text.format("own", declared, '"ИИН" = "child_iin"'), "utf-8")
    path = tmp_path / "sent.csv"
    path.write_bytes("Номер;Отправитель;Дата;Имя;ИИН\n1;P1;2026-01-05;Қанат;250314500010\n".encode("kz1048"))
    opened = csv.read_header(path, layouts=list_layouts(tmp_path))
    assert opened.layout.name == "own"
    (chunk,) = csv.read_chunks(path, opened)
    assert chunk.rows["Имя"].to_list() == [read]


# ------------------------------------------------------------------------------------------------ the real evaluations


@pytest.mark.skipif(not SAMPLE.exists(), reason="the shared samples are not at hand")
def test_the_real_evaluations_yield_what_is_written_here():
    opened = open_submission(SAMPLE)
    chunks = [judge_chunk(chunk, opened.layout, "a" * 64, date(2026, 3, 1)) for chunk in opened.chunks]
    finding = pl.concat([chunk.finding for chunk in chunks])
    accepted = pl.concat([chunk.accepted for chunk in chunks])
    assert opened.layout.name == "asq3-cadi"
    assert opened.finding.is_empty()  # every one of the 60 columns is known
    assert sum(chunk.received_count for chunk in chunks) == 600
    assert accepted["row_no"].n_unique() == 572
    assert len(accepted) == 5 * 572
    assert sum(len(chunk.quarantine) for chunk in chunks) == 28
    counted = finding.select("row_no", "code", "severity").unique().group_by("severity", "code").len().sort("severity", "code")
    assert counted.rows() == [
        ("error", "birth_on_in_future", 1), ("error", "examined_on_before_birth", 1), ("error", "total_differs", 27),
        ("warning", "age_months_differs", 39), ("warning", "child_over_3", 153),
    ]  # fmt: skip
    assert finding.filter(pl.col("code") == "examined_on_before_birth")["row_no"].to_list() == [170]  # born in 2108
    assert accepted.unique("row_no").filter(pl.col("gestation_wk") < 40).height > 150  # weeks too early, told as gestation
    codes = accepted.unique("row_no")["suggested_icd10"].value_counts(sort=True).drop_nulls().sort(
        "count", "suggested_icd10", descending=True
    )  # fmt: skip
    assert codes.head(4).rows() == [("P94.2", 153), ("P07.3", 42), ("P94.1", 24), ("P07.2", 21)]
    assert len(codes) == 24
    assert "R26.8" not in codes["suggested_icd10"].to_list()

    child = pl.read_csv(SAMPLE, infer_schema=False).unique("paciente_id", keep="first", maintain_order=True)
    birth = child.select(
        pl.col("paciente_id").cast(pl.Int64).alias("child_key"), pl.col("fecha_nacimiento").str.to_date().alias("birth_on"),
        pl.lit(None, pl.Datetime("us")).alias("birth_at"), pl.lit(None, pl.Int64).alias("gestation_wk"),  # the rows tell it
    )  # fmt: skip
    results = accepted.with_columns(pl.col("history_no").cast(pl.Int64).alias("child_key")).with_row_index("record_key")
    assessed = assess_risk(results.with_columns(pl.col("record_key").cast(pl.Int64)), birth, PROTOCOLS)
    assert assessed.verdict.group_by("verdict").len().sort("verdict").rows() == [("clear", 157), ("risk", 198)]
    assert assessed.flag.group_by("disorder", "rule_code").len().sort("disorder", "rule_code").rows() == [
        ("communication", "asq3_below_cutoff", 101), ("fine_motor", "asq3_below_cutoff", 47),
        ("gross_motor", "asq3_below_cutoff", 63), ("personal_social", "asq3_below_cutoff", 67),
        ("problem_solving", "asq3_below_cutoff", 76), ("problem_solving", "asq3_coded_risk", 1),
    ]  # fmt: skip


@pytest.mark.skipif(not SAMPLE.exists(), reason="the shared samples are not at hand")
def test_the_cut_offs_of_the_protocol_are_those_that_the_real_rows_state():
    headers = ["comunicacion", "motora_gruesa", "motora_fina", "resolucion_problemas", "socio_individual"]
    stated = pl.read_csv(SAMPLE, infer_schema=False).select(pl.col(f"{h}_cutoff").cast(pl.Float64) for h in headers).unique()
    table = PROTOCOLS[0].programmes["development"].cutoffs["asq3"]
    assert sorted(stated.rows()) == sorted(age.bounds for age in table.ages)


# ------------------------------------------------------------------------------------------------ a whole night


def test_a_night_by_the_protocol_asq_3_flags_and_refers_by_its_cut_offs(tmp_path, monkeypatch):
    monkeypatch.setenv("ERTE_PROTOCOL", "asq-3")
    settings = settle(tmp_path / "home")
    assert settings.protocol == "asq-3"
    on, numbers = BORN + timedelta(days=40), (2, 4, 6)  # 1 month: the 2 month questionnaire, gross motor 41.84
    path = tmp_path / "asq.csv"
    lines = [
        fill(2, on, {"gross_motor": "10 5 10 5 0 10"}, Диагноз="гипотония - P94.2"),  # 40: below
        fill(4, on, {"gross_motor": "10 5 10 5 5 10"}),  # 45
        fill(6, on, {"gross_motor": "10 0 0 0 0 0"}, {"gross_motor": "60"}),  # neither flagged nor cleared
    ]
    path.write_bytes(("\n".join([HEADER, *lines]) + "\n").encode("kz1048"))
    flow.receive(settings, [path])
    records = [{"birth": bear(n)} for n in numbers] + [{"consent": consent(n)} for n in numbers]
    send(settings, tmp_path, [*records, {"confirmation": confirm(2, confirmed_on=str(on))}])
    run(settings, FIRST + timedelta(days=30))
    assert ask(settings, "select status, received_count, accepted_count, quarantined_count from lake.ledger.submission "
                         "where layout = 'room-asq3'") == [("partly_accepted", 3, 2, 1)]  # fmt: skip
    assert ask(settings, "select verdict, count(*) from lake.clinical.verdict group by all order by all") == [("clear", 1), ("risk", 1)]
    assert ask(settings, "select disorder, rule_code, protocol from lake.clinical.flag") == [
        ("gross_motor", "asq3_below_cutoff", "asq-3/2009-01-01")
    ]
    assert ask(settings, "select place from lake.clinical.placement where known_to is null") == [("referred",)]
    assert ask(settings, "select distinct suggested_icd10 from lake.clinical.screening order by all") == [("P94.2",), (None,)]
    (referred,) = (tmp_path / "home" / "outbox").glob("K1/*/referral.csv")
    assert "крупная моторика" in referred.read_text("utf-8-sig")
    ((flag,),) = ask(settings, "select flag_id from lake.clinical.flag")
    told = explain_child(settings, flag)
    assert {row["suggested_icd10"] for row in told["results"]} == {"P94.2"}
    assert "below the cut-off" in told["flags"][0]["why"]["en"]
