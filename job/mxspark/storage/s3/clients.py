"""How a bucket is reached: credentials, region, addresses, time limits, for boto3, obstore and plain requests alike."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.model import OperationModel
from botocore.utils import is_valid_endpoint_url
from obstore.store import S3Store as ObstoreS3

from mxspark.storage import web
from mxspark.storage.s3.credentials import LOCK, Origin, origin
from mxspark.storage.s3.errors import boto_errors
from mxspark.storage.store import Access, StorageError, ca_bundle

if TYPE_CHECKING:
    from obstore.store import S3Credential

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

    def _make_client(self, attempts: int) -> Any:
        settings = self.access.settings
        if self._endpoint is not None:
            _address(self.name, self._endpoint)
        session = self.session
        with boto_errors(self.name), LOCK:
            client = session.client(
                "s3",
                endpoint_url=settings.endpoint_url,
                verify=ca_bundle(),
                region_name=session.region_name or "us-east-1",
                config=Config(
                    signature_version=UNSIGNED if settings.anonymous else "s3v4",
                    s3={"addressing_style": "path" if self._is_path_style else "virtual"},
                    connect_timeout=settings.connect_timeout,
                    read_timeout=settings.read_timeout,
                    retries={"total_max_attempts": attempts, "mode": "standard"},
                ),
            )
        if settings.request_payer:
            client.meta.events.register("before-parameter-build.s3", _pay)
        return client

    @property
    def headers(self) -> dict[str, str]:
        """Those that belong to an address that `client` signed."""
        return {"x-amz-request-payer": "requester"} if self.access.settings.request_payer else {}

    @cached_property
    def pages(self) -> web.Pool:
        """Connections for addresses that boto3 signs."""
        with boto_errors(self.name):
            url = self.client.generate_presigned_url("list_objects_v2", Params={"Bucket": self.bucket})
        return web.pool(url, self.access.settings)

    @property
    def _endpoint(self) -> str | None:
        """The S3-compatible server that is not AWS, from the settings or where boto3 takes it from."""
        return self.access.settings.endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")

    @property
    def _is_path_style(self) -> bool:
        style = self.access.settings.addressing_style
        # A dot in a bucket's name fits no wildcard certificate.
        return style == "path" or (style == "auto" and (self._endpoint is not None or "." in self.bucket))

    @cached_property
    def obstore(self) -> ObstoreS3:
        """obstore's client, with boto3's credentials."""
        settings = self.access.settings
        options: dict[str, Any] = {"skip_signature": True}
        if not settings.anonymous:
            options = {"credential_provider": self._obstore_credentials}
        if bundle := ca_bundle():
            os.environ.setdefault("SSL_CERT_FILE", bundle)  # the only way to tell obstore
        endpoint = self._endpoint
        if endpoint is not None:
            address = _address(self.name, endpoint)
            scheme, host = address.scheme, address.netloc
            options["endpoint"] = endpoint if self._is_path_style else f"{scheme}://{self.bucket}.{host}"
        return ObstoreS3(
            self.bucket,
            region=self._region(),
            virtual_hosted_style_request=not self._is_path_style,
            request_payer=settings.request_payer,
            client_options={
                "allow_http": endpoint is not None and endpoint.startswith("http://"),
                "connect_timeout": timedelta(seconds=settings.connect_timeout),
                "timeout": timedelta(seconds=settings.read_timeout),
            },
            retry_config={"max_retries": 0},
            **options,
        )

    def _obstore_credentials(self) -> "S3Credential":
        """Asked for every 100 ms at most. They are at hand: a request asks `credentials` first."""
        found = self._origin.credentials.get_frozen_credentials()
        now = datetime.now(UTC)
        return {"access_key_id": found.access_key, "secret_access_key": found.secret_key, "token": found.token, "expires_at": now}

    def _region(self) -> str:
        """The bucket's region, which boto3 follows redirects to and obstore has to know."""
        region = self.access.settings.region or self.session.region_name
        if self._endpoint is None and self.access.settings.region is None:
            try:
                response = self.client.head_bucket(Bucket=self.bucket)
            except ClientError as error:  # a refused HEAD names the region all the same
                response = error.response
            except BotoCoreError:
                return region or "us-east-1"
            region = response["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region", region)
        return region or "us-east-1"


def _pay(params: dict[str, Any], model: OperationModel, **_event: Any) -> None:
    """Says of every request that can say it that who makes it pays."""
    if model.input_shape is not None and "RequestPayer" in model.input_shape.members:
        params["RequestPayer"] = "requester"


def _address(name: str, endpoint: str) -> SplitResult:
    """The endpoint in its parts. obstore would panic at a port that is none; boto3 takes no host that no machine can have."""
    try:
        address = urlsplit(endpoint)
        _ = address.port
        if not is_valid_endpoint_url(endpoint):
            raise ValueError("not http://host or https://host")
    except ValueError as error:
        raise StorageError(f"the endpoint {endpoint} is no address: {error}", "Write http://host:port.", place=name) from None
    return address
