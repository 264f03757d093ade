"""The self-audit: looks for what should never be, repairs what can be repaired without a guess,
and tells of all of it.

One audit takes some thirty short statements, and looks at all that runs, at what is first in line
in some queues, at the small tables, and at a stretch of the orders and of past attempts that moves
on from audit to audit. Nothing that it does harms when two do it at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from database import Database, DatabaseAway, Sql, Transaction
from ledger import chores
from ledger.audit import lanes, levels, rows, tables
from ledger.audit.finding import MOST, Finding, Rule
from ledger.audit.levels import correct_levels
from ledger.audit.rows import OrderState
from ledger.record import Record
from ledger.rescue import rescue

CHORE = "audit"

# What somebody keeps locked must not hold up the audit.
PATIENCE = Sql("SET LOCAL lock_timeout = '500ms'")


class Count(NamedTuple):
    """How much of one rule was found and repaired so far, and how much is open just now."""

    found: int
    repaired: int
    open: int


class _Broken(NamedTuple):
    """What breaks a rule: ids of orders, or names."""

    rule: Rule
    where: Sequence[str]
    orders: bool = True


def audit(
    database: Database, manager: str, stale_ms: int, data: Mapping[str, Any]
) -> tuple[list[Finding], dict[str, Any]]:
    """Audit once, and repair; what was found, and `data` for the next audit.

    `data` is what the last audit gave, or nothing. `stale_ms` is for holders that left no row.
    What was not found before leaves an event. Raises `DatabaseAway`.
    """
    place = _Place(data.get("orders"), data.get("attempts"))
    before: Mapping[str, Sequence[str]] = data.get("open", {})
    counts = {rule: list(count) for rule, count in data.get("counts", {}).items()}
    findings = []
    for broken in _look(database, stale_ms, place):
        news = set(broken.where) - set(before.get(broken.rule.name, ()))
        repaired = _settle(database, manager, stale_ms, broken, is_new=bool(news))
        findings.append(_finding(broken, repaired, is_new=bool(news)))
        count = counts.setdefault(broken.rule.name, [0, 0])
        count[0] += len(news)
        count[1] += repaired
    still = {found.rule: found.where for found in findings if found.is_open}
    left = {"orders": place.orders, "attempts": place.attempts, "open": still, "counts": counts}
    return findings, left


def look(database: Database, stale_ms: int, *, whole: bool = False) -> list[Finding]:
    """Audit by hand: repairs nothing and leaves no trace. `whole` looks at every order and past
    attempt and counts them all, which takes its time. Raises `DatabaseAway`."""
    place = _Place(None, None)
    found: dict[str, _Broken] = {}
    looks = [_look(database, stale_ms, place, whole=whole)]
    while looks:
        for broken in looks.pop():
            known = found.get(broken.rule.name)
            where = dict.fromkeys([*(known.where if known else ()), *broken.where])
            found[broken.rule.name] = broken._replace(where=list(where))
        if whole and not place.is_at_end():
            looks.append(_look_on(database, stale_ms, place))
    return [_finding(broken, 0) for broken in found.values()]


def audit_counts(database: Database) -> dict[str, Count]:
    """By rule, what all audits so far found and repaired: of those that ever found something.

    Raises `DatabaseAway`.
    """
    data = chores.left(database, CHORE)
    still = data.get("open", {})
    return {
        rule: Count(found, repaired, len(still.get(rule, ())))
        for rule, (found, repaired) in sorted(data.get("counts", {}).items())
    }


class _Place:
    """Behind which order, and behind which order's past attempts, the next stretch begins."""

    def __init__(self, orders: str | None, attempts: str | None) -> None:
        self.orders = orders
        self.attempts = attempts

    def is_at_end(self) -> bool:
        return self.orders is None and self.attempts is None


