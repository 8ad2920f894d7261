"""How a bucket is reached: credentials, region, addresses, time limits, for boto3, obstore and plain requests alike."""

import os
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any
from urllib.parse import SplitResult, urlsplit

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.model import OperationModel
from botocore.utils import is_valid_endpoint_url
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.store import S3Store as ObstoreS3

from mxspark.storage import web
from mxspark.storage.s3.errors import boto_errors
from mxspark.storage.store import Access, NoCredentialsError, StorageError, ca_bundle, hush

# botocore renews credentials ten minutes before they expire at the latest; asking it more often than that is always in time.
CREDENTIALS_TTL = timedelta(minutes=5)
PART_TRIES = 4  # of one part of a large file, before the whole file is tried again


@dataclass(frozen=True)
class Clients:
    """The clients of a bucket, each made when it is first asked for; `name` is what errors call the place."""

    bucket: str
    access: Access
    name: str

    @cached_property
    def session(self) -> boto3.Session:
        """boto3 with the credentials that it found. Raises NoCredentialsError where there are none."""
        hush()
        given = self.access.credentials
        with boto_errors(self.name):
            session = boto3.Session(
                aws_access_key_id=given.access_key if given else None,
                aws_secret_access_key=given.secret_key if given else None,
                # As AWS's other programs and EKS have it; botocore itself knows only the older name of the variable.
                region_name=self.access.settings.region or os.environ.get("AWS_REGION"),
            )
            if not self.access.settings.anonymous and session.get_credentials() is None:
                raise NoCredentialsError(
                    "no AWS credentials found",
                    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or give the pod or instance a role; "
                    "for a public bucket --set storage.anonymous=true.",
                    place=self.name,
                )
            return session

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
        with boto_errors(self.name):
            client = self.session.client(
                "s3",
                endpoint_url=settings.endpoint_url,
                verify=ca_bundle(),
                region_name=self.session.region_name or "us-east-1",
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
            options = {"credential_provider": Boto3CredentialProvider(self.session, ttl=CREDENTIALS_TTL)}
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
