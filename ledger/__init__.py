"""Every statement that moves an order, and nothing else does.

Each function is one short transaction: the move, guarded by the status and the lease in the
statement itself, with its history, event and tally. `models.MOVES` says which moves there are.
"""

from ledger.claim import claim, holdings, waiting_queues, waits
from ledger.death import Suspect, bury, clock, process_mark, server_uptime, suspects
from ledger.finish import Finished, finish, finish_free
from ledger.ids import new_id, new_ids, parse_id, unpack
from ledger.lifeline import Lifeline, Proof
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
from ledger.rescue import MAX_CRASHES, backoff_ms, rescue, rescue_orphans, rescue_own
from ledger.steer import (
    PastAttempt,
    cancel,
    cancel_many,
    delete,
    delete_many,
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
    "Finished",
    "KeyReused",
    "KeySpent",
    "Lane",
    "LedgerError",
    "Levels",
    "Lifeline",
    "LostLease",
    "ManagerCard",
    "ManagerRow",
    "MoveRefused",
    "NewOrder",
    "OrderRow",
    "PastAttempt",
    "Proof",
    "Receipt",
    "Request",
    "Rescued",
    "Suspect",
    "UnknownOrder",
    "backoff_ms",
    "bury",
    "cancel",
    "cancel_many",
    "claim",
    "clock",
    "delete",
    "delete_many",
    "find",
    "finish",
    "finish_free",
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
    "process_mark",
    "queues",
    "register",
    "renew",
    "rescue",
    "rescue_orphans",
    "rescue_own",
    "resume",
    "retire",
    "retrieve",
    "retry",
    "server_uptime",
    "submit",
    "suspects",
    "unpack",
    "waiting_queues",
    "waits",
]
