"""What a run prints and logs is kept for its order, and goes on as before."""

from __future__ import annotations

import asyncio
import contextvars
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import structlog

from jobs import Context
from manager.capture import Capture, described
from manager.executor import run
from manager.order_logs import LOG, STDERR, OrderLogs
from manager.outcome import ERROR, SUCCEEDED
from tests.manager.by_hand import assignment
from tests.manager.conftest import JobType
from tests.manager.test_order_logs import Said, out, taken

Heard = Callable[..., tuple[Said, str]]


@pytest.fixture
def logs() -> OrderLogs:
    return OrderLogs()


@contextmanager
def captured() -> Iterator[io.StringIO]:
    """While copies are kept; what goes on to standard output. Within a test: around it the
    streams are the test runner's to exchange."""
    real, sys.stdout = sys.stdout, io.StringIO()
    capture = Capture()
    there = sys.stdout
    capture.install()
    try:
        yield there
    finally:
        capture.remove()
        sys.stdout = real


@pytest.fixture
def heard(logs: OrderLogs, job_type: JobType) -> Heard:
    """Run a function as a job: what is kept of what it says, and what goes on."""

    def hear(function: Callable[..., object], kind: str = SUCCEEDED) -> tuple[Said, str]:
        order = assignment(type=job_type("speaker", function), payload="{}")
        with captured() as there:
            outcome = logs.listening(run)(order)
        assert outcome.kind == kind, outcome
        return taken(logs), there.getvalue()

    return hear


