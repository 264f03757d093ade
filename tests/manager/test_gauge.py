"""What workers use, compared with what the kernel says of the same time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from manager.gauge import Gauge, KernelClocks, PortableClocks, Tree, Use, portably_below
from manager.processes import below
from manager.worker import WorkerThread
from tests.support import wait_until

POINTS = 5.0
SECONDS = 1.5
TICK = os.sysconf("SC_CLK_TCK")

# A stand-in for a warden with a child that burns in two processes, and says when all are there.
BURNING = """
import os, sys
from multiprocessing import get_context
def burn():
    while True: pass
if __name__ == "__main__":
    burner = get_context("fork").Process(target=burn)
    burner.start()
    print("ready", flush=True)
    burn()
"""
ALONE = """
print("ready", flush=True)
while True: pass
"""
WARDEN = """
import subprocess, sys
subprocess.run([sys.executable, "-c", sys.argv[1]])
"""


@contextmanager
def threads(*targets: Callable[[], object]) -> Iterator[list[WorkerThread]]:
    """Workers that do these things until the end."""
    made = [
        WorkerThread(f"m/{number}", lambda _me, target=target: target())  # type: ignore[misc]
        for number, target in enumerate(targets, 1)
    ]
    for one in made:
        one.start()
    yield made
    for one in made:
        one.join(10)


@contextmanager
def tree(program: str = BURNING) -> Iterator[Tree]:
    """Processes below a warden, all at work."""
    warden = subprocess.Popen(
        [sys.executable, "-c", WARDEN, program], stdout=subprocess.PIPE, text=True
    )
    assert warden.stdout is not None
    assert warden.stdout.readline() == "ready\n"
    found = below(warden.pid)
    try:
        yield Tree(warden.pid, True, 0.0)
    finally:
        for pid in found:
            psutil.Process(pid).kill()
        warden.wait(10)
        warden.stdout.close()


def kernel_seconds(thread: WorkerThread) -> float:
    """User and system time of a thread by its stat, in clock ticks: another file than ours."""
    fields = Path(f"/proc/self/task/{thread.native_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def process_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICK


def test_a_thread_that_burns_and_one_at_rest_use_what_the_kernel_says() -> None:
    over = threading.Event()

    def burn() -> None:
        while not over.is_set():
            pass

    gauge = Gauge()
    with threads(burn, over.wait) as both:
        gauge.look(both, {}, {})
        before, began = [kernel_seconds(one) for one in both], time.monotonic()
        over.wait(SECONDS)
        used = gauge.look(both, {}, {})
        passed = time.monotonic() - began
        after = [kernel_seconds(one) for one in both]
        over.set()
    for one, early, late in zip(both, before, after, strict=True):
        percent = used[one.name].cpu_percent
        assert percent is not None
        assert abs(percent - (late - early) / passed * 100) < POINTS
    assert (used["m/1"].cpu_percent or 0) > (used["m/2"].cpu_percent or 0)
    shared = psutil.Process().memory_info().rss / 2**20
    assert all(abs(use.ram_mb - shared) < 20 for use in used.values())
    gauge.close()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_child_that_burns_uses_what_the_kernel_says(processes: int) -> None:
    """Within five points of each core that it may use."""
    over = threading.Event()
    gauge = Gauge()
    with threads(over.wait) as one, tree({1: ALONE, 2: BURNING}[processes]) as given:
        gauge.look(one, {"m/1": given}, {})
        pids = below(given.warden)
        assert len(pids) == processes
        before, began = sum(map(process_seconds, pids)), time.monotonic()
        over.wait(SECONDS)
        use = gauge.look(one, {"m/1": given}, {})["m/1"]
        passed = time.monotonic() - began
        percent = (sum(map(process_seconds, pids)) - before) / passed * 100
        held = [psutil.Process(pid).memory_full_info().pss for pid in (given.warden, *pids)]
        over.set()
    assert use.cpu_percent is not None
    assert abs(use.cpu_percent - percent) < processes * POINTS
    assert use.cpu_percent > POINTS
    assert use.ram_mb == pytest.approx(sum(held) / 2**20, rel=POINTS / 100)
    gauge.close()


BRIEF = """
import os, sys
def burn():
    for _ in range(3_000_000): pass
burn()
if os.fork() == 0:
    burn()
    os._exit(0)
