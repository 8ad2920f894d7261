"""How a model at some precision compares with itself at fp32."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mxspark.inference.meaning import Meaning
from mxspark.settings.job import Precision
from mxspark.text.words import counted

Floats = NDArray[np.float32]

# By how much another image may be less near, at fp32, than the nearest one, and count as it: of images that are nearly
# the same rounding decides. A cosine.
_AS_NEAR = 1e-3


@dataclass(frozen=True)
class Figures:
    """How a model at some precision compares with itself at fp32, on images that it was not calibrated on."""

    precision: Precision
    images: int
    calibration_images: int
    # Of the images, on how many both say the same: the most probable class, every yes and no, or the vector that is
    # nearest to an image's among those of the others.
    agreement: float
    mean_change: float  # of the probability of fp32's most probable class; of a vector: 1 - cosine with fp32's
    largest_change: float  # of any probability, or vector
    labelled: int = 0  # of the images, those whose true label is known
    correct: int = 0
    correct_fp32: int = 0
    passes: Mapping[str, float] = field(default_factory=dict)  # graph passes, and how much each changed a number
    method: str = ""  # by which int8's ranges were found
    wide_layers: int = 0  # of int8's layers, the first ones, which are computed at fp32
    layers: int = 0
    cpu_milliseconds: float | None = None  # an image on one thread of this machine, where that was measured
    cpu_milliseconds_fp32: float | None = None
    has_classes: bool = True  # and not a vector

    def __str__(self) -> str:
        wide = f" (the first {self.wide_layers} of {self.layers} layers at fp32)" if self.wide_layers else ""
        text = f"{self.precision}{wide} agrees with fp32 on {self.agreement:.2%} of "
        text += counted(self.images, "held-out image")
        if self.has_classes:
            text += f", probabilities change by {self.mean_change:.4f} on average and {self.largest_change:.4f} at most"
        else:
            text += (
                f" (which other one is nearest), vectors have a cosine of {1 - self.mean_change:.4f} with fp32's on "
                f"average and {1 - self.largest_change:.4f} at least"
            )
        if self.labelled:
            text += (
                f"; accuracy {self.correct / self.labelled:.4f} instead of {self.correct_fp32 / self.labelled:.4f} "
                f"({counted(self.labelled, 'label')})"
            )
        if self.cpu_milliseconds is not None and self.cpu_milliseconds_fp32 is not None:
            text += f"; {self.cpu_milliseconds:.1f} CPU-ms an image instead of {self.cpu_milliseconds_fp32:.1f}"
        return text

    def to_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError, ValueError where `data` isn't what `to_json` gives."""
        found = cls(**data)
        str(found)
        return found


def compared(numbers: Floats, expected: Floats, meaning: Meaning, threshold: float | None) -> dict[str, Any]:
    """The figures of some images' probabilities (n, classes), or vectors (n, length), beside fp32's."""
    if meaning.kind == "vector":
        changes = vector_changes(numbers, expected)
        agrees = _same_neighbours(numbers, expected)
        mean, largest = changes.mean(), changes.max()
    else:
        changes, best = np.abs(numbers - expected), expected.argmax(axis=1)
        least = threshold or 0.5
        agrees = (
            numbers.argmax(axis=1) == best
            if meaning.sums_to_one
            else ((numbers >= least) == (expected >= least)).all(axis=1)
        )
        mean, largest = changes[np.arange(len(best)), best].mean(), changes.max()
    return {
        "agreement": float(agrees.mean()),
        "mean_change": float(mean),
        "largest_change": float(largest),
        "has_classes": meaning.kind != "vector",
    }


def vector_changes(vectors: Floats, expected: Floats) -> NDArray[np.float64]:
    """1 - cosine of each vector with fp32's: 0 where both are the same, zeros too; 2 where one is no vector."""
    cosines = (_directions(vectors) * _directions(expected)).sum(axis=1)
    cosines[(vectors == expected).all(axis=1)] = 1
    found: NDArray[np.float64] = 1 - np.nan_to_num(cosines, nan=-1)
    return found.clip(0, 2)


def _same_neighbours(vectors: Floats, expected: Floats) -> NDArray[np.bool_]:
    """For each image, whether the other one that is nearest to it is so at fp32 too."""
    near, near_fp32 = (_cosines(each) for each in (vectors, expected))
    rows = np.arange(len(near))
    is_near: NDArray[np.bool_] = near_fp32[rows, near.argmax(axis=1)] >= near_fp32.max(axis=1) - _AS_NEAR
    return np.logical_and(is_near, np.isfinite(vectors).all(axis=1))


def _cosines(vectors: Floats) -> NDArray[np.float64]:
    """Of each vector with each other one (n, n); with itself less than any."""
    directions = np.nan_to_num(_directions(vectors))
    cosines: NDArray[np.float64] = directions @ directions.T
    np.fill_diagonal(cosines, -2)
    return cosines


def _directions(vectors: Floats) -> NDArray[np.float64]:
    """Of length 1, or 0."""
    wide = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    found: NDArray[np.float64] = wide / np.where(lengths == 0, 1, lengths)
    return found
