"""The page of roles says what the table of the API does."""

from __future__ import annotations

from api import create_app
from api.access import TABLE
from ledger.tokens import ADMIN, CUSTOMER, OPERATOR, VIEWER
from settings import Settings
from tests.docs.pages import prose
from tests.docs.test_pages import requests
from tests.house.project import ROOT

HEAD = "| request | viewer | customer | operator, admin |\n|---|---|---|---|\n"
COLUMNS = ((VIEWER,), (CUSTOMER,), (OPERATOR, ADMIN))


def test_the_table_of_roles_is_that_of_the_api() -> None:
    lines = prose(ROOT / "docs" / "access.md").partition(HEAD)[2].partition("\n\n")[0]
    shown: dict[tuple[str, str], frozenset[str] | None] = {}
    for line in lines.splitlines():
        named, *marks = (cell.strip() for cell in line.strip("|").split("|"))
        given = {role for mark, roles in zip(marks, COLUMNS, strict=True) if mark for role in roles}
        for request in requests(named):
            assert request not in shown, f"{request} stands there twice"
            shown[request] = None if "open" in marks else frozenset(given)
    served = {
        (method, rule.rule): TABLE[rule.endpoint]
        for rule in create_app(Settings()).url_map.iter_rules()
        if rule.endpoint in TABLE
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert shown == served
