"""Every statement that moves an order, and nothing else does.

Each function is one short transaction: the move, guarded by the status and the lease in the
statement itself, with its history, event and tally. `models.MOVES` says which moves there are.
"""

from ledger.claim import claim, holdings
from ledger.finish import finish
from ledger.ids import new_id, new_ids, parse_id, unpack
from ledger.managers import ManagerCard, ManagerRow, managers, register, retire
from ledger.orders import (
    Beat,
    Claimed,
    Ending,
    KeyReused,
    KeySpent,
    Lane,
    LedgerError,
    LostLease,
    MoveRefused,
    NewOrder,
    OrderRow,
    Receipt,
    Request,
    Rescued,
    UnknownOrder,
)
from ledger.renew import renew
from ledger.rescue import MAX_CRASHES, backoff_ms, rescue
from ledger.steer import (
    PastAttempt,
    cancel,
    delete,
    find,
    history,
    pause,
    queues,
    resume,
    retrieve,
    retry,
)
from ledger.submit import submit
from ledger.tallies import Levels, flow, fold, levels

__all__ = [
    "MAX_CRASHES",
    "Beat",
    "Claimed",
    "Ending",
    "KeyReused",
    "KeySpent",
    "Lane",
    "LedgerError",
    "Levels",
    "LostLease",
    "ManagerCard",
    "ManagerRow",
    "MoveRefused",
    "NewOrder",
    "OrderRow",
    "PastAttempt",
    "Receipt",
    "Request",
    "Rescued",
    "UnknownOrder",
    "backoff_ms",
    "cancel",
    "claim",
    "delete",
    "find",
    "finish",
    "flow",
    "fold",
    "history",
    "holdings",
    "levels",
    "managers",
    "new_id",
    "new_ids",
    "parse_id",
    "pause",
    "queues",
    "register",
    "renew",
    "rescue",
    "resume",
    "retire",
    "retrieve",
    "retry",
    "submit",
    "unpack",
]
