"""Jobs that use the processor, or do not, until they are told to stop."""

from __future__ import annotations

import os

from jobs import Context, job
from jobs.errors import Cancelled


@job("burn.thread")
def in_thread(context: Context) -> None:
    """Use one core."""
    while not context.cancelled:
        pass
    raise Cancelled


@job("burn.rest")
def rest(context: Context) -> None:
    """Use nothing."""
    context.wait(600)
    raise Cancelled


@job("burn.twice", isolation="process")
def in_two_processes(context: Context) -> None:
    """Use two cores, if there are as many, and nothing in this process after."""
    if os.fork() == 0:
        while True:
            pass
    in_thread(context)
