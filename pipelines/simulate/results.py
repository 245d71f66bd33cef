"""What is found in the children: results by programme with true conditions behind them, and what is decided of them."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from pipelines.simulate.people import Generator, read_rates

RESULT = {
    "child_no": pl.Int64, "programme": pl.String, "component": pl.String, "stage_code": pl.String, "examined_on": pl.Date,
    "sent_on": pl.Date, "value": pl.Float64, "unit": pl.String, "result_code": pl.String,
}  # fmt: skip
DOMAINS = ("motor", "sensory_speech", "social", "overall")
EARS = ("oae_left", "oae_right", "abr_left", "abr_right")


def examine_newborns(child: pl.DataFrame, rng: Generator) -> pl.DataFrame:
    """Blood spot with repeats, hearing with the surdologist, phenotype and eyes of newborns: rows of RESULT."""
    return pl.concat([_spot(child, rng), _hear(child, rng), _see_phenotype(child, rng), _look(child, rng)])


def examine_development(child: pl.DataFrame, ages: Sequence[int], rng: Generator) -> pl.DataFrame:
    """The development scale at the ages given (days); a child at risk is so at every age."""
    rates = read_rates()
    n = len(child)
    draw = rng.random(n)
    is_risk, is_mild = draw < rates["development"]["risk"], draw > 1 - rates["development"]["mild"]
    frames = []
    for age in ages:
        seen = rng.random(n) < rates["coverage"]["development"]
        late = rng.integers(0, 6, n)
        for domain in DOMAINS:
            mean = np.where(is_risk, rng.uniform(1.0, 1.7, n), np.where(is_mild, rng.uniform(1.75, 2.45, n), rng.uniform(2.5, 3.0, n)))
            frames.append(_shape(child, seen, "development", domain, age + late, 2, value=np.round(mean, 2)))
    return pl.concat(frames)


def examine_autism(child: pl.DataFrame, on: date, rng: Generator) -> pl.DataFrame:
    """M-CHAT-R, and its interview for medium scores, some days before `on`."""
    rates, n = read_rates(), len(child)
    draw, seen = rng.random(n), rng.random(n) < rates["coverage"]["autism"]
    high, medium = draw < rates["autism"]["high"], draw > 1 - rates["autism"]["medium"]
    score = np.where(high, rng.integers(8, 17, n), np.where(medium, rng.integers(3, 8, n), rng.integers(0, 3, n)))
    age = (pl.Series([on] * n) - child["birth_on"]).dt.total_days().to_numpy() - rng.integers(8, 20, n)
    first = _shape(child, seen, "autism", "mchat_r", age, 2, value=score.astype(float))
    interview = rng.integers(0, 4, n).astype(float)
    return pl.concat([first, _shape(child, seen & medium, "autism", "mchat_rf", age + 4, 2, value=interview)])


def _spot(child: pl.DataFrame, rng: Generator) -> pl.DataFrame:
    rates, n = read_rates()["blood_spot"], len(child)
    seen = rng.random(n) < read_rates()["coverage"]["blood_spot"]
    is_preterm = (child["gestation_wk"] < 37).to_numpy()
    age = np.where(is_preterm, rng.integers(7, 13, n), rng.integers(1, 4, n))
    ch, pku = rng.random(n) < rates["hypothyroidism"], rng.random(n) < rates["phenylketonuria"]
    bad = rng.random(n) < rates["unsatisfactory"]
    delay = rng.integers(3, 7, n)
    frames = []
    for component, sick, unit, cut, ill in (("tsh", ch, "m[IU]/L", 9.0, 45.0), ("phe", pku, "mg/dL", 2.1, 11.0)):
        median, spread = rates[f"{component}_median"], rates[f"{component}_spread"]

        def draw(sick: np.ndarray = sick, median: float = median, spread: float = spread, ill: float = ill) -> np.ndarray:
            return np.round(np.where(sick, ill * rng.lognormal(0, 0.3, n), rng.lognormal(np.log(median), spread, n)), 2)

        first = draw()
        frames.append(_shape(child, seen & ~bad, "blood_spot", component, age, delay, value=first, unit=unit, stage="first"))
        frames.append(_shape(child, seen & bad, "blood_spot", component, age, delay, result="unsatisfactory", stage="first"))
        again = seen & (bad | (first >= cut)) & (rng.random(n) < rates["repeat_done"])
        frames.append(_shape(child, again, "blood_spot", component, age + 9, 3, value=draw(), unit=unit, stage="repeat"))
    return pl.concat(frames)


def _hear(child: pl.DataFrame, rng: Generator) -> pl.DataFrame:
    rates, n = read_rates()["hearing"], len(child)
    seen = rng.random(n) < read_rates()["coverage"]["hearing"]
    lost, referred = rng.random(n) < rates["loss"], rng.random(n) < rates["refer"]
    side = rng.integers(0, 4, n)
    age = rng.integers(1, 4, n)
    frames = [
        _shape(child, seen, "hearing", ear, age, 1, result=np.where(lost | (referred & (side == place)), "refer", "pass"))
        for place, ear in enumerate(EARS)
    ]
    examined = seen & (lost | referred) & (rng.random(n) < rates["surdology_done"])
    answer = np.where(lost, "confirmed", "excluded")
    return pl.concat([*frames, _shape(child, examined, "hearing", "surdology", rng.integers(14, 30, n), 2, result=answer)])


def _see_phenotype(child: pl.DataFrame, rng: Generator) -> pl.DataFrame:
    n = len(child)
    seen = rng.random(n) < read_rates()["coverage"]["phenotype"]
    count = rng.poisson(0.9, n).astype(float)
    return _shape(child, seen, "phenotype", "micro_anomalies", np.ones(n, dtype=int), 2, value=count)


def _look(child: pl.DataFrame, rng: Generator) -> pl.DataFrame:
    rates, n = read_rates(), len(child)
    at_risk = ((child["birth_weight_g"] < 2000) | (child["gestation_wk"] < 34) | child["is_complicated"]).to_numpy()
    seen = at_risk & (rng.random(n) < rates["coverage"]["eyes"])
    found = np.where(rng.random(n) < rates["eyes"]["retinopathy"], "refer", "pass")
    return _shape(child, seen, "eyes", "rop", rng.integers(21, 28, n), 2, result=found)


def _shape(  # noqa: PLR0913
    child: pl.DataFrame, seen: np.ndarray, programme: str, component: str, age: Any, delay: Any, *, value: Any = None,
    result: Any = None, unit: str | None = None, stage: str | None = None,
) -> pl.DataFrame:  # fmt: skip
    """Rows of RESULT of the children who were seen: examined `age` days after birth, sent `delay` days later."""
    n = len(child)
    rows = child.select("child_no", "birth_on").with_columns(
        pl.Series("age", np.broadcast_to(age, n)),
        pl.Series("delay", np.broadcast_to(delay, n)),
        pl.Series("value", value if value is not None else [None] * n, dtype=pl.Float64),
        pl.Series("result_code", [result] * n if result is None or isinstance(result, str) else result, dtype=pl.String),
    )
    examined = pl.col("birth_on") + pl.duration(days="age")
    return rows.filter(pl.Series(seen)).select(
        pl.col("child_no").cast(pl.Int64), pl.lit(programme).alias("programme"), pl.lit(component).alias("component"),
        pl.lit(stage, pl.String).alias("stage_code"), examined.alias("examined_on"),
        (examined + pl.duration(days="delay")).alias("sent_on"), "value", pl.lit(unit, pl.String).alias("unit"), "result_code",
    )  # fmt: skip


def list_expected(result: pl.DataFrame) -> pl.DataFrame:
    """child_no, programme, known_on: children whose results should raise a flag (truth for tests and consents)."""
    value, answer, part = pl.col("value"), pl.col("result_code"), pl.col("component")
    alone = (
        ((pl.col("programme") == "development") & (value < 1.75))
        | ((part == "mchat_r") & (value >= 8)) | ((part == "mchat_rf") & (value >= 2))
        | ((part == "rop") & (answer == "refer")) | ((part == "surdology") & (answer == "confirmed"))
    )  # fmt: skip
    high = ((part == "tsh") & (value >= 9.0)) | ((part == "phe") & (value >= 2.1))
    spots = result.filter((pl.col("programme") == "blood_spot") & (pl.col("stage_code") == "repeat") & high)
    return (
        pl.concat([result.filter(alone), spots])
        .group_by("child_no", "programme").agg(pl.col("sent_on").min().alias("known_on")).sort("child_no", "programme")
    )  # fmt: skip
