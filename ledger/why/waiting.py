"""Why a pending order does not run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ledger.rescue import MAX_CRASHES
from ledger.spans import span
from ledger.why.circumstances import MOST_AHEAD, Circumstances, Crew
from ledger.why.reason import Moment, Reason, reason

# Due for less than this, it is only about to be claimed.
SOON_MS = 2_000
SKEW_MS = 5_000
MESSAGE_CUT = 300
NAMED = 10

_CRASHES = ("crashed", "worker_lost")


def waiting(found: Circumstances) -> list[Reason]:
    """What keeps it from being claimed, the most decisive first; nothing if nothing does."""
    return [*_paused(found), *_nobody(found), *_not_due(found), *_in_line(found)]


def due(found: Circumstances, *, locked: bool) -> Reason:
    """What is to be said when nothing keeps it."""
    since = found.now - found.due_on
    facts: dict[str, Any] = {"due_on": Moment(found.due_on), "due_for_ms": since}
    if since < SOON_MS:
        return reason(
            "about_to_run",
            "nothing keeps it: a free worker takes it at the next look",
            "nothing to do: it starts within the managers' CAPATAZ_POLL_SECONDS",
            **facts,
        )
    if locked:
        return reason(
            "row_locked",
            "somebody keeps its row locked, and claims pass it over",
            "find the transaction in pg_stat_activity (idle in transaction?) and end it",
            **facts,
        )
    return reason(
        "not_taken",
        f"nothing keeps it, and it was not taken for {span(since)}",
        "read the managers' logs; one that takes nothing although it could restarts by itself",
        **facts,
    )


def beside(found: Circumstances) -> Iterator[Reason]:
    """What matters beside, whether the order waits or runs."""
    order = found.order
    if order.crashes or found.quarantined:
        times = f"{order.crashes} of {MAX_CRASHES} times" if order.crashes else "before"
        yield reason(
            "quarantined",
            f"what it ran in died {times}, by its doing or by that of others which ran beside it: "
            "now it runs in a process of its own, so that only the guilty one dies again",
            "nothing to do if it is innocent; see the errors in its history, since at the last "
            "crash allowed it fails",
            crashes=order.crashes,
            most_crashes=MAX_CRASHES,
        )


def _paused(found: Circumstances) -> Iterator[Reason]:
    if found.all_paused_on is not None:
        yield reason(
            "all_paused",
            f"all queues are paused, for {span(found.now - found.all_paused_on)}",
            "POST /api/v1/resume",
            since=Moment(found.all_paused_on),
        )
    if found.queue_paused_on is not None:
        queue = found.order.queue
        yield reason(
            "queue_paused",
            f"queue {queue} is paused, for {span(found.now - found.queue_paused_on)}",
            f"POST /api/v1/queues/{queue}/resume",
            queue=queue,
            since=Moment(found.queue_paused_on),
        )


def _nobody(found: Circumstances) -> Iterator[Reason]:
    """Whether there is no manager that could take it."""
    order, living = found.order, found.living
    if not living:
        yield _no_manager(found)
        return
    serving = [manager for manager in living if manager.serves(order.queue)]
    if not serving:
        yield reason(
            "queue_not_served",
            f"none of the {len(living)} living managers serves queue {order.queue}",
            f"add {order.queue} to CAPATAZ_QUEUES of one, or start one without CAPATAZ_QUEUES",
            queue=order.queue,
            served=sorted({name for m in living for name in m.queues or ()}),
        )
        return
    if not found.able:
        yield reason(
            "type_unknown",
            f"none of the managers that serve queue {order.queue} knows type {order.type}",
            "name the module that has it in their CAPATAZ_JOBS and restart them, or cancel it",
            type=order.type,
            managers=_names(serving),
        )
        return
    yield from _absent(found)


def _absent(found: Circumstances) -> Iterator[Reason]:
    """Whether those that could take it do not just now."""
    able = found.able
    if all(manager.state == "draining" for manager in able):
        yield reason(
            "managers_stopping",
            "the managers that could take it are stopping",
            "start one",
            managers=_names(able),
        )
    elif all(manager.silent_ms > 2 * manager.heartbeat_ms for manager in able):
        silent = min(manager.silent_ms for manager in able)
        yield reason(
            "managers_silent",
            f"the managers that could take it have given no sign of life for {span(silent)}",
            "see whether their processes run, and reach the database",
            managers=_names(able),
            silent_ms=silent,
        )


def _no_manager(found: Circumstances) -> Reason:
    last = max(found.managers, key=lambda manager: manager.last_beat, default=None)
    if last is None:
        return reason("no_manager", "no manager was ever started", "python manage.py manager")
    return reason(
        "no_manager",
        f"no manager is alive: the last one, {last.id}, gave its last sign of life "
        f"{span(last.silent_ms)} ago",
        "start one: python manage.py manager",
        last_manager=last.id,
        last_beat=Moment(last.last_beat),
        state=last.state,
    )


def _not_due(found: Circumstances) -> Iterator[Reason]:
    order = found.order
    ahead = order.run_at - found.now
    if ahead <= 0:
        return
    facts: dict[str, Any] = {"due_on": Moment(order.run_at), "due_in_ms": ahead}
    last = found.past[-1] if found.past else None
    if last is not None and last.lease == order.lease:
        yield _backing_off(found, last.outcome, last.error, facts)
        return
    if order.lease and order.run_at > order.last_updated:
        yield reason(
            "handed_back_unknown_type",
            f"a manager did not know type {order.type} and handed it back; due in {span(ahead)}",
            "name the module that has the type in CAPATAZ_JOBS of every manager that serves "
            f"queue {order.queue}",
            type=order.type,
            **facts,
        )
        return
    yield reason(
        "starts_later",
        f"it is to run in {span(ahead)}",
        "wait, or cancel it and submit it without runAt or delay",
        **facts,
    )
    # An id carries the clock of the host that made it.
    skew = int(order.id.replace("-", "")[:12], 16) - order.created_on
    if abs(skew) > SKEW_MS:
        faster = "ahead of" if skew > 0 else "behind"
        yield reason(
            "clocks_differ",
            f"the web host's clock was {span(abs(skew))} {faster} the database's, which decides",
            "keep the clocks of all hosts in time (NTP); delay does not depend on them",
            web_ahead_ms=skew,
        )


def _backing_off(
    found: Circumstances, outcome: str, error: str | None, facts: dict[str, Any]
) -> Reason:
    order = found.order
    told = json.loads(error) if error else {}
    facts |= {"error": told.get("type"), "error_message": _cut(told.get("message"))}
    soon = span(order.run_at - found.now)
    if outcome in _CRASHES:
        return reason(
            "crash_backoff",
            f"after crash {order.crashes} of {MAX_CRASHES} ({told.get('type')}) it waits; it is "
            f"due in {soon}",
            "wait; see its history for what ended its process or its manager",
            crashes=order.crashes,
            most_crashes=MAX_CRASHES,
            **facts,
        )
    spent = order.attempts - order.crashes
    return reason(
        "retry_backoff",
        f"attempt {spent} of {order.max_attempts} ended with {told.get('type')}; the next is due "
        f"in {soon}",
        "wait; if no attempt can help, cancel it",
        attempts=spent,
        max_attempts=order.max_attempts,
        **facts,
    )


def _in_line(found: Circumstances) -> Iterator[Reason]:
    """What it has to wait for once it is due: others before it, and a free worker."""
    if found.order.run_at > found.now:
        return
    ahead, own = _ahead(found)
    # Nobody comes before it where nobody is served.
    if ahead and any(manager.beats for manager in found.able):
        yield _behind(found, ahead, own)
    able = [manager for manager in found.able if manager.state != "draining"]
    if able and all(manager.held >= manager.slots for manager in able):
        slots = sum(manager.slots for manager in able)
        longest = found.longest
        since = f", the longest for {span(longest[0].running_ms)}" if longest else ""
        yield reason(
            "workers_busy",
            f"all {slots} workers of the managers that could take it are busy{since}",
            "wait, cancel what runs too long, start more managers, or raise CAPATAZ_MAX_WORKERS",
            workers=slots,
            managers=_names(able),
            longest=[
                {
                    "jobId": run.order_id,
                    "type": run.type,
                    "worker": run.worker,
                    "runningMs": run.running_ms,
                }
                for run in longest
            ],
        )


def _ahead(found: Circumstances) -> tuple[int, int]:
    """How many due orders come before it: of all queues, and of its own."""
    return found.before + found.higher, found.before + found.higher_own


def _behind(found: Circumstances, ahead: int, own: int) -> Reason:
    waits = [
        ((count + 1) * found.claims_ms / claims, claims)
        for count, claims in ((own, found.queue_claims), (ahead, found.claims))
        if claims
    ]
    many = ahead > MOST_AHEAD
    number = f"{MOST_AHEAD}+" if many else ahead
    # Its own queue may be slower than all together.
    longest, claims = max(waits, default=(0.0, 0))
    wait = round(longest) if waits else None
    pace = "none were taken in the last minutes"
    if wait is not None:
        least = "at least " if many else "about "
        pace = f"at the pace of the last minutes, idle ones included, that is {least}{span(wait)}"
    return reason(
        "orders_ahead",
        f"{number} due order{'' if ahead == 1 else 's'} come{'s' if ahead == 1 else ''} before "
        f"it; {pace}",
        "wait, start more managers, or submit with a higher priority what must not wait",
        ahead=number,
        claims_per_minute=round(claims * 60_000 / found.claims_ms, 1),
        estimated_wait_ms=wait,
    )


def _names(managers: list[Crew]) -> list[str]:
    return [manager.id for manager in managers][:NAMED]


def _cut(text: Any) -> str | None:
    if not isinstance(text, str):
        return None
    return text if len(text) <= MESSAGE_CUT else text[:MESSAGE_CUT] + "…"
