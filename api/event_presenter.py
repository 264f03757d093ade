"""An event as the endpoints show it: a sentence for people, and its facts for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pydantic.alias_generators import to_camel

import exact_json
from api.presenter import plain_moment
from ledger.events.item import EventItem
from ledger.spans import span
from models import ALL_QUEUES


def page(items: Iterable[EventItem], next_cursor: str | None, searched_to: int | None) -> str:
    """The JSON of a page of events; `searched_to` is the time (ms) where a search gave up."""
    document: dict[str, Any] = {"items": list(map(event, items)), "nextCursor": next_cursor}
    if searched_to is not None:
        document["searchedTo"] = plain_moment(searched_to)
    return exact_json.dumps(document)


def event(item: EventItem) -> dict[str, Any]:
    """An event as a JSON object."""
    return {
        "id": f"{item.row}-{item.place}" if item.row else f"{item.order_id}-{item.rank}",
        "timestamp": plain_moment(item.at),
        "event": item.kind,
        "description": described(item),
        "job": item.order_id,
        "type": item.type,
        "worker": item.worker,
        "manager": item.manager,
        "details": {to_camel(name): value for name, value in item.data.items()},
    }


def described(item: EventItem) -> str:
    """What happened, in a sentence. A kind that is not known here is told by its name."""
    say = SENTENCES.get(item.kind)
    if say is None:
        name = item.kind.replace("_", " ")
        whose = _task(item) if item.order_id else item.worker or item.manager
        return f"{whose}: {name}" if whose else name
    return say(item)


def _task(item: EventItem) -> str:
    kind = "" if item.type is None else f" ({item.type})"
    return f"task {item.order_id}{kind}"


def _claimed(item: EventItem) -> str:
    if item.worker is not None:
        return f"{_task(item)} assigned to worker {item.worker}"
    return f"{_task(item)} taken by manager {item.manager}"


def _by(item: EventItem) -> str:
    return "" if item.worker is None else f" by worker {item.worker}"


def _on(item: EventItem) -> str:
    return "" if item.worker is None else f" on worker {item.worker}"


_CAUSES = {
    "error": "an error",
    "fatal": "an error for good",
    "timed_out": "its time limit",
    "crashed": "a crash of its process",
}


def _cause(item: EventItem) -> str:
    outcome = str(item.data.get("outcome"))
    return _CAUSES.get(outcome, outcome)


def _retrying(item: EventItem) -> str:
    spent, allowed, delay = (item.data.get(name) for name in ("spent", "allowed", "delay_ms"))
    if spent is None or allowed is None:
        again = "retrying"
    elif item.data.get("outcome") == "crashed":
        again = f"retrying after crash {spent}/{allowed}"
    else:
        again = f"retrying {spent + 1}/{allowed}"
    soon = "" if delay is None else f" in {span(delay)}"
    return f"{_task(item)} {again}{soon}, after {_cause(item)}{_on(item)}"


def _failed(item: EventItem) -> str:
    spent, allowed = item.data.get("spent"), item.data.get("allowed")
    if spent is None or allowed is None:
        tries = ""
    elif item.data.get("outcome") == "crashed":
        tries = f", crash {spent}/{allowed}"
    else:
        tries = f", attempt {spent}/{allowed}"
    return f"{_task(item)} failed: {_cause(item)}{_on(item)}{tries}"


def _cancelled(item: EventItem) -> str:
    was = " while it ran" if item.data.get("before") == "wip" else ""
    return f"{_task(item)} cancelled{was}{_on(item)}"


def _rescued(item: EventItem) -> str:
    delay = item.data.get("delay_ms")
    soon = "" if delay is None else f"; it is due again in {span(delay)}"
    return f"{_task(item)} taken back from {item.manager}, which {_fate(item)}{soon}"


_FATES = {"dead": "died", "gave up": "could not write down what it came to"}


def _fate(item: EventItem) -> str:
    return _FATES.get(str(item.data.get("holder")), "gave no sign of life")


def _crashed(item: EventItem) -> str:
    return f"{_task(item)} failed: {item.manager}, which had it, {_fate(item)}; once too often"


def _late(item: EventItem) -> str:
    now = item.data.get("now")
    state = f"it is {now}" if now else "it was deleted"
    return f"{_task(item)}: a late result{_by(item)} was discarded, {state}"


def _unknown_type(item: EventItem) -> str:
    again = item.data.get("delay_ms")
    soon = "" if again is None else f"; it is due again in {span(again)}"
    return f"{_task(item)} handed back: {item.manager} does not know its type{soon}"


def _queue(item: EventItem) -> str:
    name = item.data.get("queue")
    return "all queues" if name == ALL_QUEUES else f"queue {name}"


def _schedule(item: EventItem) -> str:
    return f"schedule {item.data.get('schedule')}"


def _project(item: EventItem) -> str:
    return f"project {item.data.get('project')}"


def _project_changed(item: EventItem) -> str:
    return f"{_project(item)} changed: {', '.join(item.data.get('fields') or ())}"


def _schedule_paused(item: EventItem) -> str:
    reason = item.data.get("reason")
    return f"{_schedule(item)} paused" + (f": {reason}" if reason else "")


def _schedule_changed(item: EventItem) -> str:
    fields = ", ".join(map(str, item.data.get("fields", ())))
    return f"{_schedule(item)} changed: {fields}"


def _schedule_missed(item: EventItem) -> str:
    since, fire = item.data.get("since"), item.data.get("fire")
    if not isinstance(since, int) or not isinstance(fire, int):
        return f"{_schedule(item)} was not fired in time"
    due = f"of {plain_moment(fire)}"
    if since != fire:
        due = f"from {plain_moment(since)} to {plain_moment(fire)}"
    return f"{_schedule(item)}: what was due {due} was missed; {_task(item)} stands for it"


def _manager_lost(item: EventItem) -> str:
    return f"manager {item.manager} is lost: its process is gone"


def _broker_away(item: EventItem) -> str:
    return f"the broker ({item.data.get('transport')}) is away: {item.data.get('reason')}"


def _broker_back(item: EventItem) -> str:
    return f"the broker ({item.data.get('transport')}) was away{_lasted(item)}"


def _database_away(item: EventItem) -> str:
    return f"the database was away{_lasted(item)}"


def _lasted(item: EventItem) -> str:
    begin, end = item.data.get("from"), item.data.get("to")
    if not isinstance(begin, int) or not isinstance(end, int):
        return ""
    return f" for {span(end - begin)}, from {plain_moment(begin)}"


def _messages_refused(item: EventItem) -> str:
    count, told = item.data.get("count"), item.data.get("messages") or [{}]
    messages = "a message" if count == 1 else f"{count} messages"
    return f"{messages} by {item.data.get('via')} made no order: {told[0].get('reason')}"


def _manager_stopped(item: EventItem) -> str:
    reason = item.data.get("reason")
    return f"manager {item.manager} stopped" + (f": {reason}" if reason else "")


def _manager_started(item: EventItem) -> str:
    return f"manager {item.manager} started with up to {item.data.get('slots')} workers"


def _worker_lost(item: EventItem) -> str:
    return f"worker {item.worker} was lost: an error ended its thread, and another took its place"


def _worker_replaced(item: EventItem) -> str:
    why = item.data.get("why")
    if why is not None:
        during = f" while it ran {_task(item)}" if item.order_id else ""
        return f"worker {item.worker} lost its process{during}, and gets another: {why}"
    during = f" in {_task(item)}" if item.order_id else ""
    return f"worker {item.worker} hangs{during}: left behind, and another put in its place"


def _retention(item: EventItem) -> str:
    told = [f"{n} {what}" for what, n in item.data.items()]
    return f"what was older than its retention deleted: {', '.join(told)}"


def _audit(item: EventItem) -> str:
    repaired = item.data.get("repaired")
    mended = f", {repaired} repaired" if repaired else ""
    whose = f" ({_task(item)})" if item.order_id else ""
    return f"the audit found {item.data.get('what')}{whose}{mended}: {item.data.get('remedy')}"


def _corrected(item: EventItem) -> str:
    wrong = item.data.get("wrong")
    told = [f"{s} was {n:+,} off" for s, n in wrong.items()] if isinstance(wrong, dict) else []
    return "the figures were corrected by the table: " + ", ".join(told)


SENTENCES: dict[str, Callable[[EventItem], str]] = {
    "submitted": lambda i: f"{_task(i)} submitted",
    "claimed": _claimed,
    "completed": lambda i: f"{_task(i)} completed{_by(i)}",
    "retrieved": lambda i: f"result of {_task(i)} collected",
    "retrying": _retrying,
    "failed": _failed,
    "cancelled": _cancelled,
    "retried": lambda i: f"{_task(i)}, which was {i.data.get('before')}, is to run again",
    "deleted": lambda i: f"{_task(i)} deleted",
    "rescued": _rescued,
    "crashed": _crashed,
    "handed_back": lambda i: f"{_task(i)} handed back by {i.manager}: it is pending again",
    "unknown_type": _unknown_type,
    "late_result_discarded": _late,
    "queue_paused": lambda i: f"{_queue(i)} paused",
    "queue_resumed": lambda i: f"{_queue(i)} resumed",
    "manager_started": _manager_started,
    "manager_stopped": _manager_stopped,
    "manager_lost": _manager_lost,
    "database_away": _database_away,
    "broker_away": _broker_away,
    "broker_back": _broker_back,
    "messages_refused": _messages_refused,
    "worker_added": lambda i: f"worker {i.worker} added to the pool",
    "worker_removed": lambda i: f"worker {i.worker} removed from the pool",
    "worker_replaced": _worker_replaced,
    "worker_lost": _worker_lost,
    "schedule_created": lambda i: f"{_schedule(i)} created",
    "schedule_changed": _schedule_changed,
    "schedule_deleted": lambda i: f"{_schedule(i)} deleted",
    "schedule_paused": _schedule_paused,
    "schedule_resumed": lambda i: f"{_schedule(i)} resumed",
    "schedule_fired": lambda i: f"{_schedule(i)} fired: {_task(i)}",
    "schedule_run": lambda i: f"{_schedule(i)} run by hand: {_task(i)}",
    "schedule_missed": _schedule_missed,
    "retention_deleted": _retention,
    "audit_found": _audit,
    "levels_corrected": _corrected,
    "project_created": lambda i: f"{_project(i)} saved",
    "project_changed": _project_changed,
    "project_deleted": lambda i: f"{_project(i)} deleted",
    "project_run": lambda i: f"{_project(i)} run: {_task(i)}",
}
