"""The files of the dashboard: with which headers they are served, and what is said without them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from api.routes import dashboard
from tests.api.calls import problem


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where the build would be."""
    monkeypatch.setattr(dashboard, "BUILT", tmp_path)
    return tmp_path


def test_without_a_build_one_line_says_how_to_make_it(client: FlaskClient, built: Path) -> None:
    response = client.get("/")
    assert response.status_code == 200
    assert response.mimetype == "text/plain"
    assert "make dashboard" in response.text
    assert response.text.count("\n") == 1


def test_the_page_is_asked_for_anew_and_its_parts_are_kept(
    client: FlaskClient, built: Path
) -> None:
    (built / "index.html").write_text("<!doctype html>")
    (built / "assets").mkdir()
    (built / "assets" / "index-1.js").write_text("1")
    (built / "assets" / "index-1.js.gz").write_bytes(gzip.compress(b"1"))
    page = client.get("/")
    policy = page.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert page.headers["Cache-Control"] == "no-cache"
    etag = page.headers["ETag"]
    assert client.get("/", headers={"If-None-Match": etag}).status_code == 304
    part = client.get("/assets/index-1.js", buffered=True)
    assert (part.text, part.mimetype) == ("1", "text/javascript")
    assert "immutable" in part.headers["Cache-Control"]
    small = client.get("/assets/index-1.js", headers={"Accept-Encoding": "gzip"}, buffered=True)
    assert small.headers["Content-Encoding"] == "gzip"
    assert small.mimetype == "text/javascript"
    assert gzip.decompress(small.data) == b"1"


@pytest.mark.parametrize("name", ["none.js", "..", "..%2findex.html", "%2e%2e", "\0"])
def test_what_is_no_part_of_it_is_not_there(client: FlaskClient, built: Path, name: str) -> None:
    (built / "assets").mkdir()
    (built / "index.html").write_text("<!doctype html>")
    problem(client.get(f"/assets/{name}"), 404)
