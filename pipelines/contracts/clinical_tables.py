"""Tables of the lake that say what was found, decided and sent, by our pseudonym for the child."""

import dataframely as dy

from pipelines.contracts.columns import clinical, coded
from pipelines.contracts.kept import DOCUMENT_AT, DOCUMENT_KEY, VERSION_AT, Kept, KeptRecord


class ClinicalBirth(KeptRecord):
    """clinical.birth: one current row a child: what matters for ages, catchments and denominators."""

    birth_on = clinical("date of birth", dy.Date, nullable=False)
    birth_at = clinical("moment of birth", dy.Datetime)
    sex_code = clinical("sex", nullable=False)
    birth_order = clinical("order of birth", dy.Int64, nullable=False)
    plurality = clinical("children born of the pregnancy", dy.Int64)
    birth_weight_g = clinical("grams", dy.Int64)
    gestation_wk = clinical("completed weeks", dy.Int64)
    is_complicated = clinical("complicated perinatal history", dy.Bool)
    kato4 = clinical("district of residence, four digits of KATO")
    maternity_id = clinical("maternity organisation", nullable=False)
    phc_id = clinical("primary care organisation")
    died_on = clinical("date of death", dy.Date)


class ClinicalScreening(KeptRecord):
    """clinical.screening: every version of every result."""

    programme = clinical("programme", nullable=False)
    component = clinical("component", nullable=False)
    stage_code = clinical("first, retest, repeat, diagnostic")
    examined_on = clinical("day of examination", dy.Date, nullable=False)
    examined_at = clinical("moment of examination", dy.Datetime)
    reported_on = clinical("day of the result", dy.Date)
    value = clinical("number in `unit`", dy.Float64)
    comparator = clinical("bound")
    unit = clinical("UCUM")
    result_code = clinical("the sender's coded answer")
    status_code = clinical("preliminary, final, corrected, cancelled", nullable=False)
    gestation_wk = clinical("completed weeks as sent with the result: they correct the age where the birth record has none", dy.Int64)
    is_transfused = clinical("blood product before sampling", dy.Bool)
    facility_id = clinical("where the child was examined")
    suggested_icd10 = clinical("ICD-10 code suggested by the sender's free text; nothing is decided by it")
    birth_on = clinical("the child's date of birth: files are sorted and pruned by it", dy.Date, nullable=False)


class ClinicalConsent(KeptRecord):
    """clinical.consent: decisions by purpose."""

    purpose = clinical("purpose", nullable=False)
    decision = clinical("given, refused, withdrawn", nullable=False)
    decided_on = clinical("day", dy.Date, nullable=False)
    valid_until = clinical("last day of the term", dy.Date)
    authority_code = clinical("by what right")
    has_authority_document = clinical("a document of authority was named", dy.Bool, nullable=False)
    form_version = clinical("form version")
    document_at = clinical(DOCUMENT_AT, dy.Datetime)
    document_key = clinical(DOCUMENT_KEY, dy.Int64)


class ConsentDoubt(Kept):
    """clinical.consent_doubt: a consent of which something came that could not be taken, and may end it; none is in force while it lasts."""

    submission_id = clinical("submission of the row that was not taken", nullable=False)
    row_no = clinical("that row", dy.Int64, nullable=False)
    record_key = clinical("the consent", dy.Int64, nullable=False)
    content_hash = clinical("what it says: when it says something else, it is in doubt no more", dy.Int64, nullable=False)
    child_key = clinical("its child", dy.Int64, nullable=False)


class ClinicalConfirmation(KeptRecord):
    """clinical.confirmation: a health worker's answer to a flag."""

    programme = clinical("programme", nullable=False)
    confirmation = clinical("confirmed or rejected", nullable=False)
    confirmed_on = clinical("day", dy.Date, nullable=False)


class ClinicalPmpcReport(KeptRecord):
    """clinical.pmpc_report: events and conclusions of referrals."""

    referral_id = clinical("referral", nullable=False)
    report_status = clinical("BSeR status", nullable=False)
    reported_on = clinical("day", dy.Date, nullable=False)
    category_codes = clinical("categories concluded")
    is_severe = clinical("severe", dy.Bool)
    icd10_codes = clinical("ICD-10 codes")
    document_at = clinical(DOCUMENT_AT, dy.Datetime)
    document_key = clinical(DOCUMENT_KEY, dy.Int64)


