"""docs/models.md: each of its commands works as it stands, on files of that kind."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from mxspark.inference import mxnet_process
from mxspark.settings import presets
from tests.command import REPOSITORY
from tests.conftest import Here
from tests.mx import mx
from tests.unit.pictures import noise

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),  # Gluon's
]

PAGE = (REPOSITORY / "docs" / "models.md").read_text()
SECTIONS = {
    title: commands
    for title, text in re.findall(r"^### (.*?)$(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    if (commands := re.findall(r"^mxspark .*$", text, re.MULTILINE))
}
IMAGES = ["cat.jpg", "dog.jpg", "seven.png", "anna-1.jpg", "anna-2.jpg", "otto.jpg", "beach.jpg"]
LABELS = {"synset.txt": 5, "tags.txt": 3, "genders.txt": 2}


def body(data: Any, units: int, places: int = 0) -> Any:
    """A small network: a convolution, pooling over so many places each way (0: all), and a linear layer."""
    x = mx.sym.Convolution(data, num_filter=4, kernel=(35, 35), stride=(32, 32), pad=(3, 3), name="conv")
    x = mx.sym.Pooling(x, pool_type="avg", name="pool", kernel=(places or 1,) * 2, global_pool=not places)
    return mx.sym.FullyConnected(x, num_hidden=units, name="fc")


def saved(name: str, symbol: Any, epoch: int = 0, shape: tuple[int, ...] = (1, 3, 224, 224)) -> None:
    """As a Module saves it, with parameters of its own."""
    random = np.random.default_rng(0)
    shapes, _, _ = symbol.infer_shape(data=shape)
    parameters = {
        f"arg:{argument}": mx.nd.array(random.normal(0, 0.01, size))
        for argument, size in zip(symbol.list_arguments(), shapes, strict=True)
        if argument != "data" and not argument.endswith("label")
    }
    symbol.save(f"{name}-symbol.json")
    mx.nd.save(f"{name}-{epoch:04}.params", parameters)


def gluon(name: str) -> None:
    net = mx.gluon.nn.HybridSequential(prefix="resnetv10_")
    with net.name_scope():
        net.add(mx.gluon.nn.Conv2D(4, 35, 32), mx.gluon.nn.GlobalAvgPool2D(prefix="pool1_"), mx.gluon.nn.Dense(5))
    net.initialize()
    net.hybridize()
    net(mx.nd.zeros((1, 3, 224, 224)))
    net.export(name)


def heads(name: str) -> None:
    features = mx.sym.flatten(mx.sym.Pooling(mx.sym.var("data"), global_pool=True, pool_type="avg"))
    gender, age = (mx.sym.FullyConnected(features, num_hidden=units, name=f"fc{units}") for units in (2, 4))
    saved(name, mx.sym.Group([mx.sym.softmax(gender, name="gender"), mx.sym.softmax(age, name="age")]))


def made(folder: Path) -> None:
    """All files that the page's commands name, of small networks."""
    data = mx.sym.var("data")
    networks: dict[str, Callable[[str], None]] = {
        "resnet18_v1": gluon,
        "resnet-18": lambda name: saved(name, mx.sym.SoftmaxOutput(body(data, 5), name="softmax")),
        "vgg16": lambda name: saved(name, mx.sym.softmax(body(data, 5))),
        # Which pools over eight places: there are fewer of an image of 224.
        "inception-v3": lambda name: saved(name, mx.sym.softmax(body(data, 5, places=8)), 1, (1, 3, 299, 299)),
        "lenet": lambda name: saved(
            name, mx.sym.FullyConnected(mx.sym.flatten(data), num_hidden=10, name="fc"), 10, (1, 1, 28, 28)
        ),
        "arcface": lambda name: saved(name, body((data - 127.5) * 0.0078125, 8)),
        "tagger": lambda name: saved(name, body(data, 3)),
        "faces": heads,
    }
    for name, make in networks.items():
        make(name)
    for name, number in LABELS.items():
        (folder / name).write_text("".join(f"class {index}\n" for index in range(number)))
    for seed, name in enumerate(IMAGES):
        Image.fromarray(noise(40, 50, seed)).save(folder / name)
    Image.open(folder / "anna-1.jpg").resize((60, 60)).save(folder / "anna-2.jpg")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        made(folder)
    return folder


# What a person sees, and what the packed model.yaml says.
SEEN = {
    "Gluon's export": ("224 x 224", "shorter_side 256", "cat.jpg", "class "),
    "A Module's checkpoint": ("224 x 224", "filter lanczos", "cat.jpg"),
    "Inception and other sizes": ("299 x 299", "scale 0.00784"),
    "Grey images": ("28 x 28, grey", "seven.png"),
    "Embeddings": ("norm of vector", "anna-2.jpg", "otto.jpg"),
    "Features of a classifier": ("prediction", "norm of features", "nearest of the others"),
    "Many labels an image": ("beach.jpg", "class "),
    "Several outputs": ("prediction", "norm of age"),
    "Other preprocessing": ("channels BGR", "mean [103.939, 116.779, 123.68]"),
    "Nobody knows what pixels it wants": ("article", "keras-caffe", "as it is", "cat.jpg", "dog.jpg"),
}
OUTPUTS: dict[str, dict[str, Any]] = {
    "resnet18_v1": {"kind": "logits", "also": {}},
    "resnet-18": {"kind": "softmax", "also": {}},
    "inception-v3": {"kind": "softmax", "also": {}},
    "lenet": {"kind": "logits", "also": {}},
    "arcface": {"kind": "vector", "also": {}},
    "resnet18_v1-features": {"kind": "logits", "also": {"features": "resnetv10_pool1_fwd"}},
    "tagger": {"kind": "sigmoid", "also": {}},
    "faces": {"name": "gender", "kind": "softmax", "also": {"age": "age"}},
    "vgg16": {"kind": "softmax", "also": {}},
}


def test_the_commands_of_the_page_work(here: Here, no_aws: None, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in the order of the page; MXNet is asked in this process, as a process of its own each time would take
    most of the time.
    """
    monkeypatch.chdir(files)
    monkeypatch.setattr(mxnet_process, "call", lambda seconds, function, *arguments: function(*arguments))
    assert set(SECTIONS) == set(SEEN)

    for title, commands in SECTIONS.items():
        program, *arguments = shlex.split(commands[-1])
        assert program == "mxspark"
        told = here(*arguments).succeeded().text
        in_a_line = " ".join(told.split())  # however wide the terminal is
        assert all(words in in_a_line for words in SEEN[title]), told
        assert not re.search("^Warning", told, re.MULTILINE), told

    for name, output in OUTPUTS.items():
        assert yaml.safe_load((files / name / "model.yaml").read_text())["output"] == output


def test_the_page_lists_the_presets() -> None:
    for name, preset in presets.PRESETS.items():
        assert f"| `{name}` | {preset.meaning} | {preset.source} |" in PAGE
