"""Tokens of the API: made once, known by their digests from then on, until revoked or expired.

A token is `cap_`, its public id, and 256 random bits: nobody guesses those, so a fast digest keeps
them as well as a slow one would. Whoever reads the table learns who has a token, and no token.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from typing import Final, NamedTuple

from database import Database, Row, Sql, Transaction
from ledger.orders import LedgerError

PREFIX: Final = "cap_"
NAME: Final = r"[A-Za-z0-9_.-]{1,64}"
VIEWER, CUSTOMER, OPERATOR, ADMIN = "viewer", "customer", "operator", "admin"
ROLES: Final = (VIEWER, CUSTOMER, OPERATOR, ADMIN)
# All of them are read every few seconds.
MOST_LIVE: Final = 10_000

# What opens nothing any more is still shown for so long.
KEPT_MS: Final = 90 * 24 * 3_600_000

_FORM = re.compile(r"cap_([0-9a-f]{12})_([0-9a-f]{64})", re.ASCII)
_IS_LIVE = "revoked_on IS NULL AND (expires_on IS NULL OR expires_on > {now})"
_SHOWN = "id, name, role, created_on, expires_on, revoked_on, last_used"

LIVING_ROLES = Sql(f"SELECT name, role FROM api_token WHERE {_IS_LIVE} LIMIT {MOST_LIVE}")
INSERT = Sql("""
    INSERT INTO api_token (id, name, role, digest, created_on, expires_on)
    VALUES (:id, :name, :role, :digest, {now}, {now} + CAST(:life AS bigint))""")
FORGET = Sql("DELETE FROM api_token WHERE revoked_on < {now} - :kept OR expires_on < {now} - :kept")
LIVING = Sql(f"""
    SELECT id, name, role, digest, expires_on - {{now}} FROM api_token WHERE {_IS_LIVE}
    LIMIT {MOST_LIVE}""")
ALL = Sql(f"SELECT {_SHOWN}, {{now}} FROM api_token ORDER BY name, created_on, id")
REVOKE = Sql(f"""
    UPDATE api_token SET revoked_on = {{now}} WHERE (name = :which OR id = :which)
        AND revoked_on IS NULL RETURNING {_SHOWN}, {{now}}""")
USED = Sql("""
    UPDATE api_token SET last_used = {now} - :ago
    WHERE id = :id AND (last_used IS NULL OR last_used < {now} - :ago)""")


class TokenRefused(LedgerError):
    """A token that cannot be made, or revoked; the text says why and what to do."""


class Key(NamedTuple):
    """A live token, as one who checks it knows it; `left_ms` until it expires, None for never."""

    id: str
    name: str
    role: str
    digest: bytes
    left_ms: int | None

    def opens_to(self, secret: str) -> bool:
        """Whether this is its secret; takes as long whatever the answer."""
        return hmac.compare_digest(self.digest, _digest(secret))


class TokenRow(NamedTuple):
    """A token as a list shows it; times in ms."""

    id: str
    name: str
    role: str
    created_on: int
    expires_on: int | None
    revoked_on: int | None
    last_used: int | None
    now: int

    @property
    def state(self) -> str:
        """`live`, `expired` or `revoked`."""
        if self.revoked_on is not None:
            return "revoked"
        return "live" if self.expires_on is None or self.expires_on > self.now else "expired"


def create_token(database: Database, name: str, role: str, life_ms: int | None = None) -> str:
    """Make a token and keep its digest: the only time that it can be read is now.

    Raises `TokenRefused`, `DatabaseAway`.
    """
    if not re.fullmatch(NAME, name):
        raise TokenRefused(
            f"{name!r} cannot be a name: write 1 to 64 letters, digits, dots, dashes or underscores"
        )
    public, secret = secrets.token_hex(6), secrets.token_hex(32)
    given = {"id": public, "name": name, "role": role, "digest": _digest(secret), "life": life_ms}

    def work(transaction: Transaction) -> None:
        living = transaction.rows(LIVING_ROLES)
        other = {known for owner, known in living if owner == name and known != role}
        if other:
            raise TokenRefused(
                f"{name} has a live token as {other.pop()}: a name has one role; revoke that one "
                "first, or take another name"
            )
        if len(living) >= MOST_LIVE:
            raise TokenRefused(f"there are {MOST_LIVE:,} live tokens: revoke what nobody uses")
        transaction.run(FORGET, {"kept": KEPT_MS})
        transaction.run(INSERT, given)

    database.write(work)
    return f"{PREFIX}{public}_{secret}"


def tokens(database: Database) -> list[TokenRow]:
    """All tokens, revoked ones too, by name and age. Raises `DatabaseAway`."""
    return list(map(_row, database.read(ALL)))


def revoke_tokens(database: Database, which: str) -> list[TokenRow]:
    """Revoke a token by its id, or all of a name. Raises `TokenRefused`, `DatabaseAway`."""
    found = database.write(lambda transaction: transaction.rows(REVOKE, {"which": which}))
    if not found:
        raise TokenRefused(
            f"{which}: no token that is not revoked has this name or id: token list shows them"
        )
    return list(map(_row, found))


def living_tokens(database: Database) -> dict[str, Key]:
    """What opens the API now, by id. Raises `DatabaseAway`."""
    return {
        public: Key(public, name, role, bytes(digest), left)
        for public, name, role, digest, left in database.read(LIVING)
    }


def keep_uses(database: Database, ago_ms: Mapping[str, int]) -> None:
    """Write down how long ago each of these tokens was used last. Raises `DatabaseAway`."""
    uses = [{"id": one, "ago": max(0, ago)} for one, ago in sorted(ago_ms.items())]

    def work(transaction: Transaction) -> None:
        for use in uses:
            transaction.run(USED, use)

    database.write(work)


def parted(text: str) -> tuple[str, str] | None:
    """The public id and the secret of what was shown as a token; None when it is none."""
    found = _FORM.fullmatch(text)
    return (found[1], found[2]) if found else None


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _row(row: Row) -> TokenRow:
    return TokenRow._make(row)
