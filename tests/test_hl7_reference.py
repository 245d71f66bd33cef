r"""The reader agrees with the reference library `hl7` on every field it reads, whatever the separators, escapes and gaps are."""

from typing import NamedTuple

import hl7 as reference
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from pipelines.intake.hl7 import read_chunks
from pipelines.intake.hl7.fields import clean_number, read_time

PUNCTUATION = "|^~&$%#@!*=;:?\\"  # not + - . which times and numbers are written with
LETTERS = [*"aBz 09ЖәҒ", "F", "S", "T"]
TIMES = ["20260105", "202601050903", "20260105090301", "20260105090301.25+0500", "202601052300+0000",
         "2026", "20170229", "YYYYMMDD", "20260105250000", ""]
ANSWERS = {"LA6626-1": "in_range", "LA18593-6": "out_of_range", "LA12430-7": "borderline", "LA16205-9": "unsatisfactory"}
"""OBX-5 by a code of LOINC -> what it says (layouts/hl7-oru.toml)."""
SEXES = {"M": "male", "F": "female", "f": "female", "Ж": "female", "Male": "male", "U": "unknown", "X": "unknown", "": None}
INSTANCES = {"": "", "1": "", "2": "2", "3": "3", "1.2": "2", "b": "2", "9": "9", "2.1": "2.1"}
"""OBX-4 as sent (9 is also the OBX-1) -> the name of one of several answers to one code."""
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
    one_answer = st.sampled_from(NUMBERS) | st.sampled_from([*ANSWERS]).map(lambda code: component.join([code, "in words"]))
    control_id = told(1).translate({ord(m[2]): None, ord(m[4]): None}) + "9"
    head = ["MSH", m[1:], told(), told(), "ERTE", "MOH", draw(times), "", component.join(["ORU", "R01"]), control_id]
    lines = [f.join([*head, "P", "2.5.1"])]
    kind = draw(st.sampled_from(["MR", "PI", "", "XX"]))
    identifier = component.join([told(1).replace(m[2], ""), "", "", told(1).replace(m[2], ""), kind])
    national = component.join([draw(st.sampled_from(["850314500108", "85031450010", ""])), "", "", "", draw(st.sampled_from(["NI", "XX"]))])
    identifiers = draw(st.sampled_from([identifier, m[2].join([identifier, national]), m[2].join([national, identifier])]))
    lines.append(segment("PID", {3: identifiers, 5: told(), 6: told(), 7: draw(times), 8: draw(st.sampled_from([*SEXES])), 24: "Y",
                                 25: draw(st.sampled_from(["", "2"]))}))  # fmt: skip
    iin = component.join([draw(st.sampled_from(["250314500108", ""])), "", "", "", "NI"])
    lines.append(segment("NK1", {2: told(), 3: "MTH", 33: iin}))
    for number in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            lines.append(segment("ORC", {21: draw(field(m, 10))}))
        placer, filler = (draw(st.just(f"{kind}{number}") | field(m, 2)) for kind in "PF")
        parent = component.join([draw(st.sampled_from(["", "P0", "P1"])), draw(st.sampled_from(["", "F0", "F1"]))])
        lines.append(segment("OBR", {2: placer, 3: filler, 7: draw(times), 22: draw(times), 25: draw(st.sampled_from(["F", "C", ""])), 29: parent}))
        for _ in range(draw(st.integers(0, 2))):
            lines.append(segment("OBX", {
                1: "9", 2: draw(st.sampled_from(["NM", "SN", "TX", "ST"])), 3: told(), 4: draw(st.sampled_from([*INSTANCES])),
                5: m[2].join(draw(st.lists(one_answer, min_size=1, max_size=2))),
                6: told(), 8: draw(st.sampled_from(["", "N", "H"])), 11: draw(st.sampled_from(["F", "P", "C", ""])), 14: draw(times),
            }))  # fmt: skip
    lines.append(segment("SPM", {2: told(2), 17: draw(times), 21: draw(st.sampled_from(["", "", "HE"]))}))
    return "\r".join(lines) + "\r", m


