"""A load of random work: mixed, bounded, and waited for."""

from __future__ import annotations

import json
import random
import threading

import pytest

from commands import producing as module
from database import Database, Sql
from models import COMPLETED, PRIORITIES
from tests.ledger import evidence
from tests.manager.by_hand import ByHand
from tests.support import wait_until

MADE = Sql("SELECT type, priority, payload FROM job_order")
FAIL = Sql("UPDATE job_order SET max_attempts = 1, payload = '{}'")


@pytest.mark.parametrize("good", [True, False], ids=["good", "bad"])
def test_it_waits_until_all_has_ended(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    good: bool,
) -> None:
    monkeypatch.setattr(module, "BATCH", 7)
    done: list[bool] = []
    chance = random.Random(1)
    thread = threading.Thread(
        target=lambda: done.append(module.produce(database, 30, chance)),
    )
    thread.start()
    wait_until(lambda: evidence.counted(database) == {"pending": 30})
    made = database.read(MADE)
    seconds = [json.loads(payload)["seconds"] for _, _, payload in made]
    assert {kind for kind, _, _ in made} == {"sleep"}
    assert {priority for _, priority, _ in made} == set(PRIORITIES.values())
    assert min(seconds) >= 1
    assert max(seconds) <= 5
    assert len(set(seconds)) > 5
    if good:
        database.write(lambda tx: tx.run(Sql("UPDATE job_order SET payload = '{\"seconds\":0}'")))
    else:
        database.write(lambda tx: tx.run(FAIL))
    errors: list[str] = []

    def is_said() -> bool:
        errors.append(capsys.readouterr().err)
        return "no manager is beating" in "".join(errors)

    wait_until(is_said)
    hand = ByHand(database, workers=30)
    assert not done
    hand.work_off()
    thread.join(20)
    assert done == [good]
    assert f"{30 if good else 0} of 30 completed in" in capsys.readouterr().out
    assert evidence.counted(database) == {COMPLETED if good else "failed": 30}
