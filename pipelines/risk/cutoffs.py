"""Cut-offs that go by age and component: a table of a protocol's programme, read strictly from TOML.

A rule that names such a table instead of one bound compares each number with the one for its component at the child's
age (corrected where the programme says so). At an age, or for a component, without a number the rule says nothing.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

_KEYS = {"source", "components", "ages"}
_AGE_KEYS = {"from", "below", "bounds"}
_LONGEST_DAYS = 30


class AgeBand(NamedTuple):
    """Ages from `start` to before `end`, each (completed months, days); `bounds` in the order of the components."""

    start: tuple[int, int]
    end: tuple[int, int]
    bounds: tuple[float, ...]


class Cutoffs(NamedTuple):
    """The bands in ascending order; between two of them there may be ages without a cut-off."""

    source: str
    components: tuple[str, ...]
    ages: tuple[AgeBand, ...]


def read_cutoffs(name: str, entry: Mapping[str, Any]) -> Cutoffs:
    """A table from its TOML; ValueError at an unknown key, a band of another width, or bands that overlap."""
    if set(entry) != _KEYS or any(set(age) != _AGE_KEYS for age in entry["ages"]):
        raise ValueError(f"cutoffs {name}: needs {sorted(_KEYS)}, and each age {sorted(_AGE_KEYS)}")
    components = tuple(entry["components"])
    ages = tuple(
        AgeBand(_read_age(name, age["from"]), _read_age(name, age["below"]), tuple(map(float, age["bounds"])))
        for age in entry["ages"]
    )
    if not ages or not components or len(set(components)) != len(components):
        raise ValueError(f"cutoffs {name}: no ages, no components, or a component twice")
    if any(len(age.bounds) != len(components) for age in ages):
        raise ValueError(f"cutoffs {name}: a number for each component at each age")
    if any(age.start >= age.end for age in ages) or any(one.end > next_.start for one, next_ in pairwise(ages)):
        raise ValueError(f"cutoffs {name}: ages ascend and do not overlap")
    return Cutoffs(str(entry["source"]), components, ages)


def _read_age(name: str, given: Any) -> tuple[int, int]:
    if len(given) != 2 or not all(isinstance(part, int) and part >= 0 for part in given) or given[1] > _LONGEST_DAYS:
        raise ValueError(f"cutoffs {name}: an age is [months, days]")
    return given[0], given[1]
