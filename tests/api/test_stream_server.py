"""Streams under gunicorn, where each holds a thread: bounds, hang-ups, stops, restarts."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter

from database import Database
from ledger import Request, submit
from tests import factories
from tests.api.test_server import Server, serving
from tests.api.test_stream import Frame, parsed
from tests.support import wait_until

ROOM = 8  # of 16 threads


class Listener:
    """A browser's end of a stream; `last` is its Last-Event-ID."""

    def __init__(self, server: Server, last: str | None = None) -> None:
        self._link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        headers = {} if last is None else {"Last-Event-ID": last}
        self._link.request("GET", "/api/v1/stream", headers=headers)
        self._answer = self._link.getresponse()
        self.status = self._answer.status
        self.again = self._answer.getheader("Retry-After")
        self.last = last
        self.frames: list[Frame] = []

    def read(self) -> bool:
        """The next frame; False at the end of the stream."""
        block = b""
        while not block.endswith(b"\n\n"):
            line = self._answer.readline()
            if not line:
                return False
            block += line
            if line.startswith(b"id: "):
                self.last = line[4:-1].decode()
        self.frames += parsed(block.decode())
        return True

    def of_orders(self) -> list[Frame]:
        """What came that has a place in the stream."""
        return [one for one in self.frames if one.name in ("event", "job")]

    def close(self) -> None:
        self._answer.close()
        self._link.close()


def test_a_full_budget_leaves_threads_for_others_and_a_stop_waits_for_none(
    database_url: str, database: Database
) -> None:
    with serving(database_url, WEB_CONCURRENCY="1") as server:
        listeners = [Listener(server) for _ in range(ROOM)]
        assert all(one.read() for one in listeners)
        refused = Listener(server)
        assert (refused.status, refused.again is None) == (503, False)
        status, order = server.call("POST", "/api/v1/add/1/2")
        assert status == 202
        assert server.call("GET", f"/api/v1/job/{order['jobId']}?wait=25")[0] == 200

        listeners.pop().close()  # nothing is sent to it that would tell that it has gone

        def is_taken() -> bool:
            one = Listener(server)
            listeners.append(one)
            return one.status == 200

        wait_until(is_taken)
        begin = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begin < 10
        while listeners[0].read():
            pass  # it ends with the stop, and whole
        for one in (*listeners, refused):
            one.close()


def test_nothing_is_missed_or_repeated_across_processes_hang_ups_and_a_restart(
    database_url: str, database: Database
) -> None:
    written: list[str] = []
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            order = factories.new_order()
            submit(database, [Request([order])])
            written.append(order.id)
        database.close()

    writers = [threading.Thread(target=write) for _ in range(4)]
    frames: list[Frame] = []
    last = None
    for servers in range(2):
        with serving(database_url, WEB_CONCURRENCY="2") as server:
            for turns in range(5):
                one = Listener(server, last)
                assert one.read()
                if not servers and not turns:
                    for writer in writers:
                        writer.start()
                while len(one.of_orders()) < 40:
                    assert one.read()
                frames += one.of_orders()
                last = one.last
                one.close()
            if servers:
                over.set()
                for writer in writers:
                    writer.join()
                one = Listener(server, last)
                while len(frames) + len(one.of_orders()) < 2 * len(written):
                    assert one.read()
                frames += one.of_orders()
                one.close()
    assert len({frame.id for frame in frames}) == len(frames)
    for name in ("event", "job"):
        told = Counter(frame.data["jobId"] for frame in frames if frame.name == name)
        assert told == Counter(written)
