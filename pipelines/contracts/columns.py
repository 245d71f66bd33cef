"""How a column is declared: its type, its degree of identity (identified, clinical, published) and its meaning."""

from typing import Any

import dataframely as dy

ICD10 = r"[A-Z][0-9]{2}(\.[0-9]{1,2})?"
KATO4, KATO9, KATO2 = r"^[0-9]{4}$", r"^[0-9]{9}$", r"^[0-9]{2}$"


def column(kind: type[dy.Column], degree: str, description: str, **options: Any) -> Any:
    """A column with its degree of identity and its meaning; nullable unless said otherwise."""
    options.setdefault("nullable", True)
    return kind(metadata={"degree": degree}, description=description, **options)


def identified(description: str, kind: type[dy.Column] = dy.String, **options: Any) -> Any:
    """A column that says who the child is."""
    return column(kind, "identified", description, **options)


def clinical(description: str, kind: type[dy.Column] = dy.String, **options: Any) -> Any:
    """A column that says what was found."""
    return column(kind, "clinical", description, **options)


def coded(description: str, codes: tuple[str, ...], **options: Any) -> Any:
    """A clinical column of a closed list of codes."""
    declared = clinical(description, check=lambda c: c.is_in(codes), **options)
    declared.metadata["codes"] = codes
    return declared


def published(
    description: str,
    kind: type[dy.Column] = dy.String,
    *,
    codes: tuple[str, ...] = (),
    references: str | None = None,
    **options: Any,
) -> Any:
    """A column of the published warehouse; `codes`: its closed list; `references`: "table (column)" it points at."""
    if codes:
        options["check"] = lambda c: c.is_in(codes)
    declared = column(
        kind, "published", description, **({"nullable": False} if options.get("primary_key") else {}), **options
    )
    declared.metadata.update(codes=codes, references=references)
    return declared


def count(description: str) -> Any:
    """A published count, never below 0."""
    return published(description, dy.Int64, nullable=False, min=0)
