"""URLs and addresses that no URL job may reach, in as many spellings as there are."""

# ruff: noqa: RUF001 - spellings

from __future__ import annotations

from ipaddress import ip_address

import pytest

from howdah.errors import BadInput
from howdah.http.address import denied, unwrapped
from howdah.http.gate import Gate, NotAllowed, Target, is_own
from howdah.http.url import parse

# Spellings that a URL parser, a resolver, or a kernel takes for an address that is not public.
NO_URLS = [
    # of 127.0.0.1, as one number, in other bases, with fewer parts, with leading zeros
    "http://2130706433/", "http://0x7f000001/", "http://017700000001/", "http://127.1/",
    "http://127.0.1/", "http://0x7f.1/", "http://0177.0.0.1/", "http://0x7f.0x0.0x0.0x1/",
    "http://127.0.0.01/", "http://127.000.000.001/", "http://0177.0.01/", "http://0x7f.0.0.1/",
    "http://00000177.0.0.1/", "http://4294967297/", "http://0x17f000001/", "http://127.0.0.1.1/",
    "http://0/", "http://0x0/", "http://00/", "http://0.0/", "http://0.0.0/", "http://127/",
    "http://256.0.0.1/", "http://127.0.0.256/", "http://127.0.0.0x1/", "http://1.2.3.0x/",
    "http://3232235521/", "http://0xc0a80001/", "http://2852039166/", "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/", "http://169.254.43518/", "http://0xA9.0xFE.0xA9.0xFE/",
    "http://169.0xfe.43518/", "http://0300.0250.0.1/", "http://012.0.0.1/", "http://10.1/",
    "http://0xa.1/", "http://167772161/", "http://0xAC100001/",
    # of letters that are folded into digits and dots
    "http://①②⑦.⓪.⓪.①/", "http://127。0。0。1/", "http://１２７.0.0.1/", "http://127．0．0．1/",
    "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", "http://𝟏𝟐𝟕.0.0.1/", "http://１６９.２５４.169.254/", "http://ｌocalhost/",
    "http://0x𝟕f.1/", "http://loc\u00adalhost/", "http://local\u200bhost/", "http://٣.٣.٣.٣/",
    # with parts that one parser reads and another does not
    "http://evil.test@127.0.0.1/", "http://127.0.0.1@evil.test/", "http://a:b@127.0.0.1/",
    "http://evil.test:80@127.0.0.1/", "http://127.0.0.1:80@evil.test/", "http://@127.0.0.1/",
    "http://evil.test\\@127.0.0.1/", "http://127.0.0.1\\@evil.test/", "http:\\\\127.0.0.1/",
    "http:/\\127.0.0.1/", "http:///127.0.0.1/", "http:127.0.0.1/", "http:/127.0.0.1/",
    "//127.0.0.1/", "127.0.0.1/", "http://evil.test#@127.0.0.1:x/ y", "http://evil.test?@x/ /",
    "http://127.0.0.1 .evil.test/", "http://evil.test /", " http://127.0.0.1/",
    "http://127.0.0.1/ ", "http://127.0.0.1\t/", "http://127.0.0.1\n/", "http://127.0.0.1\r\n/",
    "http://127.0.0.1\x00.evil.test/", "http://127.0.0.1%00/", "http://127.0.0.1%2f/",
    "http://%31%32%37.0.0.1/", "http://127.0.0%2e1/", "http://loc%61lhost/", "http://127.0.0.1%20/",
    "http://127.0.0.1:80:80/", "http://127.0.0.1:/", "http://127.0.0.1:0/", "http://127.0.0.1:65536/",
    "http://127.0.0.1:80a/", "http://127.0.0.1:-1/", "http://127.0.0.1: 80/", "http://127.0.0.1:0x50/",
    "http://127.0.0.1;evil.test/", "http://127.0.0.1,evil.test/", "http://127.0.0.1|evil.test/",
    "http://127.0.0.1`/", "http://{127.0.0.1}/", "http://127.0.0.1^/", 'http://127.0.0.1"/',
    "http://<127.0.0.1>/", "http://-localhost/", "http://localhost-/", "http://a..b/", "http://.a/",
    f"http://{'a' * 64}.test/", f"http://{'a.' * 130}test/", "http://", "http://:80/", "http://?x/",
    # of IPv6, with zones, without brackets, half-written
    "http://[::1%25lo]/", "http://[::1%lo]/", "http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/",
    "http://::1/", "http://[::1/", "http://::1]/", "http://[::1]]/", "http://[[::1]]/",
    "http://[127.0.0.1]/", "http://[::ffff:0x7f000001]/", "http://[::1].evil.test/", "http://[]/",
    "http://[::1]evil.test/", "http://evil.test[::1]/", "http://[::1]@evil.test/", "http://[v1.x]/",
    "http://[::ffff:127.1]/", "http://[0:0:0:0:0:0:0:0:1]/", "http://[::g]/", "http://[localhost]/",
    # other schemes
    "file:///etc/passwd", "gopher://127.0.0.1:6379/_x", "ftp://127.0.0.1/", "dict://127.0.0.1:11211/",
    "ldap://127.0.0.1/", "jar:http://127.0.0.1!/", "data:text/plain,x", "javascript:alert(1)",
    "ws://127.0.0.1/", "tftp://127.0.0.1/", "unix:///run/docker.sock", "http+unix://%2frun/",
    "netdoc:///etc/passwd", "view-source:http://127.0.0.1/", "HTTPS:127.0.0.1", "hTTp//127.0.0.1",
    "", "asdf", "/", "?", "#", "http", "http:", "http:/",
]  # fmt: skip

