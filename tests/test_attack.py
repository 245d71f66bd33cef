"""The judge of law 9: what a reader can work out of all that is published of one indicator and year of birth."""

from itertools import product

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.indicators.disclose import Limits, bound_cells
from tests.telling import Told, recovered, tell


def test_a_small_count_that_the_total_gives_back_is_seen():
    assert recovered(tell(Told(103, (None, 40, 60)))) == 0
    assert recovered(tell(Told(2, (None, 0, 0)))) == 1
    assert recovered(tell(Told(2, (None, None, 0, 0)))) == 2  # hidden beside a zero that is told is no zero
    assert recovered(tell(Told(2, (None, None, None)))) == 0


def test_where_one_region_has_all_children_the_sexes_of_the_nation_are_its_own():
    assert recovered(tell(Told(20, (20, 0, 0)), female=[6])) == 1
    assert recovered(tell(Told(20, (20, None, None)), female=[6])) == 0  # 4 to 6 girls
    assert recovered(tell(Told(20, (20, 0, 0)), female=[10])) == 0  # known, but not small


def test_where_one_region_has_all_children_the_strata_of_the_nation_are_its_own():
    strata = {"all": 20, "physical": 1, "mental": 17, "complex": 2}
    shown = {"all": (20, 0, 0), "mental": (15, 0, 0)}
    told = [tell(Told(x, shown.get(s, (None, None, None))), indicator_id="impairment", stratum=s) for s, x in strata.items()]
    assert recovered(*told) == 2
    hidden = {"all": (20, None, None), "mental": (15, None, None)}
    told = [tell(Told(x, hidden.get(s, (None, None, None))), indicator_id="impairment", stratum=s) for s, x in strata.items()]
    assert recovered(*told) == 0


def test_strata_that_add_up_give_the_hidden_one_back_across_a_step_of_rounding():
    strata = {"all": Told(53, (15, 40)), "physical": Told(52, (10, 40)), "mental": Told(1, (None, None)), "complex": Told(0, (0, 0))}
    assert recovered(*(tell(told, indicator_id="impairment", stratum=s) for s, told in strata.items())) == 1  # 13 less 12
    assert recovered(*(tell(told, stratum=s) for s, told in strata.items())) == 0  # programmes do not add up


def test_a_reader_knows_that_hidden_is_small_where_nothing_else_had_to_be_hidden():
    assert recovered(tell(Told(111, (None, 40, 60)))) == 1  # 7 to 15, and so 7
    assert recovered(tell(Told(109, (None, 40, 60)))) == 0  # 5 to 7
    assert recovered(tell(Told(125, (None, 40, 60)))) == 0  # more than a small one: it was hidden with others once
    strata = {"all": Told(113, (15, 40, 60)), "physical": Told(56, (None, 20, 30)), "mental": Told(57, (None, 20, 30)), "complex": Told(0, (0, 0, 0))}
    assert recovered(*(tell(told, indicator_id="impairment", stratum=s) for s, told in strata.items())) == 2  # 13 or more of two small ones


def test_the_same_children_are_linked_in_whatever_table_they_are_told():
    hidden, told = Told(3, (None, None, None)), Told(3, (None, 0, 0))
    given = tell(hidden, indicator_id="consent", stratum="given")
    assert recovered(given, tell(Told(0, (0, 0, 0)), indicator_id="consent_delay", stratum="given", among=hidden)) == 0
    assert recovered(given, tell(Told(0, (0, 0, 0)), indicator_id="consent_delay", stratum="given", among=told)) == 2  # those due too
    seen = tell(Told(0, (0, 0, 0)), indicator_id="seen", among=Told(3, (None, None, None)))
    assert recovered(seen, tell(told, indicator_id="lost_to_follow_up", among=Told(3, (None, None, None)))) == 2
    decided, none = tell(Told(0, (0, 0)), indicator_id="refer_rate", stratum="eyes", among=Told(20, (20, 0))), Told(40, (20, 20))
    part = tell(Told(2, (None, None)), indicator_id="coverage", stratum="eyes", among=none)
    assert recovered(part, tell(Told(0, (0, 0)), indicator_id="refer_rate", stratum="eyes", among=none)) == 0
    assert recovered(part, decided) == 1  # whose results count for coverage they decide, and so the first region has both
    covered = tell(Told(103, (None, 40, 60)), indicator_id="coverage", stratum="eyes")
    assert recovered(covered, tell(Told(0, (0, 0, 0)), indicator_id="flagged", stratum="eyes", among=Told(103, (0, 40, 60)))) == 0


def test_what_a_release_counted_by_another_definition_is_not_linked():
    given = tell(Told(3, (None, None, None)), indicator_id="consent", stratum="given", among=Told(2, (None, None, None)))
    late = tell(Told(0, (0, 0, 0)), indicator_id="consent_delay", stratum="given", among=Told(40, (40, 0, 0)))
    assert recovered(given) == recovered(given, late) == 0


