"""ONNX's operators in MXNet's: a table, and a function for each.

Each takes a Layer and gives a symbol, or one for each output. UnsupportedError is raised for what has no counterpart.
The meanings are those of https://onnx.ai/onnx/operators, opset 7 to 21; onnxruntime is what all is compared with.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from math import pi, prod, sqrt
from typing import Any

import numpy as np
from onnx import TensorProto

from mxspark.convert.errors import UnsupportedError
from mxspark.convert.layer import Layer, Shapes, Symbol
from mxspark.convert.pooling import average_pool, max_pool
from mxspark.convert.resizing import resize
from mxspark.convert.trace import Shape, Value
from mxspark.convert.transposed import conv_transpose
from mxspark.convert.windows import no_pads, same_pads, zero_padded

Convert = Callable[[Layer], Any]
_SAME_NAMES = ("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "Log", "Reciprocal", "Sin", "Sqrt")  # MXNet's: abs, …
_LARGEST = 3e38  # MXNet reads no infinity in a graph's JSON
_MOST_AXES = 5  # of what MXNet's `slice` takes
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)


# ---- layers with weights ----


def _conv(layer: Layer) -> Symbol:
    weights = layer.numbers(1, "the kernel")
    if weights.ndim != 4:
        raise UnsupportedError(f"its kernel has {weights.ndim - 2} axes, and images have two")
    group, channels = layer.attribute("group", 1), layer.value(0).shapes[0][1]
    if group < 1 or weights.shape[0] % group or channels != weights.shape[1] * group:  # of which MXNet would die
        raise UnsupportedError(f"its kernel of shape {weights.shape} doesn't fit {channels} channels, group {group}")
    strides, dilations = layer.attribute("strides", [1, 1]), layer.attribute("dilations", [1, 1])
    image, earlier = layer.network.padded.get(layer.value(0).name, (layer.value(0), no_pads()))
    pads = [own + before for own, before in zip(same_pads(layer, weights.shape[2:], dilations), earlier, strict=True)]
    weights, pads = _symmetric(weights, pads, dilations)
    x = layer.network.symbol(image)
    if pads[:2] != pads[2:]:
        x, pads = zero_padded(layer, x, pads), no_pads()
    bias = layer.numbers(2, "the bias") if layer.optional(2) is not None else None
    return layer.sym.Convolution(
        x,
        layer.parameter("weight", weights) if weights is not layer.numbers(1) else layer.x(1),
        *([layer.x(2)] if bias is not None else []),
        kernel=weights.shape[2:],
        stride=tuple(strides),
        dilate=tuple(dilations),
        pad=tuple(pads[:2]),
        num_filter=weights.shape[0],
        num_group=group,
        no_bias=bias is None,
    )


def _symmetric(weights: Any, pads: Any, dilations: Any) -> tuple[Any, Any]:
    """The same convolution with the same padding at both ends, where a kernel with rows of zeros makes it that: a node
    of its own for the padding takes half of the time of some networks.
    """
    more = []
    for axis in range(2):
        lacks, rest = divmod(pads[axis + 2] - pads[axis], dilations[axis])
        if rest:
            return weights, pads
        more.append((max(lacks, 0), max(-lacks, 0)))
    if not any(map(any, more)):
        return weights, pads
    sides = [max(pads[axis], pads[axis + 2]) for axis in range(2)]
    return np.pad(weights, [(0, 0), (0, 0), *more]), [*sides, *sides]


def _gemm(layer: Layer) -> Symbol:
    if layer.attribute("transA", 0):
        raise UnsupportedError("its attribute transA has no counterpart")
    weights = layer.numbers(1, "the matrix")
    weights = layer.attribute("alpha", 1.0) * (weights if layer.attribute("transB", 0) else weights.T)
    bias = None
    if layer.optional(2) is not None:
        numbers = layer.numbers(2, "the bias")
        if prod(numbers.shape[:-1]) != 1:
            raise UnsupportedError("its bias is no vector")
        bias = layer.attribute("beta", 1.0) * np.broadcast_to(numbers.reshape(-1), (len(weights),))
    return _fully_connected(layer, weights, bias)


def _fully_connected(layer: Layer, weights: Any, bias: Any = None) -> Symbol:
    return layer.sym.FullyConnected(
        layer.x(),
        layer.parameter("weight", weights),
        *([layer.parameter("bias", bias)] if bias is not None else []),
        num_hidden=len(weights),
        no_bias=bias is None,
        flatten=False,
    )


def _matmul(layer: Layer) -> Symbol:
    a, b = layer.value(0), layer.value(1)
    if b.constant is not None and b.rank == 2 and a.rank >= 2:
        return _fully_connected(layer, b.constant.T)
    if min(a.rank, b.rank) < 2:
        raise UnsupportedError("it multiplies a vector")
    rank = max(a.rank, b.rank)
    shapes = [tuple((1,) * (rank - value.rank) + shape for shape in value.shapes) for value in (a, b)]
    found = layer.aligned()
    for one, other in ((0, 1), (1, 0)):
        axes = tuple(k for k in range(rank - 2) if shapes[one][0][k] == 1 != shapes[other][0][k])
        if axes:
            found[one] = layer.sym.broadcast_like(found[one], found[other], lhs_axes=axes, rhs_axes=axes)
    batch = [shape[:-2] for shape in layer.output.shapes]
    flat = [
        layer.reshaped(symbol, _matrices(batch, sides), _matrices([(prod(lengths),) for lengths in batch], sides))
        for symbol, sides in zip(found, shapes, strict=True)
    ]
    product = layer.sym.batch_dot(*flat)
    sides = layer.output.shapes
    return layer.reshaped(product, _matrices([(prod(lengths),) for lengths in batch], sides), sides)


def _matrices(batch: Sequence[Shape], sides: Sequence[Shape]) -> Shapes:
    """The shapes of so many matrices, for both sizes of the batch."""
    first, second = ((*lengths, *shape[-2:]) for lengths, shape in zip(batch, sides, strict=True))
    return first, second


def _batch_norm(layer: Layer) -> Symbol:
    if not layer.attribute("spatial", 1):
        raise UnsupportedError("it normalizes each place by itself")
    gamma, beta, mean, variance = (layer.numbers(number) for number in range(1, 5))
    return layer.sym.BatchNorm(
        layer.x(),
        layer.parameter("gamma", gamma),
        layer.parameter("beta", beta),
        layer.parameter("moving_mean", mean),
        layer.parameter("moving_var", variance),
        eps=layer.attribute("epsilon", 1e-5),
        fix_gamma=False,
        use_global_stats=True,
    )


def _layer_norm(layer: Layer) -> Symbol:
    rank = layer.value(0).rank
    if layer.axis(layer.attribute("axis", -1)) != rank - 1 or len(layer.step.outputs) > 1:
        raise UnsupportedError("it normalizes over several axes, or gives the mean too")
    length = layer.value(0).shapes[0][-1:]
    gamma = np.broadcast_to(layer.numbers(1), length)
    beta = np.broadcast_to(layer.numbers(2), length) if layer.optional(2) is not None else np.zeros_like(gamma)
    return layer.sym.LayerNorm(
        layer.x(),
        layer.parameter("gamma", gamma),
        layer.parameter("beta", beta),
        axis=-1,
        eps=layer.attribute("epsilon", 1e-5),
    )


def _instance_norm(layer: Layer) -> Symbol:
    return layer.sym.InstanceNorm(
        layer.x(),
        layer.parameter("gamma", layer.numbers(1)),
        layer.parameter("beta", layer.numbers(2)),
        eps=layer.attribute("epsilon", 1e-5),
    )


def _lrn(layer: Layer) -> Symbol:
    return layer.sym.LRN(
        layer.x(),
        alpha=layer.attribute("alpha", 1e-4),
        beta=layer.attribute("beta", 0.75),
        knorm=layer.attribute("bias", 1.0),
        nsize=layer.attribute("size"),
    )


def _prelu(layer: Layer) -> Symbol:
    slope, rank = layer.numbers(1, "the slope"), layer.value(0).rank
    whole = (1,) * (rank - slope.ndim) + slope.shape
    channels = layer.value(0).shapes[0][1] if rank > 1 else 1
    if slope.size == 1 or (rank > 1 and whole == (1, channels) + (1,) * (rank - 2)):
        return layer.sym.LeakyReLU(layer.x(), layer.parameter("slope", slope, (slope.size,)), act_type="prelu")
    negative = layer.sym.broadcast_mul(layer.sym.relu(-layer.x()), layer.parameter("slope", slope, whole))
    return layer.sym.relu(layer.x()) - negative


# ---- functions of single numbers ----


def _function(name: str) -> Convert:
    return lambda layer: getattr(layer.sym, name)(layer.x())


def _activation(kind: str) -> Convert:
    return lambda layer: layer.sym.Activation(layer.x(), act_type=kind)


def _leaky(kind: str, default: float) -> Convert:
    return lambda layer: layer.sym.LeakyReLU(layer.x(), act_type=kind, slope=layer.attribute("alpha", default))


def _selu(layer: Layer) -> Symbol:
    alpha, gamma = layer.attribute("alpha", 1.6732632423543772), layer.attribute("gamma", 1.0507009873554805)
    return layer.sym.LeakyReLU(layer.x(), act_type="elu", slope=alpha) * gamma


def _clip(layer: Layer) -> Symbol:
    low, high = (layer.setting(name, number) for name, number in (("min", 1), ("max", 2)))
    high = _number(high, _LARGEST)
    low = min(_number(low, -_LARGEST), high)  # where it is the larger one, all becomes `high`
    if low == 0 and high >= _LARGEST:
        return layer.sym.Activation(layer.x(), act_type="relu")
    return layer.sym.clip(layer.x(), a_min=max(low, -_LARGEST), a_max=min(high, _LARGEST))


def _number(found: Any, default: float) -> float:
    return default if found is None else float(np.reshape(found, -1)[0])


def _hard_sigmoid(layer: Layer) -> Symbol:
    return layer.sym.clip(layer.x() * layer.attribute("alpha", 0.2) + layer.attribute("beta", 0.5), a_min=0, a_max=1)


def _hard_swish(layer: Layer) -> Symbol:
    return layer.x() * layer.sym.clip(layer.x() * (1 / 6) + 0.5, a_min=0, a_max=1)


def _gelu(layer: Layer) -> Symbol:
    x = layer.x()
    if layer.attribute("approximate", "none") == "tanh":
        return x * 0.5 * (layer.sym.tanh((x + x * x * x * 0.044715) * sqrt(2 / pi)) + 1)
    return layer.sym.LeakyReLU(x, act_type="gelu")


def _mish(layer: Layer) -> Symbol:
    return layer.x() * layer.sym.tanh(layer.sym.Activation(layer.x(), act_type="softrelu"))


def _same(layer: Layer) -> Symbol:
    if layer.attribute("training_mode") or (layer.optional(2) is not None and layer.numbers(2).any()):
        raise UnsupportedError("it drops numbers when it predicts, as in training")
    return layer.x()


def _cast(layer: Layer) -> Symbol:
    if layer.attribute("to") not in FLOATS:
        kind = TensorProto.DataType.Name(layer.attribute("to"))
        raise UnsupportedError(f"it makes {kind.lower()} of what is computed")
    return layer.x() if layer.value(0).type in FLOATS else layer.sym.cast(layer.x(), dtype="float32")


# ---- arithmetic of several values ----


def _arithmetic(elementwise: str, broadcast: str, scalar: Callable[[Any, Any], Any]) -> Convert:
    def convert(layer: Layer) -> Symbol:
        a, b = layer.value(0), layer.value(1)
        for constant, other in ((b, a), (a, b)):
            if (number := _scalar(constant, other)) is not None:
                x = layer.network.symbol(other)
                return scalar(x, number) if constant is b else scalar(number, x)
        if a.shapes == b.shapes:
            return getattr(layer.sym, elementwise)(layer.x(0), layer.x(1))
        return getattr(layer.sym, broadcast)(*layer.aligned())

    return convert


def _scalar(value: Value, other: Value) -> float | None:
    """The one number of a constant that doesn't give `other` more axes."""
    is_one = value.constant is not None and value.constant.size == 1 and value.rank <= max(other.rank, 1)
    return _number(value.constant, 0.0) if is_one else None


