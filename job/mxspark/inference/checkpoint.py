"""A model's symbol and parameters, loaded and matched by name: which variable is the input, which have values, which
only training needs.

MXNet itself is handed in (context.load_mxnet), so that this room need not import it.
"""

import difflib
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mxspark.errors import UsageError
from mxspark.inference.bundle import Bundle
from mxspark.inference.graph import Graph, unshared
from mxspark.inference.mxnet import said
from mxspark.settings.model_spec import ModelSpec
from mxspark.text.words import listed

_BFLOAT16 = '"bfloat16"'
_FLOAT16 = "2"  # MXNet's number of the type, in the attribute __dtype__
# How the names of variables end that layers make for their parameters.
_PARAMETER = re.compile(r"(weight|bias|gamma|beta|mean|var|alpha|parameters|state)\d*$")
_SHOWN = 5
_OTHER_KINDS = {
    b"version https://git-lfs": "it is a pointer of Git LFS to the file (`git lfs pull` fetches it)",
    b"<": "it is a page of the web, or XML",
    b"\x1f\x8b": "it is packed by gzip",
    b"PK": "it is a zip, as NumPy's .npz and PyTorch's files are",
    b"\x93NUMPY": "it is one of NumPy's arrays",
    b"\x80": "it is a pickle of Python's, as PyTorch's files are",
    b"\x89HDF": "it is HDF5, as Keras writes it",
}


@dataclass(frozen=True)
class Checkpoint:
    """A graph with the values of its variables."""

    symbol: Any  # of the output, and of those of output.also after it
    whole: Any  # the file's symbol, of which `symbol` is but what leads to its outputs
    graph: Graph
    outputs: tuple[str, ...]  # of the file's graph
    input_name: str
    arguments: Mapping[str, Any]  # name to array, of what the graph uses
    constants: Mapping[str, float]  # values of further inputs, whose shapes may depend on the batch
    states: Mapping[str, Any]  # auxiliary ones, such as a batch normalization's mean
    unused: tuple[str, ...]  # parameters that the graph doesn't use
    half: int  # parameters that are float16 in the file
    prefix: str  # of the parameters' names in the file, which the graph's lack


def load(mx: Any, bundle: Bundle) -> Checkpoint:
    """Reads both files. Raises UsageError where one isn't what it should be, or a variable has no value."""
    return _Loader(mx, bundle).load()


def written(symbol: Any) -> str:
    """A symbol's JSON. MXNet leaves out casts for mixed precision; those to bfloat16, which CPUs compute, are kept."""
    text: str = symbol.tojson(remove_amp_cast=False)
    return text if _BFLOAT16 in text else str(symbol.tojson())


