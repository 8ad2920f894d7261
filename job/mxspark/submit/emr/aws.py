"""AWS for submissions: a session, a few services, and their errors with a hint.

Besides storage.s3 the only place that imports boto3 and botocore, and only when AWS is needed: `--help` stays fast.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from mxspark.errors import MxsparkError, PassingError, UsageError, one_line
from mxspark.storage.store import ca_bundle, hush

if TYPE_CHECKING:
    import boto3

CONNECT_SECONDS, READ_SECONDS = 5, 30
ATTEMPTS = 6  # of one request, with botocore's backoff and jitter


class NotThereError(MxsparkError):
    """There is no such thing in AWS."""


class NotAllowedError(MxsparkError):
    """The credentials lack a permission."""


LOG_IN = "Log in again (aws sso login, aws login, or your way to get credentials); AWS_PROFILE chooses others."
Table = Mapping[str, tuple[type[MxsparkError], str, str]]  # by a pattern: kind, problem and hint; the first one counts
# What boto3 raises, by the names of its classes.
FAULTS: Table = {
    "Credential|TokenRetrievalError|SSOError|LoginError|NoAuthTokenError": (
        UsageError, "the AWS credentials can't be used: {error}", LOG_IN
    ),
    "ProfileNotFound": (UsageError, "{error}", "Check AWS_PROFILE; `aws configure list-profiles` lists them."),
    # ConnectionError: of the time that connecting takes, of certificates, of proxies.
    "ConnectionError|HTTPClientError|ResponseParserError|IncompleteReadError": (
        PassingError, "{doing} failed: {error}",
        "Check the network, its proxy and its certificates (AWS_CA_BUNDLE), and whether EMR on EKS is in {region}.",
    ),
    "": (UsageError, "{doing} failed: {error}", "Check the settings, and the AWS configuration: AWS_REGION, ~/.aws."),
}  # fmt: skip
# What AWS answers, by its code and HTTP status.
ANSWERS: Table = {
    "ExpiredToken|RequestExpired|TokenRefreshRequired": (
        UsageError, "{doing}: the AWS credentials have expired", LOG_IN
    ),
    "UnrecognizedClient|InvalidClientTokenId|InvalidAccessKeyId|InvalidSignature|SignatureDoesNotMatch|AuthFailure|"
    "IncompleteSignature|MissingAuthenticationToken": (
        UsageError, "{doing}: AWS rejects these credentials ({code}: {message})",
        LOG_IN + " Is {region} the right region?",
    ),
    r"AccessDenied|Unauthorized|NotAuthorized|Forbidden|\b403\b": (
        NotAllowedError, "{doing} is not allowed: {message}", "docs/emr.md lists the permissions that are needed."
    ),
    r"Throttl|SlowDown|TooManyRequests|RequestLimitExceeded|\b429\b": (
        PassingError, "{doing}: AWS throttles the requests ({code})", "Try again in a minute."
    ),
    "QuotaExceeded|LimitExceeded": (
        UsageError, "{doing}: {message}",
        "Wait for others to end, or have the quota raised (Service Quotas in AWS's console).",
    ),
    r"NotFound|NoSuch|\b404\b": (
        NotThereError, "{doing}: {message}", "Check the name or id, and the region: {region}."
    ),
    "Validation|InvalidRequest|InvalidParameter": (
        UsageError, "{doing}: AWS rejects it: {message}",
        "Correct the setting that causes it; `mxspark doctor emr` looks for it.",
    ),
    r"\b5\d\d\b": (PassingError, "{doing}: AWS had an internal error ({code}: {message})", "Try again later."),
    "": (MxsparkError, "{doing} failed ({code}: {message})", ""),
}  # fmt: skip


class Aws:
    """A session in a region."""

    def __init__(self, session: "boto3.Session") -> None:
        self._session = session
        self.client = cache(self._make_client)  # by service; tests put stubs on it

    @classmethod
    def connect(cls, region: str | None = None) -> "Aws":
        """With the credentials of boto3's default chain. Raises UsageError where there are none, or no region."""
        import boto3

        hush()
        with _errors("looking for credentials", region):
            # As AWS's other tools and EKS set it; botocore itself reads only the older AWS_DEFAULT_REGION.
            session = boto3.Session(region_name=region or os.environ.get("AWS_REGION") or None)
            if not session.region_name:
                raise UsageError(
                    "no AWS region is given",
                    "Name that of the virtual cluster: --region, or the variable AWS_REGION.",
                )
            if session.get_credentials() is None:
                raise UsageError(
                    "no AWS credentials found",
                    "Log in (aws sso login, aws configure), or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
                    "AWS_SECRET_ACCESS_KEY.",
                )
        return cls(session)

    @property
    def region(self) -> str:
        return str(self._session.region_name)

    def _make_client(self, service: str) -> Any:
        from botocore.config import Config

        retries = {"total_max_attempts": ATTEMPTS, "mode": "standard"}
        config = Config(connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries=retries)
        return self._session.client(service, verify=ca_bundle(), config=config)

    def call(self, service: str, operation: str, doing: str, **parameters: Any) -> dict[str, Any]:
        """A response of AWS. Raises NotThereError, NotAllowedError, PassingError; UsageError for what AWS
        rejects, and for credentials.
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
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        said, status = error.response.get("Error", {}), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        code, message = said.get("Code", ""), " ".join(str(said.get("Message", "")).split()) or one_line(error)
        missing = " NotFound" if re.search("does(n't| not) exist", message) else ""
        table, known, words = ANSWERS, f"{code} {status}{missing}", {"code": code, "message": message}
    except (BotoCoreError, ResponseParserError) as error:
        table, known = FAULTS, " ".join(kind.__name__ for kind in type(error).__mro__)
        words = {"error": " ".join(str(error).split())[:500]}
    else:
        return
    kind, problem, hint = next(row for pattern, row in table.items() if re.search(pattern, known))
    raise kind(*(text.format(doing=doing, region=region, **words) for text in (problem, hint)))
