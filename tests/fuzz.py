"""`make fuzz`: bytes that no sender would write, until the time is over. Rows or a refusal are the only outcomes allowed.

Each target runs in a process of its own with a limit of memory and of seconds an input, and is led by the coverage of our own
modules (atheris, libFuzzer). A crash, a hang or an input that takes too much memory is a finding: the input is stored, named,
and the exit code is 1.

    python -m tests.fuzz --seconds 60 --target csv --target hl7
    python -m tests.fuzz --again bench/fuzz/findings/csv-crash-...      what a stored input does now
"""

import gzip
import importlib.util
import io
import json
import resource
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

if sys.argv[1:2] == ["child"]:
    import atheris

    with atheris.instrument_imports(include=["pipelines.intake"]):
        from pipelines.intake.receive import judge_chunk, open_submission
else:
    from pipelines.intake.receive import judge_chunk, open_submission
from pipelines.intake.reading import Limits
from pipelines.intake.refusal import FileRefusedError

LIMITS = Limits(file_mb=64, unpacked_mb=64, line_mb=1, sheet_rows=50_000)
MEMORY_MB = 3_000
SECONDS_AN_INPUT = 20
LONGEST = 8_000
"""Bytes of an input, of a workbook three times as many: what a reader does at the seams of its chunks is held by the tests of each."""
PARTS = ("xl/worksheets/sheet1.xml", "xl/workbook.xml", "xl/sharedStrings.xml", "xl/styles.xml", "xl/_rels/workbook.xml.rels")
"""Of a workbook, changed before they are packed: a changed byte of a packed part is a wrong checksum and nothing else."""


class Target(NamedTuple):
    """`seeds`: inputs to begin with; `wrap`: an input as the bytes of a file; `is_drawn`: by Hypothesis, from a strategy."""

    seeds: Callable[[], Iterator[bytes]]
    wrap: Callable[[bytes], bytes] = bytes
    is_drawn: bool = False
    longest: int = LONGEST


def main(
    seconds: Annotated[int, typer.Option(help="For each target.")] = 30,
    target: Annotated[list[str] | None, typer.Option(help="Only these; all when none is named.")] = None,
    folder: Annotated[Path, typer.Option(help="Where inputs worth keeping and findings are stored.")] = Path("bench/fuzz"),
    again: Annotated[Path | None, typer.Option(help="Read one stored input, without limits, and show what happens.")] = None,
) -> None:
    """Fuzz every reader for a while. Example: python -m tests.fuzz --seconds 60 --target csv"""
    if again:
        fuzz_input(again.name.partition("-")[0], every=True)(again.read_bytes())
        return
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed: it has wheels for Linux on x86_64 and Python up to 3.13")
        raise typer.Exit(2)
    found: list[Path] = []
    for name in target or TARGETS:
        found += fuzz_target(name, seconds, folder)
    for path in found:
        print(f"finding: {path}    (python -m tests.fuzz --again {path})")
    raise typer.Exit(1 if found else 0)


def fuzz_target(name: str, seconds: int, folder: Path) -> list[Path]:
    """One target in a child; the inputs that broke it."""
    corpus, findings = folder / "corpus" / name, folder / "findings"
    for path in (corpus, findings):
        path.mkdir(parents=True, exist_ok=True)
    before = set(findings.iterdir())
    options = [f"-max_total_time={seconds}", f"-timeout={SECONDS_AN_INPUT}", f"-rss_limit_mb={MEMORY_MB}", f"-max_len={TARGETS[name].longest}",
               f"-artifact_prefix={findings / name}-", "-print_final_stats=1", str(corpus)]  # fmt: skip
    command = [sys.executable, "-m", "tests.fuzz", "child", name, *options]
    log = findings / f".{name}.log"
    with log.open("wb") as out:
        try:
            code = subprocess.run(command, stdout=out, stderr=out, check=False, timeout=seconds + 10 * SECONDS_AN_INPUT).returncode
        except subprocess.TimeoutExpired:
            code = -9
    told = log.read_text("utf-8", "replace")
    done = [line.split()[-1] for line in told.splitlines() if line.startswith("stat::number_of_executed_units")]
    found = sorted(set(findings.iterdir()) - before - {log})
    print(f"{name}: {done[0] if done else '?'} inputs in {seconds} s, exit code {code}, {len(found)} findings", flush=True)
    if code and not found:  # ended before it could store the input
        found = [log]
    return found


