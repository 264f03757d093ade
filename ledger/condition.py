"""The state of the system in a word: Stable, High Load or Recovering, with why and since when.

What must be remembered for it, since a cause must last and a state outlives it, is one row of the
database, which whichever manager comes first writes anew. Whoever asks goes on from there with what
is to be seen now, and writes nothing: so all give the same answer, and the times in it are those of
the causes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from database import Database, Sql

STABLE = "Stable"
HIGH_LOAD = "High Load"
RECOVERING = "Recovering"

# How long a cause must last, and how long a state outlives its cause.
LASTING_MS = 60_000
LONG_WAIT_MS = 30_000
MUCH_WORK_MS = 120_000
BUSY_PART = 0.9

# So long after somebody has looked the next look is due: under load, and else. What happened while
# nobody looked is told by its events, and how long an order waits by its row.
PRESSED_MS, CALM_MS = 1_500, 4_500


class Trouble(NamedTuple):
    """A span (ms) in which something went wrong, and what, in a few words."""

    begin: int
    end: int
    what: str


class Signs(NamedTuple):
    """What is to be seen at the moment `now` (ms).

    `waiting_since` is since when the oldest runnable order could run; `troubles` are those of the
    last minutes, the earliest first; `is_loaded` is that nearly all workers are busy with minutes
    of work pending.
    """

    now: int
    waiting_since: int | None = None
    is_loaded: bool = False
    troubles: Sequence[Trouble] = ()

    @property
    def waiting_ms(self) -> int:
        """How long the oldest runnable order waits."""
        return 0 if self.waiting_since is None else max(0, self.now - self.waiting_since)


class Memory(NamedTuple):
    """What is remembered, all in ms: since when the load presses, and the last spans of high load
    and of trouble. `sampled_on` is when a manager last looked."""

    begun_on: int
    sampled_on: int
    pressed_since: int | None = None
    load_from: int | None = None
    load_until: int | None = None
    trouble_from: int | None = None
    trouble_until: int | None = None
    trouble: str | None = None


class State(NamedTuple):
    """A state, its reason, and since when its cause is there (ms)."""

    status: str
    reason: str
    since: int


def remember(memory: Memory, signs: Signs) -> Memory:
    """What is to be remembered after this has been seen."""
    return _with_load(_with_troubles(memory, signs.troubles), signs)


def judge(memory: Memory, signs: Signs) -> State:
    """The state, by what is remembered and what is to be seen; `remember` comes first."""
    now = signs.now
    if _is_recent(memory.trouble_until, now):
        reason = f"{memory.trouble}, less than a minute ago"
        return State(RECOVERING, reason, memory.trouble_from or now)
    if _is_recent(memory.load_until, now):
        return State(HIGH_LOAD, _load(signs), memory.load_from or now)
    left = [end + LASTING_MS for end in (memory.trouble_until, memory.load_until) if end]
    since = min(now, max([memory.begun_on, *left]))
    return State(STABLE, "no trouble and no long wait in the last minute", since)


def _with_troubles(memory: Memory, troubles: Sequence[Trouble]) -> Memory:
    """Troubles that come within a minute of each other are one."""
    for one in troubles:
        if memory.trouble_until is not None and one.end <= memory.trouble_until:
            continue
        goes_on = memory.trouble_until is not None and one.begin - memory.trouble_until < LASTING_MS
        memory = memory._replace(
            trouble_from=memory.trouble_from if goes_on else one.begin,
            trouble_until=one.end,
            trouble=one.what,
        )
    return memory


def _with_load(memory: Memory, signs: Signs) -> Memory:
    now = signs.now
    if not signs.is_loaded and signs.waiting_ms <= LONG_WAIT_MS:
        return memory._replace(pressed_since=None)
    # An order that waits for so long has waited too long for that much of the time.
    since = now if signs.waiting_since is None else min(now, signs.waiting_since + LONG_WAIT_MS)
    since = min(since, memory.pressed_since or since)
    memory = memory._replace(pressed_since=since)
    if _is_recent(memory.load_until, now):
        return memory._replace(load_until=now)
    if now - since >= LASTING_MS:
        return memory._replace(load_from=since, load_until=now)
    return memory


def _load(signs: Signs) -> str:
    if signs.waiting_ms > LONG_WAIT_MS:
        return f"the oldest order that could run waits {signs.waiting_ms // 1000} s"
    if signs.is_loaded:
        return "nearly all workers are busy, with minutes of work pending"
    return "the load has eased, less than a minute ago"


def _is_recent(end: int | None, now: int) -> bool:
    return end is not None and now - end < LASTING_MS


_FIELDS = ", ".join(Memory._fields)
RECALL = Sql(f"SELECT {_FIELDS}, {{now}} FROM system_state WHERE id = 1")
# Whoever read the same as we did and was quicker has done our work.
KEEP = Sql("""
    UPDATE system_state SET sampled_on = :now, pressed_since = :pressed_since,
        load_from = :load_from, load_until = :load_until, trouble_from = :trouble_from,
        trouble_until = :trouble_until, trouble = :trouble
    WHERE id = 1 AND sampled_on = :sampled_on""")


def recall(database: Database) -> tuple[Memory, int]:
    """What is remembered, and the time (ms) by the database's clock. Raises `DatabaseAway`."""
    *fields, now = database.read(RECALL)[0]
    return Memory._make(fields), now


def is_due(memory: Memory, now: int) -> bool:
    """Whether it is time that a manager looks, for all."""
    patience = CALM_MS if memory.pressed_since is None else PRESSED_MS
    return not 0 <= now - memory.sampled_on < patience


def keep(database: Database, memory: Memory, signs: Signs) -> None:
    """Remember what was seen, for all; `memory` is what was recalled before.

    Raises `DatabaseAway`.
    """
    given = remember(memory, signs)._asdict() | {"now": signs.now}
    del given["begun_on"]
    database.write(lambda transaction: transaction.run(KEEP, given))
