"""Our own check of a Bundle we emit: what neither the R4 JSON schema nor typed models test (FHIR R4 4.0.1).

Required bindings, code systems and check digits, targets of references, invariants, real dates, empty elements: as codes,
never as values. The tables are in r4.toml. A feed that breaks one of them is never sealed.
"""

import re
import tomllib
from datetime import date, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from pipelines.referral.words import Resource, read_words

_FORMS = {
    "date": re.compile(r"\d{4}-\d{2}-\d{2}"),
    "instant": re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})"),
    "uuid": re.compile(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "code": re.compile(r"\S+( \S+)*"),
    "uri": re.compile(r"\S+"),
}
_LOINC = re.compile(r"(\d{1,7})-(\d)")
_VALUES = ("valueQuantity", "valueCodeableConcept", "valueString", "valueBoolean", "valueInteger")


class _Place:
    """What R4 asks of the element at one path; places inside it are made when they are first met."""

    def __init__(self, path: str) -> None:
        rules = _read_rules()
        self.path = path
        self.is_plain = path in rules["plain"]
        self.targets: list[str] | None = rules["targets"].get(path)
        self.is_quantity, self.is_telecom = path.endswith("Quantity"), path.endswith("telecom")
        self.is_coding = path.endswith("coding")
        self.is_of_system = path.endswith(("coding", "identifier"))
        self._inner: dict[str, _Place] = {}

    def find(self, name: str) -> "_Place":
        """The place of an element inside this one."""
        place = self._inner.get(name)
        if place is None:
            place = self._inner[name] = _Place(f"{self.path}.{name}")
        return place


@cache
def _read_rules() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("r4.toml").read_text(encoding="utf-8"))


