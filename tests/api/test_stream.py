"""Streams: resumed without a gap or a repeat, bounded, and one reader for all of a process."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from flask import Flask
from flask.testing import FlaskClient

import ledger
from api import broadcaster as module
from api.frames import Mark
from api.routes import stream as route
from api.services import Services, services
from database import Database, DatabaseAway, Sql
from ledger import stream as feed
from models import CANCELLED, COMPLETED, PENDING, RETRIEVED, WIP
from tests import factories
from tests.api.calls import fields_of, problem, submitted
from tests.ledger.troubles import worked_off
from tests.support import wait_until

ADDRESS = "/api/v1/stream"
FORGET = Sql("DELETE FROM event")


class Frame(NamedTuple):
    name: str
    id: str | None
    data: Any


def parsed(text: str) -> list[Frame]:
    """The frames of a text, as a browser would see them."""
    frames = []
    for block in text.split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line[0] != ":")
        if "data" in fields:
            frames.append(Frame(fields["event"], fields.get("id"), json.loads(fields["data"])))
    return frames


class Reader:
    """Follows a stream in a thread of its own."""

    def __init__(self, client: FlaskClient, last: str | None) -> None:
        headers = {} if last is None else {"Last-Event-ID": last}
        self._answer = client.get(ADDRESS, headers=headers, buffered=False)
        assert self._answer.status_code == 200, self._answer.text
        self.headers = self._answer.headers
        self.text = ""
        self._body = iter(self._answer.response)
        self._closing = False
        self._read()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _read(self) -> None:
        chunk: Any = next(self._body)
        self.text += chunk.decode()

    def _run(self) -> None:
        while not self._closing:
            try:
                self._read()
            except StopIteration:
                break
        self._answer.close()

    def of(self, *names: str) -> list[Frame]:
        return [one for one in parsed(self.text) if one.name in names]

    def kinds(self) -> list[str]:
        return [one.data["event"] for one in self.of("event")]

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def close(self) -> None:
        self._closing = True
        self._thread.join(20)


@contextmanager
def reading(app: Flask | FlaskClient, last: str | None = None) -> Iterator[Reader]:
    reader = Reader(app.test_client() if isinstance(app, Flask) else app, last)
    try:
        yield reader
    finally:
        reader.close()


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(route, "HEARTBEAT_SECONDS", 0.2)


@pytest.fixture
def parts(app: Flask) -> Services:
    return services(app)


def test_what_happens_is_told_in_order(app: Flask, client: FlaskClient, database: Database) -> None:
    submitted(client)
    with reading(app) as reader:
        order = submitted(client)
        (first, claimed) = factories.claim(database, free=2)
        ledger.finish(database, factories.MANAGER, [factories.ending(claimed)])
        client.get(f"/api/v1/job/{order}")
        ledger.cancel(database, first.id)
        wait_until(lambda: len(reader.of("event")) >= 6)
        kinds = ["submitted", "claimed", "claimed", "completed", "retrieved", "cancelled"]
        assert reader.kinds() == kinds
        jobs = [one.data for one in reader.of("job") if one.data["jobId"] == order]
        assert [one["status"] for one in jobs] == [PENDING, WIP, COMPLETED, RETRIEVED]
        assert {(one["type"], len(one["timestamp"])) for one in jobs} == {("add", 24)}
        assert reader.of("job")[-1].data["status"] == CANCELLED
        listed = client.get("/api/v1/events?limit=6").json["items"]  # type: ignore[index]
        told = [one.data for one in reader.of("event")]
        assert [one.pop("jobId") for one in told] == [one["job"] for one in told]
        assert [one["id"] for one in told] == [one["id"] for one in reversed(listed)]
        assert len({one.id for one in reader.of("event", "job")}) == 12
    assert reader.headers["Content-Type"].startswith("text/event-stream")
    assert reader.headers["X-Accel-Buffering"] == "no"


def test_every_frame_is_a_place_to_go_on_from(
    app: Flask, client: FlaskClient, database: Database
) -> None:
    with reading(app) as reader:
        ledger.submit(database, [ledger.Request([factories.new_order() for _ in range(3)])])
        submitted(client)
        factories.claim(database, free=4)
        wait_until(lambda: len(reader.of("event", "job")) == 16)
    everything = reader.of("event", "job")
    for number, frame in enumerate(everything):
        with reading(app, frame.id) as again:
            rest = everything[number + 1 :]
            wait_until(lambda again=again, rest=rest: len(again.of("event", "job")) >= len(rest))  # type: ignore[misc]
            assert again.of("event", "job") == rest


def test_before_its_first_frame_a_stream_can_be_resumed_too(
    app: Flask, client: FlaskClient
) -> None:
    with reading(app) as reader:
        pass
    (last,) = (line[4:] for line in reader.text.splitlines() if line.startswith("id: "))
    submitted(client)
    with reading(app, last) as again:
        wait_until(lambda: again.kinds() == ["submitted"])


def test_what_is_gone_is_told_by_a_reset(
    app: Flask, client: FlaskClient, database: Database, parts: Services
) -> None:
    with reading(app) as reader:
        submitted(client)
        wait_until(reader.kinds)
    submitted(client)
    wait_until(lambda: parts.broadcaster._head is None)
    database.write(lambda tx: tx.run(FORGET))
    with reading(app, reader.of("event")[0].id) as again:
        (frame,) = again.of("reset")
        assert "anew" in frame.data["reason"]
        submitted(client)
        wait_until(lambda: again.kinds() == ["submitted"])
    with reading(app, frame.id) as third:
        wait_until(lambda: third.kinds() == ["submitted"])
        assert not third.of("reset")
    with reading(app, "1-999999") as fourth:
        assert fourth.of("reset")


@pytest.mark.parametrize("last", ["x", "1", "-1-2", "1-2-3-4", "1-99999999999999999999", "1-é"])
def test_what_is_no_id_is_refused(client: FlaskClient, last: str) -> None:
    header = last.encode().decode("latin-1")
    assert fields_of(client.get(ADDRESS, headers={"Last-Event-ID": header})) == {"Last-Event-ID"}


def test_ids_are_read_as_they_were_written() -> None:
    for text in ("0-0", "12-34", "12-34-0", "12-34-7"):
        assert Mark.read(text).text == text
    assert sorted(map(Mark.read, ("2-1", "1-9", "1-2-3", "1-2", "1-2-11"))) == list(
        map(Mark.read, ("1-2-3", "1-2-11", "1-2", "1-9", "2-1"))
    )


def test_figures_and_workers_come_at_once_and_when_they_change(
    app: Flask, client: FlaskClient, database: Database
) -> None:
    with reading(app) as reader:
        wait_until(lambda: reader.of("metrics") and reader.of("workers"))
        submitted(client)
        worked_off(database, "m1")

        def told() -> bool:
            figures = reader.of("metrics")[-1].data["tasks"]
            managers = reader.of("workers")[-1].data["managers"]
            return figures["completed"] == 1 and [one["managerId"] for one in managers] == ["m1"]

        wait_until(told)
        assert {one.id for one in reader.of("metrics", "workers", "heartbeat")} == {None}
        wait_until(lambda: reader.of("heartbeat"))


def test_one_reader_of_the_database_for_all(
    app: Flask, client: FlaskClient, parts: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[str] = set()
    read_on = feed.read_on

    def watched(*given: Any) -> Any:
        threads.add(threading.current_thread().name)
        return read_on(*given)

    monkeypatch.setattr(feed, "read_on", watched)
    with reading(app) as one, reading(app) as two, reading(app) as three:
        ids = [submitted(client) for _ in range(20)]
        for reader in (one, two, three):
            wait_until(lambda reader=reader: len(reader.of("event")) == 20)  # type: ignore[misc]
            assert [frame.data["jobId"] for frame in reader.of("event")] == ids
    assert threads == {"broadcaster"}
    wait_until(lambda: not parts.broadcaster._viewers)


def test_beyond_the_budget_it_is_503(app: Flask, client: FlaskClient, parts: Services) -> None:
    parts.waiter.room = 2
    with reading(app), reading(app):
        refused = client.get(ADDRESS)
        problem(refused, 503)
        assert int(refused.headers["Retry-After"]) > 0
        order = submitted(client)
        assert client.get(f"/api/v1/job/{order}?wait=20").status_code == 200  # answered at once
        assert client.head(ADDRESS).status_code == 200  # holds no place
    with reading(app), reading(app):
        pass
    assert parts.waiter._count == 0


def test_one_that_does_not_read_is_filled_no_further_and_misses_nothing(
    app: Flask, parts: Services, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.viewer.MOST_BYTES", 3_000)
    monkeypatch.setattr(module, "MOST_ITEMS", 7)
    viewer = parts.broadcaster.open(None)
    ids = []
    for _ in range(4):
        new = [factories.new_order() for _ in range(25)]
        ids += [one.id for one in new]
        ledger.submit(database, [ledger.Request(new)])
    with reading(app) as other:  # the others are not held up
        ids.append(factories.submit(database))
        wait_until(lambda: ids[-1] in [f.data["jobId"] for f in other.of("event")])
    assert viewer._size < 10_000
    text = ""

    def all_told() -> bool:
        nonlocal text
        text += viewer.take(0.05).decode()
        return len([one for one in parsed(text) if one.name == "event"]) >= len(ids)

    wait_until(all_told)
    assert [one.data["jobId"] for one in parsed(text) if one.name == "event"] == ids
    assert [one.data["jobId"] for one in parsed(text) if one.name == "job"] == ids
    parts.broadcaster.close_viewer(viewer)


def test_a_release_ends_all_streams(app: Flask, client: FlaskClient, parts: Services) -> None:
    with reading(app) as one, reading(app) as two:
        parts.waiter.release()
        wait_until(lambda: one.ended and two.ended)
    problem(client.get(ADDRESS), 503)


def test_an_outage_holds_streams_up_and_refuses_new_ones(
    app: Flask, client: FlaskClient, parts: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_on, stream_now = feed.read_on, feed.stream_now

    def away(*_: object) -> None:
        raise DatabaseAway("gone")

    monkeypatch.setattr(module, "AWAY_SECONDS", 0.1)
    monkeypatch.setattr(feed, "stream_now", away)
    problem(client.get(ADDRESS), 503)
    assert parts.waiter._count == 0
    monkeypatch.setattr(feed, "stream_now", stream_now)
    with reading(app) as reader:
        monkeypatch.setattr(feed, "read_on", away)
        order = submitted(client)
        wait_until(lambda: reader.of("heartbeat"))
        monkeypatch.setattr(feed, "read_on", read_on)
        wait_until(lambda: [one.data["jobId"] for one in reader.of("event")] == [order])


def test_what_cannot_be_read_ends_the_streams_whose_readers_come_back(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_on = feed.read_on

    def wrong(*_: object) -> None:
        raise ValueError("wrong")

    monkeypatch.setattr(module, "AWAY_SECONDS", 0.1)
    with reading(app) as reader:
        order = submitted(client)
        wait_until(reader.kinds)
        monkeypatch.setattr(feed, "read_on", wrong)
        last = submitted(client)
        wait_until(lambda: reader.ended)
    monkeypatch.setattr(feed, "read_on", read_on)
    told = reader.of("event", "job")
    assert {one.data["jobId"] for one in told} == {order}
    with reading(app, told[-1].id) as again:
        wait_until(lambda: [one.data["jobId"] for one in again.of("event")] == [last])
