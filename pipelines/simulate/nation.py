"""`erte simulate`: a synthetic nation as its senders would write it, its registers, and the truth behind it.

The truth folder is for tests and evaluation only; nothing in the pipeline reads it. Same seed, same bytes.
"""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from pipelines.intake.layout import Layout, list_layouts
from pipelines.simulate import results
from pipelines.simulate.cases import write_cases
from pipelines.simulate.dirt import TRUTH
from pipelines.simulate.people import Generator, bear_children, draw_districts, read_rates, write_registers
from pipelines.simulate.senders import Written, write_messages, write_submission
from pipelines.simulate.troubles import rename_late, write_troubles

_WHO = ("mother_iin", "birth_on", "birth_order", "sex_code", "maternity_id", "history_no")
_WIDE = {"hearing": "maternity-hearing", "development": "room-development", "autism": "room-autism", "eyes": "eyes-rop"}
_HL7_LABORATORIES = 3


class Simulated(NamedTuple):
    """What was written: births (newborns and older children), files, rows, dirty rows, expected flags."""

    births: int
    files: int
    rows: int
    dirty_rows: int
    expected_flags: int


def simulate_nation(
    births: int, weeks: int, seed: int, out: Path, end_on: date, nights: int, progress: Callable[[str], None]
) -> Simulated:
    """Write out/reference, out/landing/<night>/ and out/truth; the first night holds all that was sent before it."""
    rng = np.random.Generator(np.random.PCG64(seed))
    progress(f"bearing {births:,} children")
    newborn = bear_children(births, end_on - timedelta(days=weeks * 7), end_on - timedelta(days=1), rng, seed * 2)
    older = bear_children(int(births * read_rates()["older_share"]), end_on - timedelta(days=1000), end_on - timedelta(days=120), rng,
                          seed * 2 + 1)  # fmt: skip
    child = pl.concat([newborn, older])
    result = _examine(newborn, older, end_on, rng)
    expected = results.list_expected(result)
    writer = _Writer(out / "landing", [end_on - timedelta(days=n) for n in reversed(range(nights))], rng)
    progress("writing births")
    writer.write_births(child)
    progress("writing results")
    writer.write_results(result, child)
    progress("writing decisions")
    writer.write_decisions(expected.filter(pl.col("known_on") <= end_on), child)
    truth = out / "truth"
    truth.mkdir(parents=True, exist_ok=True)
    writer.files += write_cases(writer.landing, truth, writer.nights, seed)
    dirty_rows = pl.concat([w.dirty for w in writer.written])
    troubles = write_troubles(writer.landing, writer.nights, dirty_rows)
    writer.files += len(troubles.filter(pl.col("is_new")))
    troubles.drop("is_new").write_parquet(truth / "file.parquet")
    write_registers(out / "reference", end_on.year)
    dirty = rename_late(dirty_rows, troubles).sort("file", "row_no")
    child.sort("child_no").write_parquet(truth / "child.parquet")
    expected.write_parquet(truth / "flag_expected.parquet")
    dirty.write_parquet(truth / "dirty.parquet")
    return Simulated(len(child), writer.files, sum(w.rows for w in writer.written),
                     len(dirty.filter(pl.col("code").is_not_null())), len(expected))  # fmt: skip


def _examine(newborn: pl.DataFrame, older: pl.DataFrame, end_on: date, rng: Generator) -> pl.DataFrame:
    months = (pl.lit(end_on) - pl.col("birth_on")).dt.total_days() / 30.44
    grown = older.filter(months.is_between(16, 30))
    recent = [results.examine_development(part, [0], rng) for part in (older,)]
    age = older.select("child_no", (pl.lit(end_on) - pl.col("birth_on")).dt.total_days().alias("age"))
    shift = pl.duration(days=pl.col("age") - pl.lit(pl.Series(rng.integers(3, 30, len(older)))))
    shifts = age.select("child_no", shift.alias("shift"))
    moved = [
        part.join(shifts, on="child_no").with_columns(pl.col("examined_on", "sent_on") + pl.col("shift")).drop("shift")
        for part in recent
    ]  # an older child was last seen some days ago, not at birth
    parts = [
        results.examine_newborns(newborn, rng), results.examine_development(newborn, [30], rng), *moved,
        results.examine_autism(grown, end_on, rng), results.examine_newborns(older, rng),
    ]  # fmt: skip
    return pl.concat(parts).filter(pl.col("sent_on") <= end_on).sort("child_no", "programme", "component", "examined_on")


