"""A real S3 server that can be killed and started again: with the same data, address and keys."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from examples import s3
from examples.s3 import Server
from tests.command import command_line

START_SECONDS = 60
END_SECONDS = 60  # SeaweedFS takes up to 12 after SIGTERM


class RestartableS3:
    """The server, and the process that is it at present."""

    def __init__(self, server: Server, bucket: str, process: psutil.Process) -> None:
        self.server = server
        self.bucket = bucket
        self._process: psutil.Process | None = process
        self._command, self._environment = process.cmdline(), process.environ()

    def stop(self, how: signal.Signals) -> None:
        """Ends the server with this signal; returns when it is gone."""
        if self._process is not None:
            self._process.send_signal(how)
            try:
                self._process.wait(END_SECONDS)
            except psutil.TimeoutExpired:  # on a busy machine; kill takes no time
                self._process.kill()
                self._process.wait(END_SECONDS)
            self._process = None

    def start(self) -> None:
        """Starts it again where it was stopped; returns when it answers."""
        if self._process is None:
            quiet = subprocess.DEVNULL
            self._process = psutil.Popen(
                self._command, env=self._environment, stdout=quiet, stderr=quiet, start_new_session=True
            )
            self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        client = self.server.client(Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 1}))
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                # a server that can write can read
                client.put_object(Bucket=self.bucket, Key="_restarts/last", Body=b"")
            except (BotoCoreError, ClientError):
                assert time.monotonic() < deadline, f"the S3 server is not back after {START_SECONDS} s"
                time.sleep(0.1)
            else:
                return


@contextmanager
def serve(folder: Path, bucket: str) -> Iterator[RestartableS3]:
    """A server with one bucket that keeps its data in `folder`."""
    with s3.serve(folder, [bucket]) as server:
        (process,) = [child for child in psutil.Process().children() if f"-dir={folder}" in command_line(child)]
        restartable = RestartableS3(server, bucket, process)
        try:
            yield restartable
        finally:
            restartable.stop(signal.SIGKILL)  # its data is thrown away