NOT_ALLOWED = [
    "http://127.0.0.1/", "http://127.0.0.1./", "http://127.255.255.254/", "HTTP://127.0.0.1/",
    "http://0.0.0.0/", "http://10.0.0.1/", "http://172.16.0.1/", "http://172.31.255.255/",
    "http://192.168.1.1/", "http://169.254.169.254/latest/meta-data/", "http://100.64.0.1/",
    "http://100.100.100.200/", "http://192.0.0.192/", "http://168.63.129.16/", "http://192.88.99.1/",
    "http://198.18.0.1/", "http://192.0.2.1/", "http://198.51.100.1/", "http://203.0.113.1/",
    "http://224.0.0.1/", "http://239.255.255.250/", "http://240.0.0.1/", "http://255.255.255.255/",
    "http://[::]/", "http://[::1]/", "http://[0:0:0:0:0:0:0:1]/", "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/", "http://[::ffff:a9fe:a9fe]/", "http://[::127.0.0.1]/",
    "http://[::7f00:1]/", "http://[64:ff9b::a9fe:a9fe]/", "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b:1::7f00:1]/", "http://[2002:7f00:1::]/", "http://[2002:a9fe:a9fe::1]/",
    "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/", "http://[2001:db8::1]/", "http://[fc00::1]/",
    "http://[fd00:ec2::254]/", "http://[fd12:3456:789a::1]/", "http://[fe80::1]/",
    "http://[fec0::1]/", "http://[ff02::1]/", "http://[100::1]/", "http://[3fff::1]/",
    "http://[2600:1f00::5efe:7f00:1]/", "http://[2600:1f00::200:5efe:a9fe:a9fe]/",
    "http://[4000::1]/", "http://[5f00::1]/", "http://[::ffff:0:127.0.0.1]/",
    "http://93.184.216.34:22/", "http://93.184.216.34:6379/", "https://93.184.216.34:8443/",
    "http://[2606:2800:220:1::1]:5432/",
]  # fmt: skip

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
    ],
)
def test_what_was_allowed_is_allowed_and_no_more(url, is_covered):
    target = Target("https", "app.internal", 8443, "/jobs/")

    assert target.covers(parse(url)) is is_covered


def test_an_ipv4_address_in_ipv6_is_judged_as_what_it_is():
    assert denied(ip_address("::ffff:8.8.8.8")) is None
    assert unwrapped(ip_address("::ffff:10.0.0.1")) == ip_address("10.0.0.1")
    assert denied(ip_address("::ffff:10.0.0.1")) == "private"


def test_a_password_in_a_url_is_refused_without_being_told():
    with pytest.raises(BadInput, match="user name or password") as refused:
        parse("https://user:s3cret@example.org/")

    assert "s3cret" not in str(refused.value)
