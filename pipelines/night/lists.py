"""What a facility has to do, one CSV a facility, written anew every night: flags that are withheld, and examinations that are due.

A list is a document to the facility that has the child in its care: it is entitled to know the child, as the PMPC that gets
a feed is. So a list identifies (degree 1, like a feed): folders 0700, files 0600, and no log or page repeats its lines. A
child is named by what its facility can look up: the line of the newest file of its own that is about the child, and the
birth's maternity, history number, date, sex and order, as the spine has them. No name, IIN, address or telephone is in it.
Children whom no facility of the register has in its care are on a list of their own, which the steward's overview points to.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from pipelines.intake.repair import neutralise
from pipelines.night.due import read_told, read_verdicts, view_near
from pipelines.referral.compose import OWNER, keep_carers
from pipelines.risk.failsafe import count_unanswered, list_telling, list_unanswered, list_windows, read_horizon
from pipelines.risk.protocol import choose_protocol, load_protocols
from pipelines.settings import PACKAGE, Settings
from pipelines.store.lake import Connection, open_lake, put_frame, read_rows
from pipelines.store.registers import list_carers, read_registers

_SENT_TEXT = ("maternity_id", "history_no", "own_file", "own_source_id")
_OWN_ROW = "child_key, submission_id, row_no, {} as source_id, version_at, record_key"
_OWN_RECORDS = f"""
    select {_OWN_ROW.format("source_id")} from lake.identified.birth where known_to is null
    union all select {_OWN_ROW.format("null")} from lake.clinical.consent where known_to is null
    union all select {_OWN_ROW.format("source_id")} from lake.identified.confirmation where known_to is null"""
_OWN_RESULTS = f"select {_OWN_ROW.format('null')} from lake.clinical.screening where known_to is null and birth_on >= date '{{since}}'"
"""Results are asked for worklists only, and for children under 3: they are found by date of birth, and all of them are very many."""
_NO_FACILITY = "no-facility"
_COUNTS = "counts.json"
_WRITERS = 2
"""Lists that are written at a time: a writer of CSV takes one core."""


def tell_facilities(settings: Settings, on: date) -> dict[str, int]:
    """Both lists of every facility as of a day; how many examinations are due and overdue. Nobody may write to the lake meanwhile."""
    with open_lake(settings) as connection:
        write_worklists(connection, settings, on)
        return write_due(connection, settings, on, list_carers(read_registers(settings)))


def write_worklists(connection: Connection, settings: Settings, on: date) -> int:
    """Flags that are withheld or aged out, with the reason and since when, under reports/worklist; how many."""
    connection.execute("""
        create or replace temp table listed as
        with held as (
            select flag_id, owner_id, place, reason, child_key from lake.clinical.placement
            where known_to is null and place in ('withheld', 'aged_out')),
        said as (
            select h.flag_id, p.known_from, p.known_to, (p.place, p.reason) = (h.place, h.reason) as is_same
            from lake.clinical.placement p join held h using (flag_id)),
        begun as (  -- another owner is no other reason: who waits has waited since it began
            select flag_id, min(known_from) filter (is_same and known_from >= coalesce(other_until, known_from)) as since
            from (select *, max(known_to) filter (not is_same) over (partition by flag_id) as other_until from said) group by flag_id)
        select owner_id, place, reason, since, flag_id, f.programme, f.disorder, f.examined_on, h.child_key
        from held h join begun using (flag_id)
        join (from lake.clinical.flag where known_to is null) f using (flag_id)""")
    _list_own_rows(connection, _OWN_RECORDS, _OWN_RESULTS.format(since=on.replace(year=on.year - 3, day=1)))
    told = _name_children(connection, "place, reason, since, flag_id, programme, disorder, examined_on", ("since", "flag_id"))
    write_lists(settings.reports / "worklist", told)
    return len(told)


def write_due(connection: Connection, settings: Settings, on: date, carer: Collection[str]) -> dict[str, int]:
    """Examinations that are due or overdue on a day, under reports/due; how many of each. `carer` as keep_carers takes it.

    A file of counts beside the lists is what the steward's overview shows; it holds counts alone.
    """
    protocols = load_protocols(PACKAGE / "risk" / settings.protocol)
    protocol = choose_protocol(protocols, on)
    telling, windows = list_telling(protocol, read_horizon()), list_windows(protocol, on, read_horizon())
    view_near(connection, protocol, telling, windows, on)
    birth = read_rows(connection, "from near_child")
    verdict = read_verdicts(connection, windows)
    unanswered = list_unanswered(birth, read_told(connection, telling), verdict, protocols, on, read_horizon())
    carers = keep_carers(birth.select("child_key", "phc_id", "maternity_id"), carer).select("child_key", owner_id=OWNER)
    listed = unanswered.join(carers, on="child_key", how="left", validate="m:1")
    put_frame(connection, "listed", listed)
    _list_own_rows(connection, _OWN_RECORDS)
    order = ("state", "closes_on", "programme", "child_key", "step_code")
    told = _name_children(connection, "state, programme, step_code, opens_on, closes_on", order, "near_child")
    counts = count_unanswered(unanswered)
    write_lists(settings.reports / "due", told, {_COUNTS: json.dumps({"on": on.isoformat(), "counts": counts.to_dicts()})})
    return {"due": int(counts["due"].sum()), "overdue": int(counts["overdue"].sum())}


def read_due_counts(settings: Settings) -> dict[str, Any]:
    """What is due by programme (failsafe.count_unanswered) and on which day; empty before the first lists."""
    path = settings.reports / "due" / _COUNTS
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}


def count_unowned(settings: Settings) -> dict[str, int]:
    """Lines of the lists of children whom no facility of the register has in its care, by file as the steward finds it."""
    files = [settings.reports / kind / name_list(None) for kind in ("worklist", "due")]
    return {
        path.relative_to(settings.home).as_posix(): pl.scan_csv(path, infer_schema=False).select(pl.len()).collect().item()
        for path in files if path.exists()
    }  # fmt: skip


def write_lists(folder: Path, told: pl.DataFrame, beside: Mapping[str, str] = {}) -> None:
    """One CSV an owner (`owner_id`), and the files `beside`, in a folder that is put in the place of the earlier one."""
    draft = folder.with_name(f".{folder.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True, mode=0o700)
    parts = told.partition_by("owner_id", as_dict=True, maintain_order=True)
    with ThreadPoolExecutor(_WRITERS) as pool:
        list(pool.map(_write_list, (draft / name_list(owner) for (owner,) in parts), parts.values()))
    for name, text in beside.items():
        (draft / name).write_text(text)
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)


def _write_list(path: Path, told: pl.DataFrame) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        told.drop("owner_id").write_csv(file)


def name_list(owner_id: object) -> str:
    """The file name of a facility's list; an id that could be a path is named by its hash."""
    owner = str(owner_id or _NO_FACILITY)
    plain = re.fullmatch(r"\w[\w-]{0,39}", owner, re.ASCII)
    return (owner if plain else hashlib.sha256(owner.encode()).hexdigest()[:16]) + ".csv"


