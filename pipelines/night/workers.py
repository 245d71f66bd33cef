"""Work shared among processes: the cores of a machine are used whole, as threads of one process wait for each other's memory."""

import gc
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver, get_context, parent_process
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext
from typing import TypeVar

GARBAGE = 50_000
"""Objects made before a process looks for garbage: Python's 700 cost a sixth of the time in which a feed is written, a second of a year."""

Task = TypeVar("Task")
Result = TypeVar("Result")


def share_work(
    work: Callable[[Task], Result], tasks: Sequence[Task], workers: int, chunk: int = 1
) -> Iterator[Result]:
    """work(task) of each task, in order, by so many processes, which take `chunk` tasks at a time.

    When a process cannot live (killed, no memory), the rest is done here. `work` and the tasks are pickled; an exception
    of `work` comes through as it is.
    """
    done = 0
    if min(workers, len(tasks)) > 1:
        try:
            with ProcessPoolExecutor(min(workers, len(tasks)), begin(), _settle) as pool:
                for result in pool.map(work, tasks, chunksize=chunk):
                    yield result
                    done += 1
        except BrokenProcessPool:
            logging.getLogger(__name__).warning("a process of the night has ended: the rest is done by the one that began it")
    yield from map(work, tasks[done:])


def begin() -> ForkServerContext:
    """Start the process that workers are forked from, where it does not run yet; what it imports takes a second.

    It has imported what a night needs, once, and done nothing: no lock of a thread is copied.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(["__main__", "pipelines.flow"])
    forkserver.ensure_running()
    return context


def count_workers(threads: int) -> int:
    """How many processes a setting of threads allows; 0 = one for each core."""
    return threads or os.cpu_count() or 1


def _settle() -> None:
    """A worker ends with the process that began it, and seldom looks for garbage: never in what was imported."""
    gc.freeze()
    gc.set_threshold(GARBAGE)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
