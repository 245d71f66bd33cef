"""`make fuzz` itself: it begins from files that are read, and an outcome that is neither rows nor a refusal does not pass."""

import pytest

from tests import fuzz


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_every_target_begins_from_a_file_that_is_read(name):
    target = fuzz.TARGETS[name]
    assert fuzz.read_file(target.wrap(next(target.seeds()))) > 0


def test_any_other_outcome_than_rows_or_a_refusal_is_raised(monkeypatch):
    monkeypatch.setattr(fuzz, "judge_chunk", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fuzz.read_file(next(fuzz.seed_csv()), every=True)
    assert fuzz.read_file(b"colour,taste\nred,sweet\n") == 0
