"""Debian's Chromium on the dashboard as it is now."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, ViewportSize, sync_playwright

from tests.house.project import ROOT
from tests.servers.chromium import chromium

VIEWPORT: ViewportSize = {"width": 1360, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
_BUILD = ROOT / "scripts" / "dashboard.sh"
_ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-sync", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update"),
)


@contextmanager
def launched() -> Iterator[Browser]:
    """A browser, once the dashboard is built."""
    subprocess.run([_BUILD, "build"], check=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=_ARGUMENTS)
        yield browser
        browser.close()
    asyncio.set_event_loop(None)
