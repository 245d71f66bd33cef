"""The names under which resources are referred to, and what a literal reference points at."""

from collections.abc import Mapping
from typing import TypeVar

Found = TypeVar("Found")


class References:
    """Names are fullUrl and `Type/id`; of what stands under a full address it is remembered that it does."""

    def __init__(self) -> None:
        self._based: set[str] = set()

    def name_keys(self, url: str | None, kind: str, number: str | None) -> list[str]:
        """The names under which a resource is referred to."""
        keys = [f"{kind}/{number}"] if number else []
        if url:
            tail = "/".join(url.rsplit("/", 2)[-2:])
            if url.startswith("http"):
                self._based |= {*keys, tail}
            keys += [url, tail]
        return list(dict.fromkeys(keys))

    def find(self, held: Mapping[str, Found], reference: str | None) -> Found | None:
        """What a literal reference points at: as written, else by `Type/id`; never at another server's resource."""
        if not reference:
            return None
        text = strip_version(reference)
        if text in held:
            return held[text]
        tail = name_tail(text)
        if "://" in text and tail in self._based:
            return None
        return held.get(tail)


def strip_version(reference: str) -> str:
    """A literal reference without blanks around it, and without the version it names."""
    return reference.strip().split("/_history/", 1)[0]


def name_tail(reference: str) -> str:
    """`Type/id` of a literal reference."""
    return "/".join(strip_version(reference).rsplit("/", 2)[-2:])
