"""What a network's graph says, read from its JSON alone: operators, the variables that only training needs, and what
its output means.

Knows no MXNet: it takes the JSON that a loaded symbol writes, in which operators have one name each, and the shapes
that MXNet infers.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Literal

Shape = tuple[int, ...]
Output = tuple[int, int]  # (node, which of its outputs)
# What an operator makes of its input, as far as it says what the numbers mean. `log_softmax` are logits too: their
# softmax is the probabilities.
Family = Literal["softmax", "log_softmax", "sigmoid", "linear"]
# What a graph of several outputs, or one that goes on behind the chosen one, does with its numbers.
Use = Literal["softmax", "sigmoid", "other"]

# Layers that end a graph for training. Their second input is the truth, of which prediction has none.
LOSSES = ("SoftmaxOutput", "LogisticRegressionOutput", "LinearRegressionOutput", "MAERegressionOutput", "SVMOutput")
_FAMILIES: Mapping[str, Family] = {
    "softmax": "softmax",
    "SoftmaxOutput": "softmax",
    "SoftmaxActivation": "softmax",
    "log_softmax": "log_softmax",
    "sigmoid": "sigmoid",
    "_npx_sigmoid": "sigmoid",
    "LogisticRegressionOutput": "sigmoid",
    "FullyConnected": "linear",
    "Convolution": "linear",
    "dot": "linear",
    "_np_dot": "linear",
    "_npi_matmul": "linear",
    "_linalg_gemm2": "linear",
}
# Operators that leave the numbers, and their order in memory, as they are; dropout does so outside of training,
# and one that doesn't is refused.
_PASS_THROUGH = (
    *("_copy", "_np_copy", "BlockGrad", "Dropout", "Flatten"),
    *("Reshape", "_np_reshape", "_npx_reshape", "squeeze", "_np_squeeze", "expand_dims"),
)
_CASTS = ("Cast", "amp_cast")
# Operators with one number by which graphs scale their input: of what they make of x, and of that number.
SCALINGS: Mapping[str, Callable[[float, float], float]] = {
    "_plus_scalar": lambda x, number: x + number,
    "_minus_scalar": lambda x, number: x - number,
    "_rminus_scalar": lambda x, number: number - x,
    "_mul_scalar": lambda x, number: x * number,
    "_div_scalar": lambda x, number: x / number,
}
# Operators, beside those of a family, that prove of their input what it is.
_USES: Mapping[str, Use] = {"softmax_cross_entropy": "softmax"}
_TRANSPOSES = ("transpose", "_np_transpose", "SwapAxis")
_SUMS = ("elemwise_add", "broadcast_add", "_npi_add")
# What MXNet's oneDNN backend computes in one with an operator before it. It does so too where that has other readers,
# which then, or instead of them the last one, read the wrong numbers; or it fails.
_FUSED_FUNCTIONS = ("Activation", "_npx_relu", "LeakyReLU", "abs", "clip", "exp", "sqrt", "square")
_FUSED: Mapping[str, Sequence[str]] = {
    "FullyConnected": _FUSED_FUNCTIONS,
    "Convolution": ("BatchNorm", *_SUMS, *_FUSED_FUNCTIONS),
    "BatchNorm": (*_SUMS, *_FUSED_FUNCTIONS),
    **dict.fromkeys(_SUMS, _FUSED_FUNCTIONS),
}
# Operators that draw numbers in prediction too, by MXNet's first names for them and their others. `_random_pdf_…` are
# densities.
_RANDOM = re.compile(
    r"_?(random|sample)_(?!pdf_)\w+|(_image|_npx__image)_random_\w+|(_|_npi_)?shuffle|uniform|normal|_npi_(random_randint|bernoulli|choice|"
    r"exponential|gamma|gumbel|logistic|multinomial|normal|normal_n|pareto|rayleigh|uniform|uniform_n|weibull)"
)
# Clipping from this far below 1 and above 0 changes probabilities no more than rounding does.
_CLIPPED = 1e-3


@dataclass(frozen=True)
class Node:
    """An operator, or with the operator `null` a variable."""

    op: str
    name: str
    inputs: tuple[Output, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    subgraphs: tuple[Any, ...] = ()  # JSON of what a loop or a condition repeats or chooses

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "Node":
        """A node of the JSON that MXNet's symbol writes."""
        inputs = tuple((source, output) for source, output, *_ in data["inputs"])
        return cls(data["op"], data["name"], inputs, data.get("attrs") or {}, tuple(data.get("subgraphs", ())))

    @property
    def is_random(self) -> bool:
        """Whether it, or what is within it, draws numbers in prediction too."""
        if self.op in ("Dropout", "_npx_dropout"):
            return self.attribute("mode") == "always" and float(self.attribute("p", "0.5")) > 0
        within = (node for graph in self.subgraphs for node in graph["nodes"])
        return bool(_RANDOM.fullmatch(self.op)) or any(Node.read(node).is_random for node in within)

    def attribute(self, name: str, default: str = "") -> str:
        return self.attributes.get(name, default)

    def is_true(self, name: str, default: str = "False") -> bool:
        return self.attribute(name, default) in ("True", "1", "true")

    def numbers(self, name: str, default: str = "()") -> tuple[int, ...]:
        """An attribute such as `(3, 3)` or `[3, 3]`."""
        return tuple(map(int, re.findall(r"-?[0-9]+", self.attribute(name, default))))  # Python 2 wrote (3L, 3L)

    def with_attributes(self, **attributes: str) -> "Node":
        return replace(self, attributes={**self.attributes, **attributes})


