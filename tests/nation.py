"""A nation small enough to draw: registers of two regions, and files as the canonical layouts read them."""

import atexit
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import polars as pl
from hypothesis import strategies as st

from pipelines import flow
from pipelines.contracts import LAKE
from pipelines.identity.iin import complete_iin
from pipelines.settings import Settings
from pipelines.store.lake import Connection, open_lake, read_rows, transact

FIRST = date(2026, 3, 2)
BORN = date(2026, 2, 10)
REGISTERS = {
    "facility": "facility_id,facility_name,facility_kind,kato4\n"
    "M1,Maternity 1,maternity,7510\nM2,Maternity 2,maternity,6110\nP1,Clinic 1,phc,7510\nP2,Clinic 2,phc,6110\n"
    "L1,Laboratory 1,laboratory,7510\nK1,PMPC 1,pmpc,7510\nK2,PMPC 2,pmpc,6110\n",
    "pmpc": "pmpc_id,pmpc_name,kato4\nK1,PMPC 1,7510\nK2,PMPC 2,6110\n",
    "catchment": "kato4,pmpc_id,valid_from,valid_to\n7510,K1,2020-01-01,\n6110,K2,2020-01-01,\n",
    "population": "kato2,year,sex_code,age_band,child_count,source\n"
    + "".join(
        f"{k},{y},{s},{a},{n},drawn\n"
        for k in ("75", "61") for y in (2025, 2026) for s in ("male", "female")
        for a, n in (("0", 900), ("1", 900), ("2", 900), ("0-17", 16_000))
    ),
}  # fmt: skip


OFTEN = st.sampled_from([True, False])
ANY_CASE = st.integers(0, 999).filter(bool)
"""Drawn beside a case that is lived in whole nights: turns down the simplest one, which Hypothesis always tries first."""


