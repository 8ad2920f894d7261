"""An ONNX file: read under limits, and refused in words where it is something else, damaged, or of a kind that can't be
converted.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import TensorProto, helper, inliner, numpy_helper

from mxspark import host
from mxspark.errors import MxsparkError, UsageError, one_line
from mxspark.text.words import listed, printable

Array = NDArray[Any]

OPSETS = range(7, 22)  # 7 to 21: below, operators have other attributes; above, there may be new meanings
MAX_FILE_BYTES = 2**31 - 1  # protobuf's own limit on a message
MEMORY_FACTOR = 3  # a file's size to the memory that its conversion takes
_WHERE_TO_FIND = "docs/onnx.md shows how to export a network as ONNX."
_FROM_PYTORCH = "Load it in PyTorch, and export it: torch.onnx.export."
_TF2ONNX = "Convert it: python -m tf2onnx.convert"
# What files hold that people have in an ONNX file's place: where, which bytes, what it is, and what to do with it.
_OTHER_KINDS: Sequence[tuple[int, bytes, str, str]] = (
    (
        0,
        b"PK",
        "a zip, as PyTorch's and Keras's files are",
        "Export it: torch.onnx.export, or tf2onnx for .keras files.",
    ),
    (0, b"\x80", "a pickle, as PyTorch's older files are", _FROM_PYTORCH),
    (0, b"\x89HDF", "HDF5, as Keras's .h5 files are", f"{_TF2ONNX} --keras FILE --output m.onnx."),
    (0, b"\x1f\x8b", "packed by gzip", "Unpack it: gunzip."),
    (0, b"version https://git-lfs", "a pointer of Git LFS", "Fetch the file itself: git lfs pull."),
    (0, b"<", "a page of the web, or XML", "Download the file itself."),
    (0, b"{", "JSON", "An MXNet symbol needs no conversion: mxspark model pack."),
    (0, b"\x12\x01\0\0\0\0\0\0", "MXNet's parameters", "They need no conversion: mxspark model pack."),
    (8, b'{"', "safetensors, weights without a graph", _FROM_PYTORCH),
    (4, b"TFL3", "TensorFlow Lite's", f"{_TF2ONNX} --tflite FILE --output m.onnx."),
)
_NOT_WHOLE = "Fetch or export it again."
_SINGLE, _OTHERS = TensorProto.FLOAT, (TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
_OTHER_NAMES = ("float16", "bfloat16", "float64")  # as NumPy calls them
WRITTEN_IR_VERSION = 10  # the one of opset 21, which knows all of those before
_MOST_WITHIN = 2**16  # bytes of weights that are written into the graph itself, where shapes may depend on them
_DEEPEST_FUNCTIONS = 50
_MOST_NODES = 10**6  # of a graph whose functions are taken apart; real networks have some thousands
_ALIGNED = 64  # bytes at a multiple of which weights begin


@dataclass(frozen=True)
class OnnxFile:
    """A file's graph without its weights, and the weights."""

    path: Path
    model: Any  # ModelProto; it has no initializers
    weights: dict[str, Array]  # by name; whoever has used one may remove it
    opset: int
    is_changed: bool  # whether it had floats of 16 or 64 bits, which are float32 here

    @property
    def metadata(self) -> dict[str, str]:
        return {entry.key: entry.value for entry in self.model.metadata_props}


def read(path: Path) -> OnnxFile:
    """Raises UsageError where it is no ONNX file, not whole, or of a version that isn't known."""
    _check_file(path)
    model = _loaded(path)
    _check_version(model, path)
    opset = _opset(model, path)
    _check_graph(model, path)
    weights = {tensor.name: _array(tensor, path) for tensor in model.graph.initializer}
    # What is removed from a message stays in its memory: a new one has none of the weights'.
    light = _without_weights(model)
    del model
    is_changed = any(tensor.data_type in _OTHERS for tensor in _tensors(light.graph)) or any(
        value.type.tensor_type.elem_type in _OTHERS for value in light.graph.input
    )
    for name, array in weights.items():
        if array.dtype.name in _OTHER_NAMES:
            weights[name], is_changed = _single(array), True
        _check_numbers(name, weights[name], path)
    if is_changed:
        _make_single(light)
    for node in light.graph.node:
        while node.output and not node.output[-1]:  # left out, which crashes onnxruntime's BatchNormalization
            node.output.pop()
    return OnnxFile(path, light, weights, opset, is_changed)


