"""What a person's decision about two children changes: who is certainly two, the key of a child split off, its records.

Linkage unites two birth records into one child when they say the same of it; a typing error can make them say so. A person
may then part them, or unite two children whom linkage holds apart (ARCHITECTURE law 6). Nothing is decided here by chance:
the same decision gives the same keys, and linkage is asked again with the decision in force.
"""

import polars as pl

from pipelines.identity.birth import mint_key


def name_split(birth: pl.DataFrame, taken: set[int], key: bytes) -> int:
    """The key of a child of these birth records, never one of `taken`: the key they mint alone, else one with a number.

    `birth`: maternity_id, history_no, birth_order, birth_on. The order of the records changes nothing.
    """
    name = pl.concat_str(
        "maternity_id", "history_no", pl.col("birth_order").cast(pl.String), pl.col("birth_on").dt.year().cast(pl.String),
        separator="|",
    )  # fmt: skip
    label = birth.select(name.min()).item()
    tries = pl.DataFrame({"label": [label, *(f"{label}|{number}" for number in range(2, len(taken) + 3))]})
    free = tries.select(mint_key(pl.col("label"), key).alias("child_key")).filter(~pl.col("child_key").is_in(list(taken)))
    return int(free["child_key"][0])


def contradict(one: pl.DataFrame, other: pl.DataFrame) -> str | None:
    """Why two children are certainly two (`children_twins`, `iins_differ`), or None; birth rows with WHO and plurality.

    Twins are two births of one pregnancy: another order with one mother and day, or with one history number.
    """
    pairs = one.join(other, how="cross", suffix="_other")
    same_delivery = (_same("mother_iin") & _same("birth_on")) | (_same("maternity_id") & _same("history_no"))
    if pairs.select((same_delivery & (pl.col("birth_order") != pl.col("birth_order_other"))).any()).item():
        return "children_twins"
    iins = (set(frame["child_iin"].drop_nulls()) for frame in (one, other))
    mine, yours = iins
    return "iins_differ" if mine and yours and not mine & yours else None


def _same(column: str) -> pl.Expr:
    return (pl.col(column) == pl.col(f"{column}_other")).fill_null(value=False)
