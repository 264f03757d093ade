"""What goes over a stream (Server-Sent Events), and the ids by which it is resumed.

Each item of the history is an `event` frame, and one that moved an order is a `job` frame as well:
so the frames of a row are numbered by twice the place of their item.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import exact_json
from api import event_presenter
from ledger.events import EventItem
from ledger.stream import WHOLE, Place
from models import CANCELLED, COMPLETED, FAILED, PENDING, RETRIEVED, WIP

RETRY_MS = 2_000
HEARTBEAT: Final = b": heartbeat\nevent: heartbeat\ndata: {}\n\n"

# What an order is after each kind of event that moves one; None is deleted.
STATUS_AFTER: Final[dict[str, str | None]] = {
    "submitted": PENDING,
    "claimed": WIP,
    "completed": COMPLETED,
    "retrieved": RETRIEVED,
    "retrying": PENDING,
    "failed": FAILED,
    "cancelled": CANCELLED,
    "retried": PENDING,
    "deleted": None,
    "rescued": PENDING,
    "crashed": FAILED,
    "handed_back": PENDING,
    "unknown_type": PENDING,
}

# Without the third number: behind all of its row.
_ID = re.compile(r"(\d{1,19})-(\d{1,19})(?:-(\d{1,10}))?", re.ASCII)
_MOST = 2**63 - 2


class Mark(Place):
    """Behind which frame a reader is; `place` numbers the frames of a row, WHOLE is all of them."""

    __slots__ = ()

    @classmethod
    def read(cls, text: str) -> Mark:
        """What an id says. Raises `ValueError` for what is none."""
        found = _ID.fullmatch(text)
        if found is None:
            raise ValueError("is no id of this stream")
        xid, row, place = found.groups()
        if int(xid) > _MOST or int(row) > _MOST:
            raise ValueError("is no id of this stream")
        return cls(int(xid), int(row), WHOLE if place is None else min(int(place), WHOLE))

    @classmethod
    def behind(cls, place: Place) -> Mark:
        """Behind all frames of this item."""
        number = WHOLE if place.place == WHOLE else 2 * place.place + 1
        return cls(place.xid, place.row, number)

    @property
    def text(self) -> str:
        """The id that says this."""
        behind = "" if self.place == WHOLE else f"-{self.place}"
        return f"{self.xid}-{self.row}{behind}"

    @property
    def item(self) -> Place:
        """Behind which item to read on: one of which a frame is missing is read again."""
        if self.place == WHOLE:
            return Place(self.xid, self.row)
        return Place(self.xid, self.row, (self.place + 1) // 2 - 1)


class Frame(NamedTuple):
    """What is sent, its place, and whose order it is about: None for none, or one that is gone."""

    mark: Mark
    text: bytes
    owner: str | None


def of_items(items: Iterable[tuple[Place, EventItem]]) -> Iterator[Frame]:
    """The frames of these items, each with its id."""
    for (xid, row, place), item in items:
        facts = event_presenter.event(item)
        mark = Mark(xid, row, 2 * place)
        text = frame("event", {"jobId": item.order_id, **facts}, mark)
        yield Frame(mark, text, item.owner)
        if item.order_id is not None and item.kind in STATUS_AFTER:
            mark = Mark(xid, row, 2 * place + 1)
            yield Frame(mark, frame("job", _job(item, facts), mark), item.owner)


def _job(item: EventItem, facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "jobId": item.order_id,
        "type": item.type,
        "status": STATUS_AFTER[item.kind],
        "timestamp": facts["timestamp"],
        "event": item.kind,
        "worker": item.worker,
        "manager": item.manager,
    }


def frame(name: str, data: Any, mark: Mark | None = None) -> bytes:
    """One event of the stream; with an id, if it is a place in it."""
    return text_frame(name, exact_json.dumps(data), mark)


def text_frame(name: str, text: str, mark: Mark | None = None) -> bytes:
    """The same of what is JSON already."""
    known = "" if mark is None else f"id: {mark.text}\n"
    return f"event: {name}\n{known}data: {text}\n\n".encode()


def opening(mark: Mark) -> bytes:
    """What a stream begins with: from where it goes on if it ends before its first frame."""
    # A block without data is no event: browsers only take note of the id.
    return f"retry: {RETRY_MS}\nid: {mark.text}\n\n".encode()


def reset(mark: Mark) -> bytes:
    """Tells a reader that came back that something is missing: what it shows must be read anew."""
    reason = "what came behind this id is gone: read the lists anew; the stream goes on from now"
    return frame("reset", {"reason": reason}, mark)
