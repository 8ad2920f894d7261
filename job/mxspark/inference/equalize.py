"""Channels of a layer brought to about the same range, which quantization then has in one: what a layer's weights are
multiplied by for a channel, those of the layers that read it are divided by.

Cross-layer equalization (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction",
section 4.1), by the ranges that the numbers have on calibration images. Knows no MXNet.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mxspark.inference import passes
from mxspark.inference.net import Net, NetNode

Peaks = Mapping[str, NDArray[np.float32]]  # the largest number of each channel, by node

_LARGEST = 32.0  # factor: a channel that is nearly always 0 is no reason for more
# By how much numbers may be above their channel's peak where a clip bounds them (ReLU6): other images have larger ones.
_MARGIN = 2.0
_LAYERS = ("Convolution", "FullyConnected")


@dataclass
class _Group:
    """Outputs whose channels have to be scaled alike: s f(x) = f(s x) for whatever is between them."""

    layers: list[int] = field(default_factory=list)  # that make them
    readers: list[int] = field(default_factory=list)  # layers that take them
    ends: list[int] = field(default_factory=list)  # nodes whose numbers are read by more than what is fused with them
    can_be_scaled: bool = True
    is_bounded: bool = False  # by a clip


def measured(net: Net) -> list[str]:
    """The nodes of which `equalize` has to know the peaks."""
    return list(dict.fromkeys(net.nodes[end].name for group in _groups(net) for end in group.ends))


def equalize(net: Net, peaks: Peaks) -> Net:
    """The same network, but for rounding, as long as no number is far above its channel's peak where clipped."""
    for group in _groups(net):
        highest = np.max([peaks[net.nodes[end].name] for end in group.ends], axis=0)
        ratio = float(highest.max()) / np.maximum(highest, 1e-12) / (_MARGIN if group.is_bounded else 1)
        is_free = all(_is_depthwise(net, number) for number in group.readers)
        # The weights of a depthwise layer have a range for each channel, which loses nothing; of others all channels
        # share one, and each takes a half.
        scale = np.clip(ratio if is_free else np.sqrt(ratio), 1, _LARGEST)
        for number in group.layers:
            weight, bias = _values(net, number)
            rows = scale.reshape(-1, *[1] * (weight.ndim - 1))
            net = passes.with_parameters(
                net, number, net.nodes[number], weight * rows, None if bias is None else bias * scale
            )
        for number in group.readers:
            weight, _ = _values(net, number)
            if _is_depthwise(net, number):
                divided = weight / np.repeat(scale, len(weight) // len(scale)).reshape(-1, *[1] * (weight.ndim - 1))
            else:
                divided = weight / scale.reshape(1, -1, *[1] * (weight.ndim - 2))
            net = passes.with_parameters(net, number, net.nodes[number], divided, None)
    return net.tidy()


def _groups(net: Net) -> list[_Group]:
    belongs = list(range(len(net.nodes)))

    def root(number: int) -> int:
        while belongs[number] != number:
            number = belongs[number]
        return number

    for number, node in enumerate(net.nodes):
        if _passes_on(node):
            for source, _ in node.inputs:
                belongs[root(source)] = root(number)
    groups: dict[int, _Group] = {}
    fused = {node.inputs[0][0] for node in net.nodes if node.op in ("Activation", "clip") and _passes_on(node)}
    for number, node in enumerate(net.nodes):
        group = groups.setdefault(root(number), _Group())
        group.is_bounded |= node.op == "clip"
        if node.op in _LAYERS and _has_values(net, node):
            group.layers.append(number)
        elif not _passes_on(node):
            group.can_be_scaled = False
        if number not in fused:
            group.ends.append(number)
        for place, (source, output) in enumerate(node.inputs):
            read = groups[root(source)]
            if place == 0 and output == 0 and node.op in _LAYERS and _has_values(net, node):
                read.readers.append(number)
                read.can_be_scaled &= _takes_channels(node)
            elif not _passes_on(node):
                read.can_be_scaled = False
    groups[root(net.head[0])].can_be_scaled = False
    return [group for group in groups.values() if group.can_be_scaled and group.layers and _agree(net, group)]


def _passes_on(node: NetNode) -> bool:
    """Whether a node computes the same of scaled numbers, scaled."""
    if node.op == "clip":  # for no channel is scaled above the highest of all
        return float(node.attributes["a_min"]) == 0
    if node.op == "Activation":
        return node.attribute("act_type") == "relu"
    if node.op == "Pooling":
        return node.attribute("pool_type", "max") in ("max", "avg", "sum")
    return node.op in ("elemwise_add", "Flatten", *passes.IDENTITIES)


def _has_values(net: Net, node: NetNode) -> bool:
    has_bias = len(node.inputs) > 2
    return net.parameter(node, 1) is not None and (not has_bias or net.parameter(node, 2) is not None)


def _takes_channels(node: NetNode) -> bool:
    return node.attribute("layout", "None") in ("None", "NCHW")


def _agree(net: Net, group: _Group) -> bool:
    """Whether layers and readers have the same channels."""
    channels = {len(_values(net, number)[0]) for number in group.layers}
    for number in group.readers:
        weight = _values(net, number)[0]
        groups = int(net.nodes[number].attribute("num_group", "1"))
        channels.add(groups if groups > 1 and weight.shape[1] == 1 else weight.shape[1] if groups == 1 else -1)
    return len(channels) == 1 and bool(group.readers)


def _is_depthwise(net: Net, number: int) -> bool:
    return int(net.nodes[number].attribute("num_group", "1")) > 1


def _values(net: Net, number: int) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    node = net.nodes[number]
    weight, bias = net.parameter(node, 1), net.parameter(node, 2)
    return net.arguments[str(weight)], None if bias is None else net.arguments[bias]
