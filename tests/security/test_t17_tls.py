"""T17: sslmode=verify-full talks to nobody but the server whose certificate is to be trusted."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

import pytest

from howdah import App, HowdahError, Job
from howdah.cli.doctor_checks import CHECKS
from howdah.settings import Settings

SECRET = "s3cret-enough"
SSL_REQUEST = bytes.fromhex("0000000804d2162f")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Certificates that sign themselves, by the name that they are for."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make certificates with")
    folder, made = tmp_path_factory.mktemp("certificates"), {}
    for name in ("localhost", "elsewhere"):
        made[name] = folder / f"{name}.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
             "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext",
             f"subjectAltName=DNS:{name}", "-keyout", folder / f"{name}.key", "-out", made[name]],
            check=True, capture_output=True,
        )  # fmt: skip
    return made


class Front:
    """A server's TLS face: takes the certificate that it is given; counts what comes through."""

    def __init__(self, dsn: str, certificate) -> None:
        query = parse_qs(urlsplit(dsn).query)
        self._socket = f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"
        self._context = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        self.said = b""

    async def open(self) -> int:
        self.server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def _connected(self, reader, writer) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            first = await reader.readexactly(8)
            if first == SSL_REQUEST:
                writer.write(b"S" if self._context else b"N")
                await writer.drain()
                if self._context:
                    await writer.start_tls(self._context)
                first = b""
            there, back = await asyncio.open_unix_connection(self._socket)
            back.write(first)
            await asyncio.gather(self._pass(reader, back, note=True), self._pass(there, writer))
        writer.close()

    async def _pass(self, reader, writer, *, note: bool = False) -> None:
        while data := await reader.read(65536):
            self.said += data if note else b""
            writer.write(data)
            await writer.drain()
        writer.close()


@pytest.fixture
async def front(dsn, certificates):
    """Open a face: the URL under which it is reached, and the face."""
    opened = []

    async def open_(certificate: str | None, *, mode: str, trusts: str = "localhost"):
        face = Front(dsn, certificates[certificate] if certificate else None)
        opened.append(face)
        port, database = await face.open(), urlsplit(dsn).path
        root = f"&sslrootcert={certificates[trusts]}" if mode.startswith("verify") else ""
        return face, f"postgresql://howdah:{SECRET}@localhost:{port}{database}?sslmode={mode}{root}"

    yield open_
    for face in opened:
        face.server.close()


async def test_t17_the_trusted_server_is_talked_to(front):
    face, url = await front("localhost", mode="verify-full")

    async with App(url) as app:
        await app.enqueue(Job(task="t", args="{}"))

    assert b"howdah" in face.said


@pytest.mark.parametrize(
    ("certificate", "mode", "trusts"),
    [
        ("elsewhere", "verify-full", "elsewhere"),  # trusted, and another's name
        ("elsewhere", "verify-full", "localhost"),
        ("localhost", "verify-full", "elsewhere"),
        ("localhost", "verify-ca", "elsewhere"),
        (
            None,
            "verify-full",
            "localhost",
        ),  # a server, or a man in the middle, that wants clear text
        (None, "require", "localhost"),
    ],
)
async def test_t17_any_other_is_refused_before_a_word_is_said(front, certificate, mode, trusts):
    face, url = await front(certificate, mode=mode, trusts=trusts)

    with pytest.raises(HowdahError) as refused:
        async with App(url) as app:
            await app.enqueue(Job(task="t", args="{}"))

    assert face.said == b""
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "verdict"),
    [
        ("postgresql:///d", "ok"),
        ("postgresql:///d?host=/run/postgresql", "ok"),
        ("postgresql://u@localhost/d", "ok"),
        ("postgresql://u@127.0.0.1:5432/d", "ok"),
        ("postgresql://u@[::1]/d", "ok"),
        ("postgresql://u@db.example/d?sslmode=verify-full", "ok"),
        ("postgresql://u@db.example/d", "warn"),
        ("postgresql://u@db.example/d?sslmode=prefer", "warn"),
        ("postgresql://u@db.example/d?sslmode=require", "warn"),
        ("postgresql://u@localhost,db.example/d?sslmode=disable", "warn"),
        ("postgresql:///d?host=db.example", "warn"),
    ],
)
async def test_t17_the_doctor_warns_of_a_path_that_others_could_listen_on(url, verdict):
    finding = await CHECKS["encryption"](None, Settings(database_url=url))

    assert finding.verdict == verdict
    assert ("verify-full" in (finding.hint or "")) == (verdict == "warn")


async def test_t17_what_the_environment_says_counts_too(monkeypatch):
    monkeypatch.setenv("PGHOST", "db.example")
    without = await CHECKS["encryption"](None, Settings(database_url="postgresql://"))
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    with_it = await CHECKS["encryption"](None, Settings(database_url="postgresql://"))

    assert (without.verdict, with_it.verdict) == ("warn", "ok")
