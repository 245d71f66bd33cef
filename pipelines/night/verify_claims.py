"""What is claimed of IINs checked against the records that claim it and the births: `erte verify` of what linkage learns (law 11).

Which IIN a record was linked by is in no table (it identifies), but a record is linked by a learned one only while claims give it; so
what can be told here is that every claim is of a record in force, for the child it is held of, and that none outlived a birth against it.
"""

from collections.abc import Iterator

from pipelines.night.relink import LINKED
from pipelines.store.lake import Connection

_HELD = " union all ".join(
    f"select '{kind}' as record_kind, record_key, child_key as held_key, is_cancelled from lake.{tables[-1]} "
    "where known_to is null and record_key in (select record_key from claim)" for kind, tables in LINKED.items()
)  # fmt: skip
_PROMISES = {
    "a claim to an IIN is of a record that holds or waits, and for the child it is held of": f"""
        held as ({_HELD}),
        waiting as (select record_kind, record_key from lake.identified.waiting where known_to is null)
        select count(*), count(*) filter (
            if(h.record_key is null, w.record_key is null, h.is_cancelled or h.held_key <> c.child_key))
        from claim c left join held h using (record_kind, record_key) left join waiting w using (record_kind, record_key)""",
    "no claim to an IIN is kept against a birth that bears it, or of a child that bears another": """
        living as (select child_key, child_iin, mother_iin from lake.identified.birth where known_to is null and not is_cancelled),
        born as (select distinct child_key, child_iin from living where child_iin is not null),
        told as (
            select (child_key, child_iin) in (select (child_key, child_iin) from born) as is_own,
                child_iin in (select child_iin from born) as is_borne, child_key in (select child_key from born) as is_bearing,
                child_iin in (select mother_iin from living) as is_mothers
            from claim)
        select count(*), count(*) filter (not is_own and (is_borne or (is_bearing and not coalesce(is_mothers, false)))) from told""",
}


def verify_claims(connection: Connection) -> Iterator[tuple[str, int, int]]:
    """(promise, how many claims were looked at, how many break it); of what an earlier release learned nobody can tell."""
    for promise, query in _PROMISES.items():
        row = connection.execute(f"""
            with claim as (
                select record_kind, record_key, child_key, child_iin from lake.identified.iin where known_to is null and record_key is not null),
            {query}""").fetchone()  # fmt: skip
        assert row is not None  # noqa: S101  # an aggregate without grouping always answers
        yield promise, int(row[0]), int(row[1])
