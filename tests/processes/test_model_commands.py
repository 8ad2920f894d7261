"""The commands about models, `mxspark model …`: MXNet looks at each in a process of its own."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from tests.conftest import DIGITS, Here
from tests.unit.test_cli import Terminal
from tests.unit.web import serving

from mxspark.inference import model_check
from mxspark.inference.bundle import Bundle
from mxspark.inference.mxnet import Context

BUNDLE = DIGITS / "bundle"


@pytest.fixture
def mxspark(here: Here, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Here:
    """The command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return here


def test_a_model_is_explained(mxspark: Here) -> None:
    ended = mxspark("model", "inspect", str(BUNDLE))

    assert ended.code == 0
    text = " ".join(ended.output.split())
    for part in (
        "data: N x 3 x 32 x 32 (NCHW)",
        "10 classes",
        "Convolution",
        "softmax",
        "127.5",
        "exif_orientation false",
        "icc ignore",
        "sha256",
    ):
        assert part in text


def test_a_model_that_is_none_is_refused(mxspark: Here) -> None:
    mxspark("model", "inspect", "nowhere").refused("nowhere")
    mxspark("model", "inspect").refused("PLACE")
    with serving({"/forbidden/model.yaml": b""}) as web:
        mxspark("model", "inspect", f"{web.url}/forbidden").refused(f"{web.url}/forbidden", "403")
        mxspark("model", "inspect", f"{web.url}/empty").refused(f"{web.url}/empty", "model.yaml")


def test_a_model_on_a_gpu_that_is_not_there_is_refused(mxspark: Here) -> None:
    ended = mxspark("model", "inspect", str(BUNDLE), "--context", "gpu")

    assert ended.code == 2
    assert "gpu" in ended.errors


def test_a_model_is_tried_in_a_process_of_its_own_and_a_broken_image_is_a_row(mxspark: Here) -> None:
    Path("broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    digits = sorted((DIGITS / "images").glob("*_7.png"))[:2]

    ended = mxspark(
        *("model", "try", str(BUNDLE), *map(str, digits), "broken.png"),
        *("--also", "features=digits_pool0_fwd", "--top-k", "5"),
    )

    assert ended.code == 0
    assert len(re.findall(r"^ .*\b[01]\.\d\d \d +$", ended.output, re.MULTILINE)) == 10, "five of each, whatever fits"
    for image in digits:
        assert re.search(rf"^ +{re.escape(image.name)} +[01]\.\d\d 7 ", ended.output, re.MULTILINE)
        assert re.search(rf"^ +{re.escape(image.name)} +[\d.]+ +0\.\d+ \d+_7\.png", ended.output, re.MULTILINE)
    assert re.search(r"^ +broken.png +not_an_image: begins as PNG", ended.output, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("gone.png",), ("the image gone.png", "Check its name.")),
        (("digit.png", "--also", "features"), ("--also is 'features'", "COLUMN=LAYER")),
        (("digit.png", "--also", "a=x", "--also", "a=y"), ("--also names the column a twice",)),
        (("digit.png", "--preset", "gluon"), ("model.yaml has preprocess",)),
        (("digit.png", "--preset", "glue"), ("'glue' is not one of 'article', 'gluon'",)),
        (["digit.png"] * 65, ("65 images are many to try", "mxspark run")),
    ],
)
def test_what_can_not_be_tried_is_refused(mxspark: Here, arguments: Sequence[str], words: Sequence[str]) -> None:
    shutil.copy(next((DIGITS / "images").glob("*.png")), "digit.png")
    mxspark("model", "try", str(BUNDLE), *arguments).refused(*words)


PACK = [
    *("model", "pack", "--output", "bundle", "--spec", str(BUNDLE / "model.yaml")),
    *("--symbol", str(BUNDLE / "digits-symbol.json"), "--params", str(BUNDLE / "digits-0000.params")),
]


def test_files_are_packed_into_a_bundle_that_is_a_model(mxspark: Here) -> None:
    ended = mxspark(*PACK, "--labels", str(BUNDLE / "labels.txt"))

    assert ended.code == 0
    assert "bundle" in ended.output
    assert "predictions will be wrong" not in ended.errors
    packed = yaml.safe_load(Path("bundle/model.yaml").read_text())
    assert re.fullmatch("[0-9a-f]{64}", packed["params"]["sha256"])
    assert mxspark("model", "inspect", "bundle").code == 0


def test_packing_without_a_spec_shows_the_preprocessing_that_it_guesses(mxspark: Here) -> None:
    ended = mxspark(*(part for part in PACK if part != "--spec" and "model.yaml" not in part), "--kind", "logits")

    assert ended.code == 0
    assert "224 x 224" in ended.output
    assert "resize squash" in ended.output
    assert "predictions will be wrong" in ended.errors


CHECKS: dict[str, model_check.ModelCheck] = {}  # by the model's digest


@pytest.fixture
def _a_model_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before each answer to a question: MXNet takes seconds."""
    check = model_check.check_model

    def remembered(found: Bundle, context: Context | None) -> model_check.ModelCheck:
        if found.digest not in CHECKS:
            CHECKS[found.digest] = check(found, context)
        return CHECKS[found.digest]

    monkeypatch.setattr(model_check, "check_model", remembered)


@pytest.mark.usefixtures("_a_model_is_checked_once")
@pytest.mark.parametrize(("answer", "packs"), [("--yes", True), ("y", True), ("n", False), ("", False), (None, False)])
def test_packing_over_another_bundle_is_asked_about(
    mxspark: Here, monkeypatch: pytest.MonkeyPatch, answer: str | None, packs: bool
) -> None:
    shutil.copytree(BUNDLE, "bundle")
    Path("bundle/model.yaml").write_text("format: 1\n")
    Path("bundle/digits-0000.params").write_bytes(b"another model's")
    if answer is not None and answer != "--yes":
        monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))

    ended = mxspark(*PACK, *(["--yes"] if answer == "--yes" else []))

    assert ended.code == (0 if packs else 2)
    assert (Path("bundle/digits-0000.params").read_bytes() == b"another model's") is not packs
    assert (Path("bundle/model.yaml").read_text() == "format: 1\n") is not packs
    if answer is None:
        ended.refused("model.yaml, digits-symbol.json, digits-0000.params", "--yes")


def test_files_that_do_not_fit_are_not_packed(mxspark: Here) -> None:
    Path("labels.txt").write_text("one\ntwo\n")

    mxspark(*PACK, "--labels", "labels.txt").refused("2 labels", "10 classes")
    assert not Path("bundle").exists()


def test_a_spec_that_is_not_there_is_refused(mxspark: Here) -> None:
    mxspark(*PACK, "--spec", "nowhere.yaml").refused("nowhere.yaml")
