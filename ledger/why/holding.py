"""Why an order that is in hand has not ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ledger.spans import span
from ledger.why.circumstances import Circumstances, Crew
from ledger.why.reason import Moment, Reason, reason
from ledger.why.waiting import beside

# A worker that runs on so long after the deadline is left behind.
HUNG_MS = 2_000


def in_hand(found: Circumstances) -> list[Reason]:
    """Who has it, since when, and whether that one lives: the most decisive first."""
    return [*_holder_trouble(found), *_overdue(found), _run(found), *beside(found)]


def _holder_trouble(found: Circumstances) -> Iterator[Reason]:
    order, holder = found.order, found.holder
    silent = found.now - order.last_updated
    if holder is None:
        yield reason(
            "holder_unknown",
            f"manager {order.manager}, which has it, has left no row",
            "wait: any manager takes it back after its own CAPATAZ_STALE_SECONDS",
            **_facts(found),
        )
    elif holder.ended_on is not None:
        yield reason(
            "holder_gone",
            f"manager {holder.id}, which has it, is {holder.state}",
            "wait: another manager takes it back",
            **_facts(found),
        )
    elif not holder.lives or silent >= holder.stale_ms:
        yield reason(
            "holder_stale",
            f"manager {holder.id} has given no sign of life for it for {span(silent)}, longer "
            f"than its stale time of {span(holder.stale_ms)}",
            "wait: another manager takes it back at its next look",
            **_facts(found),
        )
    elif silent > 2 * holder.heartbeat_ms:
        proven = " or sooner, if its death is proven" if holder.proof == "lock" else ""
        yield reason(
            "holder_silent",
            f"manager {holder.id} has given no sign of life for it for {span(silent)}; it is "
            f"taken back in {span(holder.stale_ms - silent)}{proven}",
            "wait, or see whether its process runs, and reaches the database",
            taken_back_on=Moment(order.last_updated + holder.stale_ms),
            **_facts(found),
        )
    else:
        return
    if not any(manager.id != order.manager for manager in found.living):
        yield reason(
            "no_rescuer",
            "there is no other living manager to take it back",
            "start one: python manage.py manager",
        )


def _overdue(found: Circumstances) -> Iterator[Reason]:
    order = found.order
    if order.started_on is None:
        return
    late = found.now - order.started_on - order.timeout_ms
    if late > HUNG_MS:
        yield reason(
            "past_deadline",
            f"its deadline passed {span(late)} ago",
            "nothing to do while its manager lives, which ends the attempt; else it is taken back",
            deadline=Moment(order.started_on + order.timeout_ms),
            late_ms=late,
        )


def _run(found: Circumstances) -> Reason:
    order = found.order
    facts = _facts(found) | {"lease": order.lease, "attempt": order.attempts}
    if order.started_on is None:
        return _just_claimed(found, facts)
    progress = json.loads(order.progress) if order.progress else {}
    ran = found.now - order.started_on
    percent = progress.get("percent")
    far = "" if percent is None else f", and is at {percent:g} %"
    return reason(
        "running",
        f"worker {order.worker} has run it for {span(ran)}{far}",
        "wait, or cancel it: POST …/cancel",
        **facts
        | {
            "since": Moment(order.started_on),
            "running_ms": ran,
            "deadline": Moment(order.started_on + order.timeout_ms),
            "percent": percent,
        },
    )


def _just_claimed(found: Circumstances, facts: dict[str, Any]) -> Reason:
    """When it began is written with a later sign of life; its worker may be known already."""
    order, worker = found.order, found.in_hand
    if worker is not None:
        return reason(
            "running",
            f"worker {worker.worker} has it; since when is told with the next sign of life",
            "wait, or cancel it: POST …/cancel",
            **facts | {"worker": worker.worker},
        )
    return reason(
        "claimed",
        f"manager {order.manager} has claimed it: it waits there for a worker, or has begun since "
        f"the last sign of life {span(found.now - order.last_updated)} ago",
        "nothing to do: it starts when a worker of that manager is free",
        **facts,
    )


def _facts(found: Circumstances) -> dict[str, Any]:
    order = found.order
    holder: Crew | None = found.holder
    return {
        "manager": order.manager,
        "worker": order.worker,
        "last_sign_of_life": Moment(order.last_updated),
        "silent_ms": max(0, found.now - order.last_updated),
        "proof": holder.proof if holder else None,
    }
