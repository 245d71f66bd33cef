"""An export of Bulk Data: one file a resource type (`Patient.ndjson`, `Observation.000.ndjson.gz`), known by their names.

The files of one export lie in one folder and are named alike but for the type and the number of the file. What else stands in
a name (the id of a job, a day) tells one export from another: read together are only files that agree in it.
"""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pipelines.intake.fhir.people import read_tables

PEOPLE = frozenset({"Patient", "RelatedPerson", "Organization", "PractitionerRole", "Practitioner", "Location"})
"""Types whose files are read for the records of other files."""
_RECORDS = frozenset({"Observation", "DiagnosticReport", "Consent", "Task"})
_FILE_NO = re.compile(r"[._-]*(?:\d{1,4}[._-]*)?")

Stamp = tuple[str, int, int]
"""A file as it is now: its path, bytes and time of writing (ns)."""


class ExportFile(NamedTuple):
    """What the name of a file says: the resource type, and what stands before and after it beside a number of the file."""

    type: str
    job: tuple[str, str]


def name_export(name: str) -> ExportFile | None:
    """The file of an export that a name is of; None for any other name."""
    found = _name_pattern().fullmatch(name)
    if found is None:
        return None
    before, kind, after = found.groups()
    job = tuple("" if _FILE_NO.fullmatch(part) else part for part in (before, after))
    return ExportFile(_types()[kind.casefold()], (job[0], job[1]))


def part_exports(paths: Iterable[Path]) -> list[tuple[Path, ...]]:
    """Files that are given together, by the export they are of: one folder and one job; other files are left out."""
    exports: dict[tuple[Path, tuple[str, str]], list[Path]] = {}
    for path in paths:
        if named := name_export(path.name):
            exports.setdefault((path.parent, named.job), []).append(path)
    return [tuple(sorted(set(files))) for files in exports.values()]


def has_records(export: Iterable[Path]) -> bool:
    """True where some file of an export is of a type that gives records."""
    return any(named.type in _RECORDS for path in export if (named := name_export(path.name)))


def stamp_files(paths: Iterable[Path]) -> tuple[Stamp, ...]:
    """Files as they are now: a file that has changed since has another stamp."""
    return tuple((str(path), (told := path.stat()).st_size, told.st_mtime_ns) for path in paths)


@cache
def _types() -> dict[str, str]:
    return {name.casefold(): name for name in read_tables()["types"]["names"].split()}


@cache
def _name_pattern() -> re.Pattern[str]:
    types = "|".join(sorted(_types(), key=len, reverse=True))
    return re.compile(rf"(.*)(?<![a-z])({types})(?![a-z])(.*)\.(?:ndjson|jsonl)(?:\.gz)?", re.IGNORECASE)
