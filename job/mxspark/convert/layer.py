"""One operator while it is converted: what it reads, as MXNet's symbols or as numbers, and the graph that it becomes a
part of.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mxspark.convert.errors import UnsupportedError
from mxspark.convert.onnx_file import Array
from mxspark.convert.trace import BATCHES, Shape, Step, Value

Symbol = Any
Shapes = tuple[Shape, Shape]  # for both sizes of the batch

INPUT = "data"  # the name of the image in the converted graph


@dataclass
class Network:
    """The converted graph as far as it is built."""

    sym: Any  # mxnet.sym
    data: Symbol  # the images
    symbols: dict[str, Symbol] = field(default_factory=dict)  # by ONNX's name
    parameters: dict[str, Array] = field(default_factory=dict)  # by MXNet's name
    # What an operator after it may take instead of a value: what that was before it was padded with zeros, and before
    # its axes were moved.
    padded: dict[str, tuple[Value, tuple[int, int, int, int]]] = field(default_factory=dict)
    transposed: dict[str, tuple[Value, tuple[int, ...]]] = field(default_factory=dict)
    names: set[str] = field(default_factory=lambda: {INPUT})
    taken: Counter[str] = field(default_factory=Counter)  # the last number behind each name

    def unique(self, name: str) -> str:
        """A name for ONNX's, which MXNet takes (it can't read its own JSON of other letters) and nothing else has."""
        plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "value"
        found = plain
        while found in self.names:
            self.taken[plain] += 1
            found = f"{plain}_{self.taken[plain]}"
        self.names.add(found)
        return found

    def parameter(self, name: str, numbers: Array, shape: Shape | None = None, *, dtype: str | None = None) -> Symbol:
        """A variable with these numbers as float32; `dtype` is for operators from which MXNet can't infer it."""
        unique = self.unique(name)
        array = np.ascontiguousarray(numbers, np.float32).reshape(shape or numbers.shape or (1,))
        self.parameters[unique] = array
        return self.sym.var(unique, shape=array.shape, dtype=dtype)

    def symbol(self, value: Value) -> Symbol:
        """What a value is in the graph. Raises UnsupportedError where its numbers depend on the size of the batch."""
        if value.name not in self.symbols:
            if value.numbers is None:
                raise UnsupportedError(f"it takes {value.name!r}, a result that has no counterpart")
            if value.constant is not None:
                self.symbols[value.name] = self.parameter(value.name, value.constant)
            else:
                self.symbols[value.name] = self._repeated(value)
        return self.symbols[value.name]

    def _repeated(self, value: Value) -> Symbol:
        """What is the same for each image of the batch, such as a class token."""
        rows = [array[:1] for array in value.numbers or ()]
        if (
            not rows
            or not np.array_equal(rows[0], rows[1])
            or any(len(array) != size for array, size in zip(value.numbers or (), BATCHES, strict=True))
            or any((array != row).any() for array, row in zip(value.numbers or (), rows, strict=True))
        ):
            raise UnsupportedError("it takes numbers that depend on the size of the batch")
        data = self.sym.cast(self.data, dtype="float32")
        one = self.sym.slice_axis(self.sym.reshape(data, shape=(0, -1)), axis=1, begin=0, end=1)
        zeros = self.sym.reshape(self.sym.zeros_like(one), shape=(0,) + (1,) * (value.rank - 1))
        return self.sym.broadcast_add(zeros, self.parameter(value.name, rows[0]))


@dataclass(frozen=True)
class Layer:
    """An operator and its place in the converted graph."""

    step: Step
    network: Network

    @property
    def sym(self) -> Any:
        return self.network.sym

    @property
    def opset(self) -> int:
        return self.step.opset

    @property
    def output(self) -> Value:
        return self.step.outputs[0]

    @property
    def inputs(self) -> tuple[Value, ...]:
        """Those that are there."""
        return tuple(value for value in self.step.inputs if value is not None)

    def value(self, number: int) -> Value:
        """An input. Raises UnsupportedError where it isn't there."""
        found = self.optional(number)
        if found is None:
            raise UnsupportedError(f"it lacks its input {number}")
        return found

    def optional(self, number: int) -> Value | None:
        return self.step.inputs[number] if number < len(self.step.inputs) else None

    def x(self, number: int = 0) -> Symbol:
        """An input's symbol."""
        return self.network.symbol(self.value(number))

    def attribute(self, name: str, default: Any = None) -> Any:
        return self.step.attributes.get(name, default)

    def numbers(self, number: int, what: str = "") -> Array:
        """An input's numbers. Raises UnsupportedError where they depend on the image or on the batch."""
        found = self.value(number).constant
        if found is None:
            raise UnsupportedError(f"{what or f'its input {number}'} must be the same for every image")
        return found

    def setting(self, name: str, number: int, default: Any = None) -> Any:
        """What is an attribute in older opsets and an input in newer ones, as numbers of Python's."""
        if name in self.step.attributes:
            return self.step.attributes[name]
        return default if self.optional(number) is None else self.numbers(number, name).tolist()

    def parameter(self, name: str, numbers: Array, shape: Shape | None = None, *, dtype: str | None = None) -> Symbol:
        """A variable that belongs to this operator alone."""
        return self.network.parameter(f"{self.output.name}_{name}", numbers, shape, dtype=dtype)

    def axis(self, axis: int, rank: int | None = None) -> int:
        return axis % (rank if rank is not None else self.value(0).rank)

    def aligned(self) -> list[Symbol]:
        """The inputs with as many axes each, as MXNet's broadcasting wants them; those that lack get them in front."""
        rank = max(1, *(value.rank for value in self.inputs))
        found = []
        for value in self.inputs:
            ones = (1,) * (rank - value.rank)
            if value.constant is not None and ones:
                found.append(self.parameter("constant", value.constant, ones + value.constant.shape))
            else:
                shapes = (ones + value.shapes[0], ones + value.shapes[1])
                found.append(self.reshaped(self.network.symbol(value), value.shapes, shapes))
        return found

    def reshaped(self, symbol: Symbol, before: Shapes, after: Shapes) -> Symbol:
        """A symbol of other shapes. Raises UnsupportedError where the batch would decide more than one length."""
        before, after = _with_axes(before), _with_axes(after)
        if before == after:
            return symbol
        target = [
            first if first == second else 0 if axis < len(before[0]) and _same(before, after, axis) else -1
            for axis, (first, second) in enumerate(zip(*after, strict=True))
        ]
        if target.count(-1) > 1:
            raise UnsupportedError("several lengths of its result depend on the size of the batch")
        return self.sym.reshape(symbol, shape=tuple(target))


def _with_axes(shapes: Shapes) -> Shapes:
    """A number without axes has one in MXNet."""
    return shapes[0] or (1,), shapes[1] or (1,)


def _same(before: Shapes, after: Shapes, axis: int) -> bool:
    return all(old[axis] == new[axis] for old, new in zip(before, after, strict=True))
