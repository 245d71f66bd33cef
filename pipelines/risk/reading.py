"""Reading: what one result means by the protocol in force on the day of its examination, before any is combined.

Source: the protocol (TOML). A number decides where the protocol has a cut-off and the number is usable; otherwise the
sender's coded answer does (DOMAIN decision 16). Preliminary and pending results mean nothing yet.
"""

import polars as pl

from pipelines.contracts.age import count_months, reach_months
from pipelines.risk.age import find_cutoff, start_age
from pipelines.risk.shape import LEVELS, OTHERS, Age, Measure, Programme, Rule

SPOILED = ("unsatisfactory", "not_done", "pending", "declined")
_OPPOSITE = {">=": "<", "<": ">=", ">": "<=", "<=": ">"}
_VALUE, _COMPARATOR = pl.col("value"), pl.col("comparator")


def read_results(rows: pl.DataFrame, programme: Programme, age: Age, first_no: int) -> pl.DataFrame:
    """The rows of one programme and one protocol with what each means.

    Adds disorder; is_settling; is_second (of a second stage); cleared_by of the rule that decided; rule_no (its number,
    from `first_no` on in the order of the programme; null where none decided); level (0 clear, 1 repeat_due, 2 risk,
    null = nothing yet); needs_repeat (the level is reached only when a repeat sample says so too) and is_usable (the
    result can be compared, whatever rules there are).
    """
    is_bounded = rows["comparator"].null_count() < rows.height
    aged = _add_cutoffs(_add_months(rows, programme, age), programme, age).with_columns(
        is_usable=is_usable(programme),
        is_number=_is_number(programme),
        disorder=name_disorder(programme),
        is_settling=pl.col("component").is_in(programme.settled_by) if programme.settled_by else pl.lit(False),
        is_second=_is_second(programme),
    )
    numbered = list(enumerate(programme.rules, first_no))
    # The worst comes first; what needs a repeat is less than what does not; the file's order settles the rest.
    ranked = sorted(numbered, key=lambda rule: (-LEVELS[rule[1].verdict], rule[1].needs_repeat, rule[0]))
    hits = [
        pl.when(_hits(rule, programme)).then(pl.lit(no, pl.Int16)) for no, rule in ranked if rule.verdict != "clear"
    ]
    numeric = [(no, rule) for no, rule in ranked if rule.operator is not None]
    maybe = [pl.when(_is_open(rule, programme)).then(pl.lit(no, pl.Int16)) for no, rule in numeric if is_bounded]
    clear = [
        pl.when(_hits(rule, programme)).then(pl.lit(no, pl.Int16)) for no, rule in ranked if rule.verdict == "clear"
    ]
    is_judged = pl.any_horizontal(
        [_in_scope(rule, programme) & pl.col("is_number") for _, rule in numeric] or [pl.lit(False)]
    )
    none = pl.lit(None, pl.Int16)
    level = {no: LEVELS[rule.verdict] for no, rule in numbered}
    cleared_by = {no: rule.cleared_by for no, rule in numbered}
    repeated = [no for no, rule in numbered if rule.needs_repeat]
    return (
        aged.with_columns(hit=pl.coalesce(*hits, none), maybe=pl.coalesce(*maybe, none))
        .with_columns(clear=pl.coalesce(*clear, none), rule_no=pl.coalesce("hit", "maybe"))
        .with_columns(rule_no=pl.coalesce("rule_no", "clear"))
        .with_columns(
            level=pl.when(pl.col("hit").is_not_null())
            .then(pl.col("hit").replace_strict(level, return_dtype=pl.Int8))
            .when(pl.col("maybe").is_not_null())
            .then(pl.lit(LEVELS["repeat_due"], pl.Int8))
            .when(is_judged | pl.col("clear").is_not_null())
            .then(pl.lit(LEVELS["clear"], pl.Int8)),
            needs_repeat=pl.col("hit").is_in(repeated).fill_null(False) if repeated else pl.lit(False),
            cleared_by=pl.col("rule_no").replace_strict(cleared_by, default=None, return_dtype=pl.String)
            if any(rule.cleared_by != "later_result" for rule in programme.rules)
            else pl.lit(None, pl.String),
        )
        .drop("hit", "maybe", "clear", "is_number", "age_months", *map(_name_cutoff, programme.cutoffs), strict=False)
        .pipe(_silence_interpretations, programme)
    )


