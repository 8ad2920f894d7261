"""How a bucket is reached: credentials, region, addresses, time limits, for boto3, obstore and plain requests alike."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import ClientError
from botocore.model import OperationModel
from obstore.store import S3Store as ObstoreS3

from mxspark.errors import one_line
from mxspark.settings.job import Checksums
from mxspark.storage import web
from mxspark.storage.errors import passing
from mxspark.storage.s3 import address
from mxspark.storage.s3.bounds import bound
from mxspark.storage.s3.credentials import LOCK, Origin, origin
from mxspark.storage.s3.errors import NOWHERE, boto_errors, boto_requests
from mxspark.storage.store import Access, StorageError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Credential

PART_TRIES = 4  # of one part of a large file, before the whole file is tried again


@dataclass(frozen=True)
class Clients:
    """The clients of a bucket, each made when it is first asked for; `name` is what errors call the place."""

    bucket: str
    access: Access
    name: str

    @cached_property
    def _origin(self) -> Origin:
        return origin(self.access)

    @property
    def session(self) -> boto3.Session:
        """boto3 with the credentials of this process."""
        with boto_errors(self.name):
            return self._origin.session

    def credentials(self) -> ReadOnlyCredentials | None:
        """The keys of now, None for requests that aren't signed. Raises TransientError, CredentialsError."""
        if self.access.settings.anonymous:
            return None
        with boto_errors(self.name):
            return self._origin.credentials.get_frozen_credentials()

    def forget(self, refused: ReadOnlyCredentials | None) -> None:
        """Looks for other credentials next time, where these have been refused as expired."""
        if refused is not None:
            self._origin.credentials.forget(refused)

    @cached_property
    def client(self) -> Any:
        """boto3's client, which tries nothing again by itself."""
        return self._make_client(1)

    @cached_property
    def transfers(self) -> Any:
        """The client of large files, which go in parts that can be tried again each."""
        return self._make_client(PART_TRIES)

    def _make_client(self, attempts: int, region: str | None = None) -> Any:
        settings = self.access.settings
        requests = self._checksums(settings.request_checksums, "request_checksum_calculation")
        responses = self._checksums(settings.response_checksums, "response_checksum_validation")
        session, region, style = self.session, region or self._region, "path" if self._is_path_style else "virtual"
        with boto_errors(self.name), LOCK:
            client = session.client(
                "s3",
                endpoint_url=settings.endpoint_url,
                verify=address.trusted(session),
                region_name=region,
                config=Config(
                    signature_version=UNSIGNED
                    if settings.anonymous
                    else None
                    if address.is_directory(self.bucket)
                    else "s3v4",
                    s3={"addressing_style": style},
                    request_checksum_calculation=requests,
                    response_checksum_validation=responses,
                    connect_timeout=settings.connect_timeout,
                    read_timeout=settings.read_timeout,
                    retries={"total_max_attempts": attempts, "mode": "standard"},
                ),
            )
        client.meta.events.register_last("before-parameter-build.s3", _stay)
        bound(client, settings.read_timeout)
        if settings.request_payer:
            client.meta.events.register("before-parameter-build.s3", _pay)
        return client

    def _checksums(self, chosen: Checksums, name: str) -> str | None:
        """When there are some, as boto3 names it; None for what boto3 is configured for, or does on AWS."""
        if chosen != "auto":
            return chosen
        is_configured = f"AWS_{name.upper()}" in os.environ or name in self.session._session.get_scoped_config()
        return None if self._is_of_aws or is_configured else "when_required"

    @property
    def headers(self) -> dict[str, str]:
        """Those that belong to an address that `client` signed."""
        return {"x-amz-request-payer": "requester"} if self.access.settings.request_payer else {}

    @cached_property
    def pages(self) -> web.Pool:
        """Connections for addresses that boto3 signs."""
        return web.pool(self.address.base, self.access.settings, address.trusted(self.session))

    @cached_property
    def address(self) -> address.Address:
        """Where all requests about the bucket's objects go."""
        client = self._make_client(1)
        with boto_errors(self.name):
            return address.resolved(client, self.bucket, self._region)

    @property
    def host(self) -> str:
        """The server that answers; empty where that isn't known by now."""
        return urlsplit(self.address.base).netloc if "_region" in self.__dict__ else ""

    @cached_property
    def _endpoint(self) -> str:
        """The server of the settings, else the one that boto3 finds."""
        if self.access.settings.endpoint_url is not None:
            address.check(self.name, self.access.settings.endpoint_url)
            return self.access.settings.endpoint_url
        session = self.session
        try:
            with boto_errors(self.name), LOCK:
                return address.configured(session)
        except ValueError as error:
            raise StorageError(
                one_line(error), "Check AWS_ENDPOINT_URL and the AWS configuration.", place=self.name
            ) from None

    @cached_property
    def _is_of_aws(self) -> bool:
        return address.is_of_aws(self.session, self._endpoint)

    @property
    def _is_path_style(self) -> bool:
        settings = self.access.settings
        if address.is_directory(self.bucket):
            return False  # there are no others of S3 Express
        style = address.style(self.session) if settings.addressing_style == "auto" else settings.addressing_style
        # A dot in a bucket's name fits no wildcard certificate.
        is_auto_path = settings.endpoint_url is not None or "." in self.bucket or not self._is_of_aws
        return style == "path" or (style == "auto" and is_auto_path)

    def obstore_is_safe(self) -> bool:
        """Whether obstore can sign for this bucket, and tells nobody else: it follows a server that sends it elsewhere,
        through a proxy to any host, and to another port of this one with the session token. (On https:// that is the
        same owner's.)"""
        if self.is_without_obstore.is_set() or not self._obstore_reaches_only_this_host:
            return False
        if self.address.base.startswith("https:"):
            return True
        keys = self.credentials()
        return keys is None or keys.token is None

    @cached_property
    def is_without_obstore(self) -> Event:
        """Set where obstore turned out not to take the server's certificate."""
        return Event()

    @cached_property
    def _obstore_reaches_only_this_host(self) -> bool:
        return not address.is_directory(self.bucket) and web.proxy(self.address.base) is None

    @cached_property
    def obstore(self) -> ObstoreS3:
        """obstore's client, with boto3's credentials, for boto3's address."""
        settings = self.access.settings
        client_options: ClientConfig = {
            "allow_http": self.address.base.startswith("http://"),
            "connect_timeout": timedelta(seconds=settings.connect_timeout),
            "timeout": timedelta(seconds=settings.read_timeout),
            # obstore would read the environment by rules of its own (all_proxy, networks in no_proxy), and follow a
            # server that sends it elsewhere, with the session token: every host but this one has a proxy that can't be
            # there.
            "proxy_url": NOWHERE,
            "proxy_excludes": urlsplit(self.address.base).hostname or "",
        }
        if bundle := address.trusted(self.session):
            client_options["root_certificate"] = _certificates(self.name, bundle)
        return ObstoreS3(
            self.bucket,
            aws_endpoint_url_s3=self.address.base,  # which wins over the variable of this name, that obstore reads too
            region=self.address.region,
            virtual_hosted_style_request=True,  # the endpoint has the bucket in it, wherever that is
            s3_express=False,
            request_payer=settings.request_payer,
            skip_signature=settings.anonymous,
            credential_provider=None if settings.anonymous else self._obstore_credentials,
            client_options=client_options,
            retry_config={"max_retries": 0},
        )

    def _obstore_credentials(self) -> "S3Credential":
        """Asked for every 100 ms at most. They are at hand: a request asks `credentials` first."""
        found = self._origin.credentials.get_frozen_credentials()
        now = datetime.now(UTC)
        return {
            "access_key_id": found.access_key,
            "secret_access_key": found.secret_key,
            "token": found.token,
            "expires_at": now,
        }

    @cached_property
    def _region(self) -> str:
        """The bucket's, which AWS tells: asked once for each client of it, where the settings don't say."""
        region = self.access.settings.region or self.session.region_name or "us-east-1"
        if not self._is_of_aws or self.access.settings.region is not None or address.is_directory(self.bucket):
            return region
        client = self._make_client(1, region)
        with boto_requests(self.name):
            try:
                response = client.head_bucket(Bucket=self.bucket)
            except ClientError as error:  # a refused HEAD names the region all the same
                response = error.response
                if passing("", response["ResponseMetadata"].get("HTTPStatusCode")):
                    raise
        return str(response["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region", region))


def _certificates(name: str, bundle: str) -> bytes:
    try:
        return Path(bundle).read_bytes()
    except OSError as error:
        raise StorageError(f"{bundle}: {error.strerror}", "Check AWS_CA_BUNDLE.", place=name) from None


def _stay(context: dict[str, Any], **_event: Any) -> None:
    """Keeps boto3 from asking for another region and going there by itself, which no other request would do; sent on
    and on, as proxies may do, it would not come to an end."""
    if "s3_redirect" in context:
        context["s3_redirect"]["redirected"] = True


def _pay(params: dict[str, Any], model: OperationModel, **_event: Any) -> None:
    """Says of every request that can say it that who makes it pays."""
    if model.input_shape is not None and "RequestPayer" in model.input_shape.members:
        params["RequestPayer"] = "requester"
