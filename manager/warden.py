"""The warden of one child process: starts it, and sees to it that nothing of it is left.

A process of little weight, which loads next to nothing. Its arguments are CONTROL,LINE,FEED,MANAGER
and the child's command: CONTROL is the descriptor of its own socket, LINE that of the child's, FEED
that of the pipe by which it passes on what the child and all below it print, MANAGER the process
that it works for. It is the child's parent and a subreaper, so all that the child starts stays
below it, daemons too.

On the socket it takes lines. `limit MIB` bounds the memory of the child and all below it. `end
MILLISECONDS STACK` ends them; with a grace, they are told, and have so long to end by themselves.
`lease MONOTONIC` says until when the manager's leases hold, on the clock of all processes of this
host: a manager that does not go on saying so is stopped or cut off, and then they end at once. So
they do when the manager is gone, which the socket's end tells, or its own. When the child has
ended, whoever ended it, the warden ends what is left, writes one report and exits: `reason status
cpu-seconds peak-kib used-mib shortage output-size stack-size`, a line end, and the last of the
child's output and of the stacks that it wrote. The reason is `told` when the warden killed it
since it was told to.
"""

from __future__ import annotations

import math
import os
import select
import signal
import time

from manager.feed import Feed
from manager.processes import (
    SET_PDEATHSIG,
    SET_SUBREAPER,
    attempt,
    below,
    is_alive,
    prctl,
    resident_kib,
    share_kib,
)
from manager.shortage import Shortage
from manager.tail import KEEP, Tail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_PROCESSES = 64
LOOK_SECONDS = 0.25
QUICK_SECONDS = 0.05
STACK_SECONDS = 0.5
# Writing a stack takes no longer than this once it has begun.
STACK_PAUSE_SECONDS = 0.05

# The manager gets so long to take what was printed last.
FEED_SECONDS = 1.0

# Told to write its stacks, a child loses no signal that a job might want for itself.
STACK_SIGNAL = getattr(signal, "SIGRTMAX", signal.SIGUSR2)

BY_ITSELF, TOLD, LAPSED = "by-itself", "told", "lapsed"
MEMORY, PROCESSES = "memory", "processes"


