"""Every table that crosses a border: its columns, their meaning, and how far they identify a child.

Row contracts judge what senders deliver (`RECORDS`); lake contracts say what is kept (`LAKE`); reference
contracts say what the ministry's registers look like (`REFERENCE`). The lake's tables are created from
these classes, the published file's comments are taken from them, and a test proves on the built stores
that no column passes to a degree it was not declared for.

Degree of a column: `identified` (who the child is), `clinical` (what was found), `published` (leaves the ministry).
A finding code is `column_problem`; the problem of a built-in check is given by `PROBLEMS`.
"""

from collections.abc import Mapping
from typing import Any

import dataframely as dy
import polars as pl

from pipelines.identity.iin import is_valid_iin

PROGRAMMES = ("blood_spot", "hearing", "development", "autism", "eyes", "phenotype")
SEXES = ("male", "female", "unknown")
ACTIONS = ("report", "correct", "cancel")
RESULTS = (
    "pass", "refer", "in_range", "borderline", "out_of_range", "inconclusive", "unsatisfactory",
    "pending", "not_done", "declined", "confirmed", "excluded",
)  # fmt: skip
STATUSES = ("preliminary", "final", "corrected", "cancelled")
STAGES = ("first", "retest", "repeat", "diagnostic")
PURPOSES = ("sampling", "hearing_test", "pmpc_referral", "onward_referral", "automated_processing")
DECISIONS = ("given", "refused", "withdrawn")
AUTHORITIES = ("mother", "father", "guardian", "foster_carer", "institution")
CONFIRMATIONS = ("confirmed", "rejected")
CATEGORIES = (
    "physical", "sensory", "speech", "emotional_volitional", "brain_damage", "intellectual",
    "developmental_delay", "none",
)  # fmt: skip
"""LAW343 Art. 1(4)-(5): physical; mental (a)-(f). `complex` is computed, never reported (Art. 1(6))."""
REPORT_STATUSES = ("3.0", "4.0", "5.1.1", "5.1.2", "5.1.3", "5.1.4", "5.2", "6.0", "7.0")
"""BSeR business status codes a PMPC may send back (STANDARDS, referral feeds)."""

ANNEXES = ("7", "12", "16", "18")
ROW_GROUPS = (
    "all", "newborn", "month_3", "year_1", "year_2", "year_3", "year_6", "under_1", "from_1_to_3", "from_3_to_5",
)  # fmt: skip
"""Rows of annexes 12 and 16 of O704; `all` where a form has one row (annexes 7, 18). The total row is never a record."""
MEASURES = (
    "target", "screened", "phe_primary", "phe_repeat", "pku_found", "tsh_primary", "tsh_repeat", "hypothyroidism_found",
    "oae_done", "abr_done", "both_ears_passed", "ears_not_passed", "sent_to_surdology", "hearing_loss_1_2",
    "hearing_loss_3_4", "at_risk", "hearing_reduced", "vision_reduced", "speech_defect", "scoliosis", "posture",
    "congenital", "neuropsychic", "rop_found", "operated", "operated_48h", "not_treated", "sent_to_pmpc",
)  # fmt: skip
"""Columns of annexes 7, 12, 16 and 18 of O704 (DOMAIN 1.1 to 1.4)."""

PROBLEMS = {
    "nullability": "missing",
    "check": "unknown",
    "regex": "malformed",
    "min": "implausible",
    "max": "implausible",
    "min_length": "malformed",
    "max_length": "malformed",
}


def _column(kind: type[dy.Column], degree: str, description: str, **options: Any) -> Any:
    options.setdefault("nullable", True)
    return kind(metadata={"degree": degree}, description=description, **options)


def _identified(description: str, kind: type[dy.Column] = dy.String, **options: Any) -> Any:
    return _column(kind, "identified", description, **options)


def _clinical(description: str, kind: type[dy.Column] = dy.String, **options: Any) -> Any:
    return _column(kind, "clinical", description, **options)


def _code(description: str, codes: tuple[str, ...], **options: Any) -> Any:
    return _clinical(description, check=lambda c: c.is_in(codes), **options)


_ICD10 = r"[A-Z][0-9]{2}(\.[0-9]{1,2})?"
_KATO4, _KATO9, _KATO2 = r"^[0-9]{4}$", r"^[0-9]{9}$", r"^[0-9]{2}$"
_EARLIEST_BIRTH = pl.date(2000, 1, 1)


