"""Whose record is it, over nights: what is corrected, withdrawn or born later never leaves a record with a child it is not of."""

from datetime import timedelta

import pytest

from pipelines.night.verify import verify_store
from tests.nation import FIRST, ask, bear, confirm, consent, examine, name_iin, run, send, settle, take_in

LATER, LAST = "2026-02-20T08:00:00", "2026-02-27T08:00:00"
W, V = name_iin(777), name_iin(778)
A, LOW, GIVEN = {"birth": bear(2)}, {"screening": examine(2, "motor", 1.2, 14)}, {"consent": consent(2)}
REFERRED = "select count(*) from lake.clinical.referral where item_kind = 'referral'"
WAITING = "select reason from lake.identified.waiting where known_to is null order by 1"


def change(record: dict, **said) -> dict:
    ((kind, row),) = record.items()
    return {kind: row | {"action_code": "correct", "issued_at": LAST} | said}


def live(tmp_path, *nights: list[dict], step=take_in):
    """A home after these nights, in which every law holds."""
    home = settle(tmp_path / "home")
    for number, records in enumerate(nights):
        send(home, tmp_path / str(number), records, f"n{number}")
        step(home, FIRST + timedelta(days=number))
    assert [check for check in verify_store(home, is_deep=True) if check.broken] == []
    return home


TWIN = {"mother_iin": name_iin(50), "plurality": "2", "history_no": "H50"}
T1, T2 = bear(50, **TWIN), bear(52, **TWIN, birth_order="2")
REUSED = {"birth": bear(8, history_no="H2", birth_on="2026-01-20", sex_code="female")}
NUMBER = {"birth": bear(2, history_no="H9")}
OWNER = {"birth": bear(8, history_no="H9", birth_on="2026-01-20", sex_code="female")}
BY_IIN = {"screening": examine(2, "motor", 1.2, 14, child_iin=W)}
OTHER_TWIN = {"birth": T2 | {"birth_order": "1"}}


@pytest.mark.parametrize("nights", [
    pytest.param([[A, REUSED]], id="a history number used twice in a year, of another mother, day and sex"),
    pytest.param([[A], [REUSED]], id="a history number used twice in a year, on two nights"),
    pytest.param([[NUMBER], [change(NUMBER, history_no="H2")], [OWNER]], id="a mistyped history number corrected, then its owner"),
    pytest.param([[NUMBER], [change(NUMBER, history_no="H2"), OWNER]], id="a mistyped history number corrected in the night of its owner"),
    pytest.param([[NUMBER], [change(NUMBER, history_no="H2")], [NUMBER, OWNER]], id="the mistyped history number sent again with its owner"),
    pytest.param([[{"birth": T1}], [change({"birth": T1}, birth_order="2")], [OTHER_TWIN]], id="a twin's order corrected, then the other twin"),
    pytest.param([[{"birth": T1 | {"child_iin": W}}, {"birth": T2 | {"child_iin": W}}]], id="one IIN typed for both twins"),
    pytest.param([[{"birth": bear(2, child_iin=W)}, {"birth": bear(2, source_id="X", child_iin=V)}]], id="two IINs behind one history number"),
    pytest.param([[A, BY_IIN], [{"birth": bear(4, child_iin=W)}]], id="a result with another child's IIN, then that child's birth"),
    pytest.param([[A], [change(A, action_code="cancel")], [REUSED]], id="a birth withdrawn, then its number's true owner"),
])  # fmt: skip
def test_two_births_that_contradict_each_other_are_two_children(tmp_path, nights):
    home = live(tmp_path, *nights)
    assert ask(home, "select count(distinct child_key) from lake.identified.birth where known_to is null") == [(2,)]


OF_ANOTHER = {"mother_iin": name_iin(66)}
TAKEN_BACK = {"action_code": "cancel", "mother_iin": None, "birth_on": None, "child_iin": W}


@pytest.mark.parametrize(("record", "said"), [
    pytest.param(LOW, OF_ANOTHER, id="a result corrected to be of a child not known yet"),
    pytest.param(LOW, TAKEN_BACK, id="a result withdrawn in the name of a child not known yet"),
    pytest.param(GIVEN, OF_ANOTHER, id="a consent corrected to be of a child not known yet"),
])  # fmt: skip
def test_nobody_is_referred_on_what_its_sender_says_no_more_of_this_child(tmp_path, record, said):
    home = live(tmp_path, [A, LOW, GIVEN], [change(record, **said), {"confirmation": confirm(2)}], step=run)
    assert ask(home, REFERRED) == [(0,)]
    assert ask(home, WAITING) == [("child_unknown",)]


def test_a_result_corrected_to_be_of_a_child_not_known_yet_is_that_childs_once_it_is_born(tmp_path):
    home = live(tmp_path, [A, LOW], [change(LOW, **OF_ANOTHER)], [{"birth": bear(66)}])
    assert ask(home, "select source_id from lake.clinical.flag f join lake.identified.birth using (child_key) where f.known_to is null") == [("B66",)]
    assert ask(home, WAITING) == []


def test_an_older_version_of_a_child_nobody_knows_waits_for_nobody_whether_it_came_before_or_after_the_newer(tmp_path):
    older, newer = {"screening": examine(2, "motor", 1.2, 14, **OF_ANOTHER)}, change(LOW)
    for name, nights in {"before": [[A, older], [newer]], "after": [[A, newer], [older]]}.items():
        home = live(tmp_path / name, *nights)
        assert ask(home, WAITING) == []
        assert ask(home, "select count(*) from lake.clinical.flag where known_to is null") == [(1,)]