class _Loader:
    def __init__(self, mx: Any, bundle: Bundle) -> None:
        self._mx = mx
        self._paths = bundle.paths
        self._names = bundle.source.locations
        self._spec: ModelSpec = bundle.spec

    def load(self) -> Checkpoint:
        whole = self._symbol()
        outputs = tuple(whole.list_outputs())
        symbol = self._chosen_output(whole, outputs)
        if also := self._spec.output.also:
            symbol = self._mx.sym.Group(
                [symbol, *(self._layer(whole, name, f"output.also.{column}") for column, name in also.items())]
            )
        graph = Graph.read(written(symbol))
        saved = self._saved()
        variables, states = symbol.list_arguments(), symbol.list_auxiliary_states()
        if doubles := [name for name, count in Counter(variables).items() if count > 1]:
            raise UsageError(
                f"{self._names['symbol']}: has several variables of the same name: {', '.join(doubles[:_SHOWN])}",
                "Where networks are joined, give them the same variable as their input, and parameters with names of "
                "their own.",
            )
        # The file may tell both kinds apart (arg:, aux:) or not, as Gluon's collect_params().save: the graph does.
        bare = {name.removeprefix("arg:").removeprefix("aux:"): array for name, array in saved.items()}
        if len(bare) < len(saved):
            twice = next(name for name in saved if name not in bare and name.split(":", 1)[1] in saved)
            raise UsageError(
                f"{self._names['params']}: holds {twice} and {twice.split(':', 1)[1]}", "Remove one of them."
            )
        truths = graph.truths  # which walks through the whole graph
        prefix = self._prefix(bare, {*variables, *states} - truths - {*self._spec.input.constants})
        bare = {name.removeprefix(prefix): array for name, array in bare.items()}
        input_name = self._input_name(variables, bare, graph)
        given = {
            name: array
            for name, array in bare.items()
            if name in variables and name != input_name and name not in truths
        }
        constants = self._constants(variables, input_name, bare)
        # Of a parameter that is added to a layer the graph doesn't tell the shape; a constant of no known shape is one
        # number.
        symbol = self._declared(symbol, input_name, {name: tuple(array.shape) for name, array in given.items()})
        symbol = self._declared(symbol, input_name, dict.fromkeys(constants, (1,)))
        symbol = self._mx.sym.load_json(unshared(written(symbol)))
        missing = [
            n for n in variables if n not in given and n not in constants and n != input_name and n not in truths
        ]
        self._check_missing([*missing, *(n for n in states if n not in bare)], bare, {*variables, *states})
        return Checkpoint(
            symbol=symbol,
            whole=whole,
            graph=graph,
            outputs=outputs,
            input_name=input_name,
            arguments=given,
            constants=constants,
            states={name: bare[name] for name in states},
            unused=tuple(name for name in bare if name not in given and name not in states),
            half=sum(array.dtype == np.float16 for array in bare.values()),
            prefix=prefix,
        )

    def _symbol(self) -> Any:
        try:
            text = self._paths["symbol"].read_text()
            json.loads(text)  # MXNet itself reads a cut file up to where it makes sense
            symbol = self._mx.sym.load_json(text)
            if not symbol.list_outputs():
                raise ValueError("it has no output")
            return self._mx.sym.load_json(_in_single_precision(written(symbol)))
        except (self._mx.MXNetError, ValueError, RecursionError, TypeError, KeyError) as error:
            what = _other_kind(self._paths["symbol"]) or said(error)
            raise UsageError(
                f"{self._names['symbol']}: not an MXNet symbol: {what}",
                "Give the model's …-symbol.json, whole and of MXNet 1.x.",
            ) from None

    def _saved(self) -> dict[str, Any]:
        path, name = str(self._paths["params"]), self._names["params"]
        try:
            saved = self._loaded(path)
        except (self._mx.MXNetError, UnicodeDecodeError, MemoryError) as error:
            what = _other_kind(self._paths["params"])
            wrong = f"not MXNet parameters: {what}" if what else f"not MXNet parameters, or not whole: {said(error)}"
            raise UsageError(f"{name}: {wrong}", "Give the model's ….params, whole.") from None
        if not isinstance(saved, dict):
            raise UsageError(f"{name}: holds arrays without names", "Save the parameters with their names.")
        return saved

    def _loaded(self, path: str) -> Any:
        try:
            return self._mx.nd.load(path)
        except self._mx.MXNetError as error:
            if "saved in np shape semantics" not in str(error):
                raise
        with self._mx.util.np_shape(True):  # as Gluon saves where npx.set_np was called
            return self._mx.nd.load(path)

    def _chosen_output(self, symbol: Any, outputs: tuple[str, ...]) -> Any:
        name = self._spec.output.name
        if name is None:
            if len(outputs) > 1:
                raise UsageError(
                    f"{self._names['symbol']}: has {len(outputs)} outputs: {', '.join(outputs[:8])}",
                    "Name one: output.name in model.yaml (model pack --layer, or the setting model.output_name). "
                    "Others can be columns of vectors beside it: output.also.",
                )
            return symbol
        return self._layer(symbol, name, "output.name")

    def _layer(self, symbol: Any, name: str, setting: str) -> Any:
        """An output of the graph, or of a layer within it."""
        internals = symbol.get_internals()
        known = [output for output in internals.list_outputs() if output not in symbol.list_inputs()]
        wanted = name if name in known else f"{name}_output"
        if known.count(wanted) > 1:
            raise UsageError(
                f"{self._names['symbol']}: has {known.count(wanted)} layers {name[:100]!r}, which {setting} names",
                "Give its layers names of their own, or take another.",
            )
        if wanted in known:
            return internals[wanted]
        names = [output.removesuffix("_output") for output in known]
        close = difflib.get_close_matches(name[:100], names, n=3, cutoff=0.5)
        raise UsageError(
            f"{self._names['symbol']}: has no output or layer {name[:100]!r}, which {setting} names; it ends in "
            f"{listed(symbol.list_outputs(), 8)}",
            (f"Did you mean {' or '.join(close)}? " if close else "")
            + "`mxspark model inspect --layers` lists the layers that can be taken.",
        )

    def _input_name(self, variables: list[str], saved: Mapping[str, Any], graph: Graph) -> str:
        constants = self._spec.input.constants
        known = {*saved, *graph.truths, *constants}
        free = [n for n in variables if n not in known]
        name = self._spec.input.name
        if name is not None:
            if name not in variables:
                raise UsageError(
                    f"{self._names['symbol']}: has no input {name!r}; those without parameters are "
                    f"{', '.join(free) or 'none'}",
                    "Correct input.name in model.yaml.",
                )
            return name
        if "data" in variables:  # of which some files hold an array too, left over from training
            return "data"
        if not free:
            raise UsageError(
                f"{self._names['symbol']}: has no input: every variable has parameters",
                "Name it in model.yaml: input.name.",
            )
        return next((n for n in free if not _PARAMETER.search(n)), free[0])

    @staticmethod
    def _prefix(saved: Mapping[str, Any], wanted: set[str]) -> str:
        """The beginning of all names in the file, such as `module.`, without which they are just the graph's."""
        first = next(iter(saved), "")
        for prefix in {first.removesuffix(name) for name in wanted if first.endswith(name)} - {""}:
            bare = {name.removeprefix(prefix) for name in saved if name.startswith(prefix)}
            if len(bare) == len(saved) and bare <= wanted and len(wanted - bare) <= 1:  # the one is the input
                return prefix
        return ""

    def _constants(self, variables: list[str], input_name: str, saved: Mapping[str, Any]) -> dict[str, float]:
        constants = self._spec.input.constants
        for name in constants:
            if name in variables and name != input_name and name not in saved:
                continue
            what = "the image input" if name == input_name else "a parameter"
            if name not in variables:
                what = "no variable of the graph"
            raise UsageError(
                f"{self._names['symbol']}: input.constants names {name!r}, which is {what}", "Correct input.constants."
            )
        return constants

    def _declared(self, symbol: Any, input_name: str, shapes: Mapping[str, tuple[int, ...]]) -> Any:
        """The symbol with these shapes for those of the variables of which it doesn't tell the shape itself."""
        try:
            found = symbol.infer_shape_partial(**{input_name: self._spec.input.shape(1)})[0] or ()
        except self._mx.MXNetError:  # the check of shapes tells it
            return symbol
        told = dict(zip(symbol.list_arguments(), found, strict=False))
        # An axis of unknown length (0) is one that is broadcast.
        hidden = {
            name: tuple(side or 1 for side in told[name]) if any(told.get(name) or ()) else shape
            for name, shape in shapes.items()
            if not (told.get(name) and all(told[name]))
        }
        return self._mx.sym.load_json(_with_shapes(written(symbol), hidden)) if hidden else symbol

    def _check_missing(self, missing: list[str], saved: Mapping[str, Any], known: set[str]) -> None:
        """Raises UsageError for variables without values, naming the true cause."""
        if not missing:
            return
        graph, params = self._names["symbol"], self._names["params"]
        shown = ", ".join(missing[:_SHOWN]) + (", …" if len(missing) > _SHOWN else "")
        inputs = [name for name in missing if not _PARAMETER.search(name)]
        if not any(name in known for name in saved):
            raise self._strangers(saved, missing)
        if inputs:
            raise UsageError(
                f"{graph}: has further inputs, of which {params} holds no values: {', '.join(inputs[:_SHOWN])}",
                "If they are the same for every image, give their values in model.yaml: input.constants: "
                f"{{{inputs[0]}: 0}}. If one of them takes the images, name it: input.name.",
            )
        raise UsageError(
            f"{params}: lacks {len(missing)} of the parameters that {graph} needs: {shown}",
            "Give the params that were saved with this symbol, whole.",
        )

    def _strangers(self, saved: Mapping[str, Any], missing: list[str]) -> UsageError:
        """The error of parameters of which the graph knows none."""
        graph, params = self._names["symbol"], self._names["params"]
        if found := next(((name, wanted) for wanted in missing for name in saved if name.endswith(f".{wanted}")), None):
            return UsageError(
                f"{params}: its parameter names don't match the graph in {graph} ({found[0]} instead of {found[1]}), "
                "and removing one common prefix doesn't fix it",
                "Give the params that were saved with this symbol, whole and under the graph's names.",
            )
        if saved and all("." in name for name in saved):
            return UsageError(
                f"{params}: was written by Gluon's save_parameters(), which names parameters by their layers "
                f"({next(iter(saved))}) and not as the graph in {graph} does ({missing[0]})",
                "Write both files with net.export(), after net.hybridize() and one forward pass.",
            )
        return UsageError(
            f"symbol and params don't fit each other: {graph} uses none of the {len(saved):,} parameters in {params}; "
            f"it needs {', '.join(missing[:_SHOWN])}{', …' if len(missing) > _SHOWN else ''}",
            "Give the two files of one model.",
        )


def _other_kind(path: Path) -> str:
    """What a file is by how it begins, if it is something else that people have in a model's place."""
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        return "it is empty"
    return next((what for beginning, what in _OTHER_KINDS.items() if start.startswith(beginning)), "")


def _with_shapes(text: str, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """A symbol's JSON in which these variables have these shapes."""
    graph = json.loads(text)
    for node in graph["nodes"]:
        if node["op"] == "null" and node["name"] in shapes:
            node["attrs"] = {**node.get("attrs", {}), "__shape__": str(shapes[node["name"]])}
    return json.dumps(graph)


def _in_single_precision(text: str) -> str:
    """A symbol's JSON with float32 for variables of float16: the parameters are cast when they are set."""
    graph = json.loads(text)
    for node in graph["nodes"]:
        attributes = node.get("attrs", {})
        if node["op"] == "null" and attributes.get("__dtype__") == _FLOAT16:
            attributes["__dtype__"] = "0"
    return json.dumps(graph)
