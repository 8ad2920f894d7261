"""An ONNX graph as an MXNet symbol with parameters."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mxspark.convert.errors import UnsupportedError, not_computed
from mxspark.convert.image_input import ImageInput
from mxspark.convert.layer import INPUT, Layer, Network
from mxspark.convert.onnx_file import Array, OnnxFile
from mxspark.convert.operators import FLOATS, OPERATORS
from mxspark.convert.pixels import Scaling, scaling
from mxspark.convert.trace import BATCHES, Shape, Step, Trace, Value, trace
from mxspark.errors import UsageError
from mxspark.inference.mxnet import said
from mxspark.text.words import printable

PASSING = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze")  # operators which leave numbers what they are
# Operators that compute the same with whole numbers, which are floats in MXNet: others would round, or wrap around.
_OF_WHOLE_NUMBERS = (
    *("Cast", "Concat", "Flatten", "Gather", "Identity", "MaxPool", "Pad", "Reshape", "Slice", "Split", "Squeeze"),
    *("Transpose", "Unsqueeze"),
)
_ANOTHER = "Name another output: --output-name, or of several --outputs."


@dataclass(frozen=True)
class Output:
    """One of the converted graph's outputs."""

    name: str  # ONNX's
    symbol_name: str  # MXNet's
    shape: Shape  # for a batch of two
    scores: tuple[str, str] | None  # what its last softmax or sigmoid is of, by ONNX's name and by MXNet's


@dataclass(frozen=True)
class Converted:
    """A graph in MXNet's form."""

    symbol: Any  # of all outputs
    outputs: tuple[Output, ...]
    parameters: dict[str, Array]  # by MXNet's name
    states: frozenset[str]  # those of the parameters that are auxiliary states
    scaling: Scaling | None  # how the graph itself scales pixels before its first layer


def convert(mx: Any, file: OnnxFile, image: ImageInput, outputs: Sequence[str]) -> Converted:
    """The part of a graph that leads to `outputs`, names in the file.

    Raises UsageError naming the operators that have no counterpart, or that MXNet has for fewer axes only.
    """
    traced = trace(file, image.value(image.name, image.is_nhwc), image.is_single, outputs, list(OPERATORS))
    network = _network(mx, image)
    names = [network.unique(output) for output in outputs]
    for step in traced.steps:
        _add(mx, network, step, file)
    for value in traced.outputs:
        _check_output(value, file)
    symbols = [
        mx.sym.identity(network.symbols[value.name], name=name)
        for value, name in zip(traced.outputs, names, strict=True)
    ]
    if not network.parameters:
        raise UsageError(f"{file.path}: nothing on the way to its output has weights: it is no network", _ANOTHER)
    symbol = mx.sym.Group(symbols) if len(symbols) > 1 else symbols[0]
    try:
        symbol.infer_shape(data=image.model_input.shape(1))
    except mx.MXNetError as error:
        raise not_computed(file.path, said(error)) from None
    states = symbol.list_auxiliary_states()
    used = {*symbol.list_arguments(), *states}
    return Converted(
        symbol,
        tuple(
            Output(value.name, name, value.shapes[0], _scores(value, traced, network))
            for value, name in zip(traced.outputs, names, strict=True)
        ),
        {name: array for name, array in network.parameters.items() if name in used},
        frozenset(states),
        scaling(traced),
    )


def _check_output(value: Value, file: OnnxFile) -> None:
    """Raises UsageError for an output that isn't something of each image, of one length for all batches."""
    what = f"{file.path}: its output {printable(value.name)}"
    if value.numbers is not None:
        raise UsageError(f"{what} is the same for every image", _ANOTHER)
    if not _has_rows(value):
        raise UsageError(
            f"{what} has no row for each image, but the shape {value.shapes[0]} for {BATCHES[0]} of them", _ANOTHER
        )
    if not all(map(value.is_fixed, range(1, value.rank))):
        raise UsageError(
            f"{what} has the shape {value.shapes[0]} for {BATCHES[0]} images and {value.shapes[1]} for {BATCHES[1]}: "
            "its rows depend on how many images are in a batch",
            _ANOTHER,
        )


def _has_rows(value: Value) -> bool:
    """Whether it has one for each image."""
    return [shape[:1] for shape in value.shapes] == [(size,) for size in BATCHES]


def _network(mx: Any, image: ImageInput) -> Network:
    """A network that has but its input: N x channels x height x width."""
    data = mx.sym.var(INPUT, dtype="uint8" if image.dtype == "uint8" else None)
    network = Network(mx.sym, data)
    if image.is_nhwc:
        as_nchw = image.value(f"{image.name} as NCHW", is_nhwc=False)
        network.symbols = {
            as_nchw.name: data,
            image.name: mx.sym.transpose(data, axes=(0, 2, 3, 1), name=network.unique("nhwc")),
        }
        network.transposed[image.name] = as_nchw, (0, 2, 3, 1)
    else:
        network.symbols = {image.name: data}
    return network


def _add(mx: Any, network: Network, step: Step, file: OnnxFile) -> None:
    try:
        _check_floats(step)
        with mx.name.Prefix(f"{network.unique(step.name)}_"):
            made = OPERATORS[step.op](Layer(step, network))
    except UnsupportedError as error:
        raise UsageError(
            f"{file.path}: can't be converted: {error.reason}: {step}",
            "Export it with another opset, or without this operator; docs/onnx.md lists what can be converted.",
        ) from None
    except (mx.MXNetError, ValueError, TypeError, IndexError, KeyError) as error:
        raise UsageError(
            f"{file.path}: can't be converted: {step}: {said(error)}",
            "Check the file with onnx.checker; export it again, perhaps with another opset.",
        ) from None
    symbols = made if isinstance(made, list) else [made]
    for value, symbol in zip(step.outputs, symbols, strict=False):
        network.symbols[value.name] = symbol


def _check_floats(step: Step) -> None:
    """Raises UnsupportedError where an operator computes with whole numbers, as the images of some files are."""
    computed = [value for value in step.inputs if value is not None and value.numbers is None]
    if step.op not in _OF_WHOLE_NUMBERS and any(value.type not in FLOATS for value in computed):
        raise UnsupportedError("it computes with whole numbers, before a Cast makes floats of them")


def _scores(output: Value, traced: Trace, network: Network) -> tuple[str, str] | None:
    """Where probabilities are 0 and 1, all differences show in what they are made of only."""
    makers = {value.name: step for step in traced.steps for value in step.outputs}
    last = makers.get(output.name)
    while last is not None and last.op in PASSING and last.inputs[0] is not None:
        last = makers.get(last.inputs[0].name)
    made_of = last.inputs[0] if last is not None and last.op in ("LogSoftmax", "Sigmoid", "Softmax") else None
    if made_of is None or not _has_rows(made_of):
        return None
    name: str = network.symbols[made_of.name].list_outputs()[0]
    return made_of.name, name
