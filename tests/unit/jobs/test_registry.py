from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jobs import registry
from jobs.errors import LoadError, RegistrationError, UnknownType
from jobs.registry import Registry

if TYPE_CHECKING:
    from jobs import Context as OnlyForTheChecker


@pytest.fixture
def types() -> Registry:
    return Registry()


def test_a_job_is_registered_with_its_options(types: Registry) -> None:
    @types.job(
        "resize",
        queue="images",
        timeout=60,
        max_attempts=5,
        isolation="process",
        priority="high",
        max_silence=2.5,
        memory_mb=256,
    )
    def resize(context: OnlyForTheChecker, url: str, width: int = 800) -> OnlyForTheChecker:
        """Make an image smaller.

        Details.
        """
        raise NotImplementedError

    resize_type = types.get("resize")
    assert resize_type.function is resize
    assert resize_type.description == "Make an image smaller."
    assert (resize_type.queue, resize_type.timeout, resize_type.max_attempts) == ("images", 60, 5)
    assert (resize_type.isolation, resize_type.priority) == ("process", "high")
    assert (resize_type.max_silence, resize_type.memory_mb) == (2.5, 256)
    assert resize_type.schema["properties"]["width"] == {
        "default": 800,
        "title": "Width",
        "type": "integer",
    }
    assert resize_type.schema["required"] == ["url"]
    assert resize_type.schema["additionalProperties"] is False
    resize_type.check({"url": "u"})
    assert resize_type.arguments('{"url":"u","width":5.0}') == {"url": "u", "width": 5}
    with pytest.raises(FrozenInstanceError):
        resize_type.queue = "other"  # type: ignore[misc]


def test_defaults_leave_the_numbers_to_the_settings(types: Registry) -> None:
    @types.job("plain")
    def plain(context): ...  # type: ignore[no-untyped-def]

    found = types.get("plain")
    assert (found.queue, found.isolation, found.priority) == ("default", "thread", "normal")
    assert (found.timeout, found.max_attempts, found.max_silence, found.memory_mb) == (None,) * 4


def test_an_unknown_type_names_the_known_ones(types: Registry) -> None:
    types.job("b")(lambda context: None)
    types.job("a")(lambda context: None)
    assert types.names() == ("a", "b")
    with pytest.raises(UnknownType, match="unknown job type 'c': known types are a, b") as caught:
        types.get("c")
    assert caught.value.known == ("a", "b")


def test_a_second_job_of_the_same_name_is_refused(types: Registry) -> None:
    types.job("a")(lambda context: None)
    with pytest.raises(RegistrationError, match="'a' is registered already, by"):
        types.job("a")(lambda context: None)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ä", "x" * 65, "a\n", 5, lambda context: None])
def test_names_are_checked(types: Registry, name: Any) -> None:
    with pytest.raises(RegistrationError, match="name"):
        types.job(name)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("queue", "a b"),
        ("queue", ".."),
        ("queue", None),
        ("isolation", "fiber"),
        ("priority", "urgent"),
        ("timeout", 0),
        ("timeout", float("nan")),
        ("timeout", float("inf")),
        ("timeout", "60"),
        ("max_silence", -1),
        ("max_attempts", 0),
        ("max_attempts", 1.5),
        ("max_attempts", True),
        ("memory_mb", 0),
        ("memory_mb", 64),  # a thread has no memory of its own
    ],
)
def test_options_are_checked(types: Registry, option: str, value: Any) -> None:
    with pytest.raises(RegistrationError, match=f"{option}.*(use|add)"):
        types.job("a", **{option: value})


def no_context() -> None: ...
def forgotten_context(num1: int, num2: int) -> None: ...
def keyword_context(*, context: Any) -> None: ...
def star(context: Any, *urls: str) -> None: ...
def positional(context: Any, url: str, /) -> None: ...
async def coroutine(context: Any) -> None: ...
def generator(context: Any) -> Iterator[int]:
    yield 1


def unreadable(context: Any, when: NowhereDefined) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def uncheckable(context: Any, fine: int, lock: Registry) -> None: ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (no_context, r"first parameter is the context: write def no_context\(context"),
        (forgotten_context, "num1 is annotated as something else"),
        (keyword_context, "first parameter is the context"),
        (star, r"\*urls cannot be filled"),
        (positional, "url is positional-only"),
        (coroutine, "instead of async def"),
        (generator, "return a list"),
        (unreadable, "annotation of when cannot be read.*above the function"),
        (uncheckable, "the annotation of lock .*use JSON's own types"),
        (Registry, "a job is a function"),
    ],
)
def test_a_function_that_cannot_be_a_job_is_refused(
    types: Registry, function: Any, message: str
) -> None:
    with pytest.raises(RegistrationError, match=f"job 'a': .*{message}"):
        types.job("a")(function)
    assert types.names() == ()


def test_load_brings_the_built_in_types_and_is_safe_twice() -> None:
    registry.load()
    registry.load()
    assert {"add", "sleep", "fail"} <= set(registry.names())


def test_load_names_the_module_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "breaks_at_import.py").write_text("1 / 0")
    with pytest.raises(LoadError, match=r"'breaks_at_import'.*ZeroDivisionError"):
        registry.load(["breaks_at_import"])
    with pytest.raises(LoadError, match="CAPATAZ_JOBS names the module 'no_such_module'"):
        registry.load(["no_such_module"])


def test_modules_of_the_user_are_loaded_beside_the_built_ins(tmp_path: Path) -> None:
    # In a process of its own: the registry of this one stays as it is.
    (tmp_path / "my_jobs.py").write_text(
        "from jobs import job\n@job('mine')\ndef mine(context, n: int): return n\n"
    )
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from jobs import registry\n"
        "registry.load(['my_jobs'])\n"
        "print(*registry.names())\n"
    )
    root = Path(registry.__file__).parents[1]
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert {"add", "mine"} <= set(run.stdout.split())
