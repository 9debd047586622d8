"""An S3 server for tests, and a proxy in front of it that can be told to fail.

The server is moto's, in a process of its own on the loopback interface. The proxy passes requests
on as they are, except where a fault says otherwise; it too listens on loopback only.
"""

from __future__ import annotations

import http.client
import re
import socket
import struct
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

_SERVER = """
import ctypes, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # ends with the process that started it
import logging
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "date", "server"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What to do with requests of some kind instead of passing them on.

    Attributes:
        kind: `error` answers 500, `busy` 503 as S3 says it, `denied` 403, `reset` breaks the
            connection off, `slow` passes it on after `delay_s`.
        method: requests it takes; a pattern.
        path: part of their path and query; a pattern.
        after: so many of them pass first.
        times: then so many of them fail; None: all.
        delay_s: of `slow`.
    """

    kind: Literal["error", "busy", "denied", "reset", "slow"]
    method: str = ".*"
    path: str = ""
    after: int = 0
    times: int | None = None
    delay_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class S3:
    """A running server.

    Attributes:
        port: of the server, or of a proxy.
        asked: method and path of every request that came to the proxy.
    """

    port: int
    asked: list[tuple[str, str]] = field(default_factory=list)
    _faults: list[list] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def uri(self, key: str | None = None, bucket: str = "bucket", **options: object) -> str:
        """A place in a bucket; a new one without a key."""
        said = {
            "endpoint_override": f"127.0.0.1:{self.port}", "scheme": "http", "region": "us-east-1",
        } | options  # fmt: skip
        query = "&".join(f"{name}={value}" for name, value in said.items())
        return f"s3://key:secret@{bucket}/{key or f'sweeps/{uuid.uuid4().hex}'}?{query}"

    def fail(self, *faults: Fault) -> None:
        """Fail like this from now on, and in no other way."""
        with self._guard:
            self._faults[:] = [[fault, fault.after, fault.times] for fault in faults]

    def fault_for(self, method: str, path: str) -> Fault | None:
        """What to do with a request; counts it."""
        with self._guard:
            self.asked.append((method, path))
            for entry in self._faults:
                fault, passing, left = entry
                if left == 0 or not re.fullmatch(fault.method, method):
                    continue
                if not re.search(fault.path, path):
                    continue
                if passing:
                    entry[1] -= 1
                    continue
                entry[2] = None if left is None else left - 1
                return fault
        return None


@contextmanager
def moto() -> Iterator[S3]:
    """moto's S3 server, with an empty bucket `bucket`."""
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            server = S3(port=int(process.stdout.readline()))
            make_bucket(server, "bucket")
            yield server
        finally:
            process.kill()


def make_bucket(server: S3, name: str) -> None:
    """Make an empty bucket."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("PUT", f"/{name}")
    assert connection.getresponse().status == 200
    connection.close()


@contextmanager
def proxy(server: S3) -> Iterator[S3]:
    """A proxy in front of a server, in threads of this process."""
    front = S3(port=0)
    handler = type("Handler", (_Handler,), {"front": front, "behind": server.port})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        front.port = listening.server_port
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        try:
            yield front
        finally:
            listening.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    front: S3
    behind: int

    def _take(self) -> None:
        body = self._body()
        fault = self.front.fault_for(self.command, self.path)
        match fault.kind if fault else None:
            case "error":
                self._refuse(500, "InternalError", "We encountered an internal error.")
            case "busy":
                self._refuse(503, "SlowDown", "Please reduce your request rate.")
            case "denied":
                self._refuse(403, "AccessDenied", "Access Denied")
            case "reset":
                # A close with no time to linger is a reset.
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.shutdown(socket.SHUT_RD)
                self.close_connection = True
                self.connection.close()
            case _:
                if fault is not None:
                    time.sleep(fault.delay_s)
                self._pass_on(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _take

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return body

    def _pass_on(self, body: bytes) -> None:
        headers = {
            name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP
        }
        headers["Content-Length"] = str(len(body))
        connection = http.client.HTTPConnection("127.0.0.1", self.behind, timeout=60)
        connection.request(self.command, self.path, body=body, headers=headers)
        answer = connection.getresponse()
        content = answer.read()
        kept = [
            (name, value)
            for name, value in answer.getheaders()
            if name.lower() not in _HOP_BY_HOP | {"content-length"}
        ]
        length = answer.getheader("Content-Length") if self.command == "HEAD" else None
        self._answer(answer.status, content, [*kept, ("Content-Length", length or len(content))])
        connection.close()

    def _refuse(self, status: int, code: str, message: str) -> None:
        body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        self._answer(
            status, body, [("Content-Type", "application/xml"), ("Content-Length", len(body))]
        )

    def _answer(self, status: int, body: bytes, headers: list[tuple[str, object]]) -> None:
        try:
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, str(value))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):  # it did not wait for a slow answer
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Keep quiet."""
