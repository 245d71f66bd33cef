"""What a protocol is made of: its rules, steps, deadlines and programmes, and the closed sets of words they may use."""

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from pipelines.contracts.age import UNDER_3_MONTHS
from pipelines.risk.cutoffs import Cutoffs

OPERATORS = (">=", ">", "<=", "<")
LEVELS = {"clear": 0, "repeat_due": 1, "risk": 2}
OTHERS = "*"
"""In a rule: every component of the programme that has no rules of its own and is no summary."""
NEXT_VISIT = "next_visit"
CLEARED_BY = ("later_result", "correction", "full_pass", "second_stage", "settlement")
"""What takes a result's word back. `correction`: nothing but a correction or cancellation of the result itself."""
UNITS = ("hours", "days", "months", "postconceptual_weeks")
STARTS = ("birth", "decision")
COMBINE = ("latest", "staged")
LANGUAGES = {"en", "ru", "kk"}


class Rule(NamedTuple):
    """One line of a protocol: which results it speaks of, what it makes of them, and where it stands in the act."""

    code: str
    programme: str
    components: tuple[str, ...]
    verdict: str
    paragraph: str
    text: Mapping[str, str]
    clears: Mapping[str, str]
    decision: int | None = None
    operator: str | None = None
    bound: float | None = None
    cutoffs: str | None = None
    results: tuple[str, ...] = ()
    is_transfused: bool = False
    from_months: int | None = None
    below_months: int | None = None
    needs_repeat: bool = False
    clock: str | None = None
    cleared_by: str = "later_result"


class Measure(NamedTuple):
    """A component that is a number: the units it may come in ("" = none), and the numbers that are possible."""

    components: tuple[str, ...]
    units: tuple[str, ...]
    lowest: float | None = None
    highest: float | None = None


class Step(NamedTuple):
    """One examination of the calendar: from which to which age, for whom."""

    code: str
    programme: str
    unit: str
    start: int
    end: int
    paragraph: str
    gestation_from_wk: int | None = None
    gestation_below_wk: int | None = None
    takes_unknown: bool = False
    only_at_risk: bool = False
    is_window: bool = False
    needless_after: tuple[str, ...] = ()


class Deadline(NamedTuple):
    """What must follow a verdict by a day: `clock` runs from the birth or from the examination that decided.

    `done_by`: coded answers that tell it done; `is_done_by_sample`: any later sample does. Where nothing that we receive
    tells of it itself, `is_told` is false, and once its day has passed it is neither overdue nor done.
    """

    code: str
    programme: str
    verdicts: tuple[str, ...]
    starts: str
    clock: str
    paragraph: str
    done_by: tuple[str, ...] = ()
    is_done_by_sample: bool = False
    is_told: bool = True


class FollowUp(NamedTuple):
    """Examinations that go on after a verdict until an end is told: the longest days between two of them, by verdict.

    They end with one of the coded answers `ended_by`, or with an examination at `until_postconceptual_wk` or later.
    """

    within_days: Mapping[str, int]
    until_postconceptual_wk: int
    ended_by: tuple[str, ...]


class Programme(NamedTuple):
    """How the results of a programme are read and combined; the TOML explains each field."""

    name: str
    combine: str
    paragraph: str
    rules: tuple[Rule, ...]
    measures: tuple[Measure, ...] = ()
    mandatory: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    summaries: tuple[str, ...] = ()
    interprets: tuple[str, ...] = ()
    disorders: Mapping[str, tuple[str, ...]] = {}
    settled_by: tuple[str, ...] = ()
    full_pass: tuple[tuple[str, ...], ...] = ()
    whole: tuple[tuple[str, ...], ...] = ()
    second_stage_from_months: int | None = None
    is_age_corrected: bool = False
    is_spoiled_by_transfusion: bool = False
    visits_months: tuple[int, ...] = ()
    cutoffs: Mapping[str, Cutoffs] = {}
    listed_until_months: int = UNDER_3_MONTHS
    left_by: tuple[str, ...] = ()
    returned_by: tuple[str, ...] = ()
    follow_up: FollowUp | None = None


class Age(NamedTuple):
    """Corrected age: gestation at term, under which gestation and until which age it is corrected."""

    term_wk: int
    preterm_below_wk: int
    corrected_below_months: int


class AtRisk(NamedTuple):
    """Who is at risk of retinopathy of prematurity, besides a complicated history (O704 p. 100)."""

    weight_below_g: int
    gestation_below_wk: int
    paragraph: str


class Protocol(NamedTuple):
    """One redaction in force from `valid_from` on; `name` is folder/file, for example order-704/2022-11-01."""

    name: str
    valid_from: date
    act: str
    redaction: str
    title: Mapping[str, str]
    clocks: Mapping[str, int]
    age: Age
    at_risk: AtRisk | None
    programmes: Mapping[str, Programme]
    steps: tuple[Step, ...]
    deadlines: tuple[Deadline, ...] = ()

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules, programme by programme, in the order of the file."""
        return tuple(rule for programme in self.programmes.values() for rule in programme.rules)
