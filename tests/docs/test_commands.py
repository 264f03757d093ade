"""Every command of the documentation is run, page by page, and prints what its page shows.

`tests/docs/pages.py` says what the words after the backticks mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.matching import json_matches, text_matches
from tests.docs.pages import POSTGRES_URL, Block, blocks, pages
from tests.docs.scenario import Scenario, programs
from tests.servers.postgres import Postgres

# The only commands that a page may show without their being run here.
NOT_RUN = ("make test", "apt-get ", "heroku ")

PROGRAMS = {"curl": "curl"}
POSTGRES_PROGRAMS = PROGRAMS | {"psql": "postgresql-client"}


def _needs_postgres(page: Path) -> bool:
    return POSTGRES_URL in page.read_text()


def _name(page: Path) -> str:
    return f"{page.stem}-postgresql" if _needs_postgres(page) else page.stem


@pytest.fixture
def scenario(request: pytest.FixtureRequest, page: Path, tmp_path: Path) -> Iterator[Scenario]:
    """A reader's machine, with a PostgreSQL database where the page speaks of one."""
    if not _needs_postgres(page):
        yield from _machine(tmp_path, None, programs(PROGRAMS))
        return
    server: Postgres = request.getfixturevalue("postgres")
    with server.fresh_database() as url:
        yield from _machine(tmp_path, url, programs(POSTGRES_PROGRAMS))


def _machine(folder: Path, url: str | None, path: str) -> Iterator[Scenario]:
    machine = Scenario(folder, url, path)
    try:
        yield machine
    finally:
        machine.kill()


@pytest.mark.parametrize("page", pages(), ids=_name)
def test_a_page_does_what_it_says(page: Path, scenario: Scenario) -> None:
    printed, before, whole = "", "", True
    for block in blocks(page):
        if block.file is not None:
            scenario.write(block, block.file)
        elif block.is_server:
            printed, before, whole = scenario.serve(block), block.place, False
        elif block.is_run:
            printed, before, whole = scenario.run(block), block.place, True
        elif block.is_output:
            _compare(scenario, block, printed, before, whole=whole)
    scenario.close()


def _compare(scenario: Scenario, block: Block, printed: str, before: str, *, whole: bool) -> None:
    """What commands print is compared whole; of what a server says, a part may be shown."""
    shown = scenario.adapted(block.text)
    if block.info.startswith("json"):
        matches = json_matches(shown, printed)
    else:
        matches = text_matches(shown if whole else f"…{shown.strip()}…", printed)
    assert matches, (
        f"{block.place} is not what {before} printed:\n{printed}\nbut the page shows\n{shown}"
    )


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_only_what_cannot_be_run_is_not(page: Path) -> None:
    for block in blocks(page):
        if block.is_shell and not block.is_run and not block.is_server:
            assert block.reason, f"{block.place}: write `sh norun: REASON`, not `{block.info}`"
            for line in filter(None, block.text.splitlines()):
                assert line.startswith(NOT_RUN), f"{block.place}: {line!r} must be run"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_every_output_follows_its_commands(page: Path) -> None:
    before: Block | None = None
    for block in blocks(page):
        if block.is_output:
            assert before is not None, block.place
            assert before.is_run or before.is_server, f"{block.place} follows no block that is run"
        before = block


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("3", "3\n", True),
        ("3", "4", False),
        ("a … c", "a b c", True),
        ("at 2030-01-01T00:00:00.000Z", "at 2026-02-03T04:05:06.789Z", True),
        ("at 2030-01-01T00:00:00.000Z", "at null", False),
    ],
)
def test_text_is_compared(shown: str, printed: str, same: bool) -> None:
    assert text_matches(shown, printed) is same


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ('{"a": 1, "runMs": 5}', '{"runMs":7,"a":1}', True),
        ('{"a": 1}', '{"a":1,"b":2}', False),
        ('{"a": 1}', '{"a":2}', False),
        ('{"a": 1}', '{"a":true}', False),
        ('{"runMs": 5}', '{"runMs":null}', False),
        ('["…", null]', "[[1,2],null]", True),
        ('{"w": "host:1:abcdef/1"}', '{"w":"vm:29:db415e/12"}', True),
    ],
)
def test_json_is_compared(shown: str, printed: str, same: bool) -> None:
    assert json_matches(shown, printed) is same
