"""What happens, as it happens: Server-Sent Events."""

from __future__ import annotations

import functools
import select
import time
from collections.abc import Callable
from typing import Any

from flask import Response, request
from flask_openapi.blueprint import APIBlueprint

from api import errors
from api.broadcaster import Broadcaster, NoRoom
from api.frames import HEARTBEAT, Mark
from api.identity import identity
from api.services import services
from api.viewer import Viewer
from database import DatabaseAway

bp = APIBlueprint("stream", __name__, url_prefix="/api/v1", abp_responses=errors.EVERYWHERE)

MEDIA_TYPE = "text/event-stream"
HEARTBEAT_SECONDS = 15.0
# How often a stream with nothing to say looks whether its reader is still there.
LOOK_SECONDS = 0.5
AGAIN_SECONDS = 10

RESPONSE = {
    "description": "Server-Sent Events: `metrics`, `workers`, `event`, `job`, `reset`, `heartbeat`",
    "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
}


@bp.get("/stream", summary="What happens, as it happens", responses={200: RESPONSE})
def stream() -> Response:
    """`Last-Event-ID` goes on behind that frame, without a gap or a repeat; without it the stream
    begins now. What cannot be resumed any more begins with `reset`."""
    given = request.headers.get("Last-Event-ID", "").strip()
    try:
        mark = Mark.read(given) if given else None
    except ValueError as error:
        problem = errors.of("Last-Event-ID", f"{error}: leave it out to begin now")
        raise errors.unacceptable("headers", [problem]) from None
    response = Response(mimetype=MEDIA_TYPE)
    # Else a proxy such as nginx keeps frames back.
    response.headers["X-Accel-Buffering"] = "no"
    if request.method == "HEAD":
        return response
    broadcaster = services().broadcaster
    try:
        viewer = broadcaster.open(mark, identity().sees_only)
    except NoRoom:
        raise errors.unavailable(
            "There are as many streams and waits as this process takes: read the lists instead.",
            AGAIN_SECONDS,
        ) from None
    stays = functools.partial(services().gate.still_opens, identity())
    socket = request.environ.get("gunicorn.socket")
    response.response = _Frames(broadcaster, viewer, stays, socket)
    response.call_on_close(lambda: broadcaster.close_viewer(viewer))
    return response


class _Frames:
    """The body of the answer: frames as they come, until the reader goes or the process ends."""

    def __init__(
        self, broadcaster: Broadcaster, viewer: Viewer, stays: Callable[[], bool], socket: Any
    ) -> None:
        self._broadcaster = broadcaster
        self._stays = stays
        self._viewer = viewer
        self._poll: select.poll | None = None
        if socket is not None:
            self._poll = select.poll()
            self._poll.register(socket.fileno(), select.POLLRDHUP)
        self._beat = time.monotonic() + HEARTBEAT_SECONDS

    def __iter__(self) -> _Frames:
        return self

    def __next__(self) -> bytes:
        while True:
            if not self._may_stay():
                raise StopIteration
            # What is there already is sent, also when it is the last.
            taken = self._viewer.take(LOOK_SECONDS)
            if time.monotonic() >= self._beat:
                self._beat = time.monotonic() + HEARTBEAT_SECONDS
                taken += HEARTBEAT
            if taken:
                return taken
            if self._viewer.over or self._broadcaster.ending or self._is_gone():
                raise StopIteration

    def _may_stay(self) -> bool:
        """Whether its credentials still open; the stream goes on while nobody can say."""
        try:
            return self._stays()
        except DatabaseAway:
            return True

    def _is_gone(self) -> bool:
        """Whether the reader has hung up, which a stream without frames would not notice."""
        return self._poll is not None and bool(self._poll.poll(0))
