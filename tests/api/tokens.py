"""Callers with tokens, for tests of who may do what."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask
from flask.testing import FlaskClient

from api import create_app
from api.services import services
from database import Database
from ledger.tokens import create_token
from settings import Settings


@contextmanager
def guarded_app(database: Database) -> Iterator[Flask]:
    """The application where callers need a token."""
    application = create_app(Settings(auth=("token",)), database)
    try:
        yield application
    finally:
        services(application).close()


def bearing(app: Flask, token: str) -> FlaskClient:
    """A client that shows this token with every request."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return client


def caller(app: Flask, database: Database, name: str, role: str) -> FlaskClient:
    """A client with a new token."""
    return bearing(app, create_token(database, name, role))
