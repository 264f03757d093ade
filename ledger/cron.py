"""When a cron expression is due in a time zone: Debian cron's meaning, its two clock changes too.

cronsim reads the fields and walks the calendar. It is given no zone, because at some clock changes
near midnight it never answers; what those mean is decided here.
"""

from __future__ import annotations

import difflib
import functools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_FIELDS = {
    "minute": "0-59",
    "hour": "0-23",
    "day-of-month": "1-31, L or LW",
    "month": "1-12 or JAN-DEC",
    "day-of-week": "0-7 or SUN-SAT (0 and 7 are Sunday), MON#2, 5L",
}
# What a host calls its own zone is another one elsewhere.
_NO_ZONES = {"localtime", "Factory"}
# No clock was ever put back by more in a day.
_LARGEST_CHANGE = timedelta(hours=3)
_SECOND = 1000


class BadExpression(ValueError):
    """The text is no cron expression, or one that never comes; says the remedy."""


class BadTimezone(ValueError):
    """There is no time zone of this name; says the remedy."""


@dataclass(frozen=True, slots=True)
class Timing:
    """An expression in a time zone. Times in ms since 1970, UTC; fires are on whole minutes."""

    expression: str
    zone: ZoneInfo

    def after(self, moment: int) -> int | None:
        """The first fire after this moment; None when there is none within fifty years."""
        now = datetime.fromtimestamp(moment // _SECOND, UTC)
        found = self._by_matching(now) if self._is_repeating() else self._by_wall(now)
        return None if found is None else round(found.timestamp()) * _SECOND

    def latest(self, due: int, now: int) -> int:
        """The last fire that is not after `now`, when `due` is one that is not."""
        # The first fire after `low` is never after now, the one after `high` always is.
        low, high = due // _SECOND - 1, now // _SECOND
        while high - low > 1:
            middle = (low + high) // 2
            following = self.after(middle * _SECOND)
            if following is not None and following <= now:
                low = middle
            else:
                high = middle
        found = self.after(low * _SECOND)
        # The zone's rules may have changed since `due` was computed.
        return found if found is not None and due <= found <= now else due

    def runs(self, first: int | None, count: int) -> list[int]:
        """So many fires, from a first one on."""
        found: list[int] = []
        while first is not None and len(found) < count:
            found.append(first)
            first = self.after(first)
        return found

    def _is_repeating(self) -> bool:
        """Whether it counts elapsed time, as cron takes a `*` in the minutes or hours, rather than
        naming times of the day."""
        minute, hour, *_ = self.expression.split()
        return minute.startswith("*") or hour.startswith("*")

    def _by_wall(self, now: datetime) -> datetime | None:
        """Each time of the day once: when the clock shows it first, or at once after it was
        skipped."""
        for wall in CronSim(self.expression, self._wall(now)):
            shown = self._shown(wall)
            moment = shown[0] if shown else self._change(wall)
            if moment > now:
                return moment
        return None

    def _by_matching(self, now: datetime) -> datetime | None:
        """Whenever the clock shows a time that matches: never in an hour that is skipped, twice in
        one that is repeated."""
        wall = self._wall(now)
        # Before the clock is put back, times that it shows again are yet to come.
        again = wall - self._wall(now + _LARGEST_CHANGE) + _LARGEST_CHANGE
        best: datetime | None = None
        for match in CronSim(self.expression, wall - max(again, timedelta())):
            shown = self._shown(match)
            coming = [one for one in shown if one > now]
            if best is None and len(coming) == len(shown) == 1 and not again:
                return coming[0]
            if best is not None and shown and shown[0] >= best:
                return best
            if coming and (best is None or coming[0] < best):
                best = coming[0]
        return best

    def _wall(self, moment: datetime) -> datetime:
        """What the clock on the wall shows."""
        return moment.astimezone(self.zone).replace(tzinfo=None)

    def _shown(self, wall: datetime) -> list[datetime]:
        """When the clock shows this time: once, twice, or never."""
        moments = (wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        return sorted({one for one in moments if self._wall(one) == wall})

    def _change(self, wall: datetime) -> datetime:
        """When the clock is put forward over this time."""
        before, after = (
            wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (1, 0)
        )
        offset = before.astimezone(self.zone).utcoffset()
        while after - before > timedelta(seconds=1):
            middle = (before + (after - before) // 2).replace(microsecond=0)
            if middle.astimezone(self.zone).utcoffset() == offset:
                before = middle
            else:
                after = middle
        return after


@functools.lru_cache(maxsize=4096)
def timing(expression: str, timezone: str) -> Timing:
    """What two texts mean. Raises `BadExpression`, `BadTimezone`."""
    text = check_expression(expression)
    return Timing(MACROS.get(text, text), find_zone(timezone))


def check_expression(text: str) -> str:
    """The expression with single blanks. Raises `BadExpression`."""
    parts = text.split()
    expression = " ".join(parts)
    if expression.startswith("@"):
        if expression not in MACROS:
            raise BadExpression(f"is not known: use one of {', '.join(MACROS)}, or five fields")
        return expression
    if len(parts) != len(_FIELDS):
        more = ": there are no seconds" if len(parts) == len(_FIELDS) + 1 else ""
        raise BadExpression(
            f"has {len(parts)} fields instead of five{more}: write minute, hour, day of month, "
            "month and day of week, such as 30 3 * * MON-FRI"
        )
    try:
        first = next(CronSim(expression, datetime(2000, 1, 1)), None)  # noqa: DTZ001 (any will do)
    except CronSimError as error:
        raise BadExpression(_never(parts) or _remedy(str(error), parts)) from None
    if first is None:
        raise BadExpression("never comes: no year has such a day; change the day or the month")
    return expression


@functools.lru_cache(maxsize=1024)
def find_zone(name: str) -> ZoneInfo:
    """The time zone of this name. Raises `BadTimezone`."""
    if name not in _zone_names():
        lower = {one.lower(): one for one in sorted(_zone_names())}
        near = difflib.get_close_matches(name.lower()[:60], lower, 1)
        instead = f"did you mean {lower[near[0]]}?" if near else "use one such as Europe/Madrid"
        raise BadTimezone(f"is not a time zone: {instead}")
    return ZoneInfo(name)


@functools.cache
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones() - _NO_ZONES)


def _never(parts: list[str]) -> str | None:
    """What to say of days that are right in themselves, and that none of the months has."""
    minute, hour, day, month, weekday = parts
    try:
        CronSim(" ".join((minute, hour, day, "*", weekday)), datetime(2000, 1, 1))  # noqa: DTZ001
        CronSim(" ".join((minute, hour, "*", month, weekday)), datetime(2000, 1, 1))  # noqa: DTZ001
    except CronSimError:
        return None
    return (
        f"never comes: its day-of-month, {day[:40]}, is in none of its months, {month[:40]}; "
        "change one of them"
    )


def _remedy(said: str, parts: list[str]) -> str:
    """What cronsim says of a field ("Bad hour"), with the field's text and what it may be."""
    for (field, allowed), part in zip(_FIELDS.items(), parts, strict=True):
        if said.endswith(field):
            return (
                f"its {field}, {part[:40]}, is not acceptable: use {allowed}, a list 1,3, "
                "a range 1-5, a step */5, or *"
            )
    return "is no cron expression"
