"""Great Expectations judges batches: one profile row a submission goes in, the submissions to hold back come out.

Rows are judged by contract (intake.judge); here polars makes a profile of every submission, and the suites of
`expectations/<record kind>.toml` judge the profiles: about forty numbers a submission, never a row. A TOML is Great
Expectations' own vocabulary (type, kwargs, severity, meta, notes); severity `critical` holds the submission until a
person releases it, `warning` and `info` are shown in the Data Docs and hold nothing. An expectation about the whole
run (a table or an aggregate) cannot be critical: it would not say which submission is to blame.
"""

import logging
import shutil
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from pipelines.contracts import RECORDS

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuite, ExpectationSuiteValidationResult
    from great_expectations.data_context import EphemeralDataContext

FOLDER = Path(__file__).parents[1] / "expectations"
DAYS_KEPT = 14
"""Results older than this leave the Data Docs: the index reads every one of them at every build."""
_BROKEN = {"submission_id": pl.String, "code": pl.String, "severity": pl.String}
_ID = "submission_id"


class Suite(NamedTuple):
    """A TOML of expectations: how a profile of its kind is made, and what is expected of it."""

    kind: str
    event_on: str
    completeness: tuple[str, ...]
    repeated: str | None
    repeated_within: tuple[str, ...]
    repeated_least: int
    expectations: tuple[dict[str, Any], ...]


def hold_batches(
    fresh: Sequence[Mapping[str, Any]], folder: Path, docs: Path, history: pl.DataFrame, released: set[str], on: date
) -> dict[str, str]:
    """Submissions to hold back, each with the codes of the critical expectations it breaks.

    `fresh`: receipts of the run staged in `folder`; `history`: sender_id, record_kind, received_count of what was
    accepted in the last four weeks; `released`: what a person let pass, judged again but not held. The Data Docs under
    `docs` get a page a kind. Raises ValueError for a broken suite and RuntimeError when an expectation cannot be
    computed: both are broken promises of ours.
    """
    suites = {path.stem: path for path in sorted(FOLDER.glob("*.toml"))}
    kinds = sorted({str(r["record_kind"]) for r in fresh if r["record_kind"] and not r["refusal_code"]})
    if not kinds:
        return {}
    read = [read_suite(suites[kind]) for kind in kinds]
    profiles = {suite.kind: profile_batches(fresh, folder, history, suite) for suite in read}
    broken = judge_profiles(read, profiles, docs, folder.name, on)
    held = broken.filter((pl.col("severity") == "critical") & ~pl.col(_ID).is_in(sorted(released)))
    reasons = held.group_by(_ID).agg(pl.col("code").unique().sort().str.join(" ")).sort(_ID)
    return dict(reasons.iter_rows())


def read_suite(path: Path) -> Suite:
    """The suite of a TOML; ValueError for an unknown key, an expectation without a code or with an odd severity."""
    raw = tomllib.loads(path.read_text("utf-8"))
    profile, expectations = raw.get("profile", {}), raw.get("expectation", [])
    unknown = (set(raw) - {"profile", "expectation"}) | (
        set(profile) - {"event_on", "completeness", "repeated", "repeated_within", "repeated_least"}
    )
    for expectation in expectations:
        unknown |= set(expectation) - {"type", "kwargs", "severity", "meta", "notes"}
        if expectation.get("severity") not in {"critical", "warning", "info"} or not expectation["meta"]["code"]:
            raise ValueError(f"{path.name}: {expectation['type']} needs a severity and a meta.code")
    if unknown or not expectations:
        raise ValueError(f"{path.name}: unknown keys {sorted(unknown)}, or nothing expected")
    return Suite(
        kind=path.stem,
        event_on=profile["event_on"],
        completeness=tuple(profile["completeness"]),
        repeated=profile.get("repeated"),
        repeated_within=tuple(profile.get("repeated_within", ())),
        repeated_least=profile.get("repeated_least", 0),
        expectations=tuple(expectations),
    )


def profile_batches(
    fresh: Sequence[Mapping[str, Any]], folder: Path, history: pl.DataFrame, suite: Suite
) -> pl.DataFrame:
    """One row a submission of the suite's kind; null where there is nothing to measure.

    submission_id, record_kind, sender_id, received_count (rows), refusal_share, history_count (the sender's submissions
    of this kind), volume_ratio (to their median), timeliness_days (median, event to receipt), completeness_<column>,
    repeated_share (of the commonest value within `repeated_within`, where at least `repeated_least` rows have one).
    """
    receipts = [r for r in fresh if r["record_kind"] == suite.kind and not r["refusal_code"]]
    receipt = pl.DataFrame(
        [[r[_ID], suite.kind, r["sender_id"], r["received_count"], r["quarantined_count"]] for r in receipts],
        schema={_ID: pl.String, "record_kind": pl.String, "sender_id": pl.String,
                "received_count": pl.Int64, "quarantined_count": pl.Int64},
        orient="row",
    )  # fmt: skip
    usual = history.group_by("sender_id", "record_kind").agg(
        pl.len().cast(pl.Int64).alias("history_count"), pl.col("received_count").median().alias("usual_count")
    )
    files = [f for r in receipts for f in sorted((folder / r[_ID]).glob(f"accepted-{suite.kind}-*.parquet"))]
    profile = (
        receipt.join(usual, on=["sender_id", "record_kind"], how="left")
        .join(_measure_rows(files, suite), on=_ID, how="left")
        .with_columns(
            (pl.col("quarantined_count") / pl.col("received_count")).alias("refusal_share"),
            pl.col("history_count").fill_null(0),
            (pl.col("received_count") / pl.col("usual_count")).alias("volume_ratio"),
        )
        .drop("quarantined_count", "usual_count")
        .sort(_ID)
    )
    assert len(profile) == len(receipts)  # noqa: S101
    return profile


