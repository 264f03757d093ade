"""The project's own Python files, for the tests that look at them all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Folders with no Python of ours in them.
_FOREIGN = {"__pycache__", "dashboard", "node_modules"}


def python_files(root: Path) -> Iterator[Path]:
    """Every Python file of the project in `root`, in order of its path."""
    for path in sorted(root.iterdir()):
        if path.is_dir():
            if not _is_foreign(path):
                yield from python_files(path)
        elif path.suffix == ".py":
            yield path


def _is_foreign(folder: Path) -> bool:
    is_environment = (folder / "pyvenv.cfg").exists()
    return folder.name in _FOREIGN or folder.name.startswith(".") or is_environment