def _pow(layer: Layer) -> Symbol:
    if (number := _scalar(layer.value(1), layer.value(0))) is not None:
        return layer.sym.square(layer.x()) if number == 2 else layer.x() ** number
    return layer.sym.broadcast_power(*layer.aligned())


def _of_all(name: str) -> Convert:
    return lambda layer: reduce(getattr(layer.sym, name), layer.aligned())


def _mean(layer: Layer) -> Symbol:
    return reduce(layer.sym.broadcast_add, layer.aligned()) * (1 / len(layer.inputs))


# ---- over axes ----


def _softmax(name: str) -> Convert:
    """Up to opset 12 it is over all axes from `axis` on together, which is 1 by default."""

    def convert(layer: Layer) -> Symbol:
        value, function = layer.value(0), getattr(layer.sym, name)
        axis = layer.axis(layer.attribute("axis", -1 if layer.opset >= 13 else 1))
        _check_whole(layer, axis)
        behind = [shape[axis + 1 :] for shape in value.shapes]
        is_plain = layer.opset >= 13 or all(prod(lengths) == 1 for lengths in behind)
        # Over an image's rows MXNet 1.9 crashes where that comes out of a convolution and is read twice.
        is_image = value.rank == 4 and axis == 3 and prod(value.shapes[0][1:3]) > 1
        if is_plain and not is_image:
            return function(layer.x(), axis=axis)
        first, second = value.shapes
        flat: Shapes = ((prod(first[:axis]), prod(first[axis:])), (prod(second[:axis]), prod(second[axis:])))
        return layer.reshaped(function(layer.reshaped(layer.x(), value.shapes, flat), axis=1), flat, value.shapes)

    return convert


