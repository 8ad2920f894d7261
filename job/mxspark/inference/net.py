"""A network as data: the nodes of its graph, as MXNet's JSON has them, and its parameters as NumPy arrays.

Graph passes (passes.py) make one Net of another. Knows no MXNet.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxspark.inference.graph import Node, Output, unshared

Array = NDArray[Any]
VARIABLE = "null"


@dataclass(frozen=True)
class Net:
    """A graph, each node after its inputs, with the values of its parameters; of one output."""

    nodes: tuple[Node, ...]
    head: Output
    arguments: Mapping[str, Array]
    states: Mapping[str, Array]  # auxiliary ones, such as a batch normalization's mean
    about: Mapping[str, Any]  # the graph's own attributes: MXNet's version

    @classmethod
    def read(cls, text: str, arguments: Mapping[str, Array], states: Mapping[str, Array]) -> "Net":
        """From the JSON that MXNet's symbol writes."""
        graph = json.loads(text)
        source, output, *_ = graph["heads"][0]
        return cls(tuple(map(Node.read, graph["nodes"])), (source, output), arguments, states, graph.get("attrs", {}))

    def to_json(self) -> str:
        """As MXNet reads it, with what keeps it from fusing operators that several others read."""
        nodes: list[dict[str, Any]] = []
        for node in self.nodes:
            data: dict[str, Any] = {"op": node.op, "name": node.name}
            if node.attributes:
                data["attrs"] = dict(node.attributes)
            if node.subgraphs:
                data["subgraphs"] = list(node.subgraphs)
            nodes.append({**data, "inputs": [[source, output, 0] for source, output in node.inputs]})
        variables = [number for number, node in enumerate(self.nodes) if node.op == VARIABLE]
        graph = {"nodes": nodes, "arg_nodes": variables, "heads": [[*self.head, 0]], "attrs": dict(self.about)}
        return unshared(json.dumps({**graph, "node_row_ptr": []}))

    @property
    def readers(self) -> Mapping[int, int]:
        """How many inputs read each node; the graph's end counts as one."""
        return Counter([self.head[0], *(source for node in self.nodes for source, _ in node.inputs)])

    def parameter(self, node: Node, place: int) -> str | None:
        """The name of the parameter that a node takes at a place, None where that is something computed."""
        if place >= len(node.inputs):
            return None
        source = self.nodes[node.inputs[place][0]]
        return source.name if source.op == VARIABLE and source.name in {*self.arguments, *self.states} else None

    def without(self, passed_on: Mapping[int, Output]) -> "Net":
        """The net whose readers of these nodes read other outputs instead; what nobody reads is left out."""

        def followed(output: Output) -> Output:
            while output[0] in passed_on:
                output = passed_on[output[0]]
            return output

        nodes = tuple(replace(node, inputs=tuple(map(followed, node.inputs))) for node in self.nodes)
        return replace(self, nodes=nodes, head=followed(self.head)).tidy()

    def tidy(self) -> "Net":
        """Only what leads to the output, each node after its inputs, and its parameters."""
        order: list[int] = []
        seen: set[int] = set()
        pending = [(self.head[0], False)]
        while pending:
            number, is_done = pending.pop()
            if is_done:
                order.append(number)
            elif number not in seen:
                seen.add(number)
                pending.append((number, True))
                pending += [(source, False) for source, _ in reversed(self.nodes[number].inputs)]
        moved = {number: place for place, number in enumerate(order)}
        nodes = tuple(
            replace(node, inputs=tuple((moved[source], output) for source, output in node.inputs))
            for node in map(self.nodes.__getitem__, order)
        )
        names = {node.name for node in nodes if node.op == VARIABLE}
        return replace(
            self,
            nodes=nodes,
            head=(moved[self.head[0]], self.head[1]),
            arguments=_of(self.arguments, names),
            states=_of(self.states, names),
        )

    def free_name(self, wanted: str) -> str:
        """`wanted`, or like it where that is taken."""
        taken = {node.name for node in self.nodes}
        while wanted in taken:
            wanted = f"mxspark_{wanted}"
        return wanted


def _of(arrays: Mapping[str, Array], names: set[str]) -> dict[str, Array]:
    return {name: array for name, array in arrays.items() if name in names}


def float32(array: Array) -> Array:
    return np.ascontiguousarray(array, np.float32)
