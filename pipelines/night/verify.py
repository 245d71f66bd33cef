"""Check the laws, the feed chain and the ledger on the actual store: what `erte verify` prints."""

from typing import NamedTuple

import polars as pl

from pipelines.contracts import LAKE, describe_degree
from pipelines.indicators.attack import attack_release
from pipelines.indicators.disclose import Limits
from pipelines.night.assess import compare_state
from pipelines.night.audit import hash_event, read_anchors
from pipelines.night.delivery import hash_file, list_landed
from pipelines.night.rows import count_unheld
from pipelines.night.verify_claims import verify_claims
from pipelines.night.verify_gate import verify_consents
from pipelines.referral.verify import verify_chain, verify_feed
from pipelines.risk.protocol import load_protocols
from pipelines.settings import PACKAGE, Settings
from pipelines.store.counted import read_told
from pipelines.store.lake import Connection, connect, open_lake, put_frame, read_rows

_RECORD_TABLES = [t for t, c in LAKE.items() if {"record_key", "known_to"} <= set(c.column_names()) and t != "identified.waiting"]


class Check(NamedTuple):
    """One promise: how many things were looked at, and how many break it."""

    law: str
    promise: str
    checked: int
    broken: int


def verify_store(settings: Settings, *, is_deep: bool = False) -> list[Check]:
    """Every check on the store; `is_deep` also recomputes all verdicts and flags (law 11) and reads every archived file again (law 1)."""
    with open_lake(settings) as connection:
        checks = [
            _count_check(connection, "1", "received = accepted + quarantined, for every submission", """
                select count(*), count(*) filter (where received_count <> accepted_count + quarantined_count)
                from lake.ledger.submission"""),
            _count_check(connection, "1", "every quarantined row is kept", """
                select count(*), count(*) filter (where s.quarantined_count <> coalesce(q.held, 0))
                from lake.ledger.submission s left join (
                    select submission_id, count(*) as held from lake.identified.quarantine group by all) q
                using (submission_id) where s.refusal_code is null"""),
            _verify_archive(connection, settings),
            _count_check(connection, "1", "every accepted row whose child was not known is on the waiting list, or was", """
                select count(*), count(*) filter (where s.waiting_count > coalesce(w.held, 0))
                from lake.ledger.submission s left join (
                    select submission_id, count(distinct row_no) as held from lake.identified.waiting group by all) w
                using (submission_id) where s.waiting_count > 0"""),
            _verify_versions(connection),
            _verify_waiting(connection),
            *(Check("3", *told) for told in verify_consents(connection)),
            _count_check(connection, "4", "every flag is in exactly one place", """
                select count(*), count(*) filter (where coalesce(places, 0) <> 1) from (
                    select f.flag_id, (select count(*) from lake.clinical.placement p
                                       where p.flag_id = f.flag_id and p.known_to is null) as places
                    from lake.clinical.flag f where f.known_to is null
                      and f.known_from <= (select coalesce(max(composed_on), date '1900-01-01') from lake.ledger.feed))"""),
            _count_check(connection, "4", "no record is held of a child of whom no birth is left", """
                with living as (select child_key from lake.identified.birth where known_to is null and not is_cancelled)
                select count(*), count(*) filter (where child_key not in (from living)) from (
                    select child_key from lake.clinical.screening where known_to is null and not is_cancelled
                    union all select child_key from lake.clinical.consent where known_to is null and not is_cancelled
                    union all select child_key from lake.clinical.confirmation where known_to is null and not is_cancelled
                    union all select child_key from lake.identified.iin where known_to is null)"""),
            _verify_protocols(connection, settings),
            _count_check(connection, "6", "no two children share a mother, day, order and sex without different IINs", """
                select count(*), count(*) filter (where children > 1 and iins < 2) from (
                    select count(distinct child_key) as children, count(distinct child_iin) as iins
                    from lake.identified.birth where known_to is null and not is_cancelled and mother_iin is not null
                      and record_key not in (select record_key from lake.identified.decision where known_to is null)
                    group by mother_iin, birth_on, birth_order, sex_code)"""),
            _count_check(connection, "6", "births of one child differ in no IIN, order, sex or mother, but by a correction or a decision", """
                with settled as (
                    select record_key from lake.identified.birth group by all having count(distinct content_hash) > 1
                    union select record_key from lake.identified.decision where known_to is null)
                select count(*), count(*) filter (where greatest(iins, orders, sexes, mothers) > 1) from (
                    select count(distinct child_iin) as iins, count(distinct birth_order) as orders, count(distinct mother_iin) as mothers,
                        case when bool_or(plurality is distinct from 1) then count(distinct nullif(sex_code, 'unknown')) else 0 end as sexes
                    from lake.identified.birth where known_to is null and not is_cancelled and record_key not in (from settled)
                    group by child_key)"""),
            _count_check(connection, "6", "every birth record is of the child a person decided it is of", """
                select count(*), count(*) filter (where b.child_key <> d.child_key)
                from lake.identified.decision d join lake.identified.birth b using (record_key)
                where d.known_to is null and b.known_to is null"""),
            *(Check("11", *told) for told in verify_claims(connection)),
            _verify_degrees(connection),
            _count_check(connection, "8", "a child is in one feed an episode", """
                select count(*), count(*) filter (where items > 1) from (
                    select count(*) as items from lake.clinical.referral group by child_key, episode_no, item_kind)"""),
            _count_check(connection, "8", "a feed counts the referrals and recalls that are held of it", """
                select count(*), count(*) filter (where (f.referral_count, f.recall_count) is distinct from (referrals, recalls)) from (
                    select pmpc_id, feed_no, count(*) filter (where item_kind = 'referral') as referrals,
                        count(*) filter (where item_kind = 'recall') as recalls
                    from lake.clinical.referral group by all)
                full join (from lake.ledger.feed where item_count > 0) f using (pmpc_id, feed_no)"""),
            *_verify_feeds(connection, settings),
            _verify_events(connection, settings),
            _verify_published(settings),
            _verify_releases(connection, settings),
        ]  # fmt: skip
        if is_deep:
            checks += [_verify_bytes(settings), _verify_held(connection, settings), _verify_state(connection, settings)]
    return checks


