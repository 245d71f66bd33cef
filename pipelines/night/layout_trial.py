"""A sender's test mode: a layout proposed for a file, or a file tried with a layout; nothing is stored."""

import hashlib
from collections.abc import Sequence
from datetime import date
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import polars as pl

from pipelines.errors import UserError
from pipelines.intake.feedback import group_findings, name_headers
from pipelines.intake.fhir.export import part_exports
from pipelines.intake.guess import guess_layout, read_sample
from pipelines.intake.layout import list_layouts, read_layout
from pipelines.intake.page import LANGUAGES
from pipelines.intake.proposal import Guess, Sample
from pipelines.intake.reading import Opened
from pipelines.intake.receive import WORKBOOKS, needs_layout, open_by_layout, open_submission
from pipelines.intake.refusal import FileRefusedError
from pipelines.intake.senders import Tally
from pipelines.intake.unpack import open_plain
from pipelines.intake.xlsx.sample import sample_workbook
from pipelines.night.delivery import hash_file
from pipelines.night.front_door import LEDGER_FINDING, list_refusal, read_register, read_staged, set_limits, stage_rows
from pipelines.settings import Settings

_SAMPLE_BYTES = 4 << 20
_NO_SOURCE = pl.DataFrame(schema={"row_no": pl.Int64, "source_id": pl.String})
"""A trial tells of lines, not of a sender's own numbers."""


class Trial(NamedTuple):
    """What would become of a file: `findings` by code and column, with the first lines."""

    layout: str | None
    record_kind: str | None
    refusal_code: str | None
    received_count: int
    accepted_count: int
    quarantined_count: int
    findings: list[dict[str, object]]


def propose_layout(settings: Settings, path: Path, name: str | None = None) -> Guess:
    """A layout for a workbook or delimited text (its first 4 MiB), packed or not; UserError with the reason where that cannot be."""
    try:
        with open_plain(path, set_limits(settings)) as unpacked:
            sample = _take_sample(settings, unpacked)
    except FileRefusedError as refused:
        (group, *_) = group_findings(list_refusal(refused), _NO_SOURCE, {})
        raise UserError(refused.code, group.text["en"]) from None
    plain = "".join(c if c.isascii() and c.isalnum() else "-" for c in (name or path.stem).lower()).strip("-")
    digest = hashlib.sha256((name or path.stem).encode()).hexdigest()[:8]
    return guess_layout(sample, list_layouts(), plain or f"layout-{digest}")


def _take_sample(settings: Settings, path: Path) -> Sample:
    with path.open("rb") as file:
        head = file.read(_SAMPLE_BYTES)
    if head.startswith(WORKBOOKS):
        return sample_workbook(path, set_limits(settings))
    if not needs_layout(head):
        raise UserError("layout_not_needed", "HL7 v2 and FHIR are read without a layout: try the file with `erte layout check`")
    return read_sample(head, is_cut=path.stat().st_size > len(head))


def try_files(settings: Settings, paths: Sequence[Path], layout: Path | None, on: date) -> list[Trial]:
    """Each file tried as if all had been sent together: the files of an export are read with one another's people."""
    exports = {path: export for export in part_exports(paths) for path in export}
    return [try_file(settings, path, layout, on, exports.get(path, ())) for path in paths]


def try_file(settings: Settings, path: Path, layout: Path | None, on: date, export: tuple[Path, ...] = ()) -> Trial:
    """A file staged as the front door would, by a layout of its own if one is given, in a folder that is gone with the answer."""
    with TemporaryDirectory(prefix="erte-") as folder:
        draft = Path(folder) / hash_file(path)
        draft.mkdir()
        try:
            staged = stage_rows(partial(_open_file, settings, path, layout, export), draft, draft.name, on, Tally(read_register(settings)))
        except FileRefusedError as refused:
            return Trial(None, None, refused.code, 0, 0, 0, _tell(list_refusal(refused), {}))
        finding = read_staged(draft.parent, "finding-*.parquet", LEDGER_FINDING)
    counts = {name: int(str(staged.counts[name])) for name in ("received_count", "accepted_count", "quarantined_count")}
    kind = str(staged.counts["record_kind"]) if counts["received_count"] else None
    return Trial(staged.layout.name, kind, None, **counts, findings=_tell(finding, name_headers(staged.layout)))


def _open_file(settings: Settings, path: Path, layout: Path | None, export: tuple[Path, ...]) -> Opened:
    limits = set_limits(settings)
    if layout is None:
        return open_submission(path, limits, export)
    try:
        own = read_layout(layout)
    except (ValueError, KeyError) as error:  # what is wrong with a TOML file, with its place
        raise UserError("layout_invalid", f"{layout.name}: {error}") from None
    return open_by_layout(path, limits, own)


def _tell(finding: pl.DataFrame, headers: dict[str, str]) -> list[dict[str, object]]:
    return [
        {"code": g.code, "column": g.column, "severity": g.severity, "rows": g.row_count, "lines": [no for no, *_ in g.examples],
         **{f"text_{language}": g.text[language] for language in LANGUAGES}}
        for g in group_findings(finding, _NO_SOURCE, headers)
    ]  # fmt: skip
