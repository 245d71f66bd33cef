r"""The reader agrees with the reference library `hl7` on every field it reads, whatever the separators, escapes and gaps are."""

import hl7 as reference
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from pipelines.intake.hl7 import read_chunks
from pipelines.intake.hl7.fields import clean_number, read_time

PUNCTUATION = "|^~&$%#@!*=;:?\\"  # not + - . which times and numbers are written with
LETTERS = [*"aBz 09ЖәҒ", "F", "S", "T"]
TIMES = ["20260105", "202601050903", "20260105090301", "20260105090301.25+0500", "2026", "20170229", "YYYYMMDD", "20260105250000", ""]
NUMBERS = ["3.5", "0065.88", "<2.22", "> 15", "0 .07", "9,5", "-1", ".5", "7."]


@st.composite
def marks(draw):
    """Field, component, repetition, escape and subcomponent mark of a message."""
    return draw(st.permutations(PUNCTUATION).map(lambda p: "".join(p[:5])) | st.just("|^~\\&"))


@st.composite
def field(draw, marks, most=4):
    """A field of up to `most` components and three repetitions, with subcomponents and escapes."""
    _, component, repeat, escape, sub = marks
    escapes = [f"{escape}{name}{escape}" for name in ("F", "S", "T", "R", "E", "X41", "X2B2D")]
    text = st.lists(st.sampled_from([*LETTERS, *escapes]), max_size=4).map("".join)
    one = st.lists(st.lists(text, min_size=1, max_size=2).map(sub.join), max_size=most).map(component.join)
    return draw(st.lists(one, min_size=1, max_size=3).map(repeat.join))


@st.composite
def message(draw):
    """An ORU of one child with up to four orders and results: (text, marks)."""
    m = draw(marks())
    f, component, _, _, _ = m

    def segment(name, filled):
        fields = [name] + [""] * max(filled)
        for place, said in filled.items():
            fields[place] = said
        return f.join(fields)

    def told(n=4):
        return draw(field(m, n))

    times = st.sampled_from(TIMES)
    control_id = told(1).translate({ord(m[2]): None, ord(m[4]): None}) + "9"
    head = ["MSH", m[1:], told(), told(), "ERTE", "MOH", draw(times), "", component.join(["ORU", "R01"]), control_id]
    lines = [f.join([*head, "P", "2.5.1"])]
    kind = draw(st.sampled_from(["MR", "PI", "", "XX"]))
    identifier = component.join([told(1).replace(m[2], ""), "", "", told(1).replace(m[2], ""), kind])
    lines.append(segment("PID", {3: identifier, 5: told(), 7: draw(times), 8: draw(st.sampled_from(["M", "F", "f", "X", ""])), 24: "Y",
                                 25: draw(st.sampled_from(["", "2"]))}))  # fmt: skip
    iin = component.join([draw(st.sampled_from(["250314500108", ""])), "", "", "", "NI"])
    lines.append(segment("NK1", {2: told(), 3: "MTH", 33: iin}))
    for _ in range(draw(st.integers(1, 3))):
        lines.append(segment("OBR", {2: told(2), 3: told(2), 7: draw(times), 22: draw(times), 25: draw(st.sampled_from(["F", "C", ""]))}))
        for _ in range(draw(st.integers(0, 2))):
            lines.append(segment("OBX", {
                1: "9", 2: draw(st.sampled_from(["NM", "SN", "TX", "ST"])), 3: told(), 4: draw(st.sampled_from(["", "1", "2"])),
                5: draw(st.sampled_from(NUMBERS)), 6: told(), 8: draw(st.sampled_from(["", "N", "H"])),
                11: draw(st.sampled_from(["F", "P", "C", ""])), 14: draw(times),
            }))  # fmt: skip
    lines.append(segment("SPM", {2: told(2)}))
    return "\r".join(lines) + "\r", m


def said(parsed, segment, place, component=1):
    """A component of the first repetition as the library reads it, unescaped and trimmed; None where there is nothing."""
    one = segment[place][0] if len(segment) > place and len(segment[place]) else ""
    if not isinstance(one, str):
        one = one[component - 1] if component <= len(one) else ""
        one = one if isinstance(one, str) else one[0]
    elif component > 1:
        return None
    return parsed.unescape(str(one)).strip() or None


