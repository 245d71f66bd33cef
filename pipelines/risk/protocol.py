"""Protocols as dated data: what the order says in cut-offs, ages and clocks, read strictly from TOML.

A folder is a country's or an instrument's protocol, a file in it a redaction; the file's name is the day from which
it is in force. Fields, operators and codes are closed sets (shape.py): anything else is our own broken promise and raises.
"""

import tomllib
from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from pipelines.contracts import PROGRAMMES, RESULTS
from pipelines.risk.cutoffs import read_cutoffs
from pipelines.risk.shape import (
    CLEARED_BY,
    COMBINE,
    LANGUAGES,
    LEVELS,
    NEXT_VISIT,
    OPERATORS,
    OTHERS,
    STARTS,
    UNITS,
    Age,
    AtRisk,
    Deadline,
    FollowUp,
    Measure,
    Programme,
    Protocol,
    Rule,
    Step,
)


def load_protocols(folder: Path) -> tuple[Protocol, ...]:
    """All redactions of a folder, oldest first. Raises ValueError at an unknown key, operator, code or broken link."""
    files = sorted(folder.glob("*.toml"))
    if not files:
        raise ValueError(f"no protocol in the folder {folder.name}")
    return tuple(_read_protocol(file) for file in files)


def choose_protocol(protocols: tuple[Protocol, ...], on: date) -> Protocol:
    """The redaction in force on a day; the oldest for a day before all of them."""
    return max((p for p in protocols if p.valid_from <= on), key=lambda p: p.valid_from, default=protocols[0])


def describe_rule(protocols: tuple[Protocol, ...], rule_code: str, protocol: str | None = None) -> Rule:
    """The rule of a code with its paragraph, text and what clears it; of the protocol named, else of the newest that has it.

    Raises KeyError when there is no such rule.
    """
    for redaction in reversed(protocols):
        for rule in redaction.rules:
            if rule.code == rule_code and protocol in (None, redaction.name):
                return rule
    raise KeyError(rule_code)


