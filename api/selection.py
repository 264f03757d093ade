"""The statements behind the list of orders: which rows, by which index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from api import presenter
from database import Database, Row, Sql
from ledger import OrderRow
from ledger.ids import text_id
from ledger.matching import SEARCHED, Conditions, Filter, any_status, shows
from ledger.orders import order_row
from models import CANCELLED, FAILED, PENDING


def id_time(order_id: str) -> int:
    """The milliseconds in an id."""
    return int(order_id.replace("-", "")[:12], 16)


def _shown(column: str) -> str:
    """Long JSON stays in the database but for its beginning; its length is in the row's header."""
    return (
        f"CASE WHEN octet_length({column}) <= {presenter.LIST_CUT} THEN {column} "
        f"ELSE substr({column}, 1, {presenter.LIST_START}) END"
    )


_CUT = ("payload", "result")
_COLUMNS = ", ".join(_shown(name) if name in _CUT else name for name in OrderRow._fields)
_SIZES = ", ".join(f"octet_length({name})" for name in _CUT)
# More than there are in any stretch that is looked at.
WHOLE = 1_000_000

_WIDTH = len(OrderRow._fields)


class Selection:
    """The orders that a filter lets through, between two ids, newest first."""

    def __init__(self, database: Database, wanted: Filter) -> None:
        self._database = database
        self._wanted = wanted
        self._sqlite = database.dialect == "sqlite"
        conditions = Conditions(wanted, database.dialect)
        # An owner's orders have an index in the order of ids; '' is nobody's, and not in it. A
        # partial index fits only where its condition stands word for word.
        self._own = ["owner <> ''", "owner = :owner"] if wanted.owner else []
        self._where = [*self._own[:1], *conditions.where]
        self._parameters = conditions.parameters

    def rows(self, high: str, low: str, limit: int) -> list[OrderRow]:
        """Below the id `high`, from `low` on, whatever their status."""
        return [_row(row) for row in self._read(high, low, limit, ())]

    def unhappy_rows(self, status: str, high: str, low: str, limit: int) -> list[OrderRow]:
        """Orders that failed or were cancelled, which have an index in the order of ids."""
        # SQLite uses a partial index only where its condition stands word for word.
        where = f"status IN ('{FAILED}', '{CANCELLED}')", f"status = '{status}'"
        return [_row(row) for row in self._read(high, low, limit, where, "job_order_unhappy")]

    def matching(self, high: str, low: str, limit: int) -> tuple[str | None, list[OrderRow]]:
        """The same with status and text decided too, and the last id when `limit` cut it short."""
        where = [any_status(self._wanted.status)] if self._wanted.status else []
        found = self._read(high, low, limit, where)
        last = text_id(found[-1][0]) if len(found) == limit else None
        return last, [_row(row) for row in found if self._wanted.q is None or self._has_text(row)]

    def count(self, high: str, low: str, most: int, status: str = "") -> int:
        """How many there are, at most so many: of every status, or of one that has an index."""
        where, index = [], ""
        if status in (FAILED, CANCELLED):
            where = [f"status IN ('{FAILED}', '{CANCELLED}')", f"status = '{status}'"]
            index = "job_order_unhappy"
        elif status:
            where = [f"status = '{status}'"]
            index = "job_order_pending" if status == PENDING else "job_order_wip"
        return self._count(high, low, most, where, index)

    def count_matching(self, high: str, low: str) -> int:
        """How many of these match, status and text too."""
        if self._wanted.q is not None:
            return len(self.matching(high, low, WHOLE)[1])
        where = [any_status(self._wanted.status)] if self._wanted.status else []
        return self._count(high, low, WHOLE, where)

    def _count(self, high: str, low: str, most: int, where: Sequence[str], index: str = "") -> int:
        conditions = " AND ".join(("id < :high", "id >= :low", *self._where, *where))
        statement = Sql(
            f"SELECT count(*) FROM (SELECT 1 FROM {self._table(index)} "  # noqa: S608
            f"WHERE {conditions} LIMIT :most) AS found"
        )
        parameters = self._parameters | self._bounds(high, low) | {"most": most}
        return int(self._database.read(statement, parameters)[0][0])

    def nth_id(self, high: str, low: str, count: int) -> str | None:
        """The id that many orders further down, of the owner if one is asked for but whatever they
        are, or None beyond the last."""
        conditions = " AND ".join((*self._own, "id < :high", "id >= :low"))
        statement = Sql(
            f"SELECT id FROM {self._table('')} WHERE {conditions} "  # noqa: S608
            "ORDER BY id DESC LIMIT 1 OFFSET :count"
        )
        bounds = self._bounds(high, low) | {"count": count - 1}
        if self._own:
            bounds["owner"] = self._wanted.owner
        rows = self._database.read(statement, bounds)
        return text_id(rows[0][0]) if rows else None

    def are_few(self, status: str, most: int) -> bool:
        """Whether all orders of this live status may be read and sorted."""
        statement = Sql(
            f"SELECT count(*) FROM (SELECT 1 FROM {self._live(status)} LIMIT :most) AS living"  # noqa: S608
        )
        count = self._database.read(statement, self._live_parameters() | {"most": most + 1})[0][0]
        return bool(count <= most)

    def live_rows(self, status: str, high: str, low: str, limit: int) -> list[OrderRow]:
        """Orders of a live status, which their index does not keep in the order of ids."""
        # Materialized, so that no planner walks the primary key for the sake of the order.
        where = "".join(f" AND {condition}" for condition in self._where)
        chosen = "SELECT id FROM live WHERE id < :high AND id >= :low ORDER BY id DESC LIMIT :limit"
        these = f"id IN ({chosen})" if self._sqlite else f"id = ANY(ARRAY({chosen}))"
        statement = Sql(
            f"WITH live AS MATERIALIZED (SELECT id FROM {self._live(status)}{where}) "  # noqa: S608
            f"SELECT {_COLUMNS}, {_SIZES} FROM job_order WHERE {these} ORDER BY id DESC"
        )
        bounds = self._bounds(high, low) | {"limit": limit}
        return [_row(row) for row in self._database.read(statement, self._parameters | bounds)]

    def _read(
        self, high: str, low: str, limit: int, where: Sequence[str], index: str = ""
    ) -> list[Row]:
        text = f", {SEARCHED}" if self._wanted.q is not None else ""
        conditions = " AND ".join(("id < :high", "id >= :low", *self._where, *where))
        statement = Sql(
            f"SELECT {_COLUMNS}, {_SIZES}{text} FROM {self._table(index)} "  # noqa: S608
            f"WHERE {conditions} "
            "ORDER BY id DESC LIMIT :limit"
        )
        bounds = self._bounds(high, low) | {"limit": limit}
        return self._database.read(statement, self._parameters | bounds)

    def _bounds(self, high: str, low: str) -> dict[str, Any]:
        return {"high": self._database.key(high), "low": self._database.key(low)}

    def _live(self, status: str) -> str:
        index = "job_order_pending" if status == PENDING else "job_order_wip"
        # Only with the status in the text does the partial index fit.
        queue = " AND queue = :queue" if self._wanted.queue is not None else ""
        return f"{self._table(index)} WHERE status = '{status}'{queue}"

    def _table(self, index: str) -> str:
        """The table; without statistics SQLite would rather walk all of it than use an index."""
        index = index or ("job_order_owner" if self._own else "")
        return f"job_order INDEXED BY {index}" if index and self._sqlite else "job_order"

    def _live_parameters(self) -> dict[str, Any]:
        return {"queue": self._wanted.queue} if self._wanted.queue is not None else {}

    def _has_text(self, row: Row) -> bool:
        assert self._wanted.q is not None
        order = order_row(row[:_WIDTH])
        return shows(self._wanted.q, order.id, order.type, (order.tags, order.error, row[-1]))


def _row(row: Row) -> OrderRow:
    payload_size, result_size = row[_WIDTH : _WIDTH + 2]
    order = order_row(row[:_WIDTH])
    return order._replace(
        payload=presenter.cut(order.payload, payload_size) or "null",
        result=presenter.cut(order.result, result_size),
        error=presenter.cut_error(order.error),
    )
