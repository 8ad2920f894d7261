"""How a graph scales its input before its first layer, which a preset must not have done already."""

import math

from mxspark.errors import UsageError
from mxspark.inference.checkpoint import Checkpoint
from mxspark.inference.graph import SCALINGS, Node
from mxspark.settings.model_spec import ModelSpec
from mxspark.text.words import listed

# Numbers in so narrow a range are no images any more: they were scaled twice.
_NARROW = 0.25
_EPSILON = 1e-5  # about what BatchNorm adds to variances


def check(model: Checkpoint, spec: ModelSpec, file: str) -> tuple[str, ...]:
    """The operators by which the graph in `file` scales its input, in their order.

    Raises UsageError where the preset in `spec` scales pixels that the graph scales too.
    """
    nodes = list(model.graph.scaling(model.input_name))
    steps = spec.preprocess
    given = [(pixel * steps.scale - steps.mean[0]) / steps.std[0] for pixel in (0.0, 255.0)]
    made = [_scaled(number, nodes, model) for number in given]
    if spec.preset and nodes and given != [0, 255] and abs(made[1] - made[0]) < _NARROW:
        raise UsageError(
            f"{file}: the graph scales its input itself ({listed([f'{node.op} {node.name}' for node in nodes])}), and "
            f"would make {made[0]:.3g} to {made[1]:.3g} of the {given[0]:.3g} to {given[1]:.3g} that preset "
            f"{spec.preset} gives",
            "It wants pixels of 0 to 255: take the preset raw.",
        )
    return tuple(node.op for node in nodes)


def _scaled(number: float, nodes: list[Node], model: Checkpoint) -> float:
    """What such operators make of a number in the first channel."""
    for node in nodes:
        if node.op in SCALINGS:
            number = SCALINGS[node.op](number, float(node.attributes["scalar"]))
        else:
            states = (model.states[model.graph.nodes[source].name] for source, _ in node.inputs[3:5])
            mean, variance = (float(state.asnumpy()[0]) for state in states)
            number = (number - mean) / math.sqrt(variance + _EPSILON)
    return number
