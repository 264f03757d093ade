"""When a schedule is due: the fields of cron, and the two days of the year with another length."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.cron import BadExpression, BadTimezone, check_expression, find_zone, timing

MINUTE = 60_000


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def fires(expression: str, zone: str, since: str, until: str) -> list[str]:
    """The fires between two moments, as the clock of the zone shows them, with its offset."""
    found: list[str] = []
    moment, end = ms(since) - 1, ms(until)
    while True:
        following = timing(expression, zone).after(moment)
        if following is None or following >= end:
            return found
        local = datetime.fromtimestamp(following / 1000, ZoneInfo(zone))
        found.append(local.strftime("%d %H:%M%z"))
        moment = following


# Europe/Madrid puts its clock from 02:00 to 03:00 on 29 March 2026, and from 03:00 back to 02:00 on
# 25 October; America/New_York from 02:00 to 03:00 on 8 March, and from 02:00 back to 01:00 on
# 1 November.
MADRID_SPRING = ("Europe/Madrid", "2026-03-28T23:00Z", "2026-03-29T22:00Z")
MADRID_AUTUMN = ("Europe/Madrid", "2026-10-24T22:00Z", "2026-10-25T23:00Z")
NEW_YORK_SPRING = ("America/New_York", "2026-03-08T05:00Z", "2026-03-09T04:00Z")
NEW_YORK_AUTUMN = ("America/New_York", "2026-11-01T04:00Z", "2026-11-02T05:00Z")


@pytest.mark.parametrize(
    ("expression", "day", "expected"),
    [
        # A time that the clock skips: once, as soon as it has been skipped.
        ("30 2 * * *", MADRID_SPRING, ["29 03:00+0200"]),
        ("30 2 * * *", NEW_YORK_SPRING, ["08 03:00-0400"]),
        ("0,15,30 2 * * *", MADRID_SPRING, ["29 03:00+0200"]),
        ("0 2,3 * * *", MADRID_SPRING, ["29 03:00+0200"]),
        ("0 2,3 * * *", NEW_YORK_SPRING, ["08 03:00-0400"]),
        # A time that it shows twice: once, the first time.
        ("30 2 * * *", MADRID_AUTUMN, ["25 02:30+0200"]),
        ("30 1 * * *", NEW_YORK_AUTUMN, ["01 01:30-0400"]),
        ("0 1,2,3 * * *", MADRID_AUTUMN, ["25 01:00+0200", "25 02:00+0200", "25 03:00+0100"]),
        ("0 0,1,2 * * *", NEW_YORK_AUTUMN, ["01 00:00-0400", "01 01:00-0400", "01 02:00-0500"]),
        # A star counts elapsed time: never in a skipped hour, and in both that have the same name.
        ("*/30 2 * * *", MADRID_SPRING, []),
        ("*/30 2 * * *", NEW_YORK_SPRING, []),
        (
            "*/30 2 * * *",
            MADRID_AUTUMN,
            ["25 02:00+0200", "25 02:30+0200", "25 02:00+0100", "25 02:30+0100"],
        ),
        (
            "*/30 1 * * *",
            NEW_YORK_AUTUMN,
            ["01 01:00-0400", "01 01:30-0400", "01 01:00-0500", "01 01:30-0500"],
        ),
    ],
)
def test_a_change_of_the_clock(
    expression: str, day: tuple[str, str, str], expected: list[str]
) -> None:
    assert fires(expression, *day) == expected


@pytest.mark.parametrize(
    ("day", "hours"),
    [(MADRID_SPRING, 23), (MADRID_AUTUMN, 25), (NEW_YORK_SPRING, 23), (NEW_YORK_AUTUMN, 25)],
)
def test_each_hour_that_passes_has_its_fire(day: tuple[str, str, str], hours: int) -> None:
    assert len(fires("0 * * * *", *day)) == hours
    assert len(fires("* * * * *", *day)) == hours * 60
    assert len(fires("@hourly", *day)) == hours


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 12 * * 0", ["04", "11", "18", "25"]),
        ("0 12 * * 7", ["04", "11", "18", "25"]),
        ("0 12 * * sun", ["04", "11", "18", "25"]),
        ("0 12 13 * FRI", ["02", "09", "13", "16", "23", "30"]),  # either of the two days
        ("0 12 */10 * FRI", []),  # a star among the days asks for both
        ("0 12 1-10/3 OCT *", ["01", "04", "07", "10"]),
        ("0 12 * * MON#2", ["12"]),
        ("0 12 * * 5L", ["30"]),
        ("0 12 L * *", ["31"]),
        ("@weekly", ["04", "11", "18", "25"]),
        ("@monthly", ["01"]),
        ("@yearly", []),
    ],
)
def test_the_fields_mean_what_cron_means(expression: str, expected: list[str]) -> None:
    found = fires(expression, "UTC", "2026-10-01T00:00Z", "2026-11-01T00:00Z")
    assert [one[:2] for one in found] == expected


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("", "five"),
        ("* * * *", "has 4 fields instead of five"),
        ("0 * * * * *", "there are no seconds"),
        ("60 * * * *", "its minute, 60, is not acceptable: use 0-59"),
        ("0 24 * * *", "its hour, 24, is not acceptable: use 0-23"),
        ("0 0 32 * *", "its day-of-month, 32, is not acceptable: use 1-31"),
        ("0 0 * 13 *", "its month, 13, is not acceptable: use 1-12"),
        ("0 0 * * 8", "its day-of-week, 8, is not acceptable: use 0-7"),
        ("0 0 * * MON-", "day-of-week"),
        ("*/0 * * * *", "minute"),
        ("5-1 * * * *", "minute"),
        ("\u0664 * * * *", "minute"),
        ("0 0 30 2 *", "never comes: its day-of-month, 30, is in none of its months, 2"),
        ("0 0 31 4,JUN *", "never comes"),
        ("0 0 32 2 *", "its day-of-month, 32, is not acceptable"),
        ("0 0 */10 2 MON#5", "never comes"),
        ("@reboot", "use one of @hourly"),
        ("9" * 190 + " * * * *", "minute"),
    ],
)
def test_a_bad_expression_is_named(expression: str, told: str) -> None:
    with pytest.raises(BadExpression, match=told.replace("*", r"\*")):
        check_expression(expression)


@given(st.text(alphabet="0123456789*,-/#LWMONJASUDEC @\u0660\u00b2", max_size=40))
def test_no_text_is_more_than_refused(text: str) -> None:
    with suppress(BadExpression):
        assert timing(text, "UTC").after(0) is not None


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("europe/madrid", "did you mean Europe/Madrid?"),
        ("Madrid", "did you mean Europe/Madrid?"),
        ("../../etc/passwd", "use one such as"),
        ("localtime", "use one such as"),
        ("right/Europe/Madrid", "is not a time zone"),
        ("", "use one such as"),
        ("\0", "use one such as"),
    ],
)
def test_a_bad_zone_is_named(name: str, told: str) -> None:
    with pytest.raises(BadTimezone) as caught:
        find_zone(name)
    assert told in str(caught.value)


def test_a_leap_day_comes_after_years() -> None:
    (first, second) = timing("0 0 29 2 *", "UTC").runs(
        timing("0 0 29 2 *", "UTC").after(ms("2097-01-01T00:00Z")), 2
    )
    assert (first, second) == (ms("2104-02-29T00:00Z"), ms("2108-02-29T00:00Z"))


# Days on which a clock was changed: by half an hour, by two, at midnight, a minute past midnight.
CHANGES = [
    ("Europe/Madrid", "2026-03-29"),
    ("Europe/Madrid", "2026-10-25"),
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("Australia/Lord_Howe", "2026-04-04"),
    ("Australia/Lord_Howe", "2026-10-03"),
    ("Antarctica/Troll", "2026-03-29"),
    ("Antarctica/Troll", "2026-10-25"),
    ("America/Havana", "2026-03-08"),
    ("America/Havana", "2026-11-01"),
    ("America/Santiago", "2026-04-05"),
    ("America/Santiago", "2026-09-06"),
    ("Africa/Cairo", "2026-04-24"),
    ("Africa/Cairo", "2026-10-29"),
    ("America/Moncton", "2004-10-31"),
    ("America/Goose_Bay", "2005-10-30"),
    ("America/Goose_Bay", "2006-04-02"),
]


def shown(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


def by_looking(
    minutes: set[int] | None, hours: set[int] | None, zone: ZoneInfo, since: datetime, days: int
) -> Iterator[datetime]:
    """The fires, by looking at a clock on the wall each minute."""
    seen: set[datetime] = set()
    before = shown(since, zone) - timedelta(minutes=1)
    for nth in range(days * 24 * 60):
        moment = since + timedelta(minutes=nth)
        wall = shown(moment, zone)
        if minutes is None or hours is None:
            passed = [wall]
        else:
            count = max(round((wall - before) / timedelta(minutes=1)), 1)
            passed = [wall - timedelta(minutes=ago) for ago in range(count)]
            passed = [one for one in passed if one not in seen]
            seen.update(passed)
        if any(
            (minutes is None or one.minute in minutes) and (hours is None or one.hour in hours)
            for one in passed
        ):
            yield moment
        before = wall


def field(values: set[int] | None) -> str:
    return "*" if values is None else ",".join(map(str, sorted(values)))


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(CHANGES),
    st.none() | st.sets(st.integers(0, 59), min_size=1, max_size=4),
    st.none() | st.sets(st.integers(0, 4) | st.integers(0, 23), min_size=1, max_size=4),
)
def test_the_fires_are_those_of_a_clock_on_the_wall(
    change: tuple[str, str], minutes: set[int] | None, hours: set[int] | None
) -> None:
    name, day = change
    zone = ZoneInfo(name)
    since = datetime.fromisoformat(f"{day}T00:00Z").astimezone(UTC) - timedelta(days=1)
    expected = list(by_looking(minutes, hours, zone, since, 3))
    # The first hours are only there so that the looking has seen what came before.
    begin = since + timedelta(hours=12)
    expected = [one for one in expected if one > begin]
    times = timing(f"{field(minutes)} {field(hours)} * * *", name)
    found = []
    moment = times.after(int(begin.timestamp() * 1000))
    while moment is not None and moment < (since + timedelta(days=3)).timestamp() * 1000:
        found.append(datetime.fromtimestamp(moment / 1000, UTC))
        moment = times.after(moment)
    assert found == expected


STARS = st.sampled_from(["*", "*/2", "*/7", "*/20"])


@st.composite
def expressions(draw: st.DrawFn) -> str:
    def one(low: int, high: int) -> str:
        number = st.integers(low, high).map(str)
        pair = st.tuples(st.integers(low, high), st.integers(low, high)).map(sorted)
        return draw(STARS | number | pair.map("{0[0]}-{0[1]}".format))

    return " ".join([one(0, 59), one(0, 23), one(1, 28), one(1, 12), one(0, 7)])


@settings(max_examples=500, deadline=None)
@given(
    expressions(),
    st.sampled_from(sorted(available_timezones() - {"localtime", "Factory"})),
    st.integers(ms("2000-01-01T00:00Z"), ms("2037-01-01T00:00Z")),
    st.integers(0, 400 * 24 * 60 * MINUTE),
)
def test_fires_only_go_forward(expression: str, zone: str, moment: int, later: int) -> None:
    try:
        times = timing(expression, zone)
    except BadExpression:
        return
    first = times.after(moment)
    if first is None:
        return
    assert first > moment
    assert first % 1000 == 0
    second = times.after(moment + later)
    assert second is None or second >= first
    if first > moment + later:
        assert second == first
    # What was missed is caught up by the last of its fires.
    now = first + later
    latest = times.latest(first, now)
    assert first <= latest <= now
    following = times.after(latest)
    assert following is None or following > now
    assert times.after(latest - 1) == latest
