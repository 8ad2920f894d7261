"""EfficientNet-Lite0 as an MXNet graph with the checkpoint's weights; it ends in probabilities.

The network: Google's "EfficientNet-Lite" (tensorflow/tpu, models/official/efficientnet/lite), which is EfficientNet-B0
(Tan and Le 2019, table 1) without squeeze-and-excitation and with ReLU6 in place of swish.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from examples.mxnet_import import mx

Symbol = Any  # mxnet.symbol.Symbol: MXNet has no types
Weights = dict[str, NDArray[Any]]
CLASSES = 1000
EPSILON = 1e-3  # batch_norm_epsilon in EfficientNet's own code; MXNet's default differs


class Stage(NamedTuple):
    """Blocks of one shape; the first of them changes the channels and takes the stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
# EfficientNet-Lite1's: 1.1 times the blocks in all but the first and the last. It was trained at 240 x 240.
LITE1_STAGES = (
    STAGES[0],
    *(stage._replace(blocks=math.ceil(1.1 * stage.blocks)) for stage in STAGES[1:-1]),
    STAGES[-1],
)


class Layers:
    """Layers that take their weights from the checkpoint by name and collect them as MXNet's parameters."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self.parameters: Weights = {}

    def convolution(self, x: Symbol, name: str, stride: int = 1, groups: int = 1) -> Symbol:
        """A convolution without bias, padded as TensorFlow's SAME does; feature maps have an even size at stride 2.

        There TensorFlow pads below and right by one more than above and left. A kernel with a leading row and column of
        zeros and the larger padding on all sides computes the same; Pad nodes would make the network 1.6 times as slow.
        """
        weight = self._weights[f"{name}.weight"]
        filters, _, size, _ = weight.shape
        if stride == 2:
            weight = np.pad(weight, ((0, 0), (0, 0), (1, 0), (1, 0)))
        self.parameters[f"arg:{_plain(name)}_weight"] = weight
        options = {"kernel": weight.shape[2:], "stride": (stride, stride), "pad": (size // 2, size // 2)}
        return mx.sym.Convolution(x, num_filter=filters, num_group=groups, no_bias=True, name=_plain(name), **options)

    def normalization(self, x: Symbol, name: str) -> Symbol:
        """Batch normalization with the trained statistics."""
        names = {"weight": "arg:{}_gamma", "bias": "arg:{}_beta"}
        names |= {"running_mean": "aux:{}_moving_mean", "running_var": "aux:{}_moving_var"}
        for ours, theirs in names.items():
            self.parameters[theirs.format(_plain(name))] = self._weights[f"{name}.{ours}"]
        return mx.sym.BatchNorm(x, eps=EPSILON, fix_gamma=False, use_global_stats=True, name=_plain(name))

    def activation(self, x: Symbol, name: str) -> Symbol:
        """Normalization, then ReLU6."""
        return mx.sym.clip(self.normalization(x, name), 0, 6, name=f"{_plain(name)}_relu6")

    def block(self, x: Symbol, name: str, stage: Stage, channels: int, stride: int) -> Symbol:
        """An inverted residual block (MobileNetV2): widen, filter each channel, narrow; add the input back."""
        y, wide = x, channels * stage.expansion
        if stage.expansion != 1:
            y = self.activation(self.convolution(y, f"{name}._expand_conv"), f"{name}._bn0")
        y = self.convolution(y, f"{name}._depthwise_conv", stride, groups=wide)
        y = self.activation(y, f"{name}._bn1")
        y = self.normalization(self.convolution(y, f"{name}._project_conv"), f"{name}._bn2")
        if stride == 1 and channels == stage.channels:
            y = mx.sym.elemwise_add(y, x, name=f"{_plain(name)}_add")
        return y

    def dense(self, x: Symbol, name: str) -> Symbol:
        """The classifier, from pooled features (N, 1280, 1, 1) to (N, 1000) logits."""
        for ours in ("weight", "bias"):
            self.parameters[f"arg:{_plain(name)}_{ours}"] = self._weights[f"{name}.{ours}"]
        return mx.sym.FullyConnected(x, num_hidden=CLASSES, name=_plain(name))


def build(weights: Weights, stages: Sequence[Stage] = STAGES) -> tuple[Symbol, Weights]:
    """The graph from `data` (N, 3, 224, 224) to probabilities (N, 1000), and its parameters under MXNet's names."""
    layers = Layers(weights)
    x = layers.activation(layers.convolution(mx.sym.var("data"), "_conv_stem", stride=2), "_bn0")
    channels, number = 32, 0
    for stage in stages:
        for position in range(stage.blocks):
            stride = stage.stride if position == 0 else 1
            x = layers.block(x, f"_blocks.{number}", stage, channels, stride)
            channels, number = stage.channels, number + 1
    x = layers.activation(layers.convolution(x, "_conv_head"), "_bn1")
    x = mx.sym.Pooling(x, kernel=(7, 7), global_pool=True, pool_type="avg", name="pool")
    return mx.sym.softmax(layers.dense(x, "_fc"), name="probability"), layers.parameters


def save(weights: Weights, prefix: Path, stages: Sequence[Stage] = STAGES) -> None:
    """Write `prefix-symbol.json` and `prefix-0000.params`, as MXNet's own checkpoints are named."""
    symbol, parameters = build(weights, stages)
    symbol.save(f"{prefix}-symbol.json")
    mx.nd.save(f"{prefix}-0000.params", {name: mx.nd.array(value) for name, value in parameters.items()})


def _plain(name: str) -> str:
    """`_blocks.3._bn0` → `blocks_3_bn0`."""
    return name.lstrip("_").replace("._", "_").replace(".", "_")
