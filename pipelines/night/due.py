"""Of whom something may be due: the children, verdicts and results of a lake that the failsafe list needs, and hardly more.

Verdicts are tens of millions and results more: each question asks for one value of one column, which whole row groups answer unread.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import date, timedelta

import polars as pl

from pipelines.night.assess import read_span
from pipelines.risk.calendar import EXAMINED
from pipelines.risk.failsafe import Telling, Window
from pipelines.risk.shape import Protocol
from pipelines.store.lake import Connection, put_frame, read_rows

_VERDICT = """
    select child_key, programme, birth_on, verdict, decided_on, repeat_due_on, suspected, last_usable_on from lake.clinical.verdict
    where known_to is null"""

_IS_BESIDE = "verdict = 'risk' and repeat_due_on is not null"
"""A repeat of one disorder beside the risk of another."""


def view_near(connection: Connection, protocol: Protocol, telling: Telling, windows: Sequence[Window], on: date) -> None:
    """Temp tables `listed_since` (programme -> births from which it is listed), `asked` and `near_child`: who may be on the list."""
    years = {name: 1 + programme.listed_until_months // 12 for name, programme in protocol.programmes.items()}
    since = [(name, on.replace(year=on.year - back, day=1)) for name, back in years.items()]
    put_frame(connection, "listed_since", pl.DataFrame(since, {"programme": pl.String, "since": pl.Date}, orient="row"))
    told = [
        f"programme = '{one.programme}' and verdict = '{one.verdict}' and {one.begun} >= date '{on - timedelta(days=one.days)}'"
        for one in telling.asked
    ]
    told += [f"programme = '{name}' and last_usable_on >= date '{on - timedelta(days=days)}'" for name, days in telling.going_on.items()]
    is_told = " or ".join(f"({one})" for one in told) or "false"
    asking = " union ".join(f"{_VERDICT} and {one}" for one in ("verdict = 'repeat_due'", _IS_BESIDE, *told))
    connection.execute(f"""
        create or replace temp table asked as
        select v.*, coalesce({is_told}, false) as is_told from ({asking}) v join listed_since using (programme) where birth_on >= since""")
    near = _say_born(w for w in windows if not w.is_preterm)
    near_preterm = f"gestation_wk < {protocol.age.preterm_below_wk} and {_say_born(w for w in windows if w.is_preterm)}"
    connection.execute(f"""
        create or replace temp table near_child as
        select child_key, record_key, birth_on, sex_code, gestation_wk, birth_weight_g, is_complicated, died_on, phc_id, maternity_id
        from lake.clinical.birth
        where known_to is null and not is_cancelled and died_on is null and birth_on >= (select min(since) from listed_since)
        and ({near} or {near_preterm} or child_key in (select child_key from asked))""")


def read_verdicts(connection: Connection, windows: Sequence[Window]) -> pl.DataFrame:
    """What the verdicts say that ask for something, and all of a programme whose child its windows may bring near the end of a step."""
    near = [
        f"{_VERDICT} and programme = '{programme}' and {_say_born(w for w in windows if w.programme == programme)}"
        for programme in dict.fromkeys(w.programme for w in windows)
    ]
    return read_rows(connection, f"""
        select * exclude (is_told) from asked
        union all select * from ({" union all ".join(near)}) anti join asked using (child_key, programme)""")  # fmt: skip


def read_told(connection: Connection, telling: Telling) -> pl.DataFrame:
    """EXAMINED of the results that say more than a verdict does."""
    result = f"""
        select {", ".join(EXAMINED)} from lake.clinical.screening {{}} where known_to is null and not is_cancelled
        and birth_on >= (select min(since) from listed_since) and {{}}"""
    named = ["result_code = 'declined'", *(f"component = '{name}'" for name in telling.components)]
    first, last = read_span(connection, "(from asked where is_told)")
    programmes = {one.programme for one in telling.asked} | telling.going_on.keys()
    asked = f"programme in {_say_in(programmes)} and birth_on between date '{first}' and date '{last}'"
    return read_rows(connection, f"""
        with said as materialized ({" union all ".join(result.format("", one) for one in named)})
        from said semi join near_child using (child_key)
        union {result.format("semi join (from asked where is_told) using (child_key, programme)", asked)}""")  # fmt: skip


def _say_in(names: Collection[str]) -> str:
    """Names of a protocol as a list of SQL; one that nothing is called, where there are none."""
    return "(" + ", ".join(f"'{name}'" for name in [*sorted(names), ""]) + ")"


def _say_born(windows: Iterable[Window]) -> str:
    """Born in one of some windows, as SQL; of those that overlap, once."""
    spans: list[tuple[date, date]] = []
    for first, last in sorted((w.earliest, w.latest) for w in windows):
        if spans and first <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(last, spans[-1][1]))
        else:
            spans.append((first, last))
    born = " or ".join(f"birth_on between date '{first}' and date '{last}'" for first, last in spans)
    return f"({born or 'false'})"
