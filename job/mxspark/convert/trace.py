"""What can be known of an ONNX graph's values without an image: their shapes, and the numbers of those that no image
changes.

All is found twice, for a batch of 2 images and for one of 3: what differs is what depends on the size of the batch, and
no symbolic arithmetic is needed to follow it through chains of Shape, Gather, Concat and Reshape.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from onnx import TensorProto, checker, defs, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from mxspark import host
from mxspark.convert.onnx_file import MEMORY_FACTOR, Array, OnnxFile, attributes, needed
from mxspark.convert.runtime import Session, model_of
from mxspark.errors import UsageError, one_line
from mxspark.text.words import counted, printable

Shape = tuple[int, ...]
BATCHES = (2, 3)

_MOST_NUMBERS = 2**27  # that a value may have which no image changes: half a GiB, more than a real network's
_MOST_PASSED = 4096  # numbers of a value that its readers' shapes may depend on, such as Reshape's
_RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")
_CONTROL_FLOW = ("If", "Loop", "Scan", "SequenceMap")


@dataclass(frozen=True)
class Value:
    """A value of the graph, for both sizes of the batch."""

    name: str
    type: int  # of TensorProto's
    shapes: tuple[Shape, Shape]
    numbers: tuple[Array, Array] | None = None  # the same array twice where the batch doesn't matter

    @property
    def rank(self) -> int:
        return len(self.shapes[0])

    @property
    def constant(self) -> Array | None:
        """Its numbers, where neither images nor the batch change them."""
        return self.numbers[0] if self.numbers is not None and self.numbers[0] is self.numbers[1] else None

    def is_fixed(self, axis: int) -> bool:
        """Whether the batch doesn't change the length of an axis."""
        return self.shapes[0][axis] == self.shapes[1][axis]

    @classmethod
    def of(cls, name: str, numbers: Sequence[Array]) -> "Value":
        first, second = numbers
        if first.shape == second.shape and (first is second or np.array_equal(first, second)):
            second = first
        return cls(name, helper.np_dtype_to_tensor_dtype(first.dtype), (first.shape, second.shape), (first, second))


@dataclass(frozen=True)
class Step:
    """An operator whose result depends on the image."""

    op: str
    name: str
    attributes: Mapping[str, Any]
    inputs: tuple[Value | None, ...]  # None where an optional one is left out
    outputs: tuple[Value, ...]  # those that have names
    opset: int

    def __str__(self) -> str:
        shown = ", ".join(f"{key}={str(value)[:60]}" for key, value in sorted(self.attributes.items()))
        return printable(f"{self.op} {self.name!r}" + (f" ({shown})" if shown else ""))


@dataclass(frozen=True)
class Trace:
    """The operators that depend on the image, each after those that it needs, and the outputs that were asked for."""

    input: Value
    steps: tuple[Step, ...]
    outputs: tuple[Value, ...]


def trace(file: OnnxFile, image: Value, is_single: bool, outputs: Sequence[str], known: Sequence[str]) -> Trace:
    """Follows a graph from its input `image` to `outputs`; `is_single` where the file takes one image at a time, which
    is widened to batches. `known` are the operators that can be converted.

    Raises UsageError naming the node that can't be followed, or all operators that aren't `known`.
    """
    return _Tracer(file, image, is_single).follow(outputs, known)


