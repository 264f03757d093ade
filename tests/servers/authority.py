"""A certificate authority of the tests' own, made anew by the openssl of the system."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from contextlib import nullcontext
from pathlib import Path

from tests.servers.debian import find_or_install

REMEDY = "openssl is missing: as root, 'apt-get install openssl'"


class Authority:
    """Issues certificates into a folder; `root` is what those who trust it need."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.root = folder / "root.pem"
        self._key = folder / "root.key"
        self._run(
            *("req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=tests", *_KEY),
            *("-addext", "basicConstraints=critical,CA:TRUE"),
            *("-keyout", str(self._key), "-out", str(self.root)),
        )

    def server(self, name: str) -> ssl.SSLContext:
        """What a server needs to be `name`, such as `IP:127.0.0.1` or `DNS:example.com`."""
        stem = self._folder / name.replace(":", "-")
        key, certificate = stem.with_suffix(".key"), stem.with_suffix(".pem")
        self._run(
            *("req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=receiver", *_KEY),
            *("-CA", str(self.root), "-CAkey", str(self._key)),
            *("-addext", f"subjectAltName={name}", "-addext", "basicConstraints=CA:FALSE"),
            *("-keyout", str(key), "-out", str(certificate)),
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context

    def _run(self, *arguments: str) -> None:
        program = find_or_install("openssl", _installed, REMEDY, nullcontext())
        subprocess.run([program, *arguments], check=True, capture_output=True)


_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


def _installed() -> Path | None:
    found = shutil.which("openssl")
    return Path(found) if found else None
