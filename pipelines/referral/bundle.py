"""FHIR R4 resources of one referral or recall, as plain dicts for a transaction Bundle.

Every fullUrl is a name-based UUID of the referral and the kind of resource, and every entry is created only where
the receiver does not hold its identifier yet: sending a Bundle again changes nothing. Business status codes: BSeR.
"""

import json
import re
from functools import cache
from typing import NamedTuple

from pipelines.referral.conformance import is_loinc
from pipelines.referral.words import (
    Resource,
    code_of,
    describe_reason,
    identify,
    name_child,
    name_system,
    name_url,
    read_words,
)

_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
_UCUM = re.compile(r"[!-~]+")
_UNITY = "1"


class Party(NamedTuple):
    """The receiver of a feed and the night it is composed on (ISO date)."""

    pmpc_id: str
    pmpc_name: str
    composed_on: str


def write_referral(item: Resource, person: Resource, flags: list[Resource], party: Party) -> list[Resource]:
    """Entries of one referral: Patient, Consent, Observations, ServiceRequest, Task, Provenance."""
    ref = item["referral_id"]
    patient = {"reference": name_url(ref, "Patient")}
    results = _collect_results(ref, flags, patient)
    consent_url, request_url = name_url(ref, "Consent"), name_url(ref, "ServiceRequest")
    receiver = _point_to_pmpc(party)
    request = {
        "resourceType": "ServiceRequest",
        "identifier": [identify("referral", ref)],
        "status": "active",
        "intent": "order",
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "3457005", "display": "Patient referral"}]},
        "subject": patient,
        "authoredOn": party.composed_on,
        "requester": _point_to_us(),
        "performer": [receiver],
        "reasonCode": [
            {
                "coding": [{"system": name_system("rule"), "code": flag["rule_code"]}],
                "text": describe_reason(flag),
            }
            for flag in flags
        ],
        "supportingInfo": [{"reference": consent_url}],
    }
    if results:
        request["reasonReference"] = [{"reference": url} for url, _ in results]
    entries = [
        _create(
            patient["reference"], _write_patient(item["child_key"], person), "child", name_child(item["child_key"])
        ),
        _create(consent_url, _write_consent(item, patient, receiver), "consent", str(item["consent_key"])),
    ]
    entries += [_create(url, resource, "observation", url.removeprefix("urn:uuid:")) for url, resource in results]
    entries.append(_create(request_url, request, "referral", ref))
    entries.append(
        _create(
            name_url(ref, "Task"),
            _write_task(ref, "referral", {"reference": request_url}, patient, party),
            "task",
            ref,
        )
    )
    provenance: Resource = {
        "resourceType": "Provenance",
        "target": [{"reference": request_url}],
        "recorded": _to_instant(party.composed_on),
        "policy": sorted({name_system("protocol:") + flag["protocol"] for flag in flags}),
        "agent": [{"type": code_of(f"{_TERMINOLOGY}/provenance-participant-type", "author"), "who": _point_to_us()}],
    }
    if results:
        provenance["entity"] = [{"role": "source", "what": {"reference": url}} for url, _ in results]
    entries.append(_create(name_url(ref, "Provenance"), provenance))
    return entries


def write_recall(item: Resource, reason: str | None, party: Party) -> list[Resource]:
    """The one entry of a recall: a Task that asks to stop. It names no child: the consent may be gone."""
    ref = item["referral_id"]
    focus = {"type": "ServiceRequest", "identifier": identify("referral", ref)}
    task = _write_task(ref, "recall", focus, None, party)
    if reason is not None:
        told = read_words()["recall"][reason]
        task["statusReason"] = {"coding": [{"system": name_system("recall"), "code": told["code"]}], "text": told["ru"]}
    return [_create(name_url(ref, "recall"), task, "task", f"{ref}-recall")]


def frame_bundle(party: Party, feed_no: int, previous_hash: str, entries: list[Resource]) -> Resource:
    """The transaction Bundle of a feed; without `entry` when there is nothing, as FHIR knows no empty array.

    The hash of the feed before is a tag, so that the hash of this content covers the whole chain.
    """
    bundle: Resource = {
        "resourceType": "Bundle",
        "meta": {
            "security": [{"system": f"{_TERMINOLOGY}/v3-Confidentiality", "code": "R"}],
            "tag": [{"system": name_system("previous-feed"), "code": previous_hash}],
        },
        "identifier": identify("feed", f"{party.pmpc_id}/{feed_no}"),
        "type": "transaction",
        "timestamp": _to_instant(party.composed_on),
    }
    if entries:
        bundle["entry"] = entries
    return bundle


def _write_patient(child_key: int, person: Resource) -> Resource:
    identifier = [{"use": "secondary", **identify("child", name_child(child_key))}]
    if person["child_iin"] is not None:
        national = {"use": "official", "type": code_of(f"{_TERMINOLOGY}/v2-0203", "NI")}
        identifier.insert(0, {**national, **identify("iin", person["child_iin"])})
    name: Resource = {"use": "official" if person["is_named"] else "temp", "text": person["full_name"]}
    if person["family_name"] is not None:
        name["family"] = person["family_name"]
    if person["is_named"]:
        name["given"] = [person["given_name"]]
    patient: Resource = {
        "resourceType": "Patient",
        "identifier": identifier,
        "name": [name],
        "gender": person["sex_code"],
        "birthDate": person["birth_on"].isoformat(),
    }
    if person["phone"] is not None:
        patient["telecom"] = [{"system": "phone", "value": person["phone"]}]
    if person["address"] is not None:
        patient["address"] = [{"use": "home", "text": person["address"], "country": "KZ"}]
    return patient