@dataclass(frozen=True)
class Outcome:
    """How a graph ends: its last operators, the last one first, and what they prove of the output's numbers."""

    operators: tuple[str, ...]
    family: Family | None
    use: Use | None = None  # what the rest of the graph does with the numbers, if it does anything
    readers: tuple[str, ...] = ()  # the operators by which it does that

    def __str__(self) -> str:
        return " of ".join(self.operators) or "its input"


@dataclass(frozen=True)
class Graph:
    """The nodes of a symbol, each after its inputs."""

    nodes: tuple[Node, ...]
    head: int  # of the output whose meaning is looked for
    others: tuple[int, ...] = ()  # of further outputs

    @classmethod
    def read(cls, text: str) -> "Graph":
        """The graph in the JSON that MXNet's symbol writes (`tojson`)."""
        data = json.loads(text)
        head, *others = (number for number, *_ in data["heads"])
        return cls(tuple(map(Node.read, data["nodes"])), head, tuple(others))

    @property
    def operators(self) -> Mapping[str, int]:
        """Operator to how often it occurs, the most frequent first."""
        counts = Counter(node.op for node in self.nodes if node.op != "null")
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    @property
    def truths(self) -> frozenset[str]:
        """The variables that only the second input of a loss layer needs, whatever their names: labels of training."""
        needed, pending = set(), [self.head, *self.others]
        while pending:
            if (number := pending.pop()) not in needed:
                needed.add(number)
                node = self.nodes[number]
                pending += [source for source, _ in (node.inputs[:1] if node.op in LOSSES else node.inputs)]
        return frozenset(
            node.name for number, node in enumerate(self.nodes) if node.op == "null" and number not in needed
        )

    @property
    def random(self) -> tuple[Node, ...]:
        """The operators that make each prediction another."""
        return tuple(node for node in self.nodes if node.is_random)

    def scaling(self, name: str) -> Iterator[Node]:
        """The operators that scale the input `name` before anything else is made of it, in their order."""
        number = next(number for number, node in enumerate(self.nodes) if node.name == name)
        while True:
            readers = list(self._read_by(number))
            if len(readers) != 1:
                return
            number, node = readers[0]
            if node.op in (*SCALINGS, "BatchNorm"):
                yield node
            elif node.op not in (*_PASS_THROUGH, *_CASTS, *_TRANSPOSES):
                return

    @property
    def is_bfloat16(self) -> bool:
        """Whether any of it computes in bfloat16."""
        return any(node.op == "amp_cast" and node.attributes.get("dtype") == "bfloat16" for node in self.nodes)

    def has_attribute(self, name: str, value: str) -> bool:
        """Whether any operator has it."""
        return any(node.attributes.get(name) == value for node in self.nodes)

    def ending(self, shapes: Mapping[str, Shape]) -> Outcome:
        """What the output's numbers are, seen through operators that pass them on; `shapes` are by output's name."""
        last = self.nodes[self.head]
        classes = _classes(shapes.get(f"{last.name}_output", ()))
        chain = list(self._chain(shapes))
        operators = [node.op for node in chain]
        family = _family(chain[-1], shapes.get(f"{chain[-1].name}_output", ()), classes) if chain else None
        # A clip changes scores, and a sum probabilities; a product of two computed arrays is no layer, and one of
        # probabilities may be probabilities again.
        if family == "linear":
            is_proved = (
                "clip" not in operators
                and self._has_own_weights(chain[-1])
                and not self._is_of_probabilities(chain[-1], shapes)
            )
        else:
            is_proved = not set(_SUMS) & set(operators) and not (family == "log_softmax" and "clip" in operators)
        if family is None or not is_proved:
            before = chain[-1].inputs[:1] if chain else ()
            return Outcome((*operators, *(op for source, _ in before if (op := self.nodes[source].op) != "null")), None)
        return Outcome(tuple(operators), family)

    def use(self, name: str, shapes: Mapping[str, Shape]) -> tuple[Use | None, tuple[str, ...]]:
        """What the graph does with the output of the operator `name`, and by which operators; None if it ends there."""
        number = next(number for number, node in enumerate(self.nodes) if node.name == name and node.op != "null")
        classes = _classes(shapes.get(f"{name}_output", ()))
        found = [(node.op, self._use(node, shapes, classes)) for node in self._readers(number, shapes)]
        uses = {use for _, use in found}
        return (uses.pop() if len(uses) == 1 else "other" if uses else None), tuple(
            dict.fromkeys(op for op, _ in found)
        )

    def _readers(self, number: int, shapes: Mapping[str, Shape]) -> Iterator[Node]:
        """The operators that do something with a node's numbers, seen through those that pass them on."""
        for other, node in self._read_by(number):
            if node.op not in (*_SUMS, "clip") and self._passed_on(node, shapes) == number:
                yield from self._readers(other, shapes)
            else:
                yield node

    def _read_by(self, number: int) -> Iterator[tuple[int, Node]]:
        """The nodes that take an output of a node, with their numbers."""
        for other, node in enumerate(self.nodes):
            if any(source == number for source, _ in node.inputs):
                yield other, node

    def _use(self, node: Node, shapes: Mapping[str, Shape], classes: int | None) -> Use:
        family = _family(node, shapes.get(f"{node.name}_output", ()), classes)
        if family in ("softmax", "log_softmax"):
            return "softmax"
        return "sigmoid" if family == "sigmoid" else _USES.get(node.op, "other")

    def _is_of_probabilities(self, node: Node, shapes: Mapping[str, Shape]) -> bool:
        """Whether what an operator takes is the output of a softmax, over whatever axis, or of a sigmoid."""
        number: int | None = node.inputs[0][0]
        while number is not None:
            before = self.nodes[number]
            if _FAMILIES.get(before.op) in ("softmax", "sigmoid") or before.attributes.get("act_type") == "sigmoid":
                return True
            number = self._passed_on(before, shapes)
        return False

    def _has_own_weights(self, node: Node) -> bool:
        """Whether a linear operator multiplies with parameters as they are."""
        weights = self.nodes[node.inputs[1][0]]
        while weights.op in (*_PASS_THROUGH, *_CASTS, *_TRANSPOSES):
            weights = self.nodes[weights.inputs[0][0]]
        return weights.op == "null"

    def _chain(self, shapes: Mapping[str, Shape]) -> Iterator[Node]:
        """The last operator, and what is before it as long as each passes its numbers on."""
        number: int | None = self.head
        while number is not None and self.nodes[number].op != "null":
            node = self.nodes[number]
            yield node
            number = self._passed_on(node, shapes)

    def _passed_on(self, node: Node, shapes: Mapping[str, Shape]) -> int | None:
        """The node of which `node` passes the numbers on, None where it makes numbers of its own."""
        before = node.inputs[0][0] if node.inputs else None
        if node.op in _SUMS:  # with a parameter: the bias of a layer before it
            summands = [source for source, _ in node.inputs if self.nodes[source].op != "null"]
            return summands[0] if len(summands) == 1 and len(node.inputs) == 2 else None
        if node.op in _PASS_THROUGH or (node.op in _CASTS and "float" in node.attributes.get("dtype", "")):
            return before
        if node.op == "clip" and _clips_little(node):
            return before
        if (
            node.op in _TRANSPOSES
            and before is not None
            and _keeps_order(node, shapes.get(f"{self.nodes[before].name}_output", ()))
        ):
            return before
        return None


