"""The page on URLs that jobs call, followed; example.org is a server of the test's."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from howdah import signature

INTERNET = Path(__file__).parent / "internet"
MADE = [
    "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
    "-keyout", "key.pem", "-out", "certificate.pem", "-days", "1", "-subj", "/CN=example.org",
    "-addext", "subjectAltName=DNS:example.org",
]  # fmt: skip
GIVEN = "0190a6c1-0000-7000-8000-000000000001"


class Example(BaseHTTPRequestHandler):
    """Says what it was asked."""

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        said = f"{self.command} {self.path} {body.decode()}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def example_org(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What tells the page's programs where example.org is, and to trust it."""
    subprocess.run(MADE, cwd=tmp_path, check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Example)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    yield {
        "EXAMPLE_ORG": str(server.server_address[1]),
        "PYTHONPATH": str(INTERNET),
        "SSL_CERT_FILE": str(tmp_path / "certificate.pem"),
    }
    server.shutdown()
    serving.join()
    server.server_close()


async def test_call_urls(
    reading: Any, dsn: str, store: Any, eventually: Any, example_org: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    reader = reading("docs/how-to/call-urls.md", dsn, **example_org)
    monkeypatch.setenv("HOWDAH_SECRET_PUSH", "a secret of ours")

    said = await reader.follow()

    assert "GET / " in said
    assert "POST /hook" in said
    assert "https://app.internal:8443/jobs/" in said
    assert reader.names["answer"].status == 200
    assert store.state(GIVEN) == "succeeded"
    reader.names["SECRET"] = "a secret of both"
    await reader.names["hook"](signed_with("a secret of both"))
    await reader.names["app"].close()


def signed_with(secret: str) -> Any:
    """A request as Howdah signs it."""
    body = json.dumps({"a": 1}).encode()

    async def read() -> bytes:
        return body

    told = signature.headers(secret, job=uuid4(), lease=uuid4(), attempt=1, body=body)
    return SimpleNamespace(headers=dict(told), body=read)
