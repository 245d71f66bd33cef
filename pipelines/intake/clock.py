"""The time on the clocks of Kazakhstan at a moment that is written with an offset from UTC."""

from datetime import datetime, timedelta

_UNITED = datetime(2024, 2, 29, 18)
"""When the clocks of most regions went back to those of the west, in UTC: midnight before 1 March 2024."""
_WEST, _EAST = timedelta(hours=5), timedelta(hours=6)


def tell_local(moment: datetime, ahead: timedelta) -> datetime:
    """The local time of a moment that is written `ahead` of UTC. Raises OverflowError where there is none.

    Since 1 March 2024 there is one zone (UTC+5). Before, most regions kept that of Almaty (UTC+6), and the western ones UTC+5: what was
    written there with the offset of either is the time on the clock of the place, and its day the day it is known by. Of what was
    written with any other offset the place is not known: it is told in the time of Almaty, where most children are.
    """
    utc = moment - ahead
    if utc >= _UNITED:
        return utc + _WEST
    return moment if ahead in (_WEST, _EAST) else utc + _EAST
