"""What a verdict asks for: repeats, deadlines that run from it or from birth, examinations that go on until their end is told.

Sources: O704 p. 43-48, annex 5 (recall), p. 100-119 (eyes); DOMAIN decision 3 and sections 1.1, 1.4.
"""

from datetime import date

import polars as pl

from pipelines.risk.age import is_at_risk
from pipelines.risk.reading import name_disorder
from pipelines.risk.shape import Deadline, Programme, Protocol

CALENDAR = {
    "child_key": pl.Int64, "programme": pl.String, "step_code": pl.String, "opens_on": pl.Date, "closes_on": pl.Date,
    "examined_on": pl.Date, "state": pl.String,
}  # fmt: skip
KEY = ["child_key", "programme"]
REPEAT = "repeat"
"""Step code of a repeat that a verdict asks for; its last day is the verdict's repeat_due_on."""
NEXT_EXAMINATION = "next_examination"


def list_repeats(child: pl.DataFrame, verdict: pl.DataFrame, on: date) -> pl.DataFrame:
    """One row a repeat that is asked for, also where another disorder is a risk: due or overdue."""
    asked = verdict.filter(pl.col("repeat_due_on").is_not_null())
    repeats = asked.join(child.select("child_key"), on="child_key", how="semi")
    return _tell(repeats, REPEAT, pl.col("repeat_due_on"), _is_due(pl.col("repeat_due_on"), on))


def list_deadlines(
    child: pl.DataFrame, seen: pl.DataFrame, verdict: pl.DataFrame, protocol: Protocol, deadline: Deadline, on: date
) -> pl.DataFrame:
    """One row a child whose verdict asks for it; `examined_on`: the day of the answer that tells it done.

    What an answer tells done is asked of each disorder that is suspected, and of nobody of whom there was only a card that is unusable.
    """
    asked = verdict.filter(
        (pl.col("programme") == deadline.programme) & pl.col("verdict").is_in(deadline.verdicts) & (pl.col("decided_on") <= on)
    ).select(*KEY, "decided_on", "suspected")
    asked = asked.filter(pl.col("suspected").is_not_null()) if deadline.done_by else asked
    start = pl.col("birth_on" if deadline.starts == "birth" else "decided_on")
    closes = start + pl.duration(days=protocol.clocks[deadline.clock])
    answer, is_sampled = pl.col("examined_on"), pl.lit(value=False)
    whole = asked.join(child.select("child_key", "birth_on"), on="child_key", how="inner", validate="m:1")
    if deadline.is_done_by_sample:
        is_sampled = pl.col("is_sampled")
        whole = whole.join(_find_sampled(asked, seen), on=KEY, how="left", validate="1:1")
    whole = whole.join(_find_answered(asked, seen, protocol, deadline), on=KEY, how="left", validate="1:1")
    state = (
        pl.when(answer <= closes).then(pl.lit("done"))
        .when(answer.is_not_null()).then(pl.lit("late"))
        .when(is_sampled).then(pl.lit("done"))
        .otherwise(_is_due(closes, on, passed="overdue" if deadline.is_told else "untold"))
    )  # fmt: skip
    return _tell(whole, deadline.code, closes, state, answer)


