"""Nights of which feeds are hard: sealed late, on consents that are no longer there, to PMPCs that have closed, of what is found again."""

import shutil
from datetime import timedelta

import polars as pl
import pytest

from pipelines import flow
from pipelines.errors import UserError
from pipelines.night.merge import merge_children
from pipelines.night.verify import verify_store
from pipelines.store.registers import install_registers
from tests.nation import FIRST, ask, bear, confirm, consent, examine, flagged, name_iin, run, send, settle, take_in
from tests.together import Together

NIGHT = timedelta(days=1)
SECOND = FIRST + NIGHT
OF = "child_key in (select child_key from lake.identified.birth where list_contains(?::varchar[], mother_iin))"
together = Together(FIRST, run)


@pytest.fixture
def home(tmp_path):
    """A lake in which nothing is yet: of what seals a night late, or changes a register."""
    return settle(tmp_path / "home")


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lived")
    return together.live(settle(folder / "home"), folder)


def sent(home, *children):
    """What was sent of some children, and on what night."""
    return ask(home, f"select item_kind, composed_on from lake.clinical.referral where {OF} order by 2, 1", list(map(name_iin, children)))


def placed(home, *children):
    """Where the flags of some children are, and why."""
    return ask(home, f"select place, reason from lake.clinical.placement where known_to is null and {OF} order by all", list(map(name_iin, children)))


def referrals(home, *children):
    """The ids of the referrals of some children."""
    return [row[0] for row in ask(home, f"select referral_id from lake.clinical.referral where {OF} order by 1", list(map(name_iin, children)))]


def is_sound(home):
    assert [check for check in verify_store(home, is_deep=False) if check.broken] == []
    return True


def test_what_came_the_day_after_keeps_back_children_of_a_night_that_is_sealed_late(home, tmp_path):
    send(home, tmp_path, [record for n in (2, 4, 6, 8) for record in flagged(n)])
    take_in(home, FIRST)
    send(home, tmp_path, [
        {"consent": consent(2, "withdrawn", SECOND)}, {"consent": consent(4, "withdrawn", SECOND, decided_on="not a day")},
        {"confirmation": confirm(6, answer="rejected", source_id="W9", confirmed_on=str(SECOND))},
    ], "b")  # fmt: skip
    take_in(home, SECOND)
    assert flow.refer(home, FIRST).items() >= {"referrals": 1, "withheld": 2, "closed": 1, "days_later": 1}.items()
    assert ask(home, "select distinct composed_on from lake.ledger.feed") == [(SECOND,)]
    assert is_sound(home)


def test_a_night_older_than_one_that_was_sealed_is_not_sealed_behind_it(home, tmp_path):
    send(home, tmp_path, flagged(2))
    run(home, SECOND)
    send(home, tmp_path, flagged(4), "b")
    take_in(home, SECOND)
    assert flow.refer(home, FIRST).items() >= {"feeds": 1, "referrals": 1, "days_later": 1}.items()
    assert ask(home, "select pmpc_id, feed_no, composed_on from lake.ledger.feed order by all") == [
        ("K1", 1, SECOND), ("K1", 2, SECOND), ("K2", 1, SECOND),
    ]  # fmt: skip
    assert is_sound(home)


@together.story
def test_a_cancelled_consent_takes_back_what_was_sent_also_where_its_flag_is_answered_corrected_or_rejected(home, folder):
    children = (2, 4, 6)
    send(home, folder, [record for n in children for record in flagged(n)])
    yield
    assert sent(home, *children) == [("referral", FIRST)] * 3
    send(home, folder, [{"pmpc_report": answer(f"cancelled {n}", referral)} for n, referral in enumerate(referrals(home, *children))], "b")
    yield
    send(home, folder, [
        {"confirmation": confirm(2, answer="rejected", source_id="W9", confirmed_on=str(SECOND + NIGHT))},
        {"screening": examine(4, "motor", 1.2, 14, action_code="cancel", issued_at="2026-03-03T08:00:00")},
    ], "c")  # fmt: skip
    yield
    assert sent(home, *children) == [("referral", FIRST)] * 3  # the PMPC has answered
    send(home, folder, [{"consent": consent(n, action_code="cancel", issued_at="2026-03-03T08:00:00")} for n in children], "d")
    yield
    assert sent(home, *children) == [("referral", FIRST)] * 3 + [("recall", SECOND + 2 * NIGHT)] * 3


@together.story
def test_what_was_sent_on_a_cancelled_consent_is_taken_back_while_another_is_in_doubt(home, folder):
    send(home, folder, flagged(12))
    yield
    send(home, folder, [{"consent": consent(12, "given", FIRST, authority_code="father")}], "b")
    yield
    send(home, folder, [
        {"consent": consent(12, action_code="cancel", issued_at="2026-03-04T08:00:00")},
        {"consent": consent(12, "withdrawn", SECOND, decided_on="not a day")},
    ], "c")  # fmt: skip
    yield
    assert sent(home, 12) == [("referral", FIRST), ("recall", SECOND + NIGHT)]


