"""Gathered rows become chunks of one kind each: the person joined by number, findings with the rows they are about."""

from collections.abc import Iterator
from typing import Any

import polars as pl

from pipelines.contracts import RECORDS
from pipelines.intake.fhir.fix import list_names
from pipelines.intake.fhir.people import WHO, frame_local
from pipelines.intake.fhir.rows import SCREENING, Rows
from pipelines.intake.fhir.values import is_loinc_broken
from pipelines.intake.layout import MENDS
from pipelines.intake.reading import Chunk
from pipelines.intake.refusal import list_findings

_TYPES: dict[str, Any] = {"row_no": pl.Int64, "person": pl.Int64, "place": pl.Int64}
_ENVELOPE = {"submission_id", "received_on"}
NO_ROWS = pl.DataFrame(schema={"sent": pl.String, "row_no": pl.Int64})
"""Of what is found on lines that gave no row."""


def build_chunks(rows: Rows, texts: pl.Series) -> Iterator[Chunk]:
    """A chunk of each kind there is, `sent` out of `texts` by place; findings of lines that gave no row go with the first."""
    people = rows.index.frame
    if rows.local:
        people = pl.concat([people, frame_local(rows.local)])
    frames: dict[str, pl.DataFrame] = {}
    names = list_names(texts)
    told = [list_findings(rows.findings)]
    if rows.screening or rows.plain is not None:
        screening = _join_person(frame_screening(rows), people)
        told += [_note_checksums(screening), _note_mothers(screening, rows.index.torn)]
        frames["screening"] = screening
    for kind, records in rows.other.items():
        if records:
            frame = _frame_records(kind, records)
            told.append(_note_mothers(frame, rows.index.torn))
            frames[kind] = _join_person(frame, people)
    finding = pl.concat(told)
    if not frames and len(finding):
        yield Chunk(NO_ROWS, finding)
    if len(frames) < 2:
        yield from (Chunk(_keep_columns(kind, frame, texts, names), finding, kind) for kind, frame in frames.items())
        return
    placed = pl.concat([frame["row_no"] for frame in frames.values()])
    spare = finding.filter(pl.col("row_no").is_null() | ~pl.col("row_no").is_in(placed.implode()))
    for number, (kind, frame) in enumerate(frames.items()):
        own = finding.join(frame.select("row_no").unique(), on="row_no", how="semi")
        yield Chunk(_keep_columns(kind, frame, texts, names), pl.concat([own, spare]) if number == 0 else own, kind)


def frame_screening(rows: Rows) -> pl.DataFrame:
    """The screenings that were gathered (SCREENING), in the order of the lines."""
    columns = list(zip(*rows.screening, strict=True)) or [()] * len(SCREENING)
    frame = pl.DataFrame([pl.Series(name, said, _TYPES.get(name, pl.String)) for name, said in zip(SCREENING, columns, strict=True)])
    if rows.plain is None:
        return frame
    joined = pl.concat([frame, rows.plain], how="diagonal")
    return joined.sort("place", maintain_order=True) if len(frame) else joined


def _frame_records(kind: str, records: list[dict[str, Any]]) -> pl.DataFrame:
    names = dict.fromkeys(name for record in records for name in record)  # one that is refused at once has few of them
    return pl.DataFrame(
        [pl.Series(name, [record.get(name) for record in records], _TYPES.get(name, pl.String)) for name in names]
    )


def _join_person(frame: pl.DataFrame, people: pl.DataFrame) -> pl.DataFrame:
    """WHO of the person of each row; the maternity organisation stands in for a sender that is not said, and the reverse."""
    if "person" not in frame.columns:
        return frame
    who = people.select(pl.col(WHO).gather(frame["person"]))
    facility = ["facility_id"] if "facility_id" in frame.columns else []
    joined = pl.concat([frame, who], how="horizontal").with_columns(
        sender_id=pl.coalesce("sender_id", "maternity_id"),
        maternity_id=pl.when(pl.col("person").is_not_null()).then(pl.coalesce("maternity_id", *facility, "sender_id")),
    )
    if "card_of_sample" in frame.columns:
        joined = joined.with_columns(card_no=pl.coalesce("card_of_sample", "card_no"))
    return joined


def _keep_columns(kind: str, frame: pl.DataFrame, texts: pl.Series, names: pl.Series | None) -> pl.DataFrame:
    known = [name for name in RECORDS[kind].column_names() if name in frame.columns and name not in _ENVELOPE]
    said = [] if names is None else [names.gather(frame["place"]).alias(MENDS)]
    return frame.select(*known, *said, texts.gather(frame["place"]).alias("sent"))


def _note_mothers(frame: pl.DataFrame, torn: pl.Series) -> pl.DataFrame:
    """Records of children of whom two mothers are told."""
    if torn.is_empty() or "person" not in frame.columns:
        return list_findings([])
    return frame.filter(pl.col("person").is_in(torn.implode())).select(
        "row_no", pl.lit("mother_iin").alias("column"), pl.lit("mother_iin_contradictory").alias("code"), pl.lit("warning").alias("severity")
    ).unique(maintain_order=True)  # fmt: skip


def _note_checksums(screening: pl.DataFrame) -> pl.DataFrame:
    broken = [c for c in screening["component"].drop_nulls().unique() if is_loinc_broken(c)]
    return screening.filter(pl.col("component").is_in(broken)).select(
        "row_no", pl.lit("component").alias("column"), pl.lit("component_checksum").alias("code"),
        pl.lit("warning").alias("severity"),
    )  # fmt: skip
