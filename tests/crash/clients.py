"""Clients that submit without a pause, each on a thread of its own, and remember what they got."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from http.client import HTTPException
from typing import Self

import ledger
from database import DatabaseAway
from ledger import NewOrder, Request
from ledger.hints import Bell
from tests.crash.harness import Answer, Api, Site

PAUSE = 0.003


class Client:
    """Repeats `step` on a thread until it is closed; what `step` raises is raised by `close`."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=type(self).__name__)

    def step(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Stop after the step under way."""
        self._stop.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self.step()
                # Not to wait for a fact: a load that leaves the others some of the processor.
                time.sleep(PAUSE)
        except BaseException as error:
            self._error = error


class LedgerClient(Client):
    """Submits an order at a time through the ledger itself."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self._site = site
        self._bell = Bell(site.database)
        self.receipts: dict[str, int] = {}
        self.refused = 0

    def step(self) -> None:
        value = len(self.receipts) + self.refused
        payload = self._site.effects.payload(value=value)
        order = NewOrder(ledger.new_id(), "crash.mark", payload)
        try:
            (receipt,) = ledger.submit(self._site.database, [Request([order])])
        except DatabaseAway:
            self.refused += 1
            return
        self.receipts[receipt.ids[0]] = value
        self._bell.ring()

    def close(self) -> None:
        super().close()
        self._bell.close()


class HttpClient(Client):
    """Asks the API for sums, and for what became of them."""

    def __init__(self, api: Api) -> None:
        super().__init__()
        self._api = api
        self.accepted: dict[str, int] = {}
        self.answers: Counter[int] = Counter()
        self.others: list[Answer] = []

    def step(self) -> None:
        number = self.answers.total()
        answer = self._ask(f"/api/v1/add/{number}/1", "GET" if number % 2 else "POST")
        if answer is not None and answer.status == 202:
            self.accepted[json.loads(answer.body)["jobId"]] = number + 1
            self._ask(f"/api/v1/jobs/{next(reversed(self.accepted))}")

    def result(self, order: str) -> Answer:
        """What the customer's door says of an order."""
        return self._api.ask(f"/api/v1/job/{order}?wait=20")

    def _ask(self, path: str, method: str = "GET") -> Answer | None:
        try:
            answer = self._api.ask(path, method)
        except (OSError, HTTPException) as error:
            raise AssertionError(f"no answer to {method} {path}: {error!r}") from error
        self.answers[answer.status] += 1
        if answer.status not in (200, 202):
            self.others.append(answer)
        return answer