def supersede(results: pl.DataFrame) -> pl.DataFrame:
    """A final result of which there is a corrected one (same sample and component) is read like a preliminary one."""
    key = ["child_key", "programme", "component", "stage_code", "examined_on"]
    corrected = results.filter(pl.col("status_code") == "corrected").select(key).unique()
    if corrected.is_empty():
        return results
    is_final = pl.col("status_code") != "corrected"
    marked = results.join(corrected.with_columns(is_corrected=pl.lit(True)), on=key, how="left", nulls_equal=True)
    if marked.height != results.height:
        raise AssertionError(f"{results.height} results, {marked.height} with their corrections")
    status = pl.when(is_final & pl.col("is_corrected")).then(pl.lit("preliminary")).otherwise("status_code")
    return marked.with_columns(status_code=status).drop("is_corrected")


def is_usable(programme: Programme) -> pl.Expr:
    """True for a final result of an examination that was done and not spoiled."""
    final = pl.col("status_code") != "preliminary"
    sound = ~pl.col("result_code").is_in(SPOILED).fill_null(False)
    return final & sound & ~_is_transfused(programme)


def _is_second(programme: Programme) -> pl.Expr:
    months = programme.second_stage_from_months
    if months is None:
        return pl.lit(False)
    return pl.col("examined_on") >= reach_months(pl.col("birth_on"), months)


def _add_months(rows: pl.DataFrame, programme: Programme, age: Age) -> pl.DataFrame:
    """age_months where a rule asks for it; corrected where the programme says so."""
    if all(rule.from_months is None and rule.below_months is None for rule in programme.rules):
        return rows
    start = start_age(age, pl.col("examined_on")) if programme.is_age_corrected else pl.col("birth_on")
    return rows.with_columns(age_months=count_months(start, pl.col("examined_on")))


def _add_cutoffs(rows: pl.DataFrame, programme: Programme, age: Age) -> pl.DataFrame:
    """A column for each table of the programme: the cut-off at the child's age, null where the table has none."""
    if not programme.cutoffs:
        return rows
    start = start_age(age, pl.col("examined_on")) if programme.is_age_corrected else pl.col("birth_on")
    return rows.with_columns(
        find_cutoff(table, start, pl.col("examined_on")).alias(_name_cutoff(name))
        for name, table in programme.cutoffs.items()
    )


def _name_cutoff(table: str) -> str:
    return f"cutoff_{table}"


def _bound(rule: Rule) -> float | pl.Expr | None:
    """What the rule compares with: one number, or the column of its table."""
    return rule.bound if rule.cutoffs is None else pl.col(_name_cutoff(rule.cutoffs))


def _is_transfused(programme: Programme) -> pl.Expr:
    return pl.col("is_transfused").fill_null(False) if programme.is_spoiled_by_transfusion else pl.lit(False)


def _is_number(programme: Programme) -> pl.Expr:
    """True where the value is a possible number in the unit the protocol speaks of.

    Where cut-offs go by age, one at an age without any cut-off is none: the sender's answer decides (decision 16). Nor is one
    beside a diagnosis, which is no interpretation of it: a disorder confirmed, or excluded by a diagnostic examination.
    """
    result, is_diagnostic = pl.col("result_code"), pl.col("stage_code").eq_missing("diagnostic")
    is_diagnosed = ((result == "confirmed") | ((result == "excluded") & is_diagnostic)).fill_null(False)
    is_number = is_usable(programme) & ~is_diagnosed & pl.any_horizontal(
        [_is_measured(measure, programme) for measure in programme.measures] or [pl.lit(False)]
    )
    if not programme.cutoffs:
        return is_number
    return is_number & pl.any_horizontal(
        [_in_scope(rule, programme) for rule in programme.rules if rule.operator is not None] or [pl.lit(False)]
    )


def _is_measured(measure: Measure, programme: Programme) -> pl.Expr:
    low = pl.lit(True) if measure.lowest is None else measure.lowest <= _VALUE
    high = pl.lit(True) if measure.highest is None else measure.highest >= _VALUE
    known = _VALUE.is_not_null() & pl.col("unit").fill_null("").is_in(measure.units)
    return _is_among(measure.components, programme) & known & low.fill_null(False) & high.fill_null(False)


