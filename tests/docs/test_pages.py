"""The pages say what the code says: settings, routes, moves, log messages; and no link is dead."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from api import create_app
from models import MOVES, NOTHING
from settings import VARIABLES, VERSION, Settings
from tests.docs.pages import blocks, pages, prose
from tests.house.project import ROOT, python_files

DEPLOYING = ROOT / "docs" / "deploying.md"
HTTP = ROOT / "docs" / "http.md"
OPERATING = ROOT / "docs" / "operating.md"

_SETTING = re.compile(r"^\| `(?P<name>[A-Z_]+)` \| (?:`(?P<default>[^`]*)`)? ?\|", re.MULTILINE)
_REQUEST = re.compile(
    r"`(?:(?P<methods>(?:GET|POST|PUT|DELETE)(?:` or `POST)?) )?(?P<path>/[^`]*)`"
)
_LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
_LOGGED = ("info", "warning", "error", "exception")
# What operators read the logs of.
_SPEAKERS = ("api", "manager", "jobs", "ledger")
# Flask adds it by itself; there is no folder of that name.
_NO_ROUTE_OF_OURS = {"static"}


def test_every_setting_is_there_with_its_default() -> None:
    shown = {m["name"]: m["default"] or "" for m in _SETTING.finditer(prose(DEPLOYING))}
    assert shown == Settings().shown()
    assert set(shown) == set(VARIABLES.values())


def test_every_route_is_there() -> None:
    app = create_app(Settings())
    routes = {
        (method, str(rule))
        for rule in app.url_map.iter_rules()
        if rule.endpoint not in _NO_ROUTE_OF_OURS
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    table = prose(HTTP).partition("| request | does |")[2].partition("\n\n")[0]
    assert set(requests(table)) == routes


def requests(table: str) -> Iterator[tuple[str, str]]:
    """The requests of a table; a path without a method has that of the one before it."""
    methods = ["GET"]
    for found in _REQUEST.finditer(table):
        if found["methods"]:
            methods = re.findall(r"[A-Z]+", found["methods"])
        for method in methods:
            yield method, found["path"]


def test_the_diagram_shows_the_moves() -> None:
    (diagram,) = (block.text for block in blocks(OPERATING) if block.info == "mermaid")
    assert diagram == diagram_of_moves(), "the diagram shall be:\n" + diagram_of_moves()


def diagram_of_moves() -> str:
    """The states of an order as mermaid draws them, from the table of moves."""
    arrows = [
        f"    {before or '[*]'} --> {after or '[*]'}"
        for before, targets in MOVES.items()
        for after in sorted(targets, key=_place)
    ]
    return "\n".join(["stateDiagram-v2", *arrows, ""])


def _place(status: str) -> int:
    """In the order of a life; the end comes last."""
    return len(MOVES) if status == NOTHING else list(MOVES).index(status)


def test_every_log_message_is_explained() -> None:
    text = OPERATING.read_text().partition("## Logs")[2].partition("\n## ")[0]
    explained = set(re.findall(r"`([^`]+)`", text))
    said = {
        message.partition("%s")[0] + ("…" if "%s" in message else "")
        for folder in _SPEAKERS
        for path in python_files(ROOT / folder)
        for message in _messages(path)
    }
    assert sorted(said - explained) == []
    written = {line.split("`")[1] for line in text.splitlines() if line.startswith("| `")}
    assert sorted(written - said) == [], "nothing logs these any more"


def _messages(path: Path) -> Iterator[str]:
    """What a module logs from `info` on."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="log" | "_log"), attr=level),
                args=[ast.Constant(value=str(message)), *_],
            ) if level in _LOGGED:
                yield message


@pytest.mark.parametrize("page", [*pages(), ROOT / "CHANGELOG.md"], ids=lambda page: page.stem)
def test_no_link_is_dead(page: Path) -> None:
    for path, anchor in _LINK.findall(prose(page)):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {path} is not there"
        if anchor:
            assert anchor in _anchors(target), f"{page.name}: {path}#{anchor} is no heading"


def _anchors(page: Path) -> set[str]:
    """The anchors that headings get: lower case, blanks as dashes, no other signs."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_changelog_is_kept() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert VERSION in headings
