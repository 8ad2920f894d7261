"""A TCP proxy that adds a fixed delay to what the server answers, as a distant object store would.

Run:  .venv/bin/python -m bench.latency UPSTREAM_PORT MILLISECONDS      prints its own port, ends with its standard
input
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import PIPE, Popen

CHUNK = 256 * 2**10


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    loop = asyncio.get_running_loop()
    last = asyncio.Event()
    while data := await reader.read(CHUNK):
        if delay:
            loop.call_later(delay, writer.write, data)
        else:
            writer.write(data)
    loop.call_later(delay, last.set)
    await last.wait()
    writer.close()


async def _serve(upstream: int, delay: float) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", upstream)
        await asyncio.gather(
            _forward(reader, server_writer, 0), _forward(server_reader, writer, delay), return_exceptions=True
        )

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)  # each connection that clients left open would be told of as an error


@contextmanager
def delayed(upstream: int, milliseconds: float) -> Iterator[int]:
    """The port of a proxy before `upstream` whose answers come `milliseconds` later."""
    command = [sys.executable, "-m", "bench.latency", str(upstream), str(milliseconds)]
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(10)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2]) / 1000))