def needed(graph: Any, outputs: Sequence[str]) -> list[Any]:
    """The nodes of a graph that lead to outputs, in their order."""
    wanted, nodes = {*outputs}, []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            nodes.append(node)
            wanted |= set(node.input)
    return nodes[::-1]


def write(file: OnnxFile, outputs: Sequence[str], target: Path) -> None:
    """Writes what leads to these outputs as an ONNX file: onnxruntime may not know the operators behind them.

    Large weights lie in a file beside it, which onnxruntime maps into its memory. Raises MxsparkError where they can't
    be written.
    """
    whole = file.model.graph
    declared = {value.name: value for value in whole.output}
    nodes = needed(whole, outputs)
    read = {name for node in nodes for name in node.input}
    domains = {"", "ai.onnx", *(node.domain for node in nodes)}
    graph = onnx.GraphProto(
        name=whole.name or "part",
        node=nodes,
        input=[value for value in whole.input if value.name in read],
        output=[declared.get(name) or helper.make_empty_tensor_value_info(name) for name in outputs],
    )
    weights = {name: array for name, array in file.weights.items() if name in read}
    opsets = [opset for opset in file.model.opset_import if opset.domain in domains]
    try:
        with target.with_suffix(".data").open("wb") as opened:
            graph.initializer.extend(_written(name, array, opened) for name, array in weights.items())
        onnx.save(onnx.ModelProto(ir_version=WRITTEN_IR_VERSION, opset_import=opsets, graph=graph), str(target))
    except OSError as error:
        raise MxsparkError(
            f"{target.parent}: the network can't be written there to compare it: {error.strerror or error}",
            "Free space, or name another folder for such files: TMPDIR.",
        ) from None


def _written(name: str, array: Array, opened: BinaryIO) -> Any:
    """Weights as a tensor, with their numbers in the file that is open if they are many."""
    if array.nbytes <= _MOST_WITHIN or array.dtype.kind not in "biuf":
        return numpy_helper.from_array(array, name)
    opened.seek(-opened.tell() % _ALIGNED, os.SEEK_CUR)
    place = {"location": Path(opened.name).name, "offset": opened.tell(), "length": array.nbytes}
    array.tofile(opened)
    return TensorProto(
        name=name,
        dims=array.shape,
        data_type=helper.np_dtype_to_tensor_dtype(array.dtype),
        data_location=TensorProto.EXTERNAL,
        external_data=[onnx.StringStringEntryProto(key=key, value=str(value)) for key, value in place.items()],
    )


def _check_file(path: Path) -> None:
    if path.is_dir():
        is_saved_model = (path / "saved_model.pb").exists()
        raise UsageError(
            f"{path}: a folder{' with a TensorFlow SavedModel' if is_saved_model else ''}, not an ONNX file",
            f"{_TF2ONNX} --saved-model {path} --output model.onnx." if is_saved_model else "Name the file.",
        )
    if path.exists() and not path.is_file():
        raise UsageError(f"{path}: not a file, but a device or a pipe", "Save it as a file first.")
    try:
        size = path.stat().st_size
        with path.open("rb") as opened:
            start = opened.read(64)
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror}", "Check the name.") from None
    if not size:
        raise UsageError(f"{path}: is empty", _NOT_WHOLE)
    for offset, expected, kind, hint in _OTHER_KINDS:
        if start.startswith(expected, offset):
            raise UsageError(f"{path}: not an ONNX file: it is {kind}", hint)
    if size > MAX_FILE_BYTES:
        raise UsageError(
            f"{path}: has {size:,} bytes, more than an ONNX file can have (2 GiB)",
            "Export it with its weights beside it (external data).",
        )
    _check_memory(size, path)


def _check_memory(size: int, path: Path) -> None:
    """Raises UsageError where weights of so many bytes are too many for this machine."""
    if size * MEMORY_FACTOR > host.memory():
        raise UsageError(
            f"{path}: its conversion takes about {size * MEMORY_FACTOR / 2**30:.1f} GiB of memory, and there are "
            f"{host.memory() / 2**30:.1f} GiB",
            "Convert it on a machine with more.",
        )