class _Envelope(dy.Schema):
    """What every record carries, whatever it reports."""

    submission_id = _clinical("sha256 of the file's bytes", nullable=False, regex=r"^[0-9a-f]{64}$")
    row_no = _clinical("line of the file the record was read from, header = 1", dy.Int64, nullable=False, min=1)
    sender_id = _clinical("facility register id of the organisation that sends", nullable=False, max_length=40)
    source_id = _identified("the sender's own id of this record; the same id again is a new version", nullable=False,
                            max_length=200)  # fmt: skip
    action_code = _code("report, correct or cancel", ACTIONS, nullable=False)
    issued_at = _clinical("when the sender issued this version, local time", dy.Datetime)
    received_on = _clinical("day we received it", dy.Date, nullable=False)


class _OfChild(_Envelope):
    """What a record says about which child it is of; none is required alone, one way in is."""

    child_iin = _identified("the child's IIN, 12 digits, if there is one yet")
    mother_iin = _identified("the mother's IIN, 12 digits")
    birth_on = _clinical("date of birth", dy.Date)
    birth_order = _clinical("order of birth in a multiple birth, 1 = first", dy.Int64, min=1, max=9)
    sex_code = _code("male, female or unknown", SEXES)
    maternity_id = _clinical("facility register id of the maternity organisation", max_length=40)
    history_no = _identified("number of the birth history (primary medical record)", max_length=60)
    card_no = _identified("sequence number of the blood-spot card", max_length=60)
    family_name = _identified("the child's family name as sent", max_length=200)
    given_name = _identified("the child's given name as sent; placeholders such as BOY are kept", max_length=200)
    mother_family_name = _identified("the mother's family name as sent", max_length=200)
    mother_given_name = _identified("the mother's given name as sent", max_length=200)

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

    birth_on = _clinical("date of birth", dy.Date, nullable=False)
    birth_order = _clinical("order of birth in a multiple birth, 1 = first", dy.Int64, nullable=False, min=1, max=9)
    sex_code = _code("male, female or unknown", SEXES, nullable=False)
    maternity_id = _clinical("facility register id of the maternity organisation", nullable=False, max_length=40)
    history_no = _identified("number of the birth history (primary medical record)", nullable=False, max_length=60)
    birth_at = _clinical("moment of birth, local time, if known", dy.Datetime)
    plurality = _clinical("children born of this pregnancy", dy.Int64, min=1, max=9)
    birth_weight_g = _clinical("weight at birth, grams", dy.Int64, min=200, max=8000)
    gestation_wk = _clinical("completed weeks of gestation at birth", dy.Int64, min=20, max=45)
    is_complicated = _clinical("complicated perinatal history or unstable condition (O704 p. 100)", dy.Bool)
    residence_kato = _clinical("KATO of the place of residence, 9 digits", regex=_KATO9)
    phc_id = _clinical("facility register id of the primary care organisation of attachment", max_length=40)
    address = _identified("home address as sent", max_length=500)
    phone = _identified("telephone as sent", max_length=60)
    died_on = _clinical("date of death, if the child died", dy.Date)

    @dy.rule()
    def birth_order_above_plurality(cls) -> pl.Expr:
        return pl.col("birth_order") <= pl.col("plurality")

    @dy.rule()
    def died_on_before_birth(cls) -> pl.Expr:
        return pl.col("died_on") >= pl.col("birth_on")


