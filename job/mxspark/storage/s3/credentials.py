"""AWS credentials as boto3's default chain finds them: found once in a process, shared by all clients, renewed
before they expire.
"""

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from threading import Lock
from types import SimpleNamespace
from typing import Any

import boto3
from botocore import credentials
from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials
from botocore.session import Session

from mxspark.storage.retry import shortest_wait
from mxspark.storage.s3 import pages
from mxspark.storage.s3.credential_errors import KeysNotFoundError, Metadata, credential_errors, no_credentials
from mxspark.storage.store import Access, Credentials, ca_bundle, hush

# Seconds before their expiry at which credentials are renewed; while that fails the old ones are used to their end.
EARLY = 15 * 60.0
RENEWED_AT_MOST = 30.0  # apart: some expire sooner than `EARLY` from the start [seconds]

Found = Any  # botocore's credentials, of any class


class SharedCredentials(credentials.Credentials):  # type: ignore[misc]  # botocore has no types
    """What `find` finds, for any number of threads: one of them asks for all others.

    What fails is not asked again before its time, and nobody waits for it as long as the credentials at hand are good.
    """

    def __init__(self, find: Callable[[], tuple[Found, ReadOnlyCredentials]]) -> None:
        self.method = "shared"
        self._find = find
        self._lock = Lock()
        self._found: Found = None
        self._frozen: ReadOnlyCredentials | None = None
        self._failure: KeysNotFoundError | None = None
        self._failures = 0
        self._again_at = 0.0

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """The keys of now. Raises KeysNotFoundError."""
        frozen = self._frozen
        if frozen is not None and not self._expires_in(EARLY):
            return frozen
        if frozen is not None and not self._expires_in(0):
            if not self._lock.acquire(blocking=False):
                return frozen  # which another thread is renewing
        else:
            self._lock.acquire()
        try:
            return self._renewed()
        finally:
            self._lock.release()

    def forget(self, refused: ReadOnlyCredentials) -> None:
        """These have been refused as expired: there may be newer ones."""
        with self._lock:
            if self._frozen == refused:
                self._frozen = None
                self._again_at = 0.0

    @property
    def access_key(self) -> str:
        return str(self.get_frozen_credentials().access_key)

    @property
    def secret_key(self) -> str:
        return str(self.get_frozen_credentials().secret_key)

    @property
    def token(self) -> str | None:
        token: str | None = self.get_frozen_credentials().token
        return token

    @property
    def account_id(self) -> str | None:
        account: str | None = self.get_frozen_credentials().account_id
        return account

    def _renewed(self) -> ReadOnlyCredentials:
        if self._frozen is not None and not self._expires_in(EARLY):
            return self._frozen  # another thread was first
        if time.monotonic() >= self._again_at:
            self._ask()
        if self._frozen is not None and not self._expires_in(0):
            return self._frozen
        self._again_at = self._again_at if self._failure else 0.0
        raise self._failure or KeysNotFoundError("those at hand have expired", "", passes=True)

    def _ask(self) -> None:
        try:
            self._found, self._frozen = self._find()
        except KeysNotFoundError as failure:
            self._failure = failure
            self._failures += 1
            self._again_at = time.monotonic() + shortest_wait(self._failures)
        else:
            self._failure, self._failures = None, 0
            self._again_at = time.monotonic() + RENEWED_AT_MOST

    def _expires_in(self, seconds: float) -> bool:
        refresh_needed = getattr(self._found, "refresh_needed", None)  # of credentials that expire
        return refresh_needed is not None and refresh_needed(seconds)