def _name_children(
    connection: Connection, columns: str, order: Sequence[str], births: str = "(from lake.clinical.birth where known_to is null)"
) -> pl.DataFrame:
    """The rows of temp table `listed`, by owner, each with its child named; `own_...`: where the owner itself last told of it.

    `births`: where the clinical births of all these children stand.
    """
    named = read_rows(connection, f"""
        select owner_id, {columns}, b.birth_on, b.sex_code, i.birth_order, b.maternity_id, i.history_no,
               own.file_name as own_file, own.row_no as own_row, own.source_id as own_source_id, child_key
        from listed join {births} b using (child_key)
        left join lake.identified.birth i on i.record_key = b.record_key and i.known_to is null
        left join own_row own using (owner_id, child_key)""")  # fmt: skip
    assert len(named) == read_rows(connection, "select count(*) from listed").item()  # noqa: S101
    return _sort_lists(named.with_columns(_neutralise(named[name]) for name in _SENT_TEXT), ("owner_id", *order))


def _sort_lists(named: pl.DataFrame, order: Sequence[str]) -> pl.DataFrame:
    """Rows in their order, what is overdue first; few texts are many rows': their places in the alphabet are sorted, in half the time."""
    texts = {name: pl.Enum(named[name].drop_nulls().unique().sort()) for name in order if named.schema[name] == pl.String}
    named = named.rechunk()  # rows are gathered from all over it
    ranked = named.select(pl.col(name).cast(texts[name]).to_physical() if name in texts else pl.col(name) for name in order)
    return named[ranked.select(pl.arg_sort_by(order, descending=[name == "state" for name in order])).to_series()]


def _list_own_rows(connection: Connection, *sources: str) -> None:
    """Temp table `own_row`: of each listed child the newest row, of these sources, of a file that its owner sent alone."""
    connection.execute(f"""
        create or replace temp table own_row as
        with listed_child as (select distinct owner_id, child_key from listed), told as ({" union all ".join(sources)})
        select owner_id, child_key, s.file_name, t.row_no, t.source_id
        from told t join listed_child using (child_key)
        join lake.ledger.submission s on s.submission_id = t.submission_id and s.sender_id = owner_id
        qualify row_number() over (partition by owner_id, child_key order by version_at desc, record_key) = 1""")


def _neutralise(sent: pl.Series) -> pl.Series:
    """Texts of senders as no spreadsheet runs them."""
    odd = sent.filter(sent.str.contains(r"^[^\p{L}\p{N}]")).unique()
    return sent.replace({text: neutralise(text) for text in odd}) if len(odd) else sent
