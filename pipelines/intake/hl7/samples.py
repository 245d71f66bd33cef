"""What a message tells of a sample (its quality, card, reason, time), and the results that each of it is told of.

A child's results are of one sample, but where a message tells several apart: by groups of OBX-4 in which one code has several answers,
or by specimens (SPM) that orders have of their own. What is told of one sample is told of its results alone; a result that is not
said to be of any may be of each: a bad quality spoils it, and what they contradict each other in is not known of it.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pipelines.intake.hl7.context import UNSATISFACTORY
from pipelines.intake.hl7.groups import Claim, Place, find_parallel

QUALITY, CARD, STAGE, GESTATION, TRANSFUSED = "quality", "card_no", "stage_code", "gestation_wk", "is_transfused"
_OF_CHILD = (GESTATION, TRANSFUSED)
SPECIMEN, SPECIMEN_CARD, COLLECTED_ON, COLLECTED_AT = "specimen", "specimen_card", "collected_on", "collected_at"
_ANY, _COMMON = -1, -2  # of whichever order or group; of none of its own
Key = tuple[int, Place | int]
"""Of which sample a result is: an order that has a specimen of its own, and a group that is a sample; _ANY where that is not said."""
UNSAID: Key = (_ANY, _ANY)


class Remark(NamedTuple):
    """What a segment tells of a sample: in which column it is kept, in which order and by which sub-id, and where it stands."""

    column: str
    text: str
    number: int
    sent: str
    claim: Claim


class Sample(NamedTuple):
    """What is told of a sample by column, by what its results are spoiled, and (number, column) of what contradicts itself."""

    told: dict[str, str | None]
    spoiled_by: Remark | None
    contradictions: list[tuple[int, str]]


class Samples:
    """The samples of a child; `claims`: its rows, `remarks`: what is told of them, each looked at once."""

    def __init__(self, claims: Sequence[Claim], remarks: Sequence[Remark]) -> None:
        self.parallel, remarks = find_parallel(claims), _drop_corrected(remarks)
        specimens = [one for one in remarks if one.column == SPECIMEN]
        self.orders = {one.claim.order_no for one in specimens} if len({one.text for one in specimens}) > 1 else set()
        self.groups: dict[tuple[str, int], set[str]] = {}
        for one in remarks:
            self.groups.setdefault((one.column, one.claim.order_no), set()).add(one.claim.sub_id.group)
        self.said: dict[tuple[str, int, Place | int], dict[str, Remark]] = {}
        for one in remarks:
            for order in (self._find_order(one), _ANY):
                for group in (self._find_group(one), _ANY):
                    self.said.setdefault((one.column, order, group), {}).setdefault(one.text, one)

    def find_key(self, claim: Claim) -> Key:
        """Of which sample a row is."""
        place = claim.order_no, claim.sub_id.group
        return (claim.order_no if claim.order_no in self.orders else _ANY), (place if place in self.parallel else _ANY)

    def describe(self, key: Key) -> Sample:
        """All that is told of a sample."""
        told: dict[str, str | None] = {}
        contradictions = []
        for column in (CARD, STAGE, GESTATION):
            said = self._list_said(column, key)
            told |= {column: next(iter(said))} if len(said) == 1 else {column: None} if said else {}
            contradictions += [(max(one.number for one in said.values()), column)] if len(said) > 1 else []
        for column in (SPECIMEN_CARD, COLLECTED_ON, COLLECTED_AT):
            said = self._list_said(column, key)
            told |= {column: next(iter(said))} if said and (len(said) == 1 or not self.orders) else {}
        told.setdefault(CARD, told.pop(SPECIMEN_CARD, None))
        told |= {TRANSFUSED: "true"} if "true" in self._list_said(TRANSFUSED, key, is_all=True) else {}
        spoiled_by = self._list_said(QUALITY, key, is_all=True).get(UNSATISFACTORY)
        return Sample(told, spoiled_by, contradictions)

    def describe_spoiled(self, told: Mapping[Key, Sample]) -> Sample | None:
        """The sample that is unusable; where several are, what is told of each of them."""
        spoiled = [key for key, one in told.items() if one.spoiled_by]
        return None if not spoiled else told[spoiled[0]] if len(spoiled) == 1 else self.describe(UNSAID)

    def _list_said(self, column: str, key: Key, is_all: bool = False) -> dict[str, Remark]:
        """Each text that is told of a sample, with the first remark that tells it: its group's own if there are any, or all."""
        orders = [key[0]] if key[0] == _ANY else [key[0], _COMMON]
        found: dict[str, Remark] = {}
        for group in [key[1]] if key[1] == _ANY else [key[1], _COMMON]:
            for order in orders:
                found = self.said.get((column, order, group), {}) | found
            if found and not is_all:
                break
        return found

    def _find_order(self, one: Remark) -> int:
        order = one.claim.order_no
        return order if order in self.orders and one.column not in _OF_CHILD else _COMMON

    def _find_group(self, one: Remark) -> Place | int:
        """The group whose results alone it is told of. A plain sub-id may only count: it is a group where one thing is told under several."""
        place = one.claim.order_no, one.claim.sub_id.group
        is_own = one.claim.sub_id.is_group or len(self.groups[one.column, one.claim.order_no]) > 1
        return place if place in self.parallel and is_own and one.column not in _OF_CHILD else _COMMON


def _drop_corrected(remarks: Sequence[Remark]) -> list[Remark]:
    """What is told, without what is corrected under the same sub-id, and without corrections that say nothing."""
    names = [(one.column, one.claim.order_no, one.claim.sub_id.said) for one in remarks]
    corrected = {name for one, name in zip(remarks, names, strict=True) if one.claim.status == "corrected"}
    return [
        one for one, name in zip(remarks, names, strict=True)
        if one.text and (one.claim.status == "corrected" or name not in corrected)
    ]  # fmt: skip
