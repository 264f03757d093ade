"""Fixtures for the manager's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import models
from jobs import registry
from tests.manager.by_hand import ByHand, Unlucky
from tests.manager.stage import JOBS, UNTIDY, Stage

JobType = Callable[..., str]


@pytest.fixture
def job_type(monkeypatch: pytest.MonkeyPatch) -> JobType:
    """Make a function a job type for as long as the test runs; answers its name."""

    def register(name: str, function: Callable[..., Any], **options: Any) -> str:
        own = registry.Registry()
        own.job(name, **options)(function)
        monkeypatch.setitem(registry._registry._types, name, own.get(name))
        return name

    return register


@pytest.fixture
def unlucky(database_url: str) -> Iterator[Unlucky]:
    """A database whose writes the test may let fail."""
    opened = Unlucky(database_url)
    models.bind(opened.orm)
    yield opened
    opened.close()


@pytest.fixture
def hand(unlucky: Unlucky) -> ByHand:
    """A manager of one worker on that database, stepped by hand."""
    return ByHand(unlucky)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Children, which know the wild jobs; at the end nothing of them is left."""
    registry.load([JOBS, UNTIDY])
    made = Stage(tmp_path)
    yield made
    made.children.close(0)
