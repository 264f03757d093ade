"""The request class: JSON bodies parsed exactly, and refused in our own words."""

from __future__ import annotations

from typing import Any

from flask import Request
from gunicorn.http.errors import NoMoreData, ParseException  # type: ignore[import-untyped]
from werkzeug.exceptions import RequestEntityTooLarge

from api import errors
from submissions import text

MAX_BODY = text.MAX_BYTES
MAX_BULK_BODY = 32 << 20


class JsonRequest(Request):
    """Flask's request, whose `get_json` loses no digit and never guesses."""

    _parsed: Any = None

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:  # noqa: ARG002
        """The parsed body, whatever `force` and `silent` say; parsed once.

        Raises `ApiError`: 415 without a JSON content type, 400 when malformed, 422 for a bare
        string (which the library would parse a second time); werkzeug's 413 when too large.
        """
        if self._parsed is not None:
            return self._parsed
        if not self.is_json:
            raise errors.not_json()
        body = self._body()
        try:
            value = text.parsed(body)
        except text.Malformed as error:
            raise errors.malformed(str(error)) from None
        except text.Growing as error:
            raise errors.unacceptable("body", [errors.at("", str(error))]) from None
        if isinstance(value, str):
            message = "must be a JSON object or array, not a string"
            raise errors.unacceptable("body", [errors.at("", message)])
        self._parsed = value
        return value

    def _body(self) -> bytes:
        """The whole body. A chunked one, whose length nobody told, would else be cut at the limit
        as if it ended there. Raises werkzeug's 413, and 400 when it ends before its end or its
        chunks cannot be read."""
        try:
            return self._read()
        except ParseException:
            raise errors.malformed("its chunks are not as HTTP/1.1 has them") from None
        except NoMoreData:
            raise errors.malformed("it ends in the middle of a chunk") from None

    def _read(self) -> bytes:
        limit = self.max_content_length
        told = self.content_length
        if told is not None or limit is None:
            body = self.get_data(cache=False)
            if told is not None and len(body) < told:
                raise errors.malformed(f"it ends after {len(body)} of {told} bytes")
            return body
        if not self.environ.get("wsgi.input_terminated"):
            return b""
        body = bytes(self.environ["wsgi.input"].read(limit + 1))
        if len(body) > limit:
            raise RequestEntityTooLarge
        return body
