"""Addresses http:// and https://, for reading model files and for the pages of a bucket's listing.

The only place that imports urllib3.
"""

import re
from collections.abc import Callable
from typing import BinaryIO
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3 import PoolManager as Pool
from urllib3.exceptions import HTTPError

from mxspark.errors import one_line
from mxspark.settings import StorageSettings
from mxspark.storage.store import MissingError, StorageError, ca_bundle

__all__ = ["HTTPError", "Pool", "download", "get", "gist", "pool"]

CHUNK = 4 * 2**20  # bytes copied at a time


def gist(text: str) -> str:
    """The cause at the end of a chain of causes, without addresses; obstore names the innermost one in its debug print only."""
    chain, _, debug = text.partition("Debug source:")
    innermost = re.findall(r'(?:message|error): "([^"]+)"', debug)[-1:]
    line = ": ".join([" ".join(chain.split()), *innermost])
    return re.sub(r"\s*\(?https?://[^\s)]*\)?|HTTPS?Connection(Pool)?\([^)]*\): ", "", line)[-300:]


def pool(url: str, settings: StorageSettings) -> Pool:
    """Connections to the host of `url`, through the proxy that the environment names for it, as boto3 and obstore do."""
    timeout = urllib3.Timeout(connect=settings.connect_timeout, read=settings.read_timeout)
    retries = urllib3.Retry(
        settings.retries, backoff_factor=0.2, backoff_jitter=0.2, status_forcelist=(429, 500, 502, 503, 504), raise_on_status=False
    )
    address = urlsplit(url)
    proxy = None if proxy_bypass(address.hostname or "") else getproxies().get(address.scheme)
    if proxy is not None:
        return urllib3.ProxyManager(proxy, timeout=timeout, retries=retries, ca_certs=ca_bundle())
    return Pool(timeout=timeout, retries=retries, ca_certs=ca_bundle())


def get(connections: Pool, name: str, url: str, *, preload: bool = True) -> urllib3.BaseHTTPResponse:
    try:
        return connections.request("GET", url, preload_content=preload)
    except HTTPError as error:
        cause = getattr(error, "reason", None) or error
        raise StorageError(
            f"{name}: {urlsplit(url).netloc.rpartition('@')[2]}: {gist(one_line(cause))}", "Check the address and the network."
        ) from error


def download(url: str, settings: StorageSettings, target: BinaryIO) -> None:
    name = url.partition("?")[0]  # the query of a presigned address is a secret
    with pool(url, settings) as connections, get(connections, name, url, preload=False) as response:
        if response.status != 200:
            kind: Callable[..., StorageError] = MissingError if response.status in (404, 410) else StorageError
            raise kind(f"{name}: the server answered {response.status} {response.reason}", "Check the address.")
        try:
            for chunk in response.stream(CHUNK):
                target.write(chunk)
        except HTTPError as error:
            raise StorageError(f"{name}: broke off: {one_line(error)}", "Try again.") from error
