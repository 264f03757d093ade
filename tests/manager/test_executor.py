"""A run: whatever the job's function does becomes an outcome, and never an exception."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, NoReturn

import pytest

from jobs import Context, Fail, Retry
from manager.assignment import Assignment
from manager.executor import MAX_MESSAGE, MAX_RESULT, MAX_TRACEBACK, Executor, run
from manager.outcome import ERROR, FATAL, HANDED_BACK, SUCCEEDED, UNKNOWN_TYPE, Outcome
from tests.manager.by_hand import assignment
from tests.manager.conftest import JobType


@pytest.fixture
def run_function(job_type: JobType) -> Callable[[Callable[..., Any]], Outcome]:
    def run_it(function: Callable[..., Any]) -> Outcome:
        return run(assignment(type=job_type("tests.run", function), payload="{}"))

    return run_it


RunFunction = Callable[[Callable[..., Any]], Outcome]


def raising(error: BaseException) -> Callable[..., NoReturn]:
    def function(_context: Any) -> NoReturn:
        raise error

    return function


def test_success_is_the_result_as_json_text() -> None:
    outcome = run(assignment(payload='{"num1":1,"num2":2}'))
    assert outcome.kind == SUCCEEDED
    assert outcome.result == "3"
    assert outcome.error_type is outcome.message is outcome.traceback is None
    assert outcome.run_seconds is not None
    assert 0 <= outcome.run_seconds < 5


def test_the_job_sees_who_it_is(run_function: RunFunction, job_type: JobType) -> None:
    seen: list[Context] = []

    def see(context: Context) -> None:
        seen.append(context)

    job_type("tests.see", see)
    order = assignment(type="tests.see", payload="{}", lease=7, attempts=3, timeout_ms=5_000)
    assert run(order).result == "null"
    (context,) = seen
    assert (context.job_id, context.lease, context.attempt) == (order.id, 7, 3)
    assert 0 < context.remaining() <= 5
    assert order.context is context
    assert order.started is not None
    assert order.deadline == order.started + 5


def test_a_wish_to_retry_carries_its_seconds(run_function: RunFunction) -> None:
    outcome = run_function(raising(Retry(after=2.5, message="later")))
    assert (outcome.kind, outcome.retry_after, outcome.message) == (ERROR, 2.5, "later")
    assert run_function(raising(Retry())).retry_after is None


def test_fail_is_fatal(run_function: RunFunction) -> None:
    outcome = run_function(raising(Fail("never")))
    assert (outcome.kind, outcome.error_type, outcome.message) == (FATAL, "Fail", "never")


@pytest.mark.parametrize(
    "error", [ValueError("wrong"), SystemExit(3), KeyboardInterrupt("wrong"), MemoryError()]
)
def test_any_exception_is_an_error(run_function: RunFunction, error: BaseException) -> None:
    outcome = run_function(raising(error))
    assert outcome.kind == ERROR
    assert outcome.error_type == type(error).__name__
    assert outcome.message == str(error)
    assert outcome.run_seconds is not None
    assert outcome.result is None


def test_the_traceback_starts_at_the_jobs_own_frame(run_function: RunFunction) -> None:
    text = run_function(raising(ValueError("wrong"))).traceback
    assert text is not None
    frames = [line for line in text.splitlines() if line.startswith("  File ")]
    assert len(frames) == 1
    assert "test_executor.py" in frames[0]
    assert "in function" in frames[0]
    assert text.rstrip().endswith("ValueError: wrong")


def test_long_messages_and_tracebacks_are_cut(run_function: RunFunction) -> None:
    outcome = run_function(raising(ValueError("x" * 100_000)))
    assert outcome.message == "x" * MAX_MESSAGE
    assert outcome.traceback is not None
    assert len(outcome.traceback) == MAX_TRACEBACK + 1


def test_an_unknown_type_is_told_apart() -> None:
    order = assignment(type="tests.nobody_registered_this")
    outcome = run(order)
    assert (outcome.kind, outcome.run_seconds) == (UNKNOWN_TYPE, None)
    assert order.started is None


@pytest.mark.parametrize(
    "payload",
    ['{"num1":1}', '{"num1":"1","num2":2}', "[]", "not json", '{"num1":1,"num2":2,"x":3}'],
)
def test_a_payload_that_does_not_fit_is_an_outcome(payload: str) -> None:
    outcome = run(assignment(payload=payload))
    assert outcome.kind in (ERROR, FATAL)
    assert outcome.error_type == "PayloadError"
    assert outcome.message
    assert outcome.message.startswith("/payload")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        ({"a": [1, True, "é"]}, '{"a":[1,true,"\\u00e9"]}'),
        (Decimal("0.30"), "0.30"),
        ({"d": Decimal("1E+3")}, '{"d":1000}'),
        (2**200, str(2**200)),
        ([10**4000], f"[{10**4000}]"),
        ("\x00\ud800", '"\\u0000\\ud800"'),
        ("x" * (MAX_RESULT - 2), '"' + "x" * (MAX_RESULT - 2) + '"'),
    ],
)
def test_a_result_is_kept_exactly(run_function: RunFunction, value: Any, text: str) -> None:
    outcome = run_function(lambda _context: value)
    assert (outcome.kind, outcome.result) == (SUCCEEDED, text)


def circle() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


class Changing(dict[str, int]):
    """As a dictionary does that another thread changes while it is being written."""

    def items(self) -> Any:
        raise RuntimeError("dictionary changed size during iteration")


class Unprintable(Exception):
    def __init__(self, way_out: BaseException) -> None:
        super().__init__()
        self._way_out = way_out

    def __str__(self) -> str:
        raise self._way_out


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1, 2},
        b"bytes",
        float("nan"),
        [float("inf")],
        Decimal("NaN"),
        {"a": Decimal("Infinity"), "b": 1},
        10**5000,
        "x" * (MAX_RESULT - 1),
        {(1, 2): 3},
        circle(),
        Changing(a=1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_result_that_cannot_be_kept_fails_the_attempt(
    run_function: RunFunction, value: Any
) -> None:
    outcome = run_function(lambda _context: value)
    assert (outcome.kind, outcome.error_type) == (ERROR, "BadResult")
    assert outcome.result is None
    assert outcome.run_seconds is not None
    assert outcome.message


def test_a_result_beyond_the_limit_says_so_and_what_to_do(run_function: RunFunction) -> None:
    message = run_function(lambda _context: "x" * MAX_RESULT).message
    assert message is not None
    assert "1,048,578 bytes" in message
    assert "store it elsewhere" in message


@pytest.mark.parametrize("way_out", [ValueError("no text"), SystemExit(1)], ids=["error", "exit"])
def test_an_error_without_a_text_is_an_error_still(
    run_function: RunFunction, way_out: BaseException
) -> None:
    outcome = run_function(raising(Unprintable(way_out)))
    assert (outcome.kind, outcome.error_type) == (ERROR, "Unprintable")
    assert outcome.message


class Careless(Retry):
    """A subclass that forgot its base's constructor, and so has no `after`."""

    def __init__(self) -> None:
        pass


