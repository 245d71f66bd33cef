"""`make bench`: national volumes through the real commands, each beside the physical floor of the same run.

Prints a Markdown table for the README. A benchmark, not a test: nothing here fails because a machine is slow.
"""

import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import date, timedelta
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import typer

from pipelines import flow
from pipelines.intake.receive import judge_chunk, open_submission


class Timed(NamedTuple):
    """Seconds and peak resident memory (MiB) of a child process."""

    seconds: float
    peak_mib: float


def main(
    folder: Path = Path("bench"),
    births: int = 335_000,
    years: int = 10,
    night_rows: int = 20_000,
    skip_history: bool = False,
) -> None:
    """Run all of it under a folder that is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print("\n| what | floor | Erte | ratio | peak memory |\n|---|---|---|---|---|")
    measure_year(folder / "year", births, "national year")
    measure_csv(folder / "csv")
    measure_xlsx(folder / "xlsx")
    measure_hl7(folder / "hl7")
    measure_fhir(folder / "fhir")
    if not skip_history:
        measure_year(folder / "four", births * 4, "four times the rows")
        measure_nights(folder / "history", births, years, night_rows)


def measure_year(folder: Path, births: int, name: str) -> None:
    """A national year as CSV, received and run, against DuckDB turning the same CSV into Parquet."""
    _simulate(folder / "in", births, 1, 2025)
    floor = _time(_floor(folder / "in" / "landing", folder / "floor.parquet"))
    home = folder / "home"
    _erte(home, "reference", str(folder / "in" / "reference"))
    received = _erte(home, "receive", str(folder / "in" / "landing"))
    run = _erte(home, "run", "--on", "2026-02-01")
    _print(name, floor, Timed(received.seconds + run.seconds, max(received.peak_mib, run.peak_mib)))
    shutil.rmtree(folder)


def measure_csv(folder: Path) -> None:
    """A year's screening results as CSV, judged and staged by two processes, against Arrow reading the same files as text by two threads."""
    _simulate(folder, 335_000, 1, 2025)
    for path in folder.glob("landing/*.csv"):
        if not path.name.startswith("screening"):
            path.unlink()
    flow.receive(flow.load_settings(home=folder / "home"), [folder / "landing"])
    _compare("CSV rows, judged and staged", folder, "read_by_arrow", "stage_all", is_shared=True)


def measure_xlsx(folder: Path) -> None:
    """A workbook of 100,000 results of 17 columns: checked, its table found, its rows read, against fastexcel reading it as text."""
    write_workbook(folder)
    _compare("XLSX rows, read", folder, "read_by_fastexcel", "read_workbook")


def measure_hl7(folder: Path) -> None:
    """Messages of 2, 8 and 18 results parsed, conformed and judged in one process, against splitting the same bytes into fields."""
    for results in (2, 8, 18):
        script = "; ".join([
            "import time", "from pathlib import Path", "from tests.bench import read_all, split_all, write_messages",
            f"p = Path({str(folder)!r}); n = write_messages(p, 10_000, {results})",
            "t = time.perf_counter(); split_all(p / 'a.hl7'); f = time.perf_counter() - t",
            "t = time.perf_counter(); read_all(p / 'a.hl7'); e = time.perf_counter() - t",
            f"print(f'| HL7, {{n:,}} messages of {results} results | {{n / f:,.0f}}/s | {{n / e:,.0f}}/s | {{e / f:.1f}} | |', flush=True)",
        ])  # fmt: skip
        subprocess.run([sys.executable, "-c", script], check=True)
    shutil.rmtree(folder)


