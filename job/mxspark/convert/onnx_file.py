"""An ONNX file: read under limits, and refused in words where it is something else, damaged, or of a kind that can't be
converted.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import TensorProto, helper, inliner, numpy_helper

from mxspark import host
from mxspark.errors import UsageError, one_line
from mxspark.text.words import listed, printable

Array = NDArray[Any]

OPSETS = range(7, 22)  # 7 to 21: below, operators have other attributes; above, there may be new meanings
MAX_FILE_BYTES = 2**31 - 1  # protobuf's own limit on a message
MEMORY_FACTOR = 3  # a file's size to the memory that its conversion takes
_WHERE_TO_FIND = "docs/onnx.md shows how to export a network as ONNX."
# How files begin that people have in an ONNX file's place, and what to do with them.
_OTHER_KINDS: Mapping[bytes, tuple[str, str]] = {
    b"PK": ("a zip, as PyTorch's and Keras's files are", "Export it: torch.onnx.export, or tf2onnx for .keras files."),
    b"\x80": ("a pickle, as PyTorch's older files are", "Load it in PyTorch, and export it: torch.onnx.export."),
    b"\x89HDF": (
        "HDF5, as Keras's .h5 files are",
        "Convert it: python -m tf2onnx.convert --keras FILE --output m.onnx.",
    ),
    b"\x1f\x8b": ("packed by gzip", "Unpack it: gunzip."),
    b"version https://git-lfs": ("a pointer of Git LFS", "Fetch the file itself: git lfs pull."),
    b"<": ("a page of the web, or XML", "Download the file itself."),
    b"{": ("JSON", "An MXNet symbol needs no conversion: mxspark model pack."),
    b"\x12\x01\0\0\0\0\0\0": ("MXNet's parameters", "They need no conversion: mxspark model pack."),
}
_NOT_WHOLE = "Fetch or export it again."
_HALF, _SINGLE = TensorProto.FLOAT16, TensorProto.FLOAT


@dataclass(frozen=True)
class OnnxFile:
    """A file's graph without its weights, and the weights."""

    path: Path
    model: Any  # ModelProto; its initializers have no numbers
    weights: dict[str, Array]  # by name; whoever has used one may remove it
    opset: int
    is_external: bool  # whether weights are in files beside it
    is_half: bool  # whether its numbers were float16, which are float32 here

    @property
    def metadata(self) -> dict[str, str]:
        return {entry.key: entry.value for entry in self.model.metadata_props}


def read(path: Path) -> OnnxFile:
    """Raises UsageError where it is no ONNX file, not whole, or of a version that isn't known."""
    _check_file(path)
    model, is_external = _loaded(path)
    opset = _opset(model, path)
    _check_graph(model, path)
    is_half = any(tensor.data_type == _HALF for tensor in _tensors(model.graph)) or any(
        value.type.tensor_type.elem_type == _HALF for value in model.graph.input
    )
    if is_half:
        _make_single(model)
    weights = {tensor.name: _array(tensor, path) for tensor in model.graph.initializer}
    # What is removed from a message stays in its memory: a new one has none of the weights'.
    return OnnxFile(path, _without_weights(model), weights, opset, is_external, is_half)


def with_outputs(file: OnnxFile, names: Sequence[str], target: Path) -> Path:
    """The file as it is computed here, with outputs of these names: itself where it has them, else in `target`.

    Raises ValueError where it would be larger than such a file can be.
    """
    there = {value.name for value in file.model.graph.output}
    more = [helper.make_empty_tensor_value_info(name) for name in names if name not in there]
    if not more and not file.is_half:
        return file.path
    if not file.is_half and not file.is_external:
        # A message followed by another is both merged, its lists joined: that takes no memory.
        shutil.copyfile(file.path, target)
        with target.open("ab") as opened:
            opened.write(onnx.ModelProto(graph=onnx.GraphProto(output=more)).SerializeToString())
        return target
    model = onnx.load(str(file.path))
    _make_single(model)
    model.graph.output.extend(more)
    onnx.save(model, str(target))
    return target


