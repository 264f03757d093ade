"""How gunicorn serves the API: `gunicorn` in this directory needs no option."""

import importlib
import ipaddress
import os
import signal
import socket
import struct
import sys
import time
from types import FrameType
from typing import Any

from gunicorn import glogging, sock  # type: ignore[import-untyped]

# gunicorn reads this file before it puts the application's directory in the path.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import logs
from addresses import why_taken, written
from settings import Settings, SettingsError, web_processes

# Workers whose master was killed hold the port until they notice, after two seconds or so.
TAKEN_SECONDS = 5.0
PATIENCE_SECONDS = 10
REFUSED = 4  # of a worker: what gunicorn stops for, instead of starting another one

try:
    _settings = Settings.from_env()
    workers = web_processes(os.environ)
except SettingsError as error:
    print(f"capataz: {error}", file=sys.stderr)
    raise SystemExit(REFUSED) from None

wsgi_app = "api.wsgi:application"
bind = written(_settings.host, _settings.port)
worker_class = "gthread"
threads = 16
# Each worker process listens for itself: else one of them may get all the connections.
reuse_port = True
preload_app = False
graceful_timeout = max(1, round(_settings.grace_seconds))
# Heroku sets FORWARDED_ALLOW_IPS=*, with which any client could rewrite the path by a header.
forwarder_headers = "X-NONE"
control_socket_disable = True
limit_request_line = 8190  # the most it takes: /api/v1/add/ carries its numbers in the path
limit_request_fields = 100
limit_request_field_size = 8190
# A worker that stops answering its master for so long is replaced; requests end by themselves.
timeout = 60
keepalive = 5
_MEMORY = "/dev/shm"  # noqa: S108 (on a disk, a heartbeat of the workers could block)
if os.path.isdir(_MEMORY):
    worker_tmp_dir = _MEMORY


class logger_class(glogging.Logger):  # type: ignore[misc]  # noqa: N801 (gunicorn's name for it)
    """gunicorn's own lines in the same form as all others, unless it is told a file for them."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        if cfg.errorlog == "-":
            logs.configure(_settings.log_format)
            self.error_log.handlers.clear()
            self.error_log.propagate = True


def on_starting(server: Any) -> None:
    """Refuse a port that is taken, and an application that cannot be loaded."""
    server.log.error_log.addFilter(_says_something)
    for address in server.cfg.address:
        if isinstance(address, tuple):
            _refuse_taken(*address)
    _try_to_load()


def _says_something(record: Any) -> bool:
    # With reuse_port the master listens nowhere, and says so as an empty address.
    return not (str(record.msg).startswith("Listening at:") and not record.args[0])


def _try_to_load() -> None:
    """Load the application once, in a process of its own: one line then says why it cannot be.

    Every worker would say the same, and gunicorn would add a traceback of itself.
    """
    child = os.fork()
    if not child:
        code = 0
        try:
            importlib.import_module("api.wsgi")
        except SystemExit:
            code = REFUSED
        finally:
            os._exit(code)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == REFUSED:
        raise SystemExit(REFUSED)


def _refuse_taken(host: str, port: int) -> None:
    """With reuse_port two servers would share one port without a word."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        print(
            f"capataz: cannot listen on {host!r} ({error.strerror}): set HOST to an address of "
            "this machine, such as 127.0.0.1",
            file=sys.stderr,
        )
        raise SystemExit(REFUSED) from None
    if not (_settings.auth or _is_local(family, address)):
        return  # refused for what it is, in a moment
    until = time.monotonic() + TAKEN_SECONDS
    while (reason := why_taken(host, port)) is not None:
        if time.monotonic() > until:
            print(
                f"capataz: cannot listen on {host} port {port} ({reason}): stop what uses it, or "
                "choose another with PORT",
                file=sys.stderr,
            )
            raise SystemExit(REFUSED)
        time.sleep(0.1)


def when_ready(server: Any) -> None:
    """Refuse an open address before any worker is there; with reuse_port nothing is bound yet."""
    bound = server.LISTENERS or sock.create_sockets(server.cfg, server.log)
    try:
        _refuse_open_door(bound)
        server.log.info("Serving on %s", ", ".join(str(one) for one in bound))
    finally:
        if not server.LISTENERS:
            sock.close_sockets(bound, unlink=False)


def post_fork(_server: Any, worker: Any) -> None:
    """The same for the sockets that this worker serves, which a reload may have changed."""
    _refuse_open_door(worker.sockets)
    _bound_patience(worker.sockets)


def _bound_patience(sockets: Any) -> None:
    """A client that stops in the middle of a request must not keep its thread for ever.

    Connections inherit these from the socket they came in by.
    """
    patience = struct.pack("ll", PATIENCE_SECONDS, 0)
    for one in sockets:
        one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
        one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)


def post_worker_init(worker: Any) -> None:
    """Tell the application how many threads it has, and let nobody wait once it is to stop."""
    from api.services import services  # noqa: PLC0415 (not loaded before the fork)

    waiter = services(worker.wsgi).waiter
    waiter.room = max(1, worker.cfg.threads // 2)
    before = signal.getsignal(signal.SIGTERM)

    def stop(number: int, frame: FrameType | None) -> None:
        waiter.release()
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGTERM, stop)
    signal.siginterrupt(signal.SIGTERM, False)


def worker_exit(_server: Any, worker: Any) -> None:
    """Commit what was accepted before the process ends."""
    from api.services import services  # noqa: PLC0415

    if getattr(worker, "wsgi", None) is not None:
        services(worker.wsgi).close()


def _refuse_open_door(sockets: Any) -> None:
    for one in sockets:
        address = one.getsockname()
        if not _settings.auth and not _is_local(one.sock.family, address):
            print(
                f"capataz: not serving on {address[0]}, which others can reach, without knowing "
                "who asks: set CAPATAZ_AUTH=token (or none if you mean it), or HOST=127.0.0.1",
                file=sys.stderr,
            )
            raise SystemExit(REFUSED)


def _is_local(family: int, address: Any) -> bool:
    if family == socket.AF_UNIX:
        return True
    host = ipaddress.ip_address(address[0].partition("%")[0])
    mapped = getattr(host, "ipv4_mapped", None)
    return (mapped or host).is_loopback
