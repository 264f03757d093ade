"""`python -m tests.crash.submitter SECONDS EFFECTS`: submits and reads for so long, then prints
how many orders it submitted. Any error ends it with a traceback.
"""

from __future__ import annotations

import json
import os
import sys
import time

import ledger
from database import Database
from ledger import NewOrder, Request
from ledger.hints import Bell

BATCHES = (1, 1, 1, 5, 20)
PAUSE = 0.01


def main(seconds: float, effects: str) -> None:
    """Submit in batches of several sizes until the time is over."""
    database = Database(os.environ["DATABASE_URL"])
    bell = Bell(database)
    until = time.monotonic() + seconds
    payload = json.dumps({"effects": effects})
    submitted, turn = 0, 0
    while time.monotonic() < until:
        count = BATCHES[turn % len(BATCHES)]
        orders = [NewOrder(new, "crash.mark", payload) for new in ledger.new_ids(count)]
        ledger.submit(database, [Request(orders)])
        bell.ring()
        ledger.find(database, orders[0].id)
        submitted, turn = submitted + count, turn + 1
        time.sleep(PAUSE)
    bell.close()
    print(submitted)


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2])