def _look(
    database: Database, stale_ms: int, place: _Place, *, whole: bool = False
) -> Iterator[_Broken]:
    served = lanes.lanes(database)
    states = rows.running(database, stale_ms)
    states += rows.in_line(database, stale_ms, served, thorough=whole)
    yield from _broken_rows(states + _stretch(database, stale_ms, place))
    for rule, find in tables.RULES:
        yield from _if_any(rule, tables.broken(database, find))
    yield from _if_any(lanes.QUEUE_UNKNOWN, lanes.unknown(database, served))
    yield from _broken_attempts(database, place)
    drift = levels.drift(database, thorough=whole)
    yield from _if_any(levels.LEVELS_DRIFT, [f"{status}: {_too(n)}" for status, n in drift.items()])
    yield from _if_any(levels.UNKNOWN_MOVE, levels.unknown_moves(database))


def _look_on(database: Database, stale_ms: int, place: _Place) -> Iterator[_Broken]:
    """The same for the next stretches alone, of what is not at its end."""
    if place.orders is not None:
        yield from _broken_rows(_stretch(database, stale_ms, place))
    if place.attempts is not None:
        yield from _broken_attempts(database, place)


def _stretch(database: Database, stale_ms: int, place: _Place) -> list[OrderState]:
    found = rows.along(database, stale_ms, place.orders)
    place.orders = found[-1].id if len(found) == rows.STRETCH else None
    return found


def _broken_attempts(database: Database, place: _Place) -> Iterator[_Broken]:
    found, place.attempts = tables.attempts_along(database, place.attempts)
    for rule in (tables.ATTEMPT_WITHOUT_ORDER, tables.ATTEMPT_AHEAD):
        yield from _if_any(rule, found[rule.name], orders=True)


def _broken_rows(states: Sequence[OrderState]) -> Iterator[_Broken]:
    for rule, check in rows.RULES:
        yield from _if_any(rule, [order.id for order in states if check(order)], orders=True)


def _if_any(rule: Rule, where: Sequence[str], *, orders: bool = False) -> Iterator[_Broken]:
    if where:
        yield _Broken(rule, list(dict.fromkeys(where))[:MOST], orders)


def _too(difference: int) -> str:
    return f"{difference:,} too many" if difference > 0 else f"{-difference:,} too few"


def _settle(
    database: Database, manager: str, stale_ms: int, broken: _Broken, *, is_new: bool
) -> int:
    """Repair what breaks a rule, and leave an event if it is news; how much was repaired."""
    rule, where, are_orders = broken
    taken_back = 0
    if rule is rows.HOLDER_GONE:
        taken = {order.id for order in rescue(database, stale_ms, manager)}
        taken_back = len(taken.intersection(where))

    def work(transaction: Transaction) -> int:
        if transaction.dialect == "postgresql":
            transaction.run(PATIENCE)
        keys = list(map(transaction.key, where)) if are_orders else list(where)
        repaired = taken_back + tables.mend(transaction, rule, keys)
        if is_new:
            _note(transaction, manager, broken, repaired)
        return repaired

    try:
        return database.write(work) if rule.repair is not None or is_new else taken_back
    except DatabaseAway:
        # Somebody keeps it locked; if the database is away, the next statement says so.
        return taken_back


def _note(transaction: Transaction, manager: str, broken: _Broken, repaired: int) -> None:
    rule, where, are_orders = broken
    names = {} if are_orders else {"where": list(where)}
    record = Record()
    record.event(
        "audit_found",
        where if are_orders else (),
        manager,
        rule=rule.name,
        what=rule.what,
        remedy=rule.remedy,
        found=len(where),
        repaired=repaired,
        **names,
    )
    record.write(transaction)


def _finding(broken: _Broken, repaired: int, *, is_new: bool = True) -> Finding:
    rule, where, are_orders = broken
    return Finding(rule.name, rule.what, rule.remedy, tuple(where), repaired, are_orders, is_new)


__all__ = ["CHORE", "Count", "Finding", "audit", "audit_counts", "correct_levels", "look"]
