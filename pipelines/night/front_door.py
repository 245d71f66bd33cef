"""From landing to staging: every file is read, conformed and judged by itself; nothing shared is touched."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import NamedTuple

import polars as pl

from pipelines.intake.cell import name_cell
from pipelines.intake.fhir.export import part_exports
from pipelines.intake.keys import add_keys
from pipelines.intake.layout import Layout, list_layouts
from pipelines.intake.reading import Limits, Opened
from pipelines.intake.receive import judge_chunk, open_submission
from pipelines.intake.refusal import FINDING_SCHEMA, FileRefusedError
from pipelines.intake.senders import Register, Tally, open_register
from pipelines.night.delivery import (
    find_delivery,
    hash_file,
    land_delivery,
    list_landed,
    name_landed,
    read_first_day,
    stamp_delivery,
)
from pipelines.night.rivals import find_contradictions, find_rivals
from pipelines.settings import Settings
from pipelines.store.registers import list_senders

_GROUPS = 16
_LONGEST_NAME, _LONGEST_SUFFIX = 150, 20
"""Bytes of a name: with a hash of 64 before it and a number behind it, a folder takes 255."""
_FILE_COST = 2 << 20
"""Bytes that are judged in the time that a file takes beside its bytes (30 ms)."""
_WORTH_PROCESSES = 192 << 20
"""Bytes of work of which half is judged in the time (a second and a half) that processes take to start."""
LEDGER_FINDING = {**FINDING_SCHEMA, "detail": pl.String()}
"""A finding as it is staged: a reader's, with the counts that explain it where there are any."""


class Staged(NamedTuple):
    """What a file was read by, and what of its receipt its rows say: counts, kind and senders."""

    layout: Layout
    counts: dict[str, object]


def receive_paths(settings: Settings, paths: Sequence[Path]) -> list[str]:
    """Copy files (or whole folders) into landing under names that cannot collide; the ids of the submissions.

    The files of an export of one folder land as a folder (night.delivery).
    """
    settings.landing.mkdir(parents=True, exist_ok=True, mode=0o700)
    files = list(_walk(paths))
    ids = {path: hash_file(path) for path in files}
    exports = [export for export in part_exports(files) if len(export) > 1]
    for export in exports:
        land_delivery(settings.landing, {_name_landed(ids[path], path): path for path in export})
    together = {path for export in exports for path in export}
    for path in files:
        if path not in together:
            _land_file(settings, path, ids[path])
    return [ids[path] for path in files]


def list_arrivals(settings: Settings) -> list[list[str]]:
    """Landing files in a few groups of about equal size, for mapped tasks (a task costs more than a file)."""
    files = list_landed(settings.landing)
    groups: list[list[str]] = [[] for _ in range(min(_GROUPS, len(files)))]
    weights = [0] * len(groups)
    for path in sorted(files, key=lambda p: -p.stat().st_size):
        lightest = weights.index(min(weights))
        groups[lightest].append(str(path))
        weights[lightest] += _weigh(path)
    return [sorted(group) for group in groups]  # files of a delivery one after another: its people are looked up once


def is_much(groups: Sequence[Sequence[str]]) -> bool:
    """True where judging pays for processes of its own."""
    return sum(_weigh(Path(name)) for group in groups for name in group) >= _WORTH_PROCESSES


def _weigh(path: Path) -> int:
    return path.stat().st_size + _FILE_COST


def stage_group(settings: Settings, run_id: str, group: Sequence[str], on: date) -> Path:
    """Stage each file of a group under staging/<run_id>/; the folder of the run. Doing it twice changes nothing."""
    folder = settings.staging / run_id
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    register = read_register(settings)
    for path in map(Path, group):
        try:
            stage_file(settings, folder, path, on, register)
        except FileNotFoundError:
            if path.exists():  # else it left landing with another run
                raise
    return folder


