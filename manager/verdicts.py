"""What a run in a child process came to, from its answer, its warden's report, and who ended it."""

from __future__ import annotations

from typing import Any

import structlog

from jobs import registry
from jobs.errors import UnknownType
from manager import shortage, warden
from manager.assignment import Assignment
from manager.autopsy import end_of, last_words, stack_of
from manager.cell import Report
from manager.outcome import CRASHED, ERROR, HANDED_BACK, Outcome, Usage

log = structlog.get_logger("capataz.manager")


def judge(
    assignment: Assignment,
    answer: dict[str, Any] | None,
    verdict: Outcome | None,
    report: Report,
    seconds: float,
    spent_before: float,
) -> Outcome:
    """What a run came to that did not end by its answer alone."""
    if report.reason == "stuck":
        log.error("a child process does not end; its warden goes on trying", job=assignment.id)
    if verdict is not None and verdict.kind == HANDED_BACK:
        # What it answered after it was told is half done: what it had started was ended too.
        return outcome_of(answer) if answer is not None and not answer["told"] else verdict
    if verdict is None and report.reason == warden.LAPSED:
        return Outcome(HANDED_BACK)
    _, code, name = end_of(report.status)
    how = how_it_ended(report)
    outcome = verdict or _verdict(report, how, assignment)
    if outcome.kind == CRASHED:
        log.warning("a child process died", job=assignment.id, how=how)
    return outcome._replace(
        run_seconds=seconds,
        traceback=stack_of(report.stack),
        usage=Usage(max(0.0, report.cpu_seconds - spent_before), report.peak_mb),
        output=last_words(report.output),
        exit_code=code,
        signal=name,
    )


def _verdict(report: Report, how: str, assignment: Assignment) -> Outcome:
    """Why a child ended that nobody here has ended."""
    if report.reason == warden.MEMORY:
        limit = memory_mb_of(assignment.order.type)
        return Outcome(
            ERROR,
            error_type="MemoryExceeded",
            message=f"the job used {report.used_mb} MiB, more than its memory_mb of {limit}",
        )
    if report.reason == warden.PROCESSES:
        return Outcome(
            ERROR,
            error_type="TooManyProcesses",
            message=f"the job had more than {warden.MOST_PROCESSES} processes at once",
        )
    return Outcome(CRASHED, error_type="Crashed", message=f"the job's process {how}")


def how_it_ended(report: Report) -> str:
    """As a person would say it. Memory is blamed where the system counts such an end, and nobody
    else for what we did ourselves."""
    if report.reason in ("lost", "stuck"):
        return "ended with its warden"
    how, _, name = end_of(report.status)
    if report.fault and report.reason == warden.TOLD:
        return f"was ended by its manager: {report.fault}"
    if name == "SIGKILL" and report.reason == warden.BY_ITSELF:
        return how + _KILLERS[report.shortage]
    return how


_KILLERS = {
    shortage.IN_GROUP: ", by the system for lack of memory",
    shortage.IN_SYSTEM: " while the system was short of memory and ended processes",
    shortage.NONE: ", by itself or by somebody outside Capataz",
    shortage.UNKNOWN: ", by itself, by somebody outside Capataz, or for lack of memory",
}


def not_started(message: str, output: str | None = None) -> Outcome:
    return Outcome(
        ERROR, error_type="NotStarted", message=f"the job's process {message}", output=output
    )


def outcome_of(answer: dict[str, Any]) -> Outcome:
    return Outcome(*answer["outcome"])._replace(usage=Usage(*answer["usage"]))


def memory_mb_of(kind: str) -> int | None:
    try:
        return registry.get(kind).memory_mb
    except UnknownType:
        return None
