"""What the page hears as it happens: through a cut, in several tabs, and without a stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.browser.conftest import VIEWPORT
from tests.browser.window import Window
from tests.crash.harness import Site
from tests.servers.cut import Wire
from tests.support import wait_until

# More than the page asks for where it polls.
MANY = 150

# What the tab that reads the stream tells the others, heard as one of them would.
_HEAR = """() => {
  window.__frames = [];
  new BroadcastChannel("capataz").onmessage = (told) => window.__frames.push(told.data);
}"""


@pytest.fixture
def wire(site: Site) -> Iterator[Wire]:
    """A way to the web process that can be cut."""
    with Wire(site.api().port) as opened:
        yield opened


@pytest.fixture
def distant(browser: Browser, wire: Wire) -> Iterator[Window]:
    """A window at the other end of the wire; that it cannot be reached is no fault."""
    context = browser.new_context(viewport=VIEWPORT)
    yield Window(context.new_page(), wire.port)
    context.close()


def streams(page: Page) -> list[Request]:
    """The requests for a stream that this page makes from now on."""
    found: list[Request] = []
    page.on("request", lambda one: found.append(one) if one.url.endswith("/stream") else None)
    return found


def heard(page: Page) -> list[dict[str, Any]]:
    frames: list[dict[str, Any]] = page.evaluate("window.__frames")
    return frames


def submitted(site: Site, count: int) -> set[str]:
    """Submit so many orders past the browser."""
    return set(site.submit_many("effect", count))


def told(page: Page) -> Counter[str]:
    """How often each order was told to be submitted."""
    return Counter(
        page.evaluate(
            "window.__frames.filter((one) => one.event === 'event').map((one) => "
            "JSON.parse(one.data)).filter((one) => one.event === 'submitted').map((one) => one.job)"
        )
    )


def test_a_stream_that_is_cut_goes_on_without_a_gap_or_a_repeat(
    site: Site, wire: Wire, distant: Window
) -> None:
    listener = distant.page.context.new_page()
    listener.goto(f"{distant.base}/healthz")
    listener.evaluate(_HEAR)
    asked = streams(distant.page)
    distant.go("events")
    expect(distant.page.locator(".pulse")).to_have_text("Live")
    before = submitted(site, 5)
    wait_until(lambda: before <= told(listener).keys(), "the first orders are told")

    wire.cut()
    expect(distant.page.locator(".pulse")).to_have_text("Offline", timeout=10_000)
    expect(distant.page.locator(".stale")).to_contain_text("cannot be reached")
    meanwhile = submitted(site, MANY)
    wire.mend()
    expect(distant.page.locator(".pulse")).to_have_text("Live", timeout=10_000)
    expect(distant.page.locator(".stale")).to_have_count(0)
    after = submitted(site, 5)

    wait_until(lambda: after <= told(listener).keys(), "the last orders are told")
    assert told(listener) == Counter(before | meanwhile | after)
    frames = heard(listener)
    ids = [one["id"] for one in frames if one["event"] in ("event", "job")]
    assert len(ids) == len(set(ids))
    assert "reset" not in {one["event"] for one in frames}
    assert "last-event-id" in asked[-1].headers
    expect(distant.page.get_by_test_id("events")).to_contain_text(max(after))


def test_the_tabs_of_a_browser_share_a_stream(site: Site, window: Window) -> None:
    first = window.page
    second = first.context.new_page()
    window.go()
    expect(first.locator(".pulse")).to_have_text("Live")
    asked = streams(second)
    second.goto(f"{window.base}/#/orders")
    expect(second.locator(".pulse")).to_have_text("Live")
    (job,) = submitted(site, 1)
    expect(second.get_by_test_id("orders")).to_contain_text(job[-8:])
    assert asked == []
    with second.expect_request("**/api/v1/stream"):
        first.close()
    (job,) = submitted(site, 1)
    expect(second.get_by_test_id("orders")).to_contain_text(job[-8:])
    expect(second.locator(".pulse")).to_have_text("Live")


def test_without_a_stream_the_page_polls(site: Site, window: Window) -> None:
    window.page.route("**/api/v1/stream", lambda route: route.fulfill(status=503))
    window.go("orders")
    expect(window.page.locator(".pulse")).to_have_text("Polling")
    (job,) = submitted(site, 1)
    expect(window.page.get_by_test_id("orders")).to_contain_text(job[-8:])


def test_a_pause_holds_everything_and_then_all_is_there(site: Site, window: Window) -> None:
    window.go("orders")
    submitted(site, 1)
    rows = window.page.get_by_test_id("orders").locator("tbody tr")
    expect(rows).to_have_count(1)
    window.page.get_by_role("button", name="Pause updates").click()
    asked: list[str] = []
    window.page.on("request", lambda one: asked.append(one.url))
    submitted(site, 3)
    window.page.wait_for_timeout(2_500)  # longer than any look that it would have taken
    expect(rows).to_have_count(1)
    assert asked == []
    window.page.get_by_role("button", name="Resume updates").click()
    expect(rows).to_have_count(4)