def _reduced(function: Callable[[Layer, Symbol, Mapping[str, Any]], Symbol]) -> Convert:
    def convert(layer: Layer) -> Symbol:
        axes = layer.setting("axes", 1)
        if not axes and layer.attribute("noop_with_empty_axes", 0):
            return layer.x()
        chosen = tuple(sorted(layer.axis(axis) for axis in axes)) if axes else tuple(range(layer.value(0).rank))
        for axis in chosen:
            _check_whole(layer, axis)
        return function(layer, layer.x(), {"axis": chosen, "keepdims": layer.attribute("keepdims", 1) == 1})

    return convert


def _reduced_mean(layer: Layer, x: Symbol, over: Mapping[str, Any]) -> Symbol:
    if layer.value(0).rank == 4 and over["axis"] == (2, 3):  # which oneDNN computes
        pooled = layer.sym.Pooling(x, global_pool=True, kernel=(1, 1), pool_type="avg")
        return pooled if over["keepdims"] else layer.sym.reshape(pooled, shape=(0, -1))
    return layer.sym.mean(x, **over)


def _lp_norm(layer: Layer) -> Symbol:
    over = {"axis": layer.axis(layer.attribute("axis", -1)), "keepdims": True}
    _check_whole(layer, over["axis"])
    x = layer.x()
    size = (
        layer.sym.sum(layer.sym.abs(x), **over)
        if layer.attribute("p", 2) == 1
        else layer.sym.sqrt(layer.sym.sum(x * x, **over))
    )
    return layer.sym.broadcast_div(x, size + (size == 0))  # onnxruntime leaves zeros as they are


