"""What senders deliver: the row contracts that judge it (`RECORDS`).

A finding code is `column_problem`; the problem of a built-in check is given by `PROBLEMS`.
"""

from collections.abc import Mapping

import dataframely as dy
import polars as pl

from pipelines.contracts.codes import (
    ACTIONS,
    ANNEXES,
    AUTHORITIES,
    CATEGORIES,
    CONFIRMATIONS,
    DECISIONS,
    MEASURES,
    PROGRAMMES,
    PURPOSES,
    REPORT_STATUSES,
    RESULTS,
    ROW_GROUPS,
    SEXES,
    STAGES,
    STATUSES,
)
from pipelines.contracts.columns import ICD10, KATO9, clinical, coded, identified
from pipelines.contracts.kept import DOCUMENT_AT
from pipelines.contracts.plausible import is_possible
from pipelines.identity.iin import is_valid_iin

PROBLEMS = {
    "nullability": "missing",
    "check": "unknown",
    "regex": "malformed",
    "min": "implausible",
    "max": "implausible",
    "min_length": "malformed",
    "max_length": "malformed",
}

_EARLIEST_BIRTH = pl.date(2000, 1, 1)


class _Envelope(dy.Schema):
    """What every record carries, whatever it reports."""

    submission_id = clinical("sha256 of the file's bytes", nullable=False, regex=r"^[0-9a-f]{64}$")
    row_no = clinical("line of the file the record was read from, counted from the first one", dy.Int64, nullable=False, min=1)
    sender_id = clinical("facility register id of the organisation that sends", nullable=False, max_length=40)
    source_id = identified("the sender's own id of this record; the same id again is a new version", nullable=False,
                            max_length=200)  # fmt: skip
    action_code = coded("report, correct or cancel", ACTIONS, nullable=False)
    issued_at = clinical("when the sender issued this version, local time", dy.Datetime)
    received_on = clinical("day we received it", dy.Date, nullable=False)

    @dy.rule()
    def issued_at_in_future(cls) -> pl.Expr:
        """A version of days to come would stand above every correction until then; one day is left to clocks and time zones."""
        return pl.col("issued_at") < pl.col("received_on").cast(pl.Datetime("us")) + pl.duration(days=2)


class _OfChild(_Envelope):
    """What a record says about which child it is of; none is required alone, one way in is."""

    child_iin = identified("the child's IIN, 12 digits, if there is one yet")
    mother_iin = identified("the mother's IIN, 12 digits")
    birth_on = clinical("date of birth", dy.Date)
    birth_order = clinical("order of birth in a multiple birth, 1 = first", dy.Int64, min=1, max=9)
    sex_code = coded("male, female or unknown", SEXES)
    maternity_id = clinical("facility register id of the maternity organisation", max_length=40)
    history_no = identified("number of the birth history (primary medical record)", max_length=60)
    card_no = identified("sequence number of the blood-spot card", max_length=60)
    family_name = identified("the child's family name as sent", max_length=200)
    given_name = identified("the child's given name as sent; placeholders such as BOY are kept", max_length=200)
    mother_family_name = identified("the mother's family name as sent", max_length=200)
    mother_given_name = identified("the mother's given name as sent", max_length=200)

    @dy.rule()
    def child_iin_checksum(cls) -> pl.Expr:
        return is_valid_iin(pl.col("child_iin"))

    @dy.rule()
    def mother_iin_checksum(cls) -> pl.Expr:
        return is_valid_iin(pl.col("mother_iin"))

    @dy.rule()
    def birth_on_in_future(cls) -> pl.Expr:
        return pl.col("birth_on") <= pl.col("received_on")

    @dy.rule()
    def birth_on_implausible(cls) -> pl.Expr:
        return pl.col("birth_on") >= _EARLIEST_BIRTH

    @dy.rule()
    def child_unidentifiable(cls) -> pl.Expr:
        return (
            pl.col("child_iin").is_not_null()
            | (pl.col("mother_iin").is_not_null() & pl.col("birth_on").is_not_null())
            | (pl.col("maternity_id").is_not_null() & pl.col("history_no").is_not_null())
        )


WHO = ("child_iin", "mother_iin", "birth_on", "birth_order", "sex_code", "maternity_id", "history_no")
"""Columns that together say which child a record is of: linkage asks once for each way of filling them."""


