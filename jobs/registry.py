"""The job types: which function does what, under which name, with which defaults."""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

import jobs.builtin
from jobs.errors import MAX_DELAY_SECONDS, LoadError, RegistrationError, UnknownType
from jobs.payload import Payload

Isolation = Literal["thread", "process"]
Priority = Literal["high", "normal", "low"]
Function = TypeVar("Function", bound=Callable[..., Any])

NAME = r"[A-Za-z0-9_.-]{1,64}"
"""What names of types and queues look like."""


@dataclass(frozen=True, slots=True)
class JobType:
    """A function under its name, and what an order of it gets unless it says otherwise.

    Seconds for `timeout` and `max_silence`, MiB for `memory_mb`; None leaves it to the settings.
    """

    name: str
    function: Callable[..., Any] = field(repr=False)
    payload: Payload = field(repr=False, compare=False)
    description: str = ""
    queue: str = "default"
    timeout: float | None = None
    max_attempts: int | None = None
    isolation: Isolation = "thread"
    priority: Priority = "normal"
    max_silence: float | None = None
    memory_mb: int | None = None

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the payload, for OpenAPI and for forms."""
        return self.payload.schema

    def check(self, payload: Any) -> None:
        """Check a payload that `exact_json` read. Raises `PayloadError`."""
        self.payload.check(payload)

    def arguments(self, payload_text: str) -> dict[str, Any]:
        """Turn a stored payload into the keyword arguments of a run. Raises `PayloadError`."""
        return self.payload.arguments(payload_text)


class Registry:
    """Job types by name. The process has one, behind this module's functions."""

    def __init__(self) -> None:
        self._types: dict[str, JobType] = {}

    def job(
        self,
        name: str,
        *,
        queue: str = "default",
        timeout: float | None = None,
        max_attempts: int | None = None,
        isolation: Isolation = "thread",
        priority: Priority = "normal",
        max_silence: float | None = None,
        memory_mb: int | None = None,
    ) -> Callable[[Function], Function]:
        """Register the decorated function as the job type `name` and return it unchanged.

        `timeout` and `max_silence` are seconds, `memory_mb` is MiB and needs
        `isolation="process"`. Raises `RegistrationError`, naming the job and the remedy.
        """
        _check_name(name)
        _check_options(name, queue, isolation, priority)
        _check_numbers(name, timeout, max_silence, max_attempts, memory_mb)
        if memory_mb is not None and isolation != "process":
            raise RegistrationError(
                f'job {name!r}: memory_mb needs a process of its own: add isolation="process"'
            )

        def register(function: Function) -> Function:
            _check_function(name, function)
            if name in self._types:
                first = self._types[name].function
                raise RegistrationError(
                    f"job {name!r} is registered already, by {first.__module__}."
                    f"{first.__qualname__}: give {function.__qualname__} another name"
                )
            description = (inspect.getdoc(function) or "").partition("\n\n")[0]
            self._types[name] = JobType(
                name=name,
                function=function,
                payload=Payload(name, function, description),
                description=description,
                queue=queue,
                timeout=timeout,
                max_attempts=max_attempts,
                isolation=isolation,
                priority=priority,
                max_silence=max_silence,
                memory_mb=memory_mb,
            )
            return function

        return register

    def get(self, name: str) -> JobType:
        """Return the type of this name. Raises `UnknownType` with the known names."""
        try:
            return self._types[name]
        except KeyError:
            raise UnknownType(name, self.names()) from None

    def names(self) -> tuple[str, ...]:
        """Return the names of all types, sorted."""
        return tuple(sorted(self._types))


_registry = Registry()
job = _registry.job
get = _registry.get
names = _registry.names


def load(modules: Iterable[str] = ()) -> None:
    """Import the built-in job types, and then the modules that `CAPATAZ_JOBS` names.

    Safe twice. Raises `LoadError`, naming the module.
    """
    folder = jobs.builtin
    for module in pkgutil.iter_modules(folder.__path__, f"{folder.__name__}."):
        _import(module.name, "the built-in module")
    for name in modules:
        _import(name, "CAPATAZ_JOBS names the module")


def _import(name: str, what: str) -> None:
    try:
        importlib.import_module(name)
    except Exception as error:
        raise LoadError(
            f"{what} {name!r}, which cannot be imported ({type(error).__name__}: {error}): "
            "check its spelling, that PYTHONPATH leads to it, and that it imports by itself"
        ) from error


def _check_name(name: str) -> None:
    if callable(name):
        raise RegistrationError('@job takes a name: write @job("name")')
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        raise RegistrationError(
            f"job {name!r}: a name is 1 to 64 letters, digits, dots, dashes or underscores"
        )


def _check_options(name: str, queue: str, isolation: str, priority: str) -> None:
    # Clients take . and .. for steps in the address of a queue.
    if not isinstance(queue, str) or not re.fullmatch(NAME, queue) or queue in (".", ".."):
        raise RegistrationError(
            f"job {name!r}: queue is {queue!r}: use 1 to 64 letters, digits, dots, dashes or "
            "underscores, and not . or .. alone"
        )
    for option, value, allowed in (
        ("isolation", isolation, get_args(Isolation)),
        ("priority", priority, get_args(Priority)),
    ):
        if value not in allowed:
            raise RegistrationError(
                f"job {name!r}: {option} is {value!r}: use one of {', '.join(allowed)}"
            )


def _check_numbers(
    name: str,
    timeout: float | None,
    max_silence: float | None,
    max_attempts: int | None,
    memory_mb: int | None,
) -> None:
    for option, seconds in (("timeout", timeout), ("max_silence", max_silence)):
        if seconds is not None and not _is_number(seconds, 0, MAX_DELAY_SECONDS):
            raise RegistrationError(
                f"job {name!r}: {option} is {seconds!r}: use seconds above 0 and up to 366 days, "
                "or leave it out"
            )
    for option, count in (("max_attempts", max_attempts), ("memory_mb", memory_mb)):
        if count is not None and not (isinstance(count, int) and _is_number(count, 0, math.inf)):
            raise RegistrationError(
                f"job {name!r}: {option} is {count!r}: use a whole number from 1, or leave it out"
            )


def _is_number(value: object, above: float, at_most: float) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and above < value <= at_most
    )


def _check_function(name: str, function: Callable[..., Any]) -> None:
    if not inspect.isroutine(function):
        raise RegistrationError(f"job {name!r}: a job is a function: write def")
    if inspect.iscoroutinefunction(function):
        raise RegistrationError(
            f"job {name!r}: a job runs in a thread or process of its own: write def instead of "
            "async def, and asyncio.run inside it"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise RegistrationError(
            f"job {name!r}: a generator has no result: return a list instead of yielding"
        )
