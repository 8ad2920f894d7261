"""Stores over real and fake servers: SeaweedFS for what S3 does, moto for keys that SeaweedFS can't hold, a scripted
one for faults.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from examples.s3 import Server
from moto.server import ThreadedMotoServer
from tests.conftest import BUCKET, missing_weed
from tests.tiers import Missing

from mxspark.settings.job import StorageSettings
from mxspark.storage import Access, Credentials, FolderStore, S3Store, Store

NOBODY = Credentials("nobody", "nothing")  # for servers that take any


def missing() -> Missing | None:
    return missing_weed()


@pytest.fixture(autouse=True)
def _no_aws(no_aws: None) -> None:
    """For every test of this tier."""


@pytest.fixture(scope="session")
def access(s3_server: Server) -> Access:
    """The right way into the S3 server."""
    return access_to(s3_server.endpoint_url, Credentials(s3_server.access_key, s3_server.secret_key))


def access_to(endpoint_url: str, credentials: Credentials | None = NOBODY, **settings: Any) -> Access:
    """A way into any server; with fewer retries than by default, so that what fails fails soon."""
    return Access(StorageSettings(endpoint_url=endpoint_url, **{"retries": 2, **settings}), credentials)


@pytest.fixture
def s3_store(access: Access) -> S3Store:
    """An empty part of a bucket."""
    return S3Store(BUCKET, f"{uuid4().hex[:8]}/", access)


@pytest.fixture
def folder_store(tmp_path: Path) -> FolderStore:
    """A folder that isn't there yet."""
    return FolderStore(tmp_path / "store")


@pytest.fixture(params=["folder_store", "s3_store"])
def store(request: pytest.FixtureRequest) -> Store:
    """An empty store of either kind."""
    found: Store = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """A fake S3 and STS that takes any credentials, and keys of any shape."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture(scope="module")
def moto_store(moto_url: str) -> S3Store:
    """A bucket of the fake, empty at first."""
    bucket = f"bucket-{uuid4().hex}"
    moto_client(moto_url).create_bucket(Bucket=bucket)
    return S3Store(bucket, "", access_to(moto_url))


def moto_client(url: str) -> Any:
    """A boto3 client of the fake."""
    keys = {"aws_access_key_id": NOBODY.access_key, "aws_secret_access_key": NOBODY.secret_key}
    return boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
