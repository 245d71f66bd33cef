"""Whose record is it: the IIN, the spine, linkage by certain keys, twins."""

from datetime import date

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.contracts import WHO
from pipelines.identity.birth import mint_children
from pipelines.identity.iin import complete_iin, is_valid_iin
from pipelines.identity.link import SPINE, link_children

KEY = b"a secret of the tests"
IIN, OTHER_IIN = "250314500010", "250314500108"


def spine(*rows: dict) -> pl.DataFrame:
    base = {
        "child_key": 1, "child_iin": None, "mother_iin": "M", "birth_on": date(2026, 1, 5), "birth_order": 1,
        "plurality": 1, "sex_code": "male", "maternity_id": "A", "history_no": "77",
    }  # fmt: skip
    return pl.DataFrame([{**base, **row} for row in rows], schema=SPINE)


def who(*rows: dict) -> pl.DataFrame:
    base = dict.fromkeys(WHO)
    schema = {"ref": pl.Int64, **{c: SPINE[c] for c in WHO}}
    return pl.DataFrame([{"ref": i, **base, **row} for i, row in enumerate(rows)], schema=schema)


def births(*rows: dict) -> pl.DataFrame:
    base = {
        "known_key": None, "is_cancelled": False, "plurality": 1, "child_iin": None, "mother_iin": "M", "birth_on": date(2026, 1, 5),
        "birth_order": 1, "sex_code": "male", "maternity_id": "A", "history_no": "77",
    }  # fmt: skip
    schema = {
        "ref": pl.Int64,
        "record_key": pl.Int64,
        "known_key": pl.Int64,
        "is_cancelled": pl.Boolean,
        **{c: t for c, t in SPINE.items() if c != "child_key"},
    }
    return pl.DataFrame([{"ref": i, **base, "record_key": i, **row} for i, row in enumerate(rows)], schema=schema)


def answers(linked) -> dict:
    return {**dict(linked.linked.select("ref", "child_key").iter_rows()), **dict(linked.unlinked.iter_rows())}


MOTHER = {"mother_iin": "M", "birth_on": date(2026, 1, 5)}


def test_the_worked_examples_of_the_check_digit_hold():
    numbers = [
        "061211600012",
        "821214240092",
        "250314500010",
        "250314500108",
        "250314500121",
        "25031450001",
        "2503145000a0",
        None,
    ]
    valid = pl.DataFrame({"iin": numbers}).select(is_valid_iin(pl.col("iin"))).to_series().to_list()
    assert valid == [True, False, True, True, True, False, False, None]
    assert complete_iin("25031450011") is None


@settings(deadline=None)
@given(st.integers(0, 10**11 - 1))
def test_every_completed_number_is_valid_and_any_changed_check_digit_is_not(prefix):
    number = complete_iin(f"{prefix:011}")
    if number is not None:
        others = [number[:11] + d for d in "0123456789"]
        valid = pl.DataFrame({"iin": others}).select(is_valid_iin(pl.col("iin"))).to_series().to_list()
        assert [o for o, v in zip(others, valid, strict=True) if v] == [number]


def test_a_newborn_without_iin_is_linked_by_mother_and_birth():
    assert answers(link_children(who(MOTHER | {"sex_code": "male"}), spine({}))) == {0: 1}


def test_a_newborn_is_linked_by_history_number_when_the_card_has_no_mother_iin():
    assert answers(link_children(who({"maternity_id": "A", "history_no": "77"}), spine({}))) == {0: 1}


def test_a_missing_field_neither_agrees_nor_disagrees_but_another_sex_is_another_child():
    asked = who(MOTHER, MOTHER | {"sex_code": "unknown"}, MOTHER | {"sex_code": "female"})
    assert answers(link_children(asked, spine({}))) == {0: 1, 1: 1, 2: "child_unknown"}


def test_twins_are_told_apart_by_birth_order_and_never_without_it():
    twins = spine({"plurality": 2}, {"child_key": 2, "plurality": 2, "birth_order": 2})
    asked = who(MOTHER | {"birth_order": 1}, MOTHER | {"birth_order": 2}, MOTHER | {"sex_code": "male"})
    assert answers(link_children(asked, twins)) == {0: 1, 1: 2, 2: "twin_ambiguous"}


def test_a_result_without_birth_order_waits_while_only_one_twin_is_known():
    assert answers(link_children(who(MOTHER), spine({"plurality": 2}))) == {0: "twin_ambiguous"}


