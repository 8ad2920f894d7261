"""The columns of a table beside key, status and error: predictions, and vectors of fixed lengths."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

# float32, or float16 where output.vector_type says so.
Vector = NDArray[np.float32] | NDArray[np.float16]
VectorType = Literal["float32", "float16"]


@dataclass(frozen=True)
class VectorColumn:
    """A column of vectors of `length` numbers; with length 1 where `is_normalized`."""

    name: str
    length: int
    type: VectorType = "float32"
    is_normalized: bool = False

    def vector(self, numbers: NDArray[np.float32]) -> Vector:
        """What a row has of a network's numbers (length,): not finite where the type doesn't hold them, or where zeros
        have no direction.
        """
        with np.errstate(all="ignore"):
            if self.is_normalized:
                numbers = numbers / np.linalg.norm(numbers.astype(np.float64))
            return numbers.astype(self.type)


@dataclass(frozen=True)
class Columns:
    """What each row of a table has."""

    vectors: tuple[VectorColumn, ...] = ()
    has_predictions: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        return (*(("predictions",) if self.has_predictions else ()), *(column.name for column in self.vectors))

    @property
    def numbers(self) -> int:
        """Of all vectors of a row."""
        return sum(column.length for column in self.vectors)


PREDICTIONS = Columns()