class ClinicalAggregate(Kept):
    """clinical.aggregate: every version of every count of the monthly returns; of no child."""

    record_key = clinical("63-bit key: sender, annex, facility, month, row group and measure", dy.Int64, nullable=False)
    version_at = clinical(VERSION_AT, dy.Datetime, nullable=False)
    version_rank = clinical("of versions issued at once: 1 plain, 2 corrected, 3 cancelled", dy.Int64, nullable=False)
    content_hash = clinical("hash of the version's content, settles the rest", dy.Int64, nullable=False)
    submission_id = clinical("submission it came in", nullable=False)
    row_no = clinical("row of that submission", dy.Int64, nullable=False)
    is_cancelled = clinical("the sender withdrew the count", dy.Bool, nullable=False)
    sender_id = clinical("who sent the return", nullable=False)
    annex = clinical("annex of O704", nullable=False)
    facility_id = clinical("facility the count is of; null = the sender itself")
    period_month = clinical("first day of the month reported", dy.Date, nullable=False)
    row_group = clinical("age group of the form's row", nullable=False)
    measure = clinical("what was counted", nullable=False)
    child_count = clinical("children counted", dy.Int64, nullable=False)


class Verdict(Kept):
    """clinical.verdict: what the protocol in force makes of a child in a programme."""

    child_key = clinical("child", dy.Int64, nullable=False)
    programme = clinical("programme", nullable=False)
    verdict = coded(
        "clear, repeat_due or risk; null = results, but none that decides yet", ("clear", "repeat_due", "risk")
    )
    first_examined_on = clinical(
        "first usable examination of the programme; null = none (declined, not done, spoiled, pending)", dy.Date
    )
    last_examined_on = clinical("last result of the programme, usable or not", dy.Date, nullable=False)
    last_usable_on = clinical("last usable examination of the programme; null = none", dy.Date)
    decided_on = clinical("examination that decided", dy.Date)
    repeat_due_on = clinical("day by which the repeat is due", dy.Date)
    recall_due_on = clinical("day by which the first repeat that was asked for by a clock was due; null = none was", dy.Date)
    recalled_on = clinical("day by which it was there, usable, of each disorder that it was asked for; null = not yet", dy.Date)
    suspected = clinical("disorders that a usable examination puts above clear, in the order of the alphabet, parted by spaces; null = none")
    is_first_positive = clinical("the first usable examination was not clear (refer rate)", dy.Bool, nullable=False)
    is_in_window = clinical("the first usable examination lies in the protocol's age window", dy.Bool)
    result_count = clinical("results held", dy.Int64, nullable=False)
    birth_on = clinical("the child's date of birth", dy.Date, nullable=False)


class Flag(Kept):
    """clinical.flag: a verdict of risk for a child under 3, with the rule, its version and its inputs."""

    flag_id = clinical("F + 24 hex digits of child, programme, disorder and rule", nullable=False)
    child_key = clinical("child", dy.Int64, nullable=False)
    programme = clinical("programme", nullable=False)
    disorder = clinical("component or disorder the rule is about", nullable=False)
    rule_code = clinical("rule of the protocol", nullable=False)
    protocol = clinical("protocol folder and file, for example order-704/2022-11-01", nullable=False)
    paragraph = clinical("paragraph of the act", nullable=False)
    examined_on = clinical("examination that raised it", dy.Date, nullable=False)
    last_risk_on = clinical("last examination under 3 that found the same: a rejection before it does not answer it", dy.Date)
    age_days = clinical("age on that day, days", dy.Int64, nullable=False)
    inputs = clinical("JSON: the results the rule saw (component, value, unit, result, date)", nullable=False)


class Placement(Kept):
    """clinical.placement: the one place where a flag is (law 4)."""

    flag_id = clinical("flag", nullable=False)
    child_key = clinical("child", dy.Int64, nullable=False)
    place = coded(
        "withheld, referred, aged_out or closed", ("withheld", "referred", "aged_out", "closed"), nullable=False
    )
    reason = clinical("why it is there; for withheld what is lacking", nullable=False)
    owner_id = clinical("facility whose worklist it is on; null = none of the register's")
    referral_id = clinical("referral, when referred")


class Referral(dy.Schema):
    """clinical.referral: one child to one PMPC in one sealed feed; a recall is a row of its own."""

    referral_id = clinical("R + 24 hex digits of child and episode", nullable=False)
    item_kind = coded("referral or recall", ("referral", "recall"), nullable=False)
    child_key = clinical("child", dy.Int64, nullable=False)
    episode_no = clinical("the child's n-th referral", dy.Int64, nullable=False)
    pmpc_id = clinical("receiver", nullable=False)
    feed_no = clinical("number of the feed of that PMPC", dy.Int64, nullable=False)
    composed_on = clinical("night", dy.Date, nullable=False)
    consent_key = clinical("record key of the consent in force", dy.Int64, nullable=False)
    flag_ids = clinical("flags referred, separated by spaces", nullable=False)
