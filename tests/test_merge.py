"""Law 6: twins are never merged; a merge can be undone, and undoing restores both histories and what followed from them."""

import json
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipelines import flow
from pipelines.contracts import LAKE
from pipelines.errors import UserError
from pipelines.night.merge import merge_children, unmerge_child
from pipelines.night.verify import verify_store
from pipelines.settings import Settings
from pipelines.store.lake import append_rows, open_lake, transact
from tests.nation import (
    ANY_CASE,
    FIRST,
    OFTEN,
    ask,
    ask_all,
    bear,
    confirm,
    consent,
    copy_home,
    examine,
    flagged,
    name_iin,
    run,
    send,
    settle,
    take_in,
)

STATE = {
    "birth": "select source_id, child_key, is_cancelled from lake.identified.birth where known_to is null",
    "spine": "select child_key, birth_on, sex_code, phc_id, birth_weight_g, kato4 from lake.clinical.birth where known_to is null",
    "iin": "select child_key, child_iin from lake.identified.iin where known_to is null",
    "screening": "select child_key, component, examined_on, value, birth_on from lake.clinical.screening where known_to is null",
    "consent": "select child_key, decision, decided_on from lake.clinical.consent where known_to is null",
    "representative": "select child_key, representative_iin from lake.identified.consent where known_to is null",
    "confirmation": "select child_key, programme, confirmation from lake.clinical.confirmation where known_to is null",
    "worker": "select child_key, worker_id from lake.identified.confirmation where known_to is null",
    "report": "select child_key, referral_id, report_status from lake.clinical.pmpc_report where known_to is null",
    "waiting": "select record_kind, record_key, reason from lake.identified.waiting where known_to is null",
    "verdict": "select child_key, programme, verdict, decided_on, result_count from lake.clinical.verdict where known_to is null",
    "flag": "select flag_id, child_key, examined_on, inputs from lake.clinical.flag where known_to is null",
    "placement": "select flag_id, place, reason from lake.clinical.placement where known_to is null",
}
DAY = timedelta(days=1)


def tell_state(home):
    broken = [check for check in verify_store(home, is_deep=True) if check.broken]
    assert not broken, broken
    return ask_all(home, STATE)


def find_child(home, source_id):
    return ask(home, "select child_key from lake.identified.birth where known_to is null and source_id = ?", source_id)[0][0]


def name_record(home, source_id):
    """SUBMISSION:ROW of a birth record, as `erte explain` lists it."""
    told = ask(home, "select submission_id, row_no from lake.identified.birth where known_to is null and source_id = ?", source_id)[0]
    return f"{told[0][:12]}:{told[1]}"


@st.composite
def pairs(draw, number):
    """Two children and what is said of each beside its birth, each thing or not, some by an IIN that was learned from another record;
    the last of it perhaps only while the two are one."""
    first, second = draw(said(number)), draw(said(number + 1))
    if all("child_iin" in str(records) for records in (first, second)):
        second = [r for r in second if "child_iin" not in str(r)]  # two IINs are two children: such a merge is refused
    late = [second.pop()] if second and draw(OFTEN) else []
    return number, [{"birth": bear(number)}, {"birth": bear(number + 1)}, *first, *second], late


@st.composite
def said(draw, number):
    records = []
    if draw(OFTEN):
        records.append({"screening": examine(number, "motor", draw(st.sampled_from([1.2, 1.74, 2.9])), 14)})
    if draw(OFTEN):
        iin = name_iin(number + 900)
        records.append({"screening": examine(number, "tsh", 3.0, child_iin=iin)})
        nameless = examine(number, "phe", 1.0, child_iin=iin)
        records.append({"screening": {**nameless, "mother_iin": None, "birth_on": None}})
    if draw(OFTEN):
        records.append({"consent": consent(number, draw(st.sampled_from(["given", "refused"])))})
    if draw(OFTEN):
        records.append({"confirmation": confirm(number, answer=draw(st.sampled_from(["confirmed", "rejected"])))})
    return records


