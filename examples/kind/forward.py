"""A port of this machine that leads to a Service of the cluster, for as long as it is needed."""

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

START_SECONDS = 60


@contextmanager
def forwarded(kubectl: Callable[..., list[str]], target: str, port: int) -> Iterator[int]:
    """The port of 127.0.0.1. `kubectl port-forward` ends when its pod does, or when a connection breaks: it is started
    again then.

    `kubectl` makes a command for the cluster and namespace out of arguments.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        local: int = free.getsockname()[1]
    command = kubectl("port-forward", "--address=127.0.0.1", target, f"{local}:{port}")
    stopping = threading.Event()
    running: list[subprocess.Popen[bytes]] = []

    def keep_running() -> None:
        for attempt in count():
            if stopping.wait(0 if attempt == 0 else 0.3):
                return
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            running[:] = [process]
            if stopping.is_set():
                process.terminate()
            process.wait()

    log_store = threading.Thread(target=keep_running, daemon=True)
    log_store.start()
    try:
        _wait_until_open(local)
        yield local
    finally:
        stopping.set()
        for process in running:
            process.terminate()
        log_store.join()


def _wait_until_open(port: int) -> None:
    limit = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < limit, f"kubectl port-forward did not open port {port} within {START_SECONDS} s"
            time.sleep(0.1)
