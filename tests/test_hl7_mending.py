"""HL7 v2 messages of which nothing was read: mended and sent again they are closed by whoever holds their name, and by nobody else."""

import shutil

import pytest

from pipelines.night.ask import tell_submission
from tests.nation import FIRST, bear, copy_home, name_iin, send, settle, take_in
from tests.test_mending import batch, counts, fix, message, misspell, receive, receive_all, values
from tests.together import Together

together = Together()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A home that reads no message of more than 1 MB, in which children are born."""
    folder = tmp_path_factory.mktemp("small")
    home = settle(folder / "home", longest_line_mb=1)
    send(home, folder, [{"birth": bear(n, child_iin=name_iin(n), mother_iin=name_iin(900 + n))} for n in range(2, 60)])
    take_in(home, FIRST)
    return home


@pytest.fixture(scope="module")
def lived(small, tmp_path_factory):
    return together.live(small, tmp_path_factory.mktemp("lived"))


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


@together.story
def test_a_message_that_is_too_large_comes_back_by_its_head_and_sent_under_its_name_without_its_report_it_is_closed(home, folder):
    first = receive(home, write(folder / "a.hl7", message(2, "3.5"), [*message(3, "5.5", "1.0"), REPORT]))
    yield
    assert counts(home, first) == [(1, 0, 0)]
    assert "message_too_large" in fix(home, first, "findings.csv").read_text()
    lines = text_of(home, first).split("\r")
    assert [line[:3] for line in lines] == ["MSH", "PID", "NTE", "OBR", ""]
    assert lines[2].split("|")[3].startswith(f"erte-{first[:12]}-5~message_too_large~kk: ")
    shutil.copy(fix(home, first, "to-fix.hl7"), folder / "again.hl7")
    again = receive(home, folder / "again.hl7")
    yield
    assert counts(home, first, again) == [(0, 0, 1), (1, 0, 0)]
    mended = text_of(home, again) + "\r".join([*message(3, "5.5", "1.0")[3:], ""])
    (folder / "b.hl7").write_text(mended)
    third = receive(home, folder / "b.hl7")
    yield
    assert counts(home, first, again, third) == [(0, 1, 0), (0, 1, 0), (0, 0, 0)]
    assert values(home, 2, 3) == [(1.0, "phe"), (3.5, "tsh"), (5.5, "tsh")]


@together.story
def test_messages_of_which_nothing_was_read_are_closed_by_the_same_order_when_the_laboratory_sends_them_anew(home, folder):
    """A laboratory's system writes its messages anew and keeps no note: the number of the order says which they are."""
    large, cut, bare = [*message(11, "5.5"), REPORT], message(12, "5.5")[:-1], message(13, "3.5")
    bytes_of = message(14, "3.5")[0].replace("M14", "M\x0014")
    first = receive(home, write(folder / "a.hl7", large, message(10, "3.5"), cut, [bytes_of, *message(14, "3.5")[1:]]))
    yield
    assert counts(home, first) == [(3, 0, 0)]
    anew = [[one[0].replace(f"|M{n}|", f"|N{n}|"), *one[1:]] for n, said in ((11, "5.5"), (12, "5.5"), (14, "3.5")) for one in (message(n, said),)]
    second = receive(home, write(folder / "b.hl7", *anew, bare))
    yield
    assert (tell_submission(home, second)["state"], counts(home, first)) == ("accepted", [(0, 3, 0)])


@together.story
def test_a_message_of_several_orders_is_closed_by_its_name_alone(home, folder):
    two = [*message(16, "5.5"), message(16, "5.5")[2].replace("F16", "F17"), REPORT]
    first = receive(home, write(folder / "a.hl7", message(15, "3.5"), two))
    yield
    receive(home, write(folder / "b.hl7", message(16, "5.5")))
    yield
    assert counts(home, first) == [(1, 0, 0)]


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


def receive_unread(home, folder, numbers):
    """The submissions of each message without a readable sender, alone in its file but for what makes it a file."""
    adt = message(9, "1", kind="ADT^A01")[:1]
    return receive_all(home, {
        name: write(folder / f"{n}.hl7", ["BHS|^~\\&|"], change(message(n, "5.5")), *([[*adt]] if name == "without a header" else []))
        for n, (name, change) in zip(numbers, BROKEN.items(), strict=True)
    })  # fmt: skip


@together.story
def test_a_message_whose_sender_could_not_be_read_is_closed_by_who_sends_it_mended_under_its_name(home, folder):
    numbers = dict(zip(BROKEN, (20, 21, 22, 23), strict=True))
    first = receive_unread(home, folder, numbers.values())
    yield
    still_open = [told[0] for told in counts(home, *first.values())]
    for name, number in numbers.items():
        (folder / f"mended-{number}.hl7").write_text(mend(text_of(home, first[name]), number))
    mended = receive_all(home, {name: folder / f"mended-{number}.hl7" for name, number in numbers.items()})
    yield
    for name, submission in mended.items():
        assert tell_submission(home, submission)["accepted_count"] >= 1, name
    assert counts(home, *first.values()) == [(0, 1, number - 1) for number in still_open]  # what stands beside it was not mended