def unshared(text: str) -> str:
    """A symbol's JSON with a BlockGrad between outputs of several readers and what MXNet would fuse with them."""
    graph = json.loads(text)
    nodes = graph["nodes"]
    readers = Counter(source for node in nodes for source, *_ in node["inputs"])
    if len(graph["heads"]) > 1:  # what is an output too is read by whoever takes it
        readers.update(source for source, *_ in graph["heads"])
    kept: list[dict[str, Any]] = []
    moved: list[int] = []  # where each node is now
    for node in nodes:
        inputs = []
        for place, (source, output, *rest) in enumerate(node["inputs"]):
            if _is_fused_though_shared(node["op"], source, nodes, readers):
                kept.append(
                    {
                        "op": "BlockGrad",
                        "name": f"mxspark_unshared_{node['name']}_{place}",
                        "inputs": [[moved[source], output, 0]],
                    }
                )
                inputs.append([len(kept) - 1, 0, 0])
            else:
                inputs.append([moved[source], output, *rest])
        kept.append({**node, "inputs": inputs})
        moved.append(len(kept) - 1)
    del graph["node_row_ptr"]
    heads = [[moved[source], *rest] for source, *rest in graph["heads"]]
    return json.dumps(
        {**graph, "nodes": kept, "heads": heads, "arg_nodes": [moved[number] for number in graph["arg_nodes"]]}
    )


