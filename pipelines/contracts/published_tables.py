"""Tables of the published warehouse (`PUBLISHED`): what readers are promised, with keys, checks and meaning.

`CHECKS` of a class are promises about a whole row, as SQL; all promises are kept by DuckDB when a release is built.
"""

from collections.abc import Mapping
from typing import ClassVar

import dataframely as dy

from pipelines.contracts.codes import DECISIONS
from pipelines.contracts.columns import KATO2, count, published
from pipelines.contracts.indicator_tables import Indicator, IndicatorDefinition, PublishedIndicator

_VERDICT = (
    "verdict: clear, repeat_due, risk; undecided = usable results that do not decide (one analyte, one ear); "
    "not_examined = results, none usable (declined, not done, spoiled, pending); null = no result"
)


class Region(dy.Schema):
    """region: The 20 regions; kato2 = first two digits of KATO = number of ISO 3166-2."""

    kato2 = published("first two digits of KATO", primary_key=True, regex=KATO2)
    iso = published("ISO 3166-2 code", unique=True, nullable=False)
    name_kk = published("name in Kazakh", nullable=False)
    name_ru = published("name in Russian", nullable=False)
    name_en = published("name in English", nullable=False)


class Pathway(dy.Schema):
    """pathway: One row a child of the spine: born, screened, flagged, consented, referred, seen, concluded; no identifiers.

    One table a year of birth (pathway_<year>); view pathway is all of them with age_months. A year of whose children nothing
    was learned is taken over from the release before as it stands: no column may change by the day alone, as age does.
    """

    pathway_no = published(
        "number within the year of birth and this release only; in a secret order, leads back to no child",
        dy.Int64,
        primary_key=True,
    )
    kato2 = published("region of residence", references="region (kato2)")
    kato4 = published("district of residence")
    birth_month = published("first day of the month of birth", dy.Date, nullable=False)
    birth_year = published("year of birth", dy.Int32, nullable=False)
    sex_code = published("male, female or unknown")
    is_multiple = published("born of a multiple pregnancy", dy.Bool, nullable=False)
    weight_band = published(
        "weight at birth, grams: under 1500, 1500-1999, 2000-2499, 2500 and over, unknown", nullable=False
    )
    gestation_band = published("completed weeks: under 28, 28-31, 32-36, 37 and over, unknown", nullable=False)
    is_rop_at_risk = published(
        "at risk of retinopathy of prematurity by the protocol in force at birth (O704 p. 100: weight, gestation, complicated history)",
        dy.Bool,
        nullable=False,
    )
    is_dead = published("a date of death is known", dy.Bool, nullable=False)
    blood_spot = published(_VERDICT)
    hearing = published(_VERDICT)
    development = published(_VERDICT)
    autism = published(_VERDICT)
    eyes = published(_VERDICT)
    phenotype = published(_VERDICT)
    is_blood_spot_in_window = published("first usable sample at the age the order asks for", dy.Bool)
    is_hearing_in_window = published("first usable hearing test at the age the order asks for", dy.Bool)
    is_blood_spot_recall_due = published(
        "the last day for the first repeat sample (10 days from the sampling by O704) was over when the month of the release began; "
        "null = no repeat was ever asked for",
        dy.Bool,
    )
    is_blood_spot_recall_in_time = published("it was taken by that day, usable; false = later, or not yet; null = as above", dy.Bool)
    examined_programmes = published(
        "programmes in which the child was examined while under 3 years (LAW343 Art. 1(3)), usable, separated by spaces", nullable=False
    )
    positive_programmes = published(
        "programmes whose first usable examination was not clear, separated by spaces", nullable=False
    )
    is_flagged = published("risk group: a verdict of risk under 3 years", dy.Bool, nullable=False)
    flag_programmes = published("programmes of the flags, separated by spaces", nullable=False)
    flagged_age_days = published("age at the first flag, days", dy.Int32)
    consent = published(
        "state of the consent of a flagged child to the PMPC referral, by the consent gate; given = in force, or was when it was sent; "
        "pending = no decision, or a consent expired or given without proven authority (place_reason of a withheld child)",
        codes=(*DECISIONS, "pending"),
    )
    consent_delay_days = published(
        "days from the flag to the first decision, whatever it was; 0 = decided before the flag too; null = none", dy.Int32
    )
    is_consent_late = published(
        "first decided more than 30 days after the flag, or undecided for more than 30 days when the month of the release began",
        dy.Bool,
    )
    is_consent_due = published("flagged more than 30 days before the month of the release began: a decision may be late", dy.Bool)
    place = published(
        "where the flag is: withheld, referred, aged_out, closed", codes=("withheld", "referred", "aged_out", "closed")
    )
    place_reason = published("why it is there")
    is_referred = published("sent to a PMPC in a feed", dy.Bool, nullable=False)
    referred_delay_days = published("days from the flag to the first feed with a flag that is held still; null = none", dy.Int32)
    is_visit_due = published("sent more than 60 days ago, of what is awaited or else the first time; null = not sent", dy.Bool)
    is_seen = published("the PMPC reported a visit or a conclusion", dy.Bool, nullable=False)
    is_awaited = published(
        "sent, and a visit is to come: not seen, not dead, the referral neither recalled nor declined (4.0) or cancelled (6.0) by the PMPC",
        dy.Bool,
        nullable=False,
    )
    is_unattended = published("awaited, and the last word of the PMPC is that nobody came", dy.Bool, nullable=False)
    is_overdue = published("awaited, and sent more than 60 days ago", dy.Bool, nullable=False)
    is_concluded = published("the PMPC concluded", dy.Bool, nullable=False)
    concluded_programmes = published("programmes of the flags of a referral that the PMPC concluded, separated by spaces", nullable=False)
    confirmed_programmes = published("of them those of a referral whose conclusion was an impairment, separated by spaces", nullable=False)
    category_codes = published(
        "LAW343 Art. 1(4)-(5) categories concluded, separated by spaces: of each referral its last conclusion, of several referrals all "
        "that they found; none = nothing"
    )
    impairment = published(
        "by category_codes: none, physical, mental or complex (both; LAW343 Art. 1(6)); null = not concluded",
        codes=("none", "physical", "mental", "complex"),
    )
    is_severe = published("an impairment was concluded to be severe (LAW343 Art. 1(7)); null = none, or not stated", dy.Bool)

    CHECKS: ClassVar = (
        "day(birth_month) = 1",
        "birth_year = year(birth_month)",
        "not is_referred or is_flagged or place is null",
        "(is_blood_spot_recall_due is null) = (is_blood_spot_recall_in_time is null)",
        "(consent is null) = not is_flagged",
        "(is_consent_late is null) = not is_flagged",
        "(is_consent_due is null) = not is_flagged",
        "consent_delay_days >= 0",
        "consent_delay_days is not null or consent is null or consent = 'pending'",
        "referred_delay_days >= 0",
        "(is_visit_due is null) = not is_referred",
        "not is_awaited or not is_seen",
        "not is_overdue or is_visit_due",
        "is_awaited or not is_unattended and not is_overdue",
    )


