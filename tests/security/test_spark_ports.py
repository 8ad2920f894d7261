"""Whoever reaches Spark's ports without the run's key is hung up on before Spark reads what he says: on this machine
other users can.
"""

import socket
import struct
from collections.abc import Iterator

import pytest

from mxspark.settings.job import Settings
from mxspark.spark.application import Application

RPC_REQUEST = 3  # of Spark's network protocol: org.apache.spark.network.protocol.Message.Type
PLACES = {"input": {"path": "images"}, "model": {"path": "model"}, "output": {"path": "table"}}


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    settings = Settings.model_validate(PLACES | {"spark": {"master": "local[1]", "class_archive": False}})
    running = Application(settings, tmp_path_factory.mktemp("cache"), debug=False)
    yield running
    running.kill()


def said(port: int, body: bytes) -> bytes:
    """What the server answers to a request until it hangs up, which it must."""
    message = struct.pack(">BQI", RPC_REQUEST, 1, len(body)) + body
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(struct.pack(">Q", len(message) + 8) + message)
        answer = connection.recv(65536)
        while answer and (more := connection.recv(65536)):
            answer += more
    return answer


def test_a_client_without_the_run_s_key_gets_no_further_than_the_question_for_it(application: Application) -> None:
    driver = int(application._context.getConf().get("spark.driver.port", "0"))
    blocks = int(str(application._context._jsc.sc().getExecutorMemoryStatus().keySet().head()).rpartition(":")[2])

    for port in (driver, blocks):
        assert b"Unknown challenge" in said(
            port, b"\xac\xed\x00\x05 Java's serialized objects, as Spark takes them from whom it knows"
        )
