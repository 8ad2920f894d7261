"""An HTTP server before the real S3 server that refuses a share of the requests, as S3 does on a bad day, and forwards
the rest.

What it forwards is as the client sent it, the Host header too: else no signature would be valid.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import urlsplit

UPSTREAM_SECONDS = 60  # limit on one answer of the real server
HELD_SECONDS = 300  # limit on holding a request back: a test that never lets it go fails all the same
NOT_FORWARDED = ("connection", "expect", "transfer-encoding")  # between two ends of one connection only; never signed


@dataclass(frozen=True)
class Refusal:
    """An S3 server's error."""

    status: int
    code: str

    @property
    def body(self) -> bytes:
        message = "told by the test"
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{self.code}</Code><Message>{message}</Message></Error>"
        ).encode()


SLOW_DOWN = Refusal(503, "SlowDown")
INTERNAL_ERROR = Refusal(500, "InternalError")
EXPIRED_TOKEN = Refusal(400, "ExpiredToken")


class FaultyFront:
    """The switch of a running server: what it refuses, and what it has refused so far."""

    def __init__(self, url: str, upstream: str) -> None:
        self.url = url
        self.upstream = upstream
        self.refused: Counter[str] = Counter()  # by code
        self._lock = Lock()
        self._random = Random(0)
        self._now: tuple[Refusal, float] | None = None
        self._fatal: str | None = None
        self._gone = Event()
        self._held: str | None = None
        self._released = Event()

    def hold(self, suffix: str) -> None:
        """Requests for objects whose path ends so aren't answered until `release`."""
        self._held = suffix

    def release(self) -> None:
        """Lets them go on."""
        self._released.set()

    def wait(self, path: str) -> None:
        """Comes back when this request may be answered."""
        if self._held is not None and path.partition("?")[0].endswith(self._held):
            self._released.wait(HELD_SECONDS)

    def go_at(self, path: str) -> None:
        """When an object is read whose path ends so, and from then on, no request is answered."""
        self._fatal = path

    def is_gone(self, method: str, path: str) -> bool:
        """Whether this request is not answered."""
        is_fatal = self._fatal is not None and method == "GET" and path.partition("?")[0].endswith(self._fatal)
        if is_fatal:
            self._gone.set()
        return self._gone.is_set()

    def has_gone(self) -> bool:
        """Whether it has come to that."""
        return self._gone.is_set()

    def refuse(self, refusal: Refusal, share: float = 1.0) -> None:
        """From now on this share of the requests is refused."""
        with self._lock:
            self._now = refusal, share

    def heal(self) -> None:
        """From now on all requests are forwarded."""
        with self._lock:
            self._now = None

    @contextmanager
    def refusing(self, refusal: Refusal, share: float = 1.0) -> Iterator[None]:
        """`refuse` for as long as the context lasts."""
        self.refuse(refusal, share)
        try:
            yield
        finally:
            self.heal()

    def verdict(self) -> Refusal | None:
        """What the next request gets: None where it is forwarded."""
        with self._lock:
            if self._now is None or self._random.random() >= self._now[1]:
                return None
            self.refused[self._now[0].code] += 1
            return self._now[0]


@contextmanager
def before(upstream_url: str) -> Iterator[FaultyFront]:
    """A server before the one at `upstream_url`, without faults at first."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.daemon_threads = True
    front = FaultyFront(f"http://127.0.0.1:{server.server_port}", urlsplit(upstream_url).netloc)
    server.RequestHandlerClass = _handler(front)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield front
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(front: FaultyFront) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            self._upstream = HTTPConnection(front.upstream, timeout=UPSTREAM_SECONDS)

        def handle(self) -> None:
            with suppress(OSError):  # the client went away
                super().handle()

        def finish(self) -> None:
            self._upstream.close()
            with suppress(OSError):
                super().finish()

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            if front.is_gone(self.command, self.path):
                self.close_connection = True
                return
            front.wait(self.path)
            refusal = front.verdict()
            if refusal is not None:
                headers = {"Content-Type": "application/xml", "Content-Length": str(len(refusal.body))}
                self._answer(refusal.status, refusal.code, headers, refusal.body)
                return
            try:
                response = self._forward(body)
                content = response.read()
            except (OSError, HTTPException):  # as if there were nothing between the client and a server that is gone
                self.close_connection = True
                return
            headers = {name: value for name, value in response.getheaders() if name.lower() not in NOT_FORWARDED}
            if response.getheader("Transfer-Encoding"):
                headers["Content-Length"] = str(len(content))
            self._answer(response.status, response.reason, headers, content)

        do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

        def _forward(self, body: bytes) -> HTTPResponse:
            self._upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in NOT_FORWARDED:
                    self._upstream.putheader(name, value)
            self._upstream.endheaders(body or None)
            return self._upstream.getresponse()

        def _answer(self, status: int, reason: str, headers: dict[str, str], body: bytes) -> None:
            self.send_response_only(status, reason)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the tests look at what the client makes of it."""

    return Handler