def judge_profiles(
    suites: Sequence[Suite], profiles: Mapping[str, pl.DataFrame], docs: Path, run_id: str, on: date
) -> pl.DataFrame:
    """What the profiles break (submission_id, code, severity; null id = the whole run), and the Data Docs of it."""
    logging.getLogger("great_expectations").setLevel(logging.WARNING)  # at import it tells of every method it documents
    from great_expectations import ValidationDefinition
    from great_expectations.core import RunIdentifier

    _forget_old(docs, on - timedelta(days=DAYS_KEPT))
    context = _open_context(docs)
    run = RunIdentifier(run_name=run_id, run_time=datetime.combine(on, time(), UTC))
    broken: list[tuple[str | None, str, str]] = []
    for suite in suites:
        loaded = context.suites.add(_load_suite(suite))
        asset = context.data_sources.add_pandas(suite.kind).add_dataframe_asset("profile")
        definition = ValidationDefinition(
            name=suite.kind, data=asset.add_batch_definition_whole_dataframe("run"), suite=loaded
        )
        result = context.validation_definitions.add(definition).run(
            batch_parameters={"dataframe": profiles[suite.kind].to_pandas()},
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": [_ID]},
            run_id=run,
        )
        broken += _list_broken(result, suite)
    keys: list[Any] = context.validation_results_store.list_keys()
    results = [key for key in keys if key.run_id == run]
    context.build_data_docs(resource_identifiers=[*results, *context.expectations_store.list_keys()])
    return pl.DataFrame(broken, schema=_BROKEN, orient="row")


def _measure_rows(files: Sequence[Path], suite: Suite) -> pl.DataFrame:
    if not files:
        names = ["timeliness_days", *(f"completeness_{c}" for c in suite.completeness)]
        names += ["repeated_share"] if suite.repeated else []
        return pl.DataFrame(schema={_ID: pl.String, **dict.fromkeys(names, pl.Float64)})
    contract = {name: column.dtype for name, column in RECORDS[suite.kind].columns().items()}
    # a column that nobody filled is not staged
    rows = pl.scan_parquet(list(files), schema=contract, missing_columns="insert", extra_columns="ignore")
    delay = (pl.col("received_on") - pl.col(suite.event_on)).dt.total_days()
    measured = rows.group_by(_ID).agg(
        delay.median().alias("timeliness_days"),
        *(pl.col(c).is_not_null().mean().alias(f"completeness_{c}") for c in suite.completeness),
    )
    if suite.repeated:
        within = [_ID, *suite.repeated_within]
        repeated = (
            rows.filter(pl.col(suite.repeated).is_not_null())
            .group_by(*within, suite.repeated)
            .agg(pl.len().alias("count"))
            .group_by(within)
            .agg(pl.col("count").sum().alias("total"), (pl.col("count").max() / pl.col("count").sum()).alias("share"))
            .filter(pl.col("total") >= suite.repeated_least)
            .group_by(_ID)
            .agg(pl.col("share").max().alias("repeated_share"))
        )
        measured = measured.join(repeated, on=_ID, how="left")
    return measured.collect(engine="streaming")


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


def _open_context(docs: Path) -> "EphemeralDataContext":
    """A context that keeps its results and its site under `docs`, sends nothing anywhere and draws no progress bar."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    def keep_in(folder: Path) -> dict[str, str]:
        return {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder.absolute())}

    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
        data_docs_sites={
            "data_docs": {
                "class_name": "SiteBuilder",
                "show_how_to_buttons": False,
                "store_backend": keep_in(docs),
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            }
        },
    )
    config.stores["validation_results_store"] = {
        "class_name": "ValidationResultsStore", "store_backend": keep_in(docs / "results")
    }  # fmt: skip
    return gx.get_context(mode="ephemeral", project_config=config)


def _forget_old(docs: Path, before: date) -> None:
    """Both trees are <kind>/<run>/<YYYYMMDD...Z>/: pages under validations, results under results."""
    for tree in (docs / "results", docs / "validations"):
        for moment in tree.glob("*/*/*/"):
            if moment.name[:8] < f"{before:%Y%m%d}":
                shutil.rmtree(moment.parent)