class ScreeningRecord(_OfChild):
    """One result of one component (analyte, ear x method, domain) of a programme."""

    facility_id = _clinical("facility where the child was examined or the sample taken", max_length=40)
    programme = _code("the screening programme", PROGRAMMES, nullable=False)
    component = _clinical("what was measured: tsh, phe, a LOINC code, oae_left, abr_right, motor ...", nullable=False,
                          max_length=80)  # fmt: skip
    stage_code = _code("first, retest of the same sample, repeat sample, diagnostic", STAGES)
    examined_on = _clinical("day of examination or sampling", dy.Date, nullable=False)
    examined_at = _clinical("moment of examination or sampling, local time, if known", dy.Datetime)
    reported_on = _clinical("day the result was issued", dy.Date)
    value = _clinical(
        "numeric result in `unit`; below zero only z-scores (components ending in _z)", dy.Float64, max=1_000_000
    )
    comparator = _code("< or > when the number is a bound", ("<", ">", "<=", ">="))
    unit = _clinical("UCUM unit of `value`, null for counts and means", max_length=40)
    result_code = _code("the sender's coded answer", RESULTS)
    status_code = _code("preliminary, final, corrected or cancelled", STATUSES, nullable=False)
    gestation_wk = _clinical("completed weeks of gestation as sent with the result", dy.Int64, min=20, max=45)
    is_transfused = _clinical("blood product given before sampling: spoils blood-spot results", dy.Bool)
    suggested_icd10 = _clinical("ICD-10 code that stands in the sender's free-text diagnosis: a suggestion, never a diagnosis of ours",
                                regex=rf"^{_ICD10}$")  # fmt: skip

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
    def result_missing(cls) -> pl.Expr:
        said = pl.col("value").is_not_null() | pl.col("result_code").is_not_null()
        return said | (pl.col("status_code") == "cancelled") | (pl.col("action_code") == "cancel")


class ConsentRecord(_OfChild):
    """A representative's decision for one purpose on one day (order KR DSM-54 p. 9)."""

    purpose = _code("what the decision is about", PURPOSES, nullable=False)
    decision = _code("given, refused or withdrawn", DECISIONS, nullable=False)
    decided_on = _clinical("day of the decision", dy.Date, nullable=False)
    valid_until = _clinical("last day of the term, if limited", dy.Date)
    authority_code = _code("by what right the representative acts", AUTHORITIES)
    authority_document = _identified("document that proves the authority (p. 11)", max_length=200)
    representative_iin = _identified("IIN of the representative")
    representative_name = _identified("full name of the representative", max_length=300)
    form_version = _clinical("version of the consent form", max_length=40)

    @dy.rule()
    def representative_iin_checksum(cls) -> pl.Expr:
        return is_valid_iin(pl.col("representative_iin"))

    @dy.rule()
    def decided_on_in_future(cls) -> pl.Expr:
        return pl.col("decided_on") <= pl.col("received_on")

    @dy.rule()
    def decided_on_before_birth(cls) -> pl.Expr:
        return pl.col("decided_on") >= pl.col("birth_on")


class ConfirmationRecord(_OfChild):
    """A health worker's answer to a proposed flag (PDL Art. 19-1: a person confirms)."""

    programme = _code("programme of the flag", PROGRAMMES, nullable=False)
    confirmation = _code("confirmed or rejected", CONFIRMATIONS, nullable=False)
    confirmed_on = _clinical("day of the decision", dy.Date, nullable=False)
    worker_id = _identified("register id of the health worker", nullable=False, max_length=60)

    @dy.rule()
    def confirmed_on_in_future(cls) -> pl.Expr:
        return pl.col("confirmed_on") <= pl.col("received_on")


class PmpcReportRecord(_Envelope):
    """What a PMPC says of a referral: an event on the way, or its conclusion."""

    referral_id = _clinical("id of the referral as sent in the feed", nullable=False, regex=r"^R[0-9a-f]{24}$")
    report_status = _code("BSeR business status", REPORT_STATUSES, nullable=False)
    reported_on = _clinical("day of the event", dy.Date, nullable=False)
    category_codes = _clinical("LAW343 categories concluded, separated by spaces; `none` = no impairment",
                               regex=r"^(" + "|".join(CATEGORIES) + r")( (" + "|".join(CATEGORIES) + r"))*$")  # fmt: skip
    is_severe = _clinical("severe impairment as concluded (LAW343 Art. 1(7))", dy.Bool)
    icd10_codes = _clinical("ICD-10 codes, separated by spaces", regex=r"^[A-Z][0-9]{2}(\.[0-9]{1,2})?( [A-Z][0-9]{2}(\.[0-9]{1,2})?)*$")  # fmt: skip

    @dy.rule()
    def reported_on_in_future(cls) -> pl.Expr:
        return pl.col("reported_on") <= pl.col("received_on")

    @dy.rule()
    def category_codes_missing(cls) -> pl.Expr:
        return (pl.col("report_status") != "7.0") | pl.col("category_codes").is_not_null()