@dataclass
class _Tracer:
    file: OnnxFile
    image: Value
    is_single: bool
    values: dict[str, Value] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    taken: int = 0  # by numbers that aren't in the file, but were computed here [bytes]

    def follow(self, outputs: Sequence[str], known: Sequence[str]) -> Trace:
        self.values = {self.image.name: self.image}
        self.values |= {name: Value.of(name, (array, array)) for name, array in self.file.weights.items()}
        for node in needed(self.file.model.graph, outputs):
            self._check_op(node)
            try:
                self._add(node)
            except _FAULTS as error:
                if node.domain or not self._is_constant(node):  # it is its operator that isn't known, perhaps
                    self.steps.append(self._step(node))
                self._check_known(known)
                raise UsageError(
                    f"{self.file.path}: {self._step(node)}: {one_line(error)}",
                    "Check the file with onnx.checker; export it again, perhaps with another opset.",
                ) from None
        self._check_known(known)
        return Trace(self.image, tuple(self.steps), tuple(self.values[name] for name in outputs))

    def _step(self, node: Any) -> Step:
        """A node of which nothing else is known, for a message."""
        return Step(_op(node), _name(node), _readable(node), (), (), self.file.opset)

    def _check_op(self, node: Any) -> None:
        if node.op_type in _CONTROL_FLOW:
            raise UsageError(
                f"{self.file.path}: has a branch or a loop, which MXNet's graphs can't have: "
                f"{self._step(node)} ({self._count(node.op_type)})",
                "Export the network by tracing it with one image, without conditions (PyTorch: not from a scripted "
                "module).",
            )
        training = None
        if node.op_type in _RANDOM:
            training = "draws random numbers when it predicts"
        elif node.op_type == "BatchNormalization" and self._is_of_the_batch(node):
            training = "normalizes by the images of a batch, as in training"
        if training:
            raise UsageError(
                f"{self.file.path}: {training}: {self._step(node)}",
                "Export it for inference (PyTorch: model.eval()).",
            )

    def _is_of_the_batch(self, node: Any) -> bool:
        """Whether a BatchNormalization is one of training: before opset 14 it is if it gives the statistics too."""
        if self.file.opset >= 14:
            return bool(_readable(node).get("training_mode"))
        return sum(map(bool, node.output)) > 1

    def _is_constant(self, node: Any) -> bool:
        return all(name in self.values and self.values[name].numbers is not None for name in node.input if name)

    def _count(self, op: str) -> str:
        return counted(sum(_op(node) == op for node in self.file.model.graph.node), "such node")

    def _check_known(self, known: Sequence[str]) -> None:
        """Raises UsageError where there are operators that can't be converted."""
        counts = Counter(step.op for step in self.steps if step.op not in known)
        if not counts:
            return
        first = next(step for step in self.steps if step.op in counts)
        others = ", ".join(f"{op} {number}" for op, number in counts.items() if op != first.op)
        raise UsageError(
            f"{self.file.path}: an operator that can't be converted: {first} ({self._count(first.op)})"
            + (f"; also {others}" if others else ""),
            "Export the network without it: for pre- and postprocessing that is within the file, name an output before "
            "it (--output-name), or leave it out when it is exported. docs/onnx.md lists what can be converted.",
        )

    def _add(self, node: Any) -> None:
        """Finds what is known of a node's outputs, and keeps the node as a step where they depend on the image."""
        found = attributes(node)
        if node.op_type == "Constant":
            numbers = _constant(found)
            self.values[node.output[0]] = Value.of(node.output[0], (numbers, numbers))
            return
        if missing := [name for name in node.input if name and name not in self.values]:
            raise ValueError(f"takes {printable(missing[0])}, which nothing before it makes: the file is damaged")
        inputs = [self.values[name] if name else None for name in node.input]
        if self.is_single:
            inputs = _widened(node.op_type, inputs, found)
            self._take([value for value in inputs if value is not None and value is not self.values[value.name]])
        if node.op_type in ("Shape", "Size") and inputs[0] is not None:
            shapes = inputs[0].shapes
            chosen = slice(found.get("start"), found.get("end"))
            sizes = [shape[chosen] if node.op_type == "Shape" else math.prod(shape) for shape in shapes]
            self.values[node.output[0]] = Value.of(node.output[0], [np.array(size, np.int64) for size in sizes])
            return
        values = self._inferred(node, inputs)
        if all(value is None or value.numbers is not None for value in inputs):
            self._fold(node, inputs, values)
            return
        if found.get("ceil_mode") and inputs[0] is not None:
            values = [_without_windows_behind(values[0], inputs[0], found), *values[1:]]
        for value in values:
            if any(side < 0 for shape in value.shapes for side in shape):
                raise ValueError("the shape of its result depends on more than the size of the batch")
        count = max(math.prod(value.shapes[1]) for value in values)
        size = count * np.float32().nbytes
        if count > math.prod(self.image.shapes[1]) and size * MEMORY_FACTOR > host.memory():
            raise ValueError(f"its result for {BATCHES[1]} images takes {size / 2**30:.1f} GiB of memory: too much")
        self.values |= {value.name: value for value in values}
        self.steps.append(Step(_op(node), _name(node), found, tuple(inputs), tuple(values), self.file.opset))

    def _inferred(self, node: Any, inputs: Sequence[Value | None]) -> list[Value]:
        """A node's outputs with their types and shapes, -1 being a length that isn't known."""
        schema = defs.get_schema(node.op_type, self.file.opset, node.domain if node.domain != "ai.onnx" else "")
        given = {name: value for name, value in zip(node.input, inputs, strict=True) if value is not None}
        found = []
        for number in range(len(BATCHES)):
            types = {
                name: helper.make_tensor_type_proto(value.type, value.shapes[number]) for name, value in given.items()
            }
            data = {
                name: numpy_helper.from_array(value.numbers[number], name)
                for name, value in given.items()
                if value.numbers is not None and value.numbers[number].size <= _MOST_PASSED
            }
            found.append(
                shape_inference.infer_node_outputs(
                    schema, node, types, data, opset_imports=list(self.file.model.opset_import), ir_version=10
                )
            )
        names = [name for name in node.output if name]
        # Of some further outputs, which are for training, nothing is known.
        return [
            _value(name, [types[name] for types in found])
            for name in names
            if name == names[0] or all(types[name].tensor_type.HasField("shape") for types in found)
        ]

    def _fold(self, node: Any, inputs: Sequence[Value | None], values: Sequence[Value]) -> None:
        """Computes what no image changes."""
        if any(value is not None and value.type == TensorProto.STRING for value in inputs):
            raise ValueError("it computes with texts")  # by a pattern, perhaps, that never ends
        for shape in (shape for value in values for shape in value.shapes):
            if math.prod(side if side > 0 else 1 for side in shape) > _MOST_NUMBERS:
                raise ValueError(f"its result is too large to compute it before: {shape}")
        results = [_computed(node, inputs, 0, self.file.model.opset_import)]
        if all(value is None or value.constant is not None for value in inputs):
            results.append(results[0])
        else:
            results.append(_computed(node, inputs, 1, self.file.model.opset_import))
        for number, name in enumerate(name for name in node.output if name):
            self.values[name] = Value.of(name, [result[number] for result in results])
            self._take([self.values[name]])

    def _take(self, values: Sequence[Value]) -> None:
        """Counts what values take that stay. Raises ValueError where all of them together take too much."""
        arrays = {id(array): array.nbytes for value in values for array in value.numbers or ()}
        self.taken += sum(arrays.values())
        if self.taken * MEMORY_FACTOR > host.memory():
            raise ValueError(
                f"what is computed before takes {self.taken / 2**30:.1f} GiB of memory up to here: too much"
            )


