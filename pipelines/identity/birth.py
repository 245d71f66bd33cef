"""Which child a birth record is of: the one who is known by it already, else a new one; and the key of a new child.

A birth is known again by the names in `NAMES`. A name proves nothing where those who bear it, held and new, are two children by a
person's decision or contradict one another: in IIN, birth order, known sex, mother, or the day of birth. Law 6: two births too many
can be united by a person (`erte merge`), two children under one key are told apart by nobody. A day that differs between two records
of one mother, number and order is a slip, as she is not delivered twice under one number of a year: that is one child, known under
both days; without her IIN the number alone proves nothing then. A sex that differs is a slip, too, where all say that one child was
born (DOMAIN section 6 names a child by number, mother, day and order); of a multiple birth it is another child. An IIN that a result
taught names no birth: only its sender wrote it.

What a correction brings to the same record stays with its child. A child of whom every record is withdrawn is held no more, and its
key is nobody else's; a record that contradicts none of those withdrawn takes it again. Which births are united depends on those that
are known that night: records of one child that nothing united when they came keep their keys when a third one, like both, comes
later; and which of two that share a number has the key of that number goes by who came first, in one night by the content.
"""

import polars as pl
import polars_hash  # noqa: F401  # registers pl.Expr.chash

_OF_CHILD = ("child_iin", "birth_order", "sex_code", "mother_iin")
"""In what the births of one child do not differ."""
NAMES = {
    "number": (("maternity_id", "history_no", "birth_order", "birth_on"), ("child_iin", "sex_code", "mother_iin")),
    "mothers_number": (("maternity_id", "history_no", "birth_order", "birth_year", "mother_iin"), ("child_iin", "sex_code")),
    "iin": (("child_iin",), ("birth_order", "sex_code", "mother_iin", "birth_on")),
    "delivery": (("mother_iin", "birth_on", "birth_order", "sex_said"), ("child_iin",)),
}
"""The names by which a birth is known again, strongest first -> what each is made of, and in what those who bear it must not differ."""
_LABEL = ("maternity_id", "history_no", "birth_order", "birth_year")
"""What the key of a new child is made of: an IIN that comes later changes nothing."""


def mint_children(birth: pl.DataFrame, spine: pl.DataFrame, key: bytes, past: pl.DataFrame | None = None) -> pl.DataFrame:
    """(ref, child_key) for every birth record: the child already known by it, or a new one minted.

    `birth`: ref, record_key, known_key (child of an earlier version of the same record, or null), is_cancelled, plurality + WHO.
    `spine`: the living births but those of these records. `past`: every version ever held that shares a number with one of them, and
    (`is_gone`) the last ones of children of whom no record is left. A new key is 63 bits of HMAC-SHA256(secret, maternity | history
    number | birth order | birth year), so that the same birth mints the same child in any order of files; `| 2` and so on behind it
    where that key is, or was, another's.
    """
    past = spine.clear().with_columns(is_gone=pl.lit(value=False)) if past is None else past
    is_known = pl.col("known_key").is_not_null()
    settled = birth.filter(is_known).with_columns(child_key="known_key")
    held = pl.concat([spine.filter(pl.col("birth_on").is_not_null()), settled.filter(~pl.col("is_cancelled")).select(spine.columns)])
    named = _name(pl.concat([held, birth.filter(~is_known)], how="diagonal"))
    named = named.with_columns(_keep_undoubted(named, name) for name in NAMES)
    found = _find_children(named.tail(len(birth) - len(settled)), named.head(len(held)))
    new = found.filter(pl.col("child_key").is_null()).drop("child_key")
    gone = _name(past.filter("is_gone").join(held, on="child_key", how="anti"))
    again = _find_gone(new, gone)
    minted = _mint_free(new.join(again, on="child", how="anti"), _name(past), key)
    keyed = [settled, found.drop_nulls("child_key"), *(new.join(keys, on="child") for keys in (again, minted))]
    answer = pl.concat(part.select("ref", "child_key") for part in keyed)
    assert len(answer) == len(birth)  # noqa: S101  # nothing is lost around the joins
    return answer


def mint_key(name: pl.Expr, key: bytes) -> pl.Expr:
    """63 bits of the keyed hash of a name."""
    digest = name.chash.hmac_sha256(key=key.decode("latin-1"))  # type: ignore[attr-defined]  # the plugin adds `chash`
    return digest.str.slice(0, 16).str.to_integer(base=16, dtype=pl.UInt64).floordiv(2).cast(pl.Int64)


def differ(*columns: str) -> pl.Expr:
    """Of a group: whether two of its rows differ in one of the columns; what is missing differs from nothing, nor does the sex of a single birth."""
    is_multiple = {"sex_code": pl.col("plurality").ne_missing(1).any()}
    return pl.any_horizontal(
        (pl.col(name).min() != pl.col(name).max()).fill_null(value=False) & is_multiple.get(name, pl.lit(value=True)) for name in columns
    )


def _name(birth: pl.DataFrame) -> pl.DataFrame:
    """The births with their `NAMES`, their label, and the sex that is known of them."""
    said = birth.with_columns(
        birth_year=pl.col("birth_on").dt.year(), sex_said="sex_code", sex_code=pl.col("sex_code").replace("unknown", None)
    )
    names = (
        pl.when(pl.all_horizontal(pl.col(part).is_not_null() for part in parts)).then(pl.struct(parts).hash()).alias(name)
        for name, (parts, _) in NAMES.items()
    )  # as numbers: texts would be compared ten times as long
    return said.with_columns(*names, label=pl.concat_str([pl.col(part).cast(pl.String) for part in _LABEL], separator="|"))


