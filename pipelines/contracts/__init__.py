"""Every table that crosses a border: its columns, their meaning, and how far they identify a child.

Row contracts judge what senders deliver (`RECORDS`); lake contracts say what is kept (`LAKE`); reference
contracts say what the ministry's registers look like (`REFERENCE`), published contracts what readers of the warehouse are
promised (`PUBLISHED`). The tables of the lake and of the published file are created from these classes, and a test proves
on the built stores that no column passes to a degree it was not declared for.

Degree of a column: `identified` (who the child is), `clinical` (what was found), `published` (leaves the ministry).
"""

from collections.abc import Mapping

import dataframely as dy

from pipelines.contracts.clinical_tables import (
    ClinicalAggregate,
    ClinicalBirth,
    ClinicalConfirmation,
    ClinicalConsent,
    ClinicalPmpcReport,
    ClinicalScreening,
    ConsentDoubt,
    Flag,
    Placement,
    Referral,
    Verdict,
)
from pipelines.contracts.codes import AUTHORITIES, DECISIONS, PROGRAMMES, PURPOSES, RESULTS
from pipelines.contracts.identified_tables import (
    IdentifiedBirth,
    IdentifiedConfirmation,
    IdentifiedConsent,
    IdentifiedDecision,
    IdentifiedIin,
    IdentifiedNoted,
    IdentifiedQuarantine,
    IdentifiedWaiting,
)
from pipelines.contracts.ledger_tables import (
    Delivery,
    Event,
    Feed,
    Finding,
    Profile,
    Resent,
    SenderCode,
    Settlement,
    Submission,
    SubmissionSender,
)
from pipelines.contracts.plausible import NOTICES
from pipelines.contracts.published_tables import PUBLISHED
from pipelines.contracts.records import EVENT_ON, PROBLEMS, RECORDS, WHO, ScreeningRecord
from pipelines.contracts.reference import REFERENCE
from pipelines.identity.iin import is_valid_iin

__all__ = [
    "AUTHORITIES", "DECISIONS", "EVENT_ON", "LAKE", "NOTICES", "PROBLEMS", "PROGRAMMES", "PUBLISHED", "PURPOSES", "RECORDS", "REFERENCE", "RESULTS", "WHO", "Feed", "Flag", "Placement", "Referral", "ScreeningRecord", "Verdict", "describe_degree", "is_valid_iin",
]  # fmt: skip

LAKE: Mapping[str, type[dy.Schema]] = {
    "identified.birth": IdentifiedBirth,
    "identified.iin": IdentifiedIin,
    "identified.decision": IdentifiedDecision,
    "identified.consent": IdentifiedConsent,
    "identified.confirmation": IdentifiedConfirmation,
    "identified.waiting": IdentifiedWaiting,
    "identified.noted": IdentifiedNoted,
    "identified.quarantine": IdentifiedQuarantine,
    "clinical.birth": ClinicalBirth,
    "clinical.screening": ClinicalScreening,
    "clinical.consent": ClinicalConsent,
    "clinical.consent_doubt": ConsentDoubt,
    "clinical.confirmation": ClinicalConfirmation,
    "clinical.pmpc_report": ClinicalPmpcReport,
    "clinical.aggregate": ClinicalAggregate,
    "clinical.verdict": Verdict,
    "clinical.flag": Flag,
    "clinical.placement": Placement,
    "clinical.referral": Referral,
    "ledger.submission": Submission,
    "ledger.submission_sender": SubmissionSender,
    "ledger.finding": Finding,
    "ledger.delivery": Delivery,
    "ledger.profile": Profile,
    "ledger.sender_code": SenderCode,
    "ledger.resent": Resent,
    "ledger.settlement": Settlement,
    "ledger.feed": Feed,
    "ledger.event": Event,
}


def describe_degree(contract: type[dy.Schema]) -> dict[str, str]:
    """Column -> degree of identity, as declared."""
    return {name: (column.metadata or {})["degree"] for name, column in contract.columns().items()}
