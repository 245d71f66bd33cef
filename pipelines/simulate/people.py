"""Children of the synthetic nation and the registers they live by; everything from one seeded generator."""

import tomllib
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

_FOLDER = Path(__file__).parent
_REGIONS = _FOLDER.parents[1] / "warehouse" / "reference" / "regions.csv"
_FIRST = np.arange(1, 12)
_SECOND = np.array([3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2])

Generator = np.random.Generator


@cache
def read_rates() -> dict[str, Any]:
    """The rates of nation.toml."""
    return tomllib.loads((_FOLDER / "nation.toml").read_text("utf-8"))


@cache
def draw_districts() -> pl.DataFrame:
    """One row a district: kato2, kato4, births (weight), pmpc_id, maternity_id, phc_id; each district has a PMPC."""
    regions = pl.read_csv(_REGIONS, schema_overrides={"kato2": pl.String})
    share = regions["births_2025_illustrative"] / regions["births_2025_illustrative"].sum()
    counts = (share * (read_rates()["pmpc_count"] - len(regions))).round().cast(pl.Int64) + 1
    rows = [
        (kato2, f"{kato2}{10 + place}", births / count)
        for kato2, births, count in zip(regions["kato2"], regions["births_2025_illustrative"], counts, strict=True)
        for place in range(count)
    ]
    districts = pl.DataFrame(rows, schema=["kato2", "kato4", "births"], orient="row")
    names = {"K": "pmpc_id", "M": "maternity_id", "P": "phc_id"}
    return districts.with_columns((pl.lit(letter) + pl.col("kato4")).alias(name) for letter, name in names.items())


def write_registers(folder: Path, year: int) -> None:
    """facility, pmpc, catchment and population .csv as the contracts of `REFERENCE` ask for them."""
    folder.mkdir(parents=True, exist_ok=True)
    district = draw_districts()
    kinds = {"maternity_id": "maternity", "phc_id": "phc", "pmpc_id": "pmpc"}
    facility = pl.concat(
        district.select(pl.col(c).alias("facility_id"), (pl.lit(f"{kind} ") + pl.col("kato4")).alias("facility_name"),
                        pl.lit(kind).alias("facility_kind"), "kato4")
        for c, kind in kinds.items()
    )  # fmt: skip
    laboratory = [(f"LAB{n}", f"laboratory {n}", "laboratory", district["kato4"][n * 9]) for n in range(read_rates()["laboratory_count"])]
    pl.concat([facility, pl.DataFrame(laboratory, schema=facility.schema, orient="row")]).write_csv(folder / "facility.csv")
    district.select("pmpc_id", (pl.lit("ПМПК ") + pl.col("kato4")).alias("pmpc_name"), "kato4").write_csv(folder / "pmpc.csv")
    district.select("kato4", "pmpc_id", pl.lit("2020-01-01").alias("valid_from"), pl.lit(None, pl.String).alias("valid_to")).write_csv(
        folder / "catchment.csv"
    )
    regions = pl.read_csv(_REGIONS, schema_overrides={"kato2": pl.String})
    births = pl.col("births_2025_illustrative")
    bands = {"births": 1.0, "0": 1.0, "1": 1.08, "2": 1.15, "0-17": 20.4}  # 4.1-4.2: births of 2025, 2024, 2023; 6.84 M under 18
    pl.concat(
        regions.select("kato2", pl.lit(y).alias("year"), pl.lit(sex).alias("sex_code"), pl.lit(band).alias("age_band"),
                       (births * times * share).round().cast(pl.Int64).alias("child_count"),
                       pl.lit("derived from reference/regions.csv, illustrative").alias("source"))
        for y in range(year - 2, year + 2) for band, times in bands.items() for sex, share in (("male", 0.515), ("female", 0.485))
    ).write_csv(folder / "population.csv")  # fmt: skip


def bear_children(count: int, first: date, last: date, rng: Generator, seed: int) -> pl.DataFrame:
    """`count` children born from `first` to `last`, twins with one mother; births of the spine in contract columns."""
    rates, days = read_rates()["birth"], (last - first).days + 1
    twins = rng.random(count) < rates["twin_deliveries"]
    delivery = np.repeat(np.arange(count), 1 + twins)[:count]
    order = np.concatenate([[1], 1 + (delivery[1:] == delivery[:-1])])
    plural = np.bincount(delivery, minlength=count)[delivery]
    district = draw_districts()
    weight = district["births"].to_numpy() / district["births"].sum()
    home = rng.choice(len(district), size=count, p=weight)[delivery]
    born = rng.integers(0, days, count)[delivery]
    minute = rng.integers(0, 1440, count)
    is_early = (rng.random(count) < rates["preterm"])[delivery] | ((plural > 1) & (rng.random(count) < 0.5)[delivery])
    gestation = np.where(is_early, rng.integers(25, 37, count)[delivery], rng.integers(37, 42, count)[delivery])
    grams = np.clip(rng.normal(3350, 430, count) - (39.5 - gestation).clip(0) * 155, 550, 5200).astype(int)
    iins = make_iins(2 * count, seed)
    names = read_rates()["names"]
    family, given = (np.array(names[k])[rng.integers(0, len(names[k]), count)] for k in ("family", "given"))
    places = district[home]
    number = np.arange(count) + seed * 10_000_000
    frame = pl.DataFrame(
        {
            "child_no": number, "kato2": places["kato2"], "kato4": places["kato4"], "maternity_id": places["maternity_id"],
            "phc_id": places["phc_id"], "birth_order": order, "plurality": plural,
            "sex_code": np.where(rng.random(count) < rates["boys"], "male", "female"), "birth_weight_g": grams,
            "gestation_wk": gestation, "is_complicated": rng.random(count) < rates["complicated"],
            "mother_iin": iins[:count][delivery], "own_iin": iins[count:], "family_name": family[delivery], "given_name": given,
            "mother_given_name": given[delivery], "delivery_no": delivery + seed * 10_000_000,
        }
    )  # fmt: skip
    born_on = pl.lit(first) + pl.duration(days=pl.lit(pl.Series(born)))
    return frame.with_columns(
        born_on.alias("birth_on"),
        (born_on.cast(pl.Datetime("us")) + pl.duration(minutes=pl.lit(pl.Series(minute)))).alias("birth_at"),
        (pl.lit("H") + pl.col("delivery_no").cast(pl.String)).alias("history_no"),
        (pl.col("kato4") + pl.lit("01000")).alias("residence_kato"),
        pl.col("family_name").alias("mother_family_name"),
        (pl.lit("ул. Абая, ") + (pl.col("child_no") % 200).cast(pl.String)).alias("address"),
        (pl.lit("+7701") + (pl.col("child_no") % 10_000_000).cast(pl.String).str.zfill(7)).alias("phone"),
        pl.when(pl.Series(rng.random(count) < rates["iin_at_birth"])).then("own_iin").alias("child_iin"),
    )


def make_iins(count: int, seed: int) -> np.ndarray:
    """`count` different valid IINs (DOMAIN section 6); the digits mean nothing, as the order has it."""
    numbers = (seed % 89 + 10) * 10**9 + np.arange(int(count * 1.02) + 20, dtype=np.int64) * 13
    digits = (numbers[:, None] // 10 ** np.arange(10, -1, -1)) % 10
    first, second = digits @ _FIRST % 11, digits @ _SECOND % 11
    check = np.where(first < 10, first, second)
    whole = (numbers * 10 + check)[check < 10][:count]
    return whole.astype(str)

