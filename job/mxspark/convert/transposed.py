"""ONNX's ConvTranspose in MXNet's Deconvolution, which pads both ends alike and makes its result longer by less than a
stride: where that isn't what is wanted, all of the result is computed and cut.
"""

from dataclasses import dataclass

from mxspark.convert.errors import UnsupportedError
from mxspark.convert.layer import Layer, Symbol
from mxspark.convert.windows import zero_padded


@dataclass(frozen=True)
class _Axis:
    """The result along an axis: of `whole` numbers those from `begin` on, as many as `length`."""

    whole: int
    begin: int
    length: int
    stride: int

    @property
    def more(self) -> int:
        """By how much the result is longer than with the same padding at both ends."""
        return self.length - (self.whole - 2 * self.begin)


def conv_transpose(layer: Layer) -> Symbol:
    """The gradient of a convolution as a layer of its own."""
    weights = layer.numbers(1, "the kernel")
    if weights.ndim != 4:
        raise UnsupportedError(f"its kernel has {weights.ndim - 2} axes, and images have two")
    group, bias = layer.attribute("group", 1), layer.optional(2)
    axes = [_axis(layer, number, weights.shape[2 + number]) for number in range(2)]
    is_direct = all(axis.begin >= 0 and 0 <= axis.more < axis.stride for axis in axes)
    made = layer.sym.Deconvolution(
        layer.x(),
        layer.x(1),
        *([layer.parameter("bias", layer.numbers(2, "the bias"))] if bias is not None and is_direct else []),
        kernel=weights.shape[2:],
        stride=tuple(layer.attribute("strides", [1, 1])),
        dilate=tuple(layer.attribute("dilations", [1, 1])),
        pad=tuple(axis.begin for axis in axes) if is_direct else (0, 0),
        adj=tuple(axis.more for axis in axes) if is_direct else (0, 0),
        num_filter=weights.shape[1] * group,
        num_group=group,
        no_bias=bias is None or not is_direct,
    )
    if is_direct:
        return made
    cut = _cut(layer, made, axes)
    if bias is None:
        return cut
    numbers = layer.numbers(2, "the bias")
    return layer.sym.broadcast_add(cut, layer.parameter("bias", numbers, (1, numbers.size, 1, 1)))


def _axis(layer: Layer, number: int, kernel: int) -> _Axis:
    stride = layer.attribute("strides", [1, 1])[number]
    whole = (
        stride * (layer.value(0).shapes[0][2 + number] - 1)
        + (kernel - 1) * layer.attribute("dilations", [1, 1])[number]
        + 1
    )
    length = layer.output.shapes[0][2 + number]
    auto = layer.attribute("auto_pad", "NOTSET")
    if auto == "NOTSET" and layer.attribute("output_shape") is None:
        return _Axis(whole, layer.attribute("pads", [0, 0, 0, 0])[number], length, stride)
    if auto == "VALID":
        return _Axis(whole, 0, length, stride)
    padding = max(whole + layer.attribute("output_padding", [0, 0])[number] - length, 0)
    return _Axis(whole, padding // 2 if auto == "SAME_UPPER" else padding - padding // 2, length, stride)


def _cut(layer: Layer, whole: Symbol, axes: list[_Axis]) -> Symbol:
    """What is wanted of the whole result, with zeros where that ends before."""
    if any(axis.begin < 0 for axis in axes):
        raise UnsupportedError("its padding is negative")
    lacks = [max(axis.begin + axis.length - axis.whole, 0) for axis in axes]
    padded = zero_padded(layer, whole, [0, 0, *lacks]) if any(lacks) else whole
    begin, end = zip(*((axis.begin, axis.begin + axis.length) for axis in axes), strict=True)
    return layer.sym.slice(padded, begin=(None, None, *begin), end=(None, None, *end))