class AggregateRecord(_Envelope):
    """One count of a monthly return (O704 annexes 7, 12, 16, 18): a facility, a month, a row group, a measure."""

    annex = _code("annex of O704 the return follows", ANNEXES, nullable=False)
    facility_id = _clinical("facility the count is of; null = the sender itself", max_length=40)
    period_month = _clinical("first day of the month reported", dy.Date, nullable=False)
    row_group = _code("age group of the form's row, `all` where it has one row", ROW_GROUPS, nullable=False)
    measure = _code("what was counted: the form's column", MEASURES, nullable=False)
    child_count = _clinical("children counted", dy.Int64, nullable=False, min=0, max=10_000_000)

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

_MONTHS = (pl.col("examined_on") - pl.col("birth_on")).dt.total_days() / 30.4375
NOTICES: Mapping[str, Mapping[str, tuple[str, pl.Expr]]] = {
    "screening": {
        "age_at_mchat_outside_window": (
            "examined_on",
            (pl.col("programme") == "autism") & ((_MONTHS < 16) | (_MONTHS >= 31)),
        ),
        "child_over_3": ("examined_on", _MONTHS >= 36),
        "sample_after_transfusion": ("is_transfused", pl.col("is_transfused")),
    },
    "consent": {
        "authority_unproven": (
            "authority_document",
            pl.col("authority_code").is_null()
            | (~pl.col("authority_code").is_in(["mother", "father"]) & pl.col("authority_document").is_null()),
        ),
    },
}
"""Things to look at that refuse nothing: record kind -> finding code -> (column, true where it applies)."""


# ------------------------------------------------------------------------------------------------ reference


class Region(dy.Schema):
    """The 20 regions: KATO prefix = ISO 3166-2 number (reference/regions.csv)."""

    kato2 = _clinical("first two digits of KATO", primary_key=True, nullable=False, regex=_KATO2)
    iso = _clinical("ISO 3166-2 code", nullable=False)
    name_kk = _clinical("name in Kazakh", nullable=False)
    name_ru = _clinical("name in Russian", nullable=False)
    name_en = _clinical("name in English", nullable=False)


class Facility(dy.Schema):
    """An organisation that sends: maternity, primary care, laboratory, surdology."""

    facility_id = _clinical("register id", primary_key=True, nullable=False, max_length=40)
    facility_name = _clinical("name", nullable=False)
    facility_kind = _code("maternity, phc, laboratory, surdology, register", ("maternity", "phc", "laboratory",
                          "surdology", "register", "pmpc"), nullable=False)  # fmt: skip
    kato4 = _clinical("district, first four digits of KATO", nullable=False, regex=_KATO4)


class Pmpc(dy.Schema):
    """A psychological-medical-pedagogical consultation: a receiver of feeds."""

    pmpc_id = _clinical("register id", primary_key=True, nullable=False, max_length=40)
    pmpc_name = _clinical("name", nullable=False)
    kato4 = _clinical("district where it sits", nullable=False, regex=_KATO4)


class Catchment(dy.Schema):
    """Which PMPC a district belongs to, from a day on (decision 13)."""

    kato4 = _clinical("district, first four digits of KATO", primary_key=True, nullable=False, regex=_KATO4)
    pmpc_id = _clinical("the PMPC of that district", nullable=False)
    valid_from = _clinical("first day", dy.Date, primary_key=True, nullable=False)
    valid_to = _clinical("last day, null = still", dy.Date)


class Population(dy.Schema):
    """Children by region, year, sex and age band: denominators, with their source (decision 14)."""

    kato2 = _clinical("region", primary_key=True, nullable=False, regex=_KATO2)
    year = _clinical("1 January of this year", dy.Int64, primary_key=True, nullable=False)
    sex_code = _code("male or female", SEXES, primary_key=True, nullable=False)
    age_band = _code("0, 1, 2 or 0-17", ("0", "1", "2", "0-17"), primary_key=True, nullable=False)
    child_count = _clinical("children", dy.Int64, nullable=False, min=0)
    source = _clinical("where the figure comes from", nullable=False)


REFERENCE: Mapping[str, type[dy.Schema]] = {
    "facility": Facility,
    "pmpc": Pmpc,
    "catchment": Catchment,
    "population": Population,
}


# ------------------------------------------------------------------------------------------------ the lake


class _Kept(dy.Schema):
    """When we held a version true: `known_from` <= day < `known_to` (null = still)."""

    known_from = _clinical("first day we knew this version", dy.Date, nullable=False)
    known_to = _clinical("day it was superseded; null = still held true", dy.Date)


