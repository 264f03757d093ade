"""Tasks of random complexity: naps of one to five seconds, in mixed priorities."""

from __future__ import annotations

import random
from typing import Any

Task = dict[str, Any]


def random_tasks(count: int = 10, chance: random.Random | None = None) -> list[Task]:
    """That many, each as a message or a request carries it."""
    chance = chance or random.Random()  # noqa: S311 (no secret)
    return [
        {
            "type": "sleep",
            "payload": {"seconds": round(chance.uniform(1, 5), 1)},
            "priority": chance.choice(["high", "normal", "low"]),
        }
        for _ in range(count)
    ]