class BirthRecord(_OfChild):
    """One live birth as declared by the maternity organisation or the birth register: the spine."""

    birth_on = clinical("date of birth", dy.Date, nullable=False)
    birth_order = clinical("order of birth in a multiple birth, 1 = first", dy.Int64, nullable=False, min=1, max=9)
    sex_code = coded("male, female or unknown", SEXES, nullable=False)
    maternity_id = clinical("facility register id of the maternity organisation", nullable=False, max_length=40)
    history_no = identified("number of the birth history (primary medical record)", nullable=False, max_length=60)
    birth_at = clinical("moment of birth, local time, if known", dy.Datetime)
    plurality = clinical("children born of this pregnancy", dy.Int64, min=1, max=9)
    birth_weight_g = clinical("weight at birth, grams", dy.Int64, min=200, max=8000)
    gestation_wk = clinical("completed weeks of gestation at birth", dy.Int64, min=20, max=45)
    is_complicated = clinical("complicated perinatal history or unstable condition (O704 p. 100)", dy.Bool)
    residence_kato = identified("KATO of the place of residence, 9 digits", regex=KATO9)
    phc_id = clinical("facility register id of the primary care organisation of attachment", max_length=40)
    address = identified("home address as sent", max_length=500)
    phone = identified("telephone as sent", max_length=60)
    died_on = clinical("date of death, if the child died", dy.Date)

    @dy.rule()
    def birth_order_above_plurality(cls) -> pl.Expr:
        return pl.col("birth_order") <= pl.col("plurality")

    @dy.rule()
    def died_on_before_birth(cls) -> pl.Expr:
        return pl.col("died_on") >= pl.col("birth_on")


class ScreeningRecord(_OfChild):
    """One result of one component (analyte, ear x method, domain) of a programme."""

    facility_id = clinical("facility where the child was examined or the sample taken", max_length=40)
    programme = coded("the screening programme", PROGRAMMES, nullable=False)
    component = clinical("what was measured: tsh, phe, a LOINC code, oae_left, abr_right, motor ...", nullable=False,
                          max_length=80)  # fmt: skip
    stage_code = coded("first, retest of the same sample, repeat sample, diagnostic", STAGES)
    examined_on = clinical("day of examination or sampling", dy.Date, nullable=False)
    examined_at = clinical("moment of examination or sampling, local time, if known", dy.Datetime)
    reported_on = clinical("day the result was issued", dy.Date)
    value = clinical(
        "numeric result in `unit`; below zero only z-scores (components ending in _z)", dy.Float64, max=1_000_000
    )
    comparator = coded("< or > when the number is a bound", ("<", ">", "<=", ">="))
    unit = clinical("UCUM unit of `value`, null for counts and means", max_length=40)
    result_code = coded("the sender's coded answer", RESULTS)
    status_code = coded("preliminary, final, corrected or cancelled", STATUSES, nullable=False)
    gestation_wk = clinical("completed weeks of gestation as sent with the result", dy.Int64, min=20, max=45)
    is_transfused = clinical("blood product given before sampling: spoils blood-spot results", dy.Bool)
    suggested_icd10 = clinical("ICD-10 code that stands in the sender's free-text diagnosis: a suggestion, never a diagnosis of ours",
                                regex=rf"^{ICD10}$")  # fmt: skip

    @dy.rule()
    def examined_on_before_birth(cls) -> pl.Expr:
        return pl.col("examined_on") >= pl.col("birth_on")

    @dy.rule()
    def examined_on_in_future(cls) -> pl.Expr:
        return pl.col("examined_on") <= pl.col("received_on")

    @dy.rule()
    def value_implausible(cls) -> pl.Expr:
        return (pl.col("value") >= 0) | pl.col("component").str.ends_with("_z")

    @dy.rule()
    def value_impossible(cls) -> pl.Expr:
        withdrawn = (pl.col("status_code") == "cancelled") | (pl.col("action_code") == "cancel")
        return is_possible() | withdrawn

    @dy.rule()
    def result_missing(cls) -> pl.Expr:
        said = pl.col("value").is_not_null() | pl.col("result_code").is_not_null()
        return said | (pl.col("status_code") == "cancelled") | (pl.col("action_code") == "cancel")