class _KeptRecord(_Kept):
    """A version of a record a sender delivered."""

    record_key = _clinical("63-bit key of the record: sender + source id + component", dy.Int64, nullable=False)
    version_at = _clinical("order of versions: issue moment, else day received", dy.Datetime, nullable=False)
    version_rank = _clinical("of versions issued at once: 0 preliminary, 1 final, 2 corrected, 3 cancelled", dy.Int64,
                             nullable=False)  # fmt: skip
    content_hash = _clinical("hash of the version's content, settles the rest", dy.Int64, nullable=False)
    submission_id = _clinical("submission it came in", nullable=False)
    row_no = _clinical("row of that submission", dy.Int64, nullable=False)
    child_key = _clinical("our pseudonym for the child", dy.Int64, nullable=False)
    is_cancelled = _clinical("the sender withdrew the record", dy.Bool, nullable=False)


class IdentifiedBirth(_KeptRecord):
    """identified.birth: every version of every birth record, with the child it is of."""

    sender_id = _clinical("who sent it", nullable=False)
    source_id = _identified("the sender's id of the record", nullable=False)
    child_iin = _identified("the child's IIN as sent with the birth")
    mother_iin = _identified("the mother's IIN")
    birth_on = _clinical("date of birth", dy.Date, nullable=False)
    birth_order = _clinical("order of birth", dy.Int64, nullable=False)
    plurality = _clinical("children born of the pregnancy", dy.Int64)
    sex_code = _clinical("sex", nullable=False)
    maternity_id = _clinical("maternity organisation", nullable=False)
    history_no = _identified("birth history number", nullable=False)
    family_name = _identified("family name")
    given_name = _identified("given name")
    mother_family_name = _identified("mother's family name")
    mother_given_name = _identified("mother's given name")
    address = _identified("home address")
    phone = _identified("telephone")
    residence_kato = _identified("KATO of residence, 9 digits")


class IdentifiedIin(_Kept):
    """identified.iin: an IIN learned for a child after birth, from a record that also named the birth."""

    child_key = _clinical("child", dy.Int64, nullable=False)
    child_iin = _identified("IIN", nullable=False)


class IdentifiedDecision(_Kept):
    """identified.decision: which child a birth record is of, where a person decided it (erte merge, erte unmerge)."""

    record_key = _clinical("key of the birth record", dy.Int64, nullable=False)
    child_key = _clinical("the child it is of, whatever linkage would say", dy.Int64, nullable=False)
    earlier_key = _clinical("the child it was of before the decision", dy.Int64, nullable=False)
    decision = _code("merge or unmerge", ("merge", "unmerge"), nullable=False)


class IdentifiedConsent(_KeptRecord):
    """identified.consent: who decided, and by what document; the decision itself is in clinical.consent."""

    representative_iin = _identified("IIN of the representative")
    representative_name = _identified("name of the representative")
    authority_document = _identified("document of authority")


class IdentifiedWaiting(_Kept):
    """identified.waiting: accepted records whose child is not known yet, with the reason; tried every run."""

    record_kind = _clinical("screening, consent, confirmation or pmpc_report", nullable=False)
    record_key = _clinical("key of the record", dy.Int64, nullable=False)
    submission_id = _clinical("submission", nullable=False)
    row_no = _clinical("row", dy.Int64, nullable=False)
    reason = _clinical("child_unknown, twin_ambiguous, keys_disagree, referral_unknown", nullable=False)
    record = _identified("the judged record as JSON", nullable=False)


class IdentifiedQuarantine(dy.Schema):
    """identified.quarantine: refused rows as sent."""

    submission_id = _clinical("submission", nullable=False)
    row_no = _clinical("row", dy.Int64, nullable=False)
    source_id = _identified("the sender's id of the record, if readable")
    row_text = _identified("the row as sent, JSON: the sender's column -> the sent text", nullable=False)


class ClinicalBirth(_KeptRecord):
    """clinical.birth: one current row a child: what matters for ages, catchments and denominators."""

    birth_on = _clinical("date of birth", dy.Date, nullable=False)
    birth_at = _clinical("moment of birth", dy.Datetime)
    sex_code = _clinical("sex", nullable=False)
    birth_order = _clinical("order of birth", dy.Int64, nullable=False)
    plurality = _clinical("children born of the pregnancy", dy.Int64)
    birth_weight_g = _clinical("grams", dy.Int64)
    gestation_wk = _clinical("completed weeks", dy.Int64)
    is_complicated = _clinical("complicated perinatal history", dy.Bool)
    kato4 = _clinical("district of residence, four digits of KATO")
    maternity_id = _clinical("maternity organisation", nullable=False)
    phc_id = _clinical("primary care organisation")
    died_on = _clinical("date of death", dy.Date)


