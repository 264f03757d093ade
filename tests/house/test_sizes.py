"""A file or a function that no longer fits on a few screens has two uses: split it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.house.project import ROOT, python_files

FILE_LINES = 330
FUNCTION_LINES = 50


def oversized(root: Path) -> list[str]:
    """One line for each file and function under `root` that is too long."""
    found: list[str] = []
    for path in python_files(root):
        text = path.read_text()
        place = path.relative_to(root)
        lines = len(text.splitlines())
        if lines > FILE_LINES:
            found.append(f"{place} has {lines} lines, {FILE_LINES} is the most")
        found.extend(
            f"{place}:{function.lineno} {function.name}() has {length} lines, "
            f"{FUNCTION_LINES} is the most"
            for function, length in _functions(text)
            if length > FUNCTION_LINES
        )
    return found


def _functions(text: str) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, int]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node, node.end_lineno - node.lineno + 1


def test_the_project_is_in_small_pieces() -> None:
    found = oversized(ROOT)
    assert not found, "\n" + "\n".join(found)


def test_what_is_too_long_is_found(tmp_path: Path) -> None:
    line = "    pass\n"
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "function.py").write_text(f"async def b():\n{line * FUNCTION_LINES}")
    (tmp_path / "fine.py").write_text(f"def c():\n{line * (FUNCTION_LINES - 1)}")
    (tmp_path / "long.py").write_text("pass\n" * (FILE_LINES + 1))
    assert oversized(tmp_path) == [
        f"deep/function.py:1 b() has {FUNCTION_LINES + 1} lines, {FUNCTION_LINES} is the most",
        f"long.py has {FILE_LINES + 1} lines, {FILE_LINES} is the most",
    ]
