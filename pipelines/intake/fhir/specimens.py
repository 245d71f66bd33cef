"""What a Specimen says of the results that were found in it: that it is unusable, as SPM-21 does in HL7 v2, and when it was taken."""

from typing import NamedTuple

from pipelines.intake.fhir.context import UNSATISFACTORY
from pipelines.intake.fhir.people import list_codes, read_tables
from pipelines.intake.fhir.shape import Specimen


class Sample(NamedTuple):
    """When its server held it, whether it is unusable, when it was taken (as written); the greatest of several versions stands."""

    updated: str
    is_unusable: bool
    collected: str

    @property
    def is_silent(self) -> bool:
        """True where it says nothing that a result does not say itself."""
        return not (self.is_unusable or self.collected)


NO_SAMPLE = Sample("", is_unusable=False, collected="")


def describe_specimen(specimen: Specimen) -> Sample:
    """What a specimen says of its results."""
    taken = specimen.collection
    collected = taken and (taken.collected_date_time or (taken.collected_period and taken.collected_period.start))
    is_unusable = specimen.status in read_tables()["specimen"]["unusable"] or UNSATISFACTORY in _look_up(specimen)
    return Sample((specimen.meta and specimen.meta.last_updated) or "", is_unusable, collected or "")


def is_unlisted(specimen: Specimen) -> bool:
    """True where a condition of it is on no list, so that it decides nothing."""
    return None in _look_up(specimen)


def _look_up(specimen: Specimen) -> list[str | None]:
    """What each condition comes to; None for one that is not known."""
    tables = read_tables()
    quality: dict[str, str] = tables["quality"] | tables["specimen"]["conditions"]
    said = [[*list_codes(one), *(c.display for c in one.coding), one.text] for one in specimen.condition]
    return [next((known for text in texts if text and (known := quality.get(text.strip().casefold()))), None) for texts in said]
