"""Suites of `expectations/<record kind>.toml`: how a profile is made, and what is expected of it."""

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

FOLDER = Path(__file__).parents[2] / "expectations"
SEVERITIES = ("critical", "warning", "info")
Part = TypeVar("Part")


class Round(NamedTuple):
    """Digit preference: the share of `column`'s values that are multiples of `step`, of at least `least` values."""

    column: str
    step: float
    least: int
    within: str | None = None
    of: str | None = None


class Median(NamedTuple):
    """Calibration: the median of `column` for each of `of` in `within`, this month against the months before."""

    column: str
    within: str
    of: tuple[str, ...]
    recent_days: int
    recent_least: int
    usual_least: int


class Share(NamedTuple):
    """Result distribution: the rows of `hits` among those of `among`, of one value of `within`, in a sender's files.

    `of`: name -> (value of `within`, hits, among); judged from `least` rows of a file and `usual_least` of those before on.
    """

    column: str
    within: str
    least: int
    usual_least: int
    of: Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...]]]


class Gate(NamedTuple):
    """A measure is judged from so many rows, and so many earlier files of the sender, on; below that it is null."""

    of: str
    rows: int = 0
    files: int = 0


class Suite(NamedTuple):
    """A TOML of expectations; see the head of expectations/birth.toml for what each key of `profile` means."""

    kind: str
    event_on: str
    completeness: tuple[str, ...]
    repeated: str | None
    repeated_within: tuple[str, ...]
    repeated_least: int
    codes: tuple[str, ...]
    round: Round | None
    median: Median | None
    share: Share | None
    gate: Mapping[str, Gate]
    expectations: tuple[dict[str, Any], ...]


def read_suite(path: Path) -> Suite:
    """The suite of a TOML; ValueError for an unknown key, an expectation without a code or with an odd severity."""
    raw = tomllib.loads(path.read_text("utf-8"))
    profile, expectations = raw.get("profile", {}), raw.get("expectation", [])
    known = set(Suite._fields) - {"kind", "expectations"}
    unknown = (set(raw) - {"profile", "expectation"}) | (set(profile) - known)
    for expectation in expectations:
        unknown |= set(expectation) - {"type", "kwargs", "severity", "meta", "notes"}
        if expectation.get("severity") not in SEVERITIES or not expectation["meta"]["code"]:
            raise ValueError(f"{path.name}: {expectation['type']} needs a severity and a meta.code")
    if unknown or not expectations:
        raise ValueError(f"{path.name}: unknown keys {sorted(unknown)}, or nothing expected")
    median, share = profile.get("median"), profile.get("share")
    return Suite(
        kind=path.stem,
        event_on=profile["event_on"],
        completeness=tuple(profile["completeness"]),
        repeated=profile.get("repeated"),
        repeated_within=tuple(profile.get("repeated_within", ())),
        repeated_least=profile.get("repeated_least", 0),
        codes=tuple(profile.get("codes", ())),
        round=_read_part(path, Round, profile["round"]) if "round" in profile else None,
        median=_read_part(path, Median, {**median, "of": tuple(median["of"])}) if median else None,
        share=_read_part(path, Share, {**share, "of": _read_shares(path, share["of"])}) if share else None,
        gate={name: _read_part(path, Gate, {"of": name, **gate}) for name, gate in profile.get("gate", {}).items()},
        expectations=tuple(expectations),
    )


def _read_shares(path: Path, raw: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]]:
    for name, share in raw.items():
        if set(share) != {"of", "hits", "among"} or not set(share["hits"]) < set(share["among"]):
            raise ValueError(f"{path.name}: {name} needs of, hits and among, and hits are some of among")
    return {name: (share["of"], tuple(share["hits"]), tuple(share["among"])) for name, share in raw.items()}


def _read_part(path: Path, part: Callable[..., Part], given: dict[str, Any]) -> Part:
    try:
        return part(**given)
    except TypeError as error:
        raise ValueError(f"{path.name}: {error}") from None