def _count_check(connection: Connection, law: str, promise: str, query: str) -> Check:
    row = connection.execute(query).fetchone()
    assert row is not None  # noqa: S101
    return Check(law, promise, int(row[0]), int(row[1]))


def _verify_archive(connection: Connection, settings: Settings) -> Check:
    """Every submission's file is still there under its hash: archive, held, or (when killed before the move) landing."""
    ids = [row[0] for row in connection.execute("select submission_id from lake.ledger.submission").fetchall()]
    kept = {
        p.name.split("-", 1)[0] for folder in (settings.archive, settings.home / "held") for p in folder.rglob("*-*")
    }
    landed = {p.name[:12] for p in list_landed(settings.landing)}
    return Check("1", "every file received is kept under its hash", len(ids),
                 sum(1 for i in ids if i not in kept and i[:12] not in landed))  # fmt: skip


def _verify_bytes(settings: Settings) -> Check:
    """Every file kept still has the bytes that its name is the hash of."""
    files = [p for folder in (settings.archive, settings.home / "held") for p in folder.rglob("*-*") if p.is_file()]
    broken = sum(hash_file(path) != path.name.split("-", 1)[0] for path in files)
    return Check("1", "every file kept has the bytes that were received", len(files), broken)


def _verify_published(settings: Settings) -> Check:
    """A linear program tries to pin counts of regions, told or not, from what the kept releases publish (law 9)."""
    (told, counted), limits = read_told(settings), Limits(settings.small_count, settings.rounding, settings.least_denominator)
    tried, recovered = attack_release(told, limits, counted) if len(told) else (0, 0)
    return Check("9", "no small count of a region can be worked out from what is published, now or earlier", tried, recovered)


def _verify_releases(connection: Connection, settings: Settings) -> Check:
    """What each kept release tells of the spine and of flags is what the lake knew on its day (law 10)."""
    checked = broken = 0
    for path in sorted(settings.published.glob("erte-*.duckdb")):
        on = path.stem.removeprefix("erte-")
        known = f"known_from <= date '{on}' and (known_to is null or known_to > date '{on}')"
        lake = connection.execute(f"""
            select birth_year, count(*), count(f.child_key) from (
                select child_key, year(birth_on) as birth_year from lake.clinical.birth where {known} and not is_cancelled)
            left join (select distinct child_key from lake.clinical.flag where {known}) f using (child_key)
            group by all order by all""").fetchall()  # fmt: skip
        with connect(path, read_only=True) as release:
            told = release.execute("""
                select birth_year, count(*), count(*) filter (is_flagged) from pathway group by all order by all""").fetchall()  # fmt: skip
        checked += len({year for year, *_ in lake + told})
        broken += len({year for year, *_ in set(lake) ^ set(told)})
    return Check("10", "a release tells each year of birth as it was known on its day", checked, broken)


def _verify_protocols(connection: Connection, settings: Settings) -> Check:
    """Every flag ever raised is of a rule of the redaction that was in force on the day of its examination (law 5)."""
    protocols = load_protocols(PACKAGE / "risk" / settings.protocol)
    rules = [(p.name, p.valid_from, rule.code) for p in protocols for rule in p.rules]
    schema = {"protocol": pl.String, "valid_from": pl.Date, "rule_code": pl.String}
    put_frame(connection, "rule_row", pl.DataFrame(rules, schema=schema, orient="row"))
    return _count_check(connection, "5", "every flag is of a rule that was in force on the day of the examination", """
        with redaction as (
            select protocol, valid_from, lead(valid_from) over (partition by split_part(protocol, '/', 1) order by valid_from) as valid_to
            from (select distinct protocol, valid_from from rule_row))
        select count(*), count(*) filter (where not exists (
            select 1 from rule_row r join redaction p using (protocol)
            where r.protocol = f.protocol and r.rule_code = f.rule_code and f.examined_on >= p.valid_from
              and coalesce(f.examined_on < p.valid_to, true)))
        from lake.clinical.flag f""")  # fmt: skip


