"""A connection to RabbitMQ for threads: its client works on an event loop in a thread of its own.

So its heartbeats go on whatever the manager does, and a batch of messages is confirmed as one.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pika
import pika.exceptions
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel

from manager.transports.base import TransportDown

T = TypeVar("T")

CALL_SECONDS = 5.0
# So long after its start calls wait for the first connection; later ones are told at once.
CONNECT_SECONDS = 2.0
RECONNECT_SECONDS = 0.25
CLOSE_SECONDS = 2.0
SLACK_SECONDS = 2.0
# Half-open connections are found out within twice as long.
HEARTBEAT_SECONDS = 10
# A broker short of memory or disk takes nothing more: after so long that is as good as away.
BLOCKED_SECONDS = 5

# What it has to say comes to us as errors, and is said once.
logging.getLogger("pika").setLevel(logging.CRITICAL)


class Line:
    """One channel, and who waits for an answer on it; only on the loop of its link."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.out: set[int] = set()
        """The messages that came by it and are not settled yet."""
        self._waiting: set[asyncio.Future[Any]] = set()
        self._error: TransportDown | None = None
        channel.add_on_close_callback(self._closed)

    @property
    def is_open(self) -> bool:
        return self._error is None and bool(self.channel.is_open)

    def future(self) -> asyncio.Future[Any]:
        """One that ends with `TransportDown` when the channel does."""
        future = asyncio.get_running_loop().create_future()
        if self._error is not None:
            future.set_exception(self._error)
            return future
        self._waiting.add(future)
        future.add_done_callback(self._waiting.discard)
        return future

    async def ask(self, method: Callable[..., Any], **given: Any) -> Any:
        """Call a method of the channel that answers by a callback; its answer."""
        answered = self.future()
        method(**given, callback=_setter(answered))
        return await answered

    def _closed(self, _channel: Channel, reason: BaseException) -> None:
        self._error = TransportDown(f"RabbitMQ: {text_of(reason)}")
        for future in list(self._waiting):
            if not future.done():
                future.set_exception(self._error)


