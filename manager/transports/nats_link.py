"""A connection to NATS for threads: its client works on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import json
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.client import JetStreamContext

from manager.transports.base import TransportDown

T = TypeVar("T")

CALL_SECONDS = 5.0
# So long the very first call waits for a connection; any other finds one, or is told at once.
CONNECT_SECONDS = 2.0
RECONNECT_SECONDS = 0.25
CLOSE_SECONDS = 2.0
# Beyond the time that a pull may take, for the answer to arrive.
SLACK_SECONDS = 2.0
# A connection that breaks meanwhile is noticed so soon.
LOOK_SECONDS = 0.25

_AWAY = (nats.errors.Error, OSError, asyncio.TimeoutError, concurrent.futures.TimeoutError)


class NatsLink:
    """One connection, that comes back by itself; its thread starts with the first call."""

    def __init__(self, url: str, name: str) -> None:
        """`name` is how the server's own tools call this connection."""
        self._url = url
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self.client = Client()
        """Only for work on the loop, as is `stream`."""
        self.stream: JetStreamContext = self.client.jetstream()
        self._patience = CONNECT_SECONDS
        self._closed = False
        self._reason = "it has not answered yet"
        self._lost = asyncio.Event()
        self.epoch = 0
        """Grows with each connection, so that what was set up on one can be looked at again."""

    def call(
        self,
        work: Callable[[], Coroutine[Any, Any, T]],
        seconds: float = CALL_SECONDS,
    ) -> T:
        """Do `work` on the loop and wait for it, at most so long. Raises `TransportDown`."""
        loop = self._started()
        running = asyncio.run_coroutine_threadsafe(self._guarded(work, seconds), loop)
        try:
            return running.result(seconds + CONNECT_SECONDS + SLACK_SECONDS)
        except _AWAY as error:
            running.cancel()
            raise TransportDown(f"NATS: {_text(error)}") from None
        except concurrent.futures.CancelledError:
            raise TransportDown("NATS: the connection is closed") from None

    def is_up(self) -> bool:
        """Whether there is a connection just now."""
        return bool(self.client.is_connected)

    def close(self) -> None:
        """Send what waits and disconnect. Safe twice, and before the first call."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        with contextlib.suppress(*_AWAY, concurrent.futures.CancelledError):
            asyncio.run_coroutine_threadsafe(self._leave(), loop).result(2 * CLOSE_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(CLOSE_SECONDS)

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise TransportDown("NATS: the connection is closed")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_run, args=(self._loop,), name="nats", daemon=True
                )
                self._thread.start()
                asyncio.run_coroutine_threadsafe(self._connect(), self._loop)
            return self._loop

    async def _connect(self) -> None:
        # For ever, and by itself: whoever calls meanwhile is told that it is away.
        servers, user, password = _servers(self._url)
        await self.client.connect(
            servers,
            user=user,
            password=password,
            name=self._name,
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            # Declared as whole seconds, but slept as they are.
            reconnect_time_wait=RECONNECT_SECONDS,  # type: ignore[arg-type]
            connect_timeout=2,
            # Half-open connections are found out within 20 s.
            ping_interval=10,
            max_outstanding_pings=1,
            error_cb=self._failed,
            reconnected_cb=self._connected,
            disconnected_cb=self._disconnected,
        )
        await self._connected()

    async def _connected(self) -> None:
        self.epoch += 1
        self._lost = asyncio.Event()

    async def _disconnected(self) -> None:
        self._lost.set()

    async def _failed(self, error: Exception) -> None:
        self._reason = _text(error)

    async def _guarded(self, work: Callable[[], Awaitable[T]], seconds: float) -> T:
        await self._connection()
        # What was asked on a connection that is gone will not be answered on the next.
        working, lost = asyncio.ensure_future(work()), asyncio.ensure_future(self._lost.wait())
        try:
            await asyncio.wait(
                (working, lost), timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if working.done():
                return working.result()
            if lost.done():
                raise nats.errors.Error("the connection was lost")
            raise TimeoutError("it did not answer in time")
        finally:
            working.cancel()
            lost.cancel()

    async def _connection(self) -> None:
        patience, self._patience = self._patience, 0.0
        until = asyncio.get_running_loop().time() + patience
        # What is published without a connection would be kept in memory, and called sent.
        while not self.client.is_connected:
            if asyncio.get_running_loop().time() >= until:
                raise nats.errors.Error(f"not connected ({self._reason})")
            await asyncio.sleep(0.01)

    async def _leave(self) -> None:
        if self.client.is_connected:
            with contextlib.suppress(*_AWAY):
                await asyncio.wait_for(self.client.flush(), CLOSE_SECONDS)
        with contextlib.suppress(*_AWAY):
            await asyncio.wait_for(self.client.close(), CLOSE_SECONDS)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


class Puller:
    """Takes messages of one durable consumer, no more than were asked for; only on the loop.

    The library's own `fetch` waits out its whole time when there are fewer than it wants.
    """

    def __init__(self, client: Client, stream: str, consumer: str) -> None:
        self._client = client
        self._stream = stream
        self._consumer = consumer
        self._numbers = itertools.count(1)
        self._inbox = ""
        self._subscription: Subscription | None = None

    async def pull(self, most: int, seconds: float = 0.0) -> list[Msg]:
        """At most so many that are there; when there is none, the next, waited for so long.

        Raises `NoConsumer` when it, or its stream, is gone.
        """
        found = await self._ask({"batch": most, "no_wait": True}, most, SLACK_SECONDS)
        if found or seconds <= 0:
            return found
        waiting = {"batch": 1, "expires": int(seconds * 1e9)}
        found = await self._ask(waiting, 1, seconds + SLACK_SECONDS)
        if found and most > 1:
            rest = {"batch": most - 1, "no_wait": True}
            found += await self._ask(rest, most - 1, SLACK_SECONDS)
        return found

    async def _ask(self, asked: dict[str, Any], most: int, seconds: float) -> list[Msg]:
        client = self._client
        if self._subscription is None:
            self._inbox = client.new_inbox()
            self._subscription = await client.subscribe(f"{self._inbox}.*")
        reply = f"{self._inbox}.{next(self._numbers)}"
        request = json.dumps(asked).encode()
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}"
        await client.publish(subject, request, reply)
        found: list[Msg] = []
        until = asyncio.get_running_loop().time() + seconds
        while len(found) < most:
            left = until - asyncio.get_running_loop().time()
            if not found and (left <= 0 or not client.is_connected):
                raise nats.errors.Error("a request for messages was not answered")
            if left <= 0:
                return found
            try:
                message = await self._subscription.next_msg(min(left, LOOK_SECONDS))
            except nats.errors.TimeoutError:
                continue
            # Of an earlier request there may be a last word left, or a message that came late.
            status = (message.headers or {}).get("Status")
            if status is None:
                found.append(message)
            elif message.subject == reply:
                if status in ("503", "409") and not found:
                    raise NoConsumer(status)
                return found
        return found


class NoConsumer(nats.errors.Error):
    """The consumer, or its stream, is gone: as after the loss of the server's disk."""


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


def _servers(urls: str) -> tuple[list[str], str | None, str | None]:
    """The servers that a setting names, with commas between them, and who we are there, as the
    first URL says it: the client takes what is written with %2F for a password as it is."""
    servers = [one.strip() for one in urls.split(",")]
    first = urlsplit(servers[0])
    if first.username is None or first.password is None:
        return servers, None, None
    plain = [urlsplit(one) for one in servers]
    bare = [one._replace(netloc=one.netloc.rpartition("@")[2]).geturl() for one in plain]
    return bare, unquote(first.username), unquote(first.password)


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
