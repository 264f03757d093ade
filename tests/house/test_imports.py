"""The house has floors: a module imports from below, never from above or from next door."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.house.project import ROOT, python_files

# What each may import of ours, besides itself. What is not listed here fails: it needs a floor.
FLOORS: dict[str, tuple[str, ...]] = {
    "settings": (),
    "addresses": (),
    "exact_json": (),
    "forks": (),
    "logs": (),
    "jobs": ("exact_json", "settings"),
    "examples": (),
    "database": ("settings", "forks"),
    "models": ("settings",),
    "migrations": ("settings", "database", "models"),
    "ledger": ("database", "models", "exact_json", "forks"),
    "submissions": (
        *("ledger", "models", "settings", "exact_json"),
        *("jobs.registry", "jobs.errors"),
    ),
    "api": (
        "submissions",
        "ledger",
        "models",
        "database",
        "jobs.registry",
        "jobs.errors",
        "jobs.builtin.add",
        "settings",
        "exact_json",
        "logs",
    ),
    "manager": (
        *("submissions", "ledger", "models", "database", "jobs", "settings", "exact_json", "logs"),
        "forks",
    ),
}
# The top floor imports what it likes, and nobody imports it.
TOP = ("manage", "commands", "tests", "bench", "scripts", "gunicorn.conf")

FLASK = ("flask", "flask_openapi")
SQL = ("peewee", "playhouse", "psycopg", "apsw", "sqlite3")


class Ban(NamedTuple):
    """Modules that some of ours must not import, and why."""

    who: tuple[str, ...]
    banned: tuple[str, ...]
    why: str
    # Also through others of ours: what they import is loaded all the same.
    far: bool = False
    besides: tuple[str, ...] = ()


BANS = (
    Ban(
        (
            *("manager.executor", "manager.worker", "manager.pool", "manager.children"),
            *("manager.cell", "manager.child", "manager.frames", "manager.autopsy"),
            *("manager.warden", "manager.processes", "manager.demand", "manager.gauge"),
            *("manager.tail", "manager.verdicts", "manager.feed", "manager.prints"),
            *("manager.process_state", "manager.interpreter_state", "manager.own_gauge"),
            "manager.shortage",
            *("manager.order_logs", "manager.capture", "manager.cleaning"),
        ),
        ("ledger", "models", "database", *SQL),
        "a run never opens the database",
        far=True,
    ),
    Ban(("jobs",), (*FLASK, *SQL), "a job knows neither HTTP nor the database"),
    Ban(tuple(FLOORS), FLASK, "only api speaks HTTP", besides=("api",)),
    Ban(
        tuple(FLOORS),
        ("apscheduler",),
        "only manager.supervisor knows the scheduler",
        besides=("manager.supervisor",),
    ),
)


class Import(NamedTuple):
    """That one of our modules imports another module, or a name in it."""

    source: str
    target: str
    place: str


def violations(root: Path) -> list[str]:
    """One line for each import under `root` that the house forbids."""
    imports = [found for path in python_files(root) for found in _imports(root, path)]
    names = {_name(root, path) for path in python_files(root)}
    return [
        *(f"{name}: has no floor yet: give it one in FLOORS" for name in _homeless(names)),
        *_upstairs(imports, {_first(name) for name in names}),
        *(line for ban in BANS for line in _banned(ban, imports, names)),
    ]


def _homeless(names: set[str]) -> list[str]:
    return sorted({_first(name) for name in names} - {*FLOORS, *TOP})


def _upstairs(imports: list[Import], ours: set[str]) -> Iterator[str]:
    for source, target, place in imports:
        home = _first(source)
        if home not in FLOORS or _first(target) not in ours or _within(target, (home,)):
            continue
        if not _within(target, FLOORS[home]):
            may = ", ".join(FLOORS[home]) or "nothing of ours"
            yield f"{place}: {source} imports {target}, but {home} may import {may}"


def _banned(ban: Ban, imports: list[Import], names: set[str]) -> Iterator[str]:
    for name in sorted(names):
        if _within(name, ban.who) and not _within(name, ban.besides):
            for chain in _chains(name, imports, names, far=ban.far):
                last = chain[-1]
                if _within(last.target, ban.banned):
                    way = " -> ".join([*(step.source for step in chain), last.target])
                    yield f"{last.place}: {way}, but {ban.why}"


def _chains(
    name: str, imports: list[Import], names: set[str], *, far: bool
) -> Iterator[list[Import]]:
    """What `name` imports; with `far`, also what that imports in turn, each module once."""
    seen = {name}
    waiting = [[found] for found in imports if found.source == name]
    while waiting:
        chain = waiting.pop(0)
        yield chain
        for loaded in _loaded(chain[-1].target, names) - seen if far else ():
            seen.add(loaded)
            waiting.extend([*chain, found] for found in imports if found.source == loaded)


def _loaded(target: str, names: set[str]) -> set[str]:
    """Our modules that importing `target` runs: it, or what it is a name in, and the packages."""
    parts = target.split(".")
    return {".".join(parts[:length]) for length in range(1, len(parts) + 1)} & names


def _imports(root: Path, path: Path) -> Iterator[Import]:
    source = _name(root, path)
    package = source if path.name == "__init__.py" else source.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        for target in _targets(node, package):
            place = f"{path.relative_to(root)}:{getattr(node, 'lineno', 0)}"
            yield Import(source, target, place)


def _targets(node: ast.AST, package: str) -> Iterator[str]:
    match node:
        case ast.Import(names=aliases):
            yield from (alias.name for alias in aliases)
        case ast.ImportFrom(module=module, names=aliases, level=level):
            above = package.split(".")[: len(package.split(".")) - level + 1] if level else []
            base = ".".join([*above, *([module] if module else [])])
            yield from (f"{base}.{alias.name}" for alias in aliases)
        case ast.Call(
            func=ast.Name(id="__import__" | "import_module") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(module)), *_],
        ):
            yield module


def _name(root: Path, path: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def _first(name: str) -> str:
    return name if name in TOP else name.partition(".")[0]


def _within(name: str, modules: tuple[str, ...]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def test_no_module_imports_from_upstairs_or_next_door() -> None:
    found = violations(ROOT)
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        ("settings.py", "import models", "may import nothing of ours"),
        ("jobs/a.py", "import models", "jobs may import exact_json, settings"),
        ("jobs/a.py", "import psycopg", "neither HTTP nor the database"),
        ("models.py", "from ledger import submit", "models may import settings"),
        ("models.py", "from flask import Flask", "only api speaks HTTP"),
        ("ledger/a.py", "def f():\n    import jobs.registry", "ledger/a.py:2: ledger.a imports"),
        ("api/a.py", "from manager.pool import ManageWorker", "api may import"),
        ("api/a.py", "from jobs import context", "imports jobs.context"),
        ("api/a.py", "from jobs import registry", None),
        ("api/a.py", "from jobs.registry import get\nfrom flask import Flask", None),
        ("manager/a.py", "import importlib\nimportlib.import_module('api')", "manager/a.py:2"),
        ("manager/a.py", "if True:\n    from manage import main", "imports manage.main"),
        ("manager/a.py", "import apscheduler.schedulers", "only manager.supervisor"),
        ("manager/supervisor.py", "import apscheduler.schedulers", None),
        ("manager/pool.py", "from ledger import claim", "never opens the database"),
        ("manager/pool.py", "from . import claimer", "manager.pool -> manager.claimer -> ledger"),
        (
            "manager/pool.py",
            "from .claimer import step",
            "manager.pool -> manager.claimer -> ledger",
        ),
        ("manager/heartbeat.py", "from . import claimer\nfrom .claimer import step", None),
        ("attic.py", "", "attic: has no floor yet"),
        ("gunicorn.conf.py", "import api, manager", None),
        ("tests/unit/test_a.py", "import api, manager, manage, flask, apscheduler", None),
        (".venv/a.py", "import api", None),
    ],
)
def test_a_forbidden_import_is_found(
    tmp_path: Path, path: str, text: str, told: str | None
) -> None:
    for name in ("settings", "models", "database", "manage"):
        (tmp_path / f"{name}.py").touch()
    for name in ("jobs", "ledger", "api", "manager"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "manager" / "claimer.py").write_text("import ledger")
    assert violations(tmp_path) == []
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(text)
    found = violations(tmp_path)
    if told is None:
        assert found == []
    else:
        assert told in "\n".join(found)
