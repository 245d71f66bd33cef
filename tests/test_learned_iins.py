"""An IIN that a child is given after birth is learned from what records claim of it, whatever came first (laws 2 and 11)."""

import random
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipelines.contracts import WHO
from pipelines.identity.claim import CLAIM, derive_learned, link_by_learned, list_claims
from pipelines.identity.link import SPINE
from pipelines.night.verify import verify_store
from tests.nation import (
    ANY_CASE,
    BORN,
    FIRST,
    ask,
    ask_all,
    bear,
    confirm,
    consent,
    examine,
    name_iin,
    send,
    settle,
    take_in,
)

DAY = timedelta(days=1)
STATE = {
    "birth": "select source_id, child_key from lake.identified.birth where known_to is null",
    "screening": "select record_key, child_key from lake.clinical.screening where known_to is null and not is_cancelled",
    "consent": "select record_key, child_key from lake.clinical.consent where known_to is null and not is_cancelled",
    "confirmation": "select record_key, child_key from lake.clinical.confirmation where known_to is null and not is_cancelled",
    "waiting": "select record_kind, record_key, reason from lake.identified.waiting "
    "where known_to is null and (record ->> 'action_code') <> 'cancel'",
    "claim": "select record_kind, record_key, child_key, child_iin from lake.identified.iin where known_to is null and child_key not in ("
    "select child_key from lake.identified.birth where known_to is null and not is_cancelled and child_iin is not null)",
    "verdict": "select child_key, programme, verdict, decided_on, result_count from lake.clinical.verdict where known_to is null",
    "flag": "select flag_id, child_key, examined_on, inputs from lake.clinical.flag where known_to is null",
}
NAMELESS = {"mother_iin": None, "birth_on": None}


def change(record: dict, **said) -> dict:
    ((kind, row),) = record.items()
    return {kind: row | {"action_code": "correct", "issued_at": "2026-02-27T08:00:00"} | said}


def draw_world(chance: random.Random, number: int) -> list[dict]:
    """Two children of which it is said, with and without IINs, what may be of either: also corrected, withdrawn, or borne by a birth later."""
    pool = [name_iin(50_000 + number), name_iin(50_001 + number)]
    mothers = [name_iin(number), name_iin(number + chance.choice([0, 1, 1]))]
    kin = {"plurality": "2"} if mothers[0] == mothers[1] else {}
    births = [bear(number + k, mother_iin=mothers[k], birth_order=str(1 + k if kin else 1), **kin) for k in (0, 1)]
    records = [{"birth": birth} for birth in births]
    for birth in births:
        if chance.random() < 0.25:
            said = chance.choice([{"child_iin": chance.choice(pool)}, {"child_iin": chance.choice(pool)}, {"action_code": "cancel"}])
            records.append({"birth": birth | {"action_code": "correct", "issued_at": f"2026-02-2{chance.randint(1, 4)}T08:00:00"} | said})
    if chance.random() < 0.15:
        hers = bear(number + 5, mother_iin=chance.choice(pool))
        records += [{"birth": hers}, *([change({"birth": hers}, mother_iin=name_iin(number + 5))] if chance.random() < 0.3 else [])]
    for position in range(chance.randint(2, 6)):
        kind, row = draw_record(chance, number, position)
        who = [draw_who(chance, mothers, kin, pool, number) for _ in range(chance.choice([1, 1, 2, 3]))]
        records += [
            {kind: row | said | ({} if not version else {"action_code": chance.choice(["correct", "correct", "cancel"]),
                                                         "issued_at": f"2026-02-2{version + 6}T08:00:00"})}
            for version, said in enumerate(who)
        ]  # fmt: skip
    return records


