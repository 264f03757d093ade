"""One step of a run: a command within the walls, watched while it runs, and nothing left of it."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from jobs import Context
from jobs.errors import Cancelled
from jobs.sandbox.folders import Size, measure
from jobs.sandbox.text import Stream
from jobs.sandbox.walls import STRICT, Limits, Room, Walls

TIME, MEMORY, SIZE, OUTPUT = "time", "memory", "size", "output"
LOOK_SECONDS = 0.1
MEASURE_SECONDS = 0.25
MOST_SHOWN = 1024 * 1024
_CHUNK = 256 * 1024
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a step as a whole may use; seconds and MiB."""

    seconds: float
    memory_mb: int
    output_mb: int
    size_mb: int
    folder: Path
    files: int = 20_000


@dataclass(slots=True)
class Ended:
    """How a step ended; `broke` names the bound that it was ended for."""

    exit_code: int
    stdout: str
    stderr: str
    seconds: float
    max_rss_mb: float
    broke: str | None = None


class Step:
    """Runs one command; made for one run."""

    def __init__(
        self, walls: Walls, bounds: Bounds, context: Context, show: Callable[[str, str], None]
    ) -> None:
        """`show` gets the name of a stream and whole lines of it, while they come."""
        self._walls = walls
        self._bounds = bounds
        self._context = context
        self._streams = {
            name: Stream(lambda text, name=name: show(name, text), MOST_SHOWN)  # type: ignore[misc]
            for name in ("stdout", "stderr")
        }
        self._broke: str | None = None
        self._peak_mb = 0.0
        self._looked = self._measured = 0.0

    def run(self, room: Room, limits: Limits, words: Sequence[str]) -> Ended:
        """Run it to its end. Raises `Cancelled` when told to stop, and `OSError`."""
        passed: list[int] = []
        began = time.monotonic()
        try:
            process = subprocess.Popen(  # noqa: S603 (within the walls)
                self._walls.command(room, limits, words, passed),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._walls.environment(room),
                cwd="/" if self._walls.level == STRICT else self._walls.place(room, room.at),
                pass_fds=passed,
                start_new_session=True,
                # For the weaker level root changes the user within, after it has used its rights.
                **(self._walls.identity() if self._walls.level == STRICT else {}),  # type: ignore[call-overload]
            )
        finally:
            for descriptor in passed:
                os.close(descriptor)
        try:
            self._watch(process, began)
        finally:
            self._end(process)
        for stream in self._streams.values():
            stream.finish()
        if self._broke is None and self._context.cancelled:
            raise Cancelled
        code = process.returncode
        return Ended(
            code if code >= 0 else 128 - code,
            self._streams["stdout"].text,
            self._streams["stderr"].text,
            time.monotonic() - began,
            round(self._peak_mb, 1),
            self._broke,
        )

    def _watch(self, process: subprocess.Popen[bytes], began: float) -> None:
        """Until it has ended, or went beyond a bound."""
        with selectors.DefaultSelector() as selector:
            for name, pipe in (("stdout", process.stdout), ("stderr", process.stderr)):
                assert pipe is not None
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, selectors.EVENT_READ, name)
            ended = False
            while not self._broke and not self._context.cancelled:
                # Once it has ended, what stands in the pipes is read; who holds them open is gone.
                ready = selector.select(0 if ended else LOOK_SECONDS / 2)
                for key, _ in ready:
                    self._read(selector, key)
                if ended and not ready:
                    return
                if time.monotonic() - began > self._bounds.seconds:
                    self._broke = TIME
                ended = process.poll() is not None
                if not ended:
                    self._look(process.pid)
            if self._broke is None:
                process.kill()

    def _read(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        try:
            data = os.read(key.fd, _CHUNK)
        except BlockingIOError:
            return
        if not data:
            selector.unregister(key.fileobj)
            return
        stream = self._streams[key.data]
        stream.take(data)
        if stream.size > self._bounds.output_mb * _MIB:
            self._broke = OUTPUT

    def _look(self, pid: int) -> None:
        """Hold the bounds of memory and of the folder's size."""
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            used = _memory_mb(pid, self._bounds.memory_mb)
            self._peak_mb = max(self._peak_mb, used)
            if used > self._bounds.memory_mb:
                self._broke = MEMORY
        if now - self._measured >= MEASURE_SECONDS:
            size = measure(self._bounds.folder, self._largest())
            self._measured = time.monotonic()
            if not size.within(self._largest()):
                self._broke = SIZE

    def _largest(self) -> Size:
        return Size(self._bounds.size_mb * _MIB, self._bounds.files)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """End it with all that it started, and see what there was in the end."""
        others = _family(process.pid) if self._walls.level != STRICT else []
        # At the weaker level what it started may outlive it.
        if process.poll() is None or self._walls.level != STRICT:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        for other in others:
            with suppress(psutil.Error):
                other.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        # What was written last, since the last look.
        if self._broke is None and not measure(self._bounds.folder, self._largest()).within(
            self._largest()
        ):
            self._broke = SIZE


def _family(pid: int) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return psutil.Process(pid).children(recursive=True)
    return []


def _memory_mb(pid: int, limit_mb: int) -> float:
    """What the processes below hold; pages that they share count once when it matters."""
    family = _family(pid)
    total = 0
    for process in family:
        with suppress(psutil.Error):
            total += process.memory_info().rss
    if total > limit_mb * _MIB:
        shared = 0
        for process in family:
            try:
                shared += process.memory_full_info().pss
            except psutil.Error:
                with suppress(psutil.Error):
                    shared += process.memory_info().rss
        total = shared
    return total / _MIB
