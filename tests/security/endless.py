"""A server whose answers break HTTP's rules, or have no end."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from time import sleep

HEAD = b'HTTP/1.1 200 OK\r\nETag: "1"\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n'
CHUNK = b"10000\r\n" + bytes(0x10000) + b"\r\n"


@contextmanager
def answering_with(answer: bytes, then: bytes = b"", pause: float = 0) -> Iterator[str]:
    """The address of a server that answers every request with these bytes, and goes on with `then`, after so many
    seconds each time, until nobody listens any more."""
    server = socket.create_server(("127.0.0.1", 0))

    def answer_one(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while b"\r\n\r\n" not in connection.recv(2**16):
                pass
            connection.sendall(answer)
            while then:
                sleep(pause)
                connection.sendall(then)

    def accept() -> None:
        with suppress(OSError):  # when it is closed
            while True:
                Thread(target=answer_one, args=[server.accept()[0]], daemon=True).start()

    Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
