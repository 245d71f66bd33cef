"""What arrives together: the files of one FHIR export, which are read with one another's people.

A delivery is a folder: one below landing, or what one folder brings to `erte receive` (it lands as a folder, at once). A file that
lies in landing itself stands alone, as nothing there says which server it is from, and `Patient/1` is another child on another
server. In a folder, names tell one export from another (intake.fhir.export). People of an earlier night are never called in: only
the sender knows whether that server still means the same child by the id.

The ledger remembers which files were read together, so that a file which is held, or read once more, is read with the same.
"""

import hashlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path

import polars as pl

from pipelines.contracts import LAKE
from pipelines.intake.fhir.export import name_export, part_exports, stamp_files
from pipelines.settings import Settings
from pipelines.store.lake import Connection, append_rows, put_frame, read_rows

_RECEIVED, _RELEASED = "delivery-", "released-"


def find_delivery(landing: Path, path: Path) -> tuple[Path, ...]:
    """The files that are read with a file in landing, itself among them; none where its name is not one of an export.

    A file that lies in several folders is one submission: it is read with the files of all of them.
    """
    if name_export(path.name) is None:
        return ()
    return tuple(sorted({file for place in (path, *_find_copies(landing, path)) for file in _list_beside(landing, place)}))


def stamp_delivery(files: Sequence[Path]) -> list[list[object]]:
    """What a file was read with, for its receipt: path, bytes and time of writing of each file; nothing for a file alone."""
    return [list(stamp) for stamp in stamp_files(files)] if len(files) > 1 else []