class ConsentRecord(_OfChild):
    """A representative's decision for one purpose on one day (order KR DSM-54 p. 9)."""

    purpose = coded("what the decision is about", PURPOSES, nullable=False)
    decision = coded("given, refused or withdrawn", DECISIONS, nullable=False)
    decided_on = clinical("day of the decision", dy.Date, nullable=False)
    valid_from = clinical("first day of the term, if that is after the decision; judged when it comes, not kept", dy.Date)
    valid_until = clinical("last day of the term, if limited", dy.Date)
    authority_code = coded("by what right the representative acts", AUTHORITIES)
    authority_document = identified("document that proves the authority (p. 11)", max_length=200)
    representative_iin = identified("IIN of the representative")
    representative_name = identified("full name of the representative", max_length=300)
    form_version = clinical("version of the consent form", max_length=40)
    document_at = clinical(DOCUMENT_AT, dy.Datetime)

    @dy.rule()
    def representative_iin_checksum(cls) -> pl.Expr:
        return is_valid_iin(pl.col("representative_iin"))

    @dy.rule()
    def decided_on_in_future(cls) -> pl.Expr:
        return pl.col("decided_on") <= pl.col("received_on")

    @dy.rule()
    def valid_from_in_future(cls) -> pl.Expr:
        """A consent that has not begun opens nothing; a refusal or a withdrawal counts at once."""
        return (pl.col("valid_from") <= pl.col("received_on")) | (pl.col("decision") != "given") | (pl.col("action_code") == "cancel")

    @dy.rule()
    def decided_on_before_birth(cls) -> pl.Expr:
        return pl.col("decided_on") >= pl.col("birth_on")


class ConfirmationRecord(_OfChild):
    """A health worker's answer to a proposed flag (PDL Art. 19-1: a person confirms)."""

    programme = coded("programme of the flag", PROGRAMMES, nullable=False)
    confirmation = coded("confirmed or rejected", CONFIRMATIONS, nullable=False)
    confirmed_on = clinical("day of the decision", dy.Date, nullable=False)
    worker_id = identified("register id of the health worker", nullable=False, max_length=60)

    @dy.rule()
    def confirmed_on_in_future(cls) -> pl.Expr:
        return pl.col("confirmed_on") <= pl.col("received_on")

    @dy.rule()
    def confirmed_on_before_birth(cls) -> pl.Expr:
        return pl.col("confirmed_on") >= pl.col("birth_on")


class PmpcReportRecord(_Envelope):
    """What a PMPC says of a referral: an event on the way, or its conclusion."""

    referral_id = clinical("id of the referral as sent in the feed", nullable=False, regex=r"^R[0-9a-f]{24}$")
    report_status = coded("BSeR business status", REPORT_STATUSES, nullable=False)
    reported_on = clinical("day of the event", dy.Date, nullable=False)
    category_codes = clinical("LAW343 categories concluded, separated by spaces; `none` = no impairment",
                               regex=r"^(" + "|".join(CATEGORIES) + r")( (" + "|".join(CATEGORIES) + r"))*$")  # fmt: skip
    is_severe = clinical("severe impairment as concluded (LAW343 Art. 1(7))", dy.Bool)
    icd10_codes = clinical("ICD-10 codes, separated by spaces", regex=r"^[A-Z][0-9]{2}(\.[0-9]{1,2})?( [A-Z][0-9]{2}(\.[0-9]{1,2})?)*$")  # fmt: skip
    document_at = clinical(DOCUMENT_AT, dy.Datetime)

    @dy.rule()
    def reported_on_in_future(cls) -> pl.Expr:
        return pl.col("reported_on") <= pl.col("received_on")

    @dy.rule()
    def category_codes_contradict(cls) -> pl.Expr:
        return ~pl.col("category_codes").str.split(" ").list.contains("none") | (pl.col("category_codes") == "none")

    @dy.rule()
    def category_codes_missing(cls) -> pl.Expr:
        return (pl.col("report_status") != "7.0") | pl.col("category_codes").is_not_null()


class AggregateRecord(_Envelope):
    """One count of a monthly return (O704 annexes 7, 12, 16, 18): a facility, a month, a row group, a measure."""

    annex = coded("annex of O704 the return follows", ANNEXES, nullable=False)
    facility_id = clinical("facility the count is of; null = the sender itself", max_length=40)
    period_month = clinical("first day of the month reported", dy.Date, nullable=False)
    row_group = coded("age group of the form's row, `all` where it has one row", ROW_GROUPS, nullable=False)
    measure = coded("what was counted: the form's column", MEASURES, nullable=False)
    child_count = clinical("children counted", dy.Int64, nullable=False, min=0, max=10_000_000)

    @dy.rule()
    def period_month_in_future(cls) -> pl.Expr:
        return pl.col("period_month") <= pl.col("received_on")

    @dy.rule()
    def period_month_not_first_day(cls) -> pl.Expr:
        return pl.col("period_month").dt.day() == 1


RECORDS: Mapping[str, type[dy.Schema]] = {
    "birth": BirthRecord,
    "screening": ScreeningRecord,
    "consent": ConsentRecord,
    "confirmation": ConfirmationRecord,
    "pmpc_report": PmpcReportRecord,
    "aggregate": AggregateRecord,
}

EVENT_ON: Mapping[str, str] = {"birth": "birth_on", "screening": "examined_on", "consent": "decided_on"}
"""Record kind -> the day of what it tells: from that day to the day of receipt goes the delay that is its sender's."""