def draw_record(chance: random.Random, number: int, position: int) -> tuple[str, dict]:
    kind = chance.choice(["screening", "screening", "screening", "consent", "confirmation"])
    row = {
        "screening": examine(number, "motor", chance.choice([1.2, 2.9]), 14 + position),
        "consent": consent(number, day=BORN + (5 + position) * DAY),
        "confirmation": confirm(number, issued_at="2026-02-25T08:00:00"),
    }[kind]
    return kind, row | {"source_id": f"R{number}-{position}"}


def draw_who(chance: random.Random, mothers: list[str], kin: dict, pool: list[str], number: int) -> dict:
    """A way of naming a child: by its birth, by its number, with or without an IIN, or by an IIN alone."""
    iin = chance.choice([None, pool[0], pool[0], pool[1]])
    child = chance.randint(0, 1)
    order = {"birth_order": str(child + 1)} if kin and chance.random() < 0.8 else {}
    by_number = {"maternity_id": f"M{(number + child) % 2 + 1}", "history_no": f"H{number + child}"}
    named = chance.choice([{"mother_iin": mothers[child], "birth_on": str(BORN)}, {"mother_iin": mothers[child], "birth_on": str(BORN)}, by_number])
    alone = iin is not None and chance.random() < 0.4
    return {"birth_order": None, "maternity_id": None, "history_no": None, **NAMELESS, "child_iin": iin} | ({} if alone else named | order)


def strew(chance: random.Random, world: list[dict]) -> Iterator[tuple[int, dict]]:
    """Each record with a night. Where a birth bears an IIN the children are born first: who was linked by that is not asked of one born later."""
    is_borne = any(record.get("birth", {}).get("child_iin") for record in world)
    for position, record in enumerate(world):
        yield 0 if is_borne and position < 2 else chance.randint(0, 2), record


def live(folder: Path, nights: list[list[dict]]) -> dict[str, list[str]]:
    """What is held after these nights, in which every promise is kept."""
    home = settle(folder / "home")
    for number, records in enumerate(nights):
        send(home, folder / str(number), records, f"n{number}")
        assert not take_in(home, FIRST + number * DAY)["held"]
    assert [check for check in verify_store(home, is_deep=True) if check.broken] == []
    return ask_all(home, STATE)


@settings(max_examples=1, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=[Phase.explicit, Phase.generate])
@given(st.integers(0, 10**6), ANY_CASE)
def test_whatever_the_order_of_nights_records_with_and_without_an_iin_find_the_same_children(seed, _any):
    """Forty small worlds side by side: all in one night, and each strewn over three. What is withdrawn may lie where it will."""
    chance = random.Random(seed)
    worlds = [draw_world(chance, number) for number in range(10, 410, 10)]
    nights: list[list[dict]] = [[], [], []]
    for night, record in (strewn for world in worlds for strewn in strew(chance, world)):
        nights[night].append(record)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        at_once = live(Path(one), [[record for world in worlds for record in world]])
        assert live(Path(other), nights) == at_once
    assert all(at_once.values())


def teach(number: int, iin: str | None, **said) -> dict:
    return {"screening": examine(number, "tsh", 3.0, child_iin=iin) | said}


def begin(n: int) -> list[dict]:
    """Two births, a result that teaches an IIN of the first of them, and a low mean in the name of that IIN alone."""
    return [{"birth": bear(n)}, {"birth": bear(n + 1)}, teach(n, _iin(n)), {"screening": examine(n, "motor", 1.2, 14, child_iin=_iin(n)) | NAMELESS}]


def _iin(n: int) -> str:
    return name_iin(60_000 + n)


