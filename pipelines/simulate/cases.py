"""Children whose way is known from birth to the end: what a demonstration must show, and the truth of each.

A case is a few lines of the canonical layouts, spread over the last three nights; `truth/case.parquet` says what must have
become of it: verdict, place of the flag and its reason after the last night, and how often its referral was taken back.
"""

from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from pipelines.simulate.people import draw_districts, make_iins

_DAY = timedelta(days=1)
CASES = (
    # name, programme, verdict, place, reason, recalls
    ("aged_out", "development", "risk", "aged_out", "turned_3", 0),
    ("withdrawn_after_feed", "development", "risk", "withheld", "consent_withdrawn", 1),
    ("repeat_clear", "blood_spot", "clear", None, None, 0),
    ("repeat_overdue", "blood_spot", "repeat_due", None, None, 0),
    ("repeat_high", "blood_spot", "risk", "withheld", "consent_pending", 0),
    ("corrected", "development", "clear", None, None, 0),
    ("cancelled", "development", None, None, None, 0),
    ("first_twin", "development", "clear", None, None, 0),
    ("second_twin", "development", "risk", "withheld", "consent_pending", 0),
    ("iin_learned", "development", "risk", "referred", "awaiting_pmpc", 0),
)


def write_cases(landing: Path, truth: Path, nights: list[date], seed: int) -> int:
    """Write landing/<night>/case-<kind>.csv and truth/case.parquet; how many files. Needs three nights, else nothing."""
    if len(nights) < 3:
        return 0
    told = _Told(nights[-3:], seed)
    for case in CASES:
        getattr(told, f"tell_{case[0]}")()
    for (night, kind), rows in told.rows.items():
        (landing / f"{night}").mkdir(parents=True, exist_ok=True)
        pl.DataFrame(rows, infer_schema_length=None).write_csv(landing / f"{night}" / f"case-{kind}.csv")
    schema = ["case", "programme", "verdict", "place", "reason", "recalls"]
    truths = pl.DataFrame(CASES, schema=schema, orient="row", infer_schema_length=None)
    truths.with_columns((pl.lit("CASE-") + pl.col("case")).alias("source_id")).write_parquet(truth / "case.parquet")
    return len(told.rows)