def _keep_undoubted(named: pl.DataFrame, name: str) -> pl.Expr:
    """The name, null where those who bear it are two children already or contradict one another."""
    shared = named.select(name, "child_key", "plurality", *NAMES[name][1]).filter(pl.col(name).is_not_null() & pl.col(name).is_duplicated())
    doubted = shared.group_by(name).agg(is_doubted=differ("child_key", *NAMES[name][1])).filter("is_doubted")[name]
    return pl.when(~pl.col(name).is_in(doubted.implode())).then(name).alias(name)


def _find_children(born: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
    """The births with `child`, the same for those of one child, and `child_key` where it is held.

    A chain of names may still unite births that contradict one another: of those only mother, day, order and sex unite, else nothing.
    """
    known, done, rest = held.with_columns(child="child_key"), list[pl.DataFrame](), born
    for ways in (tuple(NAMES), ("delivery",), ()):
        found = _unite(_match(rest, held, ways), ways)
        all_known = pl.concat([known, *done, found], how="diagonal").select("child", "plurality", *_OF_CHILD)
        shared = all_known.filter(pl.col("child").is_duplicated())
        wrong = shared.group_by("child").agg(is_wrong=differ(*_OF_CHILD)).filter("is_wrong") if ways else shared.clear()
        done.append(found.join(wrong, on="child", how="anti"))
        rest = found.join(wrong, on="child", how="semi").select(born.columns)
    return pl.concat(done)


def _match(born: pl.DataFrame, held: pl.DataFrame, ways: tuple[str, ...]) -> pl.DataFrame:
    """The births with the `child_key` that the spine knows them by: by the strongest name."""
    pairs = [
        born.select("ref", way).join(held.select(way, "child_key"), on=way).select("ref", "child_key", rank=rank)
        for rank, way in enumerate(ways)
    ]
    none = pl.DataFrame(schema={"ref": born.schema["ref"], "child_key": pl.Int64, "rank": pl.Int32})
    best = pl.concat([none, *pairs], how="vertical_relaxed").sort("ref", "rank", "child_key").unique("ref", keep="first", maintain_order=True)
    return born.drop("child_key").join(best.drop("rank"), on="ref", how="left")


def _unite(found: pl.DataFrame, ways: tuple[str, ...]) -> pl.DataFrame:
    """The births with `child`: of those not held that share a name the same, a number below nought."""
    labelled = found.with_columns(child=pl.coalesce("child_key", -1 - pl.col("record_key")))
    is_new = pl.col("child_key").is_null()
    new = labelled.filter(is_new)
    is_shared = pl.any_horizontal(pl.lit(value=False), *(pl.col(way).is_not_null() & pl.col(way).is_duplicated() for way in ways))
    alone, united = new.filter(~is_shared), new.filter(is_shared)
    while True:
        before = united["child"]
        for way in ways:
            united = united.with_columns(
                child=pl.when(pl.col(way).is_not_null()).then(pl.col("child").min().over(way)).otherwise("child")
            )
        if united["child"].equals(before):
            return pl.concat([labelled.filter(~is_new), alone, united])


def _find_gone(new: pl.DataFrame, gone: pl.DataFrame) -> pl.DataFrame:
    """(child, child_key) of new births of a child whose records were all withdrawn: one that contradicts none of them."""
    pairs = []
    for rank, (way, (_, others)) in enumerate(NAMES.items()):
        columns = tuple(dict.fromkeys((*_OF_CHILD, *others)))
        is_single = {"sex_code": (pl.col("plurality") == 1) & (pl.col("plurality_gone") == 1)}
        agree = pl.all_horizontal(
            (pl.col(name) == pl.col(f"{name}_gone")).fill_null(value=True) | is_single.get(name, pl.lit(value=False)).fill_null(value=False)
            for name in columns
        )
        both = new.select("child", way, "plurality", *columns).join(gone.select("child_key", way, "plurality", *columns), on=way, suffix="_gone")
        pairs.append(both.filter(agree).select("child", "child_key", rank=rank))
    best = pl.concat(pairs).sort("rank", "child", "child_key").select("child", "child_key")
    return best.unique("child", keep="first", maintain_order=True).unique("child_key", keep="first", maintain_order=True)


def _mint_free(new: pl.DataFrame, past: pl.DataFrame, key: bytes) -> pl.DataFrame:
    """(child, child_key) of each new child: the key of its least label, with the first number behind it that nobody has or had."""
    child = new.group_by("child").agg(pl.col("label").min()).sort("label", "child").with_columns(place=pl.int_range(pl.len()).over("label"))
    had = past.select("label", "child_key").unique()
    tries = pl.concat([child.select("label"), had.join(child, on="label", how="semi").select("label")]).group_by("label").len()
    tries = tries.with_columns(number=pl.int_ranges(1, pl.col("len") + 1)).explode("number")
    name = pl.when(pl.col("number") == 1).then("label").otherwise(pl.concat_str("label", "number", separator="|"))
    free = tries.with_columns(child_key=mint_key(name, key)).join(had, on="child_key", how="anti").sort("label", "number")
    free = free.with_columns(place=pl.int_range(pl.len()).over("label"))
    return child.join(free, on=["label", "place"]).select("child", "child_key")
