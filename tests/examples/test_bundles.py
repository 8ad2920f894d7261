"""The examples' bundles are what their model.yaml says, and what `mxspark model inspect` tells of them."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.command import Command
from tests.conftest import DIGITS, IMAGENET, Here

EXAMPLES = {"digits": DIGITS, "imagenet": IMAGENET}
each_example = pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES.keys())


def files(example: Path) -> dict[str, Any]:
    """What model.yaml says of the bundle's files, by role."""
    spec = yaml.safe_load((example / "bundle" / "model.yaml").read_text())
    return {role: spec[role] for role in ("symbol", "params", "labels")}


@each_example
def test_the_files_have_the_digests_that_are_pinned(example: Path) -> None:
    for file in files(example).values():
        assert hashlib.sha256((example / "bundle" / file["file"]).read_bytes()).hexdigest() == file["sha256"]


@each_example
def test_the_bundle_keeps_what_the_examples_own_model_yaml_asks_for(example: Path) -> None:
    packed = yaml.safe_load((example / "bundle" / "model.yaml").read_text())
    asked = yaml.safe_load((example / "model.yaml").read_text())
    for section in ("input", "preprocess", "output"):
        assert asked[section].items() <= packed[section].items()
    assert (packed["name"], packed["licence"], packed["source"]) == (asked["name"], asked["licence"], asked["source"])


FACTS = {
    "digits": "digits; BSD-3-Clause; data: N x 3 x 32 x 32 (NCHW); 10 classes; logits: output.kind is logits; a "
    "softmax is added; Convolution 10; 57,434; 10: 0, 1; squash; digits_pool0_fwd: 48 (Pooling)",
    "imagenet": "efficientnet-lite0; Apache-2.0; data: N x 3 x 224 x 224 (NCHW); 1,000 classes; the graph ends in "
    "softmax; Convolution 49; 4,706,024; 1000: n01440764 tench; shorter_side 256; filter bicubic; std [0.229, 0.224, "
    "0.225]; pool: 1,280 (Pooling) fc: 1,000 (FullyConnected) probability: 1,000 (softmax)",
}


@pytest.mark.parametrize("name", FACTS)
def test_inspecting_tells_what_the_model_is(here: Here, no_aws: None, name: str) -> None:
    example = EXAMPLES[name]
    told = " ".join(here("model", "inspect", example / "bundle", "--layers").succeeded().output.split())
    for fact in [*FACTS[name].split("; "), *(file["sha256"] for file in files(example).values())]:
        assert fact in told


@each_example
def test_a_second_build_does_nothing(mxspark: Command, example: Path) -> None:
    mxspark.run("python", example / "build.py").succeeded()
    before = written(example)
    again = mxspark.run("python", example / "build.py").succeeded()
    assert again.text == ""
    assert written(example) == before


def written(example: Path) -> dict[Path, int]:
    """When each of the example's files was written [ns]."""
    return {
        path: path.stat().st_mtime_ns
        for path in example.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