def said(parsed, segment, place, component=1):
    """A component of the first repetition as the library reads it, unescaped and trimmed; None where there is nothing."""
    return said_of(parsed, segment[place][0] if len(segment) > place and len(segment[place]) else "", component)


def said_of(parsed, one, component=1):
    """A component of one repetition."""
    if not isinstance(one, str):
        one = one[component - 1] if component <= len(one) else ""
        one = one if isinstance(one, str) else one[0]
    elif component > 1:
        return None
    return parsed.unescape(str(one)).strip() or None


def issue(time, sent_at=None):
    """A moment; of a day alone that at which it was sent on that day, else its beginning."""
    day, moment = time
    return moment or (sent_at if day and (sent_at or "").startswith(day) else day and f"{day}T00:00:00")


def expect(text):
    """What the rows of a message must say, read by the library."""
    parsed = reference.parse(text)
    head, child, mother = parsed.segment("MSH"), parsed.segment("PID"), parsed.segment("NK1")
    times = {None: (None, None), **{t: read_time(t) for t in TIMES}}
    sender = said(parsed, head, 4)
    sender = sender if sender and len(sender) <= 40 else said(parsed, head, 4, 2) or said(parsed, head, 3)
    identifiers = [[said_of(parsed, one, n) for n in (1, 4, 5)] for one in child[3]]
    ranked = sorted(identifiers, key=lambda one: ("MR", "PI", None).index(one[2]) if one[2] in ("MR", "PI") else 2)
    local = next(([*one] for one in ranked if one[0] and one[2] in ("MR", "PI", None)), [None] * 3)
    national = [digits for digits, _, kind in identifiers if digits and kind == "NI" and len(digits) == 12]
    facilities = [f for s in parsed if str(s[0]) == "ORC" and (f := said(parsed, s, 21, 10) or said(parsed, s, 21))]
    facility = facilities[-1] if facilities and len(facilities[-1]) <= 40 else None
    specimen = parsed.segment("SPM")
    collected_on, collected_at = times[said(parsed, specimen, 17)]
    who = {
        "sender_id": sender, "child_iin": national[-1] if national else None, "history_no": local[0],
        "facility_id": facility, "maternity_id": local[1] or facility or sender,
        "family_name": said(parsed, child, 5), "given_name": said(parsed, child, 5, 2), "birth_on": times[said(parsed, child, 7)][0],
        "sex_code": SEXES[said(parsed, child, 8) or ""],
        "birth_order": said(parsed, child, 25), "mother_family_name": said(parsed, mother, 2) or said(parsed, child, 6),
        "mother_given_name": said(parsed, mother, 2, 2), "mother_iin": said(parsed, mother, 33),
        "card_no": said(parsed, specimen, 2),
    }  # fmt: skip
    rows, claims, parents, orders = [], [], {}, 0
    sent_at = issue(times[said(parsed, head, 7)])
    source, order, order_status = said(parsed, head, 10), Order(None, None, None, sent_at), ""

    def add(component, sub_id, status, told, day=None, at=None):
        claims.append((source, component, INSTANCES[sub_id], orders, sub_id, status))
        on = day or order.on or collected_on
        moments = (m for m in (at, order.at, collected_at) if m and on and m.startswith(on))
        rows.append({
            **who, "source_id": source, "component": component, "status_code": status,
            **dict(zip(("result_code", "value", "comparator", "unit"), told, strict=True)), "examined_on": on,
            "examined_at": next(moments, None), "reported_on": order.reported_on,
            "issued_at": max(order.issued_at or "", sent_at or "") or None if status == "corrected" else order.issued_at,
        })  # fmt: skip

    for segment in parsed:
        if str(segment[0]) == "OBR":
            orders, placer, filler = orders + 1, said(parsed, segment, 2), said(parsed, segment, 3)
            source = filler or placer or source
            named = [n for n in (said(parsed, segment, 29, 2), said(parsed, segment, 29)) if n]
            parent = next((parents[n] for n in named if n in parents), Order(None, None, None, sent_at) if named else order)
            (day, at), (reported_on, issued) = times[said(parsed, segment, 7)], times[said(parsed, segment, 22)]
            issued = issue((reported_on, issued), sent_at)
            order = Order(day or parent.on, at if day else parent.at, reported_on, issued or parent.issued_at)
            parents |= {name: order for name in (placer, filler) if name}
            order_status = said(parsed, segment, 25)
        if str(segment[0]) != "OBX":
            continue
        code = said(parsed, segment, 3) or said(parsed, segment, 3, 4) or said(parsed, segment, 3, 2) or "?"
        status = {"F": "final", "P": "preliminary", "C": "corrected"}[said(parsed, segment, 11) or order_status or "F"]
        units = [next((u for n in (1, 2, 4) if (u := said_of(parsed, one, n))), None) for one in segment[6]]
        unit = ", ".join(dict.fromkeys(u for u in units if u)) or None
        all_told = {read_one(said_of(parsed, one), unit) for one in segment[5]}
        if len(all_told) > 1 and said(parsed, segment, 2) == "TX" and said(parsed, segment, 8) != "H":
            continue  # a text of several lines
        told = all_told.pop() if len(all_told) == 1 else (None,) * 4
        add(f"L:{code}", said(parsed, segment, 4) or "", status, told, *times[said(parsed, segment, 14)])
    if said(parsed, specimen, 21):
        for row in rows:
            row["result_code"] = "unsatisfactory" if row["value"] else row["result_code"]
        for component in ("phe", "tsh"):
            add(component, "", "final", ("unsatisfactory", None, None, None))
    for row, name in zip(rows, name_claims(claims), strict=True):
        row["source_id"] += f"#{name}" if name else ""
    return rows


