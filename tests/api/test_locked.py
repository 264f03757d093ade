"""PostgreSQL keeps something from being written: told in time, and not waited for without end."""

from __future__ import annotations

from typing import Any

import pytest

import api
from api import create_app
from api.services import services
from database import Database
from settings import Settings
from tests import factories
from tests.api.calls import SUM, problem, submit
from tests.ledger import evidence


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_what_somebody_keeps_locked_is_not_waited_for_without_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few such requests would take all threads from the others."""
    order = factories.submit(database)
    monkeypatch.setattr(api, "_LOCK_SECONDS", 0.1)
    app = create_app(Settings(database_url=database.url))
    try:
        with evidence.locked(database, order):
            for method, address in (
                ("POST", f"/api/v1/jobs/{order}/cancel"),
                ("POST", "/api/v1/jobs/bulk"),
            ):
                given: Any = {"json": [SUM]} if address.endswith("bulk") else {}
                response = app.test_client().open(address, method=method, **given)
                if given:
                    assert response.status_code == 202, "it needs nothing of that"
                    continue
                document = problem(response, 503)
                assert "locked" in document["detail"]
                assert "Nothing was changed" in document["detail"]
                assert int(response.headers["Retry-After"]) >= 1
        assert app.test_client().post(f"/api/v1/jobs/{order}/cancel").status_code == 200
    finally:
        services(app).close()
        services(app).database.close()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_server_that_lets_nothing_be_written_is_not_ready(database: Database) -> None:
    url = f"{database.url}?options=-c%20default_transaction_read_only%3Don"
    read_only = Database(url)
    app = create_app(Settings(), read_only)
    problem(app.test_client().get("/readyz"), 503)
    document = problem(submit(app.test_client(), SUM), 503)
    assert "written" in document["detail"]
    services(app).close()
    read_only.close()
