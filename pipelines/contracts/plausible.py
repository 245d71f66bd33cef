"""What a screening result can be, and what of a record is worth telling its sender but refuses nothing (`NOTICES`): from plausible.toml."""

import csv
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pipelines.contracts.age import UNDER_3_MONTHS, count_months

_DATA = tomllib.loads((Path(__file__).parent / "plausible.toml").read_text("utf-8"))
_AGE = _DATA["age"]
UNDOUBTED_DAYS = 28 * UNDER_3_MONTHS
"""Of so many months none is shorter: a child of fewer days is surely under 3, of more it is to be counted."""
GESTATION_SLACK_WK: int = _DATA["gestation"]["slack_wk"]
with (Path(__file__).parents[2] / "warehouse" / "reference" / "regions.csv").open(encoding="utf-8") as _file:
    _REGIONS = [row["kato2"] for row in csv.DictReader(_file)]  # not by polars, whose threads a worker that is forked would wait for
_LOINC = r"^[0-9]{1,5}-[0-9]$"
_PROGRAMME, _COMPONENT, _VALUE = pl.col("programme"), pl.col("component"), pl.col("value")


class Notice(NamedTuple):
    """A thing to look at that refuses nothing: the column it is told of, and where it applies.

    `exactly` is asked of the rows where `applies` is true: what costs much is spared the others.
    """

    column: str
    applies: pl.Expr
    exactly: pl.Expr = pl.lit(value=True)


def is_mothers_iin() -> pl.Expr:
    """True where a birth bears its mother's IIN in the place of the child's, which names no child (DOMAIN section 6)."""
    return (pl.col("child_iin") == pl.col("mother_iin")).fill_null(value=False)


def is_possible() -> pl.Expr:
    """False where a number is one that its instrument cannot give."""
    return ~pl.any_horizontal(
        _is_of(known) & ~_VALUE.is_between(known["lowest"], known["highest"]) for known in _DATA["possible"]
    )


def _is_of(known: dict[str, Any]) -> pl.Expr:
    return (known["programme"] == _PROGRAMME) & _COMPONENT.is_in(known["components"])


def list_screening_notices() -> dict[str, Notice]:
    """Finding code -> notice, of one screening result."""
    return {
        **_list_age_notices(),
        "sample_after_transfusion": Notice("is_transfused", pl.col("is_transfused")),
        "examined_at_of_another_day": Notice("examined_at", pl.col("examined_at").dt.date() != pl.col("examined_on")),
        "reported_before_examined": Notice("reported_on", pl.col("reported_on") < pl.col("examined_on")),
        "value_unlikely": Notice("value", pl.any_horizontal(_is_of(known) & (known["highest"] < _VALUE) for known in _DATA["likely"])),
        **{code: Notice("component", _is_not_judged(code)) for code in dict.fromkeys(k["code"] for k in _DATA["judged"])},
    }


def list_consent_notices() -> dict[str, Notice]:
    """Finding code -> notice, of one decision."""
    is_parent, is_unproven = pl.col("authority_code").is_in(["mother", "father"]), pl.col("authority_document").is_null()
    is_in_doubt = pl.col("authority_code").is_null() | (~is_parent & is_unproven)
    is_given = (pl.col("decision") == "given") & (pl.col("action_code") != "cancel")  # a refusal or a withdrawal is heard from whoever gives it
    return {"authority_unproven": Notice("authority_document", is_given & is_in_doubt)}


def list_residence_notices() -> dict[str, Notice]:
    """Finding code -> notice, of one birth: a residence in no region of today has no PMPC, and is counted in none."""
    is_of_none = ~pl.col("residence_kato").str.slice(0, 2).is_in(_REGIONS)
    return {"residence_kato_unlisted": Notice("residence_kato", is_of_none.fill_null(value=False))}


def list_birth_notices() -> dict[str, Notice]:
    """Finding code -> notice, of one result beside the birth record of its child: `birth_on` and `born_wk` are of that record."""
    differs = (pl.col("gestation_wk") - pl.col("born_wk")).abs() > GESTATION_SLACK_WK
    return {**_list_age_notices(), "gestation_wk_differs": Notice("gestation_wk", differs)}


def _list_age_notices() -> dict[str, Notice]:
    """Of the age at an examination, whoever says when the child was born."""
    birth_on, examined_on = pl.col("birth_on"), pl.col("examined_on")
    months = count_months(birth_on, examined_on)
    in_window = months.is_between(_AGE["mchat_from_months"], _AGE["mchat_below_months"], closed="left")
    may_be_3 = (examined_on - birth_on).dt.total_days() >= UNDOUBTED_DAYS
    return {
        "age_at_mchat_outside_window": Notice("examined_on", _PROGRAMME == "autism", ~in_window),
        "child_over_3": Notice("examined_on", may_be_3, months >= UNDER_3_MONTHS),
    }


def _is_not_judged(code: str) -> pl.Expr:
    """A number of a component that no protocol can judge."""
    unknown = []
    for known in (known for known in _DATA["judged"] if known["code"] == code):
        is_other = (known["programme"] == _PROGRAMME) & ~_COMPONENT.is_in(known["components"])
        if known.get("is_answer_heard"):
            is_other &= pl.col("result_code").is_null()
        if "misnamed" in known:
            is_other &= _COMPONENT.is_in(known["misnamed"]) | ~_COMPONENT.str.contains(_LOINC)
        unknown.append(is_other)
    return pl.any_horizontal(unknown) & _VALUE.is_not_null()


NOTICES: Mapping[str, Mapping[str, Notice]] = {
    "birth": list_residence_notices() | {"child_iin_of_mother": Notice("child_iin", is_mothers_iin())},
    "screening": list_screening_notices(),
    "consent": list_consent_notices(),
}
"""Things to look at that refuse nothing: record kind -> finding code -> notice."""
