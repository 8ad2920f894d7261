"""AWS for submissions: a session, a few services, and their errors with a hint.

Besides storage.s3 the only place that imports boto3 and botocore, and only when AWS is needed: `--help` stays fast.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

from mxspark.errors import MxsparkError, PassingError, UsageError, one_line
from mxspark.storage.store import ca_bundle, hush

if TYPE_CHECKING:
    import boto3
    from botocore.exceptions import ClientError

CONNECT_SECONDS, READ_SECONDS = 5, 30
ATTEMPTS = 6  # of one request, with botocore's backoff and jitter
LOG_IN = "Log in again (aws sso login, or your way to get credentials); AWS_PROFILE chooses others."
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
UNKNOWN_KEYS = {
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "AuthFailure",
    "IncompleteSignature",
    "MissingAuthenticationToken",
}
DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized", "Forbidden", "403"}
MISSING = {
    "ResourceNotFoundException",
    "NoSuchEntity",
    "NoSuchBucket",
    "NoSuchKey",
    "NotFound",
    "404",
    "RepositoryNotFoundException",
}
MISSING |= {"ImageNotFoundException", "LayersNotFoundException"}
THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
}
THROTTLED |= {
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "EKSRequestThrottledException",
    "ProvisionedThroughputExceededException",
}
QUOTA = {"ServiceQuotaExceededException", "LimitExceededException"}


class NotThereError(MxsparkError):
    """There is no such thing in AWS."""


class NotAllowedError(MxsparkError):
    """The credentials lack a permission."""


class RefusedError(UsageError):
    """AWS rejects the request."""


class InvalidError(RefusedError):
    """AWS finds the request invalid."""


class Aws:
    """A session in a region. `s3_endpoint` is that of an S3-compatible server, where the settings name one."""

    def __init__(self, session: "boto3.Session", s3_endpoint: str | None = None) -> None:
        self._session = session
        self._s3_endpoint = s3_endpoint
        self.client = cache(self._make_client)  # by service; tests put stubs on it

    @classmethod
    def connect(cls, region: str | None = None, s3_endpoint: str | None = None) -> "Aws":
        """With the credentials of boto3's default chain. Raises UsageError where there are none, or no region."""
        import boto3

        hush()
        with _errors("looking for credentials", region):
            # As AWS's other tools and EKS set it; botocore itself reads only the older AWS_DEFAULT_REGION.
            session = boto3.Session(region_name=region or os.environ.get("AWS_REGION") or None)
            if not session.region_name:
                raise UsageError(
                    "no AWS region is given", "Name that of the virtual cluster: --region, or the variable AWS_REGION."
                )
            if session.get_credentials() is None:
                raise UsageError(
                    "no AWS credentials found",
                    "Log in (aws sso login, aws configure), or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
                    "AWS_SECRET_ACCESS_KEY.",
                )
        return cls(session, s3_endpoint)

    @property
    def region(self) -> str:
        return str(self._session.region_name)

    def in_region(self, region: str) -> "Aws":
        """The same credentials in another region."""
        if region == self.region:
            return self
        import boto3

        with _errors("looking for credentials", region):
            return Aws(boto3.Session(region_name=region), self._s3_endpoint)

    def _make_client(self, service: str) -> Any:
        from botocore.config import Config

        with _errors(f"reaching {service}", self.region):
            return self._session.client(
                service,
                endpoint_url=self._s3_endpoint if service == "s3" else None,
                verify=ca_bundle(),
                config=Config(
                    connect_timeout=CONNECT_SECONDS,
                    read_timeout=READ_SECONDS,
                    retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
                ),
            )

    def call(self, service: str, operation: str, doing: str, **parameters: Any) -> dict[str, Any]:
        """A response of AWS. Raises NotThereError, NotAllowedError, RefusedError, PassingError; UsageError for
        credentials.
        """
        with _errors(doing, self.region):
            answer: dict[str, Any] = getattr(self.client(service), operation)(**parameters)
            return answer

    def pages(self, service: str, operation: str, key: str, doing: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """The items under `key` of all pages of a response."""
        with _errors(doing, self.region):
            for page in self.client(service).get_paginator(operation).paginate(**parameters):
                yield from page.get(key) or ()

    def read_object(self, bucket: str, key: str, limit: int) -> bytes:
        """An object in S3, or its first `limit` bytes."""
        with _errors(f"reading s3://{bucket}/{key}", self.region):
            body: bytes = self.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read(limit)
            return body


@contextmanager
def _errors(doing: str, region: str | None) -> Iterator[None]:
    """Translates what boto3 raises while `doing` something."""
    from botocore import exceptions
    from botocore.parsers import ResponseParserError

    try:
        yield
    except exceptions.ClientError as error:
        _raise_translated(error, doing, region)
    except (
        exceptions.NoCredentialsError,
        exceptions.PartialCredentialsError,
        exceptions.CredentialRetrievalError,
    ) as error:
        raise UsageError(f"no AWS credentials: {one_line(error)}", LOG_IN) from None
    except (exceptions.TokenRetrievalError, exceptions.SSOError, exceptions.UnauthorizedSSOTokenError) as error:
        raise UsageError(f"the AWS credentials can't be used: {one_line(error)}", LOG_IN) from None
    except exceptions.ProfileNotFound as error:
        raise UsageError(one_line(error), "Check AWS_PROFILE; `aws configure list-profiles` lists them.") from None
    except exceptions.NoRegionError:
        raise UsageError(
            "no AWS region is given", "Name that of the virtual cluster: --region, or the variable AWS_REGION."
        ) from None
    except exceptions.InvalidRegionError as error:
        raise UsageError(one_line(error), "Check --region and AWS_REGION.") from None
    except exceptions.EndpointConnectionError as error:
        raise PassingError(
            f"{doing} failed: {one_line(error)}",
            f"Check the network, and the region: {region}. EMR on EKS is not in every region.",
        ) from None
    except exceptions.ParamValidationError as error:
        raise RefusedError(
            f"{doing}: {' '.join(str(error).split())[:500]}", "Correct the setting that causes it."
        ) from None
    except (
        exceptions.HTTPClientError,
        ResponseParserError,
        exceptions.ResponseStreamingError,
        exceptions.IncompleteReadError,
    ) as error:
        raise PassingError(f"{doing} failed: {one_line(error)}", "Check the network, and try again.") from None
    except exceptions.BotoCoreError as error:
        raise MxsparkError(f"{doing} failed: {one_line(error)}", "Check the AWS configuration.") from None


def _raise_translated(error: "ClientError", doing: str, region: str | None) -> NoReturn:
    details: Mapping[str, Any] = error.response.get("Error", {})
    code, message = str(details.get("Code", "")), " ".join(str(details.get("Message", "")).split()) or one_line(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code in EXPIRED:
        raise UsageError(f"{doing}: the AWS credentials have expired", LOG_IN)
    if code in UNKNOWN_KEYS:
        raise UsageError(
            f"{doing}: AWS rejects these credentials ({code}: {message})",
            f"{LOG_IN} Is {region} the right region?",
        )
    if code in DENIED or status == 403:
        raise NotAllowedError(
            f"{doing} is not allowed: {message}", "docs/emr.md lists the permissions that are needed."
        )
    if code in THROTTLED or status == 429:
        raise PassingError(f"{doing}: AWS throttles the requests ({code})", "Try again in a minute.")
    if code in QUOTA:
        raise RefusedError(
            f"{doing}: {message}", "Wait for others to end, or have the quota raised (Service Quotas in AWS's console)."
        )
    if code in MISSING or status == 404 or "doesn't exist" in message or "does not exist" in message:
        raise NotThereError(f"{doing}: {message}", f"Check the name or id, and the region: {region}.")
    if code in ("ValidationException", "InvalidRequestException", "InvalidParameterException", "ValidationError"):
        raise InvalidError(f"{doing}: AWS rejects it: {message}", "Correct the setting that causes it.")
    if status is not None and status >= 500:
        raise PassingError(f"{doing}: AWS had an internal error ({code}: {message})", "Try again later.")
    raise MxsparkError(f"{doing} failed ({code}: {message})", "")