def check_bundle(bundle: Resource) -> set[str]:
    """Codes of what is wrong with a transaction Bundle of ours; an empty set means it conforms.

    Codes: r4_element_empty, r4_element_missing, r4_code_unbound, r4_system_unknown, r4_code_unlisted, r4_code_checksum,
    r4_format, r4_target_wrong, r4_reference_unresolved, r4_resource_unknown, and invariants by their R4 names: r4_bdl_1,
    r4_bdl_3, r4_bdl_4, r4_bdl_5, r4_bdl_7, r4_bdl_8, r4_obs_6, r4_obs_7, r4_qty_3, r4_ppc_1, r4_cpt_2, r4_per_1.
    """
    entries = bundle.get("entry", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return {"r4_format"}
    wrong = _check_frame(bundle, entries)
    types = {entry.get("fullUrl"): _type_of(entry.get("resource")) for entry in entries}
    wrong |= _check_resource({k: v for k, v in bundle.items() if k != "entry"}, types)
    if "entry" in bundle and not entries:
        wrong.add("r4_element_empty")
    for entry in entries:
        wrong |= _check_elements("Bundle.entry", {k: v for k, v in entry.items() if k != "resource"}, types)
        if isinstance(entry.get("resource"), dict):
            wrong |= _check_resource(entry["resource"], types)
    return wrong


def _check_frame(bundle: Resource, entries: list[Resource]) -> set[str]:
    urls = [entry.get("fullUrl") for entry in entries]
    rules = {
        "r4_bdl_1": "total" in bundle,
        "r4_bdl_3": any(not isinstance(entry.get("request"), dict) for entry in entries),
        "r4_bdl_4": any("response" in entry for entry in entries),
        "r4_bdl_5": any("resource" not in entry for entry in entries),
        "r4_bdl_7": len(set(map(str, urls))) != len(urls) or None in urls,
        "r4_bdl_8": any("/_history/" in str(url) for url in urls),
    }
    wrong = {code for code, is_broken in rules.items() if is_broken}
    for entry in entries:
        request, resource = entry.get("request"), entry.get("resource")
        if isinstance(request, dict) and isinstance(resource, dict):
            if request.get("url") != resource.get("resourceType"):
                wrong.add("r4_target_wrong")
            if "method" not in request or "url" not in request:
                wrong.add("r4_element_missing")
    return wrong


def _check_resource(resource: Resource, types: dict[Any, str]) -> set[str]:
    kind, rules = _type_of(resource), _read_rules()
    if kind not in rules["required"]:
        return {"r4_resource_unknown"}
    wrong = {"r4_element_missing"} if any(name not in resource for name in rules["required"][kind]) else set()
    wrong |= _check_elements(kind, resource, types)
    if kind == "Observation":
        wrong |= _check_observation(resource)
    if kind == "Consent" and "policy" not in resource and "policyRule" not in resource:
        wrong.add("r4_ppc_1")
    return wrong


def _check_observation(seen: Resource) -> set[str]:
    is_valued = any(name in seen for name in _VALUES)
    parts = seen.get("component", [])
    wrong = {"r4_obs_6"} if is_valued and "dataAbsentReason" in seen else set()
    if is_valued and isinstance(parts, list) and any(isinstance(p, dict) and p.get("code") == seen.get("code") for p in parts):
        wrong.add("r4_obs_7")
    return wrong


def _check_elements(root: str, value: dict[str, Any], types: dict[Any, str]) -> set[str]:
    """Every object inside one, itself first."""
    wrong: set[str] = set()
    parts = [(_find_root(root), value)]
    while parts:
        place, element = parts.pop()
        if not element:
            wrong.add("r4_element_empty")
        for name, part in element.items():
            if isinstance(part, str):
                wrong |= _check_text(place.path, name, part, place.is_plain)
            elif isinstance(part, dict):
                parts.append((place.find(name), part))
            elif isinstance(part, list):
                if not part or any(item is None or item in ("", [], {}) for item in part):
                    wrong.add("r4_element_empty")
                parts += [(place.find(name), item) for item in part if isinstance(item, dict)]
            elif part is None:
                wrong.add("r4_element_empty")
        if "system" in element and not place.is_plain:
            wrong |= _check_coded(element)
        if place.targets is not None:
            wrong |= _check_reference(element, place.targets, types)
        wrong |= _check_datatype(place, element)
    return wrong


@cache
def _find_root(path: str) -> _Place:
    return _Place(path)


@lru_cache(maxsize=65_536)
def _check_text(path: str, name: str, text: str, is_plain: bool) -> frozenset[str]:
    """`path`: of the element whose part `name` the text is."""
    if not text.strip():
        return frozenset({"r4_element_empty"})
    rules = _read_rules()
    bound = rules["bindings"].get(f"{path}.{name}")
    if bound is not None and text not in bound:
        return frozenset({"r4_code_unbound"})
    form = rules["formats"].get(name) if not (is_plain and name == "system") else "code"
    if form is not None and not (_FORMS[form].fullmatch(text) and (form not in ("date", "instant") or _is_time(text))):
        return frozenset({"r4_format"})
    return frozenset()


def _check_coded(element: dict[str, Any]) -> set[str]:
    """A code or an identifier of a system: a system of the table, a code of its list, a check digit that fits."""
    system, code = element.get("system"), element.get("code")
    known = _read_rules()["systems"].get(system) if isinstance(system, str) else None
    if known is None:
        return {"r4_system_unknown"}
    if "code" not in element and "value" not in element:
        return {"r4_element_missing"}
    if known and code not in known:
        return {"r4_code_unlisted"}
    if system == "http://loinc.org" and not (is_loinc(str(code)) or _is_answer(str(code))):
        return {"r4_code_checksum"}
    return set()


def _check_reference(element: dict[str, Any], allowed: list[str], types: dict[Any, str]) -> set[str]:
    if "reference" not in element and "identifier" not in element:
        return {"r4_element_missing"}
    said = element.get("type")
    found = types.get(element["reference"]) if isinstance(element.get("reference"), str) else None
    if "reference" in element and found is None:
        return {"r4_reference_unresolved"}
    wrong = {kind for kind in (said, found) if kind is not None and allowed and kind not in allowed}
    return {"r4_target_wrong"} if wrong or (said and found and said != found) else set()


def _check_datatype(place: _Place, element: dict[str, Any]) -> set[str]:
    wrong = set()
    if place.is_quantity and "code" in element and "system" not in element:
        wrong.add("r4_qty_3")
    if place.is_telecom and "value" in element and "system" not in element:
        wrong.add("r4_cpt_2")
    if place.is_coding and "code" not in element:
        wrong.add("r4_element_missing")
    if place.is_of_system and "system" not in element:
        wrong.add("r4_system_unknown")
    if "start" in element and "end" in element and str(element["start"]) > str(element["end"]):
        wrong.add("r4_per_1")
    return wrong


def _type_of(resource: Any) -> str:
    return str(resource.get("resourceType", "")) if isinstance(resource, dict) else ""


def _is_time(text: str) -> bool:
    try:
        return bool(date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text))
    except ValueError:
        return False


@lru_cache(maxsize=4_096)
def is_loinc(code: str) -> bool:
    """True when a code has the form and the check digit (mod 10) of LOINC."""
    found = _LOINC.fullmatch(code)
    if found is None:
        return False
    doubled = "".join(str(int(d) * 2) if place % 2 == 0 else d for place, d in enumerate(reversed(found[1])))
    return (10 - sum(map(int, doubled)) % 10) % 10 == int(found[2])


@cache
def _is_answer(code: str) -> bool:
    return any(code == answer["code"] for answer in read_words()["answers"].values())
