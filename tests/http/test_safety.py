"""No way into the internal network: canaries, rebinding, redirects, smuggling, secrets."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from dataclasses import dataclass
from uuid import uuid4

import pytest
from naming import NameServer
from serving import Server, reply

from howdah import JobFailed, jobs, signature
from howdah.errors import BadInput, HowdahError
from howdah.http.calling import Caller
from howdah.http.gate import Gate, NotAllowed, Target
from howdah.http.request import read_request
from howdah.http.secrets import Secrets
from howdah.http.url import parse


async def failing(app, url, method="GET", **options):
    with pytest.raises(JobFailed) as failed:
        await app.http.call(url, method=method, **{"max_attempts": 1, **options})
    return failed.value.error


# Canaries


async def test_a_server_on_loopback_is_not_reached_by_any_spelling(app, bare_server, caller):
    port = bare_server.port
    hosts = ["127.0.0.1", "localhost", "localhost.", "[::ffff:127.0.0.1]", "127.1.2.3", "0.0.0.0"]

    said = [await failing(app, f"http://{host}:{port}/") for host in hosts]

    assert all("may not be called" in error for error in said)
    assert bare_server.connections == 0


async def test_a_redirect_into_the_internal_network_is_not_followed(
    app, server, bare_server_2, caller
):
    there = [
        bare_server_2.url(), "http://169.254.169.254/latest/", "http://localhost/",
        "//127.0.0.1:1/",
        "file:///etc/passwd", "gopher://127.0.0.1/", "ftp://127.0.0.1/", "http://[::1]/",
        "http://user:pw@example.org/", "http://0x7f.1/", "javascript:alert(1)", "http://x y/",
    ]  # fmt: skip
    for n, location in enumerate(there):
        server.on(f"/{n}", reply("302 Found", b"", ("Location", location)))

    said = [await failing(app, server.url(f"/{n}"), max_attempts=4) for n in range(len(there))]

    assert all("may not be called" in error for error in said), said
    assert bare_server_2.connections == 0


@pytest.fixture
def bare_server_2():
    server = Server()
    yield server
    server.close()


async def test_what_is_allowed_is_allowed_by_its_path(app, db, bare_server, caller):
    db.execute("select howdah.http_allow(%s)", [bare_server.url("/jobs/")])
    bare_server.on("/jobs/1")

    assert (await app.http.call(bare_server.url("/jobs/1"))).status == 200
    for path in ("/admin", "/jobs/../admin", "/jobs/%2e%2e/admin", "/jobs2"):
        await failing(app, bare_server.url(path))

    assert [hit.path for hit in bare_server.hits] == ["/jobs/1"]


async def test_what_was_just_allowed_is_called_and_what_was_taken_back_is_not(
    app, db, bare_server, caller, eventually, monkeypatch
):
    from howdah.worker import urls

    monkeypatch.setattr(urls, "LOOK_AGAIN", 0.0)
    url = bare_server.on("/")
    assert "howdah http allow" in await failing(app, url)

    db.execute("select howdah.http_allow(%s)", [url])
    assert (await app.http.call(url)).status == 200

    monkeypatch.setattr(urls, "LOOK_EVERY", 0.0)
    db.execute("select howdah.http_disallow(%s)", [url])
    await failing(app, url)


async def test_the_database_is_not_called_even_at_a_public_address(caller):
    gate = caller._parts.urls._gate

    assert {str(address) for address in gate.reserved} <= {"127.0.0.1", "::1"}


# Rebinding


@dataclass(frozen=True, slots=True, kw_only=True)
class Loopback(Gate):
    """On this machine: 127.0.0.9 stands for the public internet, all else is denied."""

    def check(self, url):
        if url.literal is not None:
            self.check_addresses(url, [url.literal])

    def why_not(self, address):
        return None if str(address) == "127.0.0.9" else "private"


@pytest.fixture
async def two_faced():
    """Servers at 127.0.0.9 and, a canary, at 127.0.0.1, on one port."""
    counts = {"127.0.0.9": 0, "127.0.0.1": 0}

    def face(address):
        async def answer(reader, writer):
            counts[address] += 1
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply("200 OK", b"", ("Connection", "close")))
            writer.close()

        return answer

    public = await asyncio.start_server(face("127.0.0.9"), "127.0.0.9", 0, backlog=1024)
    port = public.sockets[0].getsockname()[1]
    canary = await asyncio.start_server(face("127.0.0.1"), "127.0.0.1", port, backlog=1024)
    yield port, counts
    public.close()
    canary.close()


@pytest.mark.parametrize(
    "tries", [pytest.param(300, id="300"), pytest.param(10_000, id="10000", marks=pytest.mark.slow)]
)
async def test_a_name_that_changes_its_address_never_leads_inside(two_faced, tries):
    port, counts = two_faced
    faces = itertools.cycle(
        [["127.0.0.9"], ["127.0.0.1"], ["127.0.0.9", "127.0.0.1"], ["127.0.0.1", "127.0.0.9"]]
    )
    names = NameServer(lambda _: next(faces))
    caller = Caller(gate=Loopback, resolve=names.resolve, secrets=Secrets({}), size=100)
    request, url = read_request(f'{{"url": "http://rebind.test:{port}/"}}')
    refused = 0

    async def attempt():
        nonlocal refused
        try:
            await caller.call(request, url, job=uuid4(), lease=uuid4(), attempt=1)
        except NotAllowed:
            refused += 1

    for _ in range(tries // 50):
        await asyncio.gather(*(attempt() for _ in range(50)))
    await caller.close()
    names.close()

    assert counts["127.0.0.1"] == 0
    assert counts["127.0.0.9"] + refused == tries
    assert min(counts["127.0.0.9"], refused) > tries // 5
    assert names.queries == tries


async def test_what_is_allowed_is_not_for_strangers_to_redirect_to():
    hits = []

    async def inside(reader, writer):
        hits.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(reply("200 OK", b"inside"))
        writer.close()

    async def stranger(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply("302 Found", b"", ("Location", f"http://127.0.0.1:{port}/jobs/")))
        writer.close()

    async with await asyncio.start_server(inside, "127.0.0.1", 0) as listed:
        port = listed.sockets[0].getsockname()[1]
        async with await asyncio.start_server(stranger, "127.0.0.9", port):
            gate = Loopback(allowed=[Target("http", "127.0.0.1", port, "/")])
            caller = Caller(gate=lambda: gate, resolve=None, secrets=Secrets({}), size=1)
            direct = await _called(caller, f"http://127.0.0.1:{port}/")
            with pytest.raises(HowdahError, match="what redirects to it is not"):
                await _called(caller, f"http://127.0.0.9:{port}/")
            await caller.close()

    assert direct.body == b"inside"
    assert len(hits) == 1


async def _called(caller, where):
    request, url = read_request(f'{{"url": "{where}"}}')
    return await caller.call(request, url, job=uuid4(), lease=uuid4(), attempt=1)


async def test_no_socket_is_made_for_a_denied_address_even_if_nobody_else_looked(two_faced):
    port, counts = two_faced
    request, url = read_request(f'{{"url": "http://127.0.0.1:{port}/"}}')

    class Blind(Loopback):
        def check(self, url):
            """Lets everything pass, as a mistake of ours might."""

    caller = Caller(gate=Blind, resolve=None, secrets=Secrets({}), size=1)
    with pytest.raises(HowdahError, match=r"127\.0\.0\.1 is private"):
        await caller.call(request, url, job=uuid4(), lease=uuid4(), attempt=1)
    await caller.close()

    assert counts["127.0.0.1"] == 0


# What is sent


HOSTILE = [
    {"url": "http://x/ HTTP/1.1\r\nHost: y"}, {"url": "http://x/\r\n\r\nGET /2"},
    {"url": "http://x/\n"}, {"method": "GET /2 HTTP/1.1\r\n"}, {"method": "GET\n"},
    {"method": "get"}, {"method": ""}, {"method": "CONNECT"}, {"method": "TRACE"},
    {"headers": {"A": "b\r\nc: d"}}, {"headers": {"A": "b\nc: d"}}, {"headers": {"A": "b\rc"}},
    {"headers": {"A": "b\u0000"}}, {"headers": {"A\r\nB": "c"}}, {"headers": {"A:": "c"}},
    {"headers": {"": "c"}}, {"headers": {"A B": "c"}}, {"headers": {"ä": "c"}},
    {"headers": {"Host": "x"}}, {"headers": {"hOsT": "x"}}, {"headers": {"Content-Length": "3"}},
    {"headers": {"Transfer-Encoding": "chunked"}}, {"headers": {"Connection": "close"}},
    {"headers": {"TE": "trailers"}}, {"headers": {"Upgrade": "h2c"}}, {"headers": {"Expect": "1"}},
    {"headers": {"Proxy-Authorization": "x"}}, {"headers": {"HTTP2-Settings": "x"}},
    {"headers": {"Howdah-Job": "x"}}, {"headers": {"A": {"secret": "../x"}}},
    {"headers": {"A": {"secret": "x", "prefix": "\r\n"}}}, {"headers": {"A": ["b", "c\r\n"]}},
    {"headers": {"A": 1}}, {"headers": []}, {"nobody": "knows"}, {"form": {"a": {"b": 1}}},
    {"base64": "!"}, {"json": 1, "method": "GET"}, {"json": 1, "form": {}, "method": "POST"},
    {"sign": "a b"}, {"retry_on": [0]}, {"max_response": 1 << 40}, {"redirects": 21},
]  # fmt: skip


@pytest.mark.parametrize("args", HOSTILE, ids=range(len(HOSTILE)))
def test_what_would_change_the_framing_is_refused_by_the_worker_too(args):
    import msgspec

    with pytest.raises(BadInput):
        read_request(msgspec.json.encode({"url": "http://example.org/", **args}))


async def test_what_goes_over_the_wire_is_one_request_and_nothing_of_the_environments(
    app, server, caller, monkeypatch, tmp_path
):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    server.on("/set", reply("200 OK", b"", ("Set-Cookie", "a=1; Path=/")))

    await app.http.call(server.url("/set"))
    await app.http.call(server.on("/p?q=%0d%0aX:%20y"), json={"a": 1})

    hit = server.hits[-1]
    assert hit.raw.count(b"HTTP/1.1") == 1
    assert sorted(name.lower() for name, _ in hit.headers) == [
        "accept", "accept-encoding", "content-length", "content-type", "host", "user-agent",
    ]  # fmt: skip
    assert hit.raw.startswith(b"POST /p?q=%0d%0aX:%20y HTTP/1.1\r\n")


async def test_what_belongs_to_one_origin_is_not_sent_to_another(
    app, db, server, bare_server_2, caller
):
    db.execute("select howdah.http_allow(%s)", [bare_server_2.url()])
    bare_server_2.on("/")
    server.on("/302", reply("302 Found", b"", ("Location", bare_server_2.url())))
    server.on("/307", reply("307 Again", b"", ("Location", bare_server_2.url())))
    server.on("/303", reply("303 See", b"", ("Location", "/there")))
    server.on("/there")
    headers = {"Authorization": "Bearer x", "Cookie": "a=b", "X-Key": "y", "Accept": "text/*"}

    await app.http.call(server.url("/302"), json=1, headers=headers)
    await app.http.call(server.url("/303"), json=1, headers=headers)
    with_body = await failing(app, server.url("/307"), "POST", json=1)
    await app.http.call(server.url("/307"))

    elsewhere, here = bare_server_2.hits[0], server.hits[2]
    assert "redirects a body" in with_body
    assert (elsewhere.method, elsewhere.body) == ("GET", b"")
    assert not {"Authorization", "Cookie", "X-Key"} & {name for name, _ in elsewhere.headers}
    assert elsewhere.header("accept") == "text/*"
    assert (here.path, here.method, here.header("authorization")) == ("/there", "GET", "Bearer x")


# Secrets and signatures


async def test_a_secret_is_sent_by_reference_and_stored_nowhere(
    app, db, server, caller, monkeypatch, caplog
):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("HOWDAH_SECRET_STRIPE", "sk_c4n4ry")
    monkeypatch.setenv("HOWDAH_SECRET_STRIPE_FOR", f"https://api.stripe.com {server.url()}")
    header = {"Authorization": {"secret": "stripe", "prefix": "Bearer "}}

    await app.http.call(server.on("/"), headers=header)
    unknown = await failing(app, server.url("/"), headers={"A": {"secret": "other"}})
    monkeypatch.setenv("HOWDAH_SECRET_STRIPE_FOR", "https://api.stripe.com")
    elsewhere = await failing(app, server.url("/?token=c4n4ry"), headers=header)
    monkeypatch.setenv("HOWDAH_SECRET_STRIPE_FOR", "http://example.org")
    in_clear = await failing(app, "http://example.org/", headers=header)

    assert server.hits[0].header("authorization") == "Bearer sk_c4n4ry"
    assert "knows no secret 'other'" in unknown
    assert "may not be sent to" in elsewhere
    assert "not https" in in_clear
    stored = db.execute(
        "select string_agg(f::text, '') || (select string_agg(a::text, '') from _howdah.attempt a)"
        " from _howdah.finished f"
    ).fetchone()[0]
    assert "sk_c4n4ry" not in stored
    assert "c4n4ry" not in caplog.text


def test_secrets_may_lie_in_a_folder(tmp_path):
    (tmp_path / "stripe").write_text("sk\n")
    (tmp_path / "stripe.for").write_text("https://api.stripe.com\n")
    secrets = Secrets({"HOWDAH_SECRETS": str(tmp_path)})

    assert secrets.to_send("stripe", parse("https://api.stripe.com/v1")) == "sk"
    with pytest.raises(BadInput, match="HOWDAH_SECRET_STRIPE_FOR=https://evil"):
        secrets.to_send("stripe", parse("https://evil.test/"))


def test_who_says_where_a_secret_may_go_says_what_it_may_sign():
    there, evil = parse("https://app.test/hook"), parse("https://evil.test/")
    bound = Secrets({"HOWDAH_SECRET_HOOK": "k", "HOWDAH_SECRET_HOOK_FOR": "https://app.test"})

    assert bound.to_sign("hook", there) == "k"
    assert Secrets({"HOWDAH_SECRET_HOOK": "k"}).to_sign("hook", evil) == "k"
    with pytest.raises(BadInput, match="may not be sent to https://evil"):
        bound.to_sign("hook", evil)


async def test_a_signature_is_not_given_to_whom_the_secret_is_not_for(
    app, server, caller, monkeypatch
):
    monkeypatch.setenv("HOWDAH_SECRET_HOOK", "k3y")
    monkeypatch.setenv("HOWDAH_SECRET_HOOK_FOR", "https://app.test")

    said = await failing(app, server.on("/"), sign="hook")

    assert "may not be sent to" in said
    assert server.connections == 0


async def test_a_receiver_knows_whom_a_call_comes_from(app, server, caller, monkeypatch):
    monkeypatch.setenv("HOWDAH_SECRET_HOOK", "k3y")

    await app.http.call(server.on("/"), json={"a": 1}, sign="hook")

    [hit] = server.hits
    signed = signature.verify(dict(hit.headers), hit.body, ["old", "k3y"])
    assert (signed.attempt, len(signed.token)) == (1, 32)
    assert (await app.run(jobs.get(signed.job))).state == "succeeded"


GIVEN = {"job": uuid4(), "lease": uuid4(), "attempt": 1}


@pytest.mark.parametrize(
    ("change", "body", "secret", "now"),
    [
        ({}, b"other", "k", 1000), ({}, b"body", "wrong", 1000), ({}, b"body", "", 1000),
        ({}, b"body", "k", 1301), ({}, b"body", "k", 699),
        ({"Howdah-Job": str(uuid4())}, b"body", "k", 1000),
        ({"Howdah-Token": "0" * 32}, b"body", "k", 1000),
        ({"Howdah-Attempt": "2"}, b"body", "k", 1000),
        ({"Howdah-Signature": "t=1000,v1="}, b"body", "k", 1000),
        ({"Howdah-Signature": ""}, b"body", "k", 1000),
        ({"Howdah-Attempt": "x"}, b"body", "k", 1000),
        ({"Howdah-Attempt": "1" * 5000}, b"body", "k", 1000),
        ({"Howdah-Job": "x"}, b"body", "k", 1000),
    ],
)  # fmt: skip
def test_what_was_not_signed_so_is_refused(change, body, secret, now):
    headers = dict(signature.headers("k", body=b"body", now=1000, **GIVEN))
    assert signature.verify(headers, b"body", "k", now=1299).job == GIVEN["job"]

    with pytest.raises(signature.BadSignature):
        signature.verify({**headers, **change}, body, secret, now=now)


def test_the_end_of_a_token_cannot_pass_for_the_beginning_of_a_body():
    headers = dict(signature.headers("k", body=b"head.tail", now=1000, **GIVEN))
    shifted = {**headers, "Howdah-Token": f"{headers['Howdah-Token']}.head"}
    backwards = {**headers, "Howdah-Token": headers["Howdah-Token"][:-1]}

    for changed, body in ((shifted, b"tail"), (backwards, b"head.tail")):
        with pytest.raises(signature.BadSignature):
            signature.verify(changed, body, "k", now=1000)


def test_every_attempt_has_a_token_of_its_own():
    jobs_and_leases = [
        (uuid4(), GIVEN["lease"]),
        (GIVEN["job"], uuid4()),
        tuple(GIVEN.values())[:2],
    ]

    tokens = {
        dict(signature.headers("k", job=job, lease=lease, attempt=1, body=b""))["Howdah-Token"]
        for job, lease in jobs_and_leases
    }

    assert len(tokens) == 3  # though jobs that were claimed together share a lease


# What comes back


async def test_what_a_server_says_is_kept_as_bytes_and_harms_nobody(app, db, server, caller):
    page = b"<script>alert(1)</script>\x00\xff"
    server.on("/", reply("200 OK", page, ("X-A", "<svg/onload=1>"), ("X-B", "\xff".encode())))
    server.on("/many", reply("200 OK", b"", *[(f"X-{n}", "1") for n in range(100_000)]))

    answer = await app.http.call(server.url("/"))
    many = await failing(app, server.url("/many"))

    assert answer.body == page
    assert answer.header("x-a") == "<svg/onload=1>"
    assert "makes no sense" in many


async def test_what_a_server_sends_unasked_is_nobodys_answer(app, server, caller):
    async def two_at_once(_):
        yield reply("200 OK", b"mine") + reply("200 OK", b"planted")

    async def one_later(_):
        yield reply("200 OK", b"mine")
        await asyncio.sleep(0.05)
        yield reply("200 OK", b"planted")
        await asyncio.sleep(1)

    server.on("/ok", reply("200 OK", b"asked for"))
    server.on("/0", two_at_once)
    server.on("/1", one_later)
    bodies = []
    for path in ("/0", "/1"):
        assert (await app.http.call(server.url(path))).body == b"mine"
        await asyncio.sleep(0.1)
        bodies.append((await app.http.call(server.url("/ok"))).body)

    assert bodies == [b"asked for"] * 2


async def test_ours_are_the_words_in_which_an_error_is_told(app, server, caller):
    url = server.on("/hook/s3cret?key=s3cret", reply("500 No"))

    said = await failing(app, url, fail_on=["5xx"])

    assert "answered 500" in said
    assert "s3cret" not in said
    assert issubclass(NotAllowed, HowdahError)
    assert os.environ.get("HOWDAH_SECRET_STRIPE") is None
