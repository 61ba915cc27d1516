"""URLs and addresses that no URL job may reach, in as many spellings as there are."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from hostile_urls import NO_URLS, NOT_ALLOWED

from howdah.errors import BadInput
from howdah.http.address import denied, unwrapped
from howdah.http.gate import Gate, NotAllowed, Target, is_own
from howdah.http.url import parse
from howdah.settings import Settings
from howdah.worker.urls import Urls, addresses_of

NOBODYS_OWN = Gate(is_own=lambda _: False)


def test_there_are_enough_of_them():
    assert len({*NO_URLS, *NOT_ALLOWED}) >= 150


@pytest.mark.parametrize("url", [pytest.param(u, id=ascii(u)[:40]) for u in NO_URLS])
def test_what_two_parsers_could_read_in_two_ways_is_no_url(url):
    with pytest.raises(BadInput):
        parse(url)


@pytest.mark.parametrize("url", NOT_ALLOWED)
def test_what_is_not_of_the_public_internet_is_not_called(url):
    with pytest.raises(NotAllowed, match="may not be called"):
        NOBODYS_OWN.check(parse(url))


@pytest.mark.parametrize(
    "url",
    [
        "https://93.184.216.34/", "http://8.8.8.8/x?y=http://127.0.0.1/", "https://[2606:4700::1]/",
        "https://example.org/", "https://EXAMPLE.org:443/a%20b?c#d", "https://xn--mnchen-3ya.de/",
        "https://münchen.de/straße", "https://0x7f.example.org/", "https://127.0.0.1.nip.io/",
        "http://[::ffff:8.8.8.8]/",
    ],
)  # fmt: skip
def test_the_public_internet_is_called(url):
    NOBODYS_OWN.check(parse(url))


def test_a_url_has_one_form():
    url = parse("HTTPS://EXAMPLE.org.:443/straße?q=1#fragment")

    assert str(url) == "https://example.org/stra%C3%9Fe?q=1"
    assert parse(str(url)) == url
    assert str(parse("http://[2606:4700:0::1]:8080")) == "http://[2606:4700::1]:8080/"


def test_what_is_logged_of_a_url_tells_nothing_of_its_path():
    url = parse("https://example.org/token/s3cret?key=s3cret")

    assert url.redacted.startswith("https://example.org/…")
    assert "s3cret" not in url.redacted
    assert url.redacted != parse("https://example.org/other").redacted


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["10.0.0.1", "93.184.216.34"],
     ["2606:4700::1", "::ffff:10.0.0.1"]],
)  # fmt: skip
def test_a_name_with_one_address_that_is_denied_is_refused_whole(addresses):
    with pytest.raises(NotAllowed):
        NOBODYS_OWN.check_addresses(parse("https://x.test/"), map(ip_address, addresses))


def test_our_own_addresses_and_the_databases_are_denied_however_public_they_are():
    public = ip_address("93.184.216.34")

    assert NOBODYS_OWN.why_not(public) is None
    assert Gate(is_own=lambda _: True).why_not(public) == "this machine's own"
    reserved = Gate(reserved=frozenset({public}), is_own=lambda _: False)
    assert reserved.why_not(public) == "the database's"
    assert is_own(ip_address("127.0.0.1"))
    assert not is_own(public)


def test_with_the_public_internet_off_nothing_is_called_that_is_not_listed():
    with pytest.raises(NotAllowed, match="not on the list"):
        Gate(public=False).check(parse("https://example.org/"))


@pytest.mark.parametrize(
    ("url", "is_covered"),
    [
        ("https://app.internal:8443/jobs/1?x", True),
        ("https://APP.internal:8443/jobs/", True),
        ("https://app.internal:8443/jobs", True),
        ("https://app.internal:8443/jobs2", False),
        ("https://app.internal:8443/", False),
        ("https://app.internal/jobs/", False),
        ("http://app.internal:8443/jobs/", False),
        ("https://app.internal.evil.test:8443/jobs/", False),
        ("https://app.internal:8443/jobs/../admin", False),
        ("https://app.internal:8443/jobs/%2e%2e/admin", False),
        ("https://app.internal:8443/jobs/..%2fadmin", False),
        ("https://app.internal:8443/jobs/..%5cadmin", False),
        ("https://app.internal:8443//jobs/", False),
        ("https://app.internal:8443/jobs/a;b=1/c%20d/%c3%bc", True),
        ("https://app.internal:8443/jobs/...x/..y", True),
        ("https://app.internal:8443/jobs/?x=/../", True),
        ("https://app.internal:8443/jobs/100%25", True),
        ("https://app.internal:8443/JOBS/1", False),
        ("https://app.internal:8443/jobs/..;/admin", False),
        ("https://app.internal:8443/jobs/..;x=1/admin", False),
        ("https://app.internal:8443/jobs/..%3b/admin", False),
        ("https://app.internal:8443/jobs/;/../admin", False),
        ("https://app.internal:8443/jobs/;x/admin", False),
        ("https://app.internal:8443/jobs/%252e%252e/admin", False),
        ("https://app.internal:8443/jobs/%25252e%25252e/admin", False),
        ("https://app.internal:8443/jobs/%2525252525252e/admin", False),
        ("https://app.internal:8443/jobs/.%2e/admin", False),
        ("https://app.internal:8443/jobs/..%252fadmin", False),
        ("https://app.internal:8443/jobs/..%00/admin", False),
        ("https://app.internal:8443/jobs/..%20/admin", False),
        ("https://app.internal:8443/jobs/.../admin", False),
        ("https://app.internal:8443/jobs/%c0%ae%c0%ae/admin", False),
        ("https://app.internal:8443/jobs/..%c0%afadmin", False),
        ("https://app.internal:8443/jobs/%ef%bc%8e%ef%bc%8e/admin", False),
        ("https://app.internal:8443/jobs/..%ef%bc%8fadmin", False),
        ("https://app.internal:8443/jobs/%u002e%u002e/admin", True),
        ("https://app.internal:8443/jobs/a//b", False),
        ("https://app.internal:8443/jobs/./b", False),
        ("https://app.internal:8443/jobs/..", False),
    ],
)
def test_what_was_allowed_is_allowed_and_no_more(url, is_covered):
    target = Target("https", "app.internal", 8443, "/jobs/")

    assert target.covers(parse(url)) is is_covered


async def test_where_the_database_is_said_to_be_is_not_called(monkeypatch):
    monkeypatch.setenv("PGHOST", "93.184.216.1")
    monkeypatch.setenv("PGHOSTADDR", "93.184.216.2")

    async def resolve(host, port):
        return [ip_address({"db.test": "93.184.216.9", "second.test": "93.184.216.8"}[host])]

    async def found(url):
        return {str(address) for address in await addresses_of(url, resolve)} - {"93.184.216.2"}

    assert await found("postgresql://db.test/x") == {"93.184.216.9"}
    assert await found("postgresql:///x?host=db.test") == {"93.184.216.9"}
    assert await found("postgresql://db.test,second.test/") == {"93.184.216.9", "93.184.216.8"}
    assert await found("postgresql://db.test/?hostaddr=93.184.216.7") == {
        "93.184.216.9", "93.184.216.7",
    }  # fmt: skip
    assert await found(None) == await found("postgresql:///x") == {"93.184.216.1"}
    assert await found("postgresql:///x?host=/run/postgresql") == set()
    assert "93.184.216.2" in map(str, await addresses_of(None, resolve))


def test_an_ipv4_address_in_ipv6_is_judged_as_what_it_is():
    assert denied(ip_address("::ffff:8.8.8.8")) is None
    assert unwrapped(ip_address("::ffff:10.0.0.1")) == ip_address("10.0.0.1")
    assert denied(ip_address("::ffff:10.0.0.1")) == "private"


def test_a_password_in_a_url_is_refused_without_being_told():
    with pytest.raises(BadInput, match="user name or password") as refused:
        parse("https://user:s3cret@example.org/")

    assert "s3cret" not in str(refused.value)


async def test_the_database_behind_its_pooler_is_reserved_too() -> None:
    async def nothing() -> list[Any]:
        return []

    urls = Urls(
        Settings(database_url="postgresql://192.0.2.1/a", listen_url="postgresql://192.0.2.2/a"),
        1,
        nothing,
    )
    await urls.open()
    await urls.close()

    assert {str(address) for address in urls._gate.reserved} >= {"192.0.2.1", "192.0.2.2"}
