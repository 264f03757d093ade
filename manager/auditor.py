"""The auditor: has the ledger looked over once a minute, by one manager for all."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from database import Database
from ledger import chores
from ledger.audit import CHORE, Finding, audit
from logs import MOST_TOLD

EVERY_MS = 60_000
# So long nobody else begins, should this manager end in the midst of it.
HOLD_MS = 120_000
# After an outage others need some time to do what they could not.
STEADY_SECONDS = 60.0

log = structlog.get_logger("capataz.manager")


class Auditor:
    """Whoever comes first when an audit is due does it."""

    def __init__(
        self,
        database: Database,
        manager: str,
        stale_seconds: float,
        is_steady: Callable[[float], bool],
    ) -> None:
        """`is_steady(seconds)` tells whether this manager's own beats came through for so long."""
        self._database = database
        self._manager = manager
        self._stale_seconds = stale_seconds
        self._is_steady = is_steady

    def tick(self) -> None:
        """Audit if it is due. Raises `DatabaseAway`."""
        if not self._is_steady(max(STEADY_SECONDS, 2 * self._stale_seconds)):
            return
        data = chores.take(self._database, CHORE, self._manager, HOLD_MS)
        if data is None:
            return
        stale_ms = round(self._stale_seconds * 1000)
        findings, left = audit(self._database, self._manager, stale_ms, data)
        chores.keep(self._database, CHORE, self._manager, EVERY_MS, left)
        for finding in findings:
            if finding.is_new:
                _tell(finding)


def _tell(finding: Finding) -> None:
    told = {
        "rule": finding.rule,
        "what": finding.what,
        "found": len(finding.where),
        "repaired": finding.repaired,
        "where": list(finding.where[:MOST_TOLD]),
        "remedy": finding.remedy,
    }
    if finding.is_open:
        log.error("the audit found what should not be", **told)
    else:
        log.warning("the audit found what should not be", **told)
