"""Requests of jobs over HTTPS, and how long a name or a handshake may take."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from jobs import Context, lookup, outbound
from jobs.builtin.webhook import webhook
from jobs.errors import Retry
from tests.receiver import receiving
from tests.servers.authority import Authority
from tests.support import wait_until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound._told, "values", None)
    outbound.configure(SECRET, ("127.0.0.0/8",))


def deliver(url: str) -> Any:
    return webhook(Context(job_id="1", attempt=1, lease=1), url, "1", "add", "completed", 0)


def test_a_delivery_over_https_is_verified(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.root))
    with receiving(authority.server("IP:127.0.0.1")) as receiver:
        assert deliver(receiver.url) == {"status": 200}
        (got,) = receiver.got
    assert Webhook(SECRET).verify(got.body, got.headers)["type"] == "job.completed"


def test_a_receiver_that_is_another_or_that_nobody_knows_gets_nothing(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    strangers = tmp_path / "stranger"
    strangers.mkdir()
    stranger = Authority(strangers)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.root))
    for tls in (authority.server("DNS:example.com"), stranger.server("IP:127.0.0.1")):
        with receiving(tls) as receiver:
            with pytest.raises(Retry, match="certificate"):
                deliver(receiver.url)
            assert receiver.got == []


@pytest.fixture
def dripping() -> Iterator[str]:
    """A server that begins to shake hands, and goes on a byte at a time."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            link, _ = listener.accept()
            with link:
                link.sendall(b"\x16\x03\x03\x40\x00")  # a record of 16 KiB is to come
                while not over.wait(0.02):
                    try:
                        link.sendall(b"\x02")
                    except OSError:
                        break

        thread = threading.Thread(target=drip)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/"
        over.set()
        thread.join()


def test_a_handshake_has_an_end(dripping: str) -> None:
    with pytest.raises(outbound.Unreachable):
        outbound.request("GET", dripping, seconds=0.3)


@pytest.fixture
def silent_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The system's resolver, waiting for servers that never answer."""
    over = threading.Event()

    def silent(*_: Any, **__: Any) -> Any:
        over.wait(30)
        raise socket.gaierror("nobody answered")

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    yield
    over.set()
    names = [one for one in threading.enumerate() if one.name == "lookup"]
    wait_until(lambda: not any(one.is_alive() for one in names))


@pytest.mark.usefixtures("silent_resolver")
def test_a_name_is_not_waited_for_without_end() -> None:
    begin = time.monotonic()
    with pytest.raises(outbound.Unreachable, match=r"example\.com"):
        outbound.request("GET", "http://example.com/", seconds=0.1)
    assert time.monotonic() - begin < 10  # it would be 30
    for _ in range(lookup.MOST_WAITING - 1):
        with pytest.raises(TimeoutError):
            lookup.addresses("example.com", 80, 0.001)
    with pytest.raises(TimeoutError, match="looked up"):
        lookup.addresses("example.com", 80, 60)
