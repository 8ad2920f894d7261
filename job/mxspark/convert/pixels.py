"""How a graph scales pixels before its first layer, by numbers of its own: are they such as fit 0 to 255?"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mxspark.convert.trace import Step, Trace
from mxspark.settings.model_spec import Preprocessing

_MOVING = ("Cast", "Identity", "Transpose")
_SCALING: Mapping[str, Callable[[Any, Any], Any]] = {
    "Add": operator.add,
    "Div": operator.truediv,
    "Mul": operator.mul,
    "Sub": operator.sub,
}
_SHRUNK = 64  # the length of a range that pixels get which are scaled down
_SHIFTED = 16  # from so far below 0 to so far above are pixels of which a mean of theirs was subtracted
_LARGEST = 260  # that pixels become; a number divided by a standard deviation of 0 to 1 becomes more
_NARROW = 0.25  # the length of a range in which images can't be told apart: they were scaled twice


@dataclass(frozen=True)
class Scaling:
    """The operators by which a graph scales its input, and what they make of 0 and 255, as means of channels."""

    operators: tuple[str, ...] = ()
    black: float = 0.0
    white: float = 255.0

    @property
    def takes_pixels(self) -> bool:
        """Whether its numbers fit pixels of 0 to 255, and not such as were scaled to 0 to 1 before."""
        low, high = sorted((self.black, self.white))
        is_shifted = low <= -_SHIFTED and high >= _SHIFTED
        return max(-low, high) <= _LARGEST and (high - low < _SHRUNK or is_shifted)

    def of(self, steps: Preprocessing) -> tuple[float, float]:
        """What it makes of black and of white after such preprocessing."""
        factor = (self.white - self.black) / 255
        black, white = (
            (pixel * steps.scale - float(np.mean(steps.mean))) / float(np.mean(steps.std)) for pixel in (0, 255)
        )
        return self.black + black * factor, self.black + white * factor

    def is_twice(self, steps: Preprocessing) -> bool:
        """Whether almost nothing is left of images that `steps` have scaled already."""
        black, white = self.of(steps)
        return abs(white - black) < min(_NARROW, abs(self.white - self.black))

    def __str__(self) -> str:
        return ", ".join(self.operators)


def scaling(traced: Trace) -> Scaling | None:
    """How the graph scales its input; None where it begins with something else."""
    found, name = Scaling(), traced.input.name
    for step in traced.steps:
        if not any(value is not None and value.name == name for value in step.inputs):
            continue
        if step.op not in _MOVING:
            with np.errstate(all="ignore"):
                ends = [_scaled(pixel, step) for pixel in (found.black, found.white)]
            if None in ends:
                break
            found = Scaling((*found.operators, step.op), *(end for end in ends if end is not None))
        name = step.outputs[0].name
    return found if found.operators else None


def _scaled(pixel: float, step: Step) -> float | None:
    """What a step makes of a number; None where it does more than to scale it by numbers of its own."""
    numbers = [
        None if value is None or value.numbers is None else np.float64(np.mean(value.numbers[0]))
        for value in step.inputs
    ]
    own = [number for number in numbers if number is not None]
    if len(own) != len(numbers) - 1:
        return None
    if step.op == "BatchNormalization" and len(own) == 4:
        gamma, beta, mean, variance = own
        return float((pixel - mean) / np.sqrt(variance + step.attributes.get("epsilon", 1e-5)) * gamma + beta)
    if step.op not in _SCALING or len(own) != 1:
        return None
    if numbers[0] is None:
        return float(_SCALING[step.op](np.float64(pixel), own[0]))
    return None if step.op == "Div" else float(_SCALING[step.op](own[0], np.float64(pixel)))
