"""An HTTP server that answers as a test's script says: for the faults that a real server can't be made to have."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from ssl import SSLContext
from threading import Event, Lock, Thread
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What one request gets. `claimed` is the length told where it isn't that of the body: the connection ends after
    the body, and after `seconds`. With `drop` it ends without an answer, with `cut` after so many bytes of the answer,
    its head included."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    claimed: int | None = None
    seconds: float = 0.0
    drop: bool = False
    cut: int | None = None


@dataclass(frozen=True)
class Request:
    """What a client asked."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Scripted:
    """A server that runs, and what it was asked so far."""

    url: str
    requests: list[Request]


@contextmanager
def scripted(*answers: Answer, port: int = 0) -> Iterator[Scripted]:
    """A server that gives one answer after the other, and the last one again and again."""
    remaining = iter(answers[:-1])
    with answering(lambda _: next(remaining, answers[-1]), port) as server:
        yield server


@contextmanager
def answering(
    answer_to: Callable[[Request], Answer], port: int = 0, context: SSLContext | None = None
) -> Iterator[Scripted]:
    """A server that answers each request, one at a time, as the function says; on any port, or on this one; by TLS
    with a `context`.
    """
    requests: list[Request] = []
    server = ThreadingHTTPServer(("127.0.0.1", port), _handler(answer_to, requests))
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Scripted(f"http{'s' if context else ''}://127.0.0.1:{server.server_port}", requests)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(answer_to: Callable[[Request], Answer], requests: list[Request]) -> type[BaseHTTPRequestHandler]:
    lock, stopped = Lock(), Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, self.rfile.read(int(headers.get("content-length", 0))))
            with lock:
                requests.append(request)
                answer = answer_to(request)
            if answer.drop:
                self.close_connection = True
                return
            if answer.cut is not None:
                self.wfile = BytesIO()
            size = len(answer.body) if answer.claimed is None else answer.claimed
            is_part = "range" in headers and answer.status == 200 and size > 0
            self.send_response(206 if is_part else answer.status)
            if is_part:  # all of it, which is less than what is asked for
                self.send_header("Content-Range", f"bytes 0-{size - 1}/{size}")
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)
            if isinstance(self.wfile, BytesIO):
                self.connection.sendall(self.wfile.getvalue()[: answer.cut])
                self.close_connection = True
                return
            self.wfile.flush()
            stopped.wait(answer.seconds)  # not time.sleep, which tests may take the waiting out of
            self.close_connection = answer.claimed is not None

        do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the requests are in the list."""

    return Handler


def listing(*keys: str, bucket: str = "bucket") -> Answer:
    """The answer to ListObjectsV2 with these keys, all in one page."""
    contents = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in keys)
    text = (
        "<ListBucketResult "
        f'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>{bucket}</Name>{contents}</ListBucketResult>'
    )
    return Answer(
        body=f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode(), headers={"Content-Type": "application/xml"}
    )


def an_object(data: bytes, claimed: int | None = None, **more: str) -> Answer:
    """The answer to GetObject; `more` headers with `_` for `-`."""
    headers = {
        "ETag": '"0123456789abcdef"',
        "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT",
        "Content-Type": "image/png",
    }
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    return Answer(body=data, headers=headers, claimed=claimed)


def error(status: int, code: str, message: str = "told by the test", more: str = "") -> Answer:
    """An S3 server's error; `more` is XML beside its code and message."""
    body = (
        '<?xml version="1.0" '
        f'encoding="UTF-8"?><Error><Code>{code}</Code><Message>{escape(message)}</Message>{more}</Error>'
    )
    return Answer(status, body.encode(), {"Content-Type": "application/xml"})