# What onnx raises of a graph that is wrong, and numpy of numbers that don't fit.
_FAULTS: tuple[type[Exception], ...] = (
    checker.ValidationError,
    shape_inference.InferenceError,
    defs.SchemaError,
    ValueError,
    TypeError,
    LookupError,
    RuntimeError,
    AttributeError,
    ArithmeticError,
)


def _op(node: Any) -> str:
    """An operator's name, with its domain where that isn't ONNX's own."""
    return f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else str(node.op_type)


def _name(node: Any) -> str:
    """A node's name, or that of what it makes."""
    return str(node.name or next(iter(node.output), ""))


def _readable(node: Any) -> Mapping[str, Any]:
    """A node's attributes, or none where one is damaged."""
    try:
        return attributes(node)
    except _FAULTS:
        return {}


def _constant(found: Mapping[str, Any]) -> Array:
    if not found:
        raise ValueError("a constant without numbers")
    name, value = next(iter(found.items()))
    if name == "sparse_value":
        raise ValueError("a sparse constant")
    kinds = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    return np.asarray(value, kinds.get(name))


def _value(name: str, types: Sequence[Any]) -> Value:
    shapes = []
    for found in (kind.tensor_type for kind in types):
        if not found.HasField("shape"):
            raise ValueError("the shape of its result can't be known before it is computed")
        if any(side.dim_value < 0 for side in found.shape.dim):
            raise ValueError("its windows are larger than what they lie on: the images are too small")
        shapes.append(tuple(side.dim_value if side.HasField("dim_value") else -1 for side in found.shape.dim))
    return Value(name, types[0].tensor_type.elem_type, (shapes[0], shapes[1]))


