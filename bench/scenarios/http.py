"""Submits and collects over HTTP: gunicorn with two workers, asked by wrk over 32 connections.

Each POST is an order that is committed durably before its answer; at the end the orders in the
database are counted against the answers. Nothing else runs but the database. With a token the same
is asked where callers must say who they are.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import ledger
from bench.figures import Figure
from bench.processes import await_ready, free_port, running
from database import Database, Sql
from ledger import NewOrder, Request
from ledger.tokens import OPERATOR, create_token
from tests.servers.wrk import Rate, load

CONNECTIONS = 32
SECONDS = 10
KNOWN = 1_000
BODY = json.dumps({"type": "add", "payload": {"num1": 1, "num2": 2}})

COUNT = Sql("SELECT count(*) FROM job_order")

_POST = """
wrk.method = "POST"
wrk.body = '{body}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = {credentials}
"""
_GET = """
local ids = {{{ids}}}
wrk.headers["Authorization"] = {credentials}
request = function() return wrk.format("GET", "/api/v1/job/" .. ids[math.random(#ids)]) end
"""


def measure(url: str) -> list[Figure]:
    """Submit and collect, first with no questions asked and then with a token."""
    database = Database(url)
    orders = [NewOrder(one, "add", '{"num1":1,"num2":2}') for one in ledger.new_ids(KNOWN)]
    ledger.submit(database, [Request(orders)])
    token = create_token(database, "bench", OPERATOR)
    ids = ", ".join(f'"{order.id}"' for order in orders)
    figures: list[Figure] = []
    for auth, credentials in (("none", "nil"), ("token", f'"Bearer {token}"')):
        port = free_port()
        with (
            running(url, ("runserver", str(port)), WEB_CONCURRENCY="2", CAPATAZ_AUTH=auth),
            tempfile.TemporaryDirectory(prefix="capataz-bench-") as folder,
        ):
            await_ready(port)
            there = int(database.read(COUNT)[0][0])
            how = " with a token" if auth == "token" else ""
            post = _POST.format(body=BODY, credentials=credentials)
            rate = _rate(port, "/api/v1/jobs", post, folder)
            kept = int(database.read(COUNT)[0][0]) - there
            if kept < rate.requests:
                raise RuntimeError(f"{rate.requests} were accepted, and {kept} are there")
            figures += _figures(f"POST /api/v1/jobs{how}", rate)
            get = _GET.format(ids=ids, credentials=credentials)
            figures += _figures(f"GET /api/v1/job/<id>{how}", _rate(port, "/", get, folder))
    database.close()
    return figures


def _rate(port: int, path: str, script: str, folder: str) -> Rate:
    address = f"http://127.0.0.1:{port}{path}"
    return load(address, script, Path(folder), connections=CONNECTIONS, seconds=SECONDS)


def _figures(name: str, rate: Rate) -> list[Figure]:
    return [
        Figure(f"{name}, rate", rate.per_second, "/s"),
        Figure(f"{name}, p50", rate.p50, "ms", 1),
        Figure(f"{name}, p99", rate.p99, "ms", 1),
    ]
