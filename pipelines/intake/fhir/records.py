"""PMPC reports and births out of Task and Patient."""

import re

from pipelines.intake.fhir.contained import Inside
from pipelines.intake.fhir.people import choose_present, list_codes, read_condition, read_person
from pipelines.intake.fhir.rows import Rows
from pipelines.intake.fhir.shape import Patient, Task
from pipelines.intake.fhir.values import read_moment

_REFERRAL = re.compile(r"R[0-9a-f]{24}$")


def take_task(rows: Rows, number: int, place: int, task: Task) -> None:
    """What a PMPC reports of a referral of ours; any other task is none of our business.

    A conclusion that its task tells anew, on another day, and all of a task that was entered in error, are over (night.documents).
    """
    systems = rows.tables["systems"]
    places = [read_condition(r) for r in (task.focus, *task.based_on) if r]
    named = [i for i in (*(r.identifier for r in places), *task.identifier) if i and i.value]
    referral = next((i.value for i in named if i.system == systems["referral"]), None)
    referral = referral or next((i.value for i in named if _REFERRAL.match(i.value or "")), None)
    pointed = (rows.index.find(rows.index.referrals, r.reference) for r in places)
    referral = referral or next((found for found in pointed if found), None)
    codes = [c for c in (task.business_status.coding if task.business_status else []) if c.code]
    status = next((c.code for c in codes if c.system == systems["business_status"]), codes[0].code if codes else None)
    if referral is None and not any(c.system == systems["business_status"] for c in codes):
        rows.counted["Task (other)"] += 1
        return
    if task.status in rows.tables["task"]["contradicts"].get((status or "").strip(), ()):
        rows.findings.append((number, "report_status", "report_status_contradictory", "error"))
    ended = task.execution_period.end if task.execution_period else None
    day, _ = read_moment(ended or task.last_modified or task.authored_on or "")
    updated = task.meta.last_updated if task.meta else None
    is_ended = task.status in rows.tables["task"]["ended"]
    _, issued_at = rows.read_version(number, task.last_modified or updated or rows.issued, [updated] if is_ended else [])
    given = [c for output in task.output for c in output.list_codings()]
    severe = [o.value_boolean for o in task.output if o.value_boolean is not None and "is_severe" in list_codes(o.type)]
    read = [o for o in task.output if any(c.system in (systems["category"], systems["icd10"]) for c in o.list_codings())]
    if len(read) + len(severe) < len(task.output):
        rows.findings.append((number, "output", "output_unread", "warning"))
    rows.other["pmpc_report"].append({
        "row_no": number, "place": place, "sender_id": rows.index.find_organization(task.owner) or rows.sender,
        "source_id": rows.name_source(task.identifier, task.id, None),
        "action_code": "cancel" if task.status == "entered-in-error" else "report", "issued_at": issued_at,
        "referral_id": referral, "report_status": (status or "").strip() or None, "reported_on": day or None,
        "category_codes": " ".join(c.code or "" for c in given if c.system == systems["category"]) or None,
        "icd10_codes": " ".join(c.code or "" for c in given if c.system == systems["icd10"]) or None,
        "is_severe": str(severe[0]).lower() if severe else None, "document_at": issued_at,
    })  # fmt: skip

def take_patient(rows: Rows, number: int, place: int, patient: Patient, url: str | None) -> None:
    """A birth where the maternity organisation that keeps the patient declares one: day, number of the history, order."""
    is_ordered = patient.multiple_birth_integer is not None or patient.multiple_birth_boolean is not None
    maternity = (
        rows.index.find_organization(patient.managing_organization, Inside(patient.contained)) if is_ordered and patient.birth_date else None
    )
    person = read_person(patient) if maternity else ()
    if not (person and person[7]):
        rows.counted["Patient"] += 1
        return
    known = next((p for key in rows.index.name_keys(url, "Patient", patient.id)
                  if (p := rows.index.place.get(key)) is not None), None)  # fmt: skip
    if known == -1 or known is None:
        rows.refuse(number, place, "message_patient_repeated" if known == -1 else "message_not_resource", patient.id, kind="birth")
        return
    told = rows.list_told(None, known, None)
    systems = rows.tables["systems"]
    born = patient.birth_date_more.extension if patient.birth_date_more else []
    _, birth_at = read_moment(next((e.value_date_time for e in born if e.url == systems["birth_time"] and e.value_date_time), ""))
    address = choose_present(patient.address)
    if patient.deceased_boolean and not patient.deceased_date_time:
        rows.findings.append((number, "died_on", "died_on_unreadable", "warning"))
    extended = [*patient.extension, *(address.extension if address else [])]
    lines = [*address.line, address.city, address.district, address.state] if address else []
    _, issued_at = rows.read_issued(number, (patient.meta and patient.meta.last_updated) or rows.issued)
    rows.other["birth"].append({
        "row_no": number, "place": place, "person": known, "sender_id": rows.sender or maternity,
        "source_id": rows.name_source([], patient.id, person[7]), "action_code": "report", "issued_at": issued_at,
        "birth_at": birth_at, "plurality": "1" if patient.multiple_birth_boolean is False else told.get("plurality") or None,
        "birth_weight_g": told.get("birth_weight_g") or None, "gestation_wk": told.get("gestation_wk") or None,
        "residence_kato": next((e.value_string or e.value_code for e in extended if e.url == systems["kato"]), None),
        "phc_id": next((f for g in patient.general_practitioner if (f := rows.index.find_organization(g))), None),
        "address": (address.text or ", ".join(part for part in lines if part)) if address else None,
        "phone": next((t.value for t in patient.telecom if t.system == "phone" and t.value), None),
        "died_on": read_moment(patient.deceased_date_time)[0] if patient.deceased_date_time else None,
    })  # fmt: skip