class ClinicalScreening(_KeptRecord):
    """clinical.screening: every version of every result."""

    programme = _clinical("programme", nullable=False)
    component = _clinical("component", nullable=False)
    stage_code = _clinical("first, retest, repeat, diagnostic")
    examined_on = _clinical("day of examination", dy.Date, nullable=False)
    examined_at = _clinical("moment of examination", dy.Datetime)
    reported_on = _clinical("day of the result", dy.Date)
    value = _clinical("number in `unit`", dy.Float64)
    comparator = _clinical("bound")
    unit = _clinical("UCUM")
    result_code = _clinical("the sender's coded answer")
    status_code = _clinical("preliminary, final, corrected, cancelled", nullable=False)
    is_transfused = _clinical("blood product before sampling", dy.Bool)
    facility_id = _clinical("where the child was examined")
    suggested_icd10 = _clinical("ICD-10 code suggested by the sender's free text; nothing is decided by it")
    birth_on = _clinical("the child's date of birth: files are sorted and pruned by it", dy.Date, nullable=False)


class ClinicalConsent(_KeptRecord):
    """clinical.consent: decisions by purpose."""

    purpose = _clinical("purpose", nullable=False)
    decision = _clinical("given, refused, withdrawn", nullable=False)
    decided_on = _clinical("day", dy.Date, nullable=False)
    valid_until = _clinical("last day of the term", dy.Date)
    authority_code = _clinical("by what right")
    has_authority_document = _clinical("a document of authority was named", dy.Bool, nullable=False)
    form_version = _clinical("form version")


class ClinicalConfirmation(_KeptRecord):
    """clinical.confirmation: a health worker's answer to a flag."""

    programme = _clinical("programme", nullable=False)
    confirmation = _clinical("confirmed or rejected", nullable=False)
    confirmed_on = _clinical("day", dy.Date, nullable=False)


class ClinicalPmpcReport(_KeptRecord):
    """clinical.pmpc_report: events and conclusions of referrals."""

    referral_id = _clinical("referral", nullable=False)
    report_status = _clinical("BSeR status", nullable=False)
    reported_on = _clinical("day", dy.Date, nullable=False)
    category_codes = _clinical("categories concluded")
    is_severe = _clinical("severe", dy.Bool)
    icd10_codes = _clinical("ICD-10 codes")


class ClinicalAggregate(_Kept):
    """clinical.aggregate: every version of every count of the monthly returns; of no child."""

    record_key = _clinical("63-bit key: sender, annex, facility, month, row group and measure", dy.Int64, nullable=False)
    version_at = _clinical("order of versions: issue moment, else day received", dy.Datetime, nullable=False)
    version_rank = _clinical("of versions issued at once: 1 plain, 2 corrected, 3 cancelled", dy.Int64, nullable=False)
    content_hash = _clinical("hash of the version's content, settles the rest", dy.Int64, nullable=False)
    submission_id = _clinical("submission it came in", nullable=False)
    row_no = _clinical("row of that submission", dy.Int64, nullable=False)
    is_cancelled = _clinical("the sender withdrew the count", dy.Bool, nullable=False)
    sender_id = _clinical("who sent the return", nullable=False)
    annex = _clinical("annex of O704", nullable=False)
    facility_id = _clinical("facility the count is of; null = the sender itself")
    period_month = _clinical("first day of the month reported", dy.Date, nullable=False)
    row_group = _clinical("age group of the form's row", nullable=False)
    measure = _clinical("what was counted", nullable=False)
    child_count = _clinical("children counted", dy.Int64, nullable=False)


