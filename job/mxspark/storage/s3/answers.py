"""What boto3 reads of an answer that is no object, bounded in size and time: it would read one without end to its end."""

import time
from typing import Any

from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from mxspark.storage import web

LONGEST = 8 * 2**20  # a list of a thousand unfinished uploads has some 1 MB [bytes]
PIECE = 2**16
ERROR = 300  # from which status on it is no object


def bound(client: Any, seconds: float) -> None:
    """Bounds what this client reads of one answer, but for objects, which its caller reads."""
    http = client._endpoint.http_session  # which has no public name
    send = http.send

    def bounded(request: Any) -> Any:
        is_object, request.stream_output = request.stream_output, True
        response = send(request)
        if not is_object or response.status_code >= ERROR:
            response._content = _read(response.raw, request.url, seconds)
        return response

    http.send = bounded


def _read(raw: Any, url: str, seconds: float) -> bytes:
    end, data = time.monotonic() + seconds, bytearray()
    try:
        for piece in raw.stream(PIECE):
            data += piece
            if len(data) > LONGEST or time.monotonic() > end:
                raw.close()
                raise ConnectionClosedError(endpoint_url=url)
    except web.HTTPError as error:
        kind = ReadTimeoutError if web.transient_cause(error) == "timeout" else ConnectionClosedError
        raise kind(endpoint_url=url, error=error) from error
    return bytes(data)
