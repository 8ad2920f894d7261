"""What a network's output means: class probabilities, logits, or independent probabilities.

It is found where the graph proves it, and asked for where it doesn't.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mxspark.errors import UsageError
from mxspark.inference.graph import Family, Outcome, Shape, Use
from mxspark.settings.model_spec import Kind, ModelOutput

# How far rounding takes the sum of float16 probabilities from 1 (half a unit in the last place is 2^-11 of each), and
# some more.
TOLERANCE = 2e-3

LONGEST_VECTOR = 65_536  # numbers

_KINDS = (
    "Say what they are, output.kind in model.yaml (--kind, or the setting model.output_kind): softmax "
    "(probabilities of classes that exclude each other), logits (a softmax is added), sigmoid (independent "
    "probabilities), or vector (an embedding or features, which stay as they are)."
)
_WRONG = "Correct output.kind, or leave it out."
_PROVED: dict[Family, Kind] = {"softmax": "softmax", "log_softmax": "logits", "sigmoid": "sigmoid"}
# By what the graph does with a linear layer that is not its end: the kind, and the operator to add.
_USED: dict[Use | None, tuple[Kind, str]] = {"softmax": ("logits", "softmax"), "sigmoid": ("sigmoid", "sigmoid")}


class MeaningError(UsageError):
    """What an output means isn't known, or isn't what output.kind declares; names no file."""


@dataclass(frozen=True)
class Meaning:
    """What the numbers of an output are; `adds` is the operator to add that makes them probabilities."""

    kind: Kind
    why: str
    adds: str | None = None

    @property
    def sums_to_one(self) -> bool:
        return self.kind not in ("sigmoid", "vector")


def find(output: ModelOutput, shape: Shape, ending: Outcome, labels: int) -> Meaning:
    """What an output of `shape` (N, C) or (N, C, 1, 1) means, of a graph that ends so, where there are so many labels.

    Raises MeaningError where that isn't known, or the graph contradicts `output`.
    """
    if output.kind == "vector":
        if output.threshold is not None:
            raise MeaningError(
                "output.threshold goes with output.kind sigmoid, but that is vector", "Remove output.threshold."
            )
        check_vector(shape, f"the output ends in {ending}, and")
        return Meaning("vector", f"output.kind is vector, and the graph ends in {ending}")
    if (len(shape) != 2 and not (len(shape) == 4 and shape[2:] == (1, 1))) or 0 in shape[1:]:
        raise MeaningError(
            f"the output has the shape {shape_text(shape)} and ends in {ending}: that is not one number for each class",
            "A classifier has an output (N, classes). If the graph has such an output too, name it: output.name. For "
            "one vector an image, say output.kind: vector.",
        )
    meaning = _stated(output.kind, ending) if output.kind else _proved(shape, ending, labels)
    if meaning.sums_to_one and shape[1] == 1:
        raise MeaningError(
            f"the output has one unit, and output.kind is {meaning.kind}: a softmax over one class is 1.0 for every "
            "image",
            "If the unit is the probability of one class, say output.kind: sigmoid.",
        )
    if output.threshold is not None and meaning.kind != "sigmoid":
        raise MeaningError(
            f"output.threshold goes with output.kind sigmoid, but that is {meaning.kind}", "Remove output.threshold."
        )
    return meaning


def check_vector(shape: Shape, what: str) -> None:
    """Raises MeaningError where `shape` (N, …) is not one vector an image; axes of length 1 don't count."""
    lengths = [length for length in shape[1:] if length != 1]
    if len(lengths) > 1 or 0 in lengths:
        raise MeaningError(
            f"{what} has the shape {shape_text(shape)}: that is not one vector an image",
            "Take a layer behind pooling or a flatten: `mxspark model inspect --layers` lists them.",
        )
    if max(lengths, default=1) > LONGEST_VECTOR:
        raise MeaningError(
            f"{what} has the shape {shape_text(shape)}, longer than the {LONGEST_VECTOR:,} numbers of a vector",
            "Take a layer behind pooling: `mxspark model inspect --layers` lists them.",
        )


def _proved(shape: Shape, ending: Outcome, labels: int) -> Meaning:
    if ending.family in _PROVED:
        kind = _PROVED[ending.family]
        return Meaning(kind, f"the graph ends in {ending}", "softmax" if kind == "logits" else None)
    doubt = ""
    if ending.family == "linear":
        readers = ", ".join(ending.readers)
        if ending.use in _USED:
            kind, adds = _USED[ending.use]
            return Meaning(kind, f"the graph passes the output of {ending} on to {readers}", adds)
        if labels and ending.use is None:
            return Meaning("logits", f"the graph ends in {ending}, and has a label for each unit", "softmax")
        doubt = (
            f", which the graph passes on to {readers}"
            if readers
            else ", and there are no labels, so it may be a classifier or not"
        )
    raise MeaningError(
        f"the output has the shape {shape_text(shape)} and ends in {ending}{doubt}: what its numbers mean is not known",
        _KINDS,
    )


def _stated(kind: Kind, ending: Outcome) -> Meaning:
    said = f"output.kind is {kind}"
    if kind == "sigmoid" and ending.family == "linear":
        return Meaning(kind, f"{said}, and the graph ends in {ending}", "sigmoid")
    if ending.family is not None and _PROVED.get(ending.family, "logits") != kind:
        raise MeaningError(
            f"{said}, but the graph ends in {ending}, whose numbers are {_AS_WORDS[ending.family]}", _WRONG
        )
    why = f"{said}, and the graph ends in {ending}" if ending.family else said
    return Meaning(kind, why, "softmax" if kind == "logits" else None)


_AS_WORDS: dict[Family, str] = {
    "softmax": "probabilities already (softmax)",
    "log_softmax": "logarithms of probabilities (logits)",
    "sigmoid": "independent probabilities already (sigmoid)",
    "linear": "not probabilities (logits)",
}


def shape_text(shape: Shape) -> str:
    """A shape of an output, whose first axis is the images."""
    return f"({', '.join(['N', *map(str, shape[1:])])})"


def trouble(values: NDArray[np.float32], sums_to_one: bool) -> str:
    """Why finite `values` (classes,) are not probabilities, in words; empty where they are."""
    lowest, highest, total = float(values.min()), float(values.max()), float(values.sum(dtype=np.float64))
    if lowest < -TOLERANCE or highest > 1 + TOLERANCE:
        return f"its numbers go from {lowest:.4g} to {highest:.4g}, and probabilities are 0 to 1"
    if sums_to_one and abs(total - 1) > TOLERANCE:
        return f"its numbers sum to {total:.4g}, and the probabilities of classes that exclude each other sum to 1"
    return ""
