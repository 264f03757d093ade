"""A worker: one execution of a function on one of the pool's threads."""

from __future__ import annotations

import threading
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
