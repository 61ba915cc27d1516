"""What is sent, what is answered, what is tried again: on real sockets."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import subprocess
import time
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address
from pathlib import Path
from uuid import uuid4

import pytest
from serving import reply

from howdah import JobFailed, jobs
from howdah.http import breaker
from howdah.http.calling import Caller, Hopeless, NetworkError
from howdah.http.gate import Gate, Target
from howdah.http.request import read_request
from howdah.http.secrets import Secrets
from howdah.http.url import parse
from howdah.settings import Settings
from howdah.worker.urls import Urls


async def bytes_forever():
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    while True:
        yield b"1\r\nx\r\n"
        await asyncio.sleep(0.02)


async def headers_forever():
    yield b"HTTP/1.1 200 OK\r\n"
    while True:
        yield b"X-Filler: " + b"x" * 1000 + b"\r\n"


async def much(size):
    yield f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".encode()  # noqa: F541
    block = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    for _ in range(size // 65536):
        yield block


async def test_a_call_from_python_gives_the_answer(app, server, caller):
    url = server.on("/", reply("201 Created", b'{"n":1}', ("X-A", "1"), ("x-a", "2")))

    answer = await app.http.call(url, json={"a": 1}, headers={"X-One": "é", "X-Two": ["1", "2"]})

    [hit] = server.hits
    assert (answer.status, answer.json(), answer.header("X-A"), answer.attempts) == (
        201, {"n": 1}, "1", 1,
    )  # fmt: skip
    assert [v for k, v in answer.headers if k.lower() == "x-a"] == ["1", "2"]
    assert (hit.method, hit.body) == ("POST", b'{"a":1}')
    assert [v for k, v in hit.headers if k == "X-Two"] == ["1", "2"]


async def test_many_kinds_of_bodies_arrive_whole(app, server, caller):
    everything = bytes(range(256)) * 10
    raw = zlib.compressobj(wbits=-15)
    answers = {
        "/204": (reply("204 No Content"), b""),
        "/empty": (reply("200 OK"), b""),
        "/bytes": (reply("200 OK", everything), everything),
        "/gzip": (
            reply("200 OK", gzip.compress(everything), ("Content-Encoding", "gzip")), everything,
        ),
        "/two": (
            reply(
                "200 OK", gzip.compress(b"a") + gzip.compress(b"b"), ("Content-Encoding", "gzip")
            ),
            b"ab",
        ),
        "/deflate": (
            reply("200 OK", zlib.compress(everything), ("Content-Encoding", "deflate")), everything,
        ),
        "/raw": (
            reply(
                "200 OK", raw.compress(everything) + raw.flush(), ("Content-Encoding", "deflate")
            ),
            everything,
        ),
        "/chunked": (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
            b"abcd",
        ),
    }  # fmt: skip
    for path, (answer, _) in answers.items():
        server.on(path, answer)

    found = await asyncio.gather(*(app.http.call(server.url(path)) for path in answers))

    assert [answer.body for answer in found] == [body for _, body in answers.values()]


async def test_a_long_url_and_basic_auth_and_a_chain_of_redirects(app, server, caller):
    long = server.on(f"/long?{'q' * 3000}")
    for n in range(3):
        server.on(f"/{n}", reply("302 Found", b"", ("Location", f"/{n + 1}")))
    server.on("/3", reply("200 OK", b"there"))

    assert (await app.http.call(long, headers={"Authorization": "Basic YTpi"})).status == 200
    answer = await app.http.call(server.url("/0"))

    assert server.hits[0].header("authorization") == "Basic YTpi"
    assert len(server.hits[0].path) > 3000
    assert (answer.body, answer.url) == (b"there", server.url("/3"))


async def failing(app, url, **options):
    with pytest.raises(JobFailed) as failed:
        await app.http.call(url, **{"max_attempts": 1, **options})
    return failed.value


async def test_what_cannot_be_is_failed_with_the_reason(app, server, caller, closed_port, db):
    db.execute("select howdah.http_allow(%s)", [f"http://127.0.0.1:{closed_port}/"])
    async with await asyncio.start_server(talk_clear_text, "127.0.0.1", 0) as clear:
        await _refuses_in_words(app, db, server, closed_port, clear.sockets[0].getsockname()[1])


async def talk_clear_text(_, writer):
    writer.write(b"HTTP/1.1 400 Bad\r\n\r\n")
    writer.close()


async def _refuses_in_words(app, db, server, closed_port, clear_port):
    db.execute("select howdah.http_allow(%s)", [f"https://127.0.0.1:{clear_port}/"])
    server.on("/loop", reply("302 Found", b"", ("Location", "/loop")))
    server.on("/silent", b"")
    server.on("/nonsense", b"SSH-2.0-OpenSSH\r\n")
    server.on("/099", reply("099 Odd"))
    began = time.monotonic()

    errors = {
        "refused": await failing(app, f"http://127.0.0.1:{closed_port}/"),
        "loop": await failing(app, server.url("/loop"), redirects=10),
        "silent": await failing(app, server.url("/silent")),
        "nonsense": await failing(app, server.url("/nonsense")),
        "099": await failing(app, server.url("/099")),
        "tls": await failing(app, f"https://127.0.0.1:{clear_port}/"),
        "nobody": await failing(app, "http://no-such-host.invalid/"),
    }

    said = {key: error.error for key, error in errors.items()}
    assert "ConnectionRefusedError" in said["refused"]
    assert "redirects more than 10 times" in said["loop"]
    assert "closed the connection without an answer" in said["silent"]
    assert "makes no sense" in said["nonsense"]
    assert "99 is no status" in said["099"]
    assert "TLS failed" in said["tls"]
    assert "no-such-host.invalid cannot be looked up" in said["nobody"]
    assert (await app.http.call(server.on("/ok"))).status == 200
    assert time.monotonic() - began < 4


async def test_hopeless_jobs_are_not_tried_again_and_others_go_on(app, server, caller):
    hopeless = [
        await app.enqueue(jobs_of(url))
        for url in ("asdf", "file:///etc/passwd", "http://127.0.0.1/", "http://[::1]:80/")
    ]
    others = await asyncio.gather(*(app.http.call(server.on("/ok")) for _ in range(50)))

    ends = []
    for job_id in hopeless:
        with pytest.raises(JobFailed):
            await app.result(job_id, timeout=5)
        ends.append(await app.run(jobs.get(job_id)))
    assert [end.attempt for end in ends] == [1, 1, 1, 1]
    assert "Invalid URL 'asdf'" in ends[0].error
    assert "howdah http allow http://127.0.0.1/" in ends[2].error
    assert len(others) == 50


def jobs_of(url):
    """As a job comes that went past the door for URL jobs."""
    from howdah import Job
    from howdah.job import make_options

    return Job("http", f'{{"url": "{url}"}}', make_options(queue="http"))


async def test_a_busy_server_is_asked_again_when_it_said(app, server, caller):
    asked = []

    def busy_once(hit):
        asked.append(time.monotonic())
        if len(asked) == 1:
            return reply("503 Busy", b"", ("Retry-After", "2"))
        return reply("200 OK", b"now")

    answer = await app.http.call(server.on("/", busy_once), wait=10)

    assert (answer.body, answer.attempts) == (b"now", 2)
    assert 2.0 <= asked[1] - asked[0] < 3.0


@pytest.mark.parametrize(
    ("after", "least", "most"),
    [("86400", 3590, 3601), ("@90", 80, 91), ("nonsense", 2, 4), ("-1", 2, 4)],
)
async def test_the_time_that_a_server_asks_for_is_bounded(
    app, db, server, caller, eventually, after, least, most
):
    if after.startswith("@"):
        moment = datetime.now(UTC) + timedelta(seconds=int(after[1:]))
        after = format_datetime(moment, usegmt=True)
    url = server.on("/", reply("429 Slow", b"", ("Retry-After", after)))

    job_id = await app.enqueue(app.http.job("POST", url, json={}))
    await eventually(lambda: _state(db, job_id) == "scheduled")

    wait = db.execute(
        "select extract(epoch from run_at - now()) from howdah.jobs where id = %s", [job_id]
    ).fetchone()[0]
    assert least - 1 <= wait <= most
    assert db.execute("select count(*) from howdah.http_responses").fetchone() == (0,)


def _state(db, job_id):
    return db.execute("select state from howdah.jobs where id = %s", [job_id]).fetchone()[0]


async def test_other_statuses_are_answers_unless_the_caller_wants_them_to_fail(
    app, db, server, caller, eventually
):
    missing, broken = server.on("/404", reply("404 No")), server.on("/500", reply("500 No"))

    assert (await app.http.call(missing)).status == 404
    assert (await app.http.call(broken, method="POST")).status == 500
    failed = await failing(app, missing, fail_on=["4xx"], max_attempts=4)
    not_again = await failing(app, broken, method="POST", fail_on=[500], max_attempts=4)
    again = await app.enqueue(app.http.job("GET", broken, fail_on=[500]))
    asked = await app.enqueue(app.http.job("POST", broken, fail_on=[500], idempotent=True))

    assert failed.result == {"status": 404}
    assert "answered 404 Not Found" in failed.error
    assert (await app.run(jobs.get(failed.job_id))).attempt == 1
    assert (await app.run(jobs.get(not_again.job_id))).attempt == 1
    await eventually(lambda: {_state(db, again), _state(db, asked)} == {"scheduled"})


async def test_a_call_that_may_be_made_once_is_made_once(app, db, server, caller):
    failed = await failing(
        app, server.on("/", reply("503 Busy")), method="POST", delivery="at_most_once",
        max_attempts=4,
    )  # fmt: skip

    assert len(server.hits) == 1
    assert "503" in failed.error


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
async def test_an_attempt_sends_its_request_once_whatever_the_library_would_like(
    app, server, caller, method
):
    url = server.on("/", b"")

    for delivery in ("at_most_once", "at_least_once"):
        await failing(app, url, method=method, delivery=delivery)

    assert len(server.hits) == 2


async def test_a_connection_that_was_closed_while_it_was_idle_costs_no_attempt(app, server, caller):
    async def once(_):
        yield reply("200 OK", b"kept")  # and closes the connection a moment later
        await asyncio.sleep(0.05)

    for _ in range(2):
        assert (await app.http.call(server.on("/1", once))).status == 200
        answer = await app.http.call(server.on("/2"), method="PUT", json=1, max_attempts=1)
        assert (answer.status, answer.attempts) == (200, 1)


def test_only_what_was_reused_and_may_be_repeated_is_sent_again():
    async def reset(reader, writer):
        """Answers the first request of a connection, and hangs up on the second."""
        for answer in (reply("200 OK", b"1"), b""):
            requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
        writer.close()

    async def calls(once):
        requests.clear()
        async with await asyncio.start_server(reset, "127.0.0.1", 0) as there:
            port = there.sockets[0].getsockname()[1]
            gate = Gate(allowed=[Target("http", "127.0.0.1", port, "/")])
            caller = Caller(gate=lambda: gate, resolve=None, secrets=Secrets({}), size=9)
            request, url = read_request(f'{{"url": "http://127.0.0.1:{port}/"}}')
            try:
                for _ in range(2):
                    await caller.call(
                        request, url, job=uuid4(), lease=uuid4(), attempt=1, once=once
                    )
            except NetworkError:
                return "failed", len(requests)
            finally:
                await caller.close()
            return "succeeded", len(requests)

    requests = []
    assert asyncio.run(calls(once=False)) == ("succeeded", 3)
    assert asyncio.run(calls(once=True)) == ("failed", 2)


async def test_the_time_of_an_attempt_does_not_count_while_it_waits_for_room(app, server, calling):
    server.on("/", after=0.3)
    async with calling(http_per_host=1):
        jobs = [app.http.job("GET", server.url("/"), timeout=1, max_attempts=1) for _ in range(5)]
        ids = await app.enqueue_many(jobs)
        answers = [await app.http.answer(job_id, timeout=10) for job_id in ids]

    assert [answer.status for answer in answers] == [200] * 5
    assert server.peak == 1


async def test_a_host_keeps_its_limit_however_many_others_are_called():
    async def nothing():
        return []

    urls = Urls(Settings(http_per_host=2), 10, nothing)
    busy = parse("https://busy.example/")
    async with urls._room(busy):
        for n in range(10_001):
            async with urls._room(replace(busy, host=f"h{n}.example")):
                pass
        async with urls._room(busy):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02), urls._room(busy):
                    pass
    assert not urls._hosts


async def test_jobs_of_a_host_that_does_not_answer_wait_uncharged_until_it_does(
    app, db, server, calling, eventually
):
    url, other = server.on("/", b""), server.url("/ok").replace("127.0.0.1", "localhost")
    db.execute("select howdah.http_allow(%s)", [other])
    server.on("/ok")

    async with calling(http_breaker=3) as worker:
        for _ in range(3):
            await failing(app, url)
        waiting = await app.enqueue_many([app.http.job("GET", url, max_attempts=1)] * 5)
        await eventually(lambda: {_state(db, each) for each in waiting} == {"scheduled"})
        asked = len(server.hits)
        assert (await app.http.call(other)).status == 200
        server.on("/")
        worker._parts.urls._breaker.answered(server.url()[:-1])  # sooner than in five seconds
        for each in waiting:
            db.execute("select howdah.run_now(%s)", [each])
        ends = [await app.http.answer(each, timeout=10) for each in waiting]

    assert asked == 3
    assert [(end.status, end.attempts) for end in ends] == [(200, 1)] * 5


async def test_after_a_trial_that_was_cancelled_the_next_call_tries_again(
    app, server, calling, eventually, monkeypatch
):
    monkeypatch.setattr(breaker, "FIRST", 0.1)
    url, slow = server.on("/", b""), server.on("/slow", after=30)

    async with calling(http_breaker=3):
        for _ in range(3):
            await failing(app, url)
        trial = await app.enqueue(app.http.job("GET", slow, max_attempts=1))
        await eventually(lambda: "/slow" in {hit.path for hit in server.hits})
        await app.run(jobs.cancel(trial))
        server.on("/")
        answer = await app.http.call(url, wait=10)

    assert answer.status == 200


async def test_an_endless_answer_ends_with_its_time_and_endless_headers_at_once(
    app, server, caller
):
    server.on("/slow", lambda hit: bytes_forever())
    server.on("/headers", lambda hit: headers_forever())

    slow = await failing(app, server.url("/slow"), timeout=1)
    headers = await failing(app, server.url("/headers"), timeout=10)

    assert "timed out after 1 s" in slow.error
    assert "makes no sense" in headers.error


def _peak():
    """The most memory that was resident since `_forget_peak`."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _forget_peak():
    Path("/proc/self/clear_refs").write_text("5")


