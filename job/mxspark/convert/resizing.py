"""ONNX's Resize and Upsample in MXNet's operators.

Each number of the result is a weighted sum of numbers of a row, then of a column, with weights that only the lengths
decide. ONNX's own implementation is asked for them, so that all its modes and coordinates are what it says; MXNet's
BilinearResize2D has one of them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from mxspark.convert.errors import UnsupportedError
from mxspark.convert.layer import Layer, Symbol
from mxspark.convert.onnx_file import Array

_OPSET = 19  # whose Resize has the meanings of all before it since opset 11
_MODES = ("cubic", "linear", "nearest")
_COORDINATES = ("align_corners", "asymmetric", "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel")
_PASSED_ON = ("antialias", "cubic_coeff_a", "exclude_outside", "nearest_mode")


def resize(layer: Layer) -> Symbol:
    """The image with other height and width, or whatever axes are resized."""
    _check(layer)
    value, scales, x = layer.value(0), _scales(layer), layer.x()
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
    """What each number of a resized row (after) has of each of the row (before): (after, before)."""
    attributes = {
        "mode": layer.attribute("mode", "nearest").replace("bilinear", "linear"),
        **_coordinates(layer, scale),
    }
    how = {"scales": [1.0, scale]} if scale is not None else {"sizes": [before, after]}
    node = helper.make_node(
        "Resize", ["x", "", *how] if scale is not None else ["x", "", "", *how], ["y"], **attributes
    )
    infos = [helper.make_tensor_value_info("x", TensorProto.FLOAT, (before, before))]
    name, numbers = next(iter(how.items()))
    given = np.array(numbers, np.float32 if scale is not None else np.int64)
    kind = TensorProto.FLOAT if scale is not None else TensorProto.INT64
    infos.append(helper.make_tensor_value_info(name, kind, (2,)))
    graph = helper.make_graph([node], "row", infos, [helper.make_empty_tensor_value_info("y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
    results: Any = ReferenceEvaluator(model).run(None, {"x": np.eye(before, dtype=np.float32), name: given})
    found = np.asarray(results[0])
    if found.shape != (before, after):
        raise UnsupportedError(f"ONNX's own implementation makes {found.shape[1]} of {before}, not {after}")
    weights: Array = found.T
    return weights


def _coordinates(layer: Layer, scale: float | None) -> Mapping[str, Any]:
    """The attributes that decide which numbers are taken; up to opset 10 there were none."""
    if layer.opset < 11:
        nearest = "ceil" if scale is not None and scale < 1 else "floor"
        return {"coordinate_transformation_mode": "asymmetric", "nearest_mode": nearest}
    names = ("coordinate_transformation_mode", *_PASSED_ON)
    return {name: layer.attribute(name) for name in names if layer.attribute(name) is not None}


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