def stage_file(settings: Settings, folder: Path, path: Path, on: date, register: Register | None = None) -> Path:
    """Judge one file into folder/<submission_id>/: accepted, quarantine, finding, noted and mends Parquet and receipt.json.

    `register`: who may send, where registers are installed.
    """
    submission_id, delivery = hash_file(path), find_delivery(settings.landing, path)
    on = read_first_day(settings, submission_id) or on
    done, read_with = folder / submission_id, stamp_delivery(delivery)
    if (done / "receipt.json").exists():
        earlier = json.loads((done / "receipt.json").read_text())
        if "senders" in earlier and earlier["delivery"] == read_with:
            return done
    draft = folder / f".{submission_id}.{path.name[:40]}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True, mode=0o700)
    receipt: dict[str, object] = {
        "submission_id": submission_id, "path": str(path), "file_name": path.name, "size_bytes": path.stat().st_size,
        "received_on": on.isoformat(), "layout": None, "record_kind": None, "sender_id": None, "senders": {}, "refusal_code": None,
        "received_count": 0, "accepted_count": 0, "quarantined_count": 0, "delivery": read_with,
    }  # fmt: skip
    senders = Tally(register)
    try:
        open_file = partial(open_submission, path, set_limits(settings), delivery)
        receipt |= stage_rows(open_file, draft, submission_id, on, senders).counts
    except FileRefusedError as refused:
        for staged in draft.glob("*.parquet"):
            staged.unlink()
        receipt |= {"refusal_code": refused.code, "received_count": 0, "accepted_count": 0, "quarantined_count": 0}
        list_refusal(refused).write_parquet(draft / "finding-00000.parquet")
    receipt |= senders.name_senders(is_refused=receipt["refusal_code"] is not None)
    (draft / "receipt.json").write_text(json.dumps(receipt, ensure_ascii=False))
    shutil.rmtree(done, ignore_errors=True)
    draft.rename(done)
    return done


def stage_rows(open_file: Callable[[], Opened], draft: Path, submission_id: str, on: date, senders: Tally) -> Staged:
    """All rows of a file judged into the Parquet of a folder; raises FileRefusedError. It is opened again where its rows are rivals.

    `senders` counts whose its rows are.
    """
    staged = _stage_chunks(open_file(), draft, submission_id, on, senders)
    if len(rivals := find_rivals(draft)):
        for part in draft.glob("*.parquet"):
            part.unlink()
        senders.begin()
        staged = _stage_chunks(open_file(), draft, submission_id, on, senders, rivals)
    _note_contradictions(draft, staged.layout)
    return staged


def list_refusal(refused: FileRefusedError) -> pl.DataFrame:
    """The findings (LEDGER_FINDING) of a refused file: its code, and the headers it is about, of which only those that a layout knows.

    A header that no layout knows may be a line of data in a file without a header: it is not repeated.
    """
    known = {header for layout in list_layouts() for header in layout.headers}
    headers = [header for header in refused.columns if header in known]
    rows: list[tuple[int | None, str | None, str, str, str | None]] = [(None, None, refused.code, "error", None)]
    if refused.code == "layout_header_changed":
        rows += [(None, header, "header_absent", "info", None) for header in headers]
    elif headers:
        rows = [(None, header, refused.code, "error", None) for header in headers]
    rows += [(d.row_no, d.column, d.code, "error", d.detail) for d in refused.differences]
    return pl.DataFrame(rows, schema=LEDGER_FINDING, orient="row").unique(maintain_order=True)


def read_register(settings: Settings) -> Register | None:
    """Who may send; None where no register is installed."""
    ids = list_senders(settings)
    return None if ids is None else open_register(ids)


def set_limits(settings: Settings) -> Limits:
    """How much of a file is read, by settings."""
    return Limits(
        file_mb=settings.largest_file_mb, unpacked_mb=settings.largest_unpacked_mb, line_mb=settings.longest_line_mb,
        columns=settings.most_columns, sheet_rows=settings.most_sheet_rows, depth=settings.deepest_json,
        people=settings.most_people, blank_mb=settings.most_blank_mb, refused_processing=settings.refused_processing,
    )  # fmt: skip


