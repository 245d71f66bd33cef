"""When a version was held true: what every versioned table of the lake carries."""

import dataframely as dy

from pipelines.contracts.columns import clinical


class Kept(dy.Schema):
    """When we held a version true: `known_from` <= day < `known_to` (null = still)."""

    known_from = clinical("first day we knew this version", dy.Date, nullable=False)
    known_to = clinical("day it was superseded; null = still held true", dy.Date)


VERSION_AT = (
    "order of versions: issue moment; without one the day received, a thousand years before, "
    "but its end if corrected or withdrawn (intake.keys)"
)
DOCUMENT_AT = "issue moment of the version of a document that states this at once with others (FHIR); null = a record by itself"
DOCUMENT_KEY = "63-bit key of that document: sender + source id"


class KeptRecord(Kept):
    """A version of a record a sender delivered."""

    record_key = clinical("63-bit key of the record: sender + source id + component", dy.Int64, nullable=False)
    version_at = clinical(VERSION_AT, dy.Datetime, nullable=False)
    version_rank = clinical("of versions issued at once: 0 preliminary, 1 final, 2 corrected, 3 cancelled", dy.Int64,
                             nullable=False)  # fmt: skip
    content_hash = clinical("hash of the version's content, settles the rest", dy.Int64, nullable=False)
    submission_id = clinical("submission it came in", nullable=False)
    row_no = clinical("row of that submission", dy.Int64, nullable=False)
    child_key = clinical("our pseudonym for the child", dy.Int64, nullable=False)
    is_cancelled = clinical("the sender withdrew the record", dy.Bool, nullable=False)
