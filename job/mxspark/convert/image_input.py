"""Which input of an ONNX graph takes the images, and in what form."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnx import TensorProto

from mxspark.convert.onnx_file import OnnxFile
from mxspark.convert.trace import BATCHES, Shape, Value
from mxspark.errors import UsageError
from mxspark.settings.model_spec import LONGEST_SIDE, ModelInput
from mxspark.text.words import listed, printable

_TYPES: Mapping[int, str] = {TensorProto.FLOAT: "float32", TensorProto.UINT8: "uint8"}
_CHANNELS = (1, 3)


@dataclass(frozen=True)
class ImageInput:
    """The graph's input: N x channels x height x width, or N x height x width x channels."""

    name: str
    type: int  # of TensorProto's
    is_nhwc: bool
    channels: int
    height: int
    width: int
    is_single: bool  # whether the file takes one image at a time

    @property
    def dtype(self) -> str:
        """NumPy's name of its type."""
        return _TYPES[self.type]

    @property
    def model_input(self) -> ModelInput:
        """The input of the converted network, which takes NCHW always."""
        return ModelInput(name="data", height=self.height, width=self.width, channels=3 if self.channels == 3 else 1)

    def value(self, name: str, is_nhwc: bool) -> Value:
        """The images as a value of the graph."""
        return Value(name, self.type, (self._shape(BATCHES[0], is_nhwc), self._shape(BATCHES[1], is_nhwc)))

    def _shape(self, batch: int, is_nhwc: bool) -> Shape:
        sides = (self.height, self.width)
        return (batch, *sides, self.channels) if is_nhwc else (batch, self.channels, *sides)


def find(file: OnnxFile, size: tuple[int, int] | None) -> ImageInput:
    """The input of images; `size` is their height and width, where the file leaves them open.

    Raises UsageError where there is no such input, there are others beside it, or its size isn't known.
    """
    given = [value for value in file.model.graph.input if value.name not in file.weights]
    if len(given) != 1:
        names = f": {listed([value.name for value in given])}" if given else ""
        raise UsageError(
            f"{file.path}: has {len(given) or 'no'} inputs{names}; one is wanted, for the images",
            "Export the part of the network that takes images alone.",
        )
    kind = given[0].type.tensor_type
    name = printable(given[0].name)
    if not given[0].type.HasField("tensor_type"):
        found = str(given[0].type.WhichOneof("value")).removesuffix("_type")
        raise UsageError(
            f"{file.path}: its input {name} takes no tensor, as images are, but a {found}", "Export it with such."
        )
    if kind.elem_type not in _TYPES:
        types = {number: text.lower() for text, number in TensorProto.DataType.items()}
        found = types.get(kind.elem_type, f"the type {kind.elem_type}, which ONNX doesn't have")
        raise UsageError(
            f"{file.path}: its input {name} takes {found}, and images are float32 or uint8", "Export it with such."
        )
    sides = [max(side.dim_value, 0) for side in kind.shape.dim]  # 0: open, as -1 is meant, too
    if len(sides) != 4:
        raise UsageError(
            f"{file.path}: its input {name} has the shape {_shown(kind)}, and images have four axes: N, channels, "
            "height, width",
            "Give a network that takes images.",
        )
    is_nhwc, channels = _channels(file, given[0].name, sides, kind)
    height, width = _size(file, sides[1:3] if is_nhwc else sides[2:], size)
    if sides[0] > 1:
        raise UsageError(
            f"{file.path}: takes {sides[0]} images at a time, neither more nor fewer",
            "Export it with an open batch: torch.onnx.export(…, dynamic_axes={'input': {0: 'batch'}}).",
        )
    return ImageInput(given[0].name, kind.elem_type, is_nhwc, channels, height, width, sides[0] == 1)


def _channels(file: OnnxFile, name: str, sides: list[int], kind: Any) -> tuple[bool, int]:
    """Whether the channels are the last axis, and how many they are."""
    for axis in (1, 3):
        if sides[axis] in _CHANNELS:
            return axis == 3, sides[axis]
    if sides[1] == 0:  # open: the first convolution's kernel tells it
        for node in file.model.graph.node:
            inputs = [*node.input, "", ""]  # a damaged one lacks some
            kernel = file.weights.get(inputs[1]) if node.op_type == "Conv" and inputs[0] == name else None
            if kernel is not None and kernel.ndim == 4 and kernel.shape[1] in _CHANNELS:
                return False, int(kernel.shape[1])
    raise UsageError(
        f"{file.path}: its input {printable(name)} has the shape {_shown(kind)}, and images have 3 channels, or 1 for "
        "grey",
        "Give a network that takes colour or grey images.",
    )


def _size(file: OnnxFile, sides: list[int], size: tuple[int, int] | None) -> tuple[int, int]:
    if size is None and 0 in sides:
        raise UsageError(
            f"{file.path}: takes images of any size, and MXNet's graph has one",
            "Say which, such as --size 224x224: best the size that it was trained with.",
        )
    height, width = (side or size[axis] if size else side for axis, side in enumerate(sides))
    if max(height, width) > LONGEST_SIDE:
        raise UsageError(
            f"{file.path}: takes images of {height} x {width}, and {LONGEST_SIDE:,} are the most",
            "Correct --size." if size is not None else "Export it for smaller ones.",
        )
    if size is not None and (height, width) != size:
        raise UsageError(
            f"{file.path}: takes images of {height} x {width}, not the {size[0]} x {size[1]} that are asked for",
            "Leave out --size (and input.height and input.width of --spec), or export the network for that size.",
        )
    return height, width


def _shown(kind: Any) -> str:
    sides = [str(side.dim_value or printable(side.dim_param) or "?") for side in kind.shape.dim]
    return f"({', '.join(sides)})"