def measure_fhir(folder: Path) -> None:
    """NDJSON lines read and judged in one process, then four files judged and staged by two, against the plainest parse of the same lines.

    The floor is msgspec without types, in one process. Peak memory is asked of the system: ru_maxrss of a child begins with that of
    its parent.
    """
    script = "; ".join([
        "import sys, time", "from pathlib import Path", "from tests.bench import write_observations, read_all, parse_lines",
        f"p = Path({str(folder)!r}); n = write_observations(p)",
        "t = time.perf_counter(); parse_lines(p / 'a.ndjson'); f = time.perf_counter() - t",
        "t = time.perf_counter(); read_all(p / 'a.ndjson'); e = time.perf_counter() - t",
        "from tests.bench import read_peak_mib; m = read_peak_mib()",
        "print(f'| FHIR NDJSON, {n:,} Observations | {n / f:,.0f}/s | {n / e:,.0f}/s | {e / f:.1f} | {m:,.0f} MiB |')",
    ])  # fmt: skip
    subprocess.run([sys.executable, "-c", script], check=True)
    shutil.rmtree(folder)
    for number in range(4):
        write_observations(folder / "landing", name=f"a{number}", first=number * 200_000)
    flow.receive(flow.load_settings(home=folder / "home"), [folder / "landing"])
    _compare("FHIR Observations of 4 files, judged and staged", folder, "parse_all", "stage_all", is_shared=True)


def measure_nights(folder: Path, births: int, years: int, rows: int) -> None:
    """A night of new rows on top of one year and on top of all years."""
    home = folder / "home"
    first = 2025 - years + 1
    for year in range(first, 2026):
        _simulate(folder / f"{year}", births, year, year)
        _erte(home, "reference", str(folder / f"{year}" / "reference"))
        _erte(home, "receive", str(folder / f"{year}" / "landing"))
        _erte(home, "run", "--on", f"{year + 1}-02-01")
        shutil.rmtree(folder / f"{year}")
        if year in (first, 2025):
            floor, night = measure_night(folder, home, rows, date(year + 1, 2, 2))
            _print(f"night of {rows:,} rows on {year - first + 1} year(s)", floor, night)


