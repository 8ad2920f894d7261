"""Stands before an S3 server, holds back each request for an image, and prints what is asked for: `GET /bucket/key`.

So a job lasts long without taking CPU, and what was fetched or written twice can be counted. SIGUSR1 ends the holding
back: the rest of the job need not last. Runs in a pod: `python slow_s3.py HOST PORT SECONDS` needs the standard library
alone.
"""

import asyncio
import re
import signal
import sys
from contextlib import suppress

# Each request comes at the start of what is read: clients wait for the answer before they send another.
REQUEST = re.compile(rb"(GET|PUT) (\S+) HTTP/1\.1\r\n")


hurried = asyncio.Event()


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """All that comes, as it is; so the signature, which is for the host's name that the client knows, stays right."""
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            request = REQUEST.match(data)
            if request:
                print(request[1].decode(), request[2].decode(), flush=True)
                if request[1] == b"GET" and request[2].endswith(b".png"):
                    with suppress(TimeoutError):
                        await asyncio.wait_for(hurried.wait(), seconds)
            writer.write(data)
            await writer.drain()
    writer.close()


async def main(host: str, port: int, seconds: float) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(host, port)
        await asyncio.gather(pass_on(reader, there_writer, seconds), pass_on(there_reader, writer, 0))

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, hurried.set)
    async with await asyncio.start_server(serve, "0.0.0.0", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
