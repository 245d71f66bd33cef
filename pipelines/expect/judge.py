"""Great Expectations judges batches: one profile row a submission goes in, the submissions to hold back come out.

Rows are judged by contract (intake.judge); the suites of `expectations/<record kind>.toml` judge profiles, never a row. A
TOML is Great Expectations' own vocabulary (type, kwargs, severity, meta, notes); severity `critical` holds the submission
until a person releases it, `warning` and `info` are shown in the Data Docs and hold nothing. An expectation about the whole
run (a table or an aggregate) cannot be critical: it would not say which submission is to blame.
"""

import gc
import logging
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from pipelines.expect.compare import KEPT_SCHEMA, History
from pipelines.expect.docs import Page, write_docs
from pipelines.expect.profile import CODE_SCHEMA, profile_batches
from pipelines.expect.put_off import put_off
from pipelines.expect.suite import FOLDER, Suite, read_suite

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuite, ExpectationSuiteValidationResult
    from great_expectations.core.batch_definition import BatchDefinition
    from great_expectations.data_context import EphemeralDataContext

_BROKEN = {"submission_id": pl.String, "code": pl.String, "severity": pl.String}
_ID = "submission_id"


class Held(NamedTuple):
    """`codes`: submission to hold -> codes of the critical expectations it breaks; `kept` and `code`: to remember of all."""

    codes: dict[str, str]
    kept: pl.DataFrame
    code: pl.DataFrame


def prepare() -> None:
    """Begin to import Great Expectations beside other work: it takes 3 s, and a night need not wait for them."""
    threading.Thread(target=_import_quietly, name="import great_expectations", daemon=True).start()


def hold_batches(
    fresh: Sequence[Mapping[str, Any]], folder: Path, docs: Path, history: History, released: set[str], on: date
) -> Held:
    """Submissions to hold back, each with the codes of the critical expectations it breaks.

    `fresh`: receipts of the run staged in `folder`; `released`: what a person let pass, judged again but not held. The
    Data Docs under `docs` get a page a kind. Raises ValueError for a broken suite and RuntimeError when an expectation
    cannot be computed: both are broken promises of ours.
    """
    suites = {path.stem: path for path in sorted(FOLDER.glob("*.toml"))}
    kinds = sorted({str(r["record_kind"]) for r in fresh if r["record_kind"] and not r["refusal_code"]})
    if not kinds:
        return Held({}, pl.DataFrame(schema=KEPT_SCHEMA), pl.DataFrame(schema=CODE_SCHEMA))
    read = [read_suite(suites[kind]) for kind in kinds]
    profiled = {suite.kind: profile_batches(fresh, folder, history, suite, on) for suite in read}
    broken = judge_profiles(read, {kind: p.profile for kind, p in profiled.items()}, docs, folder.name, on)
    held = broken.filter((pl.col("severity") == "critical") & ~pl.col(_ID).is_in(sorted(released)))
    reasons = held.group_by(_ID).agg(pl.col("code").unique().sort().str.join(" ")).sort(_ID)
    return Held(
        dict(reasons.iter_rows()),
        pl.concat(p.kept for p in profiled.values()),
        pl.concat(p.code for p in profiled.values()),
    )


def judge_profiles(
    suites: Sequence[Suite], profiles: Mapping[str, pl.DataFrame], docs: Path, run_id: str, on: date
) -> pl.DataFrame:
    """What the profiles break (submission_id, code, severity; null id = the whole run), and the Data Docs of it."""
    broken: list[tuple[str | None, str, str]] = []
    pages = []
    for suite in suites:
        batch = _define_batch(suite.kind).get_batch(batch_parameters={"dataframe": profiles[suite.kind].to_pandas()})
        asked, unmeasured = _part_measured(_load_suite(suite), profiles[suite.kind])
        result = batch.validate(
            asked,
            result_format={
                "result_format": "COMPLETE",
                "unexpected_index_column_names": [_ID],
                "return_unexpected_index_query": False,
            },
        )
        found = list(_list_broken(result, suite))
        pages.append(Page(suite.kind, result, len(profiles[suite.kind]), found, unmeasured))
        broken += found
    write_docs(docs, run_id, on, pages)
    return pl.DataFrame(broken, schema=_BROKEN, orient="row")


