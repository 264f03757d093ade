"""What is noted of messages that asked for orders and were refused."""

from __future__ import annotations

from collections.abc import Sequence

from database import Database
from ledger.record import note

# Of so many at most the event tells which and why; of the rest, how many.
MOST_TOLD = 10
MOST_TEXT = 500


def note_refused(
    database: Database, manager: str, via: str, refused: Sequence[tuple[str, str]]
) -> None:
    """Note messages, by id and reason, that came by this broker and made no order: one event for
    all of them. Raises `DatabaseAway`."""
    told = [
        {"message": message[:MOST_TEXT], "reason": reason[:MOST_TEXT]}
        for message, reason in refused[:MOST_TOLD]
    ]
    database.write(
        lambda transaction: note(
            transaction,
            "messages_refused",
            manager,
            via=via,
            count=len(refused),
            messages=told,
        )
    )