def expect(text):
    """What the rows of a message must say, read by the library."""
    parsed = reference.parse(text)
    head, child, mother = parsed.segment("MSH"), parsed.segment("PID"), parsed.segment("NK1")
    times = {None: (None, None), **{t: read_time(t) for t in TIMES}}
    sender = said(parsed, head, 4)
    sender = sender if sender and len(sender) <= 40 else said(parsed, head, 4, 2) or said(parsed, head, 3)
    local = said(parsed, child, 3, 5) in ("MR", "PI", None) and said(parsed, child, 3)
    who = {
        "sender_id": sender, "history_no": local or None,
        "maternity_id": (local and said(parsed, child, 3, 4)) or sender,
        "family_name": said(parsed, child, 5), "given_name": said(parsed, child, 5, 2), "birth_on": times[said(parsed, child, 7)][0],
        "sex_code": {"M": "male", "F": "female", "": None}.get((said(parsed, child, 8) or "").upper(), "unknown"),
        "birth_order": said(parsed, child, 25), "mother_family_name": said(parsed, mother, 2),
        "mother_given_name": said(parsed, mother, 2, 2), "mother_iin": said(parsed, mother, 33),
        "card_no": said(parsed, parsed.segment("SPM"), 2),
    }  # fmt: skip
    rows, seen = [], set()
    source, order_day, order_at, issued_at = said(parsed, head, 10), None, None, times[said(parsed, head, 7)][1]
    for segment in parsed:
        if str(segment[0]) == "OBR":
            source = said(parsed, segment, 3) or said(parsed, segment, 2) or source
            day, at = times[said(parsed, segment, 7)]
            order_day, order_at = (day, at) if day else (order_day, order_at)
            reported_on, issued = times[said(parsed, segment, 22)]
            issued_at, order_status = issued or issued_at, said(parsed, segment, 25)
        if str(segment[0]) != "OBX" or said(parsed, segment, 2) == "TX":
            continue
        code = said(parsed, segment, 3) or said(parsed, segment, 3, 4) or said(parsed, segment, 3, 2) or "?"
        sign, value, _ = clean_number(said(parsed, segment, 5), "^")
        instance = int(said(parsed, segment, 4) or 1)
        component = f"L:{code}"
        while (source, component, instance) in seen:
            instance += 1
        seen.add((source, component, instance))
        status = {"F": "final", "P": "preliminary", "C": "corrected"}[said(parsed, segment, 11) or order_status or "F"]
        day, at = times[said(parsed, segment, 14)]
        on = day or order_day
        at = at or (order_at if order_at and on and order_at.startswith(on) else None)
        rows.append({
            **who, "source_id": source if instance == 1 else f"{source}#{instance}", "component": component, "value": value,
            "comparator": sign, "unit": next((u for n in (1, 2, 4) if (u := said(parsed, segment, 6, n))), None),
            "status_code": status, "examined_on": on, "examined_at": at, "reported_on": reported_on, "issued_at": issued_at,
        })  # fmt: skip
    return rows


DRAWN = (
    "MSH|^~\\&|A|B^C|ERTE|MOH|20260105||ORU^R01|9|P|2.5.1\rPID|||7^^^X^MR||Ж^ә\rNK1||\rOBR||1|2\r"
    "OBX|9|NM|a\\T\\b^c|2|3.5|u|||||F\rSPM||4\r"
)
QUICK = (Phase.explicit, Phase.reuse, Phase.generate)  # shrinking these takes minutes


@settings(max_examples=60, deadline=None, phases=QUICK)
@given(message())
@example((DRAWN, ""))
def test_every_field_the_reader_uses_is_what_the_reference_library_finds(tmp_path_factory, drawn):
    text, _ = drawn
    path = tmp_path_factory.mktemp("reference") / "a.hl7"
    path.write_bytes(text.encode())
    rows = [row for chunk in read_chunks(path) for row in chunk.rows.iter_rows(named=True) if row["status_code"]]
    expected = expect(text)
    assert [{name: row[name] for name in one} for row, one in zip(rows, expected, strict=True)] == expected


def test_the_comparison_itself_sees_a_difference():
    text = "MSH|^~\\&|A|B|ERTE|MOH|||ORU^R01|9|P|2.5.1\rPID|||7\rNK1|1\rOBR||1|2\rOBX|9|NM|a|2|3.5|u|||||F\rSPM||4\r"
    assert expect(text)[0]["value"] == "3.5"
    with pytest.raises(AssertionError):
        assert expect(text) == expect(text.replace("3.5", "3.6"))
