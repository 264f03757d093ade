"""What the charts draw."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from flask import Response
from flask_openapi.blueprint import APIBlueprint
from pydantic import Field

import exact_json
from api import errors, replies
from api.answers import Answer
from api.inputs import Digits, Query
from api.presenter import plain_moment as moment
from api.services import services
from ledger.series import MOST_MINUTES, Minute, Times, times, total
from ledger.usage import Usage, usage
from models import COMPLETED, FAILED

bp = APIBlueprint("series", __name__, url_prefix="/api/v1", abp_responses=errors.EVERYWHERE)

# Of more types than that the rest are one, of this name.
MOST_TYPES = 20
OTHERS = "*"


class SeriesQuery(Query):
    """How far back."""

    minutes: Annotated[int, Field(ge=1, le=MOST_MINUTES), Digits] = 60


class TimeSpread(Answer):
    """Milliseconds, from counts by powers of two: good to a part of that."""

    p50: float
    p95: float


class SeriesMinute(Answer):
    """What ended in a minute, how long it ran, and how long what was claimed had waited."""

    minute: datetime
    completed: int
    failed: int
    run_ms: TimeSpread | None
    wait_ms: TimeSpread | None


class TypeShare(Answer):
    """A type's part of what ended, from 0 to 1; `*` is all that are not named."""

    type: str
    processed: int
    share: float


class WorkerUse(Answer):
    """Percent of one core and MiB, one for each time; null where there is none."""

    worker_id: str
    cpu_percent: list[float | None]
    ram_mb: list[float | None]


class UsageSeries(Answer):
    """Means over stretches of so many seconds, which begin at these times."""

    seconds: int
    times: list[datetime]
    workers: list[WorkerUse]
    truncated: bool = Field(description="whether there is more than is shown")


class SeriesAnswer(Answer):
    """What the charts draw, for the last `minutes`; the last one has not ended."""

    minutes: int
    processed: list[SeriesMinute]
    run_ms: TimeSpread | None
    wait_ms: TimeSpread | None
    types: list[TypeShare]
    usage: UsageSeries


@bp.get("/series", summary="What the charts draw", responses={200: SeriesAnswer})
def get_series(query: SeriesQuery) -> Response:
    """Minute by minute what was processed, how long it ran and had waited; the share of each type;
    processor and memory of each worker. Costs the same however many orders there are."""
    found = services().series.minutes(query.minutes)
    whole = total(found.values())
    document = {
        "minutes": query.minutes,
        "processed": [_minute(minute, one) for minute, one in found.items()],
        "runMs": _spread(times(whole.run)),
        "waitMs": _spread(times(whole.wait)),
        "types": _types(whole),
        "usage": _usage(usage(services().database, query.minutes)),
    }
    return replies.json_text(exact_json.dumps(document))


def _minute(minute: int, one: Minute) -> dict[str, Any]:
    return {
        "minute": moment(minute * 60_000),
        "completed": one.ended(COMPLETED),
        "failed": one.ended(FAILED),
        "runMs": _spread(times(one.run)),
        "waitMs": _spread(times(one.wait)),
    }


def _spread(found: Times | None) -> dict[str, float] | None:
    return None if found is None else found._asdict()


def _types(whole: Minute) -> list[dict[str, Any]]:
    counts: dict[str, int] = {}
    for (kind, _), n in whole.processed.items():
        counts[kind] = counts.get(kind, 0) + n
    ranked = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    rest = sum(n for _, n in ranked[MOST_TYPES:])
    shown = [*ranked[:MOST_TYPES], *([(OTHERS, rest)] if rest else [])]
    processed = sum(counts.values())
    return [
        {"type": kind, "processed": n, "share": round(n / processed, 4)} for kind, n in shown if n
    ]


def _usage(found: Usage) -> dict[str, Any]:
    workers = []
    for worker, samples in sorted(found.workers.items()):
        row = [samples.get(at) for at in found.times]
        workers.append(
            {
                "workerId": worker,
                "cpuPercent": [None if one is None else one.cpu for one in row],
                "ramMb": [None if one is None else one.ram_mb for one in row],
            }
        )
    return {
        "seconds": found.grain,
        "times": [moment(at) for at in found.times],
        "workers": workers,
        "truncated": found.is_cut,
    }
