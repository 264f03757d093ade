"""Many writers on one SQLite file: each gets its turn, and none ever hears that it is locked."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from models import COMPLETED, ENDED, RETRIEVED
from tests.crash.clients import HttpClient
from tests.crash.harness import Site
from tests.ledger.evidence import counted, events, levels
from tests.support import wait_until

SECONDS = 20
SUBMITTERS = 4


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_nobody_is_refused_because_of_others(site: Site) -> None:
    managers = site.managers(2)
    api = site.api()
    arguments = ["-m", "tests.crash.submitter", str(SECONDS), str(site.effects.path)]
    with HttpClient(api) as web:
        submitters = [site.run("submitter", arguments) for _ in range(SUBMITTERS)]
        assert [one.wait(SECONDS + 20) for one in submitters] == [0] * SUBMITTERS
    assert set(web.answers) == {200, 202}
    submitted = sum(int(one.output) for one in submitters) + len(web.accepted)

    wait_until(lambda: set(counted(site.database)) <= set(ENDED), "all orders end", timeout=30)
    assert all(process.is_alive() for process in (*managers, api))
    assert counted(site.database) == {COMPLETED: submitted} == levels(site.database)
    recorded = Counter(one for event in events(site.database, "completed") for one in event.ids)
    assert (len(recorded), set(recorded.values())) == (submitted, {1})
    began = Counter(effect.order for effect in site.effects.all("began"))
    assert (len(began), set(began.values())) == (submitted - len(web.accepted), {1})

    for order, total in list(web.accepted.items())[:50]:
        answer = web.result(order)
        assert (answer.status, json.loads(answer.body)["result"]) == (200, total)
    assert counted(site.database) == levels(site.database)
    assert counted(site.database)[RETRIEVED] == min(50, len(web.accepted))