def measure_night(folder: Path, home: Path, rows: int, on: date) -> tuple[Timed, Timed]:
    """(floor, night) of the second of two nights that follow each other: the first also takes in what ripened since the year's end."""
    for number in (0, 1):
        _simulate(folder / "night", max(100, rows // 13), on.year * 10 + number, on.year - 1)
        received = _erte(home, "receive", str(folder / "night" / "landing"))
        floor = _time(_floor(folder / "night" / "landing", folder / "floor.parquet"))
        night = _erte(home, "run", "--on", str(on + timedelta(days=number)))
        shutil.rmtree(folder / "night")
    return floor, Timed(received.seconds + night.seconds, night.peak_mib)


def write_messages(folder: Path, count: int = 20_000, results: int = 2) -> int:
    """A batch of messages of two mandatory analytes and as many others as asked for; how many."""
    folder.mkdir(parents=True, exist_ok=True)
    head = (
        "MSH|^~\\&|LAB|L{0:02}|ERTE|MOH|20260105100000||ORU^R01^ORU_R01|{1}|P|2.5.1\r"
        "PID|1||H{1}^^^M01^MR||BABY^BOY||20260103080000|M||||||||||||||||N|1\r"
        "NK1|1|MOTHER^NAME|MTH^Mother^HL70063\r"
        "OBR|1||{1}^LAB|54089-8^Newborn screening panel^LN|||20260104090000|||||||||||||||20260105090000|||F\r"
        "OBX|1|NM|29575-8^TSH^LN|1|3.{2}|m[IU]/L^^UCUM|||||F|||20260104090000\r"
        "OBX|2|NM|29573-3^Phe^LN|1|6{2}.5|umol/L^^UCUM|||||F|||20260104090000\r"
    )
    other = "OBX|{0}|NM|L{0:03}^Analyte {0}^L|1|{0}.{1:02}|umol/L^^UCUM|||||F|||20260104090000\r"
    with (folder / "a.hl7").open("w", newline="") as file:
        for i in range(count):
            file.write(head.format(i % 20, 100_000 + i, i % 10))
            file.writelines(other.format(n, (7 * i + n) % 100) for n in range(3, results + 1))
    return count


def write_observations(folder: Path, count: int = 200_000, name: str = "a", first: int = 0) -> int:
    """An export of Patients and their Observations (ten each, 600 bytes a line); how many Observations."""
    folder.mkdir(parents=True, exist_ok=True)
    patient = (
        '{{"resourceType":"Patient","id":"p{0}","identifier":[{{"type":{{"coding":[{{"code":"MR"}}]}},"value":"H{0}","assigner":'
        '{{"identifier":{{"value":"M01"}}}}}}],"gender":"male","birthDate":"2026-01-03"}}\n'
    )
    seen = (
        '{{"resourceType":"Observation","id":"o{0}","meta":{{"lastUpdated":"2026-01-07T09:00:00+05:00"}},"status":"final",'
        '"category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}}]}}],'
        '"code":{{"coding":[{{"system":"http://loinc.org","code":"{1}","display":"{2} in Dried blood spot"}}]}},'
        '"subject":{{"reference":"Patient/p{3}"}},"effectiveDateTime":"2026-01-05T09:{4:02}:00+05:00",'
        '"issued":"2026-01-07T09:00:00+05:00","performer":[{{"reference":"Organization/L1"}}],'
        '"valueQuantity":{{"value":3.{5},"unit":"{6}","system":"http://unitsofmeasure.org","code":"{6}"}}}}\n'
    )
    kinds = (("29575-8", "Thyrotropin [Units/volume]", "m[IU]/L"), ("29573-3", "Phenylalanine [Moles/volume]", "umol/L"))
    with (folder / f"{name}.ndjson").open("w") as file:
        file.writelines(patient.format(n) for n in range(first // 10, (first + count) // 10))
        for n in range(first, first + count):
            code, title, unit = kinds[n % 2]
            file.write(seen.format(n, code, title, n // 10, n % 60, n % 90, unit))
    return count


def write_workbook(folder: Path, rows: int = 100_000) -> None:
    """A sheet in the columns of the canonical layout, as an export writes it: text, and numbers as numbers."""
    import polars as pl
    import xlsxwriter

    _simulate(folder / "in", 10_000, 1, 2025)
    sent = pl.read_csv(folder / "in" / "landing" / "screening-000.csv", infer_schema=False).head(rows)
    with xlsxwriter.Workbook(folder / "a.xlsx", {"constant_memory": True}) as book:
        sheet = book.add_worksheet()
        for place, row in enumerate([tuple(sent.columns), *sent.iter_rows()]):
            for column, text in enumerate(row):
                if text is not None and place and sent.columns[column] in ("value", "birth_order"):
                    sheet.write_number(place, column, float(text))
                elif text is not None:
                    sheet.write_string(place, column, text)
    shutil.rmtree(folder / "in")


def read_by_arrow(folder: Path) -> int:
    """The floor: every value of every file as text."""
    import pyarrow as pa
    from pyarrow import csv

    def read(path: Path) -> int:
        with path.open() as file:
            names = file.readline().strip().split(",")
        text = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True)
        return len(csv.read_csv(path, read_options=csv.ReadOptions(use_threads=False), convert_options=text))

    with ThreadPoolExecutor(2) as pool:
        return sum(pool.map(read, sorted(folder.glob("landing/*.csv"))))


def stage_all(folder: Path, pool: ProcessPoolExecutor) -> int:
    """What a night does with the same files before it commits."""
    settings = flow.load_settings(home=folder / "home")
    judge = partial(flow.judge_group, settings, "bench", on=date(2026, 2, 1))
    list(pool.map(judge, flow.list_arrivals(settings)))
    receipts = [json.loads(path.read_text()) for path in settings.staging.glob("bench/*/receipt.json")]
    return sum(r["accepted_count"] for r in receipts)


def start_workers() -> ProcessPoolExecutor:
    """Two processes that have imported what a night imports, as Airflow's mapped tasks are: their start is not counted."""
    pool = ProcessPoolExecutor(2, get_context("spawn"))
    list(pool.map(wait_a_moment, range(4)))
    return pool


def wait_a_moment(_: int) -> None:
    """A worker that waits leaves the next task to the other."""
    time.sleep(0.5)


def read_by_fastexcel(folder: Path) -> int:
    """The floor: the sheet as text."""
    import fastexcel

    return len(fastexcel.read_excel(folder / "a.xlsx").load_sheet(0, dtypes="string").to_polars())


def read_workbook(folder: Path) -> int:
    """Check the package, find the table, read its rows; what follows is the same for every format."""
    return sum(len(chunk.rows) for chunk in open_submission(folder / "a.xlsx").chunks)


def parse_lines(path: Path) -> int:
    """The floor: every line parsed, and let go."""
    import msgspec

    with path.open("rb") as file:
        return sum(len(msgspec.json.decode(line)) for line in file)


def parse_all(folder: Path) -> int:
    """The floor of several files; Observations, of which each Patient has ten."""
    return sum(parse_lines(path) and path.read_bytes().count(b'"Observation"') for path in sorted(folder.glob("landing/*.ndjson")))


def split_all(path: Path) -> int:
    """The floor: split every segment into its fields."""
    return sum(len(segment.split("|")) for segment in path.read_text().split("\r"))


def read_all(path: Path) -> int:
    """Open, parse, conform and judge a file; rows received."""
    opened = open_submission(path)
    return sum(judge_chunk(c, opened.layout, "0" * 64, date(2026, 2, 1)).received_count for c in opened.chunks)


def _compare(name: str, folder: Path, floor: str, ours: str, *, is_shared: bool = False) -> None:
    """Rows a second of two functions of this file over a folder, each in a process of its own, imports not counted.

    `is_shared`: ours shares its work among processes that are there already; the peak is that of the largest.
    """
    rows, rates, peak = 0, [], 0.0
    for function in (floor, ours):
        begun = "pool = start_workers()" if is_shared and function == ours else "pool = None"
        call = f"{function}(Path({str(folder)!r}), *filter(None, [pool]))"
        script = "; ".join([
            "import time", "from pathlib import Path", f"from tests.bench import {function}, read_peak_mib, start_workers",
            begun, f"t = time.perf_counter(); n = {call}; t = time.perf_counter() - t", "pool and pool.shutdown()",
            "print(n, t, read_peak_mib())",
        ])  # fmt: skip
        told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
        rows, peak = int(told[0]), float(told[2])
        rates.append(rows / float(told[1]))
    print(f"| {rows:,} {name} | {rates[0]:,.0f}/s | {rates[1]:,.0f}/s | {rates[0] / rates[1]:.1f} | {peak:,.0f} MiB |", flush=True)
    shutil.rmtree(folder)


def read_peak_mib() -> float:
    """Peak resident memory of this process or the largest that ended before it.

    Asked of the system for this one, as ru_maxrss of a child begins with that of its parent.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    mine = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return max(mine, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024


def _simulate(out: Path, births: int, seed: int, year: int) -> None:
    """In a process of its own: the peak memory of a child begins with that of its parent."""
    call = f"write_national_year(Path({str(out)!r}), {births}, {seed}, {year})"
    script = f"from pathlib import Path; from pipelines.simulate.year import write_national_year; {call}"
    subprocess.run([sys.executable, "-c", script], check=True)


def _floor(landing: Path, out: Path) -> list[str]:
    files = [str(p) for p in sorted(landing.rglob("*.csv"))]
    copies = "".join(f"duckdb.sql(\"copy (from read_csv('{f}')) to '{out}'\");" for f in files)
    return [sys.executable, "-c", f"import duckdb; {copies}"]


def _erte(home: Path, *words: str) -> Timed:
    return _time([str(Path(sys.executable).with_name("erte")), *words, "--home", str(home), "--json"])


def _time(command: list[str]) -> Timed:
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command[-6:])} ended with {process.returncode}")
    return Timed(time.perf_counter() - started, used.ru_maxrss / 1024)


def _print(name: str, floor: Timed, run: Timed) -> None:
    ratio = run.seconds / floor.seconds
    print(
        f"| {name} | {floor.seconds:.1f} s | {run.seconds:.1f} s | {ratio:.1f} | {run.peak_mib:,.0f} MiB |", flush=True
    )


if __name__ == "__main__":
    typer.run(main)
