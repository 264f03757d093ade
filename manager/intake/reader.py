"""From a message to what the ledger is asked for, or to why it is refused."""

from __future__ import annotations

from pydantic import ValidationError

import ledger
from jobs.errors import PayloadError, UnknownType
from manager.intake.mailbox import Message, Refusal
from settings import Settings
from submissions import text
from submissions.breaches import (
    FieldErrors,
    at,
    breaches,
    in_body,
    known_fields,
    not_acceptable,
    of,
    payload_errors,
    type_errors,
    unreadable,
)
from submissions.orders import KEY, KEY_REMEDY, digest, order
from submissions.schema import JobSubmission

OWNER = ""


def read(settings: Settings, message: Message) -> ledger.Request | Refusal:
    """What a message asks for, its id as the key; or why it cannot be."""
    if message.key is None:
        return _bad("headers", [of(message.named, "is required: it names the message")])
    key = KEY.fullmatch(message.key.strip())
    if key is None:
        return _bad("headers", [of(message.named, KEY_REMEDY)])
    if len(message.body) > text.MAX_BYTES:
        return Refusal("The body is too large: the limit is 1 MiB.")
    try:
        body = text.parsed(message.body)
        submission = JobSubmission.model_validate(body)
        new = order(settings, ledger.new_id(), submission, OWNER)
    except text.Malformed as error:
        return Refusal(unreadable(str(error)), [at("", str(error))])
    except text.Growing as error:
        return _bad("body", [at("", str(error))])
    except ValidationError as error:
        return _bad("body", in_body(breaches(error, known_fields(JobSubmission))))
    except UnknownType as error:
        return _bad("body", type_errors(error))
    except PayloadError as error:
        return _bad("body", payload_errors(error))
    return ledger.Request([new], OWNER, key[1], digest(body))


def _bad(place: str, errors: FieldErrors) -> Refusal:
    return Refusal(not_acceptable(place, errors), [dict(one) for one in errors])