class _Told:
    """What is said of each case, by night and kind of record."""

    def __init__(self, nights: list[date], seed: int) -> None:
        self.first, self.second, self.third = nights
        self.rows: dict[tuple[date, str], list[dict[str, object]]] = defaultdict(list)
        self.iins = {case[0]: str(iin) for case, iin in zip(CASES, make_iins(len(CASES), seed * 2 + 37), strict=True)}
        self.own_iin = str(make_iins(len(CASES) + 1, seed * 2 + 37)[-1])
        self.home = draw_districts().row(0, named=True)

    def tell_aged_out(self) -> None:
        """The third birthday comes on the second night, and no consent before it."""
        born = self.second.replace(year=self.second.year - 3) if (self.second.month, self.second.day) != (2, 29) else None
        who = self._bear("aged_out", born or date(self.second.year - 3, 3, 1))
        self._examine(who, "motor", 1.2, self.first - 9 * _DAY, self.first)
        self._confirm(who, self.first)

    def tell_withdrawn_after_feed(self) -> None:
        """Referred on the first night, taken back on the second."""
        who = self._bear("withdrawn_after_feed", self.first - 60 * _DAY)
        self._examine(who, "motor", 1.2, self.first - 20 * _DAY, self.first)
        self._confirm(who, self.first)
        self._decide(who, "given", self.first - 9 * _DAY, self.first)
        self._decide(who, "withdrawn", self.second, self.second)

    def tell_repeat_clear(self) -> None:
        """TSH high in the first sample and in its retest, in range in the repeat."""
        who = self._bear("repeat_clear", self.first - 14 * _DAY)
        self._examine(who, "tsh", 12.0, self.first - 12 * _DAY, self.first, stage_code="first")
        self._examine(who, "tsh", 11.0, self.first - 12 * _DAY, self.first, stage_code="retest")
        self._examine(who, "tsh", 3.0, self.first - 2 * _DAY, self.second, stage_code="repeat")
        self._examine(who, "phe", 1.0, self.first - 12 * _DAY, self.first, stage_code="first")

    def tell_repeat_overdue(self) -> None:
        """TSH high, and no repeat sample two months later."""
        who = self._bear("repeat_overdue", self.first - 62 * _DAY)
        self._examine(who, "tsh", 14.0, self.first - 60 * _DAY, self.first, stage_code="first")
        self._examine(who, "phe", 1.0, self.first - 60 * _DAY, self.first, stage_code="first")

    def tell_repeat_high(self) -> None:
        """TSH high twice."""
        who = self._bear("repeat_high", self.first - 30 * _DAY)
        self._examine(who, "tsh", 40.0, self.first - 28 * _DAY, self.first, stage_code="first")
        self._examine(who, "tsh", 38.0, self.first - 18 * _DAY, self.second, stage_code="repeat")
        self._examine(who, "phe", 1.0, self.first - 28 * _DAY, self.first, stage_code="first")

    def tell_corrected(self) -> None:
        """A low mean that was a typing error: corrected on the second night."""
        who = self._bear("corrected", self.first - 40 * _DAY)
        self._examine(who, "motor", 1.2, self.first - 10 * _DAY, self.first)
        self._examine(who, "motor", 2.9, self.first - 10 * _DAY, self.second, action_code="correct", status_code="corrected")

    def tell_cancelled(self) -> None:
        """A low mean of another child: withdrawn on the second night."""
        who = self._bear("cancelled", self.first - 40 * _DAY)
        self._examine(who, "motor", 1.2, self.first - 10 * _DAY, self.first)
        self._examine(who, "motor", 1.2, self.first - 10 * _DAY, self.second, action_code="cancel", status_code="cancelled")

    def tell_first_twin(self) -> None:
        """Of two boys of one mother and day the first is well."""
        who = self._bear("first_twin", self.first - 40 * _DAY, plurality=2, sex_code="male")
        self._examine(who, "motor", 2.9, self.first - 10 * _DAY, self.first)

    def tell_second_twin(self) -> None:
        """The second of them is not; only the order of birth tells them apart."""
        who = self._bear("second_twin", self.first - 40 * _DAY, plurality=2, birth_order=2, sex_code="male",
                         mother_iin=self.iins["first_twin"], history_no="CASE-first_twin")  # fmt: skip
        self._examine(who, "motor", 1.2, self.first - 10 * _DAY, self.first)
        self._confirm(who, self.first)

    def tell_iin_learned(self) -> None:
        """Born without an IIN; one result brings it, the next, and the consent, name the child by it alone."""
        who = self._bear("iin_learned", self.first - 60 * _DAY)
        named = {**who, "child_iin": self.own_iin}
        self._examine(named, "motor", 2.9, self.first - 30 * _DAY, self.first)
        alone = {"case": who["case"], "child_iin": named["child_iin"]}
        self._examine(alone, "motor", 1.2, self.first - 5 * _DAY, self.second)
        self._confirm(alone, self.second)
        self._decide(alone, "given", self.second, self.second)

    def _bear(self, case: str, born: date, **other: object) -> dict[str, object]:
        who: dict[str, object] = {
            "mother_iin": self.iins[case], "birth_on": born, "birth_order": 1, "sex_code": "female",
            "maternity_id": self.home["maternity_id"], "history_no": f"CASE-{case}", **other,
        }  # fmt: skip
        said = {k: v for k, v in who.items() if k != "plurality"}
        self._say(self.first, "birth", "", {**said, "case": case, "plurality": other.get("plurality", 1), "birth_weight_g": 3200,
                  "gestation_wk": 39, "residence_kato": f"{self.home['kato4']}01000", "phc_id": self.home["phc_id"]})  # fmt: skip
        return {**said, "case": case}

    def _examine(self, who: dict[str, object], component: str, value: float, on: date, sent: date, **other: object) -> None:
        programme, unit = ("development", None) if component == "motor" else ("blood_spot", {"tsh": "m[IU]/L", "phe": "mg/dL"}[component])
        self._say(sent, "screening", f"-{component}-{on}-{other.get('stage_code', '')}", {
            "status_code": "final", **who, "programme": programme, "component": component, "value": value, "unit": unit,
            "examined_on": on, "stage_code": None, **other})  # fmt: skip

    def _decide(self, who: dict[str, object], decision: str, on: date, sent: date) -> None:
        self._say(sent, "consent", f"-{decision}", {**who, "purpose": "pmpc_referral", "decision": decision, "decided_on": on,
                                                    "authority_code": "mother"})  # fmt: skip

    def _confirm(self, who: dict[str, object], on: date) -> None:
        self._say(on, "confirmation", "", {**who, "programme": "development", "confirmation": "confirmed", "confirmed_on": on,
                                           "worker_id": "W1"})  # fmt: skip

    def _say(self, night: date, kind: str, suffix: str, row: dict[str, object]) -> None:
        case = row.pop("case")
        self.rows[night, kind].append({"sender_id": self.home["phc_id"], "source_id": f"CASE-{case}{suffix}", "action_code": "report",
                                       "issued_at": f"{night}T09:00:00", **row})  # fmt: skip
