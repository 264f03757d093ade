"""Running one order: a short pipeline from an assignment to an outcome."""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

import exact_json
from jobs import registry
from jobs.context import Context
from jobs.errors import Cancelled, Fail, PayloadError, Retry, UnknownType
from manager.assignment import Assignment
from manager.outcome import ERROR, FATAL, HANDED_BACK, SUCCEEDED, UNKNOWN_TYPE, Outcome

MAX_RESULT = 1024 * 1024
MAX_MESSAGE = 4_000
MAX_TRACEBACK = 16_000

Deliver = Callable[[Assignment, Outcome], None]


class Executor:
    """Runs assignments on whatever thread calls it, and delivers what each came to."""

    def __init__(
        self,
        begin: Callable[[Assignment], bool],
        deliver: Deliver,
        run_apart: Callable[[Assignment], Outcome] | None = None,
        run_here: Callable[[Assignment], Outcome] | None = None,
    ) -> None:
        """`begin` says whether the assignment is still to be run; `deliver` gets the outcome.

        `run_apart` runs one in a child process; without it all run on the calling thread, which
        `run_here` does, or `run`.
        """
        self._begin = begin
        self._deliver = deliver
        self._run_here = run_here or run
        self._run_apart = run_apart or self._run_here

    def execute(self, assignment: Assignment) -> None:
        """Run it unless it was ended while it waited; deliver the outcome."""
        assignment.worker = threading.current_thread().name
        if self._begin(assignment):
            runner = self._run_apart if _needs_process(assignment.order) else self._run_here
            self._deliver(assignment, runner(assignment))


def _needs_process(order: Any) -> bool:
    """Whether its type asks for a process, or it may be what took an earlier holder down."""
    try:
        suspect = order.crashes > 0 or order.quarantined
        return bool(suspect) or registry.get(order.type).isolation == "process"
    except UnknownType:
        return False


def run(assignment: Assignment, make_context: Callable[..., Context] = Context) -> Outcome:
    """Call the job's function; whatever it does becomes an `Outcome`, never an exception."""
    order = assignment.order
    try:
        job = registry.get(order.type)
    except UnknownType as error:
        return Outcome(UNKNOWN_TYPE, error_type="UnknownType", message=str(error))
    context = make_context(order.id, order.attempts, order.lease, order.timeout_ms / 1000)
    assignment.context = context
    if assignment.told:
        context.cancel()
    me = os.getpid()
    outcome = _call(job, context, assignment)
    if os.getpid() != me:
        # The job forked, and this is the copy's way back from it. The copy has no part in a
        # manager: it would go on to run what waits, and answer for it. It takes no lock either,
        # which a thread may have held that the copy has not.
        os._exit(outcome.kind != SUCCEEDED)
    if assignment.told and context.shown:
        # It looked and was told: what it made of that is not the end of its work. Nor is it to
        # blame, since its lease was in doubt; whoever takes the order next begins it anew.
        return Outcome(HANDED_BACK)
    return outcome


def _call(job: registry.JobType, context: Context, assignment: Assignment) -> Outcome:
    started = assignment.started = time.monotonic()
    try:
        value = job.function(context, **job.arguments(assignment.order.payload))
    except Retry as wish:
        return _failed(ERROR, wish, started, after=getattr(wish, "after", None))
    except (Fail, PayloadError) as verdict:
        return _failed(FATAL, verdict, started)
    except Cancelled as error:
        # As good as having looked.
        return _failed(HANDED_BACK if assignment.told else ERROR, error, started)
    except BaseException as error:
        # SystemExit in a job, too, is the job's failure and not the worker's end.
        return _failed(ERROR, error, started)
    run_seconds = time.monotonic() - started
    try:
        result = exact_json.dumps(value, max_depth=exact_json.MAX_DEPTH)
    except exact_json.BadJson as error:
        return _bad_result(f"the result is not JSON: {error}", run_seconds)
    except Exception as error:  # a value of the job's own kind may raise anything
        return _bad_result(f"the result could not be read: {type(error).__name__}", run_seconds)
    if len(result) > MAX_RESULT:
        return _bad_result(
            f"the result is {len(result):,} bytes of JSON, more than {MAX_RESULT:,}: "
            "store it elsewhere and return where it is",
            run_seconds,
        )
    return Outcome(SUCCEEDED, run_seconds, result)


def _bad_result(message: str, run_seconds: float) -> Outcome:
    return Outcome(ERROR, run_seconds, error_type="BadResult", message=message)


def _failed(kind: str, error: BaseException, started: float, after: float | None = None) -> Outcome:
    run_seconds = time.monotonic() - started
    try:
        message = str(error)
    except BaseException:
        message = "(the error's own text could not be made)"
    return Outcome(
        kind,
        run_seconds,
        error_type=type(error).__name__,
        message=message[:MAX_MESSAGE],
        traceback=_traceback(error.__traceback__, error),
        retry_after=after,
    )


def _traceback(trace: TracebackType | None, error: BaseException) -> str:
    """The traceback from the job's own frame on; ours above it tells its author nothing."""
    own = trace.tb_next if trace is not None and trace.tb_next is not None else trace
    try:
        text = "".join(traceback.format_exception(type(error), error, own))
    except BaseException:
        text = "(the traceback could not be made)"
    return text if len(text) <= MAX_TRACEBACK else "…" + text[-MAX_TRACEBACK:]
