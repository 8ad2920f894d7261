"""Faults on purpose: a proxy with bad connections and a front that refuses requests, both before a real S3 server."""

from collections.abc import Iterator

import pytest
from examples.s3 import Server
from tests.conftest import DIGITS, missing_weed
from tests.faults import s3_faults, toxiproxy
from tests.faults.toxiproxy import Toxiproxy
from tests.faults.way import Way
from tests.spark.conftest import ALL_DIGITS, copied, digits_run, missing_java
from tests.tiers import Missing

__all__ = ["copied", "digits_run"]  # fixtures


def missing() -> Missing | None:
    if (weed := missing_weed()) is not None:
        return weed
    if toxiproxy.program() is None:
        return Missing("the program toxiproxy-server is missing", "tools/toxiproxy.sh builds it, where Go is installed")
    if len(list(DIGITS.glob("images/*.png"))) < ALL_DIGITS:
        return Missing("the digits example is not built", ".venv/bin/python examples/digits/build.py")
    return missing_java()


@pytest.fixture(scope="session")
def toxiproxy_server() -> Iterator[Toxiproxy]:
    """A running toxiproxy; every test makes proxies of its own."""
    with toxiproxy.serve() as server:
        yield server


@pytest.fixture
def way(s3_server: Server, toxiproxy_server: Toxiproxy, no_aws: None) -> Iterator[Way]:
    """A way to the S3 server that can be made bad."""
    with s3_faults.before(s3_server.endpoint_url) as front, toxiproxy_server.proxy(front.url) as proxy:
        yield Way(proxy, front)
