"""What an ONNX file's metadata say of its classes and of the pixels that it wants."""

import ast
import json
from collections.abc import Mapping
from typing import Any

from mxspark.inference.labels import LONGEST_LITERAL

# Where exporters keep the classes' names: Ultralytics (names), PaddlePaddle (character), Hugging Face (id2label).
_CLASSES = ("names", "character", "classes", "class_names", "labels", "id2label", "class_labels")
_LONGEST = 16 * 2**20  # characters of such an entry

# What keys of https://github.com/onnx/onnx/blob/main/docs/MetadataProps.md say of `preprocess`, by their values.
_PIXELS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "Image.NominalPixelRange": {
        "NominalRange_0_255": {"scale": 1.0},
        "Normalized_0_1": {"scale": 1 / 255},
        "Normalized_1_1": {"scale": 1 / 127.5, "mean": (1.0,)},
    },
    "Image.BitmapPixelFormat": {"Rgb8": {"channels": "RGB"}, "Bgr8": {"channels": "BGR"}, "Gray8": {}},
}


def labels(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The classes' names by index; empty where there are none, or not in a form that is known."""
    for key in _CLASSES:
        if names := _names(_parsed(metadata.get(key, "")[:_LONGEST])):
            return names
    return ()


def _parsed(text: str) -> Any:
    """A text that is JSON or a literal of Python's, else its lines."""
    for read in (json.loads, *((ast.literal_eval,) if len(text) <= LONGEST_LITERAL else ())):
        try:
            return read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
    return text.splitlines()


def _names(found: Any) -> tuple[str, ...]:
    if isinstance(found, dict):
        try:
            numbered = {int(key): name for key, name in found.items()}
        except (ValueError, TypeError, OverflowError):  # the last of an infinite one
            return ()
        found = [numbered.get(index) for index in range(len(numbered))]
    is_names = isinstance(found, (list, tuple)) and len(found) > 1 and all(isinstance(name, str) for name in found)
    return tuple(" ".join(name.split()) for name in found) if is_names else ()


def preprocessing(metadata: Mapping[str, str]) -> dict[str, Any]:
    """What is said of pixels, as keys of `preprocess`; empty where nothing is. Without `scale` that isn't said."""
    found: dict[str, Any] = {}
    for key, meanings in _PIXELS.items():
        found |= meanings.get(metadata.get(key, ""), {})
    # https://docs.ultralytics.com/tasks/classify: torchvision's Resize and CenterCrop of one size, and nothing else
    if not found and metadata.get("author") == "Ultralytics" and metadata.get("task") == "classify":
        return {"scale": 1 / 255, "resize": "shorter_and_crop", "filter": "bilinear"}
    return found


def unknown(metadata: Mapping[str, str]) -> list[str]:
    """The keys that ought to say something of classes or pixels, and say it in a form that isn't known."""
    of_classes = [] if labels(metadata) else [key for key in _CLASSES if metadata.get(key)]
    return [*of_classes, *(key for key in _PIXELS if key in metadata and metadata[key] not in _PIXELS[key])]
