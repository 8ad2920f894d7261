"""Answers all that is read as S3 does where the time of the signature is wrong: `python late_s3.py PORT`, until it
is killed.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = "The difference between the request time and the current time is too large."
ERROR = f"<Error><Code>RequestTimeTooSkewed</Code><Message>{WORDS}</Message></Error>".encode()


class Late(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(403)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(ERROR)))
        self.end_headers()
        self.wfile.write(ERROR)


ThreadingHTTPServer(("", int(sys.argv[1])), Late).serve_forever()
