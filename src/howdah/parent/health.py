"""Answers probes over HTTP: /livez, /readyz, /startupz; from a thread, whatever the loop does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer

from howdah.errors import Conflict

Check = Callable[[], str | None]


class _Server(ThreadingHTTPServer):
    """Never asks the name service who it is, as the standard one does: that may take its time."""

    daemon_threads = True

    def __init__(self, host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), handler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "howdah", self.server_address[1]


class Health:
    """Serves checks by path: each gives None when all is well, else what is wrong, in words."""

    def __init__(self, host: str, port: int, checks: Mapping[str, Check]) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = 5
            server_version, sys_version = "howdah", ""

            def do_GET(self) -> None:
                """Answer a probe."""
                check = checks.get(self.path.partition("?")[0])
                if check is None:
                    self._answer(HTTPStatus.NOT_FOUND, f"there is only {', '.join(checks)}")
                    return
                wrong = check()
                status = HTTPStatus.OK if wrong is None else HTTPStatus.SERVICE_UNAVAILABLE
                self._answer(status, wrong or "ok")

            do_HEAD = do_GET  # noqa: N815 - the base class's names

            def _answer(self, status: HTTPStatus, text: str) -> None:
                body = f"{text}\n".encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/plain; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Probes are no news."""

        try:
            self._server = _Server(host, port, Handler)
        except (OSError, OverflowError) as error:
            raise Conflict(
                f"cannot listen on {host}:{port}: {error}",
                hint="Choose another --health-port, or end whoever has this one.",
            ) from error
        self.port: int = self._server.server_address[1]
        threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="howdah health", daemon=True
        ).start()

    def close(self) -> None:
        """Answer no more."""
        with suppress(OSError):
            self._server.shutdown()
            self._server.server_close()
