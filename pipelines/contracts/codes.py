"""Closed lists of codes: one place for each, whoever judges, keeps or counts by them."""

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
