"""What can go wrong before a request to S3 can be signed, and whether it may pass."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from mxspark.errors import one_line
from mxspark.host import is_pod
from mxspark.storage import web
from mxspark.storage.errors import PROXIES, PROXY_HINT, is_about_time, is_page, passing, shown
from mxspark.storage.s3.pages import PageError
from mxspark.storage.store import CredentialsError, StorageError, TransientError

CHECK = "Check the AWS configuration: AWS_PROFILE, AWS_ROLE_ARN, the profile's file, the role of the pod or instance."
LATER = "Run the same command again when it has recovered."
REFUSED = (
    "It gives this process no role: let pods reach it (a hop limit of 2, no network policy or proxy before "
    "169.254.169.254), give them a role of their own, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
)
ANSWERED = PROXY_HINT.partition("; ")[0] + "."
ON_THE_WAY = (
    "Somebody on the way answers in its place: add 169.254.169.254 to NO_PROXY, or take the proxy or portal away that "
    "stands before it; where there is no such service, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
)
CODE = re.compile(rb'"Code"\s*:\s*"(\w+)"')  # of the metadata service, in an answer with status 200
LOG_IN = "Log in again (aws sso login, aws login)."
# Who answers for a role, by what it was asked.
SERVICES = {"GetRoleCredentials": "SSO", "CreateToken": "SSO", "CreateOAuth2Token": "AWS sign-in"}
# A key server of the identity provider's that doesn't answer STS; other tokens are refused for good.
IDP_BUSY = re.compile(r"^IDPCommunicationError|^InvalidIdentityToken: .*Couldn't retrieve verification key")
LOGINS = (exceptions.SSOError, exceptions.TokenRetrievalError, exceptions.NoAuthTokenError, exceptions.LoginError)
NOT_THERE = 404
NETWORK = (exceptions.ConnectionError, exceptions.HTTPClientError)
# What comes of an answer that broke off, that a proxy gave, or in which something is missing.
UNREADABLE = (ResponseParserError, KeyError, TypeError, AttributeError, RuntimeError)


class KeysNotFoundError(Exception):
    """No credentials: `reason` says why, and `passes` whether they may come yet.

    With `in_pods` they may come in a pod: the agent, metadata service or token that gives them may be there later than
    it.
    """

    def __init__(self, reason: str, hint: str, *, passes: bool, in_pods: bool = False, is_whole: bool = False) -> None:
        self.reason = reason if is_whole else f"can't get credentials: {reason}"
        self.hint = hint
        self.passes = passes or (in_pods and is_pod(os.environ))
        super().__init__(self.reason)

    def as_storage_error(self, place: str) -> StorageError:
        """The same as the storage error of `place`."""
        if self.passes:
            return TransientError(self.reason, self.hint, place=place, cause="credentials", final=CredentialsError)
        return CredentialsError(self.reason, self.hint, place=place)


def no_credentials() -> KeysNotFoundError:
    return KeysNotFoundError(
        "no AWS credentials found",
        "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or give the pod or instance a role; "
        "for a public bucket --set storage.anonymous=true.",
        passes=False,
        in_pods=True,
        is_whole=True,
    )


class Metadata:
    """What an instance's metadata service answered: botocore takes one that is too busy for one that isn't there."""

    def __init__(self) -> None:
        self._send: Any = None
        self._was_there = False
        self.failure: KeysNotFoundError | None = None

    def watch(self, provider: Any) -> None:
        """Looks on while botocore's provider asks it."""
        http = provider._role_fetcher._session  # which has no public name
        self._send, http.send = http.send, self._watched

    def _watched(self, request: Any) -> Any:
        try:
            response = self._send(request)
        except NETWORK as error:
            if self._was_there:
                self._fail(type(error).__name__.removesuffix("Error"))
            raise
        self._was_there = True
        self.failure = None
        if passing("", response.status_code):
            self._fail(str(response.status_code))
        elif (said := CODE.search(response.content)) and said[1] != b"Success":
            self.failure = KeysNotFoundError(
                f"metadata service: {said[1].decode()}",
                "Check the instance's role and who may assume it.",
                passes=False,
            )
        elif self._is_a_page(response):
            self.failure = KeysNotFoundError(
                f"not a response of the metadata service (HTTP {response.status_code})",
                ON_THE_WAY,
                passes=False,
                in_pods=True,
            )
            response.status_code, response._content = NOT_THERE, b""  # botocore would take a page for a token, and fail
        # Afterwards botocore may find keys without a token, or none.
        elif response.status_code in (400, 401, 403):
            self.failure = KeysNotFoundError(f"metadata service: {response.status_code}", REFUSED, passes=False)
        return response

    @staticmethod
    def _is_a_page(response: Any) -> bool:
        """Whether it can't be the service's: it sends nobody elsewhere, and shows no pages; its 404 says that there
        is no role.
        """
        is_known = response.status_code in (200, 400, 401, 403, NOT_THERE)
        return not is_known or is_page(response.content.decode(errors="replace"))

    def _fail(self, what: str) -> None:
        self.failure = KeysNotFoundError(f"metadata service: {what}", LATER, passes=True)


