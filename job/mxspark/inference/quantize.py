"""A network in 8 bits: layers quantized by MXNet, with the ranges of their numbers from calibration images.

MXNet itself is handed in (mxnet.load_mxnet). Its own `quantize_model` is not used: it asks for SciPy, which nothing of
this needs, and knows one way to find ranges, where the best one is another for each network.
"""

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxspark import host
from mxspark.inference.net import Net

Range = tuple[float, float]
Floats = NDArray[np.float32]

_BACKEND = "MKLDNN_QUANTIZE"  # MXNet's name for oneDNN's fusions before and after quantization
_LAYERS = ("_sg_mkldnn_conv", "_sg_mkldnn_fully_connected")  # what it makes of them
_FUSIONS = "MXNET_SUBGRAPH_BACKEND"  # which of them are made when a graph is bound
_BINS = 4097  # 2,048 for each sign, as in TensorRT; odd, so that zero has one of its own
_BATCH = 4  # images: all outputs of the network are in memory at once
_PERCENT = 99.99  # of the numbers lie within the range of `percentile`
# `minmax7` gives numbers without a sign 7 of the 8 bits: on processors without VNNI oneDNN adds pairs of products in 16
# bits, which then can't overflow (oneDNN: "Nuances of int8 computations").
METHODS = ("minmax", "minmax7", "percentile", "entropy")
# How many of the layers, the first ones, are tried at fp32, the next where the one before differs too much. They lose
# most: they have few channels (docs/precision.md has figures).
WIDE_SHARES = (0, 1 / 16, 1 / 8, 1 / 4)
# On a processor with VNNI the other methods are chosen by numbers that don't overflow, as they may elsewhere: their
# graphs say so.
NEEDS_VNNI = ("__mxspark_needs__", "vnni")


@dataclass(frozen=True)
class Statistics:
    """How the numbers of one output are spread over the calibration images."""

    lowest: float
    highest: float
    histogram: NDArray[np.int64]  # from -end to end
    end: float

    @property
    def is_positive(self) -> bool:
        return self.lowest >= 0


@dataclass(frozen=True)
class Quantizable:
    """A network whose layers are fused with what follows them, and the spread of their numbers."""

    symbol: Any  # at fp32 still
    layers: Sequence[str]  # that can be quantized, from the first one on
    arguments: Mapping[str, Any]
    states: Mapping[str, Any]
    statistics: Mapping[str, Statistics]  # by output
    halved: Sequence[str]  # outputs without a sign whose upper half of the steps MXNet doesn't use (`_sums`)
    unfit: Sequence[str]  # layers that MXNet computes wrong in 8 bits


def methods() -> tuple[str, ...]:
    """Those of METHODS that may be the best on this machine."""
    return tuple(name for name in METHODS if name != "minmax7" or not host.has_vnni())


def prepare(mx: Any, net: Net, input_name: str, images: Floats) -> Quantizable:
    """Runs the network in fp32 on `images` (n, …) to see its numbers."""
    fused = mx.sym.load_json(net.to_json()).get_backend_symbol(_BACKEND)
    _, outputs = _in_8_bits(mx, fused, list(net.arguments), ())
    known = [name for name in outputs if name in fused.get_internals().list_outputs()]
    arrays = {name: mx.nd.array(array) for name, array in {**net.arguments, **net.states}.items()}
    statistics = _statistics(_passes(mx, fused, known, input_name, images, arrays))
    arguments = {name: array for name, array in arrays.items() if name in net.arguments}
    states = {name: array for name, array in arrays.items() if name in net.states}
    nodes = json.loads(fused.tojson())["nodes"]
    halved, unfit = _sums(nodes, statistics)
    layers = [node["name"] for node in nodes if node["op"].startswith(_LAYERS) and node["name"] not in unfit]
    return Quantizable(fused, layers, arguments, states, statistics=statistics, halved=halved, unfit=unfit)


def _sums(nodes: Sequence[Mapping[str, Any]], statistics: Mapping[str, Statistics]) -> tuple[list[str], list[str]]:
    """The outputs `halved` and the layers `unfit` of Quantizable.

    Where a layer adds another's output to its own, MXNet (1.9.1) computes the sum in the type of what is added: with
    that in int8, a sum that is read as uint8 ends at 127 instead of 255; with that in uint8, one that is read as int8
    loses all that is below zero.
    """
    halved, unfit = list[str](), list[str]()
    for node in nodes:
        output = f"{node['name']}_output"
        if node.get("attrs", {}).get("with_sum") == "true" and output in statistics:
            added = _sources(nodes, node["inputs"][-1][0], statistics)
            is_positive = all(statistics[name].is_positive for name in added)
            if is_positive and not statistics[output].is_positive:
                unfit.append(node["name"])
            elif statistics[output].is_positive and not is_positive:
                halved.append(output)
    return halved, unfit


def _sources(nodes: Sequence[Mapping[str, Any]], number: int, statistics: Mapping[str, Statistics]) -> set[str]:
    """The outputs whose ranges a node's output has: its own, or those of what it pools or joins."""
    name = nodes[number]["name"]
    own = {name, f"{name}_output"} & statistics.keys()
    return own or {each for source in nodes[number]["inputs"] for each in _sources(nodes, source[0], statistics)}