class RabbitLink:
    """One connection, that comes back by itself; its thread starts with the first call."""

    def __init__(self, url: str, name: str) -> None:
        """`name` is how the server's own tools call this connection."""
        self._url = url
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._connection: AsyncioConnection | None = None
        self._lines: dict[str, Line] = {}
        self._opening: dict[str, asyncio.Lock] = {}
        self._is_up = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._patient_until = 0.0
        self._closed = False
        self._reason = "it has not answered yet"
        self.epoch = 0
        """Grows with each connection, so that what was set up on one can be looked at again."""

    def call(self, work: Callable[[], Coroutine[Any, Any, T]], seconds: float = CALL_SECONDS) -> T:
        """Do `work` on the loop and wait for it, at most so long. Raises `TransportDown`."""
        loop = self._started()
        running = asyncio.run_coroutine_threadsafe(self._guarded(work, seconds), loop)
        try:
            return running.result(seconds + CONNECT_SECONDS + SLACK_SECONDS)
        except TransportDown:
            raise
        except concurrent.futures.CancelledError:
            raise TransportDown("RabbitMQ: the connection is closed") from None
        except (pika.exceptions.AMQPError, OSError, TimeoutError) as error:
            running.cancel()
            raise TransportDown(f"RabbitMQ: {text_of(error)}") from None

    async def line(self, use: str, prepare: Callable[[Line], Coroutine[Any, Any, None]]) -> Line:
        """The channel for that use, opened and prepared where there is none. On the loop."""
        async with self._opening.setdefault(use, asyncio.Lock()):
            line = self._lines.get(use)
            if line is None or not line.is_open:
                line = await self._open()
                await prepare(line)
                self._lines[use] = line
            return line

    def close(self) -> None:
        """Disconnect. Safe twice, and before the first call."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        with contextlib.suppress(TimeoutError, concurrent.futures.CancelledError):
            asyncio.run_coroutine_threadsafe(self._leave(), loop).result(2 * CLOSE_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(CLOSE_SECONDS)

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise TransportDown("RabbitMQ: the connection is closed")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_run, args=(self._loop,), name="rabbitmq", daemon=True
                )
                self._thread.start()
                self._patient_until = time.monotonic() + CONNECT_SECONDS
                asyncio.run_coroutine_threadsafe(self._begin(), self._loop)
            return self._loop

    async def _begin(self) -> None:
        self._keeper = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        """Connect, and again when the connection is lost, for ever."""
        while True:
            lost = asyncio.get_running_loop().create_future()
            try:
                self._connection = await self._connect(lost)
            except (pika.exceptions.AMQPError, OSError, TimeoutError) as error:
                self._reason = text_of(error)
            else:
                self.epoch += 1
                self._is_up.set()
                self._patient_until = 0.0
                self._reason = text_of(await lost)
                self._is_up.clear()
                self._lines.clear()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _connect(self, lost: asyncio.Future[BaseException]) -> AsyncioConnection:
        opened: asyncio.Future[AsyncioConnection] = asyncio.get_running_loop().create_future()

        def fail(_connection: Any, error: BaseException | str) -> None:
            if not opened.done():
                opened.set_exception(OSError(_cause(error)))

        def leave(_connection: Any, error: BaseException) -> None:
            if not lost.done():
                lost.set_result(error)

        parameters = pika.URLParameters(self._url)
        parameters.heartbeat = HEARTBEAT_SECONDS
        parameters.blocked_connection_timeout = BLOCKED_SECONDS
        parameters.socket_timeout = parameters.stack_timeout = CALL_SECONDS
        parameters.client_properties = {"connection_name": self._name}
        AsyncioConnection(
            parameters,
            on_open_callback=_setter(opened),
            on_open_error_callback=fail,
            on_close_callback=leave,
            custom_ioloop=asyncio.get_running_loop(),
        )
        return await opened

    async def _open(self) -> Line:
        connection = self._connection
        if connection is None or not connection.is_open:
            raise TransportDown(f"RabbitMQ: not connected ({self._reason})")
        opened: asyncio.Future[Channel] = asyncio.get_running_loop().create_future()
        line = Line(connection.channel(on_open_callback=_setter(opened)))
        lost = line.future()
        await asyncio.wait((opened, lost), return_when=asyncio.FIRST_COMPLETED)
        if lost.done():
            lost.result()
        lost.cancel()
        return line

    async def _guarded(self, work: Callable[[], Coroutine[Any, Any, T]], seconds: float) -> T:
        if not self._is_up.is_set():
            patience = max(self._patient_until - time.monotonic(), 0.001)
            try:
                await asyncio.wait_for(self._is_up.wait(), patience)
            except TimeoutError:
                raise TransportDown(f"RabbitMQ: not connected ({self._reason})") from None
        return await asyncio.wait_for(work(), seconds)

    async def _leave(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
        connection = self._connection
        if connection is not None and connection.is_open:
            # What was acked must have left before the connection is closed: AMQP closes in order.
            connection.close()
            until = asyncio.get_running_loop().time() + CLOSE_SECONDS
            while not connection.is_closed and asyncio.get_running_loop().time() < until:
                await asyncio.sleep(0.005)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def _setter(future: asyncio.Future[Any]) -> Callable[[Any], None]:
    """A callback that gives it its result, unless it has ended meanwhile."""

    def set_result(result: Any) -> None:
        if not future.done():
            future.set_result(result)

    return set_result


def text_of(error: BaseException) -> str:
    """An error as a part of a sentence, never empty."""
    if isinstance(error, pika.exceptions.ConnectionClosed | pika.exceptions.ChannelClosed):
        return f"{error.reply_code} {error.reply_text}"
    return str(error) or type(error).__name__


def _cause(error: Any) -> str:
    """Of a workflow of attempts that all failed: why the last did."""
    while getattr(error, "exceptions", None):
        error = error.exceptions[-1]
    error = getattr(error, "exception", error)
    return text_of(error) if isinstance(error, BaseException) else str(error)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()