def fuzz_child(name: str, options: list[str]) -> None:
    """The child: seeds, limits, and libFuzzer until the time is over or an input breaks the reader."""
    corpus = Path(options[-1])
    for number, seed in enumerate(TARGETS[name].seeds()):
        (corpus / f"seed-{number}").write_bytes(seed[: TARGETS[name].longest])
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_MB << 20, MEMORY_MB << 20))
    atheris.Setup([name, *options], fuzz_input(name))
    atheris.Fuzz()


def read_file(content: bytes, *, every: bool = False) -> int:
    """A file of these bytes is read to its end: its rows, 0 when it is refused; anything else is raised.

    The rows of one file in eight are judged too (which one, its bytes decide): that takes ten times as long as to read them.
    """
    is_judged = every or zlib.crc32(content) % 8 == 0
    path = folder_of_inputs() / "sent"
    path.write_bytes(content)
    try:
        opened = open_submission(path, LIMITS)
        rows = 0
        for chunk in opened.chunks:
            rows += chunk.rows["row_no"].n_unique()
            if is_judged:
                judge_chunk(chunk, opened.layout, "0" * 64, date(2026, 3, 2))
        return rows
    except FileRefusedError:
        return 0


def fuzz_input(name: str, *, every: bool = False) -> Callable[[bytes], object]:
    """What is done with one input of a target."""
    target = TARGETS[name]
    return draw_inputs(name) if target.is_drawn else lambda content: read_file(target.wrap(content), every=every)


def draw_inputs(name: str) -> Callable[[bytes], object]:
    """The bytes of the fuzzer as choices of a strategy of the tests: files that are nearly right."""
    from hypothesis import given, settings
    from hypothesis import strategies as st

    if name == "fhirdrawn":
        from tests.test_fhir import ANY, CONSENT, PARTS, VARIED, patient, report, seen

        resources = ANY | PARTS.map(lambda p: seen() | p) | VARIED.map(lambda p: seen() | p) | st.sampled_from([patient(), CONSENT, report()])
        files = st.lists(resources, max_size=6).map(lambda found: b"{" + "\n".join(map(json.dumps, found)).encode()[1:])
    elif name == "xlsxdrawn":
        from tests.test_xlsx import pack
        from tests.test_xlsx_package import SHEETS, TEXTS

        files = st.builds(lambda sheet, texts: pack(folder_of_inputs() / "drawn", sheet, texts).read_bytes(), SHEETS, TEXTS)
    else:
        from tests.test_hl7 import CHILD, HEAD, MOTHER, ORDER, TSH

        fields = st.text(st.sampled_from("aЖ1.|^~\\&- \x0b"), max_size=12)
        segments = st.sampled_from([HEAD, CHILD, MOTHER, ORDER, TSH, "BTS|1", "FTS|1"]) | st.builds(
            lambda segment, text, at: segment[:at] + text + segment[at + len(text) :],
            st.sampled_from([HEAD, CHILD, MOTHER, ORDER, TSH]), fields, st.integers(3, 90),
        )  # fmt: skip
        files = st.lists(segments, max_size=9).map(lambda found: "\r".join([HEAD, *found]).encode())

    @settings(database=None, deadline=None)
    @given(files)
    def drawn(content: bytes) -> None:
        read_file(content)

    return drawn.hypothesis.fuzz_one_input


@cache
def folder_of_inputs() -> Path:
    """A folder of this process, for one input after the other."""
    return Path(tempfile.mkdtemp(prefix="erte-fuzz-"))


@cache
def seed_tables() -> tuple[bytes, ...]:
    """Births, results, consents and confirmations as the canonical layouts read them."""
    import polars as pl

    from tests.nation import flagged

    rows = [next(iter(record.values())) for record in (*flagged(2), *flagged(3))]
    return tuple(pl.DataFrame([rows[n], rows[n + 4]]).write_csv().encode() for n in range(4))


def seed_csv() -> Iterator[bytes]:
    yield from seed_tables()
    kinds = {"".join(filter(str.isalpha, path.stem)): path for path in simulated_files() if path.suffix == ".csv"}
    for path in kinds.values():
        yield b"\n".join(path.read_bytes().split(b"\n")[:6])
    yield from seed_samples("tabular", ".csv")