def test_the_second_twin_is_unknown_until_its_own_birth_arrives():
    assert answers(link_children(who(MOTHER | {"birth_order": 2}), spine({"plurality": 2}))) == {0: "child_unknown"}


def test_an_iin_that_names_another_child_than_the_birth_data_is_not_linked():
    known = spine({"child_iin": IIN}, {"child_key": 2, "child_iin": OTHER_IIN, "mother_iin": "N", "history_no": "78"})
    asked = who({"child_iin": IIN, "mother_iin": "N", "birth_on": date(2026, 1, 5)})
    assert answers(link_children(asked, known)) == {0: "keys_disagree"}
    unborne = spine({"child_iin": IIN}, {"child_key": 2, "mother_iin": "N", "history_no": "78"})
    assert answers(link_children(asked, unborne)) == {0: "keys_disagree"}


def test_an_iin_whose_child_was_born_in_another_order_or_on_another_day_is_not_linked_and_another_sex_alone_or_none_is():
    iin = {"child_iin": IIN}
    asked = who(iin | {"birth_order": 2}, iin | {"birth_on": date(2026, 1, 6)}, iin | {"sex_code": "female"}, iin, iin | MOTHER | {"birth_order": 1})
    told = {0: "keys_disagree", 1: "keys_disagree", 2: 1, 3: 1, 4: 1}
    assert answers(link_children(asked, spine(iin))) == told
    learned = spine({}, dict.fromkeys(SPINE) | {"child_key": 1} | iin)
    assert answers(link_children(asked, learned)) == told


def test_the_order_of_a_childs_birth_records_decides_no_link():
    told, silent = {"plurality": 2}, {"plurality": None, "maternity_id": "B", "history_no": "R"}
    for births_of_one in ((told, silent), (silent, told)):
        assert answers(link_children(who(MOTHER), spine(*births_of_one))) == {0: "twin_ambiguous"}


def test_a_child_that_bears_another_iin_is_certainly_not_meant():
    asked = who(MOTHER | {"child_iin": OTHER_IIN})
    assert answers(link_children(asked, spine({"child_iin": IIN}))) == {0: "child_unknown"}


def test_the_same_birth_from_two_organisations_is_one_child():
    minted = mint_children(births({}, {"maternity_id": "REGISTER", "history_no": "R-1"}), spine().clear(), KEY)
    assert minted["child_key"].n_unique() == 1


def test_twins_of_one_mother_get_two_keys():
    minted = mint_children(births({"plurality": 2}, {"plurality": 2, "birth_order": 2}), spine().clear(), KEY)
    assert minted["child_key"].n_unique() == 2


def test_two_iins_behind_one_mother_day_order_and_sex_are_two_children():
    pair = births({"child_iin": IIN}, {"child_iin": OTHER_IIN, "maternity_id": "B", "history_no": "9"})
    assert mint_children(pair, spine().clear(), KEY)["child_key"].n_unique() == 2


def test_a_corrected_birth_keeps_its_child_even_with_another_history_number():
    minted = mint_children(births({"known_key": 5, "history_no": "new", "mother_iin": None}), spine().clear(), KEY)
    assert minted.rows() == [(0, 5)]


def test_a_birth_that_brings_the_iin_later_keeps_the_key():
    without = mint_children(births({}), spine().clear(), KEY)["child_key"][0]
    held = spine({"child_key": without})
    assert mint_children(births({"child_iin": IIN, "history_no": "other"}), held, KEY)["child_key"][0] == without


