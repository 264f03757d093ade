"""Markup in every field that others may fill in: it is shown as text, and none of it runs."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from playwright.sync_api import expect

from tests.browser.conftest import JOBS
from tests.browser.jobs import HOSTILE, TYPE
from tests.browser.window import Window
from tests.crash.harness import Site

ODD = "main :is(img, script, iframe, svg[onload], a[href^='javascript'])"


def test_hostile_markup_is_shown_as_text(site: Site, window: Window) -> None:
    site.manager(jobs=JOBS)
    payload = {"text": HOSTILE, "more": {HOSTILE: HOSTILE}}
    fields = {"tags": [HOSTILE[:100]], "queue": "q-1"}
    done = window.submit(TYPE, payload, **fields)
    failed = window.submit(TYPE, payload | {"fails": True}, **fields)
    site.ends(done, failed)
    plan = {"expression": "@daily", "type": TYPE, "payload": payload, "tags": fields["tags"]}
    window.ask("PUT", "/api/v1/schedules/hostile", plan)
    search = urlencode({"q": HOSTILE, "tag": HOSTILE[:100], "worker": HOSTILE, "type": HOSTILE})
    places = {
        "": "Overview",
        "orders": "onerror=alert(1)",  # the error of the one that failed
        f"orders?{search}": "Nothing matches",
        f"orders/{done}": "onerror=alert(1)",
        f"orders/{failed}": "onerror=alert(1)",
        f"orders/{quote(HOSTILE, safe='')}": "There is no such order",
        f"submit?from={failed}": "onerror=alert(1)",
        f"submit?type={TYPE}": "onerror=alert(1)",
        f"submit?type={quote(HOSTILE)}": "Submit order",
        "schedules": "hostile",
        "schedules/hostile": "onerror=alert(1)",
        f"schedules/{quote(HOSTILE, safe='')}": "onerror=alert(1)",
        "queues": "q-1",
        "workers": "thread",
        "events": done,
        f"events?{urlencode({'worker': HOSTILE, 'kind': HOSTILE})}": "",
    }
    for place, text in places.items():
        window.go(place)
        expect(window.page.locator(".skeleton")).to_have_count(0)
        expect(window.page.locator("body")).to_contain_text(text)
        assert window.page.locator(ODD).count() == 0, place
        assert window.breaches() == [], place


def test_what_the_server_says_of_hostile_input_is_text_too(window: Window) -> None:
    window.go(f"submit?type={TYPE}")
    window.page.get_by_role("button", name="As JSON").click()
    window.page.get_by_label("Payload").fill('{"<img src=x onerror=alert(1)>": 1}')
    window.page.get_by_role("button", name="Submit order").click()
    expect(window.page.get_by_role("alert")).to_contain_text("onerror=alert(1)")
    assert window.page.locator(ODD).count() == 0
    assert window.breaches() == []
