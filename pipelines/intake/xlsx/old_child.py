"""Run as a process of its own: the sheets of a .xls as Arrow streams on standard output, within a limit of memory.

The old format is a file system of its own whose counts the reader trusts: a damaged one asks for any amount of memory and
ends the process (not by an exception). So it is this process that ends. It imports nothing of ours.

    python old_child.py MEMORY_MB cells PATH               one line of JSON (name, places, bytes) and a stream a sheet
    python old_child.py MEMORY_MB numbers PATH NAME ROW PLACE     1 when all cells of a column from a row on are numbers
"""

import json
import resource
import sys

import fastexcel
import pyarrow as pa

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
    for name in reader.sheet_names:
        sheet = reader.load_sheet(name, header_row=None, skip_rows=0, dtypes="string")
        if not sheet.height or not sheet.width:
            continue
        sink = pa.BufferOutputStream()
        batch = sheet.to_arrow()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        content = sink.getvalue()
        places = [column.absolute_index for column in sheet.available_columns()]
        told = json.dumps({"name": name, "places": places, "bytes": content.size})
        sys.stdout.buffer.write(told.encode() + b"\n")
        sys.stdout.buffer.write(content)


if __name__ == "__main__":
    main(*sys.argv[1:])
