"""What S3 servers and networks say, as errors: those that stay with a mend, those that may pass with their cause."""

from typing import NoReturn

from mxspark.storage.store import DeniedError, MissingError, StorageError, TransientError

# Codes that stand for something lasting: the kind of error, the cause in words, the mend.
_LASTING: dict[str, tuple[type[StorageError], str, str]] = {
    "NoSuchBucket": (MissingError, "there is no such bucket", "Check the bucket's name, and --endpoint-url if it isn't on AWS."),
    "NoSuchKey": (MissingError, "there is no such object", "Check the key."),
    "404": (MissingError, "there is no such object or bucket", "Check the name, and --endpoint-url if it isn't on AWS."),
    "AccessDenied": (DeniedError, "access denied", "Give these credentials the right to do this."),
    "403": (DeniedError, "access denied", "Give these credentials the right to do this."),
    "InvalidAccessKeyId": (DeniedError, "the server doesn't know this access key", "Check AWS_ACCESS_KEY_ID and --endpoint-url."),
    "SignatureDoesNotMatch": (DeniedError, "the secret key doesn't fit the access key", "Check AWS_SECRET_ACCESS_KEY."),
    "InvalidToken": (DeniedError, "the session token is not one of this server's", "Check AWS_SESSION_TOKEN."),
    "RequestTimeTooSkewed": (DeniedError, "this machine's clock differs too much from the server's", "Set the clock."),
    "PermanentRedirect": (StorageError, "the bucket is in another region", "Set storage.region."),
}
# Codes and HTTP statuses of what may pass, by cause.
_TRANSIENT = {
    "SlowDown": "throttled",
    "SlowDownRead": "throttled",
    "SlowDownWrite": "throttled",
    "ServiceUnavailable": "throttled",
    "Throttling": "throttled",
    "ThrottlingException": "throttled",
    "RequestLimitExceeded": "throttled",
    "TooManyRequests": "throttled",
    "TooManyRequestsException": "throttled",
    "429": "throttled",
    "503": "throttled",
    "InternalError": "server_error",
    "OperationAborted": "server_error",
    "ConditionalRequestConflict": "server_error",
    "409": "server_error",
    "500": "server_error",
    "502": "server_error",
    "504": "server_error",
    "RequestTimeout": "timeout",
    "RequestTimeoutException": "timeout",
    "408": "timeout",
    "IncompleteBody": "truncated",
    "BadDigest": "truncated",
    "PreconditionFailed": "replaced",
    "412": "replaced",
}
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired")


def raise_s3(name: str, code: str, message: str, status: int | None = None) -> NoReturn:
    """Raises what the code (or else the HTTP status) of a server's answer about `name` means."""
    if code in _EXPIRED:
        mend = "Renew them and run the same command again."
        raise TransientError(f"{name}: the credentials have expired", mend, cause="expired_credentials", final=DeniedError)
    known = code in _LASTING or code in _TRANSIENT
    said = f"{code}: {message}".rstrip(": ")
    if not known and status is not None:
        code = str(status)
    if cause := _TRANSIENT.get(code):
        raise TransientError(f"{name}: {said}", cause=cause)
    kind, words, mend = _LASTING.get(code, (StorageError, said, ""))
    raise kind(f"{name}: {words}", mend)
