"""The ministry's registers (facilities, PMPCs, catchments, populations): CSV files under home/reference, by contract."""

import shutil
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import dataframely as dy
import polars as pl

from pipelines.contracts import REFERENCE
from pipelines.errors import UserError
from pipelines.settings import Settings

Registers = Mapping[str, pl.DataFrame]


def read_registers(settings: Settings) -> Registers:
    """Every register as a frame of its contract; UserError reference_missing or reference_invalid."""
    return _read_together(settings.reference)


def list_carers(registers: Registers) -> list[str]:
    """Facilities that may have a child in their care. A PMPC is none: what is withheld from it is on no list of its."""
    facility = registers["facility"]
    return facility.filter(facility["facility_kind"] != "pmpc")["facility_id"].to_list()


def list_senders(settings: Settings) -> frozenset[str] | None:
    """The ids of all who may send, facilities and PMPCs; None where no register of facilities is installed. UserError reference_invalid."""
    paths = {name: settings.reference / f"{name}.csv" for name in ("facility", "pmpc")}
    if not paths["facility"].exists():
        return None
    found = [_read_register(path, REFERENCE[name])[f"{name}_id"] for name, path in paths.items() if path.exists()]
    return frozenset(pl.concat(found).to_list())


def install_registers(settings: Settings, folder: Path) -> dict[str, int]:
    """Check the registers of a folder and take them over; rows of each. Nothing changes unless all are valid."""
    found = _read_together(folder)
    settings.reference.mkdir(parents=True, exist_ok=True)
    for name in found:
        draft = settings.reference / f".{name}.csv"
        shutil.copyfile(folder / f"{name}.csv", draft)
        draft.replace(settings.reference / f"{name}.csv")
    return {name: len(frame) for name, frame in found.items()}


def _read_together(folder: Path) -> Registers:
    """All registers of a folder: each district with one PMPC a day at the most, and none without an end that pmpc.csv does not list."""
    found = {name: _read_register(folder / f"{name}.csv", contract) for name, contract in REFERENCE.items()}
    catchment = found["catchment"].sort("kato4", "valid_from")
    if unknown := sorted({*catchment.filter(pl.col("valid_to").is_null())["pmpc_id"]} - {*found["pmpc"]["pmpc_id"]}):
        raise UserError("reference_invalid", f"catchment.csv names PMPCs that pmpc.csv does not list: {', '.join(unknown)}")
    ends = pl.col("valid_to").fill_null(date.max)
    shared = catchment.filter(pl.col("valid_from") <= ends.cum_max().shift().over("kato4"))
    if len(shared):
        raise UserError("reference_invalid", "catchment.csv gives districts to two PMPCs on one day (the end of the first is missing or too "
                        f"late): {', '.join(shared['kato4'].unique().sort())}")  # fmt: skip
    return found


def _read_register(path: Path, contract: type[dy.Schema]) -> pl.DataFrame:
    if not path.exists():
        raise UserError("reference_missing", f"no register {path.name}: install it with `erte reference FOLDER`")
    text = pl.read_csv(path, infer_schema=False)
    if lacking := set(contract.column_names()) - set(text.columns):
        raise UserError("reference_invalid", f"{path.name} lacks the columns {', '.join(sorted(lacking))}")
    typed = text.select(
        pl.col(name).str.to_date("%Y-%m-%d", strict=False) if column.dtype == pl.Date else pl.col(name).cast(column.dtype, strict=False)
        for name, column in contract.columns().items()
    )  # fmt: skip
    good, failure = contract.filter(typed)
    if len(good) < len(typed):
        raise UserError("reference_invalid", f"{path.name}: rows that break a rule, by rule: {failure.counts()}")
    return good
