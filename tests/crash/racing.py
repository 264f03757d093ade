"""Races: hands that are let go together and reach for one order after the other."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from database import Database
from tests.ledger import evidence

# About as long as a move takes.
SPREAD_SECONDS = 0.0015

# A hand moves the nth order of a batch, over its own handle, and answers what it was told.
Hand = Callable[[Database, int], Any]


class Told(NamedTuple):
    """What a hand was told, and when it asked and heard, in seconds."""

    answer: Any
    asked: float
    heard: float


@contextmanager
def turns_often() -> Iterator[None]:
    """Let no thread keep the others from starting while it spins."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.00002)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def race(url: str, hands: Sequence[Hand], count: int, chance: random.Random) -> list[list[Told]]:
    """Let all hands reach for each of so many orders; what they were told, for each order.

    Each has a thread and a database handle of its own, and starts a random moment after the signal.
    """
    gate = threading.Barrier(len(hands))

    def run(hand: Hand, delays: list[float]) -> list[Told]:
        database = Database(url)
        told = []
        try:
            for nth, delay in enumerate(delays):
                gate.wait(20)
                go = time.perf_counter() + delay
                while (asked := time.perf_counter()) < go:
                    pass
                answer = hand(database, nth)
                told.append(Told(answer, asked, time.perf_counter()))
        except threading.BrokenBarrierError:
            pass  # another hand failed, and says so
        except BaseException:
            gate.abort()
            raise
        finally:
            database.close()
        return told

    works = [
        partial(run, hand, [chance.uniform(0, SPREAD_SECONDS) for _ in range(count)])
        for hand in hands
    ]
    with turns_often():
        return [list(told) for told in zip(*evidence.at_once(works), strict=True)]


def met(told: Sequence[Told]) -> bool:
    """Whether all of them were at it at one moment."""
    return max(one.asked for one in told) < min(one.heard for one in told)
