"""When jobs began: orders of type `stamp`, and the file that their jobs append to."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST_SECONDS = 10.0


class Stamps:
    """A file of moments, on the monotonic clock that all processes of a machine share."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()

    def payload(self, number: int) -> dict[str, object]:
        """What an order's job needs to leave its stamp here."""
        return {"path": str(self._path), "number": number}

    def payload_text(self, number: int) -> str:
        """The same as JSON."""
        return json.dumps(self.payload(number))

    def wait(self, number: int) -> int:
        """Nanoseconds at which the job of the latest order began. Raises `TimeoutError`."""
        until = time.monotonic() + LONGEST_SECONDS
        while time.monotonic() < until:
            lines = self._path.read_text().splitlines()
            if lines and (last := lines[-1].split())[0] == str(number):
                return int(last[1])
            time.sleep(0.0005)
        raise TimeoutError(f"order {number} did not begin within {LONGEST_SECONDS:g} s")


@contextmanager
def stamps() -> Iterator[Stamps]:
    """An empty file of stamps."""
    with tempfile.TemporaryDirectory(prefix="capataz-bench-") as folder:
        yield Stamps(Path(folder) / "stamps")
