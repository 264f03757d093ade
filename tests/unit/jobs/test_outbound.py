"""Requests of jobs: where they may go, and how much time and room an answer gets."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from jobs import Context, Fail, outbound
from jobs.builtin.http import http
from jobs.builtin.webhook import webhook
from jobs.errors import Retry
from tests.receiver import Receiver, receiving

LOCAL = ("127.0.0.0/8",)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound._told, "values", {})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.0.1"),
        *("169.254.169.254", "100.64.0.1", "192.0.2.1", "224.0.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "::ffff:127.0.0.1"),
        *("::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1"),
    ],
)
def test_private_addresses_are_refused_in_whatever_dress(address: str) -> None:
    assert not outbound.may_be_called(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"])
def test_public_addresses_may_be_called(address: str) -> None:
    assert outbound.may_be_called(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        *("http://localhost/", "http://127.0.0.1:1/", "http://2130706433/", "http://0x7f.1/"),
        *("http://0177.0.0.1/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://127.1/"),
        *("ftp://example.com/", "http:///x", "http://u:p@example.com/", "http://a:99999/"),
        *("http://127.0.0.1/\r\nX: y", "file:///etc/passwd", "http://é.example/"),
    ],
)
def test_addresses_are_refused_however_they_are_written(url: str) -> None:
    with pytest.raises(outbound.Refused):
        outbound.request("GET", url)


def test_one_private_address_of_a_name_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    def both(_host: str, port: int, **_: object) -> list[object]:
        return [(0, 0, 0, "", (one, port)) for one in ("93.184.216.34", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with pytest.raises(outbound.Refused, match=r"10\.0\.0\.1"):
        outbound.request("GET", "http://example.com/")


def test_a_name_is_asked_once(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    outbound.configure("", LOCAL)
    asked: list[str] = []
    real = socket.getaddrinfo

    def watched(host: str, *rest: Any, **named: Any) -> Any:
        asked.append(host)
        return real("127.0.0.1" if host == "rebinding.example" else host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", watched)
    url = f"http://rebinding.example:{receiver.server_port}/hook"
    assert outbound.request("GET", url).status == 200
    assert asked[0] == "rebinding.example"
    assert set(asked[1:]) <= {"127.0.0.1"}
    assert receiver.got[0].headers["host"] == f"rebinding.example:{receiver.server_port}"


def test_redirects_are_not_followed(receiver: Receiver) -> None:
    outbound.configure("", LOCAL)
    receiver.status, receiver.headers = 302, {"Location": f"{receiver.url}/other"}
    answer = outbound.request("GET", receiver.url)
    assert (answer.status, answer.headers["location"]) == (302, f"{receiver.url}/other")
    assert len(receiver.got) == 1


def test_an_answer_has_bounds(receiver: Receiver) -> None:
    outbound.configure("", LOCAL)
    receiver.body = b"x" * 101
    with pytest.raises(outbound.Unreachable, match="100 bytes"):
        outbound.request("GET", receiver.url, most_bytes=100)


def test_one_that_drips_is_cut() -> None:
    outbound.configure("", LOCAL)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            link, _ = server.accept()
            with link:
                link.sendall(b"HTTP/1.1 200 OK\r\n")
                while not over.wait(0.05):
                    try:
                        link.sendall(b"X-A: b\r\n")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            with pytest.raises(outbound.Unreachable):
                outbound.request("GET", f"http://127.0.0.1:{server.getsockname()[1]}/", seconds=0.5)
        finally:
            over.set()
            thread.join()


def test_a_name_with_many_addresses_has_no_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of a manager must not hang in what a client's own name server says."""
    outbound.configure("", LOCAL)
    tried: list[str] = []

    def many(_host: str, port: int, **_: object) -> list[object]:
        return [(0, 0, 0, "", (f"127.0.0.{number}", port)) for number in range(1, 200)]

    def no_answer(place: tuple[str, int], timeout: float) -> None:
        tried.append(place[0])
        threading.Event().wait(timeout)
        raise TimeoutError

    monkeypatch.setattr(socket, "getaddrinfo", many)
    monkeypatch.setattr(socket, "create_connection", no_answer)
    with pytest.raises(outbound.Unreachable):
        outbound.request("GET", "http://many.example/", seconds=0.05)
    assert len(tried) < 5, "a wait may end a little early"


def deliver(url: str, attempt: int = 1) -> object:
    return webhook(Context("some-id", attempt), url, "j", "add", "completed", 1_700_000_000_123)


@pytest.mark.parametrize("status", [302, 400, 404, 429, 500, 503])
def test_a_delivery_is_tried_again_later(receiver: Receiver, status: int) -> None:
    outbound.configure(SECRET, LOCAL)
    receiver.status = status
    with pytest.raises(Retry, match=str(status)) as told:
        deliver(receiver.url, attempt=2)
    assert told.value.after is not None
    assert 240 <= told.value.after <= 300


def test_a_receiver_says_when_to_come_back_or_that_it_is_gone(receiver: Receiver) -> None:
    outbound.configure(SECRET, LOCAL)
    receiver.status, receiver.headers = 503, {"Retry-After": "1000"}
    with pytest.raises(Retry) as told:
        deliver(receiver.url)
    assert told.value.after == 1000
    receiver.status = 410
    with pytest.raises(Fail, match="410"):
        deliver(receiver.url)


def test_what_cannot_be_delivered_fails_for_good(receiver: Receiver) -> None:
    outbound.configure("", LOCAL)
    with pytest.raises(Fail, match="CAPATAZ_WEBHOOK_SECRET"):
        deliver(receiver.url)
    outbound.configure(SECRET, ())
    with pytest.raises(Fail, match="CAPATAZ_PRIVATE_NETWORKS"):
        deliver(receiver.url)
    assert receiver.got == []


def test_the_type_http(receiver: Receiver) -> None:
    outbound.configure("", LOCAL)
    result = http(Context("i"), receiver.url, "POST", {"X-A": "b"}, {"x": 1})
    assert (result["status"], result["body"]) == (200, "ok")
    (got,) = receiver.got
    assert (got.method, got.path, got.body) == ("POST", "/hook", b'{"x":1}')
    assert (got.headers["x-a"], got.headers["content-type"]) == ("b", "application/json")
    receiver.status = 404
    with pytest.raises(Fail, match="404"):
        http(Context("i"), receiver.url)
    receiver.status = 503
    with pytest.raises(RuntimeError, match="503"):
        http(Context("i"), receiver.url)
    outbound.configure("", ())
    with pytest.raises(Fail, match="must not be called"):
        http(Context("i"), receiver.url)
