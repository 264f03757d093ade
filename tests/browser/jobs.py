"""A job that says hostile markup wherever a job can say anything."""

from __future__ import annotations

import sys
from typing import Annotated

from pydantic import Field

from jobs import Context, job

HOSTILE = (
    "<img src=x onerror=alert(1)><script>alert(2)</script>"
    "\"'><svg/onload=alert(3)>javascript:alert(4)"
)
TYPE = "browser.hostile"


def _hostile(
    context: Context,
    text: Annotated[str, Field(description=HOSTILE)] = HOSTILE,
    more: Annotated[dict[str, str] | None, Field(description=HOSTILE)] = None,
    *,
    fails: bool = False,
) -> dict[str, object]:
    context.progress(50, HOSTILE)
    print(HOSTILE)
    print(HOSTILE, file=sys.stderr)
    context.log.error("%s", HOSTILE)
    if fails:
        raise type(HOSTILE, (Exception,), {})(text)
    return {text: [text], "more": more}


_hostile.__doc__ = HOSTILE
job(TYPE, max_attempts=1)(_hostile)