def test_a_stratum_that_the_whole_covers_is_no_more_than_it():
    whole, severe = Told(40, (20, 0, 20)), Told(2, (None, None, None))
    assert recovered(tell(whole, indicator_id="impairment"), tell(severe, indicator_id="impairment", stratum="severe")) == 0
    alone = Told(20, (20, 0, 0))
    assert recovered(tell(alone, indicator_id="impairment"), tell(severe, indicator_id="impairment", stratum="severe")) == 1


def test_a_child_flagged_in_two_programmes_is_one_of_all_so_that_all_is_no_less_than_each_and_no_more_than_all_together():
    hearing = tell(Told(3, (None, None, None)), indicator_id="flagged", stratum="hearing")
    assert recovered(hearing, tell(Told(60, (20, 20, 20)), indicator_id="flagged")) == 0
    assert recovered(hearing, tell(Told(20, (20, 0, 0)), indicator_id="flagged")) == 1  # no child of the others is flagged at all
    for indicator_id in ("flagged", "ppv"):
        every, eyes, hearing = (
            tell(told, indicator_id=indicator_id, stratum=stratum)
            for stratum, told in (("all", Told(22, (20, None, 0))), ("eyes", Told(20, (20, 0, 0))), ("hearing", Told(2, (None, None, None))))
        )
        assert recovered(every) == recovered(every, hearing) == recovered(eyes, hearing) == 0
        assert recovered(every, eyes) == 1  # the first region has 20 and more of all: the second 1 or 2
        assert recovered(every, eyes, hearing) == 2  # and these are flagged by hearing, as nobody is by eyes


def test_an_age_band_that_all_ages_and_another_band_give_back_is_seen():
    bands = [tell(Told(10, (10, 0)), age_band="1 year"), tell(Told(2, (None, None)), age_band="under 1")]
    assert recovered(bands[1]) == 0
    assert recovered(tell(Told(12, (10, 0))), *bands) == 1


def test_a_region_without_a_child_in_the_denominator_has_none_in_the_numerator():
    hidden = Told(3, (None, None, None))
    assert recovered(tell(hidden, among=Told(40, (40, 0, 0)))) == 1
    assert recovered(tell(hidden, among=Told(40, (40, None, None)))) == 0


def test_two_tellings_that_together_pin_a_small_count_are_seen():
    before = Told(2, (None, None, None))
    assert recovered(tell(before, Told(12, (10, 0, 0)))) == 1  # counts grow: the first region has both
    assert recovered(tell(before, Told(30, (10, 10, 10)))) == 0
    assert recovered(tell(Told(12, (10, 0, 0)), before)) == 0  # the nation fell: they are not linked
    assert recovered(tell(Told(30, (20, 10, 0)), Told(33, (10, 20, None)))) == 0  # nor can the first region have grown


def test_children_who_leave_a_stratum_are_not_supposed_to_stay():
    nights = Told(3, (None, None, None)), Told(12, (10, 0, 0))
    assert recovered(tell(*nights, indicator_id="consent", stratum="given")) > 0
    assert recovered(tell(*nights, indicator_id="consent", stratum="pending")) == 0


def test_a_telling_whose_own_release_is_gone_is_still_compared():
    old, new = tell(Told(2, (None, None, 0)), Told(60, (30, 20, 10)), female=[1, 30]).partition_by("told_on", maintain_order=True)
    assert recovered(old.filter(pl.col("kato2") != "KZ"), new) == 2


TIGHT = Limits(small=3, rounding=2, least_denominator=30)
SEXED = st.lists(st.tuples(st.sampled_from([0, 0, 1, 2, 4]), st.sampled_from([0, 0, 1, 2, 4])), min_size=2, max_size=4)


@settings(max_examples=60, deadline=None)
@given(SEXED.filter(lambda table: sum(map(sum, table)) <= 12))
def test_the_linear_program_recovers_what_a_reader_does_who_tries_every_table_by_sex(table):
    boys, girls = (sum(of) for of in zip(*table, strict=True))
    shown = tuple(None if 0 < m + f <= 3 else (m + f + 1) // 2 * 2 for m, f in table)
    possible = {}
    for counts in product(*(range(low, min(high, boys + girls) + 1) for low, high in bound_cells(shown, boys + girls, TIGHT))):
        for males in product(*(range(count + 1) for count in counts)) if sum(counts) == boys + girls else ():
            if sum(males) == boys:
                for place, (count, male) in enumerate(zip(counts, males, strict=True)):
                    for cell, value in (("all", count), ("male", male), ("female", count - male)):
                        possible.setdefault((place, cell), set()).add(value)
    asked = [values for (place, cell), values in possible.items() if cell != "all" or shown[place] is None]
    pinned = [values for values in asked if min(values) >= 1 and max(values) <= 3 and max(values) - min(values) < 2]
    assert recovered(tell(Told(boys + girls, shown), female=[girls]), limits=TIGHT) == len(pinned)