def _write_consent(item: Resource, patient: Resource, receiver: Resource) -> Resource:
    """A reference to the consent record only: nothing about who signed it."""
    return {
        "resourceType": "Consent",
        "identifier": [identify("consent", str(item["consent_key"]))],
        "status": "active",
        "scope": code_of(f"{_TERMINOLOGY}/consentscope", "patient-privacy"),
        "category": [code_of(f"{_TERMINOLOGY}/v3-ActCode", "IDSCL")],
        "patient": patient,
        "policyRule": code_of(f"{_TERMINOLOGY}/v3-ActCode", "OPTIN"),
        "provision": {
            "type": "permit",
            "actor": [{"role": code_of(f"{_TERMINOLOGY}/v3-ParticipationType", "IRCP"), "reference": receiver}],
        },
    }


def _write_task(ref: str, kind: str, focus: Resource, patient: Resource | None, party: Party) -> Resource:
    status = read_words()["business_status"][kind]
    task: Resource = {
        "resourceType": "Task",
        "identifier": [identify("task", ref if kind == "referral" else f"{ref}-recall")],
        "status": "requested",
        "businessStatus": {
            "coding": [{"system": "http://hl7.org/fhir/us/bser/CodeSystem/TaskBusinessStatusCS", **status}]
        },
        "intent": "order",
        "code": code_of("http://hl7.org/fhir/CodeSystem/task-code", "fulfill" if kind == "referral" else "abort"),
        "focus": focus,
        "authoredOn": party.composed_on,
        "requester": _point_to_us(),
        "owner": _point_to_pmpc(party),
    }
    if patient is not None:
        task["for"] = patient
    return task


def _collect_results(ref: str, flags: list[Resource], patient: Resource) -> list[tuple[str, Resource]]:
    """(fullUrl, Observation) of every result behind the flags; one that two flags share is written once."""
    results: dict[str, tuple[str, Resource]] = {}
    for flag in flags:
        for result in json.loads(flag["inputs"]):
            content = json.dumps([flag["programme"], result], sort_keys=True, ensure_ascii=False)
            if content not in results:
                url = name_url(ref, content)
                results[content] = url, _write_observation(url, flag["programme"], result, patient)
    return [results[content] for content in sorted(results)]


def _write_observation(url: str, programme: str, result: Resource, patient: Resource) -> Resource:
    words = read_words()
    component, unit, answer = result["component"], result["unit"], result["result_code"]
    coding = [{"system": name_system("component"), "code": " ".join(component.split())}]
    loinc = words["loinc"].get(component)
    if is_loinc(component):
        coding = [{"system": "http://loinc.org", "code": component}]
    elif loinc and loinc.get("unit") in (None, unit):
        coding.insert(0, {"system": "http://loinc.org", "code": loinc["code"], "display": loinc["display"]})
    observation: Resource = {
        "resourceType": "Observation",
        "identifier": [identify("observation", url.removeprefix("urn:uuid:"))],
        "status": "final",
        "category": [code_of(f"{_TERMINOLOGY}/observation-category", words["programmes"][programme]["category"])],
        "code": {"coding": coding, "text": words["names"].get(component, component)},
        "subject": patient,
        "effectiveDateTime": result["examined_on"],
    }
    coded = _code_answer(answer) if answer is not None else None
    if result["value"] is not None:
        comparator = result.get("comparator")
        quantity: Resource = {**({"comparator": comparator} if comparator else {}), "value": result["value"], "unit": unit or _UNITY}
        if _UCUM.fullmatch(quantity["unit"]):  # a unit that is kept as it was sent may be none
            quantity |= {"code": quantity["unit"], "system": "http://unitsofmeasure.org"}
        observation["valueQuantity"] = quantity
        if coded is not None:
            observation["interpretation"] = [coded]
    elif coded is not None:
        observation["valueCodeableConcept"] = coded
    else:
        observation["dataAbsentReason"] = code_of(f"{_TERMINOLOGY}/data-absent-reason", "unknown")
    return observation


@cache
def _code_answer(answer: str) -> Resource:
    coding = [{"system": name_system("result"), "code": answer}]
    loinc = read_words()["answers"].get(answer)
    if loinc is not None:
        coding.insert(0, {"system": "http://loinc.org", **loinc})
    return {"coding": coding}


def _create(url: str, resource: Resource, system: str | None = None, value: str | None = None) -> Resource:
    request = {"method": "POST", "url": resource["resourceType"]}
    if system is not None:
        request["ifNoneExist"] = f"identifier={name_system(system)}|{value}"
    return {"fullUrl": url, "resource": resource, "request": request}


def _point_to_pmpc(party: Party) -> Resource:
    return {"type": "Organization", "identifier": identify("pmpc", party.pmpc_id), "display": party.pmpc_name}


def _point_to_us() -> Resource:
    return {"type": "Organization", "identifier": identify("sender", "erte")}


def _to_instant(composed_on: str) -> str:
    """Midnight of the night, +05:00: Kazakhstan has one time zone since 1 March 2024."""
    return f"{composed_on}T00:00:00+05:00"