class Verdict(_Kept):
    """clinical.verdict: what the protocol in force makes of a child in a programme."""

    child_key = _clinical("child", dy.Int64, nullable=False)
    programme = _clinical("programme", nullable=False)
    verdict = _code(
        "clear, repeat_due or risk; null = results, but none that decides yet", ("clear", "repeat_due", "risk")
    )
    first_examined_on = _clinical("first examination of the programme", dy.Date, nullable=False)
    last_examined_on = _clinical("last examination of the programme", dy.Date, nullable=False)
    decided_on = _clinical("examination that decided", dy.Date)
    repeat_due_on = _clinical("day by which the repeat is due", dy.Date)
    is_first_positive = _clinical("the first examination was not clear (refer rate)", dy.Bool, nullable=False)
    is_in_window = _clinical("the first examination lies in the protocol's age window", dy.Bool)
    result_count = _clinical("results held", dy.Int64, nullable=False)
    birth_on = _clinical("the child's date of birth", dy.Date, nullable=False)


class Flag(_Kept):
    """clinical.flag: a verdict of risk for a child under 3, with the rule, its version and its inputs."""

    flag_id = _clinical("F + 24 hex digits of child, programme, disorder and rule", nullable=False)
    child_key = _clinical("child", dy.Int64, nullable=False)
    programme = _clinical("programme", nullable=False)
    disorder = _clinical("component or disorder the rule is about", nullable=False)
    rule_code = _clinical("rule of the protocol", nullable=False)
    protocol = _clinical("protocol folder and file, for example order-704/2022-11-01", nullable=False)
    paragraph = _clinical("paragraph of the act", nullable=False)
    examined_on = _clinical("examination that raised it", dy.Date, nullable=False)
    age_days = _clinical("age on that day, days", dy.Int64, nullable=False)
    inputs = _clinical("JSON: the results the rule saw (component, value, unit, result, date)", nullable=False)


class Placement(_Kept):
    """clinical.placement: the one place where a flag is (law 4)."""

    flag_id = _clinical("flag", nullable=False)
    child_key = _clinical("child", dy.Int64, nullable=False)
    place = _code(
        "withheld, referred, aged_out or closed", ("withheld", "referred", "aged_out", "closed"), nullable=False
    )
    reason = _clinical("why it is there; for withheld what is lacking", nullable=False)
    owner_id = _clinical("facility whose worklist it is on")
    referral_id = _clinical("referral, when referred")


class Referral(dy.Schema):
    """clinical.referral: one child to one PMPC in one sealed feed; a recall is a row of its own."""

    referral_id = _clinical("R + 24 hex digits of child and episode", nullable=False)
    item_kind = _code("referral or recall", ("referral", "recall"), nullable=False)
    child_key = _clinical("child", dy.Int64, nullable=False)
    episode_no = _clinical("the child's n-th referral", dy.Int64, nullable=False)
    pmpc_id = _clinical("receiver", nullable=False)
    feed_no = _clinical("number of the feed of that PMPC", dy.Int64, nullable=False)
    composed_on = _clinical("night", dy.Date, nullable=False)
    consent_key = _clinical("record key of the consent in force", dy.Int64, nullable=False)
    flag_ids = _clinical("flags referred, separated by spaces", nullable=False)


class Submission(dy.Schema):
    """ledger.submission: one file from one sender and what became of it."""

    submission_id = _clinical("sha256 of the bytes", nullable=False)
    file_name = _clinical("name as received", nullable=False)
    received_on = _clinical("day", dy.Date, nullable=False)
    size_bytes = _clinical("bytes", dy.Int64, nullable=False)
    layout = _clinical("layout it was read by")
    record_kind = _clinical("kind of its records")
    sender_id = _clinical("sender, where the file has one")
    status = _code("accepted, partly_accepted, refused, held or returned", ("accepted", "partly_accepted", "refused", "held",
                   "returned"), nullable=False)  # fmt: skip
    refusal_code = _clinical("why the whole file is refused")
    received_count = _clinical("rows read", dy.Int64, nullable=False)
    accepted_count = _clinical("rows accepted", dy.Int64, nullable=False)
    quarantined_count = _clinical("rows refused", dy.Int64, nullable=False)
    waiting_count = _clinical("of the accepted, waiting for their child at commit", dy.Int64, nullable=False)
    run_id = _clinical("run that committed it", nullable=False)


class Finding(dy.Schema):
    """ledger.finding: a code on a row; never a value."""

    submission_id = _clinical("submission", nullable=False)
    row_no = _clinical("row, null = the whole file", dy.Int64)
    column = _clinical("our column; of a header (unknown, absent, of one of several totals) the header in the file")
    code = _clinical("finding code", nullable=False)
    severity = _code("error refuses the row; warning and info do not", ("error", "warning", "info"), nullable=False)
    detail = _clinical("counts that explain it (declared, computed, difference); never another value of a row")