@settings(max_examples=1, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=[Phase.explicit, Phase.generate])
@given(pairs(2), pairs(12), OFTEN, ANY_CASE)
def test_two_children_merged_and_parted_again_are_as_if_they_had_never_been_merged(one, two, is_sent, _any):
    """Also when feeds went out in between, and when results came while the two were one; pairs in the same nights.

    Of one pair always one is flagged, and another person's answer is about the other: as one they are sent, as two nobody confirmed it.
    """
    answered_for_another = [record for record in flagged(22) if "confirmation" not in record] + [{"birth": bear(23)}, {"confirmation": confirm(23)}]
    drawn = [one, two, (22, answered_for_another, [])]
    with tempfile.TemporaryDirectory() as folder:
        kept = settle(Path(folder) / "kept")
        send(kept, Path(folder) / "a", [record for _, records, _ in drawn for record in records])
        run(kept, FIRST)
        apart = copy_home(kept, Path(folder) / "apart")
        referred = {row[0] for row in ask(kept, "select child_key from lake.clinical.referral")}
        merged = {}
        for number, _, _ in drawn:
            names = [f"B{number}", f"B{number + 1}"]
            child, other = (find_child(kept, name) for name in names)
            if referred & {child, other} == {other}:
                child, other, names = other, child, names[::-1]
            merged[child] = other, name_record(kept, names[1])
            merge_children(kept, child, other, "drawn", FIRST)
        assert ask(kept, "select count(distinct child_key) from lake.identified.birth where known_to is null") == [(3,)]
        if is_sent:  # feeds go out before more is said of the two, else after it
            flow.refer(kept, FIRST + DAY)
            tell_state(kept)
        late = [record for _, _, records in drawn for record in records]
        for home in (kept, apart):
            if late:
                send(home, Path(folder) / "b", late, "late")
            take_in(home, FIRST + 2 * DAY)
        if not is_sent:
            flow.refer(kept, FIRST + 2 * DAY)
        for child, (other, parted) in merged.items():
            assert unmerge_child(kept, child, [parted], "drawn", FIRST + 2 * DAY)["parted"] == other
        for home in (kept, apart):
            flow.refer(home, FIRST + 4 * DAY)
        assert tell_state(kept) == tell_state(apart)


def twins_entered_as_one(number=50, **other):
    """Two boys of one mother, both entered as first: linkage must think them one record twice."""
    shared = {"mother_iin": name_iin(number), "plurality": "2", "sex_code": "male", "history_no": f"H{number}", **other}
    return [{"birth": bear(number, **shared)}, {"birth": bear(number + 2, **shared, birth_weight_g="2100")}]


@pytest.fixture(scope="module")
def united(tmp_path_factory):
    """Two births entered alike, united by linkage, referred for a result of one of them."""
    tmp_path = tmp_path_factory.mktemp("united")
    home = settle(tmp_path / "home")
    first = twins_entered_as_one()
    second = {"birth": {**first[1]["birth"], "maternity_id": "M2", "history_no": "H52"}}
    named = {"maternity_id": "M2", "history_no": "H52"}
    send(home, tmp_path, [first[0], second, {"screening": examine(50, "motor", 1.2, 14, **named, birth_order="1")},
                          {"screening": examine(50, "motor", 2.9, 16, maternity_id="M1", history_no="H50", birth_order="1")},
                          {"consent": consent(50, **named, birth_order="1")}, {"confirmation": confirm(50, **named, birth_order="1")}])  # fmt: skip
    run(home, FIRST)
    assert find_child(home, "B50") == find_child(home, "B52")
    return home


@pytest.fixture
def home(united, tmp_path):
    return copy_home(united, tmp_path / "home")


class Parted(NamedTuple):
    """A home in which the two were parted, the keys of both, and what was said of it."""

    home: Settings
    child: int
    other: int
    told: dict


@pytest.fixture(scope="module")
def parted_at_once(united, tmp_path_factory):
    """The second of the two births is another child."""
    home = copy_home(united, tmp_path_factory.mktemp("parted") / "home")
    child = find_child(home, "B50")
    told = unmerge_child(home, child, [name_record(home, "B52")], "twins, both entered as first", FIRST)
    return Parted(home, child, find_child(home, "B52"), told)


