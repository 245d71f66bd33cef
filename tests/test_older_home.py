"""A home made by an earlier release: what it lacks is told, and the next run adds it without losing a row."""

from datetime import timedelta

import pytest

from pipelines.errors import UserError
from pipelines.night.verify import verify_store
from pipelines.store.lake import open_lake
from tests.nation import FIRST, ask, examine, flagged, name_iin, send, settle, take_in


def test_a_home_that_lacks_a_table_and_a_column_says_so_until_a_run_has_added_them(tmp_path):
    settings = settle(tmp_path / "home")
    send(settings, tmp_path, flagged(2))
    take_in(settings, FIRST)
    with open_lake(settings) as connection:
        connection.execute("alter table lake.clinical.screening drop column gestation_wk")
        connection.execute("alter table lake.clinical.verdict alter column first_examined_on set not null")
        connection.execute("drop table lake.ledger.delivery")
        for column in ("record_kind", "record_key"):
            connection.execute(f"alter table lake.identified.iin drop column {column}")
        connection.execute("""
            insert into lake.identified.iin by name select known_from, child_key, ? as child_iin from lake.clinical.birth""", [name_iin(902)])
    with pytest.raises(UserError) as told, open_lake(settings):
        pass
    assert told.value.code == "lake_outdated"
    by_learned = {"screening": examine(2, "tsh", 3.0, child_iin=name_iin(902), mother_iin=None, birth_on=None)}
    send(settings, tmp_path, [*flagged(4), {"screening": examine(4, "oae_left", "declined")}, by_learned], "b")
    take_in(settings, FIRST + timedelta(days=1))
    assert ask(settings, "select count(*), count(gestation_wk) from lake.clinical.screening where known_to is null") == [(4, 0)]
    assert ask(settings, "select count(*) from lake.identified.waiting where known_to is null") == [(0,)]
    assert not [check for check in verify_store(settings, is_deep=True) if check.broken]
