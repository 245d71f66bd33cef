"""gzip around a file of any format: unpacked beside it, bounded, and gone when it has been read."""

import gzip
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pipelines.intake.reading import Chunk, FileRefusedError, Limits

MAGIC = b"\x1f\x8b"
_BLOCK = 4 << 20


def unpack_file(path: Path, limits: Limits) -> IO[bytes]:
    """The unpacked bytes in a hidden file beside `path` (mode 0600), removed when it is closed or no longer referred to.

    Raises FileRefusedError: packed_file_too_large (more than `unpacked_mb`, a bomb), file_unreadable (damaged or cut off).
    """
    unpacked = tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name[:60]}.")  # noqa: SIM115  # lives with its chunks
    left = limits.unpacked_mb << 20
    try:
        with gzip.open(path) as packed:
            while block := packed.read(_BLOCK):
                left -= len(block)
                if left < 0:
                    raise FileRefusedError("packed_file_too_large")
                unpacked.write(block)
    except FileRefusedError:
        unpacked.close()
        raise
    except (OSError, EOFError, zlib.error):
        unpacked.close()
        raise FileRefusedError("file_unreadable") from None
    unpacked.flush()
    return unpacked


def read_held(chunks: Iterator[Chunk], unpacked: IO[bytes]) -> Iterator[Chunk]:
    """The chunks of an unpacked file, which is removed after the last one."""
    with unpacked:
        yield from chunks
