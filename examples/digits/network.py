"""A small residual network for 32 × 32 images, in MXNet Gluon; it ends in logits, as Gluon's own networks do."""

from pathlib import Path
from typing import Any

from examples.mxnet_import import mx

nn = mx.gluon.nn
Tensor = Any  # mxnet.nd.NDArray or mxnet.sym.Symbol: MXNet has no types


class Residual(mx.gluon.HybridBlock):  # type: ignore[misc]  # MXNet has no types
    """Two 3 × 3 convolutions beside a 1 × 1 one, added (He et al. 2015, the option with projections)."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        with self.name_scope():
            self.body = nn.HybridSequential()
            self.body.add(_convolution(channels, 3, stride), nn.BatchNorm(), nn.Activation("relu"))
            self.body.add(_convolution(channels, 3, 1), nn.BatchNorm())
            self.shortcut = nn.HybridSequential()
            self.shortcut.add(_convolution(channels, 1, stride), nn.BatchNorm())

    def hybrid_forward(self, ops: Any, x: Tensor) -> Tensor:
        """`ops` is mx.nd or mx.sym."""
        return ops.Activation(self.body(x) + self.shortcut(x), act_type="relu")


def build() -> Any:
    """The untrained network, (N, 3, 32, 32) to (N, 10); about 60,000 parameters."""
    net = nn.HybridSequential(prefix="digits_")
    with net.name_scope():
        net.add(_convolution(16, 3, 1), nn.BatchNorm(), nn.Activation("relu"))
        net.add(Residual(16, 2), Residual(32, 2), Residual(48, 2))
        net.add(nn.GlobalAvgPool2D(), nn.Dense(10))
    net.initialize(mx.init.MSRAPrelu())
    net.hybridize()
    return net


def save(net: Any, prefix: Path) -> None:
    """Write `prefix-symbol.json` and `prefix-0000.params`; the network must have run once."""
    net.export(str(prefix), epoch=0)


def _convolution(channels: int, kernel: int, stride: int) -> Any:
    return nn.Conv2D(channels, kernel, stride, kernel // 2, use_bias=False)
