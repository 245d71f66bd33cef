"""HL7 v2 messages of which nothing was read: mended and sent again they are closed by whoever holds their name, and by nobody else."""

import shutil

import pytest

from pipelines.night.ask import tell_submission
from tests.nation import bear, copy_home, name_iin, send, settle, take_in
from tests.test_mending import (
    FIRST,
    FOURTH,
    HELD,
    SECOND,
    THIRD,
    WRONG,
    ask,
    batch,
    counts,
    fix,
    is_whole,
    message,
    night,
    one_night,
)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A home that reads no message of more than 1 MB, in which children are born."""
    folder = tmp_path_factory.mktemp("small")
    home = settle(folder / "home", longest_line_mb=1)
    send(home, folder, [{"birth": bear(n, child_iin=name_iin(n), mother_iin=name_iin(900 + n))} for n in range(2, 14)])
    take_in(home, FIRST)
    return home


@pytest.fixture
def home(small, tmp_path):
    return copy_home(small, tmp_path / "home")


REPORT = "OBX|9|ED|PDF^Report^L||^application^pdf^Base64^" + "QUJD" * 300_000


def write(path, *messages):
    path.write_text("\r".join([*(line for one in messages for line in one), ""]))
    return path


def text_of(home, submission):
    """The file to fix, each line end as it is."""
    return fix(home, submission, "to-fix.hl7").read_bytes().decode()


def notes_of(home, submission):
    return [line for line in text_of(home, submission).split("\r") if line.startswith("NTE")]


# ------------------------------------------------------------------------------------------------ too large


def test_a_message_that_is_too_large_comes_back_by_its_head_and_sent_under_its_name_without_its_report_it_is_closed(home, tmp_path):
    first = night(home, write(tmp_path / "a.hl7", message(2, "3.5"), [*message(3, "5.5", "1.0"), REPORT]), SECOND)
    assert counts(home, first) == (1, 0, 0)
    assert "message_too_large" in fix(home, first, "findings.csv").read_text()
    lines = text_of(home, first).split("\r")
    assert [line[:3] for line in lines] == ["MSH", "PID", "NTE", "OBR", ""]
    assert lines[2].split("|")[3].startswith(f"erte-{first[:12]}-5~message_too_large~kk: ")
    shutil.copy(fix(home, first, "to-fix.hl7"), tmp_path / "again.hl7")
    again = night(home, tmp_path / "again.hl7", SECOND)
    assert (counts(home, first), counts(home, again)) == ((0, 0, 1), (1, 0, 0))
    mended = text_of(home, again) + "\r".join([*message(3, "5.5", "1.0")[3:], ""])
    (tmp_path / "b.hl7").write_text(mended)
    third = night(home, tmp_path / "b.hl7", THIRD)
    assert (counts(home, first), counts(home, again), counts(home, third)) == ((0, 1, 0), (0, 1, 0), (0, 0, 0))
    assert (ask(home, HELD), is_whole(home)) == ([(3,)], True)


def test_messages_of_which_nothing_was_read_are_closed_by_the_same_order_when_the_laboratory_sends_them_anew(home, tmp_path):
    """A laboratory's system writes its messages anew and keeps no note: the number of the order says which they are."""
    large, cut, bare = [*message(3, "5.5"), REPORT], message(5, "5.5")[:-1], message(6, "3.5")
    bytes_of = message(7, "3.5")[0].replace("M7", "M\x007")
    first = night(home, write(tmp_path / "a.hl7", large, message(2, "3.5"), cut, [bytes_of, *message(7, "3.5")[1:]]), SECOND)
    assert counts(home, first) == (3, 0, 0)
    anew = [[one[0].replace(f"|M{n}|", f"|N{n}|"), *one[1:]] for n, one in ((3, message(3, "5.5")), (5, message(5, "5.5")), (7, message(7, "3.5")))]
    second = night(home, write(tmp_path / "b.hl7", *anew, bare), THIRD)
    assert (tell_submission(home, second)["state"], counts(home, first)) == ("accepted", (0, 3, 0))


def test_a_message_of_several_orders_is_closed_by_its_name_alone(home, tmp_path):
    two = [*message(3, "5.5"), message(3, "5.5")[2].replace("F3", "F4"), REPORT]
    first = night(home, write(tmp_path / "a.hl7", message(2, "3.5"), two), SECOND)
    night(home, write(tmp_path / "b.hl7", message(3, "5.5")), THIRD)
    assert counts(home, first) == (1, 0, 0)


# ------------------------------------------------------------------------------------------------ no readable sender


BROKEN = {
    "without MSH-2": lambda one: [one[0].replace("|^~\\&|", "||"), *one[1:]],
    "without MSH-3 and MSH-4": lambda one: [one[0].replace("|LIS|L1|", "|||").replace("ORU^R01^ORU_R01", ""), *one[1:]],
    "with a sender nobody is": lambda one: [one[0].replace("|L1|", "|L\x021|"), *one[1:-1]],
    "without a header": lambda one: one[1:],
}  # fmt: skip


def mend(text, number):
    """As a person would: the header as it should be, the rest as it stands; what was missing is there."""
    lines = text.split("\r")
    begin = next(n for n, line in enumerate(lines) if line.startswith(("MSH", "PID")))
    rest = lines[begin + lines[begin].startswith("MSH"):]
    good = message(number, "5.5")
    missing = [] if any(line.startswith("OBX") for line in rest) else good[-1:]
    return "\r".join([*lines[:begin], good[0], *filter(None, rest), *missing, ""])


