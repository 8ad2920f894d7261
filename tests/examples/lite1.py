"""EfficientNet-Lite1 as an ONNX file with its trained weights, as TensorFlow's converters write it: padding is SAME,
and normalizations are nodes of their own.

The network is that of examples/imagenet/network.py.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from examples.archives import NETWORKS, archives, read
from examples.imagenet.network import EPSILON, LITE1_STAGES, Stage, Weights
from examples.imagenet.weights import LITE1_MEMBER, LITE1_PACKAGE, read_checkpoint
from onnx import TensorProto, helper, numpy_helper

SIDE = 240


def write(path: Path) -> None:
    """The file, from images (N, 3, 240, 240) to probabilities (N, 1000)."""
    weights = read_checkpoint(read(archives(LITE1_PACKAGE, lock=NETWORKS)[LITE1_PACKAGE], LITE1_MEMBER))
    graph = _Graph(weights)
    x = graph.activation(graph.convolution("images", "_conv_stem", stride=2), "_bn0")
    channels, number = 32, 0
    for stage in LITE1_STAGES:
        for position in range(stage.blocks):
            x = graph.block(x, f"_blocks.{number}", stage, channels, stage.stride if position == 0 else 1)
            channels, number = stage.channels, number + 1
    x = graph.activation(graph.convolution(x, "_conv_head"), "_bn1")
    x = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    graph.add("Softmax", graph.add("Gemm", x, "_fc.weight", "_fc.bias", transB=1), axis=1)
    onnx.save(graph.model(), str(path))


class _Graph:
    """Nodes with weights of the checkpoint, by their names."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """A node; returns its output."""
        output = f"{op}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def convolution(self, x: str, name: str, stride: int = 1, groups: int = 1) -> str:
        weight = f"{name}.weight"
        return self.add("Conv", x, weight, auto_pad="SAME_UPPER", strides=[stride] * 2, group=groups)

    def normalization(self, x: str, name: str) -> str:
        names = [f"{name}.{what}" for what in ("weight", "bias", "running_mean", "running_var")]
        return self.add("BatchNormalization", x, *names, epsilon=EPSILON)

    def activation(self, x: str, name: str) -> str:
        """Normalization, then ReLU6."""
        return self.add("Clip", self.normalization(x, name), "zero", "six")

    def block(self, x: str, name: str, stage: Stage, channels: int, stride: int) -> str:
        y = x
        if stage.expansion != 1:
            y = self.activation(self.convolution(y, f"{name}._expand_conv"), f"{name}._bn0")
        y = self.convolution(y, f"{name}._depthwise_conv", stride, groups=channels * stage.expansion)
        y = self.activation(y, f"{name}._bn1")
        y = self.normalization(self.convolution(y, f"{name}._project_conv"), f"{name}._bn2")
        return self.add("Add", y, x) if stride == 1 and channels == stage.channels else y

    def model(self) -> onnx.ModelProto:
        used = {name for node in self._nodes for name in node.input}
        numbers = self._weights | {"zero": np.float32(0), "six": np.float32(6)}
        graph = helper.make_graph(
            self._nodes,
            "lite1",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, ("N", 3, SIDE, SIDE))],
            [helper.make_tensor_value_info(self._nodes[-1].output[0], TensorProto.FLOAT, ("N", 1000))],
            [numpy_helper.from_array(np.ascontiguousarray(numbers[name]), name) for name in numbers if name in used],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