class _Writer:
    """Files by night, kind and region."""

    def __init__(self, landing: Path, nights: list[date], rng: Generator) -> None:
        self.landing, self.nights, self.rng = landing, nights, rng
        self.layouts: dict[str, Layout] = {layout.name: layout for layout in list_layouts()}
        self.written: list[Written] = []
        self.files = 0
        self.dirt = read_rates()["dirt"]

    def write_births(self, child: pl.DataFrame) -> None:
        """A day or two after birth, by region; older children in one canonical export of the birth register."""
        delay = pl.duration(days=pl.lit(pl.Series(self.rng.integers(1, 3, len(child)))))
        rows = child.with_columns((pl.col("birth_on") + delay).alias("sent_on"), pl.col("maternity_id").alias("sender_id"),
                                  (pl.lit("B") + pl.col("child_no").cast(pl.String)).alias("source_id"))  # fmt: skip
        for region, part in sorted(rows.partition_by("kato2", as_dict=True).items()):
            name, encoding = ("maternity-birth", "cp1251") if int(region[0]) % 3 else ("canonical-birth", "utf-8")
            self._write_nights(part, name, f"birth-{region[0]}", encoding)

    def write_results(self, result: pl.DataFrame, child: pl.DataFrame) -> None:
        """Each programme in its own layout; the surdologist and the phenotype in the canonical one; some corrected later."""
        rows = result.join(child.select("child_no", "kato2", "kato4", "phc_id", "birth_at", "plurality", "gestation_wk", "family_name",
                                        "mother_family_name", "mother_given_name", *_WHO), on="child_no")  # fmt: skip
        assert len(rows) == len(result)  # noqa: S101
        is_long = (pl.col("component") == "surdology") | (pl.col("programme") == "phenotype")
        for programme, name in _WIDE.items():
            wide = self._widen(rows.filter((pl.col("programme") == programme) & ~is_long))
            for region, part in sorted(wide.partition_by("kato2", as_dict=True).items()):
                self._write_nights(part, name, f"{programme}-{region[0]}", "utf-8", is_corrected=programme == "development")
        plain = rows.filter(is_long).with_columns(
            pl.lit("final").alias("status_code"), pl.col("maternity_id").alias("facility_id"), pl.col("phc_id").alias("sender_id"),
            pl.concat_str(pl.lit("N"), pl.col("child_no").cast(pl.String), "programme", separator="-").alias("source_id"),
        )  # fmt: skip
        for region, part in sorted(plain.partition_by("kato2", as_dict=True).items()):
            self._write_nights(part, "canonical-screening", f"clinic-{region[0]}")
        self._write_laboratories(self._widen(rows.filter(pl.col("programme") == "blood_spot")))

    def write_decisions(self, expected: pl.DataFrame, child: pl.DataFrame) -> None:
        """Consents, refusals, withdrawals and health workers' confirmations of what should be flagged."""
        rates, n = read_rates()["consent"], len(expected)
        rows = expected.join(child.select("child_no", "kato2", "phc_id", "mother_family_name", *_WHO), on="child_no")
        draw, later = self.rng.random(n), self.rng.integers(0, 3, n)
        is_given = draw < rates["given"]
        decided = rows.with_columns(
            (pl.col("known_on") + pl.duration(days=pl.lit(pl.Series(later)))).alias("decided_on"), pl.lit("pmpc_referral").alias("purpose"),
            pl.Series("decision", np.where(is_given, "given", "refused")), pl.lit("mother").alias("authority_code"),
            pl.lit("2026-1").alias("form_version"), pl.col("mother_iin").alias("representative_iin"),
            pl.col("mother_family_name").alias("representative_name"), pl.col("phc_id").alias("sender_id"),
        )  # fmt: skip
        taken = decided.filter(pl.Series(draw < rates["given"] + rates["refused"]))
        gone = decided.filter(pl.Series(is_given & (self.rng.random(n) < rates["withdrawn"]))).with_columns(
            pl.lit("withdrawn").alias("decision"), pl.col("decided_on") + pl.duration(days=1)
        )
        machine = decided.filter(pl.Series(self.rng.random(n) < rates["automated"])).with_columns(
            pl.lit("automated_processing").alias("purpose"), pl.lit("given").alias("decision")
        )
        consent = pl.concat([taken, gone, machine]).unique(["child_no", "purpose", "decision"], maintain_order=True)
        source = pl.concat_str(pl.lit("C"), pl.col("child_no").cast(pl.String), "purpose", "decision", separator="-")
        consent = consent.with_columns(source.alias("source_id"), (pl.col("decided_on") + pl.duration(days=1)).alias("sent_on"))
        answer = np.where(self.rng.random(n) < rates["rejected"] / rates["confirmed"], "rejected", "confirmed")
        confirmation = rows.with_columns(
            pl.col("known_on").alias("confirmed_on"), (pl.col("known_on") + pl.duration(days=1)).alias("sent_on"),
            pl.Series("confirmation", answer), (pl.lit("W") + pl.col("phc_id")).alias("worker_id"), pl.col("phc_id").alias("sender_id"),
            pl.concat_str(pl.lit("W"), pl.col("child_no").cast(pl.String), "programme", separator="-").alias("source_id"),
        ).filter(pl.Series(self.rng.random(n) < rates["confirmed"]))  # fmt: skip
        for frame, name, encoding in ((consent, "consent-register", "cp1251"), (confirmation, "canonical-confirmation", "utf-8")):
            for region, part in sorted(frame.partition_by("kato2", as_dict=True).items()):
                self._write_nights(part, name, f"{name.split('-')[0 if 'register' in name else 1]}-{region[0]}", encoding)

    def _widen(self, rows: pl.DataFrame) -> pl.DataFrame:
        """One row an examination, one column a component; its own source id."""
        if rows.is_empty():
            return rows
        by_value = rows["programme"][0] in ("blood_spot", "development", "autism")
        index = [c for c in rows.columns if c not in ("component", "value", "result_code", "unit")]
        pivoted = rows.pivot("component", index=index, values="value" if by_value else "result_code", aggregate_function="first")
        spoiled = rows.group_by("child_no", "examined_on").agg(pl.col("result_code").first()) if by_value else None
        wide = pivoted.join(spoiled, on=["child_no", "examined_on"], how="left") if spoiled is not None else pivoted
        source = pl.concat_str(pl.lit("S"), pl.col("child_no").cast(pl.String), "programme", pl.col("examined_on").cast(pl.String), separator="-")
        return wide.with_columns(source.alias("source_id"), pl.col("phc_id").alias("sender_id"), pl.col("maternity_id").alias("facility_id"))

    def _write_laboratories(self, sample: pl.DataFrame) -> None:
        regions = {kato2: place % read_rates()["laboratory_count"] for place, kato2 in enumerate(sorted(draw_districts()["kato2"].unique()))}
        rows = sample.with_columns(pl.col("kato2").replace_strict(regions, return_dtype=pl.Int64).alias("laboratory"))
        rows = rows.with_columns((pl.lit("LAB") + pl.col("laboratory").cast(pl.String)).alias("sender_id"))
        for laboratory, part in sorted(rows.partition_by("laboratory", as_dict=True).items()):
            if laboratory[0] == _HL7_LABORATORIES:  # one writes our own layout, a line a result, the unit beside it
                self._write_nights(self._lengthen(part), "canonical-screening", f"laboratory-{laboratory[0]}")
                continue
            if laboratory[0] > _HL7_LABORATORIES:
                usable = part.filter(pl.col("result_code").is_null()).with_columns(
                    pl.col("phe") * 60.54, pl.col("sent_on").alias("reported_on"), pl.lit(None, pl.String).alias("facility_id")
                )
                self._write_nights(usable, "laboratory-blood-spot", f"laboratory-{laboratory[0]}", "utf-8-sig")
                continue
            for night, nightly in self._split_nights(part):
                self.files += 1
                path = self.landing / f"{night}" / f"laboratory-{laboratory[0]}.hl7"
                self.written.append(Written(write_messages(nightly, path), pl.DataFrame(schema=TRUTH)))

    def _lengthen(self, sample: pl.DataFrame) -> pl.DataFrame:
        units = {"tsh": "m[IU]/L", "phe": "mg/dL"}
        return pl.concat(
            sample.filter(pl.col(name).is_not_null()).with_columns(
                pl.lit("blood_spot").alias("programme"), pl.lit(name).alias("component"), pl.col(name).alias("value"),
                pl.lit(unit).alias("unit"), pl.lit("final").alias("status_code"), pl.lit(None, pl.String).alias("result_code"))
            for name, unit in units.items()
        )  # fmt: skip

    def _split_nights(self, rows: pl.DataFrame) -> list[tuple[date, pl.DataFrame]]:
        sent = rows.filter(pl.col("sent_on") <= self.nights[-1]).with_columns(
            pl.max_horizontal("sent_on", pl.lit(self.nights[0])).alias("night")
        )
        return [(key[0], part.drop("night")) for key, part in sorted(sent.partition_by("night", as_dict=True).items())]

    def _write_nights(
        self, rows: pl.DataFrame, name: str, stem: str, encoding: str = "utf-8", *, is_corrected: bool = False
    ) -> None:
        layout = self.layouts[name]
        said = rows.with_columns(
            pl.lit("report").alias("action_code"), (pl.col("sent_on").cast(pl.Datetime("us")) + pl.duration(hours=10)).alias("issued_at")
        )
        parts = self._split_nights(said)
        if is_corrected and len(parts) > 1:
            parts[-1] = (parts[-1][0], pl.concat([parts[-1][1], self._correct(parts[0][1])], how="diagonal"))
        for night, part in parts:
            self.files += 1
            path = self.landing / f"{night}" / f"{stem}.csv"
            self.written.append(write_submission(part, layout, path, self.rng, self.dirt["rows"], encoding))

    def _correct(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Corrections and cancellations of examinations that found nothing, issued on the last day."""
        clear = rows.filter(pl.all_horizontal(pl.col(c) >= 2.5 for c in results.DOMAINS))
        draw = self.rng.random(len(clear))
        corrected, cancelled = draw < self.dirt["corrections"], draw > 1 - self.dirt["cancellations"]
        issued = pl.lit(self.nights[-1]).cast(pl.Datetime("us")) + pl.duration(hours=11)
        return pl.concat([
            clear.filter(pl.Series(corrected)).with_columns(pl.lit("correct").alias("action_code"), issued.alias("issued_at"),
                                                            pl.lit(3.0).alias("motor")),
            clear.filter(pl.Series(cancelled)).with_columns(pl.lit("cancel").alias("action_code"), issued.alias("issued_at")),
        ])  # fmt: skip
