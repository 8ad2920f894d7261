"""model.yaml: what it may say, what is assumed where it is silent, and what can't be meant."""

from typing import Any

import pytest

from mxspark.errors import UsageError
from mxspark.settings.document import dump_yaml, parse, read_yaml
from mxspark.settings.model_spec import FileSpec, ModelInput, ModelSpec, Preprocessing

WHOLE = """
format: 1
name: resnet-18
licence: Apache-2.0
symbol: {file: resnet-18-symbol.json}
params: {file: resnet-18-0000.params, sha256: DIGEST}
labels: {file: synset.txt}
input: {name: data, height: 224, width: 192, layout: NHWC}
preprocess:
  resize: shorter_and_crop
  shorter_side: 256
  filter: bicubic
  channels: BGR
  scale: 0.00392
  mean: [0.485, 0.456, 0.406]
  std: [0.229, 0.224, 0.225]
  exif_orientation: true
  icc: srgb
  sample_range: [0, 1]
  background: [0, 0, 0]
output: {name: sigmoid_output, kind: sigmoid, threshold: 0.5}
""".replace("DIGEST", 64 * "a")


def spec_of(text: str) -> ModelSpec:
    return parse(ModelSpec, read_yaml(text, "model.yaml"), "model.yaml")


def refusal(text: str) -> str:
    with pytest.raises(UsageError) as refused:
        spec_of(text)
    return refused.value.problem


def test_all_that_a_model_says_is_taken() -> None:
    spec = spec_of(WHOLE)

    assert spec.params == FileSpec(file="resnet-18-0000.params", sha256=64 * "a")
    assert (spec.input.height, spec.input.width, spec.input.layout) == (224, 192, "NHWC")
    assert spec.preprocess.mean == (0.485, 0.456, 0.406)
    assert spec.preprocess.channels == "BGR"
    assert (spec.output.kind, spec.output.threshold) == ("sigmoid", 0.5)
    assert (spec.preprocess.icc, spec.preprocess.sample_range) == ("srgb", (0, 1))
    assert spec_of(dump_yaml(spec)) == spec


def test_a_model_that_says_nothing_is_the_articles_224_by_224_raw_pixels_squashed_with_lanczos() -> None:
    spec = ModelSpec()

    assert spec.input == ModelInput(name=None, height=224, width=224, layout="NCHW")
    assert spec.preprocess == Preprocessing(
        resize="squash",
        filter="lanczos",
        channels="RGB",
        scale=1,
        mean=(0, 0, 0),
        std=(1, 1, 1),
        exif_orientation=False,
        icc="ignore",
    )


@pytest.mark.parametrize(("layout", "shape"), [("NCHW", (7, 3, 10, 20)), ("NHWC", (7, 10, 20, 3))])
def test_the_layout_says_where_the_colours_are(layout: Any, shape: tuple[int, ...]) -> None:
    assert ModelInput(height=10, width=20, layout=layout).shape(7) == shape


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("format: 2", ("format", "2")),
        ("inputs: {height: 3}", ("'inputs'",)),
        ("input: {heigth: 3}", ("'input.heigth'", "input.height")),
        ("input: {height: 0}", ("input.height", "0")),
        ("input: {layout: CHW}", ("input.layout", "'CHW'")),
        ("symbol: net.json", ("symbol", "'net.json'")),
        ("symbol: {}", ("symbol.file",)),
        ("symbol: {file: net.json, sha256: abc}", ("symbol.sha256", "'abc'")),
        ("preprocess: {filter: cubic}", ("preprocess.filter", "'cubic'", "bicubic")),
        ("preprocess: {mean: [1, 2]}", ("preprocess.mean",)),
        ("preprocess: {mean: grey}", ("preprocess.mean", "grey")),
        ("preprocess: {mean: [.nan, 0, 0]}", ("preprocess.mean",)),
        ("preprocess: {scale: .inf}", ("preprocess.scale",)),
        ("preprocess: {scale: 0}", ("preprocess.scale", "0")),
        ("preprocess: {std: [1, 0, 1]}", ("preprocess.std", "zero")),
        ("preprocess: {background: [0, 0, 256]}", ("preprocess.background.2", "256")),
        ("preprocess: {icc: sRGB}", ("preprocess.icc", "'sRGB'", "srgb")),
        ("preprocess: {sample_range: [1, 0]}", ("preprocess.sample_range", "smaller value first")),
        ("preprocess: {sample_range: [0, .inf]}", ("preprocess.sample_range",)),
        ("preprocess: {resize: shorter_and_crop}", ("preprocess.shorter_side",)),
        ("preprocess: {resize: shorter_and_crop, shorter_side: 223}", ("preprocess.shorter_side", "223", "224 x 224")),
        (
            "input: {width: 300}\npreprocess: {resize: shorter_and_crop, shorter_side: 256}",
            ("preprocess.shorter_side", "224 x 300"),
        ),
        ("output: {kind: maybe}", ("output.kind", "'maybe'")),
        ("output: {threshold: 2}", ("output.threshold", "2")),
        ("output: {softmax: maybe}", ("output.softmax",)),
        ("input: {channels: 2}", ("input.channels", "2")),
        ("input: {channels: 1}\npreprocess: {mean: [1, 2, 3]}", ("preprocess.mean", "one channel")),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(text: str, named: tuple[str, ...]) -> None:
    refused = refusal(text)

    assert "model.yaml" in refused
    for part in named:
        assert part in refused


@pytest.mark.parametrize(("old", "kind"), [("auto", None), ("add", "logits"), ("none", "softmax")])
def test_a_bundle_that_was_packed_earlier_says_the_same(old: str, kind: str | None) -> None:
    assert spec_of(f"output: {{softmax: {old}}}").output.kind == kind


def test_a_crop_of_the_whole_shorter_side_is_fine() -> None:
    spec = spec_of("preprocess: {resize: shorter_and_crop, shorter_side: 224}")

    assert spec.preprocess.shorter_side == 224
