"""A worker: one execution of a function on one of the pool's threads, and such a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from manager.pool import ManageWorker


class Worker:
    """What runs one target, once.

    `guid` names the execution, `thread` is the thread it runs on (None until it does), `delegate`
    the function it was given. The thread itself is the pool's and serves the next worker after.
    """

    __slots__ = ("_finished", "_kwargs", "_pool", "delegate", "error", "guid", "result", "thread")

    def __init__(
        self,
        guid: str,
        delegate: Callable[..., Any],
        kwargs: Mapping[str, Any] | None = None,
        pool: ManageWorker | None = None,
    ) -> None:
        self.guid = guid
        self.delegate = delegate
        self.thread: threading.Thread | None = None
        self.result: Any = None
        self.error: BaseException | None = None
        self._kwargs = kwargs or {}
        self._pool = pool
        self._finished: threading.Event | None = None

    def run(self) -> None:
        """Call the delegate; what it raises is kept in `error` and harms no thread."""
        self.thread = threading.current_thread()
        try:
            self.result = self.delegate(**self._kwargs)
        except BaseException as error:
            self.error = error
        finally:
            self.finish()

    def finish(self) -> None:
        """Give the slot back. Safe twice: the pool forgets a worker once."""
        if self._pool is not None:
            self._pool.finish(self.guid, self)


class WorkerThread(threading.Thread):
    """One of the pool's threads, which serves one `Worker` after the other.

    `done` counts those that it served, `made` is when it was made (monotonic seconds), `is_ready`
    whether it has begun to serve, `hung_in` the guid of what it was left behind with, if it was.
    """

    def __init__(self, name: str, serve: Callable[[WorkerThread], None]) -> None:
        super().__init__(name=name, daemon=True)
        self._serve = serve
        self.made = time.monotonic()
        self.done = 0
        self.is_ready = False
        self.hung_in: str | None = None

    def run(self) -> None:
        self.is_ready = True
        self._serve(self)
