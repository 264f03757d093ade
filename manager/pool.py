"""The pool of workers: a bounded number of threads that are reused.

It grows at once when there is more to do than it has threads, and shrinks to what the last quiet
time needed when `breathe` finds that it has more.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, cast

import structlog

from manager.demand import Demand
from manager.worker import Worker, WorkerThread

QUEUE_SECONDS = 60.0
QUIET_SECONDS = 60.0

# What became of a thread: it was made, was not needed any more or ended at last, was left behind
# with what it hangs in, was ended by an error.
ADDED, REMOVED, REPLACED, LOST = "added", "removed", "replaced", "lost"

log = structlog.get_logger("capataz.manager")


class NoFreeSlot(Exception):
    """No worker became free in time; the caller still has its work and may try again."""


class PoolStopped(Exception):
    """The pool takes no more work."""


class ManageWorker:
    """Runs each target on a worker of its own, at most `max_workers` at once.

    `backlog` targets more are taken while all slots are busy; they start in order. Threads are
    made when they are first needed, beyond the `min_workers` that are there from the first on,
    and end when `quiet_seconds` passed without need of them, if `breathe` is called now and then;
    `name` begins the names of the threads.
    `on_room` is called when a slot comes free, and when the load has sunk to
    `low_mark`, which may be changed at any time. `on_change` is called with what became of a
    thread and its name, by whoever brought it about; it must not wait for anything.
    """

    def __init__(
        self,
        max_workers: int,
        *,
        min_workers: int = 0,
        backlog: int = 0,
        name: str = "worker",
        quiet_seconds: float = QUIET_SECONDS,
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
        self._threads: list[WorkerThread] = []
        self._hung: set[WorkerThread] = set()
        # How many of the threads will end as soon as they are free.
        self._leaving = 0
        # The highest load since the last breath: only beyond it threads can be missing.
        self._peak = 0
        self._demand = Demand(quiet_seconds)
        self._guids = itertools.count(1)
        self._thread_numbers = itertools.count(1)
        self._waiting = 0
        self._stopped = False
        self.low_mark = 0
        self.on_room: Callable[[], None] | None = None
        self.on_change: Callable[[str, str], None] | None = None

    def queue(
        self,
        target: Callable[..., Any],
        kwargs: Mapping[str, Any] | None = None,
        timeout: float = QUEUE_SECONDS,
    ) -> Worker:
        """Run `target(**kwargs)` on a worker; without a free slot wait up to `timeout` seconds.

        Raises `NoFreeSlot` when none came free, `PoolStopped` after `stop`, and `RuntimeError`
        when the system gives no thread for it.
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
            if len(self._accepted) > self._peak:
                self._rise(guid)
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

    def members(self) -> list[WorkerThread]:
        """The threads that there are, those left behind as hung among them."""
        with self._room:
            return [*self._threads, *self._hung]

    def breathe(self, now: float | None = None) -> None:
        """Be called about once a second: as many threads as the quiet time needed, no fewer than
        `min_workers`. `now` is on the monotonic clock."""
        now = time.monotonic() if now is None else now
        with self._room:
            if self._stopped:
                return
            load = len(self._accepted)
            needed = self._demand.look(now, max(self._peak, load))
            needed = min(max(needed, self._min_workers), self.max_workers)
            self._peak = load
            self._grow(needed)
            for _ in range(len(self._threads) - self._leaving - needed):
                self._leaving += 1
                # Before all work to come: those who leave have left when that begins.
                self._inbox.put(None)

    def abandon(self, guid: str) -> bool:
        """Give up on a hung execution: its slot goes to a new thread, the old one is let be.

        A thread cannot be killed: it ends with its function, or with the process. False when the
        execution ended by itself meanwhile.
        """
        with self._room:
            worker = self.workers.get(guid)
            if worker is None or worker.thread is None:
                return False
            thread = cast(WorkerThread, worker.thread)
            thread.hung_in = guid
            self._hung.add(thread)
            self._threads.remove(thread)
            self._tell(REPLACED, thread)
            if not self._stopped:
                self._grow(len(self._threads) - self._leaving + 1)
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
            ends = len(threads) - self._leaving if first else 0
        for _ in range(ends):
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

    def _rise(self, guid: str) -> None:
        """The load is higher than at any time since the last breath; `guid` was the latest."""
        self._peak = load = len(self._accepted)
        self._grow(min(max(load, self._min_workers), self.max_workers))
        if not self._threads:
            self._peak = 0
            del self._accepted[guid]
            raise RuntimeError("the system gives no thread: are there too many?")

    def _grow(self, size: int) -> None:
        """Have at least so many threads that stay, if the system gives them."""
        try:
            while len(self._threads) - self._leaving < size:
                self._start_thread()
        except RuntimeError as error:
            log.warning("no thread can be started; trying again", reason=str(error))

    def _start_thread(self) -> None:
        name = f"{self._name}/{next(self._thread_numbers)}"
        thread = WorkerThread(name, self._work)
        thread.start()
        self._threads.append(thread)
        self._tell(ADDED, thread)

    def _tell(self, change: str, thread: WorkerThread) -> None:
        if self.on_change is not None:
            self.on_change(change, thread.name)

    def _work(self, me: WorkerThread) -> None:
        """One thread's life: run workers until told to end, or until it was given up as hung."""
        try:
            while True:
                worker = self._inbox.get()
                if worker is None:
                    break
                worker.thread = me
                self.workers[worker.guid] = worker
                worker.run()
                me.done += 1
                if me.hung_in is not None:
                    break
        except BaseException:
            log.exception("a worker's thread was ended by an error; it is replaced", worker=me.name)
            self._replace(me)
        else:
            self._leave(me)

    def _leave(self, me: WorkerThread) -> None:
        with self._room:
            if me in self._hung:
                self._hung.discard(me)
            elif self._leaving:
                self._leaving -= 1
                self._threads.remove(me)
            else:  # the pool was stopped: that all end is no news
                return
            self._tell(REMOVED, me)

    def _replace(self, me: WorkerThread) -> None:
        """Free the slot of a thread that ends by an error, and start another, after a stop too:
        what was taken is to be run."""
        for worker in list(self.workers.values()):
            if worker.thread is me:
                with suppress(Exception):
                    self.finish(worker.guid, worker)
        with self._room:
            self._tell(LOST, me)
            if me in self._hung:
                self._hung.discard(me)
                return
            self._threads.remove(me)
            self._grow(len(self._threads) - self._leaving + 1)
