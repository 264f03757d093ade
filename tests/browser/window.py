"""A window of a browser on the dashboard, and what the browser complained of."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from playwright.sync_api import ConsoleMessage, Dialog, Page, expect

from tests.house.project import ROOT

AXE = ROOT / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"
SERIOUS = ("serious", "critical")

# Told before any script of the page runs; the browser tells each breach of the policy once.
_WATCH = """
window.__breaches = [];
document.addEventListener("securitypolicyviolation", (e) =>
  window.__breaches.push(`${e.violatedDirective} ${e.blockedURI} ${e.sample}`));
"""


class Window:
    """One page of the browser, and where the API is."""

    def __init__(self, page: Page, port: int) -> None:
        self.page = page
        self.base = f"http://127.0.0.1:{port}"
        self.complaints: list[str] = []
        page.set_default_timeout(15_000)
        page.add_init_script(_WATCH)
        page.on("dialog", self._refuse)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("console", self._listen)

    def go(self, place: str = "") -> None:
        """Show a page of the dashboard, such as `orders?status=failed`."""
        self.page.goto(f"{self.base}/#/{place}")
        expect(self.page.locator("main h1")).to_be_visible()

    def breaches(self) -> list[str]:
        """What the policy of the page had to stop."""
        found: list[str] = self.page.evaluate("window.__breaches")
        return found

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """A request of the API, besides the browser."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.base}{path}", data, method=method)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def submit(self, kind: str, payload: dict[str, Any], **fields: Any) -> str:
        """Submit an order by the API; its id."""
        order = self.ask("POST", "/api/v1/jobs", {"type": kind, "payload": payload, **fields})
        return str(order["jobId"])

    def violations(self) -> list[str]:
        """What axe finds serious or worse, on the page as it is now."""
        # By the debugger, since the policy lets no script into the page.
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{one['id']}: {node['html'][:150]} ({node['failureSummary'][:300]})"
            for one in found["violations"]
            if one["impact"] in SERIOUS
            for node in one["nodes"]
        ]

    def _refuse(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _listen(self, message: ConsoleMessage) -> None:
        # That a route is not there (yet) is told by the browser too; the page copes with it.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(f"console: {message.text}")
