"""A forge of the tests' own: a real git HTTP server on loopback, with repositories made by them."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

OWNER = "ana"
_AUTHOR = {"GIT_AUTHOR_NAME": "Ana", "GIT_AUTHOR_EMAIL": "ana@example.com"}
_AUTHOR |= {"GIT_COMMITTER_NAME": "Ana", "GIT_COMMITTER_EMAIL": "ana@example.com"}
_QUIET = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": "/nonexistent"}


class Forge:
    """Serves what is below its folder as long as it is open."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.requests: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(folder))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def _handler(self, folder: Path) -> type[_Handler]:
        return type("Handler", (_Handler,), {"forge": self, "folder": folder})

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def url(self, name: str, owner: str = OWNER) -> str:
        return f"http://{self.host}/{owner}/{name}"

    def make(self, name: str, files: Mapping[str, str | bytes], message: str = "first") -> str:
        """Commit these files to a repository, new or not; the commit's id."""
        bare = self._folder / OWNER / f"{name}.git"
        work = self._folder / "work" / name
        if not bare.exists():
            _git(self._folder, "init", "-q", "--bare", "-b", "main", str(bare))
            _git(bare, "config", "uploadpack.allowAnySHA1InWant", "true")
            _git(self._folder, "init", "-q", "-b", "main", str(work))
        for path, content in files.items():
            target = work / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)
        return self.commit(name, message)

    def commit(self, name: str, message: str = "more") -> str:
        """Commit what is in the work tree of a repository, and push it."""
        work = self.work(name)
        _git(work, "add", "-A", "-f")
        _git(work, "commit", "-q", "--allow-empty", "-m", message)
        _git(work, "push", "-q", str(self._folder / OWNER / f"{name}.git"), "HEAD:main")
        return _git(work, "rev-parse", "HEAD").strip()

    def work(self, name: str) -> Path:
        return self._folder / "work" / name

    def git(self, name: str, *words: str) -> str:
        """Run git in the repository that is served."""
        return _git(self._folder / OWNER / f"{name}.git", *words)

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Answer nothing meanwhile."""
        self.gate.clear()
        try:
            yield
        finally:
            self.gate.set()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", *words],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **_AUTHOR, **_QUIET},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class _Handler(BaseHTTPRequestHandler):
    """Git's own program answers, but for owners that stand for a trouble, and for plain files."""

    forge: Forge
    folder: Path

    def do_GET(self) -> None:
        self.forge.requests.append(self.path)
        self.forge.gate.wait()
        parts = urlsplit(self.path)
        owner = parts.path.split("/")[1]
        if owner == "moved":
            return self._say(301, {"Location": self.path.replace("moved", OWNER)})
        if owner == "private":
            return self._say(401, {"WWW-Authenticate": 'Basic realm="private"'})
        if owner == "broken":
            return self._say(500, {})
        if owner == "files":
            return self._file(self.folder / parts.path[1:])
        return self._backend(parts.path, parts.query)

    do_POST = do_GET  # noqa: N815 (the library's name)

    def _say(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, text in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, text)
        with suppress(OSError):  # who asked may be gone
            self.end_headers()
            self.wfile.write(body)

    def _file(self, path: Path) -> None:
        if path.is_dir():
            names = sorted(found.name for found in path.iterdir())
            links = "".join(f'<a href="{name}">{name}</a>' for name in names)
            self._say(200, {"Content-Type": "text/html"}, links.encode())
        elif path.is_file():
            self._say(200, {"Content-Type": "application/octet-stream"}, path.read_bytes())
        else:
            self._say(404, {})

    def _backend(self, path: str, query: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        done = subprocess.run(
            ["git", "-c", "safe.directory=*", "http-backend"],
            input=body,
            env={
                "PATH": os.environ["PATH"],
                **_QUIET,
                "GIT_PROJECT_ROOT": str(self.folder),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "REMOTE_ADDR": "127.0.0.1",
            },
            capture_output=True,
            check=False,
        )
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines() if line)
        status = int(headers.pop("Status", "200").split()[0])
        self._say(status, headers, rest)

    def log_message(self, *_arguments: object) -> None:
        """Nobody reads it."""
