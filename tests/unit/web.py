"""A small web server that counts what is asked of it, and can break off."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CUT = "/cut/"  # under this path answers end half way
FORBIDDEN = "/forbidden/"  # under this one everything is refused


@dataclass
class Web:
    """The files that are served by path; how often each was asked for."""

    files: dict[str, bytes]
    url: str = ""
    requests: Counter[str] = field(default_factory=Counter)
    # The first answer waits this long for a second request to arrive, so that a second download is caught and not
    # missed by chance.
    patience: float = 0.0
    second: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, path: str) -> None:
        with self.lock:
            self.requests[path] += 1
            if self.requests[path] > 1:
                self.second.set()
        if self.patience:
            self.second.wait(self.patience)


@contextmanager
def serving(files: dict[str, bytes], patience: float = 0.0) -> Iterator[Web]:
    """A server of these files on this machine, for as long as the block lasts."""
    web = Web(files, patience=patience)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # http.server's name
            web.count(self.path)
            path = self.path.partition("?")[0]
            content = web.files.get(path.replace(CUT, "/"))
            if content is None or path.startswith(FORBIDDEN):
                self.send_error(404 if content is None else 403)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if path.startswith(CUT) else content)

        def log_message(self, format: str, *args: object) -> None:  # http.server's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        web.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield web
        finally:
            server.shutdown()
            thread.join()
