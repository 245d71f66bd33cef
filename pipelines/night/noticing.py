"""What only the spine can say of a result that was accepted: its sender is told when the child is known.

Most rows name their child by a number alone, so its age at the examination, and whether the weeks of gestation sent with a
result are those of the birth record, are known only after linking. The findings are those of `contracts.plausible`, on the row
and file in which the result came, once a version: a file that repeats what is held is told nothing anew. Feedback is written
after the transaction, so the sender reads of them the next morning in the feedback of that file; of a result that waited too:
the feedback is written anew when its child is found.
"""

from collections.abc import Mapping
from datetime import date, timedelta

import polars as pl

from pipelines.contracts.plausible import GESTATION_SLACK_WK, UNDOUBTED_DAYS, list_birth_notices
from pipelines.store.lake import Connection, read_rows

_ASKED_OF = {
    "age_at_mchat_outside_window": "n.is_undated and a.programme = 'autism'",
    "child_over_3": f"n.is_undated and n.born_on <= $born_by and a.examined_on - n.born_on >= {UNDOUBTED_DAYS}",
    "gestation_wk_differs": f"a.gestation_wk is not null and abs(a.gestation_wk - n.born_wk) > {GESTATION_SLACK_WK}",
}
"""Finding code -> of which results it is worth asking: a national year has millions, and each term spares the join most of them."""


def open_noticed(connection: Connection) -> None:
    """Temp table `noticed`: findings of this run's results, to be written to the ledger with the others."""
    connection.execute("""
        create or replace temp table noticed (submission_id varchar, row_no bigint, source_id varchar, "column" varchar, code varchar)""")


def note_by_spine(connection: Connection, counts: Mapping[str, int], on: date) -> None:
    """Add to `noticed` what the birth records say of the results in `arrived`, after they were linked and kept (`counts`).

    A file that came before and is judged anew with more of its people is told again of what it brought then.
    """
    newly = "record_key in (select record_key from upsert_decision where is_new or is_newer)"
    again = "submission_id in (select submission_id from lake.ledger.submission)"
    for code, notice in list_birth_notices().items():
        asked = _ASKED_OF[code].replace("$born_by", f"date '{on - timedelta(days=UNDOUBTED_DAYS)}'")
        result = read_rows(connection, f"""
            select * from (
                select a.record_key, a.submission_id, a.row_no, a.source_id, a.programme, a.examined_on, a.gestation_wk,
                    n.born_on as birth_on, n.born_wk
                from arrived a join answer n on n.asked_no = a.who_no
                where n.child_key is not null and not a.is_cancelled and {asked})
            where record_key not in (from early) {f"and ({newly} or {again})" if counts["unchanged"] else ""}""")  # fmt: skip
        found = result.filter(notice.applies).filter(notice.exactly)
        told = found.select("submission_id", "row_no", "source_id", pl.lit(notice.column).alias("column"), pl.lit(code).alias("code"))
        connection.register("told_row", told)
        connection.execute("insert into noticed from told_row")
        connection.unregister("told_row")


def read_noticed(connection: Connection) -> pl.DataFrame:
    """What was noticed: submission_id, row_no, source_id, column, code; a row of several results is told of once."""
    noticed = read_rows(connection, "from noticed")
    return noticed.sort("source_id").unique(["submission_id", "row_no", "column", "code"], keep="first", maintain_order=True)
