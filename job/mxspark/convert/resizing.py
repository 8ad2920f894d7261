"""ONNX's Resize and Upsample in MXNet's operators.

Each number of the result is a weighted sum of numbers of a row, then of a column, with weights that only the lengths
decide. onnxruntime is asked for them, so that all modes and coordinates are what it makes of them (ONNX's own
implementation is another for scales that give no whole length); MXNet's BilinearResize2D has one of them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import helper

from mxspark.convert.errors import UnsupportedError
from mxspark.convert.layer import Layer, Symbol
from mxspark.convert.onnx_file import Array
from mxspark.convert.runtime import Session, model_of
from mxspark.errors import one_line

_MODES = ("cubic", "linear", "nearest")
_COORDINATES = ("align_corners", "asymmetric", "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel")


def resize(layer: Layer) -> Symbol:
    """The image with other height and width, or whatever axes are resized."""
    _check(layer)
    value, scales, x = layer.value(0), _scales(layer), layer.x()
    if value.shapes == layer.output.shapes:  # which onnxruntime copies, whatever the factors
        return x
    for axis in range(value.rank):
        before, after = value.shapes[0][axis], layer.output.shapes[0][axis]
        is_kept = before == after and scales.get(axis, 1.0) == 1.0
        if is_kept and value.is_fixed(axis) == layer.output.is_fixed(axis):
            continue
        if not value.is_fixed(axis) or not layer.output.is_fixed(axis):
            raise UnsupportedError("it resizes the batch")
        x = _weighted(layer, x, axis, _weights(layer, before, after, scales.get(axis)))
    return x


def _check(layer: Layer) -> None:
    """Raises UnsupportedError for what isn't decided by the lengths alone."""
    mode = layer.attribute("mode", "nearest")
    coordinates = layer.attribute("coordinate_transformation_mode", "half_pixel")
    if mode not in (*_MODES, *(["bilinear"] if layer.opset < 11 else [])):
        raise UnsupportedError(f"its mode {mode!r} isn't known")
    if coordinates not in _COORDINATES:
        raise UnsupportedError(f"its coordinate_transformation_mode {coordinates!r} has no counterpart")
    if layer.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise UnsupportedError("its keep_aspect_ratio_policy has no counterpart")


def _scales(layer: Layer) -> dict[int, float]:
    """The factors by axis; none where sizes are given instead. Raises UnsupportedError where an image changes them."""
    if layer.step.op == "Upsample" or layer.opset < 11:
        found = layer.setting("scales", 1)
    else:
        found = layer.numbers(2, "scales").tolist() if layer.optional(2) is not None else []
    axes = layer.attribute("axes") or range(layer.value(0).rank)
    return {layer.axis(axis): scale for axis, scale in zip(axes, found or [], strict=False)}


def _weights(layer: Layer, before: int, after: int, scale: float | None) -> Array:
    """What each number of a resized row (after) has of each of the row (before): (after, before).

    Rows are images of one line, which is doubled: where no length changes, onnxruntime copies.
    """
    attributes = {
        name: value for name, value in layer.step.attributes.items() if name not in ("axes", "keep_aspect_ratio_policy")
    }
    inputs = {"x": np.eye(before, dtype=np.float32).reshape(before, 1, 1, before)}
    scales = np.array([] if scale is None else [1, 1, 2, scale], np.float32)
    names = ["x"]
    if "scales" in attributes:  # of Upsample
        attributes["scales"] = scales.tolist()
    elif layer.opset < 11:
        names.append("scales")
        inputs |= {"scales": scales}
    else:
        inputs |= {"roi": scales[:0], "scales": scales[:0]} if layer.opset < 13 else {}  # which had to be there
        inputs |= {"sizes": np.array([before, 1, 2, after], np.int64)} if scale is None else {"scales": scales}
        names += [name if name in inputs else "" for name in ("roi", "scales", "sizes")]
    found = _computed(helper.make_node(layer.step.op, names, ["y"], **attributes), inputs, layer.opset)
    if found.shape != (before, 1, 2, after):
        raise UnsupportedError(f"onnxruntime makes {found.shape[-1]} numbers of {before}, and not {after}")
    weights: Array = found[:, 0, 0].T
    return weights


def _computed(node: Any, inputs: Mapping[str, Array], opset: int) -> Array:
    """What onnxruntime computes of a node."""
    model = model_of(node, inputs, [helper.make_opsetid("", opset)])
    try:
        return Session(model.SerializeToString()).run(["y"], inputs)[0]
    except Exception as error:  # noqa: BLE001  # onnxruntime has no class that all of its errors are
        raise UnsupportedError(f"onnxruntime can't compute it: {one_line(error)}") from None


def _weighted(layer: Layer, x: Symbol, axis: int, weights: Array) -> Symbol:
    """An axis made of sums of itself with these weights (after, before)."""
    if ((weights == 1).sum(axis=1) == 1).all() and (weights != 0).sum() == len(weights):  # nothing but copies
        taken = weights.argmax(axis=1)
        return layer.sym.take(x, layer.parameter(f"rows_{axis}", taken, dtype="float32"), axis=axis)
    last = layer.value(0).rank - 1
    swapped = layer.sym.swapaxes(x, dim1=axis, dim2=last) if axis != last else x
    summed = layer.sym.FullyConnected(
        swapped, layer.parameter(f"weights_{axis}", weights), num_hidden=len(weights), no_bias=True, flatten=False
    )
    return layer.sym.swapaxes(summed, dim1=axis, dim2=last) if axis != last else summed
