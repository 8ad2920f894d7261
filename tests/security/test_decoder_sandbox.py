"""A decoder that an image has taken over: what it finds in the sandbox, and what it can do there.

The child's Pillow is the attacker: a sitecustomize.py gives it a function that tries everything, and tells by a file
that was open before. Before, the child had the worker's environment, could read all that the worker can, and could
reach the network.
"""

import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.unit.pictures import noise, opencv_encoded, pillow_encoded

from mxspark.decode.preprocess import BadImageError, ImageLimits, load_array
from mxspark.errors import MxsparkError
from mxspark.inference import bundle
from mxspark.settings.job import FORMATS, InputSettings, Settings
from mxspark.settings.model_spec import ModelInput, Preprocessing
from mxspark.worker import shard
from mxspark.worker.sandbox import Child, DecodeTask, Sandbox, shared_out

SECRET = "canary-7f3a91"
TASK = DecodeTask(
    ImageLimits(10**6, 100, FORMATS), ModelInput(height=8, width=8), Preprocessing(), seconds=60, memory=2**30
)
GOOD = opencv_encoded(noise(7, 13), ".png")

ATTACKER = """
import ctypes, json, os, socket
from PIL import Image

told, opened = open({told!r}, "w"), Image.open
PARENT = os.getppid()

def memory_of_parent():
    vector = (ctypes.c_size_t * 2)(0, 16)
    if ctypes.CDLL(None).process_vm_readv(PARENT, vector, 1, vector, 1, 0) == -1 and ctypes.get_errno() != 14:
        raise OSError("refused")

def traced_parent():
    if ctypes.CDLL(None, use_errno=True).ptrace(16, PARENT, 0, 0) == -1:
        raise OSError("refused")

def sent():
    with socket.socket() as connection:
        connection.settimeout(5)
        connection.connect(("127.0.0.1", {port}))

ATTEMPTS = {{
    "environment": lambda: dict(os.environ),
    "own memory": lambda: [{secret!r}[::-1] in line for line in open("/proc/self/environ")],
    "environment of the worker": lambda: open(f"/proc/{{PARENT}}/environ").read(),
    "a file": lambda: open({file!r}).read(),
    "a new file": lambda: open({file!r} + ".new", "w").close(),
    "a name in a folder": lambda: os.listdir("/"),
    "a file that goes": lambda: os.unlink({file!r}),
    "the network": sent,
    "another program": lambda: os.execv("/bin/true", ["true"]),
    "another process": lambda: os.fork() or os._exit(0),
    "a signal to the worker": lambda: os.kill(PARENT, 0),
    "limits of the worker": lambda: __import__("resource").prlimit(PARENT, 7),
    "memory of the worker": memory_of_parent,
    "the worker traced": traced_parent,
}}

def attempt(action):
    try:
        return action()
    except BaseException as error:
        return f"refused: {{type(error).__name__}}"

def open_by_the_attacker(file, *arguments, **options):
    if file.getvalue() == b"ATTACK":
        json.dump({{name: attempt(action) for name, action in ATTEMPTS.items()}}, told)
        told.flush()
    return opened(file, *arguments, **options)

Image.open = open_by_the_attacker
"""


