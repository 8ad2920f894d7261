"""What boto3 reads of an answer, bounded in size and time: it would read one without end to its end."""

import time
from collections.abc import Callable
from io import BytesIO
from typing import Any

from botocore import awsrequest
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from mxspark.storage import web
from mxspark.storage.errors import is_page
from mxspark.storage.store import MAX_HOLDER_BYTES, TransientError

LONGEST = 8 * 2**20  # a list of a thousand unfinished uploads has some 1 MB [bytes]


class _Connection(web.Prompt, awsrequest.AWSHTTPConnection):  # type: ignore[misc]  # botocore has no types
    """boto3's, which waits its timeout for a head in all, that of a server's consent to take a body too."""

    def _handle_expect_response(self, message_body: Any) -> None:
        self.sock.read_until(time.monotonic() + (self.timeout or 0))
        super()._handle_expect_response(message_body)


class _ConnectionTLS(_Connection, awsrequest.AWSHTTPSConnection):  # type: ignore[misc]  # botocore has no types
    """Likewise."""


class _Pool(awsrequest.AWSHTTPConnectionPool):  # type: ignore[misc]  # botocore has no types
    ConnectionCls = _Connection


class _PoolTLS(awsrequest.AWSHTTPSConnectionPool):  # type: ignore[misc]  # botocore has no types
    ConnectionCls = _ConnectionTLS


def bound(client: Any, seconds: float) -> None:
    """Bounds what this client reads of one answer. Objects are cut beyond MAX_HOLDER_BYTES: it is asked for no
    others than locks.
    """
    http = client._endpoint.http_session  # none of these have public names
    http._pool_classes_by_scheme |= {"http": _Pool, "https": _PoolTLS}
    send: Callable[[Any], Any] = http.send

    def bounded(request: Any) -> Any:
        is_object, request.stream_output = request.stream_output, True
        response = send(request)
        is_object = is_object and response.status_code < 300
        data = _read(response.raw, request.url, seconds, MAX_HOLDER_BYTES if is_object else LONGEST)
        if is_object:
            response.raw = BytesIO(data[:MAX_HOLDER_BYTES])
        # pages.py handles web pages.
        elif len(data) > LONGEST or (declares_entities(data) and not is_page(data.decode(errors="replace"))):
            raise ConnectionClosedError(endpoint_url=request.url)
        else:
            response._content = data
        return response

    http.send = bounded


def declares_entities(xml: bytes) -> bool:
    """Whether its own entities could stand for a hundred times its size, which is as much as expat allows. S3 has
    none.
    """
    return b"<!DOCTYPE" in xml or b"\0" in xml  # the latter in UTF-16, where the former isn't found


def _read(raw: Any, url: str, seconds: float, limit: int) -> bytes:
    """The body, or more than `limit` bytes of it."""
    data = bytearray()
    try:
        for piece in web.body(url, raw, seconds):
            data += piece
            if len(data) > limit:
                raw.close()
                break
    except TransientError as error:
        raise ReadTimeoutError(endpoint_url=url, error=error) from error
    except web.HTTPError as error:
        kind = ReadTimeoutError if web.transient_cause(error) == "timeout" else ConnectionClosedError
        raise kind(endpoint_url=url, error=error) from error
    return bytes(data)