def test_prints_and_logs_of_a_job_are_kept_and_go_on_as_before(
    heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    def job(context: Context) -> None:
        print("printed", 1)
        print("wrong", file=sys.stderr)
        sys.stdout.writelines(["a\n", "b\n"])
        context.log.warning("logged %s", 2, extra={"width": 3})
        logging.getLogger("somebody.else").error("theirs")
        print("no line end", end="")

    caplog.set_level(logging.INFO)
    said, went_on = heard(job)
    assert said == [
        *out("printed 1"),
        (STDERR, None, "wrong"),
        *out("a", "b"),
        (LOG, logging.WARNING, "logged 2 width=3"),
        (LOG, logging.ERROR, "theirs"),
        *out("no line end"),
    ]
    assert went_on == "printed 1\na\nb\nno line end"
    assert [record.getMessage() for record in caplog.records] == ["logged 2", "theirs"]


def test_a_format_that_does_not_fit_is_kept_with_its_arguments(
    heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    short, bad = "%d of %d", "100%"

    def job(context: Context) -> None:
        context.log.warning(short, "three")
        logging.getLogger("somebody.else").error(bad, 1)

    said, _ = heard(job)
    assert said == [
        (LOG, logging.WARNING, "%d of %d ('three',)"),
        (LOG, logging.ERROR, "100% (1,)"),
    ]
    assert [record.getMessage() for record in caplog.records] == [text for _, _, text in said]


def test_what_nobody_runs_is_not_kept(logs: OrderLogs) -> None:
    with captured() as there:
        print("the manager's own")
        logging.getLogger("capataz.manager").error("too")
    assert there.getvalue() == "the manager's own\n"
    assert logs.waiting() == []


def test_tasks_and_threads_of_a_job_are_heard(heard: Heard) -> None:
    async def speak(name: str) -> None:
        for number in range(3):
            print(name, number)
            await asyncio.sleep(0)
        await asyncio.to_thread(print, name, "thread")

    async def main() -> None:
        await asyncio.gather(*(speak(name) for name in "xyz"))

    def job(_context: Context) -> None:
        asyncio.run(main())
        copied = contextvars.copy_context()
        mine = threading.Thread(target=copied.run, args=(print, "copied"))
        foreign = threading.Thread(target=print, args=("without",))
        for thread in (mine, foreign):
            thread.start()
            thread.join()

    lines, went_on = heard(job)
    said = [str(text) for _, _, text in lines]
    assert len(said) == 13
    for name in "xyz":
        own = [text for text in said if text.startswith(name)]
        assert own == [f"{name} 0", f"{name} 1", f"{name} 2", f"{name} thread"]
    assert said[-1] == "copied"
    assert "without" in went_on, "it is printed, as before"


def test_two_runs_at_once_do_not_hear_each_other(logs: OrderLogs, job_type: JobType) -> None:
    barrier = threading.Barrier(2)

    def job(context: Context) -> None:
        for _ in range(100):
            barrier.wait(20)
            print("x" if context.lease == 1 else "y")

    kind = job_type("speaker", job)
    orders = [assignment(type=kind, payload="{}", lease=lease) for lease in (1, 2)]
    threads = [threading.Thread(target=logs.listening(run), args=(order,)) for order in orders]
    with captured() as there:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for order, letter in zip(orders, "xy", strict=True):
        found = logs.take((order.id, order.order.lease))
        assert found is not None
        assert {line.raw for line in found.lines} == {letter}
        assert len(found.lines) == 100
    assert [there.getvalue().count(letter) for letter in "xy"] == [100, 100]


def test_what_a_run_leaves_behind_is_not_heard_after_its_end(
    logs: OrderLogs, job_type: JobType
) -> None:
    go_on = threading.Event()
    left: list[threading.Thread] = []

    def speak() -> None:
        go_on.wait(20)
        print("late")

    def job(_context: Context) -> None:
        left.append(threading.Thread(target=contextvars.copy_context().run, args=(speak,)))
        left[0].start()

    order = assignment(type=job_type("speaker", job), payload="{}")
    with captured() as there:
        logs.listening(run)(order)
        go_on.set()
        left[0].join()
    assert there.getvalue() == "late\n"
    assert logs.waiting() == []


def test_a_run_that_fails_is_heard_to_its_end(heard: Heard) -> None:
    def job(_context: Context) -> None:
        print("before")
        raise ValueError

    assert heard(job, ERROR) == (out("before"), "before\n")


def test_a_process_that_a_job_forks_waits_for_no_lock_of_ours(
    logs: OrderLogs, heard: Heard
) -> None:
    codes: list[int] = []

    def job(_context: Context) -> None:
        has, let_go = threading.Event(), threading.Event()

        def hold() -> None:
            with logs.lock:
                has.set()
                let_go.wait(20)

        holder = threading.Thread(target=hold)
        holder.start()
        has.wait(20)
        pid = os.fork()
        if pid == 0:
            signal.alarm(10)
            print("from the child, which has no thread that could let go")
            os._exit(7)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        let_go.set()
        holder.join()

    assert heard(job) == ([], "")
    assert codes == [7]


def test_a_structured_record_reads_like_any_other() -> None:
    said: list[str] = []

    class Taker(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(described(record))

    logger = logging.getLogger("structured")
    logger.addHandler(taker := Taker())
    try:
        speaker = structlog.wrap_logger(
            logger,
            processors=[
                structlog.stdlib.add_log_level,
                structlog.processors.TimeStamper(key="time"),
                structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
            ],
            wrapper_class=structlog.stdlib.BoundLogger,
        )
        speaker.warning("resized", width=3, name="a b")
        try:
            raise ValueError("no")
        except ValueError:
            speaker.exception("failed")
            logger.exception("failed %s", "too")
    finally:
        logger.removeHandler(taker)
    resized, failed, too = said
    assert resized == "resized width=3 name=a b"
    for text, begin in ((failed, "failed\nTraceback"), (too, "failed too\nTraceback")):
        assert text.startswith(begin)
        assert text.endswith("ValueError: no")


def test_capturing_twice_is_capturing_once() -> None:
    before = (sys.stdout, sys.stderr, logging.getLogger().handlers[:])
    capture = Capture()
    capture.install()
    streams = (sys.stdout, sys.stderr)
    capture.install()
    assert (sys.stdout, sys.stderr) == streams
    assert sys.stdout.fileno is not None
    capture.remove()
    capture.remove()
    assert (sys.stdout, sys.stderr, logging.getLogger().handlers[:]) == before