def _is_among(components: tuple[str, ...], programme: Programme) -> pl.Expr:
    """True for the components named; `*` is every other but those with rules of their own, the settling and the summaries."""
    component = pl.col("component")
    named = [name for name in components if name != OTHERS]
    is_named = component.is_in(named) if named else pl.lit(False)
    if OTHERS not in components:
        return is_named
    if not (programme.own or programme.summaries):
        return pl.lit(True)
    return is_named | ~component.is_in([*programme.own, *programme.summaries])


def _in_scope(rule: Rule, programme: Programme) -> pl.Expr:
    scope = _is_among(rule.components, programme)
    if rule.from_months is not None:
        scope &= pl.col("age_months") >= rule.from_months
    if rule.below_months is not None:
        scope &= pl.col("age_months") < rule.below_months
    if rule.cutoffs is not None:
        scope &= pl.col(_name_cutoff(rule.cutoffs)).is_not_null()
    return scope


def _hits(rule: Rule, programme: Programme) -> pl.Expr:
    """True where the result surely is what the rule speaks of."""
    scope = _in_scope(rule, programme) & (pl.col("status_code") != "preliminary")
    if rule.is_transfused:
        return scope & _is_transfused(programme)
    bound = _bound(rule)
    if rule.operator is None or bound is None:
        answers = pl.col("result_code").is_in(rule.results).fill_null(False)
        return scope & answers & ~pl.col("is_number") & ~_is_transfused(programme)
    return scope & pl.col("is_number") & _surely(rule.operator, bound)


def _is_open(rule: Rule, programme: Programme) -> pl.Expr:
    """True where the number is a bound on the wrong side of the cut-off: it may be met or not."""
    bound = _bound(rule)
    if rule.operator is None or bound is None:
        return pl.lit(False)
    met, missed = _surely(rule.operator, bound), _surely(_OPPOSITE[rule.operator], bound)
    return _in_scope(rule, programme) & pl.col("is_number") & ~met & ~missed


def _surely(operator: str, bound: float | pl.Expr) -> pl.Expr:
    """True where every number that `comparator` and `value` leave possible meets the condition."""
    meets = _compare(operator, bound)
    upwards = operator in (">", ">=")
    strict, loose = (">", ">=") if upwards else ("<", "<=")
    touches = _compare(loose, bound)
    return (
        pl.when(_COMPARATOR.is_null() | (loose == _COMPARATOR))
        .then(meets)
        .when(strict == _COMPARATOR)
        .then(touches)
        .otherwise(pl.lit(False))
        .fill_null(False)
    )


def _compare(operator: str, bound: float | pl.Expr) -> pl.Expr:
    compared = {">=": bound <= _VALUE, ">": bound < _VALUE, "<=": bound >= _VALUE, "<": bound > _VALUE}
    return compared[operator]


def name_disorder(programme: Programme) -> pl.Expr:
    """The disorder of `component`."""
    component = pl.col("component")
    others = [name for name, parts in programme.disorders.items() if OTHERS in parts]
    named = {part: name for name, parts in programme.disorders.items() for part in parts if part != OTHERS}
    if others:
        return (
            component.replace_strict(named, default=pl.lit(others[0]), return_dtype=pl.String)
            if named
            else pl.lit(others[0])
        )
    return component.replace(named) if named else component


def _silence_interpretations(rows: pl.DataFrame, programme: Programme) -> pl.DataFrame:
    """The sender's interpretation of a disorder says nothing where the number of the same sample decides (decision 16)."""
    if not programme.interprets or not rows["component"].is_in(programme.interprets).any():
        return rows
    key = ["child_no", "disorder", "examined_on"]
    is_interpretation = pl.col("component").is_in(programme.interprets)
    heard = rows.filter(is_interpretation)
    numbers = rows.filter(
        ~is_interpretation, pl.col("is_usable"), pl.col("value").is_not_null(), pl.col("level").is_not_null()
    )
    silent = heard.join(numbers, on=key, how="semi").with_columns(
        rule_no=pl.lit(None, pl.Int16), level=pl.lit(None, pl.Int8), needs_repeat=pl.lit(False)
    )
    whole = pl.concat([rows.filter(~is_interpretation), heard.join(numbers, on=key, how="anti"), silent])
    if whole.height != rows.height:
        raise AssertionError(f"{rows.height} results were read, {whole.height} came out")
    return whole
