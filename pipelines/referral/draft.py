"""One feed made and held to every promise of a feed: what may be sealed. Imports little, as big nights run it in processes."""

from typing import NamedTuple

import polars as pl

from pipelines.referral.render import FeedHeader, render_feed
from pipelines.referral.verify import verify_feed


class Draft(NamedTuple):
    """All that one feed is made of, as `render.render_feed` takes it."""

    header: FeedHeader
    item: pl.DataFrame
    person: pl.DataFrame
    flag: pl.DataFrame
    recall: pl.DataFrame


def render_checked(draft: Draft) -> dict[str, bytes]:
    """The files of a feed by name. Raises AssertionError with the codes of verify.verify_feed when it breaks a promise."""
    files = render_feed(*draft)
    wrong = verify_feed(files, draft.header.previous_hash)
    if wrong:
        raise AssertionError(f"a feed that breaks its own promises is not sealed: {', '.join(wrong)}")
    return files
