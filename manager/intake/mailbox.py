"""What the intake needs of a broker: messages, and what becomes of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ledger.broker_sight import QueueLoad


@dataclass(frozen=True, slots=True)
class Message:
    """A message that asks for an order, as its producer sent it.

    `key` is its id: what comes again with the same one is the same message. `named` is how its
    producer names that. `handle` is the broker's own.
    """

    body: bytes
    key: str | None
    named: str
    reply_to: str | None = None
    handle: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message makes no order: one sentence, and the bad fields as over HTTP."""

    detail: str
    errors: Sequence[dict[str, str]] = ()

    def document(self) -> dict[str, Any]:
        """As it is told to whoever asked."""
        return {"detail": self.detail, "errors": list(self.errors)}

    def line(self) -> str:
        """All of it in one line."""
        named = (
            f"{one.get('pointer', one.get('parameter'))} {one['message']}".strip()
            for one in self.errors
        )
        return " ".join([self.detail, "; ".join(named)]).strip()


class Mailbox(Protocol):
    """The broker's side of the intake. Every method raises `TransportDown`."""

    via: str

    def receive(self, most: int, seconds: float) -> list[Message]:
        """At most so many messages; when there is none, the next, waited for so long."""

    def answer(self, message: Message, document: dict[str, Any]) -> None:
        """Tell whoever sent it, where it said how."""

    def accept(self, messages: Sequence[Message]) -> None:
        """They are done with."""

    def refuse(self, message: Message, refusal: Refusal) -> None:
        """Put it, with the reason, where refused messages are kept; then it is done with."""

    def later(self, messages: Sequence[Message], seconds: float) -> None:
        """They are to come again, not before so many seconds."""

    def look(self) -> tuple[QueueLoad, QueueLoad]:
        """What waits to become orders, and what made none."""

    def close(self) -> None:
        """Leave the broker; what was received and not decided comes again. Safe twice."""
