"""One transaction a run: link to the spine, keep versions, split identity from findings, note who was touched."""

from datetime import date
from pathlib import Path
from typing import NamedTuple

from pipelines.contracts import LAKE
from pipelines.night.arrived import count_rows, view_arrived, view_newest
from pipelines.night.documents import DOCUMENT_KEY, ENDED_BY, close_ended
from pipelines.night.linking import keep_waiting, link_births, link_records, link_reports
from pipelines.night.noticing import note_by_spine
from pipelines.night.outranked import note_outranked, settle_rivals
from pipelines.night.relink import settle_births
from pipelines.settings import Settings
from pipelines.store.lake import Connection, upsert_versions

_TARGETS = {
    "birth": ("identified.birth", "clinical.birth"),
    "screening": ("clinical.screening",),
    "consent": ("identified.consent", "clinical.consent"),
    "confirmation": ("identified.confirmation", "clinical.confirmation"),
    "pmpc_report": ("clinical.pmpc_report",),
}
_COMPUTED = {
    ("clinical.consent", "has_authority_document"): "authority_document is not null",
    ("clinical.birth", "kato4"): "left(residence_kato, 4)",
    ("clinical.consent", "document_key"): DOCUMENT_KEY,
    ("clinical.pmpc_report", "document_key"): DOCUMENT_KEY,
}


class Kept(NamedTuple):
    """Counts of one kind: records arrived, of them unknown children; new and changed versions."""

    arrived: int
    waiting: int
    new: int
    changed: int


def commit_kind(connection: Connection, kind: str, files: list[Path], settings: Settings, on: date) -> Kept:
    """Bring the accepted records of a kind into the lake; the children they are of are added to temp table `touched`."""
    view_arrived(connection, kind, files)
    if kind == "birth":
        link_births(connection, settings.key)
    elif kind == "pmpc_report":
        link_reports(connection)
    else:
        link_records(connection, kind)
    arrived = count_rows(connection, "select count(*) from arrived")
    new = changed = 0
    for table in _TARGETS[kind]:
        key = "child_key" if table == "clinical.birth" else "record_key"
        target = _view_target(connection, table, key)
        counts = upsert_versions(connection, table, target, on, key, "arrived" if key == "record_key" else "answer")
        _touch(connection, target, key, counts)
        if table == _TARGETS[kind][0]:
            waits = keep_waiting(connection, kind, on)
            _close_superseded(connection, kind, on)
            note_outranked(connection, kind, _TARGETS[kind])
        if key == "record_key":
            assert sum(counts.values()) + sum(waits) == arrived  # noqa: S101  # no record is lost between the joins
            new, changed = counts["new"], counts["changed"]
        if table == "clinical.birth" and counts["changed"]:
            connection.execute("insert into corrected_birth select child_key from upsert_decision where is_newer")
        if table == "clinical.screening":
            note_by_spine(connection, counts, on)
    if kind == "birth":
        settle_births(connection, settings, on)
    settle_rivals(connection, _TARGETS[kind][0 if kind == "birth" else -1], on)
    if kind in ENDED_BY:
        changed += close_ended(connection, kind, _TARGETS[kind], on)
    return Kept(arrived, waits.waiting, new, changed)


def _close_superseded(connection: Connection, kind: str, on: date) -> None:
    """Of a record whose newest version waits for its child nothing is held: the child it was of is touched."""
    if count_rows(connection, "select count(*) from superseded"):
        connection.execute("insert into touched select held_child_key from superseded")
        for table in _TARGETS[kind]:
            connection.execute(
                f"update lake.{table} set known_to = ? where known_to is null and record_key in (select record_key from superseded)", [on]
            )


def _touch(connection: Connection, target: str, key: str, counts: dict[str, int]) -> None:
    """Add to `touched` the children of new and changed records, and the child a changed record was of before."""
    if counts["new"] and not counts["unchanged"]:
        connection.execute("insert into touched select child_key from answer where child_key is not null")
    elif counts["new"] or counts["changed"]:
        connection.execute(
            f"insert into touched select distinct t.child_key from {target} t "
            f"semi join (from upsert_decision where is_new or is_newer) using ({key})"
        )
    if counts["changed"]:
        connection.execute("insert into touched select distinct held_child_key from upsert_decision where is_newer")


def _view_target(connection: Connection, table: str, key: str) -> str:
    """A view of the arrived records whose child is known, in the columns of one table of the lake; its name."""
    columns = [c for c in LAKE[table].column_names() if c not in {"known_from", "known_to"}]
    arrived = {row[0] for row in connection.execute("describe arrived").fetchall()}
    selected = []
    for column in columns:
        if column == "child_key":
            selected.append("n.child_key")
        elif (table, column) in _COMPUTED:
            selected.append(f"{_COMPUTED[table, column]} as {column}")
        elif column == "birth_on" and table == "clinical.screening":
            selected.append("n.born_on as birth_on")  # the spine's, not what came with the result
        elif column in arrived:
            selected.append(f'a."{column}"')
        else:
            raise ValueError(f"{table}.{column} has no source in arrived")
    connection.execute(f"""
        create or replace temp view linked as select {", ".join(selected)}
        from arrived a join answer n on n.asked_no = asked_no(a.record_key, a.who_no)
        where n.child_key is not null{_skip_early(connection)}""")
    if key == "record_key":
        return "linked"
    _view_living_births(connection)
    view_newest(connection, "newest_birth", "living", key)
    return "newest_birth"


def _skip_early(connection: Connection) -> str:
    return " and a.record_key not in (from early)" if count_rows(connection, "select count(*) from early") else ""


def _view_living_births(connection: Connection) -> None:
    """A cancelled birth record does not take away a child who is held by another record."""
    connection.execute("""
        create or replace temp view living as from linked where not is_cancelled or child_key not in (
            select child_key from lake.identified.birth where known_to is null and not is_cancelled)""")