def _loaded(path: Path) -> Any:
    """The model with all of its weights."""
    try:
        model = onnx.load(str(path), format="protobuf", load_external_data=False)
        if not model.graph.node:
            raise DecodeError("it has no graph")
        _check_external(model, path)
        onnx.load_external_data_for_model(model, str(path.parent))
    except DecodeError as error:
        raise UsageError(
            f"{path}: not an ONNX file, or not whole: {one_line(error)}",
            f"Of a TensorFlow SavedModel: python -m tf2onnx.convert --saved-model {path.parent} --output model.onnx. "
            f"Of a frozen graph: --graphdef {path}, --inputs and --outputs."
            if path.suffix == ".pb"
            else f"{_NOT_WHOLE} {_WHERE_TO_FIND}",
        ) from None
    except (onnx.checker.ValidationError, OSError, ValueError) as error:
        raise UsageError(
            f"{path}: its weights can't be read from the files beside it: {one_line(error)}",
            "Copy these files too, under the names that they had when the network was exported.",
        ) from None
    return model


def _check_external(model: Any, path: Path) -> None:
    """Raises UsageError where files with weights aren't there, are elsewhere, or hold more than the memory does."""
    places = [
        {entry.key: entry.value for entry in tensor.external_data}
        for part in (model.graph, *model.functions)
        for tensor in _tensors(part)
        if tensor.data_location == TensorProto.EXTERNAL
    ]
    names = {place["location"] for place in places if "location" in place}
    if outside := [name for name in names if Path(name).is_absolute() or ".." in Path(name).parts]:
        raise UsageError(
            f"{path}: names a file outside its own folder as that of its weights: {printable(outside[0])}",
            "Export it with its weights beside it; only such are read.",
        )
    if missing := sorted(name for name in names if not (path.parent / name).is_file()):
        raise UsageError(
            f"{path}: has its weights in files of their own, which aren't there: {listed(missing)}",
            f"Copy them beside it, into {path.parent}.",
        )
    if links := sorted(name for name in names if (path.parent / name).is_symlink()):
        raise UsageError(
            f"{path}: its weights are symbolic links, which aren't followed: {listed(links)}",
            f"As in Hugging Face's cache: copy the files themselves, cp -L {path.parent}/* FOLDER, and convert these.",
        )
    # Of one file any number of tensors may be read, and all of it where they don't say how much.
    sizes = {name: (path.parent / name).stat().st_size for name in names}
    within = sum(
        max(int(place.get("length") or sizes[place["location"]]), 0) for place in places if "location" in place
    )
    _check_memory(path.stat().st_size + within, path)


def _check_version(model: Any, path: Path) -> None:
    if not 0 < model.ir_version <= onnx.IR_VERSION:
        raise UsageError(
            f"{path}: has the version {model.ir_version} of the format (ir_version), and 1 to {onnx.IR_VERSION} are "
            "known",
            "Export it again with an older exporter, or install a newer package onnx.",
        )


def _opset(model: Any, path: Path) -> int:
    found = {entry.domain: entry.version for entry in model.opset_import}
    opset = found.get("", found.get("ai.onnx", 0))
    if not opset:
        raise UsageError(
            f"{path}: has no operators of ONNX's own, but of {listed(sorted(found))}"
            if any(found.values())
            else f"{path}: doesn't say which opset its operators are of",
            "Export it with the operators of ONNX alone.",
        )
    if opset not in OPSETS:
        raise UsageError(
            f"{path}: has opset {opset}, and {OPSETS.start} to {OPSETS.stop - 1} can be converted",
            "Export it with another: torch.onnx.export(…, opset_version=17); or convert it: onnx.version_converter.",
        )
    return int(opset)


def _check_graph(model: Any, path: Path) -> None:
    if not model.graph.output:
        raise UsageError(f"{path}: has no output", _NOT_WHOLE)
    if not all(isinstance(name, str) for name in _names(model.graph)):
        raise UsageError(f"{path}: has names that are no text: it is damaged", _NOT_WHOLE)
    made = Counter(name for node in model.graph.node for name in node.output if name)
    made.update(tensor.name for tensor in model.graph.initializer)
    if twice := [name for name, count in made.items() if count > 1]:
        raise UsageError(
            f"{path}: has several values of the same name: {listed(list(map(printable, twice)))}",
            "Where networks were joined, give their values names of their own (onnx.compose has prefixes).",
        )
    if model.graph.sparse_initializer:
        raise UsageError(f"{path}: has sparse weights, which MXNet can't use", "Export it with dense weights.")
    if model.functions:
        _check_functions(model, path)
        model.CopyFrom(inliner.inline_local_functions(model))