@contextmanager
def credential_errors(metadata: Metadata | None = None) -> Iterator[None]:
    """What botocore raises where it looks for credentials, as a KeysNotFoundError."""
    try:
        yield
    except PageError as page:
        if passing("", page.status):
            raise KeysNotFoundError(
                f"{page.service}: HTTP {page.status} {page.words}".rstrip(), LATER, passes=True
            ) from page
        raise KeysNotFoundError(str(page), ANSWERED, passes=True) from page
    except ClientError as error:
        raise _refused(error) from error
    except LOGINS as error:
        raise KeysNotFoundError(one_line(error), LOG_IN, passes=True) from error
    except exceptions.CredentialRetrievalError as error:
        # Of a role that is assumed with the instance's, botocore says only that there is none.
        raise (metadata and metadata.failure) or _not_retrieved(error) from error
    except NETWORK as error:
        if refusal := web.refused_by_proxy(error):
            raise KeysNotFoundError(refusal, ANSWERED, passes=True) from error
        address = urlsplit(str(error.kwargs.get("endpoint_url")))
        host = address.netloc.rpartition("@")[2]
        what = f"{_service(host)} can't be reached at {host}" if host else one_line(error)
        passes = "CERTIFICATE" not in str(error)
        why = "" if passes else f" ({one_line(error)})"
        raise KeysNotFoundError(what + why, "Check the network, and AWS_ENDPOINT_URL_STS.", passes=passes) from error
    except exceptions.MetadataRetrievalError as error:
        raise KeysNotFoundError(f"metadata service: {one_line(error)}", CHECK, passes=False) from error
    except exceptions.ParamValidationError as error:  # a file with a token that is still empty
        raise KeysNotFoundError(shown(str(error)), CHECK, passes=False, in_pods=True) from error
    except BotoCoreError as error:
        raise KeysNotFoundError(one_line(error), CHECK, passes=False) from error
    except FileNotFoundError as error:
        if error.filename != os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
            raise KeysNotFoundError(one_line(error), CHECK, passes=False) from error
        hint = "Check AWS_WEB_IDENTITY_TOKEN_FILE, which EKS sets and mounts for a service account that has a role."
        raise KeysNotFoundError(
            f"can't read the token of its role: {one_line(error)}", hint, passes=False, in_pods=True
        ) from error
    except (OSError, ValueError, EOFError, *UNREADABLE) as error:  # of files, too
        raise KeysNotFoundError(
            f"{type(error).__name__}: {one_line(error)}", CHECK, passes=isinstance(error, UNREADABLE)
        ) from error


def _refused(error: ClientError) -> KeysNotFoundError:
    said, status = error.response.get("Error", {}), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    code, message = shown(str(said.get("Code", f"HTTP {status}"))), shown(said.get("Message") or "").rstrip(".")
    words = f"{code}: {message}" if message else code
    service = SERVICES.get(error.operation_name, "STS")
    if is_about_time(words):
        return KeysNotFoundError(
            f"{service}: this machine's clock differs too much ({words})", "Set the clock.", passes=False
        )
    if code.removeprefix("HTTP ") in PROXIES:
        return KeysNotFoundError(f"not a response of {service} (HTTP {status})", ANSWERED, passes=True)
    cause = passing(code, status)
    if cause == "throttled" and status != 503:
        return KeysNotFoundError(f"{service} throttled ({words})", LATER, passes=True)
    if cause or IDP_BUSY.search(words):
        return KeysNotFoundError(f"{service}: {words}", LATER, passes=True)
    return KeysNotFoundError(
        f"{service}: {words}", "Check the role, who may assume it, and AWS_ROLE_ARN or the profile.", passes=False
    )


def _not_retrieved(error: exceptions.CredentialRetrievalError) -> KeysNotFoundError:
    text = shown(str(error.kwargs.get("error_msg", "")))
    if error.kwargs.get("provider") != "container-role":
        return KeysNotFoundError(f"{error.kwargs.get('provider')}: {text}", CHECK, passes=True)
    answer = re.search(r"non 200 response (\d{3}) from container metadata: ?(.*)", text)
    if answer is None:
        return KeysNotFoundError(f"the pod's or container's agent: {text}", LATER, passes=True)
    status, words = int(answer[1]), f" ({answer[2]})" if answer[2] else ""
    if is_page(words):
        return KeysNotFoundError(
            f"not a response of the pod's or container's agent (HTTP {status})", ANSWERED, passes=True
        )
    passes = status == 404 or "hrottl" in text or passing("", status) is not None
    return KeysNotFoundError(
        f"the pod's or container's agent: {status}{words}", LATER if passes else CHECK, passes=passes
    )


def _service(host: str) -> str:
    return "SSO" if host.startswith(("portal.sso.", "oidc.")) else "STS"
