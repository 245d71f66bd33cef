"""What the ministry's registers look like (`REFERENCE`)."""

from collections.abc import Mapping

import dataframely as dy

from pipelines.contracts.codes import SEXES
from pipelines.contracts.columns import KATO2, KATO4, clinical, coded


class Region(dy.Schema):
    """The 20 regions: KATO prefix = ISO 3166-2 number (reference/regions.csv)."""

    kato2 = clinical("first two digits of KATO", primary_key=True, nullable=False, regex=KATO2)
    iso = clinical("ISO 3166-2 code", nullable=False)
    name_kk = clinical("name in Kazakh", nullable=False)
    name_ru = clinical("name in Russian", nullable=False)
    name_en = clinical("name in English", nullable=False)


class Facility(dy.Schema):
    """An organisation that sends: maternity, primary care, laboratory, surdology."""

    facility_id = clinical("register id", primary_key=True, nullable=False, max_length=40)
    facility_name = clinical("name", nullable=False)
    facility_kind = coded("maternity, phc, laboratory, surdology, register", ("maternity", "phc", "laboratory",
                          "surdology", "register", "pmpc"), nullable=False)  # fmt: skip
    kato4 = clinical("district, first four digits of KATO", nullable=False, regex=KATO4)


class Pmpc(dy.Schema):
    """A psychological-medical-pedagogical consultation: a receiver of feeds."""

    pmpc_id = clinical("register id", primary_key=True, nullable=False, max_length=40)
    pmpc_name = clinical("name", nullable=False)
    kato4 = clinical("district where it sits", nullable=False, regex=KATO4)


class Catchment(dy.Schema):
    """Which PMPC a district belongs to, from a day on (decision 13)."""

    kato4 = clinical("district, first four digits of KATO", primary_key=True, nullable=False, regex=KATO4)
    pmpc_id = clinical("the PMPC of that district", nullable=False)
    valid_from = clinical("first day", dy.Date, primary_key=True, nullable=False)
    valid_to = clinical("last day, null = still", dy.Date)


class Population(dy.Schema):
    """Children by region, year, sex and age band: denominators, with their source (decision 14)."""

    kato2 = clinical("region", primary_key=True, nullable=False, regex=KATO2)
    year = clinical("1 January of this year; of births: this year", dy.Int64, primary_key=True, nullable=False)
    sex_code = coded("male or female", SEXES, primary_key=True, nullable=False)
    age_band = coded(
        "0, 1, 2 or 0-17; births = live births (the Bureau's, never registrations)",
        ("0", "1", "2", "0-17", "births"),
        primary_key=True,
        nullable=False,
    )
    child_count = clinical("children", dy.Int64, nullable=False, min=0)
    source = clinical("where the figure comes from", nullable=False)


REFERENCE: Mapping[str, type[dy.Schema]] = {
    "facility": Facility,
    "pmpc": Pmpc,
    "catchment": Catchment,
    "population": Population,
}
