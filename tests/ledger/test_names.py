"""What the ledger offers by name is what it says."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import ledger


def test_no_module_hides_what_the_ledger_offers() -> None:
    """A module of the same name takes the place of a function when it is imported late."""
    for module in pkgutil.walk_packages(ledger.__path__, "ledger."):
        importlib.import_module(module.name)
    hidden = [name for name in ledger.__all__ if isinstance(getattr(ledger, name), ModuleType)]
    assert hidden == []
