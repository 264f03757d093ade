"""The reader of the database for all streams of a web process.

It polls the events in the order of their commits while there is any viewer, makes each frame once,
and hands it to all. A viewer that came back, or does not keep up, is behind: what it has not had
is read for it, a bounded step at a time, until it is where the others are.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import exact_json
from api import frames, worker_presenter
from api.figures import Figures
from api.frames import Frame, Mark
from api.viewer import Viewer
from api.waiter import Waiter
from database import Database, DatabaseAway
from ledger import stream

POLL_SECONDS = 0.1
AWAY_SECONDS = 1.0
JOIN_SECONDS = 10.0
# So many items are read at once: more would hold up the other threads of the process.
MOST_ITEMS = 500

METRICS_SECONDS = 1.0
WORKERS_SECONDS = 2.0
MOST_WORKERS = 500
# Of the figures, what changes though nothing happens; they are sent now and then all the same.
RESTLESS = ("updatedOn", "uptime")
AT_LEAST_SECONDS = 10.0

_log = logging.getLogger("capataz.api")


class NoRoom(Exception):
    """There are as many streams and waits as there may be."""


class Broadcaster:
    """Hands what happens to every viewer; its thread starts with the first of them."""

    def __init__(self, database: Database, figures: Figures, waiter: Waiter) -> None:
        self._database = database
        self._figures = figures
        self._places = waiter
        self._changed = threading.Condition()
        self._viewers: list[Viewer] = []
        self._thread: threading.Thread | None = None
        self._closing = False
        self._head: Mark | None = None
        self._pictures: dict[str, bytes] = {}
        self._due = {"metrics": 0.0, "workers": 0.0}
        self._told: dict[str, tuple[Any, float]] = {}

    def open(self, mark: Mark | None, owner: str | None = None) -> Viewer:
        """A new viewer, from behind this frame or from now on, for `close` when it goes; with an
        `owner`, of nothing but what happens to that one's orders.

        Raises `NoRoom`, and `DatabaseAway`.
        """
        if not self._places.take_place():
            raise NoRoom
        viewer = Viewer(mark, owner)
        with self._changed:
            self._viewers.append(viewer)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="broadcaster", daemon=True)
                self._thread.start()
            self._changed.notify()
        joined = viewer.joined.wait(JOIN_SECONDS)
        if viewer.over or not joined:
            self.close_viewer(viewer)
            raise DatabaseAway("the stream could not begin", nothing_done=True)
        return viewer

    def close_viewer(self, viewer: Viewer) -> None:
        """Forget a viewer and give its place to others. Safe twice."""
        with self._changed:
            if viewer not in self._viewers:
                return
            self._viewers.remove(viewer)
        self._places.give_place()

    def close(self) -> None:
        """End all streams and stop the thread. Safe twice."""
        self._closing = True
        with self._changed:
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(5)

    @property
    def ending(self) -> bool:
        """Whether all streams are to end."""
        return self._closing or self._places.released

    def _run(self) -> None:
        pause = 0.0
        while not self._closing:
            with self._changed:
                if not self._viewers:
                    self._head = None
                    self._changed.wait()
                elif pause:
                    self._changed.wait(pause)
                viewers = list(self._viewers)
            pause = self._look(viewers)
        self._end(self._viewers)
        self._database.close()

    def _look(self, viewers: list[Viewer]) -> float:
        """One step for all of them; how long to wait before the next."""
        if self.ending:
            self._end(viewers)
            return POLL_SECONDS
        try:
            return 0.0 if viewers and self._step(viewers) else POLL_SECONDS
        except DatabaseAway as error:
            _log.warning("streams stand still, the database is away: %s", error)
            self._end(viewer for viewer in viewers if not viewer.joined.is_set())
            return AWAY_SECONDS
        except Exception:
            _log.exception("reading for the streams failed: they end, and their readers come back")
            self._end(viewers)
            self._head = None
            return AWAY_SECONDS

    def _end(self, viewers: Any) -> None:
        for viewer in list(viewers):
            viewer.end()

    def _step(self, viewers: list[Viewer]) -> bool:
        """Read on once, and for each that is behind; whether there is more to read."""
        head = self._head
        if head is None:
            head = self._head = Mark.behind(stream.stream_now(self._database))
        self._paint()
        for viewer in viewers:
            if not viewer.joined.is_set():
                self._join(viewer, head)
            if viewer.owner is None:
                for name, picture in self._pictures.items():
                    viewer.show(name, picture)
        found, self._head, more = self._read(head)
        everything = _joined(found)
        for viewer in viewers:
            mark = viewer.mark or head
            if mark < head or not viewer.has_room:
                continue
            # One that came from another process may be ahead of this one.
            is_general = mark == head and viewer.owner is None
            news = everything if is_general else _joined(found, mark, viewer.owner)
            if news:
                viewer.put(news)
            viewer.mark = max(mark, self._head)
        behind = [viewer for viewer in viewers if self._catch_up(viewer)]
        return bool(behind) or more

    def _join(self, viewer: Viewer, head: Mark) -> None:
        if viewer.mark is None:
            viewer.put(frames.opening(head))
            viewer.mark = head
        elif stream.reaches_back(self._database, viewer.mark):
            viewer.put(frames.opening(viewer.mark))
        else:
            viewer.put(frames.reset(head))
            viewer.mark = head
        viewer.joined.set()

    def _catch_up(self, viewer: Viewer) -> bool:
        """Read a step for a viewer that is behind; whether it is worth another at once."""
        mark, head = viewer.mark, self._head
        if mark is None or head is None or mark >= head or not viewer.has_room:
            return False
        found, reached, _ = self._read(mark)
        news = _joined(found, mark, viewer.owner)
        if news:
            viewer.put(news)
        viewer.mark = reached
        return reached < head

    def _read(self, mark: Mark) -> tuple[list[Frame], Mark, bool]:
        """The next frames behind a mark, where they end, and whether there may be more."""
        news = stream.read_on(self._database, mark.item, MOST_ITEMS)
        found = [one for one in frames.of_items(news.items) if one.mark > mark]
        return found, max(mark, Mark.behind(news.reached)), news.more

    def _paint(self) -> None:
        """Bring the figures and the workers up to date, if it is time."""
        now = time.monotonic()
        if now >= self._due["metrics"]:
            document = self._figures.document()
            lasting = {k: v for k, v in document.items() if k not in RESTLESS}
            self._picture("metrics", lasting, exact_json.dumps(document), now)
            self._due["metrics"] = now + METRICS_SECONDS
        if now >= self._due["workers"]:
            text = exact_json.dumps(worker_presenter.document(self._database, MOST_WORKERS))
            self._picture("workers", text, text, now)
            self._due["workers"] = now + WORKERS_SECONDS

    def _picture(self, name: str, lasting: Any, text: str, now: float) -> None:
        before, painted = self._told.get(name, (None, -AT_LEAST_SECONDS))
        if lasting != before or now - painted >= AT_LEAST_SECONDS:
            self._told[name] = (lasting, now)
            self._pictures[name] = frames.text_frame(name, text)


def _joined(found: list[Frame], behind: Mark | None = None, owner: str | None = None) -> bytes:
    """These frames, those behind a mark and of an owner's orders where that is asked for."""
    return b"".join(
        frame.text
        for frame in found
        if (behind is None or frame.mark > behind) and owner in (None, frame.owner)
    )