@pytest.fixture
def parted(parted_at_once, tmp_path):
    return parted_at_once._replace(home=copy_home(parted_at_once.home, tmp_path / "home"))


@pytest.fixture(scope="module")
def sent_anew(parted_at_once, tmp_path_factory):
    """The parted children after the next feed."""
    home = copy_home(parted_at_once.home, tmp_path_factory.mktemp("anew") / "home")
    flow.refer(home, FIRST + DAY)
    return parted_at_once._replace(home=home)


@pytest.fixture(scope="module")
def both_sent(tmp_path_factory):
    """Two children, both referred."""
    folder = tmp_path_factory.mktemp("both")
    home = settle(folder / "home")
    send(home, folder, [*flagged(2), *flagged(4)])
    run(home, FIRST)
    return home


def test_a_child_referred_by_a_wrong_merge_is_recalled_in_the_next_feed_and_the_right_one_is_referred(united, sent_anew):
    home, child, other, told = sent_anew
    assert ask(united, "select child_key, item_kind from lake.clinical.referral") == [(child, "referral")]
    assert other == told["parted"] != child
    assert (told["screening"], told["consent"], told["confirmation"], told["waiting"]) == (1, 1, 1, 0)
    assert ask(home, "select child_key, item_kind from lake.clinical.referral order by composed_on, item_kind") == [
        (child, "referral"), (child, "recall"), (other, "referral")]  # fmt: skip
    feeds = [path for path in home.outbox.rglob("manifest.json") if json.loads(path.read_text())["composed_on"] == str(FIRST + DAY)]
    assert sum(json.loads(path.read_text())["totals"]["recall_count"] for path in feeds) == 1
    assert ask(home, "select child_key, place from lake.clinical.placement where known_to is null") == [(other, "referred")]
    assert ask(home, "select verdict from lake.clinical.verdict where known_to is null and child_key = ?", child) == [("clear",)]
    assert ask(home, "select birth_weight_g from lake.clinical.birth where known_to is null and child_key = ?", other) == [(2100,)]
    tell_state(home)


def test_what_the_two_were_as_one_is_still_told_as_it_was_known(united, parted_at_once):
    home, child, *_ = parted_at_once
    before = ask(united, "select * exclude (known_to) from lake.clinical.flag")
    assert ask(home, "select * exclude (known_to) from lake.clinical.flag where known_from = ?", FIRST) == before
    assert ask(home, "select count(*) from lake.identified.birth where known_from <= ? and child_key = ?", FIRST, child) == [(2,)]


def test_the_decision_and_its_reason_are_in_the_chain_of_the_ledger(parted_at_once):
    kind, detail = ask(parted_at_once.home, "select kind, detail from lake.ledger.event order by event_no desc limit 1")[0]
    assert kind == "unmerge"
    assert json.loads(detail)["reason"] == "twins, both entered as first"


def test_later_versions_and_results_of_parted_children_find_their_own_and_a_third_birth_like_both_is_neither(parted, tmp_path):
    home, child, other, _ = parted
    mother = {"mother_iin": name_iin(50), "sex_code": "male", "plurality": "2"}
    again = bear(52, **mother, maternity_id="M2", history_no="H52", issued_at="2026-03-02T08:00:00", action_code="correct", phone="1")
    third = bear(54, **mother, maternity_id="R", history_no="R9")
    named = {"maternity_id": "M2", "history_no": "H52", "birth_order": "1"}
    send(home, tmp_path / "b", [{"birth": again}, {"birth": third}, {"screening": examine(50, "tsh", 3.0, **named)},
                                {"screening": examine(50, "phe", 1.0)}])  # fmt: skip
    run(home, FIRST + 2 * DAY)
    assert find_child(home, "B52") == other
    assert find_child(home, "B54") not in (child, other)
    assert ask(home, "select child_key from lake.clinical.screening where known_to is null and component = 'tsh'") == [(other,)]
    assert ask(home, "select reason from lake.identified.waiting where known_to is null") == [("twin_ambiguous",)]
    tell_state(home)


