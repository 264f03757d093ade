"""Types of jobs that look like somebody's own, and a site at work with them, to be looked at."""

from __future__ import annotations

import hashlib
import random
import time

from jobs import Context, Fail, Retry, job
from tests.browser.window import Window
from tests.crash.harness import Site

JOBS = "tests.browser.life"
PAGES = (
    *("overview", "orders", "orders/ID", "orders?status=failed", "submit", "submit?from=ID"),
    *("queues", "workers", "schedules", "schedules/nightly-report", "schedules/~new", "events"),
)


@job("thumbnail", queue="images")
def thumbnail(context: Context, picture: str, width: int = 320) -> dict[str, object]:
    """Make a small picture of a large one."""
    until = time.monotonic() + width / 1000
    rounds = 0
    while time.monotonic() < until:
        hashlib.sha256(picture.encode() * 1000).digest()
        rounds += 1
    context.log.info("%s is %d pixels wide now", picture, width)
    return {"picture": picture, "width": width, "rounds": rounds}


@job("mail", queue="mail", priority="high", max_attempts=3)
def mail(context: Context, to: str, subject: str) -> dict[str, str]:
    """Send a letter."""
    context.wait(0.15)
    if "nobody" in to:
        raise Fail(f"no such mailbox: {to}")
    if "later" in to and context.attempt == 1:
        raise Retry(after=1)
    return {"sent": to, "subject": subject}


@job("report", isolation="process", timeout=120)
def report(context: Context, month: str, pages: int = 20) -> dict[str, object]:
    """Write the report of a month."""
    for page in range(pages):
        print(f"page {page + 1} of {pages}")
        context.progress(100 * (page + 1) / pages, f"page {page + 1}")
        context.wait(0.25)
    return {"month": month, "pages": pages}


def begin(site: Site, window: Window) -> str:
    """Managers, a schedule, and some orders of each kind; the id of one that failed."""
    for _ in range(2):
        site.manager(jobs=JOBS, max_workers=4)
    plan = {
        "expression": "30 2 * * MON-FRI",
        "timezone": "Europe/Madrid",
        "type": "report",
        "payload": {"month": "2030-01", "pages": 40},
    }
    window.ask("PUT", "/api/v1/schedules/nightly-report", plan)
    letter = {"expression": "@hourly", "type": "mail", "payload": _LETTER, "enabled": False}
    window.ask("PUT", "/api/v1/schedules/hourly-letter", letter)
    failed = window.submit("mail", {**_LETTER, "to": "nobody@example.org"}, tags=["invoice"])
    window.submit("report", {"month": "2030-02", "pages": 400})
    window.submit("thumbnail", {"picture": "later.jpg"}, delay=3600)
    site.ends(failed)
    return failed


_LETTER = {"to": "ana@example.org", "subject": "Your invoice"}


def live(window: Window, seconds: float) -> None:
    """Submit this and that, more or less evenly, for so long."""
    chance = random.Random(7)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        kind = chance.choice(["thumbnail"] * 5 + ["mail"] * 6 + ["report"])
        if kind == "thumbnail":
            payload = {"picture": f"{chance.randrange(10**4)}.jpg", "width": 100}
            window.submit(kind, payload, tags=["shop"])
        elif kind == "mail":
            who = chance.choices(["ana", "later", "nobody"], [20, 3, 1])[0]
            window.submit(kind, {**_LETTER, "to": f"{who}@example.org"}, tags=["invoice"])
        else:
            window.submit(kind, {"month": "2030-01", "pages": chance.randrange(4, 12)})
        time.sleep(chance.uniform(0.05, 0.5))