KEPT, GONE = (["B0"], []), ([], ["child_unknown"])
STORIES = {
    "nothing else is said": (lambda n: [], *KEPT),
    "another record says the same": (lambda n: [{"consent": consent(n, child_iin=_iin(n))}], *KEPT),
    "the record that taught it says so no more": (lambda n: [change(teach(n, None))], *GONE),
    "the record that taught it is withdrawn": (lambda n: [change(teach(n, _iin(n)), action_code="cancel")], *GONE),
    "the record that taught it is of the other child now": (lambda n: [change(teach(n + 1, _iin(n)), source_id=f"S{n}-tsh-2")], ["B1"], []),
    "a consent claims it for the other child": (lambda n: [{"consent": consent(n + 1, child_iin=_iin(n))}], *GONE),
    "a consent claims another of the same child": (lambda n: [{"consent": consent(n, child_iin=_iin(n + 1))}], *GONE),
    "a withdrawn consent claims another of the same child": (
        lambda n: [{"consent": consent(n, child_iin=_iin(n + 1), action_code="cancel")}], *KEPT),
    "the birth of the child bears it": (lambda n: [change({"birth": bear(n, child_iin=_iin(n))})], *KEPT),
    "the birth of the child bears another": (
        lambda n: [change({"birth": bear(n, child_iin=_iin(n + 1))})], [], ["child_unknown", "child_unknown"]),
    "the birth of the other child bears it": (lambda n: [change({"birth": bear(n + 1, child_iin=_iin(n))})], ["B1"], ["keys_disagree"]),
    "a child not known before bears it": (lambda n: [{"birth": bear(n + 2, child_iin=_iin(n))}], ["B2"], ["keys_disagree"]),
    "a mother bears it": (lambda n: [{"birth": bear(n + 2, mother_iin=_iin(n))}], *GONE),
    "the birth of the child is withdrawn": (
        lambda n: [change({"birth": bear(n)}, action_code="cancel")], [], ["child_unknown", "child_unknown"]),
}  # fmt: skip
"""What is said after an IIN was learned of a child -> who is flagged then by what names that IIN alone, and why what waits does."""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """All stories side by side over two nights: the flagged children and the reasons of what waits after each, by the number of the story."""
    folder = tmp_path_factory.mktemp("told")
    home = settle(folder / "home")
    numbers = dict(zip(STORIES, range(1000, 2000, 10), strict=False))
    nights = [begin(n) for n in numbers.values()], [STORIES[story][0](n) for story, n in numbers.items()]
    after = []
    for day, records in enumerate(nights):
        send(home, folder / str(day), [record for some in records for record in some], f"n{day}")
        take_in(home, FIRST + day * DAY)
        assert [check for check in verify_store(home, is_deep=True) if check.broken] == []
        flagged = [int(source_id[1:]) for (source_id,) in ask(home, FLAGGED)]
        waiting = [(int(source_id[1:5]), reason) for source_id, reason in ask(home, WAITING)]
        after.append({
            story: (sorted(f"B{who - n}" for who in flagged if n <= who < n + 10), sorted(why for who, why in waiting if n <= who < n + 10))
            for story, n in numbers.items()
        })  # fmt: skip
    return after


FLAGGED = """
    select distinct b.source_id from lake.clinical.flag f join lake.identified.birth b using (child_key)
    where f.known_to is null and b.known_to is null and not b.is_cancelled"""
WAITING = "select record ->> 'source_id', reason from lake.identified.waiting where known_to is null"


@pytest.mark.parametrize("story", STORIES)
def test_a_result_by_an_iin_that_was_learned_is_of_its_child_while_all_say_so(told, story):
    assert told[0][story] == KEPT
    assert told[1][story] == STORIES[story][1:]


def frame(rows: list[dict], base: dict, schema: dict) -> pl.DataFrame:
    return pl.DataFrame([{"ref": ref, **base, **row} if "ref" in schema else {**base, **row} for ref, row in enumerate(rows)], schema=schema)


def births(*rows: dict) -> pl.DataFrame:
    base = {"child_key": 1, "child_iin": None, "mother_iin": "M", "birth_on": BORN, "birth_order": 1, "plurality": 1, "sex_code": "male",
            "maternity_id": "A", "history_no": "77"}  # fmt: skip
    return frame(list(rows), base, SPINE)


def who(*rows: dict) -> pl.DataFrame:
    return frame(list(rows), dict.fromkeys(WHO), {"ref": pl.Int64, **{name: SPINE[name] for name in WHO}})