@pytest.fixture
def attack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a decoder that has been taken over has found, by what it tried."""
    (tmp_path / "credentials").write_text(SECRET)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with socket.create_server(("127.0.0.1", 0)) as server:
        program = ATTACKER.format(
            told=str(tmp_path / "told"),
            file=str(tmp_path / "credentials"),
            port=server.getsockname()[1],
            secret=SECRET[::-1],
        )
        (tmp_path / "sitecustomize.py").write_text(program)
        monkeypatch.syspath_prepend(tmp_path)
        with Sandbox(TASK) as sandbox, pytest.raises(BadImageError):
            sandbox.decode(b"ATTACK")
    return json.loads((tmp_path / "told").read_text())


def test_a_decoder_that_was_taken_over_finds_nothing_and_reaches_nobody(attack: Any) -> None:
    environment = attack.pop("environment")
    assert set(environment) <= {
        "PYTHONPATH",
        "OPENBLAS_NUM_THREADS",
        "LD_LIBRARY_PATH",
        "PYTHONHOME",
        "PYTHONDONTWRITEBYTECODE",
        "LC_CTYPE",
    }
    assert {name: found for name, found in attack.items() if not str(found).startswith("refused")} == {}
    assert SECRET not in json.dumps([environment, attack])


def test_a_decoder_has_no_secret_in_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with Sandbox(TASK) as sandbox:
        sandbox.decode(GOOD)
        assert sandbox._child is not None
        process = Path(f"/proc/{sandbox._child.process.pid}")
        spans = [line.split()[0].split("-") for line in (process / "maps").read_text().splitlines() if " rw" in line]
        with open(process / "mem", "rb", buffering=0) as memory:
            for start, end in ((int(low, 16), int(high, 16)) for low, high in spans):
                memory.seek(start)
                assert SECRET.encode() not in memory.read(end - start)


def test_a_decoder_has_limits_of_the_kernel_s_that_it_can_not_raise() -> None:
    with Sandbox(TASK) as sandbox:
        sandbox.decode(GOOD)
        assert sandbox._child is not None
        lines = Path(f"/proc/{sandbox._child.process.pid}/limits").read_text().splitlines()[1:]
    limits = {line[:26].strip(): line[26:68].split() for line in lines}
    assert [limits[name] for name in ("Max core file size", "Max open files", "Max cpu time")] == [
        ["0"] * 2,
        ["0"] * 2,
        ["3600"] * 2,
    ]
    assert all(int(limit) < 8 * 2**30 for limit in limits["Max address space"])


@pytest.mark.parametrize(
    "answer",
    [
        b"x" * 2**20,
        b"[" * 60_000 + b"\n",
        b'{"is_image": 1}\n',
        b"7\n",
        b'{"is_image": true, "shape": [99999, 99999]}\n',
    ],
    ids=["without end", "deep", "half", "a number", "too large"],
)
def test_a_decoder_that_gives_no_answer_of_ours_is_replaced(answer: bytes) -> None:
    with Sandbox(TASK) as sandbox:
        sandbox.decode(GOOD)
        assert sandbox._child is not None
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        os.write(writing, answer[: 2**16])
        sandbox._child.stdout.close()
        sandbox._child.stdout = open(reading, "rb")  # noqa: SIM115  # the child's end closes it
        os.close(writing)
        assert sandbox.decode(GOOD).tobytes() == load_array(GOOD, TASK.limits, TASK.model_input, TASK.steps).tobytes()


def test_children_that_wait_for_their_task_decode_side_by_side() -> None:
    sandboxes = [Sandbox(TASK, Child()), Sandbox(TASK, Child())]
    decode = shared_out(sandboxes)
    assert decode(GOOD).tobytes() == decode(GOOD).tobytes()
    for sandbox in sandboxes:
        sandbox.__exit__(None, None, None)


def test_children_of_a_worker_that_gets_no_network_end(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Child] = []

    def child() -> Child:
        made.append(Child())
        return made[-1]

    def no_model(*_: object) -> None:
        raise MxsparkError("no model", "")

    monkeypatch.setattr(shard, "Child", child)
    monkeypatch.setattr(bundle, "fetch", no_model)
    places = {"input": {"path": "images", "sandbox": "always"}, "model": {"path": "model"}, "output": {"path": "table"}}
    chosen = Settings.model_validate(places | {"pipeline": {"decode_threads": 2}})
    job: Any = SimpleNamespace(settings=chosen, source=None, cache_dir="cache", access=None)
    with pytest.raises(MxsparkError, match="no model"):
        shard.set_up.__wrapped__(job, 0)

    assert len(made) == 2
    assert all(child.process.returncode is not None for child in made)


def test_the_sandbox_can_be_had_for_every_image() -> None:
    assert InputSettings(path="images").sandbox == "after_crash"
    assert InputSettings(path="images", sandbox="always").sandbox == "always"


@given(
    kind=st.sampled_from(["BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP"]),
    edits=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), min_size=1, max_size=8),
)
@settings(derandomize=True, max_examples=150, deadline=None)
def test_images_with_any_header_are_arrays_or_rows(kind: str, edits: list[tuple[int, int]]) -> None:

    data = bytearray(pillow_encoded(Image.fromarray(noise(9, 11)), kind))
    for place, value in edits:
        data[place % len(data)] = value
    with suppress(BadImageError):
        assert load_array(bytes(data), TASK.limits, TASK.model_input, TASK.steps).shape == (3, 8, 8)