names = st.sampled_from(["p", "q", "r"])
birth_rows = st.fixed_dictionaries(
    {
        "mother_iin": st.none() | names, "birth_order": st.integers(1, 2), "sex_code": st.sampled_from(["male", "female"]),
        "plurality": st.sampled_from([None, 1, 2]),
        "maternity_id": names, "history_no": names, "child_iin": st.none() | st.sampled_from([IIN, OTHER_IIN]),
    }
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(birth_rows, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_births_changes_no_key(rows, random):
    rows = [row | {"record_key": number} for number, row in enumerate(rows)]
    shuffled = list(enumerate(rows))
    random.shuffle(shuffled)
    straight = mint_children(births(*rows), spine().clear(), KEY)
    mixed = mint_children(births(*(r for _, r in shuffled)), spine().clear(), KEY)
    back = {shuffled[ref][0]: key for ref, key in mixed.iter_rows()}
    assert back == dict(straight.iter_rows())


@settings(max_examples=60, deadline=None)
@given(st.lists(birth_rows, min_size=1, max_size=6))
def test_twins_are_never_merged(rows):
    """Law 6: one mother and day with two birth orders is never one child, unless a history number says otherwise."""
    keyed = births(*rows).join(mint_children(births(*rows), spine().clear(), KEY), on="ref")
    twins = keyed.filter(pl.col("mother_iin").is_not_null(), pl.col("child_iin").is_null()).group_by(
        "mother_iin", "maternity_id", "history_no", "birth_on"
    ).agg(pl.col("birth_order").n_unique().alias("orders"), pl.col("child_key").n_unique().alias("children"))  # fmt: skip
    assert twins.filter(pl.col("children") < pl.col("orders")).is_empty()


born_on_days = st.builds(lambda row, day: row | {"birth_on": date(2026, 1, day)}, birth_rows, st.integers(5, 6))


@settings(max_examples=60, deadline=None)
@given(st.lists(born_on_days, min_size=1, max_size=7), st.integers(0, 7))
def test_births_of_one_key_contradict_one_another_in_nothing_whatever_nights_they_came_in(rows, cut):
    """Law 6: in no IIN, order or mother, in the sex only where one child was born, and in the day only where mother and number are the same."""
    first = births(*rows[:cut]).join(mint_children(births(*rows[:cut]), spine().clear(), KEY), on="ref")
    held = first.select(list(SPINE))
    second = mint_children(births(*rows[cut:]), held, KEY, held.with_columns(is_gone=pl.lit(value=False)))
    keyed = pl.concat([first.select(*SPINE), births(*rows[cut:]).join(second, on="ref").select(list(SPINE))])
    told = keyed.group_by("child_key").agg(
        pl.col("child_iin", "mother_iin").drop_nulls().n_unique(), pl.col("birth_order", "sex_code", "birth_on").n_unique(),
        pl.col("plurality").ne_missing(1).any(),
        pl.struct("maternity_id", "history_no", "mother_iin").n_unique().alias("numbers"),
    )  # fmt: skip
    assert told.filter(pl.max_horizontal("child_iin", "mother_iin", "birth_order") > 1).is_empty()
    assert told.filter((pl.col("sex_code") > 1) & pl.col("plurality")).is_empty()
    assert told.filter((pl.col("birth_on") > 1) & (pl.col("mother_iin") == 0)).is_empty()


def test_a_day_that_differs_between_two_records_of_one_mother_and_number_is_a_slip_and_of_a_number_alone_another_child():
    a_day_later = {"birth_on": date(2026, 1, 6)}
    assert mint_children(births({}, a_day_later), spine().clear(), KEY)["child_key"].n_unique() == 1
    alone = {"mother_iin": None}
    assert mint_children(births(alone, alone | a_day_later), spine().clear(), KEY)["child_key"].n_unique() == 2


def test_a_sex_that_differs_between_two_records_of_a_single_birth_is_a_slip_and_of_a_multiple_one_another_child():
    girl = {"sex_code": "female", "record_key": 9}
    assert mint_children(births({}, girl), spine().clear(), KEY)["child_key"].n_unique() == 1
    for plurality in ({"plurality": 2}, {"plurality": None}):
        assert mint_children(births({}, girl | plurality), spine().clear(), KEY)["child_key"].n_unique() == 2


def test_a_key_that_was_anothers_is_minted_for_nobody_and_taken_again_by_a_record_that_contradicts_nothing():
    key = mint_children(births({}), spine().clear(), KEY)["child_key"][0]
    gone = spine({"child_key": key}).with_columns(is_gone=pl.lit(value=True))
    other = {"mother_iin": "N", "birth_on": date(2026, 1, 20)}
    again = mint_children(births({"maternity_id": "B", "history_no": "1"}, other, other | {"mother_iin": "O"}), spine().clear(), KEY, gone)
    assert again["child_key"].n_unique() == 3
    assert again.sort("ref")["child_key"].to_list().index(key) == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(birth_rows, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_nobody_is_lost_and_row_order_changes_no_link(rows, random):
    known = births(*rows).join(mint_children(births(*rows), spine().clear(), KEY), on="ref").select(list(SPINE))
    asked = who(*rows)
    shuffled = asked.sample(fraction=1, shuffle=True, seed=random.randint(0, 99))
    assert answers(link_children(asked, known)) == answers(link_children(shuffled, known.reverse()))
    assert len(answers(link_children(asked, known))) == len(rows)