def _global_pool(kind: str, function: str) -> Convert:
    def convert(layer: Layer) -> Symbol:
        rank = layer.value(0).rank
        if rank == 4:
            return layer.sym.Pooling(layer.x(), global_pool=True, kernel=(1, 1), pool_type=kind)
        return getattr(layer.sym, function)(layer.x(), axis=tuple(range(2, rank)), keepdims=True)

    return convert


# ---- shapes ----


def _reshape(layer: Layer) -> Symbol:
    if layer.attribute("allowzero", 0) and 0 in layer.output.shapes[0]:
        raise UnsupportedError("its result is empty")
    return layer.reshaped(layer.x(), layer.value(0).shapes, layer.output.shapes)


def _expand(layer: Layer) -> Symbol:
    value = layer.value(0)
    ones = (1,) * (layer.output.rank - value.rank)
    before = (ones + value.shapes[0], ones + value.shapes[1])
    return _broadcast(layer, layer.reshaped(layer.x(), value.shapes, before), before, layer.output.shapes)


def _broadcast(layer: Layer, x: Symbol, before: Any, after: Any) -> Symbol:
    """Axes of length 1 made longer."""
    target = []
    for axis, (first, second) in enumerate(zip(*after, strict=True)):
        is_kept = (before[0][axis], before[1][axis]) == (first, second)
        if not is_kept and first != second:
            raise UnsupportedError("it repeats what is computed as often as there are images")
        target.append(0 if is_kept else first)
    return layer.sym.broadcast_to(x, shape=tuple(target)) if any(target) else x


