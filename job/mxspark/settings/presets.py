"""Presets: what pixels a kind of network wants, by name, for whoever has no model.yaml that says so.

A preset fills in what model.yaml leaves out; what that says counts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mxspark.settings.document import parse
from mxspark.settings.model_spec import ModelInput, ModelSpec, PresetName, Shrinking

# Sides of the images that networks are made for, tried in this order where neither model.yaml nor the graph says one.
COMMON_SIDES = (224, 299, 331, 227, 256, 112, 96, 64, 32, 28)
# Mean and standard deviation of ImageNet's pixels, of 0 to 1 (torchvision's and Gluon's documentation).
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
# How much larger than its crop an image is made: 342 for 299, as torchvision's Inception has it; 256 for 224 and 227.
_CROPPED = 256 / 224


@dataclass(frozen=True)
class Preset:
    """How images become a network's numbers; `source` says where that is written."""

    meaning: str
    source: str
    side: int = 224  # of the images, where the graph takes it
    channels: int | None = None
    resize: Shrinking = "squash"
    steps: Mapping[str, Any] = field(default_factory=dict)  # of `preprocess`, but for the resizing

    def preprocess(self, side: int) -> dict[str, Any]:
        """The section `preprocess` for images of `side` pixels, the longer one where they aren't square."""
        larger = 256 if 224 <= side < 256 else round(side * _CROPPED)
        return {"resize": self.resize, **({} if self.resize == "squash" else {"shorter_side": larger}), **self.steps}


_TORCHVISION = {"filter": "bilinear", "scale": 1 / 255, **_IMAGENET}

PRESETS: Mapping[PresetName, Preset] = {
    "article": Preset(
        "squashed, 0 to 255, RGB: the ResNets of data.mxnet.io",
        "the article's own code; the defaults of model.yaml",
    ),
    "gluon": Preset(
        "shorter side 256, centre 224, /255, ImageNet's mean and std: the Gluon model zoo, GluonCV",
        "mxnet.gluon.model_zoo.vision, whose documentation has mean and std",
        resize="shorter_and_crop",
        steps=_TORCHVISION,
    ),
    "torchvision": Preset(
        "the same, by its other name: PyTorch's networks, and most ONNX files",
        "torchvision.transforms._presets.ImageClassification",
        resize="shorter_and_crop",
        steps=_TORCHVISION,
    ),
    "keras-caffe": Preset(
        "squashed, 0 to 255, BGR, mean subtracted: VGG and ResNet of Keras",
        "keras.applications.imagenet_utils.preprocess_input, mode caffe",
        steps={"filter": "bilinear", "channels": "BGR", "mean": (103.939, 116.779, 123.68)},
    ),
    "keras-tf": Preset(
        "squashed, -1 to 1, RGB: Inception, Xception and MobileNet of Keras and TensorFlow",
        "keras.applications.imagenet_utils.preprocess_input, mode tf",
        steps={"filter": "bilinear", "scale": 1 / 127.5, "mean": (1.0, 1.0, 1.0)},
    ),
    "caffe-squash": Preset(
        "squashed to 256 x 256, centre, BGR, mean subtracted: networks of Caffe",
        "Caffe's examples/00-classification (ilsvrc_2012_mean.npy), open_nsfw's classify_nsfw.py",
        resize="squash_and_crop",
        steps={"filter": "bilinear", "channels": "BGR", "mean": (104.0, 117.0, 123.0)},
    ),
    "insightface-112": Preset(
        "squashed, (x - 127.5) / 128, RGB: embeddings of aligned faces",
        "insightface's arcface_torch and SCRFD; of its MXNet files the graph itself does that: raw",
        side=112,
        steps={"filter": "bilinear", "mean": (127.5, 127.5, 127.5), "std": (128.0, 128.0, 128.0)},
    ),
    "mnist": Preset(
        "grey, squashed, 0 to 1: networks for MNIST's digits, white on black",
        "mxnet.test_utils.get_mnist",
        side=28,
        channels=1,
        steps={"filter": "bilinear", "scale": 1 / 255},
    ),
    "raw": Preset(
        "squashed, 0 to 255, RGB: networks that scale their input themselves",
        "the graph: a _minus_scalar, _mul_scalar or BatchNorm of the data",
        steps={"filter": "bilinear"},
    ),
}


def inputs(spec: ModelSpec, declared: tuple[int, int] | None) -> Iterator[ModelInput]:
    """The inputs that a network may take, the likeliest first: what model.yaml says, else the height and width that
    the graph declares, else the preset's and the common ones.
    """
    preset = PRESETS[spec.preset] if spec.preset else Preset("", "")
    stated = spec.input
    channels = stated.channels if "channels" in stated.model_fields_set else preset.channels
    chosen = stated.model_copy(update={"channels": channels})
    if {"height", "width"} & stated.model_fields_set:
        yield chosen
        return
    sides = [declared] if declared else [(side, side) for side in dict.fromkeys((preset.side, *COMMON_SIDES))]
    for height, width in sides:
        yield chosen.model_copy(update={"height": height, "width": width})


def resolved(spec: ModelSpec, model_input: ModelInput) -> ModelSpec:
    """`spec` for this input, with what its preset fills in. Raises UsageError where they don't go together."""
    side = max(model_input.height, model_input.width)
    filled = PRESETS[spec.preset].preprocess(side) if spec.preset else {}
    data = spec.model_dump(exclude_unset=True) | {
        "input": model_input.model_dump(),
        "preprocess": filled | spec.preprocess.model_dump(exclude_unset=True),
    }
    return parse(ModelSpec, data, f"preset {spec.preset}" if spec.preset else "model.yaml")
