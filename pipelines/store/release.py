"""The files of a release: its tables as Parquet, and the swap of the pointers under which readers know the newest."""

import shutil
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from pipelines.settings import Settings
from pipelines.store.lake import Connection
from pipelines.store.settled import Base, Years


def write_parquet(
    connection: Connection, settings: Settings, on: date, tables: Iterable[str], base: Base | None, years: Years
) -> Path:
    """Every table as a file; a year of birth that was taken over is a copy of its file in the release before.

    Parquet keeps no comments: what the columns mean is a file of its own.
    """
    folder = settings.published / f".parquet-{on}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for table in [*(f"pathway_{year}" for year in years.spine), *tables, "release"]:
        name = table.replace(".", "_") + ".parquet"
        held = settings.published / f"parquet-{base.on}" / name if base else None
        if held and table.startswith("pathway_") and int(table[-4:]) not in years.told and held.exists():
            shutil.copyfile(held, folder / name)
        elif table != "pathway":  # a view of the years
            path = str(folder / name).replace("'", "''")
            connection.execute(f"copy (from {table}) to '{path}' (format parquet)")
    dictionary = str(folder / "data_dictionary.parquet").replace("'", "''")
    connection.execute(f"""
        copy (select schema_name, table_name, column_name, data_type, comment from duckdb_columns()
              where database_name = 'draft' and not internal order by all) to '{dictionary}' (format parquet)""")
    return folder


def swap_release(settings: Settings, on: date, draft: Path, parquet: Path) -> Path:
    """The release under its day, the pointers erte.duckdb and parquet onto the newest; older releases beyond those kept go."""
    release, tables = settings.published / f"erte-{on}.duckdb", settings.published / f"parquet-{on}"
    draft.replace(release)
    shutil.rmtree(tables, ignore_errors=True)
    parquet.rename(tables)
    newest = max(settings.published.glob("erte-*.duckdb"))  # an older day that is told again is not what readers look for
    for pointer, target in (("erte.duckdb", newest.name), ("parquet", newest.stem.replace("erte-", "parquet-"))):
        link = settings.published / f".{pointer}.link"
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        link.replace(settings.published / pointer)
    kept = sorted(settings.published.glob("erte-*.duckdb"))[-settings.kept_releases :]
    for old in settings.published.glob("erte-*.duckdb"):
        if old not in kept and old != release:
            old.unlink()
            shutil.rmtree(settings.published / old.stem.replace("erte-", "parquet-"), ignore_errors=True)
    return release
