"""The virtual environment that tools/setup.sh makes, and the server of `make s3`, as a person finds them."""

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from examples import s3


def test_a_persons_own_script_can_import_mxnet() -> None:
    """Without mxspark, and from any folder: numpy 1.24 has dropped a name that MXNet 1.9.1 asks for."""
    script = "import mxnet; print(mxnet.nd.ones(2).asnumpy().tolist())"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd="/")

    assert ended.stdout == "[1.0, 1.0]\n", ended.stderr


def test_a_start_of_python_does_not_import_numpy_for_it() -> None:
    script = "import sys; print('mxnet_on_numpy' in sys.modules, 'numpy' in sys.modules)"

    assert subprocess.check_output([sys.executable, "-c", script], text=True, cwd="/") == "True False\n"


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


def test_the_example_server_takes_the_usual_port_or_one_that_is_free(
    monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    free = s3.chosen_port("")
    monkeypatch.setattr(s3, "USUAL_PORT", free)
    assert s3.chosen_port("") == free

    monkeypatch.setattr(s3, "USUAL_PORT", taken)
    assert s3.chosen_port("") != taken


def test_the_example_server_takes_the_port_that_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_is_free", lambda port: True)

    assert s3.chosen_port("9001") == 9001


@pytest.mark.parametrize("wanted", ["http", "0", "-1", "60000", "８", "8333/"])
def test_a_port_that_cannot_be_is_refused(wanted: str) -> None:
    with pytest.raises(s3.ServerError, match="PORT is '"):
        s3.chosen_port(wanted)


def test_a_port_that_is_taken_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_is_free", lambda port: port != 9001)

    with pytest.raises(s3.ServerError, match="port 9001 can't be taken"):
        s3.chosen_port("9001")
