"""What may be a URL, a ref, an entry; nothing else reaches git or the sandbox."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.sandbox.address import Repository, allowed, parse
from jobs.sandbox.checkout import check_ref
from jobs.sandbox.errors import (
    HostNotAllowed,
    MalformedRequest,
    MalformedUrl,
    OwnerNotAllowed,
)
from jobs.sandbox.program import check_entry

HOSTILE = [
    "",
    "https://github.com",
    "https://github.com/ana",
    "https://github.com/ana/",
    "https://github.com/ana/..",
    "https://github.com/../etc",
    "https://github.com/ana/sum/tree/main",
    "https://github.com/ana/sum?x=1",
    "https://github.com/ana/sum#x",
    "https://token@github.com/ana/sum",
    "https://user:secret@github.com/ana/sum",
    "https://github.com@evil.example/ana/sum",
    "https://github.com\\@evil.example/ana/sum",
    "https://github.com/ana/sum\n",
    "https://github.com/ana/sum\0",
    "https://github.com/ana/s%75m",
    "https://g\u0131thub.com/ana/sum",
    "https://github.com:0/ana/sum",
    "https://github.com:99999/ana/sum",
    "https://github.com/-upload-pack=x/sum",
    "https://github.com/ana/--upload-pack=touch",
    "https://github.com/ana/.git",
    "https://a..b/ana/sum",
    "https://[::1]/ana/sum",
    "--upload-pack=touch /canary",
    "-oProxyCommand=x",
    "ext::sh -c touch% /canary",
    "EXT::sh -c x",
    "file:///etc",
    "/etc",
    "../x",
    "ssh://git@github.com/ana/sum",
    "git@github.com:ana/sum.git",
    "git://github.com/ana/sum",
    "ftp://github.com/ana/sum",
    "javascript:alert(1)",
    "https://github.com/ana/sum " + "x" * 400,
]


@pytest.mark.parametrize(
    "text",
    [
        "https://github.com/ana/sum",
        "https://github.com/ana/sum/",
        "https://github.com/ana/sum.git",
        "https://github.com/ana/sum.git/",
        "HTTPS://GitHub.com/ana/sum",
        "https://github.com/ana/sum.GIT",
    ],
)
def test_one_repository_has_one_url(text: str) -> None:
    repository = allowed(parse(text), ["github.com"], ["ana"])
    assert repository.url == "https://github.com/ana/sum.git"


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_no_repository_is_refused(text: str) -> None:
    with pytest.raises(MalformedUrl, match="write https://HOST/OWNER/REPOSITORY") as caught:
        parse(text)
    assert "secret" not in str(caught.value)


PIECES = st.sampled_from(
    [
        *"/:@?#%\\-.~\0\n é",
        *("https", "http", "ext", "file", "://", "::", "github.com", "ana", "sum", ".git"),
        *("..", "--upload-pack=", "127.0.0.1", "[::1]", "%2e", "user:pass@", "\u0131", "\u212a"),
    ]
)


@given(st.one_of(st.text(), st.lists(PIECES, max_size=12).map("".join)))
def test_whatever_is_written_only_plain_parts_come_out(text: str) -> None:
    try:
        repository = parse(text)
    except MalformedUrl:
        return
    rebuilt = re.fullmatch(
        r"https?://[a-z0-9][a-z0-9.-]*(:[0-9]+)?/[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*\.git",
        repository.url,
        re.ASCII,
    )
    assert rebuilt
    assert ".." not in repository.url
    assert parse(repository.url) == repository


@given(st.one_of(st.text(), st.lists(PIECES, max_size=8).map("".join)))
def test_a_ref_is_no_option_and_no_refspec(text: str) -> None:
    try:
        check_ref(text)
    except MalformedRequest:
        return
    assert re.fullmatch(r"[\w][\w./+-]*", text, re.ASCII)
    assert ":" not in text
    assert ".." not in text


@given(st.one_of(st.text(), st.lists(PIECES, max_size=8).map("".join)))
def test_an_entry_stays_within_the_project(text: str) -> None:
    try:
        entry = check_entry(text + ".py")
    except MalformedRequest:
        return
    assert not entry.startswith(("/", "-"))
    assert ".." not in entry.split("/")


def test_only_allowed_hosts_and_owners() -> None:
    repository = Repository("https", "github.com", "ana", "sum")
    with pytest.raises(HostNotAllowed, match="CAPATAZ_GITHUB_HOSTS"):
        allowed(repository, ["codeberg.org"], ["ana"])
    with pytest.raises(HostNotAllowed):
        allowed(repository._replace(host="github.com.evil.example"), ["github.com"], ["*"])
    with pytest.raises(HostNotAllowed):
        allowed(repository._replace(host="github.com:8443"), ["github.com"], ["*"])
    with pytest.raises(OwnerNotAllowed, match=r"none yet.*CAPATAZ_GITHUB_OWNERS"):
        allowed(repository, ["github.com"], [])
    with pytest.raises(OwnerNotAllowed):
        allowed(repository._replace(owner="ana2"), ["github.com"], ["ana"])
    assert allowed(repository, ["GitHub.com"], ["ANA"]) == repository
    assert allowed(repository, ["github.com"], ["*"]) == repository


def test_plain_http_only_where_the_operator_wrote_it() -> None:
    repository = parse("http://forge.example:8080/ana/sum")
    with pytest.raises(MalformedUrl, match="use https"):
        allowed(repository, ["forge.example:8080"], ["ana"])
    assert allowed(repository, ["http://forge.example:8080"], ["ana"]).scheme == "http"
    secure = parse("https://forge.example:8080/ana/sum")
    assert allowed(secure, ["http://forge.example:8080"], ["ana"]).scheme == "https"
