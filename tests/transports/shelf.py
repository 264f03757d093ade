"""A broker in memory, that does exactly as the test says: what is asked of the parts around it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from manager.transports.base import Delivery, Depth, Parcel, TransportDown


class Shelf:
    """See `Transport`."""

    name = "shelf"

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.ready: list[Parcel] = []
        self.out: list[Delivery] = []
        self.acked: list[str | None] = []
        self.refused: list[str | None] = []
        self.published = 0
        self.asked: list[tuple[str, ...]] = []
        """From which queues was received."""
        self.is_away = False
        self._closed = False

    def publish(self, parcels: Sequence[Parcel]) -> None:
        with self._changed:
            self._check()
            self.ready += parcels
            self.published += len(parcels)
            self._changed.notify_all()

    def receive(self, queues: Sequence[str], most: int, seconds: float) -> list[Delivery]:
        with self._changed:
            self._check()
            self.asked.append(tuple(queues))
            self._changed.wait_for(lambda: self._found(queues) or self._is_gone(), seconds)
            self._check()
            found = sorted(self._found(queues), key=lambda one: one.priority)[:most]
            for parcel in found:
                self.ready.remove(parcel)
            given = [
                Delivery(None if one.id == "poison" else one.id, one.queue, handle=one)
                for one in found
            ]
            self.out += given
            return given

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        self.acked += [one.id for one in self._take_back(deliveries)]

    def nack(self, deliveries: Sequence[Delivery], seconds: float = 0.0) -> None:
        assert not seconds
        back = self._take_back(deliveries)
        with self._changed:
            self.ready[:0] = [one.handle for one in back]
            self._changed.notify_all()

    def refuse(self, deliveries: Sequence[Delivery]) -> None:
        self.refused += [one.id for one in self._take_back(deliveries)]

    def depths(self, queues: Sequence[str]) -> list[Depth]:
        with self._changed:
            self._check()
            return [Depth(name, len(self._found([name])), None, None, 0) for name in queues]

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def go_away(self) -> None:
        """Lose what is out: it is ready again, for later."""
        with self._changed:
            self.is_away = True
            self.ready[:0] = [one.handle for one in self.out]
            self.out.clear()
            self._changed.notify_all()

    def ids(self) -> list[str]:
        """What is ready, as it was published."""
        return [one.id for one in self.ready]

    def _take_back(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        with self._changed:
            self._check()
            for one in deliveries:
                self.out.remove(one)
        return deliveries

    def _found(self, queues: Sequence[str]) -> list[Parcel]:
        return [one for one in self.ready if one.queue in queues]

    def _is_gone(self) -> bool:
        return self.is_away or self._closed

    def _check(self) -> None:
        if self._is_gone():
            raise TransportDown("taken down by the test")