@cache
def simulated_files() -> tuple[Path, ...]:
    """What the senders of a small nation write: each by its own layout, in its own encoding, with its own separator."""
    from pipelines.simulate.nation import simulate_nation

    simulate_nation(300, 1, 7, folder_of_inputs(), date(2026, 3, 1), 1, lambda _: None)
    return tuple(sorted(path for path in (folder_of_inputs() / "landing").rglob("*") if path.is_file()))


def seed_hl7() -> Iterator[bytes]:
    from tests.test_hl7 import CHILD, HEAD, MOTHER, ORDER, TSH

    yield "\r".join([HEAD, CHILD, MOTHER, ORDER, TSH, ""]).encode()
    yield "\r".join(["FHS|^~\\&|a", "BHS|^~\\&|a", HEAD, CHILD, ORDER, TSH, "BTS|1", "FTS|1"]).encode()
    yield from seed_samples("hl7", ".hl7")


def seed_fhir() -> Iterator[bytes]:
    from tests.test_fhir import CONSENT, patient, report, seen

    resources = [patient(), seen(), CONSENT, report()]
    yield "\n".join(map(json.dumps, resources)).encode()
    yield json.dumps({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in resources]}).encode()
    yield json.dumps(resources).encode()
    yield from seed_samples("fhir", ".json", ".ndjson")


def seed_workbooks() -> Iterator[bytes]:
    import xlsxwriter

    for table in seed_tables():
        out = io.BytesIO()
        with xlsxwriter.Workbook(out) as book:
            sheet = book.add_worksheet("a")
            for number, line in enumerate(table.decode().splitlines()):
                sheet.write_row(number, 0, line.split(","))
        yield out.getvalue()
    yield from seed_samples("tabular", ".xlsx")


def seed_old_workbooks() -> Iterator[bytes]:
    import xlwt

    for table in seed_tables():
        out, book = io.BytesIO(), xlwt.Workbook()
        sheet = book.add_sheet("a")
        for number, line in enumerate(table.decode().splitlines()):
            for place, value in enumerate(line.split(",")):
                sheet.write(number, place, value)
        book.save(out)
        yield out.getvalue()


def seed_parts() -> Iterator[bytes]:
    with zipfile.ZipFile(io.BytesIO(next(seed_workbooks()))) as package:
        for number, part in enumerate(PARTS):
            yield bytes([number]) + package.read(part)


def pack_part(content: bytes) -> bytes:
    """A workbook one of whose parts is the input; its first byte says which."""
    changed, out = PARTS[content[0] % len(PARTS)] if content else "", io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook())) as package, zipfile.ZipFile(out, "w") as packed:
        for part in package.namelist():
            packed.writestr(part, content[1:] if part == changed else package.read(part))
    return out.getvalue()


@cache
def workbook() -> bytes:
    return next(seed_workbooks())


def seed_packed() -> Iterator[bytes]:
    for seeds in (seed_csv, seed_hl7, seed_fhir):
        yield gzip.compress(next(seeds()), mtime=0)


def seed_samples(kind: str, *ends: str) -> Iterator[bytes]:
    """The public samples of a kind, where they are; the short ones, of which more can be tried."""
    from tests.samples import find_samples

    for path in sorted((find_samples() / kind).rglob("*")):
        if path.suffix in ends and path.stat().st_size <= (3 * LONGEST if path.suffix == ".xlsx" else LONGEST):
            yield path.read_bytes()


TARGETS = {
    "csv": Target(seed_csv),
    "hl7": Target(seed_hl7),
    "hl7drawn": Target(seed_hl7, is_drawn=True),
    "fhir": Target(seed_fhir),
    "fhirdrawn": Target(seed_fhir, is_drawn=True),
    "xlsx": Target(seed_workbooks, longest=3 * LONGEST),
    "xlsxparts": Target(seed_parts, pack_part),
    "xlsxdrawn": Target(seed_workbooks, is_drawn=True),
    "xls": Target(seed_old_workbooks, longest=3 * LONGEST),
    "gzip": Target(seed_packed),
    "gzipped": Target(seed_csv, lambda content: gzip.compress(content, 1)),
}

if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        fuzz_child(sys.argv[2], sys.argv[3:])
    else:
        typer.run(main)
