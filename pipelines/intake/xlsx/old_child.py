"""Run as a process of its own: the sheets of a .xls as Arrow streams on standard output, within a limit of memory.

The old format is a file system of its own whose counts the reader trusts: a damaged one asks for any amount of memory and
ends the process (not by an exception). So it is this process that ends. It imports nothing of ours.

    python old_child.py MEMORY_MB cells PATH               one line of JSON (name, places, bytes, spoiled, is_hidden) and a stream a sheet
    python old_child.py MEMORY_MB numbers PATH NAME ROW PLACE     1 when all cells of a column from a row on are numbers
"""

import json
import resource
import sys
from pathlib import Path

import fastexcel
import pyarrow as pa
import pyarrow.compute as pc
from old_formulas import list_empty_formulas  # type: ignore[import-not-found]  # beside this script

_SECONDS = 120


def main(memory_mb: str, question: str, path: str, *about: str) -> None:
    """Answer one question about a workbook; any trouble ends the process with a code that is not 0."""
    most = int(memory_mb) << 20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS + 10))
    reader = fastexcel.read_excel(path)
    if question == "numbers":
        name, row, place = about
        typed = reader.load_sheet(
            name, header_row=None, skip_rows=int(row), use_columns=[int(place)], schema_sample_rows=None
        )
        sys.stdout.write("1" if all(c.dtype in ("int", "float") for c in typed.selected_columns) else "0")
        return
    empty: list[set[tuple[int, int]]] | None = None
    for number, name in enumerate(reader.sheet_names):
        sheet = reader.load_sheet(name, header_row=None, skip_rows=0, dtypes="string")
        if not sheet.height or not sheet.width:
            continue
        sink = pa.BufferOutputStream()
        batch, errors = sheet.to_arrow_with_errors()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        content = sink.getvalue()
        places = [column.absolute_index for column in sheet.available_columns()]
        spoiled = {(error.offset_position[0], places[error.offset_position[1]]) for error in (errors.errors if errors else ())}
        blank = {(row, place) for place, cells in zip(places, batch.columns, strict=True) for row in _list_empty(cells)}
        if blank and empty is None:
            empty = list_empty_formulas(Path(path).read_bytes())
        spoiled |= blank & empty[number] if empty else set()
        told = json.dumps({"name": name, "places": places, "bytes": content.size, "spoiled": sorted(spoiled),
                           "is_hidden": sheet.visible != "visible"})  # fmt: skip
        sys.stdout.buffer.write(told.encode() + b"\n")
        sys.stdout.buffer.write(content)


def _list_empty(cells: pa.Array) -> list[int]:
    """Rows of the cells that are an empty text, which is not a blank."""
    found: list[int] = pc.indices_nonzero(pc.equal(cells, "")).to_pylist()
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
