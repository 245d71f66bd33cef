"""Groups of OBX-4: which answer is which, and whose sample a card or a quality is of, whatever order the OBX stand in."""

from datetime import date

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_hl7 import CHILD, HEAD, MOTHER, ORDER, codes, judge, read, result

TSH, PHE, LIST, QUALITY, CARD, REASON, WEEKS = "29575-8", "29573-3", "57131-5", "57718-9", "57723-9", "57721-3", "57714-8"
UNITS = {TSH: "mU/L", PHE: "mg/dL"}
GOOD, BAD = "LA12432-3", "LA20627-8"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.hl7"


def say(code, sub_id, answer):
    """An OBX under a sub-id."""
    segment = result(f"{code}^^LN", answer, UNITS.get(code, ""), "NM" if code in UNITS else "CWE")
    return segment.replace(f"|1|{answer}|", f"|{sub_id}|{answer}|")


def list_rows(accepted):
    """Which record says what of which sample."""
    columns = ["component", "source_id", "value", "result_code", "card_no", "stage_code"]
    return accepted.select(columns).sort(columns, nulls_last=True).rows()


def pick(accepted, *columns, component="tsh"):
    return accepted.filter(pl.col("component") == component).select(columns).rows()


@pytest.mark.parametrize("is_turned", [False, True])
@pytest.mark.parametrize(
    ("sub_ids", "sources"),
    [
        (("^1^1", "^2^1"), ("F77", "F77#2.1")), (("^1^2", "^2^2"), ("F77#2", "F77#2.2")), (("^3^1", "^4^1"), ("F77#3.1", "F77#4.1")),
        (("^1", "^2"), ("F77", "F77#2")), (("1.1", "2.1"), ("F77", "F77#2.1")), (("2", "1.2"), ("F77#3", "F77#2")),
    ],
)  # fmt: skip
def test_a_code_of_two_groups_is_two_records_whichever_stands_first(path, sub_ids, sources, is_turned):
    said = [say(TSH, sub_id, f"{n}.5") for n, sub_id in enumerate(sub_ids, 1)]
    accepted = read(path, *(reversed(said) if is_turned else said))[0].sort("value")
    assert tuple(accepted["source_id"]) == sources


def test_a_group_of_several_codes_is_a_sample_also_when_it_is_corrected_alone(path):
    both = read(path, say(QUALITY, "^1^1", GOOD), say(TSH, "^1^2", "3.5"), say(QUALITY, "^2^1", GOOD), say(TSH, "^2^2", "9.5"))[0]
    alone = read(path, say(QUALITY, "^2^1", GOOD), say(TSH, "^2^2", "8.5"))[0]
    assert (pick(both, "source_id")[1], pick(alone, "source_id")) == (("F77#2.2",), [("F77#2.2",)])


def test_groups_that_only_number_the_codes_of_a_report_do_not_name_a_record(path):
    """As real laboratories write them: a code more in the final report and each that follows has another group."""
    early = read(path, say(QUALITY, "^1^1", GOOD), say(TSH, "^2^1", "3.5"))[0]
    final = read(path, say(QUALITY, "^1^1", GOOD), say(PHE, "^2^1", "1.0"), say(TSH, "^3^1", "3.5"))[0]
    assert pick(early, "source_id") == pick(final, "source_id") == [("F77",)]


@pytest.mark.parametrize("style", ["{}", "{0}.1", "^{}^1", "^{}"])
def test_the_quality_the_card_and_the_reason_of_a_group_are_of_its_results_alone(path, style):
    one, two = style.format(1), style.format(2)
    said = [
        say(CARD, one, "C1"), say(CARD, two, "C2"), say(QUALITY, two, BAD), say(QUALITY, one, GOOD), say(REASON, one, "LA12421-6"),
        say(REASON, two, "LA12425-7"), say(TSH, one, "3.5"), say(TSH, two, "9.5"), say(WEEKS, one, "38"),
    ]  # fmt: skip
    for order in (said, said[::-1]):
        accepted, finding, _ = read(path, *order)
        expected = [(3.5, None, "C1", "first", 38), (9.5, "unsatisfactory", "C2", "repeat", 38)]
        assert sorted(pick(accepted, "value", "result_code", "card_no", "stage_code", "gestation_wk")) == expected
        assert (pick(accepted, "result_code", component="phe"), codes(finding)) == ([("unsatisfactory",)], set())


