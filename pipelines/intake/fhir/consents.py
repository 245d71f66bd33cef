"""Consents: what a representative decided for each purpose, and what is said of it that cannot be read with certainty.

R4: the base is `policyRule` and the root provision, the provisions within it are exceptions to it. A purpose is ours where its code is
of our system; each one named becomes a decision of its own, which carries the moment of its version of the consent (`document_at`),
so that what a later version no longer names is decided no more (night.documents). A version that names none of ours decides nothing
and cancels every purpose, whatever an earlier one said: silence is no consent; who sent one that is in force is told. What narrows a
denial (an actor, an action, a term ...) is not read, so that such a consent is refused whole rather than taken as given.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pipelines.contracts.codes import PURPOSES
from pipelines.intake.fhir.contained import Inside
from pipelines.intake.fhir.elements import Coding, Period
from pipelines.intake.fhir.people import Kin, describe_kin, list_codes, read_tables
from pipelines.intake.fhir.rows import Rows
from pipelines.intake.fhir.shape import Consent, Provision, RelatedPerson
from pipelines.intake.fhir.values import read_bound, read_moment

_LIMITS = ("actor", "action", "security_label", "class_", "code", "data", "data_period")
_NOBODY = Kin(None, None, None)


class Decision(NamedTuple):
    """A decision for one purpose, and when it is in force."""

    purpose: str
    decision: str | None
    period: Period | None


class Decided(NamedTuple):
    """All decisions of a consent; `problems`: (finding code, severity); `is_void`: it names no purpose of ours: all are cancelled."""

    decisions: list[Decision]
    problems: list[tuple[str, str]]
    is_void: bool = False


def take_consent(rows: Rows, number: int, place: int, consent: Consent) -> None:
    """The decisions of a representative; a draft is none."""
    if consent.status in rows.tables["consent"]["undecided"]:
        rows.counted["Consent (undecided)"] += 1
        return
    inside = rows.open_inside(consent.contained)
    facility = next((f for o in consent.organization if (f := rows.index.find_organization(o, inside))), None)
    person, refused = rows.find_person(consent.patient, inside)
    source = rows.name_source(consent.identifier, consent.id, None)
    if refused:
        rows.refuse(number, place, refused, source, rows.sender or facility, kind="consent")
        return
    said, action = rows.tables["consent_status"].get(consent.status or "", (consent.status, "report"))
    decided = decide_purposes(consent, said, is_closed=action == "cancel")
    action = "cancel" if decided.is_void else action
    rows.findings += [(number, "decision", code, severity) for code, severity in decided.problems]
    kin = next((k for p in consent.performer if (k := find_kin(rows, p.reference, inside))), _NOBODY)
    document = consent.source_reference.identifier if consent.source_reference else None
    day = read_moment(consent.date_time)[0] if consent.date_time else None
    updated = consent.meta.last_updated if consent.meta else None
    _, issued_at = rows.read_version(number, updated or consent.date_time or rows.issued, [consent.date_time] if action == "cancel" else [])
    if decided.is_void:  # what decides nothing has no day of a decision to be missed
        day = day or (issued_at[:10] if issued_at else None)
    for purpose, decision, period in decided.decisions:
        rows.other["consent"].append({
            "row_no": number, "place": place, "person": person, "sender_id": rows.sender or facility, "source_id": source,
            "action_code": action, "issued_at": issued_at, "purpose": purpose, "decision": decision, "decided_on": day,
            "valid_from": _read_start(period, day), "valid_until": read_bound(period.end, is_end=True) if period and period.end else None,
            "authority_code": kin.authority, "authority_document": document.value if document else None, "representative_iin": kin.iin,
            "representative_name": kin.name, "form_version": next((p.uri for p in consent.policy if p.uri), None),
            "document_at": issued_at,
        })  # fmt: skip
    rows.tell_malformed(number, inside)


def find_kin(rows: Rows, reference: str | None, inside: Inside) -> Kin | None:
    """The representative a reference names: of the file, or inside the consent."""
    own = inside.find(reference, RelatedPerson)
    return describe_kin(own) if own else rows.index.find(rows.index.kin, reference)


def decide_purposes(consent: Consent, said: str | None, *, is_closed: bool) -> Decided:
    """A decision for each purpose named; `said`: that of the status; `is_closed`: the consent is cancelled."""
    root = consent.provision or Provision()
    named, limited = _list_purposes(c for concept in consent.category for c in concept.coding), _list_purposes(root.purpose)
    inner = list(_walk(root.provision))
    every = dict.fromkeys([*named, *limited, *(p for rule in inner for p in _list_purposes(rule.purpose))])
    if not every:
        told = [] if is_closed or said == "withdrawn" else [("consent_without_purpose", "warning")]
        return Decided([Decision(p, said, None) for p in PURPOSES], told, is_void=True)
    if said != "given" or is_closed:  # for all it names anywhere
        return Decided([Decision(p, said, root.period) for p in every], [])
    opts_out = any(code in read_tables()["consent"]["refusing"] for code in list_codes(consent.policy_rule))
    base = "refused" if root.type == "deny" or opts_out else "given"
    problems = [("consent_purposes_disagree", "error")] if base == "given" and named and limited and set(named) != set(limited) else []
    if base == "given" and _is_limited(root):
        problems.append(("consent_limits_unread", "warning"))
    decisions = {p: Decision(p, base, root.period) for p in (*named, *limited)}
    return _add_exceptions(decisions, inner, root, problems)


def _add_exceptions(decisions: dict[str, Decision], inner: list[Provision], root: Provision, problems: list[tuple[str, str]]) -> Decided:
    """What the provisions within permit, then what they deny: a denial stands."""
    for rule in inner:
        if rule.type == "permit" and _is_plain(rule) and not (rule.period and root.period):
            decisions |= {p: Decision(p, "given", rule.period or root.period) for p in _list_purposes(rule.purpose)}
        elif rule.type == "permit":
            problems.append(("consent_permit_unread", "warning"))
    for rule in inner:
        if rule.type == "deny" and _is_plain(rule) and not rule.period:
            decisions |= {p: Decision(p, "refused", root.period) for p in _list_purposes(rule.purpose)}
        elif rule.type != "permit":
            problems.append(("consent_denial_unread", "error"))
    return Decided(list(decisions.values()), list(dict.fromkeys(problems)))


def _walk(provisions: Iterable[Provision]) -> Iterator[Provision]:
    for provision in provisions:
        yield provision
        yield from _walk(provision.provision)


def _is_plain(rule: Provision) -> bool:
    """True where a provision speaks of purposes of ours and of nothing else."""
    own = _list_purposes(rule.purpose)
    return bool(own) and len(own) == len(rule.purpose) and not rule.provision and not _is_limited(rule)


def _is_limited(rule: Provision) -> bool:
    """True where a provision holds only for some (an actor, an action, a kind of data ...), which is not read."""
    return any(bytes(getattr(rule, name)) not in (b"", b"[]", b"null") for name in _LIMITS)


def _list_purposes(codings: Iterable[Coding]) -> list[str]:
    """Purposes of our system, each once; a code of no system is one where it is in our list."""
    system = read_tables()["systems"]["purpose"]
    said = [(c.system, c.code.strip()) for c in codings if c.code and c.code.strip()]
    return list(dict.fromkeys(code for of, code in said if of == system or (of is None and code in PURPOSES)))


def _read_start(period: Period | None, day: str | None) -> str | None:
    """The first day a decision is in force, where that is after the day it was made."""
    start = read_bound(period.start, is_end=False) if period and period.start else None
    return start if start and start > (day or "") else None
