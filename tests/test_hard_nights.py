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
from tests.nation import FIRST, ask, bear, confirm, consent, examine, flagged, run, send, settle, take_in

NIGHT = timedelta(days=1)
SECOND = FIRST + NIGHT


@pytest.fixture
def home(tmp_path):
    """A lake in which nothing is yet."""
    return settle(tmp_path / "home")


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


def test_a_cancelled_consent_takes_back_what_was_sent_also_where_its_flag_is_answered_corrected_or_rejected(home, tmp_path):
    children = (2, 4, 6)
    send(home, tmp_path, [record for n in children for record in flagged(n)])
    run(home, FIRST)
    sent = dict(ask(home, "select child_key, referral_id from lake.clinical.referral"))
    answers = [{"pmpc_report": answer(n, referral)} for n, referral in enumerate(sent.values())]
    send(home, tmp_path, answers, "b")
    run(home, SECOND)
    send(home, tmp_path, [
        {"confirmation": confirm(2, answer="rejected", source_id="W9", confirmed_on=str(SECOND + NIGHT))},
        {"screening": examine(4, "motor", 1.2, 14, action_code="cancel", issued_at="2026-03-03T08:00:00")},
    ], "c")  # fmt: skip
    assert run(home, SECOND + NIGHT)["recalls"] == 0  # the PMPC has answered
    send(home, tmp_path, [{"consent": consent(n, action_code="cancel", issued_at="2026-03-03T08:00:00")} for n in children], "d")
    assert run(home, SECOND + 2 * NIGHT)["recalls"] == len(children)
    assert is_sound(home)


def test_what_was_sent_on_a_cancelled_consent_is_taken_back_while_another_is_in_doubt(home, tmp_path):
    send(home, tmp_path, flagged(2))
    run(home, FIRST)
    send(home, tmp_path, [{"consent": consent(2, "given", FIRST, authority_code="father")}], "b")
    run(home, SECOND)
    send(home, tmp_path, [
        {"consent": consent(2, action_code="cancel", issued_at="2026-03-04T08:00:00")},
        {"consent": consent(2, "withdrawn", SECOND, decided_on="not a day")},
    ], "c")  # fmt: skip
    assert run(home, SECOND + NIGHT)["recalls"] == 1
    assert is_sound(home)


def test_consents_of_united_children_uphold_and_take_back_what_was_sent_of_either(home, tmp_path):
    send(home, tmp_path, [*flagged(2), *flagged(4)])
    run(home, FIRST)
    one, other = (key for (key,) in ask(home, "select child_key from lake.clinical.birth order by 1"))
    merge_children(home, one, other, "one child", SECOND)
    assert run(home, SECOND)["recalls"] <= 1
    send(home, tmp_path, [{"consent": consent(n, action_code="cancel", issued_at="2026-03-03T08:00:00")} for n in (2, 4)], "c")
    run(home, SECOND + NIGHT)
    assert ask(home, "select count(*) from lake.clinical.referral group by item_kind") == [(2,), (2,)]
    assert is_sound(home)


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


def test_a_child_whose_clinic_changes_waits_since_the_day_it_began_to_wait(home, tmp_path):
    send(home, tmp_path, flagged(2)[:2])
    run(home, FIRST)
    send(home, tmp_path, [{"birth": bear(2, phc_id="P2", action_code="correct", issued_at="2026-03-03T08:00:00")}], "b")
    run(home, SECOND)
    (line,) = pl.read_csv(home.reports / "worklist" / "P2.csv", infer_schema=False).to_dicts()
    assert (line["reason"], line["since"]) == ("consent_pending", str(FIRST))


def test_a_result_that_finds_it_again_after_a_rejection_asks_for_an_answer_anew(home, tmp_path):
    send(home, tmp_path, [*flagged(2)[:3], {"confirmation": confirm(2, answer="rejected")}])
    assert run(home, FIRST)["closed"] == 1
    send(home, tmp_path, [{"screening": examine(2, "motor", 1.1, 18)}], "b")
    assert run(home, SECOND).items() >= {"withheld": 1, "closed": 0}.items()
    assert ask(home, "select reason from lake.clinical.placement where known_to is null") == [("confirmation_pending",)]


def test_a_child_of_whom_a_pmpc_found_nothing_is_sent_again_when_it_is_found_again(home, tmp_path):
    send(home, tmp_path, flagged(2))
    run(home, FIRST)
    ((referral,),) = ask(home, "select referral_id from lake.clinical.referral")
    send(home, tmp_path, [{"pmpc_report": answer(2, referral, "7.0") | {"category_codes": "none"}}], "b")
    assert run(home, SECOND)["closed"] == 1
    send(home, tmp_path, [{"screening": examine(2, "motor", 1.1, 21)}], "c")
    assert run(home, SECOND + NIGHT).items() >= {"referrals": 1, "referred": 1}.items()
    assert ask(home, "select episode_no, flag_ids from lake.clinical.referral order by 1")[1][0] == 2
    assert is_sound(home)
