"""A module whose import is put off is read when it is used, and by everybody else as ever."""

import importlib
import sys

import pytest

from pipelines.expect.put_off import put_off


@pytest.fixture
def heavy(tmp_path, monkeypatch):
    """A package with a submodule, each of which writes a line when it is read; the lines."""
    read = tmp_path / "read.txt"
    for name in ("__init__", "part"):
        path = tmp_path / "heavy_one" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"from pathlib import Path\nname = {name!r}\nwith Path({str(read)!r}).open('a') as out:\n    out.write(name + ' ')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda: read.read_text().split() if read.exists() else []
    for name in ("heavy_one", "heavy_one.part"):
        sys.modules.pop(name, None)


def test_a_module_that_is_put_off_is_read_when_a_name_of_it_is_asked_for(heavy):
    with put_off("heavy_one", "no_such_module_at_all"):
        module = importlib.import_module("heavy_one")
    assert heavy() == []
    assert (module.name, heavy()) == ("__init__", ["__init__"])
    assert importlib.import_module("heavy_one").name == "__init__"
    with pytest.raises(AttributeError):
        module.nothing  # noqa: B018
    assert heavy() == ["__init__"]


def test_a_submodule_is_put_off_too_and_everybody_else_imports_it_as_ever(heavy):
    with put_off("heavy_one.part"):
        module = importlib.import_module("heavy_one").part
    assert heavy() == ["__init__"]
    from heavy_one import part  # type: ignore[import-not-found]

    assert (part.name, heavy()) == ("part", ["__init__", "part"])
    assert (module.name, heavy()) == ("part", ["__init__", "part"])


def test_what_is_there_already_is_left_as_it_is(heavy):
    there = importlib.import_module("heavy_one")
    with put_off("heavy_one"):
        assert importlib.import_module("heavy_one") is there
    assert importlib.import_module("heavy_one") is there