def _transpose(layer: Layer) -> Symbol:
    value = layer.value(0)
    axes = tuple(layer.attribute("perm", range(value.rank)[::-1]))
    if value.name in layer.network.transposed:  # one after another may change nothing
        value, earlier = layer.network.transposed[value.name]
        axes = tuple(earlier[axis] for axis in axes)
    if axes == tuple(range(value.rank)):
        return layer.network.symbol(value)
    layer.network.transposed[layer.output.name] = value, axes
    return layer.sym.transpose(layer.network.symbol(value), axes=axes)


def _concat(layer: Layer) -> Symbol:
    symbols = [layer.network.symbol(value) for value in layer.inputs]
    if len(symbols) == 1:
        return symbols[0]
    return layer.sym.concat(*symbols, dim=layer.axis(layer.attribute("axis"), layer.output.rank))


def _split(layer: Layer) -> list[Symbol]:
    axis = layer.axis(layer.attribute("axis", 0))
    _check_whole(layer, axis)
    ends = np.cumsum([value.shapes[0][axis] for value in layer.step.outputs]).tolist()
    return [
        layer.sym.slice_axis(layer.x(), axis=axis, begin=begin, end=end)
        for begin, end in zip([0, *ends], ends, strict=False)
    ]


def _check_whole(layer: Layer, axis: int) -> None:
    """Raises UnsupportedError where an axis has a number for each image."""
    if not layer.value(0).is_fixed(axis):
        raise UnsupportedError("it parts or mixes the images of a batch")


def _slice(layer: Layer) -> Symbol:
    value = layer.value(0)
    starts, ends = layer.setting("starts", 1), layer.setting("ends", 2)
    axes = layer.setting("axes", 3) or range(len(starts))
    steps = layer.setting("steps", 4) or [1] * len(starts)
    x = layer.x()
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis = layer.axis(axis)
        lengths = [shape[axis] for shape in value.shapes]
        if all(range(length)[slice(start, end, step)] == range(length) for length in lengths):
            continue
        _check_whole(layer, axis)
        x = _sliced(layer, x, axis, slice(start, end, step).indices(lengths[0]))
    return x


def _sliced(layer: Layer, x: Symbol, axis: int, part: tuple[int, int, int]) -> Symbol:
    """A part of one axis: by `slice`, oneDNN's, only where it has steps, for that crashes on some parts of channels."""
    first, last, step = part
    if step == 1:
        return layer.sym.slice_axis(x, axis=axis, begin=first, end=last)
    if layer.value(0).rank > _MOST_AXES:
        raise UnsupportedError(f"it takes every {step}th of more than {_MOST_AXES} axes")
    rest = (None,) * axis
    end = last if last >= 0 else None
    return layer.sym.slice(x, begin=(*rest, first), end=(*rest, end), step=(*rest, step))


def _gather(layer: Layer) -> Symbol:
    value, axis = layer.value(0), layer.axis(layer.attribute("axis", 0))
    _check_whole(layer, axis)
    length = value.shapes[0][axis]
    indices = np.asarray(layer.numbers(1, "the indices")) % length
    first, count = int(indices.reshape(-1)[0]), indices.size
    if indices.reshape(-1).tolist() == list(range(first, first + count)):
        taken = layer.sym.slice_axis(layer.x(), axis=axis, begin=first, end=first + count)
    else:
        taken = layer.sym.take(layer.x(), layer.parameter("indices", indices.reshape(-1), dtype="float32"), axis=axis)
    shapes = tuple((*shape[:axis], count, *shape[axis + 1 :]) for shape in value.shapes)
    return layer.reshaped(taken, (shapes[0], shapes[1]), layer.output.shapes)


