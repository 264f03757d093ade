"""The state of the system in a word: Stable, High Load or Recovering, with why and since when."""

from __future__ import annotations

from typing import NamedTuple

STABLE = "Stable"
HIGH_LOAD = "High Load"
RECOVERING = "Recovering"

# How long a cause must last, and how long a state outlives its cause.
LASTING_MS = 60_000
LONG_WAIT_MS = 30_000


class Signs(NamedTuple):
    """What was seen at the moment `now` (ms); `trouble` is when a worker was last lost or replaced,
    or its work taken back."""

    now: int
    trouble: int | None
    waiting_ms: int
    is_loaded: bool


class State(NamedTuple):
    """A state, its reason, and since when (ms)."""

    status: str
    reason: str
    since: int


class Condition:
    """Remembers what was seen, so that a cause can last and a state outlive it."""

    def __init__(self) -> None:
        self._state: State | None = None
        self._pressed_since: int | None = None
        self._eased: int | None = None
        self._load_seen: int | None = None
        self._trouble: int | None = None

    def observe(self, signs: Signs) -> State:
        """The state now, after what was seen now."""
        self._note(signs)
        status, reason = self._judge(signs)
        if self._state is None or self._state.status != status:
            self._state = State(status, reason, signs.now)
        else:
            self._state = self._state._replace(reason=reason)
        return self._state

    def _note(self, signs: Signs) -> None:
        if signs.trouble is not None:
            self._trouble = max(signs.trouble, self._trouble or 0)
        if signs.is_loaded or signs.waiting_ms > LONG_WAIT_MS:
            # An order that waits for so long has waited too long for that much of the time, unless
            # it was not runnable then, in a queue that was paused.
            since = signs.now - max(0, signs.waiting_ms - LONG_WAIT_MS)
            since = max(since, self._eased or since)
            self._pressed_since = min(self._pressed_since or since, since)
            if signs.now - self._pressed_since >= LASTING_MS:
                self._load_seen = signs.now
        else:
            self._pressed_since = None
            self._eased = signs.now

    def _judge(self, signs: Signs) -> tuple[str, str]:
        if self._trouble is not None and signs.now - self._trouble < LASTING_MS:
            return RECOVERING, "a worker was lost or replaced less than a minute ago"
        if self._load_seen is not None and signs.now - self._load_seen < LASTING_MS:
            if signs.waiting_ms > LONG_WAIT_MS:
                return HIGH_LOAD, f"the oldest order waits {signs.waiting_ms // 1000} s"
            if signs.is_loaded:
                return HIGH_LOAD, "nearly all workers are busy, with minutes of work pending"
            return HIGH_LOAD, "the load has eased, less than a minute ago"
        return STABLE, "no rescue and no long wait in the last minute"
