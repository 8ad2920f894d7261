"""A bundle as a bound mx.mod.Module on mx.cpu() or mx.gpu(i): what it is, whether its files fit each other, and forward passes."""

import json
from collections import namedtuple
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxspark.bundle import Bundle
from mxspark.context import Context, choose, load_mxnet, said
from mxspark.errors import UsageError

Floats = NDArray[np.float32]

_SOFTMAX = ("softmax", "SoftmaxOutput", "SoftmaxActivation", "Softmax")
# Nodes that pass probabilities on as they are, so that the softmax may stand before them.
_PASS_THROUGH = ("Flatten", "flatten", "Reshape", "reshape", "identity", "_copy", "BlockGrad", "Cast", "cast", "squeeze")
_Batch = namedtuple("_Batch", ["data"])


@dataclass(frozen=True)
class Inspection:
    """What a network is."""

    input_name: str
    input_shape: tuple[int, ...]  # with 1 as the batch size
    output_name: str
    classes: int
    outputs: tuple[str, ...]
    softmax: str  # in words: whether the graph has one or it is added
    adds_softmax: bool
    operators: Mapping[str, int]  # operator to how often it occurs
    parameters: int  # numbers in all parameters
    unused: tuple[str, ...]  # parameters that the graph doesn't use


class Network:
    """Forward passes of a fixed batch size. To be used from one thread: a Module shared by two returns wrong batches."""

    def __init__(self, bundle: Bundle, batch_size: int, context: Context, device: int = 0) -> None:
        """Loads and binds; raises UsageError where the files don't fit each other or there is no such device."""
        mx = load_mxnet()
        self._mx = mx
        graph = _Graph(mx, bundle)
        self.inspection = graph.inspection
        self.choice = choose(context, device)
        self.context = self.choice.context
        self._shape = bundle.spec.input.shape(batch_size)
        self._module = mx.mod.Module(
            graph.symbol, data_names=[graph.inspection.input_name], label_names=None, context=self.context, logger=_QUIET
        )
        self._module.bind(data_shapes=[(graph.inspection.input_name, self._shape)], for_training=False)
        # Labels of a SoftmaxOutput are arguments without parameters; everything else was checked by _Graph.
        self._module.set_params(graph.arguments, graph.states, allow_missing=True, allow_extra=True)

    @property
    def batch_size(self) -> int:
        return self._shape[0]

    @property
    def classes(self) -> int:
        return self.inspection.classes

    def predict(self, images: Floats) -> Floats:
        """Probabilities (n, classes) of `images` (n, …) with n ≤ batch size; a shorter batch is padded and the padding dropped."""
        count = len(images)
        if count < self.batch_size:
            images = np.concatenate([images, np.zeros((self.batch_size - count, *self._shape[1:]), np.float32)])
        self._module.forward(_Batch([self._mx.nd.array(images, ctx=self.context, dtype=np.float32)]), is_train=False)
        probabilities: Floats = self._module.get_outputs()[0].asnumpy()
        return probabilities.reshape(self.batch_size, -1)[:count]


class _Quiet:
    """Module's constructor wants a logger; what it warns of is checked and said here in better words."""

    def warning(self, *_: object) -> None: ...

    info = debug = error = warning


_QUIET = _Quiet()


def inspect(bundle: Bundle) -> Inspection:
    """What the network is; raises UsageError where the files don't fit each other, the labels included."""
    return _Graph(load_mxnet(), bundle).inspection