@cache
def _make_lake() -> Path:
    """An empty lake of which every table once held a row, as after some weeks.

    To make the tables takes ten times as long as to copy them; and DuckLake reads the statistics of all tables anew for each question
    about one that never held a row, which takes it 10 to 20 ms.
    """
    home = Path(tempfile.mkdtemp(prefix="erte-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    some = {"VARCHAR": "''", "DATE": "date '2000-01-01'", "TIMESTAMP": "timestamp '2000-01-01'", "BOOLEAN": "false"}
    with open_lake(Settings(home=home, secret="the tests"), is_new=True) as connection:
        with transact(connection):
            for table in LAKE:
                kinds = [kind for (kind,) in connection.execute(f"select column_type from (describe lake.{table})").fetchall()]
                connection.execute(f"insert into lake.{table} values ({', '.join(some.get(kind, '0') for kind in kinds)})")
        for table in LAKE:
            connection.execute(f"delete from lake.{table}")
    return home / "lake"


def settle(home: Path, **given) -> Settings:
    """Settings of a home with its registers installed, and a lake in which nothing is yet."""
    settings = Settings(home=home, secret="the tests", **given)
    if not settings.catalogue and not settings.lake.exists():
        shutil.copytree(_make_lake(), settings.lake)
    settings.reference.mkdir(parents=True, exist_ok=True)
    for name, text in REGISTERS.items():
        (settings.reference / f"{name}.csv").write_text(text)
    return settings


def copy_home(settings: Settings, home: Path) -> Settings:
    """A home like another, which a test may change: a night takes seconds, a copy of what it left takes none."""
    shutil.copytree(settings.home, home, symlinks=True)
    return settings.model_copy(update={"home": home})


def name_iin(number: int) -> str:
    """The number-th valid IIN."""
    found = (complete_iin(f"{(number * 131 + k) % 10**11:011}") for k in range(12))
    return next(iin for iin in found if iin)


def bear(number: int, **other) -> dict:
    """A birth; even children live in Almaty (K1), odd ones in Turkistan (K2)."""
    place = "75101" if number % 2 == 0 else "61101"
    return {
        "sender_id": f"M{number % 2 + 1}", "source_id": f"B{number}", "action_code": "report", "issued_at": "2026-02-11T08:00:00",
        "mother_iin": name_iin(number), "birth_on": str(BORN), "birth_order": "1", "sex_code": "male" if number % 3 else "female",
        "maternity_id": f"M{number % 2 + 1}", "history_no": f"H{number}", "plurality": "1", "birth_weight_g": "3200",
        "gestation_wk": "39", "residence_kato": f"{place}0000"[:9], "phc_id": f"P{number % 2 + 1}", "family_name": f"FAMILY{number}",
        "given_name": f"GIVEN{number}", "address": f"STREET {number}", "phone": f"+7700000{number:04}",
    } | other  # fmt: skip


def examine(number: int, component: str, answer: float | str, age: int = 2, **other) -> dict:
    """A result of a child named by mother and birth; a text is an answer, anything else a number."""
    programme = {"tsh": "blood_spot", "phe": "blood_spot", "mchat_r": "autism", "rop": "eyes", "motor": "development"}
    unit = {"tsh": "m[IU]/L", "phe": "mg/dL"}.get(component, "")
    day = BORN + timedelta(days=age)
    said = {"result_code": answer} if isinstance(answer, str) else {"value": str(answer), "unit": unit}
    return {
        "sender_id": "L1", "source_id": f"S{number}-{component}-{age}", "action_code": "report",
        "issued_at": f"{day + timedelta(days=1)}T08:00:00", "mother_iin": name_iin(number), "birth_on": str(BORN),
        "programme": programme.get(component, "hearing"), "component": component, "examined_on": str(day), "status_code": "final",
        "facility_id": "M1",
    } | said | other  # fmt: skip


def consent(number: int, decision: str = "given", day: date = BORN + timedelta(days=5), **other) -> dict:
    """A mother's decision about the referral."""
    return {
        "sender_id": f"P{number % 2 + 1}", "source_id": f"C{number}-{decision}-{day}", "action_code": "report",
        "issued_at": f"{day}T09:00:00", "mother_iin": name_iin(number), "birth_on": str(BORN), "purpose": "pmpc_referral",
        "decision": decision, "decided_on": str(day), "authority_code": "mother", "form_version": "1",
    } | other  # fmt: skip


def confirm(number: int, programme: str = "development", answer: str = "confirmed", **other) -> dict:
    """A health worker's answer to a proposed flag."""
    return {
        "sender_id": f"P{number % 2 + 1}", "source_id": f"W{number}-{programme}", "action_code": "report",
        "mother_iin": name_iin(number), "birth_on": str(BORN), "programme": programme, "confirmation": answer,
        "confirmed_on": str(BORN + timedelta(days=15)), "worker_id": "worker",
    } | other  # fmt: skip


def flagged(number: int) -> list[dict]:
    """Everything of a child who is to be referred: a birth, a low mean, a consent and a confirmation by kind."""
    return [
        {"birth": bear(number)}, {"screening": examine(number, "motor", 1.2, 14)}, {"consent": consent(number)},
        {"confirmation": confirm(number)},
    ]  # fmt: skip


def write_file(path: Path, rows: list[dict]) -> Path:
    """A file of the canonical layout of its rows' kind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows, infer_schema_length=None).write_csv(path)
    return path


def send(settings: Settings, folder: Path, records: list[dict], name: str = "a") -> list[str]:
    """Records ({kind: row}) written as one file a kind and received; the submission ids."""
    kinds: dict[str, list[dict]] = {}
    for record in records:
        for kind, row in record.items():
            kinds.setdefault(kind, []).append(row)
    return flow.receive(settings, [write_file(folder / f"{name}-{kind}.csv", rows) for kind, rows in kinds.items()])


def take_in(settings: Settings, on: date, run_id: str | None = None) -> dict:
    """Judge and commit, as by day: feeds are not composed."""
    for group in flow.list_arrivals(settings):
        flow.judge_group(settings, run_id or f"night-{on}", group, on)
    return flow.commit_run(settings, run_id or f"night-{on}", on)


def run(settings: Settings, on: date, run_id: str | None = None) -> dict:
    """Judge, commit and refer, without publishing."""
    return {**take_in(settings, on, run_id), **flow.refer(settings, on)}


_ASKED: dict[tuple[Path, int], tuple[ExitStack, Connection]] = {}


def open_to_ask(settings: Settings) -> Connection:
    """A connection to the lake that was asked last, which sees all that was committed since: to open it takes five times as long as to ask."""
    key = settings.lake.absolute(), (settings.lake / "catalogue.sqlite").stat().st_ino
    if key not in _ASKED:
        close_asked()
        stack = ExitStack()
        _ASKED[key] = stack, stack.enter_context(open_lake(settings))
    return _ASKED[key][1]


@atexit.register
def close_asked() -> None:
    """Let go of the lake that was asked last."""
    while _ASKED:
        _, (stack, _) = _ASKED.popitem()
        stack.close()


def ask(settings: Settings, query: str, *values) -> list[tuple]:
    """Rows of the lake."""
    if (settings.lake / "catalogue.sqlite").exists():
        return read_rows(open_to_ask(settings), query, list(values)).rows()
    with open_lake(settings) as connection:
        return read_rows(connection, query, list(values)).rows()


def ask_all(settings: Settings, queries: Mapping[str, str]) -> dict[str, list[str]]:
    """The answers to several questions, each as texts in order."""
    with open_lake(settings) as connection:
        return {name: sorted(map(str, read_rows(connection, query).rows())) for name, query in queries.items()}
