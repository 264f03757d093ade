"""Which orders a filter lets through: for lists, and for what is done to all that match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as quote
from typing import Any

from ledger import masking

NEWEST = "ffffffff-ffff-ffff-ffff-ffffffffffff"
OLDEST = "00000000-0000-0000-0000-000000000000"

# Ids carry the web host's clock and `created_on` the database's: a filter by time seeks by id and
# a little beyond, and decides by the column.
CLOCK_SLACK_MS = 15_000

# A payload longer than this is not searched for `q`: reading it would cost more than it finds.
SEARCHED_BYTES = 65_536
SEARCHED = f"CASE WHEN octet_length(payload) <= {SEARCHED_BYTES} THEN payload ELSE '{{}}' END"

_CONDITIONS = {
    "type": "type = :type",
    "queue": "queue = :queue",
    "priority": "priority = :priority",
    "worker": "worker = :worker",
    "owner": "owner = :owner",
    "created_after": "created_on > :created_after",
    "created_before": "created_on < :created_before",
}


@dataclass(slots=True)
class Filter:
    """What a list is asked for; None is anything. Times in ms."""

    status: tuple[str, ...] = ()
    type: str | None = None
    queue: str | None = None
    priority: int | None = None
    worker: str | None = None
    owner: str | None = None
    tag: str | None = None
    created_after: int | None = None
    created_before: int | None = None
    q: str | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether something is asked for that no index on all orders knows."""
        columns = (self.type, self.queue, self.priority, self.worker, self.owner, self.tag, self.q)
        return any(value is not None for value in columns)


class Conditions:
    """A filter as conditions of a statement and their parameters, the status apart."""

    def __init__(self, wanted: Filter, dialect: str) -> None:
        self._sqlite = dialect == "sqlite"
        self.where: list[str] = []
        self.parameters: dict[str, Any] = {}
        for name, condition in _CONDITIONS.items():
            value = getattr(wanted, name)
            if value is not None:
                self.where.append(condition)
                self.parameters[name] = value
        if wanted.tag is not None:
            self.where.append(self._contains("tags", "tag"))
            self.parameters["tag"] = quote(wanted.tag)
        if wanted.q is not None:
            self._search(wanted.q)

    def _search(self, q: str) -> None:
        digits = "lower(hex(id))" if self._sqlite else "replace(CAST(id AS text), '-', '')"
        columns = ("type", "tags", "error", SEARCHED)
        tests = [self._contains(f"lower({column})", "needle") for column in columns]
        self.where.append(f"({' OR '.join(tests)} OR {self._contains(digits, 'digits')})")
        self.parameters |= _needles(q)

    def _contains(self, text: str, parameter: str) -> str:
        function = "instr" if self._sqlite else "strpos"
        return f"coalesce({function}({text}, :{parameter}), 0) > 0"


def any_status(statuses: Sequence[str]) -> str:
    """The status as an expression, which fits no partial index: the walk is along the ids."""
    names = ", ".join(f"'{status}'" for status in statuses)
    return f"status || '' IN ({names})"


def shows(q: str, order_id: str, kind: str, documents: Sequence[str | None]) -> bool:
    """Whether `q` is in what is shown of an order: statements also find names of fields, secrets.

    `documents` are its JSON texts: tags, error, and the payload that was searched.
    """
    wanted = q.lower()
    texts = [order_id, order_id.replace("-", ""), kind]
    for document in documents:
        texts += masking.values(document) if document else ()
    return any(wanted in text.lower() for text in texts)


def id_at(milliseconds: int) -> str:
    """The least id of this time."""
    digits = f"{min(max(milliseconds, 0), (1 << 48) - 1):012x}"
    return f"{digits[:8]}-{digits[8:]}-0000-0000-000000000000"


def _needles(q: str) -> dict[str, str]:
    """`q` as it stands in JSON text, and as it may stand in an id ("-" stands in none)."""
    digits = q.lower().replace("-", "")
    is_hexadecimal = digits != "" and set(digits) <= set("0123456789abcdef")
    return {
        "needle": quote(q)[1:-1].lower(),
        "digits": digits if is_hexadecimal else "-",
    }