def _check_file(path: Path) -> None:
    if path.is_dir():
        is_saved_model = (path / "saved_model.pb").exists()
        raise UsageError(
            f"{path}: a folder{' with a TensorFlow SavedModel' if is_saved_model else ''}, not an ONNX file",
            f"Convert it: python -m tf2onnx.convert --saved-model {path} --output model.onnx."
            if is_saved_model
            else "Name the file.",
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
    for beginning, (kind, hint) in _OTHER_KINDS.items():
        if start.startswith(beginning):
            raise UsageError(f"{path}: not an ONNX file: it is {kind}", hint)
    if start[8:10] == b'{"':
        raise UsageError(
            f"{path}: not an ONNX file: it is safetensors, weights without a graph",
            "Load it in PyTorch, and export it: torch.onnx.export.",
        )
    if start[4:8] == b"TFL3":
        raise UsageError(
            f"{path}: not an ONNX file: it is TensorFlow Lite's",
            "Convert it: python -m tf2onnx.convert --tflite FILE --output m.onnx.",
        )
    if size > MAX_FILE_BYTES:
        raise UsageError(
            f"{path}: has {size:,} bytes, more than an ONNX file can have (2 GiB)",
            "Export it with its weights beside it (external data).",
        )
    _check_memory(size, path)


def _check_memory(size: int, path: Path) -> None:
    if size * MEMORY_FACTOR > host.memory():
        raise UsageError(
            f"{path}: its conversion takes about {size * MEMORY_FACTOR / 2**30:.1f} GiB of memory, and there are "
            f"{host.memory() / 2**30:.1f} GiB",
            "Convert it on a machine with more.",
        )


def _loaded(path: Path) -> tuple[Any, bool]:
    """The model with all of its weights, and whether some were in files of their own."""
    try:
        model = onnx.load(str(path), load_external_data=False)
        if not model.graph.node or not model.opset_import:
            raise DecodeError("it has no graph")
        is_external = _check_external(model, path)
        onnx.load_external_data_for_model(model, str(path.parent))
    except DecodeError as error:
        raise UsageError(
            f"{path}: not an ONNX file, or not whole: {one_line(error)}",
            f"Of a TensorFlow SavedModel: python -m tf2onnx.convert --saved-model {path.parent} --output model.onnx."
            if path.name == "saved_model.pb"
            else f"{_NOT_WHOLE} {_WHERE_TO_FIND}",
        ) from None
    except (onnx.checker.ValidationError, OSError, ValueError) as error:
        raise UsageError(
            f"{path}: its weights can't be read from the files beside it: {one_line(error)}",
            "Copy these files too, under the names that they had when the network was exported.",
        ) from None
    return model, is_external


def _check_external(model: Any, path: Path) -> bool:
    """Whether weights have files of their own. Raises UsageError where these aren't there, or are too large."""
    names = set()
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            names |= {entry.value for entry in tensor.external_data if entry.key == "location"}
    if missing := sorted(name for name in names if not (path.parent / name).is_file()):
        raise UsageError(
            f"{path}: has its weights in files of their own, which aren't there: {listed(missing)}",
            f"Copy them beside it, into {path.parent}.",
        )
    _check_memory(sum((path.parent / name).stat().st_size for name in names), path)
    return bool(names)


def _opset(model: Any, path: Path) -> int:
    found = {entry.domain: entry.version for entry in model.opset_import}
    opset = found.get("", found.get("ai.onnx", 0))
    if not opset:
        raise UsageError(
            f"{path}: has no operators of ONNX's own, but of {listed(sorted(found))}",
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
    if model.graph.sparse_initializer:
        raise UsageError(f"{path}: has sparse weights, which MXNet can't use", "Export it with dense weights.")
    if model.functions:
        model.CopyFrom(inliner.inline_local_functions(model))


def _array(tensor: Any, path: Path) -> Array:
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"{path}: the weights {printable(tensor.name)} aren't whole: {one_line(error)}", _NOT_WHOLE
        ) from None


def _without_weights(model: Any) -> Any:
    light = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    light.metadata_props.extend(model.metadata_props)
    light.producer_name = model.producer_name
    light.graph.name = model.graph.name
    light.graph.node.extend(model.graph.node)
    light.graph.input.extend(model.graph.input)
    light.graph.output.extend(model.graph.output)
    return light


# ---- float16 ----


def _make_single(model: Any) -> None:
    """Turns all that is float16 into float32: on a CPU MXNet computes nothing else."""
    for tensor in _tensors(model.graph):
        if tensor.data_type == _HALF:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.elem_type == _HALF:
            value.type.tensor_type.elem_type = _SINGLE
    for node in model.graph.node:
        for attribute in node.attribute:
            if (node.op_type, attribute.name) in (("Cast", "to"), ("EyeLike", "dtype")) and attribute.i == _HALF:
                attribute.i = _SINGLE
    del model.graph.value_info[:]


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t


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