@pytest.mark.parametrize(("sub_id", "spoiled"), [("^2^1", [9.5]), ("2.1", [9.5]), ("^7^1", [3.5, 9.5]), ("", [3.5, 9.5]), ("1", [3.5, 9.5])])
def test_the_quality_of_one_group_alone_spoils_that_group_and_one_of_no_group_of_results_all(path, sub_id, spoiled):
    accepted = read(path, say(TSH, "^1^2", "3.5"), say(TSH, "^2^2", "9.5"), say(QUALITY, sub_id, BAD))[0]
    assert [value for value, said in sorted(pick(accepted, "value", "result_code")) if said] == spoiled


@pytest.mark.parametrize(
    "others",
    [
        [say("57130-7", "^1^2", "LA18592-8")], [say(PHE, "^3^1", "1.0")], [say(LIST, "1", "LA12496-8"), say(LIST, "2", "LA12528-8")],
        [say("57130-7", "1", "LA18592-8"), say(PHE, "2", "1.0")],
    ],
)  # fmt: skip
def test_a_quality_is_of_all_results_where_groups_are_not_several_samples(path, others):
    sub_id = "1" if "^" not in others[0].split("|")[4] else "^1^1"
    for order in ([say(QUALITY, sub_id, BAD), *others], [*others, say(QUALITY, sub_id, BAD)]):
        accepted = read(path, *order, say(TSH, sub_id.replace("1", "2", 1), "3.5"))[0]
        assert pick(accepted, "result_code") == [("unsatisfactory",)]


def test_a_result_of_no_group_may_be_of_any_sample(path):
    said = [say(TSH, "1.1", "3.5"), say(TSH, "2.1", "9.5"), say(QUALITY, "1.2", GOOD), say(QUALITY, "2.2", BAD), say(CARD, "1.3", "C1")]
    accepted, finding, _ = read(path, *said, say(CARD, "2.3", "C2"), say(PHE, "", "1.0"))
    assert pick(accepted, "result_code", "card_no", component="phe") == [("unsatisfactory", None)]
    assert codes(finding) == {("card_no", "card_no_contradictory")}


@pytest.mark.parametrize(("code", "column", "said"), [(CARD, "card_no", ("C1", "C2")), (WEEKS, "gestation_wk", ("32", "38")),
                                                     (REASON, "stage_code", ("LA12421-6", "LA12425-7"))])  # fmt: skip
def test_what_is_told_in_two_ways_of_one_sample_is_told_and_none_of_it_is_taken(path, code, column, said):
    first, second = said
    for order in ((first, second), (second, first), (first, second, first), (first, first, second)):
        accepted, finding, _ = read(path, say(TSH, "", "3.5"), *(say(code, "", one) for one in order))
        assert (accepted[column].to_list(), codes(finding)) == ([None], {(column, f"{column}_contradictory")})
    assert read(path, say(TSH, "", "3.5"), say(code, "1", first), say(code, "2", first))[0][column].to_list() != [None]


@pytest.mark.parametrize(
    ("code", "bad", "good"),
    [(QUALITY, BAD, GOOD), (QUALITY, BAD, ""), (WEEKS, "32", "38"), ("57713-0", "LA12417-4", "LA137-2"), (CARD, "C1", "C2"),
     (REASON, "LA12421-6", "LA12425-7")],
)  # fmt: skip
def test_what_is_told_of_a_sample_and_taken_back_or_corrected_holds_no_longer(path, code, bad, good):
    columns = ["component", "value", "result_code", "card_no", "stage_code", "gestation_wk", "is_transfused"]
    tsh, old, new = say(TSH, "", "3.5"), say(code, "1", bad), say(code, "1", good)
    expected = read(path, tsh, new)[0].select(columns).rows()
    for said in ([old.replace("|F|", "|D|"), new], [old.replace("|F|", "|W|"), new], [old, new.replace("|F|", "|C|")]):
        for order in (said, said[::-1]):
            accepted, finding, _ = read(path, tsh, *order)
            assert (accepted.select(columns).rows(), codes(finding) - {("is_transfused", "sample_after_transfusion")}) == (expected, set())
    assert read(path, tsh, old)[0].select(columns).rows() != expected


