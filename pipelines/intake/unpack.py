"""gzip around a file of any format: unpacked beside it, bounded, and gone when it has been read.

What a killed reader left behind is removed when the next packed file of the folder is opened: a reader holds a lock on what it
reads, and the system lets go of it with the reader.
"""

import fcntl
import gzip
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pipelines.intake.reading import Chunk, Limits
from pipelines.intake.refusal import FileRefusedError

MAGIC = b"\x1f\x8b"
_BLOCK = 4 << 20
_SUFFIX = ".erte-unpacked"


def unpack_file(path: Path, limits: Limits) -> IO[bytes]:
    """The unpacked bytes in a hidden file beside `path` (mode 0600), removed when it is closed or no longer referred to.

    Raises FileRefusedError: packed_file_too_large (more than `unpacked_mb`, a bomb), file_unreadable (damaged or cut off).
    """
    _sweep_folder(path.parent)
    unpacked = tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name[:60]}.", suffix=_SUFFIX)  # noqa: SIM115  # lives with its chunks
    fcntl.flock(unpacked, fcntl.LOCK_EX)  # before the first byte: an empty file is swept by nobody
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


@contextmanager
def open_plain(path: Path, limits: Limits) -> Iterator[Path]:
    """A file to be read while the context lasts: itself, or what is packed in it. Raises FileRefusedError."""
    with path.open("rb") as file:
        is_packed = file.read(len(MAGIC)) == MAGIC
    if not is_packed:
        yield path
        return
    with unpack_file(path, limits) as unpacked:
        yield Path(unpacked.name)


def read_held(chunks: Iterator[Chunk], unpacked: IO[bytes]) -> Iterator[Chunk]:
    """The chunks of an unpacked file, which is removed after the last one."""
    with unpacked:
        yield from chunks


def _sweep_folder(folder: Path) -> None:
    """Remove unpacked files that nobody holds."""
    for left in folder.glob(f".*{_SUFFIX}"):
        try:
            with left.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if file.read(1):
                    left.unlink(missing_ok=True)
        except OSError:  # held by its reader, gone meanwhile, or another user's
            continue
