"""What a project that does well leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sandbox.conftest import Run
from tests.sandbox.forge import Forge

SUM = """
import json, sys
from helper import add
total = add(*map(int, sys.argv[1:]))
print("the sum is", total)
print("a word aside", file=sys.stderr)
json.dump({"sum": total}, open("result.json", "w"))
open("report.txt", "w").write("done")
"""


def test_a_result_has_all_that_it_promises(run: Run, forge: Forge, base: Path) -> None:
    commit = forge.make("sum", {"main.py": SUM, "helper.py": "def add(*n): return sum(n)\n"})
    result = run("sum", args=["1", "2", "39"])
    assert result["commit"] == commit
    assert result["exitCode"] == 0
    assert result["value"] == {"sum": 42}
    assert result["stdout"] == "the sum is 42\n"
    assert result["stderr"] == "a word aside\n"
    assert result["durationMs"] > 0
    assert result["maxRssMb"] >= 0
    assert result["sandbox"] == "strict"
    assert {found["path"]: found["bytes"] for found in result["artifacts"]} == {
        "result.json": 11,
        "report.txt": 4,
    }
    assert list(base.glob("run-*")) == [], "its folder is gone"


def test_what_it_prints_is_shown_while_it_runs(
    run: Run, forge: Forge, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = forge.make("sum", {"main.py": SUM, "helper.py": "def add(*n): return sum(n)\n"})
    run("sum", args=["1"])
    said = capsys.readouterr()
    assert commit in said.out
    assert "the sum is 1\n" in said.out
    assert "a word aside\n" in said.err
