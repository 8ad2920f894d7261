"""Graph passes: a network that was rewritten computes what it computed before."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mxspark.inference import passes
from mxspark.inference.net import Net
from tests.mx import mx

Floats = NDArray[np.float32]
CHANNELS = 3
FEW = settings(deadline=None, max_examples=25, derandomize=True)
small = st.integers(1, 3)


def net_of(symbol: Any, side: int, seed: int = 0) -> Net:
    """The network with random parameters that fit it."""
    random = np.random.default_rng(seed)
    shapes, _, state_shapes = symbol.infer_shape(data=(1, CHANNELS, side, side))
    arguments = {
        name: random.normal(0, 0.3, shape).astype(np.float32)
        for name, shape in zip(symbol.list_arguments(), shapes, strict=True)
        if name != "data"
    }
    states = {
        name: random.uniform(0.2, 2, shape).astype(np.float32)
        for name, shape in zip(symbol.list_auxiliary_states(), state_shapes, strict=True)
    }
    return Net.read(symbol.tojson(), arguments, states)


def computed(net: Net, side: int) -> Floats:
    """What it makes of two images, operator by operator."""
    symbol = mx.sym.load_json(net.to_json())
    images = np.random.default_rng(1).normal(0, 1, (2, CHANNELS, side, side)).astype(np.float32)
    given = {name: mx.nd.array(array) for name, array in net.arguments.items()}
    states = {name: mx.nd.array(array) for name, array in net.states.items()}
    executor = symbol.bind(mx.cpu(), {**given, "data": mx.nd.array(images)}, aux_states=states, grad_req="null")
    found: Floats = executor.forward(is_train=False)[0].asnumpy()
    return found


def operators(net: Net) -> Counter[str]:
    return Counter(node.op for node in net.nodes if node.op != "null")


def check_same(before: Net, after: Net, side: int) -> None:
    expected = computed(before, side)
    np.testing.assert_allclose(computed(after, side), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@given(
    kernel=st.tuples(small, small),
    stride=st.tuples(small, small),
    dilate=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    own=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    sides=st.tuples(*[st.integers(0, 2)] * 4),
    side=st.integers(7, 12),
    groups=st.sampled_from([1, CHANNELS]),
)
@FEW
def test_padding_becomes_the_convolutions_own(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilate: tuple[int, int],
    own: tuple[int, int],
    sides: tuple[int, int, int, int],
    side: int,
    groups: int,
) -> None:
    padded = mx.sym.pad(mx.sym.var("data"), mode="constant", constant_value=0, pad_width=(0, 0, 0, 0, *sides))
    net = net_of(
        mx.sym.Convolution(
            padded, kernel=kernel, stride=stride, dilate=dilate, pad=own, num_filter=6, num_group=groups, name="conv"
        ),
        side,
    )
    after = passes.absorb_pads(net)
    fits = all((last - first) % step == 0 for first, last, step in zip(sides[::2], sides[1::2], dilate, strict=True))
    assert operators(after)["Pad"] == (0 if fits else 1)
    check_same(net, after, side)


@pytest.mark.parametrize("pad", [{"constant_value": 1.0, "mode": "constant"}, {"mode": "edge"}, {"mode": "reflect"}])
def test_padding_with_anything_but_zeros_stays(pad: dict[str, Any]) -> None:
    padded = mx.sym.pad(mx.sym.var("data"), pad_width=(0, 0, 0, 0, 1, 1, 1, 1), **pad)
    net = net_of(mx.sym.Convolution(padded, kernel=(3, 3), num_filter=2, name="conv"), 6)
    assert passes.absorb_pads(net).nodes == net.nodes


@given(
    fix_gamma=st.booleans(),
    no_bias=st.booleans(),
    eps=st.sampled_from([1e-5, 1e-3]),
    groups=st.sampled_from([1, CHANNELS]),
    is_shared=st.booleans(),
    dense=st.booleans(),
    seed=st.integers(0, 99),
)
@FEW
def test_batch_normalization_goes_into_the_layer_before_it(
    fix_gamma: bool, no_bias: bool, eps: float, groups: int, is_shared: bool, dense: bool, seed: int
) -> None:
    data = mx.sym.var("data")
    layer = mx.sym.Convolution(data, kernel=(3, 3), num_filter=6, num_group=groups, no_bias=no_bias, name="conv")
    if dense:
        layer = mx.sym.FullyConnected(data, num_hidden=6, no_bias=no_bias, name="fc")
    normal = mx.sym.BatchNorm(layer, fix_gamma=fix_gamma, eps=eps, name="bn")
    net = net_of(normal + mx.sym.sigmoid(layer) if is_shared else mx.sym.sigmoid(normal), 6, seed)
    after = passes.fold_batch_norms(net)
    assert operators(after)["BatchNorm"] == (1 if is_shared else 0), "another reader wants the layer as it is"
    assert bool(after.states) == is_shared
    check_same(net, after, 6)


def test_layers_that_share_their_weights_keep_them() -> None:
    data, weight = mx.sym.var("data"), mx.sym.var("w_weight")
    layers = [
        mx.sym.Convolution(data, weight, kernel=(3, 3), num_filter=4, no_bias=True, name=name) for name in ("a", "b")
    ]
    net = net_of(mx.sym.BatchNorm(layers[0], fix_gamma=False, name="bn") + layers[1], 6)
    after = passes.fold_batch_norms(net)
    assert "BatchNorm" not in operators(after)
    check_same(net, after, 6)


def test_what_does_nothing_in_prediction_goes() -> None:
    data = mx.sym.var("data")
    layer = mx.sym.Convolution(mx.sym.identity(data), kernel=(3, 3), num_filter=4, name="conv")
    net = net_of(mx.sym.flatten(mx.sym.BlockGrad(mx.sym.Dropout(layer, p=0.5))), 6)
    after = passes.remove_identities(net)
    assert operators(after) == {"Convolution": 1, "Flatten": 1}
    check_same(net, after, 6)


def test_in_bfloat16_layers_are_cast_and_the_softmax_is_not() -> None:
    """The graph alone: not every processor computes in bfloat16."""
    layer = mx.sym.Convolution(mx.sym.var("data"), kernel=(3, 3), num_filter=4, name="conv")
    pooled = mx.sym.Pooling(mx.sym.Activation(layer, act_type="relu"), global_pool=True, pool_type="avg", name="pool")
    net = net_of(mx.sym.softmax(mx.sym.FullyConnected(pooled, num_hidden=5, name="fc"), name="p"), 6)
    after = passes.in_bfloat16(net)
    casts = {node.name: node.attributes["dtype"] for node in after.nodes if node.op == "amp_cast"}
    assert sorted(casts.values()) == ["bfloat16"] * 5 + ["float32"], "the images, four parameters; the scores"
    assert after.nodes[after.head[0]].op == "softmax"
    assert after.nodes[after.nodes[after.head[0]].inputs[0][0]].attributes == {"dtype": "float32"}
    assert all(node.attributes["__dtype__"] == "0" for node in after.nodes if node.op == "null")