def test_results_that_fit_both_wait_and_are_whole_again_when_they_say_whose_they_are(tmp_path):
    home = settle(tmp_path / "home")
    *_, submission = send(home, tmp_path, [*twins_entered_as_one(), {"screening": examine(50, "motor", 1.2, 14, birth_order="1")}])
    take_in(home, FIRST)
    told = unmerge_child(home, find_child(home, "B50"), [name_record(home, "B52")], "twins", FIRST)
    assert (told["screening"], told["waiting"]) == (0, 1)
    assert ask(home, "select reason from lake.identified.waiting where known_to is null") == [("twin_ambiguous",)]
    assert ask(home, "select count(*) from lake.clinical.flag where known_to is null") == [(0,)]
    send(home, tmp_path / "a", [{"birth": bear(60)}])
    take_in(home, FIRST + DAY)
    told = json.loads((home.reports / "feedback" / submission / "feedback.json").read_text())
    assert (told["state"], told["finding_counts"]["twin_ambiguous"]) == ("waiting", 1)  # who sent it learns that it waits again
    shared = {"mother_iin": name_iin(50), "plurality": "2", "sex_code": "male", "history_no": "H50", "birth_order": "2"}
    right = bear(52, **shared, action_code="correct", issued_at="2026-03-02T08:00:00")
    send(home, tmp_path / "b", [{"birth": right}])
    run(home, FIRST + 2 * DAY)
    assert ask(home, "select child_key from lake.clinical.flag where known_to is null") == [(find_child(home, "B50"),)]
    tell_state(home)


def test_a_full_recomputation_from_the_files_and_the_decisions_gives_the_same_children(sent_anew, tmp_path):
    home = sent_anew.home
    again = settle(tmp_path / "again")
    with open_lake(home) as connection:
        decisions = connection.execute("from lake.identified.decision where known_to is null").pl()
    with open_lake(again) as connection, transact(connection):
        append_rows(connection, "identified.decision", decisions.select(LAKE["identified.decision"].column_names()))
    files = list(home.archive.rglob("*.csv"))
    for number, path in enumerate(files):
        shutil.copy(path, tmp_path / f"{number}.csv")
    flow.receive(again, [tmp_path / f"{number}.csv" for number in range(len(files))])
    run(again, FIRST + DAY)
    assert tell_state(again) == tell_state(home)


def test_a_merged_child_is_one_for_later_files_and_for_the_reports_of_its_earlier_referral(both_sent, tmp_path):
    home = copy_home(both_sent, tmp_path / "home")
    child, other = find_child(home, "B2"), find_child(home, "B4")
    referral = dict(ask(home, "select child_key, referral_id from lake.clinical.referral"))
    merge_children(home, child, other, "registered twice", FIRST)
    report = {"sender_id": "K1", "source_id": "X", "action_code": "report", "report_status": "3.0", "reported_on": str(FIRST),
              "category_codes": None, "is_severe": None, "referral_id": referral[other]}  # fmt: skip
    send(home, tmp_path / "b", [{"pmpc_report": report}, {"screening": examine(4, "tsh", 3.0)},
                                {"birth": bear(4, issued_at="2026-03-02T08:00:00", action_code="correct", phone="1")}])  # fmt: skip
    run(home, FIRST + DAY)
    for table in ("identified.birth", "clinical.birth", "clinical.screening", "clinical.pmpc_report", "clinical.flag"):
        assert ask(home, f"select distinct child_key from lake.{table} where known_to is null") == [(child,)], table
    assert ask(home, "select referral_id from lake.clinical.referral where item_kind = 'recall'") == [(referral[other],)]
    tell_state(home)


def test_what_an_earlier_release_learned_of_one_of_two_children_is_the_united_ones_and_its_own_again_when_they_are_parted(both_sent, tmp_path):
    home = copy_home(both_sent, tmp_path / "home")
    child, other = find_child(home, "B2"), find_child(home, "B4")
    with open_lake(home) as connection:
        learned = "insert into lake.identified.iin by name select ? as known_from, ? as child_key, ? as child_iin"
        connection.execute(learned, [FIRST, other, name_iin(904)])
    before = ask(home, STATE["iin"])
    merge_children(home, child, other, "registered twice", FIRST)
    assert ask(home, STATE["iin"]) == [(child, name_iin(904))]
    assert unmerge_child(home, child, [name_record(home, "B4")], "two after all", FIRST)["parted"] == other
    assert ask(home, STATE["iin"]) == before
    tell_state(home)


