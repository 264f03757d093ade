"""The pool of workers: a bounded number of threads that are reused."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from manager.worker import Worker

QUEUE_SECONDS = 60.0


class NoFreeSlot(Exception):
    """No worker became free in time; the caller still has its work and may try again."""


class PoolStopped(Exception):
    """The pool takes no more work."""


class ManageWorker:
    """Runs each target on a worker of its own, at most `max_workers` at once.

    `backlog` targets more are taken while all slots are busy; they start in order. Threads are
    made when they are first needed, beyond the `min_workers` that are there from the first on;
    `name` begins the names of the threads.
    `on_room` is called when a slot comes free, and when the load has sunk to
    `low_mark`, which may be changed at any time.
    """

    def __init__(
        self,
        max_workers: int,
        *,
        min_workers: int = 0,
        backlog: int = 0,
        name: str = "worker",
    ) -> None:
        if max_workers < 1:
            raise ValueError(f"max_workers is {max_workers}: it must be at least 1")
        self.max_workers = max_workers
        self._min_workers = min_workers
        self.workers: dict[str, Worker] = {}
        self._accepted: dict[str, Worker] = {}
        self._backlog = backlog
        self._name = name
        self._inbox: SimpleQueue[Worker | None] = SimpleQueue()
        self._room = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._hung: set[threading.Thread] = set()
        self._guids = itertools.count(1)
        self._thread_numbers = itertools.count(1)
        self._waiting = 0
        self._stopped = False
        self.low_mark = 0
        self.on_room: Callable[[], None] | None = None

    def queue(
        self,
        target: Callable[..., Any],
        kwargs: Mapping[str, Any] | None = None,
        timeout: float = QUEUE_SECONDS,
    ) -> Worker:
        """Run `target(**kwargs)` on a worker; without a free slot wait up to `timeout` seconds.

        Raises `NoFreeSlot` when none came free, `PoolStopped` after `stop`.
        """
        return self._queue(f"{self._name}-{next(self._guids)}", target, kwargs, timeout)

    def _queue(
        self,
        guid: str,
        target: Callable[..., Any],
        kwargs: Mapping[str, Any] | None = None,
        timeout: float = QUEUE_SECONDS,
    ) -> Worker:
        """The same under a name of the caller's choice, which must not be in use."""
        worker = Worker(guid, target, kwargs, self)
        limit = self.max_workers + self._backlog
        with self._room:
            if guid in self._accepted:
                raise ValueError(f"a worker named {guid} is there already: choose another guid")
            if len(self._accepted) >= limit and not self._wait_for_room(limit, timeout):
                raise NoFreeSlot(f"no slot came free within {timeout:g} s")
            if self._stopped:
                raise PoolStopped("the pool was stopped")
            self._accepted[guid] = worker
            wanted = max(len(self._accepted), self._min_workers)
            while len(self._threads) < min(wanted, self.max_workers):
                self._start_thread()
            # Inside the lock, so that it cannot land behind the end that `stop` sends.
            self._inbox.put(worker)
        return worker

    def finish(self, guid: str, worker: Worker | None = None) -> None:
        """Forget an execution and free its slot. Safe twice, and for an unknown guid.

        With `worker` only if the guid is still that one's: an abandoned one ends late.
        """
        with self._room:
            if worker is not None and self._accepted.get(guid) is not worker:
                return
            self.workers.pop(guid, None)
            if self._accepted.pop(guid, None) is None:
                return
            if self._waiting:
                self._room.notify_all()
            load = len(self._accepted)
        if self.on_room is not None and (load < self.max_workers or load == self.low_mark):
            self.on_room()

    def is_available_slot(self) -> bool:
        """Whether a target queued now would start at once."""
        return len(self._accepted) < self.max_workers and not self._stopped

    isAvaibleSlot = is_available_slot  # noqa: N815 (the name under which it was first known)

    def load(self) -> int:
        """How many targets were taken and have not ended: running and waiting."""
        return len(self._accepted)

    def abandon(self, guid: str) -> bool:
        """Give up on a hung execution: its slot goes to a new thread, the old one is let be.

        A thread cannot be killed: it ends with its function, or with the process. False when the
        execution ended by itself meanwhile.
        """
        with self._room:
            worker = self.workers.get(guid)
            if worker is None or worker.thread is None:
                return False
            self._hung.add(worker.thread)
            self._threads.remove(worker.thread)
            if not self._stopped:
                self._start_thread()
        self.finish(guid)
        return True

    def hung(self) -> int:
        """How many abandoned threads are still alive."""
        with self._room:
            self._hung = {thread for thread in self._hung if thread.is_alive()}
            return len(self._hung)

    def withdraw(self) -> list[Worker]:
        """Take back everything that has not started; the pool will not run it."""
        taken: list[Worker] = []
        ends = 0
        with suppress(Empty):
            while True:
                worker = self._inbox.get_nowait()
                if worker is None:
                    ends += 1
                else:
                    taken.append(worker)
        for _ in range(ends):
            self._inbox.put(None)
        for worker in taken:
            self.finish(worker.guid)
        return taken

    def wait_idle(self, timeout: float) -> bool:
        """Wait until nothing runs or waits; whether that came within `timeout` seconds."""
        with self._room:
            self._waiting += 1
            try:
                return self._room.wait_for(lambda: not self._accepted, timeout)
            finally:
                self._waiting -= 1

    def stop(self, timeout: float = 0) -> bool:
        """Take no more work, let what was taken end; whether all threads ended in `timeout` s.

        Safe twice, and before any work.
        """
        with self._room:
            first, self._stopped = not self._stopped, True
            threads = list(self._threads)
            self._room.notify_all()
        if first:
            for _ in threads:
                self._inbox.put(None)
        ended = self.wait_idle(timeout)
        for thread in threads if ended else ():
            thread.join(1)
        return ended

    def _wait_for_room(self, limit: int, timeout: float) -> bool:
        self._waiting += 1
        try:
            return self._room.wait_for(
                lambda: len(self._accepted) < limit or self._stopped, timeout
            )
        finally:
            self._waiting -= 1

    def _start_thread(self) -> None:
        name = f"{self._name}/{next(self._thread_numbers)}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        """One thread's life: run workers until told to end, or until it was given up as hung."""
        me = threading.current_thread()
        while True:
            worker = self._inbox.get()
            if worker is None:
                return
            worker.thread = me
            self.workers[worker.guid] = worker
            worker.run()
            if me in self._hung:
                return
