"""Calling a URL."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from jobs import Context, job, outbound
from jobs.errors import Fail

MOST_BYTES = 512 * 1024

Url = Annotated[str, Field(pattern=r"^https?://[!-~]+$", max_length=2_000)]
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\t -~]*$", max_length=4_000)]
Seconds = Annotated[float, Field(gt=0, le=600)]

# Another try may help; what else is 4xx is the request's own fault.
AGAIN = (408, 425, 429)
# Said of the names besides their pattern, which alone would let others pass.
Headers = Annotated[
    dict[HeaderName, HeaderValue], Field(json_schema_extra={"additionalProperties": False})
]


@job("http")
def http(
    _context: Context,
    url: Url,
    method: Method = "GET",
    headers: Headers | None = None,
    body: Any = None,
    seconds: Seconds = 30.0,
) -> dict[str, Any]:
    """Call a URL; the result is its status, headers and text. Follows no redirects.

    `body` is sent as JSON. An answer of 4xx fails for good, of 5xx is tried again.
    """
    given = {"User-Agent": "Capataz", **(headers or {})}
    content = None
    if body is not None:
        content = outbound.json_body(body)
        if "content-type" not in {name.lower() for name in given}:
            given["Content-Type"] = "application/json"
    try:
        answer = outbound.request(
            method, url, headers=given, body=content, seconds=seconds, most_bytes=MOST_BYTES
        )
    except outbound.Refused as error:
        raise Fail(f"the address must not be called: {error}") from None
    if answer.status >= 500 or answer.status in AGAIN:
        raise RuntimeError(f"{url} answered {answer.status}")
    if answer.status >= 400:
        raise Fail(f"{url} answered {answer.status}")
    text = answer.body.decode("utf-8", "replace")
    return {"status": answer.status, "headers": answer.headers, "body": text}