def _read_protocol(file: Path) -> Protocol:
    name = f"{file.parent.name}/{file.stem}"
    try:
        return _parse_text(name, date.fromisoformat(file.stem), file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


@cache
def _parse_text(name: str, valid_from: date, text: str) -> Protocol:
    """Once a process: every step of a night asks for the protocol."""
    return parse_protocol(name, valid_from, tomllib.loads(text))


def parse_protocol(name: str, valid_from: date, raw: Mapping[str, Any]) -> Protocol:
    """A protocol from its tables; raises ValueError at whatever is not in the closed set."""
    known = {"act", "redaction", "title", "clock", "age", "at_risk", "programme", "rule", "step", "deadline"}
    _refuse(set(raw) - known, "unknown keys")
    _refuse(known - {"at_risk", "deadline"} - set(raw), "missing keys")
    clocks = {clock: sum(parts.values()) for clock, parts in raw["clock"].items()}
    rules = [_build(Rule, entry) for entry in raw["rule"]]
    codes = [rule.code for rule in rules]
    _refuse({code for code in codes if codes.count(code) > 1}, "rules twice")
    _refuse({rule.programme for rule in rules} - set(raw["programme"]), "rules of a programme that is not described")
    programmes = {
        programme: _build_programme(programme, entry, tuple(r for r in rules if r.programme == programme))
        for programme, entry in raw["programme"].items()
    }
    for rule in rules:
        _check_rule(rule, programmes[rule.programme], clocks)
    steps = tuple(_build_step(entry) for entry in raw["step"])
    _refuse({step.programme for step in steps} - set(programmes), "steps of a programme that is not described")
    deadlines = tuple(_build_deadline(entry, programmes, clocks) for entry in raw.get("deadline", ()))
    if "at_risk" not in raw:
        _refuse({p.name for p in programmes.values() if p.follow_up}, "follow-up of children at risk, who are not described")
        _refuse({step.code for step in steps if step.only_at_risk}, "steps of children at risk, who are not described")
    return Protocol(
        name=name,
        valid_from=valid_from,
        act=raw["act"],
        redaction=raw["redaction"],
        title=raw["title"],
        clocks=clocks,
        age=_build(Age, raw["age"]),
        at_risk=_build(AtRisk, raw["at_risk"]) if "at_risk" in raw else None,
        programmes=programmes,
        steps=steps,
        deadlines=deadlines,
    )


def _build_programme(name: str, entry: Mapping[str, Any], rules: tuple[Rule, ...]) -> Programme:
    _refuse({name} - set(PROGRAMMES), "unknown programmes")
    measures = tuple(_build(Measure, measure) for measure in entry.get("measure", ()))
    plain = {key: value for key, value in entry.items() if key != "measure"}
    plain["cutoffs"] = {table: read_cutoffs(table, found) for table, found in entry.get("cutoffs", {}).items()}
    plain["disorders"] = {disorder: tuple(names) for disorder, names in entry.get("disorders", {}).items()}
    if "follow_up" in entry:
        plain["follow_up"] = _build(FollowUp, entry["follow_up"])
        _refuse(set(plain["follow_up"].within_days) - set(LEVELS), f"{name}: unknown verdicts")
    programme: Programme = _build(Programme, {**plain, "name": name, "rules": rules, "measures": measures})
    _refuse({*programme.left_by, *programme.returned_by} - set(RESULTS), f"{name}: unknown results")
    _refuse({programme.combine} - set(COMBINE), "unknown ways to combine")
    if programme.combine == "staged" and not (programme.full_pass and programme.second_stage_from_months):
        raise ValueError(f"{name}: staged needs full_pass and second_stage_from_months")
    if programme.combine == "staged" and programme.whole:
        raise ValueError(f"{name}: what is staged is whole by full_pass")
    return programme


def _build_step(entry: Mapping[str, Any]) -> Step:
    renamed = {{"from": "start", "to": "end"}.get(key, key): value for key, value in entry.items()}
    step: Step = _build(Step, renamed)
    _refuse({step.unit} - set(UNITS), "unknown units of age")
    _refuse(set(step.needless_after) - set(LEVELS), f"{step.code}: unknown verdicts")
    return step


def _build_deadline(entry: Mapping[str, Any], programmes: Mapping[str, Programme], clocks: Mapping[str, int]) -> Deadline:
    deadline: Deadline = _build(Deadline, entry)
    _refuse({deadline.programme} - set(programmes), "deadlines of a programme that is not described")
    _refuse(set(deadline.verdicts) - set(LEVELS), f"{deadline.code}: unknown verdicts")
    _refuse({deadline.starts} - set(STARTS), f"{deadline.code}: unknown starts")
    _refuse({deadline.clock} - set(clocks), f"{deadline.code}: unknown clocks")
    _refuse(set(deadline.done_by) - set(RESULTS), f"{deadline.code}: unknown results")
    return deadline


def _check_rule(rule: Rule, programme: Programme, clocks: Mapping[str, int]) -> None:
    """Raises ValueError where a rule says nothing, says two things, or leans on what is not there."""
    kinds = (rule.operator is not None, bool(rule.results), rule.is_transfused)
    if sum(kinds) != 1:
        raise ValueError(f"{rule.code}: a rule judges a number, coded results or a transfusion: one of the three")
    if [rule.bound is not None, rule.cutoffs is not None].count(True) != (rule.operator is not None):
        raise ValueError(f"{rule.code}: an operator goes with a bound or with cutoffs: one of the two")
    if rule.cutoffs is not None:
        table = programme.cutoffs.get(rule.cutoffs)
        _refuse({rule.cutoffs} if table is None else set(rule.components) - set(table.components), f"{rule.code}: no cutoffs")
    _refuse({rule.operator} - {None, *OPERATORS}, f"{rule.code}: unknown operators")
    _refuse({rule.verdict} - set(LEVELS), f"{rule.code}: unknown verdicts")
    _refuse(set(rule.results) - set(RESULTS), f"{rule.code}: unknown results")
    _refuse({rule.clock} - {None, NEXT_VISIT, *clocks}, f"{rule.code}: unknown clocks")
    _refuse({rule.cleared_by} - set(CLEARED_BY), f"{rule.code}: unknown ways to clear")
    _refuse(LANGUAGES ^ set(rule.text), f"{rule.code}: languages of the text")
    _refuse(LANGUAGES ^ set(rule.clears), f"{rule.code}: languages of what clears")
    if rule.clock == NEXT_VISIT and not programme.visits_months:
        raise ValueError(f"{rule.code}: no visits of {programme.name}")
    if rule.operator is not None:
        measured = {name for measure in programme.measures for name in measure.components}
        unmeasured = set() if OTHERS in measured else set(rule.components) - measured
        _refuse(unmeasured, f"{rule.code}: components without a unit")
    if rule.needs_repeat and rule.verdict != "risk":
        raise ValueError(f"{rule.code}: only a risk needs a repeat")
    is_standing = rule.cleared_by == "correction" or (rule.cleared_by == "settlement" and programme.combine != "staged")
    if is_standing and (rule.needs_repeat or rule.verdict != "risk" or programme.combine == "staged"):
        raise ValueError(f"{rule.code}: only a risk that needs no repeat stands whatever follows, in a programme without stages")
    if programme.combine == "staged" and rule.needs_repeat:
        raise ValueError(f"{rule.code}: a staged programme has no repeat samples")


def _build(kind: Any, entry: Mapping[str, Any]) -> Any:
    """A NamedTuple of the entry's values; lists become tuples, numbers keep their type."""
    _refuse(set(entry) - set(kind._fields), f"{kind.__name__.lower()}: unknown keys")
    _refuse(set(kind._fields) - set(kind._field_defaults) - set(entry), f"{kind.__name__.lower()}: missing keys")
    return kind(**{key: _freeze(value) for key, value in entry.items()})


def _freeze(value: Any) -> Any:
    return tuple(_freeze(item) for item in value) if isinstance(value, list) else value


def _refuse(found: set[Any], what: str) -> None:
    if found:
        raise ValueError(f"{what}: {', '.join(sorted(map(str, found)))}")
