"""Graph passes: a network (net.Net) rewritten so that it computes the same with less, or in bfloat16. Knows no MXNet.

`EXACT` compute the same but for rounding. They take what they can prove and leave everything else as it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from mxspark.inference.graph import Node, Output
from mxspark.inference.net import VARIABLE, Array, Net, float32

Pass = Callable[[Net], Net]

# Operators that change nothing in prediction. BlockGrad is also what keeps fused operators apart: Net.to_json puts it
# where it is needed.
_IDENTITIES = ("_copy", "_np_copy", "BlockGrad", "Dropout")
_LINEAR = ("Convolution", "FullyConnected")
# Operators that MXNet's oneDNN computes in bfloat16 where all their inputs are (mxnet/contrib/amp/lists/
# symbol_bf16.py). Batch normalization is left out: MXNet 1.9.1 fuses it with a convolution, and computes that wrong.
_BF16_TOO = ("Pooling", "elemwise_add", "Concat", "clip")
_BATCH_NORM_EPS = "0.001"  # MXNet's default


def remove_identities(net: Net) -> Net:
    """Without copies, and without dropout, which does nothing in prediction."""
    return net.without(
        {
            number: node.inputs[0]
            for number, node in enumerate(net.nodes)
            if node.op in _IDENTITIES and node.attribute("mode") != "always"
        }
    )


def fold_batch_norms(net: Net) -> Net:
    """Batch normalization behind a convolution or a fully connected layer that nothing else reads, as that layer's own
    weights and bias.

    (w x + b - mean) s + beta = (w s) x + (b - mean) s + beta, with s = gamma / sqrt(var + eps) for each channel.
    """
    passed_on: dict[int, Output] = {}
    readers, several = net.readers, {number for node in net.nodes for number, output in node.inputs if output}
    for number, node in enumerate(net.nodes):
        if node.op != "BatchNorm" or number in several or node.attribute("axis", "1") != "1":
            continue
        layer_number, output = node.inputs[0]
        layer = net.nodes[layer_number]
        weight, bias = net.parameter(layer, 1), net.parameter(layer, 2)
        has_bias = len(layer.inputs) > 2
        names = [net.parameter(node, place) for place in range(1, 5)]
        if (
            layer.op not in _LINEAR
            or readers[layer_number] != 1
            or layer.attribute("layout", "None") not in ("None", "NCHW", "NCW", "NCDHW")
            or (layer.op == "FullyConnected" and not layer.is_true("flatten", "True"))
            or weight is None
            or (has_bias and bias is None)
            or None in names
        ):
            continue
        values = {**net.arguments, **net.states}
        gamma, beta, mean, variance = (values[str(name)].astype(np.float64) for name in names)
        scale = (1.0 if node.is_true("fix_gamma", "True") else gamma) / np.sqrt(
            variance + float(node.attribute("eps", _BATCH_NORM_EPS))
        )
        kernel = values[weight].astype(np.float64)
        before = values[str(bias)].astype(np.float64) if has_bias else 0.0
        net = _with_parameters(
            net,
            layer_number,
            layer.with_attributes(no_bias="False"),
            kernel * scale.reshape(-1, *[1] * (kernel.ndim - 1)),
            (before - mean) * scale + beta,
        )
        passed_on[number] = (layer_number, output)
    return net.without(passed_on)


def absorb_pads(net: Net) -> Net:
    """Padding with zeros before a convolution, as that convolution's own padding. Where one side has more, its kernel
    gets rows and columns of zeros on the other, so that it stays symmetric.
    """
    for number, node in enumerate(net.nodes):
        if node.op != "Convolution" or not node.inputs:
            continue
        pad = net.nodes[node.inputs[0][0]]
        weight = net.parameter(node, 1)
        kernel = node.numbers("kernel")
        if pad.op != "Pad" or not _is_of_zeros(pad) or weight is None or len(kernel) != 2:
            continue
        if node.attribute("layout", "None") not in ("None", "NCHW"):
            continue
        own, dilation = node.numbers("pad") or (0, 0), node.numbers("dilate") or (1, 1)
        width = pad.numbers("pad_width")[4:]
        before = [width[0] + own[0], width[2] + own[1]]
        after = [width[1] + own[0], width[3] + own[1]]
        lacking = [last - first for first, last in zip(before, after, strict=True)]
        if any(more % step for more, step in zip(lacking, dilation, strict=True)):
            continue
        zeros = [(max(more, 0) // step, max(-more, 0) // step) for more, step in zip(lacking, dilation, strict=True)]
        wider = np.pad(net.arguments[weight], [(0, 0), (0, 0), *zeros])
        changed = replace(node, inputs=(pad.inputs[0], *node.inputs[1:])).with_attributes(
            kernel=str(wider.shape[2:]), pad=str(tuple(map(max, before, after)))
        )
        net = _with_parameters(net, number, changed, wider, None)
    return net.tidy()


EXACT: Mapping[str, Pass] = {
    "identities removed": remove_identities,
    "paddings absorbed": absorb_pads,
    "batch normalizations folded": fold_batch_norms,
}


def in_bfloat16(net: Net) -> Net:
    """Convolutions and fully connected layers in bfloat16, and what is between them where MXNet can; the rest, the
    softmax above all, in float32. Parameters stay float32 and are cast as they are used.

    Batch normalization has to be folded before.
    """
    kinds: dict[Output, bool] = {}  # whether an output is bfloat16
    casts: dict[tuple[Output, bool], Output] = {}
    added: list[Node] = []

    def cast(output: Output, low: bool) -> Output:
        if kinds.get(output, False) == low:
            return output
        if (output, low) not in casts:
            dtype = "bfloat16" if low else "float32"
            name = f"mxspark_{dtype}_{net.nodes[output[0]].name}_{output[1]}"
            casts[output, low] = (len(net.nodes) + len(added), 0)
            added.append(Node("amp_cast", name, (output,), {"dtype": dtype}))
        return casts[output, low]

    nodes = []
    for number, node in enumerate(net.nodes):
        if node.op == VARIABLE:
            # Without this MXNet would bind the variable in the type of the cast behind it.
            nodes.append(node.with_attributes(__dtype__="0"))
            continue
        is_passed = node.op in _BF16_TOO or (node.op == "Activation" and node.attribute("act_type") == "relu")
        low = node.op in _LINEAR or (is_passed and all(kinds.get(output, False) for output in node.inputs))
        nodes.append(replace(node, inputs=tuple(cast(output, low) for output in node.inputs)))
        kinds[number, 0] = low
    head = cast(net.head, False)
    return replace(net, nodes=(*nodes, *added), head=head).tidy()


def _is_of_zeros(pad: Node) -> bool:
    """Whether a Pad widens an image's height and width by zeros."""
    width = pad.numbers("pad_width")
    is_constant = pad.attribute("mode") == "constant" and float(pad.attribute("constant_value", "0")) == 0
    return is_constant and len(width) == 8 and not any(width[:4])


def _with_parameters(net: Net, number: int, layer: Node, weight: Array, bias: Array | None) -> Net:
    """The net with `layer` in the place of a node, and new parameters of its own: others may share the old ones."""
    added: list[Node] = []
    inputs, arguments = list(layer.inputs), dict(net.arguments)
    for place, (kind, values) in enumerate((("weight", weight), ("bias", bias)), start=1):
        if values is not None:
            # MXNet's quantization knows parameters by the ends of their names.
            name = net.free_name(f"{layer.name}_{kind}")
            inputs[place:] = [(len(net.nodes) + len(added), 0), *inputs[place + 1 :]]
            added.append(Node(VARIABLE, name))
            arguments[name] = float32(values)
    nodes = list(net.nodes)
    nodes[number] = replace(layer, inputs=tuple(inputs))
    return replace(net, nodes=(*nodes, *added), arguments=arguments)