class Profile(dy.Schema):
    """ledger.profile: what a later batch of the same sender is compared with, so that no old row is read again."""

    sender_id = _clinical("sender", nullable=False)
    record_kind = _clinical("kind of its records", nullable=False)
    received_on = _clinical("day: files are pruned by it", dy.Date, nullable=False)
    submission_id = _clinical("submission", nullable=False)
    measure = _clinical("timeliness_days, completeness_<column>, median_<component>, count_<component>", nullable=False)
    value = _clinical("number of the whole submission", dy.Float64, nullable=False)


class SenderCode(dy.Schema):
    """ledger.sender_code: the first time a sender used a code of a list; grows by vocabulary, not by nights."""

    sender_id = _clinical("sender", nullable=False)
    record_kind = _clinical("kind of its records", nullable=False)
    code = _clinical("column=code, for example component=tsh", nullable=False)
    submission_id = _clinical("submission that used it first", nullable=False)
    first_on = _clinical("day it was received", dy.Date, nullable=False)


class Resent(dy.Schema):
    """ledger.resent: a refused row that came again in a later run, and how it fared then; it is what closes findings."""

    submission_id = _clinical("submission of the refused row", nullable=False)
    row_no = _clinical("the refused row", dy.Int64, nullable=False)
    outcome = _code("accepted or refused_again", ("accepted", "refused_again"), nullable=False)
    resent_in = _clinical("the later submission", nullable=False)
    resent_on = _clinical("day it was received", dy.Date, nullable=False)


class Feed(dy.Schema):
    """ledger.feed: the numbered nightly delivery to one PMPC."""

    pmpc_id = _clinical("receiver", nullable=False)
    feed_no = _clinical("1, 2, 3 ... without gaps", dy.Int64, nullable=False)
    composed_on = _clinical("night", dy.Date, nullable=False)
    item_count = _clinical("items", dy.Int64, nullable=False)
    referral_count = _clinical("of them referrals", dy.Int64, nullable=False)
    recall_count = _clinical("of them recalls", dy.Int64, nullable=False)
    zero_reason = _clinical("why nothing: no_flags, consent_pending, no_arrivals")
    content_hash = _clinical("sha256 over the content files", nullable=False)
    previous_hash = _clinical("content hash of the feed before; 64 zeros for the first", nullable=False)


class Event(dy.Schema):
    """ledger.event: the audit chain; each row carries the hash of the row before."""

    event_no = _clinical("1, 2, 3 ...", dy.Int64, nullable=False)
    happened_at = _clinical("moment, UTC", dy.Datetime, nullable=False)
    kind = _clinical("commit, hold, release, return, refer, publish, read_identified, maintain, merge, unmerge", nullable=False)
    subject = _clinical("run, submission or child it is about", nullable=False)
    detail = _clinical("JSON of counts; of a decision the person and the reason", nullable=False)
    previous_hash = _clinical("hash of the event before", nullable=False)
    event_hash = _clinical("sha256 of this row and the hash before", nullable=False)


LAKE: Mapping[str, type[dy.Schema]] = {
    "identified.birth": IdentifiedBirth,
    "identified.iin": IdentifiedIin,
    "identified.decision": IdentifiedDecision,
    "identified.consent": IdentifiedConsent,
    "identified.waiting": IdentifiedWaiting,
    "identified.quarantine": IdentifiedQuarantine,
    "clinical.birth": ClinicalBirth,
    "clinical.screening": ClinicalScreening,
    "clinical.consent": ClinicalConsent,
    "clinical.confirmation": ClinicalConfirmation,
    "clinical.pmpc_report": ClinicalPmpcReport,
    "clinical.aggregate": ClinicalAggregate,
    "clinical.verdict": Verdict,
    "clinical.flag": Flag,
    "clinical.placement": Placement,
    "clinical.referral": Referral,
    "ledger.submission": Submission,
    "ledger.finding": Finding,
    "ledger.profile": Profile,
    "ledger.sender_code": SenderCode,
    "ledger.resent": Resent,
    "ledger.feed": Feed,
    "ledger.event": Event,
}


def describe_degree(contract: type[dy.Schema]) -> dict[str, str]:
    """Column -> degree of identity, as declared."""
    return {name: (column.metadata or {})["degree"] for name, column in contract.columns().items()}
