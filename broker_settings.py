"""What is asked of the settings that name a broker; `settings` reads and refuses."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

# For each transport that needs one: the variables that may name the broker, and how a URL begins.
BROKERS = {
    "rabbitmq": (("RABBITMQ_URL", "CLOUDAMQP_URL"), ("amqp", "amqps")),
    "nats": (("NATS_URL",), ("nats", "tls")),
}
TRANSPORTS = ("database", *BROKERS)
EXAMPLES = {"rabbitmq": "amqp://USER:PASSWORD@HOST:5672/VHOST", "nats": "nats://HOST:4222"}


def broker_url(transport: str, environ: Mapping[str, str]) -> str:
    """The URL of that transport's broker, '' where none is given."""
    names = BROKERS[transport][0]
    return next((text for name in names if (text := environ.get(name, "").strip())), "")


def complaint(transport: str, environ: Mapping[str, str]) -> str | None:
    """What is wrong with the URLs of brokers, in a line for the operator; None when nothing is."""
    for name, (variables, schemes) in BROKERS.items():
        url = broker_url(name, environ)
        if not url and name == transport:
            return (
                f"CAPATAZ_TRANSPORT is {name}, but {variables[0]} is not set: write "
                f"{EXAMPLES[name]}, or leave CAPATAZ_TRANSPORT out to poll the database"
            )
        # Without the text: it may hold a password.
        for one in url.split(",") if url else ():
            if not _is_url(one.strip(), schemes):
                return f"{variables[0]} is no URL of a broker: write {EXAMPLES[name]}"
    return None


def _is_url(text: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