@together.story
def test_consents_of_united_children_uphold_and_take_back_what_was_sent_of_either(home, folder):
    send(home, folder, [*flagged(22), *flagged(24)])
    yield
    one, other = (key for (key,) in ask(home, f"select child_key from lake.clinical.birth where {OF} order by 1", list(map(name_iin, (22, 24)))))
    merge_children(home, one, other, "one child", SECOND)
    yield
    assert [kind for kind, _ in sent(home, 22, 24)].count("recall") <= 1
    send(home, folder, [{"consent": consent(n, action_code="cancel", issued_at="2026-03-03T08:00:00")} for n in (22, 24)], "c")
    yield
    kinds = ask(home, "select item_kind, count(*) from lake.clinical.referral where child_key in (?, ?) group by all order by 1", one, other)
    assert kinds == [("recall", 2), ("referral", 2)]


def answer(number, referral_id, status="4.0"):
    """A PMPC's answer to a referral."""
    return {"sender_id": "K1", "source_id": f"R{number}", "action_code": "report", "referral_id": referral_id, "report_status": status,
            "reported_on": str(FIRST), "issued_at": f"{FIRST}T23:30:00"}  # fmt: skip


def test_a_pmpc_that_closes_is_told_what_is_taken_back_and_stops_no_other(home, tmp_path):
    send(home, tmp_path, flagged(2))
    run(home, FIRST)
    (home.reference / "pmpc.csv").write_text("pmpc_id,pmpc_name,kato4\nK9,PMPC 9,7510\nK2,PMPC 2,6110\n")
    catchment = home.reference / "catchment.csv"
    with pytest.raises(UserError, match="K1"):
        flow.refer(home, SECOND)
    catchment.write_text(catchment.read_text().replace("7510,K1,2020-01-01,", f"7510,K1,2020-01-01,{FIRST}\n7510,K9,{SECOND},"))
    send(home, tmp_path, [{"consent": consent(2, "withdrawn", FIRST)}, *flagged(3), *flagged(4)], "b")
    assert run(home, SECOND).items() >= {"referrals": 2, "recalls": 1}.items()
    assert sorted(path.name for path in home.outbox.glob("*") if path.is_dir() and path.name[0] == "K") == ["K1", "K2", "K9"]
    assert is_sound(home)


def test_districts_of_two_pmpcs_on_a_day_are_refused_when_registers_are_installed(home, tmp_path):
    folder = tmp_path / "given"
    shutil.copytree(home.reference, folder)
    with (folder / "catchment.csv").open("a") as file:
        file.write("7510,K2,2026-01-01,\n")
    with pytest.raises(UserError, match="7510"):
        install_registers(home, folder)


@together.story
def test_a_child_whose_clinic_changes_waits_since_the_day_it_began_to_wait(home, folder):
    send(home, folder, flagged(32)[:2])
    yield
    send(home, folder, [{"birth": bear(32, phc_id="P2", action_code="correct", issued_at="2026-03-03T08:00:00")}], "b")
    yield
    (line,) = pl.read_csv(home.reports / "worklist" / "P2.csv", infer_schema=False).to_dicts()  # all others are of P1
    assert (line["reason"], line["since"]) == ("consent_pending", str(FIRST))


@together.story
def test_a_result_that_finds_it_again_after_a_rejection_asks_for_an_answer_anew(home, folder):
    send(home, folder, [*flagged(42)[:3], {"confirmation": confirm(42, answer="rejected")}])
    yield
    assert [place for place, _ in placed(home, 42)] == ["closed"]
    send(home, folder, [{"screening": examine(42, "motor", 1.1, 18)}], "b")
    yield
    assert placed(home, 42) == [("withheld", "confirmation_pending")]


@together.story
def test_a_child_of_whom_a_pmpc_found_nothing_is_sent_again_when_it_is_found_again(home, folder):
    send(home, folder, flagged(52))
    yield
    (referral,) = referrals(home, 52)
    send(home, folder, [{"pmpc_report": answer("nothing", referral, "7.0") | {"category_codes": "none"}}], "b")
    yield
    assert [place for place, _ in placed(home, 52)] == ["closed"]
    send(home, folder, [{"screening": examine(52, "motor", 1.1, 21)}], "c")
    yield
    assert [place for place, _ in placed(home, 52)] == ["referred"]
    assert sent(home, 52) == [("referral", FIRST), ("referral", SECOND + NIGHT)]
    assert ask(home, f"select episode_no from lake.clinical.referral where {OF} order by 1", [name_iin(52)]) == [(1,), (2,)]
