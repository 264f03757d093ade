"""Requests made from the OpenAPI document by the thousand, against gunicorn as it is deployed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from database import Database
from ledger.tokens import create_token
from tests.api.test_server import ROOT, serving

SEED = "20260101"
EXAMPLES = "6"
MOST_SECONDS = 150  # it takes 15 on an idle machine


def test_the_server_does_what_the_document_says(
    database_url: str, database: Database, tmp_path: Path
) -> None:
    token = create_token(database, "tester", "admin")
    with serving(database_url, WEB_CONCURRENCY="2", CAPATAZ_AUTH="token") as server:
        address = f"http://127.0.0.1:{server.port}/openapi.json"
        options = [
            *("--checks", "all", "--phases", "examples,coverage,fuzzing,stateful"),
            # It never ends by itself, and has tests of its own.
            *("--exclude-path", "/api/v1/stream"),
            *("--header", f"Authorization: Bearer {token}"),
            *("--max-examples", EXAMPLES, "--seed", SEED, "--no-color", "--warnings", "off"),
        ]
        done = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "run", address, *options],
            check=False,
            cwd=tmp_path,
            env=os.environ
            | {"SCHEMATHESIS_HOOKS": "tests.api.contract.hooks", "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=MOST_SECONDS,
        )
        assert done.returncode == 0, done.stdout
        assert server.stop() == 0
