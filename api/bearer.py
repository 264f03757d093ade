"""Tokens as one way to know who calls: looked up in memory, read anew every other second."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Final

from flask import Request

from api.gate import BadCredentials
from api.identity import Identity
from database import Database, DatabaseAway
from ledger.tokens import PREFIX, Key, keep_uses, living_tokens, parted

# A token that was revoked opens nothing any more after so long, in any process.
FRESH_SECONDS: Final = 2.0
# One that is not known may just have been made; strangers cost so many statements a second at most.
MOST_LOOKS: Final = 10
KEEP_SECONDS: Final = 60.0

_log = logging.getLogger("capataz.api")


class Bearer:
    """`Authorization: Bearer cap_…`, against the live tokens of the database."""

    challenge = 'Bearer realm="capataz"'
    scheme: Mapping[str, str] = {"type": "http", "scheme": "bearer", "bearerFormat": "cap_…"}

    def __init__(self, database: Database, keep_seconds: float = KEEP_SECONDS) -> None:
        self._database = database
        self._keep_seconds = keep_seconds
        self._lock = threading.Lock()
        self._keys: dict[str, Key] = {}
        self._read_at = float("-inf")
        self._looks = (0, 0)
        self._used: dict[str, float] = {}
        self._closing = threading.Event()
        self._keeper: threading.Thread | None = None

    def identify(self, request: Request) -> Identity | None:
        """Who shows a token, None for a request that shows none.

        Raises `BadCredentials`, and `DatabaseAway` when nobody can say whether it still opens.
        """
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        text = text.strip()
        if scheme.lower() != "bearer" or not text.startswith(PREFIX):
            return None
        parts = parted(text)
        key = None if parts is None else self._live(parts[0])
        if parts is None or key is None or not key.opens_to(parts[1]):
            raise BadCredentials("This token is not known, has expired, or was revoked")
        self._note(key.id)
        return Identity(key.name, key.role, key.id)

    def still_opens(self, identity: Identity) -> bool:
        """Whether what it showed has been neither revoked nor expired since."""
        return self._live(identity.means) is not None

    def close(self) -> None:
        """Write the last uses down and stop the thread. Safe twice."""
        self._closing.set()
        if self._keeper is not None:
            self._keeper.join(5)

    def _live(self, public: str) -> Key | None:
        age = time.monotonic() - self._read_at
        if age > FRESH_SECONDS or (public not in self._keys and self._may_look()):
            self._read(age)
        key = self._keys.get(public)
        if key is None or key.left_ms is None:
            return key
        return key if (time.monotonic() - self._read_at) * 1000 < key.left_ms else None

    def _may_look(self) -> bool:
        """Whether a token that is not known is worth a look, as the first few of a second are."""
        second = int(time.monotonic())
        since, count = self._looks
        self._looks = (second, count + 1 if since == second else 1)
        return since != second or count < MOST_LOOKS

    def _read(self, age: float) -> None:
        """Read the live tokens, unless another thread did since they were this old."""
        with self._lock:
            now = time.monotonic()
            if now - self._read_at < age:
                return
            self._keys = living_tokens(self._database)
            self._read_at = now

    def _note(self, public: str) -> None:
        self._used[public] = time.monotonic()
        if self._keeper is None:
            with self._lock:
                if self._keeper is None and not self._closing.is_set():
                    self._keeper = threading.Thread(target=self._keep, name="tokens", daemon=True)
                    self._keeper.start()

    def _keep(self) -> None:
        """Write last uses down once a minute, and at the end."""
        while True:
            is_over = self._closing.wait(self._keep_seconds)
            used, self._used = self._used, {}
            if used:
                now = time.monotonic()
                try:
                    uses = {one: int((now - at) * 1000) for one, at in list(used.items())}
                    keep_uses(self._database, uses)
                except DatabaseAway as error:
                    _log.warning("last use of tokens not written down: %s", error)
                    self._used = used | self._used
            if is_over:
                break
        self._database.close()
