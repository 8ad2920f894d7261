"""`mxspark model convert` of a ResNet-50 of 98 MB: wall clock, processor time and memory, beside a small network's.

Goals: 30 s, and of memory three times the file beside what the libraries take, which the small network shows.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bench.processes import Measured, measure

STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))  # blocks, and a quarter of the channels that each makes


class _Graph:
    """Nodes and weights as they are added: He's random numbers, by which numbers keep their size."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(0)

    def add(self, op: str, x: str, *others: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, [x, *others], [f"v{len(self.nodes)}"], **attributes))
        return str(self.nodes[-1].output[0])

    def weight(self, *shape: int) -> str:
        numbers = self._random.standard_normal(shape, np.float32) * np.float32((2 / np.prod(shape[1:])) ** 0.5)
        self.weights.append(numpy_helper.from_array(numbers, f"w{len(self.weights)}"))
        return str(self.weights[-1].name)

    def conv(self, x: str, before: int, after: int, kernel: int, stride: int = 1) -> str:
        sides: dict[str, Any] = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [kernel // 2] * 4}
        return self.add("Conv", x, self.weight(after, before, kernel, kernel), **sides)

    def bottleneck(self, x: str, before: int, width: int, stride: int) -> str:
        short = x if before == 4 * width else self.conv(x, before, 4 * width, 1, stride)
        found = self.add("Relu", self.conv(x, before, width, 1))
        found = self.add("Relu", self.conv(found, width, width, 3, stride))
        found = self.conv(found, width, 4 * width, 1)
        return self.add("Relu", self.add("Add", found, short))


def _resnet(path: Path, stages: tuple[tuple[int, int], ...]) -> None:
    graph, channels = _Graph(), 64
    x = graph.add("Relu", graph.conv("images", 3, channels, 7, 2))
    x = graph.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    for stage, (blocks, width) in enumerate(stages):
        for block in range(blocks):
            x = graph.bottleneck(x, channels, width, 2 if stage and not block else 1)
            channels = 4 * width
    x = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    x = graph.add("Softmax", graph.add("Gemm", x, graph.weight(1000, channels), transB=1), axis=1)
    made = helper.make_graph(
        graph.nodes,
        "resnet",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, 224, 224])],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, None)],
        graph.weights,
    )
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))


def _convert(folder: Path, name: str, stages: tuple[tuple[int, int], ...]) -> tuple[int, Measured]:
    """The file's size [bytes], and what its conversion took."""
    path = folder / f"{name}.onnx"
    _resnet(path, stages)
    program = Path(sys.executable).with_name("mxspark")
    command = [program, "model", "convert", path, "--output", folder / name, "--preset", "torchvision"]
    return path.stat().st_size, measure([str(part) for part in command], os.environ)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        _, small = _convert(Path(name), "small", ((1, 4),))
        size, large = _convert(Path(name), "large", STAGES)
    for what, each in (("small", small), (f"{size / 2**20:.0f} MiB", large)):
        print(
            f"{what}: {each.wall:.1f} s, {each.cpu:.1f} s of a processor, {each.largest_peak / 2**20:.0f} MiB in the "
            "largest process"
        )
    print(f"beside the small network's: {(large.largest_peak - small.largest_peak) / size:.1f} times the file")