def claims(*pairs: tuple[int, str]) -> pl.DataFrame:
    return pl.DataFrame(list(pairs), schema=CLAIM, orient="row")


W, V, BY_BIRTH, OTHER = "W", "V", {"mother_iin": "M", "birth_on": BORN}, {"child_key": 2, "mother_iin": "N", "history_no": "78"}


def test_a_record_claims_the_iin_it_brings_for_the_child_whose_birth_it_names_and_never_by_an_iin_alone_or_for_one_of_two():
    asked = who(BY_BIRTH | {"child_iin": W}, {"maternity_id": "A", "history_no": "77", "child_iin": W}, {"child_iin": W}, BY_BIRTH)
    assert list_claims(asked, births({})).sort("ref").rows() == [(0, 1, W), (1, 1, W)]
    assert list_claims(asked, births({"plurality": 2}, {"child_key": 2, "plurality": 2, "birth_order": 2})).is_empty()


@pytest.mark.parametrize("spine", [({"child_iin": W},), ({"child_iin": V},), ({}, OTHER | {"child_iin": W})])
def test_an_iin_that_a_birth_bears_or_of_a_child_whose_birth_bears_another_is_claimed_for_nobody(spine):
    assert list_claims(who(BY_BIRTH | {"child_iin": W}), births(*spine)).is_empty()


def test_the_iin_of_the_childs_own_mother_is_no_claim():
    by_number = {"maternity_id": "A", "history_no": "77"}
    assert list_claims(who(BY_BIRTH | {"child_iin": "M"}, by_number | {"child_iin": "M"}), births({})).is_empty()


@pytest.mark.parametrize(("claimed", "spine", "learned"), [
    ([(1, W), (1, W)], ({}, OTHER), [(1, W)]),
    ([(1, W), (2, V)], ({}, OTHER), [(1, W), (2, V)]),
    ([(1, W), (2, W)], ({}, OTHER), []),
    ([(1, W), (1, V)], ({}, OTHER), []),
    ([(1, W), (1, V)], ({}, OTHER | {"child_iin": V}), [(1, W)]),
    ([(1, W), (2, W)], ({}, OTHER | {"child_iin": V}), [(1, W)]),
    ([(1, W), (2, W)], ({},), [(1, W)]),
    ([(1, W)], ({}, OTHER | {"child_iin": W}), []),
    ([(1, W)], ({}, OTHER | {"mother_iin": W}), []),
    ([(1, W)], ({"child_iin": W},), []),
    ([(1, W)], ({"child_iin": V},), []),
])  # fmt: skip
def test_an_iin_is_learned_where_the_claims_in_force_speak_with_one_voice(claimed, spine, learned):
    assert sorted(derive_learned(claims(*claimed), births(*spine)).rows()) == learned


def test_by_an_iin_that_was_learned_nobody_is_linked_who_also_names_a_birth_that_is_not_its_childs():
    asked = who({"child_iin": W}, {"child_iin": W, "mother_iin": "N", "birth_on": BORN}, {"child_iin": W, "maternity_id": "B", "history_no": "1"},
                {"child_iin": W, "mother_iin": "N"}, {"child_iin": V})  # fmt: skip
    linked = link_by_learned(asked, births({}), claims((1, W)))
    assert sorted(linked.linked["ref"]) == [0, 3]
    assert sorted(linked.unlinked.rows()) == [(1, "keys_disagree"), (2, "keys_disagree"), (4, "child_unknown")]


def test_an_iin_that_was_learned_of_one_child_does_not_make_a_record_with_another_the_siblings():
    sibling = {"child_key": 2, "sex_code": "female", "history_no": "78"}
    spine = births({"plurality": None}, sibling | {"plurality": None})
    asked = who(BY_BIRTH | {"child_iin": V})
    assert link_by_learned(asked, spine, claims((1, W))).unlinked.rows() == [(0, "twin_ambiguous")]