def _verify_held(connection: Connection, settings: Settings) -> Check:
    """Every archived file is read and judged again: each accepted record is held by this version or a newer one, or waits (law 1)."""
    taken = read_rows(connection, """
        select submission_id, received_on, first_on, accepted_count from lake.ledger.submission
        where status in ('accepted', 'partly_accepted') order by received_on""")  # fmt: skip
    broken = sum(count_unheld(connection, settings, receipt) for receipt in taken.iter_rows(named=True))
    return Check("1", "every accepted row of every archived file is held, or waits for its child", sum(taken["accepted_count"]), broken)


def _verify_versions(connection: Connection) -> Check:
    checked = broken = 0
    for table in _RECORD_TABLES:
        key = "child_key" if table == "clinical.birth" else "record_key"
        found = _count_check(connection, "", "", f"""
            select count(*), count(*) filter (where held > 1) from (
                select count(*) filter (where known_to is null) as held from lake.{table} where {key} is not null group by {key})""")  # fmt: skip
        checked, broken = checked + found.checked, broken + found.broken
    return Check("2", "a record has one current version", checked, broken)


def _verify_waiting(connection: Connection) -> Check:
    """Of a record one version counts: one that waits is held of nobody, neither of the child it named before."""
    kinds = ("screening", "consent", "confirmation", "pmpc_report")
    held = " union all ".join(f"select '{kind}' as record_kind, record_key from lake.clinical.{kind} where known_to is null" for kind in kinds)
    return _count_check(connection, "2", "a record that waits for its child is held of no other", f"""
        select count(*), count(h.record_key)
        from lake.identified.waiting w left join ({held}) h using (record_kind, record_key) where w.known_to is null""")  # fmt: skip


def _verify_degrees(connection: Connection) -> Check:
    """No identified column lies outside `identified` (law 7), in the contracts and in the lake as it is."""
    made = connection.execute(
        "select schema_name || '.' || table_name, column_name from duckdb_columns() where database_name = 'lake'"
    ).fetchall()
    degrees = {(table, column): degree for table, contract in LAKE.items() for column, degree in describe_degree(contract).items()}
    broken = sum(1 for key in made if key not in degrees or (not key[0].startswith("identified.") and degrees[key] == "identified"))
    return Check("7", "no personal column outside identified", len(made), broken)


def _verify_feeds(connection: Connection, settings: Settings) -> list[Check]:
    feeds = read_rows(connection, "from lake.ledger.feed order by pmpc_id, feed_no")
    chain = verify_chain(feeds)
    broken = 0
    for row in feeds.iter_rows(named=True):
        folder = settings.outbox / row["pmpc_id"] / f"{row['feed_no']:06}"
        files = {p.name: p.read_bytes() for p in folder.iterdir()} if folder.exists() else {}
        wrong = verify_feed(files, row["previous_hash"]) if files else ["feed_absent"]
        broken += bool(wrong) or (bool(files) and row["content_hash"].encode() not in files["manifest.json"])
    unknown = sum(
        1 for p in settings.outbox.glob("*/[0-9]*")
        if not len(feeds.filter((pl.col("pmpc_id") == p.parent.name) & (pl.col("feed_no") == int(p.name))))
    )  # fmt: skip
    return [
        Check("8", "feeds are numbered without gaps and chained by hash", len(feeds), len(chain)),
        Check("8", "every sealed feed is in the outbox, unaltered, and no other is", len(feeds), broken + unknown),
    ]


def _verify_events(connection: Connection, settings: Settings) -> Check:
    """The chain is whole, and goes as far as what was written down of it outside the lake."""
    events = connection.execute(
        "select event_no, happened_at, kind, subject, detail, previous_hash, event_hash from lake.ledger.event order by event_no"
    ).fetchall()
    previous, broken = "0" * 64, 0
    anchors = read_anchors(settings)
    for position, (number, at, kind, subject, detail, before, stated) in enumerate(events, 1):
        right = (
            number == position
            and before == previous
            and stated == hash_event(number, at, kind, subject, detail, before)
            and anchors.pop(number, stated) == stated
        )
        broken += not right
        previous = stated
    broken += len(anchors)
    return Check("audit", "the audit chain is whole, to its end", len(events), broken)


def _verify_state(connection: Connection, settings: Settings) -> Check:
    """Recompute verdicts and flags of every child and compare them with what nights built up (law 11)."""
    told, broken = compare_state(connection, load_protocols(PACKAGE / "risk" / settings.protocol))
    return Check("11", "incremental = full recomputation of verdicts and flags", told, broken)
