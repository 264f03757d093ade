from __future__ import annotations

import logging
import math
import pickle
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs import Context, Fail, Retry
from jobs.errors import Cancelled, JobError, PayloadError, UnknownType


@pytest.fixture
def context() -> Context:
    return Context("0190", attempt=2, lease=7, timeout=60)


def test_it_knows_whose_attempt_it_is(context: Context) -> None:
    assert (context.job_id, context.attempt, context.lease) == ("0190", 2, 7)


def test_deadline_is_in_utc_and_stays(context: Context) -> None:
    deadline = context.deadline
    assert deadline is not None
    assert deadline.tzinfo is UTC
    assert timedelta(seconds=55) < deadline - datetime.now(UTC) <= timedelta(seconds=60)
    assert context.deadline is deadline
    assert 55 < context.remaining() <= 60


def test_without_a_timeout_there_is_no_deadline() -> None:
    context = Context("0190")
    assert context.deadline is None
    assert context.remaining() == math.inf


def test_nothing_remains_after_the_deadline() -> None:
    assert Context("0190", timeout=0).remaining() == 0


def test_cancel_ends_a_wait(context: Context) -> None:
    answers: list[bool] = []
    waiting = threading.Thread(target=lambda: answers.append(context.wait(60)))
    waiting.start()
    context.cancel()
    context.cancel()
    waiting.join(10)
    assert answers == [True]
    assert context.cancelled


def test_cancel_before_the_first_wait(context: Context) -> None:
    context.cancel()
    assert context.wait(60)


def test_a_wait_can_run_out(context: Context) -> None:
    assert not context.wait(0.001)
    assert not context.wait(-1)
    assert not context.cancelled


def test_every_waiting_thread_is_woken() -> None:
    for _ in range(50):
        context = Context("0190")
        gate = threading.Barrier(4)

        def wait(context: Context = context, gate: threading.Barrier = gate) -> None:
            gate.wait()
            context.wait(60)

        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        gate.wait()
        context.cancel()
        for thread in threads:
            thread.join(10)
        assert not any(thread.is_alive() for thread in threads)


def test_the_latest_progress_is_taken_once(context: Context) -> None:
    assert context.take_progress() is None
    context.progress(10)
    context.progress(20.5, "x" * 2000)
    taken = context.take_progress()
    assert taken is not None
    assert (taken.percent, taken.message) == (20.5, "x" * 1000)
    assert context.take_progress() is None
    context.progress(20.5)
    assert context.take_progress() is not None


def test_no_progress_is_lost_between_threads(context: Context) -> None:
    seen: list[float] = []

    def tell() -> None:
        for n in range(10_001):
            context.progress(n / 100)

    telling = threading.Thread(target=tell)
    telling.start()
    while telling.is_alive():
        if (taken := context.take_progress()) is not None:
            seen.append(taken.percent)
    if (taken := context.take_progress()) is not None:
        seen.append(taken.percent)
    assert seen[-1] == 100
    assert seen == sorted(set(seen))


@pytest.mark.parametrize("percent", [-1, 100.1, math.nan, math.inf, True, "50", None])
def test_progress_is_a_number_from_0_to_100(context: Context, percent: Any) -> None:
    with pytest.raises(ValueError, match=r"percent is .* from 0 to 100"):
        context.progress(percent)
    assert context.take_progress() is None


def test_progress_ends_the_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    context = Context("0190")
    now = 105.0
    assert context.silent_for() == 5
    context.progress(1)
    now = 107.0
    assert context.silent_for() == 2


def test_log_records_carry_the_job(context: Context, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "capataz.job"):
        context.log.info("resized %d", 3, extra={"url": "u"})
    (record,) = caplog.records
    fields = vars(record)
    assert record.getMessage() == "resized 3"
    assert [fields[name] for name in ("job_id", "attempt", "lease", "url")] == ["0190", 2, 7, "u"]
    assert context.log is context.log


@pytest.mark.parametrize("after", [-1, math.nan, math.inf, 400 * 86400])
def test_retry_checks_its_seconds(after: float) -> None:
    with pytest.raises(ValueError, match="after is"):
        Retry(after=after)


@pytest.mark.parametrize(
    "error",
    [
        Retry(after=1.5, message="busy"),
        Retry(),
        Fail("no such file"),
        Cancelled(),
        UnknownType("x", ("add",)),
        PayloadError([("/payload/a", "is required: add it")]),
    ],
)
def test_errors_survive_the_way_out_of_a_process(error: JobError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
