"""Why an order does not run or end: as JSON, and as text for a terminal."""

from __future__ import annotations

import textwrap
from typing import Any

from pydantic.alias_generators import to_camel

import exact_json
from api.presenter import plain_moment
from ledger.why import Moment, Reason, Why

WIDTH = 96


def document(why: Why) -> str:
    """The JSON of the answer."""
    return exact_json.dumps(
        {
            "jobId": why.order_id,
            "status": why.status,
            "checkedOn": plain_moment(why.checked_on),
            "reasons": [_reason(one) for one in why.reasons],
        }
    )


def text(why: Why) -> str:
    """The same for people: a numbered list of reasons, each with what to do."""
    lines = [f"{why.order_id} is {why.status} as of {plain_moment(why.checked_on)}"]
    for number, one in enumerate(why.reasons, 1):
        lines += _wrapped(f"{number}. ", f"{one.message} [{one.code}]")
        lines += _wrapped("   -> ", one.remedy)
    return "\n".join(lines)


def _reason(one: Reason) -> dict[str, Any]:
    facts = {to_camel(name): _shown(value) for name, value in one.facts.items()}
    return {"code": one.code, "message": one.message, "remedy": one.remedy} | facts


def _shown(value: Any) -> Any:
    return plain_moment(value) if isinstance(value, Moment) else value


def _wrapped(start: str, words: str) -> list[str]:
    return textwrap.wrap(
        words,
        WIDTH,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )
