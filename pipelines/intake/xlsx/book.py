"""An open workbook, new or old: its sheets as columns of text, one at a time."""

import io
import json
import signal
import subprocess
import sys
from array import array
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import fastexcel
import polars as pl

from pipelines.intake.reading import Limits
from pipelines.intake.refusal import FileRefusedError
from pipelines.intake.xlsx.package import Package, check_package
from pipelines.intake.xlsx.spoiled import Spoiled

_XLS = b"\xd0\xcf\x11\xe0"
_XLS_MB = 128
_CHILD = Path(__file__).with_name("old_child.py")
_CHILD_BASE_MB = 1_024
_TIMEOUT_S = 300
_T = TypeVar("_T")
Cells = Mapping[int, pl.Series]
"""Column of the sheet (0 = A) -> its cells as text from the sheet's first row on, all of one length."""


class Sheet(NamedTuple):
    """A sheet that holds cells: its place in the workbook (1 = first), its cells, those of them that hold no value, whether it is hidden."""

    number: int
    name: str
    cells: Cells
    spoiled: Spoiled
    is_hidden: bool


class Book(Protocol):
    """A workbook that may be read."""

    @property
    def package(self) -> Package:
        """What its package says."""

    def list_sheets(self) -> Iterator[Sheet]:
        """Each sheet that holds cells, one at a time."""

    def is_numeric(self, name: str, first_row: int, places: tuple[int, int]) -> bool:
        """Whether a column's cells from a row on are all numbers; `places`: the sheet's first column and this one."""


def open_book(path: Path, limits: Limits) -> Book:
    """A workbook by its first bytes; raises FileRefusedError for what must not or cannot be opened."""
    with path.open("rb") as file:
        is_old = file.read(4) == _XLS
    if not is_old:
        package = check_package(path, limits)
        return _NewBook(_guard(lambda: fastexcel.read_excel(path.read_bytes())), package)
    if path.stat().st_size > min(limits.unpacked_mb, _XLS_MB) << 20:
        raise FileRefusedError("file_too_large")
    content = path.read_bytes()
    if "EncryptedPackage".encode("utf-16-le") in content:
        raise FileRefusedError("file_encrypted")
    if not any(name.encode("utf-16-le") in content for name in ("Workbook", "Book")):
        raise FileRefusedError("format_not_supported")
    return _OldBook(path, limits.unpacked_mb + _CHILD_BASE_MB, Package(is_1904=False, merged={}, spoiled={}))


class _NewBook(NamedTuple):
    """A .xlsx whose package was checked: read in this process."""

    reader: fastexcel.ExcelReader
    package: Package

    def list_sheets(self) -> Iterator[Sheet]:
        for number, name in enumerate(self.reader.sheet_names, 1):
            sheet = _guard(lambda name=name: self.reader.load_sheet(name, header_row=None, skip_rows=0, dtypes="string"))  # type: ignore[misc]
            if sheet.height and sheet.width:
                places = [column.absolute_index for column in sheet.available_columns()]
                frame: pl.DataFrame = _guard(lambda s=sheet: s.to_polars())  # type: ignore[misc]
                spoiled = self.package.spoiled.get(name, {})
                yield Sheet(number, name, dict(zip(places, frame.get_columns(), strict=True)), spoiled, sheet.visible != "visible")

    def is_numeric(self, name: str, first_row: int, places: tuple[int, int]) -> bool:
        first, place = places
        sheet = _guard(
            lambda: self.reader.load_sheet(
                name, header_row=None, skip_rows=first_row, use_columns=[place - first], schema_sample_rows=None
            )
        )
        return all(column.dtype in ("int", "float") for column in sheet.selected_columns)


class _OldBook(NamedTuple):
    """A .xls: read by a process of its own (old_child says why)."""

    path: Path
    memory_mb: int
    package: Package

    def list_sheets(self) -> Iterator[Sheet]:
        answer = io.BytesIO(self._ask("cells"))
        number = 0
        while line := answer.readline():
            number += 1
            told = json.loads(line)
            frame = pl.read_ipc_stream(answer.read(told["bytes"]))
            spoiled: Spoiled = {}
            for row, column in told["spoiled"]:
                spoiled.setdefault(column, array("I")).append(row)
            cells = dict(zip(told["places"], frame.get_columns(), strict=True))
            yield Sheet(number, told["name"], cells, spoiled, told["is_hidden"])

    def is_numeric(self, name: str, first_row: int, places: tuple[int, int]) -> bool:
        return self._ask("numbers", name, str(first_row), str(places[1] - places[0])) == b"1"

    def _ask(self, question: str, *about: str) -> bytes:
        command = [sys.executable, str(_CHILD), str(self.memory_mb), question, str(self.path), *about]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)  # noqa: S603  # our own script
        except subprocess.TimeoutExpired:
            raise FileRefusedError("file_unreadable") from None
        if done.returncode in (-signal.SIGKILL, -signal.SIGTERM):
            raise RuntimeError("the reader of old workbooks was killed from outside: that is not the file's fault")
        if done.returncode:
            raise FileRefusedError("file_unreadable")
        return done.stdout


def _guard(call: Callable[[], _T]) -> _T:
    """What calamine gives; a workbook it cannot read is refused, also where its parser gives up (a panic)."""
    try:
        return call()
    except (fastexcel.FastExcelError, OSError, ValueError, OverflowError):
        raise FileRefusedError("file_unreadable") from None
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise FileRefusedError("file_unreadable") from None
        raise