class _Graph:
    """The symbol and parameters of a bundle, checked against each other, with a softmax at the end."""

    def __init__(self, mx: Any, bundle: Bundle) -> None:
        self._mx = mx
        self._names = bundle.source.locations
        symbol = self._load_symbol(bundle)
        self.arguments, self.states = self._load_params(bundle)
        outputs = tuple(symbol.list_outputs())
        symbol = self._choose_output(symbol, outputs, bundle.spec.output.name)
        input_name = self._input_name(symbol, bundle.spec.input.name)
        shape = bundle.spec.input.shape(1)
        output_shape = self._check_shapes(symbol, input_name, shape)
        self._check_batches(symbol, input_name, bundle.spec.input.shape(2))
        last = _last_operator(symbol)
        softmax = bundle.spec.output.softmax
        adds = softmax == "add" or (softmax == "auto" and last not in _SOFTMAX)
        self.symbol = mx.sym.softmax(mx.sym.flatten(symbol), axis=-1, name="mxspark_softmax") if adds else symbol
        known = set(symbol.list_arguments()) | set(symbol.list_auxiliary_states())
        self.inspection = Inspection(
            input_name=input_name,
            input_shape=shape,
            output_name=symbol.list_outputs()[0],
            classes=int(np.prod(output_shape[1:])),
            outputs=outputs,
            softmax=_softmax_in_words(adds, softmax, last),
            adds_softmax=adds,
            operators=_operators(symbol),
            parameters=sum(int(np.prod(v.shape)) for v in (*self.arguments.values(), *self.states.values())),
            unused=tuple(name for name in (*self.arguments, *self.states) if name not in known),
        )
        self._check_labels(bundle)

    def _load_symbol(self, bundle: Bundle) -> Any:
        try:
            text = bundle.paths["symbol"].read_text()
            json.loads(text)  # MXNet itself reads a cut file up to where it makes sense
            return self._mx.sym.load_json(text)
        except (self._mx.MXNetError, ValueError, RecursionError) as error:
            raise UsageError(
                f"{self._names['symbol']}: not an MXNet symbol: {said(error)}", "Give the model's …-symbol.json, whole and of MXNet 1.x."
            ) from None

    def _load_params(self, bundle: Bundle) -> tuple[dict[str, Any], dict[str, Any]]:
        try:
            saved = self._mx.nd.load(str(bundle.paths["params"]))
        except (self._mx.MXNetError, UnicodeDecodeError, MemoryError) as error:
            raise UsageError(
                f"{self._names['params']}: not MXNet parameters, or not whole: {said(error)}", "Give the model's ….params, whole."
            ) from None
        if not isinstance(saved, dict):
            raise UsageError(f"{self._names['params']}: holds arrays without names", "Save the parameters with their names.")
        arguments = {name.removeprefix("arg:"): array for name, array in saved.items() if not name.startswith("aux:")}
        states = {name.removeprefix("aux:"): array for name, array in saved.items() if name.startswith("aux:")}
        return arguments, states

    def _choose_output(self, symbol: Any, outputs: tuple[str, ...], name: str | None) -> Any:
        if name is None:
            if len(outputs) > 1:
                raise UsageError(
                    f"{self._names['symbol']}: has {len(outputs)} outputs: {', '.join(outputs[:8])}", "Name one: output.name in model.yaml."
                )
            return symbol
        internals = symbol.get_internals()
        wanted = name if name in internals.list_outputs() else f"{name}_output"
        if wanted not in internals.list_outputs():
            raise UsageError(
                f"{self._names['symbol']}: has no output {name!r}, only {', '.join(outputs[:8])}", "Correct output.name in model.yaml."
            )
        return internals[wanted]

    def _input_name(self, symbol: Any, name: str | None) -> str:
        free = [n for n in symbol.list_arguments() if n not in self.arguments and not n.endswith("_label")]
        if name is not None:
            if name not in symbol.list_arguments():
                raise UsageError(
                    f"{self._names['symbol']}: has no input {name!r}; those without parameters are {', '.join(free) or 'none'}",
                    "Correct input.name in model.yaml.",
                )
            free = [name, *(n for n in free if n != name)]
        if not free:
            raise UsageError(
                f"{self._names['symbol']}: has no input: every variable has parameters", "Give the params of this very network."
            )
        chosen = name or ("data" if "data" in free else free[0])
        self._check_missing(symbol, [n for n in free if n != chosen])
        return str(chosen)

    def _check_missing(self, symbol: Any, missing: list[str]) -> None:
        missing = [*missing, *(n for n in symbol.list_auxiliary_states() if n not in self.states)]
        if missing:
            shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
            raise UsageError(
                f"symbol and params don't fit each other: {self._names['params']} lacks {len(missing)} of the parameters "
                f"that {self._names['symbol']} needs: {shown}",
                "Give the two files of one model.",
            )

    def _check_shapes(self, symbol: Any, input_name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        try:
            arguments, outputs, states = symbol.infer_shape(**{input_name: shape})
            if outputs is None:
                raise self._mx.MXNetError("the shapes of its other inputs can't be told from that")
        except self._mx.MXNetError as error:
            raise UsageError(
                f"{self._names['symbol']}: does not take an input {input_name} of shape {shape}: {said(error)}",
                "Correct input.height, input.width and input.layout in model.yaml.",
            ) from None
        expected = dict(zip(symbol.list_arguments(), arguments, strict=True)) | dict(
            zip(symbol.list_auxiliary_states(), states, strict=True)
        )
        for name, array in {**self.arguments, **self.states}.items():
            if name in expected and name != input_name and tuple(array.shape) != tuple(expected[name]):
                raise UsageError(
                    f"symbol and params don't fit each other: {name} has shape {tuple(array.shape)} in {self._names['params']}, "
                    f"but {self._names['symbol']} needs {tuple(expected[name])}",
                    "Give the two files of one model, and the input's size that it was made for.",
                )
        return tuple(outputs[0])

    def _check_batches(self, symbol: Any, input_name: str, shape: tuple[int, ...]) -> None:
        try:
            found = tuple(symbol.infer_shape(**{input_name: shape})[1][0])
            problem = f"its output then has the shape {found}"
        except self._mx.MXNetError as error:
            found, problem = (), said(error)
        if len(found) < 2 or found[0] != shape[0]:
            raise UsageError(
                f"{self._names['symbol']}: does not give {shape[0]} rows of classes for {shape[0]} images: {problem}",
                "Give a network that takes batches of any size.",
            )

    def _check_labels(self, bundle: Bundle) -> None:
        classes = self.inspection.classes
        if bundle.labels and len(bundle.labels) != classes:
            raise UsageError(
                f"{self._names['labels']}: has {len(bundle.labels)} labels, but the network has {classes} classes",
                "Give the labels of this very network, one for each class.",
            )


def _nodes(symbol: Any) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = json.loads(symbol.tojson())["nodes"]
    return nodes


def _operators(symbol: Any) -> dict[str, int]:
    names = [node["op"] for node in _nodes(symbol) if node["op"] != "null"]
    return {name: names.count(name) for name in sorted(set(names), key=lambda name: (-names.count(name), name))}


def _last_operator(symbol: Any) -> str:
    """The operator that makes the output's numbers, seen through reshapes."""
    graph = json.loads(symbol.tojson())
    node = graph["nodes"][graph["heads"][0][0]]
    while node["op"] in _PASS_THROUGH and node["inputs"]:
        node = graph["nodes"][node["inputs"][0][0]]
    return str(node["op"])


def _softmax_in_words(adds: bool, setting: str, last: str) -> str:
    if adds:
        return f"added (the graph ends in {last}: logits)"
    return f"none added: the graph ends in {last}" + (" (output.softmax: none)" if setting == "none" else "")