class FacilityMonth(dy.Schema):
    """facility_month: One row an organisation, its role and month of birth: children born or attached there, screened, flagged; sum within one role."""

    facility_id = published("register id of the organisation", primary_key=True)
    role = published(
        "maternity: the children were born there; phc: it is their primary care organisation",
        primary_key=True,
        codes=("maternity", "phc"),
    )
    month = published("month of birth", dy.Date, primary_key=True)
    facility_kind = published("kind by the register; null = not in the register")
    kato4 = published("district of the facility")
    birth_count = count("children of the spine born there, or attached to it")
    flagged_count = count("of them flagged")
    screened_count = count("of them with a usable examination in any programme")

    CHECKS: ClassVar = ("day(month) = 1", "flagged_count <= birth_count", "screened_count <= birth_count")


class DataQuality(dy.Schema):
    """data_quality: One row a day of receipt and kind of record: what came, what was refused, what waits for its child."""

    received_on = published("day of receipt", dy.Date, primary_key=True)
    record_kind = published(
        "birth, screening, consent, confirmation, pmpc_report, aggregate, unknown", primary_key=True
    )
    file_count = count("files")
    refused_file_count = count("of them refused whole")
    received_count = count("rows read")
    accepted_count = count("rows accepted")
    quarantined_count = count("rows refused")
    waiting_count = count("accepted rows whose child was not known on the day")

    CHECKS: ClassVar = ("received_count = accepted_count + quarantined_count",)


class Denominator(dy.Schema):
    """denominator: One row a region (KZ = nation) and year: births of the spine, of facilities' returns and of the Bureau, side by side (decision 14)."""

    kato2 = published("region, unknown = of no known region, KZ = the nation, with them", primary_key=True)
    birth_year = published("year of birth", dy.Int32, primary_key=True)
    spine_births = count("births in the spine, by residence")
    unplaced_births = count(
        "of them with a code of residence that is of no region, as 51 is (South Kazakhstan until 2018: it became 61 and 79, and which is not told)"
    )
    declared_births = published("newborns that facilities declared (annex 7), by the facility's region; null = no return", dy.Int64)
    declaring_count = count("facilities that sent such a return for any month of the year")
    bureau_births = published("live births by the population register (age band births); null = not in it", dy.Int64)
    register_children = published(
        "children aged 0 by the population register on 1 January after the year; null = not in it", dy.Int64
    )
    source = published("where the figures of the population register come from")


class PmpcNetwork(dy.Schema):
    """published.pmpc_network: One row a region (KZ = nation) and year: PMPCs by the registers beside the norm of LAW343 Art. 8(3) (decision 13); of no child."""

    kato2 = published("region where the PMPC sits, KZ = the nation", primary_key=True)
    year = published("year of the population register", dy.Int64, primary_key=True)
    pmpc_count = count("PMPCs with a catchment in force at the end of the year, or on the day of the release")
    child_count = count("children under 18 on 1 January by the population register")
    norm = published("children for whom there is to be one PMPC (ERTE_CHILDREN_PER_PMPC)", dy.Int64, nullable=False)
    pmpc_per_norm = published("PMPCs per so many children: 1 and more reaches the norm", dy.Float64)
    pmpc_needed = count("PMPCs that the norm asks for")
    source = published("where the number of children comes from", nullable=False)


class Release(dy.Schema):
    """release: One row: the day as known on which everything here is told."""

    known_on = published("as known on", dy.Date, primary_key=True)
    protocol = published("folder of the protocols in force", nullable=False)
    child_count = count("rows of pathway")
    small_count = count("published counts of 1..small_count are hidden below the nation")
    rounding = count("other published counts below the nation are rounded to this")
    definitions = published(
        "hash of what the figures are made by: definitions, registers, limits; a later release takes years over only where it is equal",
        nullable=False,
    )


PUBLISHED: Mapping[str, type[dy.Schema]] = {
    "region": Region,
    "pathway": Pathway,
    "facility_month": FacilityMonth,
    "data_quality": DataQuality,
    "denominator": Denominator,
    "indicator_definition": IndicatorDefinition,
    "indicator": Indicator,
    "published.indicator": PublishedIndicator,
    "published.pmpc_network": PmpcNetwork,
    "release": Release,
}
"""In the order in which they are made: a table comes after those it refers to."""
