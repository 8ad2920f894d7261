"""ONNX's pools in MXNet's.

MXNet pads both ends alike, and rounds the number of windows down (`valid`) or up (`full`). Windows that start at the
same places give the same, whatever is behind an image's end: so where one of the two gives as many windows as ONNX has,
it is what ONNX means; else the image is padded by an operator of its own.
"""

from typing import Any

import numpy as np

from mxspark.convert.errors import UnsupportedError
from mxspark.convert.layer import Layer, Symbol
from mxspark.convert.windows import no_pads, same_pads, zero_padded

_LOWEST = -3e38  # less than any number that a network computes; MXNet reads no infinity in a graph's JSON


def max_pool(layer: Layer) -> Symbol:
    """The largest number of each window."""
    pads = _pads(layer)
    if (convention := _convention(layer, pads)) is not None:
        return _pool(layer, layer.x(), pads, convention, pool_type="max")
    padded = zero_padded(layer, layer.x(), _until_last_window(layer, pads), _LOWEST)
    return _pool(layer, padded, no_pads(), "valid", pool_type="max")


def average_pool(layer: Layer) -> Symbol:
    """The mean of each window, of the image's own numbers or with the padding's zeros."""
    pads, counts_pads = _pads(layer), bool(layer.attribute("count_include_pad", 0))
    convention = _convention(layer, pads)
    is_plain = pads[:2] == pads[2:] and convention == "valid"
    if convention is not None and (is_plain or not counts_pads):
        return _pool(layer, layer.x(), pads, convention, pool_type="avg", count_include_pad=counts_pads)
    padded = zero_padded(layer, layer.x(), _until_last_window(layer, pads))
    sums = _pool(layer, padded, no_pads(), "valid", pool_type="sum")
    return layer.sym.broadcast_mul(sums, layer.parameter("shares", 1 / _counts(layer, pads, counts_pads)))


def _pads(layer: Layer) -> list[int]:
    if len(layer.attribute("kernel_shape")) != 2 or len(layer.step.outputs) > 1:
        raise UnsupportedError("it pools other axes than an image's two, or gives indices")
    if set(layer.attribute("dilations", [1])) != {1}:
        raise UnsupportedError("its windows have gaps (dilations)")
    return same_pads(layer, layer.attribute("kernel_shape"), [1, 1])


def _lengths(layer: Layer, axis: int) -> tuple[int, int, int, int]:
    """Of an axis: the image's length, the kernel's, the stride, and the number of windows."""
    return (
        layer.value(0).shapes[0][axis + 2],
        layer.attribute("kernel_shape")[axis],
        layer.attribute("strides", [1, 1])[axis],
        layer.output.shapes[0][axis + 2],
    )


def _convention(layer: Layer, pads: list[int]) -> str | None:
    """How MXNet has to round to have as many windows, if either way does."""
    if any(pad >= side for pad, side in zip(pads[:2], layer.attribute("kernel_shape"), strict=True)):
        return None
    found = {"valid", "full"}
    for axis in range(2):
        length, kernel, stride, windows = _lengths(layer, axis)
        room = length + 2 * pads[axis] - kernel
        found -= {
            name for name, number in (("valid", room // stride), ("full", -(-room // stride))) if number + 1 != windows
        }
        if room < 0:
            return None
    return "valid" if "valid" in found else next(iter(found), None)


def _until_last_window(layer: Layer, pads: list[int]) -> list[int]:
    """The padding that all windows need, and no more."""
    ends = []
    for axis in range(2):
        length, kernel, stride, windows = _lengths(layer, axis)
        ends.append(max((windows - 1) * stride + kernel - length - pads[axis], 0))
    return [*pads[:2], *ends]


def _counts(layer: Layer, pads: list[int], counts_pads: bool) -> Any:
    """Of how many numbers each window's mean is (1, 1, H, W); none is of those behind the padding."""
    rows = []
    for axis in range(2):
        length, kernel, stride, windows = _lengths(layer, axis)
        low, high = (-pads[axis], length + pads[axis + 2]) if counts_pads else (0, length)
        starts = np.arange(windows) * stride - pads[axis]
        rows.append(np.minimum(starts + kernel, high) - np.maximum(starts, low))
    return np.outer(*rows).astype(np.float64)[np.newaxis, np.newaxis]


def _pool(layer: Layer, x: Symbol, pads: list[int], convention: str, **how: object) -> Symbol:
    return layer.sym.Pooling(
        x,
        kernel=tuple(layer.attribute("kernel_shape")),
        stride=tuple(layer.attribute("strides", [1, 1])),
        pad=tuple(pads[:2]),
        pooling_convention=convention,
        **how,
    )