def test_a_correction_that_names_nobody_and_is_corrected_again_leaves_the_result_where_it_was(tmp_path):
    home = live(tmp_path, [A, LOW], [change(LOW, issued_at=LATER, **OF_ANOTHER)], [change(LOW)], [LOW])
    assert ask(home, WAITING) == []
    assert ask(home, "select count(*) from lake.clinical.flag where known_to is null") == [(1,)]


FLAGGED = "select b.source_id from lake.clinical.flag f join lake.identified.birth b using (child_key) \
    where f.known_to is null and b.known_to is null and not b.is_cancelled order by 1"
WITHDRAWN = change(A, action_code="cancel", issued_at=LATER)


@pytest.mark.parametrize("other", [
    pytest.param({"source_id": "N", "maternity_id": "M2", "history_no": "Z7"}, id="under another number"),
    pytest.param({"source_id": "N", "maternity_id": "M2", "history_no": "Z7", "sex_code": "unknown"}, id="under another number and no sex"),
    pytest.param({"source_id": "N", "issued_at": "2026-02-15T08:00:00"}, id="under the same number, before it was withdrawn"),
])  # fmt: skip
def test_a_child_withdrawn_by_one_sender_and_declared_by_another_on_a_later_night_keeps_its_flag(tmp_path, other):
    home = live(tmp_path, [A, LOW, GIVEN], [WITHDRAWN], [{"birth": bear(2, sender_id="M2", **other)}])
    assert ask(home, FLAGGED) == [("N",)]
    assert ask(home, WAITING) == []


def test_what_is_held_of_a_child_whose_birth_is_withdrawn_waits_and_its_learned_iin_names_nobody(tmp_path):
    by_iin_alone = {"screening": examine(2, "phe", 1.0, child_iin=W) | {"mother_iin": None, "birth_on": None}}
    home = live(tmp_path, [A, LOW, GIVEN, {"screening": examine(2, "tsh", 3.0, child_iin=W)}], [WITHDRAWN], [by_iin_alone])
    assert ask(home, WAITING) == [("child_unknown",)] * 4
    assert ask(home, "select count(*) from lake.clinical.flag where known_to is null") == [(0,)]


def test_what_was_sent_of_a_child_whose_birth_is_withdrawn_is_taken_back(tmp_path):
    home = live(tmp_path, [A, LOW, GIVEN, {"confirmation": confirm(2)}], [WITHDRAWN], step=run)
    assert ask(home, "select item_kind from lake.clinical.referral order by feed_no") == [("referral",), ("recall",)]


def test_of_two_records_of_a_child_the_one_withdrawn_no_more_says_its_weight(tmp_path):
    newer = {"birth": bear(2, issued_at="2026-02-16T08:00:00", birth_weight_g="1500")}
    other = {"birth": bear(2, sender_id="M2", source_id="N", birth_weight_g="3300")}
    home = live(tmp_path, [newer, other], [change(newer, action_code="cancel", issued_at=LATER)])
    told = "select birth_weight_g from lake.clinical.birth where known_to is null and not is_cancelled"
    assert ask(home, told) == [(3300,)]


@pytest.mark.parametrize("cut", [2, 3])
def test_a_result_without_an_order_waits_whether_the_second_twin_came_before_or_after_it(tmp_path, cut):
    first = {"birth": bear(50, **TWIN | {"plurality": None})}
    records = [first, {"screening": examine(50, "motor", 1.2, 14)}, {"birth": T2}]
    home = live(tmp_path, *filter(None, (records[:cut], records[cut:])))
    assert ask(home, WAITING) == [("twin_ambiguous",)]


def test_a_result_follows_the_order_of_its_twin_when_that_is_corrected(tmp_path):
    told = {"screening": examine(50, "motor", 1.2, 14, birth_order="1")}
    nights = [[{"birth": T1}, told], [change({"birth": T1}, birth_order="2")], [OTHER_TWIN]]
    home = live(tmp_path, *nights)
    assert ask(home, FLAGGED) == [("B52",)]


def test_a_result_with_the_iin_of_one_twin_and_the_order_of_the_other_is_of_neither(tmp_path):
    told = {"screening": examine(50, "motor", 1.2, 14, child_iin=W, birth_order="2")}
    home = live(tmp_path, [{"birth": T1 | {"child_iin": W}}, {"birth": T2 | {"child_iin": V}}, told])
    assert ask(home, WAITING) == [("keys_disagree",)]


def test_a_mothers_iin_in_place_of_the_childs_names_no_twin_and_its_sender_is_told(tmp_path):
    mother = name_iin(50)
    told = {"screening": examine(50, "tsh", 3.0, 3, child_iin=mother, birth_order="1")}
    alone = {"screening": examine(50, "motor", 1.2, 14, child_iin=mother) | {"mother_iin": None, "birth_on": None}}
    home = live(tmp_path, [{"birth": T1}, {"birth": T2}, told], [alone])
    assert ask(home, FLAGGED) == []
    assert ask(home, WAITING) == [("child_unknown",)]
    assert ask(home, "select count(*) from lake.ledger.finding where code = 'child_iin_of_mother'") == [(2,)]
    assert ask(home, "select count(*) from lake.identified.iin where known_to is null") == [(0,)]
