"""Small tables of published.indicator, and nations small enough that a few children are a whole region's."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import polars as pl

from pipelines.indicators.attack import attack_release
from pipelines.indicators.disclose import UNKNOWN, Limits, disclose
from pipelines.indicators.known import FAMILIES
from pipelines.indicators.release import renew_tables
from pipelines.indicators.withhold import withhold

FIRST = date(2026, 3, 1)
LIMITS = Limits(small=7, rounding=5, least_denominator=30)
_TABLE = ["indicator_id", "birth_year", "stratum", "age_band"]
_COUNTED = [*_TABLE, "kato2", "sex_code", "numerator", "denominator"]


class Told(NamedTuple):
    """One column of a table as it was told: the nation's exact count, and what was shown of each region (None = hidden)."""

    total: int
    shown: tuple[int | None, ...]


def tell(*tellings: Told, indicator_id="referred", stratum="all", age_band="all", female: Sequence[int] = (), among: Told | None = None):
    """published.indicator of one table: a telling a day; `female`: the nation's girls on each; `among`: the denominator as told, else many."""
    rows = []
    for number, told in enumerate(tellings):
        n = among or Told(1000 * len(told.shown), tuple(1000 for _ in told.shown))
        common = {"indicator_id": indicator_id, "birth_year": 2026, "stratum": stratum, "age_band": age_band, "value": None, "is_hidden": False,
                  "told_on": FIRST + timedelta(days=number), "national_numerator": told.total, "national_denominator": n.total}  # fmt: skip
        rows.append({"kato2": "KZ", "sex_code": "all", "numerator": told.total, "denominator": n.total, **common})
        for girls in female[number : number + 1]:
            rows.append({"kato2": "KZ", "sex_code": "female", "numerator": girls, "denominator": n.total // 2, **common})
            rows.append({"kato2": "KZ", "sex_code": "male", "numerator": told.total - girls, "denominator": n.total - n.total // 2, **common})
        for place, (x, shown) in enumerate(zip(told.shown, n.shown, strict=True)):
            rows.append({"kato2": str(10 + place), "sex_code": "all", "numerator": x, "denominator": shown, **common})
    counts = {"numerator": pl.Int64, "denominator": pl.Int64, "value": pl.Float64}
    return pl.DataFrame(rows, schema_overrides=counts, infer_schema_length=None)


def recovered(*tables: pl.DataFrame, limits=LIMITS) -> int:
    """How many counts of regions the linear program recovers from tables."""
    return attack_release(pl.concat(tables), limits)[1]


def add_margins(counts: pl.DataFrame) -> pl.DataFrame:
    """Rows of indicator from counts by region and sex: of both sexes and of the nation too."""
    sums = [pl.col("numerator").sum(), pl.col("denominator").sum()]
    both, nation, all_of_it = pl.lit("all").alias("sex_code"), pl.lit("KZ").alias("kato2"), counts.group_by(_TABLE).agg(sums)
    parts = [
        counts,
        counts.group_by(*_TABLE, "kato2").agg(sums).with_columns(both),
        counts.group_by(*_TABLE, "sex_code").agg(sums).with_columns(nation),
        all_of_it.with_columns(both, nation),
    ]
    return pl.concat(part.select(_COUNTED) for part in parts).with_columns(per=pl.lit(1000, pl.Int64))


class Nights:
    """Releases of one night after another, each with those before it in sight."""

    def __init__(self, regions: Sequence[str]) -> None:
        self.regions, self.told, self.counted = [*regions, UNKNOWN], [pl.DataFrame()], [pl.DataFrame()]
        self.alone = pl.DataFrame()  # what the rules for one table and its tellings would tell, without the judge

    def publish(self, indicator: pl.DataFrame) -> pl.DataFrame:
        on = FIRST + timedelta(days=len(self.told))
        earlier = pl.concat(self.told[1:] or self.told)
        self.counted.append(indicator.filter(pl.col("kato2") != "KZ").with_columns(told_on=pl.lit(on)).drop("per"))
        self.alone = renew_tables(disclose(indicator, LIMITS, self.regions), earlier, on, LIMITS)
        self.told.append(withhold(self.alone, earlier, on, LIMITS, pl.concat(self.counted[1:])))
        return self.told[-1]

    def attack(self, *, is_truth_known: bool) -> tuple[int, int]:
        return attack_release(pl.concat(self.told[1:]), LIMITS, pl.concat(self.counted[1:]) if is_truth_known else None)


class Children:
    """Children of a drawn nation, each with the nights on which something becomes known of it; some move, some are struck off."""

    def __init__(self, seed: int) -> None:
        chance = np.random.default_rng(seed)
        count = int(chance.choice([8, 25, 60, 150, 400]))
        self.regions = [str(10 + number) for number in range(chance.integers(2, 6))]
        shares = chance.dirichlet(np.full(len(self.regions), chance.choice([0.15, 0.5, 2])))
        homes = chance.choice(self.regions, (2, count), p=shares)
        moves = np.where(chance.random(count) < chance.choice([0, 0.03]), chance.integers(1, 8, count), 99)
        flagged = np.where(chance.random(count) < chance.choice([0.1, 0.5, 0.9]), chance.integers(-6, 8, count), 99)
        decided = flagged + chance.integers(0, 5, count)
        impairment = chance.choice(["none", "physical", "mental", "complex"], count, p=[0.3, 0.2, 0.4, 0.1])
        self._of = pl.DataFrame({
            "home": homes[0], "next": homes[1], "moves": moves, "sex_code": chance.choice(["male", "female"], count), "flagged": flagged,
            "decided": decided, "decision": chance.choice(["given", "refused", "withdrawn"], count, p=[0.8, 0.15, 0.05]),
            "concluded": decided + chance.integers(0, 5, count), "impairment": impairment, "speech": chance.random(count) < 0.4,
            "born": chance.integers(-8, 6, count), "age": chance.integers(0, 24, count), "is_late": chance.random(count) < 0.2,
            "examined": np.where(chance.random(count) < 0.8, chance.integers(-6, 8, count), 99), "is_clear": chance.random(count) < 0.7,
            "is_examined_young": chance.random(count) < chance.choice([0.9, 1]),
            "is_heard": chance.random(count) < chance.choice([0.3, 0.95]), "is_deaf": chance.random(count) < chance.choice([0.1, 0.5]),
            "struck": np.where(chance.random(count) < 0.03, chance.integers(1, 8, count), 99),
        })  # fmt: skip

    def count(self, night: int) -> pl.DataFrame:
        """Rows of indicator as known on a night: impairment by category and age, decisions, who was seen, lost, examined, and not clear."""
        here = self._of.filter(pl.col("born") <= night, pl.col("struck") > night).with_columns(
            kato2=pl.when(pl.col("moves") <= night).then("next").otherwise("home"),
            age_band=((pl.col("age") + night) // 8).replace_strict([0, 1, 2], ["under 1", "1 year", "2 years"], default="2 years"),
            stratum=pl.when(pl.col("decided") <= night).then("decision").otherwise(pl.lit("pending")),
            is_impaired=(pl.col("concluded") <= night) & (pl.col("impairment") != "none"),
        )
        decisions, flagged, every = FAMILIES["decision"].parts[0][1], here.filter(pl.col("flagged") <= night), pl.lit("all")
        due = flagged.filter(pl.col("flagged") < night - 1)
        parts = []
        for name in ("all", "physical", "mental", "complex", "speech"):
            of = {"all": pl.lit(value=True), "speech": pl.col("speech")}.get(name, pl.col("impairment") == name)
            parts += [self._add("impairment", here, pl.col("is_impaired") & of, pl.lit(name), band) for band in (every, pl.col("age_band"))]
        parts += [self._add("consent", flagged, pl.col("stratum") == name, pl.lit(name)) for name in decisions]
        parts += [self._add("consent_delay", due, pl.col("is_late"), stratum) for stratum in (every, pl.col("stratum"))]
        sent, examined = flagged.filter(pl.col("stratum") == "given"), here.filter(pl.col("examined") <= night)
        is_seen, is_clear, is_decided = pl.col("concluded") <= night, pl.col("is_clear"), pl.col("age") % 9 > 0
        parts += [self._add("seen", sent, is_seen, every), self._add("lost_to_follow_up", sent, ~is_seen & (pl.col("decided") < night - 2), every)]
        parts.append(self._add("coverage", here.filter(pl.col("born") < night - 1), is_decided & (pl.col("examined") <= night), pl.lit("eyes")))
        young = examined.filter(pl.col("is_examined_young"))
        heard, is_blind = young.filter(pl.col("is_heard")), ~is_clear & (pl.col("flagged") <= night)
        is_deaf = pl.col("is_heard") & pl.col("is_deaf") & (pl.col("flagged") <= night)
        parts += [self._add("flagged", of, is_so, pl.lit(name)) for name, of, is_so in (
            ("eyes", young, is_blind), ("hearing", heard, is_deaf), ("all", young, is_blind | is_deaf))]  # fmt: skip
        is_worth, blind, deaf = is_seen & (pl.col("impairment") != "none"), sent.filter(is_seen & ~is_clear), sent.filter(is_seen & pl.col("is_deaf"))
        every = sent.filter(is_seen & (~is_clear | pl.col("is_deaf")))
        parts += [self._add("ppv", of, is_worth, pl.lit(name)) for name, of in (("eyes", blind), ("hearing", deaf), ("all", every))]
        parts.append(self._add("refer_rate", examined.filter(is_decided), ~is_clear, pl.lit("eyes")))
        return add_margins(pl.concat(parts))

    @staticmethod
    def _add(indicator_id: str, of: pl.DataFrame, is_counted: pl.Expr, stratum: pl.Expr, age_band: pl.Expr | None = None) -> pl.DataFrame:
        rows = of.select(
            pl.lit(indicator_id).alias("indicator_id"), pl.lit(2026).alias("birth_year"), stratum.alias("stratum"),
            (pl.lit("all") if age_band is None else age_band).alias("age_band"), "kato2", "sex_code", is_counted.alias("is_counted"),
        )  # fmt: skip
        keys = [*_TABLE, "kato2", "sex_code"]
        return rows.group_by(keys).agg(numerator=pl.col("is_counted").sum().cast(pl.Int64), denominator=pl.len().cast(pl.Int64)).select(_COUNTED)


def count_national_year(births: int = 335_000, seed: int = 1) -> pl.DataFrame:
    """Rows of indicator of one year of birth of a nation of twenty regions and few children of no known one, in shares as they are."""
    chance = np.random.default_rng(seed)
    regions = [*(str(10 + number) for number in range(20)), UNKNOWN]
    weights = np.array([13, 22, 19, 33, 11, 16, 25, 10, 24, 12, 19, 20, 11, 7, 58, 4, 9, 35, 45, 31, 0.5])
    born = chance.multinomial(births, np.outer(weights, [0.515, 0.485]).ravel() / weights.sum()).reshape(-1, 2)
    impaired = {name: chance.binomial(born, share) for name, share in (("physical", 8e-4), ("mental", 1.2e-3), ("complex", 2e-4))}
    impaired["all"] = sum(impaired.values())
    categories = {"severe": 0.15, "sensory": 0.2, "speech": 0.25, "emotional_volitional": 0.08, "brain_damage": 0.03, "developmental_delay": 0.3}
    impaired |= {name: chance.binomial(impaired["all"], share) for name, share in categories.items()}
    tables = [("impairment", name, counts, born) for name, counts in impaired.items()]
    for name, share in {"blood_spot": 0.004, "hearing": 0.004, "development": 0.011, "autism": 0.008, "eyes": 1e-4, "phenotype": 0.006}.items():
        examined = chance.binomial(born, 0.9)
        tables += [("coverage", name, examined, born), ("flagged", name, chance.binomial(examined, share), examined)]
    each = [counts for indicator_id, _, counts, _ in tables if indicator_id == "flagged"]
    tables.append(("flagged", "all", np.maximum(np.max(each, axis=0), sum(each) * 9 // 10), born))
    flagged = chance.binomial(born, 0.02)
    rest, decisions = flagged, {}
    for name, share in (("given", 0.85), ("refused", 0.6), ("withdrawn", 0.1)):
        decisions[name] = chance.binomial(rest, share)
        rest = rest - decisions[name]
    tables += [("consent", name, counts, flagged) for name, counts in {**decisions, "pending": rest}.items()]
    rows = [
        {"indicator_id": indicator_id, "birth_year": 2026, "stratum": stratum, "age_band": "all", "kato2": region, "sex_code": sex,
         "numerator": int(x[place, of]), "denominator": int(n[place, of])}
        for indicator_id, stratum, x, n in tables for place, region in enumerate(regions) for of, sex in enumerate(("male", "female"))
    ]  # fmt: skip
    return add_margins(pl.DataFrame(rows))