def test_a_withdrawal_after_a_merge_also_takes_back_what_was_sent_of_the_other_key(both_sent, tmp_path):
    home = copy_home(both_sent, tmp_path / "home")
    child, other = find_child(home, "B2"), find_child(home, "B4")
    ids = dict(ask(home, "select child_key, referral_id from lake.clinical.referral"))
    report = {"sender_id": "K1", "source_id": "X", "action_code": "report", "report_status": "7.0", "reported_on": str(FIRST),
              "category_codes": "speech", "is_severe": None, "referral_id": ids[other]}  # fmt: skip
    send(home, tmp_path / "b", [{"pmpc_report": report}])
    take_in(home, FIRST + DAY)
    merge_children(home, child, other, "registered twice", FIRST + DAY)
    send(home, tmp_path / "c", [{"consent": consent(4, "withdrawn", FIRST)}])
    run(home, FIRST + 2 * DAY)
    recalled = {row[0] for row in ask(home, "select referral_id from lake.clinical.referral where item_kind = 'recall'")}
    assert recalled == set(ids.values())


def test_twins_two_iins_and_unknown_children_are_not_merged(tmp_path):
    home = settle(tmp_path / "home")
    twin = {"mother_iin": name_iin(50), "plurality": "2"}
    send(home, tmp_path, [{"birth": bear(50, **twin)}, {"birth": bear(52, **twin, birth_order="2", history_no="H50")},
                          {"birth": bear(2, child_iin=name_iin(902))}, {"birth": bear(3, child_iin=name_iin(903))}, *flagged(4)])  # fmt: skip
    run(home, FIRST)
    keys = {number: find_child(home, f"B{number}") for number in (2, 3, 4, 50, 52)}
    cases = {(50, 52): "children_twins", (2, 3): "iins_differ", (2, 2): "child_unknown", (2, 4): "other_referred"}
    for (one, two), code in cases.items():
        with pytest.raises(UserError) as told:
            merge_children(home, keys[one], keys[two], "drawn", FIRST)
        assert told.value.code == code
    with pytest.raises(UserError) as told:
        merge_children(home, keys[2], 1, "drawn", FIRST)
    assert told.value.code == "child_unknown"
    assert ask(home, "select count(*) from lake.identified.decision") == [(0,)]


def test_a_parting_that_names_no_record_of_the_child_or_all_of_them_or_whose_file_is_gone_changes_nothing(home):
    child = find_child(home, "B50")
    records = [name_record(home, "B50"), name_record(home, "B52")]
    cases = {("0" * 12 + ":2",): "record_unknown", ("abc:1",): "record_unknown", tuple(records): "nothing_left"}
    for named, code in cases.items():
        with pytest.raises(UserError) as told:
            unmerge_child(home, child, list(named), "drawn", FIRST)
        assert told.value.code == code
    before = tell_state(home)
    for path in home.archive.rglob("*screening*"):
        path.rename(home.home / path.name)
    with pytest.raises(UserError) as told:
        unmerge_child(home, child, records[1:], "drawn", FIRST)
    assert told.value.code == "archive_unreadable"
    for path in home.home.glob("*screening*"):
        path.rename(home.archive / path.name)
    assert tell_state(home) == before


def test_the_key_of_a_parted_child_is_the_one_its_record_would_have_minted_alone(parted_at_once, tmp_path):
    alone = settle(tmp_path / "alone")
    first = twins_entered_as_one()
    send(alone, tmp_path / "alone", [{"birth": {**first[1]["birth"], "maternity_id": "M2", "history_no": "H52"}}])
    take_in(alone, FIRST)
    home, child, other, _ = parted_at_once
    assert find_child(home, "B50") == child
    assert find_child(alone, "B52") == other != child
    assert sorted(ask(home, "select child_key from lake.clinical.birth where known_to is null")) == sorted([(child,), (other,)])
