"""Packages of the tests' own, and an index that has them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

_METADATA = "Metadata-Version: 2.1\nName: {}\nVersion: {}\n{}"
_WHEEL = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_BACKEND = """
def build_wheel(folder, config_settings=None, metadata_directory=None):
    import sys, zipfile, os
    name = "built-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("built.py", "WORD = 'its code ran while it was built'\\n")
        wheel.writestr("built-1.0.dist-info/METADATA", {metadata!r})
        wheel.writestr("built-1.0.dist-info/WHEEL", {wheel!r})
        wheel.writestr("built-1.0.dist-info/RECORD", "")
    return name
"""


def wheel(
    index: Path, name: str, files: dict[str, str], version: str = "1.0", needs: str = ""
) -> None:
    """Add a pure-Python wheel."""
    folder = index / name
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    more = f"Requires-Dist: {needs}\n" if needs else ""
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr(f"{info}/METADATA", _METADATA.format(name, version, more))
        archive.writestr(f"{info}/WHEEL", _WHEEL)
        archive.writestr(f"{info}/RECORD", "")


def source(index: Path) -> None:
    """Add a package that comes as source only, and runs code of its own to be built."""
    folder = index / "built"
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'backend'\n"
        "backend-path = ['.']\n",
        "backend.py": _BACKEND.format(wheel=_WHEEL, metadata=_METADATA.format("built", "1.0", "")),
        "PKG-INFO": _METADATA.format("built", "1.0", ""),
    }
    with tarfile.open(folder / "built-1.0.tar.gz", "w:gz") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"built-1.0/{path}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
