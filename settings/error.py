"""What every part of the settings may raise."""

from __future__ import annotations


class SettingsError(Exception):
    """A setting has an impossible value or an unknown name; one line for the operator."""
