"""Putting off the import of a module until something of it is used."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


@contextmanager
def put_off(*names: str) -> Iterator[None]:
    """What is imported meanwhile gets these modules without their being read; each is, as soon as one of its names is asked for.

    The lazy loader of the standard library reads a module already when it is imported anywhere (Python 3.11: it asks for its spec).
    Afterwards everybody else imports them as ever. One that is imported already, or is not there, is left as it is.
    """
    absent = [name for name in names if name not in sys.modules and (spec := importlib.util.find_spec(name)) and spec.loader]
    placed = {name: _Later(name) for name in absent}
    sys.modules.update(placed)
    for name, module in placed.items():
        _place(name, module)
    try:
        yield
    finally:
        for name, module in placed.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
                _place(name, None)


class _Later(ModuleType):
    """A module that is read when a name of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def _place(name: str, module: ModuleType | None) -> None:
    """A submodule is a name of its package too."""
    package, _, child = name.rpartition(".")
    if package and module is not None:
        setattr(sys.modules[package], child, module)
    elif package:
        delattr(sys.modules[package], child)
