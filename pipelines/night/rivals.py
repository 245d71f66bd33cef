"""What only the whole file tells of its rows: one record told differently, and results of one child that contradict one another.

Both are looked for among the staged parts of a file, so that neither depends on how many rows were read at a time, and in
shares of their keys, so that memory does not grow with the file.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from pipelines.contracts import RECORDS

_VERSION = ("issued_at", "action_code", "status_code")
_AT_ONCE = 8_000_000
"""Keys that are compared at a time (some 300 MB)."""
_EXAMINED = ("component", "examined_on")
_NAMED_BY = (
    (("child_iin",), ()),
    (("mother_iin", "birth_on"), ("birth_order", "sex_code", "history_no")),
    (("maternity_id", "history_no"), ()),
)
"""The ways of naming a child, strongest first: what each needs, and what it says besides."""
_SAYS = {"result_code": (), "value": ("stage_code",)}
"""What says how an examination ended, and what parts it from others of its day: the same spot is tested again by order 704."""
_TOLD = ("row_no", "source_id", "record_key", "component", *_SAYS, "stage_code")
_TOLD_SCHEMA = {"row_no": pl.Int64, "source_id": pl.String, "component": pl.String, "said": pl.String}


def find_rivals(draft: Path) -> pl.Series:
    """Numbers of the rows, of those staged as accepted, that give one record, in one version, different contents.

    Which of them holds only their sender knows. A row that is refused for another reason is no rival of the others.
    """
    found = [_list_rivals(parts) for kind in RECORDS if (parts := _list_parts(draft, kind))]
    return pl.concat([pl.Series("row_no", [], pl.Int64), *found]).unique()


def find_contradictions(draft: Path) -> pl.DataFrame:
    """Results staged as accepted that another record of that child, component and day contradicts.

    row_no, source_id, component, and `said`: the column in which they do.
    Coded answers and numbers are compared, each with its like. A child is known by the strongest name that its row gives;
    a result that was withdrawn contradicts nothing.
    """
    parts = [part for part in _list_parts(draft, "screening") if _tells_results(part)]
    repeated = _list_repeated(parts, lambda part: _read_answers(part)["exam"])
    if repeated.is_empty():
        return pl.DataFrame(schema=_TOLD_SCHEMA)
    found = (_read_answers(part, *_TOLD).filter(pl.col("exam").is_in(repeated.implode())) for part in parts)
    told = pl.concat(found, how="diagonal")
    unlike = [pl.when(_tell_unlike(told, said)).then(pl.lit(said)) for said in _SAYS if said in told.columns]
    return told.with_columns(pl.coalesce(*unlike).alias("said")).filter(pl.col("said").is_not_null()).select(_TOLD_SCHEMA.keys())


def _tell_unlike(told: pl.DataFrame, said: str) -> pl.Expr:
    """True of rows whose examination two records tell differently by `said`, where a row says it."""
    parted = [name for name in _SAYS[said] if name in told.columns]
    is_told = pl.col(said).is_not_null()
    others = (pl.col(name).filter(is_told).n_unique().over("exam", *parted) > 1 for name in (said, "record_key"))
    return is_told & pl.all_horizontal(others)


def _tells_results(part: Path) -> bool:
    there = pl.read_parquet_schema(part).keys()
    return there >= set(_EXAMINED) and not there.isdisjoint(_SAYS)


def _list_parts(draft: Path, kind: str) -> list[Path]:
    return sorted(draft.glob(f"accepted-{kind}-*.parquet"))


def _list_repeated(parts: Sequence[Path], read: Callable[[Path], pl.Series]) -> pl.Series:
    """Keys that stand in more than one row of the parts; `read` gives those of a part."""
    rows = sum(pl.scan_parquet(part).select(pl.len()).collect().item() for part in parts)
    shares = 1 + rows // _AT_ONCE
    found = []
    for share in range(shares) if parts else ():
        keys = pl.concat(keys.filter(keys % shares == share) if shares > 1 else keys for keys in map(read, parts))
        if keys.n_unique() < len(keys):
            found.append(keys.filter(keys.is_duplicated()).unique())
    return pl.concat(found) if found else pl.Series("key", [], pl.Int64)


def _list_rivals(parts: Sequence[Path]) -> pl.Series:
    repeated = _list_repeated(parts, lambda part: _read_part(part, "record_key")["record_key"])
    if repeated.is_empty():
        return pl.Series("row_no", [], pl.Int64)
    rows = (_read_part(part, "record_key", "row_no", "content_hash", *_VERSION) for part in parts)
    told = pl.concat((part.filter(pl.col("record_key").is_in(repeated.implode())) for part in rows), how="diagonal")
    version = [name for name in ("record_key", *_VERSION) if name in told.columns]
    return told.filter(pl.col("content_hash").n_unique().over(version) > 1)["row_no"]


def _read_answers(part: Path, *columns: str) -> pl.DataFrame:
    """The results of a part that hold, each with `exam`: which child was examined by what and when."""
    names = dict.fromkeys(name for needed, beside in _NAMED_BY for name in (*needed, *beside))
    found = _read_part(part, *dict.fromkeys((*columns, *_EXAMINED, *names, *_SAYS, "is_cancelled")))
    is_told = pl.any_horizontal(pl.col(name).is_not_null() for name in _SAYS if name in found.columns)
    answers = found.filter(is_told & ~pl.col("is_cancelled"))
    contract = RECORDS["screening"].columns()
    answers = answers.with_columns(pl.lit(None, contract[name].dtype).alias(name) for name in names if name not in found.columns)
    exams = (
        pl.when(pl.all_horizontal(pl.col(name).is_not_null() for name in needed)).then(pl.struct(*needed, *beside, *_EXAMINED).hash())
        for needed, beside in _NAMED_BY
    )
    return answers.select(pl.coalesce(*exams).alias("exam"), *(name for name in columns if name in answers.columns))


def _read_part(part: Path, *columns: str) -> pl.DataFrame:
    """Those of the columns that a part has: one that nobody filled was not written."""
    there = pl.read_parquet_schema(part)
    return pl.read_parquet(part, columns=[name for name in columns if name in there])
