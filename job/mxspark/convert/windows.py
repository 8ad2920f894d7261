"""Where the windows of convolutions and pools lie: padding."""

from collections.abc import Sequence
from typing import Any

from mxspark.convert.errors import UnsupportedError
from mxspark.convert.layer import Layer, Symbol


def no_pads() -> list[int]:
    """At the top, the left, the bottom and the right, as ONNX orders them."""
    return [0, 0, 0, 0]


def same_pads(layer: Layer, kernel: Sequence[int], dilations: Sequence[int]) -> list[int]:
    """What `pads` and `auto_pad` say."""
    auto, strides = layer.attribute("auto_pad", "NOTSET"), layer.attribute("strides", [1, 1])
    if auto in ("NOTSET", "VALID"):
        return list(layer.attribute("pads", no_pads())) if auto == "NOTSET" else no_pads()
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        raise UnsupportedError(f"its auto_pad {auto!r} isn't known")
    begin, end = [], []
    for axis in range(2):
        length, stride = layer.value(0).shapes[0][axis + 2], strides[axis]
        whole = max((-(-length // stride) - 1) * stride + (kernel[axis] - 1) * dilations[axis] + 1 - length, 0)
        begin.append(whole // 2 if auto == "SAME_UPPER" else whole - whole // 2)
        end.append(whole - begin[axis])
    return [*begin, *end]


def zero_padded(layer: Layer, x: Symbol, pads: Sequence[int], fill: float = 0.0) -> Symbol:
    """An image with more rows and columns around it."""
    width: tuple[Any, ...] = (0, 0, 0, 0, pads[0], pads[2], pads[1], pads[3])
    return layer.sym.pad(x, mode="constant", constant_value=fill, pad_width=width)
