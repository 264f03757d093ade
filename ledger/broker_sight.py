"""What a broker in use says of its queues, kept by whichever manager looks first.

Only managers talk to brokers; everybody else reads what the last of them saw.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from database import Database, Sql

# A look is due so long after the last.
LOOK_MS = 4_500

LAST = Sql("SELECT sampled_on, {now} FROM broker_sample WHERE name = :name")
# Whoever was quicker has done our work.
KEEP = Sql("""
    INSERT INTO broker_sample (name, sampled_on, manager, content)
    VALUES (:name, {now}, :manager, :content)
    ON CONFLICT (name) DO UPDATE SET sampled_on = excluded.sampled_on, manager = excluded.manager,
        content = excluded.content
    WHERE broker_sample.sampled_on = :last""")
RECALL = Sql("SELECT sampled_on, manager, content FROM broker_sample WHERE name = :name")


@dataclass(frozen=True, slots=True)
class QueueLoad:
    """A queue of the broker; None is what it does not tell.

    `depth` are the messages that wait in it, `unacknowledged` those that somebody has, of which
    `redelivered` came more than once; `consumers` are those that receive, `waits_ms` is how long
    the oldest has been there.
    """

    queue: str
    depth: int
    unacknowledged: int | None = None
    redelivered: int | None = None
    consumers: int | None = None
    waits_ms: int | None = None


@dataclass(frozen=True, slots=True)
class BrokerLook:
    """What a broker says: the queues of order ids, those of arriving orders (`submitted`) and of
    refused ones; or why it says nothing (`away`)."""

    queues: Sequence[QueueLoad] = ()
    submitted: QueueLoad | None = None
    refused: QueueLoad | None = None
    away: str | None = None


@dataclass(frozen=True, slots=True)
class BrokerSight:
    """The last look at a broker: when (ms), by which manager, and what it said."""

    sampled_on: int
    manager: str
    look: BrokerLook


def last_look(database: Database, name: str) -> tuple[int, bool]:
    """When (ms) somebody last looked at this broker, 0 for never; and whether a look is due.

    Raises `DatabaseAway`.
    """
    rows = database.read(LAST, {"name": name})
    if not rows:
        return 0, True
    last, now = rows[0]
    return last, not 0 <= now - last < LOOK_MS


def keep_look(database: Database, name: str, manager: str, last: int, look: BrokerLook) -> None:
    """Keep what was seen, unless somebody did since `last`. Raises `DatabaseAway`."""
    content = json.dumps(asdict(look), separators=(",", ":"))
    given = {"name": name, "manager": manager, "content": content, "last": last}
    database.write(lambda transaction: transaction.run(KEEP, given))


def recall_look(database: Database, name: str) -> BrokerSight | None:
    """What was last seen of this broker. Raises `DatabaseAway`."""
    rows = database.read(RECALL, {"name": name})
    if not rows:
        return None
    sampled_on, manager, content = rows[0]
    told = json.loads(content)
    look = BrokerLook(
        [QueueLoad(**one) for one in told["queues"]],
        _load(told["submitted"]),
        _load(told["refused"]),
        told["away"],
    )
    return BrokerSight(sampled_on, manager, look)


def _load(told: dict[str, Any] | None) -> QueueLoad | None:
    return None if told is None else QueueLoad(**told)
