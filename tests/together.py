"""Stories of which none has to do with another, lived side by side in one home: a night of twenty of them costs little more than of one."""

from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from pipelines import flow
from pipelines.night.verify import verify_store
from pipelines.settings import Settings
from tests.nation import FIRST, copy_home, take_in

Story = Callable[..., Generator[None, Any, None]]


class Together:
    """The stories of a module. Each is a test that sends its files, yields where a night is lived, and looks at what became of them.

    A story has children and numbers of its own, and a folder to write into. The night of its first yield is `first`; it is in the home
    while it runs and sees that night as the last one. What the night counted, of all stories, is what its yield gives.
    """

    def __init__(self, first: date = FIRST + timedelta(days=1), live_night: Callable[[Settings, date], object] = take_in) -> None:
        self._first, self._live_night, self._stories = first, live_night, dict[str, Story]()
        self._broken = dict[str, Exception]()

    def story(self, story: Story) -> Callable[[Sequence[str]], None]:
        """The test of a story; the module's fixture `lived` has lived all of them."""

        def test(lived: Sequence[str]) -> None:
            self._tell(story.__name__, lived)

        self._stories[story.__name__] = story
        return _name_after(story, test)

    def cases(self, cases: Mapping[str, tuple]) -> Callable[[Story], Callable[[Sequence[str], str], None]]:
        """The tests of a story that is lived once for each case, with what the case gives it after home and folder."""

        def make(story: Story) -> Callable[[Sequence[str], str], None]:
            @pytest.mark.parametrize("case", cases)
            def test(lived: Sequence[str], case: str) -> None:
                self._tell(f"{story.__name__}[{case}]", lived)

            self._stories |= {f"{story.__name__}[{case}]": partial(_give, story, given) for case, given in cases.items()}
            return _name_after(story, test)

        return make

    def live(self, home: Settings, folder: Path, *, is_deep: bool = False) -> list[str]:
        """Live the stories in a copy of a home until all have ended; the promises that are broken after the last feeds."""
        home, running, told = copy_home(home, folder / "lived"), dict[str, Generator[None, Any, None]](), None
        for number, (name, story) in enumerate(self._stories.items()):
            (folder / f"{number}").mkdir()
            running[name] = story(home, folder / f"{number}")
        for night in count():
            running = {name: story for name, story in running.items() if self._go_on(name, story, told)}
            if not running:
                break
            told = self._live_night(home, self._first + timedelta(days=night))
        flow.refer(home, self._first + timedelta(days=night))
        return [check.promise for check in verify_store(home, is_deep=is_deep) if check.broken]

    def _go_on(self, name: str, story: Generator[None, Any, None], told: object) -> bool:
        """Whether a story waits for another night."""
        try:
            story.send(told)
        except StopIteration:
            return False
        except (Exception, pytest.fail.Exception) as error:  # told by its own test
            self._broken[name] = error
            return False
        return True

    def _tell(self, name: str, lived: Sequence[str]) -> None:
        """Fail as the story did, or because a promise is broken."""
        if name in self._broken:
            raise self._broken[name]
        assert lived == []


def _give(story: Story, given: tuple, home: Settings, folder: Path) -> Generator[None, Any, None]:
    return story(home, folder, *given)


def _name_after(story: Story, test: Callable) -> Callable:
    test.__name__, test.__doc__, test.__module__ = story.__name__, story.__doc__, story.__module__
    return test