def _stage_chunks(
    opened: Opened, draft: Path, submission_id: str, on: date, senders: Tally, rivals: pl.Series | None = None
) -> Staged:
    """`senders` counts the rows of each sender; `rivals`: rows to be refused as they tell a record differently from other rows."""
    layout = opened.layout
    kinds: Counter[str] = Counter()
    counts = {"received_count": 0, "accepted_count": 0, "quarantined_count": 0}
    if len(opened.finding):
        detail_findings(opened.finding).write_parquet(draft / "finding-file.parquet")
    for number, chunk in enumerate(opened.chunks):
        judged = judge_chunk(chunk, layout, submission_id, on, rivals, senders.register)
        kinds[judged.kind] += judged.received_count
        counts["received_count"] += judged.received_count
        counts["quarantined_count"] += len(judged.quarantine)
        counts["accepted_count"] += judged.received_count - len(judged.quarantine)
        senders.add(judged.kind, judged.accepted, judged.quarantine)
        if len(judged.accepted):
            keyed = add_keys(judged.accepted, judged.kind)
            filled = [column.name for column in keyed if column.null_count() < len(keyed)]
            keyed.select(filled).write_parquet(  # a column that nobody filled is not written: half of the cost of staging
                draft / f"accepted-{judged.kind}-{number:05}.parquet", compression="uncompressed", statistics=False, row_group_size=250_000
            )
        finding = detail_findings(judged.finding, judged.detail)
        beside = {"quarantine": judged.quarantine, "finding": finding, "noted": judged.noted, "mends": judged.mends, "unclear": judged.unclear}
        for name, frame in beside.items():
            if len(frame):
                frame.write_parquet(draft / f"{name}-{number:05}.parquet", compression="lz4")
    if not counts["received_count"]:
        if not opened.may_be_empty:
            raise FileRefusedError("file_without_rows")
        return Staged(layout, {**counts, "layout": layout.name})
    if len(strangers := senders.tell_strangers()):
        detail_findings(strangers).write_parquet(draft / "finding-senders.parquet")
    if len(carers := senders.tell_carers()):
        carers.write_parquet(draft / "finding-carers.parquet")
    return Staged(layout, {**counts, "layout": layout.name, "record_kind": kinds.most_common(1)[0][0]})


def _note_contradictions(draft: Path, layout: Layout) -> None:
    """A warning on each row whose results others of the file contradict."""
    unlike = find_contradictions(draft)
    if unlike.is_empty():
        return
    column = pl.when(pl.col("said") == "value").then(name_cell("value", layout)).otherwise(name_cell("result_code", layout))
    found = unlike.select("row_no", column.alias("column"), code=pl.lit("results_contradict"), severity=pl.lit("warning"))
    detail_findings(found.unique(maintain_order=True)).write_parquet(draft / "finding-whole.parquet", compression="lz4")
    noted = [pl.read_parquet(part, columns=["row_no"]) for part in draft.glob("noted-*.parquet")]
    named = unlike.select("row_no", "source_id").unique("row_no", keep="first", maintain_order=True)
    unnamed = named.join(pl.concat(noted), on="row_no", how="anti") if noted else named
    unnamed.write_parquet(draft / "noted-whole.parquet", compression="lz4")


def detail_findings(finding: pl.DataFrame, detail: pl.DataFrame | None = None) -> pl.DataFrame:
    """Findings as they are staged (LEDGER_FINDING), with what explains them (row_no, code, detail)."""
    if detail is None or detail.is_empty():
        return finding.with_columns(pl.lit(None, pl.String).alias("detail"))
    return finding.join(detail, on=["row_no", "code"], how="left", validate="m:1", maintain_order="left")


def _walk(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from (p for p in sorted(path.rglob("*")) if p.is_file() and not p.name.startswith("."))
        else:
            yield path


def _land_file(settings: Settings, path: Path, submission_id: str) -> None:
    landed = settings.landing / _name_landed(submission_id, path)
    if not landed.exists():
        draft = settings.landing / f".{landed.name}.part"
        shutil.copyfile(path, draft)
        draft.chmod(0o600)
        draft.replace(landed)


def _name_landed(submission_id: str, path: Path) -> str:
    return name_landed(submission_id, shorten_name(path))


def shorten_name(path: Path) -> str:
    """A file's name that still fits a folder when its hash stands before it: the end of the stem goes, the suffix stays."""
    stem, suffix = path.stem.encode()[:_LONGEST_NAME], path.suffix.encode()[:_LONGEST_SUFFIX]
    return stem.decode(errors="ignore") + suffix.decode(errors="ignore")


def sweep_staging(settings: Settings, older_than_s: float = 86_400) -> int:
    """Remove staging folders that a killed run left behind a day ago or more; the files are still in landing."""
    if not settings.staging.exists():
        return 0
    newest = max((p.stat().st_mtime for p in settings.staging.iterdir()), default=0.0)
    old = [p for p in settings.staging.iterdir() if newest - p.stat().st_mtime > older_than_s]
    for folder in old:
        shutil.rmtree(folder)
    return len(old)


def read_staged(folder: Path, pattern: str, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    """All staged Parquet of a run that match, with the submission they are of; empty when there are none."""
    files = sorted(folder.glob(f"*/{pattern}"))
    if not files:
        return pl.DataFrame(schema={"submission_id": pl.String, **schema})
    return pl.concat(
        pl.read_parquet(file).select(pl.lit(file.parent.name).alias("submission_id"), *schema) for file in files
    )