def _import_quietly() -> Any:
    """The library; at import it would tell of every method it documents.

    Half of the time would go into what two of its expectations are made of, which no suite need have. What it brought stays for good:
    the collector of garbage need not look through it, neither meanwhile nor again.
    """
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    is_first = "great_expectations.render.view" not in sys.modules
    if is_first:
        gc.disable()
    try:
        with put_off("altair", "scipy.stats"):
            import great_expectations as gx
            import great_expectations.render.renderer
            import great_expectations.render.view
    finally:
        if is_first:
            gc.freeze()
            gc.enable()
    return gx


@cache
def _define_batch(kind: str) -> "BatchDefinition[Any]":
    """Where the profiles of a kind are handed in; once a process, as each definition costs as much as judging."""
    return _open_context().data_sources.add_pandas(kind).add_dataframe_asset("profile").add_batch_definition_whole_dataframe("run")


@cache
def _open_context() -> "EphemeralDataContext":
    """A context that keeps nothing, sends nothing anywhere and draws no progress bar."""
    gx = _import_quietly()
    from great_expectations.data_context.types import base

    config = base.DataContextConfig(
        store_backend_defaults=base.InMemoryStoreBackendDefaults(),
        analytics_enabled=False,
        progress_bars=base.ProgressBarsConfig(globally=False),
        data_docs_sites={},
    )
    context: EphemeralDataContext = gx.get_context(mode="ephemeral", project_config=config)
    return context


def _load_suite(suite: Suite) -> "ExpectationSuite":
    from great_expectations.core import ExpectationSuite
    from great_expectations.expectations.expectation import ColumnMapExpectation

    loaded = ExpectationSuite(name=suite.kind, expectations=[dict(e) for e in suite.expectations])
    if len(loaded.expectations) != len(suite.expectations):
        raise ValueError(f"{suite.kind}: Great Expectations does not know an expectation and dropped it (see the log)")
    for expectation in loaded.expectations:
        if expectation.severity == "critical" and not isinstance(expectation, ColumnMapExpectation):
            raise ValueError(f"{suite.kind}: {expectation.meta}: of the whole run, it cannot hold a submission")
    return loaded


def _part_measured(suite: "ExpectationSuite", profile: pl.DataFrame) -> tuple["ExpectationSuite", list[str]]:
    """The expectations that have something to judge, and the codes of the others: a null breaks nothing.

    Where files are small or senders new, most measures are null for all, and judging them would take most of a night's check.
    """
    empty = {name for name in profile.columns if profile[name].null_count() == len(profile)}
    idle = [
        e for e in suite.expectations
        if e.expectation_type == "expect_column_values_to_be_between" and getattr(e, "column", None) in empty
    ]  # fmt: skip
    for expectation in idle:
        suite.expectations.remove(expectation)
    return suite, sorted({str((e.meta or {})["code"]) for e in idle})


def _list_broken(result: "ExpectationSuiteValidationResult", suite: Suite) -> Iterable[tuple[str | None, str, str]]:
    for found in result.results:
        config = found.expectation_config
        assert config is not None  # noqa: S101  # Great Expectations always says what it has judged
        code, severity = str(config.meta["code"]), str(config.severity.value)
        if found.exception_info.get("raised_exception", True):
            raise RuntimeError(f"{suite.kind}: {code} cannot be computed: is its column in the profile?")
        if not found.success:
            failed = found.result.get("unexpected_index_list", [{_ID: None}])
            yield from ((item[_ID], code, severity) for item in failed)