def list_examinations_to_come(
    child: pl.DataFrame, seen: pl.DataFrame, verdict: pl.DataFrame, protocol: Protocol, programme: Programme, on: date
) -> pl.DataFrame:
    """One row a child whose examinations go on: due within so many days of the last usable one, by the verdict.

    Of a child who is at risk by the protocol, or of whom nothing is known that says so, or of whom something was found. The end is
    told of each component, and of nobody whose verdict is a risk.
    """
    follow_up = programme.follow_up
    if follow_up is None or protocol.at_risk is None:
        return pl.DataFrame(schema=CALENDAR)
    usable = seen.filter((pl.col("programme") == programme.name) & pl.col("is_usable"))
    ends = pl.col("result_code").is_in(follow_up.ended_by).fill_null(value=False)
    on_last = pl.col("examined_on") == pl.col("examined_on").max()
    each = usable.group_by(*KEY, "component").agg(pl.col("examined_on").max(), is_ended=ends.filter(on_last).any())
    last = each.group_by(KEY).agg(decided_on=pl.col("examined_on").max(), is_ended=pl.col("is_ended").all())
    # An unknown gestation is taken as the longest that is still at risk.
    weeks = pl.col("gestation_wk").fill_null(protocol.at_risk.gestation_below_wk)
    until = pl.col("birth_on") + pl.duration(days=(follow_up.until_postconceptual_wk - weeks) * 7)
    within = pl.col("verdict").replace_strict(follow_up.within_days, default=None, return_dtype=pl.Int64)
    closes = pl.col("decided_on") + pl.duration(days=within)
    is_found, is_unknown = pl.col("verdict") == "risk", pl.all_horizontal(pl.col("birth_weight_g", "gestation_wk").is_null())
    is_meant = is_at_risk(protocol.at_risk) | is_unknown | is_found
    born = child.select("child_key", "birth_on", "gestation_wk", "birth_weight_g", "is_complicated")
    going_on = (
        last.join(born, on="child_key", how="inner", validate="m:1")
        .join(verdict.select(*KEY, "verdict"), on=KEY, how="inner", validate="1:1")
        .filter((pl.col("decided_on") < until) & within.is_not_null() & is_meant & (~pl.col("is_ended") | is_found))
    )
    return _tell(going_on, NEXT_EXAMINATION, closes, _is_due(closes, on))


def _find_sampled(asked: pl.DataFrame, seen: pl.DataFrame) -> pl.DataFrame:
    """KEY and is_sampled: a sample was taken after the day that decided."""
    result = pl.col("result_code")
    taken = seen.filter(result.is_null() | ~result.is_in(["declined", "not_done"])).group_by(KEY).agg(pl.col("examined_on").max())
    return asked.join(taken, on=KEY, how="inner", validate="1:1").select(*KEY, is_sampled=pl.col("examined_on") > pl.col("decided_on"))


def _find_answered(asked: pl.DataFrame, seen: pl.DataFrame, protocol: Protocol, deadline: Deadline) -> pl.DataFrame:
    """KEY and examined_on: the day by which every suspected disorder has one of the answers; null where one has none."""
    answer = pl.col("examined_on")
    said = seen.filter(pl.col("is_usable") & pl.col("result_code").is_in(deadline.done_by) & (pl.col("programme") == deadline.programme))
    disorder = name_disorder(protocol.programmes[deadline.programme]).alias("disorder")
    answers = said.with_columns(disorder).group_by(*KEY, "disorder").agg(answer.min())
    each = asked.select(*KEY, disorder=pl.col("suspected").str.split(" ")).explode("disorder", empty_as_null=True)
    each = each.join(answers, on=[*KEY, "disorder"], how="left", validate="1:1")
    return each.group_by(KEY).agg(pl.when(answer.is_not_null().all()).then(answer.max()))


def _is_due(closes: pl.Expr, on: date, passed: str = "overdue") -> pl.Expr:
    return pl.when(pl.lit(on) <= closes).then(pl.lit("due")).otherwise(pl.lit(passed))


def _tell(asked: pl.DataFrame, code: str, closes: pl.Expr, state: pl.Expr, examined: pl.Expr | None = None) -> pl.DataFrame:
    """Rows of CALENDAR that open on the day that decided."""
    columns = {
        "step_code": pl.lit(code), "opens_on": pl.col("decided_on"), "closes_on": closes,
        "examined_on": pl.lit(None) if examined is None else examined, "state": state,
    }  # fmt: skip
    return asked.select(columns.get(name, pl.col(name)).cast(dtype).alias(name) for name, dtype in CALENDAR.items())
