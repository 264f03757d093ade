"""Small projects of twenty shapes run as they would anywhere."""

from __future__ import annotations

import pytest

from tests.sandbox.conftest import Run
from tests.sandbox.forge import Forge
from tests.sandbox.shapes import SHAPES


@pytest.mark.parametrize("name", list(SHAPES))
def test_a_project_of_this_shape(run: Run, forge: Forge, name: str) -> None:
    shape = SHAPES[name]
    repository = name.replace(" ", "-")
    forge.make(repository, shape.files)
    result = run(repository, args=list(shape.args), entry=shape.entry)
    assert result["stderr"] == ""
    assert result["stdout"] == shape.prints
    value = result["value"]
    assert (value and {"n": [float(n) for n in value["n"]]}) == shape.value


def test_there_are_twenty() -> None:
    assert len(SHAPES) == 20
