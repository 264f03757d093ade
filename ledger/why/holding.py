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
    unheard = found.now - order.last_updated
    # It is taken back when neither it nor its manager gave a sign of life for so long.
    silent = unheard if holder is None else min(unheard, holder.silent_ms)
    if holder is None:
        yield reason(
            "holder_unknown",
            f"manager {order.manager}, which has it, has left no row",
            _wait(found, "any manager takes it back after its own CAPATAZ_STALE_SECONDS"),
            **_facts(found),
        )
    elif holder.ended_on is not None:
        yield reason(
            "holder_gone",
            f"manager {holder.id}, which has it, is {holder.state}",
            _wait(found, "another manager takes it back"),
            **_facts(found),
        )
    elif holder.beats and unheard > 2 * holder.heartbeat_ms:
        yield reason(
            "row_locked",
            f"manager {holder.id}, which has it, beats, but could not renew it for "
            f"{span(unheard)}: somebody keeps its row locked in the database, or it gave it up",
            "end what locks it: SELECT * FROM pg_locks; see the log of that manager",
            **_facts(found),
        )
        return
    elif not holder.lives:
        yield reason(
            "holder_stale",
            f"manager {holder.id} has given no sign of life for it for {span(silent)}, longer "
            f"than its stale time of {span(holder.stale_ms)}",
            _wait(found, "another manager takes it back at its next look"),
            **_facts(found),
        )
    elif silent > 2 * holder.heartbeat_ms:
        yield _silent(found, holder, silent)
    else:
        return
    if not found.has_rescuer:
        yield reason(
            "no_rescuer",
            "no other manager beats: nobody is there to take it back",
            "start one: python manage.py manager; it takes back what the dead held within seconds",
        )


def _silent(found: Circumstances, holder: Crew, silent: int) -> Reason:
    message = f"manager {holder.id} has given no sign of life for it for {span(silent)}"
    remedy = "see whether its process runs, and reaches the database"
    facts = _facts(found)
    if found.has_rescuer:
        proven = " or sooner, if its death is proven" if holder.proof == "lock" else ""
        message += f"; it is taken back in {span(holder.stale_ms - silent)}{proven}"
        remedy = f"wait, or {remedy}"
        facts["taken_back_on"] = Moment(
            max(found.order.last_updated, holder.last_beat) + holder.stale_ms
        )
    return reason("holder_silent", message, remedy, **facts)


def _wait(found: Circumstances, what: str) -> str:
    """What to do about a holder that is gone."""
    return f"wait: {what}" if found.has_rescuer else "start a manager, which takes it back"


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
    silent = found.now - order.last_updated
    if _is_heard(found):
        message = f"worker {order.worker} has run it for {span(ran)}{far}"
    else:
        message = f"worker {order.worker} ran it{far} when it was last heard of, {span(silent)} ago"
    return reason(
        "running",
        message,
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
    if worker is not None and _is_heard(found):
        return reason(
            "running",
            f"worker {worker.worker} has it; since when is told with the next sign of life",
            "wait, or cancel it: POST …/cancel",
            **facts | {"worker": worker.worker},
        )
    ago = f"{span(found.now - order.last_updated)} ago"
    if not _is_heard(found):
        return reason(
            "claimed",
            f"manager {order.manager} had claimed it when it was last heard of, {ago}: whether it "
            "began is not known",
            "nothing to do about this: see the reasons before it",
            **facts,
        )
    return reason(
        "claimed",
        f"manager {order.manager} has claimed it: it waits there for a worker, or has begun since "
        f"the last sign of life {ago}",
        "nothing to do: it starts when a worker of that manager is free",
        **facts,
    )


def _is_heard(found: Circumstances) -> bool:
    """Whether its holder lives and gave a sign of life for it of late."""
    holder = found.holder
    silent = found.now - found.order.last_updated
    return holder is not None and holder.lives and silent <= 2 * holder.heartbeat_ms


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