@together.story
def test_a_stranger_who_guesses_the_name_of_such_a_message_closes_nothing(home, folder):
    first = receive_unread(home, folder, (24, 25, 26, 27))
    yield
    (own,), (other,) = (notes_of(home, first[name])[:1] for name in ("without MSH-2", "without MSH-3 and MSH-4"))
    said, others = own.split("|")[3].split("~")[0], other.split("|")[3].split("~")[0]
    name, _, proof = said.rpartition("-")
    assert (name, len(proof)) == (f"erte-{first['without MSH-2'][:12]}-2", 16)
    guesses = [guess.format(name, others.rpartition("-")[2], proof[:8]) for guess in ("{0}", "{0}-0123456789abcdef", "{0}-{1}", "{0}{2}")]
    sent = {}
    for number, guess in enumerate(guesses, 28):
        one = message(number, "5.5")
        for sender in ("L1", "M1"):
            said = [one[0].replace("|L1|", f"|{sender}|"), one[1], f"NTE|1|L|{guess}", *one[2:]]
            sent[guess, sender] = write(folder / f"{number}-{sender}.hl7", said)
    strangers = receive_all(home, sent)
    yield
    assert counts(home, first["without MSH-2"]) == [(1, 0, 0)]
    assert counts(home, *strangers.values()) == [(0, 0, 0)] * len(sent)  # each was read, and taken for what it says


def test_a_message_without_a_sender_in_the_batch_of_another_is_closed_by_either_under_its_name(small, tmp_path):
    """Of a laboratory whose messages another hands on: who it was is known when it is mended."""
    home = copy_home(small, tmp_path / "home")
    first = receive(home, batch(tmp_path / "a.hl7", message(2, "3.5"), BROKEN["without MSH-2"](message(3, "5.5"))))
    take_in(home, FIRST)
    text = mend(text_of(home, first), 3)
    for number, sender in enumerate(("M2", "L1")):
        own = copy_home(home, tmp_path / f"home-{number}")
        (tmp_path / f"{sender}.hl7").write_text(text.replace("|L1|ERTE", f"|{sender}|ERTE"))
        receive(own, tmp_path / f"{sender}.hl7")
        take_in(own, FIRST)
        assert counts(own, first) == [(0, 1, 0)]


@together.story
def test_of_a_file_of_several_senders_a_name_closes_only_the_row_of_its_own_sender(home, folder):
    other = [message(41, "4.5")[0].replace("|L1|", "|M2|"), *message(41, "4.5")[1:]]
    first = receive(home, write(folder / "a.hl7", message(40, "3.5"), other, message(42, "high")))
    yield
    text = text_of(home, first).replace("|high|", "|5.5|")
    assert f"erte-{first[:12]}-12~" in text
    (folder / "b.hl7").write_text(text.replace("|L1|", "|M2|"))
    receive(home, folder / "b.hl7")
    yield
    assert counts(home, first) == [(1, 0, 0)]
    (folder / "c.hl7").write_text(text)
    receive(home, folder / "c.hl7")
    yield
    assert counts(home, first) == [(0, 1, 0)]


@together.story
def test_a_row_of_a_file_of_several_senders_is_known_again_by_its_own_sender_and_number(home, folder):
    other = [message(44, "4.5")[0].replace("|L1|", "|M2|"), *message(44, "4.5")[1:]]
    first = receive(home, write(folder / "a.hl7", message(43, "3.5"), other, message(45, "high"), message(46, "low")))
    yield
    receive(home, write(folder / "b.hl7", message(45, "5.5"), message(46, "lower")))
    yield
    assert counts(home, first) == [(0, 1, 1)]


@together.story
def test_names_of_messages_without_a_sender_are_kept_from_round_to_round(home, folder):
    wrong = misspell(name_iin(50))
    first = receive(home, write(folder / "a.hl7", BROKEN["without MSH-2"](message(50, "5.5"))))
    yield
    shutil.copy(fix(home, first, "to-fix.hl7"), folder / "again.hl7")
    again = receive(home, folder / "again.hl7")
    yield
    assert counts(home, first, again) == [(0, 0, 1), (1, 0, 0)]
    (folder / "b.hl7").write_text(mend(text_of(home, again), 50).replace(name_iin(50), wrong))
    third = receive(home, folder / "b.hl7")
    yield
    assert counts(home, first, again, third) == [(0, 0, 1), (0, 0, 1), (1, 0, 0)]
    (folder / "c.hl7").write_text(text_of(home, third).replace(wrong, name_iin(50)))
    receive(home, folder / "c.hl7")
    yield
    assert counts(home, first, again, third) == [(0, 1, 0), (0, 1, 0), (0, 1, 0)]