def _pad(layer: Layer) -> Symbol:
    mode, value = layer.attribute("mode", "constant"), layer.value(0)
    pads = layer.setting("pads", 1)
    fill = _number(layer.setting("value", 2), 0.0)
    if layer.optional(3) is not None:  # for these axes only
        pads = _of_all_axes(pads, [layer.axis(axis) for axis in layer.numbers(3, "axes").tolist()], value.rank)
    begin, end = pads[: value.rank], pads[value.rank :]
    padded = [axis for axis in range(value.rank) if begin[axis] or end[axis]]
    if not padded:
        return layer.x()
    if min(pads) < 0 or len(padded) > 2 or mode not in ("constant", "reflect", "edge") or value.rank > 4:
        raise UnsupportedError("it cuts, wraps, or pads more than two axes")
    for axis in padded:
        _check_whole(layer, axis)
    if mode == "constant" and fill == 0 and value.rank == 4 and min(padded) >= 2:
        layer.network.padded[layer.output.name] = value, (begin[2], begin[3], end[2], end[3])
    # MXNet pads the last two of four axes.
    ones = (1,) * (4 - value.rank)
    four = (ones + value.shapes[0], ones + value.shapes[1])
    last = [axis + len(ones) for axis in padded]
    spare = [axis for axis in range(3, -1, -1) if axis not in last][: 2 - len(last)]
    last = sorted([*last, *spare])
    order = [axis for axis in range(4) if axis not in last] + last
    widths = {axis + len(ones): (begin[axis], end[axis]) for axis in range(value.rank)}
    x = layer.reshaped(layer.x(), value.shapes, four)
    if order != [0, 1, 2, 3]:
        x = layer.sym.transpose(x, axes=tuple(order))
    width = tuple(number for axis in order for number in widths.get(axis, (0, 0)))
    x = layer.sym.pad(x, mode=mode, constant_value=min(max(fill, -_LARGEST), _LARGEST), pad_width=width)
    if order != [0, 1, 2, 3]:
        x = layer.sym.transpose(x, axes=tuple(order.index(axis) for axis in range(4)))
    after = (ones + layer.output.shapes[0], ones + layer.output.shapes[1])
    return layer.reshaped(x, after, layer.output.shapes)


def _of_all_axes(pads: list[int], axes: list[int], rank: int) -> list[int]:
    found = [0] * (2 * rank)
    for number, axis in enumerate(axes):
        found[axis], found[axis + rank] = pads[number], pads[number + len(axes)]
    return found


def _depth_to_space(layer: Layer) -> Symbol:
    if layer.attribute("mode", "DCR") != "DCR":
        raise UnsupportedError("its mode CRD has no counterpart")
    return layer.sym.depth_to_space(layer.x(), block_size=layer.attribute("blocksize"))


OPERATORS: Mapping[str, Convert] = {
    **{name: _function(name.lower()) for name in _SAME_NAMES},
    **{name: _activation(name.lower()) for name in ("Relu", "Sigmoid", "Softsign", "Tanh")},
    **dict.fromkeys(("Flatten", "Reshape", "Squeeze", "Unsqueeze"), _reshape),
    "Add": _arithmetic("elemwise_add", "broadcast_add", operator.add),
    "AveragePool": average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "ConvTranspose": conv_transpose,
    "DepthToSpace": _depth_to_space,
    "Div": _arithmetic("elemwise_div", "broadcast_div", operator.truediv),
    "Dropout": _same,
    "Elu": _leaky("elu", 1.0),
    "Expand": _expand,
    "Gather": _gather,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_pool("avg", "mean"),
    "GlobalMaxPool": _global_pool("max", "max"),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Identity": _same,
    "InstanceNormalization": _instance_norm,
    "LRN": _lrn,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": _leaky("leaky", 0.01),
    "LogSoftmax": _softmax("log_softmax"),
    "LpNormalization": _lp_norm,
    "MatMul": _matmul,
    "Max": _of_all("broadcast_maximum"),
    "MaxPool": max_pool,
    "Mean": _mean,
    "Min": _of_all("broadcast_minimum"),
    "Mish": _mish,
    "Mul": _arithmetic("elemwise_mul", "broadcast_mul", operator.mul),
    "Neg": _function("negative"),
    "PRelu": _prelu,
    "Pad": _pad,
    "Pow": _pow,
    "ReduceL2": _reduced(lambda layer, x, over: layer.sym.sqrt(layer.sym.sum(x * x, **over))),
    "ReduceMax": _reduced(lambda layer, x, over: layer.sym.max(x, **over)),
    "ReduceMean": _reduced(_reduced_mean),
    "ReduceMin": _reduced(lambda layer, x, over: layer.sym.min(x, **over)),
    "ReduceSum": _reduced(lambda layer, x, over: layer.sym.sum(x, **over)),
    "Resize": resize,
    "Selu": _selu,
    "Slice": _slice,
    "Softmax": _softmax("softmax"),
    "Softplus": _activation("softrelu"),
    "Split": _split,
    "Sub": _arithmetic("elemwise_sub", "broadcast_sub", operator.sub),
    "Sum": _of_all("broadcast_add"),
    "Transpose": _transpose,
    "Upsample": resize,
}
