"""Row judgement by contract: (accepted, findings), every reason kept, in one polars pass."""

from functools import cache
from typing import NamedTuple

import dataframely as dy
import polars as pl

from pipelines.contracts import NOTICES, PROBLEMS
from pipelines.contracts.plausible import is_mothers_iin
from pipelines.intake.cell import name_cell
from pipelines.intake.layout import Layout
from pipelines.intake.refusal import FINDING_SCHEMA, list_findings


class Judged(NamedTuple):
    """`accepted`: records of the contract; `refused`: row numbers of the refused rows; `finding`: all reasons.

    A row of the file is accepted or refused whole, also when it holds several records.
    """

    accepted: pl.DataFrame
    refused: pl.Series
    finding: pl.DataFrame


def judge_records(record: pl.DataFrame, noticed: pl.DataFrame, layout: Layout) -> Judged:
    """Judge conformed records (all contract columns) of a layout's kind; `noticed`: findings of reading and conforming."""
    good, failure = layout.contract.filter(record)
    details = failure.details() if len(good) < len(record) else None
    finding = pl.concat([noticed, *([] if details is None else [_list_reasons(details, layout)])])
    finding = _drop_echoes(pl.concat([finding, _list_notices(good, layout)]))
    refused = finding.filter((pl.col("severity") == "error") & pl.col("row_no").is_not_null())["row_no"].unique().sort()
    accepted = good.filter(~pl.col("row_no").is_in(refused.implode())) if len(refused) else good
    if layout.record == "birth":
        accepted = accepted.with_columns(pl.when(~is_mothers_iin()).then("child_iin").alias("child_iin"))
    return Judged(accepted, refused, finding)


def list_rivals(record: pl.DataFrame, rivals: pl.Series) -> pl.DataFrame:
    """A finding for each record that stands in a row of these numbers: another row tells it differently."""
    return record.filter(pl.col("row_no").is_in(rivals.implode())).select(
        "row_no", pl.lit("source_id").alias("column"), pl.lit("record_told_differently").alias("code"), pl.lit("error").alias("severity")
    )


@cache
def name_rule(rule: str, contract: type[dy.Schema]) -> tuple[str | None, str]:
    """(column, finding code) of a rule of a contract: `sex_code|check` -> (sex_code, sex_code_unknown)."""
    if "|" in rule:
        column, check = rule.split("|", 1)
        if check == "dtype":
            raise ValueError(f"{column} reached the judge with a wrong type")
        return column, f"{column}_{PROBLEMS[check]}"
    columns = [name for name in contract.column_names() if rule.startswith(name + "_")]
    return (max(columns, key=len) if columns else None), rule


def _list_reasons(details: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    contract = layout.contract
    rules = [c for c in details.columns if c not in contract.column_names()]
    reasons = []
    for rule in rules:
        failed = details.filter(pl.col(rule) == "invalid")
        if len(failed):
            column, code = name_rule(rule, contract)
            is_bare = code.endswith("_missing")  # a row without any result is told of no single cell
            told = pl.lit(column, pl.String) if is_bare else name_cell(column, layout)
            reasons.append(
                failed.select(
                    "row_no", told.alias("column"), pl.lit(code).alias("code"),
                    pl.lit("error").alias("severity"),
                )
            )  # fmt: skip
    return pl.concat(reasons) if reasons else list_findings([])


def _list_notices(good: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    notices = NOTICES.get(layout.record, {})
    counts = good.select(notice.applies.sum().alias(code) for code, notice in notices.items())
    found = [
        good.filter(notice.applies).filter(notice.exactly).select(
            "row_no", name_cell(notice.column, layout).alias("column"), pl.lit(code).alias("code"), pl.lit("warning").alias("severity")
        )
        for code, notice in notices.items()
        if counts[code].item()
    ]
    return pl.concat(found) if found else list_findings([])


def _drop_echoes(finding: pl.DataFrame) -> pl.DataFrame:
    """One reason once: the unreadable and the unknown are not also called missing; a broken line or message says only that."""
    if finding.is_empty():
        return finding.select(list(FINDING_SCHEMA))
    code = pl.col("code")
    broken = code.is_in(["row_width_differs", "quote_unclosed"]) | code.str.starts_with("message_")
    unread = finding.filter(code.str.ends_with("_unreadable") & (pl.col("severity") == "error"))
    bare, strange = finding.filter(code == "cell_without_value"), finding.filter(code == "component_unknown")
    echoes = pl.concat(
        [
            unread.select("row_no", code.str.replace("_unreadable$", "_missing").alias("code")),
            bare.select("row_no", (pl.col("column") + "_missing").alias("code")),
            *(strange.select("row_no", pl.lit(f"{name}_missing").alias("code")) for name in ("programme", "component")),
            pl.concat([bare, finding.filter(code.is_in(["value_unreadable", "result_absent"]) & (pl.col("severity") == "error"))])
            .select("row_no", pl.lit("result_missing").alias("code")),
        ]
    )
    spoiled = finding.filter(broken).select("row_no").drop_nulls().unique()
    return (
        pl.concat([finding.filter(broken), finding.filter(~broken).join(spoiled, on="row_no", how="anti")])
        .join(echoes, on=["row_no", "code"], how="anti")
        .unique(maintain_order=True)
        .select(list(FINDING_SCHEMA))
    )
