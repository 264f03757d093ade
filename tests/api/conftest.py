"""The real application on each database, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api import create_app
from api.services import services
from database import Database
from settings import Settings


@pytest.fixture
def app(database: Database) -> Iterator[Flask]:
    application = create_app(Settings(), database)
    yield application
    services(application).close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()
