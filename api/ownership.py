"""What a customer may know: its own orders, as if there were no others."""

from __future__ import annotations

import ledger
from api import errors
from api.identity import identity
from api.services import services
from ledger import OrderRow


def find(order_id: str) -> OrderRow:
    """The order. Raises `UnknownOrder` also for one that the caller may not know of."""
    row = ledger.find(services().database, order_id)
    mine = identity().sees_only
    if mine is not None and row.owner != mine:
        raise ledger.UnknownOrder(order_id)
    return row


def check(order_id: str) -> None:
    """Raise `UnknownOrder` for an order that the caller may not know of; costs others nothing."""
    if identity().sees_only is not None:
        find(order_id)


def owner_asked_for(owner: str | None) -> str | None:
    """The owner whose orders a filter means. Raises the 403 for somebody else's."""
    mine = identity().sees_only
    if mine is not None and owner not in (None, mine):
        raise errors.forbidden("A customer sees its own orders only: leave owner out.")
    return owner if mine is None else mine