os.wait()
print("ready", flush=True)
sys.stdin.read()
"""


def test_what_processes_used_that_ended_meanwhile_is_not_lost() -> None:
    over = threading.Event()
    gauge = Gauge()
    with threads(over.wait) as one, tree(f"{BRIEF}\nimport time; time.sleep(60)") as given:
        use = gauge.look(one, {"m/1": given}, {})["m/1"]
        passed = time.monotonic() - one[0].made
        (child,) = below(given.warden)
        times = psutil.Process(child).cpu_times()
        over.set()
    assert times.children_user > 0
    assert use.cpu_percent is not None
    spent = sum(times[:4])
    assert use.cpu_percent * passed / 100 == pytest.approx(spent, abs=0.1)
    gauge.close()


@pytest.fixture
def resting() -> Iterator[WorkerThread]:
    over = threading.Event()
    with threads(over.wait) as (one,):
        yield one
        over.set()


def used(gauge: Gauge, thread: WorkerThread, ended: float = 0.0, passed: float = 1.0) -> Use:
    """A look after so many seconds, when so many of runs that ended have come together."""
    gauge._meters[thread.name]._at = time.monotonic() - passed
    return gauge.look([thread], {}, {thread.name: ended})[thread.name]


def test_runs_that_ended_in_a_child_count_once(resting: WorkerThread) -> None:
    gauge = Gauge()
    gauge.look([resting], {}, gauge.ended())
    gauge.ran(resting.name, 0.5)
    gauge.ran(resting.name, 0.25)
    assert gauge.ended() == {resting.name: 0.75}
    assert used(gauge, resting, 0.75).cpu_percent == pytest.approx(75, abs=POINTS)
    assert used(gauge, resting, 0.75).cpu_percent == pytest.approx(0, abs=POINTS)
    gauge.close()


def test_a_count_that_goes_back_once_was_a_look_too_early(resting: WorkerThread) -> None:
    gauge = Gauge()
    gauge.look([resting], {}, {})
    shares = [used(gauge, resting, ended).cpu_percent for ended in (60, 0, 60.25, 30, 29, 29.5)]
    assert shares == pytest.approx([6_000, 0, 25, 0, 0, 50], abs=POINTS)
    gauge.close()


def test_what_a_child_used_before_this_run_is_not_the_workers(resting: WorkerThread) -> None:
    gauge = Gauge()
    gauge.look([resting], {}, {})
    with tree(f"{BRIEF}\nimport time; time.sleep(60)") as given:
        (child,) = below(given.warden)
        spent = sum(psutil.Process(child).cpu_times()[:4])
        gauge._meters[resting.name]._at = time.monotonic() - 1
        use = gauge.look([resting], {resting.name: given._replace(spent=spent)}, {})[resting.name]
    assert use.cpu_percent == pytest.approx(0, abs=POINTS)
    gauge.close()


def test_two_looks_in_one_moment_say_the_same(resting: WorkerThread) -> None:
    gauge = Gauge()
    gauge.look([resting], {}, {})
    first = used(gauge, resting, 0.5)
    second = gauge.look([resting], {}, {resting.name: 9.0})[resting.name]
    assert second.cpu_percent == first.cpu_percent
    gauge.close()


def test_a_thread_that_has_ended_harms_nobody_and_leaves_no_file_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    gauge = Gauge()
    with threads(lambda: None) as (ended,):
        gauge.look([ended], {}, {})
    wait_until(lambda: gauge._clocks.seconds(ended) is None)
    assert used(gauge, ended).cpu_percent is None
    assert PortableClocks().seconds(ended) is None
    gauge.look([], {}, {})
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_warden_that_is_gone_uses_nothing(resting: WorkerThread) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(10)
    gauge = Gauge()
    use = gauge.look([resting], {resting.name: Tree(ended.pid, True, 0.0)}, {})[resting.name]
    assert use.ram_mb == 0
    gauge.close()


def test_without_the_kernels_own_count_threads_are_measured_more_coarsely() -> None:
    over = threading.Event()

    def burn() -> None:
        while not over.is_set():
            pass

    exact = KernelClocks()
    with threads(burn) as (one,):
        wait_until(lambda: (exact.seconds(one) or 0) > 0.3)
        coarse, fine = PortableClocks().seconds(one), exact.seconds(one)
        over.set()
    exact.forget_others(())
    assert coarse == pytest.approx(fine, abs=0.1)


def test_processes_are_found_without_proc_too() -> None:
    with tree() as given:
        assert sorted(portably_below(given.warden)) == sorted(below(given.warden))
    assert portably_below(2**22 + 1) == []