def _is_fused_though_shared(
    op: str, source: int, nodes: Sequence[Mapping[str, Any]], readers: Mapping[int, int]
) -> bool:
    """Whether MXNet, which leaves copies out, would fuse an operator with its input though others read that too."""
    is_shared = readers[source] > 1
    while nodes[source]["op"] in ("_copy", "Dropout"):
        source = nodes[source]["inputs"][0][0]
        is_shared = is_shared or readers[source] > 1
    return is_shared and op in _FUSED.get(nodes[source]["op"], ())


def _classes(shape: Shape) -> int | None:
    """C of (N, C) or (N, C, 1, 1), None for any other shape."""
    return shape[1] if len(shape) == 2 or (len(shape) == 4 and shape[2:] == (1, 1)) else None


def _family(node: Node, shape: Shape, classes: int | None) -> Family | None:
    """What an operator proves of its output, which has `shape`. Nothing where that has other axes than the classes', as
    a map of many places has, or a softmax is over another one."""
    if classes is None or not shape or prod(shape[1:]) != classes or max(shape[1:], default=1) != classes:
        return None
    if node.op == "Activation":
        return "sigmoid" if node.attributes.get("act_type") == "sigmoid" else None
    family = _FAMILIES.get(node.op)
    if family in ("softmax", "log_softmax") and not _is_over_classes(node, shape, classes):
        return None
    return family


def _is_over_classes(node: Node, shape: Shape, classes: int) -> bool:
    if node.is_true("use_length"):
        return False
    if node.op == "softmax" or node.op == "log_softmax":
        axis = int(node.attributes.get("axis", -1))
    elif node.op == "SoftmaxActivation":
        axis = 1  # mode channel; mode instance is over all of an image, which has to be the classes alone
    else:
        axis = -1 if node.is_true("preserve_shape") else 1
    if not -len(shape) <= axis < len(shape):
        return False
    return axis % len(shape) != 0 and shape[axis] == classes


def _clips_little(node: Node) -> bool:
    return float(node.attributes["a_min"]) <= _CLIPPED and float(node.attributes["a_max"]) >= 1 - _CLIPPED


def _keeps_order(node: Node, shape: Shape) -> bool:
    """Whether a transpose of an array of this shape moves axes of length 1 only."""
    axes = list(range(len(shape)))
    if node.op == "SwapAxis":
        first, second = int(node.attributes.get("dim1", 0)), int(node.attributes.get("dim2", 0))
        if not axes or max(first, second) >= len(axes):
            return False
        axes[first], axes[second] = axes[second], axes[first]
    else:
        axes = list(node.numbers("axes")) or axes[::-1]
    long = [axis for axis in axes if axis < len(shape) and shape[axis] > 1]
    return bool(shape) and long == sorted(long)
