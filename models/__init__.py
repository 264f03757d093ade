"""The tables, the states of an order, and the one table of legal moves between them.

Times are milliseconds since 1970 UTC in a BIGINT on both databases: one arithmetic, no time zone.
Ids are UUIDv7, 16 bytes wide on both.
"""

from __future__ import annotations

from typing import Final

from models.access import ApiToken
from models.actions import BulkAction
from models.base import OrderId, Table, bind, database
from models.fleet import (
    BrokerSample,
    Chore,
    Manager,
    Project,
    Schedule,
    SystemState,
    UsageSample,
    Worker,
)
from models.orders import Attempt, Event, Idempotency, JobLog, JobOrder, Queue, Tally
from models.states import (
    ALL_QUEUES,
    CANCELLED,
    COMPLETED,
    ENDED,
    FAILED,
    MOVES,
    NOTHING,
    PENDING,
    PRIORITIES,
    PRIORITY_NAMES,
    RETRIEVED,
    STATUSES,
    WIP,
)

TABLES: Final = (
    JobOrder,
    Attempt,
    JobLog,
    Event,
    Tally,
    Queue,
    Manager,
    Idempotency,
    Schedule,
    Worker,
    Chore,
    SystemState,
    UsageSample,
    BulkAction,
    Project,
    ApiToken,
    BrokerSample,
)

__all__ = [
    "ALL_QUEUES",
    "CANCELLED",
    "COMPLETED",
    "ENDED",
    "FAILED",
    "MOVES",
    "NOTHING",
    "PENDING",
    "PRIORITIES",
    "PRIORITY_NAMES",
    "RETRIEVED",
    "STATUSES",
    "TABLES",
    "WIP",
    "ApiToken",
    "Attempt",
    "BrokerSample",
    "BulkAction",
    "Chore",
    "Event",
    "Idempotency",
    "JobLog",
    "JobOrder",
    "Manager",
    "OrderId",
    "Project",
    "Queue",
    "Schedule",
    "SystemState",
    "Table",
    "Tally",
    "UsageSample",
    "Worker",
    "bind",
    "database",
]