def _check_functions(model: Any, path: Path) -> None:
    """Raises UsageError for functions in a circle, or of too many nodes: thirty that call twice are a billion."""
    functions = {(each.domain, each.name, each.overload): each.node for each in model.functions}
    counts: dict[tuple[str, str, str], int] = {}

    def count(nodes: Sequence[Any], depth: int = 0) -> int:
        """The nodes that these become, where functions within them are taken apart."""
        if depth > _DEEPEST_FUNCTIONS:
            raise UsageError(
                f"{path}: has functions that call themselves, or {_DEEPEST_FUNCTIONS} of them one in the other",
                "Export it without functions of its own (PyTorch: without export_modules_as_functions).",
            )
        total = 0
        for node in nodes:
            called = node.domain, node.op_type, node.overload
            if called in functions and called not in counts:
                counts[called] = count(functions[called], depth + 1)
            total += counts.get(called, 1)
            for attribute in node.attribute:
                total += sum(count(inner.node, depth + 1) for inner in (attribute.g, *attribute.graphs))
        return total

    if (total := count(model.graph.node)) > _MOST_NODES:
        raise UsageError(
            f"{path}: becomes {total:,} nodes without its functions, and {_MOST_NODES:,} are the most",
            "Export it without functions of its own (PyTorch: without export_modules_as_functions).",
        )


def _names(graph: Any) -> Iterator[Any]:
    """All names that its operators have; bytes where they are no UTF-8."""
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
    yield from (value.name for value in (*graph.initializer, *graph.input, *graph.output))


def _array(tensor: Any, path: Path) -> Array:
    try:
        array = np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError) as error:  # the last of a type that isn't known
        raise UsageError(
            f"{path}: the weights {printable(tensor.name)} aren't whole: {one_line(error)}", _NOT_WHOLE
        ) from None
    return array


def _check_numbers(name: str, array: Array, path: Path) -> None:
    """Raises UsageError where weights are NaN; infinite ones may be masks."""
    if array.dtype.kind == "f" and array.size and np.isnan(array.min()):
        raise UsageError(
            f"{path}: the weights {printable(name)} have numbers that are none (NaN)",
            "Export it from a checkpoint that predicts: training that diverged leaves such.",
        )


def _without_weights(model: Any) -> Any:
    kept = {name: getattr(model, name) for name in ("ir_version", "opset_import", "metadata_props", "producer_name")}
    graph = {name: getattr(model.graph, name) for name in ("name", "node", "input", "output")}
    light = onnx.ModelProto(**kept, graph=onnx.GraphProto(**graph))
    for side in (side for value in light.graph.input for side in value.type.tensor_type.shape.dim):
        if side.dim_value <= 0:  # -1 or 0, as some exporters write an open length, which onnxruntime refuses
            side.ClearField("dim_value")
    return light


# ---- floats of 16 and 64 bits ----


def _make_single(model: Any) -> None:
    """Turns all other floats into float32, but for weights: on a CPU MXNet computes nothing else."""
    for tensor in _tensors(model.graph):
        if tensor.data_type in _OTHERS:
            tensor.CopyFrom(numpy_helper.from_array(_single(numpy_helper.to_array(tensor)), tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.elem_type in _OTHERS:
            value.type.tensor_type.elem_type = _SINGLE
    for node in model.graph.node:
        for attribute in node.attribute:
            if (node.op_type, attribute.name) in (("Cast", "to"), ("EyeLike", "dtype")) and attribute.i in _OTHERS:
                attribute.i = _SINGLE


def _single(array: Array) -> Array:
    """As float32; what is finite stays so, as float64's least number does, which masks."""
    if array.dtype == np.float64:
        limits = np.finfo(np.float32)
        array = np.where(np.isinf(array), array, array.clip(limits.min, limits.max))
    return array.astype(np.float32)


def _tensors(graph: Any) -> Iterator[Any]:
    """All tensors of a graph or a function, and of the graphs within their nodes."""
    yield from getattr(graph, "initializer", ())
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _tensors(inner)


def attributes(node: Any) -> dict[str, Any]:
    """A node's attributes as Python's values: texts as str, tensors as arrays."""
    return {attribute.name: _plain(helper.get_attribute_value(attribute)) for attribute in node.attribute}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if hasattr(value, "DESCRIPTOR"):
        return type(value).__name__
    return list(value) if not isinstance(value, (int, float, str)) else value
