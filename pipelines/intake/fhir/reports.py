"""What a DiagnosticReport says of the results it lists."""

from typing import NamedTuple

from pipelines.intake.fhir.people import list_codes, read_tables
from pipelines.intake.fhir.shape import DiagnosticReport


class Report(NamedTuple):
    """What a DiagnosticReport says of its results; `is_withdrawn`: it, and they, were cancelled or entered in error.

    `updated`: when its server held this version; `name`: what its versions have in common; `specimens`: references to what its
    results were found in.
    """

    source_id: str | None
    issued: str | None
    updated: str | None
    is_newborn: bool
    is_withdrawn: bool
    name: str | None = None
    specimens: tuple[str, ...] = ()


def choose_report(one: Report, other: Report) -> Report:
    """Of two versions of a report the later, of two reports one that stands; the order they come in is nothing."""
    is_one = one.name is not None and one.name == other.name
    return max(one, other, key=lambda r: (
        *((r.updated or "", r.issued or "", r.is_withdrawn) if is_one else (not r.is_withdrawn, r.updated or "", r.issued or "")),
        r.source_id or "", r.name or "", r.is_newborn, r.specimens,
    ))  # fmt: skip


def describe_report(report: DiagnosticReport) -> Report:
    """What a report says of its results."""
    tables = read_tables()
    ranked = sorted(report.identifier, key=lambda i: next(iter(list_codes(i.type)), None) != "FILL")
    source = next((i.value for i in ranked if i.value), None)
    is_newborn = any(code in tables["newborn"]["reports"] for code in list_codes(report.code))
    updated = report.meta.last_updated if report.meta else None
    is_withdrawn, specimens = report.status in tables["newborn"]["withdrawn"], tuple(s.reference for s in report.specimen if s.reference)
    return Report(source, report.issued, updated, is_newborn, is_withdrawn, report.id or source, specimens)