def _without_windows_behind(pooled: Value, image: Value, found: Mapping[str, Any]) -> Value:
    """What a pool makes where no window begins behind the image's end: onnxruntime leaves those out, as opset 19 says;
    onnx's inference of shapes counts them.
    """
    count = image.rank - 2
    strides, begins = found.get("strides", [1] * count), found.get("pads", [0] * 2 * count)[:count]
    sides = [
        windows - ((windows - 1) * stride >= length + begin)
        for windows, stride, length, begin in zip(
            pooled.shapes[0][2:], strides, image.shapes[0][2:], begins, strict=True
        )
    ]
    first, second = ((*shape[:2], *sides) for shape in pooled.shapes)
    return replace(pooled, shapes=(first, second))


def _computed(node: Any, inputs: Sequence[Value | None], number: int, opsets: Any) -> list[Array]:
    """A node's outputs by ONNX's own reference implementation, by onnxruntime where that lacks the operator."""
    given = {
        name: value.numbers[number]
        for name, value in zip(node.input, inputs, strict=True)
        if value is not None and value.numbers is not None
    }
    names = [name for name in node.output if name]
    model = model_of(node, given, opsets)
    try:
        return [np.asarray(result) for result in ReferenceEvaluator(model).run(names, given)]
    except RuntimeError as error:
        try:
            return Session(model.SerializeToString()).run(names, given)
        except Exception:  # noqa: BLE001  # onnxruntime has no class that all of its errors are
            raise error from None


# ---- files that take one image at a time ----


def _widened(op: str, inputs: list[Value | None], found: Mapping[str, Any]) -> list[Value | None]:
    """The inputs of an operator with the size of the batch where a file for single images has a 1: the first number of
    what Reshape and Resize make, and constants that are joined to what is computed, as a class token is.
    """
    first = inputs[0]
    if op == "Reshape" and first is not None and first.numbers is None and len(inputs) > 1:
        target = inputs[1]
        is_batch_first = first.rank > 0 and not first.is_fixed(0)
        if target is not None and target.constant is not None and is_batch_first and target.constant[0] > 0:
            inputs[1] = Value.of(target.name, [_times(target.constant, size) for size in BATCHES])
    sizes = inputs[3] if op == "Resize" and len(inputs) > 3 else None
    if first is not None and sizes is not None and sizes.constant is not None and len(sizes.constant) == first.rank:
        inputs[3] = Value.of(sizes.name, [_times(sizes.constant, size) for size in BATCHES])
    if op == "Concat" and found.get("axis", 0) != 0 and any(value and value.numbers is None for value in inputs):
        return [
            value
            if value is None or value.constant is None or value.shapes[0][0] != 1
            else Value.of(value.name, [np.repeat(value.constant, size, axis=0) for size in BATCHES])
            for value in inputs
        ]
    return inputs


def _times(target: Array, size: int) -> Array:
    return np.array([target[0] * size, *target[1:]], target.dtype)
