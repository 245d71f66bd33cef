"""Stories of which none has to do with another, lived side by side in one home: a night of twenty of them costs little more than of one."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from itertools import count
from pathlib import Path

import pytest

from pipelines import flow
from pipelines.night.verify import verify_store
from pipelines.settings import Settings
from tests.nation import FIRST, copy_home, take_in

Story = Callable[[Settings, Path], Iterator[None]]


class Together:
    """The stories of a module. Each is a test that sends its files, yields where a night is lived, and looks at what became of them.

    A story has children and numbers of its own, and a folder to write into. The night of its first yield is `first`; it is in the home
    while it runs and sees that night as the last one.
    """

    def __init__(self, first: date = FIRST + timedelta(days=1)) -> None:
        self._first, self._stories = first, list[Story]()
        self._broken = dict[str, Exception]()

    def story(self, story: Story) -> Callable[[Sequence[str]], None]:
        """The test of a story; the module's fixture `lived` has lived all of them."""

        def test(lived: Sequence[str]) -> None:
            if story.__name__ in self._broken:
                raise self._broken[story.__name__]
            assert lived == []

        self._stories.append(story)
        test.__name__, test.__doc__, test.__module__ = story.__name__, story.__doc__, story.__module__
        return test

    def live(self, home: Settings, folder: Path, *, is_deep: bool = False) -> list[str]:
        """Live the stories in a copy of a home until all have ended; the promises that are broken after the last feeds."""
        home, running = copy_home(home, folder / "home"), dict[str, Iterator[None]]()
        for number, story in enumerate(self._stories):
            (folder / f"{number}").mkdir()
            running[story.__name__] = story(home, folder / f"{number}")
        for night in count():
            running = {name: story for name, story in running.items() if self._go_on(name, story)}
            if not running:
                break
            take_in(home, self._first + timedelta(days=night))
        flow.refer(home, self._first + timedelta(days=night))
        return [check.promise for check in verify_store(home, is_deep=is_deep) if check.broken]

    def _go_on(self, name: str, story: Iterator[None]) -> bool:
        """Whether a story waits for another night."""
        try:
            next(story)
        except StopIteration:
            return False
        except (Exception, pytest.fail.Exception) as error:  # told by its own test
            self._broken[name] = error
            return False
        return True