def quantize(mx: Any, prepared: Quantizable, method: str, wide: int = 0) -> tuple[Any, dict[str, Any]]:
    """The quantized symbol and its parameters (`arg:…`, `aux:…`), with ranges by one of METHODS; the first `wide`
    layers stay at fp32, and those that are unfit.
    """
    ranges = {name: _range(mx, found, method) for name, found in prepared.statistics.items()}
    for name in prepared.halved if method != "minmax7" else ():  # which has doubled these ranges already
        ranges[name] = (0.0, 2 * ranges[name][1])
    symbol, _ = _in_8_bits(mx, prepared.symbol, list(prepared.arguments), {*prepared.layers[:wide], *prepared.unfit})
    symbol = mx.contrib.quantization._calibrate_quantized_sym(symbol, ranges)
    arguments = mx.contrib.quantization._quantize_params(symbol, dict(prepared.arguments), ranges)
    parameters = {f"arg:{name}": array for name, array in arguments.items()}
    parameters |= {f"aux:{name}": array for name, array in prepared.states.items()}
    return symbol.get_backend_symbol(_BACKEND), parameters


def _in_8_bits(mx: Any, fused: Any, parameters: list[str], kept: Collection[str]) -> tuple[Any, list[str]]:
    """The symbol, not calibrated yet, and the outputs whose ranges that needs; the layers `kept` stay at fp32."""
    symbol, outputs = mx.contrib.quantization._quantize_symbol(
        fused,
        mx.cpu(),
        excluded_symbols=list(kept),
        excluded_operators=["elemwise_mul"],  # MXNet can't bind one of a number with a sign and one without
        offline_params=parameters,
        quantized_dtype="auto",
        quantize_mode="smart",
        quantize_granularity="channel-wise",
    )
    return symbol, outputs


def marked(graph: str, method: str) -> str:
    """A quantized graph's JSON, saying where it needs a processor with VNNI: found by `method` on one that has it."""
    if method == "minmax7" or not host.has_vnni():
        return graph
    data = json.loads(graph)
    for node in data["nodes"]:
        if node["op"] == "_contrib_quantize_v2":
            node["attrs"] = {**node.get("attrs", {}), NEEDS_VNNI[0]: NEEDS_VNNI[1]}
    return json.dumps(data)


def _passes(
    mx: Any, symbol: Any, names: Sequence[str], input_name: str, images: Floats, parameters: Mapping[str, Any]
) -> Callable[[], Iterator[tuple[str, Floats]]]:
    """Forward passes over the images, in small batches: each time called, these outputs within the graph."""
    internals = symbol.get_internals()
    with _nothing_fused():
        executor = mx.sym.Group([internals[name] for name in names]).simple_bind(
            mx.cpu(), grad_req="null", **{input_name: (_BATCH, *images.shape[1:])}
        )
    executor.copy_params_from(parameters, parameters, allow_extra_params=True)

    def run() -> Iterator[tuple[str, Floats]]:
        for start in range(0, len(images) - _BATCH + 1, _BATCH):
            executor.forward(is_train=False, **{input_name: mx.nd.array(images[start : start + _BATCH])})
            for name, output in zip(names, executor.outputs, strict=True):
                yield name, output.asnumpy()

    return run


@contextmanager
def _nothing_fused() -> Iterator[None]:
    """MXNet binds as it is told to: of operators that it fuses, the outputs within would be lost or wrong."""
    before = os.environ.get(_FUSIONS)
    os.environ[_FUSIONS] = "NONE"
    try:
        yield
    finally:
        del os.environ[_FUSIONS]
        if before is not None:
            os.environ[_FUSIONS] = before


def _statistics(passes: Callable[[], Iterator[tuple[str, Floats]]]) -> dict[str, Statistics]:
    """Two passes over the images: the first one finds the histograms' ends."""
    ends: dict[str, Range] = {}
    for name, numbers in passes():
        lowest, highest = ends.get(name, (np.inf, -np.inf))
        ends[name] = min(lowest, float(numbers.min())), max(highest, float(numbers.max()))
    histograms = {name: np.zeros(_BINS, np.int64) for name in ends}
    for name, numbers in passes():
        end = _end(*ends[name])
        # np.histogram would take twice as long for what it can do besides.
        places = ((numbers.ravel() + end) * (_BINS / (2 * end))).astype(np.int64).clip(0, _BINS - 1)
        histograms[name] += np.bincount(places, minlength=_BINS)
    return {name: Statistics(*ends[name], histograms[name], _end(*ends[name])) for name in ends}


def _end(lowest: float, highest: float) -> float:
    return max(abs(lowest), abs(highest), 1e-6)


def _range(mx: Any, found: Statistics, method: str) -> Range:
    """From which number to which the 256 steps go."""
    if method == "minmax":
        return found.lowest, found.highest
    if method == "minmax7":
        return (0.0, 2 * found.highest) if found.is_positive else (found.lowest, found.highest)
    end = _entropy_end(mx, found) if method == "entropy" else _percentile_end(found)
    return (0.0, end) if found.is_positive else (-end, end)


def _percentile_end(found: Statistics) -> float:
    half = _BINS // 2
    magnitudes = found.histogram[half:].copy()
    magnitudes[1:] += found.histogram[:half][::-1]
    within = np.searchsorted(np.cumsum(magnitudes), magnitudes.sum() * (_PERCENT / 100))
    return float(found.end * min(1.0, (within + 1) / (half + 1)))


def _entropy_end(mx: Any, found: Statistics) -> float:
    """The end that loses least information (Kullback-Leibler), as MXNet and TensorRT choose it."""
    edges = np.linspace(-found.end, found.end, _BINS + 1)
    bins = 511 if found.is_positive else 255  # without a sign the same numbers have twice the steps
    end, _ = mx.nd.contrib.calibrate_entropy(
        hist=mx.nd.array(found.histogram), hist_edges=mx.nd.array(edges), num_quantized_bins=bins
    )
    return float(end.asnumpy().item())