def test_a_careless_kind_of_retry_is_an_error_like_any(run_function: RunFunction) -> None:
    assert run_function(raising(Careless())).kind == ERROR


@pytest.fixture
def shallow_stack() -> Iterator[None]:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(400)
    yield
    sys.setrecursionlimit(limit)


def test_endless_recursion_is_an_error(run_function: RunFunction, shallow_stack: None) -> None:
    def endless(context: Any) -> Any:
        return endless(context)

    assert run_function(endless).error_type == "RecursionError"


def test_what_was_ended_while_it_waited_is_not_run() -> None:
    delivered: list[tuple[Assignment, Outcome]] = []
    executor = Executor(lambda _a: False, lambda a, o: delivered.append((a, o)))
    order = assignment()
    executor.execute(order)
    assert delivered == []
    assert order.started is None


def test_the_outcome_is_delivered_with_the_name_of_the_thread() -> None:
    delivered: list[tuple[Assignment, Outcome]] = []
    executor = Executor(lambda _a: True, lambda a, o: delivered.append((a, o)))
    order = assignment()
    executor.execute(order)
    ((given, outcome),) = delivered
    assert given is order
    assert outcome.result == "3"
    assert order.worker == "MainThread"


def test_told_to_stop_between_the_look_and_the_start_the_job_sees_it(job_type: JobType) -> None:
    """A cancel, a hand-back or a lost lease may come when the worker has just taken the order."""
    seen: list[bool] = []
    job_type("tests.looks", lambda context: seen.append(context.cancelled))

    def begin(order: Assignment) -> bool:
        order.tell_to_stop()
        return True

    Executor(begin, lambda _a, _o: None).execute(assignment(type="tests.looks", payload="{}"))
    assert seen in ([], [True]), "it runs on, and nobody will tell it again"


@pytest.mark.parametrize("end", ["returns", "fails", "gives up"])
def test_what_a_job_makes_of_being_told_to_stop_is_handed_back(job_type: JobType, end: str) -> None:
    order = assignment(type="tests.told", payload="{}")

    def work(context: Context) -> str:
        order.tell_to_stop()
        assert context.cancelled
        if end == "fails":
            raise OSError("half done")
        if end == "gives up":
            raise Fail("half done")
        return "half done"

    job_type("tests.told", work)
    assert run(order).kind == HANDED_BACK


def test_a_job_that_never_looked_has_done_all_its_work(job_type: JobType) -> None:
    order = assignment(type="tests.deaf", payload="{}")

    def work(context: Context) -> str:
        looked_before = context.cancelled
        order.tell_to_stop()
        return "done" if not looked_before else "told too early"

    job_type("tests.deaf", work)
    assert run(order).result == '"done"'


def test_being_told_by_a_wait_is_having_looked(job_type: JobType) -> None:
    order = assignment(type="tests.waits", payload="{}")

    def work(context: Context) -> None:
        order.tell_to_stop()
        assert context.wait(20)

    job_type("tests.waits", work)
    assert run(order).kind == HANDED_BACK


def test_an_outcome_can_always_be_shown_as_json(run_function: RunFunction) -> None:
    outcome = run_function(raising(ValueError("\ud800\x00")))
    json.dumps(outcome).encode()