def hash_file(path: Path) -> str:
    """The submission id: sha256 of the bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def land_delivery(landing: Path, named: Mapping[str, Path]) -> Path:
    """Copy the files of a delivery (name in landing -> file) into a folder of their own, which appears whole."""
    folder = landing / f"{_RECEIVED}{_hash_text(sorted(named))[:12]}"
    return _gather_folder(folder, named)


def sweep_landing(landing: Path) -> None:
    """Remove folders that `land_delivery` and `release_together` made, when their files have gone."""
    for prefix in (_RECEIVED, _RELEASED):
        for folder in landing.glob(f"{prefix}*"):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def keep_deliveries(connection: Connection, receipts: Iterable[Mapping[str, object]], fresh: set[str], on: date) -> int:
    """Note in the ledger which files were read together; `fresh`: the submissions that are judged in this run."""
    read = [r for r in receipts if r["delivery"]]
    ids = {str(r["path"]): str(r["submission_id"]) for r in read}
    rows: dict[tuple[str, str], dict[str, object]] = {}
    for receipt in read:
        if receipt["submission_id"] in fresh:
            paths = [Path(path) for path, *_ in receipt["delivery"]]  # type: ignore[attr-defined]
            company = {ids.get(str(path)) or hash_file(path): path.name for path in paths}
            delivery = _hash_text(sorted(company))
            for submission, name in company.items():
                row = rows.setdefault((delivery, submission), {"delivery_id": delivery, "submission_id": submission, "file_name": name,
                                                               "received_on": on, "is_judged": False})  # fmt: skip
                row["is_judged"] = row["is_judged"] or submission == receipt["submission_id"]
    if not rows:
        return 0
    schema = {name: column.dtype for name, column in LAKE["ledger.delivery"].columns().items()}
    put_frame(connection, "delivered", pl.DataFrame(list(rows.values()), schema=schema))
    known = "lake.ledger.delivery"
    news = read_rows(connection, f"from delivered anti join {known} using (delivery_id, submission_id, received_on, is_judged)")
    return append_rows(connection, "ledger.delivery", news)


def list_company(connection: Connection, submission_id: str) -> dict[str, str]:
    """The submissions that a submission was judged with, itself among them, by their file names; none where it was alone."""
    return dict(read_rows(connection, """
        select submission_id, any_value(file_name) from lake.ledger.delivery where delivery_id = (
            select arg_max(delivery_id, (received_on, delivery_id)) from lake.ledger.delivery where submission_id = ? and is_judged)
        group by all order by all""", [submission_id]).rows())  # fmt: skip


def find_file(settings: Settings, submission_id: str) -> Path | None:
    """Where the file of a submission is kept: in the archive, held, or still in landing."""
    places = ((settings.archive, f"{submission_id}-*"), (settings.home / "held", f"{submission_id}-*"),
              (settings.landing, f"{submission_id[:12]}-*"))  # fmt: skip
    return next((path for folder, pattern in places for path in sorted(folder.rglob(pattern))), None)


def find_company(connection: Connection, settings: Settings, path: Path, submission_id: str) -> tuple[Path, ...]:
    """The files that a kept file is read with, as it was when it was judged."""
    company = list_company(connection, submission_id)
    found = [path, *(find_file(settings, other) for other in company if other != submission_id)]
    return tuple(sorted(file for file in found if file)) if company or name_export(path.name) else ()


def release_together(connection: Connection, settings: Settings, submission_id: str, path: Path) -> bool:
    """Copy a held file into landing with the files it was judged with; False where it was judged alone."""
    company = list_company(connection, submission_id)
    if not company:
        return False
    kept = {other: path if other == submission_id else find_file(settings, other) for other in company}
    named = {name_landed(other, company[other]): file for other, file in kept.items() if file}
    _gather_folder(settings.landing / f"{_RELEASED}{submission_id[:12]}", named)
    return True


def note_first_day(settings: Settings, submission_id: str, first_on: date) -> None:
    """Write down when a file that a person lets pass came first: by that day it is judged."""
    _name_day(settings, submission_id).write_text(first_on.isoformat())


def read_first_day(settings: Settings, submission_id: str) -> date | None:
    """The day that was written down of a file; None where none was."""
    path = _name_day(settings, submission_id)
    return date.fromisoformat(path.read_text()) if path.exists() else None


def forget_first_day(settings: Settings, submission_id: str) -> None:
    """To be called once what was released is in the ledger."""
    _name_day(settings, submission_id).unlink(missing_ok=True)


def _name_day(settings: Settings, submission_id: str) -> Path:
    return settings.home / "held" / f".{submission_id}.day"


def name_landed(submission_id: str, name: str) -> str:
    """The name of a file in landing: its hash before its own name."""
    return f"{submission_id[:12]}-{name.removeprefix(submission_id[:12] + '-')}"


def _find_copies(landing: Path, path: Path) -> list[Path]:
    """Other files of landing with the same bytes."""
    size = path.stat().st_size
    alike = (p for p in list_landed(landing) if p != path and name_export(p.name) and p.stat().st_size == size)
    return [p for p in alike if hash_file(p) == hash_file(path)]


def list_landed(landing: Path) -> list[Path]:
    """The files in landing; what is hidden, or in a hidden folder, is on its way."""
    if not landing.exists():
        return []
    is_seen = (p for p in landing.rglob("*") if not any(part.startswith(".") for part in p.relative_to(landing).parts))
    return sorted((p for p in is_seen if p.is_file()), key=str)


def _list_beside(landing: Path, path: Path) -> tuple[Path, ...]:
    if path.parent == landing:
        return (path,)
    files = [p for p in path.parent.iterdir() if p.is_file() and not p.name.startswith(".")]
    if path.parent.name.startswith((_RECEIVED, _RELEASED)):
        return tuple(p for p in files if name_export(p.name))
    return next((export for export in part_exports(files) if path in export), (path,))


def _gather_folder(folder: Path, named: Mapping[str, Path]) -> Path:
    """A folder with copies of files, which appears at once; one that is there already gets what it lacks."""
    draft = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True, mode=0o700)
    for name, path in named.items():
        if not (folder / name).exists():
            shutil.copyfile(path, draft / name)
            (draft / name).chmod(0o600)
    if not folder.exists():
        return draft.rename(folder)
    for path in draft.iterdir():
        path.replace(folder / path.name)
    draft.rmdir()
    return folder


def _hash_text(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
