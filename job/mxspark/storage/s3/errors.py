"""The exceptions of boto3 and obstore, as errors that stay or may pass."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn
from urllib.parse import urlsplit

import obstore
from boto3.exceptions import S3UploadFailedError
from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError
from obstore.exceptions import BaseError as ObstoreError

from mxspark.errors import LONGEST_SAID, one_line
from mxspark.storage import web
from mxspark.storage.errors import raise_answered, raise_page, raise_s3, raise_said
from mxspark.storage.s3.credential_errors import KeysNotFoundError
from mxspark.storage.s3.pages import PageError
from mxspark.storage.store import DeniedError, StorageError, TransientError

NOWHERE = "http://127.0.0.1:0"  # obstore's proxy for other hosts than the bucket's; nothing can listen on port 0
NO_CREDENTIALS = "External AWS credential provider"  # obstore's word for our function that failed


# What obstore says of an answer that isn't the range it asked for: all of the object, as some servers give of an empty
# one, a range of theirs for that, or a page.
_OTHER_PART = re.compile(r"non-partial response|CONTENT_RANGE header|Requested \d+\.\.\d+, got")


class WholeError(StorageError):
    """The server sent another part of an object to obstore than it asked for, and it takes nothing else."""


class CertificateError(StorageError):
    """obstore doesn't take the server's certificate. It takes fewer than OpenSSL: none that is an authority's too, as
    `openssl req -x509` makes them."""


class RedirectedError(StorageError):
    """The server sent obstore elsewhere, which doesn't tell where to."""


def code_of(error: ClientError) -> str:
    """What S3 calls the error, e.g. NoSuchKey; of a page in place of its answer the HTTP status."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "unknown")
    return str(error.response.get("Error", {}).get("Code") or status)


@contextmanager
def boto_requests(name: str) -> Iterator[None]:
    """What comes of requests about `name` by boto3, or with an address that it signed, as a StorageError.

    boto3 takes half an answer for a whole one, and fails anywhere while it reads it: whatever it raises then is a fault
    of the network.
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
    except KeysNotFoundError as failure:
        raise failure.as_storage_error(name) from failure
    except PageError as page:
        raise_answered(name, page.status, page.words)
    except ClientError as error:
        _raise_client_error(name, error)
    except S3UploadFailedError as error:
        if isinstance(error.__context__, ClientError):
            _raise_client_error(name, error.__context__)
        raise StorageError(web.root_cause(one_line(error)), place=name) from error
    except (BotoCoreError, web.HTTPError) as error:
        if refusal := web.refused_by_proxy(error):
            raise web.no_proxy(name, refusal) from error
        reason = web.root_cause(one_line(error))
        if isinstance(error, exceptions.EndpointConnectionError):
            reason = f"can't connect to {urlsplit(str(error.kwargs.get('endpoint_url'))).netloc.rpartition('@')[2]}"
        if "CERTIFICATE" in str(error):
            host = urlsplit(str(getattr(error, "kwargs", {}).get("endpoint_url"))).netloc
            raise web.untrusted(name, host, web.why_untrusted(error)) from error
        hint = "Check --endpoint-url, the network, and the AWS configuration."
        if cause := _transient_cause(error):
            raise TransientError(reason, hint, place=name, cause=cause) from error
        raise StorageError(reason, hint, place=name) from error


def _raise_client_error(name: str, error: ClientError) -> NoReturn:
    answer, said = error.response.get("ResponseMetadata", {}), error.response.get("Error", {})
    region = answer.get("HTTPHeaders", {}).get("x-amz-bucket-region") or said.get("Region", "")
    is_s3s = "x-amz-request-id" in answer.get("HTTPHeaders", {})
    more = f"<Region>{region} {said.get('Endpoint', '')}"
    raise_s3(name, code_of(error), said.get("Message") or "", answer.get("HTTPStatusCode"), more, is_s3s)


def _transient_cause(error: Exception) -> str | None:
    if isinstance(error, (exceptions.ConnectTimeoutError, exceptions.ReadTimeoutError)):
        return "timeout"
    if isinstance(error, (exceptions.IncompleteReadError, exceptions.ResponseStreamingError)):
        return "truncated"
    if isinstance(error, (exceptions.ConnectionError, exceptions.HTTPClientError)):
        return "connection"
    return web.transient_cause(error) if isinstance(error, web.HTTPError) else None


@contextmanager
def obstore_errors(name: str) -> Iterator[None]:
    """What obstore says of `name`, as a StorageError."""
    try:
        yield
    except ValueError as error:  # an answer that it can't parse
        raise web.unreadable(name, error) from error
    except (FileNotFoundError, ObstoreError) as error:
        text = str(error)[:LONGEST_SAID]
        if _OTHER_PART.search(text):
            raise WholeError("the server gives no ranges", place=name) from None
        if "following redirect" in text:
            raise_page(name, "redirected in a loop")
        if "redirect without LOCATION" in text or urlsplit(NOWHERE).netloc in text:
            raise RedirectedError("the bucket is in another region", "Set storage.region.", place=name) from None
        if NO_CREDENTIALS in text:
            raise KeysNotFoundError("they have just expired", "", passes=True).as_storage_error(name) from None
        if said := re.search(r"status code: (\d{3})([^:]*: ?)?", text):
            raise_said(name, text[said.end() :].partition("\n\nDebug source:")[0], int(said[1]))
        if isinstance(error, (obstore.exceptions.PermissionDeniedError, obstore.exceptions.UnauthenticatedError)):
            raise DeniedError("access denied", "Give these credentials the right to read it.", place=name) from None
        _raise_network_error(name, text, error)


def _raise_network_error(name: str, text: str, error: Exception) -> NoReturn:
    hint = "Check --endpoint-url and the network."
    # The outermost error in obstore's debug print.
    kind = re.search(r"kind: (Timeout|Connect|Request|Interrupted|Body)\b", text)
    address = re.search(r"performing \w+ (\S+)", text)
    host = urlsplit(address[1]).netloc.rpartition("@")[2] if address else ""
    if "ertificate" in text:
        raise CertificateError(f"the certificate of {host} isn't trusted", place=name) from error
    if kind is None:
        raise web.unreadable(name, error) from error
    if kind[1] == "Timeout":
        raise TransientError("no answer in time", hint, place=name, cause="timeout") from error
    if "kind: Body" in text:
        raise TransientError("the transfer broke off", hint, place=name, cause="truncated") from error
    innermost = "".join(f": {words}" for words in re.findall(r'(?:message|error): "([^"]+)"', text)[-1:])
    to = f" to {host}" if host else ""
    raise TransientError(f"the connection{to} failed{innermost}", hint, place=name, cause="connection") from error
