"""Where requests about a bucket go, in which region's name they are signed, and whose certificates are trusted: as
boto3 resolves it.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.utils import is_valid_endpoint_url, is_valid_ipv6_endpoint_url

from mxspark.storage.store import StorageError, ca_bundle

KEY = "k"
# Names of S3 Express directory buckets end so. They are listed by folders, and requests are signed for a session.
DIRECTORY_BUCKET = "--x-s3"


@dataclass(frozen=True)
class Address:
    """What stands before a key in an address, with the bucket in it, and the region that signatures name."""

    base: str
    region: str


class _ResolvedError(Exception):
    """Stops boto3 when it has an address, before it signs or sends anything."""

    def __init__(self, address: Address) -> None:
        self.address = address


def resolved(client: Any, bucket: str, region: str) -> Address:
    """Where this client, made for it alone, would send a request about an object."""

    def stop(request: Any, region_name: str | None, **_event: Any) -> None:
        raise _ResolvedError(Address(request.url.removesuffix(f"/{KEY}"), region_name or region))

    client.meta.events.register_first("before-sign.s3.GetObject", stop)
    try:
        client.get_object(Bucket=bucket, Key=KEY)
    except _ResolvedError as found:
        return found.address
    raise AssertionError("boto3 doesn't tell the address")


def configured(session: boto3.Session) -> str:
    """The server that the environment or boto3's files name, else AWS's. Raises ValueError where it is no address."""
    config = Config(signature_version=UNSIGNED)
    return str(session.client("s3", region_name=session.region_name or "us-east-1", config=config).meta.endpoint_url)


def is_of_aws(session: boto3.Session, url: str) -> bool:
    """Whether a server is AWS's, in any of its partitions."""
    host = urlsplit(url).hostname or ""
    outputs = [partition["outputs"] for partition in session._loader.load_data("partitions")["partitions"]]
    return any(host.endswith(f".{output[name]}") for output in outputs for name in ("dnsSuffix", "dualStackDnsSuffix"))


def trusted(session: boto3.Session) -> str | None:
    """The file of certificates to trust instead of the usual ones."""
    return session._session.get_config_variable("ca_bundle") or ca_bundle()


def style(session: boto3.Session) -> str:
    """How boto3's files say that a bucket stands in an address."""
    found: str = (session._session.get_config_variable("s3") or {}).get("addressing_style", "auto")
    return found


def is_directory(bucket: str) -> bool:
    """Whether it is one of S3 Express."""
    return bucket.endswith(DIRECTORY_BUCKET)


def check(name: str, endpoint: str) -> None:
    """Raises StorageError where the endpoint is no address."""
    try:
        _ = urlsplit(endpoint).port
        # No machine can have this host name.
        if not (is_valid_endpoint_url(endpoint) or is_valid_ipv6_endpoint_url(endpoint)):
            raise ValueError("not http://host or https://host")
    except ValueError as error:
        raise StorageError(
            f"the endpoint {endpoint} is no address: {error}", "Write http://host:port.", place=name
        ) from None
