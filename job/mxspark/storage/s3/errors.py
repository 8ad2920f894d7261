"""The exceptions of boto3 and obstore, as errors that stay or may pass."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from typing import NoReturn
from urllib.parse import urlsplit

import obstore
from boto3.exceptions import S3UploadFailedError
from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError
from obstore.exceptions import BaseError as ObstoreError

from mxspark.errors import one_line
from mxspark.storage import web
from mxspark.storage.causes import raise_s3
from mxspark.storage.store import DeniedError, MissingError, StorageError, TransientError


def code_of(error: ClientError) -> str:
    """What S3 calls the error, e.g. NoSuchKey."""
    return str(error.response.get("Error", {}).get("Code", "unknown"))


@contextmanager
def boto_requests(name: str) -> Iterator[None]:
    """What comes of requests about `name` by boto3, or with an address that it signed, as a StorageError.

    boto3 takes half an answer for a whole one, and fails anywhere while it reads it: whatever it raises then is a fault of the network.
    """
    try:
        with boto_errors(name):
            yield
    except (StorageError, OSError):  # a file of this machine's; the network's are boto3's own
        raise
    except Exception as error:
        raise web.unreadable(name, error) from error


@contextmanager
def boto_errors(name: str) -> Iterator[None]:
    """What boto3 says of `name` where it asks no server, as a StorageError."""
    try:
        yield
    except ClientError as error:
        _raise_client_error(name, error)
    except S3UploadFailedError as error:
        if isinstance(error.__context__, ClientError):
            _raise_client_error(name, error.__context__)
        raise StorageError(f"{name}: {web.gist(one_line(error))}") from error
    except (BotoCoreError, web.HTTPError) as error:
        problem = f"{name}: {web.gist(one_line(error))}"
        if isinstance(error, exceptions.EndpointConnectionError):
            problem = f"{name}: can't connect to {urlsplit(str(error.kwargs.get('endpoint_url'))).netloc.rpartition('@')[2]}"
        mend = "Check --endpoint-url, the network, and the AWS configuration."
        if cause := _transient_cause(error):
            raise TransientError(problem, mend, cause=cause) from error
        raise StorageError(problem, mend) from error


def _raise_client_error(name: str, error: ClientError) -> NoReturn:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    raise_s3(name, code_of(error), error.response.get("Error", {}).get("Message", ""), status)


def _transient_cause(error: Exception) -> str | None:
    if isinstance(error, (exceptions.ConnectTimeoutError, exceptions.ReadTimeoutError)):
        return "timeout"
    if isinstance(error, (exceptions.IncompleteReadError, exceptions.ResponseStreamingError)):
        return "truncated"
    if "CERTIFICATE" in str(error):
        return None
    if isinstance(error, (exceptions.ConnectionError, exceptions.HTTPClientError)):
        return "connection"
    return web.transient_cause(error) if isinstance(error, web.HTTPError) else None


def raise_said(name: str, text: str, status: int) -> NoReturn:
    """Raises what a server's answer about `name` means; `text` holds its XML, if it sent any."""
    said = re.search(r"<Code>([^<]*)</Code>(?:.*?<Message>([^<]*)</Message>)?", text, re.DOTALL)
    code, message = (said[1], unescape(said[2] or "")) if said else (str(status), "")
    raise_s3(name, code, message, status)


@contextmanager
def obstore_errors(name: str) -> Iterator[None]:
    """What obstore says of `name`, as a StorageError."""
    try:
        yield
    except FileNotFoundError:
        raise MissingError(f"{name}: there is no such object") from None
    except ValueError as error:  # an answer that it can't parse
        raise web.unreadable(name, error) from error
    except ObstoreError as error:
        text = str(error)
        status = re.search(r"status code: (\d{3})", text)
        if status:
            raise_said(name, text, int(status[1]))
        if isinstance(error, (obstore.exceptions.PermissionDeniedError, obstore.exceptions.UnauthenticatedError)):
            raise DeniedError(f"{name}: access denied", "Give these credentials the right to read it.") from None
        _raise_network_error(name, text, error)


def _raise_network_error(name: str, text: str, error: Exception) -> NoReturn:
    mend = "Check --endpoint-url and the network."
    kind = re.search(r"kind: (Timeout|Connect|Request|Interrupted|Body)\b", text)  # the outermost, in obstore's debug print
    if "ertificate" in text:
        raise StorageError(f"{name}: {web.gist(text)}", mend) from error
    if kind is None:
        raise web.unreadable(name, error) from error
    if kind[1] == "Timeout":
        raise TransientError(f"{name}: no answer in time", mend, cause="timeout") from error
    if "kind: Body" in text:
        raise TransientError(f"{name}: the transfer broke off", mend, cause="truncated") from error
    innermost = "".join(f": {words}" for words in re.findall(r'(?:message|error): "([^"]+)"', text)[-1:])
    raise TransientError(f"{name}: the connection failed{innermost}", mend, cause="connection") from error