SUB_IDS = ["", "1", "2", "3", "01", "b", "1.1", "1.2", "2.1", "2.2", "1.1.2", "^1^1", "^1^2", "^2^1", "^2^2", "^3", "1^1^1", "LEFT"]
ANSWERS = {
    TSH: ["1.5", "2.5", "3.5", "4.5"], PHE: ["1.1", "2.2", "3.3"], LIST: ["LA12496-8", "LA12528-8~LA12496-8"], QUALITY: [GOOD, BAD],
    CARD: ["C1", "C2", "C3"], REASON: ["LA12421-6", "LA12425-7"], WEEKS: ["32", "38"], "57713-0": ["LA12417-4", "LA137-2"],
    "54108-6": ["LA10392-1", "LA10393-9"],
}  # fmt: skip


@st.composite
def order_and_another(draw):
    """The OBX of an order, and the same in another order; of those with one code and one sub-id (HL7 calls them one) the order is kept."""
    of = st.sampled_from(list(ANSWERS)).flatmap(lambda code: st.tuples(st.just(code), st.sampled_from(SUB_IDS), st.sampled_from(ANSWERS[code])))
    said = draw(st.lists(of, min_size=1, max_size=10))
    moved = draw(st.permutations(range(len(said))))
    places: dict[tuple, list[int]] = {}
    for place, (code, sub_id, _) in enumerate(said):
        places.setdefault((code, sub_id), []).append(place)
    kept = {name: iter(found) for name, found in places.items()}
    return [say(*one) for one in said], [say(*said[next(kept[said[place][:2]])]) for place in moved]


@settings(max_examples=40, deadline=None)
@given(order_and_another())
def test_in_which_order_the_results_of_an_order_stand_changes_nothing(tmp_path_factory, orders):
    path = tmp_path_factory.mktemp("groups") / "a.hl7"
    one, other = ((list_rows(a), a["is_transfused"].to_list(), a["gestation_wk"].to_list(), sorted(map(str, codes(f))), len(q))
                  for a, f, q in (read(path, *order) for order in orders))  # fmt: skip
    assert one == other


def test_repeats_of_one_code_that_no_sub_id_tells_apart_are_named_as_they_stand(path):
    """Nothing else says which is which: the first keeps the name of the order, those that follow have the next free numbers."""
    for others in ([], [say(TSH, "3", "9.5")]):
        said = [say(TSH, sub_id, f"{n}.5") for n, sub_id in enumerate(("", "", "1"), 1)]
        accepted = read(path, *others, *said)[0].filter(pl.col("value") < 9).sort("value")
        assert accepted["source_id"].to_list() == (["F77", "F77#2", "F77#3"] if not others else ["F77", "F77#2", "F77#4"])


SPECIMEN = "SPM|1|{0}&X^{0}&LAB||440500007^Blood spot^SCT|||||||||||||2026010{1}083000||||{2}"
ORDER_2 = "OBR|2||F78^LAB|54089-8^Panel^LN|||"


@pytest.mark.parametrize(("first", "second"), [("", "^Quantity not sufficient"), ("", "QS^^HL70490"), ("RB^Broken", ""), ("", "")])
def test_the_specimens_of_two_orders_are_each_of_its_own_results(path, first, second):
    one, two = SPECIMEN.format("C1", 5, first), SPECIMEN.format("C2", 6, second)
    accepted = read_undated(path, undated(say(TSH, "", "3.5")), one, ORDER_2, undated(say(TSH, "", "9.5")), two)[0].sort("value")
    assert accepted.filter(pl.col("component") == "tsh").select("card_no", "examined_on", "result_code").rows() == [
        ("C1", date(2026, 1, 5), "unsatisfactory" if first else None), ("C2", date(2026, 1, 6), "unsatisfactory" if second else None),
    ]  # fmt: skip
    assert accepted.filter(component="phe")["card_no"].to_list() == (["C1"] if first else ["C2"] if second else [])


def test_one_specimen_told_after_several_orders_is_of_all_results(path):
    one = SPECIMEN.format("C1", 5, "RB^Broken")
    for specimens in (("", one), (one, one), (one, "")):
        said = [undated(say(TSH, "", "3.5")), specimens[0], ORDER_2, undated(say(PHE, "", "1.0")), specimens[1]]
        accepted = read_undated(path, *filter(None, said))[0]
        assert set(accepted.select("card_no", "examined_on", "result_code").rows()) == {("C1", date(2026, 1, 5), "unsatisfactory")}


def undated(segment):
    return segment.removesuffix("|20260105090000")


def read_undated(path, *segments):
    """Results of an order that does not say its day: it is that of the specimen."""
    path.write_text("\r".join([HEAD, CHILD, MOTHER, ORDER.replace("20260105090000", ""), *segments, ""]))
    return judge(path)