@dataclass(frozen=True)
class Origin:
    """What credentials depend on, and the region where they are asked for."""

    given: Credentials | None
    region: str | None
    connect_timeout: float
    read_timeout: float
    environment: tuple[tuple[str, str], ...] = field(repr=False)  # secrets among them

    @cached_property
    def credentials(self) -> SharedCredentials:
        """Those that were handed over, or that boto3's chain finds."""
        return SharedCredentials(self._find)

    @cached_property
    def session(self) -> boto3.Session:
        """boto3 with these credentials. Raises KeysNotFoundError where its configuration can't be read."""
        with credential_errors():
            core = self._core()
            core.register_component("credential_provider", SimpleNamespace(load_credentials=lambda: self.credentials))
            return boto3.Session(botocore_session=core, region_name=self.region)

    def _core(self) -> Session:
        core = Session()
        pages.refuse(core.get_component("event_emitter"))
        once = Config(
            connect_timeout=self.connect_timeout, read_timeout=self.read_timeout, retries={"total_max_attempts": 1}
        )
        core.set_default_client_config(once)
        if self.region:
            core.set_config_variable("region", self.region)
        if not core.get_config_variable("ca_bundle") and (bundle := ca_bundle()):
            core.set_config_variable("ca_bundle", bundle)
        return core

    def _find(self) -> tuple[Found, ReadOnlyCredentials]:
        """Read each time: a file or a variable may have been renewed."""
        if self.given is not None:
            keys = credentials.Credentials(self.given.access_key, self.given.secret_key, self.given.session_token)
            return keys, _usable(keys.get_frozen_credentials())
        metadata = Metadata()
        with credential_errors(metadata):
            chain = self._core().get_component("credential_provider")
            metadata.watch(chain.get_provider("iam-role"))
            _limit_processes(chain, self.read_timeout)
            _ask_once(chain.get_provider("container-role"))
            found = chain.load_credentials()
            if found is not None:
                return found, _usable(found.get_frozen_credentials())  # some ask only now
        raise metadata.failure or no_credentials()


def _usable(keys: ReadOnlyCredentials) -> ReadOnlyCredentials:
    """The same. Raises KeysNotFoundError for what no header can have: obstore would panic, and servers would say
    that the key is wrong.
    """
    for name in ("access_key", "secret_key", "token"):
        value = getattr(keys, name) or ""
        if not value.isprintable() or " " in value:
            hint = "Set it again without it (in a Kubernetes Secret: use printf; echo adds a line break)."
            raise KeysNotFoundError(
                f"the {name.replace('_', ' ')} has a space or a line break in it", hint, passes=False
            )
    return keys


def _limit_processes(chain: Any, seconds: float) -> None:
    """Ends a `credential_process` after so long; botocore waits for ever, both for a profile's own and for that of a
    role's source.
    """

    class Limited(subprocess.Popen[bytes]):
        # The same signature as Popen's.
        def communicate(self, input: Any = None, timeout: float | None = None) -> tuple[bytes, bytes]:
            try:
                return super().communicate(input, timeout or seconds)
            except subprocess.TimeoutExpired:
                self.kill()
                raise credentials.CredentialRetrievalError(
                    provider="credential_process", error_msg=f"no answer in {seconds:g} s (storage.read_timeout)"
                ) from None

    chain.get_provider("custom-process")._popen = Limited
    builder = chain.get_provider("assume-role")._profile_provider_builder
    make = builder._create_process_provider

    def make_limited(profile_name: str) -> Any:
        provider = make(profile_name)
        provider._popen = Limited
        return provider

    builder._create_process_provider = make_limited


def _ask_once(provider: Any) -> None:
    """Trying again is retry.py's business; botocore's provider waits seconds for it."""
    provider._fetcher.RETRY_ATTEMPTS = 1
    provider._fetcher._sleep = lambda _seconds: None


def origin(access: Access) -> Origin:
    """The one of this process, as long as its environment is the same."""
    hush()
    settings = access.settings
    # As AWS's other programs and EKS have it; botocore itself knows only the older name of the variable.
    region = settings.region or os.environ.get("AWS_REGION")
    environment = tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))
    with LOCK:
        return _the_one(
            Origin(access.credentials, region, settings.connect_timeout, settings.read_timeout, environment)
        )


LOCK = Lock()  # boto3 can't make several clients of a session at a time


@lru_cache(maxsize=16)
def _the_one(same: Origin) -> Origin:
    return same