@pytest.fixture(scope="module")
def unread(small, tmp_path_factory):
    """Each message without a readable sender, alone in its file but for what makes it a file: the home and the submissions."""
    folder = tmp_path_factory.mktemp("unread")
    home = copy_home(small, folder / "home")
    adt = message(9, "1", kind="ADT^A01")[:1]
    paths = {
        name: write(folder / f"{n}.hl7", ["BHS|^~\\&|"], change(message(n, "5.5")), *([[*adt]] if name == "without a header" else []))
        for n, (name, change) in zip((2, 3, 4, 5), BROKEN.items(), strict=True)
    }  # fmt: skip
    return home, one_night(home, paths, SECOND)


@pytest.mark.parametrize(("name", "number"), list(zip(BROKEN, (2, 3, 4, 5), strict=True)))
def test_a_message_whose_sender_could_not_be_read_is_closed_by_who_sends_it_mended_under_its_name(unread, tmp_path, name, number):
    home, first = unread
    home = copy_home(home, tmp_path / "home")
    still_open = counts(home, first[name])[0]
    path = tmp_path / "mended.hl7"
    path.write_text(mend(text_of(home, first[name]), number))
    assert tell_submission(home, night(home, path, THIRD))["accepted_count"] >= 1
    assert counts(home, first[name]) == (0, 1, still_open - 1)  # what stands beside it was not mended


@pytest.mark.parametrize("guess", ["{0}", "{0}-0123456789abcdef", "{0}-{1}", "{0}{2}"])
def test_a_stranger_who_guesses_the_name_of_such_a_message_closes_nothing(unread, tmp_path, guess):
    home, first = unread
    home = copy_home(home, tmp_path / "home")
    (own,), (other,) = (notes_of(home, first[name])[:1] for name in ("without MSH-2", "without MSH-3 and MSH-4"))
    said, others = own.split("|")[3].split("~")[0], other.split("|")[3].split("~")[0]
    name, _, proof = said.rpartition("-")
    assert (name, len(proof)) == (f"erte-{first['without MSH-2'][:12]}-2", 16)
    stranger = message(6, "5.5")
    note = "NTE|1|L|" + guess.format(name, others.rpartition("-")[2], proof[:8])
    for sender in ("L1", "M1"):
        night(home, write(tmp_path / f"{sender}.hl7", [stranger[0].replace("|L1|", f"|{sender}|"), stranger[1], note, *stranger[2:]]), THIRD)
    assert counts(home, first["without MSH-2"]) == (1, 0, 0)


def test_a_message_without_a_sender_in_the_batch_of_another_is_closed_by_either_under_its_name(home, tmp_path):
    """Of a laboratory whose messages another hands on: who it was is known when it is mended."""
    path = batch(tmp_path / "a.hl7", message(2, "3.5"), BROKEN["without MSH-2"](message(3, "5.5")))
    first = night(home, path, SECOND)
    text = mend(text_of(home, first), 3)
    for number, sender in enumerate(("M2", "L1")):
        own = copy_home(home, tmp_path / f"home-{number}")
        (tmp_path / f"{sender}.hl7").write_text(text.replace("|L1|ERTE", f"|{sender}|ERTE"))
        night(own, tmp_path / f"{sender}.hl7", THIRD)
        assert counts(own, first) == (0, 1, 0)


def test_of_a_file_of_several_senders_a_name_closes_only_the_row_of_its_own_sender(home, tmp_path):
    other = [message(4, "4.5")[0].replace("|L1|", "|M2|"), *message(4, "4.5")[1:]]
    first = night(home, write(tmp_path / "a.hl7", message(2, "3.5"), other, message(3, "high")), SECOND)
    text = text_of(home, first).replace("|high|", "|5.5|")
    assert f"erte-{first[:12]}-12~" in text
    (tmp_path / "b.hl7").write_text(text.replace("|L1|", "|M2|"))
    night(home, tmp_path / "b.hl7", THIRD)
    assert counts(home, first) == (1, 0, 0)
    (tmp_path / "c.hl7").write_text(text)
    night(home, tmp_path / "c.hl7", FOURTH)
    assert counts(home, first) == (0, 1, 0)


def test_a_row_of_a_file_of_several_senders_is_known_again_by_its_own_sender_and_number(home, tmp_path):
    other = [message(4, "4.5")[0].replace("|L1|", "|M2|"), *message(4, "4.5")[1:]]
    first = night(home, write(tmp_path / "a.hl7", message(2, "3.5"), other, message(3, "high"), message(5, "low")), SECOND)
    night(home, write(tmp_path / "b.hl7", message(3, "5.5"), message(5, "lower")), THIRD)
    assert counts(home, first) == (0, 1, 1)


def test_names_of_messages_without_a_sender_are_kept_from_round_to_round(home, tmp_path):
    first = night(home, write(tmp_path / "a.hl7", BROKEN["without MSH-2"](message(3, "5.5"))), SECOND)
    shutil.copy(fix(home, first, "to-fix.hl7"), tmp_path / "again.hl7")
    again = night(home, tmp_path / "again.hl7", THIRD)
    assert (counts(home, first), counts(home, again)) == ((0, 0, 1), (1, 0, 0))
    (tmp_path / "b.hl7").write_text(mend(text_of(home, again), 3).replace(name_iin(3), WRONG))
    third = night(home, tmp_path / "b.hl7", THIRD)
    assert (counts(home, first), counts(home, again), counts(home, third)) == ((0, 0, 1), (0, 0, 1), (1, 0, 0))
    (tmp_path / "c.hl7").write_text(text_of(home, third).replace(WRONG, name_iin(3)))
    night(home, tmp_path / "c.hl7", FOURTH)
    assert (counts(home, first), counts(home, again), counts(home, third)) == ((0, 1, 0), (0, 1, 0), (0, 1, 0))
    assert is_whole(home)
