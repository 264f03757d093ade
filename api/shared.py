"""Answers that many may have: what one caller was just told is told to the next.

Only to those who say with `Cache-Control: max-age=N` that an answer of that age will do, as pages
do that look again and again by themselves. So however many of them are open, the database is asked
as if there were one. All others get what is there now.
"""

from __future__ import annotations

import functools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, request

from api.services import caller

# A page of a list is some ten kilobytes.
MOST_KEPT = 200
MOST_BYTES = 256 * 1024
LONGEST_SECONDS = 60

SHARED = (
    "jobs.list_jobs",
    "jobs.count",
    "events.list_events",
    "series.get_series",
    "queues.list_queues",
    "schedules.list_schedules",
    "workers.list_workers",
)


@dataclass(slots=True)
class _Kept:
    """An answer, once there is one; its lock is held while it is made."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    response: Response | None = None
    made: float = 0.0


class Shared:
    """The answers of one application that are not older than somebody may want them."""

    def __init__(self, app: Flask) -> None:
        """Call once all endpoints are registered."""
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        for endpoint in SHARED:
            app.view_functions[endpoint] = self._sharing(app.view_functions[endpoint])

    def _sharing(self, view: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(view)
        def answer(*arguments: Any, **more: Any) -> Any:
            seconds = _wanted_age()
            if not seconds or request.method != "GET":
                return view(*arguments, **more)
            kept = self._place()
            # Whoever asks while it is being made waits for it, and has it too.
            with kept.lock:
                age = time.monotonic() - kept.made
                if kept.response is None or age >= seconds:
                    made = time.monotonic()
                    response: Response = view(*arguments, **more)
                    if not _is_worth_keeping(response):
                        return response
                    kept.response, kept.made, age = response, made, 0.0
                copy = _copied(kept.response)
            copy.headers["Age"] = str(int(age))
            return copy

        return answer

    def _place(self) -> _Kept:
        """Where the answer to this request is kept: to this caller, and to no other."""
        key = (caller(), request.full_path)
        with self._lock:
            kept = self._kept.setdefault(key, _Kept())
            self._kept.move_to_end(key)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return kept


def _is_worth_keeping(response: Response) -> bool:
    return response.status_code == HTTPStatus.OK and len(response.get_data()) <= MOST_BYTES


def _wanted_age() -> int:
    """How many seconds old the answer may be."""
    wanted = request.cache_control
    if wanted.no_cache or wanted.no_store:
        return 0
    return max(0, min(wanted.max_age or 0, LONGEST_SECONDS))


def _copied(response: Response) -> Response:
    """Headers are added to each answer on its way out, so none is used twice."""
    copy = Response(response.get_data(), response.status_code)
    copy.headers = response.headers.copy()
    return copy