class Warden:
    """Watches one child until it and all below it have ended."""

    def __init__(
        self, control: int, line: int, feed: int, manager: int, command: list[str]
    ) -> None:
        self._control = control
        self._manager = manager
        self._feed = Feed(feed, KEEP)
        self._stack = Tail()
        self._shortage = Shortage()
        self._lines = b""
        self._reason = BY_ITSELF
        self._manager_gone = False
        self._due: float | None = None
        self._lapse = math.inf
        self._limit_mib = 0
        self._used_mib = 0
        self._status: int | None = None
        self._cpu = 0.0
        self._peak_kib = 0
        self._empty = False
        self._looked = 0.0
        self._crowded = False
        told, self._tell = os.pipe()
        passed = [line, told, self._stack.sink]
        streams = self._feed.open()
        self._child = self._start([*command, *map(str, passed)], passed, streams)
        for descriptor in (*passed, *streams):
            os.close(descriptor)

    def watch(self) -> None:
        """Do all of a warden's work."""
        poll = select.poll()
        for descriptor in (self._control, *self._feed.sources, self._stack.source):
            poll.register(descriptor, select.POLLIN)
        if hasattr(os, "pidfd_open"):
            poll.register(os.pidfd_open(self._child), select.POLLIN)
        manager = self._watch_manager()
        if manager is not None:
            poll.register(manager, select.POLLIN)
        while self._status is None and (self._due is None or time.monotonic() < self._due):
            for descriptor, _ in poll.poll(self._patience() * 1000):
                if descriptor == self._control:
                    self._listen()
                elif descriptor == manager:
                    self._abandon()
                elif not self._drain(descriptor):
                    poll.unregister(descriptor)
            self._feed.pass_on()
            self._reap()
            self._hold_lease()
            if self._due is None and time.monotonic() - self._looked >= self._interval():
                self._look()
        if self._status is not None and self._reason == TOLD:
            self._reason = BY_ITSELF  # it was not there any more, or did as it was told
        self._clear()
        if not self._manager_gone:
            self._report()

    def _start(self, command: list[str], passed: list[int], streams: Sequence[int]) -> int:
        warden = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                self._become(command, passed, streams, warden)
            finally:
                os._exit(127)
        return pid

    def _become(
        self, command: list[str], passed: list[int], streams: Sequence[int], warden: int
    ) -> None:
        """In the new process: be the child."""
        os.setsid()
        prctl(SET_PDEATHSIG, signal.SIGKILL)
        # So that it can tell by itself, at the end of a run, whether anything was left behind.
        prctl(SET_SUBREAPER, 1)
        for number in _IGNORED:
            signal.signal(number, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for target, source in enumerate((nothing, *streams)):
            os.dup2(source, target)
        for descriptor in passed:
            os.set_inheritable(descriptor, True)
        try:
            # When memory runs out the kernel shall end a child, and nothing of ours.
            with open("/proc/self/oom_score_adj", "w") as file:
                file.write("500")
        except OSError:
            pass
        if os.getppid() == warden:
            os.execv(command[0], command)  # noqa: S606 (a shell would only be in the way)

    def _interval(self) -> float:
        return QUICK_SECONDS if self._crowded or self._limit_mib else LOOK_SECONDS

    def _patience(self) -> float:
        """How long may pass until there is something to do unasked."""
        if self._due is not None:
            return min(QUICK_SECONDS, max(0.0, self._due - time.monotonic()))
        unasked = min(self._looked + self._interval(), self._lapse) - time.monotonic()
        return max(0.0, min(unasked, self._feed.patience()))

    def _drain(self, descriptor: int) -> bool:
        """Take what came through a pipe of the child's; whether more can come."""
        if descriptor == self._stack.source:
            self._stack.read()
            return self._stack.open
        return descriptor not in self._feed.sources or self._feed.drain(descriptor)

    def _watch_manager(self) -> int | None:
        """A descriptor that tells the manager's end, also when somebody else, such as a process
        that a job forked from it, keeps its end of the socket open."""
        try:
            found = os.pidfd_open(self._manager)
        except (AttributeError, OSError):
            found = None
        if os.getppid() != self._manager:
            self._abandon()
        return found

    def _abandon(self) -> None:
        self._manager_gone = True
        self._due = time.monotonic()

    def _listen(self) -> None:
        try:
            data = os.read(self._control, 4096)
        except OSError:
            data = b""
        if not data:
            self._abandon()
            return
        *lines, self._lines = (self._lines + data).split(b"\n")
        for line in lines:
            word, *numbers = line.split()
            if word == b"limit":
                self._limit_mib = int(numbers[0])
            elif word == b"lease":
                self._lapse = float(numbers[0])
            else:
                self._end(int(numbers[0]) / 1000, with_stack=numbers[1] == b"1")

    def _end(self, grace: float, *, with_stack: bool) -> None:
        if self._reason == BY_ITSELF:
            self._reason = TOLD
        if with_stack:
            self._take_stack()
        due = time.monotonic() + grace
        self._due = due if self._due is None else min(self._due, due)
        if grace > 0:
            attempt(os.write, self._tell, b".")
            for pid in below(os.getpid()):
                attempt(os.kill, pid, signal.SIGTERM)

    def _hold_lease(self) -> None:
        """Nothing may go on beyond the lease, whatever grace it was given."""
        now = time.monotonic()
        # All that the manager said comes first: we too may have been stopped, and it not. A poll
        # that was stopped meanwhile says nothing of it.
        while now >= self._lapse and not self._manager_gone and self._is_spoken_to():
            self._listen()
        if now < self._lapse:
            return
        if self._due is None:
            self._reason, self._due = LAPSED, now
        self._due = min(self._due, now)

    def _is_spoken_to(self) -> bool:
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        return bool(poll.poll(0))

    def _take_stack(self) -> None:
        """Have the child write where it is."""
        attempt(os.kill, self._child, STACK_SIGNAL)
        until = time.monotonic() + STACK_SECONDS
        while (left := until - time.monotonic()) > 0 and self._stack.open:
            if not select.select([self._stack.source], [], [], left)[0] or not self._stack.read():
                return
            until = min(until, time.monotonic() + STACK_PAUSE_SECONDS)

    def _look(self) -> None:
        """Hold the limits of memory and of processes."""
        self._looked = time.monotonic()
        self._shortage.look()
        found = below(os.getpid(), MOST_PROCESSES + 1)
        self._crowded = len(found) > 1
        if len(found) > MOST_PROCESSES + 1 and sum(map(is_alive, found)) > MOST_PROCESSES + 1:
            self._reason, self._due = PROCESSES, time.monotonic()
        elif self._limit_mib and sum(map(resident_kib, found)) > self._limit_mib * 1024:
            # Pages that several processes share count once: a second look, which costs more.
            self._used_mib = sum(map(share_kib, found)) // 1024
            if self._used_mib > self._limit_mib:
                self._reason, self._due = MEMORY, time.monotonic()

    def _reap(self) -> None:
        """Take note of all that have ended."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                self._empty = True
                return
            if pid == 0:
                return
            self._cpu += usage.ru_utime + usage.ru_stime
            self._peak_kib = max(self._peak_kib, usage.ru_maxrss)
            if pid == self._child:
                self._status = status

    def _clear(self) -> None:
        """End everything below. First it is frozen, so that nothing can be born meanwhile.

        Nothing is left when there is nobody to wait for: who loses its parent comes to us.
        """
        attempt(os.setpriority, os.PRIO_PROCESS, 0, -20)  # against a crowd, where it is allowed
        frozen: set[int] = set()
        pause = 0.0005
        self._reap()
        while not self._empty:
            found = below(os.getpid())
            new = [pid for pid in found if pid not in frozen]
            for pid in new:
                attempt(os.kill, pid, signal.SIGSTOP)
            frozen.update(new)
            if not new:
                for pid in found:
                    attempt(os.kill, pid, signal.SIGKILL)
                if not found:
                    # All that can be done where the system does not say who is below whom.
                    attempt(os.killpg, self._child, signal.SIGKILL)
                frozen.clear()
                time.sleep(pause)
                pause = min(2 * pause, 0.02)
            self._reap()

    def _report(self) -> None:
        self._feed.finish(FEED_SECONDS)
        output = bytes(self._feed.text[-KEEP:])
        stack = self._stack.last()
        head = (
            f"{self._reason} {self._status} {self._cpu:.6f} {self._peak_kib} {self._used_mib} "
            f"{self._shortage.found()} {len(output)} {len(stack)}\n"
        )
        data = memoryview(head.encode() + output + stack)
        try:
            while data:
                data = data[os.write(self._control, data) :]
        except OSError:
            pass  # the manager is gone, and nobody wants to know


# A service manager may tell every process of a service to end; the manager will tell this one.
_IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(arguments: list[str]) -> None:
    """Be the warden that these arguments ask for."""
    control, line, feed, manager = map(int, arguments[0].split(","))
    for descriptor in (control, line, feed):
        os.set_inheritable(descriptor, False)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    prctl(SET_SUBREAPER, 1)
    Warden(control, line, feed, manager, arguments[1:]).watch()
