"""What a facility has to do, one CSV a facility, written anew every night: flags that are withheld or aged out.

A list is a document to the facility that has the child in its care: it is entitled to know the child, as the PMPC that gets
a feed is. So a list identifies (degree 1, like a feed): folders 0700, files 0600, and no log or page repeats its lines. A
child is named by what its facility can look up: the line of the newest file of its own that is about the child, and the
birth's maternity, history number, date, sex and order, as the spine has them. No name, IIN, address or telephone is in it.
"""

import hashlib
import os
import re
import shutil
from datetime import date
from pathlib import Path

import polars as pl

from pipelines.intake.repair import neutralise
from pipelines.settings import Settings
from pipelines.store.lake import Connection, read_rows

_SENT_TEXT = ("maternity_id", "history_no", "own_file", "own_source_id")
_NO_FACILITY = "no-facility"


def write_worklists(connection: Connection, settings: Settings, on: date) -> int:
    """Flags that are withheld or aged out, with the reason and since when, under reports/worklist; how many."""
    connection.execute("""
        create or replace temp table listed as
        select p.owner_id, p.place, p.reason, p.known_from as since, f.flag_id, f.programme, f.disorder, f.examined_on, p.child_key
        from lake.clinical.placement p
        join lake.clinical.flag f on f.flag_id = p.flag_id and f.known_to is null
        where p.known_to is null and p.place in ('withheld', 'aged_out')""")
    told = _name_children(connection, on, "place, reason, since, flag_id, programme, disorder, examined_on", "since, flag_id")
    write_lists(settings.reports / "worklist", told)
    return len(told)


def write_lists(folder: Path, told: pl.DataFrame) -> None:
    """One CSV an owner (`owner_id`) in a folder that is put in the place of the earlier one."""
    draft = folder.with_name(f".{folder.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True, mode=0o700)
    for (owner,), part in told.partition_by("owner_id", as_dict=True, maintain_order=True).items():
        with os.fdopen(os.open(draft / name_list(owner), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            part.drop("owner_id").write_csv(file)
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)


def name_list(owner_id: object) -> str:
    """The file name of a facility's list; an id that could be a path is named by its hash."""
    owner = str(owner_id or _NO_FACILITY)
    plain = re.fullmatch(r"\w[\w-]{0,39}", owner, re.ASCII)
    return (owner if plain else hashlib.sha256(owner.encode()).hexdigest()[:16]) + ".csv"


def _name_children(connection: Connection, on: date, columns: str, order: str) -> pl.DataFrame:
    """The rows of temp table `listed`, by owner, each with its child named; `own_...`: where the owner itself last told of it."""
    _view_own_rows(connection, on)
    named = read_rows(connection, f"""
        select owner_id, {columns}, b.birth_on, b.sex_code, i.birth_order, b.maternity_id, i.history_no,
               own.file_name as own_file, own.row_no as own_row, own.source_id as own_source_id, child_key
        from listed join lake.clinical.birth b using (child_key)
        left join lake.identified.birth i on i.record_key = b.record_key and i.known_to is null
        left join own_row own using (owner_id, child_key)
        where b.known_to is null order by owner_id, {order}""")  # fmt: skip
    assert len(named) == read_rows(connection, "select count(*) from listed").item()  # noqa: S101
    return named.with_columns(_neutralise(named[name]) for name in _SENT_TEXT)


def _view_own_rows(connection: Connection, on: date) -> None:
    """Temp table `own_row`: of each listed child the newest row of a file that its owner sent alone.

    Results are asked for children under 3 only: they are found by date of birth, and those of all years are very many.
    """
    since = on.replace(year=on.year - 3, day=1)
    connection.execute(f"""
        create or replace temp table own_row as
        with listed_child as (select distinct owner_id, child_key from listed),
        told as (
            select child_key, submission_id, row_no, source_id, version_at, record_key from lake.identified.birth where known_to is null
            union all
            select child_key, submission_id, row_no, null, version_at, record_key from lake.clinical.consent where known_to is null
            union all
            select child_key, submission_id, row_no, null, version_at, record_key from lake.clinical.confirmation where known_to is null
            union all
            select child_key, submission_id, row_no, null, version_at, record_key from lake.clinical.screening
            where known_to is null and birth_on > date '{since}')
        select owner_id, child_key, s.file_name, t.row_no, t.source_id
        from told t join listed_child using (child_key)
        join lake.ledger.submission s on s.submission_id = t.submission_id and s.sender_id = owner_id
        qualify row_number() over (partition by owner_id, child_key order by version_at desc, record_key) = 1""")


def _neutralise(sent: pl.Series) -> pl.Series:
    """Texts of senders as no spreadsheet runs them."""
    texts = {text: neutralise(text) for text in sent.unique().drop_nulls()}
    return sent.replace(texts)
