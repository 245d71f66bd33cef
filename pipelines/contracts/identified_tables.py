"""Tables of the lake that say who a child is."""

import dataframely as dy

from pipelines.contracts.columns import clinical, coded, identified
from pipelines.contracts.kept import Kept, KeptRecord


class IdentifiedBirth(KeptRecord):
    """identified.birth: every version of every birth record, with the child it is of."""

    sender_id = clinical("who sent it", nullable=False)
    source_id = identified("the sender's id of the record", nullable=False)
    child_iin = identified("the child's IIN as sent with the birth")
    mother_iin = identified("the mother's IIN")
    birth_on = clinical("date of birth", dy.Date, nullable=False)
    birth_order = clinical("order of birth", dy.Int64, nullable=False)
    plurality = clinical("children born of the pregnancy", dy.Int64)
    sex_code = clinical("sex", nullable=False)
    maternity_id = clinical("maternity organisation", nullable=False)
    history_no = identified("birth history number", nullable=False)
    family_name = identified("family name")
    given_name = identified("given name")
    mother_family_name = identified("mother's family name")
    mother_given_name = identified("mother's given name")
    address = identified("home address")
    phone = identified("telephone")
    residence_kato = identified("KATO of residence, 9 digits")


class IdentifiedIin(Kept):
    """identified.iin: an IIN that a record claims for the child whose birth it names besides; what is learned of all is stored nowhere."""

    record_kind = clinical(
        "screening, consent or confirmation; null = learned by an earlier release from a record it did not note: nobody takes that claim back"
    )
    record_key = clinical("key of the record that claims it; null with its kind", dy.Int64)
    child_key = clinical("child", dy.Int64, nullable=False)
    child_iin = identified("IIN", nullable=False)


class IdentifiedDecision(Kept):
    """identified.decision: which child a birth record is of, where a person decided it (erte merge, erte unmerge)."""

    record_key = clinical("key of the birth record", dy.Int64, nullable=False)
    child_key = clinical("the child it is of, whatever linkage would say", dy.Int64, nullable=False)
    earlier_key = clinical("the child it was of before the decision", dy.Int64, nullable=False)
    decision = coded("merge or unmerge", ("merge", "unmerge"), nullable=False)


class IdentifiedConsent(KeptRecord):
    """identified.consent: who decided, and by what document; the decision itself is in clinical.consent."""

    representative_iin = identified("IIN of the representative")
    representative_name = identified("name of the representative")
    authority_document = identified("document of authority")


class IdentifiedConfirmation(KeptRecord):
    """identified.confirmation: who confirmed or rejected; the answer itself is in clinical.confirmation."""

    sender_id = clinical("who sent it", nullable=False)
    source_id = identified("the sender's id of the record", nullable=False)
    worker_id = identified("register id of the health worker", nullable=False)


class IdentifiedWaiting(Kept):
    """identified.waiting: accepted records whose child is not known yet, with the reason; tried every run."""

    record_kind = clinical("screening, consent, confirmation or pmpc_report", nullable=False)
    record_key = clinical("key of the record", dy.Int64, nullable=False)
    submission_id = clinical("submission", nullable=False)
    row_no = clinical("row", dy.Int64, nullable=False)
    reason = clinical("child_unknown, twin_ambiguous, keys_disagree, referral_unknown", nullable=False)
    record = identified("the judged record as JSON", nullable=False)


class IdentifiedNoted(dy.Schema):
    """identified.noted: accepted rows that have a finding, by the name their sender knows them by."""

    submission_id = clinical("submission", nullable=False)
    row_no = clinical("row", dy.Int64, nullable=False)
    source_id = identified("the sender's id of the record", nullable=False)


class IdentifiedQuarantine(dy.Schema):
    """identified.quarantine: refused rows as sent."""

    submission_id = clinical("submission", nullable=False)
    row_no = clinical("row", dy.Int64, nullable=False)
    source_id = identified("the sender's id of the record, if readable")
    sender_id = identified("who sends it, as the row says, checked by nobody; the id that is meant where it looks like a registered one")
    record_kind = clinical("kind of the record")
    row_text = identified("the row as sent, JSON: the sender's column -> the sent text", nullable=False)
