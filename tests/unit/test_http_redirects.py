"""Where a redirect may lead, and what goes along."""

from __future__ import annotations

import pytest

from howdah.http.calling import Hop, Hopeless
from howdah.http.request import Request
from howdah.http.url import parse

HEADERS = [
    ("Authorization", "Bearer x"), ("Cookie", "a=b"), ("X-Api-Key", "y"), ("Howdah-Token", "t"),
    ("Howdah-Signature", "t=1,v1=0"), ("Accept", "text/*"), ("Content-Type", "text/plain"),
    ("User-Agent", "u"),
]  # fmt: skip


def hop(url="https://a.test/x?q=1", method="POST", body=b"body"):
    return Hop(Request(url=url, method=method), parse(url), body, HEADERS)


def names(hop):
    return {name for name, _ in hop.headers}


@pytest.mark.parametrize(
    "location",
    [
        "http://a.test/", "http://b.test/", "HTTP://a.test/", "file:///etc/passwd", "gopher://a/_x",
        "ftp://a.test/", "javascript:alert(1)", "data:,x", "http:127.0.0.1", "https://u:p@b.test/",
        "https://0x7f.1/", "https://a.test:99999/", "https://a b/", "https://[::1", "//u@b.test/",
        "https://[fe80::1%25eth0]/", "\\\\b.test\\x", "https://" + "a" * 9000,
    ],
)  # fmt: skip
def test_what_no_job_may_call_no_redirect_leads_to(location):
    with pytest.raises(Hopeless):
        hop().follow(302, location)


@pytest.mark.parametrize(
    ("location", "there"),
    [
        ("/y", "https://a.test/y"), ("y", "https://a.test/y"), ("?q=2", "https://a.test/x?q=2"),
        ("//b.test/y", "https://b.test/y"), ("https://b.test/é", "https://b.test/%C3%A9"),
        ("#f", "https://a.test/x?q=1"), ("../../y", "https://a.test/y"),
    ],
)  # fmt: skip
def test_where_it_leads_is_read_as_any_url_of_ours(location, there):
    followed = hop()

    followed.follow(302, location)

    assert str(followed.url) == there


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_body_is_left_behind_and_its_signature_with_it(status):
    followed = hop()

    followed.follow(status, "/y")

    assert (followed.method, followed.body) == ("GET", None)
    assert names(followed) == {"Authorization", "Cookie", "X-Api-Key", "Accept", "User-Agent"}


@pytest.mark.parametrize(
    "location", ["https://b.test/", "https://a.test:8443/", "https://a.test.evil.test/"]
)
def test_to_another_origin_goes_nothing_that_could_be_secret(location):
    followed = hop(method="GET", body=None)

    followed.follow(307, location)

    assert names(followed) == {"Accept", "Content-Type", "User-Agent"}


def test_a_body_goes_on_to_the_same_origin_only():
    followed = hop()
    followed.follow(308, "/y")

    assert (followed.method, followed.body, len(followed.headers)) == ("POST", b"body", 8)
    with pytest.raises(Hopeless, match="redirects a body to"):
        followed.follow(307, "https://b.test/")
