"""Tokens under gunicorn: on an address that others can reach, in all of its processes."""

from __future__ import annotations

from database import Database
from ledger.tokens import create_token, revoke_tokens, tokens
from tests.api.test_server import Server, free_port, start
from tests.support import wait_until

JOBS = "/api/v1/jobs"


def test_an_open_address_is_served_to_those_with_a_token(
    database: Database, database_url: str
) -> None:
    port = free_port()
    environ = {"DATABASE_URL": database_url, "CAPATAZ_AUTH": "token", "WEB_CONCURRENCY": "2"}
    process = start(f"0.0.0.0:{port}", **environ)
    try:
        server = Server(port, process)
        wait_until(server.is_ready, "gunicorn never answered")
        token = create_token(database, "shop", "viewer")

        def statuses(shown: str) -> set[int]:
            header = {"Authorization": f"Bearer {shown}"}
            return {server.call("GET", JOBS, **header)[0] for _ in range(12)}

        # Each process listens for itself, so that both are asked.
        assert server.call("GET", JOBS)[0] == 401
        assert statuses(token) == {200}
        assert statuses(token[:-1] + "x") == {401}
        revoke_tokens(database, "shop")
        wait_until(lambda: statuses(token) == {401}, "still open", timeout=10)
        assert server.stop() == 0
        output, _ = process.communicate(timeout=30)
        assert "cap_" not in output
        assert token.split("_")[2][:8] not in output
        assert tokens(database)[0].last_used is not None
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=30)
