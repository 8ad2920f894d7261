"""`mxspark model convert`: an ONNX file becomes a bundle, or nothing is written."""

import json
import re
from pathlib import Path

import onnx
import pytest
from onnx import helper

from mxspark.convert import process
from mxspark.settings.document import read_yaml
from tests.conftest import Here
from tests.convert.onnx_graphs import model
from tests.documentation import shown
from tests.unit.pictures import opencv_encoded, smooth

SPEC = "name: pets\npreprocess: {scale: 0.00392156862745098}\n"
# A text of one name a line would be refused for the order of its numbers.
NAMES = ["grade 1", "grade 0"]


@pytest.fixture
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = model("c = Conv(images, w)\ng = GlobalAveragePool(c)\nf = Flatten(g)\ny = Softmax(f)", {"w": (2, 3, 3, 3)})
    del made.graph.node[0], made.graph.initializer[0]
    helper.set_model_props(made, {"names": str(dict(enumerate(NAMES)))})
    onnx.save(made, "my pets.onnx")
    Path("spec.yaml").write_text(SPEC)


@pytest.mark.usefixtures("_in_a_folder")
def test_a_file_becomes_a_bundle_with_its_classes_and_the_preprocessing_that_is_given(here: Here) -> None:
    Path("a.png").write_bytes(opencv_encoded(smooth(20, 30), ".png"))

    ended = here("model", "convert", "my pets.onnx", "--output", "out/pets", "--spec", "spec.yaml", "--try", "a.png")

    assert ended.code == 0, ended.errors
    assert sorted(path.name for path in Path("out/pets").iterdir()) == [
        *("labels.json", "model.yaml", "my_pets-0000.params", "my_pets-symbol.json")
    ]
    assert [path.name for path in Path("out").iterdir()] == ["pets"]
    assert json.loads(Path("out/pets/labels.json").read_text()) == NAMES
    said = read_yaml(Path("out/pets/model.yaml").read_text(), "model.yaml")
    assert (said["name"], said["preprocess"]["scale"], said["output"]["kind"]) == ("pets", 1 / 255, "softmax")
    assert "difference on random images" in ended.output
    assert "difference on 1 given image" in ended.output
    assert re.search(r"a\.png +0\.\d\d grade", ended.output), "what the bundle says of it"


def test_outputs_are_chosen_and_named_as_the_page_says(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = """
        features = GlobalAveragePool(c)
        f = Flatten(features)
        l = MatMul(f, genders)
        gender = Softmax<axis = 1>(l)
        age = MatMul(f, years)
    """
    graph = f"c = Conv(x, w)\n{text.strip()}\nboxes = Relu(c)"
    weights = {"w": (4, 3, 3, 3), "genders": (4, 2), "years": (4, 1)}
    made = model(graph, weights, shape=("N", 3, 112, 112), outputs=("boxes", "features", "gender", "age"))
    onnx.save(made, "faces.onnx")
    command = shown("docs/onnx.md", "mxspark", "model", "convert", "faces.onnx")[0]

    here(*command[1:]).succeeded()

    said = read_yaml(Path("faces/model.yaml").read_text(), "model.yaml")["output"]
    assert (said["kind"], sorted(said["also"])) == ("softmax", ["age", "features"])


@pytest.mark.usefixtures("_in_a_folder")
def test_labels_that_do_not_fit_leave_nothing(here: Here) -> None:
    Path("labels.txt").write_text("cat\ndog\nbird\n")

    ended = here(
        "model", "convert", "my pets.onnx", "--output", "pets", "--spec", "spec.yaml", "--labels", "labels.txt"
    )

    assert ended.code == 2
    assert "3 labels" in ended.errors
    assert not Path("pets").exists()


@pytest.mark.usefixtures("_in_a_folder")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.onnx"], ["nowhere.onnx", "Check the name"]),
        (["my pets.onnx"], ["doesn't say what pixels it wants", "--spec"]),
        (["my pets.onnx", "--size", "big"], ["--size is 'big'", "224x224"]),
        (["my pets.onnx", "--output", "spec.yaml"], ["is a file"]),
        (["my pets.onnx", "--output", "s3://bucket/pets"], ["into a folder"]),
        (["my pets.onnx", "--try", "nowhere.png"], ["nowhere.png"]),
        (
            ["my pets.onnx", "--spec", "spec.yaml", "--output-name", "c"],
            ["my pets.onnx: the output has the shape (N, 2, 7, 8)"],
        ),
    ],
)
def test_wrong_arguments_are_told_and_nothing_is_written(here: Here, arguments: list[str], words: list[str]) -> None:
    before = sorted(Path().iterdir())

    ended = here("model", "convert", "--output", "pets", *arguments)

    assert ended.code == 2
    for word in words:
        assert word in ended.errors
    assert sorted(Path().iterdir()) == before


@pytest.mark.usefixtures("_in_a_folder")
@pytest.mark.parametrize(
    "arguments",
    [
        ("model", "try", "my pets.onnx", "a.png"),
        ("model", "pack", "--symbol", "my pets.onnx", "--params", "my pets.onnx", "--output", "pets"),
    ],
)
def test_an_onnx_file_in_a_bundle_s_place_is_to_be_converted(here: Here, arguments: tuple[str, ...]) -> None:
    ended = here(*arguments)

    assert ended.code == 2
    assert "an ONNX file" in ended.errors
    assert "mxspark model convert my pets.onnx --output FOLDER" in ended.errors.replace("\n", " ")


@pytest.mark.usefixtures("_in_a_folder")
def test_without_its_packages_it_says_what_to_install(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "find_spec", lambda name: None)

    ended = here("model", "convert", "my pets.onnx", "--output", "pets")

    assert ended.code == 2
    assert "pip install '.[cpu,onnx]'" in ended.errors