def _piece(wbits):
    """The beginning of a packed stream, and a piece of it that is a MiB of zeros, ever again."""
    pack = zlib.compressobj(wbits=wbits)
    begins = pack.compress(b"") + pack.flush(zlib.Z_FULL_FLUSH)
    return begins, pack.compress(bytes(1 << 20)) + pack.flush(zlib.Z_FULL_FLUSH)


GIGABYTES = 10
BOMBS = {
    "gzip": _piece(31), "deflate": _piece(15), "deflate ": _piece(-15),  # unwrapped
    "x-gzip": (b"", gzip.compress(bytes(1 << 20))),  # many members
    "identity": (b"", bytes(1 << 20)),
}  # fmt: skip


async def bomb(kind, sent):
    begins, piece = BOMBS[kind]
    length = len(begins) + GIGABYTES * 1024 * len(piece)
    yield (
        f"HTTP/1.1 200 OK\r\nContent-Encoding: {kind}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()
    yield begins
    for n in range(GIGABYTES * 1024):
        sent[kind] = n
        yield piece


async def test_ten_gigabytes_end_the_job_at_once_and_take_no_memory(app, server, caller):
    sent = {}
    for n, kind in enumerate(BOMBS):
        server.on(f"/{n}", lambda hit, kind=kind: bomb(kind, sent))
    await app.http.call(server.on("/warm"))
    began, before = time.monotonic(), _forget_peak() or _peak()

    errors = [(await failing(app, server.url(f"/{n}"), max_attempts=4)).error for n in range(5)]

    assert all("body too large" in error for error in errors)
    assert _peak() - before < 20 << 20
    assert time.monotonic() - began < 10
    assert max(sent.values()) < GIGABYTES * 1024 // 2  # most lies in buffers of the kernel


async def test_what_is_packed_twice_or_in_ways_that_were_not_asked_for_is_left_as_it_came(
    app, server, caller
):
    packed = gzip.compress(gzip.compress(bytes(1 << 20)))
    kinds = ["gzip, gzip", "gzip,gzip", "deflate, gzip", "br", "zstd", "compress", "identity"]
    for n, kind in enumerate(kinds):
        server.on(f"/{n}", reply("200 OK", packed, ("Content-Encoding", kind)))
    server.on("/", reply("200 OK", packed, *[("Content-Encoding", "gzip")] * 2))

    found = [await app.http.call(server.url(f"/{n}")) for n in range(len(kinds))]
    once = await app.http.call(server.url("/"))

    assert [answer.body for answer in found] == [packed] * len(kinds)
    assert once.body == packed
    assert server.hits[0].header("accept-encoding") == "gzip, deflate"


async def test_certificates_are_looked_at(app, db, calling, tmp_path, server):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(  # noqa: ASYNC221 - nothing else runs yet
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", key, "-out", certificate, "-days", "1", "-subj", "/CN=localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)

    async def say_nothing(*_):
        raise AssertionError("a request came through")

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0, ssl=tls) as there:
        url = f"https://127.0.0.1:{there.sockets[0].getsockname()[1]}/"
        db.execute("select howdah.http_allow(%s)", [url])
        async with calling():
            failed = await failing(app, url, max_attempts=4)

    assert "the certificate is refused: self" in failed.error
    assert (await app.run(jobs.get(failed.job_id))).attempt == 1


async def test_a_certificate_has_to_be_of_the_name_that_was_called(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(  # noqa: ASYNC221 - nothing else runs yet
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", key, "-out", certificate, "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply("200 OK", b"", ("Connection", "close")))
        writer.close()

    async def resolve(host, port):
        return [ip_address("127.0.0.1")]

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls) as there:
        port = there.sockets[0].getsockname()[1]
        hosts = ("localhost", "other.test", "127.0.0.1")
        gate = Gate(allowed=[Target("https", host, port, "/") for host in hosts])
        caller = Caller(
            gate=lambda: gate, resolve=resolve, secrets=Secrets({}), size=1,
            tls=ssl.create_default_context(cafile=certificate),
        )  # fmt: skip

        async def call(host):
            request, url = read_request(f'{{"url": "https://{host}:{port}/"}}')
            return await caller.call(request, url, job=uuid4(), lease=uuid4(), attempt=1)

        assert (await call("localhost")).status == 200
        for host in hosts[1:]:
            with pytest.raises(Hopeless, match="certificate is refused"):
                await call(host)
        await caller.close()