def read_one(text, unit):
    """What a repetition of an OBX-5 says."""
    answer, (sign, value, _) = ANSWERS.get(text), clean_number(text, "^")
    return (answer, None, None, None) if answer else (None, value, sign, unit)


def name_claims(claims):
    """Which record each answer is: that of its sub-id, which versions under one sub-id share, else the next free number."""
    names, taken, repeats = {}, {claim[:3] for claim in claims}, []
    for key in dict.fromkeys(claim[:3] for claim in claims):
        places = sorted((n for n, claim in enumerate(claims) if claim[:3] == key), key=lambda n: (claims[n][4], n))
        said = [claims[n][3:] for n in places]
        is_shared = len({one[:2] for one in said}) == 1 and said[0][1] and len({one[2] for one in said}) == len(said)
        names |= dict.fromkeys(places if is_shared else places[:1], key[2])
        repeats += [(key[2], claims[n][4], n) for n in places if n not in names]
    for _, _, place in sorted(repeats):
        source, component = claims[place][:2]
        names[place] = next(name for name in map(str, range(2, 99)) if (source, component, name) not in taken)
        taken.add((source, component, names[place]))
    return [names[n] for n in range(len(claims))]


class Order(NamedTuple):
    """What an OBR tells of its results, and an order without a time of its own has of its parent."""

    on: str | None
    at: str | None
    reported_on: str | None
    issued_at: str | None


DRAWN = (
    "MSH|^~\\&|A|B^C|ERTE|MOH|20260105||ORU^R01|9|P|2.5.1\rPID|||7^^^X^MR||Ж^ә\rNK1||\rOBR||1|2\r"
    "OBX|9|NM|a\\T\\b^c|2|3.5|u|||||F\rSPM||4\r"
)
QUICK = (Phase.explicit, Phase.reuse, Phase.generate)  # shrinking these takes minutes


@settings(max_examples=40, deadline=None, phases=QUICK)
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
