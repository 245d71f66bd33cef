"""Words, systems and names of the feeds: what words.toml says, and what everything in a Bundle is called."""

import hashlib
import tomllib
import uuid
from functools import cache
from pathlib import Path
from typing import Any

Resource = dict[str, Any]

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:erte:feed")


@cache
def read_words() -> dict[str, Any]:
    """Names, codes and texts of the feeds (words.toml)."""
    return tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))


def describe_reason(flag: Resource) -> str:
    """Why a child is referred, in Russian: programme, disorder, rule, protocol and paragraph."""
    words = read_words()
    text: str = words["texts"]["reason"]
    return text.format(
        programme=words["programmes"][flag["programme"]]["ru"],
        disorder=words["names"].get(flag["disorder"], flag["disorder"]),
        rule=flag["rule_code"],
        protocol=flag["protocol"],
        paragraph=flag["paragraph"],
    )


def name_system(name: str) -> str:
    """The system of our own identifiers and codes."""
    return f"urn:erte:{name}"


def identify(system: str, value: str) -> Resource:
    """A FHIR Identifier of one of our systems."""
    return {"system": name_system(system), "value": value}


@cache
def code_of(system: str, code: str) -> Resource:
    """A FHIR CodeableConcept of one code; the same object each time, not to be changed."""
    return {"coding": [{"system": system, "code": code}]}


def name_url(ref: str, what: str) -> str:
    """urn:uuid of a name-based UUID (version 5, RFC 4122), written out because it is asked for ten times a child."""
    digits = hashlib.sha1(_NAMESPACE.bytes + f"{ref}|{what}".encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"urn:uuid:{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def name_child(child_key: int) -> str:
    """The child's name among us and the receivers: the same in every episode, with an IIN or before there is one."""
    return str(uuid.uuid5(_NAMESPACE, f"child|{child_key}"))
